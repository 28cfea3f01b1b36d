/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A clock that goes backwards, and workers whose clocks differ.
 *
 * The kernel's clock does neither within one boot; that of a machine restored
 * from a snapshot may. Invariant: nothing is served past its expiry as this
 * worker's clock tells it, no age or rest of life is absurd, nothing stored is
 * lost, and nobody waits for the clock to come back.
 */
#include "ground.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { MIB = 1 << 20, HOUR_MS = 3600000 };

static _Atomic uint64_t now_ms;

static uint64_t read_now(void)
{
	return atomic_load(&now_ms);
}

/* What time it is from here on. */
static void set(uint64_t ms)
{
	atomic_store(&now_ms, ms);
}

/* A segment created at @ms of a clock of our own. */
static struct larder *created_at(uint64_t ms)
{
	struct larder_create_options o = {.size_of = sizeof o, .bytes = MIB};

	set(ms);
	larder_clock_replace(read_now);
	unlink(in_folder("clock"));
	return segment_in("clock", &o);
}

static int put_for(struct larder *h, const char *key, uint64_t ttl_ms,
		   uint64_t soft_ttl_ms)
{
	struct larder_put_options o = {.size_of = sizeof o,
				       .ttl_ms = ttl_ms,
				       .soft_ttl_ms = soft_ttl_ms};

	return larder_put(h, key, strlen(key), "v", 1, &o);
}

static bool is_there(struct larder *h, const char *key,
		     struct larder_info *info)
{
	char value[8];

	memset(info, 0, sizeof *info);
	info->size_of = sizeof *info;
	return larder_get_info(h, key, strlen(key), value, sizeof value,
			       info) == LARDER_OK;
}

static int expiry(void)
{
	struct larder *h = created_at(10 * HOUR_MS);
	struct larder_info info;
	bool seen;

	set(10 * HOUR_MS + 5000);
	need(put_for(h, "k", 1000, 0) == LARDER_OK, "a put");
	set(10 * HOUR_MS + 4500);
	seen = is_there(h, "k", &info);
	claim(seen && info.age_ms == 0 && info.ttl_left_ms == 1500,
	      "half a second before it was stored its age is %llu ms and its "
	      "rest %llu ms",
	      (unsigned long long)info.age_ms,
	      (unsigned long long)info.ttl_left_ms);
	set(10 * HOUR_MS + 6000);
	claim(!is_there(h, "k", &info), "it expires when its time comes");
	set(10 * HOUR_MS + 5999);
	larder_maintain(h, 0);
	claim(put_for(h, "k", 1000, 0) == LARDER_OK && is_there(h, "k", &info),
	      "and is stored again before that time");
	set(10 * HOUR_MS);
	claim_sound(h, "at the time of creation");
	larder_close(h);
	return 0;
}

/* Before the segment was created: the difference that ages are stored as is
 * below zero. */
static int before_creation(void)
{
	struct larder *h = created_at(10 * HOUR_MS);
	struct larder_info info;
	bool seen;

	need(put_for(h, "early", HOUR_MS, 0) == LARDER_OK, "a put");
	set(9 * HOUR_MS);
	seen = is_there(h, "early", &info);
	claim(seen && info.age_ms == 0,
	      "an hour before creation its age is %llu ms",
	      (unsigned long long)info.age_ms);
	need(put_for(h, "earlier", HOUR_MS, 0) == LARDER_OK, "a put");
	seen = is_there(h, "earlier", &info);
	claim(seen && info.age_ms == 0,
	      "so is that of what is stored then: %llu ms",
	      (unsigned long long)info.age_ms);
	set(9 * HOUR_MS + 60000);
	seen = is_there(h, "earlier", &info);
	claim(seen && info.age_ms <= 60000,
	      "a minute later it is no more than that: %llu ms",
	      (unsigned long long)info.age_ms);
	set(10 * HOUR_MS + 60000);
	seen = is_there(h, "early", &info);
	claim(seen && info.age_ms == 60000,
	      "a minute after creation the first is %llu ms old",
	      (unsigned long long)info.age_ms);
	claim(!is_there(h, "earlier", &info),
	      "and the second has expired, an hour after it was stored");
	claim_sound(h, "after an hour before creation");
	larder_close(h);
	return 0;
}

/* Memory short, so that stores wait for grace periods by the clock. */
static void churn(struct larder *h, unsigned n)
{
	char key[32], value[3000];

	memset(value, 'c', sizeof value);
	for (unsigned i = 0; i < n; i++) {
		int result;

		snprintf(key, sizeof key, "churn %u", i % 900);
		result = larder_put(h, key, strlen(key), value, sizeof value,
				    NULL);
		if (result != LARDER_OK) {
			claim(false, "put %u: %s", i, larder_strerror(result));
			return;
		}
		/* Back ten seconds, forward one: on the whole backwards. */
		if (i % 10 == 0)
			set(read_now() - 10000);
		else if (i % 10 == 5)
			set(read_now() + 1000);
	}
}

static int under_pressure(void)
{
	struct larder *h = created_at(100 * (uint64_t)HOUR_MS);

	churn(h, 20000);
	claim(counter(h, "evictions") > 1000,
	      "20,000 puts while the clock ran back by five hours: %llu "
	      "evictions",
	      (unsigned long long)counter(h, "evictions"));
	claim_works(h, "key", 100);
	claim_sound(h, "after the clock ran back");
	larder_close(h);
	return 0;
}

/* Others may evict it if this one is stopped between its two steps, and take it
 * for expired where it is behind them: not every time. */
static bool finds_what_it_stores(struct larder *h, const char *key,
				 struct larder_info *info)
{
	for (int tries = 0; tries < 100; tries++) {
		need(put_for(h, key, HOUR_MS / 2, 0) == LARDER_OK, "a put");
		if (is_there(h, key, info))
			return true;
	}
	return false;
}

/* Children whose clocks are hours apart share one segment. */
static int child_of_another_time(int i, void *context)
{
	struct larder_info info;
	struct larder *h = context;
	char key[32];
	bool seen;

	set(100 * (uint64_t)HOUR_MS - (uint64_t)i * HOUR_MS);
	snprintf(key, sizeof key, "of child %d", i);
	seen = finds_what_it_stores(h, key, &info);
	churn(h, 3000);
	claim(seen && finds_what_it_stores(h, key, &info) &&
		      info.ttl_left_ms <= HOUR_MS / 2,
	      "a worker %d hours behind finds what it stores", i);
	return n_failed() != 0;
}

static int apart(void)
{
	struct larder *h = created_at(100 * (uint64_t)HOUR_MS);
	pid_t pid[4];
	int bad = 0;

	for (int i = 0; i < 4; i++)
		pid[i] = spawn(child_of_another_time, i, h);
	for (int i = 0; i < 4; i++)
		bad |= reap(pid[i]);
	claim_sound(h, "after workers of four times of day");
	larder_close(h);
	return bad;
}

/* A fill is led and followed by workers whose clock went back between. */
static void *follow(void *context)
{
	struct larder *h = context;
	struct larder_fill_options o = {.size_of = sizeof o, .wait_ms = 30};
	struct larder_fill fill;
	struct larder_view view;
	int begun = larder_fill_begin(h, "f", 1, &o, &fill, &view);

	claim(begun == LARDER_WAIT,
	      "the leader that began later, as the clock has it now, leads "
	      "on: '%s'",
	      larder_strerror(begun));
	if (begun != LARDER_WAIT)
		return NULL;
	set(read_now() + 40);
	begun = larder_fill_wait(h, &fill, &view);
	claim(begun == LARDER_TIMEOUT, "a follower's patience ends: '%s'",
	      larder_strerror(begun));
	return NULL;
}

static int fills(void)
{
	struct larder *h = created_at(10 * HOUR_MS);
	struct larder_fill fill;
	struct larder_view view;
	pthread_t thread;
	int result;

	need(larder_fill_begin(h, "f", 1, NULL, &fill, &view) == LARDER_LEAD,
	     "leading");
	set(9 * HOUR_MS);
	need(!pthread_create(&thread, NULL, follow, h), "a thread");
	pthread_join(thread, NULL);
	result = larder_fill_put(h, &fill, "v", 1, NULL);
	claim(result == LARDER_OK, "the leader's result is stored: '%s'",
	      larder_strerror(result));
	claim_sound(h, "after a fill");
	larder_close(h);
	return n_failed() != 0;
}

/* Patterns are retired when no fill can be older: by the clock. */
static int patterns(void)
{
	struct larder *h = created_at(10 * HOUR_MS);
	struct larder_token token;
	struct larder_put_options o = {.size_of = sizeof o, .token = &token};
	char value[8];
	size_t n;
	int result;

	need(larder_token(h, "p1", 2, &token) == 0, "a token");
	need(larder_invalidate_match(h, "p*", 2, LARDER_MATCH_KEYS) == 0,
	     "an invalidation");
	for (int i = 1; i < 10; i++) {
		set((uint64_t)(10 - i) * HOUR_MS);
		larder_maintain(h, 0);
	}
	result = larder_put(h, "p1", 2, "v", 1, &o);
	claim(result == LARDER_STALE_FILL,
	      "what was computed before an invalidation is refused after nine "
	      "hours backwards: '%s'",
	      larder_strerror(result));
	claim(larder_get(h, "p1", 2, value, sizeof value, &n) == LARDER_MISS,
	      "and not served");
	claim_sound(h, "after a pattern");
	larder_close(h);
	return 0;
}

int main(void)
{
	folder();
	stage("expiry", expiry);
	stage("before creation", before_creation);
	stage("under pressure", under_pressure);
	stage("clocks that differ", apart);
	stage("fills", fills);
	stage("patterns", patterns);
	return curtain();
}
