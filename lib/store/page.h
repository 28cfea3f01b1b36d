/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages: claiming free ones, giving them to a class or to a run.
 *
 * A page's word is the truth about it. Whoever put a page into CLAIMED or
 * DRAINING is named in the word and alone may take it further, unless dead.
 */
#ifndef LARDER_STORE_PAGE_H
#define LARDER_STORE_PAGE_H

#include "worker/epoch.h"

/* A free page for @class, initialised and announced. False: none is free, by
 * the count of them or, if @thorough, by their words: a death between the two
 * leaves the count too low. */
bool larder_page_add(struct worker *w, unsigned class, bool thorough);

/* Take a page from another class by draining it, for @class. Not pinned. */
bool larder_page_steal(struct worker *w, unsigned class);

/* Move one page from @donor to @class, if one can be drained. Not pinned. */
bool larder_page_move(struct worker *w, unsigned donor, unsigned class);

/* A run of n pages, claimed, bodies set; evicts what is there if @evict. The
 * caller writes the header and calls larder_run_open(). Not pinned. */
bool larder_run_claim(struct worker *w, uint32_t n, bool evict, uint32_t *head);
void larder_run_open(struct worker *w, uint32_t head);

/* FREE -> CLAIMED by us, and back as the next generation. */
bool larder_page_claim(struct worker *w, uint32_t page);
void larder_page_release(struct worker *w, uint32_t page);

/* Forget every hint about the page's objects. */
void larder_page_clear_bits(struct segment *s, uint32_t page);

/* The run's entry is FREE and was made so by us: give its pages back. */
void larder_run_free(struct worker *w, uint32_t head);

/* CLAIMED or DRAINING pages of a dead owner, orphaned bodies: mend. Not
 * pinned. True if the page was mended. */
bool larder_page_mend(struct worker *w, uint32_t page, uint64_t word);

/* Is the page part of a run that its head confirms? *head_page is set. */
bool larder_page_in_run(const struct segment *s, uint32_t page, uint64_t word,
			uint32_t *head_page);

/* Does something lie in it that can go nowhere else, a region or a kept run?
 * As it looks just now. Not pinned; HAZARD_OLD is used. */
bool larder_page_stays(struct worker *w, uint32_t page);

/* The word of a page that we take into CLAIMED or DRAINING. */
static inline uint64_t page_own_word(struct worker *w, unsigned state,
				     unsigned class, uint32_t generation)
{
	return page_word(state, class, generation, w->index, w->generation);
}

/* CLAIMED or DRAINING by us? */
static inline bool page_owned(struct worker *w, uint64_t word)
{
	return PAGE_OWNER(word) == w->index &&
	       PAGE_OWNER_GEN(word) == (w->generation & 0xfffff);
}

static inline bool page_owner_alive(struct segment *s, uint64_t word)
{
	uint32_t i = PAGE_OWNER(word);

	return !MUTANT(MEND_LIVING) && i < s->n_slots &&
	       (load_acquire(&s->slots[i].generation) & 0xfffff) ==
		       PAGE_OWNER_GEN(word) &&
	       larder_slot_current(s, i, load_acquire(&s->slots[i].generation));
}

static inline void class_bit_set(struct segment *s, atomic_u64 *rows,
				 unsigned class, uint32_t page)
{
	fetch_or_acqrel(&rows[class * s->class_row + (page >> 6)],
			UINT64_C(1) << (page & 63));
}

static inline void class_bit_clear(struct segment *s, atomic_u64 *rows,
				   unsigned class, uint32_t page)
{
	fetch_and_acqrel(&rows[class * s->class_row + (page >> 6)],
			 ~(UINT64_C(1) << (page & 63)));
}

static inline bool class_bit_test(const struct segment *s,
				  const atomic_u64 *rows, unsigned class,
				  uint32_t page)
{
	return load_relaxed(&rows[class * s->class_row + (page >> 6)]) >>
		       (page & 63) &
	       1;
}

/* The first page at or after @from (below n_pages) whose bit is set in the
 * class's row; n_pages if there is none. */
static inline uint32_t class_next_page(const struct segment *s,
				       const atomic_u64 *rows, unsigned class,
				       uint32_t from)
{
	const atomic_u64 *row = &rows[class * s->class_row];

	for (uint32_t word = from >> 6; word < s->class_row; word++) {
		uint64_t bits = load_relaxed(&row[word]);

		if (word == from >> 6)
			bits &= ~UINT64_C(0) << (from & 63);
		if (bits) {
			uint32_t page =
				word * 64 + (uint32_t)__builtin_ctzll(bits);

			return page < s->n_pages ? page : s->n_pages;
		}
	}
	return s->n_pages;
}

#endif
