/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What turns amount to: medians and spreads over repeats, ratios of systems
 * within the same repeat, and how reports are written.
 */
#ifndef LARDER_BENCH_RESULTS_H
#define LARDER_BENCH_RESULTS_H

#include <jansson.h>
#include <stdio.h>

#include "engine.h"
#include "options.h"

struct spread {
	double median, least, most;
};

struct result {
	const char *name;
	unsigned n; /* repeats */
	double mops[BENCH_REPEATS_MAX];
	double ns[BENCH_REPEATS_MAX];
	double p50[BENCH_REPEATS_MAX], p99[BENCH_REPEATS_MAX],
		p999[BENCH_REPEATS_MAX];
	struct latency get, put;
	uint64_t n_ops, n_gets, n_misses;
	struct counts counts;
	uint64_t memory, huge;
	double load_seconds;
};

void result_add(struct result *result, const struct turn *turn);

struct spread spread_of(const double *value, unsigned n);

/* Of a to b, repeat by repeat. */
struct spread spread_of_ratio(const double *a, const double *b, unsigned n);

/* The result of that name, or NULL. */
const struct result *result_find(const struct result *results, unsigned n,
				 const char *name);

/* JSON of parts that several subcommands report. */
json_t *json_of_machine(void);
json_t *json_of_build(void);
json_t *json_of_plan(const struct bench_plan *plan);
json_t *json_of_spread(struct spread spread);
json_t *json_of_latency(const struct latency *latency);

/* Print @root (which is released); a bench exit status. */
int json_print(json_t *root);

/* One line of what was measured where, for people. */
void print_machine(FILE *to);

/* A table: columns are added, then rows of that many cells. */
struct table;
struct table *table_new(void);
void table_column(struct table *table, const char *name, bool right);
void table_cell(struct table *table, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void table_print(struct table *table); /* and release */

/* "123", "4.5 us", "12 ms". */
const char *text_of_ns(double ns, char text[16]);
const char *text_of_bytes(uint64_t n_bytes, char text[16]);

/* A plot: begin it, write a script for gnuplot that sets its data inline, and
 * have it drawn to @path. NULL, false: complained, or no memory. */
struct plot {
	char *script;
	size_t n_script;
	FILE *to;
};
FILE *plot_begin(struct plot *p);
bool plot_end(struct plot *p, const char *path);

#endif
