/* SPDX-License-Identifier: Apache-2.0 */
/* Live patterns: slots, retirement in order, early retirement, the dead's. */
#include "fixture.h"

#include "cache/pattern.h"
#include "cache/words.h"

static uint64_t word(struct fixture *f, int i)
{
	return load_relaxed(&f->s->hot->pattern_word[i]);
}

static int n_live(struct fixture *f)
{
	int n = 0;

	for (int i = 0; i < N_PATTERNS; i++)
		n += pattern_state(word(f, i)) == PATTERN_SETTLED;
	return n;
}

static void match(struct fixture *f, const char *glob)
{
	cr_assert_eq(larder_invalidate_match(f->h, glob, strlen(glob), 0), 0);
}

Test(patterns, words_hold_what_they_are_given)
{
	uint64_t w = pattern_word(0x123456789abc, 0xfff, PATTERN_SETTLED);

	cr_expect_eq(pattern_number(w), 0x123456789abc);
	cr_expect_eq(pattern_generation(w), 0xfff);
	cr_expect_eq(pattern_state(w), PATTERN_SETTLED);
	cr_expect_eq(pattern_generation(pattern_word(1, 0x1000, 0)), 0);
}

Test(patterns, retired_after_the_sweep_and_the_longest_fill)
{
	struct fixture f = fixture_open();
	uint64_t began = larder_clock_ms(), number;

	match(&f, "x*");
	number = pattern_number(word(&f, 0));
	cr_expect_eq(number, load_relaxed(&f.s->hot->stamp));
	passed_ms = 500;
	larder_patterns_maintain(f.w, larder_clock_ms());
	cr_expect_eq(n_live(&f), 1, "a fill from before may be under way");
	passed_ms = 2000;
	larder_patterns_maintain(f.w, began);
	cr_expect_eq(n_live(&f), 1, "the sweep began before it");
	cr_expect_lt(load_relaxed(&f.s->hot->everything), number);
	larder_patterns_maintain(f.w, larder_clock_ms());
	cr_expect_eq(n_live(&f), 0);
	cr_expect_eq(load_relaxed(&f.s->hot->everything), number,
		     "its number lives on");
	cr_expect_eq(pattern_generation(word(&f, 0)), 1);
	fixture_close(&f);
}

/* What the whole sweep restamped survives the retirement; what it could not
 * see, an innocent fill from before, is refused and not counted as early. */
Test(patterns, innocents_survive_retirement)
{
	struct fixture f = fixture_open();
	struct larder_token old;
	uint64_t c = 0;

	put_text(&f, "innocent", NULL, NULL);
	put_text(&f, "xguilty", NULL, NULL);
	cr_assert_eq(larder_token(f.h, "late", 4, &old), 0);
	match(&f, "x*");
	passed_ms = 2000;
	while (n_live(&f) && c++ < 10000)
		cr_assert_geq(larder_maintain(f.h, 0), 0);
	cr_expect_eq(n_live(&f), 0, "maintenance sweeps and retires");
	cr_expect(has(&f, "innocent"));
	cr_expect_not(has(&f, "xguilty"));
	cr_expect_eq(put_text(&f, "late", NULL, &old), LARDER_STALE_FILL);
	cr_expect_eq(load_relaxed(&f.w->cell->counter[COUNTER_REFUSED_PATTERN]),
		     0);
	fixture_close(&f);
}

Test(patterns, the_sixty_fifth_retires_the_oldest)
{
	struct fixture f = fixture_open();
	struct larder_token old;
	uint64_t first;
	char glob[16];

	cr_assert_eq(larder_token(f.h, "late", 4, &old), 0);
	for (int i = 0; i < N_PATTERNS; i++) {
		snprintf(glob, sizeof glob, "x%d*", i);
		match(&f, glob);
	}
	cr_expect_eq(n_live(&f), N_PATTERNS);
	first = pattern_number(word(&f, 0));
	cr_expect_eq(put_text(&f, "late", NULL, &old), LARDER_OK);
	match(&f, "y*");
	cr_expect_eq(n_live(&f), N_PATTERNS);
	cr_expect_eq(load_relaxed(&f.s->hot->everything), first);
	cr_expect_gt(pattern_number(word(&f, 0)), first);
	cr_expect_eq(put_text(&f, "other", NULL, &old), LARDER_STALE_FILL);
	cr_expect_eq(load_relaxed(&f.w->cell->counter[COUNTER_REFUSED_PATTERN]),
		     1, "an innocent fill, counted");
	/* Hundreds in a row never fail and are all effective. */
	for (int i = 0; i < 300; i++) {
		snprintf(glob, sizeof glob, "z%d", i);
		put_text(&f, glob, NULL, NULL);
		match(&f, glob);
		cr_assert_not(has(&f, glob));
	}
	fixture_close(&f);
}

Test(patterns, what_the_dead_claimed_is_free_again)
{
	struct fixture f = fixture_open();
	/* An owner that is not attached: this slot's predecessor. */
	uint64_t dead = pattern_owner(f.w->index, f.w->generation + 2);
	uint64_t live = pattern_owner(f.w->index, f.w->generation);
	uint64_t c = load_relaxed(&f.s->hot->stamp);

	raise_acqrel(&f.s->hot->pattern_slots, 3);
	store_relaxed(&f.s->hot->pattern_word[0],
		      pattern_word(dead, 4, PATTERN_CLAIMED));
	store_relaxed(&f.s->hot->pattern_word[1],
		      pattern_word(live, 4, PATTERN_CLAIMED));
	/* Died drawing: T is C + 1. */
	store_relaxed(&f.s->patterns[2].owner, dead);
	store_relaxed(&f.s->patterns[2].n_text, 1);
	store_relaxed(&f.s->patterns[2].text[0], '*');
	store_relaxed(&f.s->hot->pattern_word[2],
		      pattern_word(c + 1, 4, PATTERN_DRAWING));
	larder_patterns_maintain(f.w, 0);
	cr_expect_eq(word(&f, 0), pattern_word(0, 5, PATTERN_FREE));
	cr_expect_eq(word(&f, 1), pattern_word(live, 4, PATTERN_CLAIMED));
	cr_expect_eq(word(&f, 2), pattern_word(c + 1, 4, PATTERN_SETTLED));
	cr_expect_eq(load_relaxed(&f.s->hot->stamp), c + 1);
	fixture_close(&f);
}

/* 64 stopped invalidators: everything goes, and nobody hangs. */
Test(patterns, without_a_slot_everything_goes)
{
	struct fixture f = fixture_open();
	uint64_t live = pattern_owner(f.w->index, f.w->generation);

	put_text(&f, "k", NULL, NULL);
	put_text(&f, "l", NULL, NULL);
	raise_acqrel(&f.s->hot->pattern_slots, N_PATTERNS);
	for (int i = 0; i < N_PATTERNS; i++)
		store_relaxed(&f.s->hot->pattern_word[i],
			      pattern_word(live, 0, PATTERN_CLAIMED));
	match(&f, "k");
	cr_expect(!has(&f, "k") && !has(&f, "l"));
	fixture_close(&f);
}

/* A random glob takes exactly what larder_glob() says it matches. */
Test(patterns, agree_with_the_matcher)
{
	static const char alphabet[] = "ab*?";
	uint64_t rng = 0x2545f4914f6cdd1d;

	for (int round = 0; round < 40; round++) {
		struct fixture f = fixture_open();
		char glob[8], key[8], tag[8];
		size_t n = 1 + random_next(&rng) % 5;

		for (size_t i = 0; i < n; i++)
			glob[i] = alphabet[random_next(&rng) % 4];
		for (int i = 0; i < 64; i++) {
			snprintf(key, sizeof key, "%c%c%c%d", 'a' + (i & 1),
				 'a' + (i >> 1 & 1), 'a' + (i >> 2 & 1), i);
			snprintf(tag, sizeof tag, "%c%c", 'a' + (i >> 3 & 1),
				 'a' + (i >> 4 & 1));
			put_text(&f, key, tag, NULL);
		}
		larder_invalidate_match(f.h, glob, n, LARDER_MATCH_EITHER);
		for (int i = 0; i < 64; i++) {
			bool taken;

			snprintf(key, sizeof key, "%c%c%c%d", 'a' + (i & 1),
				 'a' + (i >> 1 & 1), 'a' + (i >> 2 & 1), i);
			snprintf(tag, sizeof tag, "%c%c", 'a' + (i >> 3 & 1),
				 'a' + (i >> 4 & 1));
			taken = larder_glob(glob, n, key, strlen(key)) == 1 ||
				larder_glob(glob, n, tag, 2) == 1;
			cr_assert_eq(has(&f, key), !taken,
				     "glob %.*s, key %s, tag %s", (int)n, glob,
				     key, tag);
		}
		fixture_close(&f);
	}
}
