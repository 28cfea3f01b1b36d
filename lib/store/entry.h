/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing the bytes of an entry.
 *
 * A view is what a header's fields claim, clamped to the mapping: an expelled
 * reader or a damaged entry may claim anything, and must never lead a read
 * outside. What a view says is trusted only after the reader's pin proved good.
 */
#ifndef LARDER_STORE_ENTRY_H
#define LARDER_STORE_ENTRY_H

#include <larder/larder.h>

#include <string.h>

#include "segment/segment.h"

struct entry_view {
	const struct entry *e;
	const unsigned char *key, *value;
	const struct tag_block *tags; /* NULL: none */
	uint64_t hard_ms, soft_ms;    /* 0: none */
	uint64_t cost_ns;
	uint64_t n_bytes; /* of all of it, header included */
	uint32_t n_value;
	uint16_t n_key;
	uint16_t flags;
};

static inline unsigned entry_flags(const struct entry *e)
{
	return (unsigned)(load_relaxed(&e->flags_stamp) >> 48);
}

static inline uint64_t entry_stamp(const struct entry *e)
{
	return load_acquire(&e->flags_stamp) & STAMP_MASK;
}

static inline uint32_t entry_n_key(const struct entry *e)
{
	return (uint32_t)(e->born_key >> 48);
}

static inline uint64_t entry_born_ms(const struct entry *e)
{
	return e->born_key & STAMP_MASK;
}

/* Where the value begins, and the tags if there are any. */
static inline uint64_t entry_value_offset(uint64_t key_end, unsigned flags)
{
	return align_up(key_end, flags & 8 /* LARDER_REGION */ ? 64 : 8);
}

static inline uint64_t entry_tags_offset(uint64_t value_end)
{
	return align_up(value_end, 8);
}

/* The general case of larder_entry_view(). */
bool larder_entry_view_optional(const struct segment *s, uint32_t unit,
				struct entry_view *v);

/* False if the fields contradict each other or reach outside the mapping.
 * Inline for entries without optional fields: it is on the road of every hit.
 */
static inline bool larder_entry_view(const struct segment *s, uint32_t unit,
				     struct entry_view *v)
{
	const struct entry *e;
	uint64_t value;

	if (unlikely(!unit_valid(s, unit)))
		return false;
	e = entry_at(s, unit);
	v->flags = (uint16_t)entry_flags(e);
	if (unlikely(v->flags &
		     (ENTRY_HARD | ENTRY_SOFT | ENTRY_COST | ENTRY_TAGS)))
		return larder_entry_view_optional(s, unit, v);
	v->e = e;
	v->n_key = (uint16_t)entry_n_key(e);
	v->n_value = e->n_value;
	v->hard_ms = v->soft_ms = v->cost_ns = 0;
	v->tags = NULL;
	v->key = e->rest;
	value = entry_value_offset(ENTRY_FIXED + v->n_key, v->flags);
	v->value = (const unsigned char *)e + value;
	v->n_bytes = value + v->n_value;
	return v->n_key >= 1 && v->n_key <= 1024 &&
	       v->n_bytes <= (uint64_t)(s->end_unit - unit) << UNIT_SHIFT;
}

/* What is to be written. */
struct entry_plan {
	const void *key, *value; /* value NULL: zeroes */
	uint64_t n_value;
	uint32_t n_key;
	unsigned flags; /* LARDER_* and ENTRY_* */
	uint64_t hard_ms, soft_ms, cost_ns;
	const struct larder_tag *tags;
	uint32_t n_tags;
	const struct tag_block *raw_tags; /* instead: copied as they are */
};

/* Bytes that the plan needs, header included; 0 if its tags are malformed. */
uint64_t larder_entry_bytes(const struct entry_plan *plan);

/* Write everything but header and version. The entry is the caller's alone. */
void larder_entry_write(const struct segment *s, struct entry *e,
			const struct entry_plan *plan, uint64_t stamp);

/* Tag number i of a block: its text and length; false past the end. Advances
 * *at, which begins at 0, through the texts. */
bool larder_entry_tag(const struct segment *s, const struct tag_block *tags,
		      uint32_t *at, const unsigned char **text,
		      uint32_t *n_text);

/* 64-bit hash of a tag, never equal by design to a key's. */
uint64_t larder_tag_hash(const struct segment *s, const void *text,
			 size_t n_text);

/*
 * The Bloom mask of an entry's tags. TAG_MASK_BITS bits a tag, chosen by bits
 * 24..63 of its hash, which is what the ring of recent invalidations remembers
 * of it. The first two are cheap to find and stand in the mask's first half, so
 * that what is told apart by them needs no more of the entry than that.
 */
enum { TAG_MASK_BITS = 5, TAG_MASK_SHIFT = 24 };
struct tag_mask {
	const unsigned char *bytes;
	uint32_t last; /* number of its last bit */
};

/* The mask of an entry without tags. */
static inline struct tag_mask tag_mask_none(void)
{
	static const unsigned char none[8];

	return (struct tag_mask){.bytes = none};
}

/* Is what was copied from where a block's header stands one, of at most
 * @n_bytes? If not the memory was reused, or is damaged. */
static inline bool tag_block_valid(struct tag_block block, uint64_t n_bytes)
{
	uint32_t n = block.n_mask;

	return block.n_tags - 1u < LARDER_TAGS_MAX && n >= 8 &&
	       (n & (n - 1)) == 0 && (uint64_t)n + block.n_texts <= n_bytes;
}

/* False if there is no block. */
static inline bool tag_mask_of(const struct segment *s,
			       const struct tag_block *tags, struct tag_mask *m)
{
	const unsigned char *end = s->base + s->bytes;
	struct tag_block block;

	m->bytes = tags->bytes;
	if (m->bytes > end)
		return false;
	memcpy(&block, tags, sizeof block); /* once, then judged */
	m->last = block.n_mask * 8u - 1;
	return tag_block_valid(block, (uint64_t)(end - m->bytes));
}

/* Number of the i-th bit of a tag in a mask whose last bit is @last. */
static inline uint32_t tag_mask_place(uint64_t fingerprint, unsigned i,
				      uint32_t last)
{
	uint64_t more = fingerprint * UINT64_C(0x9e3779b97f4a7c15);
	uint32_t half = last / 2;

	if (i < 2)
		return (uint32_t)(fingerprint >> 20 * i) & half;
	return ((uint32_t)(more >> (50 - 14 * (i - 2))) & half) + half + 1;
}

static inline unsigned tag_mask_bit(struct tag_mask m, uint32_t bit)
{
	uint64_t word;

	memcpy(&word, m.bytes + bit / 64 * 8, sizeof word);
	return word >> bit % 64 & 1;
}

/* The first two bits, without a branch: most who pass here are strangers. */
static inline bool tag_mask_may(struct tag_mask m, uint64_t fingerprint)
{
	return tag_mask_bit(m, tag_mask_place(fingerprint, 0, m.last)) &
	       tag_mask_bit(m, tag_mask_place(fingerprint, 1, m.last));
}

/* Could a tag of this hash be among them? */
static inline bool tag_mask_has(struct tag_mask m, uint64_t tag_hash)
{
	uint64_t fingerprint = tag_hash >> TAG_MASK_SHIFT;

	for (unsigned i = 0; i < TAG_MASK_BITS; i++)
		if (!tag_mask_bit(m, tag_mask_place(fingerprint, i, m.last)))
			return false;
	return true;
}

/* Copy bytes that may change or be reused meanwhile; the caller validates its
 * pin afterwards and throws torn copies away. A race by intent, so TSan gets an
 * uninstrumented loop and reports every other race. */
#ifdef LARDER_TSAN
void larder_copy_unstable(void *to, const void *from, size_t n);
#define larder_copy_short larder_copy_unstable
#else
/* Less than 16 bytes. */
static inline void larder_copy_short(unsigned char *t, const unsigned char *f,
				     size_t n)
{
	if (n >= 8) {
		__builtin_memcpy(t, f, 8);
		__builtin_memcpy(t + n - 8, f + n - 8, 8);
	} else if (n >= 4) {
		__builtin_memcpy(t, f, 4);
		__builtin_memcpy(t + n - 4, f + n - 4, 4);
	} else {
		for (; n; n--)
			*t++ = *f++;
	}
}

static inline void larder_copy_unstable(void *to, const void *from, size_t n)
{
	unsigned char *t = to;
	const unsigned char *f = from;

	/* Lines, not calls and not loops of words: what the copy leaves of the
	 * processor's window is where the next get's misses begin. */
	if (n > 1024) {
		memcpy(to, from, n);
		return;
	}
	if (n >= 64) {
		const unsigned char *last = f + n - 64;

		for (; f < last; t += 64, f += 64)
			__builtin_memcpy(t, f, 64);
		__builtin_memcpy(t - (f - last), last, 64);
	} else if (n >= 16) {
		const unsigned char *last = f + n - 16;

		for (; f < last; t += 16, f += 16)
			__builtin_memcpy(t, f, 16);
		__builtin_memcpy(t - (f - last), last, 16);
	} else {
		larder_copy_short(t, f, n);
	}
}
#endif

#endif
