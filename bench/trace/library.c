/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library under a trace: a segment bounded to a number of entries, a get of
 * each key, and a put where it missed, through the public header. A value that
 * is not the key's own fails the run, and so does an entry more than allowed.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <larder/larder.h>

#include "bench.h"
#include "trace/trace.h"

enum { MAINTAIN_EVERY = 4096 };

static bool failed(const struct trace *t, const char *what, int error)
{
	bench_complain("%s: %s: %s", t->name, what, bench_error(error));
	return false;
}

static bool replay(struct larder *cache, const struct trace *t,
		   struct library_run *run)
{
	struct larder_put_options put = {.size_of = sizeof put};

	*run = (struct library_run){0};
	for (uint64_t r = 0; r < t->n_requests; r++) {
		uint64_t key = t->id[r], value = 0;
		size_t n = 0;
		int result = larder_get(cache, &key, sizeof key, &value,
					sizeof value, &n);

		if (result == LARDER_OK) {
			if (n != sizeof value || value != ~key)
				return failed(t, "get", -EILSEQ);
			continue;
		}
		if (result != LARDER_MISS)
			return failed(t, "get", result);
		run->misses++;
		put.cost_ns = t->cost_ns ? t->cost_ns[t->id[r]] : 0;
		run->computed_ns += put.cost_ns;
		value = ~key;
		result = larder_put(cache, &key, sizeof key, &value,
				    sizeof value, &put);
		if (result != LARDER_OK)
			return failed(t, "put", result);
		/* As a server does it: now and then, between requests. */
		if (r % MAINTAIN_EVERY == 0)
			larder_maintain(cache, 0);
	}
	return true;
}

bool library_run(const struct trace *t, uint32_t entries, unsigned policy,
		 struct library_run *run)
{
	/* Room enough that the bound on entries decides, and nothing else. */
	struct larder_create_options create = {
		.size_of = sizeof create,
		.bytes = (UINT64_C(16) << 20) + (uint64_t)entries * 256,
		.entry_hint = 16,
		.max_entries = entries,
		.policy = policy,
		.n_slots = 64,
	};
	struct larder_open_options open = {.size_of = sizeof open};
	struct larder_usage usage = {.size_of = sizeof usage};
	struct larder *cache;
	int fd, result;
	bool fine;

	result = larder_create_fd(&create, &fd);
	if (result)
		return failed(t, "a segment", result);
	result = larder_open_fd(fd, &open, &cache);
	close(fd);
	if (result)
		return failed(t, "opening the segment", result);
	fine = replay(cache, t, run);
	if (fine && larder_usage(cache, &usage) == 0 &&
	    usage.n_entries > (uint64_t)entries + 1) {
		bench_complain("%s: %llu entries in a segment bounded to %u",
			       t->name, (unsigned long long)usage.n_entries,
			       entries);
		fine = false;
	}
	larder_close(cache);
	return fine;
}
