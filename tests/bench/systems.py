#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Systems side by side: every one that was built runs, what is reported is
whole, and what makes no sense is refused by name. Nothing here looks at how
fast anything was."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

from running import BENCH, bench, figures, run

FOLDER = Path(tempfile.mkdtemp())
PEERS = Path(__file__).resolve().parents[2] / "bench" / "peers"
TINY = ("--keys", "2k", "--seconds", "0.02", "--sample-seconds", "0.02",
        "--repeats", "2")


def systems():
    lines = bench("compare", "--help").split("Systems:\n")[1].split("\n\n")[0]
    return [line.split()[0] for line in lines.splitlines()]


def every_system_runs_and_reports():
    for name in systems():
        f = figures("compare", "--systems", name, *TINY)
        s = f["systems"][0]
        assert s["name"] == name and len(s["repeats"]) == 2
        for figure in "mops", "ns_per_op", "memory_bytes":
            assert s[figure] is not None and s[figure] >= 0, (name, figure)
        assert s["mops"] > 0 and s["get_ns"]["p50"] > 0
        assert s["get_ns"]["p50"] <= s["get_ns"]["p99"] <= s["get_ns"]["p999"]
        assert f["machine"]["cpu"] and f["machine"]["kernel"]
        assert f["build"]["commit"] and "seed" in f["plan"]


def all_kinds_of_work_run():
    for words in (("--mix", "0:100"), ("--mix", "50:50"), ("--batch", "16"),
                  ("--popularity", "uniform"), ("--threads", "2"),
                  ("--value-size", "lognormal:100:1:4096"),
                  ("--value-size", "0"), ("--key-size", "200"), ("--huge",),
                  ("--processes", "5"), ("--work", "100")):
        f = figures("compare", "--systems", "larder,floor", *TINY, *words)
        assert len(f["systems"]) == 2, words


def ratios_are_of_the_same_repeats():
    f = figures("compare", "--systems", "larder,floor", *TINY)
    larder, floor = f["systems"]
    ratios = sorted(a["mops"] / b["mops"]
                    for a, b in zip(larder["repeats"], floor["repeats"]))
    said = larder["ratio"]["floor"]
    assert abs(said["least"] - ratios[0]) < 1e-3 * ratios[0], (said, ratios)
    assert abs(said["most"] - ratios[-1]) < 1e-3 * ratios[-1], (said, ratios)


def tables_and_pictures_are_whole():
    picture = FOLDER / "compare.svg"
    out = bench("compare", "--systems", "larder,floor", *TINY, "--csv",
                "--plot", picture)
    assert out.splitlines()[0].startswith("system,")
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    out = bench("compare", "--systems", "larder,floor", *TINY)
    assert "larder" in out and "floor" in out


def the_others_report_too():
    f = figures("latency", "--systems", "larder", *TINY)
    assert [c["name"] for c in f["systems"][0]["conditions"]][0] == "alone"
    f = figures("scale", "--systems", "larder", "--processes", "2", *TINY)
    assert [level["processes"]
            for level in f["systems"][0]["levels"]] == [1, 2]
    f = figures("overhead", "--systems", "larder", "4m", "256")
    per = f["value_sizes"][0]["larder"]
    assert per["per_entry"] <= 72, per  # planned: not a matter of speed


def routing_is_measured_and_its_totals_agree():
    if "  assign " not in bench("--help"):
        print("SKIP routing: built without the router")
        return
    f = figures("assign", "10x5", "40x20", "--repeats", "1")
    assert [s["agents"] for s in f["ns"]] == [10, 40]
    assert all(s["solver"]["median"] > 0 for s in f["ns"])
    f = figures("router", "--repeats", "1", "--seconds", "0.1")
    assert set(f["cpu_ratios"]) == {
        "hit to constant body", "no cache to hit", "bypass to no cache"}
    for size in f["new"]:
        first, all_, later = size["phases"]
        # The dearest are told apart and are part of all from the first on.
        assert [p["stored"]["median"] == p["requests"]
                for p in size["phases"]] == [True, False, False], size
        assert (256 <= all_["stored"]["median"]
                <= 256 + all_["requests"] / 50)
        assert later["stored"]["median"] <= later["requests"] / 50, size
        assert later["requests"] == all_["requests"] > first["requests"]
    assert "no such" in bench("router", "/no such", status=1).lower()
    assert "10y5" in bench("assign", "10y5", status=2)


def caches_of_other_runtimes_are_measured_where_they_are():
    for script in sorted(PEERS.glob("*.py")):
        if not os.access(script, os.X_OK):
            continue  # what they share
        tiny = ("--keys", "500", "--seconds", "0.02", "--repeats", "2")
        done = subprocess.run([sys.executable, "-B", script, *tiny],
                              capture_output=True, text=True, timeout=60)
        if done.returncode == 77:
            print(f"SKIP {script.name}: {done.stderr.strip()}")
            continue
        assert done.returncode == 0, (script.name, done.stderr)
        s = json.loads(done.stdout)["systems"][0]
        assert s["mops"] > 0 and s["memory_bytes"] > 500 * 256, s["name"]
        assert s["get_ns"]["p50"] <= s["get_ns"]["p99"] <= s["get_ns"]["p999"]
        assert [r["mops"] > 0 for r in s["repeats"]] == [True, True]
        done = subprocess.run([sys.executable, "-B", script, "--mix", "1"],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and "GETS:PUTS" in done.stderr


def reports_can_be_compared():
    a, b = FOLDER / "a.json", FOLDER / "b.json"
    a.write_text(bench("compare", "--systems", "larder", *TINY, "--json"))
    slower = json.loads(a.read_text())
    for s in slower["systems"]:
        for key in "mops", "ns_per_op":
            s[key] *= 0.1 if key == "mops" else 10
        for spread, by in (("mops_spread", 0.1), ("ns_spread", 10)):
            s[spread] = {k: v * by for k, v in s[spread].items()}
        for r in s["repeats"]:
            r["mops"] *= 0.1
            r["ns_per_op"] *= 10
    b.write_text(json.dumps(slower))
    assert "larder" in bench("diff", a, b)
    bench("diff", "--strict", a, a)
    bench("diff", "--strict", b, a)  # faster is no reason to fail
    bench("diff", "--strict", a, b, status=1)
    b.write_text("{")
    assert "b.json" in bench("diff", a, b, status=1)
    assert "none.json" in bench("diff", a, FOLDER / "none.json", status=1)


def the_report_tells_each_aim_and_what_was_not_measured():
    out = FOLDER / "report"
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-B", PEERS.parent / "report", "--quick", "--program",
         BENCH, "--out", out, "--only", "uniform,put,assign"],
        capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    page = (out / "RESULTS.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    aims = {row.split("|")[1].strip(): row for row in rows}
    for what in ("get, 1 M keys, uniform, mean: to the floor",
                 "put to get, mean", "the solver, 1000 x 1000: to scipy's"):
        assert aims[what].count("|") == 5, aims[what]
        assert re.search(r"\bmet +\||missed by", aims[what]) or \
            "scipy" in what, aims[what]
    assert "not measured" in aims["get, 1 M keys, zipf, mean: to the floor"]
    assert "larder-bench compare" in page and "![Assignments]" in page
    assert (out / "results" / "assign.svg").exists()


def wrong_usage_is_said_so():
    for words in (("--systems", "nothing"), ("--keys", "0"), ("--keys", "x"),
                  ("--mix", "1"), ("--popularity", "zipf:x"),
                  ("--key-size", "2000"), ("--repeats", "0"), ("--nothing",),
                  ("operand",)):
        assert bench("compare", *words, status=2), words
    assert "nothing" in bench("nothing", status=2)
    assert bench("compare", "--systems", "larder", "--value-size", "none.json",
                 status=2)


def an_interrupted_run_leaves_nothing():
    servers = [s for s in systems() if s in ("lmdb", "memcached", "redis")]
    if not servers:
        print("SKIP interrupted: no system that keeps files is built")
        return
    before = set(Path("/dev/shm").glob("larder-bench.*"))
    files = "larder-bench.*/*"
    child = subprocess.Popen([BENCH, "compare", "--systems", servers[0],
                              "--seconds", "30"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    while not any(p.parent not in before for p in Path("/dev/shm").glob(files)):
        assert child.poll() is None
        time.sleep(0.01)
    child.kill()
    child.wait(30)
    for _ in range(3000):  # a process of its own cleans up
        if set(Path("/dev/shm").glob("larder-bench.*")) <= before:
            return
        time.sleep(0.01)
    assert False, "files of a killed run stay"


TESTS = [every_system_runs_and_reports, all_kinds_of_work_run,
         ratios_are_of_the_same_repeats, tables_and_pictures_are_whole,
         the_others_report_too, routing_is_measured_and_its_totals_agree,
         caches_of_other_runtimes_are_measured_where_they_are,
         reports_can_be_compared,
         the_report_tells_each_aim_and_what_was_not_measured, wrong_usage_is_said_so,
         an_interrupted_run_leaves_nothing]

if __name__ == "__main__":
    sys.exit(run(TESTS))
