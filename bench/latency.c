/* SPDX-License-Identifier: Apache-2.0 */
/*
 * latency: the times of a get while others work beside it: a writer, the
 * sweeper, and workers that are killed in the middle of whatever they do.
 *
 * Conditions alternate within each repeat. The reader has a processor of its
 * own where there are two; everybody else shares the rest.
 */
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "results.h"
#include "worker.h"

enum { N_CONDITIONS = 4, KILL_MS = 20 };

static const struct condition {
	const char *name;
	struct company company;
} conditions[N_CONDITIONS] = {
	{"alone", {1, {ROLE_READ}, 0}},
	{"writer", {2, {ROLE_READ, ROLE_WRITE}, 0}},
	{"writer, sweeper", {3, {ROLE_READ, ROLE_WRITE, ROLE_SWEEP}, 0}},
	{"writer, sweeper, killer",
	 {3, {ROLE_READ, ROLE_WRITE, ROLE_SWEEP}, KILL_MS}},
};

static const struct bench_command command = {
	.name = "latency",
	.usage = "[OPTION...]",
	.about = "Times of a get: alone; beside a writer; beside a writer and "
		 "the sweeper, both at full\nspeed; and while a worker is "
		 "killed every 20 ms besides (only where a system is made\n"
		 "to survive that). --mix and --processes have no meaning "
		 "here.",
	.defaults = "--systems larder,floor --keys 1m --key-size 16 "
		    "--value-size 256 --popularity zipf:0.99 --mix 50:50 "
		    "--processes 3 --seconds 1 --sample-seconds 1 --repeats 5",
};

struct measured {
	struct result result;
	unsigned n_killed;
};

static bool applies(const struct peer *peer, unsigned condition)
{
	const struct company *c = &conditions[condition].company;

	if (c->n_workers == 3 && !peer->sweep)
		return false;
	return !c->kill_ms || (peer->flags & PEER_SURVIVES);
}

static bool run_repeat(const struct bench_options *o, struct engine *engine,
		       struct turn *turn, struct measured *all,
		       struct bench_progress *progress)
{
	for (unsigned k = 0; k < N_CONDITIONS; k++)
		for (unsigned i = 0; i < o->n_systems; i++) {
			struct measured *m = &all[i * N_CONDITIONS + k];

			if (!applies(o->systems[i], k))
				continue;
			bench_progress_step(progress, conditions[k].name);
			if (!engine_turn_company(engine, i,
						 &conditions[k].company, turn,
						 &m->n_killed))
				return false;
			result_add(&m->result, turn);
		}
	return true;
}

static bool run(const struct bench_options *o, struct measured *all)
{
	struct engine *engine;
	struct bench_progress progress;
	struct turn *turn = bench_alloc(sizeof *turn);
	unsigned n_turns = 0;
	bool fine;

	for (unsigned k = 0; k < N_CONDITIONS; k++)
		for (unsigned i = 0; i < o->n_systems; i++)
			n_turns += applies(o->systems[i], k);
	fine = engine_start(&o->plan, o->systems, o->n_systems, &engine);
	if (!fine) {
		free(turn);
		return false;
	}
	bench_progress_begin(&progress, "measuring", n_turns * o->plan.repeats);
	for (unsigned r = 0; r < o->plan.repeats && fine; r++)
		fine = run_repeat(o, engine, turn, all, &progress);
	bench_progress_end(&progress);
	engine_stop(engine);
	free(turn);
	return fine;
}

static struct spread tail_to_alone(const struct measured *all, unsigned system,
				   unsigned condition)
{
	const struct result *alone = &all[system * N_CONDITIONS].result;
	const struct result *here =
		&all[system * N_CONDITIONS + condition].result;

	return spread_of_ratio(here->p999, alone->p999, here->n);
}

static int print_json(const struct bench_options *o, const struct measured *all)
{
	json_t *systems = json_array();

	for (unsigned i = 0; i < o->n_systems; i++) {
		json_t *list = json_array();

		for (unsigned k = 0; k < N_CONDITIONS; k++) {
			const struct measured *m = &all[i * N_CONDITIONS + k];

			if (!m->result.n)
				continue;
			json_array_append_new(
				list,
				json_pack("{s:s, s:o, s:o, s:o, s:i}", "name",
					  conditions[k].name, "get_ns",
					  json_of_latency(&m->result.get),
					  "ns_per_op",
					  json_of_spread(spread_of(
						  m->result.ns, m->result.n)),
					  "p999_to_alone",
					  json_of_spread(
						  tail_to_alone(all, i, k)),
					  "killed", (int)m->n_killed));
		}
		json_array_append_new(systems, json_pack("{s:s, s:o}", "name",
							 o->systems[i]->name,
							 "conditions", list));
	}
	return json_print(json_pack(
		"{s:s, s:o, s:o, s:o, s:o}", "command", "latency", "machine",
		json_of_machine(), "build", json_of_build(), "plan",
		json_of_plan(&o->plan), "systems", systems));
}

static void print_table(const struct bench_options *o,
			const struct measured *all)
{
	static const double p[] = {0.5, 0.9, 0.99, 0.999, 0.9999};
	static const char *columns[] = {
		"NS/OP",  "P50",    "P90", "P99",
		"P99.9",  "P99.99", "MAX", "P99.9 TO ALONE",
		"SPREAD", "KILLED"};
	struct table *table = table_new();
	char text[16];

	table_column(table, "SYSTEM", false);
	table_column(table, "BESIDE", false);
	for (unsigned i = 0; i < sizeof columns / sizeof columns[0]; i++)
		table_column(table, columns[i], true);
	for (unsigned n = 0; n < o->n_systems * N_CONDITIONS; n++) {
		const struct measured *m = &all[n];
		struct spread tail =
			tail_to_alone(all, n / N_CONDITIONS, n % N_CONDITIONS);

		if (!m->result.n)
			continue;
		table_cell(table, "%s", o->systems[n / N_CONDITIONS]->name);
		table_cell(table, "%s", conditions[n % N_CONDITIONS].name);
		table_cell(table, "%.1f",
			   spread_of(m->result.ns, m->result.n).median);
		for (unsigned q = 0; q < sizeof p / sizeof p[0]; q++)
			table_cell(table, "%s",
				   text_of_ns(latency_quantile(&m->result.get,
							       p[q]),
					      text));
		table_cell(table, "%s",
			   text_of_ns((double)m->result.get.max_ns, text));
		table_cell(table, "%.2f", tail.median);
		table_cell(table, "%.2f..%.2f", tail.least, tail.most);
		table_cell(table, "%u", m->n_killed);
	}
	table_print(table);
}

static void print_csv(const struct bench_options *o, const struct measured *all)
{
	puts("system,beside,repeat,ns_per_op,get_p50_ns,get_p99_ns,get_p999_"
	     "ns");
	for (unsigned n = 0; n < o->n_systems * N_CONDITIONS; n++) {
		const struct result *r = &all[n].result;

		for (unsigned i = 0; i < r->n; i++)
			printf("%s,\"%s\",%u,%.6g,%.0f,%.0f,%.0f\n",
			       o->systems[n / N_CONDITIONS]->name,
			       conditions[n % N_CONDITIONS].name, i + 1,
			       r->ns[i], r->p50[i], r->p99[i], r->p999[i]);
	}
}

static bool plot(const struct bench_options *o, const struct measured *all)
{
	static const double p[] = {0.5,	 0.75,	0.9,   0.95,
				   0.99, 0.995, 0.999, 0.9999};
	struct plot drawing;
	FILE *to = plot_begin(&drawing);
	const char *comma = "plot ";

	if (!to)
		return false;
	fputs("set title 'Times of a get beside others'\n"
	      "set logscale xy\nset grid\nset key left top\n"
	      "set xlabel 'one operation in ... takes longer'\n"
	      "set ylabel 'nanoseconds'\nset xrange [2:20000]\n",
	      to);
	for (unsigned n = 0; n < o->n_systems * N_CONDITIONS; n++) {
		if (!all[n].result.n)
			continue;
		fprintf(to, "$data%u << EOD\n", n);
		for (unsigned q = 0; q < sizeof p / sizeof p[0]; q++)
			fprintf(to, "%g %g\n", 1 / (1 - p[q]),
				latency_quantile(&all[n].result.get, p[q]));
		fputs("EOD\n", to);
	}
	for (unsigned n = 0; n < o->n_systems * N_CONDITIONS; n++) {
		if (!all[n].result.n)
			continue;
		fprintf(to, "%s$data%u with linespoints lw 2 title '%s: %s'",
			comma, n, o->systems[n / N_CONDITIONS]->name,
			conditions[n % N_CONDITIONS].name);
		comma = ", ";
	}
	fputc('\n', to);
	return plot_end(&drawing, o->plot);
}

int bench_latency(int argc, char **argv)
{
	struct bench_options o;
	struct measured *all;
	int status;

	if (bench_options_parse(&command, argc, argv, &o, &status))
		return status;
	o.plan.processes = 3;
	o.plan.threads = 1;
	o.plan.first_alone = true;
	all = bench_alloc(o.n_systems * N_CONDITIONS * sizeof *all);
	if (!run(&o, all)) {
		free(all);
		return BENCH_FAILED;
	}
	if (o.json) {
		status = print_json(&o, all);
	} else if (o.csv) {
		print_csv(&o, all);
	} else {
		print_machine(stdout);
		print_table(&o, all);
	}
	if (o.plot && !plot(&o, all))
		status = BENCH_FAILED;
	free(all);
	return status;
}
