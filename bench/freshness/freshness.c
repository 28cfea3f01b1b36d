/* SPDX-License-Identifier: Apache-2.0 */
/*
 * freshness: what never serving anything invalid costs.
 *
 * Hits with and without tags; hits beside a stream of invalidations; the
 * invalidation itself; the time in which a dead leader is followed by another.
 */
#include "freshness/freshness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <larder/larder.h>

#include "commands.h"
#include "results.h"

static const struct bench_command command = {
	.name = "freshness",
	.usage = "[OPTION...] [INVALIDATIONS_A_SECOND]",
	.about = "What freshness costs. Hits with 100 tags and without, in "
		 "pairs; hits on entries of\n50 tags beside (default) 1000 "
		 "invalidations a second of tags that none of them has,\nand "
		 "without, in pairs, over 1000 keys and over --keys; an "
		 "invalidation of a tag at\n1 k and at 1 m entries; and from "
		 "the SIGKILL of a flight's leader to another's lead,\nover "
		 "101 kills each of sleeping and of polling followers. Hits "
		 "are timed by the\nreader's processor time. Of the options, "
		 "--keys, --value-size, --seconds,\n--repeats, --json and "
		 "--csv have a meaning here.",
	.defaults = "--systems larder --keys 20k --key-size 16 --value-size "
		    "64 --popularity uniform --mix 100:0 --processes 1 "
		    "--seconds 0.25 --repeats 21",
	.max_operands = 1,
};

void figure_add(struct figures *all, const char *name, const char *unit,
		double value)
{
	struct figure *f = all->figure;

	while (f < all->figure + all->n && strcmp(f->name, name))
		f++;
	if (f == all->figure + all->n) {
		if (all->n == FRESHNESS_FIGURES)
			abort();
		all->n++;
		snprintf(f->name, sizeof f->name, "%s", name);
		f->unit = unit;
	}
	if (f->n < FRESHNESS_VALUES)
		f->value[f->n++] = value;
}

struct larder *freshness_segment(uint64_t n_bytes)
{
	struct larder_create_options create = {
		.size_of = sizeof create,
		.bytes = LARDER_SEGMENT_DEFAULT + n_bytes,
	};
	struct larder *h = NULL;
	int fd, result = larder_create_fd(&create, &fd);

	if (!result) {
		result = larder_open_fd(fd, NULL, &h);
		close(fd);
	}
	if (result)
		bench_complain("freshness: a segment of %llu bytes: %s",
			       (unsigned long long)create.bytes,
			       bench_error(result));
	return h;
}

void freshness_key(uint64_t id, char key[FRESHNESS_KEY])
{
	char text[FRESHNESS_KEY + 1];

	snprintf(text, sizeof text, "key:%012llu",
		 (unsigned long long)(id % 1000000000000));
	memcpy(key, text, FRESHNESS_KEY);
}

size_t freshness_tag(const char *kind, uint64_t id, char tag[FRESHNESS_TAG])
{
	return (size_t)snprintf(tag, FRESHNESS_TAG, "%.5s:%08u", kind,
				(uint32_t)(id % 100000000));
}

bool freshness_put(struct larder *h, uint64_t id, uint32_t n_tags,
		   uint32_t value_size)
{
	static struct larder_tag tags[LARDER_TAGS_MAX];
	static char texts[LARDER_TAGS_MAX][FRESHNESS_TAG];
	static char value[BENCH_VALUE_MAX];
	struct larder_put_options o = {
		.size_of = sizeof o, .tags = tags, .n_tags = n_tags};
	char key[FRESHNESS_KEY];
	int result;

	/* Every entry has the first tag; the others it shares with some. */
	for (uint32_t i = 0; i < n_tags; i++) {
		tags[i].text = texts[i];
		tags[i].n_text = freshness_tag(
			"tag", i ? 1 + (id * 37 + i * 101) % 20000 : 0,
			texts[i]);
	}
	freshness_key(id, key);
	result = larder_put(h, key, FRESHNESS_KEY, value, value_size, &o);
	if (result)
		bench_complain("freshness: a put: %s", larder_strerror(result));
	return !result;
}

/* ------------------------------------------------------------------ */

static bool measure(const struct freshness_plan *plan, struct figures *all)
{
	static const struct {
		const char *doing;
		bool (*run)(const struct freshness_plan *, struct figures *);
	} parts[] = {
		{"hits with tags", freshness_of_tags},
		{"hits beside invalidations", freshness_of_storm},
		{"invalidations", freshness_of_cost},
		{"deaths of leaders", freshness_of_deaths},
	};
	enum { N_PARTS = sizeof parts / sizeof parts[0] };
	struct bench_progress progress;
	bool fine = true;

	bench_progress_begin(&progress, "measuring", N_PARTS);
	for (unsigned i = 0; i < N_PARTS && fine; i++) {
		bench_progress_step(&progress, parts[i].doing);
		fine = parts[i].run(plan, all) && !bench_interrupted();
	}
	bench_progress_end(&progress);
	return fine;
}

static int print_json(const struct freshness_plan *plan,
		      const struct figures *all)
{
	json_t *figures = json_array();

	for (unsigned i = 0; i < all->n; i++) {
		const struct figure *f = &all->figure[i];

		json_array_append_new(
			figures,
			json_pack("{s:s, s:s, s:i, s:o}", "name", f->name,
				  "unit", f->unit, "values", (int)f->n,
				  "spread",
				  json_of_spread(spread_of(f->value, f->n))));
	}
	return json_print(json_pack(
		"{s:s, s:o, s:o, s:I, s:i, s:I, s:f, s:i, s:o}", "command",
		"freshness", "machine", json_of_machine(), "build",
		json_of_build(), "keys", (json_int_t)plan->n_keys, "value_size",
		(int)plan->value_size, "invalidations_per_second",
		(json_int_t)plan->rate, "seconds", plan->seconds, "repeats",
		(int)plan->repeats, "figures", figures));
}

static void print_table(const struct figures *all)
{
	static const char *columns[] = {"UNIT", "VALUES", "MEDIAN", "LEAST",
					"MOST"};
	struct table *table = table_new();

	table_column(table, "MEASURED", false);
	for (unsigned i = 0; i < sizeof columns / sizeof columns[0]; i++)
		table_column(table, columns[i], i > 0);
	for (unsigned i = 0; i < all->n; i++) {
		const struct figure *f = &all->figure[i];
		struct spread s = spread_of(f->value, f->n);

		table_cell(table, "%s", f->name);
		table_cell(table, "%s", f->unit);
		table_cell(table, "%u", f->n);
		table_cell(table, "%.4g", s.median);
		table_cell(table, "%.4g", s.least);
		table_cell(table, "%.4g", s.most);
	}
	table_print(table);
}

static void print_csv(const struct figures *all)
{
	puts("figure,unit,repeat,value");
	for (unsigned i = 0; i < all->n; i++)
		for (unsigned k = 0; k < all->figure[i].n; k++)
			printf("\"%s\",%s,%u,%.6g\n", all->figure[i].name,
			       all->figure[i].unit, k + 1,
			       all->figure[i].value[k]);
}

int bench_freshness(int argc, char **argv)
{
	struct bench_options o;
	struct freshness_plan plan = {.rate = 1000};
	struct figures *all;
	int status;

	if (bench_options_parse(&command, argc, argv, &o, &status))
		return status;
	if (o.n_operands &&
	    !bench_count_parse("invalidations a second", o.operands[0], 1,
			       1000000, &plan.rate))
		return BENCH_USAGE;
	if (o.plot) {
		bench_complain("freshness: there is no plot of it");
		return BENCH_USAGE;
	}
	plan.n_keys = o.plan.n_keys;
	plan.value_size = o.plan.sizes.max;
	plan.seconds = o.plan.seconds;
	plan.repeats = o.plan.repeats;
	all = bench_alloc(sizeof *all);
	if (!measure(&plan, all))
		status = BENCH_FAILED;
	else if (o.json)
		status = print_json(&plan, all);
	else if (o.csv)
		print_csv(all);
	else {
		print_machine(stdout);
		print_table(all);
	}
	free(all);
	return status;
}
