/* SPDX-License-Identifier: Apache-2.0 */
/* larder flights: fills under way. */
#include <inttypes.h>
#include <stdio.h>

#include "cli.h"
#include "json.h"
#include "show.h"

static void print_row(struct table *t, const struct larder_flight_info *f)
{
	char text[64];

	table_row(t);
	snprintf(text, sizeof text, "%" PRIu32, f->flight);
	table_text(t, text);
	snprintf(text, sizeof text, "%016" PRIx64, f->key_hash);
	table_text(t, text);
	snprintf(text, sizeof text, "%" PRIu32, f->leader_slot);
	table_text(t, text);
	snprintf(text, sizeof text, "%" PRIu32, f->leader_pid);
	table_text(t, text);
	table_text(t, f->leader_alive ? "live" : "gone");
	table_duration(t, f->age_ms);
	snprintf(text, sizeof text, "%" PRIu64, f->token_stamp);
	table_text(t, text);
}

int cli_flights_run(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct table_column columns[] = {
		{"FLIGHT", true, false},  {"KEY HASH", false, false},
		{"SLOT", true, false},	  {"PID", true, false},
		{"LEADER", false, false}, {"AGE", true, false},
		{"TOKEN", true, false},	  {0},
	};
	char **arguments = cli_parse(verb, NULL, argc, argv, 1, 1);
	struct larder_flight_info f = {.size_of = sizeof f};
	struct larder_inspector *in;
	struct table *t;
	uint64_t cursor = 0;
	int status;

	in = cli_inspect(verb, arguments[0], &status);
	if (!in)
		return status;
	t = show_list("flights", columns);
	while (larder_inspect_flight(in, &cursor, &f) == 0) {
		char hash[32];

		if (!cli.json) {
			print_row(t, &f);
			continue;
		}
		snprintf(hash, sizeof hash, "%016" PRIx64, f.key_hash);
		json_begin(NULL);
		json_number("flight", f.flight);
		json_text("key_hash", hash);
		json_number("leader_slot", f.leader_slot);
		json_number("leader_pid", f.leader_pid);
		json_bool("leader_alive", f.leader_alive);
		json_number("age_ms", f.age_ms);
		json_number("token_stamp", f.token_stamp);
		json_end();
	}
	return show_list_end(in, t);
}
