#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PHP's APCu, from forked PHP processes that share its memory.

For example: bench/peers/apcu.py --keys 1000000 --processes 2
"""

import json
import subprocess
import sys
from pathlib import Path

import outside

HERE = Path(__file__).resolve().parent


def main():
    o = outside.options(__doc__.splitlines()[0])
    php = outside.program("php")
    has = subprocess.run([php, "-m"], capture_output=True, text=True).stdout
    for module in "apcu", "pcntl":
        outside.need(f"PHP's {module}", module in has.split())
    room = o.keys * (o.value_size + 320) // 2**20 + 64
    with outside.Folder(o) as folder:
        done = subprocess.run(
            [php, "-d", "apc.enable_cli=1", "-d", f"apc.shm_size={room}M",
             "-d", f"apc.entries_hint={o.keys}", "-d", "apc.ttl=0",
             "-d", "memory_limit=-1", "-d", "opcache.enable_cli=1",
             "-d", "opcache.jit_buffer_size=32M",
             HERE / "apcu.php", folder.path, str(o.keys), str(o.value_size),
             str(o.processes), str(o.seconds), str(o.repeats)],
            stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"apcu: PHP ended with {done.returncode}")
        said = json.loads(done.stdout)
    outside.report(o, "apcu", said["turns"], said["memory"])


if __name__ == "__main__":
    main()
