/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Live patterns: globs whose matches older than their number are invalid.
 *
 *   FREE -> CLAIMED -> DRAWING -> SETTLED -> FREE (next generation)
 *
 * A pattern is effective from DRAWING on. It is retired once its invalidator
 * has left its loop (SETTLED), the sweep has removed or restamped every entry
 * older than its number, and no fill that began before it can still be under
 * way (pattern_ms): `everything` takes over its number first, then the word is
 * cleared, so a reader that finds the word gone finds the number there [PAT.3].
 *
 *   dies in   leaves                          repaired by
 *   CLAIMED   a slot that matches nothing     next claim, maintenance: FREE
 *   DRAWING   an effective pattern, perhaps   next claim, maintenance: helped,
 *             with T > C                      then SETTLED
 *   SETTLED   nothing
 */
#ifndef LARDER_CACHE_PATTERN_H
#define LARDER_CACHE_PATTERN_H

#include "store/entry.h"
#include "worker/epoch.h"

static inline uint64_t pattern_word(uint64_t number, unsigned generation,
				    enum pattern_state state)
{
	return field_put(number, 16, 48) | field_put(generation, 4, 12) |
	       field_put(state, 0, 4);
}

static inline uint64_t pattern_number(uint64_t word)
{
	return field_get(word, 16, 48);
}

static inline unsigned pattern_generation(uint64_t word)
{
	return (unsigned)field_get(word, 4, 12);
}

static inline enum pattern_state pattern_state(uint64_t word)
{
	return (enum pattern_state)field_get(word, 0, 4);
}

/* In CLAIMED: whose claim it is, as struct pattern's owner. */
static inline uint64_t pattern_owner(uint32_t slot, uint32_t generation)
{
	return (uint64_t)slot << 32 | generation;
}

/* What an invalidation may hit: a key with its tags, of an entry that is there
 * (@block) or of one about to be stored (@tags). */
struct bearer {
	const void *key;
	uint64_t key_hash;
	uint32_t n_key;
	uint32_t n_tags; /* of @tags */
	const struct larder_tag *tags;
	const struct tag_block *block; /* NULL: @tags */
};

/* Where a walk through a bearer's tags is; begins zeroed. */
struct bearer_tag {
	const void *text;
	uint32_t n_text;
	uint32_t n;  /* tags seen */
	uint32_t at; /* in the block */
};

/* The next tag, or false past the last. */
bool larder_bearer_tag(const struct segment *s, const struct bearer *b,
		       struct bearer_tag *t);

/* The number of a live pattern that is younger than @stamp and matches; 0 if
 * there is none. */
uint64_t larder_pattern_find(struct segment *s, const struct bearer *b,
			     uint64_t stamp);

/*
 * Invalidate what the glob matches. False if no slot could be had: all 64 are
 * held by invalidators that live and have not returned, which may be stopped.
 * The glob is valid and has at most LARDER_PATTERN_MAX bytes.
 */
bool larder_pattern_invalidate(struct worker *w, const char *glob,
			       uint32_t n_glob, unsigned match);

#endif
