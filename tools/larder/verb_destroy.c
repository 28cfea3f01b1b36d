/* SPDX-License-Identifier: Apache-2.0 */
/* larder destroy: remove a segment's file. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "json.h"

int cli_destroy_run(const struct cli_verb *verb, int argc, char **argv)
{
	static bool force;
	const struct cli_option options[] = {
		{"force", NULL,
		 "also while workers are attached (they go on with a file "
		 "that has no name)",
		 CLI_FLAG, &force},
		{0},
	};
	char **arguments = cli_parse(verb, options, argc, argv, 1, 1);
	const char *path = cli_path(verb, arguments[0]);
	struct larder_usage usage = {.size_of = sizeof usage};
	struct larder_inspector *in;
	int error = larder_inspect(path, &in);

	/* What is damaged or of another version may go; what never was a
	 * segment may not, whatever it is. */
	if (error == LARDER_ERR_NOT_LARDER || error > -1000) {
		if (error)
			return cli_error("%s: %s", path,
					 larder_strerror(error));
	}
	if (!error) {
		larder_inspect_usage(in, &usage);
		larder_inspect_close(in);
		if (usage.n_workers && !force)
			return cli_error("%s: %" PRIu64 " workers are attached "
					 "('larder workers' names them); "
					 "stop them, or use --force",
					 path, usage.n_workers);
	}
	if (unlink(path))
		return cli_error("%s: %s", path, strerror(errno));
	if (cli.json) {
		json_begin(NULL);
		json_text("removed", path);
		json_number("workers_attached", usage.n_workers);
		json_end();
	}
	return CLI_FINE;
}
