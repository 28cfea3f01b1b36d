/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The public interface alone: every operation's outcomes by name, on a segment
 * in a memfd. Sees nothing but include/larder.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <larder/larder.h>

static struct larder *h;
static int fd;

static void setup(void)
{
	const struct larder_create_options o = {.size_of = sizeof o,
						.bytes = 4 << 20};

	cr_assert_eq(larder_create_fd(&o, &fd), 0);
	cr_assert_eq(larder_open_fd(fd, NULL, &h), 0);
}

static void teardown(void)
{
	larder_close(h);
	close(fd);
}

TestSuite(api, .init = setup, .fini = teardown);

static int put(const char *key, const char *value)
{
	return larder_put(h, key, strlen(key), value, strlen(value), NULL);
}

static void expect(const char *key, const char *value)
{
	char got[256];
	size_t n = 0;
	int result = larder_get(h, key, strlen(key), got, sizeof got, &n);

	if (!value) {
		cr_assert_eq(result, LARDER_MISS);
		return;
	}
	cr_assert_eq(result, LARDER_OK, "%s", larder_strerror(result));
	cr_assert_eq(n, strlen(value));
	cr_assert_eq(memcmp(got, value, n), 0);
}

Test(api, put_get_replace_remove)
{
	expect("k", NULL);
	cr_assert_eq(put("k", "one"), LARDER_OK);
	expect("k", "one");
	cr_assert_eq(put("k", "another"), LARDER_OK);
	expect("k", "another");
	cr_assert_eq(larder_remove(h, "k", 1), LARDER_OK);
	cr_assert_eq(larder_remove(h, "k", 1), LARDER_MISS);
	expect("k", NULL);
}

Test(api, conditions)
{
	struct larder_info info = {.size_of = sizeof info};
	char value[8];

	cr_assert_eq(larder_replace(h, "k", 1, "a", 1, NULL), LARDER_MISS);
	cr_assert_eq(larder_add(h, "k", 1, "a", 1, NULL), LARDER_OK);
	cr_assert_eq(larder_add(h, "k", 1, "b", 1, NULL), LARDER_EXISTS);
	cr_assert_eq(larder_get_info(h, "k", 1, value, sizeof value, &info),
		     LARDER_OK);
	cr_assert_eq(larder_cas(h, "k", 1, info.version + 1, "c", 1, NULL),
		     LARDER_CHANGED);
	cr_assert_eq(larder_cas(h, "k", 1, info.version, "c", 1, NULL),
		     LARDER_OK);
	cr_assert_eq(larder_remove_version(h, "k", 1, info.version),
		     LARDER_CHANGED);
	expect("k", "c");
}

Test(api, counters_count)
{
	uint64_t n = 0;

	cr_assert_eq(larder_increment(h, "n", 1, 5, 10, NULL, &n), LARDER_OK);
	cr_assert_eq(n, 15);
	cr_assert_eq(larder_increment(h, "n", 1, -20, 0, NULL, &n), LARDER_OK);
	cr_assert_eq(n, UINT64_MAX - 4);
	put("text", "not a number");
	cr_assert_eq(larder_increment(h, "text", 4, 1, 0, NULL, &n),
		     LARDER_NOT_COUNTER);
}

Test(api, sizes_at_the_edges)
{
	static char big[1 << 20];
	char key[LARDER_KEY_MAX];
	size_t n, most = larder_value_max(h);

	memset(key, 0, sizeof key);
	memset(big, 'x', sizeof big);
	cr_assert_eq(larder_put(h, key, 1, NULL, 0, NULL), LARDER_OK);
	cr_assert_eq(larder_put(h, key, sizeof key, "v", 1, NULL), LARDER_OK);
	cr_assert_eq(larder_put(h, key, sizeof key + 1, "v", 1, NULL), -EINVAL);
	cr_assert_eq(larder_put(h, key, 0, "v", 1, NULL), -EINVAL);
	cr_assert_eq(larder_get(h, key, 1, NULL, 0, &n), LARDER_OK);
	cr_assert_eq(n, 0);
	cr_assert_eq(larder_put(h, "big", 3, big, most, NULL), LARDER_OK);
	cr_assert_eq(larder_put(h, "big", 3, big, most + 1, NULL), -EMSGSIZE);
	cr_assert_eq(larder_get(h, "big", 3, key, 8, &n), LARDER_TRUNCATED);
	cr_assert_eq(n, most);
}

Test(api, a_lease_outlives_its_entry)
{
	struct larder_view v;
	char copy[3];

	put("k", "abc");
	cr_assert_eq(larder_lease(h, "k", 1, &v), LARDER_OK);
	cr_assert_eq(larder_remove(h, "k", 1), LARDER_OK);
	for (int i = 0; i < 5000; i++) {
		char key[16];

		snprintf(key, sizeof key, "k%d", i);
		put(key, "zzz");
	}
	memcpy(copy, v.value, 3);
	cr_assert_eq(memcmp(copy, "abc", 3), 0);
	larder_release(h, &v);
	cr_assert_null(v.value);
}

Test(api, at_most_five_leases)
{
	struct larder_view v[LARDER_LEASES_MAX + 1];

	put("k", "abc");
	for (int i = 0; i < LARDER_LEASES_MAX; i++)
		cr_assert_eq(larder_lease(h, "k", 1, &v[i]), LARDER_OK);
	cr_assert_eq(larder_lease(h, "k", 1, &v[LARDER_LEASES_MAX]),
		     LARDER_LEASE_LIMIT);
	for (int i = 0; i < LARDER_LEASES_MAX; i++)
		larder_release(h, &v[i]);
}

Test(api, many_at_once)
{
	struct larder_get_item items[40];
	char keys[40][8], values[40][8];

	for (int i = 0; i < 40; i++) {
		int n = snprintf(keys[i], sizeof keys[i], "key%d", i);

		if (i % 3)
			put(keys[i], keys[i]);
		items[i] = (struct larder_get_item){.key = keys[i],
						    .n_key = (size_t)n,
						    .value = values[i],
						    .n_buffer = 8};
	}
	cr_assert_eq(larder_get_many(h, items, 40), 0);
	for (int i = 0; i < 40; i++) {
		cr_assert_eq(items[i].result, i % 3 ? LARDER_OK : LARDER_MISS);
		cr_assert_eq(items[i].n_value, i % 3 ? items[i].n_key : 0);
		cr_assert_eq(memcmp(values[i], keys[i], items[i].n_value), 0);
	}
}

Test(api, a_full_segment_takes_on)
{
	static char value[3000];

	for (int i = 0; i < 20000; i++) {
		char key[16];
		int n = snprintf(key, sizeof key, "k%d", i);

		cr_assert_eq(larder_put(h, key, (size_t)n, value,
					(size_t)(i * 37 % 3000), NULL),
			     LARDER_OK);
	}
	cr_assert_eq(larder_get(h, "k19999", 6, value, sizeof value, NULL),
		     LARDER_OK);
}

Test(api, invalid_is_gone_kept_is_not)
{
	struct larder_tag tag = {"t", 1};
	struct larder_put_options o = {
		.size_of = sizeof o, .tags = &tag, .n_tags = 1};
	struct larder_put_options keep = {.size_of = sizeof keep,
					  .flags = LARDER_KEEP};

	larder_put(h, "tagged", 6, "v", 1, &o);
	larder_put(h, "kept", 4, "v", 1, &keep);
	put("plain", "v");
	cr_assert_eq(larder_invalidate_tag(h, "t", 1), LARDER_OK);
	expect("tagged", NULL);
	expect("plain", "v");
	cr_assert_eq(larder_invalidate_match(h, "pl*", 3, LARDER_MATCH_KEYS),
		     LARDER_OK);
	expect("plain", NULL);
	cr_assert_eq(larder_invalidate_match(h, "[a", 2, LARDER_MATCH_KEYS),
		     -EINVAL);
	cr_assert_eq(larder_invalidate_all(h), LARDER_OK);
	expect("kept", "v");
}

Test(api, a_late_fill_is_refused)
{
	struct larder_token token;
	struct larder_put_options o = {.size_of = sizeof o, .token = &token};

	cr_assert_eq(larder_token(h, "k", 1, &token), LARDER_OK);
	larder_invalidate_key(h, "k", 1);
	cr_assert_eq(larder_put(h, "k", 1, "old", 3, &o), LARDER_STALE_FILL);
	cr_assert_eq(larder_token(h, "k", 1, &token), LARDER_OK);
	put("k", "direct");
	cr_assert_eq(larder_put(h, "k", 1, "old", 3, &o), LARDER_NEWER);
	expect("k", "direct");
}

Test(api, a_region_is_found_again)
{
	struct larder_region a, b;

	cr_assert_eq(larder_region(h, "mine", 100, 8, &a), 0);
	memcpy(a.common, "hello", 6);
	cr_assert_eq(larder_region(h, "mine", 100, 8, &b), 0);
	cr_assert_eq(a.common, b.common);
	cr_assert_eq(larder_region(h, "mine", 5000, 8, &b),
		     LARDER_ERR_REGION_SIZE);
	cr_assert_eq((uintptr_t)a.common % 64, 0);
	cr_assert_eq(a.n_cells, larder_n_slots(h));
}

Test(api, a_child_attaches_anew)
{
	int slot = larder_worker_slot(h), status;
	pid_t pid;

	put("k", "parent");
	pid = fork();
	if (pid == 0) {
		char value[16];
		size_t n;

		if (larder_worker_slot(h) == slot ||
		    larder_get(h, "k", 1, value, sizeof value, &n) ||
		    larder_put(h, "c", 1, "child", 5, NULL))
			_exit(1);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	cr_assert_eq(status, 0);
	expect("c", "child");
	cr_assert_eq(larder_worker_slot(h), slot);
}

Test(api, wrong_files_are_named, .init = NULL, .fini = NULL)
{
	char path[] = "/tmp/larder-api-XXXXXX";
	const struct larder_create_options o = {.size_of = sizeof o,
						.bytes = 1 << 20};
	struct larder *x;
	int file = mkstemp(path);

	cr_assert_geq(file, 0);
	cr_assert_eq(larder_open(path, NULL, &x), LARDER_ERR_NOT_LARDER);
	unlink(path);
	cr_assert_eq(larder_open(path, NULL, &x), -ENOENT);
	cr_assert_eq(larder_create(path, &o), 0);
	cr_assert_eq(larder_create(path, &o), LARDER_EXISTS);
	cr_assert_eq(truncate(path, 500000), 0);
	cr_assert_eq(larder_open(path, NULL, &x), LARDER_ERR_TRUNCATED);
	unlink(path);
	close(file);
}
