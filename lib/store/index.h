/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index: words in groups, lock-free.
 *
 * A key's entry is named by one slot word of its group. Update, removal and
 * eviction are one CAS on that word. A *new* key is announced in the group's
 * control word by one CAS, and completed by anyone: all inserts of a group pass
 * through that word, which is why no key can be there twice. No tombstones, no
 * moves; readers look at slot words only and never help.
 *
 *   insert   linearizes at H2, by whoever does it
 *   update, remove, evict   at their slot CAS
 *   hit      at the load of the slot word
 *   miss     at some point of the scan: a key stays in its slot, wherever its
 *            entry lies, so one that is there throughout is found
 *
 *   dies after           leaves                        repaired by
 *   announcing           a committed insert, ctl busy   next writer, sweep
 *   H2                   visible, ctl busy              next writer, sweep
 *   H3                   header still ALLOC             sweep (slab.h)
 *   unlinking            LIVE in no group               sweep
 *
 * Callers are pinned. Functions that change something return INDEX_EXPELLED
 * when the section was lost, having changed nothing since. Model:
 * tests/model/index.pml, whose H1, H2, H3 are named in larder_index_help().
 */
#ifndef LARDER_STORE_INDEX_H
#define LARDER_STORE_INDEX_H

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "worker/epoch.h"

static inline uint32_t slot_unit(uint64_t word)
{
	return (uint32_t)word;
}

static inline unsigned slot_tag(uint64_t word)
{
	return (unsigned)(word >> 52);
}

static inline unsigned tag_of(uint64_t hash)
{
	return (unsigned)(hash >> 52);
}

#ifdef LARDER_SHORT_VERSIONS
enum { SLOT_VERSION_BITS = 6, CTL_SEQUENCE_BITS = 8 };
#else
enum { SLOT_VERSION_BITS = 20, CTL_SEQUENCE_BITS = 28 };
#endif

/* The successor of a slot word: another unit (0: empty), next version. */
static inline uint64_t slot_next(uint64_t word, unsigned tag, uint32_t unit)
{
	uint64_t version = field_get(word, 32, SLOT_VERSION_BITS) + 1;

	if (MUTANT(SLOT_NO_VERSION))
		version = 0;
	return (uint64_t)tag << 52 | field_put(version, 32, SLOT_VERSION_BITS) |
	       unit;
}

static inline unsigned ctl_index(uint64_t ctl)
{
	return (unsigned)field_get(ctl, 32, 4);
}

static inline uint32_t ctl_unit(uint64_t ctl)
{
	return (uint32_t)ctl;
}

/* The successor of a control word: idle (index 0) or announcing. */
static inline uint64_t ctl_next(uint64_t ctl, unsigned index, uint32_t unit)
{
	uint64_t sequence = field_get(ctl, 36, CTL_SEQUENCE_BITS) + 1;

	return field_put(sequence, 36, CTL_SEQUENCE_BITS) |
	       (uint64_t)index << 32 | unit;
}

enum index_result { INDEX_DONE, INDEX_CHANGED, INDEX_EXPELLED };

/* Finish the announcement @ctl of group g, whoever made it. */
enum index_result larder_index_help(struct worker *w, struct group *g,
				    uint64_t ctl);

/* Announce @unit for empty slot i of g, whose control word was the idle @ctl
 * before the caller scanned, and complete it. INDEX_DONE: linked. Once
 * announced the insert is certain: this function then stays until it is
 * visible, and re-pins if expelled. */
enum index_result larder_index_insert(struct worker *w, struct group *g,
				      uint64_t ctl, unsigned i, unsigned tag,
				      uint32_t unit);

/* Replace the entry in slot i, whose word was @word, by @unit. */
enum index_result larder_index_replace(struct worker *w, struct group *g,
				       unsigned i, uint64_t word, unsigned tag,
				       uint32_t unit);

/* Empty slot i, whose word was @word. Only then may its entry be retired. */
enum index_result larder_index_unlink(struct worker *w, struct group *g,
				      unsigned i, uint64_t word);

/* The slot of g that names @unit: its index and *word, or -1. */
int larder_index_find_unit(const struct group *g, uint32_t unit,
			   uint64_t *word);

/* An empty slot of g, of the first line if there is one; -1 if full. */
int larder_index_find_empty(const struct group *g);

/* A group's words: the control word and the references, then the slots. */
enum {
	GROUP_FIRST_SLOT = 2,
	GROUP_SLOT_WORDS = ((1 << GROUP_SLOTS) - 1) << GROUP_FIRST_SLOT,
};
_Static_assert(offsetof(struct group, slot) == GROUP_FIRST_SLOT * 8 &&
		       GROUP_FIRST_SLOT + GROUP_SLOTS == 16,
	       "a group is sixteen words");

/*
 * The words of g that are slots and carry @tag, as a mask. Free of branches:
 * which slot it is cannot be predicted, and a mispredicted branch on a line
 * that is still on its way from memory would keep the processor from beginning
 * anything behind it. A hint: whoever uses a slot loads its word, with acquire,
 * and looks again.
 */
#if defined(__SSE2__) && !defined(LARDER_TSAN)
/* The tag is the upper 12 bits of each word's upper half: gather four halves,
 * shift, compare. */
static inline __m128i match_four(const __m128i *words, __m128i wanted)
{
	__m128 low = _mm_castsi128_ps(_mm_load_si128(words));
	__m128 high = _mm_castsi128_ps(_mm_load_si128(words + 1));
	__m128i halves = _mm_castps_si128(
		_mm_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1)));

	return _mm_cmpeq_epi32(_mm_srli_epi32(halves, 20), wanted);
}

static inline uint32_t group_match_words(const struct group *g, unsigned tag)
{
	const __m128i *words = (const __m128i *)(const void *)g;
	const __m128i wanted = _mm_set1_epi32((int)tag);
	__m128i first = _mm_packs_epi32(match_four(words, wanted),
					match_four(words + 2, wanted));
	__m128i second = _mm_packs_epi32(match_four(words + 4, wanted),
					 match_four(words + 6, wanted));

	return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(first, second)) &
	       GROUP_SLOT_WORDS;
}
#else
static inline uint32_t group_match_words(const struct group *g, unsigned tag)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < GROUP_SLOTS; i++)
		mask |= (uint32_t)(slot_tag(load_acquire(&g->slot[i])) == tag)
			<< (i + GROUP_FIRST_SLOT);
	return mask;
}
#endif

/* The same, bit i for slot i. */
static inline uint32_t group_match(const struct group *g, unsigned tag)
{
	return group_match_words(g, tag) >> GROUP_FIRST_SLOT;
}

/* ------------------------------------------------------------------ */
/* References: a nibble a slot, 0..3. Plain stores: see struct group. */

enum { REFERENCE_CAP = 3 };

static inline unsigned reference_get(const struct group *g, unsigned i)
{
	unsigned n = load_relaxed(&g->refs) >> i * 4 & 15;

	return n > REFERENCE_CAP ? REFERENCE_CAP : n;
}

static inline void reference_set(struct group *g, unsigned i, unsigned n)
{
	uint64_t others = load_relaxed(&g->refs) & ~(UINT64_C(15) << i * 4);

	store_relaxed(&g->refs, others | (uint64_t)n << i * 4);
}

/*
 * @nowhere takes the store when there is nothing to raise: choosing an address
 * costs less than a branch on a counter that nobody can predict.
 */
static inline void reference_raise(struct group *g, unsigned i,
				   atomic_u64 *nowhere)
{
	uint64_t seen = load_relaxed(&g->refs);
	uint64_t missing = ~seen & (uint64_t)REFERENCE_CAP << i * 4;

	store_relaxed(missing ? &g->refs : nowhere,
		      seen + (UINT64_C(1) << i * 4));
}

#endif
