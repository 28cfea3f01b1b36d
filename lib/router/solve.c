/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exact assignment under column capacities: router_solve().
 *
 * Rows are added one at a time. For each, Dijkstra's search over the columns
 * with reduced costs finds the cheapest way to make room: a path row -> column
 * -> one of the rows in that column -> another column ... to a column with a
 * free place. A column of any capacity is one node; which of its rows leaves is
 * the one of least reduced cost. Costs are integers (the score times 2^32,
 * rounded, negated), so optimality is exact and ties are decided by index
 * alone.
 *
 * If places are fewer than rows, a last column of unlimited capacity takes the
 * rest at a cost that no real place can reach: as many rows as fit are placed.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <larder/router.h>

#define UNREACHED INT64_MAX
/* Scores are at most 100 x 2^32 < 2^39 and rows at most 2^11: to place one row
 * more is worth more than all rows could gain, and sums stay below 2^62. */
#define NO_PLACE_COST (INT64_C(1) << 51)

struct solver {
	unsigned n_rows, n_columns;
	int64_t *cost; /* n_rows x n_columns */
	uint64_t *free_places;
	int64_t *row_price, *column_price;
	int *column_of;		   /* of a row; -1 none */
	int *first_row, *next_row; /* rows of a column, a list */
	/* one search */
	int64_t *distance;
	int *via_row; /* the row from which the column was reached */
	bool *done;
};

static void attach(struct solver *s, int row, int column)
{
	s->column_of[row] = column;
	s->next_row[row] = s->first_row[column];
	s->first_row[column] = row;
}

static void detach(struct solver *s, int row)
{
	int *at = &s->first_row[s->column_of[row]];

	while (*at != row)
		at = &s->next_row[*at];
	*at = s->next_row[row];
	s->column_of[row] = -1;
}

static int64_t reduced(const struct solver *s, int row, unsigned column)
{
	return s->cost[(size_t)row * s->n_columns + column] -
	       s->row_price[row] - s->column_price[column];
}

/* Relax every column from a row that stands at @base. */
static void relax(struct solver *s, int row, int64_t base)
{
	const int64_t *cost = &s->cost[(size_t)row * s->n_columns];
	int64_t offset = base - s->row_price[row];

	for (unsigned k = 0; k < s->n_columns; k++) {
		int64_t d = offset + cost[k] - s->column_price[k];

		if (!s->done[k] && d < s->distance[k]) {
			s->distance[k] = d;
			s->via_row[k] = row;
		}
	}
}

/* Search from @start to the nearest column with a place. The reached columns'
 * and their rows' prices are moved so that reduced costs stay at least 0. */
static int search(struct solver *s, int start)
{
	int64_t reached;
	int target = -1;

	for (unsigned k = 0; k < s->n_columns; k++) {
		s->distance[k] = UNREACHED;
		s->done[k] = false;
	}
	relax(s, start, 0);
	for (;;) {
		int64_t best = UNREACHED;
		int next = -1;

		for (unsigned k = 0; k < s->n_columns; k++)
			if (!s->done[k] && s->distance[k] < best) {
				best = s->distance[k];
				next = (int)k;
			}
		if (next < 0)
			return -1;
		s->done[next] = true;
		if (s->free_places[next]) {
			target = next;
			reached = best;
			break;
		}
		/* Rows in this column stand at the same distance: their own
		 * edge has reduced cost 0. */
		for (int row = s->first_row[next]; row >= 0;
		     row = s->next_row[row])
			relax(s, row, best);
	}
	s->row_price[start] += reached;
	for (unsigned k = 0; k < s->n_columns; k++) {
		if (!s->done[k] || (int)k == target)
			continue;
		s->column_price[k] -= reached - s->distance[k];
		for (int row = s->first_row[k]; row >= 0;
		     row = s->next_row[row])
			s->row_price[row] += reached - s->distance[k];
	}
	return target;
}

/* Move rows along the path that ends in @target. */
static void augment(struct solver *s, int start, int target)
{
	int column = target;

	s->free_places[target]--;
	for (;;) {
		int row = s->via_row[column], left = s->column_of[row];

		if (left >= 0)
			detach(s, row);
		attach(s, row, column);
		if (row == start)
			return;
		column = left;
	}
}

static bool solver_new(struct solver *s)
{
	size_t rows = s->n_rows + 1, columns = s->n_columns + 1;

	s->cost = malloc(sizeof *s->cost * rows * columns);
	s->free_places = calloc(columns, sizeof *s->free_places);
	s->row_price = calloc(rows, sizeof *s->row_price);
	s->column_price = calloc(columns, sizeof *s->column_price);
	s->column_of = malloc(sizeof *s->column_of * rows);
	s->first_row = malloc(sizeof *s->first_row * columns);
	s->next_row = malloc(sizeof *s->next_row * rows);
	s->distance = malloc(sizeof *s->distance * columns);
	s->via_row = malloc(sizeof *s->via_row * columns);
	s->done = malloc(sizeof *s->done * columns);
	return s->cost && s->free_places && s->row_price && s->column_price &&
	       s->column_of && s->first_row && s->next_row && s->distance &&
	       s->via_row && s->done;
}

static void solver_free(struct solver *s)
{
	free(s->cost);
	free(s->free_places);
	free(s->row_price);
	free(s->column_price);
	free(s->column_of);
	free(s->first_row);
	free(s->next_row);
	free(s->distance);
	free(s->via_row);
	free(s->done);
}

int router_solve(unsigned n_rows, unsigned n_columns, const double *score,
		 const uint64_t *capacity, int *column)
{
	struct solver s = {.n_rows = n_rows, .n_columns = n_columns + 1};

	if (!solver_new(&s)) {
		solver_free(&s);
		return -ENOMEM;
	}
	for (unsigned k = 0; k < s.n_columns; k++) {
		s.first_row[k] = -1;
		s.free_places[k] = k < n_columns ? capacity[k] : n_rows;
	}
	for (unsigned i = 0; i < n_rows; i++) {
		int64_t *row = &s.cost[(size_t)i * s.n_columns], least;

		s.column_of[i] = -1;
		for (unsigned k = 0; k < n_columns; k++)
			row[k] = -(int64_t)llround(
				score[(size_t)i * n_columns + k] *
				4294967296.0);
		row[n_columns] = NO_PLACE_COST;
		/* Start from reduced costs that are at least 0. */
		least = row[0];
		for (unsigned k = 1; k < s.n_columns; k++)
			if (row[k] - s.column_price[k] < least)
				least = row[k] - s.column_price[k];
		s.row_price[i] = least;
	}
	for (unsigned i = 0; i < n_rows; i++) {
		/* Prices have moved since: reduced costs of this row may not be
		 * below 0 when its search begins. */
		int64_t least = reduced(&s, (int)i, 0);
		int target;

		for (unsigned k = 1; k < s.n_columns; k++)
			if (reduced(&s, (int)i, k) < least)
				least = reduced(&s, (int)i, k);
		s.row_price[i] += least;
		target = search(&s, (int)i);
		if (target >= 0)
			augment(&s, (int)i, target);
	}
	for (unsigned i = 0; i < n_rows; i++)
		column[i] =
			s.column_of[i] == (int)n_columns ? -1 : s.column_of[i];
	solver_free(&s);
	return 0;
}
