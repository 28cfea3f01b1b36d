/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storm road of a hit, at every level that the processor has: it serves
 * nothing that was invalidated, whichever of the latest invalidations it was;
 * it loses next to nothing else; it raises the stamp as far as it looked. And a
 * worker takes it while many hits lag, and only then.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/usual.h"

enum { MOST_TAGS = 300, N_TEXT = 12, DEEPEST = 20 };

static const char *const names[] = {"plain", "avx2", "avx512"};

struct fixture {
	struct larder *h;
	struct worker *w;
};

static struct fixture fixture_open(void)
{
	struct larder_create_options create = {.size_of = sizeof create,
					       .bytes = 16 << 20};
	struct fixture f;
	int fd, error;

	cr_assert_eq(larder_create_fd(&create, &fd), 0);
	cr_assert_eq(larder_open_fd(fd, NULL, &f.h), 0);
	close(fd);
	f.w = worker_of(f.h, &error);
	cr_assert_not_null(f.w);
	return f;
}

static uint64_t counted(const struct fixture *f, enum counter which)
{
	return load_relaxed(&f->w->cell->counter[which]);
}

/* Tag number i of what has the tags [first, first + n). */
static size_t name_tag(char text[N_TEXT], uint32_t i)
{
	return (size_t)snprintf(text, N_TEXT, "tag%u", i % 1000000);
}

static void put(struct fixture *f, const char *key, uint32_t first, uint32_t n,
		uint64_t ttl_ms)
{
	static struct larder_tag tags[MOST_TAGS];
	static char texts[MOST_TAGS][N_TEXT];
	struct larder_put_options o = {.size_of = sizeof o,
				       .ttl_ms = ttl_ms,
				       .tags = tags,
				       .n_tags = n};

	for (uint32_t i = 0; i < n; i++) {
		tags[i].text = texts[i];
		tags[i].n_text = name_tag(texts[i], first + i);
	}
	cr_assert_eq(larder_put(f->h, key, strlen(key), key, strlen(key), &o),
		     0);
}

static void invalidate(struct fixture *f, uint32_t i)
{
	char text[N_TEXT];

	cr_assert_eq(larder_invalidate_tag(f->h, text, name_tag(text, i)), 0);
}

/* Tags that no entry of these tests has. */
static void invalidate_others(struct fixture *f, unsigned n)
{
	static uint32_t i;

	while (n--)
		invalidate(f, 500000 + i++ % 400000);
}

/* A get on the storm road. */
static int get(struct fixture *f, enum usual_level level, const char *key)
{
	char value[64];
	struct usual code;
	size_t n = 0;
	int result;

	cr_assert(larder_usual_of(level, &code));
	f->w->storm_serial = f->w->handle_serial;
	f->w->usual_serial = 0;
	result = code.get(f->h, key, strlen(key), value, sizeof value, &n);
	if (result == LARDER_OK)
		cr_assert(n == strlen(key) && !memcmp(value, key, n));
	return result;
}

static bool has_level(int level)
{
	struct usual code;

	return larder_usual_of((enum usual_level)level, &code);
}

static uint64_t stamp_of(struct fixture *f, const char *key)
{
	struct lookup found;
	uint64_t stamp;

	larder_pin(f->w);
	cr_assert(larder_find(f->w, key, strlen(key),
			      key_hash_of(f->w->s, key, strlen(key)), &found));
	stamp = entry_stamp(found.v.e);
	larder_unpin(f->w);
	return stamp;
}

static const uint32_t n_tags[] = {0, 1, 4, 5, 33, 64, 65, 128, 129, 300};
static const char *const keys[] = {"short", "of 12 bytes.",
				   "a key that is longer than sixteen bytes"};
enum {
	N_SIZES = sizeof n_tags / sizeof n_tags[0],
	N_KEYS = sizeof keys / sizeof keys[0],
};

Test(cache_storm, strangers_do_no_harm_and_the_stamp_rises)
{
	struct fixture f = fixture_open();
	unsigned n_lost = 0, n_hits = 0;

	for (int level = 0; level < N_USUAL_LEVELS && has_level(level); level++)
		for (unsigned i = 0; i < N_SIZES * N_KEYS; i++)
			for (unsigned lag = 0; lag <= DEEPEST; lag++) {
				const char *key = keys[i / N_SIZES];

				put(&f, key, 7, n_tags[i % N_SIZES],
				    lag & 1 ? 3600000 : 0);
				invalidate_others(&f, lag);
				n_hits++;
				if (get(&f, level, key) != LARDER_OK)
					n_lost++;
				else
					cr_assert_eq(stamp_of(&f, key),
						     larder_fresh_now(f.w->s),
						     "%s: %u behind",
						     names[level], lag);
			}
	/* A collision of 16 bits in a set may take an innocent. */
	cr_expect_leq(n_lost, n_hits / 500, "%u of %u", n_lost, n_hits);
	larder_close(f.h);
}

Test(cache_storm, each_of_the_latest_is_seen)
{
	struct fixture f = fixture_open();

	for (int level = 0; level < N_USUAL_LEVELS && has_level(level); level++)
		for (unsigned i = 1; i < N_SIZES * N_KEYS; i++)
			for (unsigned at = 0; at <= DEEPEST; at++) {
				const char *key = keys[i / N_SIZES];
				uint32_t n = n_tags[i % N_SIZES];

				if (!n)
					continue;
				put(&f, key, 7, n, 0);
				invalidate_others(&f, i % 3);
				invalidate(&f, 7 + (at * 31 + i) % n);
				invalidate_others(&f, at);
				cr_assert_eq(get(&f, level, key), LARDER_MISS,
					     "%s: %u tags, %u ago",
					     names[level], n, at);
			}
	larder_close(f.h);
}

Test(cache_storm, keys_patterns_and_everything_are_seen)
{
	struct fixture f = fixture_open();

	for (int level = 0; level < N_USUAL_LEVELS && has_level(level); level++)
		for (unsigned at = 0; at <= DEEPEST; at++)
			for (int how = 0; how < 3; how++)
				for (uint32_t n = 0; n <= 1; n++) {
					const char *key = keys[1];

					put(&f, key, 7, n, 0);
					if (how == 0)
						larder_invalidate_key(
							f.h, key, strlen(key));
					else if (how == 1)
						larder_invalidate_match(
							f.h, "of*", 3,
							LARDER_MATCH_KEYS);
					else
						larder_invalidate_all(f.h);
					invalidate_others(&f, at);
					cr_assert_eq(get(&f, level, key),
						     LARDER_MISS,
						     "%s: %d, %u ago",
						     names[level], how, at);
				}
	larder_close(f.h);
}

/* Entries of random tags beside random invalidations, some of them theirs. */
Test(cache_storm, what_is_served_is_never_stale)
{
	enum { ENTRIES = 64, STEPS = 60000, NAMES = 3000 };
	struct fixture f = fixture_open();
	uint64_t rng = 0x9e3779b97f4a7c15, clock = 0;
	static uint64_t invalidated[NAMES + MOST_TAGS];
	struct {
		uint32_t first, n;
		uint64_t stored;
		bool there;
	} entry[ENTRIES] = {0};
	unsigned n_hits = 0, n_lost = 0, n_stale = 0, n_levels = 1;

	while (n_levels < N_USUAL_LEVELS && has_level((int)n_levels))
		n_levels++;
	for (unsigned step = 0; step < STEPS; step++) {
		uint64_t r = random_next(&rng);
		unsigned k = r % ENTRIES;
		char key[N_TEXT];
		bool valid = entry[k].there;
		int result;

		snprintf(key, sizeof key, "entry %02u", k);
		if (r >> 32 & 1) {
			uint32_t tag = (r >> 8) % (NAMES + MOST_TAGS);

			invalidate(&f, tag);
			invalidated[tag] = ++clock;
			continue;
		}
		for (uint32_t i = 0; i < entry[k].n && valid; i++)
			valid = invalidated[entry[k].first + i] <
				entry[k].stored;
		result = get(&f, (enum usual_level)((r >> 40) % n_levels), key);
		n_hits += result == LARDER_OK;
		n_stale += result == LARDER_OK && !valid;
		n_lost += result != LARDER_OK && valid;
		if (result == LARDER_OK)
			continue;
		entry[k].first = (r >> 8) % NAMES;
		entry[k].n =
			(r >> 20) % 4 ? (r >> 24) % 64 : (r >> 24) % MOST_TAGS;
		entry[k].stored = ++clock;
		entry[k].there = true;
		put(&f, key, entry[k].first, entry[k].n, 0);
	}
	cr_expect_eq(n_stale, 0, "%u of %u hits", n_stale, n_hits);
	cr_expect_leq(n_lost, n_hits / 500, "%u of %u", n_lost, n_hits);
	cr_expect_gt(n_hits, STEPS / 4);
	larder_close(f.h);
}

/* On both roads, one hit in 64. */
Test(cache_storm, hits_are_written_down)
{
	enum { HITS = 64000 };
	struct fixture f = fixture_open();
	struct larder_info info = {.size_of = sizeof info};
	char value[64];
	size_t n;

	for (int level = 0; level < N_USUAL_LEVELS && has_level(level); level++)
		for (int storm = 0; storm < 2; storm++) {
			struct usual code;

			put(&f, keys[1], 7, 3, 0);
			larder_usual_of((enum usual_level)level, &code);
			for (unsigned i = 0; i < HITS; i++)
				if (storm)
					get(&f, level, keys[1]);
				else
					code.get(f.h, keys[1], strlen(keys[1]),
						 value, sizeof value, &n);
			cr_assert_eq(larder_get_info(f.h, keys[1],
						     strlen(keys[1]), value,
						     sizeof value, &info),
				     0);
			cr_expect(info.hits > HITS * 9 / 10 &&
					  info.hits < HITS * 11 / 10,
				  "%s: %llu of %d", names[level],
				  (unsigned long long)info.hits, HITS);
		}
	larder_close(f.h);
}

/* @n gets of 100 entries with an invalidation after every @pace of them. */
static void read_all(struct fixture *f, unsigned n, unsigned pace)
{
	for (unsigned i = 0; i < n; i++) {
		char key[N_TEXT], value[64];

		snprintf(key, sizeof key, "entry %02u", i % 100);
		larder_get(f->h, key, strlen(key), value, sizeof value, NULL);
		if (pace && i % pace == 0)
			invalidate_others(f, 1);
	}
}

Test(cache_storm, a_worker_is_on_it_while_many_lag)
{
	struct fixture f = fixture_open();
	uint64_t slow, raised;

	for (unsigned i = 0; i < 100; i++) {
		char key[N_TEXT];

		snprintf(key, sizeof key, "entry %02u", i);
		put(&f, key, i, 50, 0);
	}
	read_all(&f, 2000, 0);
	cr_expect(f.w->usual_serial && !f.w->storm_serial, "nothing lags");
	read_all(&f, 4000, 2000);
	cr_expect(f.w->usual_serial && !f.w->storm_serial, "a few do");
	read_all(&f, 4000, 50);
	cr_expect(f.w->storm_serial && !f.w->usual_serial, "all do");
	slow = counted(&f, COUNTER_FRESH_SLOW);
	raised = counted(&f, COUNTER_RESTAMPS);
	read_all(&f, 4000, 50);
	/* They are written down once in up to 95 hits. */
	cr_expect_geq(counted(&f, COUNTER_FRESH_SLOW) - slow, 3800);
	cr_expect_leq(counted(&f, COUNTER_FRESH_SLOW) - slow, 4100);
	cr_expect_geq(counted(&f, COUNTER_RESTAMPS) - raised, 3800);
	read_all(&f, 2000, 0);
	cr_expect(f.w->usual_serial && !f.w->storm_serial, "it is over");
	larder_close(f.h);
}

/* What the slot's owner before had of the storm is none of ours. */
Test(cache_storm, a_new_owner_of_a_slot_begins_anew)
{
	struct fixture f = fixture_open();
	uint32_t slot = f.w->index;

	for (unsigned i = 0; i < 100; i++) {
		char key[N_TEXT];

		snprintf(key, sizeof key, "entry %02u", i);
		put(&f, key, i, 50, 0);
	}
	read_all(&f, 4000, 50);
	cr_assert(f.w->storm_serial);
	read_all(&f, 100, 0); /* none lags any more */
	larder_detach_thread(f.h);
	read_all(&f, 1, 0);
	cr_assert_eq(f.w->index, slot);
	for (unsigned i = 0; i < 20; i++) {
		read_all(&f, 10, 0);
		cr_assert(f.w->usual_serial && !f.w->storm_serial);
	}
	larder_close(f.h);
}

Test(cache_storm, who_leaves_has_counted_all)
{
	struct fixture f = fixture_open();
	const struct cell *cell = f.w->cell;
	uint64_t slow, pending;

	for (unsigned i = 0; i < 100; i++) {
		char key[N_TEXT];

		snprintf(key, sizeof key, "entry %02u", i);
		put(&f, key, i, 50, 0);
	}
	read_all(&f, 4000, 50);
	while (f.w->n_lagged < 20)
		read_all(&f, 100, 50);
	slow = counted(&f, COUNTER_FRESH_SLOW);
	pending = f.w->n_lagged;
	larder_detach_thread(f.h);
	cr_expect_eq(load_relaxed(&cell->counter[COUNTER_FRESH_SLOW]),
		     slow + pending);
	larder_close(f.h);
}

/* Of masks that it does not look at, the road is left for a while. */
Test(cache_storm, not_where_it_has_to_look_twice)
{
	struct fixture f = fixture_open();

	for (unsigned i = 0; i < 100; i++) {
		char key[N_TEXT];

		snprintf(key, sizeof key, "entry %02u", i);
		put(&f, key, i, MOST_TAGS, 0);
	}
	read_all(&f, 4000, 50);
	cr_expect(f.w->storm_pause && f.w->usual_serial && !f.w->storm_serial);
	larder_close(f.h);
}
