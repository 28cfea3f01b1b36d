/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ghosts: fingerprints of keys evicted lately, class included.
 *
 * Sets of eight; one is replaced by age. Age is told in 64ths of the planned
 * number of entries, by a clock that counts evictions from probation. All of it
 * is racy and lossy by intent: a wrong answer costs a promotion or a miss.
 */
#ifndef LARDER_STORE_GHOST_H
#define LARDER_STORE_GHOST_H

#include "segment/segment.h"

/* Remember. */
void larder_ghost_add(struct segment *s, uint64_t hash, unsigned class);
void larder_ghost_main_add(struct segment *s, uint64_t hash, unsigned class);

/* Ask for the line that one of these will touch. */
void larder_ghost_expect(const struct segment *s, uint64_t hash, bool main);

/* Forget and tell: the age in 64ths of the live entries, or -1. What is older
 * than one and a half times the live entries counts as forgotten. */
int larder_ghost_take(struct segment *s, uint64_t hash, unsigned class);

/* Forget and tell: was it there? */
bool larder_ghost_main_take(struct segment *s, uint64_t hash, unsigned class);

#endif
