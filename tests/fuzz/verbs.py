#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each verb of the admin tool, on files that are no whole segment any more.

  verbs.py LARDER SPECIMEN SHRINK DAMAGES

SPECIMEN writes a valid segment, SHRINK cuts a file short under a program that
has mapped it, DAMAGES is how many damaged files each verb meets beside those
that are cut off. The verbs are those of `larder --help`: a new one is met by
this test or fails it. A verb ends with 0, 1 or 3, soon, and where it fails it
says why; what repair called mended, check accepts.
"""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent /
                       "tools" / "larder"))
from drive import Failure, equal, main, true  # noqa: E402

SPECIMEN, SHRINK, DAMAGES = sys.argv[2], sys.argv[3], int(sys.argv[4])
SEED = int(os.environ.get("LARDER_SEED", "1"))

# What an argument of a verb stands for here; {} is the segment.
STANDS_FOR = {"SEGMENT": "{}", "OLD": "{}", "NEW": "{}-new", "KEY": "k1",
              "KEY...": "k2", "VALUE": "value"}
# Options without which a verb would refuse, or never end.
NEEDS = {"top": ["--interval", "1ms", "--count", "2"],
         "invalidate": ["--all"]}
# These look at no existing segment.
NO_SEGMENT = {"create", "plan", "doctor"}
# These print no JSON document: one a look, and a format of its own.
NO_DOCUMENT = {"top", "export"}


def verbs(tool):
    """(verb, arguments) of each; an argument with {} holds the segment."""
    found = []
    for verb in re.findall(r"^  ([a-z]+) ", tool.text("--help"), re.M):
        usage = tool.text(verb, "--help").splitlines()[0].split()
        arguments = []
        for word in usage[3:]:
            if word == "[OPTION]...":
                continue
            if word not in STANDS_FOR:
                raise Failure(f"{verb}: say in STANDS_FOR what {word} is")
            arguments.append(STANDS_FOR[word])
        found.append((verb, [*NEEDS.get(verb, []), *arguments]))
    true(len(found) >= 20, "the help lists the verbs")
    return found


def whole(tool):
    path = tool.path("specimen")
    subprocess.run([SPECIMEN, path], check=True)
    return bytearray(Path(path).read_bytes())


def cut_off(image):
    for size in (0, 1, 8, 1023, 4095, 4096, 4097, 4224, 65536,
                 len(image) // 2, len(image) - 4096, len(image) - 1):
        yield f"cut to {size}", image[:size]


def damaged(image, chance):
    """Bytes flipped, words replaced, pages exchanged or emptied."""
    bad = bytearray(image)
    for _ in range(chance.choice((1, 4, 30, 300))):
        # The first sixteenth is the hot words and tables.
        reach = len(bad) // chance.choice((1, 4, 16)) - 4096
        at = 4096 + chance.randrange(reach - 4096) & ~7
        what = chance.randrange(5)
        if what == 0:
            bad[at + chance.randrange(8)] ^= 1 << chance.randrange(8)
        elif what == 1:
            bad[at:at + 8] = chance.randbytes(8)
        elif what == 2:
            bad[at:at + 8] = chance.choice((b"\0", b"\xff")) * 8
        elif what == 3:
            other = chance.randrange(4096, len(bad) - 64) & ~63
            bad[at:at + 64] = bad[other:other + 64]
        elif chance.randrange(20) == 0:
            bad[at & ~4095:(at & ~4095) + 4096] = bytes(4096)
    return bad


def files(image):
    yield from cut_off(image)
    for i in range(DAMAGES):
        chance = random.Random(SEED * 1000 + i)
        yield f"damage {i} of seed {SEED}", damaged(image, chance)
    superblock = bytearray(image)
    chance = random.Random(SEED)
    for at in range(0, 700, 13):
        superblock[at] ^= chance.randrange(256)
    yield "a superblock of noise", superblock
    yield "noise", random.Random(SEED).randbytes(1 << 16)


def meet(tool, verb, arguments, path, with_json, why, shrink=()):
    """Run a verb that has to end well or to say why not."""
    command = [*shrink, tool.program, verb,
               *(a.format(path) for a in arguments)]
    if with_json:
        command.append("--json")
    said = f"{why}: {' '.join(command[len(shrink):])}"
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=60)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"{said}: does not end") from late
    error = done.stderr.decode(errors="replace")
    if done.returncode not in (0, 1, 3, *([99] if shrink else [])):
        raise Failure(f"{said}: ended with {done.returncode}\n{error[-3000:]}")
    if done.returncode and not done.stdout:
        true(error.startswith(f"larder {verb}: ") or done.returncode == 99,
             f"{said}: says why it failed, not '{error[:200]}'")
    if with_json and done.returncode == 0 and done.stdout and \
            verb not in NO_DOCUMENT:
        try:
            json.loads(done.stdout)
        except ValueError as broken:
            raise Failure(f"{said}: is no JSON: {broken}") from broken
    return done.returncode, error


def every_verb_meets_every_file(tool):
    image, n = whole(tool), 0
    for why, content in files(image):
        for i, (verb, arguments) in enumerate(verbs(tool)):
            path = tool.path("s")
            Path(path).write_bytes(content)
            status, _ = meet(tool, verb, arguments, path, (n + i) % 2, why)
            if verb == "repair" and status == 0:
                status, _ = meet(tool, "check", ["{}"], path, False, why)
                equal(status, 0, f"{why}: check after a repair")
            Path(path + "-new").unlink(missing_ok=True)
        n += 1
    print(f"{n} files, seed {SEED}")


def copying_into_what_is_damaged(tool):
    image = whole(tool)
    for why, content in files(image):
        Path(tool.path("old")).write_bytes(image)
        Path(tool.path("s")).write_bytes(content)
        meet(tool, "copy", [tool.path("old"), "{}"], tool.path("s"), False,
             why)


def what_is_no_file(tool):
    os.mkfifo(tool.path("pipe"))
    os.mkdir(tool.path("folder"))
    for verb, arguments in verbs(tool):
        if verb in NO_SEGMENT:
            continue
        for path in ("/dev/null", tool.path("pipe"), tool.path("folder"),
                     tool.path("absent")):
            status, _ = meet(tool, verb, arguments, path, False, "no file")
            true(status != 0, f"{verb} {path} fails")


def a_file_that_is_cut_short_while_it_is_mapped(tool):
    image, n = whole(tool), 0
    for verb, arguments in verbs(tool):
        if verb in NO_SEGMENT:
            continue
        for size in (0, 4096, 300000):
            path, number, status = tool.path("s"), 0, 0
            while status != 99:
                number += 1
                Path(path).write_bytes(image)
                why = f"cut to {size} at mapping {number}"
                status, error = meet(
                    tool, verb, arguments, path, False, why,
                    [SHRINK, str(number), str(size), path])
                n += status != 99
                Path(path + "-new").unlink(missing_ok=True)
                if status == 3:
                    true(f"{path}: the file was cut short while it was in use:"
                         f" {size} bytes are left of {len(image)}" in error,
                         f"{verb}, {why}: {error}")
                elif size == 4096 and number == 1:
                    raise Failure(f"{verb}, {why}: ended with {status}")
    true(n >= 3 * 15, "the verbs map the file")
    print(f"cut short {n} times")


if __name__ == "__main__":
    # A verb that ends leaves its memory to the end of the program, and nobody
    # looks for leaks under a tracer.
    os.environ["ASAN_OPTIONS"] = \
        os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    main([every_verb_meets_every_file, copying_into_what_is_damaged,
          what_is_no_file, a_file_that_is_cut_short_while_it_is_mapped])
