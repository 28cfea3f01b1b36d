/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies that keep one order: FIFO, CLOCK with one and two bits, SIEVE, LRU.
 */
#include <stdlib.h>

#include "bench.h"
#include "trace/trace.h"

void list_open(struct list *list, uint32_t n_ids)
{
	*list = (struct list){
		.newer = bench_alloc(sizeof(uint32_t) * ((size_t)n_ids + 1)),
		.older = bench_alloc(sizeof(uint32_t) * ((size_t)n_ids + 1)),
	};
}

void list_close(struct list *list)
{
	free(list->newer);
	free(list->older);
}

void list_push(struct list *list, uint32_t id)
{
	list->newer[id + 1] = 0;
	list->older[id + 1] = list->newest;
	if (list->newest)
		list->newer[list->newest] = id + 1;
	else
		list->oldest = id + 1;
	list->newest = id + 1;
	list->n++;
}

void list_remove(struct list *list, uint32_t id)
{
	uint32_t newer = list->newer[id + 1], older = list->older[id + 1];

	if (newer)
		list->older[newer] = older;
	else
		list->newest = older;
	if (older)
		list->newer[older] = newer;
	else
		list->oldest = newer;
	list->n--;
}

uint32_t list_pop(struct list *list)
{
	uint32_t id = list->oldest - 1;

	list_remove(list, id);
	return id;
}

/*
 * A ring of entries and a hand. An entry whose counter is above zero is passed
 * by, at the price of one; hits raise the counter to @cap. FIFO: cap 0.
 */
static uint64_t clock_misses(const struct trace *t, uint32_t entries,
			     unsigned cap)
{
	uint32_t *ring = bench_alloc(sizeof *ring * (size_t)entries);
	uint8_t *there = bench_alloc(t->n_distinct);
	uint8_t *count = bench_alloc(t->n_distinct);
	uint32_t hand = 0, n = 0;
	uint64_t misses = 0;

	for (uint64_t r = 0; r < t->n_requests; r++) {
		uint32_t id = t->id[r];

		if (there[id]) {
			if (count[id] < cap)
				count[id]++;
			continue;
		}
		misses++;
		if (n < entries) {
			ring[n++] = id;
		} else {
			while (count[ring[hand]]) {
				count[ring[hand]]--;
				hand = hand + 1 == entries ? 0 : hand + 1;
			}
			there[ring[hand]] = 0;
			ring[hand] = id;
			hand = hand + 1 == entries ? 0 : hand + 1;
		}
		there[id] = 1;
		count[id] = 0;
	}
	free(ring);
	free(there);
	free(count);
	return misses;
}

uint64_t fifo_misses(const struct trace *trace, uint32_t entries)
{
	return clock_misses(trace, entries, 0);
}

uint64_t clock1_misses(const struct trace *trace, uint32_t entries)
{
	return clock_misses(trace, entries, 1);
}

uint64_t clock2_misses(const struct trace *trace, uint32_t entries)
{
	return clock_misses(trace, entries, 3);
}

/*
 * SIEVE (Zhang et al., NSDI 2024): insertion at the new end, a hand from the
 * old end towards the new one that evicts the first unvisited entry and clears
 * the marks it passes; survivors stay where they are.
 */
uint64_t sieve_misses(const struct trace *t, uint32_t entries)
{
	uint8_t *there = bench_alloc(t->n_distinct);
	uint8_t *visited = bench_alloc(t->n_distinct);
	struct list list;
	uint32_t hand = 0; /* id + 1; 0: begin at the old end */
	uint64_t misses = 0;

	list_open(&list, t->n_distinct);
	for (uint64_t r = 0; r < t->n_requests; r++) {
		uint32_t id = t->id[r];

		if (there[id]) {
			visited[id] = 1;
			continue;
		}
		misses++;
		if (list.n == entries) {
			uint32_t at = hand ? hand : list.oldest;

			while (visited[at - 1]) {
				visited[at - 1] = 0;
				at = list.newer[at] ? list.newer[at]
						    : list.oldest;
			}
			hand = list.newer[at];
			there[at - 1] = 0;
			list_remove(&list, at - 1);
		}
		list_push(&list, id);
		there[id] = 1;
		visited[id] = 0;
	}
	list_close(&list);
	free(there);
	free(visited);
	return misses;
}

uint64_t lru_misses(const struct trace *t, uint32_t entries)
{
	uint8_t *there = bench_alloc(t->n_distinct);
	struct list list;
	uint64_t misses = 0;

	list_open(&list, t->n_distinct);
	for (uint64_t r = 0; r < t->n_requests; r++) {
		uint32_t id = t->id[r];

		if (there[id]) {
			list_remove(&list, id);
		} else {
			misses++;
			if (list.n == entries)
				there[list_pop(&list)] = 0;
			there[id] = 1;
		}
		list_push(&list, id);
	}
	list_close(&list);
	free(there);
	return misses;
}
