# SPDX-License-Identifier: Apache-2.0
"""What the house rules share: which files are ours, and how to complain.

A rule is a program `rule SOURCE_ROOT BUILD_ROOT` that prints one line
"path:line: what is wrong" for each breach and exits with 1 if there was any.
"""

import re
import subprocess
import sys
from pathlib import Path

SKIPPED = 77


class House:
    def __init__(self, arguments):
        if len(arguments) < 2:
            sys.exit("usage: rule SOURCE_ROOT [BUILD_ROOT]")
        self.root = Path(arguments[1]).resolve()
        self.build = Path(arguments[2]).resolve() if len(arguments) > 2 else None
        self.breaches = []

    def files(self, *suffixes, under=("",)):
        """Paths relative to the root, build directories left out, sorted."""
        out = []
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            top = name.split("/")[0]
            if top == ".git" or top.startswith("build"):
                continue
            if "__pycache__" in name or not path.is_file():
                continue
            if suffixes and path.suffix not in suffixes:
                continue
            if any(name.startswith(prefix) for prefix in under):
                out.append(name)
        return out

    def read(self, name):
        return (self.root / name).read_text(encoding="utf-8")

    def breach(self, name, line, what):
        self.breaches.append(f"{name}:{line}: {what}")

    def exceptions(self, verb):
        """(who, what) pairs that lib/DESIGN.md grants: "`WHO` verb `WHAT`".

        WHO is a glob below lib/; the sentence goes on with the reason.
        """
        design = self.root / "lib" / "DESIGN.md"
        text = design.read_text() if design.exists() else ""
        return re.findall(rf"`([^`\n]+)`\s+{verb}\s+`([^`\n]+)`", text)

    def grep(self, pattern, names):
        """(name, line number, line) of each match outside of comments."""
        expression = re.compile(pattern)
        for name in names:
            bare = without_comments(self.read(name))
            for number, line in enumerate(bare.splitlines(), 1):
                if expression.search(line):
                    yield name, number, line.strip()

    def close(self, seen):
        """Say what was found; @seen counts what was looked at, never zero."""
        for breach in self.breaches:
            print(breach)
        if not seen:
            print("nothing was looked at: the rule proves nothing")
            sys.exit(1)
        print(f"{seen} looked at, {len(self.breaches)} breaches")
        sys.exit(1 if self.breaches else 0)


COMMENT_OR_STRING = re.compile(
    r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*.*?\*/', re.S)


def without_comments(text):
    """C without its comments, line numbers kept; strings stay."""
    def blank(match):
        found = match.group(0)
        return found if found[0] in "\"'" else re.sub(r"[^\n]", " ", found)
    return COMMENT_OR_STRING.sub(blank, text)


def skip(why):
    print(why)
    sys.exit(SKIPPED)


def run(command, **options):
    return subprocess.run(command, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, errors="replace", **options)
