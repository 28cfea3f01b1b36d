#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The optimal strategy's total equals that of an independent exact solver.

Columns are expanded into as many as they take rows, which is what the solver
under test does not do. Sizes up to 120 x 60, capacities 0 to 4, ties on purpose.
"""

import random
import subprocess
import sys

try:
    import numpy
    from scipy.optimize import linear_sum_assignment
except ImportError:
    print("skipped: python3-scipy is not installed")
    sys.exit(77)


def expected(scores, capacity):
    columns = [k for k, c in enumerate(capacity) for _ in range(c)]
    if not columns:
        return 0, 0.0
    matrix = numpy.array(scores)[:, columns]
    rows, chosen = linear_sum_assignment(matrix, maximize=True)
    return len(rows), float(matrix[rows, chosen].sum())


def main():
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20240607
    random.seed(seed)
    instances, text = [], []
    for number in range(600):
        large = number % 20 == 0
        n = random.randint(1, 120 if large else 14)
        m = random.randint(1, 60 if large else 9)
        capacity = [random.randint(0, 4) for _ in range(m)]
        steps = random.choice([5, 100, 10000])
        scores = [[random.randint(0, steps) * 100.0 / steps for _ in range(m)]
                  for _ in range(n)]
        instances.append((scores, capacity))
        text.append(f"{n} {m}\n" + " ".join(map(str, capacity)) + "\n" +
                    "\n".join(" ".join(map(repr, row)) for row in scores))
    out = subprocess.run([sys.argv[1]], input="\n".join(text) + "\n",
                         capture_output=True, text=True, check=True).stdout
    wrong = 0
    for (scores, capacity), line in zip(instances, out.splitlines(),
                                        strict=True):
        placed, total = line.split()
        want_placed, want = expected(scores, capacity)
        if int(placed) != want_placed or abs(float(total) - want) > 1e-6:
            wrong += 1
            print("wrong:", len(scores), capacity, line, want_placed, want)
    print(f"{len(instances)} instances, seed {seed}: {wrong} wrong")
    return wrong != 0


if __name__ == "__main__":
    sys.exit(main())
