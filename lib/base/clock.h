/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Milliseconds since boot, which all processes of a machine agree on.
 *
 * The coarse clock: about 4 ns to read, a resolution of 1 to 10 ms, no system
 * call. Tests replace it to let time pass or go backwards.
 */
#ifndef LARDER_BASE_CLOCK_H
#define LARDER_BASE_CLOCK_H

#include <stdint.h>

uint64_t larder_clock_ms(void);

/* Milliseconds from @then to @now, as larder_clock_ms() tells them; 0 if @then
 * is still to come: the clock went back. Either may have wrapped below 0. */
static inline uint64_t clock_since(uint64_t now, uint64_t then)
{
	uint64_t since = now - then;

	return since >> 63 ? 0 : since;
}

/* CLOCK_MONOTONIC at full resolution. */
uint64_t larder_clock_ns(void);

/* CLOCK_REALTIME, for people. */
uint64_t larder_clock_unix_ms(void);

/* Tests only: NULL restores the real clock. */
void larder_clock_replace(uint64_t (*now_ms)(void));

#endif
