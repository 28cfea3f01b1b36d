/* SPDX-License-Identifier: Apache-2.0 */
/*
 * larder ages: how old entries are, and how they stand with the CLOCK. Shows at
 * a glance whether the segment is too small: then little is older than the time
 * in which things are asked for again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "json.h"
#include "table.h"

static const struct {
	uint64_t below_ms;
	const char *name;
} ages[] = {
	{1000, "1s"},	  {10000, "10s"},    {60000, "1m"},
	{600000, "10m"},  {3600000, "1h"},   {21600000, "6h"},
	{86400000, "1d"}, {604800000, "7d"}, {UINT64_MAX, "ever"},
};

enum { N_AGES = sizeof ages / sizeof ages[0] };

struct band {
	uint64_t n, n_bytes, n_main, n_invalid, n_counter[4];
};

static int survey(struct larder_inspector *in, struct band *bands)
{
	struct larder_walk_entry *e = cli_alloc(sizeof *e);
	uint64_t cursor = 0;
	int result;

	e->size_of = sizeof *e;
	while (!(result = larder_inspect_walk(in, &cursor, e))) {
		unsigned counter = 0, in_main = 0;
		struct band *b = bands;

		for (int i = 0;
		     e->info.age_ms >= ages[i].below_ms && i < N_AGES - 1; i++)
			b++;
		larder_inspect_clock(in, &counter, &in_main);
		b->n++;
		b->n_bytes += e->info.n_value;
		b->n_main += in_main;
		b->n_invalid += !e->valid;
		b->n_counter[counter & 3]++;
	}
	free(e);
	return result;
}

static void print_json(const struct band *bands)
{
	json_begin(NULL);
	json_begin_list("ages");
	for (int i = 0; i < N_AGES; i++) {
		json_begin(NULL);
		if (i < N_AGES - 1)
			json_number("below_ms", ages[i].below_ms);
		else
			json_null("below_ms");
		json_number("entries", bands[i].n);
		json_number("value_bytes", bands[i].n_bytes);
		json_number("main", bands[i].n_main);
		json_number("invalid", bands[i].n_invalid);
		json_begin_list("clock");
		for (int k = 0; k < 4; k++)
			json_number(NULL, bands[i].n_counter[k]);
		json_end_list();
		json_end();
	}
	json_end_list();
	json_end();
}

static void print_table(const struct band *bands)
{
	static const struct table_column columns[] = {
		{"YOUNGER THAN", true, false},
		{"ENTRIES", true, false},
		{"SHARE", true, false},
		{"VALUES", true, false},
		{"MAIN", true, false},
		{"NO HIT", true, false},
		{"1", true, false},
		{"2", true, false},
		{"3", true, false},
		{"INVALID", true, false},
		{0},
	};
	struct table *t = table_new(columns);
	uint64_t all = 0;

	for (int i = 0; i < N_AGES; i++)
		all += bands[i].n;
	for (int i = 0; i < N_AGES; i++) {
		const struct band *b = &bands[i];

		table_row(t);
		table_text(t, ages[i].name);
		table_count(t, b->n);
		table_percent(t, (double)b->n, (double)all);
		table_size(t, b->n_bytes);
		table_count(t, b->n_main);
		for (int k = 0; k < 4; k++)
			table_count(t, b->n_counter[k]);
		table_count(t, b->n_invalid);
	}
	table_end(t);
}

int cli_ages_run(const struct cli_verb *verb, int argc, char **argv)
{
	char **arguments = cli_parse(verb, NULL, argc, argv, 1, 1);
	struct band bands[N_AGES] = {{0}};
	struct larder_inspector *in;
	int result, status;

	in = cli_inspect(verb, arguments[0], &status);
	if (!in)
		return status;
	result = survey(in, bands);
	larder_inspect_close(in);
	if (result < 0)
		return cli_error("%s", larder_strerror(result));
	if (cli.json)
		print_json(bands);
	else
		print_table(bands);
	return CLI_FINE;
}
