/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of an entry: entry.h. */
#include "store/entry.h"

#include <string.h>

#include <larder/larder.h>

bool larder_entry_view_optional(const struct segment *s, uint32_t unit,
				struct entry_view *v)
{
	const struct entry *e = entry_at(s, unit);
	const unsigned char *bytes = (const unsigned char *)e;
	/* Offsets count from the header; the last page's end bounds them. */
	uint64_t at = ENTRY_FIXED;
	uint64_t end = (uint64_t)(s->end_unit - unit) << UNIT_SHIFT;

	v->e = e;
	v->n_key = (uint16_t)entry_n_key(e);
	v->n_value = e->n_value;
	v->hard_ms = v->soft_ms = v->cost_ns = 0;
	v->tags = NULL;
	if (v->flags & ENTRY_HARD) {
		memcpy(&v->hard_ms, bytes + at, 8);
		at += 8;
	}
	if (v->flags & ENTRY_SOFT) {
		memcpy(&v->soft_ms, bytes + at, 8);
		at += 8;
	}
	if (v->flags & ENTRY_COST) {
		memcpy(&v->cost_ns, bytes + at, 8);
		at += 8;
	}
	v->key = bytes + at;
	at = entry_value_offset(at + v->n_key, v->flags);
	v->value = bytes + at;
	at += v->n_value;
	if (v->flags & ENTRY_TAGS) {
		struct tag_block block;

		at = entry_tags_offset(at);
		if (at + sizeof block > end)
			return false;
		memcpy(&block, bytes + at, sizeof block);
		v->tags = (const struct tag_block *)(bytes + at);
		at += sizeof block;
		if (!tag_block_valid(block, end - at))
			return false;
		at += (uint64_t)block.n_mask + block.n_texts;
	}
	v->n_bytes = at;
	return v->n_key >= LARDER_KEY_MIN && v->n_key <= LARDER_KEY_MAX &&
	       at <= end;
}

/* Bytes of a Bloom mask for n tags: 16 to 32 bits a tag, 5 of them set, so that
 * an unrelated tag passes in 0.1 to 1.5 of 1,000 cases. A hit that comes after
 * a hundred invalidations tests as many, and each that passes costs a hash of
 * every tag. */
static uint32_t mask_bytes(uint32_t n_tags)
{
	uint32_t bytes = 8;

	while (bytes < 2 * n_tags)
		bytes *= 2;
	return bytes;
}

static uint64_t tag_bytes(const struct entry_plan *p)
{
	uint64_t n = sizeof(struct tag_block);

	if (p->raw_tags)
		return n + p->raw_tags->n_mask + p->raw_tags->n_texts;
	if (!p->n_tags)
		return 0;
	n += mask_bytes(p->n_tags);
	for (uint32_t i = 0; i < p->n_tags; i++) {
		if (!p->tags[i].text || p->tags[i].n_text < 1 ||
		    p->tags[i].n_text > LARDER_TAG_MAX)
			return UINT64_MAX;
		n += 1 + p->tags[i].n_text;
	}
	return n;
}

static unsigned plan_flags(const struct entry_plan *p)
{
	return p->flags | (p->hard_ms ? ENTRY_HARD : 0) |
	       (p->soft_ms ? ENTRY_SOFT : 0) | (p->cost_ns ? ENTRY_COST : 0) |
	       (p->n_tags || p->raw_tags ? ENTRY_TAGS : 0);
}

uint64_t larder_entry_bytes(const struct entry_plan *p)
{
	uint64_t tags = tag_bytes(p), n = ENTRY_FIXED;

	if (tags == UINT64_MAX)
		return 0;
	n += (p->hard_ms ? 8 : 0) + (p->soft_ms ? 8 : 0) + (p->cost_ns ? 8 : 0);
	n = entry_value_offset(n + p->n_key, p->flags) + p->n_value;
	return tags ? entry_tags_offset(n) + tags : n;
}

static unsigned char *put_u64(unsigned char *to, uint64_t v)
{
	if (!v)
		return to;
	memcpy(to, &v, 8);
	return to + 8;
}

static void set_mask_bits(unsigned char *mask, uint32_t n_mask,
			  uint64_t tag_hash)
{
	for (unsigned i = 0; i < TAG_MASK_BITS; i++) {
		uint32_t bit = tag_mask_place(tag_hash >> TAG_MASK_SHIFT, i,
					      n_mask * 8 - 1);
		unsigned char *at = mask + bit / 64 * 8;
		uint64_t word;

		memcpy(&word, at, sizeof word);
		word |= UINT64_C(1) << bit % 64;
		memcpy(at, &word, sizeof word);
	}
}

static void put_tags(const struct segment *s, unsigned char *to,
		     const struct entry_plan *p)
{
	struct tag_block block = {.n_tags = (uint16_t)p->n_tags};
	unsigned char *mask, *text;

	if (p->raw_tags) {
		size_t n = tag_bytes(p);

		memcpy(to, p->raw_tags, n);
		return;
	}
	block.n_mask = (uint16_t)mask_bytes(p->n_tags);
	mask = to + sizeof block;
	text = mask + block.n_mask;
	memset(mask, 0, block.n_mask);
	for (uint32_t i = 0; i < p->n_tags; i++) {
		const struct larder_tag *t = &p->tags[i];
		uint64_t hash = larder_tag_hash(s, t->text, t->n_text);

		set_mask_bits(mask, block.n_mask, hash);
		*text++ = (unsigned char)t->n_text;
		memcpy(text, t->text, t->n_text);
		text += t->n_text;
	}
	block.n_texts = (uint32_t)(text - mask) - block.n_mask;
	memcpy(to, &block, sizeof block);
}

void larder_entry_write(const struct segment *s, struct entry *e,
			const struct entry_plan *p, uint64_t stamp)
{
	unsigned flags = plan_flags(p);
	unsigned char *at = e->rest;
	uint64_t offset;

	store_relaxed(&e->flags_stamp,
		      (uint64_t)flags << 48 | (stamp & STAMP_MASK));
	e->born_key = (uint64_t)p->n_key << 48 | (e->born_key & STAMP_MASK);
	e->n_value = (uint32_t)p->n_value;
	store_relaxed(&e->hits, 0);
	at = put_u64(at, p->hard_ms);
	at = put_u64(at, p->soft_ms);
	at = put_u64(at, p->cost_ns);
	memcpy(at, p->key, p->n_key);
	at += p->n_key;
	offset = entry_value_offset((uint64_t)(at - (unsigned char *)e), flags);
	at = (unsigned char *)e + offset;
	if (p->value)
		memcpy(at, p->value, p->n_value);
	else
		memset(at, 0, p->n_value);
	if (flags & ENTRY_TAGS)
		put_tags(s,
			 (unsigned char *)e +
				 entry_tags_offset(offset + p->n_value),
			 p);
}

bool larder_entry_tag(const struct segment *s, const struct tag_block *tags,
		      uint32_t *at, const unsigned char **text,
		      uint32_t *n_text)
{
	struct tag_block block;
	const unsigned char *texts;
	uint64_t left;

	memcpy(&block, tags, sizeof block);
	texts = tags->bytes + block.n_mask;
	/* The block may be another one than when it was found valid. */
	if (texts > s->base + s->bytes)
		return false;
	left = (uint64_t)(s->base + s->bytes - texts);
	if (*at >= block.n_texts || block.n_texts > left)
		return false;
	*n_text = texts[*at];
	if (*n_text < 1 || *at + 1 + *n_text > block.n_texts)
		return false;
	*text = texts + *at + 1;
	*at += 1 + *n_text;
	return true;
}

uint64_t larder_tag_hash(const struct segment *s, const void *text,
			 size_t n_text)
{
	return larder_hash(s->sb->secret, text, n_text) *
		       UINT64_C(0x9e3779b97f4a7c15) ^
	       UINT64_C(0x7461677461677461);
}

#ifdef LARDER_TSAN
__attribute__((no_sanitize("thread"))) void
larder_copy_unstable(void *to, const void *from, size_t n)
{
	unsigned char *t = to;
	const unsigned char *f = from;

	/* Not atomics, which are instrumented all the same; and not a loop that
	 * the compiler may make a call of the checked memcpy(). */
	for (size_t i = 0; i < n; i++) {
		t[i] = f[i];
		compiler_barrier();
	}
}
#endif
