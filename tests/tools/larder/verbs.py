#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each verb of the admin tool does what its help says, in text and in JSON."""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

from drive import equal, main, true

STAT_NAMES = ("entries bytes_total bytes_used hits misses hit_ratio "
              "cross_worker_hits puts evictions expirations workers_live "
              "workers_recovered overhead_bytes_per_entry").split()


def store_and_read_back(tool):
    s = tool.fresh()
    tool.run("put", s, "key", "value")
    equal(tool.run("get", s, "key"), b"value", "value")
    binary = bytes(range(256)) * 700
    tool.run("put", s, "binary", "-", stdin=binary)
    equal(tool.run("get", s, "binary"), binary, "binary value")
    tool.run("put", s, "empty", "")
    equal(tool.run("get", s, "empty"), b"", "empty value")
    equal(tool.run("get", s, "absent", expect=1), b"", "a miss")
    tool.run("put", s, r"a\x00b\xff", "odd", "--escaped")
    equal(tool.run("get", s, r"a\x00b\xff", "--escaped"), b"odd", "odd key")
    true(r"a\x00b\xff" in tool.text("ls", s), "odd key is shown escaped")
    tool.run("put", s, "key", "other", "--add", expect=1)
    tool.run("put", s, "nobody", "x", "--replace", expect=1)
    tool.run("put", s, "key", "second", "--replace")
    equal(tool.run("get", s, "key"), b"second", "replaced")
    tool.run("del", s, "key", "", expect=2)
    equal(tool.run("get", s, "key"), b"second", "a bad line takes nothing")
    tool.run("del", s, "key", "empty")
    tool.run("get", s, "key", expect=1)
    tool.run("del", s, "key", expect=1)
    tool.run("put", s, "large", "-", stdin=bytes(2 << 20), expect=1)
    true("larger than" in tool.stderr, "why a large value is refused")


def info_of_an_entry(tool):
    s = tool.fresh()
    tool.run("put", s, "k", "v", "--tag", "a", "--tag", "b:c", "--ttl", "5m",
             "--soft-ttl", "1m", "--cost", "12ms")
    known = tool.json("get", s, "k", "--info")
    equal(known["tags"], ["a", "b:c"], "tags")
    true(290000 < known["ttl_left_ms"] <= 300000, "time left")
    true(50000 < known["soft_left_ms"] <= 60000, "soft time left")
    equal(known["cost_ns"], 12000000, "cost")
    equal(known["stamp"], 1, "stamp")
    equal(known["value_base64"], "dg==", "value")
    text = tool.text("get", s, "k", "--info")
    true("a b:c" in text and "stamp" in text, "the same for eyes")
    tool.run("put", s, "kept", "v", "--keep")
    true(tool.json("get", s, "kept", "--info")["keep"], "keep")
    odd = r"\x80" * 1024
    tool.run("put", s, odd, "v", "--escaped")
    true(odd in tool.text("get", s, odd, "--escaped", "--info"),
         "the longest key is shown whole")


def statistics(tool):
    s = tool.fresh()
    for i in range(10):
        tool.run("put", s, f"k{i}", "v" * 100)
    for key in ("k1", "k1", "k2"):
        tool.run("get", s, key)
    tool.run("get", s, "nobody", expect=1)
    known = tool.json("stat", s)
    for name in STAT_NAMES:
        true(name in known, f"stat has {name}")
    equal(known["entries"], 10, "entries")
    equal(known["puts"], 10, "puts")
    equal(known["hits"], 3, "hits")
    equal(known["cross_worker_hits"], 3, "hits on others' entries")
    equal(known["misses"], 1, "misses")
    equal(known["hit_ratio"], 0.75, "hit ratio")
    equal(known["bytes_total"], 2 << 20, "size")
    equal(known["workers_live"], 0, "workers")
    true(known["bytes_used"] >= 10 * 128, "bytes used")
    true(40 < known["overhead_bytes_per_entry"] <= 72, "overhead")
    equal(tool.json("stat", s)["hits"], 3, "looking counts nothing")
    rates = tool.json("stat", s, "--interval", "10ms")
    equal(rates["per_second"]["hits"], 0, "nothing happens meanwhile")
    true("hits" in tool.text("stat", s), "for eyes")
    true(str(2 << 20) in tool.text("stat", s, "--bytes"), "plain numbers")
    equal(tool.text("top", s, "--count", 2, "--interval", "5ms").count(
        "segment "), 2, "two pictures")


def listing(tool):
    s = tool.fresh()
    for i in range(20):
        tool.run("put", s, f"user:{i:02}", "v" * (i + 1), "--tag",
                 f"t{i % 2}", "--ttl", "8s" if i < 3 else "1h",
                 "--cost", f"{i + 1}ms")
    tool.run("put", s, "other", "x")

    def keys(*options):
        return [e["key"] for e in tool.json("ls", s, *options)["entries"]]

    equal(len(keys()), 21, "all")
    equal(len(keys("--match", "user:*")), 20, "by pattern")
    equal(len(keys("--match", "user:0[1-3]")), 3, "by class")
    equal(len(keys("--tag", "t1")), 10, "by tag")
    equal(sorted(keys("--expiring", "10s")),
          ["user:00", "user:01", "user:02"], "expiring")
    equal(keys("--sort", "size", "--limit", 3),
          ["user:19", "user:18", "user:17"], "by size")
    equal(keys("--sort", "cost", "--limit", 2), ["user:19", "user:18"],
          "by cost")
    equal(len(keys("--limit", 5)), 5, "limit")
    equal(keys("--sort", "key", "--limit", 2), ["other", "user:00"], "by key")
    ages = tool.json("ages", s)["ages"]
    equal(sum(band["entries"] for band in ages), 21, "ages")
    equal(sum(sum(band["clock"]) for band in ages), 21, "counters")
    equal(len(tool.text("ages", s).splitlines()), len(ages) + 1, "a table")
    equal(tool.text("ls", s, "--count", "--tag", "t0").strip(), "10", "count")
    lines = tool.text("ls", s, "--long", "--sort", "age").splitlines()
    equal(len(lines), 22, "a heading and a line each")
    true("TAGS" in lines[0] and "STAMP" in lines[0], "headings")
    tool.run("ls", s, "--sort", "colour", expect=2)
    tool.run("ls", s, "--match", "[a-", expect=2)


def invalidation(tool):
    s = tool.fresh()
    for i in range(8):
        tool.run("put", s, f"k{i}", "v", "--tag", f"t{i % 2}")
    tool.run("put", s, "kept", "v", "--tag", "t0", "--keep")

    def valid():
        return {e["key"] for e in tool.json("ls", s)["entries"]}

    equal(tool.json("invalidate", s, "--tag", "t0", "--dry-run")["entries"], 4,
          "dry run of a tag")
    equal(len(valid()), 9, "a dry run changes nothing")
    tool.run("invalidate", s, "--tag", "t0")
    equal(valid(), {"k1", "k3", "k5", "k7", "kept"}, "by tag")
    tool.run("invalidate", s, "--key", "k1")
    equal(valid(), {"k3", "k5", "k7", "kept"}, "by key")
    equal(tool.json("invalidate", s, "--match", "k[35]", "--dry-run"
                    )["entries"], 2, "dry run of a pattern")
    tool.run("invalidate", s, "--match", "k[35]", "--in", "keys")
    equal(valid(), {"k7", "kept"}, "by pattern")
    equal([p["pattern"] for p in tool.json("patterns", s)["patterns"]],
          ["k[35]"], "patterns in force")
    tool.run("invalidate", s, "--all")
    equal(valid(), {"kept"}, "all but what is kept")
    for arguments in ([], ["--all", "--key", "k"], ["--match", "[x"],
                      ["--tag", "t", "--in", "keys"]):
        tool.run("invalidate", s, *arguments, expect=2)
    swept = tool.json("sweep", s)
    equal(swept["swept_invalid"], 8, "swept")
    equal(tool.json("stat", s)["entries"], 1, "after the sweep")
    equal(tool.json("flights", s)["flights"], [], "no flights")


def creation(tool):
    s = tool.path()
    made = tool.json("create", s, "--size", "3M", "--mode", "0640", "--slots",
                     70, "--max-entries", "2k", "--ttl", "5m", "--policy",
                     "base", "--entry-hint", "1K", "--fenced")
    equal(made["bytes_total"], 3 << 20, "size")
    equal(stat.S_IMODE(os.stat(s).st_mode), 0o640, "mode")
    known = tool.json("info", s)
    equal((known["slots"], known["max_entries"], known["ttl_ms"],
           known["policy"], known["entry_hint"], known["fenced"]),
          (70, 2000, 300000, "base", 1024, True), "options")
    true(known["this_boot"] and not known["closed"], "state")
    tool.run("create", s, expect=1)
    tool.run("create", tool.path("x"), "--size", "12K", expect=2)
    tool.run("create", tool.path("x"), "--size", "nonsense", expect=2)
    tool.run("create", tool.path("x"), "--policy", "lru", expect=2)
    tool.run("create", tool.path("x"), "--group", "no-such-group", expect=2)
    tool.run("create", tool.path("no/such/folder"), expect=1)
    true(not os.path.exists(tool.path("x")), "nothing is left")
    planned = tool.json("plan", "--size", "3M", "--slots", 70,
                        "--max-entries", 2000, "--policy", "base",
                        "--entry-hint", 1024)
    for name in ("bytes_total", "bytes_pages", "bytes_index", "pages",
                 "slots", "classes", "value_max"):
        equal(planned[name], known[name], f"plan tells {name}")
    parts = ("pages", "index", "clock", "tables", "slots", "superblock")
    equal(sum(known["bytes_" + part] for part in parts), 3 << 20,
          "the parts add up")
    tool.run("put", s, "k", "v")
    true(tool.json("get", s, "k", "--info")["ttl_left_ms"] <= 300000,
         "default time to live")


def copying(tool):
    s, t = tool.fresh(), tool.path("t")
    for i in range(30):
        tool.run("put", s, f"k{i}", f"v{i}", "--tag", f"t{i}", "--ttl", "1h")
    equal(tool.json("copy", s, t, "--size", "8M"),
          {"segment": t, "copied": 30, "skipped": 0}, "copied")
    equal(tool.run("get", t, "k7"), b"v7", "value")
    known = tool.json("get", t, "k7", "--info")
    equal(known["tags"], ["t7"], "tags")
    true(3500000 < known["ttl_left_ms"] <= 3600000, "time left")
    equal(tool.json("info", t)["bytes_total"], 8 << 20, "another size")
    tool.run("check", t)
    tool.run("copy", s, s, expect=2)
    link = tool.path("link")
    os.symlink(s, link)
    for other in (link, s.replace("/s", "/./s")):
        tool.run("copy", s, other, expect=2)
        true("the same" in tool.stderr, "named whatever it is called")


def export(tool):
    s = tool.fresh()
    tool.run("put", s, "k", "v")
    lines = tool.text("export", s).splitlines()
    values = {line.split("{")[0]: line.rsplit(" ", 1)[1] for line in lines
              if not line.startswith("#")}
    equal(values["larder_puts_total"], "1", "puts")
    equal(values["larder_entries"], "1", "entries")
    for name in values:
        true(f"# TYPE {name} " in "\n".join(lines), f"{name} has a type")
    true(all(line.startswith("#") or f'segment="{s}"' in line
             for line in lines), "label")
    if not shutil.which("promtool"):
        print("SKIP promtool: it is not installed")
        return
    done = subprocess.run(["promtool", "check", "metrics"], text=True,
                          input="\n".join(lines) + "\n",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    equal((done.returncode, done.stdout), (0, ""), "promtool")


def usage_and_help(tool):
    text = tool.text("--help")
    verbs = [line.split()[0] for line in text.splitlines()
             if line.startswith("  ")]
    true(len(verbs) >= 20, "all verbs are listed")
    for verb in verbs:
        help_text = tool.text(verb, "--help")
        true(help_text.startswith(f"Usage: larder {verb} "), f"{verb} --help")
        equal(tool.stderr, "", f"{verb} --help writes no error")
        equal(tool.run(verb, "--no-such-option", expect=2), b"", verb)
        true("--help" in tool.stderr, f"{verb} hints at its help")
        if verb not in ("plan", "doctor"):
            tool.run(verb, expect=2)
            tool.run(verb, tool.path("absent"), "x", "y", "z", "w", expect={1, 2})
    tool.run(expect=2)
    tool.run("no-such-verb", expect=2)
    tool.run("put", "a b c", "k", "v", expect=2)
    for verb in ("info", "stat", "ls", "check", "workers", "classes", "export",
                 "ages", "flights", "patterns", "repair", "destroy"):
        tool.run(verb, tool.path("absent"), expect=1)
        true("No such file" in tool.stderr, f"{verb} says what is missing")
    true("larder" in tool.text("--version"), "version")


def the_manual_knows_every_verb_and_option(tool):
    manual = (Path(__file__).resolve().parents[3] / "tools" / "larder" /
              "larder.1").read_text()
    n = 0
    for verb in re.findall(r"^  ([a-z]+) ", tool.text("--help"), re.M):
        true(re.search(rf"^\.It Cm {verb}\b", manual, re.M), f"larder {verb}")
        for option in re.findall(r"^  --([a-z-]+)", tool.text(verb, "--help"),
                                 re.M):
            true(re.search(rf"Fl -{option}(?![a-z-])", manual),
                 f"larder {verb} --{option}")
            n += 1
    true(n > 80, "options were looked for")


def bare_names(tool):
    name = f"test-{os.getpid()}"
    path = tool.json("create", name, "--size", "1M")["segment"]
    try:
        true(path.startswith("/dev/shm/larder-v") and path.endswith(name),
             "default path")
        tool.run("put", name, "k", "v")
        equal(tool.run("get", path, "k"), b"v", "the same segment")
    finally:
        os.unlink(path)


def doctor(tool):
    found = tool.json("doctor", expect={0, 1})
    names = {e["what"] for e in found["examined"]}
    for what in ("/dev/shm", "membarrier", "RemoveIPC", "overcommit",
                 "huge pages", "ulimit -f", "swap", "memory"):
        true(what in names, f"doctor looks at {what}")
    for e in found["examined"]:
        true(e["verdict"] != "would hurt" or e.get("mend"),
             f"{e['what']} says how to mend it")
    found = tool.json("doctor", "--size", "200G", expect=1)
    true(any(e["what"] == "/dev/shm" and e["verdict"] == "would hurt"
             for e in found["examined"]), "200G do not fit")
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 100; exec "$0" doctor', tool.program],
        stdout=subprocess.PIPE, text=True)
    equal(done.returncode, 1, "a file size limit hurts")
    true("would hurt  ulimit -f" in done.stdout, "and is named")


def full_output(tool):
    s = tool.fresh()
    with open("/dev/full", "w") as full:
        done = subprocess.run([tool.program, "info", s], stdout=full,
                              stderr=subprocess.PIPE)
    equal(done.returncode, 1, "output that cannot be written is a failure")


main([store_and_read_back, info_of_an_entry, statistics, listing,
      invalidation, creation, copying, export, usage_and_help,
      the_manual_knows_every_verb_and_option, bare_names,
      doctor, full_output])
