#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How the router uses its cache: what is served stale, computed once, warmed,
left valid by a change, and counted."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import quote

from server import BASE, CATALOG, Connection, Server, run, until

ASK = "auto-assign-all"


def question(number, agents=40, models=40):
    """A question of its own, with a fleet that all of them share."""
    return {"strategy": "optimal",
            "agents": [{"id": f"q{number}-a{i}",
                        "required_capabilities": ["coding"]}
                       for i in range(agents)],
            "models": [{"id": f"m{k}", "context_length": 8192 + k,
                        "max_concurrent": 3,
                        "capabilities": {"coding": (k % 10) / 10}}
                       for k in range(models)]}


def many_at_once(server, bodies):
    """Ask all of them at the same time; the answers' X-Larder, in order."""
    kinds = [None] * len(bodies)
    together = threading.Barrier(len(bodies))

    def one(i):
        connection = Connection(server.socket)
        connection.connect()
        together.wait()
        response, _ = server.ask("POST", ASK, bodies[i], connection=connection)
        kinds[i] = response.getheader("X-Larder").split(";")[0]
        connection.close()

    threads = [threading.Thread(target=one, args=(i,))
               for i in range(len(bodies))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return kinds


def one_of_many_that_ask_the_same_at_once_computes():
    with Server() as s:
        for round_ in range(10):
            body = json.dumps(question(round_, 400, 200))
            kinds = many_at_once(s, [body] * 32)
            assert kinds.count("miss") == 1, kinds
            assert set(kinds) <= {"miss", "hit", "coalesced"}, kinds
        answers = s.metrics()
        name = 'larder_router_answers_total{strategy="optimal",cache="%s"}'
        assert answers[name % "miss"] == 10, answers[name % "miss"]
        assert (answers[name % "hit"] + answers[name % "coalesced"]
                == 310), answers


def a_soft_ttl_serves_stale_and_one_worker_computes_again():
    with Server("--soft-ttl", "1", "--ttl", "3600") as s:
        body = question(0)
        r, first = s.ask("POST", ASK, body)
        assert r.getheader("X-Larder").startswith("miss")
        kinds = []

        def stale_was_seen():
            kinds.append(s.ask("POST", ASK, body)[0].getheader("X-Larder"))
            return kinds[-1].startswith("stale")

        until(stale_was_seen, "never stale")
        assert not any(k.startswith("miss") for k in kinds), kinds

        def fresh_again():
            r, data = s.ask("POST", ASK, body)
            assert not r.getheader("X-Larder").startswith("miss")
            return r.getheader("X-Larder").startswith("hit") and data[
                "cache"]["age_ms"] < 1000

        until(fresh_again, "nobody computed it again")


def what_was_invalidated_is_not_served_stale():
    changes = [("POST", "cache/invalidate", {"tag": "strategy:optimal"}),
               ("POST", "cache/invalidate", {"pattern": "*/optimal/*"}),
               ("POST", "cache/invalidate", {"all": True}),
               ("PUT", "models/new", {"context_length": 5}),
               ("PUT", "models/new", {"context_length": 6}),
               ("DELETE", "models/new", None)]
    with Server("--soft-ttl", "1", "--ttl", "3600") as s:
        for method, path, change in changes:
            s.ask("POST", ASK, {"strategy": "optimal"})
            time.sleep(1.2)  # from now on, if not invalidated, stale
            r, _ = s.ask(method, path, change)
            assert r.status in (200, 201, 204), r.status
            kinds = [s.ask("POST", ASK, {"strategy": "optimal"})[0].getheader(
                "X-Larder") for _ in range(6)]
            assert kinds[0] == "miss" and "stale" not in kinds, (path, kinds)


def an_answer_is_found_under_no_other_load():
    """Loads move while questions are answered; then each comes again."""
    loads, bodies = 8, 160
    model = json.loads(Path(CATALOG).read_text())["models"][0]["id"]
    reports = [json.dumps({"model_id": model, "active": k})
               for k in range(loads)]

    def body(number):
        return json.dumps({"strategy": "optimal", "note": "x" * 20000,
                           "enable_load_balancing": True,
                           "agents": question(number, 40, 1)["agents"]})

    with Server(workers=2) as s:
        ours, theirs = s.workers()
        over = threading.Event()

        def report(c):  # many in one piece, so that the worker is not idle
            chance = random.Random(5)
            while not over.is_set():
                many = [chance.choice(reports) for _ in range(50)]
                c.sock.sendall("".join(
                    f"POST {BASE}load HTTP/1.1\r\nHost: x\r\nContent-Length: "
                    f"{len(r)}\r\n\r\n{r}" for r in many).encode())
                answers = b""
                while answers.count(b"HTTP/1.1 200") < len(many):
                    answers += c.sock.recv(1 << 16)

        asking, reporting = s.connect_to(ours), s.connect_to(theirs)
        reporter = threading.Thread(target=report, args=(reporting,))
        reporter.start()
        for _ in range(2 * loads):
            for k in range(bodies):
                s.ask("POST", "auto-assign-all", body(k), connection=asking)
        over.set()
        reporter.join()
        found = 0
        for r in reports:
            s.ask("POST", "load", r)
            for k in range(bodies):
                # In other bytes it is found by its meaning alone.
                _, one = s.ask("POST", "auto-assign-all", body(k),
                               connection=asking)
                _, other = s.ask("POST", "auto-assign-all", body(k) + " ",
                                 connection=asking)
                found += one.pop("cache")["status"] == "hit"
                other.pop("cache")
                assert one == other, (r, k)
        assert found, "nothing was found"


def outcomes_lower_a_score_where_feedback_counts():
    body = {"strategy": "greedy",
            "agents": [{"id": "a", "required_capabilities": ["coding"]}]}
    with Server("--feedback-weight", "1") as s:
        _, before = s.ask("POST", ASK, body)
        model = before["assignments"][0]["model_id"]
        for _ in range(400):
            r, _ = s.ask("POST", "outcomes",
                         {"model_id": model, "success": False})
            assert r.status == 204
        _, after = s.ask("POST", ASK, body)
        assert after["assignments"][0]["model_id"] != model
        ratio = s.metrics()[
            'larder_router_model_success_ratio{model="%s"}' % model]
        assert ratio < 0.1, ratio
    with Server() as s:
        for _ in range(100):
            s.ask("POST", "outcomes", {"model_id": model, "success": False})
        _, after = s.ask("POST", ASK, body)
        assert after["assignments"][0]["model_id"] == model


def the_next_run_begins_with_what_was_asked_most():
    segment = f"/dev/shm/larder-router-test-{os.getpid()}-hot"
    try:
        with Server(segment=segment, workers=2) as s:
            for k in range(600):
                hot = random.randrange(3)
                s.ask("POST", ASK, question(hot if k % 2 else 100 + k, 5, 5))
        with Server("--warm-hottest", "10", segment=segment, workers=2) as s:
            until(lambda: "warming: done" in s.logged(), s.logged())
            n = int(re.search(r"warming: (\d+) requests of the last run",
                              s.logged())[1])
            assert 3 <= n <= 10, s.logged()
            s.ask("POST", "cache/invalidate", {"all": True})
            r, answer = s.ask("POST", "cache/warm", {"hottest": 10})
            assert r.status == 202 and 3 <= answer["queued"] <= 10, answer
            for hot in range(3):
                body = question(hot, 5, 5)
                until(lambda: s.ask("POST", ASK, body)[0].getheader(
                    "X-Larder").startswith("hit"), "a hot one was not warmed")
    finally:
        Path(segment).unlink(missing_ok=True)


def a_short_run_is_remembered_whole():
    segment = f"/dev/shm/larder-router-test-{os.getpid()}-short"
    try:
        with Server(segment=segment) as s:
            for k in range(20):
                s.ask("POST", ASK, question(k, 5, 5))
        with Server("--warm-hottest", "100", segment=segment) as s:
            until(lambda: "warming: done" in s.logged(), s.logged())
            assert "warming: 20 requests of the last run" in s.logged()
    finally:
        Path(segment).unlink(missing_ok=True)


def warming_takes_lines_and_refuses_what_is_none():
    with Server() as s:
        lines = "\n".join(json.dumps(question(k, 5, 5)) for k in range(50))
        r, answer = s.ask("POST", "cache/warm", lines)
        assert r.status == 202 and answer == {"queued": 50}, answer

        def all_done():  # whichever worker answers, it tells for all
            warming = s.ask("GET", "stats")[1]["warming"]
            assert warming["total"] == 50, warming
            return not warming["left"]

        until(all_done, "warming does not end")
        for k in range(50):
            r, _ = s.ask("POST", ASK, question(k, 5, 5))
            assert r.getheader("X-Larder").startswith("hit")
        r, answer = s.ask("POST", "cache/warm", lines + "\n{\n")
        assert r.status == 422 and "line 51" in answer["detail"], answer


def a_change_leaves_valid_what_does_not_depend_on_it():
    with Server() as s:
        catalog = json.loads(Path(CATALOG).read_text())
        victim = catalog["models"][0]["id"]
        mine = [{"strategy": "optimal",
                 "agents": [{"id": f"x{k}"}, {"id": "y"}]} for k in range(50)]
        theirs = [question(k, 5, 5) for k in range(200)]
        for body in mine + theirs:
            s.ask("POST", ASK, body)
        before = s.metrics()["larder_invalidations_tag_total"]
        assert s.ask("DELETE", "models/" + victim)[0].status == 204
        assert s.metrics()["larder_invalidations_tag_total"] > before
        for body in mine:
            r, data = s.ask("POST", ASK, body)
            assert r.getheader("X-Larder").startswith("miss")
            assert all(a["model_id"] != victim for a in data["assignments"])
        kinds = [s.ask("POST", ASK, body)[0].getheader("X-Larder")
                 for body in theirs]
        assert all(k.startswith("hit") for k in kinds), kinds


def more_candidates_than_tags_are_cached_and_invalidated():
    with Server() as s:
        body = {"strategy": "optimal",
                "agents": [{"id": f"a{k}"} for k in range(1100)]}
        for kind in "miss", "hit":
            r, _ = s.ask("POST", ASK, body)
            assert r.getheader("X-Larder").startswith(kind)
        model = {"id": "new", "context_length": 100}
        assert s.ask("PUT", "models/new", model)[0].status == 201
        r, _ = s.ask("POST", ASK, body)
        assert r.getheader("X-Larder").startswith("miss")
        for kind, what, goes in (("tag", "model:new", True),
                                 ("tag", "inline/agent:a7", True),
                                 ("pattern", "model:n*", True),
                                 ("pattern", "v1/greedy/*", False),
                                 ("tag", "strategy:greedy", False)):
            r, _ = s.ask("POST", ASK, body)
            assert r.getheader("X-Larder") == "hit"
            _, counted = s.ask("POST", "cache/invalidate",
                               {kind: what, "dry_run": True})
            assert counted["entries"] == goes, (what, counted)
            s.ask("POST", "cache/invalidate", {kind: what})
            r, _ = s.ask("POST", ASK, body)
            assert r.getheader("X-Larder") == ("miss" if goes else "hit"), what


def a_reload_invalidates_what_has_changed():
    folder = tempfile.mkdtemp()
    path = folder + "/catalog.json"
    catalog = json.loads(Path(CATALOG).read_text())
    Path(path).write_text(json.dumps(catalog))
    try:
        with Server(catalog=path) as s:
            whole = {"strategy": "optimal"}
            own = question(1, 5, 5)
            agents = catalog["agents"]
            own_models = {"strategy": "optimal", "models": question(1)["models"]}
            for body in whole, own, own_models:
                s.ask("POST", ASK, body)
            version = s.ask("GET", "stats")[1]["catalog"]["version"]
            catalog["models"][3]["context_length"] += 1
            Path(path).write_text(json.dumps(catalog))
            s.process.send_signal(signal.SIGHUP)
            until(lambda: s.ask("GET", "stats")[1]["catalog"]["version"] >
                  version, "the catalog was not loaded again")
            kinds = [s.ask("POST", ASK, body)[0].getheader("X-Larder").split(";")[0]
                     for body in (whole, own, own_models)]
            assert agents and kinds == ["miss", "hit", "hit"], kinds
    finally:
        shutil.rmtree(folder)


def ask_all(s, bodies):
    return [s.ask("POST", ASK, body)[0].getheader("X-Larder")
            for body in bodies]


def next_to_nothing_is_kept_of_what_never_comes_again():
    questions = [question(k, 3, 5) for k in range(2000)]
    with Server(workers=4) as s:
        before = s.metrics()["larder_entries"]
        kinds = ask_all(s, questions)
        # The workers share what they learn: this is of all of them together.
        assert set(kinds[:256]) == {"miss"}, kinds[:256]
        kept = kinds.count("miss")
        assert kept <= 256 + 2000 / 64 + 2, kept
        assert kinds.count("bypass") == 2000 - kept, set(kinds)
        grown = s.metrics()["larder_entries"] - before
        assert grown <= kept, (grown, kept)
        # Some are, or nobody would notice what comes again in other bytes.
        assert kinds[256:].count("miss") >= 1700 / 64 - 2, kinds[256:]
        # What comes again is kept from the second time on, for all of them,
        # and pays for what is new.
        for body in questions[-100:]:
            kinds = ask_all(s, [body] * 6)
            assert set(kinds[1:]) == {"hit"}, kinds
        for k in range(3000, 3040):
            kinds = ask_all(s, [question(k, 3, 5)] * 2)
            assert kinds == ["miss", "hit"], (k, kinds)


def questions_with_the_same_ends_are_no_repetition():
    def one(k):
        body = question(0, 9, 9)
        body["agents"][4]["id"] = f"{k:05}"
        return body

    with Server() as s:
        ask_all(s, [one(k) for k in range(400)])
        kinds = ask_all(s, [one(k) for k in range(400, 1200)])
        assert kinds.count("bypass") >= 800 - 800 / 64 - 2, kinds.count("miss")
        # One that comes again and again is known by all of its bytes.
        kinds = ask_all(s, [one(7)] * 8)
        assert set(kinds[3:]) == {"hit"}, kinds


def what_is_dear_is_kept_whatever_came_before():
    def small(k):  # in a body of a dear one's size
        return dict(question(k, 3, 5), note="x" * (len(json.dumps(dear)) - 3000))

    dear = question(9999, 520, 256)
    with Server() as s:
        ask_all(s, [small(k) for k in range(290)])
        kinds = ask_all(s, [small(k) for k in range(290, 310)])
        assert kinds.count("bypass") >= 19, kinds
        kinds = ask_all(s, [question(9998, 510, 256)])
        assert kinds == ["bypass"], kinds
        assert ask_all(s, [dear] * 3) == ["miss", "hit", "hit"]


def what_is_bypassed_is_an_option():
    small = {"strategy": "greedy", "agents": question(1, 3, 5)["agents"],
             "models": question(1, 3, 5)["models"]}
    for options, kinds in (((), ["bypass"] * 3),
                           (("--bypass-cells", "0"), ["miss", "hit", "hit"]),
                           (("--bypass-cells", "15"), ["miss", "hit", "hit"]),
                           (("--bypass-cells", "16"), ["bypass"] * 3)):
        with Server(*options, workers=1) as s:
            seen = [s.ask("POST", ASK, small)[0].getheader("X-Larder")
                    for _ in range(3)]
            # What is above the bound may be found not to be worth it.
            assert seen == kinds or (options[-1:] == ("15",)
                                     and seen[0] == "miss"), (options, seen)


def what_is_bypassed_hides_nothing_of_its_size():
    small = question(1, 3, 5)
    small["strategy"] = "greedy"
    with Server(workers=1) as s:
        for k in range(1500):
            small["agents"][0]["id"] = f"{k:04}"
            r, _ = s.ask("POST", ASK, small)
            assert r.getheader("X-Larder") == "bypass"
        kinds = [s.ask("POST", ASK, question(2, 3, 5))[0].getheader("X-Larder")
                 for _ in range(4)]
        assert kinds == ["miss", "hit", "hit", "hit"], kinds


def an_answer_under_way_is_waited_for():
    kinds = []

    def coalesced():
        # A computation of a good while, asked for by many at once.
        body = json.dumps(question(len(kinds), 2000, 1000))
        kinds.append(many_at_once(s, [body] * 16))
        assert kinds[-1].count("miss") == 1, kinds[-1]
        return "coalesced" in kinds[-1]

    with Server() as s:
        until(coalesced, "nobody ever waited for another's work")
        name = 'larder_router_answers_total{strategy="optimal",cache="%s"}'
        m = s.metrics()
        assert m[name % "miss"] == len(kinds)
        assert m[name % "coalesced"] == sum(k.count("coalesced")
                                            for k in kinds)


def warming_is_no_workload_without_repeats():
    with Server(workers=1) as s:
        lines = "\n".join(json.dumps(question(k, 3, 5)) for k in range(1500))
        assert s.ask("POST", "cache/warm", lines)[0].status == 202
        until(lambda: not s.ask("GET", "stats")[1]["warming"]["left"],
              "warming does not end")
        for k in range(0, 1500, 7):
            r, _ = s.ask("POST", ASK, question(k, 3, 5))
            assert r.getheader("X-Larder") == "hit", k


def nothing_counted_is_lost_with_a_worker():
    with Server() as s:
        answered = 0
        for k in range(400):
            if k % 40 == 20:
                os.kill(random.choice(s.workers()), signal.SIGKILL)
            try:
                r, _ = s.ask("POST", ASK, {"strategy": "optimal"})
                answered += r.status == 200
            except (ConnectionError, OSError):
                pass
            except Exception as why:  # a cut answer, by whatever name
                assert "Incomplete" in type(why).__name__ or (
                    "Disconnected" in type(why).__name__
                    or "BadStatus" in type(why).__name__), why
        assert answered >= 390, f"{400 - answered} were lost with 10 workers"
        counted = s.metrics()['larder_router_requests_total{strategy="optimal"}']
        # Who was killed between counting and answering counted one too many.
        assert answered <= counted <= answered + 10, (answered, counted)


def promtool_accepts_the_metrics():
    promtool = shutil.which("promtool")
    if not promtool:
        print("SKIP promtool: it is not installed")
        return
    with Server() as s:
        s.ask("POST", ASK, {"strategy": "optimal"})
        odd = {"context_length": 1, "id": 'a"b\\c\td\ne'}
        r, _ = s.ask("PUT", "models/" + quote(odd["id"]), odd)
        assert r.status == 201
        _, text = s.ask("GET", "/metrics")
        checked = subprocess.run([promtool, "check", "metrics"], input=text,
                                 capture_output=True, timeout=60)
        assert checked.returncode == 0, checked.stderr.decode()


TESTS = [one_of_many_that_ask_the_same_at_once_computes,
         a_soft_ttl_serves_stale_and_one_worker_computes_again,
         what_was_invalidated_is_not_served_stale,
         an_answer_is_found_under_no_other_load,
         outcomes_lower_a_score_where_feedback_counts,
         the_next_run_begins_with_what_was_asked_most,
         a_short_run_is_remembered_whole,
         warming_takes_lines_and_refuses_what_is_none,
         a_change_leaves_valid_what_does_not_depend_on_it,
         more_candidates_than_tags_are_cached_and_invalidated,
         a_reload_invalidates_what_has_changed,
         next_to_nothing_is_kept_of_what_never_comes_again,
         questions_with_the_same_ends_are_no_repetition,
         what_is_dear_is_kept_whatever_came_before,
         warming_is_no_workload_without_repeats,
         what_is_bypassed_is_an_option,
         what_is_bypassed_hides_nothing_of_its_size,
         an_answer_under_way_is_waited_for,
         nothing_counted_is_lost_with_a_worker, promtool_accepts_the_metrics]

if __name__ == "__main__":
    sys.exit(run(TESTS))
