/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that forked workers share, as the cache's own segment is: a memfd,
 * aligned to 2 MiB, all of it there from the start, on huge pages on request.
 */
#ifndef LARDER_BENCH_PEERS_MAPPING_H
#define LARDER_BENCH_PEERS_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mapping {
	char *base;
	size_t n_bytes;
};

/* 0 or a negative errno. Where the kernel gives no huge pages, small ones. */
int mapping_open(struct mapping *m, size_t n_bytes, bool huge);
void mapping_close(struct mapping *m);

/* Bytes of it that are on huge pages in this process. */
uint64_t mapping_huge(const struct mapping *m);

#endif
