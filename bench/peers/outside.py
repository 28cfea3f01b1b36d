# SPDX-License-Identifier: Apache-2.0
"""What the scripts share that measure caches which live inside another runtime.

Such a cache can be called from its runtime only, so the loop that is measured
runs there, in the runtime's language, and its cost is part of the figure: it is
what a program of that runtime pays. Keys, values, popularity and mix are those
of larder-bench; each value is verified in full. The report has the shape of
`larder-bench compare --json`.
"""

import argparse
import array
import bisect
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

STREAM = 1 << 20  # operations, walked again and again
PUT = 0x80000000


def cpu():
    with open("/proc/cpuinfo") as f:
        return next((line.split(":", 1)[1].strip() for line in f
                     if line.startswith("model name")), "unknown")


def options(about):
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--keys", type=int, default=1000000)
    parser.add_argument("--value-size", type=int, default=256)
    parser.add_argument("--theta", type=float, default=0.99,
                        help="of the Zipf distribution; 0: uniform")
    parser.add_argument("--mix", default="95:5", metavar="GETS:PUTS")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    o = parser.parse_args()
    try:
        gets, puts = (int(part) for part in o.mix.split(":"))
    except ValueError:
        parser.error(f"'{o.mix}' is not GETS:PUTS")
    if o.value_size % 16 or not 0 < o.value_size <= 65536:
        parser.error("values are 16 to 65536 bytes, a multiple of 16")
    if min(o.keys, o.processes, o.repeats) < 1 or o.seconds <= 0 or \
            gets < 0 or puts < 0 or gets + puts == 0:
        parser.error("counts begin at 1, and something has to be done")
    o.put_share = puts / (gets + puts)
    return o


def need(what, found):
    """Leave with 77, as a skipped test does, where something is missing."""
    if not found:
        print(f"skipped: {what} is not installed", file=sys.stderr)
        sys.exit(77)
    return found


def program(name):
    return need(name, shutil.which(name, path=os.environ.get("PATH", "") +
                                   ":/usr/sbin:/sbin"))


class Folder:
    """A folder of the run's own in memory, with a stream for each process."""

    def __init__(self, o):
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.held = tempfile.TemporaryDirectory("", "larder-bench.", base)
        self.path = Path(self.held.name)
        self.path.chmod(0o711)  # servers that change their user look inside
        sums, total = [], 0.0
        for rank in range(o.keys if o.theta else 0):
            total += (rank + 1) ** -o.theta
            sums.append(total)
        for process in range(o.processes):
            rng = random.Random(o.seed * 1000 + process)
            ids = array.array("I")
            for _ in range(STREAM):
                rank = bisect.bisect(sums, rng.random() * total) if sums \
                    else rng.randrange(o.keys)
                # Ranks that follow each other are not stored side by side.
                key = min(rank, o.keys - 1) * 2654435761 % o.keys
                ids.append(key | (PUT if rng.random() < o.put_share else 0))
            with open(self.path / f"stream.{process}", "wb") as file:
                ids.tofile(file)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.held.cleanup()


def quantiles(samples):
    samples = sorted(max(s, 0) for s in samples)
    at = lambda p: samples[min(int(p * len(samples)), len(samples) - 1)]
    return {name: at(p) for name, p in (
        ("p50", .5), ("p90", .9), ("p99", .99), ("p999", .999))} | {
        "max": samples[-1]}


def spread(values):
    values = sorted(values)
    return {"median": values[len(values) // 2], "least": values[0],
            "most": values[-1]}


def report(o, name, turns, memory):
    """@turns: for each repeat what each process said: operations, seconds,
    sampled nanoseconds of gets, nanoseconds of an empty sample, wrong values.
    """
    repeats, everything = [], []
    for turn in turns:
        if any(p["wrong"] for p in turn):
            sys.exit(f"{name}: {sum(p['wrong'] for p in turn)} WRONG VALUES")
        if not all(p["ops"] and p["samples"] for p in turn):
            sys.exit(f"{name}: a process did nothing")
        mops = sum(p["ops"] / p["seconds"] for p in turn) / 1e6
        samples = [s - p["timer_ns"] for p in turn for s in p["samples"]]
        everything += samples
        repeats.append({
            "mops": mops,
            "ns_per_op": sum(p["seconds"] for p in turn) * 1e9 /
            sum(p["ops"] for p in turn),
            "get_ns": quantiles(samples)})
    mops = spread([r["mops"] for r in repeats])
    ns = spread([r["ns_per_op"] for r in repeats])
    json.dump({
        "command": Path(sys.argv[0]).name,
        "machine": {"cpu": cpu(), "kernel": os.uname().release,
                    "processors": os.cpu_count()},
        "plan": {"keys": o.keys, "key_size": 16, "value_size": o.value_size,
                 "popularity": f"zipf:{o.theta}" if o.theta else "uniform",
                 "mix": o.mix, "processes": o.processes, "seed": o.seed},
        "systems": [{
            "name": name, "mops": mops["median"], "ns_per_op": ns["median"],
            "mops_spread": mops, "ns_spread": ns,
            "get_ns": quantiles(everything), "memory_bytes": memory,
            "repeats": repeats}]}, sys.stdout, indent=1)
    print()
