/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scale: the same data, read by 1 to N processes; what the second and each
 * further one adds.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "results.h"

enum { LEVELS_MAX = 16 };

static const struct bench_command command = {
	.name = "scale",
	.usage = "[OPTION...]",
	.about = "Throughput of 1, 2, ... --processes processes on the same "
		 "data (above 4: of the powers\nof two), and the speed-up over "
		 "one. More than there are processors is allowed.",
	.defaults = "--systems larder,floor,mutex,rwlock,spinlocks --keys 1m "
		    "--key-size 16 --value-size 256 --popularity zipf:0.99 "
		    "--mix 100:0 --processes 2 --seconds 1 --repeats 5",
};

struct scale {
	unsigned n_levels;
	unsigned level[LEVELS_MAX]; /* processes */
	struct result *results;	    /* system x level */
};

static struct result *result_at(const struct scale *s, unsigned system,
				unsigned level)
{
	return &s->results[system * LEVELS_MAX + level];
}

static void choose_levels(struct scale *s, unsigned most)
{
	for (unsigned n = 1; n <= most && s->n_levels < LEVELS_MAX - 1;
	     n = n < 4 ? n + 1 : n * 2)
		s->level[s->n_levels++] = n;
	if (s->level[s->n_levels - 1] != most)
		s->level[s->n_levels++] = most;
}

static bool run(const struct bench_options *o, struct scale *s)
{
	struct engine *engine;
	struct bench_progress progress;
	struct turn *turn = bench_alloc(sizeof *turn);
	bool fine = true;

	if (!engine_start(&o->plan, o->systems, o->n_systems, &engine)) {
		free(turn);
		return false;
	}
	bench_progress_begin(&progress, "measuring",
			     o->plan.repeats * o->n_systems * s->n_levels);
	for (unsigned r = 0; r < o->plan.repeats; r++)
		for (unsigned k = 0; k < s->n_levels; k++)
			for (unsigned i = 0; i < o->n_systems && fine; i++) {
				bench_progress_step(&progress,
						    o->systems[i]->name);
				fine = engine_turn(
					engine, i,
					s->level[k] * o->plan.threads, turn);
				if (fine)
					result_add(result_at(s, i, k), turn);
			}
	bench_progress_end(&progress);
	engine_stop(engine);
	free(turn);
	return fine;
}

static struct spread speed_up(const struct scale *s, unsigned system,
			      unsigned level)
{
	const struct result *one = result_at(s, system, 0);
	const struct result *many = result_at(s, system, level);

	return spread_of_ratio(many->mops, one->mops, one->n);
}

static int print_json(const struct bench_options *o, const struct scale *s)
{
	json_t *systems = json_array();

	for (unsigned i = 0; i < o->n_systems; i++) {
		json_t *levels = json_array();

		for (unsigned k = 0; k < s->n_levels; k++) {
			const struct result *r = result_at(s, i, k);

			json_array_append_new(
				levels,
				json_pack(
					"{s:i, s:o, s:o, s:o, s:o}",
					"processes", (int)s->level[k], "mops",
					json_of_spread(
						spread_of(r->mops, r->n)),
					"ns_per_op",
					json_of_spread(spread_of(r->ns, r->n)),
					"speed_up",
					json_of_spread(speed_up(s, i, k)),
					"get_ns", json_of_latency(&r->get)));
		}
		json_array_append_new(systems, json_pack("{s:s, s:o}", "name",
							 o->systems[i]->name,
							 "levels", levels));
	}
	return json_print(json_pack(
		"{s:s, s:o, s:o, s:o, s:o}", "command", "scale", "machine",
		json_of_machine(), "build", json_of_build(), "plan",
		json_of_plan(&o->plan), "systems", systems));
}

static void print_csv(const struct bench_options *o, const struct scale *s)
{
	puts("system,processes,repeat,mops,ns_per_op,get_p50_ns,get_p99_ns,"
	     "get_p999_ns");
	for (unsigned i = 0; i < o->n_systems; i++)
		for (unsigned k = 0; k < s->n_levels; k++) {
			const struct result *r = result_at(s, i, k);

			for (unsigned n = 0; n < r->n; n++)
				printf("%s,%u,%u,%.6g,%.6g,%.0f,%.0f,%.0f\n",
				       o->systems[i]->name, s->level[k], n + 1,
				       r->mops[n], r->ns[n], r->p50[n],
				       r->p99[n], r->p999[n]);
		}
}

static void print_table(const struct bench_options *o, const struct scale *s)
{
	static const char *columns[] = {"PROCESSES", "MOPS",	 "SPREAD",
					"NS/OP",     "SPEED-UP", "SPREAD",
					"P50",	     "P99",	 "P99.9"};
	struct table *table = table_new();
	char text[16];

	table_column(table, "SYSTEM", false);
	for (unsigned i = 0; i < sizeof columns / sizeof columns[0]; i++)
		table_column(table, columns[i], true);
	for (unsigned i = 0; i < o->n_systems; i++)
		for (unsigned k = 0; k < s->n_levels; k++) {
			const struct result *r = result_at(s, i, k);
			struct spread mops = spread_of(r->mops, r->n);
			struct spread up = speed_up(s, i, k);

			table_cell(table, "%s", o->systems[i]->name);
			table_cell(table, "%u", s->level[k]);
			table_cell(table, "%.3f", mops.median);
			table_cell(table, "%.3f..%.3f", mops.least, mops.most);
			table_cell(table, "%.1f",
				   spread_of(r->ns, r->n).median);
			table_cell(table, "%.2f", up.median);
			table_cell(table, "%.2f..%.2f", up.least, up.most);
			table_cell(table, "%s",
				   text_of_ns(latency_quantile(&r->get, 0.5),
					      text));
			table_cell(table, "%s",
				   text_of_ns(latency_quantile(&r->get, 0.99),
					      text));
			table_cell(table, "%s",
				   text_of_ns(latency_quantile(&r->get, 0.999),
					      text));
		}
	table_print(table);
}

static bool plot(const struct bench_options *o, const struct scale *s)
{
	struct plot drawing;
	FILE *to = plot_begin(&drawing);

	if (!to)
		return false;
	fputs("set title 'Throughput by processes'\n"
	      "set xlabel 'processes'\nset grid\nset key outside\n"
	      "set ylabel 'million operations a second'\nset yrange [0:*]\n",
	      to);
	for (unsigned i = 0; i < o->n_systems; i++) {
		fprintf(to, "$data%u << EOD\n", i);
		for (unsigned k = 0; k < s->n_levels; k++) {
			const struct result *r = result_at(s, i, k);
			struct spread mops = spread_of(r->mops, r->n);

			fprintf(to, "%u %g %g %g\n", s->level[k], mops.median,
				mops.least, mops.most);
		}
		fputs("EOD\n", to);
	}
	fputs("plot ", to);
	for (unsigned i = 0; i < o->n_systems; i++)
		fprintf(to,
			"%s$data%u using 1:2:3:4 with yerrorlines lw 2 pt 7 "
			"ps 0.5 title '%s'",
			i ? ", " : "", i, o->systems[i]->name);
	fputc('\n', to);
	return plot_end(&drawing, o->plot);
}

int bench_scale(int argc, char **argv)
{
	struct bench_options o;
	struct scale s = {0};
	int status;

	if (bench_options_parse(&command, argc, argv, &o, &status))
		return status;
	choose_levels(&s, o.plan.processes);
	s.results = bench_alloc(o.n_systems * LEVELS_MAX * sizeof *s.results);
	if (!run(&o, &s)) {
		free(s.results);
		return BENCH_FAILED;
	}
	if (o.json) {
		status = print_json(&o, &s);
	} else if (o.csv) {
		print_csv(&o, &s);
	} else {
		print_machine(stdout);
		print_table(&o, &s);
	}
	if (o.plot && !plot(&o, &s))
		status = BENCH_FAILED;
	free(s.results);
	return status;
}
