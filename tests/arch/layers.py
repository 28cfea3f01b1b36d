#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Includes go down the layers, never up; programs see the public headers.

A lower layer that learns of an upper one can be neither understood nor tested
alone. An exception is a sentence of lib/DESIGN.md: "`worker/slot.c` includes
`store/slab.h` because ...".
"""

import fnmatch
import re
import sys

from house import House

# From the bottom up. A folder may include itself and what stands before it.
LAYERS = ["base", "segment", "worker", "store", "cache", "admin"]

# Headers of lib/ that programs may use beside the public ones.
SHARED_WITH_PROGRAMS = {"base/histogram.h"}

# The router is a client of the cache, and shares the bottom layer with it: one
# hash, one way to write an atomic.
SHARED_WITH_ROUTER = {"base/atomic.h", "base/hash.h"} | SHARED_WITH_PROGRAMS

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.M)


def includes(house, name):
    text = house.read(name)
    for match in INCLUDE.finditer(text):
        yield (text.count("\n", 0, match.start(1 if match.group(1) else 2)) + 1,
               match.group(1), match.group(2))


def granted(exceptions, name, own, used):
    short = name[len("lib/"):]
    found = [(who, what) for who, what in exceptions
             if fnmatch.fnmatchcase(short, who) and own == what]
    used.update(found)
    return bool(found)


def check_library(house, name, exceptions, used):
    folder = name.split("/")[1]
    for line, own, system in includes(house, name):
        if folder == "router":
            if own and not own.startswith("router/") and "/" in own and \
                    own not in SHARED_WITH_ROUTER:
                house.breach(name, line, f"the router is a client of the "
                             f"public header: {own}")
            continue
        if system and system.startswith("larder/router"):
            house.breach(name, line, "the cache knows nothing of the router")
        if not own:
            continue
        target = own.split("/")[0] if "/" in own else folder
        if target == folder or target not in LAYERS:
            if "/" in own and target != folder:
                house.breach(name, line, f"no layer holds {own}")
            continue
        if folder not in LAYERS:
            house.breach(name, line, f"{folder} is no layer")
        elif LAYERS.index(target) > LAYERS.index(folder) and \
                not granted(exceptions, name, own, used):
            house.breach(name, line, f"{folder} includes {own}, which is "
                         f"above it and no exception in lib/DESIGN.md")


def check_program(house, name):
    own_folder = "/".join(name.split("/")[:-1])
    for line, own, _ in includes(house, name):
        if not own or own in SHARED_WITH_PROGRAMS:
            continue
        beside = (house.root / own_folder / own).resolve()
        at_top = (house.root / own_folder.split("/")[0] / own).resolve()
        inside = [p for p in (beside, at_top) if p.exists()]
        if not inside or (house.root / "lib") in inside[0].parents:
            house.breach(name, line, f"programs see include/larder and their "
                         f"own folder: {own}")


def main():
    house = House(sys.argv)
    library = house.files(".c", ".h", under=("lib/",))
    programs = house.files(".c", ".h", under=("tools/",))
    exceptions = house.exceptions("includes")
    used = set()
    for name in library:
        check_library(house, name, exceptions, used)
    for who, what in sorted(set(exceptions) - used):
        house.breach("lib/DESIGN.md", 1, f"nobody needs the exception that "
                     f"{who} includes {what}")
    for name in programs:
        check_program(house, name)
    for name in house.files(".c", ".h", under=("include/",)):
        for line, own, system in includes(house, name):
            if own or (system.startswith("larder/") and not
                       (house.root / "include" / system).exists()):
                house.breach(name, line, "a public header includes public "
                             "headers and the C library only")
    house.close(len(library) + len(programs))


main()
