#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The front page tells the truth: its C example compiles, runs and prints what
it says, and the files and commands it names are there. So do the pages of the
tests and of the bench: suites, programs, cases and mistakes in their tables are
those of the sources."""

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


def check_names(house, page, text):
    """Files of this project; programs that a build makes, by their sources."""
    for name in re.findall(r"`((?:\./)?(?:tools|lib|tests|bench|include)/"
                           r"[\w./-]+)`", text):
        if not (house.root / name).exists():
            house.breach(page, 1, f"it names {name}, which is not there")
    builds = "\n".join(house.read(n) for n in house.files(".build"))
    code = " ".join("".join(span) for span in re.findall(
        r"`([^`\n]+)`|^ {4}(.+)", text, re.M))
    for name in re.findall(r"\b(?:larder|crash|fuzz|unit|process)-[a-z-]+|"
                           r"\b[a-z]+-storm\b", code):
        # Many a name is put together of a suite's and the source's.
        last = name.split("-")[-1] if name.startswith(
            ("fuzz-", "unit-", "process-")) else name
        if not re.search(rf"'({name}|{last}|{last}\.c)'", builds):
            house.breach(page, 1, f"no build makes {name}")


def sources(house, *under):
    return "\n".join(house.read(n) for n in house.files(
        ".c", ".py", under=under))


def check_tests_page(house):
    page = "tests/README.md"
    text = house.read(page)
    check_names(house, page, text)
    suites = set(re.findall(r"suite: \[?'(\w+)'", "\n".join(
        house.read(n) for n in house.files(".build", under=("tests/",)))))
    told = set(re.findall(r"^\| `(\w+)` \| .* \| .*\|$",
                          text.split("Printed by")[0], re.M))
    for suite in suites ^ told:
        house.breach(page, 1, f"suite {suite}: " + (
            "it has no row" if suite in suites else "no test is of it"))
    pairs = re.findall(r"`(\w+)`: ((?:`\w+`(?:, )?)+)", text)
    for program, cases in pairs:
        code = sources(house, f"tests/environment/{program}.")
        for case in re.findall(r"`(\w+)`", cases):
            if not re.search(rf"\b{case}\b", code):
                house.breach(page, 1, f"{program} has no case {case}")
    told = {name: said.replace("\\|", "|") for name, said in re.findall(
        r"^\| `([A-Z_]+)` \| (.*) \|$", text, re.M)}
    there = {}
    for name, mode, scenario, script in re.findall(
            r'CAUGHT\((\w+), "(\w+)",\s*"([^"]+)",\s*(?:NULL|"([^"]+)")\)',
            house.read("tests/crash/mutants.c")):
        there[name] = f"{mode}: {scenario}" + (f"; {script}" if script else "")
    for name in sorted(told.keys() | there.keys()):
        if told.get(name) != there.get(name):
            house.breach(page, 1, f"{name}: it says '{told.get(name)}', and "
                         f"mutants.c '{there.get(name)}'")
    return len(suites) + len(pairs) + len(there)


def check_bench_page(house):
    page = "bench/README.md"
    text = house.read(page)
    check_names(house, page, text)
    told = set(re.findall(r"^\| `(\w+)` \|", text.split("Each has")[0], re.M))
    there = set(re.findall(r'\{"(\w+)", bench_', house.read("bench/main.c")))
    for name in sorted(told ^ there):
        house.breach(page, 1, f"subcommand {name}: " + (
            "it has no row" if name in there else "there is none"))
    return len(there)


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
    check_names(house, "README.md", text)
    house.close(1 + len(links) + check_tests_page(house) +
                check_bench_page(house))


main()
