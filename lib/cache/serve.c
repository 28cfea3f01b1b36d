/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fill can serve: a lookup that tells good from stale, and holds what it
 * found.
 *
 * Unlike a get it may serve what is past its soft TTL, or for a while past its
 * hard one; never what was invalidated.
 */
#include "cache/fill.h"

#include <stdlib.h>

enum { FILL_TRIES = 64 };

static enum fill_quality judge_age(const struct fill *f, struct lookup *found)
{
	const struct entry_view *v = &found->v;
	uint64_t now;

	if ((v->flags & LARDER_KEEP) || !(v->hard_ms || v->soft_ms))
		return FILL_GOOD;
	now = larder_clock_ms();
	if (v->hard_ms && now >= v->hard_ms) {
		found->why = COUNTER_MISSES_EXPIRED;
		return now - v->hard_ms < f->stale_error_ms ? FILL_PAST_HARD
							    : FILL_NOTHING;
	}
	return v->soft_ms && now >= v->soft_ms ? FILL_PAST_SOFT : FILL_GOOD;
}

void larder_fill_find(struct worker *w, const struct fill *f,
		      struct fill_seen *seen)
{
	struct lookup *found = &seen->found;
	uint64_t now = larder_fresh_now(w->s); /* [FRE.2] first of all */

	seen->quality = FILL_NOTHING;
	seen->version = 0;
	found->why = COUNTER_NONE;
	if (!larder_find(w, f->key, f->n_key, f->hash, found))
		return;
	seen->version = found->v.e->version;
	if (entry_stamp(found->v.e) < now && !(found->v.flags & LARDER_KEEP) &&
	    !larder_fresh_check(w, found->unit, &found->v, f->hash, now)) {
		found->why = COUNTER_MISSES_INVALID;
		return;
	}
	seen->quality = judge_age(f, found);
}

void larder_view_private(struct larder_view *view, void *bytes,
			 uint64_t n_bytes)
{
	view->value = bytes;
	view->n_value = n_bytes;
	view->version = 0;
	view->lease = N_USER_HAZARDS + 1;
}

void larder_view_free(struct larder_view *view)
{
	free((void *)(uintptr_t)view->value);
}

/* No lease is left: copy out what @seen found, if it is still there. LARDER_OK,
 * LARDER_WAIT to look again, or -ENOMEM. Not pinned. */
static int copy_out(struct worker *w, const struct fill *f,
		    const struct fill_seen *seen, struct larder_view *view)
{
	uint64_t n = seen->found.v.n_value;
	void *bytes = malloc(n ? n : 1);
	struct fill_seen again;
	bool same;

	if (!bytes)
		return -ENOMEM;
	larder_pin(w);
	larder_fill_find(w, f, &again);
	same = again.quality == seen->quality &&
	       again.version == seen->version && again.found.v.n_value == n;
	if (same)
		larder_copy_unstable(bytes, again.found.v.value, n);
	same = larder_pin_ok(w) && same;
	larder_unpin(w);
	if (!same) {
		free(bytes);
		return LARDER_WAIT;
	}
	larder_view_private(view, bytes, n);
	view->version = seen->version;
	return LARDER_OK;
}

int larder_fill_serve(struct worker *w, const struct fill *f,
		      enum fill_quality least, struct fill_seen *seen,
		      struct larder_view *view)
{
	for (int tries = 0; tries < FILL_TRIES; tries++) {
		bool ours;
		int result;

		larder_pin(w);
		larder_fill_find(w, f, seen);
		if (seen->quality < least) {
			ours = larder_pin_ok(w);
			larder_unpin(w);
			if (ours)
				return LARDER_MISS;
			count(w, COUNTER_EXPELLED, 1);
			continue;
		}
		result = larder_lease_found(w, &seen->found, view);
		if (result == LARDER_LEASE_LIMIT)
			result = copy_out(w, f, seen, view);
		if (result != LARDER_WAIT)
			return result;
	}
	seen->quality = FILL_NOTHING;
	seen->version = 0;
	seen->found.why = COUNTER_NONE;
	return LARDER_MISS;
}
