/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequences of operations on a 1 MiB segment, beside a model that forgets
 * nothing: a get gives what the model holds, or a miss where eviction or an
 * invalidation explains it; never anything else.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <larder/larder.h>

#include "fuzz/rounds.h"

enum { KEYS = 32 };

struct model {
	int there; /* 0: must be a miss */
	uint32_t length;
	uint8_t letter;
	uint64_t counter;
	int is_counter;
};

static void promise(int kept, const char *what)
{
	if (kept)
		return;
	fprintf(stderr, "broken promise: %s\n", what);
	abort();
}

static struct larder *segment(void)
{
	static struct larder *h;
	const struct larder_create_options o = {.size_of = sizeof o,
						.bytes = 1 << 20};
	int fd;

	if (!h) {
		promise(larder_create_fd(&o, &fd) == 0, "create");
		promise(larder_open_fd(fd, NULL, &h) == 0, "open");
		close(fd);
	}
	return h;
}

static void check_get(struct larder *h, uint8_t key, struct model *m)
{
	static uint8_t got[1 << 17];
	size_t n = 0;
	int result = larder_get(h, &key, 1, got, sizeof got, &n);

	if (result == LARDER_MISS) {
		m->there = 0; /* evicted: stays a miss until it is put again */
		return;
	}
	promise(result == LARDER_OK, "get gives a hit or a miss");
	promise(m->there, "what was removed stays away");
	promise(n == m->length, "the length is the one that was put");
	if (m->is_counter) {
		promise(!memcmp(got, &m->counter, 8), "the counter counts");
		return;
	}
	for (size_t i = 0; i < n; i++)
		promise(got[i] == m->letter, "the bytes are those put");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static uint8_t value[1 << 17];
	struct model model[KEYS];
	struct larder *h = segment();
	struct larder_tag tag = {"t", 1};

	larder_invalidate_all(h);
	memset(model, 0, sizeof model);
	for (size_t i = 0; i + 4 <= n; i += 4) {
		uint8_t key = data[i + 1] % KEYS, letter = data[i + 2];
		struct model *m = &model[key];
		struct larder_put_options o = {.size_of = sizeof o,
					       .tags = &tag,
					       .n_tags = data[i + 3] & 1};
		uint32_t length =
			(uint32_t)data[i + 3] * (data[i] & 0x80 ? 500u : 9u);
		uint64_t count = 0;
		int result;

		switch (data[i] % 10) {
		case 0:
		case 1:
		case 2:
			memset(value, letter, length);
			result = larder_put(h, &key, 1, value, length, &o);
			promise(result == LARDER_OK ||
					result == LARDER_NO_SPACE,
				"put stores or finds no room");
			if (result == LARDER_OK)
				*m = (struct model){1, length, letter, 0, 0};
			break;
		case 3:
			memset(value, letter, length);
			check_get(h, key, m);
			result = larder_add(h, &key, 1, value, length, NULL);
			promise(result != LARDER_EXISTS || m->there,
				"add finds what is there");
			if (result == LARDER_OK)
				*m = (struct model){1, length, letter, 0, 0};
			break;
		case 4:
			check_get(h, key, m);
			result = larder_remove(h, &key, 1);
			promise(result == (m->there ? LARDER_OK : LARDER_MISS),
				"remove tells what was there");
			m->there = 0;
			break;
		case 5:
			check_get(h, key, m);
			result = larder_increment(h, &key, 1, letter, 7, NULL,
						  &count);
			if (result == LARDER_NOT_COUNTER) {
				promise(m->there && m->length != 8,
					"only other lengths are no counters");
			} else if (result == LARDER_OK && !m->is_counter &&
				   m->there) {
				uint64_t was;

				memset(&was, m->letter, 8);
				promise(count == was + letter, "it was added");
				*m = (struct model){1, 8, 0, count, 1};
			} else if (result == LARDER_OK) {
				promise(count == (m->there ? m->counter : 7u) +
							 letter,
					"it was added");
				*m = (struct model){1, 8, 0, count, 1};
			}
			break;
		case 6:
			larder_invalidate_tag(h, "t", 1);
			/* Which entries carry it the model does not know: it
			 * believes a miss. */
			break;
		case 7:
			larder_invalidate_key(h, &key, 1);
			m->there = 0;
			break;
		case 8:
			larder_maintain(h, letter);
			break;
		default:
			check_get(h, key, m);
			break;
		}
	}
	for (uint8_t key = 0; key < KEYS; key++)
		check_get(h, key, &model[key]);
	return 0;
}
