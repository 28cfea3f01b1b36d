#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The router as its users meet it: answers, errors, deletions, deaths."""

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from server import (BASE, CATALOG, PROGRAM, Connection, Server, connected, run,
                    until)


def a_question_is_a_miss_then_a_hit_everywhere():
    with Server() as s:
        seen = []
        for _ in range(20):
            r, data = s.ask("POST", "auto-assign-all", {"strategy": "optimal"})
            assert r.status == 200, data
            seen.append(r.getheader("X-Larder"))
            assert data["total_assignments"] == 25
        assert seen[0] == "miss" and set(seen[1:]) == {"hit"}, seen


def names_come_from_the_request_and_order_too():
    body = {"strategy": "optimal",
            "agents": [{"id": "b", "name": "first"}, {"id": "a"}],
            "models": [{"id": "m", "context_length": 1, "max_concurrent": 2}]}
    with Server() as s:
        s.ask("POST", "auto-assign-all", body)
        body["agents"][0]["name"] = "renamed"
        body["agents"].reverse()
        r, data = s.ask("POST", "auto-assign-all", body)
        assert r.getheader("X-Larder") == "hit"
        names = [a["agent_name"] for a in data["assignments"]]
        assert names == ["a", "renamed"], names


def what_cannot_count_moves_nothing():
    """Requests with one key, whose capabilities are not the same list."""
    def body(strengths, offline):
        return {"strategy": "optimal",
                "agents": [{"id": "a", "required_capabilities": ["math"]},
                           {"id": "b", "required_capabilities": ["coding"]},
                           {"id": "c", "status": "offline",
                            "required_capabilities": offline}],
                "models": [{"id": "m", "context_length": 1, "max_concurrent": 9,
                            "capabilities": {"coding": 0.5, **strengths}}]}

    with Server() as s:
        for first, second in (({"aa": 0, "bb": 0}, ["ab"]), ({}, [])), \
                (({}, []), ({"aa": 0.0}, ["ab", "ac"])):
            s.ask("POST", "cache/invalidate", {"all": True})
            for kind, (strengths, offline) in ("miss", first), ("hit", second):
                r, data = s.ask("POST", "auto-assign-all",
                                body(strengths, offline))
                assert r.getheader("X-Larder") == kind
                missing = [a["missing_required"] for a in data["assignments"]]
                assert missing == [["math"], [], []], missing


def errors_are_problems_with_a_pointer():
    cases = [("{", 400, None), ('{"strategy":"x"}', 422, "/strategy"),
             ('{"agents":[{"id":"a"},{}]}', 422, "/agents/1"),
             ("[" * 100000, 400, None), (b"\xff\xfe{}", 400, None),
             ('{"agents":[],"models":[{"id":"m","context_length":1,'
              '"capabilities":{"\u0639\u0631\U0001f600":2}}]}'.encode(), 422,
              "/models/0/capabilities/\u0639\u0631\U0001f600")]
    with Server() as s:
        for body, status, pointer in cases:
            r, data = s.ask("POST", "auto-assign-all", body)
            assert r.status == status, (body[:40], r.status)
            assert "problem+json" in r.getheader("Content-Type")
            assert data["status"] == status
            assert pointer is None or data["pointer"] == pointer, data
        assert s.ask("GET", "/nowhere")[0].status == 404
        r, _ = s.ask("DELETE", "auto-assign-all")
        assert r.status == 405 and r.getheader("Allow") == "POST"
        r, _ = s.ask("PUT", "models/x", {"id": "y", "context_length": 1})
        assert r.status == 422
        for kept, why in (('{"context_length":1,"note":1e400}', "overflow"),
                          ('{"context_length":1,"note":"\\u0000"}', "NUL")):
            r, problem = s.ask("PUT", "models/x", kept)
            assert r.status == 422 and why in problem["detail"], problem
        r, problem = s.ask("PUT", "models/%ff", {"context_length": 1})
        assert r.status == 422 and "UTF-8" in problem["detail"], problem
        assert s.ask("DELETE", "models/none")[0].status == 404
        assert s.ask("POST", "load", {"model_id": "none"})[0].status == 404


def what_is_json_is_decided_as_another_parser_does():
    seed = int(os.environ.get("LARDER_SEED", 20261126))
    print("seed", seed)
    chance = random.Random(seed)
    tokens = [b"{", b"}", b"[", b"]", b",", b":", b'"', b"null", b"true", b"1",
              b"-1", b"0.5", b"01", b"1e309", b"-", b'"id"', b"\\", b"\\u0041",
              b"\xff", "\u00e9".encode(), b"\xc0\x80", b"\xed\xa0\x80",
              b"\xf4\x90\x80\x80", b"\x00", b" ", b"\t", b'"models"', b"{}",
              b"[]"]
    whole = json.dumps({
        "strategy": "balanced", "enable_load_balancing": False, "x": [1.5e3],
        "agents": [{"id": "a", "status": "online", "y": {"z": None},
                    "required_capabilities": ["c"], "min_context_length": 9}],
        "models": [{"id": "m", "context_length": 7,
                    "capabilities": {"c": 0.5}}]}).encode()

    def is_json(body):
        def refuse(_):
            raise ValueError
        try:
            json.loads(body.decode(), parse_constant=refuse)
            return True
        except ValueError:
            return False

    with Server(workers=1) as s:
        c, seen = Connection(s.socket), {}
        for _ in range(4000):
            body = bytearray(whole)
            for _ in range(chance.randint(1, 3)):
                at = chance.randrange(len(body) + 1)
                if chance.random() < 0.3:
                    del body[at:at + chance.randint(1, 20)]
                else:
                    body[at:at + chance.choice((0, 0, 1, 4))] = (
                        chance.choice(tokens))
            r, problem = s.ask("POST", "auto-assign-all", bytes(body),
                               connection=c)
            assert r.status in (200, 400, 422), (r.status, bytes(body))
            assert is_json(bytes(body)) == (r.status != 400), (
                r.status, problem, bytes(body))
            seen[r.status] = seen.get(r.status, 0) + 1
        c.close()
        assert min(seen.get(k, 0) for k in (200, 400, 422)) > 50, seen


def what_the_http_library_refuses_is_a_problem_too():
    post = f"POST {BASE}auto-assign-all HTTP/1.1\r\nHost: x\r\n"
    with Server() as s:
        for request, status in (
                ("GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + "y" * 70000
                 + "\r\n\r\n", 431),
                ("GET /" + "y" * 70000 + " HTTP/1.1\r\nHost: x\r\n\r\n", 414),
                ("GET /healthz HTTP/1.1\r\nHost: x\r\nno header\r\n\r\n", 400),
                ("GET /healthz HTTP/3.7\r\nHost: x\r\n\r\n", 505),
                (post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
                (post + "Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}",
                 400),
                (post + "Content-Length: -2\r\n\r\n{}", 400),
                (post + "Content-Length: 2 \t2\r\n\r\n{}", 400),
                (post + f"Content-Length: {2**64}\r\n\r\n{{}}", 413),
                (post + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"
                 "\r\n" + 2 * "2\r\n{}\r\n" + "0\r\n\r\n", 400)):
            c = connected(s.socket)
            try:
                c.sendall(request.encode())
            except OSError:
                pass  # refused before the end
            r = http.client.HTTPResponse(c)
            r.begin()
            problem = json.loads(r.read())
            assert r.status == status == problem["status"], (status, r.status)
            assert "problem+json" in r.getheader("Content-Type")
            assert problem["detail"]
            c.close()
        asked = {k: v for k, v in s.metrics().items() if "requests_total" in k}
        assert asked and not any(asked.values()), asked


def what_is_to_be_invalidated_has_a_length():
    with Server(workers=1) as s:
        for kind, most in (("key", 1024), ("tag", 255), ("pattern", 255)):
            for length, status in ((most, 200), (most + 1, 422)):
                r, a = s.ask("POST", "cache/invalidate", {kind: "x" * length})
                assert r.status == status, (kind, length, a)
            assert a["pointer"] == "/" + kind and str(most) in a["detail"], a


def the_token_guards_changes_and_nothing_else():
    model = {"id": "new", "context_length": 8192}
    changes = [("PUT", "models/new", model), ("DELETE", "models/new", None),
               ("PUT", "agents/new", {}), ("DELETE", "agents/new", None),
               ("POST", "load", []), ("POST", "cache/warm", "{}\n"),
               ("POST", "outcomes", {"model_id": "gpt-oss-20b"}),
               ("POST", "cache/invalidate", {"all": True})]
    with tempfile.NamedTemporaryFile("w") as f:
        f.write("correct horse\n")
        f.flush()
        with Server("--admin-token-file", f.name, tcp=True, workers=1) as s:
            for method, path, body in changes:
                for token in (None, "correct hors", "correct horses",
                              "Correct horse", ""):
                    r, data = s.ask(method, path, body, {} if token is None else
                                    {"Authorization": f"Bearer {token}"})
                    assert r.status == data["status"] == 401, (method, path)
                    assert r.getheader("WWW-Authenticate") == "Bearer"
                r, _ = s.ask(method, path, body,
                             {"Authorization": "Bearer correct horse"})
                assert r.status != 401, (method, path)
            for method, path, status in (
                    ("GET", "models", 200), ("GET", "load", 200),
                    ("GET", "stats", 200), ("GET", "/metrics", 200),
                    ("POST", "auto-assign-all", 200), ("POST", "models", 405),
                    ("PATCH", "load", 405), ("POST", "nowhere", 404)):
                r, _ = s.ask(method, path, {} if method == "POST" else None)
                assert r.status == status, (method, path, r.status)
        with Server("--admin-token-file", f.name, workers=1) as s:
            assert s.ask("DELETE", "models/none")[0].status == 404
    everywhere = subprocess.run([PROGRAM, "--listen", "0.0.0.0:0", "--segment",
                                 f"/dev/shm/larder-router-test-{os.getpid()}-e"],
                                capture_output=True, text=True, timeout=20)
    Path(f"/dev/shm/larder-router-test-{os.getpid()}-e").unlink()
    assert everywhere.returncode == 1
    assert "--admin-token-file" in everywhere.stderr, everywhere.stderr


def reports_are_checked_whole_before_anything_changes():
    id_ = json.loads(Path(CATALOG).read_text())["models"][0]["id"]
    with Server(workers=1) as s:
        s.ask("POST", "load", {"model_id": id_, "active": 3, "queue": 2})
        for path, body, status, pointer in (
                ("load", 7, 422, ""), ("load", {}, 422, ""),
                ("load", {"model_id": 7}, 422, "/model_id"),
                ("load", {"model_id": id_}, 422, ""),
                ("load", {"model_id": id_, "active": 1.5}, 422, "/active"),
                ("load", {"model_id": id_, "active": -1}, 422, "/active"),
                ("load", {"model_id": id_, "active": 1, "active_delta": 1},
                 422, ""),
                ("load", [{"model_id": id_, "active": 9},
                          {"model_id": id_, "queue_delta": "1"}],
                 422, "/1/queue_delta"),
                ("load", [{"model_id": id_, "active": 9},
                          {"model_id": "none", "active": 1}], 404, None),
                ("outcomes", [], 422, ""),
                ("outcomes", {"model_id": id_}, 422, "/success"),
                ("outcomes", {"model_id": id_, "success": True,
                              "latency_ms": -1}, 422, "/latency_ms"),
                ("outcomes", {"model_id": "none", "success": True}, 404, None),
                ("cache/invalidate", 7, 422, ""),
                ("cache/invalidate", {"all": False}, 422, ""),
                ("cache/invalidate", {"all": True, "tag": "x"}, 422, ""),
                ("cache/invalidate", {"tag": ""}, 422, ""),
                ("cache/invalidate", {"pattern": "[a"}, 422, "/pattern"),
                ("cache/invalidate", {"all": True, "dry_run": 1}, 422,
                 "/dry_run")):
            r, data = s.ask("POST", path, json.dumps(body))
            assert r.status == data["status"] == status, (path, body, data)
            assert pointer is None or data["pointer"] == pointer, data
        _, load = s.ask("POST", "load", {"model_id": id_, "active_delta": -9})
        assert (load["active"], load["queue"]) == (0, 2), load
        for good in (True, True, False):
            r, _ = s.ask("POST", "outcomes", {"model_id": id_, "success": good,
                                              "latency_ms": 12.5})
            assert r.status == 204
        m = s.metrics()
        name = 'larder_router_model_%s{model="' + id_ + '"'
        assert m[name % "outcomes_total" + ',outcome="success"}'] == 2
        assert m[name % "outcomes_total" + ',outcome="failure"}'] == 1
        assert m[name % "latency_seconds_count" + "}"] == 3
        assert abs(m[name % "latency_seconds_sum" + "}"] - 0.0375) < 1e-9
        assert m[name % "queue" + "}"] == 2
        _, every = s.ask("GET", "load")
        assert every["models"][0]["latency_ms"] == 12.5, every["models"][0]


def an_escaped_nul_makes_no_shorter_address():
    with Server(workers=1) as s:
        model = {"context_length": 8192}
        assert s.ask("PUT", "models/new", model)[0].status == 201
        assert s.ask("DELETE", "models/new%00x")[0].status == 404
        assert s.ask("GET", "models/n%65w")[0].status == 200
        assert s.ask("PUT", "models/a%2Fb%20c%25", model)[0].status == 201
        _, item = s.ask("GET", "models/a%2fb%20c%25")
        assert item["id"] == "a/b c%", item
        r, data = s.ask("PUT", "models/%ff", model)
        assert r.status == 422, data


def etags_guard_changes():
    model = {"id": "new", "context_length": 8192, "capabilities": {"coding": 1}}
    with Server() as s:
        r, _ = s.ask("PUT", "models/new", model)
        assert r.status == 201
        tag = r.getheader("ETag")
        model["context_length"] = 4096
        r, _ = s.ask("PUT", "models/new", model, {"If-Match": '"other"'})
        assert r.status == 412
        r, _ = s.ask("PUT", "models/new", model, {"If-Match": tag})
        assert r.status == 200
        assert s.ask("DELETE", "models/new")[0].status == 204
        assert s.ask("DELETE", "models/new")[0].status == 404


def a_deleted_model_is_served_by_no_worker():
    with Server() as s:
        _, data = s.ask("POST", "auto-assign-all", {"strategy": "optimal"})
        model = data["assignments"][0]["model_id"]
        deleted, wrong, asked = [None], [], [0]
        stop = threading.Event()

        def ask_once(c):
            before = deleted[0]
            r, d = s.ask("POST", "auto-assign-all",
                         {"strategy": random.choice(["optimal", "greedy"])},
                         connection=c)
            asked[0] += 1
            if r.status != 200 or before and any(
                    a["model_id"] == model for a in d["assignments"]):
                wrong.append(d)

        def keep_asking():
            c = Connection(s.socket)
            try:
                while not stop.is_set():
                    ask_once(c)
            except (OSError, http.client.HTTPException) as why:
                wrong.append(repr(why))

        threads = [threading.Thread(target=keep_asking) for _ in range(6)]
        for t in threads:
            t.start()
        time.sleep(0.5)
        assert s.ask("DELETE", "models/" + model)[0].status == 204
        deleted[0] = True
        at = asked[0]
        while asked[0] < at + 500 and not wrong:
            time.sleep(0.05)
        stop.set()
        for t in threads:
            t.join()
        assert not wrong, wrong[:3]


def load_fills_a_model_and_leaves_it_out():
    body = {"strategy": "greedy", "enable_load_balancing": True}
    with Server() as s:
        _, data = s.ask("POST", "auto-assign-all", body)
        model = data["assignments"][0]["model_id"]
        _, load = s.ask("POST", "load", {"model_id": model, "active": 1000})
        assert load["level"] == 8, load
        for _ in range(10):
            _, data = s.ask("POST", "auto-assign-all", body)
            assert all(a["model_id"] != model for a in data["assignments"])
            assert data["models_filtered"] == 1


def killed_workers_are_replaced_and_the_rest_goes_on():
    with Server() as s:
        for _ in range(10):
            victim = random.choice(s.workers())
            os.kill(victim, signal.SIGKILL)
            lost = 0
            for _ in range(20):
                try:
                    r, _ = s.ask("POST", "auto-assign-all",
                                 {"strategy": "optimal"})
                    assert r.status == 200
                except (ConnectionError, http.client.HTTPException):
                    lost += 1  # its own connection died with it
            assert lost <= 1, f"{lost} of 20 requests were lost with one worker"
        end = time.monotonic() + 20
        while len(s.workers()) != 4:
            assert time.monotonic() < end, "the dead were not replaced"
            time.sleep(0.02)


def hostile_requests_lose_no_worker():
    random.seed(5)
    with Server("--max-body", "65536", "--deadline", "800") as s:
        before = sorted(s.workers())
        slow = []
        for k in range(10000):
            c = connected(s.socket, 5)
            kind = k % 8
            path = BASE + "auto-assign-all"
            if kind == 0:
                data = os.urandom(random.randint(1, 400))
            elif kind == 1:
                data = (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: "
                        f"5000\r\n\r\n").encode() + b"{" * 100
            elif kind == 2:
                body = b"[" * random.randint(1, 5000)
                data = (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: "
                        f"{len(body)}\r\n\r\n").encode() + body
            elif kind == 3:
                data = b"GET /" + b"a" * random.randint(1, 70000) + b" HTTP/1.1"
            elif kind == 4:
                data = (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: "
                        f"99999999999999999999\r\n\r\n").encode()
            elif kind == 5:
                body = b'{"agents":[{"id":"\xff\xfe"}]}'
                data = (f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: "
                        f"{len(body)}\r\n\r\n").encode() + body
            elif kind == 6:
                data = (f"PUT {BASE}models/%00%2e%2e/ HTTP/1.1\r\nHost: x\r\n"
                        f"X: {'y' * 3000}\r\n\r\n").encode()
            else:
                data = b"POST"
            try:
                c.sendall(data)
                if k % 500 == 7:
                    slow.append(c)
                    continue
            except OSError:
                pass
            c.close()
        r, _ = s.ask("GET", "/healthz")
        assert r.status == 200
        for c in slow:  # cut off by the deadline
            try:
                assert c.recv(100) == b"", "a slow one was not cut off"
            except ConnectionError:
                pass
            c.close()
        assert sorted(s.workers()) == before, "a worker was lost"
        big = b"x" * 100000
        r, _ = s.ask("POST", "auto-assign-all", big)
        assert r.status == 413


def what_trickles_in_is_cut_off():
    """Of a head or of a body, at first or after another request."""
    head = b"POST " + BASE.encode() + b"load HTTP/1.1\r\nHost: x\r\n"
    whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with Server("--deadline", "200") as s:
        before = sorted(s.workers())
        for begin in (b"POST /", head + b"X: ", whole + head,
                      head + b"Content-Length: 60000\r\n\r\n"):
            c = connected(s.socket, None)
            c.sendall(begin)
            try:
                for _ in range(1000):
                    time.sleep(0.02)
                    c.sendall(b"a")
                raise AssertionError(f"not cut off: {begin}")
            except OSError:
                pass
            c.close()
        assert s.ask("GET", "/healthz")[0].status == 200
        assert sorted(s.workers()) == before, "a worker was lost"


def a_second_master_is_refused():
    with Server() as s:
        second = subprocess.run(
            [PROGRAM, "--listen", "unix:" + s.socket + "2", "--segment",
             s.segment], capture_output=True, text=True, timeout=20)
        assert second.returncode == 1
        assert "another larder-router" in second.stderr, second.stderr


def it_drains_on_sigterm_and_workers_end_with_their_master():
    body = json.dumps({"strategy": "optimal"})
    with Server() as s:
        c = Connection(s.socket)
        s.ask("GET", "/healthz", connection=c)  # some worker has it
        c.putrequest("POST", BASE + "auto-assign-all")
        c.putheader("Content-Length", str(len(body)))
        c.endheaders()
        c.send(body[:5].encode())
        s.process.terminate()
        until(lambda: "draining" in s.logged(), "it does not drain")
        c.send(body[5:].encode())
        response = c.getresponse()
        assert response.status == 200, response.status
        assert json.loads(response.read())["total_assignments"] == 25
        c.close()
        assert s.process.wait(20) == 0
    with Server() as s:
        workers = s.workers()
        s.process.kill()
        s.process.wait(10)
        end = time.monotonic() + 30
        while any(Path(f"/proc/{w}").exists() for w in workers):
            assert time.monotonic() < end, "a worker outlived its master"
            time.sleep(0.05)


def metrics_count_for_the_whole_group():
    with Server() as s:
        for _ in range(30):
            s.ask("POST", "auto-assign-all", {"strategy": "optimal"})
        _, text = s.ask("GET", "/metrics")
        lines = dict(l.rsplit(" ", 1) for l in text.decode().splitlines()
                     if not l.startswith("#"))
        name = 'larder_router_requests_total{strategy="optimal"}'
        assert float(lines[name]) == 30, lines[name]
        for _ in range(7):
            s.ask("POST", "auto-assign-all", {
                "agents": [{"id": "a"}],
                "models": [{"id": "m", "context_length": 9}]})
        m = s.metrics()
        name = 'larder_router_latency_seconds_count{strategy="%s",cache="%s"}'
        assert [m[name % ("optimal", k)] for k in ("hit", "miss", "bypass")] \
            == [29, 1, 0]
        assert [m[name % ("greedy", k)] for k in ("hit", "miss", "bypass")] \
            == [0, 0, 7]
        _, answer = s.ask("POST", "cache/invalidate",
                          {"tag": "strategy:optimal", "dry_run": True})
        assert answer["entries"] == 1, answer
        s.ask("POST", "cache/invalidate", {"tag": "strategy:optimal"})
        r, _ = s.ask("POST", "auto-assign-all", {"strategy": "optimal"})
        assert r.getheader("X-Larder") == "miss"


TESTS = [a_question_is_a_miss_then_a_hit_everywhere,
         names_come_from_the_request_and_order_too,
         what_cannot_count_moves_nothing,
         errors_are_problems_with_a_pointer,
         what_is_json_is_decided_as_another_parser_does,
         what_the_http_library_refuses_is_a_problem_too,
         what_is_to_be_invalidated_has_a_length,
         the_token_guards_changes_and_nothing_else,
         reports_are_checked_whole_before_anything_changes,
         an_escaped_nul_makes_no_shorter_address, etags_guard_changes,
         a_deleted_model_is_served_by_no_worker,
         load_fills_a_model_and_leaves_it_out,
         killed_workers_are_replaced_and_the_rest_goes_on,
         hostile_requests_lose_no_worker,
         what_trickles_in_is_cut_off, a_second_master_is_refused,
         it_drains_on_sigterm_and_workers_end_with_their_master,
         metrics_count_for_the_whole_group]


if __name__ == "__main__":
    sys.exit(run(TESTS))
