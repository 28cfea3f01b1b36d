#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A hit costs the same whatever the number of the entry's tags.

Instructions inside larder_get(), counted by callgrind over some thousands of
hits while nothing is invalidated: of entries with 100 and with 1,000 tags at
most 5 % more than of entries without.

Usage: hit_cost.py PROGRAM, which is hit-work.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HITS = 20000
ALLOWED = 1.05


def instructions(program, n_tags):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "counted"
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--toggle-collect=larder_get",
             f"--callgrind-out-file={out}", program, str(n_tags), str(HITS)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False)
        if done.returncode:
            sys.exit(f"FAIL callgrind ended with {done.returncode}:\n"
                     f"{done.stdout}")
        for line in out.read_text().splitlines():
            if line.startswith(("summary:", "totals:")):
                return int(line.split()[1]) / HITS
    sys.exit("FAIL callgrind gave no sum")


def main():
    if not shutil.which("valgrind"):
        print("valgrind is not installed")
        sys.exit(77)
    bare = instructions(sys.argv[1], 0)
    failed = 0
    # Else the collection was never on, and the comparison says nothing.
    if bare < 20:
        sys.exit(f"FAIL only {bare:.1f} instructions a hit were counted")
    print(f"ok   a hit without tags takes {bare:.1f} instructions")
    for n_tags in (1, 100, 1000):
        tagged = instructions(sys.argv[1], n_tags)
        fine = tagged <= bare * ALLOWED
        failed += not fine
        print(f"{'ok  ' if fine else 'FAIL'} with {n_tags} tags "
              f"{tagged:.1f}, {100 * (tagged / bare - 1):+.1f} %")
    sys.exit(1 if failed else 0)


main()
