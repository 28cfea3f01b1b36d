/* SPDX-License-Identifier: Apache-2.0 */
/* See fixture.h. Criterion runs each test in a process of its own. */
#include "fixture.h"

uint64_t passed_ms;
static uint64_t began_ms;

static uint64_t standing_clock(void)
{
	return began_ms + passed_ms;
}

struct fixture fixture_open(void)
{
	struct larder_create_options create = {
		.size_of = sizeof create,
		.bytes = 4 << 20,
		.pattern_ms = 1000,
	};
	struct fixture f;
	int fd, error;

	began_ms = larder_clock_ms();
	larder_clock_replace(standing_clock);
	cr_assert_eq(larder_create_fd(&create, &fd), 0);
	cr_assert_eq(larder_open_fd(fd, NULL, &f.h), 0);
	close(fd);
	f.w = worker_of(f.h, &error);
	cr_assert_not_null(f.w);
	f.s = f.w->s;
	return f;
}

void fixture_close(struct fixture *f)
{
	larder_close(f->h);
	larder_clock_replace(NULL);
}

int put_text(struct fixture *f, const char *key, const char *tag,
	     const struct larder_token *token)
{
	struct larder_tag t = {tag, tag ? strlen(tag) : 0};
	struct larder_put_options o = {
		.size_of = sizeof o,
		.tags = &t,
		.n_tags = tag ? 1 : 0,
		.token = token,
	};

	return larder_put(f->h, key, strlen(key), "value", 5, &o);
}

bool has(struct fixture *f, const char *key)
{
	char value[8];

	return larder_get(f->h, key, strlen(key), value, sizeof value, NULL) ==
	       LARDER_OK;
}

uint64_t hash_of_key(struct fixture *f, const char *key, size_t n_key)
{
	return key_hash_of(f->s, key, n_key);
}
