#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Recorded requests: every format is read, what is none is refused by name,
and the policies count what their definitions say.

Traces are made here. With LARDER_TRACES=FOLDER published ones are replayed
too."""

import bz2
import gzip
import json
import lzma
import os
import random
import shutil
import struct
import sys
import tempfile
from collections import OrderedDict, deque
from pathlib import Path

from running import bench, figures, run

FOLDER = tempfile.TemporaryDirectory()


def file_of(name, data):
    path = Path(FOLDER.name) / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def keys_of(seed, n=4000, distinct=500):
    rng = random.Random(seed)
    return [int(distinct * rng.random() ** 3) for _ in range(n)]


def cell(path, *words, size="50"):
    return figures("trace", path, "--sizes", size, *words)["cells"][0]


def computed(c):
    """The policies that are the same in every run: the library is not, as its
    hash has a secret of each segment's own."""
    return {k: v for k, v in c["miss_ratio"].items() if k != "larder"}


def as_numbers(keys):
    return "".join(f"{k}\n" for k in keys)


def every_format_reads_the_same_requests():
    keys = keys_of(1)
    oracle = b"".join(struct.pack("<IQIq", i, k, 100, -1)
                      for i, k in enumerate(keys))
    written = {
        "a.numbers": as_numbers(keys),
        "skips.numbers": "*\n" + as_numbers(keys) + "*\n",
        "ends.numbers": as_numbers(keys).replace("\n", "\r\n"),
        "a.arc": "".join(f"{k} 1 0 {i}\n" for i, k in enumerate(keys)),
        "a.sized": "".join(f"{i} {k} 17\n" for i, k in enumerate(keys)),
        "a.u32": b"".join(struct.pack(">I", k) for k in keys),
        "a.jsonl": "".join(json.dumps({"timestamp": i, "hash_ids": [k]}) + "\n"
                           for i, k in enumerate(keys)),
        "a.oracleGeneral": oracle,
    }
    seen = {name: cell(file_of(name, data)) for name, data in written.items()}
    for name, c in seen.items():
        assert c["requests"] == 4000, (name, c)
        assert computed(c) == computed(seen["a.numbers"]), name


def compressed_is_as_good_as_plain():
    data = as_numbers(keys_of(2)).encode()
    plain = cell(file_of("plain.trace", data))
    for name, packed in (("t.trace.gz", gzip.compress(data)),
                         ("t.trace.xz", lzma.compress(data)),
                         ("t.trace.bz2", bz2.compress(data))):
        c = cell(file_of(name, packed))
        assert computed(c) == computed(plain), name


def ranges_are_taken_apart():
    path = file_of("ranges.arc", "10 3 0 0\n11 2 0 1\n10 1 0 2\n")
    c = cell(path, size="10")
    assert c["requests"] == 6 and c["distinct"] == 3, c
    assert c["miss_ratio"]["belady"] == 0.5, c


def distributions_are_drawn_by_a_seed():
    path = file_of("some_counts.txt", "50\n20\n5\n" + "1\n" * 25)
    one, again = cell(path, "--seed", 5, size=3), cell(path, "--seed", 5,
                                                       size=3)
    other = cell(path, "--seed", 6, size=3)
    assert one["requests"] == 100 and one["distinct"] == 28
    assert one["miss_ratio"]["lru"] == again["miss_ratio"]["lru"]
    assert one["miss_ratio"]["lru"] != other["miss_ratio"]["lru"]
    path = file_of("pop.json", json.dumps({"popularityBuckets": [100, 1],
                                           "popularityWeights": [1, 99]}))
    c = cell(path, size="1%")
    assert c["distinct"] > 10000 and 0 < c["miss_ratio"]["belady"] < 1


def what_is_no_trace_is_refused_by_name_and_place():
    for name, data, words in (
            ("bad.numbers", "1\n2\nx\n", ("--format", "numbers")),
            ("bad.arc", "1 2\n1 99999999 0 0\n", ("--format", "arc")),
            ("bad.sized", "1 2\n", ("--format", "sized")),
            ("bad.u32", b"\1\2\3\4\5", ("--format", "u32")),
            ("bad.oracleGeneral", b"\0" * 47, ()),
            ("bad.jsonl", '{"hash_ids": [1, "x"]}\n', ()),
            ("pop.json", '{"popularityBuckets": [1], '
                         '"popularityWeights": [-1]}', ()),
            ("empty", "", ()), ("words", "this is prose\n", ()),
            ("cut.gz", gzip.compress(b"1\n" * 9999)[:40], ())):
        complaint = bench("trace", file_of(name, data), *words, status=1)
        assert name in complaint, (name, complaint)
    assert "none.trace" in bench("trace", "none.trace", status=1)


def files_beside_traces_are_passed_over():
    trace = file_of("one.numbers", as_numbers(keys_of(13)))
    other = file_of("notes", "this is prose\n")
    f = figures("trace", other, trace, "--sizes", "50")
    assert [Path(c["trace"]).name for c in f["cells"]] == ["one"]
    assert "notes" in bench("trace", other, other, status=1)
    bad = file_of("worse.numbers", "1\nx\n")
    bench("trace", "--format", "numbers", trace, bad, status=1)


def requests_of_a_trace_are_a_popularity():
    data = as_numbers(keys_of(14))
    for name, packed in (("p.numbers", data.encode()),
                         ("p.trace.xz", lzma.compress(data.encode())),
                         ("words.txt", b"one\ntwo\none\n")):
        f = figures("compare", "--systems", "larder,floor", "--popularity",
                    file_of(name, packed), "--seconds", "0.01",
                    "--sample-seconds", "0.01", "--repeats", "1")
        keys = 2 if name == "words.txt" else len(set(keys_of(14)))
        assert f["plan"]["keys"] == keys, (name, f["plan"])


def the_same_bytes_are_given_to_others():
    systems = "larder"
    if shutil.which("memcached"):
        systems += ",memcached,memcached-pipelined"
    else:
        print("SKIP memcached: it is not installed")
    keys = keys_of(15, 20000, 12000)
    sized = "".join(f"{i} {k} {2000 + k % 7 * 1000}\n"
                    for i, k in enumerate(keys))
    once = len(set(keys)) / len(keys)
    for path, own in ((file_of("own.sized", sized), True),
                      (file_of("drawn.numbers", as_numbers(keys)), False)):
        f = figures("bytes", "--systems", systems, "16m", "256m", path)
        few, many = f["cells"]
        assert few["sizes_of_the_trace"] is own
        assert few["mean_size"] > (2000 if own else 500)
        for name in systems.split(","):
            assert once <= many["miss_ratio"][name] + 1e-9, (name, many)
            # All of it has room; a few keys meet a full group of the index.
            assert many["miss_ratio"][name] < once * 1.05, (name, many)
            assert few["miss_ratio"][name] <= 1, (name, few)
            assert few["memory_bytes"][name] > 4 << 20, (name, few)
        if own:
            assert few["miss_ratio"]["larder"] > once, few
    for words in (("16m",), ("1", path), ("--systems", "floor", path)):
        assert bench("bytes", *words, status=2), words


def wrong_usage_is_said_so():
    path = file_of("fine", "1\n2\n")
    for words in ((), (path, "--sizes", "0%"), (path, "--sizes", "200%"),
                  (path, "--sizes", "x"), (path, "--format", "nothing"),
                  (path, "--policy", "nothing"), (path, "--nothing")):
        assert bench("trace", *words, status=2), words


def lru_misses(keys, entries):
    held, misses = OrderedDict(), 0
    for key in keys:
        if key in held:
            held.move_to_end(key)
            continue
        misses += 1
        if len(held) == entries:
            held.popitem(last=False)
        held[key] = True
    return misses


def fifo_misses(keys, entries):
    held, order, misses = set(), deque(), 0
    for key in keys:
        if key in held:
            continue
        misses += 1
        if len(held) == entries:
            held.remove(order.popleft())
        held.add(key)
        order.append(key)
    return misses


def clock_misses(keys, entries):
    used, order, misses = {}, deque(), 0
    for key in keys:
        if key in used:
            used[key] = True
            continue
        misses += 1
        while len(order) == entries:
            first = order.popleft()
            if used[first]:
                used[first] = False
                order.append(first)
            else:
                del used[first]
        used[key] = False
        order.append(key)
    return misses


def belady_misses(keys, entries):
    last = {}
    following = [0] * len(keys)
    for i in range(len(keys) - 1, -1, -1):
        following[i] = last.get(keys[i], len(keys) * 2)
        last[keys[i]] = i
    held, misses = {}, 0
    for i, key in enumerate(keys):
        if key not in held:
            misses += 1
            if len(held) == entries:
                del held[max(held, key=held.get)]
        held[key] = following[i]
    return misses


def policies_count_what_their_definitions_say():
    for seed, distinct, entries in ((3, 200, 20), (4, 1000, 100), (5, 60, 59),
                                    (6, 300, 1)):
        keys = keys_of(seed, 3000, distinct)
        c = cell(file_of("t.numbers", as_numbers(keys)), size=entries)
        for name, definition in (("lru", lru_misses), ("fifo", fifo_misses),
                                 ("clock", clock_misses),
                                 ("belady", belady_misses)):
            expected = definition(keys, entries) / len(keys)
            assert abs(c["miss_ratio"][name] - expected) < 1e-5, (
                name, seed, c["miss_ratio"][name], expected)


def nobody_misses_less_than_belady_nor_more_than_always():
    for seed in range(6):
        keys = keys_of(seed, 5000, 400 + 100 * seed)
        c = cell(file_of("t.numbers", as_numbers(keys)), size=10 + 30 * seed)
        ratio = c["miss_ratio"]
        least = len(set(keys)) / len(keys)
        for name, value in ratio.items():
            assert least - 1e-5 <= ratio["belady"] <= value <= 1, (name, value)


def a_cache_that_holds_all_misses_each_key_once():
    keys = keys_of(9)
    c = cell(file_of("t.numbers", as_numbers(keys)), size="100%")
    once = len(set(keys)) / len(keys)
    assert all(abs(v - once) < 1e-5 for v in computed(c).values()), c
    # The library begins to evict a little before its bound is reached.
    assert once - 1e-5 <= c["miss_ratio"]["larder"] < 1.1 * once, c


def all_policies_of_the_library_run():
    path = file_of("t.numbers", as_numbers(keys_of(10)))
    for policy in "fin", "base", "clock":
        f = figures("trace", path, "--sizes", "50", "--policy", policy)
        assert f["larder_policy"] == policy
        assert 0 < f["cells"][0]["miss_ratio"]["larder"] < 1


def dear_results_stay_longer_where_the_policy_knows():
    path = file_of("t.numbers", as_numbers(keys_of(11, 60000, 8000)))
    f = figures("costs", path)
    assert f["cost_to_fin"] < 1, f["cost_to_fin"]
    for c in f["cells"]:
        assert 0 < c["cost"]["cost_ratio"] <= 1, c


def tables_and_pictures_are_whole():
    path = file_of("t.numbers", as_numbers(keys_of(12)))
    picture = Path(FOLDER.name) / "t.svg"
    out = bench("trace", path, "--sizes", "10,50", "--csv", "--plot", picture)
    lines = out.splitlines()
    assert len(lines) == 3 and lines[0].startswith("trace,requests"), lines
    assert picture.read_text().rstrip().endswith("</svg>")
    assert "S3-FIFO" in bench("trace", path, "--sizes", "50")


def published_traces_are_read():
    folder = os.environ.get("LARDER_TRACES")
    if not folder:
        print("SKIP published: LARDER_TRACES names no folder")
        return
    paths = sorted(Path(folder).rglob("*.trace.*"))
    assert paths, f"no trace is in {folder}"
    for path in paths:
        c = figures("trace", path, "--sizes", "1%")["cells"][0]
        assert c["miss_ratio"]["belady"] <= c["miss_ratio"]["larder"] <= 1


TESTS = [every_format_reads_the_same_requests, compressed_is_as_good_as_plain,
         ranges_are_taken_apart, distributions_are_drawn_by_a_seed,
         what_is_no_trace_is_refused_by_name_and_place,
         files_beside_traces_are_passed_over,
         requests_of_a_trace_are_a_popularity,
         the_same_bytes_are_given_to_others, wrong_usage_is_said_so,
         policies_count_what_their_definitions_say,
         nobody_misses_less_than_belady_nor_more_than_always,
         a_cache_that_holds_all_misses_each_key_once,
         all_policies_of_the_library_run,
         dear_results_stay_longer_where_the_policy_knows,
         tables_and_pictures_are_whole, published_traces_are_read]

if __name__ == "__main__":
    if "  trace " not in bench("--help"):
        print("skipped: built without libarchive")
        sys.exit(77)
    sys.exit(run(TESTS))
