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
 *   miss     at some point of the scan: entries never move, so a key that is
 *            there throughout is found
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
	return (uint64_t)tag << 52 |
	       field_put(version, 32, SLOT_VERSION_BITS) | unit;
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

/* ------------------------------------------------------------------ */
/* References: a nibble a slot, 0..3. Plain stores: see struct group. */

enum { REFERENCE_CAP = 3 };

static inline unsigned reference_get(const struct group *g, unsigned i)
{
	unsigned n = load_relaxed(&g->refs[i >> 1]) >> (i & 1) * 4 & 15;

	return n > REFERENCE_CAP ? REFERENCE_CAP : n;
}

static inline void reference_set(struct group *g, unsigned i, unsigned n)
{
	atomic_u8 *b = &g->refs[i >> 1];
	unsigned shift = (i & 1) * 4;

	store_relaxed(b, (uint8_t)((load_relaxed(b) & ~(15u << shift)) |
				   n << shift));
}

static inline void reference_raise(struct group *g, unsigned i)
{
	atomic_u8 *b = &g->refs[i >> 1];
	unsigned shift = (i & 1) * 4, seen = load_relaxed(b);

	if ((seen >> shift & 15) < REFERENCE_CAP)
		store_relaxed(b, (uint8_t)(seen + (1u << shift)));
}

#endif
