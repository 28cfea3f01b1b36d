/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads instances of the assignment problem from standard input and prints what
 * router_solve() makes of each: "rows columns", capacities, scores; answered by
 * the number of rows placed and the sum of the scores.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <larder/router.h>

int main(void)
{
	unsigned n, m;

	while (scanf("%u %u", &n, &m) == 2) {
		double *score = calloc((size_t)n * m + 1, sizeof *score);
		uint64_t *capacity = calloc(m + 1, sizeof *capacity);
		int *column = calloc(n + 1, sizeof *column);
		double sum = 0;
		unsigned placed = 0;

		if (!score || !capacity || !column)
			return 1;
		for (unsigned k = 0; k < m; k++)
			if (scanf("%" SCNu64, &capacity[k]) != 1)
				return 1;
		for (size_t i = 0; i < (size_t)n * m; i++)
			if (scanf("%lf", &score[i]) != 1)
				return 1;
		if (router_solve(n, m, score, capacity, column))
			return 1;
		for (unsigned i = 0; i < n; i++) {
			if (column[i] < 0)
				continue;
			if (!capacity[column[i]]--)
				return 1; /* more rows than the column takes */
			sum += score[(size_t)i * m + (unsigned)column[i]];
			placed++;
		}
		printf("%u %.9f\n", placed, sum);
		free(score);
		free(capacity);
		free(column);
	}
	return 0;
}
