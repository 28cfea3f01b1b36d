/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages between size classes: they go to the class that misses them, and not
 * to and fro by chance; a class that gives one up keeps what is asked for.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/cache.h"
#include "store/drain.h"
#include "store/evict.h"
#include "store/page.h"

enum { PATTERN_MS = 5, VALUE_MOST = 65536 };

static struct larder *h;
static struct segment *s;

static void open_segment(uint64_t bytes)
{
	const struct larder_create_options create = {
		.size_of = sizeof create,
		.bytes = bytes,
		.entry_hint = 64,
		.n_slots = 64,
		.pattern_ms = PATTERN_MS,
	};
	int fd, error;

	cr_assert_eq(larder_create_fd(&create, &fd), 0);
	cr_assert_eq(larder_open_fd(fd, NULL, &h), 0);
	close(fd);
	s = worker_of(h, &error)->s;
}

static void put(uint64_t key, size_t n_value)
{
	static char value[VALUE_MOST];

	memcpy(value, &key, sizeof key);
	cr_assert_eq(larder_put(h, &key, sizeof key, value, n_value, NULL),
		     LARDER_OK);
}

static bool get(uint64_t key)
{
	char value[VALUE_MOST];

	if (larder_get(h, &key, sizeof key, value, sizeof value, NULL) !=
	    LARDER_OK)
		return false;
	cr_assert_eq(memcmp(value, &key, sizeof key), 0);
	return true;
}

static uint64_t counted(enum counter which)
{
	uint64_t counters[COUNTER_NONE];

	larder_counters(h, counters, COUNTER_NONE);
	return counters[which];
}

static unsigned class_of(size_t n_value)
{
	return larder_slab_class(s, ENTRY_FIXED + sizeof(uint64_t) + n_value);
}

/* Small values fill the memory; then larger ones are asked for in a circle that
 * the one page they get cannot hold. */
Test(balance, gives_pages_to_the_class_whose_evicted_keys_come_back)
{
	unsigned class;
	uint64_t pages, rng = 7;
	unsigned hits[2] = {0};

	open_segment(4 << 20);
	class = class_of(1500);
	for (uint64_t i = 0; i < 100000; i++)
		put(1000000 + i, 8);
	pages = load_relaxed(&s->pools[class].n_pages);
	for (unsigned r = 0; r < 40000; r++) {
		uint64_t key = random_next(&rng) % 800;

		if (get(key))
			hits[r >= 20000]++;
		else
			put(key, 1500);
		if (r % 100 == 0)
			larder_maintain(h, 0);
	}
	cr_expect_gt(counted(COUNTER_PAGES_MOVED), 8);
	cr_expect_gt(load_relaxed(&s->pools[class].n_pages), pages + 8);
	cr_expect_gt(hits[1], 15000, "%u, %u", hits[0], hits[1]);
	larder_close(h);
}

/* Twenty classes share the memory, and are asked for no more; then one alone
 * is, for four fifths of it, and a maintainer goes round all the time. */
static void one_class_comes(unsigned share)
{
	enum { OLD = 20, ROUNDS = 120000 };
	unsigned class = class_of(1500), old[OLD], n = 0, hits = 0, keys;
	uint64_t rng = 7, bytes = 0, key = UINT64_C(1) << 40;

	for (unsigned c = 0; n < OLD; c++)
		if (c != class)
			old[n++] = c;
	while (bytes < 2 * s->bytes) {
		uint64_t units = larder_class_units(s, old[key % OLD]);

		if (random_next(&rng) % units == 0) {
			put(key, units * UNIT_BYTES - ENTRY_FIXED - 8);
			bytes += units * UNIT_BYTES;
		}
		key++;
	}
	keys = s->n_pages * (page_units(s) / larder_class_units(s, class)) *
	       share / 100;
	for (unsigned r = 0; r < ROUNDS; r++) {
		uint64_t wanted = random_next(&rng) % keys;

		if (get(wanted))
			hits += r >= ROUNDS / 2;
		else
			put(wanted, 1500);
		if (r % 100 == 0)
			larder_maintain(h, 0);
	}
	cr_expect_gt(hits, ROUNDS / 2 * 99 / 100, "%u hits", hits);
}

Test(balance, gives_all_that_is_left_by_classes_of_which_nothing_is_asked)
{
	open_segment(16 << 20);
	one_class_comes(80);
	larder_close(h);
}

/* One class was missed, and then nobody comes any more but a maintainer. */
Test(balance, moves_nothing_while_nothing_is_missed)
{
	enum { KEYS = 60000, OTHERS = 400 };
	uint64_t moved;

	open_segment(4 << 20);
	for (uint64_t key = 0; key < KEYS; key++)
		put(key, 40);
	for (unsigned r = 0; r < 3; r++)
		for (uint64_t key = KEYS; key < KEYS + OTHERS; key++)
			if (!get(key))
				put(key, 1500);
	larder_maintain(h, 0);
	moved = counted(COUNTER_PAGES_MOVED);
	for (unsigned i = 0; i < 500; i++)
		larder_maintain(h, 0);
	moved = counted(COUNTER_PAGES_MOVED) - moved;
	cr_expect_leq(moved, 2, "%llu pages moved", (unsigned long long)moved);
	larder_close(h);
}

/* Regions are the class that is asked for least, and give no page. */
Test(balance, asks_the_next_class_where_one_cannot_give)
{
	struct larder_region region;
	char name[16];
	int n = 0;

	open_segment(16 << 20);
	while (larder_region(h, name,
			     (snprintf(name, sizeof name, "r%d", n), 64), 8,
			     &region) == LARDER_OK)
		n++;
	cr_assert_gt(n, 10);
	one_class_comes(65);
	larder_close(h);
}

/* Eight classes are asked for alike, each for more keys than it has room for:
 * once they have the pages that takes, none gains by another's. */
Test(balance, leaves_pages_where_chance_alone_tells_classes_apart)
{
	enum { CLASSES = 8, KEYS = 3000, ROUNDS = 400000 };
	static const size_t size[CLASSES] = {40,  100, 170, 240,
					     300, 400, 500, 640};
	uint64_t rng = 11, moved = 0;

	open_segment(4 << 20);
	for (unsigned r = 0; r < 2 * ROUNDS; r++) {
		uint64_t key = random_next(&rng) % (CLASSES * KEYS);

		if (r == ROUNDS)
			moved = counted(COUNTER_PAGES_MOVED);
		if (!get(key))
			put(key, size[key % CLASSES]);
	}
	moved = counted(COUNTER_PAGES_MOVED) - moved;
	cr_expect_leq(moved, 40, "%llu pages moved", (unsigned long long)moved);
	larder_close(h);
}

/* The unit of a key's entry, 0 if there is none: a look that is no use. */
static uint32_t unit_of(uint64_t key)
{
	int error;
	struct worker *w = worker_of(h, &error);
	uint64_t hash = key_hash_of(s, &key, sizeof key);
	struct lookup there;
	uint32_t unit;

	larder_pin(w);
	unit = larder_find(w, &key, sizeof key, hash, &there) ? there.unit : 0;
	larder_unpin(w);
	return unit;
}

static void drain_page_of(uint64_t key)
{
	int error;
	struct worker *w = worker_of(h, &error);
	uint32_t page = page_of_unit(s, unit_of(key));

	cr_assert(larder_drain_window(w, page, 1));
	larder_page_release(w, page);
}

/* Memory is full; of every eighth entry two references say that it is used. */
Test(drain, moves_what_is_asked_for_and_remembers_the_rest)
{
	enum { KEYS = 60000, STEP = 8, PAGES = 20 };
	static bool there[KEYS], warm[KEYS];
	unsigned n_warm = 0, n_still = 0, n_lost = 0;
	uint64_t drained, ghosts;

	open_segment(4 << 20);
	for (uint64_t key = 0; key < KEYS; key++)
		put(key, 40);
	for (uint64_t key = 0; key < KEYS; key++) {
		there[key] = unit_of(key) != 0;
		warm[key] =
			there[key] && key % STEP == 0 && get(key) && get(key);
		n_warm += warm[key];
	}
	cr_assert_gt(n_warm, 1000);
	for (uint64_t key = 0, n = 0; n < PAGES; key += STEP)
		if (warm[key]) {
			drain_page_of(key);
			n++;
		}
	for (uint64_t key = 0; key < KEYS; key++)
		n_still += warm[key] && get(key);
	cr_expect_eq(n_still, n_warm, "%u of %u", n_still, n_warm);
	cr_expect_gt(counted(COUNTER_ENTRIES_MOVED), PAGES);

	drained = counted(COUNTER_EVICTIONS_DRAIN);
	cr_expect_gt(drained, PAGES);
	ghosts = counted(COUNTER_GHOST_HITS);
	for (uint64_t key = 0; key < KEYS; key++)
		if (there[key] && !unit_of(key)) {
			put(key, 40);
			n_lost++;
		}
	ghosts = counted(COUNTER_GHOST_HITS) - ghosts;
	cr_expect_gt(ghosts + drained / 2, n_lost, "%llu of %u, %llu drained",
		     (unsigned long long)ghosts, n_lost,
		     (unsigned long long)drained);
	larder_close(h);
}

/* Nobody asked for them, nor could: no class is to be taken for short of room
 * because of them. */
Test(drain, moves_and_remembers_nothing_that_is_no_longer_valid)
{
	enum { KEYS = 20000 };
	const struct larder_put_options brief = {
		.size_of = sizeof brief,
		.ttl_ms = 1,
	};
	uint64_t ghosts;

	open_segment(4 << 20);
	for (uint64_t key = 0; key < KEYS / 2; key++) {
		put(key, 40);
		get(key);
	}
	larder_invalidate_all(h);
	for (uint64_t key = KEYS / 2; key < KEYS; key++)
		cr_assert_eq(
			larder_put(h, &key, sizeof key, "brief", 5, &brief),
			LARDER_OK);
	usleep(5000);
	for (uint64_t key = 0; key < KEYS; key++)
		if (unit_of(key))
			drain_page_of(key);
	cr_expect_eq(counted(COUNTER_ENTRIES_MOVED), 0);
	cr_expect_eq(counted(COUNTER_EVICTIONS_DRAIN), 0);
	ghosts = counted(COUNTER_GHOST_HITS);
	for (uint64_t key = 0; key < KEYS; key++)
		put(key, 40);
	/* Fingerprints are short: a few are somebody else's. */
	cr_expect_lt(counted(COUNTER_GHOST_HITS) - ghosts, KEYS / 100);
	larder_close(h);
}

/* A pattern is given up after a round of the sweep, and takes along whatever
 * that round has not seen: what moves from pages ahead to pages behind. */
Test(drain, keeps_what_it_moves_from_a_sweep_that_goes_by)
{
	enum { KEYS = 20000, PAGES = 10 };
	static bool there[KEYS];
	unsigned n_lost = 0;
	uint32_t half;

	open_segment(4 << 20);
	half = s->n_pages / 2;
	for (uint64_t key = 0; key < KEYS; key++)
		put(key, 40);
	for (uint64_t key = 1; key < KEYS; key += 2)
		get(key);
	larder_invalidate_match(h, "no such*", 8, LARDER_MATCH_KEYS);
	usleep(2000 * PATTERN_MS);
	larder_maintain(h, half);
	for (uint32_t page = half, n = 0; n < PAGES; page++)
		if (PAGE_STATE(load_acquire(&s->page_words[page])) ==
		    PAGE_ACTIVE) {
			int error;

			cr_assert(larder_drain_window(worker_of(h, &error),
						      page, 1));
			larder_page_release(worker_of(h, &error), page);
			n++;
		}
	for (uint64_t key = 0; key < KEYS; key++)
		there[key] = unit_of(key) != 0;
	larder_maintain(h, s->n_pages - half);
	cr_assert_gt(load_relaxed(&s->hot->everything), 0, "not given up yet");
	for (uint64_t key = 0; key < KEYS; key++)
		n_lost += there[key] && !get(key);
	cr_expect_eq(n_lost, 0, "%u", n_lost);
	larder_close(h);
}
