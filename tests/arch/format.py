#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every C file is as clang-format leaves it (.clang-format at the root)."""

import re
import shutil
import sys

from house import House, run, skip

WARNING = re.compile(r"^(.*?):(\d+):\d+: error: code should be clang-formatted")


def main():
    house = House(sys.argv)
    if not shutil.which("clang-format"):
        skip("clang-format is not installed")
    names = house.files(".c", ".h")
    done = run(["clang-format", "--dry-run", "-Werror", *names],
               cwd=house.root)
    for line in done.stdout.splitlines():
        found = WARNING.match(line)
        if found:
            house.breach(found.group(1), int(found.group(2)),
                         "clang-format would change it")
    if done.returncode != 0 and not house.breaches:
        house.breach(".clang-format", 1, done.stdout.strip())
    house.close(len(names))


main()
