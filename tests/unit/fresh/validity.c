/* SPDX-License-Identifier: Apache-2.0 */
/* What an invalidation takes with it and what it leaves; tokens. */
#include "fixture.h"

#include "cache/pattern.h"
#include "cache/words.h"

static uint64_t counted(struct fixture *f, enum counter which)
{
	return load_relaxed(&f->w->cell->counter[which]);
}

Test(validity, a_tag_takes_what_carries_it)
{
	struct fixture f = fixture_open();

	put_text(&f, "a", "red", NULL);
	put_text(&f, "b", "blue", NULL);
	put_text(&f, "c", NULL, NULL);
	cr_expect_eq(larder_invalidate_tag(f.h, "red", 3), 0);
	cr_expect_not(has(&f, "a"));
	cr_expect(has(&f, "b"));
	cr_expect(has(&f, "c"));
	put_text(&f, "a", "red", NULL);
	cr_expect(has(&f, "a"), "what is stored afterwards is valid");
	fixture_close(&f);
}

Test(validity, a_key_a_glob_and_everything)
{
	struct fixture f = fixture_open();

	put_text(&f, "k1", "x1", NULL);
	put_text(&f, "k2", "x2", NULL);
	put_text(&f, "l1", "k2", NULL);
	larder_invalidate_key(f.h, "k1", 2);
	cr_expect(!has(&f, "k1") && has(&f, "k2") && has(&f, "l1"));
	larder_invalidate_match(f.h, "k?", 2, LARDER_MATCH_KEYS);
	cr_expect(!has(&f, "k2") && has(&f, "l1"), "the tag k2 is no key");
	larder_invalidate_match(f.h, "k?", 2, LARDER_MATCH_TAGS);
	cr_expect_not(has(&f, "l1"));
	put_text(&f, "k1", NULL, NULL);
	put_text(&f, "zz", NULL, NULL);
	cr_expect(has(&f, "k1") && has(&f, "zz"));
	larder_invalidate_all(f.h);
	cr_expect(!has(&f, "k1") && !has(&f, "zz"));
	fixture_close(&f);
}

Test(validity, arguments)
{
	struct fixture f = fixture_open();
	char longest[300];

	memset(longest, 'a', sizeof longest);
	cr_expect_eq(larder_invalidate_tag(f.h, "", 0), -EINVAL);
	cr_expect_eq(larder_invalidate_tag(f.h, longest, LARDER_TAG_MAX), 0);
	cr_expect_eq(larder_invalidate_tag(f.h, longest, LARDER_TAG_MAX + 1),
		     -EINVAL);
	cr_expect_eq(larder_invalidate_key(f.h, longest, 0), -EINVAL);
	cr_expect_eq(larder_invalidate_match(f.h, "[a", 2, 0), -EINVAL);
	cr_expect_eq(larder_invalidate_match(f.h, "a\\", 2, 0), -EINVAL);
	cr_expect_eq(larder_invalidate_match(f.h, "a", 0, 0), -EINVAL);
	cr_expect_eq(larder_invalidate_match(f.h, "a", 1, 3), -EINVAL);
	cr_expect_eq(
		larder_invalidate_match(f.h, longest, LARDER_PATTERN_MAX, 0),
		0);
	cr_expect_eq(larder_invalidate_match(f.h, longest,
					     LARDER_PATTERN_MAX + 1, 0),
		     -EINVAL);
	fixture_close(&f);
}

Test(validity, kept_entries_stay)
{
	struct fixture f = fixture_open();
	struct larder_put_options o = {.size_of = sizeof o,
				       .flags = LARDER_KEEP};

	larder_put(f.h, "k", 1, "v", 1, &o);
	larder_invalidate_key(f.h, "k", 1);
	larder_invalidate_match(f.h, "*", 1, 0);
	larder_invalidate_all(f.h);
	cr_expect(has(&f, "k"));
	fixture_close(&f);
}

/* However many unrelated invalidations: by the ring while the stamp lags little
 * or much, in full once the ring has come round. */
Test(validity, the_ring_and_the_full_check_agree)
{
	struct fixture f = fixture_open();
	uint64_t full, ring;
	char tag[16];

	put_text(&f, "k", "mine", NULL);
	for (int lag = 1; lag < 3000; lag = lag * 3 + 1) {
		for (int i = 0; i < lag; i++)
			larder_invalidate_tag(
				f.h, tag,
				(size_t)snprintf(tag, 16, "other%d", i));
		cr_assert(has(&f, "k"), "after %d", lag);
	}
	ring = counted(&f, COUNTER_FRESH_RING);
	full = counted(&f, COUNTER_FRESH_SLOW) - ring;
	cr_expect_gt(ring, 0);
	cr_expect_gt(full, 0);
	for (int lag = 1; lag < 3000; lag = lag * 3 + 1) {
		put_text(&f, "k", "mine", NULL);
		larder_invalidate_tag(f.h, "mine", 4);
		for (int i = 0; i < lag; i++)
			larder_invalidate_tag(
				f.h, tag,
				(size_t)snprintf(tag, 16, "other%d", i));
		cr_assert_not(has(&f, "k"), "after %d", lag);
	}
	fixture_close(&f);
}

Test(validity, the_first_hit_after_an_invalidation_pays_for_all)
{
	struct fixture f = fixture_open();
	uint64_t slow, raised;

	put_text(&f, "k", "mine", NULL);
	slow = counted(&f, COUNTER_FRESH_SLOW);
	raised = counted(&f, COUNTER_RESTAMPS);
	for (int i = 0; i < 8; i++) {
		larder_invalidate_tag(f.h, "other", 5);
		for (int k = 0; k < 10; k++)
			cr_assert(has(&f, "k"));
	}
	cr_expect_eq(counted(&f, COUNTER_FRESH_SLOW), slow + 8);
	cr_expect_eq(counted(&f, COUNTER_RESTAMPS), raised + 8);
	fixture_close(&f);
}

/* ------------------------------------------------------------------ */

static int late_fill(struct fixture *f, int kind)
{
	struct larder_token token;

	cr_assert_eq(larder_token(f->h, "k", 1, &token), 0);
	switch (kind) {
	case 0:
		larder_invalidate_key(f->h, "k", 1);
		break;
	case 1:
		larder_invalidate_tag(f->h, "mine", 4);
		break;
	case 2:
		larder_invalidate_match(f->h, "m*", 2, LARDER_MATCH_TAGS);
		break;
	case 3:
		larder_invalidate_all(f->h);
		break;
	case 4:
		larder_invalidate_tag(f->h, "other", 5);
		larder_invalidate_key(f->h, "l", 1);
		larder_invalidate_match(f->h, "x*", 2, LARDER_MATCH_EITHER);
		break;
	}
	return put_text(f, "k", "mine", &token);
}

Test(tokens, a_late_fill_is_refused_by_name)
{
	struct fixture f = fixture_open();

	for (int kind = 0; kind < 4; kind++) {
		cr_expect_eq(late_fill(&f, kind), LARDER_STALE_FILL, "kind %d",
			     kind);
		cr_expect_not(has(&f, "k"));
	}
	cr_expect_eq(counted(&f, COUNTER_REFUSED_STALE), 4);
	cr_expect_eq(late_fill(&f, 4), LARDER_OK, "innocent");
	cr_expect(has(&f, "k"));
	fixture_close(&f);
}

Test(tokens, a_fill_never_replaces_a_newer_put)
{
	struct fixture f = fixture_open();
	struct larder_token before;
	char value[8];
	size_t n;

	cr_assert_eq(larder_token(f.h, "k", 1, &before), 0);
	larder_put(f.h, "k", 1, "direct", 6, NULL);
	cr_expect_eq(put_text(&f, "k", NULL, &before), LARDER_NEWER);
	larder_get(f.h, "k", 1, value, sizeof value, &n);
	cr_expect(n == 6 && !memcmp(value, "direct", 6));
	cr_assert_eq(larder_token(f.h, "k", 1, &before), 0);
	cr_expect_eq(put_text(&f, "k", NULL, &before), LARDER_OK,
		     "the version it saw may go");
	cr_assert_eq(larder_token(f.h, "k", 1, &before), 0);
	larder_remove(f.h, "k", 1);
	cr_expect_eq(put_text(&f, "k", NULL, &before), LARDER_OK,
		     "a removal stops no fill");
	fixture_close(&f);
}

Test(tokens, a_stamp_of_another_segment_is_refused)
{
	struct fixture f = fixture_open();
	struct larder_token foreign = {
		.stamp = load_relaxed(&f.s->hot->stamp) + 1,
	};

	cr_expect_eq(put_text(&f, "k", NULL, &foreign), LARDER_STALE_FILL);
	fixture_close(&f);
}

/* The counter of the segment that took another's place may have come as far as
 * the other's was. */
Test(tokens, of_another_segment_are_refused_however_far_its_counter_is)
{
	struct fixture f = fixture_open(), next = fixture_open();
	struct larder_token token;

	/* Of 65,536 segments two may have one mark. */
	while (token_mark(next.s) == token_mark(f.s)) {
		fixture_close(&next);
		next = fixture_open();
	}
	for (int i = 0; i < 5; i++)
		larder_invalidate_key(f.h, "other", 5);
	cr_assert_eq(larder_token(f.h, "k", 1, &token), 0);
	larder_invalidate_key(f.h, "k", 1);
	for (int i = 0; i < 20; i++)
		larder_invalidate_key(next.h, "other", 5);
	cr_expect_eq(put_text(&next, "k", NULL, &token), LARDER_STALE_FILL);
	cr_expect_not(has(&next, "k"));
	fixture_close(&next);
	fixture_close(&f);
}

Test(tokens, count_for_add_replace_and_cas_too)
{
	struct fixture f = fixture_open();
	struct larder_token token;
	struct larder_put_options o = {.size_of = sizeof o, .token = &token};
	uint64_t version;
	const struct larder_put_options first = {.size_of = sizeof first,
						 .version = &version};

	cr_assert_eq(larder_token(f.h, "k", 1, &token), 0);
	larder_invalidate_key(f.h, "k", 1);
	cr_expect_eq(larder_add(f.h, "k", 1, "late", 4, &o), LARDER_STALE_FILL);
	cr_expect_not(has(&f, "k"));
	cr_assert_eq(larder_put(f.h, "k", 1, "new", 3, &first), LARDER_OK);
	cr_expect_eq(larder_replace(f.h, "k", 1, "late", 4, &o),
		     LARDER_STALE_FILL);
	cr_expect_eq(larder_cas(f.h, "k", 1, version, "late", 4, &o),
		     LARDER_STALE_FILL);
	cr_assert_eq(larder_token(f.h, "k", 1, &token), 0);
	cr_expect_eq(larder_cas(f.h, "k", 1, version, "next", 4, &o),
		     LARDER_OK);
	fixture_close(&f);
}

/* ------------------------------------------------------------------ */

/* An invalidator that died between raising T and moving C. */
Test(deaths, who_meets_a_raised_number_finishes_it)
{
	struct fixture f = fixture_open();
	uint64_t hash = larder_tag_hash(f.s, "t", 1), c;
	struct larder_token token;

	put_text(&f, "k", "t", NULL);
	put_text(&f, "l", "u", NULL);
	cr_assert_eq(larder_token(f.h, "k", 1, &token), 0);
	larder_invalidate_key(f.h, "stranger", 8);
	c = load_relaxed(&f.s->hot->stamp);
	larder_set_raise(tag_set_of(f.s, hash), hash, c + 1);
	cr_expect_eq(put_text(&f, "k", "t", &token), LARDER_STALE_FILL,
		     "too much rather than too little");
	cr_expect_eq(load_relaxed(&f.s->hot->stamp), c + 1, "helped");
	cr_expect_not(has(&f, "k"));
	cr_expect(has(&f, "l"), "the wild cell makes others look, no more");
	cr_assert_eq(larder_token(f.h, "k", 1, &token), 0);
	cr_expect_eq(put_text(&f, "k", "t", &token), LARDER_OK);
	cr_expect(has(&f, "k"));
	fixture_close(&f);
}

/* While C has not moved the invalidation has not returned, and for hits and
 * fills alike it is as if it came after them: then it takes what they left. */
Test(deaths, a_raised_number_is_of_no_effect_before_c_has_reached_it)
{
	struct fixture f = fixture_open();
	uint64_t hash = larder_tag_hash(f.s, "t", 1), c;
	struct larder_token token;

	put_text(&f, "k", "t", NULL);
	c = load_relaxed(&f.s->hot->stamp);
	cr_assert_eq(larder_token(f.h, "k", 1, &token), 0);
	larder_set_raise(tag_set_of(f.s, hash), hash, c + 1);
	cr_expect_eq(put_text(&f, "k", "t", &token), LARDER_OK);
	cr_expect(has(&f, "k"));
	larder_invalidate_tag(f.h, "t", 1);
	cr_expect_not(has(&f, "k"));
	cr_expect_eq(put_text(&f, "k", "t", &token), LARDER_STALE_FILL);
	fixture_close(&f);
}

/* What an expelled reader finds where tags were may be anything, and is looked
 * at once more after it was found valid. */
Test(validity, tags_that_were_overwritten_lead_nowhere)
{
	struct fixture f = fixture_open();
	struct tag_block *tags =
		(struct tag_block *)(void *)(f.s->base + f.s->bytes - 64);
	const unsigned char *text;
	uint32_t at = 0, n_text;

	*tags = (struct tag_block){
		.n_tags = 1, .n_mask = UINT16_MAX, .n_texts = 2};
	cr_expect_not(larder_entry_tag(f.s, tags, &at, &text, &n_text));
	fixture_close(&f);
}

/* So may its size; and a buffer may be said to have room for anything. */
Test(validity, a_size_beyond_the_segment_is_not_copied)
{
	struct fixture f = fixture_open();
	struct lookup found;
	char value[64];

	put_text(&f, "key", NULL, NULL);
	larder_pin(f.w);
	cr_assert(
		larder_find(f.w, "key", 3, hash_of_key(&f, "key", 3), &found));
	larder_unpin(f.w);
	((struct entry *)(uintptr_t)found.v.e)->n_value = UINT32_MAX - 8;
	cr_expect_eq(larder_get(f.h, "key", 3, value, SIZE_MAX, NULL),
		     LARDER_MISS);
	fixture_close(&f);
}
