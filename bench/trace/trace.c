/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace FILE...: miss ratios of the library beside other policies, cell by
 * cell; a cell is one trace and one number of entries.
 */
#include "trace/trace.h"

#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <larder/larder.h>

#include "commands.h"
#include "results.h"

enum {
	SIZES_MAX = 32,
	POLICIES_MAX = 16,
	OPTION_SIZES = 256,
	OPTION_FORMAT,
	OPTION_POLICY,
	OPTION_MIN,
	OPTION_SEED,
	OPTION_JSON,
	OPTION_CSV,
	OPTION_PLOT,
};

const struct policy trace_policies[] = {
	{"fifo", "FIFO", fifo_misses},
	{"lru", "LRU", lru_misses},
	{"clock", "CLOCK", clock1_misses},
	{"clock2", "CLOCK-2", clock2_misses},
	{"sieve", "SIEVE", sieve_misses},
	{"s3fifo", "S3-FIFO", s3fifo_misses},
	{"wtinylfu", "W-TINYLFU", wtinylfu_misses},
	{"belady", "BELADY", belady_misses},
};
const unsigned n_trace_policies =
	sizeof trace_policies / sizeof trace_policies[0];

struct size {
	double percent;	  /* of the distinct keys; 0: absolute */
	uint64_t entries; /* if absolute */
};

struct options {
	struct size size[SIZES_MAX];
	unsigned n_sizes;
	const struct format *format;
	unsigned policy;
	const char *policy_name;
	uint64_t least; /* entries of a cell that is run */
	uint64_t seed;
	bool json, csv;
	const char *plot;
};

struct cell {
	char *trace;
	uint64_t n_requests;
	uint32_t n_distinct, entries;
	double larder, ratio[POLICIES_MAX];
};

struct cells {
	struct cell *cell;
	unsigned n;
};

static const struct {
	const char *name;
	unsigned policy;
} larder_policies[] = {
	{"fin", LARDER_POLICY_FIN},
	{"base", LARDER_POLICY_BASE},
	{"clock", LARDER_POLICY_CLOCK},
};

static void usage(void)
{
	fputs("Usage: larder-bench trace FILE... [OPTION...]\n\n"
	      "Replays recorded requests: the library itself, bounded to a "
	      "number of entries, beside\nother policies with the same number. "
	      "Prints the share of requests that missed.\nFiles may be plain "
	      "or compressed (gzip, xz, zstd, bzip2).\n\n"
	      "  --sizes S,...    entries: '1%' of the distinct keys, or a "
	      "count (default 0.1%,1%,10%)\n"
	      "  --min N          leave out cells of fewer entries (default "
	      "1)\n"
	      "  --format F       where name and content do not tell\n"
	      "  --policy P       the library's: fin (default), base, clock\n"
	      "  --seed N         of formats that are distributions\n"
	      "  --json | --csv   instead of a table\n"
	      "  --plot FILE.svg  also a plot (needs gnuplot)\n\nFormats:\n",
	      stdout);
	for (const struct format *f = trace_formats; f->name; f++)
		printf("  %-9s %s\n", f->name, f->about);
	fputs("\nFor example:\n"
	      "  larder-bench trace OLTP.lis.zst web07.trace.xz --sizes "
	      "1%,10%\n\n"
	      "Exit status: 0 fine, 1 failed, 2 wrong usage.\n",
	      stdout);
}

static bool sizes_parse(const char *text, struct options *o)
{
	char *copy = strdup(text), *rest = copy, *one;
	bool fine = copy != NULL;

	o->n_sizes = 0;
	while (fine && (one = strsep(&rest, ","))) {
		struct size *size = &o->size[o->n_sizes];
		size_t n = strlen(one);
		char *end;

		if (o->n_sizes == SIZES_MAX) {
			bench_complain("more than %d sizes", SIZES_MAX);
			fine = false;
		} else if (n && one[n - 1] == '%') {
			size->percent = strtod(one, &end);
			fine = end == one + n - 1 && size->percent > 0 &&
			       size->percent <= 100;
			if (!fine)
				bench_complain("'%s' is no share of 0%% to "
					       "100%%",
					       one);
		} else {
			size->percent = 0;
			fine = bench_count_parse("size", one, 1, UINT32_MAX - 1,
						 &size->entries);
		}
		o->n_sizes++;
	}
	free(copy);
	return fine;
}

static bool policy_parse(const char *text, struct options *o)
{
	for (unsigned i = 0;
	     i < sizeof larder_policies / sizeof larder_policies[0]; i++)
		if (!strcmp(text, larder_policies[i].name)) {
			o->policy = larder_policies[i].policy;
			o->policy_name = larder_policies[i].name;
			return true;
		}
	bench_complain("no policy '%s': there are fin, base, clock", text);
	return false;
}

/* -1: go on with the files at optind; otherwise leave with it. */
static int options_parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{"sizes", required_argument, NULL, OPTION_SIZES},
		{"format", required_argument, NULL, OPTION_FORMAT},
		{"policy", required_argument, NULL, OPTION_POLICY},
		{"min", required_argument, NULL, OPTION_MIN},
		{"seed", required_argument, NULL, OPTION_SEED},
		{"json", no_argument, NULL, OPTION_JSON},
		{"csv", no_argument, NULL, OPTION_CSV},
		{"plot", required_argument, NULL, OPTION_PLOT},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int id;
	bool fine;

	*o = (struct options){.policy = LARDER_POLICY_FIN,
			      .policy_name = "fin",
			      .least = 1,
			      .seed = 1};
	fine = sizes_parse("0.1%,1%,10%", o);
	while (fine &&
	       (id = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (id) {
		case OPTION_SIZES:
			fine = sizes_parse(optarg, o);
			break;
		case OPTION_FORMAT:
			o->format = format_named(optarg);
			fine = o->format != NULL;
			if (!fine)
				bench_complain("no format '%s'. Try --help.",
					       optarg);
			break;
		case OPTION_POLICY:
			fine = policy_parse(optarg, o);
			break;
		case OPTION_MIN:
			fine = bench_count_parse("--min", optarg, 1, UINT32_MAX,
						 &o->least);
			break;
		case OPTION_SEED:
			fine = bench_count_parse("--seed", optarg, 0,
						 UINT64_MAX, &o->seed);
			break;
		case OPTION_JSON:
			o->json = true;
			break;
		case OPTION_CSV:
			o->csv = true;
			break;
		case OPTION_PLOT:
			o->plot = optarg;
			break;
		case 'h':
			usage();
			return BENCH_OK;
		default:
			fine = false;
		}
	}
	if (fine && optind == argc) {
		bench_complain("which traces? Try --help.");
		fine = false;
	}
	return fine ? -1 : BENCH_USAGE;
}

static uint32_t entries_of(const struct size *size, const struct trace *t)
{
	double n = size->percent ? size->percent / 100 * t->n_distinct
				 : (double)size->entries;

	return n < 1 ? 1 : (uint32_t)n;
}

static bool run_trace(const struct options *o, const struct trace *t,
		      struct cells *cells)
{
	struct bench_progress progress;
	bool fine = true;

	bench_progress_begin(&progress, t->name,
			     o->n_sizes * (n_trace_policies + 1));
	for (unsigned i = 0; i < o->n_sizes && fine; i++) {
		struct cell *cell = &cells->cell[cells->n];
		uint32_t entries = entries_of(&o->size[i], t);
		double n = (double)t->n_requests;
		struct library_run run;

		if (entries < o->least)
			continue;
		bench_progress_step(&progress, "larder");
		fine = library_run(t, entries, o->policy, &run);
		if (!fine)
			break;
		*cell = (struct cell){.trace = strdup(t->name),
				      .n_requests = t->n_requests,
				      .n_distinct = t->n_distinct,
				      .entries = entries,
				      .larder = (double)run.misses / n};
		for (unsigned k = 0; k < n_trace_policies && fine; k++) {
			bench_progress_step(&progress, trace_policies[k].name);
			cell->ratio[k] =
				(double)trace_policies[k].misses(t, entries) /
				n;
			fine = !bench_interrupted();
		}
		cells->n++;
	}
	bench_progress_end(&progress);
	return fine;
}

/* ------------------------------------------------------------------ */
/* Reports                                                             */

static unsigned policy_index(const char *name)
{
	unsigned k = 0;

	while (strcmp(trace_policies[k].name, name) != 0)
		k++;
	return k;
}

/* Larder's misses to a policy's, over the cells that are large enough for a
 * statement: geometric mean, and the worst cell. */
struct summary {
	double mean, worst;
	unsigned n, worst_cell;
};

static struct summary summarize(const struct cells *cells, const char *policy)
{
	enum { LARGE = 1000 };
	struct summary s = {0};
	unsigned k = policy_index(policy);
	double logs = 0;

	for (unsigned i = 0; i < cells->n; i++) {
		const struct cell *c = &cells->cell[i];
		double ratio = c->larder / c->ratio[k];

		if (c->entries < LARGE)
			continue;
		logs += log(ratio);
		if (!s.n || ratio > s.worst) {
			s.worst = ratio;
			s.worst_cell = i;
		}
		s.n++;
	}
	s.mean = s.n ? exp(logs / s.n) : 0;
	return s;
}

static void print_summary(const struct cells *cells, const char *policy,
			  const char *title)
{
	struct summary s = summarize(cells, policy);

	if (s.n)
		printf("Larder's misses to %s's, %u cells of 1000 entries and "
		       "more: %.3f (geometric mean),\nat worst %.3f (%s, %u "
		       "entries)\n",
		       title, s.n, s.mean, s.worst,
		       cells->cell[s.worst_cell].trace,
		       cells->cell[s.worst_cell].entries);
}

static void print_table(const struct cells *cells)
{
	struct table *table = table_new();

	table_column(table, "TRACE", false);
	table_column(table, "REQUESTS", true);
	table_column(table, "ENTRIES", true);
	table_column(table, "LARDER", true);
	for (unsigned k = 0; k < n_trace_policies; k++)
		table_column(table, trace_policies[k].title, true);
	table_column(table, "TO S3-FIFO", true);
	for (unsigned i = 0; i < cells->n; i++) {
		const struct cell *c = &cells->cell[i];

		table_cell(table, "%s", c->trace);
		table_cell(table, "%llu", (unsigned long long)c->n_requests);
		table_cell(table, "%u", c->entries);
		table_cell(table, "%.4f", c->larder);
		for (unsigned k = 0; k < n_trace_policies; k++)
			table_cell(table, "%.4f", c->ratio[k]);
		table_cell(table, "%.3f",
			   c->larder / c->ratio[policy_index("s3fifo")]);
	}
	table_print(table);
	print_summary(cells, "s3fifo", "S3-FIFO");
	print_summary(cells, "lru", "LRU");
}

static void print_csv(const struct cells *cells)
{
	fputs("trace,requests,distinct,entries,larder", stdout);
	for (unsigned k = 0; k < n_trace_policies; k++)
		printf(",%s", trace_policies[k].name);
	putchar('\n');
	for (unsigned i = 0; i < cells->n; i++) {
		const struct cell *c = &cells->cell[i];

		printf("%s,%llu,%u,%u,%.6f", c->trace,
		       (unsigned long long)c->n_requests, c->n_distinct,
		       c->entries, c->larder);
		for (unsigned k = 0; k < n_trace_policies; k++)
			printf(",%.6f", c->ratio[k]);
		putchar('\n');
	}
}

static json_t *json_of_summary(const struct cells *cells, const char *policy)
{
	struct summary s = summarize(cells, policy);

	return json_pack("{s:i, s:f, s:f}", "cells", (int)s.n, "geometric_mean",
			 s.mean, "worst", s.worst);
}

static int print_json(const struct options *o, const struct cells *cells)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < cells->n; i++) {
		const struct cell *c = &cells->cell[i];
		json_t *ratios = json_pack("{s:f}", "larder", c->larder);

		for (unsigned k = 0; k < n_trace_policies; k++)
			json_object_set_new(ratios, trace_policies[k].name,
					    json_real(c->ratio[k]));
		json_array_append_new(
			list, json_pack("{s:s, s:I, s:I, s:I, s:o}", "trace",
					c->trace, "requests",
					(json_int_t)c->n_requests, "distinct",
					(json_int_t)c->n_distinct, "entries",
					(json_int_t)c->entries, "miss_ratio",
					ratios));
	}
	return json_print(json_pack(
		"{s:s, s:o, s:o, s:s, s:I, s:o, s:o, s:o}", "command", "trace",
		"machine", json_of_machine(), "build", json_of_build(),
		"larder_policy", o->policy_name, "seed", (json_int_t)o->seed,
		"cells", list, "to_s3fifo", json_of_summary(cells, "s3fifo"),
		"to_lru", json_of_summary(cells, "lru")));
}

/* Misses relative to LRU's: one group a cell, one bar a policy. */
static bool plot(const struct options *o, const struct cells *cells)
{
	static const char *const shown[] = {"larder", "clock2",	  "sieve",
					    "s3fifo", "wtinylfu", "belady"};
	enum { N_SHOWN = sizeof shown / sizeof shown[0] };
	unsigned lru = policy_index("lru");
	struct plot drawing;
	FILE *to = plot_begin(&drawing);

	if (!to)
		return false;
	fprintf(to,
		"set style data histograms\nset style fill solid 0.9\n"
		"set title 'Misses relative to LRU: lower is better'\n"
		"set ylabel 'misses / misses of LRU'\nset grid y\n"
		"set key outside below horizontal\nset xtics rotate by -35\n"
		"set yrange [0:*]\n$cells << EOD\n");
	for (unsigned i = 0; i < cells->n; i++) {
		const struct cell *c = &cells->cell[i];

		fprintf(to, "\"%s %u\"", c->trace, c->entries);
		for (unsigned k = 0; k < N_SHOWN; k++)
			fprintf(to, " %.5f",
				(k ? c->ratio[policy_index(shown[k])]
				   : c->larder) /
					c->ratio[lru]);
		fputc('\n', to);
	}
	fprintf(to, "EOD\nplot ");
	for (unsigned k = 0; k < N_SHOWN; k++)
		fprintf(to, "%s$cells using %u%s title '%s'", k ? ", " : "",
			k + 2, k ? "" : ":xtic(1)",
			k ? trace_policies[policy_index(shown[k])].title
			  : "Larder");
	fputc('\n', to);
	return plot_end(&drawing, o->plot);
}

int bench_trace(int argc, char **argv)
{
	struct options o;
	struct cells cells;
	int status = options_parse(argc, argv, &o);
	bool fine = true;

	if (status >= 0)
		return status;
	cells.n = 0;
	cells.cell = bench_alloc((size_t)(argc - optind) * o.n_sizes *
				 sizeof *cells.cell);
	for (int i = optind; i < argc && fine; i++) {
		struct trace trace;
		bool pass;

		fine = trace_read_next(argv[i], argc - optind, o.format, o.seed,
				       &trace, &pass) &&
		       (pass || run_trace(&o, &trace, &cells));
		trace_free(&trace);
	}
	if (fine && !cells.n) {
		bench_complain("no cell has %llu entries",
			       (unsigned long long)o.least);
		fine = false;
	}
	status = fine ? BENCH_OK : BENCH_FAILED;
	if (fine && o.json)
		status = print_json(&o, &cells);
	else if (fine && o.csv)
		print_csv(&cells);
	else if (fine)
		print_table(&cells);
	if (fine && o.plot && !plot(&o, &cells))
		status = BENCH_FAILED;
	for (unsigned i = 0; i < cells.n; i++)
		free(cells.cell[i].trace);
	free(cells.cell);
	return status;
}
