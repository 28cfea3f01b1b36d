#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every structure of a segment lies where tests/arch/layout.golden says.

Processes of different builds share one segment as long as its layout version
is theirs. So what moves a member or changes a size has to raise
LAYOUT_VERSION in lib/segment/layout.h; `golden.py SOURCE BUILD --update` then
writes the new table.
"""

import re
import sys
import tempfile
from pathlib import Path

from house import House, run, without_comments

HEADER = "lib/segment/layout.h"
GOLDEN = "tests/arch/layout.golden"


def structures(text):
    """(name, [members]) of each structure defined at the top level."""
    bare = without_comments(text)
    out = []
    for match in re.finditer(r"^struct (\w+) \{\n(.*?)^\}[^;\n]*;", bare,
                             re.S | re.M):
        name, body = match.groups()
        # Members of an unnamed union or structure are reached directly.
        body = re.sub(r"\b(union|struct)\s*\{", "{", body)
        members = []
        for declaration in body.replace("{", ";").replace("}", ";").split(";"):
            declaration = re.sub(r"alignas\([^)]*\)", "", declaration)
            declaration = re.sub(r"\[[^\]]*\]", "", declaration).strip()
            found = re.match(r"(?:struct\s+|const\s+|unsigned\s+)*\w+\s+(.*)$",
                             declaration, re.S)
            if not found:
                continue
            for member in found.group(1).split(","):
                member = member.strip().lstrip("*")
                if re.fullmatch(r"\w+", member):
                    members.append(member)
        out.append((name, members))
    return out


def measure(house, table):
    lines = ['#include "segment/layout.h"', "#include <stdio.h>",
             "int main(void) {",
             'printf("layout_version %d\\n", (int)LAYOUT_VERSION);']
    for name, members in table:
        lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        for member in members:
            lines.append(f'printf("{name}.{member} %zu\\n", '
                         f"offsetof(struct {name}, {member}));")
    lines.append("return 0; }")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "golden.c"
        source.write_text("\n".join(lines))
        done = run(["cc", "-std=gnu11", "-D_GNU_SOURCE",
                    "-I", str(house.root / "lib"),
                    "-I", str(house.root / "include"),
                    str(source), "-o", f"{folder}/golden", "-lxxhash"])
        if done.returncode != 0:
            house.breach(HEADER, 1, f"cannot be measured:\n{done.stdout}")
            return ""
        return run([f"{folder}/golden"]).stdout


def main():
    house = House(sys.argv)
    table = structures(house.read(HEADER))
    now = measure(house, table)
    golden = house.root / GOLDEN
    if "--update" in sys.argv:
        golden.write_text(now)
        return
    then = golden.read_text() if golden.exists() else ""
    old, new = (dict(line.split() for line in t.splitlines())
                for t in (then, now))
    moved = sorted(k for k in old.keys() | new.keys()
                   if old.get(k) != new.get(k) and k != "layout_version")
    for key in moved:
        house.breach(HEADER, 1, f"{key}: {old.get(key, 'new')} became "
                     f"{new.get(key, 'nothing')}")
    if moved and old.get("layout_version") == new.get("layout_version"):
        house.breach(HEADER, 1, "the layout changed: raise LAYOUT_VERSION and "
                     "update tests/arch/layout.golden")
    house.close(len(new))


main()
