/* SPDX-License-Identifier: Apache-2.0 */
/* larder del: take entries away. */
#include <limits.h>

#include "cli.h"
#include "json.h"

int cli_del_run(const struct cli_verb *verb, int argc, char **argv)
{
	static bool escaped;
	const struct cli_option options[] = {
		{"escaped", NULL, "\\xNN in a KEY stands for a byte", CLI_FLAG,
		 &escaped},
		{0},
	};
	char **arguments = cli_parse(verb, options, argc, argv, 2, INT_MAX);
	uint64_t n_removed = 0, n_missed = 0;
	struct larder *h = cli_open(verb, arguments[0]);
	int error = 0;

	if (!h)
		return CLI_FAILED;
	for (char **key = arguments + 1; *key && error >= 0; key++) {
		size_t n = cli_key(verb, *key, escaped);

		error = larder_remove(h, *key, n);
		n_removed += error == LARDER_OK;
		n_missed += error == LARDER_MISS;
		if (error && (error != LARDER_MISS || !cli.json))
			cli_error("%s: %s", *key, larder_strerror(error));
	}
	larder_close(h);
	if (cli.json) {
		json_begin(NULL);
		json_number("removed", n_removed);
		json_number("missed", n_missed);
		json_end();
	}
	return error < 0 || n_missed ? CLI_FAILED : CLI_FINE;
}
