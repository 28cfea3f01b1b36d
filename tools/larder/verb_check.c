/* SPDX-License-Identifier: Apache-2.0 */
/* larder check: verify every invariant, changing nothing. */
#include "cli.h"
#include "findings.h"
#include "json.h"

int cli_check_run(const struct cli_verb *verb, int argc, char **argv)
{
	static struct findings f = {.limit = 1000};
	const struct cli_option options[] = {
		{"notes", NULL,
		 "also list what an unfinished operation explains", CLI_FLAG,
		 &f.notes},
		{"limit", "N", "list so many findings (default 1000)",
		 CLI_COUNT, &f.limit},
		{0},
	};
	char **arguments = cli_parse(verb, options, argc, argv, 1, 1);
	struct larder_check_result r = {.size_of = sizeof r};
	struct larder_inspector *in;
	int error, status;

	in = cli_inspect(verb, arguments[0], &status);
	if (!in)
		return status;
	error = larder_inspect_check(in, findings_add, &f, &r);
	larder_inspect_close(in);
	if (error)
		return cli_error("%s", larder_strerror(error));
	if (cli.json) {
		json_begin(NULL);
		json_text("segment", cli_path(verb, arguments[0]));
		findings_result(&r);
		findings_print(&f);
		json_end();
	} else {
		findings_print(&f);
		findings_result(&r);
	}
	return r.n_damage ? CLI_DAMAGE : CLI_FINE;
}
