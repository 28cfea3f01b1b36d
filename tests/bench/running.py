# SPDX-License-Identifier: Apache-2.0
"""How the tests of larder-bench run it, and how a list of tests is run."""

import json
import subprocess
import sys

BENCH = sys.argv[1]


def bench(*words, status=0):
    """Standard output, or of a failure the complaint."""
    done = subprocess.run([BENCH, *map(str, words)], capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == status, (words, done.returncode, done.stderr)
    return done.stderr if status else done.stdout


def figures(*words):
    return json.loads(bench(*words, "--json"))


def run(tests):
    failed = 0
    for test in tests:
        name = test.__name__.replace("_", " ")
        try:
            test()
            print("ok     ", name, flush=True)
        except (AssertionError, OSError, ValueError, KeyError,
                subprocess.TimeoutExpired) as why:
            failed += 1
            print("FAILED ", name, "\n       ", type(why).__name__, why,
                  flush=True)
    print(f"{len(tests) - failed} passed, {failed} failed")
    return failed != 0
