/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ground that these programs stand on: folders, mounts, users, limits and
 * denied system calls that are real and belong to one program alone. Claims,
 * children and shared memory are those of tests/process.
 *
 * What a machine does not allow (mounts, other users) is skipped by name, with
 * the reason that the kernel gave.
 */
#ifndef TESTS_ENVIRONMENT_GROUND_H
#define TESTS_ENVIRONMENT_GROUND_H

#include "fresh/common.h"

#include <sys/types.h>

/* What a child returns when the machine does not allow what it is about. */
enum { NOT_ALLOWED = 77 };

/* Run one scenario in a child of its own, named on a line before its claims;
 * what it claims in vain or dies of fails the program. */
typedef int scenario(void);
void stage(const char *name, scenario *run);

/* 0 if every scenario held, and the exit status to end with. */
int curtain(void);

/* A folder of this program in /dev/shm. It goes when the program ends, also by
 * a failure or an alarm; children leave it alone. */
const char *folder(void);

/* "@folder()/@name", in static memory of 4 names. */
const char *in_folder(const char *name);

/* Take the mounts, and with @flags further namespaces (CLONE_NEW*), for this
 * process alone: as root, else in a user namespace. False with errno. */
bool own_namespaces(int flags);

/* Mount a tmpfs over @path in the own mount namespace. */
bool mount_small(const char *path, const char *options);

/* Become another user and group, for good, with no other groups. */
bool become(uid_t uid, gid_t gid);

/* Let a system call fail with @error from now on, in this process and its
 * children; only if its first argument is @first, unless that is ANY. */
#define ANY_ARGUMENT UINT32_MAX
bool deny(long number, uint32_t first, int error);

/* From now on every system call of this process but those that write, unmap and
 * end is caught and not made. False: the kernel does not allow it. */
bool catch_system_calls(void);
/* How many were caught since this was last asked. */
int system_calls_caught(void);

/* Entries of a folder, without "." and ".."; -1 if it cannot be read. */
int n_files(const char *path);

/* A segment of @bytes at in_folder(@name), created and opened. */
struct larder *segment_in(const char *name,
			  const struct larder_create_options *options);

/* Sweep, then check: claims that no invariant is broken and nothing pends. */
void claim_sound(struct larder *h, const char *when);

/* Put and get back one value of @n bytes; claims that it comes back whole. */
void claim_works(struct larder *h, const char *key, size_t n);

#endif
