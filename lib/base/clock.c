/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clocks of clock.h. Nothing here can fail on a kernel that Debian runs on:
 * both clocks exist, and the pointers are valid.
 */
#include "base/clock.h"

#include <stddef.h>
#include <time.h>

static uint64_t (*replaced)(void);

static uint64_t read_clock(clockid_t id, uint64_t per_second)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * per_second +
	       (uint64_t)t.tv_nsec / (1000000000u / per_second);
}

uint64_t larder_clock_ms(void)
{
	if (replaced)
		return replaced();
	return read_clock(CLOCK_MONOTONIC_COARSE, 1000);
}

uint64_t larder_clock_ns(void)
{
	return read_clock(CLOCK_MONOTONIC, 1000000000);
}

uint64_t larder_clock_unix_ms(void)
{
	return read_clock(CLOCK_REALTIME, 1000);
}

void larder_clock_replace(uint64_t (*now_ms)(void))
{
	replaced = now_ms;
}
