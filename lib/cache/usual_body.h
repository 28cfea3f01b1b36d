/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of usual.c, included once for each level of processor:
 *
 *   LEVEL(name)   the name, with the level's
 *   TARGET        attribute that lets the compiler use the level's instructions
 *   MATCH         the slots of a group that carry a tag, as
 *                 group_match_words()
 *   MOVE_64 ...   copy so many bytes, of any alignment
 *   LEAVE         what has to be done when its registers were used
 *   LANES ...     of the storm road: storm_body.h
 *
 * For short keys free of calls, and of branches that cannot be predicted: one
 * that waits for a line on its way from memory keeps the processor, when it
 * guessed wrong, from all that it has begun behind it.
 */

/*
 * Copy what may change meanwhile: larder_copy_unstable(). Whole lines from the
 * front, so that where they are does not depend on the size, which is on its
 * way from memory itself; what is left, and less than a line, by two pieces
 * that may overlap.
 */
static inline __attribute__((always_inline)) TARGET void
LEVEL(copy)(unsigned char *to, const unsigned char *from, size_t n)
{
	size_t at = 128;

#ifdef LARDER_TSAN
	larder_copy_unstable(to, from, n); /* a race by intent */
	return;
#endif
	if (likely(n >= 128)) {
		do {
			MOVE_64(to + at - 128, from + at - 128);
			MOVE_64(to + at - 64, from + at - 64);
			at += 128;
		} while (at <= n);
		if (n & 64)
			MOVE_64(to + at - 128, from + at - 128);
		if (n % 64)
			MOVE_64(to + n - 64, from + n - 64);
	} else if (n >= 64) {
		MOVE_64(to, from);
		MOVE_64(to + n - 64, from + n - 64);
	} else if (n >= 32) {
		MOVE_32(to, from);
		MOVE_32(to + n - 32, from + n - 32);
	} else if (n >= 16) {
		MOVE_16(to, from);
		MOVE_16(to + n - 16, from + n - 16);
	} else {
		larder_copy_short(to, from, n);
	}
}

/*
 * The second half of a hit: is it this key's entry, whole and valid? Then copy.
 * @word: flags and stamp. @optional: bytes of optional fields. @doubt: it may
 * have expired, or lag behind the invalidations. Pinned; not unpinned if false.
 */
static inline __attribute__((always_inline)) TARGET bool
LEVEL(take)(struct worker *w, struct group *g, uint64_t i,
	    const struct entry *e, const void *key, size_t n_key,
	    enum key_kind kind, size_t optional, bool doubt, uint64_t word,
	    uint64_t now, void *value, size_t n_buffer, size_t *n_value)
{
	const unsigned char *own_key = e->rest + optional;
	const unsigned char *from =
		(const unsigned char *)e + optional + usual_offset(kind, n_key);
	struct cell *cell;
	uint64_t version, size = e->n_value;

	FORGET(size); /* where it is from: it is judged once */
	if (unlikely(entry_n_key_low(e) != (uint16_t)n_key || size > n_buffer ||
		     from + size > w->near.end))
		return false;
	if (unlikely(!usual_same_key(kind, own_key, key, n_key)))
		return false;
	if (doubt &&
	    unlikely(!usual_valid(w, e, key, n_key, from + size, word, now)))
		return false;
	if (unlikely(w->sample == 1))
		usual_sample(w, e);
	version = e->version;
	usual_raise(w, g, i);
	LEVEL(copy)(value, from, size);
	LEAVE();
	if (unlikely(!larder_pin_ok(w)))
		return false; /* expelled: what was copied is anything */
	larder_unpin(w);
	cell = w->cell;
	count_in(cell, COUNTER_HITS, 1);
	count_cross(w, cell, version);
	w->sample--;
	if (n_value)
		*n_value = size;
	return true;
}

/* Apart, so that who has no doubt saves no registers for those who have. */
static __attribute__((noinline)) TARGET bool
LEVEL(take_doubtful)(struct worker *w, struct group *g, uint64_t i,
		     const struct entry *e, const void *key, size_t n_key,
		     uint64_t word, uint64_t now, void *value, size_t n_buffer,
		     size_t *n_value)
{
	size_t optional = usual_optional(word);

	return n_key - 9 <= 16 - 9
		       ? LEVEL(take)(w, g, i, e, key, n_key, KEY_9_TO_16,
				     optional, true, word, now, value, n_buffer,
				     n_value)
		       : LEVEL(take)(w, g, i, e, key, n_key, KEY_OTHER,
				     optional, true, word, now, value, n_buffer,
				     n_value);
}

/* @g and @tag: where the key's hash leads. */
static inline __attribute__((always_inline)) TARGET bool
LEVEL(find)(struct worker *w, const void *key, size_t n_key, enum key_kind kind,
	    struct group *g, unsigned tag, void *value, size_t n_buffer,
	    size_t *n_value)
{
	const struct hot *hot = usual_hot(w);
	const struct entry *e;
	uint64_t mine, now, word, i;
	uint32_t unit, mask;

	/* [EPO.1] larder_pin() */
	mine = larder_pin_next(w);
	store_release(&w->slot->pin, mine);
	w->pin = mine;
	compiler_barrier();
	if (unlikely(load_acquire(&hot->epoch) != w->epoch))
		goto unusual;
	now = load_acquire(&hot->stamp); /* [FRE.2], before everything else */

	/* From here on it waits for memory. */
	mask = MATCH(g, tag);
	if (unlikely(!mask))
		goto unusual;
	i = lowest_bit(mask);
	unit = usual_unit(g, i) - w->near.first_unit; /* [PUB.2] */
	if (unlikely(unit >= w->near.n_units))
		goto unusual;
	e = (const struct entry *)(const void *)(w->near.pages +
						 ((uint64_t)unit
						  << UNIT_SHIFT));
	word = load_acquire(&e->flags_stamp);
	/* No flags but that of tags; and stamped since the last invalidation,
	 * which says too that the segment is not closed. */
	if (likely((word & ~((uint64_t)ENTRY_TAGS << 48)) == now)) {
		if (likely(LEVEL(take)(w, g, i, e, key, n_key, kind, 0, false,
				       word, now, value, n_buffer, n_value)))
			return true;
	} else if (likely(!(word >> 48 & ~(uint64_t)USUAL_FLAGS))) {
		if (likely(LEVEL(take_doubtful)(w, g, i, e, key, n_key, word,
						now, value, n_buffer, n_value)))
			return true;
	}
unusual:
	larder_unpin(w);
	return false;
}

#include "cache/storm_body.h"

static TARGET bool LEVEL(hit)(struct worker *w, const void *key, size_t n_key,
			      uint64_t hash, void *value, size_t n_buffer,
			      size_t *n_value)
{
	struct group *g = group_of(w->s, hash);
	unsigned tag = tag_of(hash);

	if (unlikely(!w->usual_serial))
		return w->storm_serial &&
		       LEVEL(storm_hit)(w, key, n_key, hash, value, n_buffer,
					n_value);
	if (n_key - 9 <= 16 - 9)
		return LEVEL(find)(w, key, n_key, KEY_9_TO_16, g, tag, value,
				   n_buffer, n_value);
	if (n_key - 4 <= 8 - 4)
		return LEVEL(find)(w, key, n_key, KEY_4_TO_8, g, tag, value,
				   n_buffer, n_value);
	return LEVEL(find)(w, key, n_key, KEY_OTHER, g, tag, value, n_buffer,
			   n_value);
}

/* Other keys than most have: roads of their own, so that those save no
 * registers for a call to hash or to compare. */
static __attribute__((noinline)) TARGET int
LEVEL(get_other)(struct larder *h, const void *key, size_t n_key, void *value,
		 size_t n_buffer, size_t *n_value)
{
	struct worker *w = larder_workers[h->id];
	uint64_t hash;

	if (unlikely(!w || w->usual_serial != h->serial ||
		     !key_valid(key, n_key) || (!value && n_buffer)))
		return LEVEL(get_storm)(h, key, n_key, value, n_buffer,
					n_value);
	hash = key_hash_of(w->s, key, n_key);
	if (likely(LEVEL(find)(w, key, n_key, KEY_OTHER, group_of(w->s, hash),
			       tag_of(hash), value, n_buffer, n_value)))
		return LARDER_OK;
	return larder_get_unusual(w->handle, key, n_key, value, n_buffer,
				  n_value);
}

static __attribute__((noinline)) TARGET int
LEVEL(get_short)(struct larder *h, const void *key, size_t n_key, void *value,
		 size_t n_buffer, size_t *n_value)
{
	struct worker *w = larder_workers[h->id];
	uint64_t hash;

	if (unlikely(!w || w->usual_serial != h->serial || !key || !value))
		return LEVEL(get_storm)(h, key, n_key, value, n_buffer,
					n_value);
	hash = XXH3_len_4to8_64b(key, n_key, w->s->secret, 0);
	if (likely(LEVEL(find)(w, key, n_key, KEY_4_TO_8, group_of(w->s, hash),
			       tag_of(hash), value, n_buffer, n_value)))
		return LARDER_OK;
	return larder_get_unusual(w->handle, key, n_key, value, n_buffer,
				  n_value);
}

static TARGET int LEVEL(get)(struct larder *h, const void *key, size_t n_key,
			     void *value, size_t n_buffer, size_t *n_value)
{
	/* A forked child's worker is all zeroes and belongs to no handle. */
	struct worker *w = larder_workers[h->id];
	struct group *g;
	unsigned tag;
	uint64_t hash;

	if (unlikely(n_key - 9 > 16 - 9))
		return n_key - 4 <= 8 - 4
			       ? LEVEL(get_short)(h, key, n_key, value,
						  n_buffer, n_value)
			       : LEVEL(get_other)(h, key, n_key, value,
						  n_buffer, n_value);
	if (unlikely(!w || w->usual_serial != h->serial || !key || !value))
		return LEVEL(get_storm)(h, key, n_key, value, n_buffer,
					n_value);
	hash = larder_hash_flipped(w->near.flips, key, n_key);
	g = &w->near.groups[reduce_u32((uint32_t)hash, w->near.n_groups)];
	tag = tag_of(hash);
	/* What the hash had of the key goes out of the registers, which are
	 * few. */
	FORGET(g);
	FORGET(tag);
	FORGET(key);
	FORGET(n_key);
	if (likely(LEVEL(find)(w, key, n_key, KEY_9_TO_16, g, tag, value,
			       n_buffer, n_value)))
		return LARDER_OK;
	return larder_get_unusual(w->handle, key, n_key, value, n_buffer,
				  n_value);
}

#undef LEVEL
#undef TARGET
#undef MATCH
#undef MOVE_64
#undef MOVE_32
#undef MOVE_16
#undef LEAVE
#undef LANES
#undef OWN
#undef SUSPECTS
#undef SUSPECTS_TWO
