/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removal: one CAS on the slot word, then the entry is retired. It stops no
 * fill that is under way; invalidating the key does.
 */
#include "cache/cache.h"

#include <string.h>

#include "store/evict.h"

static int take_away(struct larder *h, const void *key, size_t n_key,
		     const uint64_t *version)
{
	int error, outcome = LARDER_MISS;
	struct worker *w = worker_of(h, &error);
	enum index_result result = INDEX_CHANGED;
	uint64_t hash;

	if (!w)
		return error;
	if (!key_valid(key, n_key))
		return -EINVAL;
	hash = key_hash_of(w->s, key, n_key);
	for (int tries = 0; tries < CHANGE_TRIES && result != INDEX_DONE;
	     tries++) {
		struct group *g = group_of(w->s, hash);
		struct lookup there;
		uint64_t ctl, header, now;
		unsigned class;
		bool was_valid = false;

		result = INDEX_DONE;
		larder_pin(w);
		now = larder_fresh_now(w->s);
		ctl = load_acquire(
			&g->ctl); /* a put that was announced counts */
		if (ctl_index(ctl))
			result = larder_index_help(w, g, ctl);
		if (result == INDEX_DONE &&
		    larder_find(w, key, n_key, hash, &there)) {
			uint64_t page =
				load_acquire(&w->s->page_words[page_of_unit(
					w->s, there.unit)]);
			was_valid = larder_still_valid(w, hash, &there, now);
			if (there.v.flags & LARDER_REGION) {
				outcome = LARDER_KEPT;
			} else if (version && there.v.e->version != *version) {
				outcome = LARDER_CHANGED;
			} else if (!larder_hazard_set(w, HAZARD_OLD,
						      there.unit)) {
				result = INDEX_EXPELLED;
			} else {
				header = load_acquire(
					&entry_at(w->s, there.unit)->header);
				result = larder_unit_in_page(w->s, there.unit,
							     page, &class)
						 ? larder_index_unlink(
							   w, g, there.slot,
							   there.word)
						 : INDEX_CHANGED;
				if (result == INDEX_DONE) {
					larder_slab_retire(w, there.unit,
							   header);
					larder_evict_unlinked(w, class,
							      there.unit);
					if (there.v.flags & LARDER_KEEP)
						larder_evict_keep(
							w,
							&w->s->hot->kept_units,
							class, there.unit,
							false);
					outcome = was_valid ? LARDER_OK
							    : LARDER_MISS;
					count(w, COUNTER_REMOVES, was_valid);
				}
			}
		} else if (result == INDEX_DONE) {
			outcome = LARDER_MISS;
		}
		if (result == INDEX_DONE && !larder_pin_ok(w) &&
		    outcome != LARDER_OK)
			result = INDEX_EXPELLED;
		larder_hazard_clear(w, HAZARD_OLD);
		larder_unpin(w);
	}
	larder_upkeep(w);
	return result == INDEX_DONE ? outcome : LARDER_ERR_DAMAGED;
}

int larder_remove(struct larder *h, const void *key, size_t n_key)
{
	return take_away(h, key, n_key, NULL);
}

int larder_remove_version(struct larder *h, const void *key, size_t n_key,
			  uint64_t version)
{
	return take_away(h, key, n_key, &version);
}
