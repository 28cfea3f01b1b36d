#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every edge of the memory model has both its ends, and an entry in DESIGN.md.

An edge is a pair of labels like [PUB.1] and [PUB.2]; the code cites them where
the ordered operations stand. A family with one end is an order that nobody
relies on, or one that nobody gives.
"""

import re
import sys

from house import House

# What a comment on a structure cites is no operation.
LAYOUT = "lib/segment/layout.h"

LABEL = re.compile(r"\[([A-Z]{3})\.(\d+)\]")


def main():
    house = House(sys.argv)
    places = {}
    for name in house.files(".c", ".h", under=("lib/",)):
        if name == LAYOUT:
            continue
        for number, line in enumerate(house.read(name).splitlines(), 1):
            for family, end in LABEL.findall(line):
                places.setdefault(f"{family}.{end}", []).append((name, number))
    families = {}
    for label in places:
        families.setdefault(label.split(".")[0], []).append(label)
    for family, labels in sorted(families.items()):
        if len(labels) < 2:
            name, line = places[labels[0]][0]
            house.breach(name, line, f"[{labels[0]}] has no other end")
    design = house.root / "lib" / "DESIGN.md"
    if not design.exists():
        house.breach("lib/DESIGN.md", 1, "there is none")
    else:
        indexed = {f"{f}.{e}" for f, e in LABEL.findall(design.read_text())}
        for label in sorted(places):
            if label not in indexed:
                name, line = places[label][0]
                house.breach(name, line, f"[{label}] is not in the edge index "
                             f"of lib/DESIGN.md")
        for label in sorted(indexed - set(places)):
            house.breach("lib/DESIGN.md", 1, f"[{label}] is nowhere in the "
                         f"code")
    house.close(len(places))


main()
