#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Another language loads the library: no header, no compiler, no macros.

Structures are written down here by the rules of the platform's C ABI alone, so a
field that moved, a function that is a macro or not exported, and an outcome that
changed its number all fail. Usage: abi.py LIBRARY.
"""

import ctypes as c
import os
import sys
import tempfile

OK, MISS, LEAD, EXISTS, STALE_FILL, TRUNCATED = 0, 1, 3, 5, 8, 14
ERR_COMPUTE = -1014


class Create(c.Structure):
    _fields_ = [("size_of", c.c_size_t), ("bytes", c.c_uint64),
                ("mode", c.c_uint32), ("flags", c.c_uint32),
                ("group", c.c_int64), ("n_slots", c.c_uint32),
                ("policy", c.c_uint32), ("max_entries", c.c_uint64),
                ("entry_hint", c.c_uint64), ("ttl_ms", c.c_uint64),
                ("pattern_ms", c.c_uint64)]


class Tag(c.Structure):
    _fields_ = [("text", c.c_char_p), ("n_text", c.c_size_t)]


class Token(c.Structure):
    _fields_ = [("stamp", c.c_uint64), ("version", c.c_uint64)]


class Put(c.Structure):
    _fields_ = [("size_of", c.c_size_t), ("ttl_ms", c.c_uint64),
                ("soft_ttl_ms", c.c_uint64), ("jitter_percent", c.c_uint32),
                ("flags", c.c_uint32), ("cost_ns", c.c_uint64),
                ("tags", c.POINTER(Tag)), ("n_tags", c.c_size_t),
                ("token", c.POINTER(Token)), ("version", c.c_void_p)]


class View(c.Structure):
    _fields_ = [("value", c.c_void_p), ("n_value", c.c_uint64),
                ("version", c.c_uint64), ("lease", c.c_uint64)]

    def bytes(self):
        return c.string_at(self.value, self.n_value)


class Info(c.Structure):
    _fields_ = [("size_of", c.c_size_t), ("n_value", c.c_uint64),
                ("version", c.c_uint64), ("age_ms", c.c_uint64),
                ("soft_left_ms", c.c_uint64), ("ttl_left_ms", c.c_uint64),
                ("cost_ns", c.c_uint64), ("hits", c.c_uint64),
                ("flags", c.c_uint32), ("stored_by_pid", c.c_uint32),
                ("cross_worker", c.c_uint32), ("n_tags", c.c_uint32)]


COMPUTE = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_void_p)
n_failed = 0


def claim(held, what):
    global n_failed
    n_failed += not held
    print("ok  " if held else "FAIL", what)


def options(kind, **fields):
    return kind(size_of=c.sizeof(kind), **fields)


def main():
    lib = c.CDLL(sys.argv[1])
    lib.larder_strerror.restype = c.c_char_p
    lib.larder_version.restype = c.c_char_p
    claim(lib.larder_strerror(MISS) != lib.larder_strerror(OK),
          f"version {lib.larder_version().decode()} is loaded")

    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = os.path.join(folder, "segment").encode()
        create = options(Create, bytes=2 << 20, mode=0o640)
        claim(lib.larder_create(path, c.byref(create)) == OK, "created")
        claim(lib.larder_create(path, c.byref(create)) == EXISTS,
              "a second time there is one")
        h = c.c_void_p()
        claim(lib.larder_open(path, None, c.byref(h)) == OK, "opened")
        use(lib, h)
        lib.larder_close(h)
    sys.exit(1 if n_failed else 0)


def use(lib, h):
    def put(key, value, o=None):
        return lib.larder_put(h, key, c.c_size_t(len(key)), value,
                              c.c_size_t(len(value)), o and c.byref(o))

    def get(key, room=64):
        buffer, n = c.create_string_buffer(room), c.c_size_t()
        result = lib.larder_get(h, key, c.c_size_t(len(key)), buffer,
                                c.c_size_t(room), c.byref(n))
        return result, buffer.raw[:min(room, n.value)], n.value

    tags = (Tag * 2)(Tag(b"a", 1), Tag(b"model:1", 7))
    o = options(Put, ttl_ms=3600000, tags=tags, n_tags=2, cost_ns=7)
    key = b"key\0\xff"
    claim(get(key)[0] == MISS, "a miss")
    claim(put(key, b"the value", o) == OK, "put with tags and a TTL")
    claim(get(key) == (OK, b"the value", 9), "get gives the bytes")
    claim(get(key, 3) == (TRUNCATED, b"the", 9), "cut short, with the size")

    info = options(Info)
    lib.larder_get_info(h, key, c.c_size_t(5), None, c.c_size_t(0),
                        c.byref(info))
    claim((info.n_value, info.cost_ns, info.n_tags, info.stored_by_pid) ==
          (9, 7, 2, os.getpid()) and 0 < info.ttl_left_ms <= 3600010,
          "what is known of it")

    view = View()
    claim(lib.larder_lease(h, key, c.c_size_t(5), c.byref(view)) == OK and
          view.bytes() == b"the value", "leased")
    claim(lib.larder_invalidate_tag(h, b"model:1", c.c_size_t(7)) == OK,
          "its tag invalidated")
    claim(get(key)[0] == MISS and view.bytes() == b"the value",
          "a miss, and the leased bytes stay")
    lib.larder_release(h, c.byref(view))
    claim(view.value is None, "released")

    token = Token()
    lib.larder_token(h, key, c.c_size_t(5), c.byref(token))
    lib.larder_invalidate_all(h)
    late = options(Put, token=c.pointer(token))
    claim(put(key, b"late", late) == STALE_FILL, "a late fill is refused")

    calls = []

    def compute(context, result):
        calls.append(context)
        if context == 13:
            return -1
        claim(lib.larder_result_set(c.c_void_p(result), b"computed",
                                    c.c_size_t(8), None) == OK, "result set")
        return 0

    callback = COMPUTE(compute)

    def fetch(name, context):
        v = View()
        result = lib.larder_fetch(h, name, c.c_size_t(len(name)), callback,
                                  c.c_void_p(context), None, c.byref(v))
        value = v.bytes() if result == OK else None
        if result == OK:
            lib.larder_release(h, c.byref(v))
        return result, value

    claim(fetch(b"f", 12) == (OK, b"computed"), "fetch computes")
    claim(fetch(b"f", 12) == (OK, b"computed") and calls == [12],
          "once: the second is a hit")
    claim(fetch(b"g", 13) == (ERR_COMPUTE, None), "a failed computation")

    fill = (c.c_uint64 * 16)()
    claim(lib.larder_fill_begin(h, b"h", c.c_size_t(1), None, fill,
                                c.byref(view)) == LEAD, "a fill is led")
    claim(lib.larder_fill_put(h, fill, b"v", c.c_size_t(1), None) == OK and
          get(b"h") == (OK, b"v", 1), "and put")


main()
