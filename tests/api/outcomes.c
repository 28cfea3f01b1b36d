/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each function's outcomes as larder.h lists them, reached and told apart by
 * name; what a failure leaves: nothing written, nothing changed. Those that
 * need other processes, files or kernels are in tests/process and
 * tests/environment.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <larder/larder.h>

static struct larder *h;

static void setup(void)
{
	const struct larder_create_options o = {.size_of = sizeof o,
						.bytes = 2 << 20};
	int fd;

	cr_assert_eq(larder_create_fd(&o, &fd), 0);
	cr_assert_eq(larder_open_fd(fd, NULL, &h), 0);
	close(fd);
}

static void teardown(void)
{
	larder_close(h);
}

TestSuite(outcomes, .init = setup, .fini = teardown);

#define is(expression, outcome)                                                \
	do {                                                                   \
		int got_ = (expression);                                       \
		cr_assert_eq(got_, outcome, "%s: %s (%d)", #expression,        \
			     larder_strerror(got_), got_);                     \
	} while (0)

static void nap_ms(long ms)
{
	const struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static struct larder_info info_of(const char *key)
{
	struct larder_info info = {.size_of = sizeof info};

	is(larder_get_info(h, key, strlen(key), NULL, 0, &info),
	   info.n_value ? LARDER_TRUNCATED : LARDER_OK);
	return info;
}

/* Puts of all kinds with these options. */
static void each_put(const struct larder_put_options *o, int outcome)
{
	uint64_t version;

	is(larder_remove(h, "k", 1) < 0, 0);
	is(larder_put(h, "k", 1, "v", 1, o), outcome);
	is(larder_remove(h, "k", 1) < 0, 0);
	is(larder_add(h, "k", 1, "v", 1, o), outcome);
	is(larder_put(h, "k", 1, "", 0, NULL), LARDER_OK);
	is(larder_replace(h, "k", 1, "v", 1, o), outcome);
	is(larder_put(h, "k", 1, "", 0, NULL), LARDER_OK);
	version = info_of("k").version;
	is(larder_cas(h, "k", 1, version, "v", 1, o), outcome);
}

Test(outcomes, puts_tell_wrong_options)
{
	static struct larder_tag many[LARDER_TAGS_MAX + 1];
	struct larder_tag tag = {"t", 1}, none = {"t", 0}, null = {NULL, 1},
			  large = {"t", LARDER_TAG_MAX + 1};
	struct larder_put_options o = {.size_of = sizeof o};

	each_put(&o, LARDER_OK);
	o.size_of = 1;
	each_put(&o, -EINVAL);
	o.size_of = sizeof o;
	o.flags = LARDER_COUNTER;
	each_put(&o, -EINVAL);
	o.flags = LARDER_REGION;
	each_put(&o, -EINVAL);
	o.flags = 0;
	o.jitter_percent = 101; /* as 100 */
	each_put(&o, LARDER_OK);
	o.jitter_percent = 0;
	o.n_tags = 1;
	each_put(&o, -EINVAL);
	for (size_t i = 0; i < 3; i++) {
		const struct larder_tag *wrong[] = {&none, &null, &large};

		o.tags = wrong[i];
		each_put(&o, -EINVAL);
	}
	for (size_t i = 0; i <= LARDER_TAGS_MAX; i++)
		many[i] = tag;
	o.tags = many;
	o.n_tags = LARDER_TAGS_MAX;
	each_put(&o, LARDER_OK);
	cr_assert_eq(info_of("k").n_tags, LARDER_TAGS_MAX);
	o.n_tags++;
	each_put(&o, -EINVAL);
}

Test(outcomes, a_failed_put_leaves_what_is_there)
{
	static char large[2 << 20];
	size_t most = larder_value_max(h);
	char value[8];
	size_t n;

	is(larder_put(h, "k", 1, "old", 3, NULL), LARDER_OK);
	is(larder_put(h, "k", 1, large, most + 1, NULL), -EMSGSIZE);
	is(larder_replace(h, "k", 1, large, most + 1, NULL), -EMSGSIZE);
	is(larder_add(h, "other", 5, large, most + 1, NULL), -EMSGSIZE);
	is(larder_cas(h, "k", 1, info_of("k").version, large, most + 1, NULL),
	   -EMSGSIZE);
	is(larder_get(h, "k", 1, value, sizeof value, &n), LARDER_OK);
	cr_assert(n == 3 && !memcmp(value, "old", 3));
	is(larder_get(h, "other", 5, value, sizeof value, &n), LARDER_MISS);
}

Test(outcomes, conditions_name_what_they_met)
{
	uint64_t version, written = 0;
	struct larder_put_options o = {.size_of = sizeof o,
				       .version = &written};

	is(larder_replace(h, "k", 1, "v", 1, NULL), LARDER_MISS);
	is(larder_cas(h, "k", 1, 1, "v", 1, NULL), LARDER_MISS);
	is(larder_remove_version(h, "k", 1, 1), LARDER_MISS);
	is(larder_add(h, "k", 1, "v", 1, &o), LARDER_OK);
	version = info_of("k").version;
	cr_assert_eq(version, written);
	is(larder_add(h, "k", 1, "w", 1, &o), LARDER_EXISTS);
	is(larder_cas(h, "k", 1, version + 1, "w", 1, &o), LARDER_CHANGED);
	is(larder_remove_version(h, "k", 1, version + 1), LARDER_CHANGED);
	cr_assert_eq(info_of("k").version, version);
	is(larder_remove_version(h, "k", 1, version), LARDER_OK);
	/* What is not valid any more is not there for any of them. */
	is(larder_put(h, "k", 1, "v", 1, &o), LARDER_OK);
	version = written;
	is(larder_invalidate_key(h, "k", 1), LARDER_OK);
	is(larder_replace(h, "k", 1, "w", 1, NULL), LARDER_MISS);
	is(larder_cas(h, "k", 1, version, "w", 1, NULL), LARDER_MISS);
	is(larder_touch(h, "k", 1, 1000), LARDER_MISS);
	is(larder_add(h, "k", 1, "w", 1, NULL), LARDER_OK);
}

Test(outcomes, touch)
{
	struct larder_put_options o = {.size_of = sizeof o, .ttl_ms = 3600000};
	uint64_t n = 0;

	is(larder_touch(h, "k", 1, 1000), LARDER_MISS);
	is(larder_put(h, "k", 1, "v", 1, &o), LARDER_OK);
	is(larder_touch(h, "k", 1, 7200000), LARDER_OK);
	cr_assert_gt(info_of("k").ttl_left_ms, 3600000);
	is(larder_touch(h, "k", 1, UINT64_MAX), LARDER_OK);
	cr_assert_eq(info_of("k").ttl_left_ms, UINT64_MAX);
	is(larder_touch(h, "k", 1, 1), LARDER_OK);
	nap_ms(30);
	is(larder_get(h, "k", 1, NULL, 0, NULL), LARDER_MISS);
	is(larder_touch(h, "k", 1, 1000), LARDER_MISS);
	/* A counter stays one. */
	is(larder_increment(h, "n", 1, 2, 0, NULL, &n), LARDER_OK);
	is(larder_touch(h, "n", 1, 3600000), LARDER_OK);
	is(larder_increment(h, "n", 1, 2, 0, NULL, &n), LARDER_OK);
	cr_assert_eq(n, 4);
	cr_assert_leq(info_of("n").ttl_left_ms, 3600000 + 10);
}

Test(outcomes, increment)
{
	struct larder_tag tag = {"t", 1};
	struct larder_put_options o = {
		.size_of = sizeof o, .tags = &tag, .n_tags = 1};
	uint64_t n = 77;

	is(larder_put(h, "text", 4, "1234567", 7, NULL), LARDER_OK);
	is(larder_increment(h, "text", 4, 1, 0, NULL, &n), LARDER_NOT_COUNTER);
	cr_assert_eq(n, 77);
	/* Eight bytes are a number, whoever put them. */
	n = 40;
	is(larder_put(h, "put", 3, &n, sizeof n, NULL), LARDER_OK);
	is(larder_increment(h, "put", 3, 2, 0, NULL, &n), LARDER_OK);
	cr_assert_eq(n, 42);
	is(larder_increment(h, "n", 1, INT64_MIN, 1, &o, &n), LARDER_OK);
	cr_assert_eq(n, (UINT64_C(1) << 63) + 1);
	is(larder_increment(h, "n", 1, INT64_MIN, 1, NULL, NULL), LARDER_OK);
	is(larder_get(h, "n", 1, &n, sizeof n, NULL), LARDER_OK);
	cr_assert_eq(n, 1);
	cr_assert_eq(info_of("n").n_tags, 1);
	cr_assert(info_of("n").flags & LARDER_COUNTER);
	is(larder_invalidate_tag(h, "t", 1), LARDER_OK);
	is(larder_increment(h, "n", 1, 1, 5, NULL, &n), LARDER_OK);
	cr_assert_eq(n, 6, "an invalid counter begins anew");
}

Test(outcomes, kept_entries_have_a_limit)
{
	static char value[4000];
	struct larder_put_options o = {.size_of = sizeof o,
				       .flags = LARDER_KEEP};
	int result = LARDER_OK, i;
	char key[16];

	for (i = 0; i < 1000 && result == LARDER_OK; i++) {
		snprintf(key, sizeof key, "k%03d", i);
		result = larder_put(h, key, 4, value, sizeof value, &o);
	}
	is(result, LARDER_KEEP_LIMIT);
	cr_assert(i > 2, "some fit in");
	is(larder_put(h, key, 4, value, sizeof value, NULL), LARDER_OK);
	is(larder_remove(h, "k000", 4), LARDER_OK);
	is(larder_touch(h, "k001", 4, 1), LARDER_OK);
	nap_ms(20);
	is(larder_get(h, "k001", 4, value, sizeof value, NULL), LARDER_OK);
}

Test(outcomes, the_limit_of_kept_entries_is_of_those_that_are_there)
{
	static char value[30000];
	struct larder_put_options o = {.size_of = sizeof o,
				       .flags = LARDER_KEEP};
	struct larder_usage u = {.size_of = sizeof u};
	int result = LARDER_OK;
	char key[16];

	/* Each of these goes before the next one comes. */
	for (int i = 0; i < 10000; i++) {
		is(larder_put(h, "k", 1, value, 1000, &o), LARDER_OK);
		if (i % 2)
			is(larder_remove(h, "k", 1), LARDER_OK);
		else
			is(larder_put(h, "k", 1, value, 1000, NULL), LARDER_OK);
	}
	is(larder_put(h, "n", 1, value, 8, &o), LARDER_OK);
	/* Small ones that grow count as what they are then. */
	for (int i = 0; i < 40; i++) {
		snprintf(key, sizeof key, "k%03d", i);
		is(larder_put(h, key, 4, value, 1, &o), LARDER_OK);
	}
	for (int i = 0; i < 40 && result == LARDER_OK; i++) {
		snprintf(key, sizeof key, "k%03d", i);
		result = larder_put(h, key, 4, value, sizeof value, &o);
	}
	is(result, LARDER_KEEP_LIMIT);
	is(larder_usage(h, &u), 0);
	cr_assert_lt(u.bytes_kept, u.bytes_total / 16);
	result = LARDER_OK;
	/* A counter that is kept counts on at the limit. */
	for (int i = 0; i < 1000 && result == LARDER_OK; i++) {
		snprintf(key, sizeof key, "m%03d", i);
		result = larder_put(h, key, 4, value, 64, &o);
	}
	is(result, LARDER_KEEP_LIMIT);
	is(larder_increment(h, "n", 1, 1, 0, NULL, NULL), LARDER_OK);
	cr_assert(info_of("n").flags & LARDER_KEEP);
}

Test(outcomes, a_region_is_had_whatever_was_put_under_its_name)
{
	struct larder_region a, b;

	is(larder_put(h, "larder/region/r", 15, "mine", 4, NULL), LARDER_OK);
	is(larder_region(h, "r", 100, 0, &a), 0);
	memcpy(a.common, "kept", 4);
	is(larder_put(h, "larder/region/r", 15, "mine", 4, NULL), LARDER_KEPT);
	is(larder_region(h, "r", 100, 0, &b), 0);
	cr_assert_eq(a.common, b.common);
	cr_assert(!memcmp(b.common, "kept", 4));
}

Test(outcomes, a_region_is_not_for_taking_away)
{
	struct larder_region r;
	char name[LARDER_REGION_NAME_MAX + 2];

	is(larder_region(h, "mine", 64, 8, &r), 0);
	is(larder_remove(h, "larder/region/mine", 18), LARDER_KEPT);
	is(larder_put(h, "larder/region/mine", 18, "x", 1, NULL), LARDER_KEPT);
	is(larder_invalidate_all(h), LARDER_OK);
	is(larder_region(h, "mine", 64, 16, &r), 0); /* the same stride */
	is(larder_region(h, "mine", 65, 8, &r), LARDER_ERR_REGION_SIZE);
	is(larder_region(h, "large", 1 << 20, 8, &r), LARDER_NO_SPACE);
	is(larder_region(h, "", 8, 8, &r), -EINVAL);
	is(larder_region(h, NULL, 8, 8, &r), -EINVAL);
	is(larder_region(h, "null", 8, 8, NULL), -EINVAL);
	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = 0;
	is(larder_region(h, name, 8, 8, &r), -EINVAL);
	name[sizeof name - 2] = 0;
	is(larder_region(h, name, 8, 8, &r), 0);
}

Test(outcomes, reads)
{
	struct larder_info info = {.size_of = sizeof info};
	struct larder_get_item items[3] = {
		{.key = "k", .n_key = 1}, {.key = "", .n_key = 0}, {0}};
	struct larder_view view;
	char value[4] = "....";
	size_t n = 99;

	is(larder_get(h, "k", 1, value, 4, &n), LARDER_MISS);
	cr_assert_eq(n, 99, "a miss writes nothing");
	is(larder_get_info(h, "k", 1, value, 4, &info), LARDER_MISS);
	is(larder_lease(h, "k", 1, &view), LARDER_MISS);
	is(larder_put(h, "k", 1, "value", 5, NULL), LARDER_OK);
	is(larder_get(h, "k", 1, value, 4, &n), LARDER_TRUNCATED);
	cr_assert(n == 5 && !memcmp(value, "valu", 4));
	is(larder_get(h, "k", 1, NULL, 0, NULL), LARDER_TRUNCATED);
	is(larder_get(h, "k", 1, NULL, 4, NULL), -EINVAL);
	is(larder_get(h, NULL, 1, value, 4, NULL), -EINVAL);
	is(larder_get(h, "k", LARDER_KEY_MAX + 1, value, 4, NULL), -EINVAL);
	is(larder_get_info(h, "k", 1, value, 4, NULL), -EINVAL);
	info.size_of = 1;
	is(larder_get_info(h, "k", 1, value, 4, &info), -EINVAL);
	is(larder_lease(h, "k", 1, NULL), -EINVAL);
	items[2] = (struct larder_get_item){
		.key = "k", .n_key = 1, .value = value, .n_buffer = 4};
	is(larder_get_many(h, items, 3), 0);
	is(items[0].result, LARDER_TRUNCATED);
	is(items[1].result, -EINVAL);
	is(items[2].result, LARDER_TRUNCATED);
	is(larder_get_many(h, NULL, 1), -EINVAL);
	is(larder_get_many(h, NULL, 0), 0);
}

Test(outcomes, a_walk_ends)
{
	struct larder_walk_entry e = {.size_of = sizeof e};
	uint64_t cursor = 0;
	unsigned n = 0, n_valid = 0;
	int result;

	is(larder_walk(h, &cursor, &e), LARDER_END);
	for (int i = 0; i < 100; i++)
		is(larder_put(h, &i, sizeof i, &i, sizeof i, NULL), LARDER_OK);
	is(larder_invalidate_key(h, &(int){7}, sizeof(int)), LARDER_OK);
	cursor = 0;
	while ((result = larder_walk(h, &cursor, &e)) == LARDER_OK) {
		n++;
		n_valid += e.valid;
		cr_assert(e.n_key == sizeof(int) && e.info.n_value == 4);
		cr_assert_eq(e.valid, memcmp(e.key, &(int){7}, 4) != 0);
	}
	is(result, LARDER_END);
	is(larder_walk(h, &cursor, &e), LARDER_END);
	cr_assert(n == 100 && n_valid == 99, "%u, %u valid", n, n_valid);
	e.size_of = sizeof e - 1;
	is(larder_walk(h, &cursor, &e), -EINVAL);
	is(larder_walk(h, NULL, &e), -EINVAL);
}

Test(outcomes, counters_have_names_and_help)
{
	size_t n = larder_n_counters();
	uint64_t counters[64];
	struct larder_usage usage = {.size_of = sizeof usage};
	unsigned n_ones = 0;

	cr_assert(n > 20 && n < 64);
	for (size_t i = 0; i < n; i++)
		cr_assert(*larder_counter_name(i) && *larder_counter_help(i));
	cr_assert_null(larder_counter_name(n));
	cr_assert_null(larder_counter_help(n));
	memset(counters, 0xff, sizeof counters);
	is(larder_put(h, "k", 1, "v", 1, NULL), LARDER_OK);
	is(larder_get(h, "k", 1, NULL, 0, NULL), LARDER_TRUNCATED);
	is(larder_counters(h, counters, 64), 0);
	for (size_t i = 0; i < 64; i++) {
		const char *name = larder_counter_name(i);
		bool one = name &&
			   (!strcmp(name, "hits") || !strcmp(name, "puts"));

		n_ones += one;
		cr_assert(!one || counters[i] == 1, "%s", name);
		cr_assert(name || counters[i] == 0, "%zu", i);
	}
	cr_assert_eq(n_ones, 2);
	is(larder_counters(h, NULL, 1), -EINVAL);
	is(larder_usage(h, &usage), 0);
	cr_assert(usage.bytes_total == 2 << 20 && usage.n_entries == 1 &&
		  usage.bytes_values == 2 && usage.bytes_used >= 42 &&
		  usage.n_workers == 1);
	is(larder_usage(h, NULL), -EINVAL);
	is(larder_maintain(h, 0), 0);
}

Test(outcomes, the_handle)
{
	int slot = larder_worker_slot(h);

	cr_assert(slot >= 0 && (unsigned)slot < larder_n_slots(h));
	is(larder_attach_thread(h), 0);
	cr_assert_eq(larder_worker_slot(h), slot);
	larder_detach_thread(h);
	larder_detach_thread(h);
	is(larder_put(h, "k", 1, "v", 1, NULL), LARDER_OK);
	cr_assert_eq(strncmp(larder_path(h), "fd:", 3), 0);
	cr_assert_eq(larder_huge(h) % 4096, 0);
	larder_close(NULL);
}

Test(outcomes, names, .init = NULL, .fini = NULL)
{
	const uint64_t layout = larder_layout_version();
	char path[128], expected[64];

	snprintf(expected, sizeof expected, "/dev/shm/larder-v%u-a.b-c_1",
		 (unsigned)layout);
	is(larder_default_path("a.b-c_1", path, sizeof path), 0);
	cr_assert_str_eq(path, expected);
	is(larder_default_path("a.b-c_1", path, strlen(expected)),
	   -ENAMETOOLONG);
	is(larder_default_path("", path, sizeof path), -EINVAL);
	is(larder_default_path("a/b", path, sizeof path), -EINVAL);
	is(larder_default_path(NULL, path, sizeof path), -EINVAL);
	cr_assert_str_eq(larder_version(), LARDER_VERSION);
	for (int i = -1020; i < 30; i++)
		cr_assert(*larder_strerror(i), "%d", i);
	for (int i = LARDER_OK; i <= LARDER_END; i++)
		for (int k = i + 1; k <= LARDER_END; k++)
			cr_assert_str_neq(larder_strerror(i),
					  larder_strerror(k), "%d, %d", i, k);
}

Test(outcomes, creating_refuses_by_name, .init = NULL, .fini = NULL)
{
	struct larder_create_options o = {.size_of = sizeof o};
	int fd = -7;

	o.bytes = LARDER_SEGMENT_MIN - 1;
	is(larder_create_fd(&o, &fd), -EINVAL);
	o.bytes = LARDER_SEGMENT_MIN;
	o.n_slots = LARDER_SLOTS_MAX + 1;
	is(larder_create_fd(&o, &fd), -EINVAL);
	o.n_slots = 0;
	o.policy = LARDER_POLICY_COST + 1;
	is(larder_create_fd(&o, &fd), -EINVAL);
	o.policy = 0;
	o.mode = 010000;
	is(larder_create_fd(&o, &fd), -EINVAL);
	o.mode = 0;
	o.flags = 1u << 9;
	is(larder_create_fd(&o, &fd), -EINVAL);
	o.flags = 0;
	is(larder_create("/nonexistent/folder/x", &o), -ENOENT);
	cr_assert_eq(fd, -7, "a failure writes nothing");
}
