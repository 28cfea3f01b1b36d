/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draining: drain.h. All pages of a window are worked on in step, so that any
 * number of them costs the same two grace periods; a third one where entries
 * move and room for them has to be made first.
 */
#include "store/drain.h"

#include <stdlib.h>

#include <larder/larder.h>

#include "base/clock.h"
#include "base/counters.h"
#include "cache/fresh.h"
#include "store/entry.h"
#include "store/evict.h"
#include "store/grace.h"
#include "store/index.h"
#include "store/page.h"
#include "store/slab.h"

enum { PASSES = 4, LAST_TO_MOVE = PASSES - 3 };

enum block_result {
	ALL_BLOCKED,
	SOME_LEFT,
	HAS_TO_MOVE, /* is kept */
	OUGHT_TO_MOVE,
	IMPOSSIBLE,
};

struct drain {
	uint64_t epoch;
	uint32_t *hazards;
	uint32_t n_hazards;
	int pass;
	bool for_run; /* pages that many classes lose to one value */
	/* Entries that found no room elsewhere, by class: kept ones, and those
	 * that a hand would spare. */
	uint32_t n_stuck[MAX_CLASSES], n_warm[MAX_CLASSES];
};

/*
 * Would a hand spare it? The class is to lose as many entries as the page has,
 * but the coldest it has, and not those that happen to lie here. Pinned.
 */
static bool is_warm(struct worker *w, uint32_t unit, const struct entry_view *v,
		    uint64_t hash)
{
	const struct segment *s = w->s;
	const struct group *g = group_of(s, hash);
	uint64_t word;
	int i = larder_index_find_unit(g, unit, &word);

	return i >= 0 && (reference_get(g, (unsigned)i) ||
			  (s->sb->policy != LARDER_POLICY_CLOCK &&
			   bit_test(s->main_bits, unit)) ||
			  larder_evict_spares(w, v));
}

/*
 * Why an entry goes, if it does. Its validity is looked at as by a sweep, which
 * raises its stamp: it may come to lie where a sweep has been in this round,
 * and is not to be what a pattern takes along that is given up after that
 * round. Pinned, HAZARD_OLD on it; not afterwards.
 */
static enum evict_reason why(struct worker *w, uint32_t unit,
			     const struct entry_view *v, uint64_t hash)
{
	if (v->hard_ms && larder_clock_ms() >= v->hard_ms)
		return EVICT_EXPIRED;
	return larder_fresh_sweep(w, unit, v, hash) ? EVICT_DRAIN
						    : EVICT_INVALID;
}

/* A live entry: it goes, unless it is to move. As above. */
static enum block_result judge_live(struct worker *w, uint32_t unit,
				    unsigned class, const struct drain *d)
{
	enum evict_reason reason;
	struct entry_view v;
	uint64_t hash;

	if (!larder_entry_view(w->s, unit, &v))
		return SOME_LEFT;
	if (v.flags & LARDER_REGION)
		return IMPOSSIBLE;
	if (v.flags & LARDER_KEEP)
		return HAS_TO_MOVE;
	hash = larder_hash(w->s->sb->secret, v.key, v.n_key);
	reason = why(w, unit, &v, hash);
	if (reason == EVICT_DRAIN && !d->for_run && d->pass <= LAST_TO_MOVE &&
	    is_warm(w, unit, &v, hash))
		return OUGHT_TO_MOVE;
	larder_evict_unit(w, unit, hash, class, reason);
	return SOME_LEFT;
}

/* One object of a page that we drain: on towards BLOCKED. */
static enum block_result block_object(struct worker *w, uint32_t unit,
				      unsigned class, const struct drain *d)
{
	struct segment *s = w->s;
	atomic_u64 *header = &entry_at(s, unit)->header;
	uint64_t seen;

	if (!larder_hazard_set(w, HAZARD_OLD, unit))
		return SOME_LEFT;
	seen = load_acquire(header);
	if (HEADER_STATE(seen) == HEADER_LIVE)
		return judge_live(w, unit, class, d);
	if (HEADER_STATE(seen) == HEADER_RETIRED) {
		larder_slab_free_ripe(w, unit, d->epoch, d->hazards,
				      d->n_hazards);
		if (!larder_hazard_set(w, HAZARD_OLD, unit))
			return SOME_LEFT;
		seen = load_acquire(header);
	}
	if (HEADER_STATE(seen) == HEADER_FREE && larder_may_write(w))
		cas_acqrel(header, &seen,
			   header_word(HEADER_BLOCKED, 0,
				       HEADER_GENERATION(seen), 0));
	return HEADER_STATE(load_acquire(header)) == HEADER_BLOCKED
		       ? ALL_BLOCKED
		       : SOME_LEFT;
}

/* The entry at @from has a copy at @to from now on, of the same version: by one
 * CAS on its slot word, as an update's. Pinned, HAZARD_OLD on @from. */
static bool replace_by_copy(struct worker *w, uint32_t from, unsigned class,
			    uint32_t to, uint64_t to_header)
{
	struct segment *s = w->s;
	const struct entry *old = entry_at(s, from);
	const size_t skip = offsetof(struct entry, version); /* the header */
	uint64_t header = load_acquire(&old->header), hash, word;
	struct entry_view v;
	struct group *g;
	int i;

	if (HEADER_STATE(header) != HEADER_LIVE ||
	    !larder_entry_view(s, from, &v) ||
	    v.n_bytes > (uint64_t)larder_class_units(s, class) << UNIT_SHIFT)
		return false;
	hash = larder_hash(s->sb->secret, v.key, v.n_key);
	g = group_of(s, hash);
	i = larder_index_find_unit(g, from, &word);
	if (i < 0)
		return false;
	/* Its stamp and hits may change meanwhile, which loses a hint; nothing
	 * else of a linked entry ever does. */
	larder_copy_unstable((unsigned char *)entry_at(s, to) + skip,
			     (const unsigned char *)old + skip,
			     v.n_bytes - skip);
	if (MUTANT(MOVE_BLIND))
		word = load_acquire(&g->slot[i]);
	if (larder_index_replace(w, g, (unsigned)i, word, tag_of(hash), to) !=
	    INDEX_DONE)
		return false;
	if (!(v.flags & LARDER_KEEP))
		larder_evict_replaced(w, class, from, class, to);
	larder_slab_publish(w, to, to_header);
	larder_slab_retire(w, from, header);
	return true;
}

/*
 * An entry of a page that we drain goes to an object of its class that is free
 * elsewhere. Whoever reads, leases, changes or removes it meanwhile meets the
 * one or the other, and a death leaves what a put's does. Not pinned. False: no
 * such object is known.
 */
static bool move_entry(struct worker *w, uint32_t from, unsigned class)
{
	uint64_t header;
	uint32_t to;
	bool moved;

	if (!larder_slab_take_known(w, class, &to, &header))
		return false;
	/* A mark that a death left in this memory would have what is kept
	 * evicted. */
	larder_evict_unlinked(w, class, to);
	larder_pin(w);
	moved = larder_hazard_set(w, HAZARD_OLD, from) &&
		replace_by_copy(w, from, class, to, header);
	larder_hazard_clear(w, HAZARD_OLD);
	larder_unpin(w);
	if (moved)
		count(w, COUNTER_ENTRIES_MOVED, 1);
	else
		larder_slab_abandon(w, to, header);
	return true;
}

/* A hint. */
static uint64_t evictable(const struct segment *s, unsigned class)
{
	return load_relaxed(&s->pools[class].n_probation) +
	       load_relaxed(&s->pools[class].n_main);
}

/*
 * Room for the entries that found none: as many others of their class are
 * evicted, but for those that are to go all the same. Where what is kept still
 * has none, a class that is to give up a page keeps its own, but for a large
 * value it gets another one. False: there is no room.
 */
static bool make_way(struct worker *w, struct drain *d)
{
	bool evicted = false;

	for (unsigned class = 0; class < w->s->n_classes; class ++) {
		uint32_t n = d->n_stuck[class], n_warm = d->n_warm[class];
		uint32_t per_page =
			page_units(w->s) / larder_class_units(w->s, class);

		d->n_stuck[class] = d->n_warm[class] = 0;
		if (d->pass >= LAST_TO_MOVE)
			n_warm = 0;
		if (n + n_warm == 0)
			continue;
		/* Not for a page that is not to be had all the same. */
		if (!d->for_run && n > evictable(w->s, class))
			return false;
		n -= (uint32_t)min_u64(n, larder_evict(w, class, n + n_warm));
		evicted = true;
		for (; n; n -= (uint32_t)min_u64(n, per_page))
			if (!d->for_run || (!larder_page_add(w, class, false) &&
					    !larder_page_steal(w, class)))
				return false;
	}
	if (evicted)
		larder_slab_reclaim(w, true, PATIENCE_URGENT_MS);
	return true;
}

static enum block_result block_page(struct worker *w, uint32_t page,
				    struct drain *d)
{
	struct segment *s = w->s;
	unsigned class = PAGE_CLASS(load_acquire(&s->page_words[page]));
	uint32_t units = larder_class_units(s, class), first;
	enum block_result all = ALL_BLOCKED;

	if (!units)
		return IMPOSSIBLE; /* damage: of no class */
	first = page_first_unit(s, page);
	for (uint32_t i = 0; i < page_units(s) / units; i++) {
		enum block_result one;

		larder_pin(w);
		one = block_object(w, first + i * units, class, d);
		larder_hazard_clear(w, HAZARD_OLD);
		larder_unpin(w);
		if (one == IMPOSSIBLE)
			return IMPOSSIBLE;
		/* Where room was short a moment ago, it is for what is kept. */
		if (one == HAS_TO_MOVE) {
			if (!move_entry(w, first + i * units, class))
				d->n_stuck[class]++;
		} else if (one == OUGHT_TO_MOVE) {
			if (d->n_stuck[class] ||
			    !move_entry(w, first + i * units, class))
				d->n_warm[class]++;
		}
		if (one != ALL_BLOCKED)
			all = SOME_LEFT;
	}
	return all;
}

void larder_drain_undo(struct worker *w, uint32_t page)
{
	struct segment *s = w->s;
	uint64_t word = load_acquire(&s->page_words[page]);
	unsigned class = PAGE_CLASS(word);
	uint32_t units = larder_class_units(s, class);
	uint32_t first = page_first_unit(s, page);

	if (PAGE_STATE(word) != PAGE_DRAINING || !page_owned(w, word) || !units)
		return;
	for (uint32_t i = 0; i < page_units(s) / units; i++) {
		atomic_u64 *header = &entry_at(s, first + i * units)->header;
		uint64_t seen = load_acquire(header);

		/* The page is ours while DRAINING: it cannot be retyped.
		 * Whoever met a hint of a free one of it meanwhile dropped
		 * that. */
		if (HEADER_STATE(seen) == HEADER_FREE ||
		    (HEADER_STATE(seen) == HEADER_BLOCKED &&
		     cas_acqrel(header, &seen,
				header_word(HEADER_FREE, 0,
					    HEADER_GENERATION(seen), 0))))
			bit_set(s->hint_bits, first + i * units);
	}
	store_release(
		&s->page_words[page],
		page_word(PAGE_ACTIVE, class, PAGE_GENERATION(word), 0, 0));
	class_bit_set(s, s->class_bits, class, page);
	class_bit_set(s, s->avail_bits, class, page);
}

/* DRAINING by us, all BLOCKED and beyond reach -> CLAIMED by us. The next
 * generation is past every header's, so that {unit, generation} never repeats.
 */
static void finish_drain(struct worker *w, uint32_t page)
{
	struct segment *s = w->s;
	uint64_t word = load_acquire(&s->page_words[page]);
	unsigned class = PAGE_CLASS(word);
	uint32_t units = larder_class_units(s, class);
	uint32_t first = page_first_unit(s, page);
	uint32_t generation = PAGE_GENERATION(word);

	for (uint32_t i = 0; units && i < page_units(s) / units; i++) {
		uint64_t h =
			load_relaxed(&entry_at(s, first + i * units)->header);
		uint32_t g = HEADER_GENERATION(h) >> 6;

		if (g > generation)
			generation = g;
		/* Marks that a death left are counted no longer. */
		larder_evict_unlinked(w, class, first + i * units);
	}
	class_bit_clear(s, s->class_bits, class, page);
	class_bit_clear(s, s->avail_bits, class, page);
	larder_page_clear_bits(s, page);
	fetch_sub_relaxed(&s->pools[class].n_pages, 1);
	store_release(&s->page_words[page],
		      page_own_word(w, PAGE_CLAIMED, 0, generation + 1));
}

/* Evict the run that the page belongs to. False: it is kept. */
static bool evict_run(struct worker *w, uint32_t page, uint64_t word,
		      const struct drain *d)
{
	struct segment *s = w->s;
	struct entry_view v;
	uint32_t head, unit;
	bool possible = true;

	if (!larder_page_in_run(s, page, word, &head))
		return larder_page_mend(w, page, word) || true;
	unit = page_first_unit(s, head);
	larder_pin(w);
	if (larder_hazard_set(w, HAZARD_OLD, unit) &&
	    PAGE_STATE(load_acquire(&s->page_words[head])) == PAGE_RUN_HEAD) {
		uint64_t seen = load_acquire(&entry_at(s, unit)->header);

		if (HEADER_STATE(seen) == HEADER_LIVE &&
		    larder_entry_view(s, unit, &v)) {
			uint64_t hash =
				larder_hash(s->sb->secret, v.key, v.n_key);

			if (v.flags & (LARDER_KEEP | LARDER_REGION))
				possible = false;
			else
				larder_evict_unit(w, unit, hash, RUN_CLASS,
						  why(w, unit, &v, hash));
		} else if (HEADER_STATE(seen) == HEADER_RETIRED) {
			larder_slab_free_ripe(w, unit, d->epoch, d->hazards,
					      d->n_hazards);
		}
	}
	larder_hazard_clear(w, HAZARD_OLD);
	larder_unpin(w);
	return possible;
}

/* One pass over the window. */
static enum block_result window_pass(struct worker *w, uint32_t first,
				     uint32_t n, struct drain *d)
{
	struct segment *s = w->s;
	enum block_result all = ALL_BLOCKED, one;

	/* All of them first: what has to move moves out of the window. */
	for (uint32_t page = first; page < first + n; page++) {
		uint64_t word = load_acquire(&s->page_words[page]);

		if (PAGE_STATE(word) == PAGE_ACTIVE)
			cas_acqrel(&s->page_words[page], &word,
				   page_own_word(w, PAGE_DRAINING,
						 PAGE_CLASS(word),
						 PAGE_GENERATION(word)));
	}
	for (uint32_t page = first; page < first + n; page++) {
		uint64_t word = load_acquire(&s->page_words[page]);

		switch (PAGE_STATE(word)) {
		case PAGE_FREE:
			if (!larder_page_claim(w, page))
				all = SOME_LEFT;
			break;
		case PAGE_CLAIMED:
		case PAGE_DRAINING:
			if (!page_owned(w, word)) {
				if (page_owner_alive(s, word))
					return IMPOSSIBLE;
				larder_page_mend(w, page, word);
				all = SOME_LEFT;
				break;
			}
			if (PAGE_STATE(word) == PAGE_CLAIMED)
				break;
			one = block_page(w, page, d);
			if (one == IMPOSSIBLE)
				return IMPOSSIBLE;
			if (one == SOME_LEFT)
				all = SOME_LEFT;
			break;
		case PAGE_ACTIVE: /* since a moment ago */
			all = SOME_LEFT;
			break;
		case PAGE_RUN_HEAD:
		case PAGE_RUN_BODY:
			if (!evict_run(w, page, word, d))
				return IMPOSSIBLE;
			all = SOME_LEFT;
			break;
		default:
			return IMPOSSIBLE;
		}
	}
	return all;
}

static void look(struct worker *w, struct drain *d)
{
	d->epoch = load_acquire(&w->s->hot->epoch);
	d->n_hazards = larder_hazard_snapshot(w->s, d->hazards);
}

/* Does anybody hold a hazard on an object of the window? */
static bool window_held(const struct segment *s, uint32_t first, uint32_t n,
			const struct drain *d)
{
	uint32_t begin = page_first_unit(s, first);
	uint32_t end = page_first_unit(s, first + n);

	for (uint32_t i = 0; i < d->n_hazards; i++)
		if (d->hazards[i] >= begin && d->hazards[i] < end)
			return true;
	return false;
}

/* Is memory of the window leased, or does something of it go nowhere else? Its
 * entries would be lost and the window not had. */
static bool window_stays(struct worker *w, uint32_t first, uint32_t n,
			 struct drain *d)
{
	struct segment *s = w->s;
	uint64_t word = load_acquire(&s->page_words[first]);
	uint32_t head;

	for (uint32_t page = first; page < first + n; page++)
		if (larder_page_stays(w, page))
			return true;
	d->n_hazards = larder_lease_snapshot(s, d->hazards);
	if (!d->n_hazards)
		return false;
	/* A run that began before the window: its entry is named by its head.
	 */
	if (larder_page_in_run(s, first, word, &head) &&
	    larder_hazard_has(d->hazards, d->n_hazards,
			      page_first_unit(s, head)))
		return true;
	return window_held(s, first, n, d);
}

static void undo_window(struct worker *w, uint32_t first, uint32_t n)
{
	for (uint32_t page = first; page < first + n; page++) {
		uint64_t word = load_acquire(&w->s->page_words[page]);

		if (!page_owned(w, word))
			continue;
		if (PAGE_STATE(word) == PAGE_DRAINING)
			larder_drain_undo(w, page);
		else if (PAGE_STATE(word) == PAGE_CLAIMED)
			larder_page_release(w, page);
	}
}

bool larder_drain_window(struct worker *w, uint32_t first, uint32_t n)
{
	struct segment *s = w->s;
	enum block_result result = SOME_LEFT;
	struct drain d = {
		.hazards = malloc(sizeof(uint32_t) * s->n_slots * N_HAZARDS),
		.for_run = n > 1,
	};
	bool taken = false;

	if (!d.hazards)
		return false;
	if (window_stays(w, first, n, &d)) {
		free(d.hazards);
		return false;
	}
	for (; d.pass < PASSES && result == SOME_LEFT; d.pass++) {
		uint64_t over;

		look(w, &d);
		result = window_pass(w, first, n, &d);
		if (result != SOME_LEFT || d.pass == PASSES - 1)
			break;
		/* What was unlinked up to here is ripe then; who made room has
		 * waited for that. */
		over = load_acquire(&s->hot->epoch) + GRACE;
		if (!make_way(w, &d))
			result = IMPOSSIBLE;
		else if (load_acquire(&s->hot->epoch) < over)
			larder_grace(w, PATIENCE_URGENT_MS);
	}
	if (result == ALL_BLOCKED) {
		if (MUTANT(RETYPE_EAGER)) {
			taken = true;
		} else if (larder_grace(w, PATIENCE_URGENT_MS)) {
			look(w, &d);
			taken = !window_held(s, first, n, &d);
		}
	}
	free(d.hazards);
	if (!taken) {
		undo_window(w, first, n);
		return false;
	}
	for (uint32_t page = first; page < first + n; page++)
		if (PAGE_STATE(load_acquire(&s->page_words[page])) ==
		    PAGE_DRAINING)
			finish_drain(w, page);
	return true;
}
