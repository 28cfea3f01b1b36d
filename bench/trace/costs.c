/* SPDX-License-Identifier: Apache-2.0 */
/*
 * costs FILE...: computing time that an eviction policy saves when results
 * differ in what they cost.
 *
 * Every key of a trace gets a cost from a lognormal distribution (median one
 * millisecond), by its number alone: popular keys are neither dearer nor
 * cheaper. The library replays the trace once with each of its policies, and
 * what all misses cost together is compared.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <larder/larder.h>

#include "commands.h"
#include "options.h"
#include "results.h"
#include "trace/trace.h"

enum { N_POLICIES = 2, N_SIZES = 2, FILES_MAX = 64 };

static const struct bench_command command = {
	.name = "costs",
	.usage = "[OPTION...] FILE...",
	.about = "Computing time of all misses with the library's default "
		 "policy and with its cost-aware\none, on recorded requests "
		 "whose keys cost differently: lognormal, with a median of a\n"
		 "millisecond and a sigma of 1 and of 2. Entries are 1 and 10 "
		 "% of the distinct keys. Of\nthe options, --seed, --json, "
		 "--csv have a meaning here.",
	.defaults = "--systems larder",
	.max_operands = FILES_MAX,
};

static const struct {
	const char *name;
	unsigned policy;
} policies[N_POLICIES] = {
	{"fin", LARDER_POLICY_FIN},
	{"cost", LARDER_POLICY_COST},
};
static const double shares[N_SIZES] = {0.01, 0.1};
static const double sigmas[] = {1, 2};
enum { N_SIGMAS = sizeof sigmas / sizeof sigmas[0] };

struct row {
	char *trace;
	double sigma;
	uint32_t entries;
	uint64_t n_requests;
	double every_ns; /* if nothing were cached */
	struct library_run run[N_POLICIES];
};

/* Two numbers from 0 to 1 make one that is normally distributed (Box and
 * Muller 1958). */
static uint64_t cost_of(uint64_t id, uint64_t seed, double sigma)
{
	double u = ((double)(bench_mix(seed + id * 2) >> 11) + 0.5) * 0x1p-53;
	double v =
		((double)(bench_mix(seed + id * 2 + 1) >> 11) + 0.5) * 0x1p-53;

	return (uint64_t)(1e6 *
			  exp(sigma * sqrt(-2 * log(u)) * cos(2 * M_PI * v)));
}

static double price(struct trace *t, uint64_t seed, double sigma)
{
	double sum = 0;

	for (uint32_t id = 0; id < t->n_distinct; id++)
		t->cost_ns[id] = cost_of(id, seed, sigma);
	for (uint64_t r = 0; r < t->n_requests; r++)
		sum += (double)t->cost_ns[t->id[r]];
	return sum;
}

static bool run_trace(const struct bench_options *o, struct trace *t,
		      struct row *rows, unsigned *n_rows,
		      struct bench_progress *progress)
{
	t->cost_ns = bench_alloc(t->n_distinct * sizeof *t->cost_ns);
	for (unsigned s = 0; s < N_SIGMAS; s++) {
		double every_ns = price(t, o->plan.seed, sigmas[s]);

		for (unsigned k = 0; k < N_SIZES; k++) {
			struct row *row = &rows[*n_rows];
			double n = shares[k] * t->n_distinct;

			*row = (struct row){.trace = strdup(t->name),
					    .sigma = sigmas[s],
					    .entries = n < 1 ? 1 : (uint32_t)n,
					    .n_requests = t->n_requests,
					    .every_ns = every_ns};
			++*n_rows;
			for (unsigned p = 0; p < N_POLICIES; p++) {
				bench_progress_step(progress, t->name);
				if (bench_interrupted() ||
				    !library_run(t, row->entries,
						 policies[p].policy,
						 &row->run[p]))
					return false;
			}
		}
	}
	return true;
}

static double share(const struct row *row, unsigned p)
{
	return (double)row->run[p].computed_ns / row->every_ns;
}

static double misses(const struct row *row, unsigned p)
{
	return (double)row->run[p].misses / (double)row->n_requests;
}

/* Geometric mean, over the rows, of the second policy's cost to the first's. */
static double mean_ratio(const struct row *rows, unsigned n_rows)
{
	double logs = 0;

	for (unsigned i = 0; i < n_rows; i++)
		logs += log(share(&rows[i], 1) / share(&rows[i], 0));
	return n_rows ? exp(logs / n_rows) : 0;
}

static int print_json(const struct row *rows, unsigned n_rows)
{
	json_t *cells = json_array();

	for (unsigned i = 0; i < n_rows; i++) {
		json_t *cell = json_pack(
			"{s:s, s:f, s:I}", "trace", rows[i].trace, "sigma",
			rows[i].sigma, "entries", (json_int_t)rows[i].entries);

		for (unsigned p = 0; p < N_POLICIES; p++)
			json_object_set_new(
				cell, policies[p].name,
				json_pack("{s:f, s:f}", "miss_ratio",
					  misses(&rows[i], p), "cost_ratio",
					  share(&rows[i], p)));
		json_array_append_new(cells, cell);
	}
	return json_print(json_pack("{s:s, s:o, s:o, s:o, s:f}", "command",
				    "costs", "machine", json_of_machine(),
				    "build", json_of_build(), "cells", cells,
				    "cost_to_fin", mean_ratio(rows, n_rows)));
}

static void print_csv(const struct row *rows, unsigned n_rows)
{
	puts("trace,sigma,entries,policy,miss_ratio,cost_ratio");
	for (unsigned i = 0; i < n_rows; i++)
		for (unsigned p = 0; p < N_POLICIES; p++)
			printf("%s,%g,%u,%s,%.6f,%.6f\n", rows[i].trace,
			       rows[i].sigma, rows[i].entries, policies[p].name,
			       misses(&rows[i], p), share(&rows[i], p));
}

static void print_table(const struct row *rows, unsigned n_rows)
{
	static const char *const columns[] = {
		"SIGMA",     "ENTRIES",	   "MISSES, FIN", "MISSES, COST",
		"TIME, FIN", "TIME, COST", "COST TO FIN"};
	struct table *table = table_new();

	puts("Share of requests that missed, and of the time that computing "
	     "every one would take:\n");
	table_column(table, "TRACE", false);
	for (unsigned i = 0; i < sizeof columns / sizeof columns[0]; i++)
		table_column(table, columns[i], true);
	for (unsigned i = 0; i < n_rows; i++) {
		table_cell(table, "%s", rows[i].trace);
		table_cell(table, "%g", rows[i].sigma);
		table_cell(table, "%u", rows[i].entries);
		for (unsigned p = 0; p < N_POLICIES; p++)
			table_cell(table, "%.4f", misses(&rows[i], p));
		for (unsigned p = 0; p < N_POLICIES; p++)
			table_cell(table, "%.4f", share(&rows[i], p));
		table_cell(table, "%.3f",
			   share(&rows[i], 1) / share(&rows[i], 0));
	}
	table_print(table);
	printf("\nTime computed, cost-aware to default, geometric mean: %.3f\n",
	       mean_ratio(rows, n_rows));
}

int bench_costs(int argc, char **argv)
{
	struct bench_options o;
	struct bench_progress progress;
	struct row *rows;
	unsigned n_rows = 0;
	int status;
	bool fine = true;

	if (bench_options_parse(&command, argc, argv, &o, &status))
		return status;
	if (!o.n_operands) {
		bench_complain("which traces? Try --help.");
		return BENCH_USAGE;
	}
	rows = bench_alloc((size_t)o.n_operands * N_SIZES * N_SIGMAS *
			   sizeof *rows);
	bench_progress_begin(&progress, "replays",
			     (unsigned)o.n_operands * N_SIZES * N_SIGMAS *
				     N_POLICIES);
	for (int i = 0; i < o.n_operands && fine; i++) {
		struct trace trace;
		bool pass;

		fine = trace_read_next(o.operands[i], o.n_operands, NULL,
				       o.plan.seed, &trace, &pass) &&
		       (pass ||
			run_trace(&o, &trace, rows, &n_rows, &progress));
		trace_free(&trace);
	}
	bench_progress_end(&progress);
	if (fine && !n_rows) {
		bench_complain("none of these files is a trace");
		fine = false;
	}
	status = fine ? BENCH_OK : BENCH_FAILED;
	if (fine && o.json)
		status = print_json(rows, n_rows);
	else if (fine && o.csv)
		print_csv(rows, n_rows);
	else if (fine)
		print_table(rows, n_rows);
	for (unsigned i = 0; i < n_rows; i++)
		free(rows[i].trace);
	free(rows);
	return status;
}
