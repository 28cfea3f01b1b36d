/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compare: systems interleaved in one run on the same work.
 *
 * Each repeat gives every system one turn, in another order each time, so that
 * a machine that warms up or is disturbed meets them all alike. Ratios are
 * taken within a repeat; what is reported of them is the median, and the least
 * and greatest as the spread.
 */
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "results.h"

static const struct bench_command command = {
	.name = "compare",
	.usage = "[OPTION...]",
	.about = "Runs systems interleaved on the same work and reports "
		 "throughput, times, memory,\nand ratios to the floor and to "
		 "each other. Every value that is read is verified.",
	.defaults = "--keys 1m --key-size 16 --value-size 256 --popularity "
		    "zipf:0.99 --mix 95:5 --processes 2 --seconds 2 "
		    "--repeats 5",
};

static bool run(const struct bench_options *o, struct result *results)
{
	const struct bench_plan *plan = &o->plan;
	struct engine *engine;
	struct bench_progress progress;
	struct turn *turn = bench_alloc(sizeof *turn);
	bool fine = true;

	if (!engine_start(plan, o->systems, o->n_systems, &engine)) {
		free(turn);
		return false;
	}
	bench_progress_begin(&progress, "measuring",
			     plan->repeats * o->n_systems);
	for (unsigned r = 0; r < plan->repeats && fine; r++) {
		for (unsigned k = 0; k < o->n_systems && fine; k++) {
			unsigned i = (k + r) % o->n_systems;

			bench_progress_step(&progress, o->systems[i]->name);
			fine = engine_turn(engine, i, bench_n_workers(plan),
					   turn);
			if (fine)
				result_add(&results[i], turn);
		}
	}
	bench_progress_end(&progress);
	for (unsigned i = 0; i < o->n_systems && fine; i++) {
		results[i].memory = engine_memory(engine, i);
		results[i].huge = engine_huge(engine, i);
		results[i].load_seconds = engine_load_seconds(engine, i);
	}
	engine_stop(engine);
	free(turn);
	return fine;
}

/* ------------------------------------------------------------------ */

static json_t *per_op(const struct result *r, unsigned kind)
{
	if (!(r->counts.has & 1u << kind) || !r->n_ops)
		return json_null();
	return json_real((double)r->counts.value[kind] / (double)r->n_ops);
}

static json_t *json_of_repeats(const struct result *r)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < r->n; i++)
		json_array_append_new(
			all, json_pack("{s:f, s:f, s:{s:f, s:f, s:f}}", "mops",
				       r->mops[i], "ns_per_op", r->ns[i],
				       "get_ns", "p50", r->p50[i], "p99",
				       r->p99[i], "p999", r->p999[i]));
	return all;
}

static json_t *json_of_result(const struct bench_options *o,
			      const struct result *results, unsigned i)
{
	const struct result *r = &results[i];
	json_t *ratio = json_object();

	for (unsigned k = 0; k < o->n_systems; k++)
		if (k != i)
			json_object_set_new(
				ratio, results[k].name,
				json_of_spread(spread_of_ratio(
					r->mops, results[k].mops, r->n)));
	return json_pack(
		"{s:s, s:f, s:f, s:o, s:o, s:o, s:o, s:I, s:I, s:f, s:I, s:f, "
		"s:o, s:o, s:o, s:o}",
		"name", r->name, "mops", spread_of(r->mops, r->n).median,
		"ns_per_op", spread_of(r->ns, r->n).median, "get_ns",
		json_of_latency(&r->get), "put_ns", json_of_latency(&r->put),
		"mops_spread", json_of_spread(spread_of(r->mops, r->n)),
		"ns_spread", json_of_spread(spread_of(r->ns, r->n)),
		"memory_bytes", (json_int_t)r->memory, "huge_bytes",
		(json_int_t)r->huge, "load_seconds", r->load_seconds, "misses",
		(json_int_t)r->n_misses, "miss_ratio",
		r->n_gets ? (double)r->n_misses / (double)r->n_gets : 0.0,
		"instructions_per_op", per_op(r, COUNT_INSTRUCTIONS),
		"cache_misses_per_op", per_op(r, COUNT_CACHE_MISSES), "ratio",
		ratio, "repeats", json_of_repeats(r));
}

static int print_json(const struct bench_options *o,
		      const struct result *results)
{
	json_t *systems = json_array();

	for (unsigned i = 0; i < o->n_systems; i++)
		json_array_append_new(systems, json_of_result(o, results, i));
	return json_print(json_pack(
		"{s:s, s:o, s:o, s:o, s:o}", "command", "compare", "machine",
		json_of_machine(), "build", json_of_build(), "plan",
		json_of_plan(&o->plan), "systems", systems));
}

static void print_csv(const struct bench_options *o,
		      const struct result *results)
{
	puts("system,repeat,mops,ns_per_op,get_p50_ns,get_p99_ns,get_p999_ns,"
	     "memory_bytes");
	for (unsigned i = 0; i < o->n_systems; i++)
		for (unsigned k = 0; k < results[i].n; k++)
			printf("%s,%u,%.6g,%.6g,%.0f,%.0f,%.0f,%llu\n",
			       results[i].name, k + 1, results[i].mops[k],
			       results[i].ns[k], results[i].p50[k],
			       results[i].p99[k], results[i].p999[k],
			       (unsigned long long)results[i].memory);
}

static void count_cell(struct table *table, const struct result *r,
		       unsigned kind)
{
	if (r->counts.has & 1u << kind && r->n_ops)
		table_cell(table, "%.1f",
			   (double)r->counts.value[kind] / (double)r->n_ops);
	else
		table_cell(table, "n/a");
}

static void time_cells(struct table *table, const struct latency *l)
{
	static const double p[] = {0.5, 0.9, 0.99, 0.999, 0.9999};
	char text[16];

	for (unsigned i = 0; i < sizeof p / sizeof p[0]; i++)
		table_cell(table, "%s",
			   l->n ? text_of_ns(latency_quantile(l, p[i]), text)
				: "-");
	table_cell(table, "%s",
		   l->n ? text_of_ns((double)l->max_ns, text) : "-");
}

static void print_throughput(const struct bench_options *o,
			     const struct result *results)
{
	const struct result *floor =
		result_find(results, o->n_systems, "floor");
	const struct result *larder =
		result_find(results, o->n_systems, "larder");
	static const char *columns[] = {"MOPS",	    "SPREAD",	 "NS/OP",
					"TO FLOOR", "LARDER IS", "SPREAD",
					"INSTR/OP", "MISSES/OP", "MEMORY",
					"HUGE",	    "KEY MISSES"};
	struct table *table = table_new();
	char text[16];

	table_column(table, "SYSTEM", false);
	for (unsigned i = 0; i < sizeof columns / sizeof columns[0]; i++)
		table_column(table, columns[i], true);
	for (unsigned i = 0; i < o->n_systems; i++) {
		const struct result *r = &results[i];
		struct spread mops = spread_of(r->mops, r->n), s;

		table_cell(table, "%s", r->name);
		table_cell(table, "%.3f", mops.median);
		table_cell(table, "%.3f..%.3f", mops.least, mops.most);
		table_cell(table, "%.1f", spread_of(r->ns, r->n).median);
		if (floor)
			table_cell(
				table, "%.2f",
				spread_of_ratio(r->ns, floor->ns, r->n).median);
		else
			table_cell(table, "-");
		if (larder && larder != r) {
			s = spread_of_ratio(larder->mops, r->mops, r->n);
			table_cell(table, "%.2f x", s.median);
			table_cell(table, "%.2f..%.2f", s.least, s.most);
		} else {
			table_cell(table, "-");
			table_cell(table, "-");
		}
		count_cell(table, r, COUNT_INSTRUCTIONS);
		count_cell(table, r, COUNT_CACHE_MISSES);
		table_cell(table, "%s", text_of_bytes(r->memory, text));
		table_cell(table, "%s", text_of_bytes(r->huge, text));
		table_cell(table, "%.4f %%",
			   r->n_gets ? 100.0 * (double)r->n_misses /
					       (double)r->n_gets
				     : 0.0);
	}
	table_print(table);
}

static void print_times(const struct bench_options *o,
			const struct result *results)
{
	static const char *columns[] = {"P50",	 "P90",	   "P99",
					"P99.9", "P99.99", "MAX"};
	struct table *table = table_new();

	table_column(table, "SYSTEM", false);
	table_column(table, "CALL", false);
	for (unsigned i = 0; i < sizeof columns / sizeof columns[0]; i++)
		table_column(table, columns[i], true);
	for (unsigned i = 0; i < o->n_systems; i++) {
		if (o->plan.get_parts) {
			table_cell(table, "%s", results[i].name);
			table_cell(table, "get");
			time_cells(table, &results[i].get);
		}
		if (o->plan.put_parts) {
			table_cell(table, "%s", results[i].name);
			table_cell(table, "put");
			time_cells(table, &results[i].put);
		}
	}
	table_print(table);
}

static void print_plan(const struct bench_plan *p)
{
	print_machine(stdout);
	printf("%llu keys of %u bytes, values %s (mean %.0f), %s, %u:%u, "
	       "%u x %u workers, batch %u%s, %u x %g s, seed %llu\n\n",
	       (unsigned long long)p->n_keys, p->key_size, p->value_size,
	       p->sizes.mean, p->popularity_text, p->get_parts, p->put_parts,
	       p->processes, p->threads, p->batch,
	       p->huge ? ", huge pages" : "", p->repeats, p->seconds,
	       (unsigned long long)p->seed);
}

static bool plot(const struct bench_options *o, const struct result *results)
{
	struct plot drawing;
	FILE *to = plot_begin(&drawing);

	if (!to)
		return false;
	fprintf(to,
		"set title 'Throughput, %s, %u:%u, %u workers'\n"
		"set ylabel 'million operations a second'\n"
		"set logscale y\nset grid ytics\nset style fill solid 0.7\n"
		"set boxwidth 0.6\nset xtics rotate by -30\nunset key\n"
		"set rmargin 10\n"
		"$data << EOD\n",
		o->plan.popularity == POPULARITY_TRACE
			? "recorded requests"
			: o->plan.popularity_text,
		o->plan.get_parts, o->plan.put_parts,
		bench_n_workers(&o->plan));
	for (unsigned i = 0; i < o->n_systems; i++) {
		struct spread s = spread_of(results[i].mops, results[i].n);

		fprintf(to, "%s %g %g %g\n", results[i].name, s.median, s.least,
			s.most);
	}
	fputs("EOD\n"
	      "plot $data using 0:2:xtic(1) with boxes lc rgb '#4878a8', \\\n"
	      "  '' using 0:3:(0):($4-$3) with vectors nohead lc rgb "
	      "'#202020', \\\n"
	      "  '' using 0:4:(gprintf('%.3g', $2)) with labels offset 0,0.7\n",
	      to);
	return plot_end(&drawing, o->plot);
}

int bench_compare(int argc, char **argv)
{
	struct bench_options o;
	struct result *results;
	int status;

	if (bench_options_parse(&command, argc, argv, &o, &status))
		return status;
	results = bench_alloc(o.n_systems * sizeof *results);
	for (unsigned i = 0; i < o.n_systems; i++)
		results[i].name = o.systems[i]->name;
	if (!run(&o, results)) {
		free(results);
		return BENCH_FAILED;
	}
	if (o.json) {
		status = print_json(&o, results);
	} else if (o.csv) {
		print_csv(&o, results);
	} else {
		print_plan(&o.plan);
		print_throughput(&o, results);
		putchar('\n');
		print_times(&o, results);
	}
	if (o.plot && !plot(&o, results))
		status = BENCH_FAILED;
	free(results);
	return status;
}
