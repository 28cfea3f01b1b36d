/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The assignment problem as textbooks solve it: what router_solve() is measured
 * against, and checked by.
 */
#ifndef LARDER_BENCH_TEXTBOOK_H
#define LARDER_BENCH_TEXTBOOK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The greatest sum of scores that an assignment of all rows has; a column of
 * capacity c stands as c columns. The capacities must add up to n_rows or more.
 * O(rows^2 x columns), columns counted as often as they stand. False: out of
 * memory.
 */
bool textbook_solve(unsigned n_rows, unsigned n_columns, const double *score,
		    const uint64_t *capacity, double *total);

#endif
