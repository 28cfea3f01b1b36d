#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Models follow the code: lib/DESIGN.md maps each step of a model to it.

A step of a model bears a name, `step: NAME` in a comment, good until the next
one or the end of its process or inline. Every shared variable is read and
written under one; every step stands in the model's table in DESIGN.md, and no
other; every function named there is defined in the library. The models,
mistakes and tests that an obligation names exist too.
"""

import re
import sys

from house import House, without_comments

STEP = re.compile(r"step: ([A-Za-z0-9-]+(?:, [A-Za-z0-9-]+)*)")
BODY = re.compile(r"^(?:active )?(?:proctype|inline) (\w+)|^(init)\b")
GLOBAL = re.compile(r"^(?:byte|bool|bit|mtype) (?!=)([^;]*);")
COMMENT = re.compile(r"/\*.*?\*/", re.S)
# Variables that no process shares with another one.
GHOST = re.compile(r"/\* Ghosts?\b")


def files_of(house, model):
    return [name for name in house.files(".pml", under=("tests/model/",))
            if re.fullmatch(rf"{model}(_\w+)?", name.split("/")[-1][:-4])]


def globals_of(text):
    """Names of shared variables; ghosts are for the assertions alone."""
    names, ghosts = set(), False
    for line in text.splitlines():
        if GHOST.match(line):
            ghosts = True
        elif not line.strip():
            ghosts = False
        match = GLOBAL.match(line)
        if match and not ghosts:
            for one in re.sub(r"=[^,]*", "", match.group(1)).split(","):
                name = re.match(r"\s*(\w+)", one)
                if name:
                    names.add(name.group(1))
    return names


def bare(line):
    return re.sub(r"/\*.*?(\*/|$)|^\s*\*.*", "", line)


def steps_of(house, name, shared):
    """{step: line}; complains about accesses that are under none."""
    found, current, body, ghost = {}, None, None, False
    access = re.compile(r"\b(" + "|".join(sorted(shared)) + r")\b") \
        if shared else None
    for number, line in enumerate(house.read(name).splitlines(), 1):
        begin = BODY.match(line)
        if GHOST.match(line):
            ghost = True
        elif not line.strip():
            ghost = False
        elif begin:
            body, current = begin.group(1) or begin.group(2), None
            if ghost:
                body, ghost = None, False
        elif line.startswith("}"):
            body = None
        match = STEP.search(line)
        if match:
            current = match.group(1)
            for step in current.split(", "):
                found.setdefault(step, number)
        elif body and body != "init" and not current and \
                not line.startswith("#") and access and \
                access.search(bare(line)):
            house.breach(name, number, f"no step names this access in {body}: "
                         f"{line.strip()}")
    return found


def tables_of(text):
    """{model: {step: functions}} of the tables below "### `MODEL.pml`"."""
    tables, model = {}, None
    for line in text.splitlines():
        head = re.match(r"### `(\w+)\.pml`", line)
        if head:
            model = tables.setdefault(head.group(1), {})
        elif line.startswith("#"):
            model = None
        row = re.match(r"\|(.*?)\|(.*?)\|$", line)
        if model is None or not row or set(row.group(1)) <= set("- "):
            continue
        for step in re.findall(r"`([A-Za-z0-9-]+)`", row.group(1)):
            model[step] = re.findall(r"`(\w+)\(\)`", row.group(2)) or \
                row.group(2).strip()
    return tables


def check_obligations(house, design):
    """Their models, mistakes and tests exist; how many there are."""
    listed = [line.split()
              for line in house.read("tests/model/MODELS").splitlines()
              if line.strip() and not line.startswith("#")]
    tests = "\n".join(
        (house.root / name).read_text(errors="replace")
        for name in house.files(under=("tests/",))
        if not name.startswith(("tests/model/", "tests/arch/",
                                "tests/fuzz/corpus/", "tests/README")))
    n = 0
    for number, line in enumerate(design.splitlines(), 1):
        row = [cell.strip() for cell in line.strip("|").split("|")]
        if not re.match(r"[A-Z]\d+$", row[0]) or len(row) != 6:
            continue
        n += 1
        model, *names = re.findall(r"`([^`]+)`", row[4]) or [None]
        for name in names:
            if not any(w[0] == model and w[2] == name for w in listed):
                house.breach("lib/DESIGN.md", number, f"{row[0]}: MODELS has "
                             f"no {name} of {model}")
        if model and not names:
            house.breach("lib/DESIGN.md", number, f"{row[0]}: say which of "
                         f"{model}'s mistakes drops it")
        if not model and not row[4].startswith("none: "):
            house.breach("lib/DESIGN.md", number, f"{row[0]}: no model, and "
                         f"no reason why")
        for name in re.findall(r"`([^`]+)`", row[5]) or [""]:
            if not name or not re.search(rf"\b{re.escape(name)}\b", tests):
                house.breach("lib/DESIGN.md", number, f"{row[0]}: no test is "
                             f"named '{name}'")
    return n


def main():
    house = House(sys.argv)
    design = house.read("lib/DESIGN.md")
    tables = tables_of(design)
    n_obligations = check_obligations(house, design)
    if n_obligations < 20:
        house.breach("lib/DESIGN.md", 1, "obligations are missing")
    code = "\n".join(without_comments(house.read(n))
                     for n in house.files(".c", ".h", under=("lib/",)))
    # A body that is compiled for several processors: lib/cache/usual_body.h.
    code = re.sub(r"\bLEVEL\((\w+)\)", r"\1", code)
    n_steps = 0
    models = {line.split()[0]
              for line in house.read("tests/model/MODELS").splitlines()
              if line.strip() and not line.startswith("#")}
    for model in sorted(models):
        parts = files_of(house, model)
        shared = set().union(*(globals_of(house.read(p)) for p in parts))
        steps = {}
        for part in parts:
            for step, line in steps_of(house, part, shared).items():
                steps.setdefault(step, (part, line))
        table = tables.get(model, {})
        n_steps += len(steps)
        for step, (part, line) in steps.items():
            if step not in table:
                house.breach(part, line, f"lib/DESIGN.md does not say which "
                             f"function does the step {step}")
        for step in sorted(set(table) - set(steps)):
            house.breach("lib/DESIGN.md", 1, f"{model}.pml has no step {step}")
        for step, functions in table.items():
            if not functions:
                house.breach("lib/DESIGN.md", 1, f"{model}.pml: nobody does "
                             f"{step}")
            for function in functions if isinstance(functions, list) else ():
                if not re.search(rf"^(?:[a-z][^;\n=]*\b)?{function}\("
                                 rf"[^;]*?\)[^;{{]*\{{", code, re.M):
                    house.breach("lib/DESIGN.md", 1, f"{model}.pml: there is "
                                 f"no function {function}() for {step}")
    for model in sorted(set(tables) - models):
        house.breach("lib/DESIGN.md", 1, f"there is no model {model}")
    house.close(n_steps + n_obligations)


main()
