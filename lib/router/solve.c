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
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "router/router.h"

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
	int *via_row;	/* the row from which the column was reached */
	unsigned *open; /* columns not yet done, ascending */
	unsigned *done; /* the others, as they were reached */
	unsigned n_open;
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

/* The price of a row at which its best edge costs nothing. */
static int64_t price_of_row(const struct solver *s, int row)
{
	const int64_t *cost = &s->cost[(size_t)row * s->n_columns];
	int64_t least = INT64_MAX;

	for (unsigned k = 0; k < s->n_columns; k++) {
		int64_t c = cost[k] - s->column_price[k];

		least = c < least ? c : least;
	}
	return least;
}

/*
 * Relax every column that is not done from a row that stands at @base. Returns
 * the nearest of them; among equals one with a free place, which ends the
 * search, and then the first.
 */
static int relax(struct solver *s, int row, int64_t base)
{
	const int64_t *cost = &s->cost[(size_t)row * s->n_columns];
	int64_t offset = base - s->row_price[row], best = UNREACHED;
	int nearest = -1;

	for (unsigned i = 0; i < s->n_open; i++) {
		unsigned k = s->open[i];
		int64_t d = offset + cost[k] - s->column_price[k];

		if (d < s->distance[k]) {
			s->distance[k] = d;
			s->via_row[k] = row;
		} else {
			d = s->distance[k];
		}
		if (d > best)
			continue;
		if (d < best ||
		    (s->free_places[k] && !s->free_places[s->open[nearest]])) {
			best = d;
			nearest = (int)i;
		}
	}
	return nearest;
}

/* Search from @start to the nearest column with a place. The reached columns'
 * and their rows' prices are moved so that reduced costs stay at least 0. */
static int search(struct solver *s, int start)
{
	unsigned n_done = 0, target;
	int64_t reached;
	int nearest;

	s->n_open = 0;
	for (unsigned k = 0; k < s->n_columns; k++) {
		s->distance[k] = UNREACHED;
		/* A column without places leads nowhere. */
		if (s->free_places[k] || s->first_row[k] >= 0)
			s->open[s->n_open++] = k;
	}
	nearest = relax(s, start, 0);
	for (;;) {
		if (nearest < 0)
			return -1;
		target = s->open[nearest];
		reached = s->distance[target];
		if (s->free_places[target])
			break;
		/* Those that are open stay in order: which of two equal ones
		 * is taken must not depend on what was done before. */
		memmove(&s->open[nearest], &s->open[nearest + 1],
			(s->n_open - (unsigned)nearest - 1) * sizeof *s->open);
		s->n_open--;
		s->done[n_done++] = target;
		/* Rows in this column stand at the same distance: their own
		 * edge has reduced cost 0. */
		nearest = -1;
		for (int row = s->first_row[target]; row >= 0;
		     row = s->next_row[row])
			nearest = relax(s, row, reached);
	}
	s->row_price[start] += reached;
	for (unsigned i = 0; i < n_done; i++) {
		unsigned k = s->done[i];

		s->column_price[k] -= reached - s->distance[k];
		for (int row = s->first_row[k]; row >= 0;
		     row = s->next_row[row])
			s->row_price[row] += reached - s->distance[k];
	}
	return (int)target;
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

static bool solver_new(struct solver *s, struct arena *a)
{
	size_t rows = s->n_rows + 1, columns = s->n_columns + 1;

	s->cost = router_arena_take(a, sizeof *s->cost * rows * columns);
	s->free_places =
		router_arena_zeroed(a, sizeof *s->free_places * columns);
	s->row_price = router_arena_zeroed(a, sizeof *s->row_price * rows);
	s->column_price =
		router_arena_zeroed(a, sizeof *s->column_price * columns);
	s->column_of = router_arena_take(a, sizeof *s->column_of * rows);
	s->first_row = router_arena_take(a, sizeof *s->first_row * columns);
	s->next_row = router_arena_take(a, sizeof *s->next_row * rows);
	s->distance = router_arena_take(a, sizeof *s->distance * columns);
	s->via_row = router_arena_take(a, sizeof *s->via_row * columns);
	s->open = router_arena_take(a, sizeof *s->open * columns);
	s->done = router_arena_take(a, sizeof *s->done * columns);
	return s->cost && s->free_places && s->row_price && s->column_price &&
	       s->column_of && s->first_row && s->next_row && s->distance &&
	       s->via_row && s->open && s->done;
}

int router_solve_in(struct arena *a, unsigned n_rows, unsigned n_columns,
		    const double *score, const uint64_t *capacity, int *column)
{
	struct solver s = {.n_rows = n_rows, .n_columns = n_columns + 1};

	if (!solver_new(&s, a))
		return -ENOMEM;
	for (unsigned k = 0; k < s.n_columns; k++) {
		s.first_row[k] = -1;
		s.free_places[k] = k < n_columns ? capacity[k] : n_rows;
	}
	for (unsigned i = 0; i < n_rows; i++) {
		int64_t *row = &s.cost[(size_t)i * s.n_columns];

		s.column_of[i] = -1;
		for (unsigned k = 0; k < n_columns; k++)
			row[k] = -(int64_t)llround(
				score[(size_t)i * n_columns + k] *
				4294967296.0);
		row[n_columns] = NO_PLACE_COST;
	}
	for (unsigned i = 0; i < n_rows; i++) {
		int target;

		/* No reduced cost is below 0 when a search begins. */
		s.row_price[i] = price_of_row(&s, (int)i);
		target = search(&s, (int)i);
		if (target >= 0)
			augment(&s, (int)i, target);
	}
	for (unsigned i = 0; i < n_rows; i++)
		column[i] =
			s.column_of[i] == (int)n_columns ? -1 : s.column_of[i];
	return 0;
}

int router_solve(unsigned n_rows, unsigned n_columns, const double *score,
		 const uint64_t *capacity, int *column)
{
	struct arena *a = router_arena_new();
	int error = a ? router_solve_in(a, n_rows, n_columns, score, capacity,
					column)
		      : -ENOMEM;

	router_arena_free(a);
	return error;
}
