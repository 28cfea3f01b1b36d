/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diff: what changed between two reports, beyond the spread of either.
 *
 * A figure changed when the ranges of its repeats do not overlap; whatever
 * overlaps may be chance and is said to be the same.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "results.h"

enum { OPTION_JSON = 256, OPTION_STRICT, OPTION_HELP };

struct figure {
	const char *name;
	const char *path[2]; /* in a repeat; the second NULL if there is none */
	bool more_is_better;
};

static const struct figure figures[] = {
	{"mops", {"mops", NULL}, true},
	{"ns_per_op", {"ns_per_op", NULL}, false},
	{"get p50", {"get_ns", "p50"}, false},
	{"get p99", {"get_ns", "p99"}, false},
	{"get p999", {"get_ns", "p999"}, false},
};

enum { N_FIGURES = sizeof figures / sizeof figures[0] };

struct change {
	const char *system, *figure;
	struct spread before, after;
	int verdict; /* 1 better, -1 worse, 0 within the spread */
};

static void usage(void)
{
	fputs("Usage: larder-bench diff [--json] [--strict] A.json B.json\n\n"
	      "Compares two reports of `larder-bench compare --json`. A figure "
	      "is better or worse\nwhen the ranges of its repeats do not "
	      "overlap, and the same otherwise.\n\n"
	      "  --json    for machines\n"
	      "  --strict  exit with 1 when a figure is worse\n\n"
	      "Exit status: 0 fine, 1 failed (or worse, with --strict), 2 "
	      "wrong "
	      "usage.\n",
	      stdout);
}

static bool spread_read(const json_t *system, const struct figure *figure,
			struct spread *spread)
{
	const json_t *repeats = json_object_get(system, "repeats");
	double value[BENCH_REPEATS_MAX];
	size_t n = json_array_size(repeats);

	if (n == 0 || n > BENCH_REPEATS_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		const json_t *at = json_object_get(json_array_get(repeats, i),
						   figure->path[0]);

		if (figure->path[1])
			at = json_object_get(at, figure->path[1]);
		if (!json_is_number(at))
			return false;
		value[i] = json_number_value(at);
	}
	*spread = spread_of(value, (unsigned)n);
	return true;
}

static const json_t *system_named(const json_t *report, const char *name)
{
	const json_t *systems = json_object_get(report, "systems");

	for (size_t i = 0; i < json_array_size(systems); i++) {
		const json_t *system = json_array_get(systems, i);
		const char *its =
			json_string_value(json_object_get(system, "name"));

		if (its && !strcmp(its, name))
			return system;
	}
	return NULL;
}

static json_t *report_read(const char *path)
{
	json_error_t error;
	json_t *report = json_load_file(path, 0, &error);

	if (!report)
		bench_complain("%s: %s (line %d)", path, error.text,
			       error.line);
	else if (!json_is_array(json_object_get(report, "systems")))
		bench_complain("%s: no array `systems`: not a report of "
			       "compare --json",
			       path);
	else
		return report;
	json_decref(report);
	return NULL;
}

/* Plans or machines that differ are said; the figures are compared anyway. */
static void say_differences(const json_t *a, const json_t *b, const char *what)
{
	const json_t *x = json_object_get(a, what),
		     *y = json_object_get(b, what);
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)x, key, value)
	{
		const json_t *other = json_object_get(y, key);
		char *one, *two;

		if (!strncmp(key, "timer_", 6) || json_equal(value, other))
			continue;
		one = json_dumps(value, JSON_ENCODE_ANY);
		two = other ? json_dumps(other, JSON_ENCODE_ANY) : NULL;
		fprintf(stderr, "%s.%s: %s, then %s\n", what, key,
			one ? one : "?", two ? two : "nothing");
		free(one);
		free(two);
	}
}

static size_t compare_reports(const json_t *a, const json_t *b,
			      struct change *changes)
{
	const json_t *systems = json_object_get(a, "systems");
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(systems); i++) {
		const json_t *before = json_array_get(systems, i);
		const char *name =
			json_string_value(json_object_get(before, "name"));
		const json_t *after = name ? system_named(b, name) : NULL;

		for (unsigned k = 0; after && k < N_FIGURES; k++) {
			struct change c = {name, figures[k].name, {0}, {0}, 0};

			if (!spread_read(before, &figures[k], &c.before) ||
			    !spread_read(after, &figures[k], &c.after))
				continue;
			if (c.after.least > c.before.most)
				c.verdict = figures[k].more_is_better ? 1 : -1;
			else if (c.after.most < c.before.least)
				c.verdict = figures[k].more_is_better ? -1 : 1;
			changes[n++] = c;
		}
	}
	return n;
}

static const char *verdict_text(int verdict)
{
	return verdict > 0 ? "better" : verdict < 0 ? "worse" : "same";
}

static double ratio_of(const struct change *c)
{
	return c->before.median > 0 ? c->after.median / c->before.median : 0;
}

static void print_table(const struct change *changes, size_t n)
{
	static const char *columns[] = {"BEFORE", "SPREAD", "AFTER", "SPREAD",
					"RATIO"};
	struct table *table = table_new();

	table_column(table, "SYSTEM", false);
	table_column(table, "FIGURE", false);
	for (unsigned i = 0; i < sizeof columns / sizeof columns[0]; i++)
		table_column(table, columns[i], true);
	table_column(table, "VERDICT", false);
	for (size_t i = 0; i < n; i++) {
		const struct change *c = &changes[i];

		table_cell(table, "%s", c->system);
		table_cell(table, "%s", c->figure);
		table_cell(table, "%.4g", c->before.median);
		table_cell(table, "%.4g..%.4g", c->before.least,
			   c->before.most);
		table_cell(table, "%.4g", c->after.median);
		table_cell(table, "%.4g..%.4g", c->after.least, c->after.most);
		table_cell(table, "%.3f", ratio_of(c));
		table_cell(table, "%s", verdict_text(c->verdict));
	}
	table_print(table);
}

static int print_json(const struct change *changes, size_t n)
{
	json_t *all = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct change *c = &changes[i];

		json_array_append_new(
			all, json_pack("{s:s, s:s, s:o, s:o, s:f, s:s}",
				       "system", c->system, "figure", c->figure,
				       "before", json_of_spread(c->before),
				       "after", json_of_spread(c->after),
				       "ratio", ratio_of(c), "verdict",
				       verdict_text(c->verdict)));
	}
	return json_print(
		json_pack("{s:s, s:o}", "command", "diff", "changes", all));
}

static int diff(const json_t *a, const json_t *b, bool json, bool strict)
{
	size_t n_systems = json_array_size(json_object_get(a, "systems")), n;
	struct change *changes =
		bench_alloc(n_systems * N_FIGURES * sizeof *changes);
	int status = BENCH_OK;

	say_differences(a, b, "plan");
	say_differences(a, b, "machine");
	say_differences(a, b, "build");
	n = compare_reports(a, b, changes);
	if (!n) {
		bench_complain("no system is in both reports");
		status = BENCH_FAILED;
	} else if (json) {
		status = print_json(changes, n);
	} else {
		print_table(changes, n);
	}
	for (size_t i = 0; i < n && strict; i++)
		if (changes[i].verdict < 0)
			status = BENCH_FAILED;
	free(changes);
	return status;
}

int bench_diff(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, OPTION_JSON},
		{"strict", no_argument, NULL, OPTION_STRICT},
		{"help", no_argument, NULL, OPTION_HELP},
		{NULL, 0, NULL, 0},
	};
	bool json = false, strict = false;
	json_t *a, *b;
	int id, status = BENCH_FAILED;

	while ((id = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (id == 'h' || id == OPTION_HELP) {
			usage();
			return BENCH_OK;
		}
		if (id == '?')
			return BENCH_USAGE;
		json |= id == OPTION_JSON;
		strict |= id == OPTION_STRICT;
	}
	if (argc - optind != 2) {
		bench_complain("diff wants two reports: A.json B.json");
		return BENCH_USAGE;
	}
	a = report_read(argv[optind]);
	b = a ? report_read(argv[optind + 1]) : NULL;
	if (b)
		status = diff(a, b, json, strict);
	json_decref(a);
	json_decref(b);
	return status;
}
