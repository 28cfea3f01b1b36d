/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of freshness: the counter, the numbers of past invalidations, and
 * the ring of the latest ones.
 *
 *   C      hot->stamp, the number of the latest invalidation
 *   T      that of the latest one of a tag, a key, a pattern or everything
 *   set    holds the T of tags (or keys) of one hash range
 *   ring   cell n % RING_CELLS announces who drew number n:
 *          fingerprint:40 | n's low bits:24
 *          the fingerprint WILD says "look at all"
 *
 * An invalidation raises T to C + 1, announces itself in the ring and then
 * moves C: in this order, each by compare-and-swap, and again from the start if
 * it lost the number to another one [FRE.1]. So whoever has seen C at n or
 * above finds number n in the ring (or overwritten by a later one), and every T
 * that was raised for it [FRE.2].
 *
 *   dies after        leaves                       repaired by
 *   raising T         T = C + 1: what carries it   whoever meets T > C, by
 *                     and is behind C is invalid   larder_help()
 *   announcing        the same, and a full cell    the same, or the next one
 *
 * Model: tests/model/freshness.pml.
 */
#ifndef LARDER_CACHE_WORDS_H
#define LARDER_CACHE_WORDS_H

#include "segment/segment.h"

/* What the ring remembers of a hash. 0 happens to one hash in 2^40; it then
 * stands for WILD, which is right for any. */
#define RING_WILD UINT64_C(0)
enum { RING_SHIFT = 24, RING_WALK = 256 };

static inline uint64_t ring_fingerprint(uint64_t hash)
{
	return hash >> RING_SHIFT;
}

/* A hash that agrees with the fingerprinted one in the bits it kept. */
static inline uint64_t ring_hash(uint64_t fingerprint)
{
	return fingerprint << RING_SHIFT;
}

static inline uint64_t ring_cell(uint64_t fingerprint, uint64_t number)
{
	return fingerprint << RING_SHIFT | field_get(number, 0, RING_SHIFT);
}

static inline bool ring_cell_is(uint64_t cell, uint64_t number)
{
	return field_get(cell, 0, RING_SHIFT) ==
	       field_get(number, 0, RING_SHIFT);
}

static inline atomic_u64 *ring_of(const struct segment *s, uint64_t number)
{
	return &s->ring[number % RING_CELLS];
}

/* The set of a tag's or a key's hash. Their numbers are powers of two. */
static inline struct tag_set *tag_set_of(const struct segment *s,
					 uint64_t tag_hash)
{
	return &s->tags[tag_hash & (s->sb->n_tag_sets - 1)];
}

static inline struct tag_set *key_set_of(const struct segment *s,
					 uint64_t key_hash)
{
	return &s->keys[key_hash & (s->sb->n_key_sets - 1)];
}

/*
 * T as the set knows it: the greatest number of this fingerprint, or the floor
 * if that is greater. Words first, floor last [FLR.2]: a number that leaves its
 * word is in the floor before it does.
 */
uint64_t larder_set_number(struct tag_set *set, uint64_t hash);

/* Raise T to at least @number. The oldest of the other fingerprints makes room
 * if none is free. */
void larder_set_raise(struct tag_set *set, uint64_t hash, uint64_t number);

/*
 * Announce the number after @c for this fingerprint and move C there. The
 * caller loaded C as @c and has raised its T to @c + 1 since.
 */
enum draw {
	DRAW_DONE,   /* the number is ours and C is there or beyond */
	DRAW_AGAIN,  /* somebody else's: load C again, raise T again */
	DRAW_CLOSED, /* the segment was put aside */
};
enum draw larder_draw(struct segment *s, uint64_t c, uint64_t fingerprint);

/* @number was met in a T. If C is not there yet, its invalidator may be dead:
 * finish its work. */
void larder_help(struct segment *s, uint64_t number);

#endif
