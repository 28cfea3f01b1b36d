#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How a file looks: it names its licence, says what it is, and ends in time.

Also what no file holds: marks of unfinished work, calls that better C avoids,
paths of one machine.
"""

import re
import sys

from house import House

MOST_LINES = 700

# Longer ones, each with its reason.
LONG = {
    "include/larder/larder.h": "the whole interface on one page, with its "
                               "documentation",
}

TOP = {"include", "lib", "tools", "tests", "bench", "README.md", "LICENSE",
       ".ci", "meson.build", "meson_options.txt", ".clang-format",
       ".editorconfig", ".gitignore"}

# Spelled in pieces, so that this file is not its own first finding.
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b|"
                        r"\bfor" + r" now\b|\bnot" + r" implemented\b|"
                        r"\bplace" + r"holder", re.I)
LOWER_IS_FINE = re.compile(r"\b(hack|xxx|todo)\b")
UNSAFE = re.compile(r"\b(sprintf|vsprintf|strcpy|strcat|gets|atoi|atol|atof|"
                    r"strtok|system|tmpnam|mktemp)\s*\(")
MACHINE = re.compile(r"/(work|home|Users|root|farm)/\w")
SPDX = "SPDX-License-Identifier: Apache-2.0"


def opening(text, suffix):
    """The first comment after the licence line, without its signs."""
    lines = text.splitlines()
    if lines and lines[0].startswith("#!"):
        lines = lines[1:]
    if not lines or SPDX not in lines[0]:
        return None
    rest = "\n".join(lines[1:]).lstrip()
    if suffix in (".c", ".h", ".pml"):
        match = re.match(r"/\*(.*?)\*/", rest, re.S)
        return re.sub(r"[\s*/]+", " ", match.group(1)).strip() if match else ""
    if suffix == ".py" or rest.startswith('"""'):
        match = re.match(r'(?:#[^\n]*\n)*\s*"""(.*?)"""', rest, re.S)
        return match.group(1).strip() if match else ""
    words = []
    for line in rest.splitlines():
        if not line.startswith("#"):
            break
        words.append(line.strip("# "))
    return " ".join(words).strip()


def check_code(house, name, text):
    suffix = "." + name.rsplit(".", 1)[1] if "." in name else ""
    said = opening(text, suffix)
    if said is None:
        house.breach(name, 1, f"the first line is not '{SPDX}'")
    elif len(said) < 20 and not name.endswith("meson.build"):
        house.breach(name, 2, "no opening comment that says what it is and "
                     "what it promises")
    n_lines = text.count("\n")
    if n_lines > MOST_LINES and name not in LONG:
        house.breach(name, n_lines, f"{n_lines} lines, {MOST_LINES} at most "
                     f"without a reason in tests/arch/files.py")


def check_text(house, name, text):
    for number, line in enumerate(text.splitlines(), 1):
        found = UNFINISHED.search(line)
        if found and not LOWER_IS_FINE.search(found.group(0)):
            house.breach(name, number, f"unfinished: {line.strip()}")
        if MACHINE.search(line):
            house.breach(name, number, f"a path of one machine: {line.strip()}")
        if line != line.rstrip() and not name.endswith(".md"):
            house.breach(name, number, "white space at the end")
    if text and not text.endswith("\n"):
        house.breach(name, text.count("\n") + 1, "no newline at the end")


def main():
    house = House(sys.argv)
    seen = 0
    for name in house.files():
        top = name.split("/")[0]
        if top not in TOP:
            continue
        path = house.root / name
        code = name.endswith((".c", ".h", ".py", ".build", ".sh", ".pml")) or \
            "." not in path.name and path.read_bytes()[:2] == b"#!"
        prose = name.endswith((".md", "_options.txt", ".1", ".conf"))
        if not code and not prose:
            continue
        seen += 1
        text = house.read(name)
        if code:
            check_code(house, name, text)
        check_text(house, name, text)
    code = house.files(".c", ".h", under=("lib/", "include/", "tools/",
                                          "bench/", "tests/"))
    for name, line, text in house.grep(UNSAFE.pattern, code):
        house.breach(name, line, f"a call that better C avoids: {text}")
    for name, line, text in house.grep(
            r"^\s*typedef\s+(struct|union|enum)\b", code):
        house.breach(name, line, f"structures have no typedef: {text}")
    for path in house.root.iterdir():
        if path.name not in TOP and path.name != ".git" and \
                not path.name.startswith("build"):
            house.breach(path.name, 1, "the top level is fixed: not here")
    house.close(seen)


main()
