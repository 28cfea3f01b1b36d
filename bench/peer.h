/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A system under test: one structure of functions, one file in peers/.
 *
 * The harness calls open() once, in its own process, before it forks: there a
 * peer maps shared memory or starts its server. Each worker then calls attach()
 * for a session of its own; the first worker loads every key by load() and only
 * then do the others attach. A peer with PEER_THREADS lives in one process: its
 * workers are threads of it, and open() is called there.
 *
 * Return: 0 or PEER_MISS; a negative errno is a failure and fails the run.
 */
#ifndef LARDER_BENCH_PEER_H
#define LARDER_BENCH_PEER_H

#include "bench.h"

enum { PEER_OK = 0, PEER_MISS = 1 };

enum peer_flags {
	PEER_THREADS = 1u << 0,	  /* knows one process only */
	PEER_PIPELINED = 1u << 1, /* always many keys a call */
	PEER_TEARS = 1u << 2,	  /* readers are not protected from writers */
	PEER_SURVIVES = 1u << 3,  /* a worker may be killed at any time */
	PEER_BOUNDED = 1u << 4,	  /* heeds the plan's cache_bytes */
};

/* The id is for the floor, which looks nothing up. */
struct bench_key {
	const char *bytes;
	uint32_t n;
	uint32_t id;
};

struct bench_item {
	struct bench_key key;
	void *value;	 /* get: written; put: read */
	size_t n_buffer; /* get */
	size_t n_value;	 /* get: written; put: read */
	int result;
};

struct peer {
	const char *name;
	const char *about; /* one line for --help and the report */
	unsigned flags;
	const char *program; /* that has to be installed; NULL: none */

	int (*open)(const struct bench_plan *plan, void **shared);
	int (*attach)(void *shared, unsigned worker, void **session);
	/* As put_many(), for the first filling; NULL: put_many() or put(). */
	int (*load)(void *session, struct bench_item *items, size_t n_items);
	int (*get)(void *session, const struct bench_key *key, void *value,
		   size_t n_buffer, size_t *n_value);
	int (*put)(void *session, const struct bench_key *key,
		   const void *value, size_t n_value);
	/* NULL: one after the other. */
	int (*get_many)(void *session, struct bench_item *items,
			size_t n_items);
	int (*put_many)(void *session, struct bench_item *items,
			size_t n_items);
	/* A share of housekeeping; NULL: there is none. */
	int (*sweep)(void *session);
	/* This worker rests until its next operation; may be NULL. */
	void (*rest)(void *session);
	void (*detach)(void *session);
	/* Bytes that the system holds for what is stored. */
	uint64_t (*memory)(void *shared);
	/* Of the mapping, on huge pages; may be NULL. */
	uint64_t (*huge)(void *shared);
	void (*close)(void *shared);
};

/* NULL-terminated; those that this build has. */
extern const struct peer *const bench_peers[];

const struct peer *bench_peer_find(const char *name);

#endif
