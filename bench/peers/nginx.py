#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""nginx' shared dictionary, from Lua in nginx' own worker processes.

For example: bench/peers/nginx.py --keys 1000000 --processes 2
"""

import json
import os
import pwd
import subprocess
import sys
import time
from pathlib import Path

import outside

HERE = Path(__file__).resolve().parent
MODULES = [Path(folder) / name
           for name in ("ndk_http_module.so", "ngx_http_lua_module.so")
           for folder in ("/usr/lib/nginx/modules",
                          "/usr/lib64/nginx/modules")]

CONFIGURATION = """\
{modules}
worker_processes {processes};
daemon off;
master_process on;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 16; }}
http {{
	access_log off;
	lua_shared_dict bench {room}m;
	lua_shared_dict control 1m;
	init_worker_by_lua_block {{
		bench = {{ folder = "{folder}", keys = {keys}, size = {size},
			processes = {processes}, seconds = {seconds},
			repeats = {repeats} }}
		dofile("{lua}")
	}}
	server {{ listen unix:{folder}/socket; }}
}}
"""


def main():
    o = outside.options(__doc__.splitlines()[0])
    nginx = outside.program("nginx")
    modules = [m for m in MODULES if m.exists()]
    outside.need("nginx' Lua module", len(modules) == 2)
    with outside.Folder(o) as folder:
        # Workers of a privileged nginx run as another user: here as nobody else.
        user = f"user {pwd.getpwuid(0).pw_name};" if os.getuid() == 0 else ""
        settings = folder.path / "nginx.conf"
        settings.write_text(CONFIGURATION.format(
            modules="".join(f"load_module {m};\n" for m in modules),
            user=user, folder=folder.path, lua=HERE / "nginx.lua",
            room=o.keys * (o.value_size + 200) * 2 // 2**20 + 16, keys=o.keys,
            size=o.value_size, processes=o.processes, seconds=o.seconds,
            repeats=o.repeats))
        server = subprocess.Popen([nginx, "-p", folder.path, "-c", settings,
                                   "-e", folder.path / "error.log"])
        results = [folder.path / f"result.{p}" for p in range(o.processes)]
        try:
            while not all(r.exists() for r in results):
                if server.poll() is not None or \
                        (folder.path / "failed").exists():
                    sys.exit("nginx: " + (folder.path /
                                          "error.log").read_text()[-2000:])
                time.sleep(.05)
        finally:
            server.terminate()
            server.wait()
        said = [json.loads(r.read_text()) for r in results]
    outside.report(o, "nginx-shared-dict",
                   list(zip(*(s["turns"] for s in said))), said[0]["memory"])


if __name__ == "__main__":
    main()
