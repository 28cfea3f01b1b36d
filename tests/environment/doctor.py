#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`larder doctor` on machines that would hurt: doctor.py LARDER DENIED.

Invariant: whatever of a machine would hurt a segment is named with the reason
and with a way to mend it, as text and as JSON, and turns the exit status to 1
if it would hurt; what is well is called fine. The machines are this one with
single files and mounts replaced, in a mount namespace of the doctor's own.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LARDER, DENIED = sys.argv[1:3]
WRONG = []
MADE = "the machine is made"  # what goes wrong from there on is the doctor's
SKIPPED = []


def claim(holds, what):
    print(f"{'ok  ' if holds else 'FAIL'} {what}", flush=True)
    if not holds:
        WRONG.append(what)


def unshare():
    """The command that gives its argument mounts of its own, or None."""
    for options in (["-m"], ["-rm"]):
        command = ["unshare", *options, "--propagation", "private"]
        if shutil.which("unshare") and subprocess.run(
                [*command, "true"], stderr=subprocess.DEVNULL).returncode == 0:
            return command
    return None


class Machine:
    """This machine, with some of it replaced."""

    def __init__(self, folder):
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self.script = ["set -e"]
        self.program = [LARDER]
        self.limits = []
        self.n = 0

    def file(self, path, text):
        """`path` has this content; False if there is no such file to cover."""
        if not os.path.exists(path):
            return False
        self.n += 1
        fake = self.folder / f"file-{self.n}"
        fake.write_text(text)
        self.script.append(f"mount --bind {fake} {path}")
        return True

    def tree(self, path, files):
        """`path` is a folder with these files and nothing else."""
        self.n += 1
        fake = self.folder / f"tree-{self.n}"
        for name, text in files.items():
            (fake / name).parent.mkdir(parents=True, exist_ok=True)
            (fake / name).write_text(text)
        self.script.append(f"mount --bind {fake} {path}")

    def mount(self, path, options):
        self.script.append(f"mount -t tmpfs -o {options} tmpfs {path}")

    def run(self, *arguments):
        def limit():
            for what, soft in self.limits:
                resource.setrlimit(what, (soft, resource.getrlimit(what)[1]))

        script = "; ".join(self.script + [f"echo {MADE} >&2", 'exec "$@"'])
        return subprocess.run(
            [*UNSHARE, "sh", "-c", script, "sh", *self.program, "doctor",
             *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=limit, timeout=60)

    def examine(self, *arguments):
        """(rows by what they are about, the text, the exit status), or None
        if there cannot be such a machine here."""
        first = self.run("--json", *arguments)
        if MADE not in first.stderr or first.returncode == 77 or \
                "setpriv: " in first.stderr:
            return None
        claim(first.returncode in (0, 1) and first.stdout,
              f"doctor ended with {first.returncode}: {first.stderr}")
        if not first.stdout:
            return {}, "", False
        report = json.loads(first.stdout)
        rows = {}
        for row in report["examined"]:
            rows.setdefault(row["what"], []).append(row)
        hurts = sum(row["verdict"] == "would hurt"
                    for row in report["examined"])
        text = self.run(*arguments)
        agree = (text.returncode == first.returncode == (1 if hurts else 0)
                 and report["would_hurt"] == hurts)
        return rows, text.stdout, agree


def finds(name, machine, what, verdict, *words, arguments=()):
    """The doctor's row about `what`, with a mend unless it is fine."""
    seen = machine.examine(*arguments)
    if seen is None:
        SKIPPED.append(name)
        print(f"SKIP {name}: this machine does not allow it")
        return
    rows, text, agree = seen
    row = next((r for r in rows.get(what, []) if r["verdict"] == verdict),
               None)
    claim(row is not None, f"{name}: '{what}' is '{verdict}', got "
                           f"{[r['verdict'] for r in rows.get(what, [])]}")
    claim(agree, f"{name}: exit status, count and verdicts agree")
    if row is None:
        return
    said = row["why"] + " " + row.get("mend", "")
    for word in words:
        claim(word in said, f"{name}: it says '{word}'")
    claim(verdict == "fine" or bool(row.get("mend")),
          f"{name}: it says how to mend it")
    shown = f"{what}: {row['why']}" in text and row.get("mend", "") in text
    claim(shown, f"{name}: the text says the same")


def shared_memory(folder):
    m = Machine(folder)
    m.mount("/dev/shm", "size=64m")
    finds("a container's 64 MiB", m, "/dev/shm", "would hurt", "64M",
          "--shm-size", "created whole or not at all",
          arguments=("--size", "100M"))
    finds("the same for less", m, "/dev/shm", "fine", "64M",
          arguments=("--size", "32M"))
    m = Machine(folder)
    m.mount("/dev/shm", "size=200m")
    m.script.append("head -c 200000000 /dev/zero > /dev/shm/ballast")
    finds("a full /dev/shm", m, "/dev/shm", "would hurt", "remount",
          arguments=("--size", "100M"))
    m = Machine(folder)
    m.mount("/dev/shm", "size=1g,ro")
    finds("a read-only /dev/shm", m, "/dev/shm access", "would hurt",
          "read-only")


def limits(folder):
    m = Machine(folder)
    m.limits = [(resource.RLIMIT_FSIZE, 1 << 20)]
    finds("ulimit -f", m, "ulimit -f", "would hurt", "1M", "32M",
          "LimitFSIZE")
    m = Machine(folder)
    m.limits = [(resource.RLIMIT_AS, 256 << 20)]
    finds("ulimit -v", m, "ulimit -v", "would hurt", "256M",
          "ulimit -v unlimited", arguments=("--size", "200M"))
    m = Machine(folder)
    m.limits = [(resource.RLIMIT_NOFILE, 64)]
    finds("ulimit -n", m, "ulimit -n", "note", "64", "ulimit -n 1024")
    finds("no limits", Machine(folder), "ulimit -f", "fine")
    finds("no limits", Machine(folder), "ulimit -l", "fine", "locked")


def membarrier(folder):
    m = Machine(folder)
    m.program = [DENIED, LARDER]
    finds("membarrier denied", m, "membarrier", "would hurt", "seccomp",
          "--fenced")
    finds("membarrier allowed", Machine(folder), "membarrier", "fine")


LOGIND = "/etc/systemd/logind.conf"


def remove_ipc(folder):
    """logind.conf and its drop-ins; the last word counts."""
    def systemd(main, run=None, **drop_ins):
        m = Machine(folder)
        m.tree("/run", {"systemd/system/none": "", **{
            f"systemd/logind.conf.d/{name}.conf": text
            for name, text in (run or {}).items()}})
        files = {"systemd/logind.conf": main}
        for name, text in drop_ins.items():
            files[f"systemd/logind.conf.d/{name}.conf"] = text
        m.tree("/etc", files)
        return m

    on = "[Login]\nRemoveIPC=yes\n"
    off = "[Login]\nRemoveIPC=no\n"
    finds("RemoveIPC", systemd(on), "RemoveIPC",
          "note", LOGIND, "RemoveIPC=no")
    finds("RemoveIPC commented out", systemd("[Login]\n#RemoveIPC=no\n"),
          "RemoveIPC", "note")
    finds("RemoveIPC=no", systemd(off), "RemoveIPC", "fine")
    finds("RemoveIPC=no in any drop-in", systemd(on, **{"10-ours": off}),
          "RemoveIPC", "fine")
    finds("RemoveIPC=no in a drop-in that hides one of its name",
          systemd(on, run={"10-ours": on}, **{"10-ours": off}), "RemoveIPC",
          "fine")
    finds("RemoveIPC=yes in a later drop-in",
          systemd(off, **{"10-ours": off, "90-theirs": on}), "RemoveIPC",
          "note")
    m = systemd(on)
    m.program = ["setpriv", "--reuid=61001", "--clear-groups", LARDER]
    finds("RemoveIPC, as an ordinary user", m, "RemoveIPC", "would hurt",
          "system user", LOGIND)
    m = Machine(folder)
    m.tree("/run", {"none": ""})
    finds("no systemd", m, "RemoveIPC", "fine")


def overcommit(folder):
    for mode, verdict in (("0", "fine"), ("1", "fine"), ("2", "note")):
        m = Machine(folder)
        m.file("/proc/sys/vm/overcommit_memory", mode + "\n")
        finds(f"overcommit {mode}", m, "overcommit", verdict,
              *(("CommitLimit",) if verdict == "note" else ()))


def huge_pages(folder):
    path = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
    for chosen, verdict, words in (
            ("never", "note", ("LARDER_OPEN_HUGE",)),
            ("deny", "note", ("echo advise",)),
            ("advise", "fine", ())):
        text = " ".join(f"[{w}]" if w == chosen else w for w in
                        ("always", "within_size", "advise", "never", "deny",
                         "force"))
        m = Machine(folder)
        if not m.file(path, text + "\n"):
            SKIPPED.append("huge pages")
            print("SKIP huge pages: the kernel has none for shared memory")
            return
        finds(f"huge pages: {chosen}", m, "huge pages", verdict, *words)


def memory(folder):
    text = Path("/proc/meminfo").read_text()
    rows = [row for row in text.splitlines()
            if not row.startswith(("MemAvailable", "SwapTotal"))]
    m = Machine(folder)
    m.file("/proc/meminfo", "\n".join(
        rows + ["MemAvailable:  20480 kB", "SwapTotal: 1048576 kB"]) + "\n")
    finds("little memory", m, "memory", "would hurt", "20M",
          "smaller segment")
    finds("swap", m, "swap", "note", "1G", "swappiness")


def main():
    parts = [shared_memory, limits, membarrier, remove_ipc, overcommit,
             huge_pages, memory]
    for part in parts:
        print(f"-- {part.__name__}", flush=True)
        with tempfile.TemporaryDirectory(prefix="larder-doctor-") as folder:
            part(folder)
    print(f"{len(WRONG)} claims failed")
    sys.exit(1 if WRONG else 0)


UNSHARE = unshare()
if UNSHARE is None:
    print("mounts of one's own are not allowed")
    sys.exit(77)
main()
