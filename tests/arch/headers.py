#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each public header compiles alone, as C11 and as C++, without a warning.

Alone: it includes what it needs. Twice: its guard holds. Every function
declared there says so with LARDER_API and has its documentation above it.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

from house import House, run, without_comments

COMPILERS = [("gcc", "c", "c11"), ("clang", "c", "c11"),
             ("g++", "c++", "c++11"), ("clang++", "c++", "c++17")]
FLAGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]


def compile_alone(house, header, compiler, language, standard):
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / ("alone." + ("c" if language == "c" else "cc"))
        source.write_text(f"#include <larder/{header}>\n"
                          f"#include <larder/{header}>\n"
                          f"int main() {{ return 0; }}\n"
                          if language != "c" else
                          f"#include <larder/{header}>\n"
                          f"#include <larder/{header}>\n"
                          f"int main(void) {{ return 0; }}\n")
        done = run([compiler, "-x", language, f"-std={standard}"] + FLAGS +
                   ["-I", str(house.root / "include"), str(source)])
        if done.returncode != 0:
            house.breach(f"include/larder/{header}", 1,
                         f"{compiler} -std={standard}:\n{done.stdout}")


def check_declarations(house, header):
    """Every prototype is exported, and a comment stands before it."""
    name = f"include/larder/{header}"
    text = house.read(name)
    bare = without_comments(text)
    n_found = 0
    for match in re.finditer(r"^(?!\s|#|typedef|struct|enum|extern|static|\})"
                             r"[^;{}#]*?\b(larder_\w+)\s*\([^;{}]*\)\s*;",
                             bare, re.M):
        line = bare.count("\n", 0, match.start()) + 1
        n_found += 1
        if not match.group(0).lstrip().startswith("LARDER_API"):
            house.breach(name, line, f"{match.group(1)} lacks LARDER_API")
        before = text[:match.start()].rstrip()
        if not before.endswith("*/") and not before.endswith(";"):
            house.breach(name, line, f"{match.group(1)} is not documented")
    return n_found


def main():
    house = House(sys.argv)
    headers = sorted(p.name for p in
                     (house.root / "include" / "larder").glob("*.h"))
    seen = 0
    for compiler, language, standard in COMPILERS:
        if not shutil.which(compiler):
            print(f"SKIP {compiler}: it is not installed")
            continue
        for header in headers:
            seen += 1
            compile_alone(house, header, compiler, language, standard)
    if not sum(check_declarations(house, header) for header in headers):
        house.breach("include/larder", 1, "no prototype was recognized")
    house.close(seen)


main()
