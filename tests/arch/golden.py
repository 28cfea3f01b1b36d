#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every structure of a segment lies where tests/arch/layout.golden says.

Processes of different builds share one segment as long as its layout version
is theirs. So what moves a member, changes a size, a state's number or a field
of a word has to raise LAYOUT_VERSION in lib/segment/layout.h; `golden.py SOURCE
BUILD --update` then writes the new table.
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
            declaration = re.sub(r"_Alignas\([^)]*\)", "", declaration)
            declaration = re.sub(r"\[[^\]]*\]", "", declaration).strip()
            found = re.match(r"(?:struct\s+|const\s+|unsigned\s+)*\w+\s+(.*)$",
                             declaration, re.S)
            # What is not understood here does not compile below.
            names = found.group(1) if found else declaration
            members += [member.strip().lstrip("*")
                        for member in names.split(",") if member.strip()]
        out.append((name, members))
    return out


def constants(text):
    """Names of all enumerators."""
    bare = without_comments(text)
    return [re.match(r"\w+", name.strip()).group(0)
            for body in re.findall(r"^enum[^{;]*\{(.*?)\};", bare, re.S | re.M)
            for name in body.split(",") if name.strip()]


# Words that are put together: each field shows in digits of its own.
WORDS = ["header_word(5, 0x123, 0x1456789, 0xabcdef)",
         "page_word(5, 0x6a, 0x12345, 0x789, 0xabcde)",
         "entry_version(0x123, 0x456789abcdef0)",
         "pin_epoch(0x123456789abcdef0)"]


def measure(house, table, names):
    lines = ['#include "segment/layout.h"', "#include <stdio.h>",
             "int main(void) {",
             'printf("layout_version %d\\n", (int)LAYOUT_VERSION);']
    for name, members in table:
        lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        for member in members:
            lines.append(f'printf("{name}.{member} %zu\\n", '
                         f"offsetof(struct {name}, {member}));")
    lines += [f'printf("{name} %lld\\n", (long long){name});'
              for name in names if name != "LAYOUT_VERSION"]
    lines += [f'printf("{word.replace(" ", "")} %#llx\\n", '
              f"(unsigned long long){word});" for word in WORDS]
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
    text = house.read(HEADER)
    now = measure(house, structures(text), constants(text))
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
