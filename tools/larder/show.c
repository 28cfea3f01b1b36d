/* SPDX-License-Identifier: Apache-2.0 */
/* Printing what more than one verb prints: show.h. */
#include "show.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "format.h"
#include "json.h"

struct table *show_list(const char *name, const struct table_column *columns)
{
	if (!cli.json)
		return table_new(columns);
	json_begin(NULL);
	json_begin_list(name);
	return NULL;
}

int show_list_end(struct larder_inspector *in, struct table *t)
{
	larder_inspect_close(in);
	if (t) {
		table_end(t);
	} else {
		json_end_list();
		json_end();
	}
	return CLI_FINE;
}

/* One number in either form. */
static void number(struct table *t, const char *json, const char *text,
		   uint64_t n)
{
	char value[TEXT_BYTES];

	if (cli.json)
		json_number(json, n);
	else
		table_property(t, text, "%s",
			       format_count(value, n, cli.bytes));
}

static void size(struct table *t, const char *json, const char *text,
		 uint64_t bytes, uint64_t whole)
{
	char value[TEXT_BYTES];

	if (cli.json)
		json_number(json, bytes);
	else if (whole)
		table_property(t, text, "%s (%.1f%%)",
			       format_size(value, bytes, cli.bytes),
			       100.0 * (double)bytes / (double)whole);
	else
		table_property(t, text, "%s",
			       format_size(value, bytes, cli.bytes));
}

void show_layout(struct table *t, const struct larder_segment_info *i)
{
	uint64_t all = i->bytes_total;

	size(t, "bytes_total", "size", all, 0);
	size(t, "bytes_pages", "  pages for entries", i->bytes_pages, all);
	size(t, "bytes_index", "  index", i->bytes_index, all);
	size(t, "bytes_clock", "  eviction state, hints", i->bytes_clock, all);
	size(t, "bytes_tables", "  tables of freshness", i->bytes_tables, all);
	size(t, "bytes_slots", "  worker slots", i->bytes_slots, all);
	size(t, "bytes_superblock", "  superblock", i->bytes_superblock, all);
	number(t, "pages", "pages", i->n_pages);
	size(t, "page_bytes", "page size", i->page_bytes, 0);
	number(t, "classes", "size classes", i->n_classes);
	number(t, "index_groups", "index groups", i->n_groups);
	number(t, "index_slots", "index slots", i->n_index_slots);
	number(t, "slots", "worker slots", i->n_slots);
	number(t, "max_entries", "most entries (0: no bound)", i->max_entries);
	size(t, "entry_hint", "typical key and value", i->entry_hint, 0);
	size(t, "value_max", "largest value", i->value_max, 0);
	if (cli.json) {
		json_number("ttl_ms", i->ttl_ms);
		json_text("policy", cli_policy_name(i->policy));
		json_bool("fenced", i->fenced);
		json_real("overhead_bytes_per_entry", i->overhead_per_entry);
		return;
	}
	char text[TEXT_BYTES];

	table_property(t, "default time to live", "%s",
		       i->ttl_ms ? format_duration(text, i->ttl_ms) : "never");
	table_property(t, "eviction policy", "%s", cli_policy_name(i->policy));
	table_property(t, "readers fence", "%s", i->fenced ? "yes" : "no");
	table_property(t, "overhead per entry", "%.1fB", i->overhead_per_entry);
}

/* ------------------------------------------------------------------ */

void sample_take(struct larder_inspector *in, struct sample *s)
{
	struct timespec now;

	memset(s, 0, sizeof *s);
	s->usage.size_of = sizeof s->usage;
	s->info.size_of = sizeof s->info;
	larder_inspect_usage(in, &s->usage);
	larder_inspect_info(in, &s->info);
	s->counters = cli_counters(in, -1);
	clock_gettime(CLOCK_MONOTONIC, &now);
	s->seconds = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void sample_drop(struct sample *s)
{
	free(s->counters);
	s->counters = NULL;
}

double hit_ratio(const uint64_t *counters)
{
	double hits = (double)cli_counter(counters, "hits");
	double all = hits + (double)cli_counter(counters, "misses");

	return all > 0 ? hits / all : 0;
}

static double rate(const struct sample *now, const struct sample *before,
		   size_t i)
{
	double seconds = now->seconds - before->seconds;

	return seconds > 0 ? (double)(now->counters[i] - before->counters[i]) /
				     seconds
			   : 0;
}

static void stat_json(const char *path, const struct sample *now,
		      const struct sample *before)
{
	const struct larder_usage *u = &now->usage;

	json_begin(NULL);
	json_text("segment", path);
	json_number("entries", u->n_entries);
	json_number("bytes_total", u->bytes_total);
	json_number("bytes_used", u->bytes_used);
	json_number("bytes_values", u->bytes_values);
	json_number("bytes_free", u->bytes_free);
	json_number("bytes_retired", u->bytes_retired);
	json_number("bytes_kept", u->bytes_kept);
	json_real("hit_ratio", hit_ratio(now->counters));
	json_number("workers_live", u->n_workers);
	json_real("overhead_bytes_per_entry", now->info.overhead_per_entry);
	json_number("epoch", now->info.epoch);
	json_number("stamp", now->info.stamp);
	for (size_t i = 0; i < larder_n_counters(); i++)
		json_number(larder_counter_name(i), now->counters[i]);
	if (before) {
		json_real("seconds", now->seconds - before->seconds);
		json_begin("per_second");
		for (size_t i = 0; i < larder_n_counters(); i++)
			json_real(larder_counter_name(i), rate(now, before, i));
		json_end();
	}
	json_end();
}

static void counter_row(struct table *t, const struct sample *now,
			const struct sample *before, size_t i)
{
	char text[TEXT_BYTES];

	table_row(t);
	table_text(t, larder_counter_name(i));
	table_count(t, now->counters[i]);
	if (before) {
		snprintf(text, sizeof text, "%.1f", rate(now, before, i));
		table_text(t, text);
	}
	table_text(t, larder_counter_help(i));
}

void show_stat(const char *path, const struct sample *now,
	       const struct sample *before)
{
	static const struct table_column plain[] = {
		{"COUNTER", false, false},
		{"TOTAL", true, false},
		{"MEANING", false, true},
		{0},
	};
	static const struct table_column rates[] = {
		{"COUNTER", false, false},
		{"TOTAL", true, false},
		{"PER SECOND", true, false},
		{"MEANING", false, true},
		{0},
	};
	const struct larder_usage *u = &now->usage;
	struct table *t;

	if (cli.json) {
		stat_json(path, now, before);
		return;
	}
	t = table_properties();
	table_property(t, "segment", "%s%s", path,
		       now->info.closed ? " (put aside)" : "");
	number(t, NULL, "entries", u->n_entries);
	size(t, NULL, "size", u->bytes_total, 0);
	size(t, NULL, "  used by entries", u->bytes_used, u->bytes_total);
	size(t, NULL, "  keys and values", u->bytes_values, u->bytes_total);
	size(t, NULL, "  exempt from eviction", u->bytes_kept, u->bytes_total);
	size(t, NULL, "  waiting to be free", u->bytes_retired, u->bytes_total);
	size(t, NULL, "  free", u->bytes_free, u->bytes_total);
	number(t, NULL, "workers attached", u->n_workers);
	table_property(t, "hit ratio", "%.1f%%",
		       100 * hit_ratio(now->counters));
	table_property(t, "overhead per entry", "%.1fB",
		       now->info.overhead_per_entry);
	table_end(t);
	putchar('\n');
	t = table_new(before ? rates : plain);
	for (size_t i = 0; i < larder_n_counters(); i++)
		if (now->counters[i] || i < 10)
			counter_row(t, now, before, i);
	table_end(t);
}
