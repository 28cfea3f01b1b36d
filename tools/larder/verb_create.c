/* SPDX-License-Identifier: Apache-2.0 */
/* larder create: make a segment. */
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "format.h"
#include "json.h"

int cli_create_run(const struct cli_verb *verb, int argc, char **argv)
{
	static struct cli_create c;
	const struct cli_option options[] = {
		CLI_PLAN_OPTIONS(c),
		{"ttl", "TIME",
		 "of entries put without one (default: for ever)", CLI_MS,
		 &c.ttl_ms},
		{"pattern-time", "TIME",
		 "longest fill that a pattern waits for (default 60s)", CLI_MS,
		 &c.pattern_ms},
		{"mode", "MODE", "permissions (default 0600)", CLI_OCTAL,
		 &c.mode},
		{"group", "GROUP", "owning group", CLI_TEXT, &c.group},
		{"fenced", NULL,
		 "for processes that may not use membarrier: reads cost a "
		 "fence",
		 CLI_FLAG, &c.fenced},
		{0},
	};
	char **arguments = cli_parse(verb, options, argc, argv, 1, 1);
	const char *path = cli_path(verb, arguments[0]);
	struct larder_create_options o;
	struct larder_segment_info info = {.size_of = sizeof info};
	struct larder_inspector *in;
	char size[TEXT_BYTES];
	int error;

	cli_create_options(verb, &c, &o);
	error = larder_create(path, &o);
	if (error)
		return cli_error("%s: %s", path, larder_strerror(error));
	in = cli_inspect(verb, path, NULL);
	if (!in)
		return CLI_FAILED;
	larder_inspect_info(in, &info);
	larder_inspect_close(in);
	if (cli.json) {
		json_begin(NULL);
		json_text("segment", path);
		json_text("id", info.id);
		json_number("bytes_total", info.bytes_total);
		json_number("slots", info.n_slots);
		json_bool("fenced", info.fenced);
		json_end();
		return CLI_FINE;
	}
	printf("%s: %s, %" PRIu32 " slots%s\n", path,
	       format_size(size, info.bytes_total, cli.bytes), info.n_slots,
	       info.fenced ? ", fenced" : "");
	return CLI_FINE;
}
