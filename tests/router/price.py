#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the cache costs where it is of no use, in instructions.

A workload that never repeats itself costs at most 2 % more instructions with
the cache than without, counted from the very first question on a fresh segment,
whatever the size of its questions: valgrind counts what is executed from the
complete body to the ready answer. And enough is kept all the same to notice
when something comes again."""

import re
import shutil
import subprocess
import sys
import tempfile

PROGRAM, VALGRIND = sys.argv[1], shutil.which("valgrind")
MOST = 1.02
# strategy, agents, models, questions
SIZES = [("optimal", 3, 5, 1500), ("optimal", 10, 5, 1000),
         ("greedy", 3, 5, 1000), ("balanced", 30, 20, 600),
         ("optimal", 100, 50, 300), ("optimal", 500, 100, 40)]


def counted(which, size, folder):
    """Instructions, and how many were hits, misses and bypassed."""
    words = [str(word) for word in size]
    done = subprocess.run(
        [VALGRIND, "--tool=callgrind", "--callgrind-out-file=/dev/null",
         "--toggle-collect=router_answer_begin", PROGRAM, folder, which,
         *words], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, (size, done.stderr)
    kinds = [int(word) for word in done.stdout.split()]
    return int(re.search(r"Collected : (\d+)", done.stderr)[1]), kinds


def main():
    failed = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for size in SIZES:
            without, _ = counted("without", size, folder)
            with_, (hits, misses, bypassed) = counted("with", size, folder)
            strategy, agents, models, n = size
            fine = with_ <= MOST * without and hits == 0 and (
                strategy != "optimal" or misses >= 32)
            failed += not fine
            print(f"{'ok    ' if fine else 'FAILED'} {strategy} {agents} x "
                  f"{models}, {n} questions: {with_ / n:.0f} instructions a "
                  f"question to {without / n:.0f}, {with_ / without:.4f}; "
                  f"{misses} stored, {bypassed} not", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    if not VALGRIND:
        print("SKIP valgrind: it is not installed")
        sys.exit(77)
    sys.exit(main())
