/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table behind mutex, rwlock and spinlocks.
 */
#include "peers/locktable.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "peers/mapping.h"
#include "workload.h"

enum { BUCKET_WORDS = 7, BUCKET_TYPICAL = 4, UNIT = 64, SPINS = 1000 };

struct bucket {
	_Alignas(64) uint64_t word[BUCKET_WORDS]; /* 0: empty */
};

struct lock {
	_Alignas(64) union {
		pthread_mutex_t mutex;
		pthread_rwlock_t rwlock;
		atomic_uint spin;
	};
};

struct record {
	uint32_t n_key;
	uint32_t n_value;
	uint32_t n_room; /* for a value */
	char bytes[];	 /* key, value at a multiple of 8 */
};

/* At the start of the mapping. */
struct table {
	_Alignas(64) atomic_ullong next_unit;
	struct lock lock[LOCK_STRIPES];
};

struct locktable {
	enum lock_kind kind;
	struct mapping map;
	struct table *table;
	struct bucket *buckets;
	char *records;
	uint64_t n_units;
	uint32_t region_buckets;
};

static size_t value_at(uint32_t n_key)
{
	return (offsetof(struct record, bytes) + n_key + 7) & ~(size_t)7;
}

static size_t record_units(uint32_t n_key, size_t n_value)
{
	return (value_at(n_key) + n_value + UNIT - 1) / UNIT;
}

static int locks_init(struct locktable *t)
{
	pthread_mutexattr_t mutex;
	pthread_rwlockattr_t rwlock;
	int result = 0;

	if (t->kind == LOCK_MUTEX) {
		pthread_mutexattr_init(&mutex);
		pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
		result = pthread_mutex_init(&t->table->lock[0].mutex, &mutex);
		pthread_mutexattr_destroy(&mutex);
	} else if (t->kind == LOCK_RWLOCK) {
		pthread_rwlockattr_init(&rwlock);
		pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED);
		result =
			pthread_rwlock_init(&t->table->lock[0].rwlock, &rwlock);
		pthread_rwlockattr_destroy(&rwlock);
	}
	return -result;
}

int locktable_open(const struct bench_plan *plan, enum lock_kind kind,
		   void **shared)
{
	struct locktable *t = bench_alloc(sizeof *t);
	size_t n_table = sizeof *t->table, n_buckets;
	int result;

	t->kind = kind;
	t->n_units = 1;
	for (uint64_t id = 0; id < plan->n_keys; id++)
		t->n_units += record_units(
			plan->key_size,
			bench_value_size(&plan->sizes, (uint32_t)id));
	t->region_buckets =
		(uint32_t)(plan->n_keys / BUCKET_TYPICAL / LOCK_STRIPES + 4);
	n_buckets = (size_t)t->region_buckets * LOCK_STRIPES;
	result = mapping_open(&t->map,
			      n_table + n_buckets * sizeof(struct bucket) +
				      t->n_units * UNIT,
			      plan->huge);
	if (result)
		return result;
	t->table = (struct table *)(void *)t->map.base;
	t->buckets = (struct bucket *)(void *)(t->map.base + n_table);
	t->records = (char *)(t->buckets + n_buckets);
	atomic_store(&t->table->next_unit, 1);
	*shared = t;
	return locks_init(t);
}

int locktable_attach(void *shared, unsigned worker, void **session)
{
	(void)worker;
	*session = shared;
	return 0;
}

/* ------------------------------------------------------------------ */

static void spin_lock(atomic_uint *spin)
{
	for (unsigned tries = 1;; tries++) {
		if (!atomic_load_explicit(spin, memory_order_relaxed) &&
		    !atomic_exchange_explicit(spin, 1, memory_order_acquire))
			return;
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#endif
		if (tries % SPINS == 0)
			sched_yield(); /* its holder may wait for this core */
	}
}

static void lock_read(struct locktable *t, uint32_t region)
{
	if (t->kind == LOCK_SPINS)
		spin_lock(&t->table->lock[region].spin);
	else if (t->kind == LOCK_MUTEX)
		pthread_mutex_lock(&t->table->lock[0].mutex);
	else
		pthread_rwlock_rdlock(&t->table->lock[0].rwlock);
}

static void lock_write(struct locktable *t, uint32_t region)
{
	if (t->kind == LOCK_RWLOCK)
		pthread_rwlock_wrlock(&t->table->lock[0].rwlock);
	else
		lock_read(t, region);
}

static void unlock(struct locktable *t, uint32_t region)
{
	if (t->kind == LOCK_SPINS)
		atomic_store_explicit(&t->table->lock[region].spin, 0,
				      memory_order_release);
	else if (t->kind == LOCK_MUTEX)
		pthread_mutex_unlock(&t->table->lock[0].mutex);
	else
		pthread_rwlock_unlock(&t->table->lock[0].rwlock);
}

static struct record *record_at(const struct locktable *t, uint64_t word)
{
	return (struct record *)(void *)(t->records +
					 (word & ~(UINT64_C(0xffff) << 48)) *
						 UNIT);
}

/* The record of a key, or NULL and *empty the word where it would go (NULL if
 * the region is full). Locked. */
static struct record *find(const struct locktable *t,
			   const struct bench_key *key, uint64_t hash,
			   uint32_t region, uint64_t **empty)
{
	struct bucket *first = t->buckets + (size_t)region * t->region_buckets;
	uint32_t at = (uint32_t)((hash & 0xffffffff) * t->region_buckets >> 32);
	uint64_t tag = hash >> 48;

	*empty = NULL;
	for (uint32_t n = 0; n < t->region_buckets; n++) {
		struct bucket *b = first + at;

		for (unsigned i = 0; i < BUCKET_WORDS; i++) {
			struct record *r;

			if (!b->word[i]) {
				*empty = &b->word[i];
				return NULL; /* words are never emptied */
			}
			if (b->word[i] >> 48 != tag)
				continue;
			r = record_at(t, b->word[i]);
			if (r->n_key == key->n &&
			    !memcmp(r->bytes, key->bytes, key->n))
				return r;
		}
		at = at + 1 == t->region_buckets ? 0 : at + 1;
	}
	return NULL;
}

static inline uint32_t region_of(uint64_t hash)
{
	return (uint32_t)(hash >> 36) % LOCK_STRIPES;
}

int locktable_get(void *session, const struct bench_key *key, void *value,
		  size_t n_buffer, size_t *n_value)
{
	struct locktable *t = session;
	uint64_t hash = XXH3_64bits(key->bytes, key->n), *empty;
	uint32_t region = region_of(hash);
	const struct record *r;
	int result = PEER_MISS;

	lock_read(t, region);
	r = find(t, key, hash, region, &empty);
	if (r && r->n_value <= n_buffer) {
		memcpy(value, (const char *)r + value_at(r->n_key), r->n_value);
		*n_value = r->n_value;
		result = PEER_OK;
	}
	unlock(t, region);
	return result;
}

/* Room for a new record; NULL when there is none left. */
static struct record *record_new(struct locktable *t,
				 const struct bench_key *key, size_t n_value,
				 uint64_t *unit)
{
	size_t n_units = record_units(key->n, n_value);
	struct record *r;

	*unit = atomic_fetch_add(&t->table->next_unit, n_units);
	if (*unit + n_units > t->n_units)
		return NULL;
	r = record_at(t, *unit);
	r->n_key = key->n;
	r->n_room = (uint32_t)(n_units * UNIT - value_at(key->n));
	memcpy(r->bytes, key->bytes, key->n);
	return r;
}

int locktable_put(void *session, const struct bench_key *key, const void *value,
		  size_t n_value)
{
	struct locktable *t = session;
	uint64_t hash = XXH3_64bits(key->bytes, key->n), *empty, unit;
	uint32_t region = region_of(hash);
	struct record *r;
	int result = -ENOSPC;

	lock_write(t, region);
	r = find(t, key, hash, region, &empty);
	if (!r && empty) {
		r = record_new(t, key, n_value, &unit);
		if (r)
			*empty = (hash >> 48) << 48 | unit;
	}
	if (r && n_value <= r->n_room) {
		memcpy((char *)r + value_at(r->n_key), value, n_value);
		r->n_value = (uint32_t)n_value;
		result = PEER_OK;
	}
	unlock(t, region);
	return result;
}

void locktable_detach(void *session)
{
	(void)session;
}

uint64_t locktable_memory(void *shared)
{
	const struct locktable *t = shared;

	return t->map.n_bytes;
}

uint64_t locktable_huge(void *shared)
{
	const struct locktable *t = shared;

	return mapping_huge(&t->map);
}

void locktable_close(void *shared)
{
	struct locktable *t = shared;

	mapping_close(&t->map);
	free(t);
}
