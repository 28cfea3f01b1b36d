/* SPDX-License-Identifier: Apache-2.0 */
/* larder info: the superblock. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "cli.h"
#include "json.h"
#include "show.h"

static void print_json(const char *path, const struct larder_segment_info *i)
{
	json_begin(NULL);
	json_text("segment", path);
	json_number("layout_version", i->layout_version);
	json_text("id", i->id);
	json_text("boot_id", i->boot_id);
	json_bool("this_boot", i->this_boot);
	json_bool("closed", i->closed);
	json_number("created_unix_ms", i->created_unix_ms);
	json_number("creator_pid", i->creator_pid);
	json_number("bytes_file", i->bytes_file);
	json_number("epoch", i->epoch);
	json_number("stamp", i->stamp);
	show_layout(NULL, i);
	json_end();
}

int cli_info_run(const struct cli_verb *verb, int argc, char **argv)
{
	char **arguments = cli_parse(verb, NULL, argc, argv, 1, 1), when[64];
	struct larder_segment_info i = {.size_of = sizeof i};
	struct larder_inspector *in;
	struct table *t;
	struct tm tm;
	time_t created;
	int status;

	in = cli_inspect(verb, arguments[0], &status);
	if (!in)
		return status;
	larder_inspect_info(in, &i);
	larder_inspect_close(in);
	if (cli.json) {
		print_json(cli_path(verb, arguments[0]), &i);
		return CLI_FINE;
	}
	created = (time_t)(i.created_unix_ms / 1000);
	if (!localtime_r(&created, &tm) ||
	    !strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S %z", &tm))
		snprintf(when, sizeof when, "%" PRIu64, i.created_unix_ms);
	t = table_properties();
	table_property(t, "segment", "%s", cli_path(verb, arguments[0]));
	table_property(t, "identity", "%s", i.id);
	table_property(t, "layout version", "%" PRIu32, i.layout_version);
	table_property(t, "created", "%s by process %" PRIu32, when,
		       i.creator_pid);
	table_property(t, "boot", "%s%s", i.boot_id,
		       i.this_boot ? " (this one)" : " (another one)");
	table_property(t, "state", "%s",
		       i.closed			      ? "put aside"
		       : i.bytes_file < i.bytes_total ? "cut short"
						      : "open");
	table_property(t, "epoch", "%" PRIu64, i.epoch);
	table_property(t, "invalidations", "%" PRIu64, i.stamp - 1);
	show_layout(t, &i);
	table_end(t);
	return CLI_FINE;
}
