#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The router as its operators expect it: sockets, signals, restarts, deaths and
standstills of workers, limits, options."""

import errno
import http.client
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from server import (BASE, CATALOG, PROGRAM, Connection, Server, connected, run,
                    until)

ASK = "auto-assign-all"
BROKEN = (ConnectionError, http.client.HTTPException, OSError)


def who_finds_the_path_can_connect():
    folder = tempfile.mkdtemp()
    path, wrong, connected = folder + "/socket", [], []
    over = threading.Event()

    def look():
        while not over.is_set():
            if os.path.exists(path):
                c = socket.socket(socket.AF_UNIX)
                try:
                    c.connect(path)
                    connected.append(1)
                except OSError as why:
                    wrong.append(why)
                c.close()
                return

    for _ in range(10):
        lookers = [threading.Thread(target=look) for _ in range(3)]
        for t in lookers:
            t.start()
        segment = f"/dev/shm/larder-router-test-{os.getpid()}-path"
        process = subprocess.Popen(
            [PROGRAM, "--listen", "unix:" + path, "--segment", segment,
             "--workers", "1"], stderr=subprocess.DEVNULL)
        for t in lookers:
            t.join(30)
        over.set()
        process.terminate()
        assert process.wait(30) == 0
        over.clear()
        assert not os.path.exists(path), "a stopped server's path stays"
        Path(segment).unlink()
    shutil.rmtree(folder)
    assert not wrong and len(connected) == 30, (wrong, len(connected))


def what_stands_at_the_path_is_no_other_server_s_nor_a_file():
    def refused(path):
        segment = f"/dev/shm/larder-router-test-{os.getpid()}-taken"
        process = subprocess.run(
            [PROGRAM, "--listen", "unix:" + path, "--segment", segment,
             "--workers", "1"], stderr=subprocess.PIPE, timeout=60, text=True)
        Path(segment).unlink(missing_ok=True)
        assert process.returncode == 1 and path in process.stderr, process
        return process.stderr

    with Server(workers=1) as s:
        precious = Path(s.folder.name, "precious")
        precious.write_text("data\n")
        assert "something else" in refused(str(precious))
        assert precious.read_text() == "data\n"
        assert "already" in refused(s.socket)
        assert s.ask("GET", "/healthz")[0].status == 200
        # What a server left that was killed is taken over.
        s.process.kill()
        s.process.wait()

        def is_left():
            c = socket.socket(socket.AF_UNIX)
            try:
                return c.connect_ex(s.socket) == errno.ECONNREFUSED
            finally:
                c.close()

        until(is_left, "the workers do not end with their master")
        again = subprocess.Popen(
            [PROGRAM, "--listen", "unix:" + s.socket, "--segment", s.segment,
             "--workers", "1"], stderr=subprocess.DEVNULL)
        until(lambda: answers(s), "the path of the dead is not taken over")
        again.terminate()
        assert again.wait(30) == 0


def a_stopped_worker_is_replaced_and_the_rest_goes_on():
    with Server(workers=3) as s:
        victim = s.workers()[0]
        os.kill(victim, signal.SIGSTOP)
        answered = 0

        def replaced():
            nonlocal answered
            c = Connection(s.socket)
            c.timeout = 1
            try:
                # A connection may have gone to the one that stands still.
                c.connect()
                c.sock.settimeout(1)
                s.ask("POST", ASK, {"strategy": "optimal"}, connection=c)
                answered += 1
            except BROKEN:
                pass
            c.close()
            return victim not in s.workers() and len(s.workers()) == 3

        until(replaced, "a worker that stands still was not replaced", 90)
        assert answered > 0
        assert "has been silent" in s.logged(), s.logged()


def concurrent_changes_are_all_kept():
    with Server() as s:
        before = len(s.ask("GET", "models")[1]["models"])
        failed = []

        def put(i):
            c = Connection(s.socket)
            for k in range(15):
                model = {"context_length": 1000 + k}
                r, _ = s.ask("PUT", f"models/new-{i}-{k}", model, connection=c)
                if r.status != 201:
                    failed.append((i, k, r.status))
                if k % 3 == 0:
                    r, _ = s.ask("DELETE", f"models/new-{i}-{k}", connection=c)
                    if r.status != 204:
                        failed.append((i, k, r.status))
            c.close()

        threads = [threading.Thread(target=put, args=(i,)) for i in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failed, failed[:5]
        for _ in range(8):  # whichever worker answers
            models = s.ask("GET", "models")[1]["models"]
            assert len(models) == before + 8 * 10, len(models)


def a_warm_restart_keeps_results_and_changes():
    folder = tempfile.mkdtemp()
    path = folder + "/catalog.json"
    shutil.copy(CATALOG, path)
    segment = f"/dev/shm/larder-router-test-{os.getpid()}-warm"
    new = {"id": "new", "context_length": 77}
    try:
        with Server(segment=segment, catalog=path) as s:
            assert s.ask("PUT", "models/new", new)[0].status == 201
            s.ask("POST", ASK, {"strategy": "optimal"})
        with Server(segment=segment, catalog=path) as s:
            r, _ = s.ask("POST", ASK, {"strategy": "optimal"})
            assert r.getheader("X-Larder") == "hit"
            assert s.ask("GET", "models/new")[1] == new
            os.kill(random.choice(s.workers()), signal.SIGKILL)
            for _ in range(8):
                assert s.ask("GET", "models/new")[1] == new
            # The same file again: what was put stays.
            said = s.logged().count("changes since then stay")
            assert said == 1, s.logged()
            s.process.send_signal(signal.SIGHUP)
            until(lambda: s.logged().count("changes since then stay") == 2,
                  "a reload that changes nothing says nothing")
            assert s.ask("GET", "models/new")[1] == new
            assert "keeps its" not in s.logged()
        catalog = json.loads(Path(path).read_text())
        catalog["models"][0]["context_length"] += 1
        Path(path).write_text(json.dumps(catalog))
        with Server("--size", "64M", segment=segment, catalog=path) as s:
            assert f"keeps its {32 << 20} bytes" in s.logged()
            assert s.ask("GET", "models/new")[0].status == 404
            r, _ = s.ask("POST", ASK, {"strategy": "optimal"})
            assert r.getheader("X-Larder") == "miss"
    finally:
        Path(segment).unlink(missing_ok=True)
        shutil.rmtree(folder)


def other_weights_have_other_answers_on_the_same_segment():
    segment = f"/dev/shm/larder-router-test-{os.getpid()}-weights"
    body = {"strategy": "optimal", "enable_load_balancing": True,
            "models": [{"id": "m", "context_length": 50, "max_concurrent": 9,
                        "capabilities": {"x": 0.5}}],
            "agents": [{"id": a, "required_capabilities": ["x"],
                        "min_context_length": 100} for a in "ab"]}
    try:
        for options, score in (((), 60.0),
                               (("--weights", "0.5,0.25,0.25"), 62.5),
                               (("--weights", "0,0,1"), 50.0), ((), 60.0)):
            with Server(*options, segment=segment, workers=1) as s:
                kinds = []
                for _ in range(3):
                    r, data = s.ask("POST", ASK, body)
                    kinds.append(r.getheader("X-Larder"))
                    assert abs(data["assignments"][0]["match_score"]
                               - score) < 1e-9, (options, data)
                assert kinds[1:] == ["hit", "hit"], kinds
        for bad in ("0.7,0.2", "1,1,1", "-1,1,1", "0,0,0", "0.7,0.2,0.1x"):
            refused = subprocess.run(
                [PROGRAM, "--segment", segment, "--weights", bad],
                capture_output=True, text=True, timeout=30)
            assert refused.returncode == 2 and "weights" in refused.stderr
    finally:
        Path(segment).unlink(missing_ok=True)


def a_bad_catalog_changes_nothing_and_is_named():
    folder = tempfile.mkdtemp()
    path = folder + "/catalog.json"
    shutil.copy(CATALOG, path)
    try:
        with Server(catalog=path, workers=1) as s:
            version = s.ask("GET", "stats")[1]["catalog"]["version"]
            for bad, words in (
                    ("{", "premature"), ("[]", "must be an object"),
                    ('{"models":[]}', "agents"),
                    ('{"models":[{"id":"m","context_length":0}],"agents":[]}',
                     "/models/0/context_length"),
                    ('{"models":[],"agents":[{"id":"a"},{"id":"a"}]}',
                     "/agents/1/id"),
                    (json.dumps({"agents": [], "models": [
                        {"id": "m", "context_length": 1, "capabilities":
                         {f"c{k}": 1 for k in range(65)}}]}), "64")):
                seen = s.logged()
                Path(path).write_text(bad)
                s.process.send_signal(signal.SIGHUP)
                until(lambda: s.logged() != seen, "no word of " + bad)
                assert words in s.logged()[len(seen):], (bad, s.logged())
            assert s.ask("GET", "stats")[1]["catalog"]["version"] == version
        started = subprocess.run(
            [PROGRAM, "--catalog", path, "--listen", f"unix:{folder}/s",
             "--segment", folder + "/segment"], capture_output=True, text=True,
            timeout=30)
        assert started.returncode == 1 and "64" in started.stderr
    finally:
        shutil.rmtree(folder)


def questions_are_answered_while_the_catalog_moves():
    with Server(workers=2) as s:
        ours, theirs = s.workers()
        over = threading.Event()

        def change(c):  # many in one piece, so that the worker is not idle
            number = 0
            while not over.is_set():
                many = ""
                for _ in range(20):
                    number += 1
                    model = json.dumps({"context_length": number})
                    many += (f"PUT {BASE}models/moving HTTP/1.1\r\nHost: x\r\n"
                             f"Content-Length: {len(model)}\r\n\r\n{model}")
                c.sock.sendall(many.encode())
                answers = b""
                while answers.count(b"HTTP/1.1 20") < 20:
                    answers += c.sock.recv(1 << 16)

        asking, changing = s.connect_to(ours), s.connect_to(theirs)
        changer = threading.Thread(target=change, args=(changing,))
        changer.start()
        answered = [s.ask("POST", ASK, {
            "strategy": "optimal",
            "agents": [{"id": f"a{k}-{i}", "name": "n" * 500}
                       for i in range(500)]}, connection=asking)
            for k in range(150)]
        over.set()
        changer.join()
        for r, a in answered:
            assert r.status == 200, a


def workers_that_are_killed_under_load_lose_no_count():
    with Server() as s:
        answered, over = [0] * 6, threading.Event()

        def keep_asking(i):
            c = Connection(s.socket)
            while not over.is_set():
                try:
                    r, _ = s.ask("POST", ASK, {"strategy": "optimal"},
                                 connection=c)
                    answered[i] += r.status == 200
                except BROKEN:
                    c.close()
                    c = Connection(s.socket)
            c.close()

        threads = [threading.Thread(target=keep_asking, args=(i,))
                   for i in range(6)]
        for t in threads:
            t.start()
        kills, last = 0, -1
        name = 'larder_router_requests_total{strategy="optimal"}'
        while kills < 30:
            at = sum(answered)
            until(lambda: sum(answered) > at + 20, "nobody answers")
            os.kill(random.choice(s.workers()), signal.SIGKILL)
            kills += 1
            try:
                counted = s.metrics()[name]
            except BROKEN:
                continue
            assert counted >= last, "a counter went back"
            last = counted
        over.set()
        for t in threads:
            t.join()
        counted = s.metrics()[name]
        # An answer is counted before it is sent: of those that were cut off
        # each of six connections may hold one, at each death.
        assert sum(answered) <= counted <= sum(answered) + 6 * kills, (
            sum(answered), counted)


def a_stop_answers_those_who_wait():
    """For the answer of a worker that is stopped in the midst of it."""
    chance = random.Random(3)
    names = [f"c{i}" for i in range(20)]
    body = json.dumps({
        "strategy": "optimal",
        "agents": [{"id": f"a{i}",
                    "required_capabilities": chance.sample(names, 5)}
                   for i in range(2000)],
        "models": [{"id": f"m{k}", "context_length": 1 + k,
                    "max_concurrent": chance.randint(1, 3),
                    "capabilities": {n: chance.random() for n in names}}
                   for k in range(1000)]})
    ask = (f"POST {BASE}{ASK} HTTP/1.1\r\nHost: x\r\nContent-Length: "
           f"{len(body)}\r\n\r\n{body}").encode()
    for _ in range(20):
        with Server(workers=2) as s:
            first, second = s.workers()
            leading, waiting = s.connect_to(first), s.connect_to(second)
            leading.sock.sendall(ask)
            time.sleep(0.2)
            os.kill(first, signal.SIGSTOP)
            waiting.sock.sendall(ask)
            time.sleep(0.5)
            s.process.terminate()
            answer = waiting.sock.recv(1 << 16)
            s.process.wait(30)
            assert f"({second}) ended with 0" in s.logged(), s.logged()
            assert answer.startswith(b"HTTP/1.1 "), answer[:100]
            if answer.startswith(b"HTTP/1.1 503"):
                assert b"this server ends" in answer, answer
                return  # else it came too early, or too late, to wait
    raise AssertionError("nobody ever waited")


def a_request_has_one_deadline_however_it_trickles():
    with Server("--deadline", "500", workers=1) as s:
        c = socket.socket(socket.AF_UNIX)
        c.connect(s.socket)
        c.settimeout(60)
        c.sendall(f"POST {BASE}{ASK} HTTP/1.1\r\nHost: x\r\nContent-Length: "
                  f"100000\r\n\r\n".encode())
        ended = False
        for _ in range(3000):  # one byte in 10 ms: never idle
            try:
                c.sendall(b" ")
            except OSError:
                ended = True
                break
            time.sleep(0.01)
        assert ended, "a request that trickles was not cut off"
        c.close()
        idle = socket.socket(socket.AF_UNIX)
        idle.connect(s.socket)
        idle.settimeout(60)
        idle.sendall(b"POST")
        assert idle.recv(100) == b"", "half a line was not cut off"
        idle.close()
        assert s.ask("GET", "/healthz")[0].status == 200


def what_a_connection_has_idled_is_not_its_next_request_s():
    deadline = 3.0
    ask = f"GET {BASE}load HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with Server("--deadline", str(int(deadline * 1000)), workers=1) as s:
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as c:
                c.connect(s.socket)
                c.settimeout(60)
                c.sendall(ask)
                c.recv(1 << 20)
                answered = time.monotonic()
                time.sleep(0.7 * deadline)
                begun = time.monotonic()
                try:
                    c.sendall(ask[:-2])
                    time.sleep(0.5 * deadline)
                    c.sendall(ask[-2:])
                    answer = c.recv(1 << 20)
                except ConnectionError:
                    answer = b""
                took = time.monotonic() - begun
                if begun - answered < deadline and took < deadline:
                    break  # else the machine was late, not the server
        else:
            raise AssertionError("the machine was late twenty times")
        assert answer.startswith(b"HTTP/1.1 200"), answer[:100]


def connections_are_limited_and_come_back():
    with Server("--max-connections", "8", workers=1) as s:
        held = []
        for _ in range(40):
            c = connected(s.socket)
            c.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            held.append(c)
        # They are taken in the order in which they came.
        for k, c in enumerate(held):
            assert c.recv(4096).startswith(b"HTTP/1.1 200"), k
            ready = select.select(held[k + 8:], [], [], 0.01)[0]
            assert not ready, f"more than 8 were served, at the {k}th"
            c.close()
        until(lambda: answers(s), "the server does not come back")


def answers(s):
    try:
        return s.ask("GET", "/healthz")[0].status == 200
    except BROKEN:
        return False


def options_are_read_from_a_file_and_the_line_wins():
    folder = tempfile.mkdtemp()
    config, path = folder + "/config", folder + "/socket"
    segment = folder + "/segment"
    try:
        Path(config).write_text(f"workers = 3\nlisten = unix:{path}\n"
                                f"segment = {segment}\nno-cache = true\n"
                                f"catalog = {CATALOG}\nsize = 8M\n")
        process = subprocess.Popen(
            [PROGRAM, "--config", config, "--workers", "2"],
            stderr=subprocess.PIPE, text=True)
        until(lambda: os.path.exists(path), "it does not start")
        c = Connection(path)
        for _ in range(2):
            c.request("POST", BASE + ASK, '{"strategy":"optimal"}')
            r = c.getresponse()
            r.read()
            assert r.getheader("X-Larder") == "bypass"
        c.close()
        process.terminate()
        log = process.communicate(timeout=30)[1]
        assert "2 workers serve" in log, log
        assert os.stat(segment).st_size == 8 << 20
        for line, words in (("worker = 3", "unknown option"),
                            ("workers = 0", "1 to 256"),
                            ("size = 4M", "8M"), ("ttl = x", "seconds"),
                            ("[section]\nworkers = 1", "sections"),
                            ("no-cache = maybe", "true or false")):
            Path(config).write_text(line + "\n")
            refused = subprocess.run([PROGRAM, "--config", config],
                                     capture_output=True, text=True, timeout=30)
            assert refused.returncode == 2, (line, refused)
            assert words in refused.stderr, (line, refused.stderr)
        Path(folder, "token").write_text(1100 * "t")
        for bad in (["--admin-token-file", folder + "/token"],
                    ["--size", f"{2**34 + 1}G"], ["--workers", " 2"],
                    ["--workers", "0"], ["--deadline", "1"], ["--listen", "x"],
                    ["--nonsense"], ["word"], ["--config", folder + "/none"],
                    ["--soft-ttl", "400"], ["--feedback-weight", "2"]):
            refused = subprocess.run([PROGRAM, "--segment", segment, *bad],
                                     capture_output=True, text=True, timeout=30)
            assert refused.returncode in (1, 2) and refused.stderr, (bad, refused)
    finally:
        shutil.rmtree(folder)


def the_manual_knows_every_option():
    help_ = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True,
                           timeout=30).stdout
    manual = (Path(CATALOG).parent / "larder-router.1").read_text()
    options = re.findall(r"^ +(?:-\w, )?--([a-z-]+)", help_, re.M)
    assert len(options) > 20, options
    for option in set(options) - {"help", "usage", "version"}:
        assert re.search(r"Fl -" + option + r"\b", manual) or \
            re.search(r", -" + option + r"\b", manual), option


TESTS = [the_manual_knows_every_option, who_finds_the_path_can_connect,
         what_stands_at_the_path_is_no_other_server_s_nor_a_file,
         a_stopped_worker_is_replaced_and_the_rest_goes_on,
         concurrent_changes_are_all_kept,
         a_warm_restart_keeps_results_and_changes,
         other_weights_have_other_answers_on_the_same_segment,
         a_bad_catalog_changes_nothing_and_is_named,
         questions_are_answered_while_the_catalog_moves,
         workers_that_are_killed_under_load_lose_no_count,
         a_stop_answers_those_who_wait,
         a_request_has_one_deadline_however_it_trickles,
         what_a_connection_has_idled_is_not_its_next_request_s,
         connections_are_limited_and_come_back,
         options_are_read_from_a_file_and_the_line_wins]

if __name__ == "__main__":
    sys.exit(run(TESTS))
