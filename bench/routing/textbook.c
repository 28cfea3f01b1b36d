/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Hungarian method with potentials, one row at a time, on a matrix whose
 * columns have been multiplied out (Kuhn 1955, Munkres 1957; in the cubic form
 * of Edmonds and Karp 1972, Tomizawa 1971). No cleverness: it is the yardstick.
 */
#include "routing/textbook.h"

#include <math.h>
#include <stdlib.h>

struct problem {
	unsigned n_rows, n_columns; /* multiplied out */
	const double *score;
	unsigned n_distinct;  /* columns before */
	unsigned *stands_for; /* column: the one that it is a copy of */
	double *of_row, *of_column;
	int *row_of;	/* column: its row, or -1 */
	int *came_from; /* column: the one before it on the path, or -1 */
	double *least;	/* column: reduced cost of the best edge to it */
	bool *reached;
};

static double cost(const struct problem *p, unsigned row, unsigned column)
{
	return -p->score[(size_t)row * p->n_distinct + p->stands_for[column]] -
	       p->of_row[row] - p->of_column[column];
}

/* Lower the potentials by @by so that one more column is reached. */
static void shift(struct problem *p, unsigned begun_with, double by)
{
	p->of_row[begun_with] += by;
	for (unsigned k = 0; k < p->n_columns; k++) {
		if (p->reached[k]) {
			p->of_row[p->row_of[k]] += by;
			p->of_column[k] -= by;
		} else {
			p->least[k] -= by;
		}
	}
}

static void assign_row(struct problem *p, unsigned begun_with)
{
	unsigned row = begun_with;
	int at = -1;

	for (unsigned k = 0; k < p->n_columns; k++) {
		p->least[k] = INFINITY;
		p->reached[k] = false;
	}
	for (;;) {
		int best = -1;

		for (unsigned k = 0; k < p->n_columns; k++) {
			double c;

			if (p->reached[k])
				continue;
			c = cost(p, row, k);
			if (c < p->least[k]) {
				p->least[k] = c;
				p->came_from[k] = at;
			}
			if (best < 0 || p->least[k] < p->least[best])
				best = (int)k;
		}
		shift(p, begun_with, p->least[best]);
		at = best;
		if (p->row_of[at] < 0)
			break;
		p->reached[at] = true;
		row = (unsigned)p->row_of[at];
	}
	for (; p->came_from[at] >= 0; at = p->came_from[at])
		p->row_of[at] = p->row_of[p->came_from[at]];
	p->row_of[at] = (int)begun_with;
}

static bool problem_make(struct problem *p, unsigned n_columns,
			 const uint64_t *capacity)
{
	size_t most = 0;

	for (unsigned k = 0; k < n_columns; k++)
		most += capacity[k] < p->n_rows ? capacity[k] : p->n_rows;
	p->n_distinct = n_columns;
	p->stands_for = calloc(most, sizeof *p->stands_for);
	p->of_row = calloc(p->n_rows, sizeof *p->of_row);
	p->of_column = calloc(most, sizeof *p->of_column);
	p->row_of = calloc(most, sizeof *p->row_of);
	p->came_from = calloc(most, sizeof *p->came_from);
	p->least = calloc(most, sizeof *p->least);
	p->reached = calloc(most, sizeof *p->reached);
	if (!p->stands_for || !p->of_row || !p->of_column || !p->row_of ||
	    !p->came_from || !p->least || !p->reached || most < p->n_rows)
		return false;
	for (unsigned k = 0; k < n_columns; k++)
		for (uint64_t i = 0; i < capacity[k] && i < p->n_rows; i++) {
			p->row_of[p->n_columns] = -1;
			p->stands_for[p->n_columns++] = k;
		}
	return true;
}

bool textbook_solve(unsigned n_rows, unsigned n_columns, const double *score,
		    const uint64_t *capacity, double *total)
{
	struct problem p = {.n_rows = n_rows, .score = score};
	bool fine = problem_make(&p, n_columns, capacity);

	for (unsigned i = 0; fine && i < n_rows; i++)
		assign_row(&p, i);
	*total = 0;
	for (unsigned k = 0; fine && k < p.n_columns; k++)
		if (p.row_of[k] >= 0)
			*total += score[(size_t)p.row_of[k] * n_columns +
					p.stands_for[k]];
	free(p.stands_for);
	free(p.of_row);
	free(p.of_column);
	free(p.row_of);
	free(p.came_from);
	free(p.least);
	free(p.reached);
	return fine;
}
