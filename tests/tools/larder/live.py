#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The admin tool beside workers that live, stand still and die."""

import os
import shutil
import signal
import subprocess
import sys

from drive import equal, main, true


class Holder:
    """A process that holds something in a segment."""

    def __init__(self, segment, what):
        self.process = subprocess.Popen([sys.argv[2], segment, what],
                                        stdout=subprocess.PIPE)
        true(self.process.stdout.readline() == b"ready\n", f"hold {what}")

    def __enter__(self):
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def __exit__(self, *_):
        self.kill()
        self.process.stdout.close()


def workers_are_named(tool):
    s = tool.fresh()
    tool.run("put", s, "leased", "v" * 500)
    equal(tool.json("workers", s)["workers"], [], "nobody")
    with Holder(s, "lease") as holder:
        (worker,) = tool.json("workers", s)["workers"]
        equal(worker["pid"], holder.process.pid, "pid")
        equal(worker["state"], "live", "state")
        equal(worker["leases"], 1, "leases")
        true(worker["bytes_leased"] >= 500, "bytes leased")
        equal(worker["counters"]["leases"], 1, "its own counters")
        true(str(holder.process.pid) in tool.text("workers", s), "for eyes")
        equal(tool.json("stat", s)["workers_live"], 1, "counted")
        holder.kill()
        (worker,) = tool.json("workers", s)["workers"]
        equal(worker["state"], "dead", "dead, not recovered")
        done = tool.json("check", s)
        equal(done["damage"], 0, "a death is no damage")
        true(done["pending"] > 0, "a death is a note")
        tool.run("sweep", s)
        equal(tool.json("workers", s)["workers"], [], "recovered")
        equal(tool.json("stat", s)["workers_recovered"], 1, "counted")
        equal(tool.json("check", s)["pending"], 0, "nothing is left")


def looking_takes_no_slot(tool):
    s = tool.fresh("s", "--slots", "1")
    with Holder(s, "attach"):
        for verb in ("info", "stat", "workers", "ls", "check", "ages", "classes",
                     "flights", "patterns", "export"):
            tool.run(verb, s)
        tool.run("invalidate", s, "--all", "--dry-run")
        tool.run("get", s, "k", expect=1)
        true("slot" in tool.stderr, "a client has no slot, and says so")


def read_only_file(tool):
    s = tool.fresh()
    tool.run("put", s, "k", "v")
    before = open(s, "rb").read()
    os.chmod(s, 0o400)
    for verb in ("info", "stat", "workers", "ls", "check", "ages", "classes",
                 "flights", "patterns", "export"):
        tool.run(verb, s)
    equal(open(s, "rb").read() == before, True, "not a byte was changed")


def flights_are_shown(tool):
    s = tool.fresh()
    with Holder(s, "fill") as holder:
        (flight,) = tool.json("flights", s)["flights"]
        equal(flight["leader_pid"], holder.process.pid, "leader")
        true(flight["leader_alive"], "alive")
        holder.kill()
        (flight,) = tool.json("flights", s)["flights"]
        true(not flight["leader_alive"], "its leader is gone")
        equal(tool.json("check", s)["damage"], 0, "no damage")


def destroy_and_repair_refuse(tool):
    s = tool.fresh()
    with Holder(s, "attach") as holder:
        tool.run("destroy", s, expect=1)
        true("attached" in tool.stderr, "why")
        true(os.path.exists(s), "still there")
        tool.run("repair", s, expect=1)
        holder.stop()
        tool.run("destroy", s, expect=1)
        holder.kill()
        tool.run("repair", s)
        tool.run("destroy", s)
        true(not os.path.exists(s), "gone")
    s = tool.fresh()
    with Holder(s, "attach"):
        tool.run("destroy", s, "--force")
        true(not os.path.exists(s), "by force")
    other = tool.path("other")
    with open(other, "w") as f:
        f.write("not a segment" * 1000)
    tool.run("destroy", other, "--force", expect=1)
    true(os.path.exists(other), "what is no segment is left alone")


def copy_of_a_live_file(tool):
    """The copy names workers of the original; they are not attached to it."""
    s, copy = tool.fresh(), tool.path("copy")
    tool.run("put", s, "k", "v")
    with Holder(s, "attach") as holder:
        holder.stop()
        shutil.copy(s, copy)
        equal(tool.json("stat", copy)["workers_live"], 0, "nobody is there")
        equal(tool.json("check", copy)["damage"], 0, "the copy is sound")
        tool.run("repair", copy)
        equal(tool.json("check", copy)["pending"], 0, "and at rest")
        equal(tool.run("get", copy, "k"), b"v", "with its entries")
        tool.run("destroy", copy)


def copies_of_what_is_live_copied_or_repaired(tool):
    """Every valid entry comes along, whatever state its segment is in."""
    s, file = tool.fresh(), tool.path("file")
    for i in range(20):
        tool.run("put", s, f"a-key-{i:02}", f"v{i}", "--tag", f"t{i}", "--ttl",
                 "1h", "--cost", "7ms")
    tool.run("put", s, "no-limit", "v", "--negative")
    tool.run("put", s, "invalid", "v", "--tag", "gone")
    tool.run("invalidate", s, "--tag", "gone")
    with Holder(s, "attach") as holder:
        holder.stop()
        shutil.copy(s, file)
        bad = bytearray(open(file, "rb").read())
        bad[bad.index(b"a-key-07")] ^= 1
        with open(tool.path("bad"), "wb") as f:
            f.write(bad)
        true(tool.json("check", tool.path("bad"), expect=3)["damage"] > 0,
             "it is damaged")
        tool.run("repair", tool.path("bad"))
        tool.run("check", tool.path("bad"))
        for old, lost in (s, []), (file, []), (tool.path("bad"), [7]):
            for size in "2M", "8M":
                new = tool.path("new")
                told = tool.json("copy", old, new, "--size", size)
                equal((told["copied"], told["skipped"]), (21 - len(lost), 0),
                      f"{old} at {size}")
                for i in range(20):
                    key = f"a-key-{i:02}"
                    if i in lost:
                        tool.run("get", new, key, expect=1)
                        continue
                    equal(tool.run("get", new, key), b"v%d" % i, key)
                    known = tool.json("get", new, key, "--info")
                    equal(known["tags"], [f"t{i}"], "tags")
                    true(3500000 < known["ttl_left_ms"] <= 3600000, "time")
                tool.run("get", new, "invalid", expect=1)
                tool.run("check", new)
                os.unlink(new)


def check_beside_writers(tool):
    """What looks wrong for a moment is never called damage."""
    s = tool.fresh()
    holders = [Holder(s, "churn") for _ in range(4)]
    try:
        for _ in range(12):
            done = tool.json("check", s)
            equal(done["findings"], [], "findings")
            equal(done["damage"], 0, "damage")
            tool.run("ls", s, "--long", "--sort", "size")
            tool.run("classes", s)
        # Stopped anywhere, they leave notes and no damage.
        for holder in holders:
            holder.stop()
        equal(tool.json("check", s)["damage"], 0, "stopped")
        true(tool.json("stat", s)["puts"] > 0, "there was something to meet")
        holders.pop().kill()
        for holder in holders:
            holder.process.send_signal(signal.SIGCONT)
        for _ in range(5):
            equal(tool.json("check", s)["damage"], 0, "after a death")
    finally:
        for holder in holders:
            holder.kill()
    equal(tool.json("check", s)["damage"], 0, "all dead")
    # An entry that outlives the first sweeps by its TTL waits for a later one.
    for _ in range(20):
        tool.run("sweep", s, "--rounds", 6)
        done = tool.json("check", s, "--notes")
        if not done["pending"]:
            break
    equal((done["damage"], done["pending"]), (0, 0), "swept")


def damaged_files(tool):
    s = tool.fresh()
    for i in range(50):
        tool.run("put", s, f"k{i}", "v" * 300)
    entry = tool.json("info", s)
    with open(s, "r+b") as f:
        data = f.read()
        at = data.index(b"k17" + b"\0" * 5 + b"v" * 300)
        f.seek(at)
        f.write(b"x")
    tool.run("check", s, expect=3)
    done = tool.json("check", s, expect=3)
    true(done["damage"] >= 1 and not done["clean"], "found")
    true(done["findings"][0]["severity"] == "damage", "named")
    text = tool.text("repair", s)
    true("given up" in text, "said")
    tool.run("check", s)
    equal(tool.json("stat", s)["entries"], 49, "one is lost")
    with open(s, "r+b") as f:
        f.truncate(entry["bytes_total"] - entry["page_bytes"])
    tool.run("check", s, expect=3)
    equal(tool.json("repair", s)["check"]["clean"], True, "lengthened")
    with open(s, "r+b") as f:
        f.seek(40)
        f.write(b"\xff" * 400)
    tool.run("check", s, expect={1, 3})
    tool.run("stat", s, expect={1, 3})
    tool.run("repair", s, expect=1)


main([workers_are_named, looking_takes_no_slot, read_only_file,
      flights_are_shown, destroy_and_repair_refuse, copy_of_a_live_file,
      copies_of_what_is_live_copied_or_repaired,
      check_beside_writers, damaged_files])
