/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cost: what invalidating a tag costs does not depend on what carries it.
 *
 * Counted, not timed: how many words of the segment differ after the call from
 * before. In a segment with 1,000 entries of the tag and in one with a million.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common.h"

enum { VALUE = 16, TAG_ROUNDS = 4, FEW = 1000, MANY = 1000000 };

static const struct larder_tag tag = {"shared", 6};

static void fill(struct larder *h, uint32_t n)
{
	struct larder_put_options o = {
		.size_of = sizeof o,
		.tags = &tag,
		.n_tags = 1,
	};
	char value[VALUE] = {0};

	for (uint32_t i = 0; i < n; i++)
		need(larder_put(h, &i, sizeof i, value, sizeof value, &o) == 0,
		     "put");
}

static uint32_t n_hits(struct larder *h, uint32_t n)
{
	char value[VALUE];
	uint32_t hits = 0;

	for (uint32_t i = 0; i < n; i++)
		hits += larder_get(h, &i, sizeof i, value, sizeof value,
				   NULL) == LARDER_OK;
	return hits;
}

/* The most words that one of a few invalidations changed. */
static uint64_t words_written(uint32_t n_entries)
{
	struct larder_create_options create = {.size_of = sizeof create,
					       .bytes = 256 << 20};
	uint64_t *before, *now, most = 0, bytes;
	struct larder *h;
	uint32_t hits;
	int fd;

	need(larder_create_fd(&create, &fd) == 0, "create");
	need(larder_open_fd(fd, NULL, &h) == 0, "open");
	bytes = (uint64_t)lseek(fd, 0, SEEK_END);
	now = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
	before = malloc(bytes);
	need(now != MAP_FAILED && before, "memory");
	fill(h, n_entries);
	hits = n_hits(h, n_entries);
	for (int round = 0; round < TAG_ROUNDS; round++) {
		uint64_t n = 0;

		memcpy(before, now, bytes);
		need(larder_invalidate_tag(h, tag.text, tag.n_text) == 0,
		     "invalidate");
		for (uint64_t i = 0; i < bytes / 8; i++)
			n += now[i] != before[i];
		if (n > most)
			most = n;
	}
	claim(hits > n_entries / 2 && n_hits(h, n_entries) == 0,
	      "%u entries: %u hits before the invalidation, none after",
	      n_entries, hits);
	larder_close(h);
	munmap(now, bytes);
	free(before);
	close(fd);
	return most;
}

int main(void)
{
	uint64_t few, many;

	alarm(280);
	few = words_written(FEW);
	many = words_written(MANY);
	claim(few == many,
	      "one invalidation writes %llu words with 1,000 entries of the "
	      "tag, %llu with a million",
	      (unsigned long long)few, (unsigned long long)many);
	/* T, the ring's cell, C, and this worker's count of it. */
	claim(many <= 4, "it writes no more than four words");
	return n_failed() ? 1 : 0;
}
