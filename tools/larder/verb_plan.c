/* SPDX-License-Identifier: Apache-2.0 */
/* larder plan: what a size gives. */
#include <inttypes.h>

#include "cli.h"
#include "format.h"
#include "json.h"
#include "show.h"

int cli_plan_run(const struct cli_verb *verb, int argc, char **argv)
{
	static struct cli_create c;
	const struct cli_option options[] = {
		CLI_PLAN_OPTIONS(c),
		{0},
	};
	struct larder_segment_info info = {.size_of = sizeof info};
	struct larder_create_options o;
	struct table *t = NULL;
	uint64_t entry, entries;
	char text[TEXT_BYTES];
	int error;

	cli_parse(verb, options, argc, argv, 0, 0);
	cli_create_options(verb, &c, &o);
	error = larder_plan(&o, &info);
	if (error)
		return cli_error("no segment can be made of this: %s",
				 larder_strerror(error));
	/* Header and rounding included, as typical entries would lie in the
	 * pages. */
	entry = (info.entry_hint + 40 + 63) / 64 * 64;
	entries = info.bytes_pages / entry;
	if (info.max_entries && entries > info.max_entries)
		entries = info.max_entries;
	if (cli.json)
		json_begin(NULL);
	else
		t = table_properties();
	show_layout(t, &info);
	if (cli.json) {
		json_number("typical_entries", entries);
		json_end();
	} else {
		table_property(t, "typical entries that fit", "%s",
			       format_count(text, entries, cli.bytes));
		table_end(t);
	}
	return CLI_FINE;
}
