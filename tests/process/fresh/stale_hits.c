/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stale-hits SECONDS [kill | hot] [SEED]: no read that begins after an
 * invalidation returned is answered with what was computed before it.
 *
 * Sixteen processes fill 1,000 keys of 50 tags each and invalidate tags, keys,
 * globs over both, and everything, at random. What values are computed from is
 * a table of versions in shared memory: an invalidator raises a version, then
 * invalidates, then notes it as returned. A value is the list of versions that
 * its computation saw; a reader notes what had returned before it reads, and no
 * version in what it gets may be older. With `kill`, processes are killed and
 * stopped at random all the while. With `hot`, four processes do it to one key
 * of two tags, so that the steps of one meet those of another all the time: a
 * number drawn before it is written, or one lost to another and returned with,
 * is found there within seconds.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

enum {
	WORKERS = 16,
	KEYS = 1000,
	TAGS = 400,
	TAGS_OF_KEY = 50,
	/* versions: one for everything, one a key, one a tag */
	ALL = 0,
	FIRST_KEY = 1,
	FIRST_TAG = FIRST_KEY + KEYS,
	SOURCES = FIRST_TAG + TAGS,
	VALUES = 2 + TAGS_OF_KEY,
};

struct board {
	_Atomic uint32_t source[SOURCES];
	_Atomic uint32_t returned[SOURCES];
	_Atomic uint32_t stop;
	_Atomic uint64_t n_reads, n_hits, n_filled, n_refused, n_stale;
	_Atomic uint64_t n_invalidated;
};

static struct larder *h;
static struct board *board;

/* How much of it all is used. */
static uint32_t n_workers = WORKERS, n_keys = KEYS, n_tags = TAGS;
static uint32_t n_tags_of_key = TAGS_OF_KEY, n_values = VALUES;
static bool hot;
static uint64_t seed;
static _Atomic uint32_t *n_born; /* workers so far, of all processes */

static uint64_t random_of(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint32_t tag_of_key(uint32_t key, uint32_t i)
{
	return (key * 37 + i * 7) % n_tags;
}

static void raise_to(_Atomic uint32_t *word, uint32_t v)
{
	uint32_t seen = atomic_load(word);

	while (seen < v && !atomic_compare_exchange_weak(word, &seen, v))
		;
}

/* Which versions a value of this key has, in order. */
static uint32_t source_of(uint32_t key, uint32_t i)
{
	if (i == 0)
		return ALL;
	if (i == 1)
		return FIRST_KEY + key;
	return FIRST_TAG + tag_of_key(key, i - 2);
}

static void snapshot(_Atomic uint32_t *of, uint32_t key, uint32_t *to)
{
	for (uint32_t i = 0; i < n_values; i++)
		to[i] = atomic_load(&of[source_of(key, i)]);
}

static size_t key_text(uint32_t key, char *text)
{
	return (size_t)snprintf(text, 16, "key%03u", key);
}

/* ------------------------------------------------------------------ */

static void check(uint32_t key, const uint32_t *before, const void *value,
		  size_t n_value, const char *how)
{
	uint32_t got[VALUES];

	atomic_fetch_add(&board->n_hits, 1);
	if (n_value != n_values * 4) {
		printf("key %u: a value of %zu bytes\n", key, n_value);
		atomic_fetch_add(&board->n_stale, 1);
		return;
	}
	memcpy(got, value, n_value);
	for (uint32_t i = 0; i < n_values; i++) {
		if (got[i] >= before[i])
			continue;
		printf("stale: %s of key %u, source %u: %u, %u had returned\n",
		       how, key, source_of(key, i), got[i], before[i]);
		fflush(stdout);
		atomic_fetch_add(&board->n_stale, 1);
	}
}

static void put_options(uint32_t key, struct larder_tag *tags, char (*texts)[8],
			struct larder_put_options *o)
{
	for (uint32_t i = 0; i < n_tags_of_key; i++) {
		tags[i].text = texts[i];
		tags[i].n_text = (size_t)snprintf(texts[i], 8, "t%03u",
						  tag_of_key(key, i));
	}
	memset(o, 0, sizeof *o);
	o->size_of = sizeof *o;
	o->tags = tags;
	o->n_tags = n_tags_of_key;
}

static void note_put(int result)
{
	if (result == LARDER_OK)
		atomic_fetch_add(&board->n_filled, 1);
	else if (result == LARDER_STALE_FILL || result == LARDER_NEWER)
		atomic_fetch_add(&board->n_refused, 1);
}

static void read_or_fill(uint32_t key, uint64_t *rng)
{
	struct larder_fill_options wait = {
		.size_of = sizeof wait, .wait_ms = 50, .lead_ms = 500};
	struct larder_tag tags[TAGS_OF_KEY];
	struct larder_put_options o;
	struct larder_view view;
	struct larder_fill fill;
	char text[16], texts[TAGS_OF_KEY][8];
	uint32_t before[VALUES], value[VALUES];
	size_t n = key_text(key, text);
	int result;

	snapshot(board->returned, key, before);
	result = larder_fill_begin(h, text, n, &wait, &fill, &view);
	if (result == LARDER_WAIT)
		result = larder_fill_wait(h, &fill, &view);
	if (result == LARDER_OK) {
		check(key, before, view.value, view.n_value, "fill");
		larder_release(h, &view);
	}
	if (result != LARDER_LEAD)
		return;
	snapshot(board->source, key, value);
	if (!hot && random_of(rng) % 8 == 0)
		sleep_ms(1); /* compute: others get to invalidate */
	put_options(key, tags, texts, &o);
	note_put(larder_fill_put(h, &fill, value, n_values * 4, &o));
}

static void put_by_hand(uint32_t key, uint64_t *rng)
{
	struct larder_tag tags[TAGS_OF_KEY];
	struct larder_put_options o;
	struct larder_token token;
	char text[16], texts[TAGS_OF_KEY][8];
	uint32_t value[VALUES];
	size_t n = key_text(key, text);

	if (larder_token(h, text, n, &token))
		return;
	snapshot(board->source, key, value);
	if (random_of(rng) % 4 == 0)
		sleep_ms(1);
	put_options(key, tags, texts, &o);
	o.token = &token;
	note_put(larder_put(h, text, n, value, n_values * 4, &o));
}

static void get(uint32_t key)
{
	char text[16];
	uint32_t before[VALUES], value[VALUES];
	size_t n = key_text(key, text), n_value = 0;

	snapshot(board->returned, key, before);
	atomic_fetch_add(&board->n_reads, 1);
	if (larder_get(h, text, n, value, sizeof value, &n_value) == LARDER_OK)
		check(key, before, value, n_value, "get");
}

/* ------------------------------------------------------------------ */

/* Versions that were raised, to be noted once their invalidation returned. */
struct change {
	uint32_t n;
	uint32_t source[KEYS];
	uint32_t version[KEYS];
};

static void change(struct change *c, uint32_t source)
{
	c->source[c->n] = source;
	c->version[c->n++] = atomic_fetch_add(&board->source[source], 1) + 1;
}

static void invalidate(uint64_t *rng, struct change *c)
{
	uint32_t what = random_of(rng) % 100, k = random_of(rng) % KEYS;
	char text[16];
	int n, result;

	c->n = 0;
	if (what < 80) {
		uint32_t t = k % TAGS;

		change(c, FIRST_TAG + t);
		n = snprintf(text, sizeof text, "t%03u", t);
		result = larder_invalidate_tag(h, text, (size_t)n);
	} else if (what < 94) {
		change(c, FIRST_KEY + k);
		result = larder_invalidate_key(h, text, key_text(k, text));
	} else if (what < 96) {
		for (uint32_t i = 0; i < 10; i++)
			change(c, FIRST_KEY + k / 10 * 10 + i);
		n = snprintf(text, sizeof text, "key%02u?", k / 10);
		result = larder_invalidate_match(h, text, (size_t)n,
						 LARDER_MATCH_KEYS);
	} else if (what < 99) {
		uint32_t t = k % TAGS / 10;

		for (uint32_t i = 0; i < 10; i++)
			change(c, FIRST_TAG + t * 10 + i);
		n = snprintf(text, sizeof text, "t%02u[0-9]", t);
		result = larder_invalidate_match(
			h, text, (size_t)n,
			what == 98 ? LARDER_MATCH_EITHER : LARDER_MATCH_TAGS);
	} else {
		change(c, ALL);
		result = larder_invalidate_all(h);
	}
	need(result == LARDER_OK, "an invalidation");
	for (uint32_t i = 0; i < c->n; i++)
		raise_to(&board->returned[c->source[i]], c->version[i]);
	atomic_fetch_add(&board->n_invalidated, 1);
}

/* A tag of the one key, or one that nothing carries. */
static void invalidate_hot(uint64_t *rng, struct change *c)
{
	uint32_t t = random_of(rng) % n_tags;
	char text[16];
	int n = snprintf(text, sizeof text, "t%03u", t);

	c->n = 0;
	change(c, FIRST_TAG + t);
	need(larder_invalidate_tag(h, text, (size_t)n) == 0, "invalidate");
	raise_to(&board->returned[c->source[0]], c->version[0]);
	atomic_fetch_add(&board->n_invalidated, 1);
}

/* Readers, fillers and invalidators of one key, none of them ever sleeping. */
static void act_hot(int i, uint64_t *rng, struct change *c)
{
	if (i < 2 || random_of(rng) % 64 == 0)
		invalidate_hot(rng, c);
	else if (random_of(rng) % 4 == 0)
		read_or_fill(0, rng);
	else
		get(0);
}

static void act(int i, uint64_t *rng, struct change *c)
{
	/* A few keys are asked for much: their flights are shared. */
	uint32_t key = random_of(rng) % (random_of(rng) % 2 ? n_keys : 16);
	uint32_t what = random_of(rng) % 1000;

	if (what < 4 + (i == 0 ? 40 : 0))
		invalidate(rng, c);
	else if (what < 20 && i == 1)
		larder_maintain(h, 0);
	else if (what < 300)
		read_or_fill(key, rng);
	else if (what < 330)
		put_by_hand(key, rng);
	else
		get(key);
}

static int worker(int i, void *context)
{
	static struct change c;
	/* Another stream for each that takes a killed one's place. */
	uint64_t rng = (seed + atomic_fetch_add(n_born, 1)) *
			       UINT64_C(0x9e3779b97f4a7c15) |
		       1;

	(void)context;
	while (!atomic_load(&board->stop)) {
		if (hot)
			act_hot(i, &rng, &c);
		else
			act(i, &rng, &c);
	}
	return 0;
}

/* One disturbance every few milliseconds. */
static uint64_t disturb(pid_t *pids, uint64_t *rng, uint64_t *n_stops)
{
	uint32_t i = random_of(rng) % n_workers;
	int status;

	if (random_of(rng) % 2) {
		kill(pids[i], SIGSTOP);
		sleep_ms(1 + random_of(rng) % 40);
		kill(pids[i], SIGCONT);
		(*n_stops)++;
		return 0;
	}
	kill(pids[i], SIGKILL);
	status = reap(pids[i]);
	if (status != -SIGKILL)
		claim(false, "worker %u ended with %d before it was killed", i,
		      status);
	pids[i] = spawn(worker, (int)i, NULL);
	return 1;
}

/* Nothing that a death left half done may keep a key from being cached. */
static uint32_t n_fillable(void)
{
	uint64_t rng = 88172645463325252u;
	uint32_t n = 0;

	for (uint32_t key = 0; key < n_keys; key++) {
		char text[16], value[VALUES * 4];
		size_t n_key = key_text(key, text);

		for (int tries = 0; tries < 4; tries++) {
			read_or_fill(key, &rng);
			if (larder_get(h, text, n_key, value, sizeof value,
				       NULL) == LARDER_OK) {
				n++;
				break;
			}
		}
	}
	return n;
}

int main(int argc, char **argv)
{
	struct larder_create_options create = {.size_of = sizeof create,
					       .bytes = 16 << 20,
					       .n_slots = 64,
					       .pattern_ms = 200};
	double seconds = argc > 1 ? strtod(argv[1], NULL) : 5;
	bool killing = argc > 2 && !strcmp(argv[2], "kill");
	uint64_t rng, n_kills = 0, n_stops = 0;
	struct timespec begin, now;
	pid_t pids[WORKERS];
	bool ended_well = true;

	hot = argc > 2 && !strcmp(argv[2], "hot");
	if (hot) {
		n_workers = 4;
		n_keys = 1;
		n_tags = 8;
		n_tags_of_key = 2;
		n_values = 4;
	}
	alarm((unsigned)seconds + 200);
	seed = argc > 3 ? strtoull(argv[3], NULL, 10) : (uint64_t)time(NULL);
	rng = seed * 2 + 1;
	printf("seed %llu\n", (unsigned long long)seed);
	board = shared(sizeof *board);
	n_born = shared(sizeof *n_born);
	h = segment(&create);
	for (uint32_t i = 0; i < n_workers; i++)
		pids[i] = spawn(worker, (int)i, NULL);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		sleep_ms(killing ? 3 : 50);
		if (killing)
			n_kills += disturb(pids, &rng, &n_stops);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((double)(now.tv_sec - begin.tv_sec) +
			 (double)(now.tv_nsec - begin.tv_nsec) / 1e9 <
		 seconds);
	atomic_store(&board->stop, 1);
	for (uint32_t i = 0; i < n_workers; i++) {
		int status = reap(pids[i]);

		if (status)
			printf("worker %u ended with %d\n", i, status);
		ended_well &= status == 0;
	}

	claim(ended_well, "all %u workers ended by themselves", n_workers);
	if (killing)
		claim(n_kills > 0 && n_stops > 0,
		      "workers were killed %llu times, stopped %llu times",
		      (unsigned long long)n_kills, (unsigned long long)n_stops);
	claim(board->n_hits > 1000, "there were hits to check: %llu",
	      (unsigned long long)board->n_hits);
	claim(board->n_filled > 100 && board->n_invalidated > 100,
	      "values were stored (%llu) and invalidated (%llu calls)",
	      (unsigned long long)board->n_filled,
	      (unsigned long long)board->n_invalidated);
	claim(board->n_refused > 0, "late fills were refused: %llu",
	      (unsigned long long)board->n_refused);
	claim(counter(h, "fresh_ring") > 0 &&
		      counter(h, "fresh_slow") > counter(h, "fresh_ring"),
	      "stamps were checked by the ring (%llu) and in full (%llu)",
	      (unsigned long long)counter(h, "fresh_ring"),
	      (unsigned long long)(counter(h, "fresh_slow") -
				   counter(h, "fresh_ring")));
	claim(board->n_stale == 0, "stale hits: %llu, of %llu checked",
	      (unsigned long long)board->n_stale,
	      (unsigned long long)board->n_hits);
	claim(n_fillable() == n_keys,
	      "afterwards every key can be cached again");
	larder_close(h);
	return n_failed() ? 1 : 0;
}
