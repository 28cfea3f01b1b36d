#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the cache costs where it is of no use, in instructions.

A workload that never repeats itself, or so little that it is not worth it, costs
at most 2 % more instructions with the cache than without, counted from the very
first question on a fresh segment over as many as stand below: valgrind counts what
is executed from the complete body to the ready answer. Where all of them have the
same ends, so that each has to be looked at whole, 2.5 %. And the first 256 are kept
all the same, so that what comes again is found."""

import re
import shutil
import subprocess
import sys
import tempfile

PROGRAM, VALGRIND = sys.argv[1], shutil.which("valgrind")
MOST = {"once": 1.02, "twice": 1.02, "ends": 1.025}
# pattern (see price.c), strategy, agents, models, questions
WORKLOADS = [("once", "optimal", 3, 5, 2200), ("once", "optimal", 10, 5, 1700),
             ("once", "greedy", 3, 5, 1000), ("once", "balanced", 30, 20, 1000),
             ("once", "optimal", 100, 50, 700),
             ("once", "optimal", 500, 100, 34),
             ("ends", "optimal", 10, 5, 3500),
             ("twice", "optimal", 10, 5, 2400)]


def counted(which, workload, folder):
    """Instructions, and how many were hits, misses and bypassed."""
    words = [str(word) for word in workload]
    done = subprocess.run(
        [VALGRIND, "--tool=callgrind", "--callgrind-out-file=/dev/null",
         "--toggle-collect=router_answer_begin", PROGRAM, folder, which,
         *words], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, (workload, done.stderr)
    kinds = [int(word) for word in done.stdout.split()]
    return int(re.search(r"Collected : (\d+)", done.stderr)[1]), kinds


def main():
    failed = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for workload in WORKLOADS:
            without, _ = counted("without", workload, folder)
            with_, (hits, stored, bypassed) = counted("with", workload, folder)
            pattern, strategy, agents, models, n = workload
            fine = with_ <= MOST[pattern] * without and (
                pattern == "twice" or strategy == "greedy"
                or stored >= min(n, 256)) and (
                hits == 0 or pattern == "twice")
            failed += not fine
            print(f"{'ok    ' if fine else 'FAILED'} {pattern}, {strategy} "
                  f"{agents} x {models}, {n} questions: {with_ / n:.0f} "
                  f"instructions a question to {without / n:.0f}, "
                  f"{with_ / without:.4f}; {hits} found, {stored} stored, "
                  f"{bypassed} neither", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    if not VALGRIND:
        print("SKIP valgrind: it is not installed")
        sys.exit(77)
    sys.exit(main())
