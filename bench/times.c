/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The histogram of times, and the timer's calibration against the clock.
 */
#include "times.h"

#include <stdlib.h>

#include "bench.h"

struct timer bench_timer = {.ns_per_tick = 1};

/* Cells 0..127 are single nanoseconds; from then on 64 to a power of two. */
static unsigned cell_of(uint64_t ns)
{
	unsigned power;

	if (ns < 2u << LATENCY_SUB_BITS)
		return (unsigned)ns;
	power = 63 - (unsigned)__builtin_clzll(ns) - LATENCY_SUB_BITS;
	if (power >= LATENCY_POWERS)
		return LATENCY_CELLS - 1;
	return (power << LATENCY_SUB_BITS) + (unsigned)(ns >> power);
}

/* The greatest time that falls into a cell. */
static uint64_t cell_end(unsigned cell)
{
	unsigned power;
	uint64_t mantissa;

	if (cell < 2u << LATENCY_SUB_BITS)
		return cell;
	power = (cell >> LATENCY_SUB_BITS) - 1;
	mantissa = (cell & ((1u << LATENCY_SUB_BITS) - 1)) +
		   (1u << LATENCY_SUB_BITS);
	return ((mantissa + 1) << power) - 1;
}

void latency_add(struct latency *l, uint64_t ns)
{
	l->n++;
	l->sum_ns += ns;
	l->cell[cell_of(ns)]++;
	if (ns > l->max_ns)
		l->max_ns = ns;
}

void latency_merge(struct latency *into, const struct latency *from)
{
	into->n += from->n;
	into->sum_ns += from->sum_ns;
	if (from->max_ns > into->max_ns)
		into->max_ns = from->max_ns;
	for (unsigned i = 0; i < LATENCY_CELLS; i++)
		into->cell[i] += from->cell[i];
}

double latency_quantile(const struct latency *l, double p)
{
	double wanted = p * (double)l->n;
	uint64_t seen = 0, end;

	if (!l->n)
		return 0;
	for (unsigned i = 0; i < LATENCY_CELLS; i++) {
		seen += l->cell[i];
		if (seen && (double)seen >= wanted) {
			end = cell_end(i);
			return (double)(end < l->max_ns ? end : l->max_ns);
		}
	}
	return (double)l->max_ns;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

void bench_timer_calibrate(void)
{
	enum { TRIES = 10001, CALIBRATE_NS = 20 * 1000 * 1000 };
	uint64_t *cost = bench_alloc(TRIES * sizeof *cost);
	uint64_t ns = bench_now_ns(), ticks = ticks_now(), now;

	do
		now = bench_now_ns();
	while (now - ns < CALIBRATE_NS);
	ticks = ticks_now() - ticks;
	bench_timer.ns_per_tick = (double)(now - ns) / (double)ticks;
	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t begun = ticks_now();

		cost[i] = ticks_now() - begun;
	}
	qsort(cost, TRIES, sizeof *cost, by_value);
	bench_timer.cost_ticks = cost[TRIES / 2];
	free(cost);
}
