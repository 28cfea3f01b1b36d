/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freshness of entries and of late results: fresh.h.
 *
 * A bearer (a key with its tags) is invalid at a stamp if any T of it is
 * greater: that of its key, of one of its tags, of a live pattern that matches,
 * or of everything. Everything is read last, as patterns retire into it, and
 * each set's floor after its words.
 *
 * An entry whose stamp lags a little is not compared with all of these but with
 * the few invalidations that happened since, which the ring names: an entry of
 * 50 tags under a thousand unrelated invalidations a second costs some bit
 * tests.
 */
#include "cache/fresh.h"

#include <larder/larder.h>

#include "base/counters.h"
#include "cache/pattern.h"
#include "cache/words.h"

/* Why a bearer is invalid, the last one being the weakest reason. */
enum reason { VALID, BY_KEY, BY_TAG, BY_PATTERN, BY_EVERYTHING };

/* [FRE.2] The caller loaded C before anything else; all words here are loaded
 * after it. *number is the first T found above @stamp. */
static enum reason judge(struct segment *s, const struct bearer *b,
			 uint64_t stamp, uint64_t *number)
{
	struct bearer_tag t = {0};

	*number = larder_set_number(key_set_of(s, b->key_hash), b->key_hash);
	if (*number > stamp)
		return BY_KEY;
	while (larder_bearer_tag(s, b, &t)) {
		uint64_t hash = larder_tag_hash(s, t.text, t.n_text);

		*number = larder_set_number(tag_set_of(s, hash), hash);
		if (*number > stamp)
			return BY_TAG;
	}
	*number = larder_pattern_find(s, b, stamp);
	if (*number > stamp)
		return BY_PATTERN;
	*number = load_acquire(&s->hot->everything); /* [PAT.4] last */
	return *number > stamp ? BY_EVERYTHING : VALID;
}

/* Does the entry really carry a tag of this fingerprint? */
static __attribute__((noinline)) bool carries(const struct segment *s,
					      const struct tag_block *tags,
					      uint64_t fingerprint)
{
	const struct bearer b = {.block = tags};
	struct bearer_tag t = {0};

	while (larder_bearer_tag(s, &b, &t))
		if (ring_fingerprint(larder_tag_hash(s, t.text, t.n_text)) ==
		    fingerprint)
			return true;
	return false;
}

/* A cell that was suspect: none of the entry's after all? */
static __attribute__((noinline)) bool
cell_spares(const struct segment *s, const struct tag_block *tags,
	    struct tag_mask mask, uint64_t key, uint64_t cell, uint64_t n)
{
	uint64_t fingerprint = cell >> RING_SHIFT;

	return ring_cell_is(cell, n) && fingerprint != RING_WILD &&
	       fingerprint != key &&
	       !(tag_mask_has(mask, ring_hash(fingerprint)) &&
		 carries(s, tags, fingerprint));
}

/*
 * Is what was invalidated after @stamp up to @now none of the entry's, by the
 * ring? False also means: look closer.
 *
 * Most cells are strangers', and what tells so has no branch but the one that
 * is never taken: a branch on what a bit of the mask says would be mispredicted
 * for one cell in five, and throw away what of the next gets is under way.
 */
static inline bool ring_spares(const struct segment *s,
			       const struct tag_block *tags, uint64_t key,
			       uint64_t stamp, uint64_t now)
{
	struct tag_mask mask = tag_mask_none();

	if (unlikely(now - stamp > RING_WALK ||
		     (tags && !tag_mask_of(s, tags, &mask))))
		return false;
	for (uint64_t n = now; n > stamp; n--) {
		/* Relaxed: C at @now carries the cells up to it [FRE.2]; one
		 * that was overwritten since shows by its number. */
		uint64_t cell = load_relaxed(ring_of(s, n));
		uint64_t fingerprint = cell >> RING_SHIFT;

		if (unlikely((unsigned)tag_mask_may(mask, fingerprint) |
			     (unsigned)!ring_cell_is(cell, n) |
			     (unsigned)(fingerprint == RING_WILD) |
			     (unsigned)(fingerprint == key)) &&
		    !cell_spares(s, tags, mask, key, cell, n))
			return false;
	}
	return true;
}

/*
 * Raise the stamp to @now, up to which the entry was found valid. A write to
 * memory that may have been recycled if we were expelled: so under a hazard,
 * and only if the section was still ours once that was visible [HAZ.1].
 *
 * A plain store: of two at once the older may win, and the next hit looks at a
 * few cells once more. Nothing else of the word changes while it is linked.
 */
static inline void raise_stamp(struct worker *w, uint32_t unit, uint64_t now)
{
	struct entry *e = entry_at(w->s, unit);
	uint64_t seen;

	if (MUTANT(RESTAMP_LATE))
		now = larder_fresh_now(w->s);
	if (!larder_hazard_set(w, HAZARD_OLD, unit))
		return;
	seen = load_relaxed(&e->flags_stamp);
	if ((seen & STAMP_MASK) < now) {
		store_release(&e->flags_stamp, (seen & ~STAMP_MASK) | now);
		count(w, COUNTER_RESTAMPS, 1);
	}
	larder_hazard_clear(w, HAZARD_OLD);
}

/* At once, however little it lags: a hot entry is hit a thousand times until
 * the next invalidation, and only the first of these pays. */
bool larder_fresh_lagging(struct worker *w, uint32_t unit,
			  const struct tag_block *tags, uint64_t key_hash,
			  uint64_t stamp, uint64_t now)
{
	if (!ring_spares(w->s, tags, ring_fingerprint(key_hash), stamp, now))
		return false;
	count(w, COUNTER_FRESH_RING, 1);
	raise_stamp(w, unit, now);
	return true;
}

static bool check(struct worker *w, uint32_t unit, const struct entry_view *v,
		  uint64_t key_hash, uint64_t now)
{
	struct segment *s = w->s;
	const struct bearer b = {
		.key = v->key,
		.key_hash = key_hash,
		.n_key = v->n_key,
		.block = v->tags,
	};
	uint64_t stamp = entry_stamp(v->e), number;

	if (stamp >= now ||
	    larder_fresh_lagging(w, unit, v->tags, key_hash, stamp, now))
		return true;
	if (judge(s, &b, stamp, &number) != VALID) {
		larder_help(s, number);
		return false;
	}
	raise_stamp(w, unit, now);
	return true;
}

bool larder_fresh_check(struct worker *w, uint32_t unit,
			const struct entry_view *v, uint64_t key_hash,
			uint64_t now)
{
	if (now & STAMP_CLOSED)
		return false;
	if (v->flags & LARDER_KEEP)
		return true;
	count(w, COUNTER_FRESH_SLOW, 1);
	return check(w, unit, v, key_hash, now);
}

bool larder_fresh_sweep(struct worker *w, uint32_t unit,
			const struct entry_view *v, uint64_t key_hash)
{
	uint64_t now = larder_fresh_now(w->s);

	/* A closed segment is left as it is found. */
	if ((now & STAMP_CLOSED) || (v->flags & LARDER_KEEP))
		return true;
	return check(w, unit, v, key_hash, now);
}

bool larder_fresh_allows(struct worker *w, const struct entry_plan *plan,
			 uint64_t key_hash, uint64_t stamp)
{
	struct segment *s = w->s;
	const struct bearer b = {
		.key = plan->key,
		.key_hash = key_hash,
		.n_key = plan->n_key,
		.tags = plan->tags,
		.n_tags = plan->n_tags,
		.block = plan->raw_tags,
	};
	uint64_t number, now = larder_fresh_now(s);
	enum reason reason;

	if (MUTANT(PUT_NO_STAMP_CHECK))
		return true;
	/* A stamp that C has not reached was drawn in another segment, or this
	 * one was put aside: it says nothing here. */
	if (stamp > now || (now & STAMP_CLOSED))
		return false;
	/* Nothing has been invalidated since. What is being invalidated just
	 * now takes this store with it when C moves, as it does to what a hit
	 * found: its T is above the stamp. And the slot was loaded before @now,
	 * so that nothing fresher is displaced [FRE.4]. */
	if (stamp == now)
		return true;
	reason = judge(s, &b, stamp, &number);
	if (reason == VALID)
		return true;
	if (reason == BY_EVERYTHING &&
	    number == load_acquire(&s->hot->retired_early))
		count(w, COUNTER_REFUSED_PATTERN, 1);
	larder_help(s, number);
	return false;
}

bool larder_fresh_key(struct segment *s, const void *key, uint32_t n_key,
		      uint64_t key_hash, uint64_t stamp)
{
	const struct bearer b = {
		.key = key,
		.key_hash = key_hash,
		.n_key = n_key,
	};
	uint64_t number, now = larder_fresh_now(s);

	return stamp <= now && !(now & STAMP_CLOSED) &&
	       (stamp == now || judge(s, &b, stamp, &number) == VALID);
}
