/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the counters. Cells are summed, never folded: a slot's next owner
 * counts on where the last one stopped, so no death counts twice or not at all.
 */
#include "cache/cache.h"

static const char *const names[] = {
#define X(symbol, name, help) name,
	LARDER_COUNTERS(X)
#undef X
};

static const char *const helps[] = {
#define X(symbol, name, help) help,
	LARDER_COUNTERS(X)
#undef X
};

_Static_assert((int)COUNTER_NONE <= (int)N_COUNTERS,
	       "a cell has room for all counters");

size_t larder_n_counters(void)
{
	return COUNTER_NONE;
}

const char *larder_counter_name(size_t i)
{
	return i < COUNTER_NONE ? names[i] : NULL;
}

const char *larder_counter_help(size_t i)
{
	return i < COUNTER_NONE ? helps[i] : NULL;
}

int larder_counters(struct larder *h, uint64_t *counters, size_t n)
{
	struct segment *s;

	if (!h || (!counters && n))
		return -EINVAL;
	s = load_acquire(&h->segment);
	for (size_t k = 0; k < n; k++) {
		counters[k] = 0;
		for (uint32_t i = 0; k < COUNTER_NONE && i < s->n_slots; i++)
			counters[k] += load_relaxed(&s->cells[i].counter[k]);
	}
	return 0;
}
