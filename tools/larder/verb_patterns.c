/* SPDX-License-Identifier: Apache-2.0 */
/* larder patterns: those in force. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "format.h"
#include "json.h"
#include "show.h"

static const char *match_name(uint32_t match)
{
	return match == LARDER_MATCH_KEYS   ? "keys"
	       : match == LARDER_MATCH_TAGS ? "tags"
					    : "either";
}

int cli_patterns_run(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct table_column columns[] = {
		{"NUMBER", true, false},
		{"AGE", true, false},
		{"MATCHES", false, false},
		{"PATTERN", false, true},
		{0},
	};
	char **arguments = cli_parse(verb, NULL, argc, argv, 1, 1);
	struct larder_pattern_info p = {.size_of = sizeof p};
	struct larder_inspector *in;
	struct table *t;
	uint64_t cursor = 0;
	int status;

	in = cli_inspect(verb, arguments[0], &status);
	if (!in)
		return status;
	t = show_list("patterns", columns);
	while (larder_inspect_pattern(in, &cursor, &p) == 0) {
		char *text = format_escape(p.text, p.n_text), number[32];

		if (cli.json) {
			json_begin(NULL);
			json_text("pattern", text);
			json_text("matches", match_name(p.match));
			json_number("number", p.number);
			json_number("age_ms", p.age_ms);
			json_end();
		} else {
			snprintf(number, sizeof number, "%" PRIu64, p.number);
			table_row(t);
			table_text(t, number);
			table_duration(t, p.age_ms);
			table_text(t, match_name(p.match));
			table_text(t, text);
		}
		free(text);
	}
	return show_list_end(in, t);
}
