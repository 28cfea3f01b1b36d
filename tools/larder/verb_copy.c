/* SPDX-License-Identifier: Apache-2.0 */
/* larder copy: carry entries from one segment into another. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "json.h"

/* One file, however it is spelled. */
static bool is_same(const char *a, const char *b)
{
	struct stat s, t;

	return !strcmp(a, b) || (!stat(a, &s) && !stat(b, &t) &&
				 s.st_dev == t.st_dev && s.st_ino == t.st_ino);
}

/* Create NEW like OLD, but for what the options say. */
static int create_like(const struct cli_verb *verb, const char *path,
		       struct larder_inspector *from,
		       const struct cli_create *c)
{
	struct larder_segment_info info = {.size_of = sizeof info};
	struct larder_create_options o;

	larder_inspect_info(from, &info);
	cli_create_options(verb, c, &o);
	o.flags &= ~(uint32_t)LARDER_CREATE_EXCL;
	if (info.fenced)
		o.flags |= LARDER_CREATE_FENCED;
	if (!c->size)
		o.bytes = info.bytes_total;
	if (!c->slots && !c->size)
		o.n_slots = info.n_slots;
	if (!c->max_entries)
		o.max_entries = info.max_entries;
	if (!c->entry_hint)
		o.entry_hint = info.entry_hint;
	if (!c->policy)
		o.policy = info.policy;
	o.ttl_ms = info.ttl_ms;
	return larder_create(path, &o);
}

int cli_copy_run(const struct cli_verb *verb, int argc, char **argv)
{
	static struct cli_create c;
	const struct cli_option options[] = {
		CLI_PLAN_OPTIONS(c),
		{"mode", "MODE", "permissions (default 0600)", CLI_OCTAL,
		 &c.mode},
		{"group", "GROUP", "owning group", CLI_TEXT, &c.group},
		{0},
	};
	char **arguments = cli_parse(verb, options, argc, argv, 2, 2);
	static char path[4096];
	struct larder_inspector *from;
	struct larder *to;
	uint64_t n_copied = 0, n_skipped = 0;
	int error, status;

	snprintf(path, sizeof path, "%s", cli_path(verb, arguments[1]));
	if (is_same(path, cli_path(verb, arguments[0])))
		cli_usage(verb, "OLD and NEW are the same");
	from = cli_inspect(verb, arguments[0], &status);
	if (!from)
		return status;
	error = create_like(verb, path, from, &c);
	if (error < 0) {
		larder_inspect_close(from);
		return cli_error("%s: %s", path, larder_strerror(error));
	}
	to = cli_open(verb, path);
	if (!to) {
		larder_inspect_close(from);
		return CLI_FAILED;
	}
	error = larder_copy(from, to, &n_copied, &n_skipped);
	larder_close(to);
	larder_inspect_close(from);
	if (cli.json) {
		json_begin(NULL);
		json_text("segment", path);
		json_number("copied", n_copied);
		json_number("skipped", n_skipped);
		json_end();
	} else {
		printf("%s: %" PRIu64 " entries copied, %" PRIu64 " skipped\n",
		       path, n_copied, n_skipped);
	}
	if (error)
		return cli_error("%s", error == LARDER_NO_SPACE
					       ? "some entries do not fit"
					       : larder_strerror(error));
	return CLI_FINE;
}
