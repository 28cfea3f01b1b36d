/* SPDX-License-Identifier: Apache-2.0 */
/* The words of freshness alone: sets and floors, the ring, drawing, helping. */
#include "fixture.h"

#include "cache/words.h"

static uint64_t hash_of(uint64_t fingerprint)
{
	return fingerprint << 48 | 7;
}

Test(sets, remember_the_greatest_number)
{
	struct tag_set set = {0};

	cr_expect_eq(larder_set_number(&set, hash_of(5)), 0);
	larder_set_raise(&set, hash_of(5), 10);
	larder_set_raise(&set, hash_of(5), 8);
	cr_expect_eq(larder_set_number(&set, hash_of(5)), 10);
	cr_expect_eq(larder_set_number(&set, hash_of(6)), 0);
	larder_set_raise(&set, hash_of(5), 12);
	cr_expect_eq(larder_set_number(&set, hash_of(5)), 12);
	cr_expect_eq(load_relaxed(&set.floor), 0);
}

Test(sets, a_fingerprint_of_zero_is_one_like_others)
{
	struct tag_set set = {0};

	larder_set_raise(&set, hash_of(0), 3);
	larder_set_raise(&set, hash_of(1), 4);
	cr_expect_eq(larder_set_number(&set, hash_of(0)), 3);
	cr_expect_eq(larder_set_number(&set, hash_of(1)), 4);
}

Test(sets, the_oldest_is_displaced_into_the_floor)
{
	struct tag_set set = {0};

	for (uint64_t k = 0; k < TAG_WORDS; k++)
		larder_set_raise(&set, hash_of(100 + k), 20 + k);
	cr_expect_eq(load_relaxed(&set.floor), 0);
	larder_set_raise(&set, hash_of(200), 50);
	cr_expect_eq(load_relaxed(&set.floor), 20, "the oldest one's number");
	cr_expect_eq(larder_set_number(&set, hash_of(100)), 20);
	cr_expect_eq(larder_set_number(&set, hash_of(200)), 50);
	cr_expect_eq(larder_set_number(&set, hash_of(101)), 21);
	cr_expect_eq(larder_set_number(&set, hash_of(999)), 20,
		     "an innocent one: too much rather than too little");
}

Test(sets, no_number_is_ever_forgotten)
{
	struct tag_set set = {0};
	uint64_t known[64] = {0}, rng = 0x9e3779b97f4a7c15;

	for (uint64_t n = 1; n < 20000; n++) {
		uint64_t k = random_next(&rng) % 64;

		larder_set_raise(&set, hash_of(k), n);
		known[k] = n;
		k = random_next(&rng) % 64;
		cr_assert_geq(larder_set_number(&set, hash_of(k)), known[k]);
	}
}

Test(ring, a_draw_announces_before_it_counts)
{
	struct fixture f = fixture_open();
	uint64_t c = load_relaxed(&f.s->hot->stamp);

	cr_expect_eq(larder_draw(f.s, c, 77), DRAW_DONE);
	cr_expect_eq(load_relaxed(&f.s->hot->stamp), c + 1);
	cr_expect_eq(load_relaxed(ring_of(f.s, c + 1)), ring_cell(77, c + 1));
	cr_expect_eq(larder_draw(f.s, c, 78), DRAW_AGAIN, "C has moved on");
	cr_expect_eq(load_relaxed(ring_of(f.s, c + 1)), ring_cell(77, c + 1),
		     "and what was announced stands");
	fixture_close(&f);
}

/* An invalidator that was stopped after it had loaded C, for a whole round of
 * the ring: the cell it comes back to is newer than its number. */
Test(ring, a_late_draw_erases_no_announcement)
{
	struct fixture f = fixture_open();
	uint64_t c = load_relaxed(&f.s->hot->stamp);

	for (int i = 0; i < RING_CELLS + 1; i++)
		cr_assert_eq(larder_draw(f.s, c + (uint64_t)i, 9), DRAW_DONE);
	cr_expect_eq(larder_draw(f.s, c, 78), DRAW_AGAIN);
	cr_expect_eq(load_relaxed(ring_of(f.s, c + 1)),
		     ring_cell(9, c + 1 + RING_CELLS));
	fixture_close(&f);
}

Test(ring, a_number_announced_by_another_is_helped_and_not_taken)
{
	struct fixture f = fixture_open();
	uint64_t c = load_relaxed(&f.s->hot->stamp);

	store_relaxed(ring_of(f.s, c + 1), ring_cell(5, c + 1));
	cr_expect_eq(larder_draw(f.s, c, 6), DRAW_AGAIN);
	cr_expect_eq(load_relaxed(&f.s->hot->stamp), c + 1, "it was helped");
	cr_expect_eq(larder_draw(f.s, c + 1, 6), DRAW_DONE);
	cr_expect_eq(load_relaxed(ring_of(f.s, c + 1)), ring_cell(5, c + 1));
	cr_expect_eq(load_relaxed(ring_of(f.s, c + 2)), ring_cell(6, c + 2));
	fixture_close(&f);
}

Test(ring, help_fills_the_hole_first)
{
	struct fixture f = fixture_open();
	uint64_t c = load_relaxed(&f.s->hot->stamp);

	larder_help(f.s, c);
	cr_expect_eq(load_relaxed(&f.s->hot->stamp), c, "nothing to finish");
	larder_help(f.s, c + 1);
	cr_expect_eq(load_relaxed(&f.s->hot->stamp), c + 1);
	cr_expect_eq(load_relaxed(ring_of(f.s, c + 1)),
		     ring_cell(RING_WILD, c + 1));
	/* A help that comes late changes nothing. */
	for (int i = 0; i < RING_CELLS; i++)
		cr_assert_eq(larder_draw(f.s, c + 1 + (uint64_t)i, 9),
			     DRAW_DONE);
	larder_help(f.s, c + 1);
	cr_expect_eq(load_relaxed(ring_of(f.s, c + 1)),
		     ring_cell(9, c + 1 + RING_CELLS));
	fixture_close(&f);
}

Test(ring, nothing_is_drawn_in_a_closed_segment)
{
	struct fixture f = fixture_open();
	uint64_t c = load_relaxed(&f.s->hot->stamp);

	larder_segment_close(f.s->fd);
	cr_expect_eq(larder_draw(f.s, c, 1), DRAW_CLOSED);
	larder_help(f.s, c + 1);
	cr_expect_eq(load_relaxed(&f.s->hot->stamp), c | STAMP_CLOSED);
	cr_expect_eq(larder_invalidate_tag(f.h, "t", 1), LARDER_ERR_CLOSED);
	cr_expect_eq(larder_invalidate_match(f.h, "t*", 2, 0),
		     LARDER_ERR_CLOSED);
	cr_expect_eq(larder_invalidate_all(f.h), LARDER_ERR_CLOSED);
	fixture_close(&f);
}
