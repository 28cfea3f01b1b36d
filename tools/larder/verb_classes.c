/* SPDX-License-Identifier: Apache-2.0 */
/* larder classes: how pages and objects are divided among the sizes. */
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "json.h"
#include "show.h"

static void print_json(const struct larder_class_info *c, uint64_t object)
{
	json_begin(NULL);
	json_number("class", c->class_index);
	json_bool("runs", !c->object_bytes);
	json_number("object_bytes", c->object_bytes);
	json_number("pages", c->n_pages);
	json_number("live", c->n_live);
	json_number("free", c->n_free);
	json_number("retired", c->n_retired);
	json_number("allocated", c->n_allocated);
	json_number("probation", c->n_probation);
	json_number("main", c->n_main);
	json_number("draining_pages", c->n_draining);
	json_number("bytes_requested", c->bytes_requested);
	json_number("bytes_used", object);
	json_real("probation_share", (double)c->target / 65536);
	json_end();
}

static void print_row(struct table *t, const struct larder_class_info *c,
		      uint64_t used)
{
	char text[32];

	table_row(t);
	snprintf(text, sizeof text, "%" PRIu32, c->class_index);
	table_text(t, c->object_bytes ? text : "runs");
	if (c->object_bytes)
		table_size(t, c->object_bytes);
	else
		table_text(t, "-");
	table_count(t, c->n_pages);
	table_count(t, c->n_live);
	table_count(t, c->n_probation);
	table_count(t, c->n_main);
	table_count(t, c->n_free);
	table_count(t, c->n_retired);
	table_count(t, c->n_allocated);
	table_count(t, c->n_draining);
	table_size(t, used);
	/* Of the bytes that entries occupy, how many did nobody ask for? */
	table_percent(t, (double)(used - c->bytes_requested), (double)used);
}

int cli_classes_run(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct table_column columns[] = {
		{"CLASS", true, false},
		{"OBJECT", true, false},
		{"PAGES", true, false},
		{"LIVE", true, false},
		{"PROBATION", true, false},
		{"MAIN", true, false},
		{"FREE", true, false},
		{"RETIRED", true, false},
		{"IN HAND", true, false},
		{"DRAINING", true, false},
		{"USED", true, false},
		{"ROUNDING", true, false},
		{0},
	};
	static bool all;
	const struct cli_option options[] = {
		{"all", NULL, "sizes that have no page, too", CLI_FLAG, &all},
		{0},
	};
	char **arguments = cli_parse(verb, options, argc, argv, 1, 1);
	struct larder_segment_info info = {.size_of = sizeof info};
	struct larder_class_info c = {.size_of = sizeof c};
	struct larder_inspector *in;
	struct table *t;
	int status;

	in = cli_inspect(verb, arguments[0], &status);
	if (!in)
		return status;
	larder_inspect_info(in, &info);
	t = show_list("classes", columns);
	for (uint32_t i = 0; larder_inspect_class(in, i, &c) == 0; i++) {
		uint64_t used = c.object_bytes ? c.n_live * c.object_bytes
					       : c.n_pages * info.page_bytes;

		if (!c.n_pages && !all)
			continue;
		if (used < c.bytes_requested)
			used = c.bytes_requested;
		if (cli.json)
			print_json(&c, used);
		else
			print_row(t, &c, used);
	}
	return show_list_end(in, t);
}
