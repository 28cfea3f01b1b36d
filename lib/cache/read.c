/* SPDX-License-Identifier: Apache-2.0 */
/*
 * get, lease and their kin, whatever they meet; the usual hit of a get is in
 * usual.c. The hit path: no system call, no allocation, no atomic
 * read-modify-write; one store to a shared line, and only while the entry's
 * reference counter is below 3.
 */
#include "cache/usual.h"

#include <string.h>

enum { READ_TRIES = 64, MANY_AHEAD = 16 };

static void count_miss(struct worker *w, const struct lookup *found)
{
	count(w, COUNTER_MISSES, 1);
	if (found->why != COUNTER_NONE)
		count(w, found->why, 1);
}

/*
 * Copy the value of what is under the key. Expelled readers retry: each time
 * with the whole patience of the expellers ahead of them.
 */
static int read_copy(struct worker *w, const void *key, size_t n_key,
		     uint64_t hash, void *value, size_t n_buffer,
		     size_t *n_value, struct larder_info *info)
{
	struct lookup found;
	uint64_t version, size;
	int result;

	for (int tries = 0; tries < READ_TRIES; tries++) {
		larder_pin(w);
		result = larder_lookup(w, key, n_key, hash, &found);
		if (result == LARDER_OK) {
			struct larder_info seen = {.size_of = sizeof seen};

			version = found.v.e->version;
			size = found.v.n_value;
			larder_copy_unstable(value, found.v.value,
					     min_u64(size, n_buffer));
			if (unlikely(info != NULL))
				larder_info_fill(w, &found.v, &seen);
			if (unlikely(!larder_pin_ok(w)))
				goto expelled;
			larder_unpin(w);
			if (unlikely(info != NULL)) {
				seen.size_of = info->size_of;
				memcpy(info, &seen,
				       min_u64(info->size_of, sizeof seen));
			}
			if (n_value)
				*n_value = size;
			larder_count_hit(w, &found);
			count(w, COUNTER_CROSS_WORKER_HITS,
			      cross_worker(w, version));
			return likely(size <= n_buffer) ? LARDER_OK
							: LARDER_TRUNCATED;
		}
		if (likely(larder_pin_ok(w))) {
			larder_unpin(w);
			count_miss(w, &found);
			return LARDER_MISS;
		}
expelled:
		larder_unpin(w);
		count(w, COUNTER_EXPELLED, 1);
	}
	count_miss(w, &found);
	return LARDER_MISS;
}

int larder_get_unusual(struct larder *h, const void *key, size_t n_key,
		       void *value, size_t n_buffer, size_t *n_value)
{
	int error;
	struct worker *w = worker_of(h, &error);

	if (!w)
		return error;
	if (!key_valid(key, n_key) || (!value && n_buffer))
		return -EINVAL;
	return read_copy(w, key, n_key, key_hash_of(w->s, key, n_key), value,
			 n_buffer, n_value, NULL);
}

int larder_get_info(struct larder *h, const void *key, size_t n_key,
		    void *value, size_t n_buffer, struct larder_info *info)
{
	int error;
	struct worker *w = worker_of(h, &error);

	if (!w)
		return error;
	if (!key_valid(key, n_key) || (!value && n_buffer) || !info ||
	    info->size_of < sizeof(size_t))
		return -EINVAL;
	return read_copy(w, key, n_key, key_hash_of(w->s, key, n_key), value,
			 n_buffer, NULL, info);
}

/* The first slot of this tag: where the entry most likely is. */
static const struct entry *likely_entry(const struct segment *s,
					const struct group *g, unsigned tag)
{
	for (unsigned i = 0; i < GROUP_SLOTS; i++) {
		uint64_t word = load_relaxed(&g->slot[i]);

		if (slot_tag(word) == tag && unit_valid(s, slot_unit(word)))
			return entry_at(s, slot_unit(word));
	}
	return NULL;
}

int larder_get_many(struct larder *h, struct larder_get_item *items,
		    size_t n_items)
{
	int error;
	struct worker *w = worker_of(h, &error);
	uint64_t hash[MANY_AHEAD];

	if (!w)
		return error;
	if (!items && n_items)
		return -EINVAL;
	/* Three passes over a batch, so that its cache misses overlap: groups,
	 * then entries, then values. */
	for (size_t base = 0; base < n_items; base += MANY_AHEAD) {
		size_t n = min_u64(n_items - base, MANY_AHEAD);
		struct larder_get_item *batch = items + base;

		for (size_t i = 0; i < n; i++) {
			struct group *g;

			if (!key_valid(batch[i].key, batch[i].n_key))
				continue;
			hash[i] =
				key_hash_of(w->s, batch[i].key, batch[i].n_key);
			g = group_of(w->s, hash[i]);
			__builtin_prefetch(g);
			__builtin_prefetch(&g->slot[GROUP_LINE0_SLOTS]);
		}
		for (size_t i = 0; i < n; i++) {
			const struct entry *e;

			if (!key_valid(batch[i].key, batch[i].n_key))
				continue;
			e = likely_entry(w->s, group_of(w->s, hash[i]),
					 tag_of(hash[i]));
			if (e)
				for (size_t at = 0;
				     at < min_u64(batch[i].n_buffer + 128, 512);
				     at += 64)
					__builtin_prefetch((const char *)e +
							   at);
		}
		for (size_t i = 0; i < n; i++) {
			struct larder_get_item *item = &batch[i];

			item->n_value = 0;
			if (!key_valid(item->key, item->n_key) ||
			    (!item->value && item->n_buffer)) {
				item->result = -EINVAL;
				continue;
			}
			if (larder_usual.hit(w, item->key, item->n_key, hash[i],
					     item->value, item->n_buffer,
					     &item->n_value))
				item->result = LARDER_OK;
			else
				item->result = read_copy(
					w, item->key, item->n_key, hash[i],
					item->value, item->n_buffer,
					&item->n_value, NULL);
		}
	}
	return 0;
}

/* ------------------------------------------------------------------ */
/* Leases                                                              */

/*
 * view->lease names the hazard, and the attachment that it is of: a view that
 * was taken before a detachment, a fork, or the move to another segment is none
 * of what the thread holds now. A private copy has no attachment.
 */
enum { LEASE_SHIFT = 8 };

int larder_lease_found(struct worker *w, const struct lookup *found,
		       struct larder_view *view)
{
	uint32_t units = (uint32_t)div_up(found->v.n_bytes, UNIT_BYTES);
	uint64_t leased = load_relaxed(&w->slot->leased_units);
	uint64_t limit = (w->s->bytes >> UNIT_SHIFT) / 32;
	unsigned k = 0;

	while (k < N_USER_HAZARDS && w->lease[k].unit)
		k++;
	if (k == N_USER_HAZARDS || (leased && leased + units > limit)) {
		larder_unpin(w);
		count(w, COUNTER_LEASES_REFUSED, 1);
		return LARDER_LEASE_LIMIT;
	}
	view->value = found->v.value;
	view->n_value = found->v.n_value;
	view->version = found->v.e->version;
	view->lease = w->attachment << LEASE_SHIFT | (k + 1);
	/* [HAZ.1] Set, then validate: once the section is over, the hazard
	 * alone holds the entry. */
	if (!larder_hazard_set(w, k, found->unit)) {
		larder_unpin(w);
		count(w, COUNTER_EXPELLED, 1);
		memset(view, 0, sizeof *view);
		return LARDER_WAIT;
	}
	larder_unpin(w);
	w->lease[k].unit = found->unit;
	w->lease[k].units = units;
	store_relaxed(&w->slot->leased_units, leased + units);
	count(w, COUNTER_LEASES, 1);
	return LARDER_OK;
}

int larder_lease(struct larder *h, const void *key, size_t n_key,
		 struct larder_view *view)
{
	int error, result;
	struct worker *w = worker_of(h, &error);
	struct lookup found;
	uint64_t hash;

	if (!w)
		return error;
	if (!key_valid(key, n_key) || !view)
		return -EINVAL;
	hash = key_hash_of(w->s, key, n_key);
	for (int tries = 0; tries < READ_TRIES; tries++) {
		larder_pin(w);
		result = larder_lookup(w, key, n_key, hash, &found);
		if (result == LARDER_OK) {
			struct larder_view leased;

			result = larder_lease_found(w, &found, &leased);
			if (result == LARDER_WAIT)
				continue;
			if (result == LARDER_OK) {
				*view = leased;
				larder_count_hit(w, &found);
				if (cross_worker(w, leased.version))
					count(w, COUNTER_CROSS_WORKER_HITS, 1);
			}
			return result;
		}
		if (larder_pin_ok(w)) {
			larder_unpin(w);
			break;
		}
		larder_unpin(w);
		count(w, COUNTER_EXPELLED, 1);
	}
	count_miss(w, &found);
	return LARDER_MISS;
}

void larder_release(struct larder *h, struct larder_view *view)
{
	struct worker *w = larder_workers[h->id];
	uint64_t k = view->lease & ((1u << LEASE_SHIFT) - 1);

	if (k > N_USER_HAZARDS) {
		larder_view_free(view); /* a private copy of larder_fetch() */
	} else if (k && w && w->s && w->handle_serial == h->serial &&
		   w->attachment == view->lease >> LEASE_SHIFT &&
		   w->lease[k - 1].unit) {
		uint64_t leased = load_relaxed(&w->slot->leased_units);

		larder_hazard_clear(w, (unsigned)k - 1);
		store_relaxed(&w->slot->leased_units,
			      leased - w->lease[k - 1].units);
		w->lease[k - 1].unit = 0;
	}
	memset(view, 0, sizeof *view);
}
