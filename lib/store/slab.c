/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects: slab.h. Allocation tries, in this order: what this thread knows to
 * be free, what shared hints say, a free page, its own retired objects,
 * eviction within the class, a page of another class.
 */
#include "store/slab.h"

#include <stdlib.h>

#include <larder/larder.h>

#include "base/counters.h"
#include "store/entry.h"
#include "store/evict.h"
#include "store/grace.h"
#include "store/page.h"

enum {
	RECLAIM_SHARE = 128, /* freed at a time where there is no hurry */
	AHEAD = 8,	     /* headers asked for before they are needed */
};

bool larder_unit_in_page(const struct segment *s, uint32_t unit, uint64_t word,
			 unsigned *class)
{
	uint32_t offset = (unit - s->first_unit) & (page_units(s) - 1);
	uint32_t units;

	switch (PAGE_STATE(word)) {
	case PAGE_RUN_HEAD:
		*class = RUN_CLASS;
		return offset == 0;
	case PAGE_ACTIVE:
	case PAGE_DRAINING:
		*class = PAGE_CLASS(word);
		units = larder_class_units(s, *class);
		return units && offset % units == 0 &&
		       offset + units <= page_units(s);
	default:
		return false;
	}
}

uint64_t larder_header_in_page(const struct segment *s, uint32_t unit,
			       uint64_t word, unsigned *class)
{
	return larder_unit_in_page(s, unit, word, class)
		       ? load_acquire(&entry_at(s, unit)->header)
		       : HEADER_NONE;
}

void larder_slab_hint(struct worker *w, unsigned class, uint32_t unit)
{
	struct segment *s = w->s;
	uint32_t page = page_of_unit(s, unit);

	bit_set(s->hint_bits, unit);
	if (!class_bit_test(s, s->avail_bits, class, page))
		class_bit_set(s, s->avail_bits, class, page);
}

/* ------------------------------------------------------------------ */
/* Allocation                                                          */

/* FREE -> ALLOC by us, if the hint was right. Leaves HAZARD_NEW on success. */
static bool take(struct worker *w, unsigned class, uint32_t unit,
		 uint64_t *header)
{
	struct segment *s = w->s;
	atomic_u64 *at = &entry_at(s, unit)->header;
	bool taken = false;
	unsigned found;
	uint64_t seen = HEADER_NONE, next;

	larder_pin(w);
	/* [HAZ.3] The page word is read after the hazard is set: a drainer
	 * either meets the hazard or has left ACTIVE before we look. */
	if (larder_hazard_set(w, HAZARD_NEW, unit)) {
		uint64_t word =
			load_acquire(&s->page_words[page_of_unit(s, unit)]);

		if (PAGE_STATE(word) == PAGE_ACTIVE)
			seen = larder_header_in_page(s, unit, word, &found);
		if (HEADER_STATE(seen) == HEADER_FREE && found == class &&
		    larder_may_write(w)) {
			next = header_word(HEADER_ALLOC, w->index,
					   HEADER_GENERATION(seen) + 1,
					   w->generation);
			taken = cas_acqrel(at, &seen, next);
			*header = next;
		}
		if (!taken)
			larder_hazard_clear(w, HAZARD_NEW);
	}
	larder_unpin(w);
	return taken;
}

/* Move the hint bits of one page into the magazine. */
static bool refill_from_page(struct worker *w, unsigned class, uint32_t page)
{
	struct segment *s = w->s;
	struct magazine *m = &w->magazine[class];
	uint32_t first = page_first_unit(s, page) >> 6;
	uint32_t n_words = page_units(s) / 64;

	for (uint32_t i = 0; i < n_words; i++) {
		atomic_u64 *word = &s->hint_bits[first + i];
		uint64_t bits;

		if (!load_relaxed(word))
			continue;
		if (m->n == MAGAZINE)
			return true;
		bits = exchange_acqrel(word, 0);
		while (bits && m->n < MAGAZINE) {
			m->unit[m->n++] = (first + i) * 64 +
					  (uint32_t)__builtin_ctzll(bits);
			bits &= bits - 1;
		}
		if (bits)
			fetch_or_acqrel(word, bits);
	}
	if (m->n < MAGAZINE || n_words == 1) {
		/* Nothing was left behind; a hint set since is looked for
		 * again, so that it is not lost under a cleared bit. */
		class_bit_clear(s, s->avail_bits, class, page);
		for (uint32_t i = 0; i < n_words; i++)
			if (load_acquire(&s->hint_bits[first + i])) {
				class_bit_set(s, s->avail_bits, class, page);
				break;
			}
	}
	return m->n > 0;
}

static bool refill(struct worker *w, unsigned class)
{
	struct segment *s = w->s;
	struct pool *pool = &s->pools[class];
	uint32_t from = (uint32_t)load_relaxed(&pool->page_cursor);
	bool wrapped = false;

	if (from >= s->n_pages)
		from = 0;
	for (;;) {
		uint32_t page = class_next_page(s, s->avail_bits, class, from);

		if (page == s->n_pages) {
			if (wrapped)
				return false;
			wrapped = true;
			from = 0;
			continue;
		}
		store_relaxed(&pool->page_cursor, page);
		if (refill_from_page(w, class, page))
			return true;
		from = page + 1;
	}
}

bool larder_slab_take_known(struct worker *w, unsigned class, uint32_t *unit,
			    uint64_t *header)
{
	struct magazine *m = &w->magazine[class];

	do {
		while (m->n) {
			*unit = m->unit[--m->n];
			if (take(w, class, *unit, header))
				return true;
		}
	} while (refill(w, class));
	return false;
}

/* The slow half: make room in the class, or a page for it. */
static bool make_room(struct worker *w, unsigned class, int round)
{
	uint64_t patience = round < 2 ? PATIENCE_MS : PATIENCE_URGENT_MS;
	uint32_t n_evicted;

	larder_slab_reclaim(w, false, patience);
	if (w->magazine[class].n)
		return true;
	if (larder_page_add(w, class, round > 0))
		return true;
	if (round == 1 || round == 4) {
		larder_slots_recover(w, round == 4);
		if (larder_slab_audit(w, class))
			return true;
	}
	n_evicted = larder_evict(w, class, larder_evict_batch(w, class));
	if (n_evicted || w->retired_head != w->retired_tail)
		larder_slab_reclaim(w, true,
				    n_evicted ? patience : PATIENCE_URGENT_MS);
	if (w->magazine[class].n)
		return true;
	return round >= 2 && larder_page_steal(w, class);
}

static int alloc_object(struct worker *w, unsigned class, uint32_t *unit,
			uint64_t *header)
{
	for (int round = 0; round < 8; round++) {
		if (larder_slab_take_known(w, class, unit, header))
			return LARDER_OK;
		make_room(w, class, round);
	}
	return larder_slab_take_known(w, class, unit, header) ? LARDER_OK
							      : LARDER_NO_SPACE;
}

static int alloc_run(struct worker *w, uint64_t n_bytes, uint32_t *unit,
		     uint64_t *header)
{
	struct segment *s = w->s;
	uint32_t n = (uint32_t)div_up(n_bytes, UINT64_C(1) << s->page_shift);
	uint32_t head = 0;
	bool claimed = false;

	larder_slab_reclaim(w, false, PATIENCE_MS);
	for (int round = 0; round < 4 && !claimed; round++) {
		/* What the dead had leased stands in every window's way. */
		if (round > 0)
			larder_slots_recover(w, round == 3);
		claimed = larder_run_claim(w, n, round > 0, &head);
		if (!claimed && round == 0) {
			larder_slab_reclaim(w, true, PATIENCE_MS);
			claimed = larder_run_claim(w, n, false, &head);
		}
	}
	if (!claimed)
		return LARDER_NO_SPACE;
	*unit = page_first_unit(s, head);
	larder_pin(w);
	while (!larder_hazard_set(w, HAZARD_NEW, *unit)) {
		larder_unpin(w);
		larder_pin(w);
	}
	*header = header_word(
		HEADER_ALLOC, w->index,
		PAGE_GENERATION(load_relaxed(&s->page_words[head])) << 6,
		w->generation);
	if (MUTANT(RUN_OPEN_FIRST))
		larder_run_open(w, head);
	store_release(&entry_at(s, *unit)->header, *header);
	if (!MUTANT(RUN_OPEN_FIRST))
		larder_run_open(w, head);
	larder_unpin(w);
	return LARDER_OK;
}

int larder_slab_alloc(struct worker *w, uint64_t n_bytes, uint32_t *unit,
		      uint64_t *header)
{
	unsigned class = larder_slab_class(w->s, n_bytes);
	int result = class == RUN_CLASS ? alloc_run(w, n_bytes, unit, header)
					: alloc_object(w, class, unit, header);

	if (result == LARDER_NO_SPACE)
		count(w, COUNTER_NO_SPACE, 1);
	return result;
}

/* ------------------------------------------------------------------ */
/* From ALLOC to FREE                                                  */

/* An object became FREE by our CAS: use it, or give its pages back. */
static void freed(struct worker *w, unsigned class, uint32_t unit)
{
	struct magazine *m = &w->magazine[class];

	if (class == RUN_CLASS)
		larder_run_free(w, page_of_unit(w->s, unit));
	else if (m->n < MAGAZINE)
		m->unit[m->n++] = unit;
	else
		larder_slab_hint(w, class, unit);
}

void larder_slab_abandon(struct worker *w, uint32_t unit, uint64_t header)
{
	struct segment *s = w->s;
	uint64_t word = load_acquire(&s->page_words[page_of_unit(s, unit)]);
	unsigned class;

	/* Never linked, so nobody can have seen it: no grace period. Our own
	 * hazard and ALLOC keep the page as it is. */
	if (larder_unit_in_page(s, unit, word, &class) &&
	    cas_acqrel(
		    &entry_at(s, unit)->header, &header,
		    header_word(HEADER_FREE, 0, HEADER_GENERATION(header), 0)))
		freed(w, class, unit);
	larder_hazard_clear(w, HAZARD_NEW);
}

void larder_slab_publish(struct worker *w, uint32_t unit, uint64_t header)
{
	uint64_t word =
		load_acquire(&w->s->page_words[page_of_unit(w->s, unit)]);
	unsigned class;

	/* Lost if somebody unlinked and retired it already: then it is theirs,
	 * but for marks that came too late for them. Our hazard, set before it
	 * was announced, still names it. */
	if (!cas_acqrel(&entry_at(w->s, unit)->header, &header,
			header_word(HEADER_LIVE, 0, HEADER_GENERATION(header),
				    0)) &&
	    larder_unit_in_page(w->s, unit, word, &class))
		larder_evict_unlinked(w, class, unit);
	larder_hazard_clear(w, HAZARD_NEW);
}

void larder_slab_retire(struct worker *w, uint32_t unit, uint64_t header)
{
	struct segment *s = w->s;
	atomic_u64 *at = &entry_at(s, unit)->header;
	uint32_t generation = HEADER_GENERATION(header), n;
	uint64_t epoch;

	if (MUTANT(NO_RETIRE))
		return;
	/* [EPO.8] The epoch is read after the unlink is visible: a reader that
	 * still finds the entry has pinned this epoch or an earlier one. Who
	 * unlinked it did so by a CAS; a sweep that met it in no group has its
	 * loads in order on x86. */
	fence_after_cas();
	epoch = load_acquire(&s->hot->epoch);
	while (HEADER_GENERATION(header) == generation &&
	       (HEADER_STATE(header) == HEADER_ALLOC ||
		HEADER_STATE(header) == HEADER_LIVE)) {
		if (!larder_may_write(w))
			return; /* expelled: the sweep finds it LIVE, unlinked
				 */
		if (cas_acqrel(at, &header,
			       header_word(MUTANT(RETIRE_FREE) ? HEADER_FREE
							       : HEADER_RETIRED,
					   0, generation, (uint32_t)epoch)))
			break;
	}
	if (MUTANT(RETIRE_FREE)) {
		bit_set(s->hint_bits, unit);
		return;
	}
	n = w->retired_tail - w->retired_head;
	if (n == RETIRE_RING)
		w->retired_head++; /* a hint dropped: the sweep frees it */
	w->retired[w->retired_tail++ % RETIRE_RING] = (struct retired){
		.unit = unit,
		.epoch = (uint32_t)epoch,
	};
}

bool larder_slab_free_ripe(struct worker *w, uint32_t unit, uint64_t epoch,
			   const uint32_t *hazards, uint32_t n_hazards)
{
	struct segment *s = w->s;
	atomic_u64 *at = &entry_at(s, unit)->header;
	unsigned class;
	uint64_t seen, word;
	bool done = false;

	if (larder_hazard_has(hazards, n_hazards, unit) ||
	    !larder_hazard_set(w, HAZARD_OLD, unit))
		return false;
	word = load_acquire(&s->page_words[page_of_unit(s, unit)]);
	seen = larder_header_in_page(s, unit, word, &class);
	if (HEADER_STATE(seen) == HEADER_RETIRED &&
	    larder_grace_over(epoch, HEADER_EXTRA(seen)) && larder_may_write(w))
		done = cas_acqrel(at, &seen,
				  header_word(HEADER_FREE, 0,
					      HEADER_GENERATION(seen), 0));
	larder_hazard_clear(w, HAZARD_OLD);
	if (done)
		freed(w, class, unit);
	return done;
}

/* The head of the ring is the oldest: stop at the first that is not ripe. */
static bool ripe_head(const struct worker *w, uint64_t epoch)
{
	const struct retired *r = &w->retired[w->retired_head % RETIRE_RING];

	return w->retired_head != w->retired_tail &&
	       (uint32_t)epoch - r->epoch >= (MUTANT(GRACE_ONE) ? 1 : GRACE) &&
	       (uint32_t)epoch - r->epoch < UINT32_C(1) << 31;
}

/* Ask for the header of the i-th in the ring: beyond its tail for that of an
 * older one, which does no harm. */
static void expect_retired(const struct worker *w, uint32_t i)
{
	uint32_t unit = w->retired[(w->retired_head + i) % RETIRE_RING].unit;

	__builtin_prefetch(entry_at(w->s, unit), 1);
}

void larder_slab_reclaim(struct worker *w, bool hurry, uint64_t patience_ms)
{
	struct segment *s = w->s;
	uint32_t *hazards, n_hazards, n;
	uint64_t epoch;

	if (w->retired_head == w->retired_tail)
		return;
	if (hurry)
		larder_grace(w, patience_ms);
	/* [HAZ.2] The epoch first, then the hazards: what the epoch allows to
	 * be freed is named by a visible hazard if anybody still holds it. */
	epoch = load_acquire(&s->hot->epoch);
	if (!ripe_head(w, epoch))
		return;
	hazards = malloc(sizeof *hazards * s->n_slots * N_HAZARDS);
	if (!hazards)
		return;
	n_hazards = larder_hazard_snapshot(s, hazards);
	n = w->retired_tail - w->retired_head;
	if (!hurry)
		n = (uint32_t)min_u64(n, RECLAIM_SHARE);
	larder_pin(w);
	for (uint32_t i = 0; i < AHEAD; i++)
		expect_retired(w, i);
	while (n-- && ripe_head(w, epoch)) {
		struct retired r = w->retired[w->retired_head++ % RETIRE_RING];

		expect_retired(w, AHEAD - 1);
		if (larder_hazard_has(hazards, n_hazards, r.unit)) {
			/* Leased: to the back of the queue, as of now. */
			r.epoch = (uint32_t)epoch;
			w->retired[w->retired_tail++ % RETIRE_RING] = r;
			continue;
		}
		if (!larder_slab_free_ripe(w, r.unit, epoch, NULL, 0) &&
		    !larder_pin_ok(w)) {
			larder_unpin(w);
			larder_pin(w);
		}
	}
	larder_unpin(w);
	free(hazards);
}

void larder_slab_flush(struct worker *w)
{
	for (unsigned class = 0; class < w->s->n_classes; class ++) {
		struct magazine *m = &w->magazine[class];

		while (m->n)
			larder_slab_hint(w, class, m->unit[--m->n]);
	}
	w->retired_head = w->retired_tail; /* the sweep finds them */
	store_relaxed(&w->s->hot->audit_wanted, 1);
}
