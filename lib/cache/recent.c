/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker remembers of the ring, and when it does: recent.h. */
#include "cache/recent.h"

#include <string.h>

#include "base/counters.h"
#include "store/entry.h"

/* Samples: in a row that went badly, and until the next try. */
enum { STORM_PATIENCE = 8, STORM_PAUSE = 256 };

static void remember(struct recent *r, unsigned i, uint64_t cell, uint64_t n)
{
	uint64_t fingerprint = cell >> RING_SHIFT;
	bool known = ring_cell_is(cell, n) && fingerprint != RING_WILD;

	r->wild |= (uint32_t)!known << i;
	r->fingerprint[i] = (uint32_t)fingerprint;
	for (unsigned k = 0; k < 2; k++) {
		uint32_t place = tag_mask_place(fingerprint, k, UINT32_MAX);

		r->word[k][i] = place / 32;
		r->bit[k][i] = UINT32_C(1) << place % 32;
	}
}

bool larder_recent_follow(struct worker *w)
{
	struct recent *r = &w->recent;
	uint64_t now = load_acquire(&w->s->hot->stamp);
	uint64_t n_new = min_u64(now - r->now, RECENT);
	size_t n_kept = (RECENT - n_new) * sizeof r->fingerprint[0];

	if (now & STAMP_CLOSED)
		return false;
	for (unsigned k = 0; k < 2; k++) {
		memmove(r->word[k] + n_new, r->word[k], n_kept);
		memmove(r->bit[k] + n_new, r->bit[k], n_kept);
	}
	memmove(r->fingerprint + n_new, r->fingerprint, n_kept);
	r->wild <<= n_new;
	/* Relaxed: C at @now carries the cells up to it [FRE.2]. */
	for (unsigned i = 0; i < n_new; i++)
		remember(r, i, load_relaxed(ring_of(w->s, now - i)), now - i);
	r->now = now;
	return true;
}

/*
 * A branch that is mispredicted costs more than looking at every entry from one
 * lagging hit in eight on. But where the storm road has to look twice at most
 * of those that lag, since their masks are large, it is the wrong one.
 */
void larder_recent_judge(struct worker *w)
{
	uint64_t lagged, n;
	bool storm;

	count(w, COUNTER_FRESH_SLOW, w->n_lagged);
	count(w, COUNTER_FRESH_RING, w->n_lagged);
	count(w, COUNTER_RESTAMPS, w->n_lagged);
	w->n_lagged = 0;
	lagged = load_relaxed(&w->cell->counter[COUNTER_FRESH_SLOW]);
	n = lagged - w->lagged;
	w->lagged = lagged;
	w->storm_failed = w->n_twice * 2 > n ? w->storm_failed + 1 : 0;
	w->n_twice = 0;
	if (w->storm_failed == STORM_PATIENCE) {
		w->storm_failed = 0;
		w->storm_pause = STORM_PAUSE;
	}
	/* A mask is made of words of 64 bits and looked at by their halves. */
	if (w->s->fenced || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
		return;
	storm = n * (w->storm_serial ? 16 : 8) >= w->sampled;
	if (w->storm_pause) {
		w->storm_pause--;
		storm = false;
	}
	w->storm_serial = storm ? w->handle_serial : 0;
	w->usual_serial = storm ? 0 : w->handle_serial;
}
