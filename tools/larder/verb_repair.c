/* SPDX-License-Identifier: Apache-2.0 */
/* larder repair: give up what is damaged, keep the rest, check the result. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "findings.h"
#include "json.h"

static void print_result(const struct larder_repair_result *r)
{
	if (cli.json) {
		json_number("entries_kept", r->n_entries_kept);
		json_number("entries_lost", r->n_entries_lost);
		json_number("pages_reset", r->n_pages_reset);
		json_number("slots_reset", r->n_slots_reset);
		return;
	}
	printf("%" PRIu64 " entries kept, %" PRIu64 " given up, %" PRIu64
	       " pages and %" PRIu64 " slots reset\n",
	       r->n_entries_kept, r->n_entries_lost, r->n_pages_reset,
	       r->n_slots_reset);
}

int cli_repair_run(const struct cli_verb *verb, int argc, char **argv)
{
	static struct findings f = {.limit = 1000, .notes = true};
	static bool force;
	const struct cli_option options[] = {
		{"force", NULL,
		 "also while workers are attached: what they have in hand may "
		 "be lost, or damage it again",
		 CLI_FLAG, &force},
		{"limit", "N", "list so many findings (default 1000)",
		 CLI_COUNT, &f.limit},
		{0},
	};
	char **arguments = cli_parse(verb, options, argc, argv, 1, 1);
	const char *path = cli_path(verb, arguments[0]);
	struct larder_repair_result r = {.size_of = sizeof r};
	struct larder_check_result c = {.size_of = sizeof c};
	struct findings after = {.limit = f.limit};
	struct larder_inspector *in;
	int error = larder_repair(path, force, findings_add, &f, &r);

	if (error)
		return cli_error("%s: %s", path,
				 error == -EBUSY
					 ? "workers are attached ('larder "
					   "workers' names them), or another "
					   "repair is at it"
					 : larder_strerror(error));
	in = cli_inspect(verb, path, NULL);
	error = in ? larder_inspect_check(in, findings_add, &after, &c) : -EIO;
	larder_inspect_close(in);
	if (cli.json) {
		json_begin(NULL);
		json_text("segment", path);
		print_result(&r);
		findings_print(&f);
		json_begin("check");
		findings_result(&c);
		findings_print(&after);
		json_end();
		json_end();
	} else {
		findings_print(&f);
		print_result(&r);
		findings_print(&after);
		findings_result(&c);
	}
	if (error)
		return CLI_FAILED;
	return c.n_damage ? CLI_DAMAGE : CLI_FINE;
}
