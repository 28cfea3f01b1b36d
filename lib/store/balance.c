/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving pages between classes: balance.h.
 *
 * What a page more would bring a class is estimated from a few dozen ghost
 * hits, and with dozens of classes the one that seems to have the most of them
 * for its pages, and the one with the fewest, are mostly where chance put them.
 * A page that moves for that costs as many entries as it has room for and
 * brings nothing. So the bounds are compared, not the estimates: events that
 * are independent of each other and of which n were counted are expected n
 * times, give or take a few square roots of n (Poisson).
 */
#include "store/balance.h"

#include "store/page.h"

/* Ghost hits, of all classes together. */
enum {
	LEARNED_LEAST = 64,
	FORGOTTEN_FROM = 2048, /* with fewer, little is told apart */
};

enum {
	FORGET = 8, /* a part of them, each time */
	DEVIATIONS = 2,
	UNSEEN = 4, /* more than were seen there may be */
	DONORS = 4,
	ROOT_SCALE = 16, /* of what root() returns */
	RATE_SCALE = 1024,
};

/* The square root of n < 2^33, in ROOT_SCALEths, rounded down. */
static uint64_t root(uint64_t n)
{
	uint64_t scaled = n * ROOT_SCALE * ROOT_SCALE, r = 0;

	for (uint64_t bit = UINT64_C(1) << 20; bit; bit >>= 1)
		if ((r | bit) * (r | bit) <= scaled)
			r |= bit;
	return r;
}

/* Ghost hits a page that @hits of @pages speak for, at least and at most. */
static uint64_t rate_least(uint64_t hits, uint64_t pages)
{
	uint64_t n = hits * ROOT_SCALE, off = DEVIATIONS * root(hits);

	return n > off ? (n - off) * RATE_SCALE / max_u64(pages, 1) : 0;
}

static uint64_t rate_most(uint64_t hits, uint64_t pages)
{
	/* Who has all it needs has no ghost hits, like who needs nothing. */
	uint64_t n = hits + UNSEEN;

	return (n * ROOT_SCALE + DEVIATIONS * root(n + 1)) * RATE_SCALE /
	       max_u64(pages, 1);
}

/* The class of the least of @rate, which has a page to give. */
static unsigned least_of(const struct segment *s, const uint64_t *rate)
{
	unsigned least = MAX_CLASSES;

	for (unsigned c = 0; c < s->n_classes; c++)
		if (load_relaxed(&s->pools[c].n_pages) > 1 &&
		    (least == MAX_CLASSES || rate[c] < rate[least]))
			least = c;
	return least;
}

void larder_balance(struct worker *w)
{
	struct segment *s = w->s;
	unsigned poor = MAX_CLASSES;
	uint64_t most[MAX_CLASSES], poor_rate = 0, total = 0;

	if (load_relaxed(&s->hot->free_pages))
		return;
	for (unsigned c = 0; c < s->n_classes; c++)
		total += load_relaxed(&s->pools[c].ghost_hits);
	if (total < LEARNED_LEAST)
		return; /* not due: too little was learned since */
	for (unsigned c = 0; c < s->n_classes; c++) {
		struct pool *pool = &s->pools[c];
		uint64_t pages = load_relaxed(&pool->n_pages);
		uint64_t hits =
			min_u64(load_relaxed(&pool->ghost_hits), UINT32_MAX);
		uint64_t used = load_relaxed(&pool->ghost_hits_used);

		if (total >= FORGOTTEN_FROM) {
			store_relaxed(&pool->ghost_hits,
				      hits - div_up(hits, FORGET));
			store_relaxed(&pool->ghost_hits_used,
				      used - div_up(used, FORGET));
		}
		most[c] = rate_most(hits, pages);
		/* The same misses do not speak for one page after another. */
		if (hits > used && rate_least(hits, pages) > poor_rate) {
			poor_rate = rate_least(hits, pages);
			poor = c;
		}
	}
	if (poor == MAX_CLASSES)
		return;
	store_relaxed(&s->pools[poor].ghost_hits_used,
		      load_relaxed(&s->pools[poor].ghost_hits));
	/* One may have no page that it can give: regions, what is leased. */
	for (unsigned i = 0; i < DONORS; i++) {
		unsigned rich = least_of(s, most);

		if (rich == MAX_CLASSES || rich == poor ||
		    most[rich] >= poor_rate || larder_page_move(w, rich, poor))
			return;
		most[rich] = UINT64_MAX;
	}
}
