/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hardware counters by perf_event_open(); user space only, so that no privilege
 * is needed where the kernel is not strict.
 */
#include "counters.h"

#include <linux/perf_event.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void counters_open(struct counters *c)
{
	static const uint64_t config[COUNT_KINDS] = {
		[COUNT_INSTRUCTIONS] = PERF_COUNT_HW_INSTRUCTIONS,
		[COUNT_CACHE_MISSES] = PERF_COUNT_HW_CACHE_MISSES,
	};

	for (unsigned i = 0; i < COUNT_KINDS; i++) {
		struct perf_event_attr attr = {
			.type = PERF_TYPE_HARDWARE,
			.size = sizeof attr,
			.config = config[i],
			.exclude_kernel = 1,
			.exclude_hv = 1,
		};

		c->fd[i] = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1,
					PERF_FLAG_FD_CLOEXEC);
	}
}

void counters_close(struct counters *c)
{
	for (unsigned i = 0; i < COUNT_KINDS; i++)
		if (c->fd[i] >= 0)
			close(c->fd[i]);
}

void counters_read(const struct counters *c, struct counts *counts)
{
	memset(counts, 0, sizeof *counts);
	for (unsigned i = 0; i < COUNT_KINDS; i++)
		if (c->fd[i] >= 0 &&
		    read(c->fd[i], &counts->value[i], sizeof(uint64_t)) ==
			    (ssize_t)sizeof(uint64_t))
			counts->has |= 1u << i;
}

void counters_since(const struct counters *c, const struct counts *before,
		    struct counts *difference)
{
	counters_read(c, difference);
	difference->has &= before->has;
	for (unsigned i = 0; i < COUNT_KINDS; i++)
		difference->value[i] -= before->value[i];
}
