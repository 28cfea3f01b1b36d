/* SPDX-License-Identifier: Apache-2.0 */
/*
 * router: larder-router as its clients meet it, over HTTP on Unix sockets.
 *
 * Three servers: the router with the cache, the same without, and one that
 * answers a constant of the same size; and pairs of fresh ones for questions
 * that come once (unasked.h). Cases are pairs of a server and a
 * workload, run turn by turn within each repeat. A closed loop tells what a
 * request costs in processor time of the server's processes, which a crowded
 * machine disturbs least; an open loop, whose requests are due at random times
 * and whose times count from when they were due, tells what clients wait.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <larder/router.h>

#include "commands.h"
#include "results.h"
#include "routing/constant.h"
#include "routing/served.h"
#include "routing/unasked.h"
#include "rundir.h"

enum { HOT = 50, N_RATES = 3 };

static const struct bench_command command = {
	.name = "router",
	.usage = "[OPTION...] [LARDER_ROUTER]",
	.about = "Requests to larder-router with the cache and without, and to "
		 "a server that answers a\nconstant: processor time a request "
		 "in a closed loop, of questions that are asked again\nand, on "
		 "fresh servers, of such as come once; response times in an "
		 "open loop at 50, 90\nand 150 % of what the router without "
		 "cache can do. The program is looked for beside\nthis one. Of "
		 "the options, --processes (workers), --seconds (of each turn "
		 "of the open\nloop), --repeats, --seed, --json, --csv and "
		 "--plot have a meaning here.",
	.defaults = "--systems larder --processes 2 --seconds 2 --repeats 5",
	.max_operands = 1,
};

enum server { CONSTANT, WITH, WITHOUT, N_SERVERS };
static const char *const server_names[N_SERVERS] = {"constant", "with",
						    "without"};

/* What is asked: the same few questions again and again, or new ones. */
enum { N_CASES = 6 };
static const struct kase {
	const char *name;
	enum server server;
	enum shape shape;
	bool distinct;
	uint32_t n; /* requests a repeat */
} cases[N_CASES] = {
	{"constant body", CONSTANT, SHAPE_LARGE, false, 2000},
	{"hit", WITH, SHAPE_LARGE, false, 2000},
	{"no cache", WITHOUT, SHAPE_LARGE, false, 400},
	{"bypass", WITH, SHAPE_SMALL, true, 4000},
	{"no cache, small", WITHOUT, SHAPE_SMALL, true, 4000},
	{"constant, small", CONSTANT, SHAPE_SMALL, true, 4000},
};
enum { CONSTANT_BODY, HIT, NO_CACHE, BYPASS, NO_CACHE_SMALL };

/* The questions that matter, as ratios of processor time. */
enum { N_RATIOS = 3 };
static const struct {
	const char *name;
	unsigned of, to;
} ratios[N_RATIOS] = {
	{"hit to constant body", HIT, CONSTANT_BODY},
	{"no cache to hit", NO_CACHE, HIT},
	{"bypass to no cache", BYPASS, NO_CACHE_SMALL},
};

static const double rates[N_RATES] = {0.5, 0.9, 1.5};

struct closed {
	double cpu_ns[BENCH_REPEATS_MAX]; /* a request */
	double wall_ns[BENCH_REPEATS_MAX];
	struct samples latency;
};
struct open {
	double per_second; /* intended */
	struct samples latency;
	uint64_t n_requests, n_late, n_hits;
};

struct run {
	const struct bench_options *o;
	struct served server[N_SERVERS];
	struct unasked *unasked;
	char *body; /* of the constant server */
	size_t n_body;
	struct closed closed[N_CASES];
	struct open open[N_RATES][2]; /* with, without */
	struct bench_progress progress;
};

/* ------------------------------------------------------------------ */

/* A true answer to a question of that shape. */
static bool constant_body(struct run *r)
{
	struct router_options options = {.size_of = sizeof options,
					 .never_cache = 1};
	struct router_answer answer = {0};
	struct router_error error;
	struct router_work *work;
	struct router *router;
	struct workload w;
	int result = -ENOMEM;

	if (!workload_make(&w, SHAPE_LARGE, 1, 1, r->o->plan.seed))
		return false;
	if (!router_open(NULL, &options, &router)) {
		result = router_answer_begin(router, w.bodies[0].text,
					     w.bodies[0].n_text, &answer, &work,
					     &error);
		router_close(router);
	}
	workload_free(&w);
	r->body = answer.body;
	r->n_body = answer.n_body;
	if (result)
		bench_complain("an answer: %s", bench_error(result));
	return result == 0;
}

static bool servers_start(struct run *r, char *program)
{
	unsigned n_workers = r->o->plan.processes;
	struct served *constant = &r->server[CONSTANT];
	char size[] = "256M";

	return constant_body(r) && served_place(constant, "constant") &&
	       served_ready(constant,
			    constant_start(constant->path, r->body, r->n_body),
			    "constant") &&
	       served_start(&r->server[WITH], "with", program, n_workers, size,
			    true) &&
	       served_start(&r->server[WITHOUT], "without", program, n_workers,
			    size, false);
}

static void servers_stop(struct run *r)
{
	for (enum server i = 0; i < N_SERVERS; i++)
		served_stop(&r->server[i]);
	free(r->body);
}

/* ------------------------------------------------------------------ */

static bool drive(struct run *r, enum server server, struct workload *w,
		  struct load_result *result)
{
	return served_drive(&r->server[server], w, 0, w->n_order,
			    server != CONSTANT, result);
}

/* Every answer's kind must be what the case is about. */
static bool as_meant(const struct kase *k, const struct load_result *result)
{
	enum answer kind = k->server == WITHOUT ? ANSWER_BYPASS
			   : k->shape == SHAPE_SMALL && k->server == WITH
				   ? ANSWER_BYPASS
				   : ANSWER_HIT;

	if (result->latency[kind].n == result->n_requests)
		return true;
	bench_complain("%s: %u of %llu answers were '%s'; another kind in "
		       "between spoils the figure",
		       k->name, result->latency[kind].n,
		       (unsigned long long)result->n_requests,
		       answer_names[kind]);
	return false;
}

static bool run_case(struct run *r, unsigned which, unsigned repeat)
{
	const struct kase *k = &cases[which];
	struct closed *c = &r->closed[which];
	/* Small new questions to both: the same ones in one repeat. */
	uint64_t seed = r->o->plan.seed + (k->distinct ? 1000 + repeat : 0);
	struct load_result result;
	struct workload w;
	uint64_t cpu;
	bool fine;

	bench_progress_step(&r->progress, k->name);
	if (!workload_make(&w, k->shape, k->n, k->distinct ? k->n : HOT, seed))
		return false;
	/* Unmeasured: connections, caches, and what shall be hits. */
	if (!k->distinct && !repeat) {
		struct workload all;

		fine = workload_make(&all, k->shape, HOT, HOT, seed) &&
		       drive(r, k->server, &all, &result);
		if (fine)
			load_result_free(&result);
		workload_free(&all);
		if (!fine)
			return false;
	}
	cpu = served_cpu_ns(&r->server[k->server]);
	fine = drive(r, k->server, &w, &result);
	cpu = served_cpu_ns(&r->server[k->server]) - cpu;
	if (fine) {
		c->cpu_ns[repeat] = (double)cpu / k->n;
		c->wall_ns[repeat] = (double)result.wall_ns / k->n;
		fine = as_meant(k, &result);
		for (unsigned i = 0; i < N_ANSWERS; i++)
			samples_merge(&c->latency, &result.latency[i]);
		load_result_free(&result);
	}
	workload_free(&w);
	return fine;
}

/* Requests that come by themselves, at random, by popularity. */
static bool run_open(struct run *r, unsigned rate, unsigned side,
		     unsigned repeat)
{
	struct open *open = &r->open[rate][side];
	double gap_ns = 1e9 / open->per_second, at = 0;
	uint32_t n = (uint32_t)(r->o->plan.seconds * open->per_second);
	uint64_t rng = r->o->plan.seed + repeat;
	struct load_result result;
	struct workload w;
	bool fine;

	bench_progress_step(&r->progress, "open loop");
	n = n < 100 ? 100 : n;
	if (!workload_make(&w, SHAPE_LARGE, n,
			   (uint32_t)(n * WORKLOAD_DISTINCT),
			   r->o->plan.seed + 5000 + repeat))
		return false;
	w.due_ns = bench_alloc(n * sizeof *w.due_ns);
	for (uint32_t i = 0; i < n; i++) {
		at -= gap_ns * log(1 - random_unit(&rng));
		w.due_ns[i] = (uint64_t)at;
	}
	fine = drive(r, side ? WITHOUT : WITH, &w, &result);
	if (fine) {
		open->n_requests += result.n_requests;
		open->n_late += result.n_late;
		open->n_hits += result.latency[ANSWER_HIT].n +
				result.latency[ANSWER_COALESCED].n;
		for (unsigned i = 0; i < N_ANSWERS; i++)
			samples_merge(&open->latency, &result.latency[i]);
		load_result_free(&result);
	}
	workload_free(&w);
	return fine;
}

static bool measure(struct run *r)
{
	unsigned n_repeats = r->o->plan.repeats;
	struct spread wall;

	bench_progress_begin(&r->progress, "turns",
			     n_repeats * (N_CASES + 2 * N_RATES));
	for (unsigned i = 0; i < n_repeats; i++)
		for (unsigned k = 0; k < N_CASES; k++)
			if (bench_interrupted() || !run_case(r, k, i))
				return false;
	wall = spread_of(r->closed[NO_CACHE].wall_ns, n_repeats);
	for (unsigned rate = 0; rate < N_RATES; rate++)
		for (unsigned side = 0; side < 2; side++)
			r->open[rate][side].per_second =
				rates[rate] * 1e9 / wall.median;
	for (unsigned i = 0; i < n_repeats; i++)
		for (unsigned rate = 0; rate < N_RATES; rate++)
			for (unsigned side = 0; side < 2; side++)
				if (bench_interrupted() ||
				    !run_open(r, rate, side, i))
					return false;
	bench_progress_end(&r->progress);
	for (unsigned k = 0; k < N_CASES; k++)
		samples_sort(&r->closed[k].latency);
	for (unsigned rate = 0; rate < N_RATES; rate++)
		for (unsigned side = 0; side < 2; side++)
			samples_sort(&r->open[rate][side].latency);
	return true;
}

/* ------------------------------------------------------------------ */

static struct spread ratio(const struct run *r, unsigned i)
{
	return spread_of_ratio(r->closed[ratios[i].of].cpu_ns,
			       r->closed[ratios[i].to].cpu_ns,
			       r->o->plan.repeats);
}

static json_t *json_of_samples(const struct samples *s)
{
	return json_pack("{s:I, s:I, s:I}", "p50",
			 (json_int_t)samples_quantile(s, 0.5), "p99",
			 (json_int_t)samples_quantile(s, 0.99), "p999",
			 (json_int_t)samples_quantile(s, 0.999));
}

static int print_json(const struct run *r)
{
	unsigned n = r->o->plan.repeats;
	json_t *closed = json_array(), *open = json_array(),
	       *all = json_object();

	for (unsigned k = 0; k < N_CASES; k++) {
		const struct closed *c = &r->closed[k];

		json_array_append_new(
			closed,
			json_pack("{s:s, s:s, s:I, s:o, s:o, s:o}", "name",
				  cases[k].name, "server",
				  server_names[cases[k].server], "requests",
				  (json_int_t)cases[k].n * n, "cpu_ns",
				  json_of_spread(spread_of(c->cpu_ns, n)),
				  "wall_ns",
				  json_of_spread(spread_of(c->wall_ns, n)),
				  "response_ns", json_of_samples(&c->latency)));
	}
	for (unsigned i = 0; i < N_RATES * 2; i++) {
		const struct open *p = &r->open[i / 2][i % 2];

		json_array_append_new(
			open, json_pack("{s:s, s:f, s:f, s:I, s:I, s:I, s:o}",
					"server", i % 2 ? "without" : "with",
					"of_capacity", rates[i / 2],
					"per_second", p->per_second, "requests",
					(json_int_t)p->n_requests, "hits",
					(json_int_t)p->n_hits, "late",
					(json_int_t)p->n_late, "response_ns",
					json_of_samples(&p->latency)));
	}
	for (unsigned i = 0; i < N_RATIOS; i++)
		json_object_set_new(all, ratios[i].name,
				    json_of_spread(ratio(r, i)));
	return json_print(json_pack(
		"{s:s, s:o, s:o, s:i, s:i, s:o, s:o, s:o, "
		"s:o}",
		"command", "router", "machine", json_of_machine(), "build",
		json_of_build(), "workers", (int)r->o->plan.processes,
		"body_bytes", (int)r->n_body, "closed", closed, "cpu_ratios",
		all, "open", open, "new", unasked_json(r->unasked)));
}

static void samples_cells(struct table *table, const struct samples *s)
{
	static const double p[] = {0.5, 0.99, 0.999};
	char text[16];

	for (unsigned i = 0; i < 3; i++)
		table_cell(table, "%s",
			   text_of_ns((double)samples_quantile(s, p[i]), text));
}

static void print_closed(const struct run *r)
{
	static const char *const columns[] = {
		"CPU/REQUEST", "SPREAD", "A SECOND", "P50", "P99", "P99.9"};
	struct table *table = table_new();
	char text[16], most[16];

	printf("Closed loop, %d connections, answers of %zu bytes:\n\n",
	       SERVED_CONNECTIONS, r->n_body);
	table_column(table, "CASE", false);
	for (unsigned i = 0; i < sizeof columns / sizeof columns[0]; i++)
		table_column(table, columns[i], true);
	for (unsigned k = 0; k < N_CASES; k++) {
		const struct closed *c = &r->closed[k];
		struct spread cpu = spread_of(c->cpu_ns, r->o->plan.repeats);
		struct spread wall = spread_of(c->wall_ns, r->o->plan.repeats);

		table_cell(table, "%s", cases[k].name);
		table_cell(table, "%s", text_of_ns(cpu.median, text));
		table_cell(table, "%s..%s", text_of_ns(cpu.least, text),
			   text_of_ns(cpu.most, most));
		table_cell(table, "%.0f", 1e9 / wall.median);
		samples_cells(table, &c->latency);
	}
	table_print(table);
	puts("\nProcessor time, repeat by repeat:\n");
	for (unsigned i = 0; i < N_RATIOS; i++) {
		struct spread s = ratio(r, i);

		printf("  %-22s %8.3f  (%.3f..%.3f)\n", ratios[i].name,
		       s.median, s.least, s.most);
	}
}

static void print_open(const struct run *r)
{
	static const char *const columns[] = {"OF CAPACITY", "A SECOND", "HITS",
					      "LATE",	     "P50",	 "P99",
					      "P99.9"};
	struct table *table = table_new();

	puts("\nOpen loop, times from the intended start (late: no connection "
	     "was free):\n");
	table_column(table, "SERVER", false);
	for (unsigned i = 0; i < sizeof columns / sizeof columns[0]; i++)
		table_column(table, columns[i], true);
	for (unsigned i = 0; i < N_RATES * 2; i++) {
		const struct open *p = &r->open[i / 2][i % 2];
		double n = (double)p->n_requests;

		table_cell(table, "%s cache", i % 2 ? "without" : "with");
		table_cell(table, "%.0f %%", 100 * rates[i / 2]);
		table_cell(table, "%.0f", p->per_second);
		table_cell(table, "%.1f %%", 100 * (double)p->n_hits / n);
		table_cell(table, "%.1f %%", 100 * (double)p->n_late / n);
		samples_cells(table, &p->latency);
	}
	table_print(table);
}

static void print_csv(const struct run *r)
{
	puts("case,repeat,cpu_ns,wall_ns");
	for (unsigned k = 0; k < N_CASES; k++)
		for (unsigned i = 0; i < r->o->plan.repeats; i++)
			printf("\"%s\",%u,%.0f,%.0f\n", cases[k].name, i + 1,
			       r->closed[k].cpu_ns[i], r->closed[k].wall_ns[i]);
	unasked_print_csv(r->unasked);
}

static bool plot(const struct run *r)
{
	static const double p[] = {0.5,	 0.75,	0.9,   0.95,
				   0.99, 0.995, 0.999, 0.9999};
	struct plot drawing;
	FILE *to = plot_begin(&drawing);

	if (!to)
		return false;
	fputs("set title 'Response times of larder-router, open loop'\n"
	      "set logscale xy\nset grid\nset key left top\n"
	      "set xlabel 'one request in ... takes longer'\n"
	      "set ylabel 'milliseconds from the intended start'\n"
	      "set xrange [2:20000]\n",
	      to);
	for (unsigned i = 0; i < N_RATES * 2; i++) {
		fprintf(to, "$data%u << EOD\n", i);
		for (unsigned q = 0; q < sizeof p / sizeof p[0]; q++)
			fprintf(to, "%g %g\n", 1 / (1 - p[q]),
				(double)samples_quantile(
					&r->open[i / 2][i % 2].latency, p[q]) /
					1e6);
		fputs("EOD\n", to);
	}
	for (unsigned i = 0; i < N_RATES * 2; i++)
		fprintf(to,
			"%s$data%u with linespoints lw 2 title '%s cache, %.0f "
			"%%'",
			i ? ", " : "plot ", i, i % 2 ? "without" : "with",
			100 * rates[i / 2]);
	fputc('\n', to);
	return plot_end(&drawing, r->o->plot);
}

int bench_router(int argc, char **argv)
{
	struct bench_options o;
	char program[600];
	struct run *r;
	int status;

	if (bench_options_parse(&command, argc, argv, &o, &status))
		return status;
	r = bench_alloc(sizeof *r);
	r->o = &o;
	if (served_find(&o, program, sizeof program))
		r->unasked = unasked_measure(&o, program);
	status = r->unasked && servers_start(r, program) && measure(r)
			 ? BENCH_OK
			 : BENCH_FAILED;
	servers_stop(r);
	rundir_remove();
	if (status == BENCH_OK && o.json) {
		status = print_json(r);
	} else if (status == BENCH_OK && o.csv) {
		print_csv(r);
	} else if (status == BENCH_OK) {
		print_machine(stdout);
		print_closed(r);
		unasked_print(r->unasked);
		print_open(r);
	}
	if (status == BENCH_OK && o.plot && !plot(r))
		status = BENCH_FAILED;
	for (unsigned k = 0; k < N_CASES; k++)
		free(r->closed[k].latency.ns);
	for (unsigned i = 0; i < N_RATES * 2; i++)
		free(r->open[i / 2][i % 2].latency.ns);
	unasked_free(r->unasked);
	free(r);
	return status;
}
