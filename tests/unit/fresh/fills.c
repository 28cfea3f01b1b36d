/* SPDX-License-Identifier: Apache-2.0 */
/* Fills of one process, on a clock that the test moves. */
#include "fixture.h"

#include "cache/fill.h"
#include "cache/flight.h"

struct given {
	const char *value;
	struct larder_put_options o;
	int n, fails;
};

static int compute(void *context, struct larder_result *r)
{
	struct given *g = context;

	g->n++;
	g->o.size_of = sizeof g->o;
	return g->fails ? -1
			: larder_result_set(r, g->value, strlen(g->value),
					    &g->o);
}

static bool is(struct larder_view *view, const char *text)
{
	return view->n_value == strlen(text) &&
	       !memcmp(view->value, text, view->n_value);
}

#define FETCH(f, g, o, view) larder_fetch((f).h, "k", 1, compute, g, o, view)

Test(fills, lead_put_hit)
{
	struct fixture f = fixture_open();
	struct larder_fill fill, nested;
	struct larder_token token;
	struct larder_view v;

	cr_expect_eq(larder_fill_begin(f.h, "k", 1, NULL, &fill, &v),
		     LARDER_LEAD);
	cr_expect_null(v.value);
	cr_expect_eq(larder_fill_token(&fill, &token), 0);
	cr_expect_eq(token.stamp & STAMP_MASK, load_relaxed(&f.s->hot->stamp));
	cr_expect_eq(larder_fill_begin(f.h, "k", 1, NULL, &nested, &v),
		     LARDER_ERR_NESTED_FILL);
	cr_expect_eq(larder_fill_put(f.h, &fill, "one", 3, NULL), LARDER_OK);
	cr_expect_eq(larder_fill_put(f.h, &fill, "two", 3, NULL), -EINVAL,
		     "the fill is over");
	cr_expect_eq(larder_fill_begin(f.h, "k", 1, NULL, &fill, &v),
		     LARDER_OK);
	cr_expect(is(&v, "one"));
	larder_release(f.h, &v);
	cr_expect_eq(larder_fill_token(&fill, &token), -EINVAL);
	fixture_close(&f);
}

Test(fills, an_abandoned_lead_is_free)
{
	struct fixture f = fixture_open();
	struct larder_fill fill;
	struct larder_view v;

	for (int i = 0; i < 100; i++) {
		cr_assert_eq(larder_fill_begin(f.h, "k", 1, NULL, &fill, &v),
			     LARDER_LEAD);
		larder_fill_abandon(f.h, &fill);
	}
	cr_expect_eq(f.w->n_leading, 0);
	cr_expect_eq(flight_state(load_relaxed(
			     &flight_of(f.s, hash_of_key(&f, "k", 1))->word)),
		     FLIGHT_IDLE);
	fixture_close(&f);
}

Test(fills, a_refused_fill_says_so)
{
	struct fixture f = fixture_open();
	struct larder_fill fill;
	struct larder_view v;

	cr_assert_eq(larder_fill_begin(f.h, "k", 1, NULL, &fill, &v),
		     LARDER_LEAD);
	larder_invalidate_key(f.h, "k", 1);
	cr_expect_eq(larder_fill_put(f.h, &fill, "old", 3, NULL),
		     LARDER_STALE_FILL);
	cr_assert_eq(larder_fill_begin(f.h, "k", 1, NULL, &fill, &v),
		     LARDER_LEAD);
	larder_put(f.h, "k", 1, "direct", 6, NULL);
	cr_expect_eq(larder_fill_put(f.h, &fill, "old", 3, NULL), LARDER_NEWER);
	cr_expect(has(&f, "k"));
	fixture_close(&f);
}

Test(fills, stale_while_one_revalidates)
{
	struct fixture f = fixture_open();
	struct larder_put_options o = {
		.size_of = sizeof o, .ttl_ms = 10000, .soft_ttl_ms = 1000};
	struct larder_fill fill, other;
	struct larder_view v, w;

	larder_put(f.h, "k", 1, "old", 3, &o);
	cr_expect_eq(larder_fill_begin(f.h, "k", 1, NULL, &fill, &v),
		     LARDER_OK);
	larder_release(f.h, &v);
	passed_ms = 2000;
	cr_expect(has(&f, "k"), "a get does not mind");
	cr_expect_eq(larder_fill_begin(f.h, "k", 1, NULL, &fill, &v),
		     LARDER_LEAD);
	cr_expect(is(&v, "old"), "the refresher has the stale value");
	cr_expect_eq(larder_fill_begin(f.h, "k", 1, NULL, &other, &w),
		     LARDER_STALE);
	cr_expect(is(&w, "old"));
	larder_release(f.h, &w);
	larder_release(f.h, &v);
	cr_expect_eq(larder_fill_put(f.h, &fill, "new", 3, &o), LARDER_OK);
	cr_expect_eq(larder_fill_begin(f.h, "k", 1, NULL, &other, &w),
		     LARDER_OK);
	cr_expect(is(&w, "new"));
	larder_release(f.h, &w);
	fixture_close(&f);
}

Test(fills, an_invalid_value_is_never_the_stale_one)
{
	struct fixture f = fixture_open();
	struct larder_put_options o = {
		.size_of = sizeof o, .ttl_ms = 1000, .soft_ttl_ms = 500};
	struct larder_fill_options fo = {.size_of = sizeof fo,
					 .stale_error_ms = 100000};
	struct larder_fill fill;
	struct larder_view v;

	for (passed_ms = 600; passed_ms < 3000; passed_ms += 1000) {
		larder_put(f.h, "k", 1, "old", 3, &o);
		passed_ms += 700;
		larder_invalidate_key(f.h, "k", 1);
		cr_expect_eq(larder_fill_begin(f.h, "k", 1, &fo, &fill, &v),
			     LARDER_LEAD);
		cr_expect_null(v.value);
		larder_fill_abandon(f.h, &fill);
	}
	fixture_close(&f);
}

Test(fetch, stale_if_error)
{
	struct fixture f = fixture_open();
	struct given g = {.value = "fine", .o = {.ttl_ms = 1000}};
	struct larder_fill_options fo = {.size_of = sizeof fo,
					 .stale_error_ms = 5000};
	struct larder_view v;

	cr_expect_eq(FETCH(f, &g, &fo, &v), LARDER_OK);
	larder_release(f.h, &v);
	passed_ms = 2000;
	g.fails = 1;
	cr_expect_eq(FETCH(f, &g, &fo, &v), LARDER_STALE);
	cr_expect(is(&v, "fine"));
	larder_release(f.h, &v);
	passed_ms = 10000;
	cr_expect_eq(FETCH(f, &g, &fo, &v), LARDER_ERR_COMPUTE);
	g.fails = 0;
	g.value = "again";
	cr_expect_eq(FETCH(f, &g, &fo, &v), LARDER_OK);
	cr_expect(is(&v, "again"));
	larder_release(f.h, &v);
	cr_expect_eq(g.n, 4);
	fixture_close(&f);
}

Test(fetch, negative_results_have_their_own_ttl)
{
	struct fixture f = fixture_open();
	struct given g = {.value = "",
			  .o = {.ttl_ms = 100, .flags = LARDER_NEGATIVE}};
	struct larder_info info = {.size_of = sizeof info};
	struct larder_view v;

	for (int i = 0; i < 3; i++) {
		cr_expect_eq(FETCH(f, &g, NULL, &v), LARDER_OK);
		cr_expect_eq(v.n_value, 0);
		larder_release(f.h, &v);
	}
	cr_expect_eq(g.n, 1);
	cr_expect_eq(larder_get_info(f.h, "k", 1, NULL, 0, &info), LARDER_OK);
	cr_expect(info.flags & LARDER_NEGATIVE);
	passed_ms = 200;
	cr_expect_eq(FETCH(f, &g, NULL, &v), LARDER_OK);
	larder_release(f.h, &v);
	cr_expect_eq(g.n, 2);
	fixture_close(&f);
}

static int compute_big(void *context, struct larder_result *r)
{
	struct fixture *f = context;
	size_t n = (size_t)larder_value_max(f->h) + 1;
	char *bytes = malloc(n);
	int result;

	memset(bytes, 7, n);
	result = larder_result_set(r, bytes, n, NULL);
	free(bytes);
	return result;
}

Test(fetch, what_cannot_be_stored_is_given_all_the_same)
{
	struct fixture f = fixture_open();
	struct larder_view v;

	cr_expect_eq(larder_fetch(f.h, "k", 1, compute_big, &f, NULL, &v),
		     LARDER_OK);
	cr_expect_eq(v.n_value, larder_value_max(f.h) + 1);
	cr_expect_eq(((const char *)v.value)[v.n_value - 1], 7);
	larder_release(f.h, &v);
	cr_expect_null(v.value);
	cr_expect_not(has(&f, "k"));
	fixture_close(&f);
}

Test(fetch, without_a_lease_left_the_view_is_a_copy)
{
	struct fixture f = fixture_open();
	struct larder_view held[LARDER_LEASES_MAX], v;
	struct given g = {.value = "value"};

	put_text(&f, "k", NULL, NULL);
	for (int i = 0; i < LARDER_LEASES_MAX; i++)
		cr_assert_eq(larder_lease(f.h, "k", 1, &held[i]), LARDER_OK);
	cr_expect_eq(FETCH(f, &g, NULL, &v), LARDER_OK);
	cr_expect(is(&v, "value"));
	cr_expect_eq(g.n, 0);
	larder_release(f.h, &v);
	for (int i = 0; i < LARDER_LEASES_MAX; i++)
		larder_release(f.h, &held[i]);
	fixture_close(&f);
}

Test(fetch, results_are_copied_and_checked)
{
	struct fixture f = fixture_open();
	struct larder_tag bad = {"", 0}, good = {"tag", 3};
	struct larder_put_options o = {.size_of = sizeof o, .n_tags = 1};
	struct given g = {.value = "value", .o = {.tags = &good, .n_tags = 1}};
	struct larder_view v;

	cr_expect_eq(larder_result_set(NULL, "x", 1, NULL), -EINVAL);
	o.tags = &bad;
	cr_expect_eq(FETCH(f, &g, NULL, &v), LARDER_OK);
	larder_release(f.h, &v);
	larder_invalidate_tag(f.h, "tag", 3);
	cr_expect_not(has(&f, "k"), "the tag was stored");
	g.o = o;
	cr_expect_eq(FETCH(f, &g, NULL, &v), LARDER_ERR_COMPUTE,
		     "a callback that hands back the refusal has failed");
	fixture_close(&f);
}

Test(fills, arguments)
{
	struct fixture f = fixture_open();
	struct larder_fill_options o = {.size_of = sizeof o, .flags = 1};
	struct larder_fill fill = {{0}};
	struct larder_view v;

	cr_expect_eq(larder_fill_begin(f.h, "k", 1, &o, &fill, &v), -EINVAL);
	cr_expect_eq(larder_fill_begin(f.h, "", 0, NULL, &fill, &v), -EINVAL);
	cr_expect_eq(larder_fill_wait(f.h, &fill, &v), -EINVAL);
	cr_expect_eq(larder_fill_poll(f.h, &fill, &v), -EINVAL);
	cr_expect_eq(larder_fill_put(f.h, &fill, "", 0, NULL), -EINVAL);
	larder_fill_abandon(f.h, &fill);
	fixture_close(&f);
}

/* A flight of another key in the same cell: computed beside it. */
Test(fills, collisions_compute_twice)
{
	struct fixture f = fixture_open();
	struct larder_fill fill, other;
	struct larder_view v;
	char key[16];
	size_t n = 0;
	struct flight *cell = flight_of(f.s, hash_of_key(&f, "k", 1));

	for (int i = 0; !n; i++) {
		n = (size_t)snprintf(key, sizeof key, "x%d", i);
		if (flight_of(f.s, hash_of_key(&f, key, n)) != cell)
			n = 0;
	}
	cr_assert_eq(larder_fill_begin(f.h, "k", 1, NULL, &fill, &v),
		     LARDER_LEAD);
	cr_assert_eq(larder_fill_begin(f.h, key, n, NULL, &other, &v),
		     LARDER_LEAD);
	cr_expect_eq(larder_fill_put(f.h, &other, "2", 1, NULL), LARDER_OK);
	cr_expect_eq(flight_state(load_relaxed(&cell->word)), FLIGHT_LEADING,
		     "the other one's flight goes on");
	cr_expect_eq(larder_fill_put(f.h, &fill, "1", 1, NULL), LARDER_OK);
	cr_expect_eq(flight_state(load_relaxed(&cell->word)), FLIGHT_IDLE);
	cr_expect(has(&f, "k") && has(&f, key));
	fixture_close(&f);
}

static struct segment *closes_soon;

static uint64_t closing_clock(void)
{
	if (closes_soon)
		fetch_or_acqrel(&closes_soon->hot->stamp, STAMP_CLOSED);
	return 1000000;
}

/* The segment is put aside, and nothing takes its place, while a fill waits:
 * between two looks at it, as each look reads the clock. */
Test(fills, a_wait_ends_by_name_when_the_segment_is_put_aside)
{
	struct fixture f = fixture_open();
	struct larder *other;
	struct larder_fill led, fill;
	struct larder_view v;

	larder_clock_replace(closing_clock);
	cr_assert_eq(larder_open_fd(f.s->fd, NULL, &other), 0);
	cr_assert_eq(larder_fill_begin(other, "k", 1, NULL, &led, &v),
		     LARDER_LEAD);
	cr_assert_eq(larder_fill_begin(f.h, "k", 1, NULL, &fill, &v),
		     LARDER_WAIT);
	closes_soon = f.s;
	cr_expect_eq(larder_fill_wait(f.h, &fill, &v), LARDER_ERR_CLOSED);
	larder_close(other);
	fixture_close(&f);
}
