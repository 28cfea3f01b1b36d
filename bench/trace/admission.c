/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies that decide who may stay: S3-FIFO and W-TinyLFU, and the optimum.
 */
#include <stdlib.h>

#include "bench.h"
#include "trace/trace.h"

enum where { NOWHERE, SMALL, MAIN, GHOST };

/*
 * S3-FIFO (Yang et al., SOSP 2023): a small queue of 10 %, a main queue with
 * reinsertion, a ghost queue as long as the main one. Two hits in the small
 * queue promote, the counter goes up to 3.
 */
uint64_t s3fifo_misses(const struct trace *t, uint32_t entries)
{
	uint32_t n_small = entries / 10 ? entries / 10 : 1;
	uint32_t n_ghost = entries - n_small ? entries - n_small : 1;
	uint8_t *where = bench_alloc(t->n_distinct);
	uint8_t *count = bench_alloc(t->n_distinct);
	struct list small, main, ghost;
	uint64_t misses = 0;

	list_open(&small, t->n_distinct);
	list_open(&main, t->n_distinct);
	list_open(&ghost, t->n_distinct);
	for (uint64_t r = 0; r < t->n_requests; r++) {
		uint32_t id = t->id[r], victim;

		if (where[id] == SMALL || where[id] == MAIN) {
			if (count[id] < 3)
				count[id]++;
			continue;
		}
		misses++;
		bool returns = where[id] == GHOST;

		if (returns)
			list_remove(&ghost, id);
		while (small.n + main.n >= entries) {
			if (small.n && (small.n >= n_small || !main.n)) {
				victim = list_pop(&small);
				if (count[victim] >= 2) {
					where[victim] = MAIN;
					count[victim] = 0;
					list_push(&main, victim);
					continue;
				}
				where[victim] = GHOST;
				list_push(&ghost, victim);
				if (ghost.n > n_ghost)
					where[list_pop(&ghost)] = NOWHERE;
				continue;
			}
			victim = list_pop(&main);
			if (count[victim]) {
				count[victim]--;
				list_push(&main, victim);
			} else {
				where[victim] = NOWHERE;
			}
		}
		where[id] = returns ? MAIN : SMALL;
		count[id] = 0;
		list_push(returns ? &main : &small, id);
	}
	list_close(&small);
	list_close(&main);
	list_close(&ghost);
	free(where);
	free(count);
	return misses;
}

/* ------------------------------------------------------------------ */
/* W-TinyLFU (Einziger, Friedman and Manes, ACM ToS 2017): a window of 1 %, a
 * segmented LRU of which 80 % are protected, and a sketch of frequencies that
 * decides whether what leaves the window displaces the segment's victim. */

enum { SKETCH_ROWS = 4, SKETCH_CAP = 15 };

struct sketch {
	uint8_t *cell; /* SKETCH_ROWS rows of mask + 1 */
	uint64_t mask, n_added, limit;
};

static void sketch_open(struct sketch *s, uint32_t entries)
{
	s->mask = 63;
	while (s->mask < entries)
		s->mask = s->mask * 2 + 1;
	s->cell = bench_alloc((s->mask + 1) * SKETCH_ROWS);
	s->n_added = 0;
	s->limit = (uint64_t)entries * 10;
}

static uint8_t *sketch_cell(const struct sketch *s, uint32_t id, unsigned row)
{
	uint64_t h = bench_mix((uint64_t)id << 3 | row | 4);

	return &s->cell[(s->mask + 1) * row + (h & s->mask)];
}

static void sketch_add(struct sketch *s, uint32_t id)
{
	for (unsigned row = 0; row < SKETCH_ROWS; row++) {
		uint8_t *cell = sketch_cell(s, id, row);

		if (*cell < SKETCH_CAP)
			++*cell;
	}
	if (++s->n_added < s->limit)
		return;
	for (uint64_t i = 0; i < (s->mask + 1) * SKETCH_ROWS; i++)
		s->cell[i] /= 2;
	s->n_added /= 2;
}

static unsigned sketch_count(const struct sketch *s, uint32_t id)
{
	unsigned least = SKETCH_CAP;

	for (unsigned row = 0; row < SKETCH_ROWS; row++) {
		uint8_t cell = *sketch_cell(s, id, row);

		least = cell < least ? cell : least;
	}
	return least;
}

enum { WINDOW = 1, PROBATION, PROTECTED };

struct tinylfu {
	struct list part[4]; /* by the enumeration above */
	uint8_t *where;
	uint32_t n_window, n_segment, n_protected;
};

static void tinylfu_to(struct tinylfu *l, uint32_t id, unsigned part)
{
	list_push(&l->part[part], id);
	l->where[id] = (uint8_t)part;
}

static void tinylfu_hit(struct tinylfu *l, uint32_t id)
{
	unsigned part = l->where[id];

	list_remove(&l->part[part], id);
	tinylfu_to(l, id, part == WINDOW ? WINDOW : PROTECTED);
	if (l->part[PROTECTED].n > l->n_protected)
		tinylfu_to(l, list_pop(&l->part[PROTECTED]), PROBATION);
}

/* What left the window asks to stay. */
static void tinylfu_admit(struct tinylfu *l, const struct sketch *s,
			  uint32_t candidate)
{
	struct list *victims = &l->part[PROBATION];
	uint32_t victim;

	if (l->part[PROBATION].n + l->part[PROTECTED].n < l->n_segment) {
		tinylfu_to(l, candidate, PROBATION);
		return;
	}
	if (!victims->n)
		victims = &l->part[PROTECTED];
	if (!victims->n) {
		l->where[candidate] = NOWHERE;
		return;
	}
	victim = victims->oldest - 1;
	if (sketch_count(s, candidate) <= sketch_count(s, victim)) {
		l->where[candidate] = NOWHERE;
		return;
	}
	list_remove(victims, victim);
	l->where[victim] = NOWHERE;
	tinylfu_to(l, candidate, PROBATION);
}

uint64_t wtinylfu_misses(const struct trace *t, uint32_t entries)
{
	struct tinylfu l = {.where = bench_alloc(t->n_distinct)};
	struct sketch sketch;
	uint64_t misses = 0;

	l.n_window = entries / 100 ? entries / 100 : 1;
	l.n_segment = entries - l.n_window;
	l.n_protected = (uint32_t)((uint64_t)l.n_segment * 8 / 10);
	sketch_open(&sketch, entries);
	for (unsigned i = WINDOW; i <= PROTECTED; i++)
		list_open(&l.part[i], t->n_distinct);
	for (uint64_t r = 0; r < t->n_requests; r++) {
		uint32_t id = t->id[r];

		sketch_add(&sketch, id);
		if (l.where[id]) {
			tinylfu_hit(&l, id);
			continue;
		}
		misses++;
		tinylfu_to(&l, id, WINDOW);
		if (l.part[WINDOW].n > l.n_window)
			tinylfu_admit(&l, &sketch, list_pop(&l.part[WINDOW]));
	}
	for (unsigned i = WINDOW; i <= PROTECTED; i++)
		list_close(&l.part[i]);
	free(l.where);
	free(sketch.cell);
	return misses;
}

/* ------------------------------------------------------------------ */
/* Belady's optimum (IBM Systems Journal, 1966): evict what is asked for again
 * last. Next requests are distinct places in the trace, so the latest one is
 * the highest bit of a set of places, kept as a tree of words. */

enum { LEVELS_MAX = 6 };

struct places {
	uint64_t *level[LEVELS_MAX];
	unsigned n_levels;
};

static void places_open(struct places *p, uint64_t n)
{
	p->n_levels = 0;
	do {
		n = n / 64 + 1;
		p->level[p->n_levels++] = bench_alloc(n * 8);
	} while (n > 1 && p->n_levels < LEVELS_MAX);
}

static void places_close(struct places *p)
{
	for (unsigned i = 0; i < p->n_levels; i++)
		free(p->level[i]);
}

static void places_add(struct places *p, uint64_t at)
{
	for (unsigned i = 0; i < p->n_levels; i++, at /= 64)
		p->level[i][at / 64] |= UINT64_C(1) << at % 64;
}

static void places_remove(struct places *p, uint64_t at)
{
	for (unsigned i = 0; i < p->n_levels; i++, at /= 64) {
		p->level[i][at / 64] &= ~(UINT64_C(1) << at % 64);
		if (p->level[i][at / 64])
			return;
	}
}

static uint64_t places_last(const struct places *p)
{
	uint64_t at = 0;

	for (unsigned i = p->n_levels; i-- > 0;)
		at = at * 64 + 63 - (unsigned)__builtin_clzll(p->level[i][at]);
	return at;
}

uint64_t belady_misses(const struct trace *t, uint32_t entries)
{
	uint64_t *next = bench_alloc(t->n_requests * sizeof *next);
	uint64_t *place = bench_alloc(t->n_distinct * sizeof *place);
	uint32_t *never = bench_alloc(sizeof *never * ((size_t)entries + 1));
	uint8_t *there = bench_alloc(t->n_distinct);
	uint32_t n = 0, n_never = 0;
	struct places places;
	uint64_t misses = 0;

	places_open(&places, t->n_requests);
	for (uint64_t r = t->n_requests; r-- > 0;) {
		next[r] = place[t->id[r]]; /* 0: never again */
		place[t->id[r]] = r;
	}
	for (uint64_t r = 0; r < t->n_requests; r++) {
		uint32_t id = t->id[r];

		if (there[id]) {
			places_remove(&places, r);
		} else {
			misses++;
			if (n == entries && n_never) {
				there[never[--n_never]] = 0;
			} else if (n == entries) {
				uint64_t last = places_last(&places);

				places_remove(&places, last);
				there[t->id[last]] = 0;
			} else {
				n++;
			}
			there[id] = 1;
		}
		if (next[r])
			places_add(&places, next[r]);
		else
			never[n_never++] = id;
	}
	places_close(&places);
	free(next);
	free(place);
	free(never);
	free(there);
	return misses;
}
