/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages: page.h. A drain or a run works on a window of pages in step, so that
 * any number of them costs the same two grace periods.
 */
#include "store/page.h"

#include <stdlib.h>
#include <time.h>

#include <larder/larder.h>

#include "base/clock.h"
#include "base/counters.h"
#include "store/evict.h"
#include "store/grace.h"
#include "store/index.h"
#include "store/slab.h"

static uint64_t own_word(struct worker *w, unsigned state, unsigned class,
			 uint32_t generation)
{
	return page_word(state, class, generation, w->index, w->generation);
}

static bool owned(struct worker *w, uint64_t word)
{
	return PAGE_OWNER(word) == w->index &&
	       PAGE_OWNER_GEN(word) == (w->generation & 0xfffff);
}

/* FREE -> CLAIMED by us. */
static bool claim_free(struct worker *w, uint32_t page)
{
	atomic_u64 *word = &w->s->page_words[page];
	uint64_t seen = load_acquire(word);
	uint64_t n = load_relaxed(&w->s->hot->free_pages);

	if (PAGE_STATE(seen) != PAGE_FREE ||
	    !cas_acqrel(word, &seen,
			own_word(w, PAGE_CLAIMED, 0, PAGE_GENERATION(seen))))
		return false;
	while (n && !cas_acqrel(&w->s->hot->free_pages, &n, n - 1))
		; /* a hint that a death left too low */
	return true;
}

/* CLAIMED by us -> FREE, next generation. */
static void release_claimed(struct worker *w, uint32_t page)
{
	atomic_u64 *word = &w->s->page_words[page];
	uint64_t seen = load_acquire(word);

	if (PAGE_STATE(seen) != PAGE_CLAIMED || !owned(w, seen))
		return;
	store_release(word,
		      page_word(PAGE_FREE, 0, PAGE_GENERATION(seen) + 1, 0, 0));
	fetch_add_relaxed(&w->s->hot->free_pages, 1);
}

/* Forget every hint about the page's objects. */
static void clear_bits(struct segment *s, uint32_t page)
{
	uint32_t first = page_first_unit(s, page) >> 6;

	for (uint32_t i = 0; i < page_units(s) / 64; i++) {
		store_relaxed(&s->hint_bits[first + i], 0);
		store_relaxed(&s->probation_bits[first + i], 0);
		store_relaxed(&s->main_bits[first + i], 0);
	}
}

/*
 * CLAIMED by us -> ACTIVE of @class: headers first, then the word with release,
 * so that whoever sees the class sees its headers; hints last.
 */
static void open_page(struct worker *w, uint32_t page, unsigned class)
{
	struct segment *s = w->s;
	uint32_t units = larder_class_units(s, class);
	uint32_t n = page_units(s) / units, first = page_first_unit(s, page);
	uint32_t generation =
		PAGE_GENERATION(load_relaxed(&s->page_words[page]));

	clear_bits(s, page);
	if (MUTANT(PAGE_OPEN_FIRST))
		store_release(&s->page_words[page],
			      page_word(PAGE_ACTIVE, class, generation, 0, 0));
	for (uint32_t i = 0; i < n; i++)
		store_relaxed(&entry_at(s, first + i * units)->header,
			      header_word(HEADER_FREE, 0, generation << 6, 0));
	store_release(&s->page_words[page],
		      page_word(PAGE_ACTIVE, class, generation, 0, 0));
	class_bit_set(s, s->class_bits, class, page);
	for (uint32_t i = 0; i < n; i++)
		bit_set(s->hint_bits, first + i * units);
	class_bit_set(s, s->avail_bits, class, page);
	fetch_add_relaxed(&s->pools[class].n_pages, 1);
}

bool larder_page_add(struct worker *w, unsigned class, bool thorough)
{
	struct segment *s = w->s;
	uint32_t from = (uint32_t)load_relaxed(&s->hot->page_cursor);
	uint64_t hint = load_relaxed(&s->hot->free_pages);

	if (!hint && !thorough)
		return false;
	for (uint32_t k = 0; k < s->n_pages; k++) {
		uint32_t page = (from + k) % s->n_pages;

		if (!claim_free(w, page))
			continue;
		store_relaxed(&s->hot->page_cursor, (page + 1) % s->n_pages);
		open_page(w, page, class);
		return true;
	}
	/* The hint was wrong, unless pages were given back meanwhile. */
	cas_acqrel(&s->hot->free_pages, &hint, 0);
	return false;
}

/* ------------------------------------------------------------------ */
/* Runs                                                                */

bool larder_page_in_run(const struct segment *s, uint32_t page, uint64_t word,
			uint32_t *head_page)
{
	uint32_t distance = PAGE_DISTANCE(word);
	uint64_t head;

	if (PAGE_STATE(word) == PAGE_RUN_HEAD) {
		*head_page = page;
		return true;
	}
	if (PAGE_STATE(word) != PAGE_RUN_BODY || !distance || distance > page)
		return false;
	*head_page = page - distance;
	head = load_acquire(&s->page_words[*head_page]);
	return PAGE_STATE(head) == PAGE_RUN_HEAD &&
	       distance < load_relaxed(&s->page_lengths[*head_page]);
}

/* Pages [head, head + n) are CLAIMED by us: make the bodies the head's. */
static void join_run(struct worker *w, uint32_t head, uint32_t n)
{
	struct segment *s = w->s;

	store_relaxed(&s->page_lengths[head], n);
	for (uint32_t i = 0; i < n; i++)
		clear_bits(s, head + i);
	for (uint32_t i = 1; i < n; i++) {
		uint64_t seen = load_relaxed(&s->page_words[head + i]);

		store_release(&s->page_words[head + i],
			      field_put(PAGE_RUN_BODY, 0, 4) |
				      field_put(PAGE_GENERATION(seen), 12, 20) |
				      field_put(i, 32, 32));
	}
}

void larder_run_open(struct worker *w, uint32_t head)
{
	struct segment *s = w->s;
	uint64_t seen = load_relaxed(&s->page_words[head]);

	store_release(&s->page_words[head],
		      page_word(PAGE_RUN_HEAD, RUN_CLASS, PAGE_GENERATION(seen),
				0, 0));
	class_bit_set(s, s->class_bits, RUN_CLASS, head);
	fetch_add_relaxed(&s->pools[RUN_CLASS].n_pages, 1);
}

/* Bodies of a head that is CLAIMED by us and was a run of length n. */
static void free_bodies(struct worker *w, uint32_t head, uint32_t n)
{
	struct segment *s = w->s;

	for (uint32_t i = 1; i < n && head + i < s->n_pages; i++) {
		atomic_u64 *word = &s->page_words[head + i];
		uint64_t seen = load_acquire(word);

		if (PAGE_STATE(seen) == PAGE_RUN_BODY &&
		    PAGE_DISTANCE(seen) == i &&
		    cas_acqrel(word, &seen,
			       page_word(PAGE_FREE, 0,
					 PAGE_GENERATION(seen) + 1, 0, 0)))
			fetch_add_relaxed(&s->hot->free_pages, 1);
	}
}

void larder_run_free(struct worker *w, uint32_t head)
{
	struct segment *s = w->s;
	atomic_u64 *word = &s->page_words[head];
	uint64_t seen = load_acquire(word);
	uint32_t n = load_relaxed(&s->page_lengths[head]);

	/* The word first: if the run was freed and its pages taken again since
	 * the caller looked, either the header is FREE no more or the word's
	 * generation has moved on and the CAS fails. */
	if (PAGE_STATE(seen) != PAGE_RUN_HEAD ||
	    HEADER_STATE(load_acquire(
		    &entry_at(s, page_first_unit(s, head))->header)) !=
		    HEADER_FREE ||
	    !cas_acqrel(word, &seen,
			own_word(w, PAGE_CLAIMED, 0, PAGE_GENERATION(seen))))
		return;
	class_bit_clear(s, s->class_bits, RUN_CLASS, head);
	fetch_sub_relaxed(&s->pools[RUN_CLASS].n_pages, 1);
	larder_evict_unlinked(w, RUN_CLASS, page_first_unit(s, head));
	clear_bits(s, head);
	if (!MUTANT(RUN_LEAK))
		free_bodies(w, head, n);
	release_claimed(w, head);
}

/* ------------------------------------------------------------------ */
/* Draining                                                            */

enum block_result { ALL_BLOCKED, SOME_LEFT, IMPOSSIBLE };

struct ripeness {
	uint64_t epoch;
	uint32_t *hazards;
	uint32_t n_hazards;
};

/* One object of a page that we drain: on towards BLOCKED. */
static enum block_result block_object(struct worker *w, uint32_t unit,
				      unsigned class, const struct ripeness *r)
{
	struct segment *s = w->s;
	atomic_u64 *header = &entry_at(s, unit)->header;
	struct entry_view v;
	uint64_t seen;

	if (!larder_hazard_set(w, HAZARD_OLD, unit))
		return SOME_LEFT;
	seen = load_acquire(header);
	if (HEADER_STATE(seen) == HEADER_LIVE) {
		if (!larder_entry_view(s, unit, &v))
			return SOME_LEFT;
		if (v.flags & (LARDER_KEEP | LARDER_REGION))
			return IMPOSSIBLE;
		larder_evict_unit(w, unit,
				  larder_hash(s->sb->secret, v.key, v.n_key),
				  class, EVICT_DRAIN);
		return SOME_LEFT;
	}
	if (HEADER_STATE(seen) == HEADER_RETIRED) {
		larder_slab_free_ripe(w, unit, r->epoch, r->hazards,
				      r->n_hazards);
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

static enum block_result block_page(struct worker *w, uint32_t page,
				    const struct ripeness *r)
{
	struct segment *s = w->s;
	unsigned class = PAGE_CLASS(load_acquire(&s->page_words[page]));
	uint32_t units = larder_class_units(s, class), first;
	enum block_result all = ALL_BLOCKED;

	first = page_first_unit(s, page);
	for (uint32_t i = 0; units && i < page_units(s) / units; i++) {
		enum block_result one;

		larder_pin(w);
		one = block_object(w, first + i * units, class, r);
		larder_hazard_clear(w, HAZARD_OLD);
		larder_unpin(w);
		if (one == IMPOSSIBLE)
			return IMPOSSIBLE;
		if (one == SOME_LEFT)
			all = SOME_LEFT;
	}
	return all;
}

/* Undo: BLOCKED -> FREE, DRAINING by us -> ACTIVE. */
static void undo_drain(struct worker *w, uint32_t page)
{
	struct segment *s = w->s;
	uint64_t word = load_acquire(&s->page_words[page]);
	unsigned class = PAGE_CLASS(word);
	uint32_t units = larder_class_units(s, class);
	uint32_t first = page_first_unit(s, page);

	if (PAGE_STATE(word) != PAGE_DRAINING || !owned(w, word) || !units)
		return;
	for (uint32_t i = 0; i < page_units(s) / units; i++) {
		atomic_u64 *header = &entry_at(s, first + i * units)->header;
		uint64_t seen = load_acquire(header);

		/* The page is ours while DRAINING: it cannot be retyped. */
		if (HEADER_STATE(seen) == HEADER_BLOCKED &&
		    cas_acqrel(header, &seen,
			       header_word(HEADER_FREE, 0,
					   HEADER_GENERATION(seen), 0)))
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
	clear_bits(s, page);
	fetch_sub_relaxed(&s->pools[class].n_pages, 1);
	store_release(&s->page_words[page],
		      own_word(w, PAGE_CLAIMED, 0, generation + 1));
}

/* Evict the run that the page belongs to. False: it is kept. */
static bool evict_run(struct worker *w, uint32_t page, uint64_t word,
		      const struct ripeness *r)
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
			if (v.flags & (LARDER_KEEP | LARDER_REGION))
				possible = false;
			else
				larder_evict_unit(w, unit,
						  larder_hash(s->sb->secret,
							      v.key, v.n_key),
						  RUN_CLASS, EVICT_DRAIN);
		} else if (HEADER_STATE(seen) == HEADER_RETIRED) {
			larder_slab_free_ripe(w, unit, r->epoch, r->hazards,
					      r->n_hazards);
		}
	}
	larder_hazard_clear(w, HAZARD_OLD);
	larder_unpin(w);
	return possible;
}

/* One pass over the window. */
static enum block_result window_pass(struct worker *w, uint32_t first,
				     uint32_t n, const struct ripeness *r)
{
	struct segment *s = w->s;
	enum block_result all = ALL_BLOCKED, one;

	for (uint32_t page = first; page < first + n; page++) {
		uint64_t word = load_acquire(&s->page_words[page]);

		switch (PAGE_STATE(word)) {
		case PAGE_FREE:
			if (!claim_free(w, page))
				all = SOME_LEFT;
			break;
		case PAGE_CLAIMED:
			if (!owned(w, word)) {
				if (page_owner_alive(s, word))
					return IMPOSSIBLE;
				larder_page_mend(w, page, word);
				all = SOME_LEFT;
			}
			break;
		case PAGE_ACTIVE:
			if (!cas_acqrel(&s->page_words[page], &word,
					own_word(w, PAGE_DRAINING,
						 PAGE_CLASS(word),
						 PAGE_GENERATION(word)))) {
				all = SOME_LEFT;
				break;
			}
			/* fall through */
		case PAGE_DRAINING:
			if (!owned(w, load_acquire(&s->page_words[page])))
				return IMPOSSIBLE;
			one = block_page(w, page, r);
			if (one == IMPOSSIBLE)
				return IMPOSSIBLE;
			if (one == SOME_LEFT)
				all = SOME_LEFT;
			break;
		case PAGE_RUN_HEAD:
		case PAGE_RUN_BODY:
			if (!evict_run(w, page, word, r))
				return IMPOSSIBLE;
			all = SOME_LEFT;
			break;
		default:
			return IMPOSSIBLE;
		}
	}
	return all;
}

static void look(struct worker *w, struct ripeness *r)
{
	r->epoch = load_acquire(&w->s->hot->epoch);
	r->n_hazards = larder_hazard_snapshot(w->s, r->hazards);
}

/* Does anybody hold a hazard on an object of the window? */
static bool window_held(const struct segment *s, uint32_t first, uint32_t n,
			const struct ripeness *r)
{
	uint32_t begin = page_first_unit(s, first);
	uint32_t end = page_first_unit(s, first + n);

	for (uint32_t i = 0; i < r->n_hazards; i++)
		if (r->hazards[i] >= begin && r->hazards[i] < end)
			return true;
	return false;
}

/* Is memory of the window leased? Its entries would be lost and the window not
 * had, for as long as the lease lasts. */
static bool window_leased(struct segment *s, uint32_t first, uint32_t n,
			  struct ripeness *r)
{
	uint64_t word = load_acquire(&s->page_words[first]);
	uint32_t head;

	r->n_hazards = larder_lease_snapshot(s, r->hazards);
	if (!r->n_hazards)
		return false;
	/* A run that began before the window: its entry is named by its head.
	 */
	if (larder_page_in_run(s, first, word, &head) &&
	    larder_hazard_has(r->hazards, r->n_hazards,
			      page_first_unit(s, head)))
		return true;
	return window_held(s, first, n, r);
}

static void undo_window(struct worker *w, uint32_t first, uint32_t n)
{
	for (uint32_t page = first; page < first + n; page++) {
		uint64_t word = load_acquire(&w->s->page_words[page]);

		if (!owned(w, word))
			continue;
		if (PAGE_STATE(word) == PAGE_DRAINING)
			undo_drain(w, page);
		else if (PAGE_STATE(word) == PAGE_CLAIMED)
			release_claimed(w, page);
	}
}

/*
 * Make every page of the window CLAIMED by us, whatever it is now. On false
 * everything is as it was, but for entries evicted.
 */
static bool take_window(struct worker *w, uint32_t first, uint32_t n)
{
	struct segment *s = w->s;
	enum block_result result = SOME_LEFT;
	struct ripeness r = {
		.hazards = malloc(sizeof(uint32_t) * s->n_slots * N_HAZARDS),
	};
	bool taken = false;

	if (!r.hazards)
		return false;
	if (window_leased(s, first, n, &r)) {
		free(r.hazards);
		return false;
	}
	for (int pass = 0; pass < 4 && result == SOME_LEFT; pass++) {
		if (pass)
			larder_grace(w, PATIENCE_URGENT_MS);
		look(w, &r);
		result = window_pass(w, first, n, &r);
	}
	if (result == ALL_BLOCKED) {
		if (MUTANT(RETYPE_EAGER)) {
			taken = true;
		} else if (larder_grace(w, PATIENCE_URGENT_MS)) {
			look(w, &r);
			taken = !window_held(s, first, n, &r);
		}
	}
	free(r.hazards);
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

bool larder_page_move(struct worker *w, unsigned donor, unsigned class)
{
	struct segment *s = w->s;
	uint32_t from = (uint32_t)(random_next(&w->random) % s->n_pages);

	for (int tries = 0; tries < 3; tries++) {
		uint32_t page = class_next_page(s, s->class_bits, donor, from);

		if (page == s->n_pages)
			page = class_next_page(s, s->class_bits, donor, 0);
		if (page == s->n_pages)
			return false;
		from = page + 1 < s->n_pages ? page + 1 : 0;
		if (PAGE_STATE(load_acquire(&s->page_words[page])) !=
		    PAGE_ACTIVE)
			continue;
		if (take_window(w, page, 1)) {
			open_page(w, page, class);
			count(w, COUNTER_PAGES_MOVED, 1);
			return true;
		}
	}
	return false;
}

bool larder_page_steal(struct worker *w, unsigned class)
{
	struct segment *s = w->s;
	uint32_t pages[MAX_CLASSES] = {0};

	for (uint32_t page = 0; page < s->n_pages; page++) {
		uint64_t word = load_relaxed(&s->page_words[page]);

		if (PAGE_STATE(word) == PAGE_ACTIVE)
			pages[PAGE_CLASS(word) % MAX_CLASSES]++;
		else if (PAGE_STATE(word) == PAGE_RUN_HEAD)
			pages[RUN_CLASS] +=
				load_relaxed(&s->page_lengths[page]);
	}
	pages[class] = 0;
	for (int donors = 0; donors < 6; donors++) {
		unsigned most = 0;

		for (unsigned c = 1; c < MAX_CLASSES; c++)
			if (pages[c] > pages[most])
				most = c;
		if (!pages[most])
			return false;
		pages[most] = 0;
		if (most == RUN_CLASS) {
			if (larder_evict(w, RUN_CLASS, 1)) {
				larder_slab_reclaim(w, true,
						    PATIENCE_URGENT_MS);
				if (larder_page_add(w, class, false))
					return true;
			}
		} else if (larder_page_move(w, most, class)) {
			return true;
		}
	}
	return false;
}

static bool claim_window(struct worker *w, uint32_t first, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (!claim_free(w, first + i)) {
			while (i--)
				release_claimed(w, first + i);
			return false;
		}
	return true;
}

bool larder_run_claim(struct worker *w, uint32_t n, bool evict, uint32_t *head)
{
	struct segment *s = w->s;
	uint32_t free_here = 0, last_start, from;

	if (n > s->n_pages)
		return false;
	for (uint32_t page = 0; page < s->n_pages; page++) {
		uint64_t word = load_relaxed(&s->page_words[page]);

		free_here = PAGE_STATE(word) == PAGE_FREE ? free_here + 1 : 0;
		if (free_here >= n && claim_window(w, page + 1 - n, n)) {
			*head = page + 1 - n;
			join_run(w, *head, n);
			return true;
		}
	}
	if (!evict)
		return false;
	/* The best one may be leased: then one after the other. */
	from = larder_evict_window(w, n);
	last_start = s->n_pages - n;
	for (uint32_t tries = 0; tries < 16; tries++) {
		if (take_window(w, from, n)) {
			*head = from;
			join_run(w, from, n);
			return true;
		}
		from = tries < 3 ? larder_evict_window(w, n)
		       : from + n <= last_start
			       ? from + n
			       : (from + 1 + tries) % (last_start + 1);
	}
	return false;
}

/* ------------------------------------------------------------------ */
/* What the dead left                                                  */

bool larder_page_mend(struct worker *w, uint32_t page, uint64_t word)
{
	struct segment *s = w->s;
	atomic_u64 *at = &s->page_words[page];
	uint32_t head;

	switch (PAGE_STATE(word)) {
	case PAGE_CLAIMED:
		if (page_owner_alive(s, word) ||
		    !cas_acqrel(at, &word,
				own_word(w, PAGE_CLAIMED, 0,
					 PAGE_GENERATION(word))))
			return false;
		/* A run that was being given back may have bodies left. */
		free_bodies(w, page, load_relaxed(&s->page_lengths[page]));
		release_claimed(w, page);
		return true;
	case PAGE_DRAINING:
		if (page_owner_alive(s, word) ||
		    !cas_acqrel(at, &word,
				own_word(w, PAGE_DRAINING, PAGE_CLASS(word),
					 PAGE_GENERATION(word))))
			return false;
		undo_drain(w, page);
		return true;
	case PAGE_RUN_BODY:
		if (larder_page_in_run(s, page, word, &head))
			return false;
		head = page - (uint32_t)min_u64(PAGE_DISTANCE(word), page);
		/* Its head may be about to be opened by a live owner. */
		uint64_t head_word = load_acquire(&s->page_words[head]);

		if (PAGE_STATE(head_word) == PAGE_CLAIMED &&
		    page_owner_alive(s, head_word))
			return false;
		if (load_acquire(at) != word ||
		    larder_page_in_run(s, page, word, &head) ||
		    !cas_acqrel(at, &word,
				page_word(PAGE_FREE, 0,
					  PAGE_GENERATION(word) + 1, 0, 0)))
			return false;
		fetch_add_relaxed(&s->hot->free_pages, 1);
		return true;
	default:
		return false;
	}
}
