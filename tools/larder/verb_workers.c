/* SPDX-License-Identifier: Apache-2.0 */
/* larder workers: who is attached, and what each did. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "json.h"
#include "show.h"

static const char *state_name(uint32_t state)
{
	return state == LARDER_WORKER_LIVE   ? "live"
	       : state == LARDER_WORKER_DEAD ? "dead"
					     : "free";
}

static void print_json(const struct larder_worker_info *w,
		       const uint64_t *counters)
{
	json_begin(NULL);
	json_number("slot", w->slot);
	json_text("state", state_name(w->state));
	json_number("generation", w->generation);
	json_number("pid", w->pid);
	json_number("tid", w->tid);
	json_text("command", w->command);
	json_number("attached_ms", w->attached_ms);
	json_bool("pinned", w->pinned);
	json_bool("expelled", w->expelled);
	json_number("pin_epoch_lag", w->pin_epoch_lag);
	json_number("leases", w->n_leases);
	json_number("bytes_leased", w->bytes_leased);
	json_real("hit_ratio", hit_ratio(counters));
	json_begin("counters");
	for (size_t i = 0; i < larder_n_counters(); i++)
		json_number(larder_counter_name(i), counters[i]);
	json_end();
	json_end();
}

static void print_row(struct table *t, const struct larder_worker_info *w,
		      const uint64_t *counters)
{
	uint64_t hits = cli_counter(counters, "hits");
	uint64_t misses = cli_counter(counters, "misses");
	char text[64];

	table_row(t);
	snprintf(text, sizeof text, "%" PRIu32, w->slot);
	table_text(t, text);
	table_text(t, state_name(w->state));
	snprintf(text, sizeof text, "%" PRIu32, w->pid);
	table_text(t, text);
	snprintf(text, sizeof text, "%" PRIu32, w->tid);
	table_text(t, text);
	table_text(t, w->command[0] ? w->command : "-");
	table_duration(t, w->attached_ms);
	if (w->pinned)
		snprintf(text, sizeof text, "%" PRIu64 "%s", w->pin_epoch_lag,
			 w->expelled ? " expelled" : "");
	else
		snprintf(text, sizeof text, "-");
	table_text(t, text);
	table_count(t, w->n_leases);
	table_size(t, w->bytes_leased);
	table_count(t, hits);
	table_percent(t, (double)hits, (double)(hits + misses));
	table_count(t, cli_counter(counters, "cross_worker_hits"));
	table_count(t, cli_counter(counters, "puts"));
}

int cli_workers_run(const struct cli_verb *verb, int argc, char **argv)
{
	static const struct table_column columns[] = {
		{"SLOT", true, false},	  {"STATE", false, false},
		{"PID", true, false},	  {"TID", true, false},
		{"COMMAND", false, true}, {"ATTACHED", true, false},
		{"PIN LAG", true, false}, {"LEASES", true, false},
		{"LEASED", true, false},  {"HITS", true, false},
		{"RATIO", true, false},	  {"OF OTHERS", true, false},
		{"PUTS", true, false},	  {0},
	};
	static bool all;
	const struct cli_option options[] = {
		{"all", NULL, "slots that nobody holds, too", CLI_FLAG, &all},
		{0},
	};
	char **arguments = cli_parse(verb, options, argc, argv, 1, 1);
	struct larder_worker_info w = {.size_of = sizeof w};
	struct larder_inspector *in;
	struct table *t;
	int status;

	in = cli_inspect(verb, arguments[0], &status);
	if (!in)
		return status;
	t = show_list("workers", columns);
	for (uint32_t i = 0; larder_inspect_worker(in, i, &w) == 0; i++) {
		uint64_t *counters;

		if (w.state == LARDER_WORKER_FREE && !all)
			continue;
		counters = cli_counters(in, (int)i);
		if (cli.json)
			print_json(&w, counters);
		else
			print_row(t, &w, counters);
		free(counters);
	}
	return show_list_end(in, t);
}
