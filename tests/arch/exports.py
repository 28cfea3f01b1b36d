#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The shared library exports what the headers declare, no more and no less.

And the static one puts no name into a program that does not begin with
larder_: a static archive has no hidden names.
"""

import re
import sys

from house import House, run, without_comments


def declared(house):
    names = set()
    for path in sorted((house.root / "include" / "larder").glob("*.h")):
        bare = without_comments(path.read_text())
        for match in re.finditer(r"\bLARDER_API\b([^;{]*);", bare):
            found = re.search(r"\b(larder_\w+)\s*\(", match.group(1))
            if found:
                names.add(found.group(1))
    return names


def symbols(house, path, *options):
    done = run(["nm", *options, "--defined-only", "--format=posix", str(path)])
    if done.returncode != 0:
        house.breach(str(path), 1, done.stdout.strip())
    rows = [line.split() for line in done.stdout.splitlines()]
    return [(row[0].split("@")[0], row[1]) for row in rows if len(row) >= 2]


def main():
    house = House(sys.argv)
    want = declared(house)
    shared = [p for p in sorted(house.build.glob("lib/liblarder*.so*"))
              if p.is_file() and not p.is_symlink()]
    have = set()
    for path in shared:
        have |= {name for name, kind in symbols(house, path, "-D")
                 if kind in "TDBRWVi" and not name.startswith("_")
                 and not re.match(r"LARDER_[\d.]+$", name)}
    if not shared:
        house.breach("lib", 1, f"no shared library in {house.build.name}/lib")
    for name in sorted(want - have):
        house.breach("include/larder", 1, f"{name} is declared, not exported")
    for name in sorted(have - want):
        house.breach("lib", 1, f"{name} is exported, in no public header")
    archives = sorted(house.build.glob("lib/**/liblarder*.a"))
    sanitizers = re.compile(r"^(__asan|__tsan|__odr_asan|__ubsan|asan\.|tsan\.|"
                            r"__start_|__stop_|__sanitizer|\.?__llvm|DW\.)")
    for path in archives:
        for name, kind in symbols(house, path, "--extern-only"):
            if not name.startswith(("larder_", "router_")) and \
                    not sanitizers.match(name):
                house.breach(path.name, 1, f"{name} ({kind}) does not begin "
                             f"with larder_")
    house.close(len(want) + len(have))


main()
