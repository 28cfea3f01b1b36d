/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one invalidation of a tag costs its caller, in a segment where a
 * thousand entries carry the tag and in one where a million do.
 */
#include <stdlib.h>
#include <string.h>

#include <larder/larder.h>

#include "freshness/freshness.h"
#include "times.h"

enum { CALLS = 101, VALUE = 16, ENTRY = 192, SEGMENTS = 2 };

static const uint64_t n_entries[SEGMENTS] = {1000, 1000000};
static const char *const names[SEGMENTS] = {
	"a tag's invalidation, 1 k entries",
	"a tag's invalidation, 1 m entries",
};

static bool fill(struct larder *h, uint64_t n)
{
	for (uint64_t id = 0; id < n; id++)
		if (!freshness_put(h, id, 1, VALUE))
			return false;
	return true;
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The median of some calls, each timed by itself; 0: complained. */
static double one_call(struct larder *h)
{
	uint64_t ns[CALLS];
	char tag[FRESHNESS_TAG];
	size_t n_tag = freshness_tag("tag", 0, tag);

	for (unsigned i = 0; i < CALLS; i++) {
		uint64_t begun = ticks_now();

		if (larder_invalidate_tag(h, tag, n_tag)) {
			bench_complain("freshness: a tag is not invalidated");
			return 0;
		}
		ns[i] = ticks_to_ns(ticks_now() - begun);
	}
	qsort(ns, CALLS, sizeof ns[0], by_time);
	return (double)ns[CALLS / 2];
}

bool freshness_of_cost(const struct freshness_plan *plan, struct figures *to)
{
	struct larder *h[SEGMENTS] = {NULL};
	double ns[SEGMENTS];
	bool fine = true;

	for (unsigned k = 0; k < SEGMENTS && fine; k++) {
		h[k] = freshness_segment(n_entries[k] * ENTRY);
		fine = h[k] && fill(h[k], n_entries[k]);
	}
	for (unsigned i = 0; i <= plan->repeats && fine; i++) {
		for (unsigned k = 0; k < SEGMENTS; k++) {
			ns[k] = one_call(h[k]);
			fine = fine && ns[k] > 0;
		}
		fine = fine && !bench_interrupted();
		if (!fine || i == 0)
			continue;
		for (unsigned k = 0; k < SEGMENTS; k++)
			figure_add(to, names[k], "ns", ns[k]);
		figure_add(to, "1 m entries to 1 k", "ratio", ns[1] / ns[0]);
	}
	for (unsigned k = 0; k < SEGMENTS; k++)
		larder_close(h[k]);
	return fine;
}
