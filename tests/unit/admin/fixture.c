/* SPDX-License-Identifier: Apache-2.0 */
/* A segment in a memfd with entries of every shape, looked at by path:
 * fixture.h. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char fixture_said[512];

void fixture_create(struct fixture *f, uint64_t bytes)
{
	const struct larder_create_options create = {
		.size_of = sizeof create,
		.bytes = bytes,
		.n_slots = 64,
	};

	f->bytes = bytes;
	cr_assert_eq(larder_create_fd(&create, &f->fd), 0);
	snprintf(f->path, sizeof f->path, "/proc/self/fd/%d", f->fd);
}

void fixture_drop(struct fixture *f)
{
	close(f->fd);
}

static size_t value_of(unsigned i, uint64_t page, unsigned char **value)
{
	size_t n = i % 20 == 7 ? (size_t)page * 2 + 100 : 8 + i * 7 % 900;

	*value = malloc(n);
	cr_assert_not_null(*value);
	for (size_t k = 0; k < n; k++)
		(*value)[k] = (unsigned char)(i * 31 + k * 7);
	return n;
}

void fixture_fill(struct fixture *f)
{
	const struct larder_tag tags[] = {
		{"red", 3}, {"model:gpt", 9}, {"x", 1}};
	struct larder_segment_info info = {.size_of = sizeof info};
	struct larder_inspector *in;
	struct larder *h;

	cr_assert_eq(larder_inspect(f->path, &in), 0);
	larder_inspect_info(in, &info);
	larder_inspect_close(in);
	cr_assert_eq(larder_open_fd(f->fd, NULL, &h), 0);
	for (unsigned i = 0; i < FIXTURE_ENTRIES; i++) {
		struct larder_put_options o = {
			.size_of = sizeof o,
			.tags = tags,
			.n_tags = i % 4,
			.ttl_ms = i % 5 == 1 ? 3600000 : 0,
			.soft_ttl_ms = i % 7 == 1 ? 1800000 : 0,
			.cost_ns = i % 3 ? 0 : 12345,
			.flags = i % 50 == 3 ? LARDER_KEEP : 0u,
		};
		unsigned char *value;
		char key[32];
		size_t n_value = value_of(i, info.page_bytes, &value);
		int n = snprintf(key, sizeof key, "key-%u", i);

		cr_assert_eq(larder_put(h, key, (size_t)n, value, n_value, &o),
			     LARDER_OK);
		free(value);
	}
	cr_assert_eq(larder_increment(h, "counter", 7, 5, 10, NULL, NULL), 0);
	cr_assert_eq(larder_invalidate_tag(h, "nobody", 6), 0);
	cr_assert_eq(
		larder_invalidate_match(h, "none-*", 6, LARDER_MATCH_EITHER),
		0);
	larder_close(h);
}

struct segment *fixture_map(struct fixture *f)
{
	struct segment *s;

	cr_assert_eq(larder_segment_map(dup(f->fd), SEGMENT_READ_WRITE, &s), 0);
	return s;
}

static void remember(void *context, enum larder_severity severity,
		     const char *where, const char *what)
{
	(void)context;
	snprintf(fixture_said, sizeof fixture_said, "%s: %s: %s",
		 severity == LARDER_DAMAGE ? "damage" : "note", where, what);
}

struct larder_check_result fixture_check(struct fixture *f)
{
	struct larder_check_result r = {.size_of = sizeof r};
	struct larder_inspector *in;

	fixture_said[0] = '\0';
	cr_assert_eq(larder_inspect(f->path, &in), 0);
	cr_assert_eq(larder_inspect_check(in, remember, NULL, &r), 0);
	larder_inspect_close(in);
	return r;
}

int fixture_repair(struct fixture *f, bool force,
		   struct larder_repair_result *result)
{
	struct larder_repair_result r = {.size_of = sizeof r};
	int error = larder_repair(f->path, force, remember, NULL, &r);

	if (result)
		*result = r;
	return error;
}

struct fixture_place fixture_find(struct segment *s, const char *key)
{
	struct fixture_place p = {0};
	uint64_t hash = key_hash_of(s, key, strlen(key));
	struct entry_view v;

	p.g = group_of(s, hash);
	for (p.i = 0; p.i < GROUP_SLOTS; p.i++) {
		p.word = p.g->slot[p.i];
		p.unit = slot_unit(p.word);
		if (p.unit && larder_entry_view(s, p.unit, &v) &&
		    v.n_key == strlen(key) && !memcmp(v.key, key, v.n_key)) {
			p.e = entry_at(s, p.unit);
			return p;
		}
	}
	cr_assert_fail("%s is not in the segment", key);
	return p;
}

unsigned fixture_count(struct fixture *f)
{
	struct larder_segment_info info = {.size_of = sizeof info};
	struct larder_inspector *in;
	unsigned char *seen = malloc(f->bytes);
	unsigned n_there = 0;
	struct larder *h;

	cr_assert_not_null(seen);
	cr_assert_eq(larder_inspect(f->path, &in), 0);
	larder_inspect_info(in, &info);
	larder_inspect_close(in);
	cr_assert_eq(larder_open_fd(f->fd, NULL, &h), 0);
	for (unsigned i = 0; i < FIXTURE_ENTRIES; i++) {
		unsigned char *value;
		char key[32];
		size_t n = value_of(i, info.page_bytes, &value), n_seen;
		int n_key = snprintf(key, sizeof key, "key-%u", i);

		if (larder_get(h, key, (size_t)n_key, seen, f->bytes,
			       &n_seen) == LARDER_OK) {
			cr_assert_eq(n_seen, n, "%s has another length", key);
			cr_assert_eq(memcmp(seen, value, n), 0,
				     "%s has other bytes", key);
			n_there++;
		}
		free(value);
	}
	larder_close(h);
	free(seen);
	return n_there;
}
