# SPDX-License-Identifier: Apache-2.0
"""Driving the admin tool from tests: a segment of one's own, and its verbs.

Each test program is `name.py LARDER [HOLD]`, where HOLD is a helper that attaches
to a segment and waits. Segments lie in a temporary folder of /dev/shm that goes
away whatever happens.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path


class Failure(Exception):
    pass


class Tool:
    def __init__(self, program, folder):
        self.program = program
        self.folder = Path(folder)

    def path(self, name="s"):
        return str(self.folder / name)

    def run(self, *arguments, expect=0, stdin=b"", timeout=60):
        """Run a verb; standard output as bytes. `expect` may be a set."""
        done = subprocess.run([self.program, *map(str, arguments)],
                              input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=timeout)
        wanted = {expect} if isinstance(expect, int) else expect
        if wanted and done.returncode not in wanted:
            raise Failure(f"larder {' '.join(map(str, arguments))} ended with "
                          f"{done.returncode}, not {wanted}:\n"
                          f"{done.stdout.decode(errors='replace')}"
                          f"{done.stderr.decode(errors='replace')}")
        self.stderr = done.stderr.decode(errors="replace")
        self.status = done.returncode
        return done.stdout

    def text(self, *arguments, **options):
        return self.run(*arguments, **options).decode()

    def json(self, *arguments, **options):
        return json.loads(self.run(*arguments, "--json", **options))

    def fresh(self, name="s", *options):
        path = self.path(name)
        self.run("create", path, "--size", "2M", *options)
        return path


def equal(got, want, what=""):
    if got != want:
        raise Failure(f"{what}: {got!r}, not {want!r}")


def true(condition, what):
    if not condition:
        raise Failure(what)


def main(tests):
    failed = 0
    for test in tests:
        folder = tempfile.mkdtemp(prefix="larder-test-", dir="/dev/shm")
        try:
            test(Tool(sys.argv[1], folder))
            print(f"ok    {test.__name__}")
        except Exception as problem:
            failed += 1
            print(f"FAIL  {test.__name__}: {problem}")
            if not isinstance(problem, Failure):
                traceback.print_exc()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(tests) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)
