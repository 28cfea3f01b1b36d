#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The front page tells the truth: its C example compiles, runs and prints what
it says, and the files and commands it names are there."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from house import House, run


def block(text, language, after=""):
    start = text.find(after)
    match = re.search(rf"^```{language}\n(.*?)^```", text[max(start, 0):],
                      re.S | re.M)
    return match.group(1) if match else None


def run_example(house, source):
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "example"
        (Path(folder) / "example.c").write_text(source)
        done = run(["cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic",
                    "-Werror", "-D_GNU_SOURCE",
                    "-I", str(house.root / "include"),
                    str(Path(folder) / "example.c"), "-o", str(program),
                    "-L", str(house.build / "lib"), "-llarder",
                    f"-Wl,-rpath,{house.build / 'lib'}"])
        if done.returncode != 0:
            house.breach("README.md", 1, f"the example does not compile:\n"
                         f"{done.stdout}")
            return
        # Its segment is its own: the name carries our process id.
        path = f"/dev/shm/larder-readme-{os.getpid()}"
        try:
            done = run([str(program), path], timeout=60)
            again = run([str(program), path], timeout=60)
        except subprocess.TimeoutExpired:
            house.breach("README.md", 1, "the example hangs")
            return
        finally:
            Path(path).unlink(missing_ok=True)
        for ended, word in ((done, "computed"), (again, "found")):
            if ended.returncode != 0 or word not in ended.stdout:
                house.breach("README.md", 1, f"the example ended with "
                             f"{ended.returncode} and said, where '{word}' "
                             f"was expected: {ended.stdout}")


def main():
    house = House(sys.argv)
    text = house.read("README.md")
    source = block(text, "c")
    if not source:
        house.breach("README.md", 1, "no C example")
    else:
        if len(source.splitlines()) > 30:
            house.breach("README.md", 1, "the example is longer than 30 lines")
        run_example(house, source)
    screen = "\n".join(text.splitlines()[:45])
    for command in ("./tools/quickstart", "./tools/check"):
        if command not in screen:
            house.breach("README.md", 1, f"{command} is not in the first "
                         f"screen")
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    for link in links:
        if not (house.root / link).exists():
            house.breach("README.md", 1, f"it points to {link}, which is not "
                         f"there")
    for name in re.findall(r"`((?:\./)?(?:tools|lib|tests|bench|include)/"
                           r"[\w./-]+)`", text):
        if not (house.root / name).exists():
            house.breach("README.md", 1, f"it names {name}, which is not there")
    house.close(1 + len(links))


main()
