/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who goes and who is remembered, in one process on a clock that stands still:
 * ghosts and their ages, references, expired entries before all others, pages
 * that the dead had in hand, dear entries longer than cheap ones.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/cache.h"
#include "store/drain.h"
#include "store/evict.h"
#include "store/ghost.h"
#include "store/page.h"

enum { ENTRIES = 4096, VALUE_MOST = 65536 };

struct fixture {
	struct larder *h;
	struct segment *s;
};

static uint64_t began_ms, passed_ms;

static uint64_t standing_clock(void)
{
	return began_ms + passed_ms;
}

static struct fixture fixture_open(uint64_t bytes, uint64_t max_entries,
				   uint32_t policy)
{
	const struct larder_create_options create = {
		.size_of = sizeof create,
		.bytes = bytes,
		.max_entries = max_entries,
		.entry_hint = 64,
		.policy = policy,
		.n_slots = 64,
	};
	struct fixture f;
	int fd, error;

	began_ms = larder_clock_ms();
	larder_clock_replace(standing_clock);
	cr_assert_eq(larder_create_fd(&create, &fd), 0);
	cr_assert_eq(larder_open_fd(fd, NULL, &f.h), 0);
	close(fd);
	f.s = worker_of(f.h, &error)->s;
	return f;
}

static void fixture_close(struct fixture *f)
{
	larder_close(f->h);
	larder_clock_replace(NULL);
}

static void put(struct fixture *f, uint64_t key, size_t n_value,
		uint64_t ttl_ms, uint64_t cost_ns)
{
	static const char value[VALUE_MOST];
	const struct larder_put_options o = {
		.size_of = sizeof o,
		.ttl_ms = ttl_ms,
		.cost_ns = cost_ns,
	};

	cr_assert_eq(larder_put(f->h, &key, sizeof key, value, n_value, &o),
		     LARDER_OK);
}

static bool get(struct fixture *f, uint64_t key)
{
	char value[VALUE_MOST];

	return larder_get(f->h, &key, sizeof key, value, sizeof value, NULL) ==
	       LARDER_OK;
}

static uint64_t counted(struct fixture *f, enum counter which)
{
	uint64_t counters[COUNTER_NONE];

	larder_counters(f->h, counters, COUNTER_NONE);
	return counters[which];
}

/* Of the keys from @first on, how many are there? References rise. */
static unsigned present(struct fixture *f, uint64_t first, unsigned n)
{
	unsigned found = 0;

	for (unsigned i = 0; i < n; i++)
		found += get(f, first + i);
	return found;
}

/* ------------------------------------------------------------------ */

static uint64_t hash_of(uint64_t i)
{
	return (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

Test(ghosts, are_found_once_and_by_their_class_only)
{
	struct fixture f = fixture_open(4 << 20, ENTRIES, 0);

	larder_ghost_add(f.s, hash_of(1), 3);
	cr_expect_eq(larder_ghost_take(f.s, hash_of(1), 4), -1);
	cr_expect_eq(larder_ghost_take(f.s, hash_of(1), 3), 0);
	cr_expect_eq(larder_ghost_take(f.s, hash_of(1), 3), -1);
	larder_ghost_main_add(f.s, hash_of(2), 3);
	cr_expect_not(larder_ghost_main_take(f.s, hash_of(2), 4));
	cr_expect(larder_ghost_main_take(f.s, hash_of(2), 3));
	cr_expect_not(larder_ghost_main_take(f.s, hash_of(2), 3));
	fixture_close(&f);
}

Test(ghosts, of_probation_are_forgotten_by_age_and_those_of_main_are_not)
{
	struct fixture f = fixture_open(4 << 20, ENTRIES, 0);

	store_relaxed(&f.s->hot->n_entries, ENTRIES);
	for (uint64_t i = 0; i < 3; i++)
		larder_ghost_add(f.s, hash_of(i), 0);
	larder_ghost_main_add(f.s, hash_of(9), 0);
	store_relaxed(&f.s->hot->evicted, ENTRIES / 2);
	cr_expect_eq(larder_ghost_take(f.s, hash_of(0), 0), 32);
	/* Half of an even stream of evictions outlives as many as are live. */
	store_relaxed(&f.s->hot->evicted, ENTRIES * 5 / 4);
	cr_expect_eq(larder_ghost_take(f.s, hash_of(1), 0), 80);
	store_relaxed(&f.s->hot->evicted, ENTRIES * 7 / 4);
	cr_expect_eq(larder_ghost_take(f.s, hash_of(2), 0), -1);
	cr_expect(larder_ghost_main_take(f.s, hash_of(9), 0));
	fixture_close(&f);
}

Test(ghosts, age_by_the_live_entries_where_fewer_live_than_were_planned)
{
	struct fixture f = fixture_open(4 << 20, ENTRIES, 0);

	store_relaxed(&f.s->hot->n_entries, ENTRIES / 2);
	larder_ghost_add(f.s, hash_of(0), 0);
	larder_ghost_add(f.s, hash_of(1), 0);
	store_relaxed(&f.s->hot->evicted, ENTRIES / 2);
	cr_expect_eq(larder_ghost_take(f.s, hash_of(0), 0), 64);
	store_relaxed(&f.s->hot->evicted, ENTRIES);
	cr_expect_eq(larder_ghost_take(f.s, hash_of(1), 0), -1);
	fixture_close(&f);
}

/* ------------------------------------------------------------------ */

Test(hands, take_what_nobody_asked_for_and_remember_it)
{
	struct fixture f = fixture_open(4 << 20, ENTRIES, 0);

	for (uint64_t i = 0; i < ENTRIES; i++)
		put(&f, i, 8, 0, 0);
	for (unsigned round = 0; round < 3; round++)
		cr_assert_geq(present(&f, 0, ENTRIES / 2), ENTRIES * 48 / 100);
	for (uint64_t i = 0; i < ENTRIES / 4; i++)
		put(&f, 100000 + i, 8, 0, 0);
	/* A few go because their group of the index is full. */
	cr_expect_geq(present(&f, 0, ENTRIES / 2), ENTRIES * 47 / 100);
	cr_expect_leq(present(&f, ENTRIES / 2, ENTRIES / 2),
		      ENTRIES * 30 / 100);
	/* None of these was there before; fingerprints of 16 bits may collide.
	 */
	cr_expect_leq(counted(&f, COUNTER_GHOST_HITS), 3);
	for (uint64_t i = ENTRIES / 2; i < ENTRIES; i++)
		if (!get(&f, i))
			put(&f, i, 8, 0, 0);
	cr_expect_geq(counted(&f, COUNTER_GHOST_HITS), ENTRIES / 8);
	fixture_close(&f);
}

Test(hands, take_what_expired_whatever_its_references)
{
	struct fixture f = fixture_open(4 << 20, ENTRIES, 0);

	for (uint64_t i = 0; i < ENTRIES; i++)
		put(&f, i, 8, i % 2 ? 1000 : 0, 0);
	for (unsigned round = 0; round < 3; round++)
		present(&f, 0, ENTRIES);
	passed_ms = 2000;
	for (uint64_t i = 0; i < ENTRIES / 8; i++)
		put(&f, 100000 + i, 8, 0, 0);
	cr_expect_geq(counted(&f, COUNTER_EXPIRATIONS), ENTRIES / 12);
	fixture_close(&f);
}

Test(sweeps, free_what_expired_so_that_nothing_else_has_to_go)
{
	struct fixture f = fixture_open(4 << 20, ENTRIES, 0);
	uint64_t evicted;

	for (uint64_t i = 0; i < ENTRIES; i++)
		put(&f, i, 8, i % 2 ? 1000 : 0, 0);
	passed_ms = 2000;
	for (unsigned i = 0; i < 64; i++)
		cr_assert_eq(larder_maintain(f.h, 0), 0);
	cr_expect_geq(counted(&f, COUNTER_EXPIRATIONS), ENTRIES * 48 / 100);
	evicted = counted(&f, COUNTER_EVICTIONS) -
		  counted(&f, COUNTER_EVICTIONS_CONFLICT);
	for (uint64_t i = 0; i < ENTRIES / 4; i++)
		put(&f, 100000 + i, 8, 0, 0);
	cr_expect_eq(counted(&f, COUNTER_EVICTIONS) -
			     counted(&f, COUNTER_EVICTIONS_CONFLICT),
		     evicted);
	fixture_close(&f);
}

/* New large values come without end; each could be had at the price of whole
 * pages of small ones, or of an older large one. */
Test(runs, displace_each_other_rather_than_pages_of_small_ones)
{
	enum { SMALL = 100000, LARGE = 1000 };
	struct fixture f = fixture_open(4 << 20, 0, 0);
	unsigned before, after;

	for (uint64_t i = 0; i < SMALL; i++)
		put(&f, LARGE + i, 8, 0, 0);
	before = present(&f, LARGE, SMALL);
	for (uint64_t i = 0; i < LARGE; i++)
		put(&f, i, 40000, 0, 0);
	after = present(&f, LARGE, SMALL);
	cr_expect_gt(after, before / 8, "%u of %u", after, before);
	fixture_close(&f);
}

Test(cost, what_was_dear_outlives_what_was_cheap)
{
	struct fixture f = fixture_open(4 << 20, ENTRIES, LARDER_POLICY_COST);
	unsigned n_dear = 0, n_cheap = 0;

	for (uint64_t i = 0; i < 3 * ENTRIES; i++)
		put(&f, i, 8, 0, i % 2 ? 50000000 : 1000000);
	for (uint64_t i = 0; i < 3 * ENTRIES; i++)
		*(i % 2 ? &n_dear : &n_cheap) += get(&f, i);
	cr_expect_gt(n_dear, n_cheap * 3 / 2, "%u, %u", n_dear, n_cheap);
	fixture_close(&f);
}

/* ------------------------------------------------------------------ */

/* Link an entry of @key as a put does, up to where it is visible. */
static uint64_t link_entry(struct worker *w, const void *key, size_t n_key,
			   uint32_t *unit, unsigned *class)
{
	struct entry_plan plan = {.key = key,
				  .n_key = (uint32_t)n_key,
				  .value = "",
				  .n_value = 0};
	uint64_t hash = key_hash_of(w->s, key, n_key), header;
	struct group *g = group_of(w->s, hash);

	*class = larder_slab_class(w->s, larder_entry_bytes(&plan));
	cr_assert_eq(
		larder_slab_alloc(w, larder_entry_bytes(&plan), unit, &header),
		LARDER_OK);
	larder_entry_write(w->s, entry_at(w->s, *unit), &plan,
			   larder_fresh_now(w->s));
	larder_pin(w);
	cr_assert_eq(larder_index_insert(w, g, load_acquire(&g->ctl),
					 (unsigned)larder_index_find_empty(g),
					 tag_of(hash), *unit),
		     INDEX_DONE);
	return header;
}

/* Its writer stands still between the two, and another takes it away. */
Test(marks, go_with_an_entry_that_was_taken_away_before_it_was_marked)
{
	struct fixture f = fixture_open(4 << 20, ENTRIES, 0);
	struct larder *other;
	uint64_t header, key = 1;
	uint32_t unit;
	unsigned class;
	int error;
	struct worker *w = worker_of(f.h, &error);

	cr_assert_eq(larder_open_fd(f.s->fd, NULL, &other), 0);
	header = link_entry(w, &key, sizeof key, &unit, &class);
	cr_assert_eq(larder_remove(other, &key, sizeof key), LARDER_OK);
	larder_evict_linked(w, class, unit, false);
	larder_slab_publish(w, unit, header);
	larder_unpin(w);
	cr_expect_eq(load_relaxed(&f.s->hot->n_entries), 0);
	cr_expect_eq(load_relaxed(&f.s->pools[class].n_probation), 0);
	cr_expect_not(bit_test(f.s->probation_bits, unit));

	/* The same where it is replaced: one entry, one mark. */
	header = link_entry(w, &key, sizeof key, &unit, &class);
	cr_assert_eq(larder_put(other, &key, sizeof key, "", 0, NULL),
		     LARDER_OK);
	larder_evict_linked(w, class, unit, false);
	larder_slab_publish(w, unit, header);
	larder_unpin(w);
	cr_expect_eq(load_relaxed(&f.s->hot->n_entries), 1);
	cr_expect_not(bit_test(f.s->probation_bits, unit));
	larder_close(other);
	fixture_close(&f);
}

/* What a death left in the memory that an entry with LARDER_KEEP gets next. */
Test(marks, of_others_evict_no_entry_that_is_kept)
{
	struct fixture f = fixture_open(4 << 20, 0, 0);
	const struct larder_put_options keep = {.size_of = sizeof keep,
						.flags = LARDER_KEEP};
	char value[8];

	put(&f, 999, 4, 0, 0); /* a page that is not opened anew */
	for (uint32_t unit = f.s->first_unit; unit < f.s->end_unit; unit++)
		bit_set(f.s->probation_bits, unit);
	for (uint64_t key = 0; key < 8; key++)
		cr_assert_eq(
			larder_put(f.h, &key, sizeof key, "kept", 4, &keep),
			LARDER_OK);
	for (uint64_t i = 0; i < 100000; i++)
		put(&f, 1000 + i, 8, 0, 0);
	for (uint64_t key = 0; key < 8; key++)
		cr_expect_eq(larder_get(f.h, &key, sizeof key, value, 8, NULL),
			     LARDER_OK);
	fixture_close(&f);
}

/* ------------------------------------------------------------------ */

/* Who did it once need not come again. */
Test(maintainer, gives_way_when_it_comes_no_more)
{
	struct fixture f = fixture_open(4 << 20, 0, 0);
	struct larder *other;

	cr_assert_eq(larder_open_fd(f.s->fd, NULL, &other), 0);
	cr_expect_eq(larder_maintain(f.h, 1), 0);
	cr_expect_eq(larder_maintain(other, 1), LARDER_WAIT);
	passed_ms += 900;
	cr_expect_eq(larder_maintain(f.h, 1), 0);
	cr_expect_eq(larder_maintain(other, 1), LARDER_WAIT);
	passed_ms += 900;
	cr_expect_eq(larder_maintain(other, 1), LARDER_WAIT);
	passed_ms += 200;
	cr_expect_eq(larder_maintain(other, 1), 0);
	cr_expect_eq(larder_maintain(f.h, 1), LARDER_WAIT);
	/* Nor is it waited for once its round is over. */
	cr_expect_eq(larder_maintain(other, UINT32_MAX), 0);
	while (load_relaxed(&f.s->hot->maintain_cursor))
		cr_assert_eq(larder_maintain(other, 1), 0);
	cr_expect_eq(larder_maintain(f.h, 1), 0);
	larder_close(other);
	fixture_close(&f);
}

/* Between a page that is given back and its count a death leaves too few. */
Test(pages, are_found_where_their_count_says_that_none_is_free)
{
	struct fixture f = fixture_open(4 << 20, 0, 0);

	store_relaxed(&f.s->hot->free_pages, 0);
	put(&f, 1, 100, 0, 0);
	put(&f, 2, 3000, 0, 0);
	cr_expect(get(&f, 1) && get(&f, 2));
	cr_expect_lt(load_relaxed(&f.s->hot->free_pages), f.s->n_pages);
	fixture_close(&f);
}

/* This process has every page in hand, and ends. */
static void die_with_pages(struct fixture *f)
{
	int error;
	struct worker *w = worker_of(f->h, &error);

	for (uint32_t page = 0; page < f->s->n_pages; page++) {
		uint64_t word = load_acquire(&f->s->page_words[page]);

		if (PAGE_STATE(word) == PAGE_ACTIVE)
			store_release(&f->s->page_words[page],
				      page_own_word(w, PAGE_DRAINING,
						    PAGE_CLASS(word),
						    PAGE_GENERATION(word)));
		else
			larder_page_claim(w, page);
	}
	_exit(0);
}

/* Nobody sweeps meanwhile. */
static void stores_after_that_death(struct fixture *f)
{
	int status;
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (!pid)
		die_with_pages(f);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	put(f, UINT64_C(1) << 32, 300, 0, 0);
	put(f, 1, 40, 0, 0);
	put(f, UINT64_C(1) << 33, VALUE_MOST, 0, 0);
	fixture_close(f);
}

Test(pages, that_the_dead_were_emptying_are_had)
{
	struct fixture f = fixture_open(4 << 20, 0, 0);

	for (uint64_t key = 0; key < f.s->n_units; key++)
		put(&f, key, 40, 0, 0);
	stores_after_that_death(&f);
}

Test(pages, that_the_dead_had_claimed_are_had)
{
	struct fixture f = fixture_open(4 << 20, 0, 0);

	stores_after_that_death(&f);
}

/* A damaged word names a class that is none: nobody knows what lies there, and
 * nothing is written where that class's bits and counts would be. */
Test(pages, of_no_class_are_left_alone)
{
	struct fixture f = fixture_open(4 << 20, 0, 0);
	const uint64_t damaged = page_word(PAGE_ACTIVE, 200, 1, 0, 0);
	const size_t n = f.s->bytes - f.s->sb->off_groups;
	unsigned char *before = malloc(n);
	struct census census = {0};
	int error;
	struct worker *w = worker_of(f.h, &error);

	cr_assert_not_null(before);
	for (uint64_t key = 0; key < f.s->n_units; key++)
		put(&f, key, 40, 0, 0);
	larder_slab_sweep_page(w, 6, &census);
	store_release(&f.s->page_words[7], damaged);
	memcpy(before, f.s->groups, n);
	cr_expect_not(larder_drain_window(w, 7, 1));
	cr_expect_not(larder_drain_window(w, 6, 3));
	larder_slab_sweep_page(w, 7, &census);
	cr_expect(!memcmp(before, f.s->groups, n));
	free(before);
	fixture_close(&f);
}
