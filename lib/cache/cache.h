/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the public operations share: the handle, this thread's worker, lookup.
 */
#ifndef LARDER_CACHE_CACHE_H
#define LARDER_CACHE_CACHE_H

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <larder/larder.h>

#include "base/clock.h"
#include "base/counters.h"
#include "cache/fresh.h"
#include "store/entry.h"
#include "store/index.h"
#include "store/slab.h"
#include "worker/epoch.h"

struct fill_watch; /* fill.c: the helper thread behind larder_fill_fd() */

/* The handle is closing; the process was forked and its threads are gone; this
 * thread gives its slot back, and the fills it waited for end. */
void larder_fill_close(struct larder *handle);
void larder_fill_forked(struct larder *handle);
void larder_fill_left(struct larder *handle, const struct worker *w);

/*
 * A handle. `segment` changes only when the old one was closed; an old mapping
 * is kept until larder_close(), because leases may point into it.
 */
struct larder {
	uint32_t id;	 /* in larder_workers */
	uint64_t serial; /* never reused in a process */
	_Atomic(struct segment *) segment;
	struct segment *old;  /* closed ones: a list, the last one first */
	pthread_mutex_t lock; /* reattachment, fill_watch */
	struct larder_open_options options;
	struct larder_create_options create;
	char *path; /* or "fd:N" */
	bool by_fd;
	_Atomic(struct fill_watch *) watch;
};

/* NULL with *error set: a failure of larder_attach_thread(). */
static inline struct worker *worker_of(struct larder *h, int *error)
{
	struct worker *w = larder_workers[h->id];

	if (likely(w && w->s && w->handle_serial == h->serial &&
		   !(load_relaxed(&w->s->hot->stamp) & STAMP_CLOSED)))
		return w;
	return larder_worker_slow(h, error);
}

static inline uint64_t key_hash_of(const struct segment *s, const void *key,
				   size_t n_key)
{
	return larder_hash(s->secret, key, n_key);
}

/* False for keys that cannot be in any segment. */
static inline bool key_valid(const void *key, size_t n_key)
{
	return key && n_key - LARDER_KEY_MIN < LARDER_KEY_MAX;
}

/*
 * A change is tried anew only when somebody else's came between, or after an
 * expulsion, so nobody needs as many tries as this in a segment that is sound:
 * beyond it the words contradict each other. More of them would let a damaged
 * group hold up each of its writers for a tenth of a second, as a million did.
 */
enum { CHANGE_TRIES = 10000 };

/* Stored by another worker, or by an earlier owner of this slot? */
static inline bool cross_worker(const struct worker *w, uint64_t version)
{
	/* One comparison: who stored it cannot be predicted. */
	return version - w->first_version >= w->n_versions;
}

/* Has it expired at @now_ms? Entries that are kept never do. */
static inline bool entry_expired(const struct entry_view *v, uint64_t now_ms)
{
	return v->hard_ms && now_ms >= v->hard_ms && !(v->flags & LARDER_KEEP);
}

/*
 * Find the valid entry of a key. Pinned. LARDER_OK with *unit, *word (the slot
 * word) and *v, or LARDER_MISS. Counts nothing and raises no reference; a miss
 * because of expiry or invalidation sets *why to the counter that says so.
 */
struct lookup {
	struct group *group;
	unsigned slot; /* index of the slot in its group */
	uint64_t word;
	uint32_t unit;
	struct entry_view v;
	unsigned why; /* counter, or COUNTER_NONE */
};
int larder_lookup(struct worker *w, const void *key, size_t n_key,
		  uint64_t hash, struct lookup *found);

/* The entry of a key, valid or not: no freshness, no expiry. Pinned. */
bool larder_find(struct worker *w, const void *key, size_t n_key, uint64_t hash,
		 struct lookup *found);

/* Free the private copy behind a view whose lease is above N_USER_HAZARDS:
 * larder_fetch() made it (fill.c). */
void larder_view_free(struct larder_view *view);

/* Lease what a lookup found: user hazard, accounting. Pinned on entry, unpinned
 * on exit. LARDER_OK, LARDER_LEASE_LIMIT, or LARDER_WAIT: expelled, try again.
 */
int larder_lease_found(struct worker *w, const struct lookup *found,
		       struct larder_view *view);

/* A hit on what a lookup found: counters and reference. Unpinned is fine. */
void larder_count_hit(struct worker *w, const struct lookup *found);

void larder_sample_hit(struct worker *w, const struct lookup *found);

/* Hits are counted anew until the next one that is written down; and it is
 * judged how these went. */
void larder_sample_begin(struct worker *w);

/* Fill @info from a view. */
void larder_info_fill(struct worker *w, const struct entry_view *v,
		      struct larder_info *info);

/* Is what was found still valid, as a hit would see it? Counts nothing. @now
 * was loaded before it was found. Pinned. */
bool larder_still_valid(struct worker *w, uint64_t hash,
			const struct lookup *there, uint64_t now);

/*
 * A stamp says nothing in another segment than its own, however alike their
 * counters are. So one that is handed out has its segment's mark above it, and
 * one with another mark is taken for the greatest, which no counter has
 * reached.
 */
static inline uint64_t token_mark(const struct segment *s)
{
	uint16_t mark;

	memcpy(&mark, s->sb->id, sizeof mark);
	return (uint64_t)mark << 48;
}

static inline uint64_t token_stamp(const struct segment *s,
				   const struct larder_token *token)
{
	return (token->stamp & ~STAMP_MASK) == token_mark(s)
		       ? token->stamp & STAMP_MASK
		       : STAMP_MASK;
}

/* Every few changes: free what is ripe, move the epoch on, see who died. Not
 * pinned. */
void larder_upkeep(struct worker *w);

/* How a store decides. */
enum store_mode {
	STORE_PUT,
	STORE_ADD,
	STORE_REPLACE,
	STORE_CAS,
	STORE_FILL, /* put with a token */
};
int larder_store(struct worker *w, enum store_mode mode, const void *key,
		 size_t n_key, const void *value, size_t n_value,
		 uint64_t expected_version,
		 const struct larder_put_options *options,
		 const struct larder_token *token);

/* larder_put() for a value whose address is decided later: a region. If there
 * is one it stays: LARDER_KEPT. */
int larder_store_region(struct worker *w, const void *key, size_t n_key,
			uint64_t n_value);

#endif
