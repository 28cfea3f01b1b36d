/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the processor counts, where the kernel lets it: instructions and cache
 * misses of the calling thread. Virtual machines often have no such counters;
 * then has is 0 and reports say n/a.
 */
#ifndef LARDER_BENCH_COUNTERS_H
#define LARDER_BENCH_COUNTERS_H

#include <stdint.h>

enum { COUNT_INSTRUCTIONS, COUNT_CACHE_MISSES, COUNT_KINDS };

struct counts {
	uint32_t has; /* bit i: value[i] was counted */
	uint64_t value[COUNT_KINDS];
};

struct counters {
	int fd[COUNT_KINDS];
};

void counters_open(struct counters *c);
void counters_close(struct counters *c);
void counters_read(const struct counters *c, struct counts *counts);

/* Count from @before on. */
void counters_since(const struct counters *c, const struct counts *before,
		    struct counts *difference);

#endif
