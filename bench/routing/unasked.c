/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a cache costs that is of no use: see unasked.h.
 *
 * A fresh router keeps the answers of the first 256 questions of a size, and
 * few of what comes after them as long as nothing repeats itself. So three
 * figures are told for each size: of those first 256 alone, which are as dear
 * as it gets; of all requests from the very first on, those included, which is
 * what a workload pays; and of as many after them, which is what it goes on
 * paying. Both routers are fresh, and of their default size.
 */
#include <stdlib.h>

#include "bench.h"
#include "results.h"
#include "routing/served.h"
#include "routing/unasked.h"
#include "rundir.h"

enum { KEPT_AT_FIRST = 256 };

/* What is measured in one go, in requests from the first to the last. */
enum part { PART_KEPT, PART_REST, PART_NEXT, N_PARTS };
/* What is told. */
enum phase { PHASE_KEPT, PHASE_FIRST, PHASE_NEXT, N_PHASES };

static const struct size {
	uint32_t n_agents, n_models;
	uint32_t n; /* requests from the first on, and then as many again */
} sizes[] = {
	{3, 5, 4000},
	{10, 5, 4000},
	{100, 50, 2000},
	{500, 100, 400},
};
enum { N_SIZES = sizeof sizes / sizeof sizes[0] };

struct row {
	double cpu_ns[2][N_PHASES][BENCH_REPEATS_MAX]; /* with, without */
	double stored[N_PHASES][BENCH_REPEATS_MAX];    /* requests */
};

struct unasked {
	const struct bench_options *o;
	struct row row[N_SIZES];
	struct bench_progress progress;
};

/* Requests of a phase. */
static uint32_t requests_of(const struct size *size, enum phase phase)
{
	return phase == PHASE_KEPT ? KEPT_AT_FIRST : size->n;
}

static void phase_name(const struct size *size, enum phase phase, char name[32])
{
	snprintf(name, 32, "%s %u", phase == PHASE_NEXT ? "next" : "first",
		 requests_of(size, phase));
}

/* @n different questions of a size, each once. */
static bool questions(struct workload *w, const struct size *size, uint32_t n,
		      uint64_t seed)
{
	*w = (struct workload){.bodies = bench_alloc(n * sizeof *w->bodies),
			       .order = bench_alloc(n * sizeof *w->order)};
	for (; w->n_bodies < n; w->n_bodies++) {
		w->order[w->n_order++] = w->n_bodies;
		if (!body_make(&w->bodies[w->n_bodies], "optimal",
			       size->n_agents, size->n_models,
			       random_next(&seed)))
			return false;
	}
	return true;
}

static bool run_turn(const struct served *s, struct workload *w, uint32_t first,
		     uint32_t n, double *cpu_ns, double *stored)
{
	uint64_t before = served_cpu_ns(s);
	struct load_result result;

	if (!served_drive(s, w, first, n, true, &result))
		return false;
	*cpu_ns += (double)(served_cpu_ns(s) - before);
	*stored += result.latency[ANSWER_MISS].n;
	load_result_free(&result);
	return true;
}

/* The requests @from to @to, to both: by turns, so that a machine whose speed
 * drifts drifts for both. */
static bool run_part(const struct served *both, struct workload *w,
		     uint32_t from, uint32_t to, double *cpu_ns, double *stored)
{
	uint32_t n_turns = to - from < 2 * KEPT_AT_FIRST ? 1 : 8;

	for (uint32_t turn = 0; turn < n_turns; turn++) {
		uint32_t first = from + (to - from) * turn / n_turns;
		uint32_t end = from + (to - from) * (turn + 1) / n_turns;

		for (unsigned k = 0; k < 2; k++) {
			unsigned side = (turn + k) % 2;

			if (!run_turn(&both[side], w, first, end - first,
				      &cpu_ns[side], &stored[side]))
				return false;
		}
	}
	return true;
}

static bool run_parts(const struct served *both, const struct size *size,
		      struct row *row, struct workload *w, unsigned repeat)
{
	const uint32_t from[] = {0, KEPT_AT_FIRST, size->n, 2 * size->n};
	double cpu_ns[N_PARTS][2] = {{0}}, stored[N_PARTS][2] = {{0}};

	for (enum part part = 0; part < N_PARTS; part++)
		if (!run_part(both, w, from[part], from[part + 1], cpu_ns[part],
			      stored[part]))
			return false;
	for (unsigned side = 0; side < 2; side++) {
		double kept = cpu_ns[PART_KEPT][side];

		row->cpu_ns[side][PHASE_KEPT][repeat] = kept / KEPT_AT_FIRST;
		row->cpu_ns[side][PHASE_FIRST][repeat] =
			(kept + cpu_ns[PART_REST][side]) / size->n;
		row->cpu_ns[side][PHASE_NEXT][repeat] =
			cpu_ns[PART_NEXT][side] / size->n;
	}
	row->stored[PHASE_KEPT][repeat] = stored[PART_KEPT][0];
	row->stored[PHASE_FIRST][repeat] =
		stored[PART_KEPT][0] + stored[PART_REST][0];
	row->stored[PHASE_NEXT][repeat] = stored[PART_NEXT][0];
	return true;
}

static bool run_size(struct unasked *u, unsigned which, unsigned repeat,
		     char *program)
{
	const struct size *size = &sizes[which];
	unsigned n_workers = u->o->plan.processes;
	struct served both[2] = {{0}};
	struct workload w = {0};
	bool fine = served_start(&both[0], "fresh", program, n_workers, NULL,
				 true) &&
		    served_start(&both[1], "fresh-none", program, n_workers,
				 NULL, false) &&
		    questions(&w, size, 2 * size->n,
			      u->o->plan.seed + 100 * which + repeat) &&
		    run_parts(both, size, &u->row[which], &w, repeat);

	workload_free(&w);
	for (unsigned side = 0; side < 2; side++)
		served_stop(&both[side]);
	return fine;
}

struct unasked *unasked_measure(const struct bench_options *o, char *program)
{
	struct unasked *u = bench_alloc(sizeof *u);
	bool fine = true;

	u->o = o;
	bench_progress_begin(&u->progress, "turns", o->plan.repeats * N_SIZES);
	for (unsigned i = 0; i < o->plan.repeats; i++)
		for (unsigned k = 0; k < N_SIZES && fine; k++) {
			bench_progress_step(&u->progress, "new questions");
			fine = !bench_interrupted() &&
			       run_size(u, k, i, program);
		}
	bench_progress_end(&u->progress);
	if (fine)
		return u;
	unasked_free(u);
	return NULL;
}

void unasked_free(struct unasked *u)
{
	free(u);
}

/* ------------------------------------------------------------------ */

static struct spread times(const struct unasked *u, unsigned which,
			   unsigned side, enum phase phase)
{
	return spread_of(u->row[which].cpu_ns[side][phase], u->o->plan.repeats);
}

static struct spread ratio(const struct unasked *u, unsigned which,
			   enum phase phase)
{
	return spread_of_ratio(u->row[which].cpu_ns[0][phase],
			       u->row[which].cpu_ns[1][phase],
			       u->o->plan.repeats);
}

static struct spread stored(const struct unasked *u, unsigned which,
			    enum phase phase)
{
	return spread_of(u->row[which].stored[phase], u->o->plan.repeats);
}

json_t *unasked_json(const struct unasked *u)
{
	json_t *all = json_array();

	for (unsigned k = 0; k < N_SIZES; k++) {
		json_t *phases = json_array();

		for (enum phase p = 0; p < N_PHASES; p++) {
			char name[32];

			phase_name(&sizes[k], p, name);
			json_array_append_new(
				phases,
				json_pack("{s:s, s:i, s:o, s:o, s:o, s:o}",
					  "name", name, "requests",
					  (int)requests_of(&sizes[k], p),
					  "stored",
					  json_of_spread(stored(u, k, p)),
					  "cpu_ns",
					  json_of_spread(times(u, k, 0, p)),
					  "no_cache_cpu_ns",
					  json_of_spread(times(u, k, 1, p)),
					  "ratio",
					  json_of_spread(ratio(u, k, p))));
		}
		json_array_append_new(
			all,
			json_pack("{s:i, s:i, s:o}", "agents",
				  (int)sizes[k].n_agents, "models",
				  (int)sizes[k].n_models, "phases", phases));
	}
	return all;
}

void unasked_print(const struct unasked *u)
{
	static const char *const columns[] = {
		"REQUESTS", "STORED", "CPU/REQUEST", "NO CACHE", "RATIO"};
	struct table *table = table_new();
	char name[32], with[16], without[16];

	puts("\nQuestions that come once, to fresh servers, processor time "
	     "with the cache and without:\n");
	table_column(table, "OPTIMAL", false);
	for (unsigned i = 0; i < sizeof columns / sizeof columns[0]; i++)
		table_column(table, columns[i], true);
	for (unsigned k = 0; k < N_SIZES; k++)
		for (enum phase p = 0; p < N_PHASES; p++) {
			struct spread s = ratio(u, k, p);

			phase_name(&sizes[k], p, name);
			table_cell(table, "%u x %u", sizes[k].n_agents,
				   sizes[k].n_models);
			table_cell(table, "%s", name);
			table_cell(table, "%.0f", stored(u, k, p).median);
			table_cell(table, "%s",
				   text_of_ns(times(u, k, 0, p).median, with));
			table_cell(
				table, "%s",
				text_of_ns(times(u, k, 1, p).median, without));
			table_cell(table, "%.3f (%.3f..%.3f)", s.median,
				   s.least, s.most);
		}
	table_print(table);
}

void unasked_print_csv(const struct unasked *u)
{
	char name[32];

	for (unsigned k = 0; k < N_SIZES; k++)
		for (enum phase p = 0; p < N_PHASES; p++)
			for (unsigned i = 0; i < u->o->plan.repeats; i++)
				for (unsigned side = 0; side < 2; side++) {
					phase_name(&sizes[k], p, name);
					printf("\"new %u x %u, %s%s\",%u,%.0f,"
					       "\n",
					       sizes[k].n_agents,
					       sizes[k].n_models, name,
					       side ? ", no cache" : "", i + 1,
					       u->row[k].cpu_ns[side][p][i]);
				}
}
