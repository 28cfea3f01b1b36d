/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times of single operations: the timer and the histogram they go into.
 *
 * The histogram is log-linear: 64 cells for each power of two, so a quantile is
 * at most 1.6 % too high. It holds no pointer and may lie in shared memory;
 * adding is for one thread, merging for whoever comes after it.
 */
#ifndef LARDER_BENCH_TIMES_H
#define LARDER_BENCH_TIMES_H

#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

enum { LATENCY_SUB_BITS = 6, LATENCY_POWERS = 36 };
enum { LATENCY_CELLS = (LATENCY_POWERS + 1) << LATENCY_SUB_BITS };

struct latency {
	uint64_t n;
	uint64_t sum_ns;
	uint64_t max_ns;
	uint64_t cell[LATENCY_CELLS];
};

void latency_add(struct latency *l, uint64_t ns);
void latency_merge(struct latency *into, const struct latency *from);

/* The smallest time that a share @p (0..1) of all does not exceed; 0 if none
 * was added. */
double latency_quantile(const struct latency *l, double p);

/* Ticks now: nothing before is still under way, nothing after has begun. */
static inline uint64_t ticks_now(void)
{
#if defined(__x86_64__)
	uint64_t t;

	_mm_lfence();
	t = __rdtsc();
	_mm_lfence();
	return t;
#else
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
#endif
}

/* What a tick is, and what measuring nothing costs: measured at start. */
struct timer {
	double ns_per_tick;
	uint64_t cost_ticks;
};
extern struct timer bench_timer;
void bench_timer_calibrate(void);

static inline uint64_t ticks_to_ns(uint64_t ticks)
{
	ticks = ticks > bench_timer.cost_ticks ? ticks - bench_timer.cost_ticks
					       : 0;
	return (uint64_t)((double)ticks * bench_timer.ns_per_tick + 0.5);
}

#endif
