#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each thing that has one place is nowhere else.

A sole place makes a decision findable: whoever wants to know how the library
orders memory, hashes or maps a segment reads one file. An exception is a sentence of
lib/DESIGN.md: "`store/entry.c` uses `volatile` because ...".
"""

import fnmatch
import sys

from house import House

# (what, pattern, where it is looked for, where it may be, why)
SOLES = [
    ("<stdatomic.h>", r'#\s*include\s*<stdatomic\.h>', ["lib/"],
     ["lib/base/atomic.h"],
     "every ordering goes through the order-named wrappers"),
    ("compiler atomics", r'\b__(atomic|sync)_\w+', ["lib/"],
     ["lib/base/atomic.h"],
     "every ordering goes through the order-named wrappers"),
    ("C11 atomics", r'\batomic_(load|store|exchange|fetch_\w+|compare_\w+|'
     r'thread_fence|signal_fence)\w*\s*\(', ["lib/"],
     ["lib/base/atomic.h"],
     "every ordering goes through the order-named wrappers"),
    ("_Atomic", r'\b_Atomic\b(?!\((struct|void|const)\b)', ["lib/"], ["lib/base/atomic.h"],
     "the types have names there; of a pointer, say _Atomic(struct x *)"),
    ("volatile", r'\bvolatile\b', ["lib/", "tools/"],
     ["lib/base/atomic.h"], "it orders nothing"),
    ("xxhash.h", r'#\s*include\s*[<"]xxhash\.h', ["lib/"],
     ["lib/base/hash.*", "lib/router/key.*"],
     "the hash is chosen and seeded there"),
    ("a shared mapping", r'\bMAP_SHARED\b', ["lib/"],
     ["lib/segment/*"], "a segment is mapped and validated there"),
    ("mmap", r'\b(mmap|munmap|mremap)\s*\(', ["lib/"],
     ["lib/segment/*", "lib/worker/attach.c"],
     "a segment is mapped there; a worker's private page, wiped on fork, in "
     "attach.c"),
    ("membarrier", r'\b__NR_membarrier\b|\bSYS_membarrier\b|'
     r'\bMEMBARRIER_CMD_', ["lib/"],
     ["lib/segment/*", "lib/worker/epoch.*"],
     "who fences and who does not is decided there"),
    ("the clock", r'\bclock_gettime\s*\(', ["lib/"],
     ["lib/base/clock.*", "lib/router/*"], "tests replace it there"),
    ("standard output", r'\b(printf|puts|perror|putchar)\s*\(', ["lib/"], [],
     "a library does not talk"),
    ("the process's end", r'\b(exit|_exit|quick_exit)\s*\(', ["lib/"], [],
     "a library never exits"),
]


def main():
    house = House(sys.argv)
    exceptions = house.exceptions("uses")
    seen = 0
    for what, pattern, where, allowed, why in SOLES:
        names = house.files(".c", ".h", under=tuple(where))
        seen += len(names)
        for name, line, text in house.grep(pattern, names):
            granted = [f"lib/{who}" for who, thing in exceptions
                       if thing == what]
            if not any(fnmatch.fnmatchcase(name, glob)
                       for glob in allowed + granted):
                house.breach(name, line, f"{what} belongs in "
                             f"{' or '.join(allowed) or 'no library'} only "
                             f"({why}): {text}")
    house.close(seen)


main()
