# SPDX-License-Identifier: Apache-2.0
"""A real larder-router on a Unix socket in a folder of its own, with a segment
of its own, stopped by pid; and how a list of tests is run. Each test is a
sentence."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM, CATALOG = sys.argv[1], sys.argv[2]
BASE = "/api/v1/model-router/"


def connected(path, timeout=20):
    """A socket that is connected to @path, with a time limit for what follows.
    Without one yet, connect() waits where the backlog is full; with one, it
    fails there at once."""
    c = socket.socket(socket.AF_UNIX)
    c.connect(path)
    c.settimeout(timeout)
    return c


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = connected(self.path)


class Server:
    def __init__(self, *options, workers=4, catalog=CATALOG, segment=None,
                 tcp=False):
        self.keep = segment is not None
        self.folder = tempfile.TemporaryDirectory()
        self.socket = self.folder.name + "/socket"
        self.segment = segment or (
            f"/dev/shm/larder-router-test-{os.getpid()}-{id(self)}")
        self.log = open(self.folder.name + "/log", "w+")
        self.process = subprocess.Popen(
            [PROGRAM, "--catalog", catalog, "--listen",
             "127.0.0.1:0" if tcp else "unix:" + self.socket,
             "--workers", str(workers), "--segment", self.segment, *options],
            stderr=self.log)
        end = time.monotonic() + 20
        while not (" serve on " in self.logged() if tcp
                   else Path(self.socket).exists()):
            assert self.process.poll() is None, "the server did not start"
            assert time.monotonic() < end, "the socket did not appear"
            time.sleep(0.02)
        self.port = tcp and int(re.search(r" serve on .*:(\d+)$",
                                          self.logged(), re.M)[1])
        while len(self.workers()) < workers:
            assert time.monotonic() < end, "the workers did not start"
            time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
        if not self.keep:
            Path(self.segment).unlink(missing_ok=True)
        self.log.close()
        self.folder.cleanup()

    def ask(self, method, path, body=None, headers=None, connection=None):
        c = connection or (
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            if self.port else Connection(self.socket))
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        c.request(method, path if path.startswith("/") else BASE + path, body,
                  headers or {})
        response = c.getresponse()
        data = response.read()
        if not connection:
            c.close()
        kind = response.getheader("Content-Type") or ""
        if "json" in kind:
            data = json.loads(data)
        return response, data

    def connect_to(self, worker):
        """A connection that this worker has accepted, and no other."""
        others = [w for w in self.workers() if w != worker]
        for other in others:
            os.kill(other, signal.SIGSTOP)
        connection = Connection(self.socket)
        self.ask("GET", "/healthz", connection=connection)
        for other in others:
            os.kill(other, signal.SIGCONT)
        return connection

    def workers(self):
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return [int(p) for p in Path(path).read_text().split()]

    def logged(self):
        return Path(self.log.name).read_text()

    def metrics(self):
        """What /metrics says, by name and labels."""
        _, text = self.ask("GET", "/metrics")
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
                for line in text.decode().splitlines()
                if not line.startswith("#")}


def until(condition, what, seconds=30):
    """Wait for something that will happen; not for how fast."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def run(tests):
    failed = 0
    for test in tests:
        name = test.__name__.replace("_", " ")
        try:
            test()
            print("ok     ", name, flush=True)
        except (AssertionError, OSError, ValueError, KeyError,
                http.client.HTTPException) as why:
            failed += 1
            print("FAILED ", name, "\n       ", type(why).__name__, why,
                  flush=True)
    print(f"{len(tests) - failed} passed, {failed} failed")
    return failed != 0
