/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of freshness: words.h. Lock-free; every loop here goes round again
 * only because somebody else's compare-and-swap succeeded.
 */
#include "cache/words.h"

#include "base/mutant.h"

enum { NUMBER_BITS = 48 };

static uint64_t set_word(uint64_t hash, uint64_t number)
{
	return hash >> NUMBER_BITS << NUMBER_BITS | (number & STAMP_MASK);
}

static bool same_fingerprint(uint64_t word, uint64_t hash)
{
	return word >> NUMBER_BITS == hash >> NUMBER_BITS;
}

uint64_t larder_set_number(struct tag_set *set, uint64_t hash)
{
	uint64_t number = 0;

	if (MUTANT(FLOOR_FIRST))
		number = load_acquire(&set->floor);
	/* All words: two invalidators at once may have taken two for one
	 * fingerprint. */
	for (unsigned i = 0; i < TAG_WORDS; i++) {
		uint64_t word = load_acquire(&set->word[i]);

		if (same_fingerprint(word, hash))
			number = max_u64(number, word & STAMP_MASK);
	}
	/* [FLR.2] Acquire above, so that this load comes after those: who finds
	 * a word already taken by another fingerprint finds its old number
	 * here. Loaded earlier, it would miss what moves in between. */
	if (MUTANT(FLOOR_FIRST))
		return number;
	return max_u64(number, load_acquire(&set->floor));
}

/* Where a number of this hash goes: its own word, else the one with the least
 * number; free words have 0. *seen is the word as it was read. */
static unsigned place_of(struct tag_set *set, uint64_t hash, uint64_t *seen)
{
	unsigned best = 0;

	*seen = UINT64_MAX;
	for (unsigned i = 0; i < TAG_WORDS; i++) {
		uint64_t word = load_acquire(&set->word[i]);

		if (word && same_fingerprint(word, hash)) {
			*seen = word;
			return i;
		}
		if ((word & STAMP_MASK) < (*seen & STAMP_MASK)) {
			best = i;
			*seen = word;
		}
	}
	return best;
}

void larder_set_raise(struct tag_set *set, uint64_t hash, uint64_t number)
{
	for (;;) {
		uint64_t seen;
		unsigned i = place_of(set, hash, &seen);

		if (same_fingerprint(seen, hash)) {
			if ((seen & STAMP_MASK) >= number)
				return;
		} else if (seen && !MUTANT(FLOOR_LATE)) {
			/* [FLR.1] The floor first: between the two steps both
			 * hold the number, never neither. */
			raise_acqrel(&set->floor, seen & STAMP_MASK);
		}
		if (cas_acqrel(&set->word[i], &seen, set_word(hash, number))) {
			if (MUTANT(FLOOR_LATE) && !same_fingerprint(seen, hash))
				raise_acqrel(&set->floor, seen & STAMP_MASK);
			return;
		}
	}
}

enum draw larder_draw(struct segment *s, uint64_t c, uint64_t fingerprint)
{
	atomic_u64 *counter = &s->hot->stamp;
	uint64_t n = c + 1, mine = ring_cell(fingerprint, n);
	atomic_u64 *cell = ring_of(s, n);
	uint64_t seen = load_acquire(cell), now = c;

	if (ring_cell_is(seen, n)) {
		/* Announced by somebody else, or by a helper of ours: either
		 * way not ours to return with. */
		cas_acqrel(counter, &now, n);
		return now & STAMP_CLOSED ? DRAW_CLOSED : DRAW_AGAIN;
	}
	/* The cell is older than n only if C has not moved until after it was
	 * read: overwriting a newer one would erase its announcement. */
	now = load_acquire(counter);
	if (now != c)
		return now & STAMP_CLOSED ? DRAW_CLOSED : DRAW_AGAIN;
	if (!cas_acqrel(cell, &seen, mine))
		return DRAW_AGAIN;
	/* [FRE.1] release: T and the cell, to whoever loads C [FRE.2]. */
	if (cas_acqrel(counter, &now, n))
		return DRAW_DONE;
	if (now & STAMP_CLOSED)
		return DRAW_CLOSED;
	/*
	 * A helper moved C, with our cell in place. Unless we were stopped
	 * between the last look at C and the cell for so long that its low bits
	 * came round: then C is far off, and drawing once more costs nothing.
	 */
	return now - n < RING_CELLS - 1 ? DRAW_DONE : DRAW_AGAIN;
}

void larder_help(struct segment *s, uint64_t number)
{
	atomic_u64 *counter = &s->hot->stamp, *cell = ring_of(s, number);
	uint64_t c = number - 1;

	while (number && load_acquire(counter) == c) {
		uint64_t seen = load_acquire(cell);

		/* The announcement goes first, as in larder_draw(): hits that
		 * trust the ring must not find a hole. */
		if (!ring_cell_is(seen, number)) {
			if (load_acquire(counter) != c)
				return;
			if (!cas_acqrel(cell, &seen,
					ring_cell(RING_WILD, number)))
				continue;
		}
		cas_acqrel(counter, &c, number);
		return;
	}
}
