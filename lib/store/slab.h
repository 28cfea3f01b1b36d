/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects: allocation, retirement and reclamation in slabs and page runs.
 *
 * The entry's header word is the truth, changed only by CAS, pinned, and under
 * a hazard on the entry; every list of free objects (hint bits, magazines,
 * retire rings) is a hint that may be lost or doubled. So there is no structure
 * whose half-done update a dying process could leave behind.
 *
 *   FREE -> ALLOC(owner) -> LIVE -> RETIRED(epoch) -> FREE
 *
 *   dies while           leaves                       repaired by
 *   allocating, filling  ALLOC of a dead owner        recovery, sweep: RETIRED
 *   linked, before LIVE  ALLOC of a dead owner        recovery, sweep: LIVE
 *   retiring             LIVE in no group             sweep: RETIRED
 *   freeing              FREE without a hint          sweep, starving class
 *   claiming a page      CLAIMED of a dead owner      sweep, takers: FREE
 *   draining a page      DRAINING of a dead owner     sweep, takers: undone
 *   claiming a run       bodies that their head denies  sweep
 *
 * Model: tests/model/slab.pml.
 */
#ifndef LARDER_STORE_SLAB_H
#define LARDER_STORE_SLAB_H

#include "worker/epoch.h"

/* Size class for an entry of n_bytes; RUN_CLASS if it takes pages of its own.
 */
static inline unsigned larder_slab_class(const struct segment *s,
					 uint64_t n_bytes)
{
	uint64_t units = div_up(n_bytes, UNIT_BYTES);

	return units <= page_units(s) ? s->class_of_units[units] : RUN_CLASS;
}

enum { EXPECT_UNITS = 16 };

/* Units of an object of this class; of a run, by its number of pages. */
static inline uint32_t larder_class_units(const struct segment *s,
					  unsigned class)
{
	return class < s->n_classes ? s->sb->class_units[class] : 0;
}

/* Units of the object at @unit, which is of this class, run or not. */
static inline uint64_t larder_object_units(const struct segment *s,
					   uint32_t unit, unsigned class)
{
	if (class != RUN_CLASS)
		return larder_class_units(s, class);
	return (uint64_t)load_relaxed(&s->page_lengths[page_of_unit(s, unit)])
	       << s->page_unit_shift;
}

/*
 * Find room for n_bytes; evicts if it must. Not while pinned. On LARDER_OK the
 * header of *unit is *header, an ALLOC of ours, under HAZARD_NEW.
 * LARDER_NO_SPACE: everything that could go is kept, leased or in hand.
 */
int larder_slab_alloc(struct worker *w, uint64_t n_bytes, uint32_t *unit,
		      uint64_t *header);

/* The same of an object of @class that is known to be free: nothing is evicted
 * for it, no page looked for. False: none is. */
bool larder_slab_take_known(struct worker *w, unsigned class, uint32_t *unit,
			    uint64_t *header);

/* Give back what was allocated and never linked; ends HAZARD_NEW. */
void larder_slab_abandon(struct worker *w, uint32_t unit, uint64_t header);

/* It is linked: ALLOC -> LIVE; ends HAZARD_NEW. */
void larder_slab_publish(struct worker *w, uint32_t unit, uint64_t header);

/*
 * Retire an entry that was just unlinked. @header was loaded before the unlink.
 * Pinned, with HAZARD_OLD on the unit; both end later by the caller's hand.
 */
void larder_slab_retire(struct worker *w, uint32_t unit, uint64_t header);

/* Free what this thread retired and whose grace period is over. @hurry: first
 * advance the epoch as often as it takes, at most GRACE times. Not pinned. */
void larder_slab_reclaim(struct worker *w, bool hurry, uint64_t patience_ms);

/* RETIRED -> FREE for one unit if its grace period is over and nobody holds
 * it, judged by @epoch and the hazard snapshot taken after it. Pinned. */
bool larder_slab_free_ripe(struct worker *w, uint32_t unit, uint64_t epoch,
			   const uint32_t *hazards, uint32_t n_hazards);

/* Ask for the lines that the next store of this class will write. */
static inline void larder_slab_expect(const struct worker *w, unsigned class)
{
	const struct segment *s = w->s;
	const struct magazine *m;
	uint32_t unit, n;

	if (class == RUN_CLASS || !w->magazine[class].n)
		return;
	m = &w->magazine[class];
	unit = m->unit[m->n - 1];
	n = (uint32_t)min_u64(larder_class_units(s, class), EXPECT_UNITS);
	for (uint32_t i = 0; i < n; i++)
		__builtin_prefetch(entry_at(s, unit + i), 1);
	__builtin_prefetch(&s->main_bits[unit >> 6], 1);
}

/* This thread's magazines and rings back into shared hints. Not pinned. */
void larder_slab_flush(struct worker *w);

/* Finish what slot @slot's owner of @generation had in hand when it died. */
void larder_slab_recover_unit(struct worker *w, uint32_t unit, uint32_t slot,
			      uint32_t generation);

/* Tell others that @unit is free. */
void larder_slab_hint(struct worker *w, unsigned class, uint32_t unit);

/*
 * Sweep one page: finish, free and announce what is found; entries that are
 * expired or invalid go. Not pinned. Counts go to @census.
 */
struct census {
	uint64_t n_live, n_kept_units, n_region_units, n_probation[MAX_CLASSES],
		n_main[MAX_CLASSES], n_pages[MAX_CLASSES], n_free_pages;
};
void larder_slab_sweep_page(struct worker *w, uint32_t page,
			    struct census *census);

/* Every FREE object of the class gets its hint back, the orphans among the
 * others are finished: magazines of the idle and of the dead are the usual
 * reason why a class looks empty and is not. True if any was found. Not pinned.
 */
bool larder_slab_audit(struct worker *w, unsigned class);

/* Is the object a valid start for its page's class? *class is RUN_CLASS for a
 * run's head. */
bool larder_unit_in_page(const struct segment *s, uint32_t unit,
			 uint64_t page_word, unsigned *class);

/* The header at a unit that a hint names, HEADER_NONE if the page has no object
 * there: it is looked at only where it is one, for elsewhere somebody may be
 * writing a value. The caller's hazard keeps the page as its word says. */
uint64_t larder_header_in_page(const struct segment *s, uint32_t unit,
			       uint64_t page_word, unsigned *class);

#endif
