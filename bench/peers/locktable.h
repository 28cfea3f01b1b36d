/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A shared-memory hash table with locks, as many have been written: the same
 * table under three kinds of lock.
 *
 * The table has 1,024 regions of buckets, a bucket is one line of seven words
 * {tag:16, unit:48}, a full bucket overflows into the next of its region. With
 * one lock it guards everything; striped, each region has one. Nothing is
 * evicted, and the holder of a lock that dies takes the table with it.
 */
#ifndef LARDER_BENCH_PEERS_LOCKTABLE_H
#define LARDER_BENCH_PEERS_LOCKTABLE_H

#include "peer.h"

enum { LOCK_STRIPES = 1024 };

enum lock_kind { LOCK_MUTEX, LOCK_RWLOCK, LOCK_SPINS };

int locktable_open(const struct bench_plan *plan, enum lock_kind kind,
		   void **shared);
int locktable_attach(void *shared, unsigned worker, void **session);
int locktable_get(void *session, const struct bench_key *key, void *value,
		  size_t n_buffer, size_t *n_value);
int locktable_put(void *session, const struct bench_key *key, const void *value,
		  size_t n_value);
void locktable_detach(void *session);
uint64_t locktable_memory(void *shared);
uint64_t locktable_huge(void *shared);
void locktable_close(void *shared);

#define LOCKTABLE_FUNCTIONS                                                    \
	.attach = locktable_attach, .get = locktable_get,                      \
	.put = locktable_put, .detach = locktable_detach,                      \
	.memory = locktable_memory, .huge = locktable_huge,                    \
	.close = locktable_close

#endif
