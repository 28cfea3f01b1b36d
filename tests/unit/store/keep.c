/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries with LARDER_KEEP are in nobody's way: spread over all pages of a full
 * segment they leave room for every size, and stay what they were, in value,
 * version and tags, wherever they come to lie.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/cache.h"
#include "store/drain.h"
#include "store/evict.h"
#include "store/page.h"

enum { VALUE_MOST = 4 << 20, LARGE_SEGMENT = 32 << 20 };

static struct larder *h;
static struct segment *s;
static char value[VALUE_MOST];

/* Few slots, so that a region may be small. */
static void open_segment(uint64_t bytes)
{
	const struct larder_create_options create = {
		.size_of = sizeof create,
		.bytes = bytes,
		.entry_hint = 64,
		.n_slots = 8,
	};
	int fd, error;

	cr_assert_eq(larder_create_fd(&create, &fd), 0);
	cr_assert_eq(larder_open_fd(fd, NULL, &h), 0);
	close(fd);
	s = worker_of(h, &error)->s;
}

static void close_segment(void)
{
	larder_close(h);
}

/* Values of keys differ in each byte, so that parts of two would show. */
static void fill_value(uint64_t key, size_t n)
{
	for (size_t i = 0; i < n; i += 8)
		memcpy(value + i, &key, 8);
}

static int put_flagged(uint64_t key, size_t n, unsigned flags)
{
	const struct larder_tag tag = {"tag", 3};
	const struct larder_put_options o = {
		.size_of = sizeof o,
		.flags = flags,
		.tags = &tag,
		.n_tags = flags & LARDER_KEEP ? 1 : 0,
	};

	fill_value(key, n);
	return larder_put(h, &key, sizeof key, value, n, &o);
}

static int put(uint64_t key, size_t n)
{
	return put_flagged(key, n, 0);
}

static uint64_t version_of(uint64_t key)
{
	struct larder_info info = {.size_of = sizeof info};

	cr_assert_geq(larder_get_info(h, &key, sizeof key, NULL, 0, &info), 0);
	return info.version;
}

/* Kept entries have numbers from here on; ordinary ones count from 0. */
#define FIRST_KEPT (UINT64_C(1) << 40)

static void keep(uint64_t i, size_t n)
{
	cr_assert_eq(put_flagged(FIRST_KEPT + i, n, LARDER_KEEP), LARDER_OK,
		     "keep %llu", (unsigned long long)i);
}

/* It is there whole, with its tag, and flagged. */
static void expect_kept(uint64_t i, size_t n)
{
	struct larder_info info = {.size_of = sizeof info};
	uint64_t key = FIRST_KEPT + i, word;
	size_t n_found = 0;
	static char found[70000];

	cr_assert_eq(larder_get_info(h, &key, sizeof key, found, sizeof found,
				     &info),
		     LARDER_OK, "kept entry %llu is gone",
		     (unsigned long long)i);
	n_found = info.n_value;
	cr_assert_eq(n_found, n);
	for (size_t at = 0; at + 8 <= n; at += 8) {
		memcpy(&word, found + at, 8);
		cr_assert_eq(word, key);
	}
	cr_assert_eq(info.n_tags, 1);
	cr_assert(info.flags & LARDER_KEEP);
}

static size_t value_of_class(unsigned class)
{
	return larder_class_units(s, class) * UNIT_BYTES - ENTRY_FIXED - 8;
}

/* As many entries as fill the segment, @n_kept of them kept and evenly spread
 * over the pages. */
static void spread(size_t n, unsigned n_kept)
{
	uint64_t units = div_up(ENTRY_FIXED + 8 + n, UNIT_BYTES);
	uint64_t all = s->n_units / units, kept = 0;

	for (uint64_t i = 0; i < all; i++) {
		if (i * n_kept / all >= kept && kept < n_kept)
			keep(kept++, n);
		cr_assert_eq(put(i, n), LARDER_OK);
	}
}

/* Every size finds room, several times over. */
static void store_sizes(uint64_t first, unsigned n_each, uint64_t most)
{
	for (unsigned class = 0; class < s->n_classes; class ++)
		for (unsigned i = 0; i < n_each; i++)
			cr_assert_eq(put(first++, value_of_class(class)),
				     LARDER_OK, "class %u, %u", class, i);
	for (uint64_t n = UINT64_C(1) << s->page_shift; n <= most; n *= 2)
		for (unsigned i = 0; i < n_each; i++)
			cr_assert_eq(put(first++, n), LARDER_OK,
				     "a run of %llu bytes, %u",
				     (unsigned long long)n, i);
}

static void store_all_sizes(uint64_t first, unsigned n_each)
{
	store_sizes(first, n_each, s->sb->value_max);
}

Test(kept, small_ones_in_every_page_leave_room_for_every_size)
{
	enum { KEPT = 750, SIZE = 40 };
	uint64_t versions[KEPT];

	open_segment(LARGE_SEGMENT);
	spread(SIZE, KEPT);
	for (unsigned i = 0; i < KEPT; i++)
		versions[i] = version_of(FIRST_KEPT + i);
	store_all_sizes(UINT64_C(1) << 32, 4);
	for (unsigned i = 0; i < KEPT; i++) {
		expect_kept(i, SIZE);
		cr_assert_eq(version_of(FIRST_KEPT + i), versions[i]);
	}
	close_segment();
}

/* What is left of a class that gives up its pages, one after the other. */
static uint64_t pages_that_stay(unsigned class)
{
	int error;
	struct worker *w = worker_of(h, &error);
	uint32_t n = 0;

	while (larder_page_move(w, class, s->n_classes - 1))
		;
	for (uint32_t page = 0; page < s->n_pages; page++) {
		uint64_t word = load_relaxed(&s->page_words[page]);

		n += PAGE_STATE(word) == PAGE_ACTIVE &&
		     PAGE_CLASS(word) == class;
	}
	return n;
}

/* They need no more pages than they fill; gone, none. */
Test(kept, move_together_where_others_need_their_pages)
{
	enum { KEPT = 3000, SIZE = 40 };
	unsigned class;
	uint64_t need;

	open_segment(LARGE_SEGMENT);
	class = larder_slab_class(s, ENTRY_FIXED + 8 + SIZE + 24);
	need = div_up((uint64_t)KEPT * larder_class_units(s, class),
		      page_units(s));
	spread(SIZE, KEPT);
	cr_expect_leq(pages_that_stay(class), need + 3);
	for (unsigned i = 0; i < KEPT; i++)
		expect_kept(i, SIZE);
	for (unsigned i = 0; i < KEPT; i++) {
		uint64_t key = FIRST_KEPT + i;

		cr_assert_eq(larder_remove(h, &key, sizeof key), LARDER_OK);
	}
	cr_expect_eq(pages_that_stay(class), 0);
	close_segment();
}

/* One of each size, each in a page that is its class's only one. */
static void keep_each_size(void)
{
	for (unsigned class = 0; class < s->n_classes; class ++)
		if (larder_class_units(s, class) > 1)
			keep(class, value_of_class(class) - 24);
}

static void expect_each_size(void)
{
	for (unsigned class = 0; class < s->n_classes; class ++)
		if (larder_class_units(s, class) > 1)
			expect_kept(class, value_of_class(class) - 24);
}

Test(kept, of_every_size_leave_room_for_the_largest_values)
{
	static const uint64_t sizes[] = {1 << 20, 4 << 20, LARGE_SEGMENT};

	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		uint64_t first = UINT64_C(1) << 32;

		open_segment(sizes[i]);
		keep_each_size();
		/* Full of one size, then of any, then of the largest. */
		for (unsigned k = 0; k < 2 * s->n_units; k++)
			cr_assert_eq(put(k, 8), LARDER_OK);
		store_all_sizes(first, 4);
		for (unsigned k = 0; k < 40; k++)
			cr_assert_eq(put(2 * first + k, s->sb->value_max - 64),
				     LARDER_OK, "%u of %llu bytes", k,
				     (unsigned long long)s->sb->value_max);
		store_all_sizes(3 * first, 4);
		expect_each_size();
		close_segment();
	}
}

/* Nothing else is of their classes, and they lie as far apart as they can. */
Test(kept, alone_of_their_sizes_leave_room_for_the_largest_values)
{
	static const uint64_t sizes[] = {1 << 20, 4 << 20, LARGE_SEGMENT};

	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		uint64_t between, n = 0;

		open_segment(sizes[i]);
		between = s->n_pages / s->n_classes - 1;
		for (unsigned class = 0; class < s->n_classes - 1; class ++) {
			if (larder_class_units(s, class) > 1)
				keep(class, value_of_class(class) - 24);
			cr_assert_eq(put(n++, (between << s->page_shift) - 64),
				     LARDER_OK);
		}
		for (unsigned k = 0; k < 40; k++)
			cr_assert_eq(put(n++, s->sb->value_max - 64), LARDER_OK,
				     "%u of %llu bytes", k,
				     (unsigned long long)s->sb->value_max);
		for (unsigned class = 0; class < s->n_classes - 1; class ++)
			if (larder_class_units(s, class) > 1)
				expect_kept(class, value_of_class(class) - 24);
		close_segment();
	}
}

/* As many as may be kept, of all sizes, among others that come and go. */
Test(kept, up_to_their_limit_leave_room_for_every_size)
{
	static const uint64_t sizes[] = {1 << 20, 4 << 20, LARGE_SEGMENT};

	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		uint64_t rng = 1, n = 0, next = 0;
		size_t lengths[20000];
		int result = LARDER_OK;

		open_segment(sizes[i]);
		while (result == LARDER_OK && n < 20000) {
			for (unsigned k = 0; k < 40; k++)
				cr_assert_eq(
					put(next++, random_next(&rng) % 3000),
					LARDER_OK);
			lengths[n] = random_next(&rng) % 400;
			result = put_flagged(FIRST_KEPT + n, lengths[n],
					     LARDER_KEEP);
			n += result == LARDER_OK;
		}
		cr_assert_eq(result, LARDER_KEEP_LIMIT);
		store_all_sizes(UINT64_C(1) << 32, 8);
		for (uint64_t k = 0; k < n; k++)
			expect_kept(k, lengths[k]);
		close_segment();
	}
}

/* Regions stay where they are, however many and small, and among what. */
Test(regions, leave_room_for_every_size)
{
	static const uint64_t sizes[] = {1 << 20, 4 << 20, LARGE_SEGMENT};

	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		struct larder_region region;
		void *first = NULL;
		uint64_t next = 0, n = 0;
		char name[16];

		open_segment(sizes[i]);
		for (;; n++) {
			snprintf(name, sizeof name, "r%u", (unsigned)n);
			if (larder_region(h, name, 64, 8, &region))
				break;
			memset(region.common, (int)n, 64);
			first = first ? first : region.common;
			/* Of the same size, so that pages are shared. */
			for (uint64_t k = 0; k < s->n_pages; k++)
				cr_assert_eq(put(next++, 650), LARDER_OK);
		}
		cr_assert_gt(n, 16);
		store_sizes(UINT64_C(1) << 32, 4, UINT64_C(2) << s->page_shift);
		for (unsigned k = 0; k < n; k++) {
			snprintf(name, sizeof name, "r%u", k);
			cr_assert_eq(larder_region(h, name, 64, 8, &region), 0);
			cr_assert(k || region.common == first);
			for (unsigned b = 0; b < 64; b++)
				cr_assert_eq(
					((unsigned char *)region.common)[b],
					k % 256);
		}
		close_segment();
	}
}

/* Of whole pages they stay where they are: as many as may be, evenly spread. */
Test(kept, runs_leave_room_for_every_value_that_fits_between)
{
	static const uint64_t sizes[] = {1 << 20, 4 << 20, LARGE_SEGMENT};

	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		uint64_t next = 0, n = 0;
		size_t length;

		open_segment(sizes[i]);
		length = (size_t)(UINT64_C(1) << s->page_shift);
		for (unsigned turn = 0;; turn++, n++) {
			if (put_flagged(FIRST_KEPT + n, length, LARDER_KEEP))
				break;
			for (uint64_t k = 0; k < s->n_pages / 8; k++)
				cr_assert_eq(put(next++, length - 64),
					     LARDER_OK);
		}
		cr_assert_gt(n, 2);
		store_sizes(UINT64_C(1) << 32, 8,
			    (s->n_pages / 16) << s->page_shift);
		for (unsigned k = 0; k < n; k++)
			expect_kept(k, length);
		close_segment();
	}
}

/* ------------------------------------------------------------------ */

/* What is leased is not moved, and its page not given up. */
Test(kept, stay_where_they_are_while_they_are_leased)
{
	uint64_t key = FIRST_KEPT;
	struct larder_view view;
	const void *before;
	int error;
	struct worker *w;
	uint32_t page;

	open_segment(4 << 20);
	spread(40, 1);
	w = worker_of(h, &error);
	cr_assert_eq(larder_lease(h, &key, sizeof key, &view), LARDER_OK);
	before = view.value;
	page = (uint32_t)((size_t)((const unsigned char *)before - s->base) -
			  s->sb->off_pages) >>
	       s->page_shift;
	cr_expect_not(larder_drain_window(w, page, 1));
	store_all_sizes(UINT64_C(1) << 32, 4);
	cr_expect(!memcmp(view.value, &key, sizeof key));
	larder_release(h, &view);
	cr_assert_eq(larder_lease(h, &key, sizeof key, &view), LARDER_OK);
	cr_expect_eq(view.value, before);
	larder_release(h, &view);
	cr_expect(larder_drain_window(w, page, 1));
	larder_page_release(w, page);
	cr_assert_eq(larder_lease(h, &key, sizeof key, &view), LARDER_OK);
	cr_expect_neq(view.value, before);
	larder_release(h, &view);
	expect_kept(0, 40);
	close_segment();
}

/* What was read of one before it moved is still true of it afterwards; what is
 * kept no more when it is stored again is evicted like any other. */
Test(kept, are_changed_and_given_up_wherever_they_lie)
{
	enum { KEPT = 200, SIZE = 40 };
	const struct larder_put_options o = {.size_of = sizeof o,
					     .flags = LARDER_KEEP};
	struct larder_usage u = {.size_of = sizeof u};
	uint64_t versions[KEPT], units, n, counter = FIRST_KEPT - 1;
	unsigned class, gone = 0;

	open_segment(4 << 20);
	spread(SIZE, KEPT);
	cr_assert_eq(
		larder_increment(h, &counter, sizeof counter, 1, 40, &o, &n),
		LARDER_OK);
	units = load_relaxed(&s->hot->kept_units);
	class = larder_slab_class(s, ENTRY_FIXED + 8 + SIZE + 24);
	for (unsigned i = 0; i < KEPT; i++)
		versions[i] = version_of(FIRST_KEPT + i);
	pages_that_stay(class);
	pages_that_stay(0);
	cr_expect_eq(load_relaxed(&s->hot->kept_units), units);
	cr_assert_eq(
		larder_increment(h, &counter, sizeof counter, 1, 0, NULL, &n),
		LARDER_OK);
	cr_expect_eq(n, 42);
	for (uint64_t i = 0; i < KEPT; i++) {
		uint64_t key = FIRST_KEPT + i;

		fill_value(key, SIZE);
		cr_assert_eq(larder_cas(h, &key, sizeof key, versions[i], value,
					SIZE, NULL),
			     LARDER_OK);
	}
	cr_assert_eq(larder_remove(h, &counter, sizeof counter), LARDER_OK);
	cr_assert_eq(larder_usage(h, &u), 0);
	cr_expect_eq(u.bytes_kept, 0);
	cr_expect_eq(load_relaxed(&s->hot->kept_units), 0);
	spread(SIZE, 0);
	for (uint64_t i = 0; i < KEPT; i++) {
		uint64_t key = FIRST_KEPT + i;

		gone += larder_get(h, &key, sizeof key, value, SIZE, NULL) ==
			LARDER_MISS;
	}
	cr_expect_gt(gone, KEPT / 2);
	close_segment();
}

/* A death may have left marks where an entry moves to. */
Test(kept, are_not_evicted_by_the_marks_of_others)
{
	enum { KEPT = 100, SIZE = 40 };

	open_segment(4 << 20);
	spread(SIZE, KEPT);
	for (uint64_t i = 0; i < s->n_units / 8; i++) {
		cr_assert_eq(larder_remove(h, &i, sizeof i) >= 0, true);
		if (i % 1000 == 0)
			larder_maintain(h, 0);
	}
	for (unsigned i = 0; i < 8; i++)
		larder_maintain(h, UINT32_MAX);
	for (uint32_t page = 0; page < s->n_pages; page++)
		for (uint32_t u = 0; u < page_units(s); u += 2) {
			uint32_t unit = page_first_unit(s, page) + u;
			uint64_t header =
				load_acquire(&entry_at(s, unit)->header);

			if (HEADER_STATE(header) == HEADER_FREE)
				bit_set(s->main_bits, unit);
		}
	pages_that_stay(larder_slab_class(s, ENTRY_FIXED + 8 + SIZE + 24));
	spread(SIZE, 0);
	spread(SIZE, 0);
	for (unsigned i = 0; i < KEPT; i++)
		expect_kept(i, SIZE);
	close_segment();
}

/* Marks are hints: even one that strayed to what is kept has it stay. */
Test(kept, are_not_evicted_by_marks_of_their_own)
{
	enum { KEPT = 100, SIZE = 40 };

	open_segment(4 << 20);
	spread(SIZE, KEPT);
	for (unsigned i = 0; i < KEPT; i++) {
		uint64_t key = FIRST_KEPT + i;
		struct larder_view view;
		uint32_t unit;

		cr_assert_eq(larder_lease(h, &key, sizeof key, &view),
			     LARDER_OK);
		unit = (uint32_t)((size_t)((const unsigned char *)view.value -
					   s->base) >>
				  UNIT_SHIFT);
		bit_set(i % 2 ? s->main_bits : s->probation_bits, unit);
		larder_release(h, &view);
	}
	spread(SIZE, 0);
	spread(SIZE, 0);
	for (unsigned i = 0; i < KEPT; i++)
		expect_kept(i, SIZE);
	close_segment();
}

/* How many grace periods it takes to empty the page of this key. */
static uint64_t graces_to_drain(uint64_t key)
{
	struct larder_view view;
	uint64_t before;
	uint32_t page;
	int error;
	struct worker *w = worker_of(h, &error);

	cr_assert_eq(larder_lease(h, &key, sizeof key, &view), LARDER_OK);
	page = (uint32_t)((size_t)((const unsigned char *)view.value -
				   s->base) -
			  s->sb->off_pages) >>
	       s->page_shift;
	larder_release(h, &view);
	before = load_acquire(&s->hot->epoch);
	cr_assert(larder_drain_window(w, page, 1));
	larder_page_release(w, page);
	return (load_acquire(&s->hot->epoch) - before) / GRACE;
}

/* Nothing of the class is known to be free. */
static void fill_class(unsigned class, uint64_t first, size_t n)
{
	int error;
	struct worker *w = worker_of(h, &error);
	uint64_t header;
	uint32_t unit;

	while (larder_slab_take_known(w, class, &unit, &header)) {
		larder_slab_abandon(w, unit, header);
		cr_assert_eq(put(first++, n), LARDER_OK);
	}
}

/* They move while what is not kept waits to be freed. */
Test(kept, take_a_grace_period_more_only_where_room_is_made)
{
	enum { SIZE = 40 };
	const uint64_t many = UINT64_C(1) << 32;
	unsigned class;

	open_segment(4 << 20);
	class = larder_slab_class(s, ENTRY_FIXED + 8 + SIZE);
	/* A page and a half of another. */
	keep(0, SIZE);
	for (uint64_t i = 1; i < 3 * page_units(s) / 4; i++)
		cr_assert_eq(put(i, SIZE), LARDER_OK);
	cr_expect_eq(graces_to_drain(FIRST_KEPT), 2);
	spread(SIZE, 0);
	cr_assert_eq(put(many, SIZE), LARDER_OK);
	fill_class(class, many + 1, SIZE);
	cr_expect_eq(graces_to_drain(FIRST_KEPT), 3);
	expect_kept(0, SIZE);
	close_segment();
}

/* How many of these are left when draining the page of the first and the next
 * has failed. */
static unsigned left_of_neighbours(unsigned n, size_t size)
{
	int error;
	struct worker *w = worker_of(h, &error);
	unsigned left = 0;

	cr_expect_not(larder_drain_window(w, 0, 2));
	for (uint64_t i = 0; i < n; i++)
		left += larder_get(h, &i, sizeof i, value, size, NULL) ==
			LARDER_OK;
	return left;
}

/* What cannot move is seen before its neighbours are evicted for nothing. */
Test(regions, and_kept_runs_cost_their_neighbours_nothing)
{
	enum { SIZE = 40 };
	struct larder_region region;
	unsigned n;

	for (int kind = 0; kind < 2; kind++) {
		open_segment(4 << 20);
		n = page_units(s) / 2;
		for (uint64_t i = 0; i < n; i++)
			cr_assert_eq(put(i, SIZE), LARDER_OK);
		if (kind)
			keep(0, (size_t)2 << s->page_shift);
		else
			cr_assert_eq(larder_region(h, "r", 64, 8, &region), 0);
		cr_expect_eq(left_of_neighbours(n, SIZE), n);
		close_segment();
	}
}
