/* SPDX-License-Identifier: Apache-2.0 */
/* larder del: take entries away. */
#include <limits.h>
#include <stdlib.h>

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
	size_t *n_key = cli_alloc((size_t)argc * sizeof *n_key);
	struct larder *h;
	int error = 0;

	/* All of them, before the first is taken away. */
	for (size_t i = 1; arguments[i]; i++)
		n_key[i] = cli_key(verb, arguments[i], escaped);
	h = cli_open(verb, arguments[0]);
	if (!h) {
		free(n_key);
		return CLI_FAILED;
	}
	for (char **key = arguments + 1; *key && error >= 0; key++) {
		error = larder_remove(h, *key, n_key[key - arguments]);
		n_removed += error == LARDER_OK;
		n_missed += error == LARDER_MISS;
		if (error && (error != LARDER_MISS || !cli.json))
			cli_error("%s: %s", *key, larder_strerror(error));
	}
	larder_close(h);
	free(n_key);
	if (cli.json) {
		json_begin(NULL);
		json_number("removed", n_removed);
		json_number("missed", n_missed);
		json_end();
	}
	return error < 0 || n_missed ? CLI_FAILED : CLI_FINE;
}
