/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Marks: one bit a unit says which objects of a class a hand goes over, one
 * array for each part of a class (probation, main).
 */
#ifndef LARDER_STORE_MARKS_H
#define LARDER_STORE_MARKS_H

#include "worker/worker.h"

/* The next unit at or after @from in the class's pages whose bit is set, around
 * once; 0 if there is none. */
uint32_t larder_marks_next(const struct segment *s, unsigned class,
			   const atomic_u64 *bits, uint32_t from);

/*
 * A hand is at @unit: ask for the entries that it meets next, and for the
 * groups of those that it meets soon. An eviction waits for two lines that
 * depend on each other, and a batch of evictions for those of one entry after
 * the other. Pinned. A hint.
 */
void larder_marks_ahead(struct worker *w, unsigned class,
			const atomic_u64 *bits, uint32_t unit);

#endif
