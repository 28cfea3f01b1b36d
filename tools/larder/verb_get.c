/* SPDX-License-Identifier: Apache-2.0 */
/* larder get: a value's bytes, or what is known of its entry. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "entry.h"
#include "format.h"
#include "json.h"
#include "table.h"

/* The value, whole, and its info; the caller frees *value. */
static int fetch(struct larder *h, const char *key, size_t n_key, void **value,
		 struct larder_info *info)
{
	size_t room = 65536;
	int result;

	*value = cli_alloc(room);
	for (;;) {
		info->size_of = sizeof *info;
		result = larder_get_info(h, key, n_key, *value, room, info);
		if (result != LARDER_TRUNCATED)
			return result;
		room = info->n_value;
		*value = cli_grow(*value, room);
	}
}

static void show_info(const char *key, size_t n_key,
		      const struct larder_info *info,
		      const struct entry_facts *facts, const void *value)
{
	char *name = format_escape(key, n_key), text[TEXT_BYTES];
	struct table *t;

	if (cli.json) {
		json_begin(NULL);
		json_text("key", name);
		entry_json(info, facts);
		json_base64("value_base64", value, info->n_value);
		json_end();
		free(name);
		return;
	}
	t = table_properties();
	table_property(t, "key", "%s", name);
	table_property(t, "value", "%s",
		       format_size(text, info->n_value, cli.bytes));
	table_property(t, "version", "%016" PRIx64, info->version);
	snprintf(text, sizeof text, "%" PRIu32, info->stored_by_pid);
	table_property(t, "stored by process", "%s",
		       info->stored_by_pid ? text : "that is gone");
	table_property(t, "age", "%s", format_duration(text, info->age_ms));
	table_property(t, "stale in", "%s",
		       format_duration(text, info->soft_left_ms));
	table_property(t, "expires in", "%s",
		       format_duration(text, info->ttl_left_ms));
	table_property(t, "cost", "%.3fms", (double)info->cost_ns / 1e6);
	table_property(t, "hits, estimated", "%" PRIu64, info->hits);
	entry_properties(t, info, facts);
	table_end(t);
	free(name);
}

int cli_get_run(const struct cli_verb *verb, int argc, char **argv)
{
	static bool escaped, only_info;
	const struct cli_option options[] = {
		{"info", NULL,
		 "print what is known of the entry (tags, stamp, age ...) "
		 "instead",
		 CLI_FLAG, &only_info},
		{"escaped", NULL, "\\xNN in KEY stands for a byte", CLI_FLAG,
		 &escaped},
		{0},
	};
	char **arguments = cli_parse(verb, options, argc, argv, 2, 2);
	const char *key = arguments[1];
	size_t n_key = cli_key(verb, arguments[1], escaped);
	struct larder *h = cli_open(verb, arguments[0]);
	struct larder_info info;
	void *value;
	int result;

	if (!h)
		return CLI_FAILED;
	result = fetch(h, key, n_key, &value, &info);
	larder_close(h);
	if (result) {
		free(value);
		return cli_error("%s", larder_strerror(result));
	}
	if (only_info || cli.json) {
		struct entry_facts facts;

		entry_find(verb, arguments[0], key, n_key, &facts);
		show_info(key, n_key, &info, &facts, value);
		entry_facts_drop(&facts);
	} else {
		fwrite(value, 1, info.n_value, stdout);
	}
	free(value);
	return CLI_FINE;
}
