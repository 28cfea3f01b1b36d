/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages: page.h. A class gets a free page or one that was drained of another's
 * objects; a run gets neighbours, free or drained.
 */
#include "store/page.h"

#include "base/counters.h"
#include "store/drain.h"
#include "store/entry.h"
#include "store/evict.h"
#include "store/slab.h"

bool larder_page_claim(struct worker *w, uint32_t page)
{
	atomic_u64 *word = &w->s->page_words[page];
	uint64_t seen = load_acquire(word);
	uint64_t n = load_relaxed(&w->s->hot->free_pages);

	if (PAGE_STATE(seen) != PAGE_FREE ||
	    !cas_acqrel(
		    word, &seen,
		    page_own_word(w, PAGE_CLAIMED, 0, PAGE_GENERATION(seen))))
		return false;
	while (n && !cas_acqrel(&w->s->hot->free_pages, &n, n - 1))
		; /* a hint that a death left too low */
	return true;
}

void larder_page_release(struct worker *w, uint32_t page)
{
	atomic_u64 *word = &w->s->page_words[page];
	uint64_t seen = load_acquire(word);

	if (PAGE_STATE(seen) != PAGE_CLAIMED || !page_owned(w, seen))
		return;
	store_release(word,
		      page_word(PAGE_FREE, 0, PAGE_GENERATION(seen) + 1, 0, 0));
	fetch_add_relaxed(&w->s->hot->free_pages, 1);
}

void larder_page_clear_bits(struct segment *s, uint32_t page)
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

	larder_page_clear_bits(s, page);
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

		if (!larder_page_claim(w, page))
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

bool larder_page_stays(struct worker *w, uint32_t page)
{
	struct segment *s = w->s;
	uint64_t word = load_acquire(&s->page_words[page]);
	uint32_t head = page, unit;
	bool run = larder_page_in_run(s, page, word, &head), stays = false;
	unsigned class;

	if (!run) {
		if (PAGE_STATE(word) != PAGE_ACTIVE)
			return false;
		if (!larder_class_units(s, PAGE_CLASS(word)))
			return true; /* damage: of no class */
		/* A region that is no run is the only object of its page. */
		if (larder_class_units(s, PAGE_CLASS(word)) != page_units(s))
			return false;
	}
	unit = page_first_unit(s, head);
	larder_pin(w);
	if (larder_hazard_set(w, HAZARD_OLD, unit)) {
		word = load_acquire(&s->page_words[head]); /* [HAZ.3] */
		if (HEADER_STATE(larder_header_in_page(s, unit, word,
						       &class)) == HEADER_LIVE)
			stays = entry_flags(entry_at(s, unit)) &
				(class == RUN_CLASS ? LARDER_KEEP
						    : LARDER_REGION);
	}
	larder_hazard_clear(w, HAZARD_OLD);
	larder_unpin(w);
	return stays;
}

/* Pages [head, head + n) are CLAIMED by us: make the bodies the head's. */
static void join_run(struct worker *w, uint32_t head, uint32_t n)
{
	struct segment *s = w->s;

	store_relaxed(&s->page_lengths[head], n);
	for (uint32_t i = 0; i < n; i++)
		larder_page_clear_bits(s, head + i);
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
	    !cas_acqrel(
		    word, &seen,
		    page_own_word(w, PAGE_CLAIMED, 0, PAGE_GENERATION(seen))))
		return;
	class_bit_clear(s, s->class_bits, RUN_CLASS, head);
	fetch_sub_relaxed(&s->pools[RUN_CLASS].n_pages, 1);
	larder_evict_unlinked(w, RUN_CLASS, page_first_unit(s, head));
	larder_page_clear_bits(s, head);
	if (!MUTANT(RUN_LEAK))
		free_bodies(w, head, n);
	larder_page_release(w, head);
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
		if (larder_drain_window(w, page, 1)) {
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

		/* Of the dead: it is anybody's again, or free. */
		if (PAGE_STATE(word) != PAGE_ACTIVE &&
		    larder_page_mend(w, page, word))
			word = load_relaxed(&s->page_words[page]);
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
		if (!larder_page_claim(w, first + i)) {
			while (i--)
				larder_page_release(w, first + i);
			return false;
		}
	return true;
}

/* What some pages hold, by the hands' marks. What stays has none, and is not
 * to be had. */
static uint32_t worth_of(struct worker *w, uint32_t page, uint32_t n_pages)
{
	const struct segment *s = w->s;

	enum { MAIN_TO_PROBATION = 4 };
	uint32_t from = page_first_unit(s, page) / 64, worth = 0;

	for (uint32_t i = 0; i < n_pages; i++)
		if (larder_page_stays(w, page + i))
			return UINT32_MAX;
	for (uint32_t i = 0; i < n_pages * (page_units(s) / 64); i++) {
		uint64_t main = load_relaxed(&s->main_bits[from + i]);
		uint64_t probation = load_relaxed(&s->probation_bits[from + i]);

		worth += (uint32_t)__builtin_popcountll(main) *
				 MAIN_TO_PROBATION +
			 (uint32_t)__builtin_popcountll(probation);
	}
	return worth;
}

/*
 * The first of @n_pages pages that are best given up for a large value. Of some
 * windows it is the one whose entries are worth least, mostly another large
 * value: many pages, one entry. Now and then any: where values have become
 * large, they get more pages in time.
 */
static uint32_t window_to_empty(struct worker *w, uint32_t n_pages)
{
	enum { WINDOWS = 32, ANY_ONE_IN = 16 };
	uint32_t n_starts = w->s->n_pages - n_pages + 1;
	uint32_t best = 0, least = UINT32_MAX;
	uint32_t n = random_next(&w->random) % ANY_ONE_IN ? WINDOWS : 1;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t from = (uint32_t)(random_next(&w->random) % n_starts);
		uint32_t worth = worth_of(w, from, n_pages);

		if (worth < least) {
			least = worth;
			best = from;
		}
	}
	return best;
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
	from = window_to_empty(w, n);
	last_start = s->n_pages - n;
	for (uint32_t tries = 0; tries < 16; tries++) {
		if (larder_drain_window(w, from, n)) {
			*head = from;
			join_run(w, from, n);
			return true;
		}
		from = tries < 3 ? window_to_empty(w, n)
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
				page_own_word(w, PAGE_CLAIMED, 0,
					      PAGE_GENERATION(word))))
			return false;
		/* A run that was being given back may have bodies left. */
		free_bodies(w, page, load_relaxed(&s->page_lengths[page]));
		larder_page_release(w, page);
		return true;
	case PAGE_DRAINING:
		if (page_owner_alive(s, word) ||
		    !cas_acqrel(at, &word,
				page_own_word(w, PAGE_DRAINING,
					      PAGE_CLASS(word),
					      PAGE_GENERATION(word))))
			return false;
		larder_drain_undo(w, page);
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
