/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invalidation: O(1) in the number of entries; effective for every read in
 * every process that begins after the call returned.
 *
 * Nothing here waits for anybody or touches an entry. The steps and their order
 * stand in words.h; those of patterns in pattern.h.
 */
#include "cache/cache.h"

#include "cache/pattern.h"
#include "cache/words.h"

/* What is invalidated: a word of its own, or one in a set. */
struct target {
	struct tag_set *set; /* NULL: everything */
	uint64_t hash;
	uint64_t fingerprint;
};

static void raise_target(struct segment *s, const struct target *t,
			 uint64_t number)
{
	if (t->set)
		larder_set_raise(t->set, t->hash, number);
	else
		raise_acqrel(&s->hot->everything, number);
}

/* False: the segment was put aside. */
static bool invalidate(struct segment *s, const struct target *t)
{
	enum draw drawn;

	do {
		uint64_t c = load_acquire(&s->hot->stamp);

		if (c & STAMP_CLOSED)
			return false;
		/* T before C: drawn first, the number would let a hit in
		 * between raise its stamp past it. */
		if (!MUTANT(DRAW_FIRST))
			raise_target(s, t, c + 1);
		drawn = larder_draw(s, c, t->fingerprint);
		if (MUTANT(DRAW_FIRST) && drawn == DRAW_DONE)
			raise_target(s, t, c + 1);
		/* Again, and never back after a lost number: C would equal one
		 * that an unrelated invalidation drew, and an entry restamped
		 * by that would pass for younger than this one. */
	} while (drawn == DRAW_AGAIN && !MUTANT(RETURN_UNDRAWN));
	return drawn != DRAW_CLOSED;
}

/* What the four calls differ in. */
enum kind { KIND_TAG, KIND_KEY, KIND_ALL, KIND_MATCH };

struct request {
	enum kind kind;
	const void *text;
	size_t n_text;
	enum larder_match match;
};

static bool carry_out(struct worker *w, const struct request *r)
{
	struct segment *s = w->s;
	struct target t = {.fingerprint = RING_WILD};

	switch (r->kind) {
	case KIND_TAG:
		t.hash = larder_tag_hash(s, r->text, r->n_text);
		t.set = tag_set_of(s, t.hash);
		t.fingerprint = ring_fingerprint(t.hash);
		break;
	case KIND_KEY:
		t.hash = key_hash_of(s, r->text, r->n_text);
		t.set = key_set_of(s, t.hash);
		t.fingerprint = ring_fingerprint(t.hash);
		break;
	case KIND_MATCH:
		if (larder_pattern_invalidate(w, r->text, (uint32_t)r->n_text,
					      r->match))
			return !(load_acquire(&s->hot->stamp) & STAMP_CLOSED);
		break; /* no slot to be had: too much rather than too little */
	case KIND_ALL:
		break;
	}
	return invalidate(s, &t);
}

/*
 * An invalidation of a segment that was put aside reaches nobody: it has to be
 * made in the one that took its place. Each round needs another replacement.
 */
static int run(struct larder *h, const struct request *r, enum counter counter)
{
	int error = 0;
	struct worker *w = worker_of(h, &error);

	while (w && !carry_out(w, r))
		w = larder_worker_slow(h, &error);
	if (!w)
		return error;
	count(w, counter, 1);
	return LARDER_OK;
}

int larder_invalidate_tag(struct larder *h, const char *tag, size_t n_tag)
{
	const struct request r = {KIND_TAG, tag, n_tag, LARDER_MATCH_EITHER};

	if (!h || !tag || n_tag < 1 || n_tag > LARDER_TAG_MAX)
		return -EINVAL;
	return run(h, &r, COUNTER_INVALIDATIONS_TAG);
}

int larder_invalidate_key(struct larder *h, const void *key, size_t n_key)
{
	const struct request r = {KIND_KEY, key, n_key, LARDER_MATCH_EITHER};

	if (!h || !key_valid(key, n_key))
		return -EINVAL;
	return run(h, &r, COUNTER_INVALIDATIONS_KEY);
}

int larder_invalidate_all(struct larder *h)
{
	const struct request r = {KIND_ALL, NULL, 0, LARDER_MATCH_EITHER};

	return h ? run(h, &r, COUNTER_INVALIDATIONS_ALL) : -EINVAL;
}

int larder_invalidate_match(struct larder *h, const char *pattern,
			    size_t n_pattern, enum larder_match match)
{
	const struct request r = {KIND_MATCH, pattern, n_pattern, match};

	if (!h || !pattern || n_pattern < 1 || n_pattern > LARDER_PATTERN_MAX ||
	    (unsigned)match > LARDER_MATCH_TAGS ||
	    larder_glob(pattern, n_pattern, "", 0) < 0)
		return -EINVAL;
	return run(h, &r, COUNTER_INVALIDATIONS_MATCH);
}
