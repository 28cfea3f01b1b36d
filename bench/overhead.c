/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overhead: bytes that each system takes beyond keys and values, for the same
 * data.
 *
 * For each value size a segment of --bytes is filled until it has to evict: as
 * many entries as it held then are what every other system has to hold too.
 * Larder's own share is split into what each entry is planned to cost (header,
 * index, CLOCK state, ghost), what rounding to size classes adds, and the rest:
 * tables of fixed size and pages that are not full.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <larder/admin.h>
#include <larder/larder.h>

#include "commands.h"
#include "results.h"
#include "rundir.h"
#include "workload.h"

static const struct bench_command command = {
	.name = "overhead",
	.usage = "[OPTION...] [BYTES_OF_SEGMENT [VALUE_SIZE...]]",
	.about = "Bytes per entry beyond key and value, for the same data in "
		 "each system. A segment of\n(default) 268435456 bytes is "
		 "filled for each value size (default 16 64 256 1024 4096),\n"
		 "and the others get as many entries as it held. Of the "
		 "options, --systems, --key-size,\n--json, --csv and --plot "
		 "have a meaning here.",
	.defaults = "--systems larder,memcached,redis,lmdb --keys 1m "
		    "--key-size 16 --value-size 256 --popularity uniform "
		    "--mix 100:0 --processes 1 --seconds 0.1 --repeats 1",
	.max_operands = 9,
};

enum { SIZES_MAX = 8, ENTRY_HEADER = 40 };

/* What a full segment holds, and where its bytes go; all per entry. */
struct full {
	uint64_t n_entries, n_bytes;
	double header, index, clock; /* the planned overhead's parts */
	double rounding;	     /* of entries to their classes */
	double tables;		     /* slots, tags, flights, superblock */
	double rest;		     /* free objects and pages */
};

struct row {
	uint32_t value_size;
	struct full full;
	uint64_t memory[BENCH_SYSTEMS_MAX];
};

/* The counter of that name, or @n. */
static size_t counter_named(const char *name, size_t n)
{
	size_t i = 0;

	while (i < n && strcmp(larder_counter_name(i), name) != 0)
		i++;
	return i;
}

/* Fill until entries are evicted for their memory (some go before, as their
 * group of the index is full); the number of entries is what stays. */
static int fill(struct larder *h, const struct bench_plan *plan,
		uint64_t n_bytes)
{
	enum { EVICTED_ENOUGH = 64, MOST_COUNTERS = 64 };
	uint64_t counters[MOST_COUNTERS], most = n_bytes / 64;
	size_t n = larder_n_counters();
	size_t evictions = counter_named("evictions", n);
	size_t conflicts = counter_named("evictions_conflict", n);
	char key[BENCH_KEY_MAX], *value = bench_alloc(plan->sizes.max + 8);
	int result = 0;

	if (evictions == n || conflicts == n || n > MOST_COUNTERS)
		result = -EPROTO;
	for (uint64_t id = 0; id < most && !result; id++) {
		bench_key_make(key, plan->key_size, (uint32_t)id);
		bench_value_make(value, plan->sizes.max, (uint32_t)id, 0);
		result = larder_put(h, key, plan->key_size, value,
				    plan->sizes.max, NULL);
		if (result > 0)
			result = -ENOSPC;
		if (result || id % 256)
			continue;
		result = larder_counters(h, counters, n);
		if (!result &&
		    counters[evictions] - counters[conflicts] >= EVICTED_ENOUGH)
			break;
	}
	free(value);
	return result;
}

static int take_apart(const char *path, struct larder *h,
		      const struct bench_plan *plan, struct full *full)
{
	struct larder_inspector *inspector;
	struct larder_segment_info info = {.size_of = sizeof info};
	struct larder_usage usage = {.size_of = sizeof usage};
	int result = larder_usage(h, &usage);
	double n;

	if (!result)
		result = larder_inspect(path, &inspector);
	if (result)
		return result;
	result = larder_inspect_info(inspector, &info);
	larder_inspect_close(inspector);
	if (result)
		return result;
	n = (double)usage.n_entries;
	full->n_entries = usage.n_entries;
	full->n_bytes = info.bytes_total;
	full->header = ENTRY_HEADER;
	full->index = (double)info.bytes_index / n;
	full->clock = (double)info.bytes_clock / n;
	full->rounding = (double)usage.bytes_used / n - ENTRY_HEADER -
			 plan->key_size - plan->sizes.mean;
	full->tables = (double)(info.bytes_superblock + info.bytes_slots +
				info.bytes_tables) /
		       n;
	full->rest = (double)info.bytes_total / n - plan->key_size -
		     plan->sizes.mean - full->header - full->index -
		     full->clock - full->rounding - full->tables;
	return n > 0 ? 0 : -ENODATA;
}

static bool fill_segment(const struct bench_plan *plan, uint64_t n_bytes,
			 struct full *full)
{
	struct larder_create_options create = {
		.size_of = sizeof create,
		.bytes = n_bytes,
		.entry_hint = plan->key_size + plan->sizes.max,
	};
	struct larder_open_options open = {
		.size_of = sizeof open,
		.flags = LARDER_OPEN_CREATE,
		.create = &create,
	};
	struct larder *h;
	char path[128];
	int result;

	if (!rundir_file("overhead", path, sizeof path))
		return false;
	result = larder_open(path, &open, &h);
	if (!result) {
		result = fill(h, plan, n_bytes);
		if (!result)
			result = take_apart(path, h, plan, full);
		larder_close(h);
		unlink(path);
	}
	rundir_remove();
	if (result)
		bench_complain("filling a segment of %llu bytes: %s",
			       (unsigned long long)n_bytes,
			       bench_error(result));
	return result == 0;
}

static bool measure(const struct bench_options *o, struct row *row,
		    uint64_t n_bytes)
{
	struct bench_plan plan = o->plan;
	struct engine *engine;
	char text[16];

	snprintf(text, sizeof text, "%u", row->value_size);
	if (!bench_sizes_parse(text, &plan.sizes) ||
	    !fill_segment(&plan, n_bytes, &row->full))
		return false;
	plan.n_keys = row->full.n_entries;
	for (unsigned i = 0; i < o->n_systems; i++) {
		if (!strcmp(o->systems[i]->name, "larder")) {
			row->memory[i] = row->full.n_bytes;
			continue;
		}
		if (!engine_start(&plan, &o->systems[i], 1, &engine))
			return false;
		row->memory[i] = engine_memory(engine, 0);
		engine_stop(engine);
	}
	return true;
}

/* Beyond key and value, an entry. */
static double overhead_of(const struct bench_options *o, const struct row *row,
			  unsigned system)
{
	return (double)row->memory[system] / (double)row->full.n_entries -
	       o->plan.key_size - row->value_size;
}

static double planned(const struct full *f)
{
	return f->header + f->index + f->clock;
}

static int print_json(const struct bench_options *o, const struct row *rows,
		      unsigned n_rows)
{
	json_t *sizes = json_array();

	for (unsigned k = 0; k < n_rows; k++) {
		const struct full *f = &rows[k].full;
		json_t *systems = json_array();

		for (unsigned i = 0; i < o->n_systems; i++)
			json_array_append_new(
				systems,
				json_pack("{s:s, s:I, s:f}", "name",
					  o->systems[i]->name, "memory_bytes",
					  (json_int_t)rows[k].memory[i],
					  "overhead_per_entry",
					  overhead_of(o, &rows[k], i)));
		json_array_append_new(
			sizes,
			json_pack("{s:i, s:I, s:{s:f, s:f, s:f, s:f, s:f, s:f, "
				  "s:f}, s:o}",
				  "value_size", (int)rows[k].value_size,
				  "entries", (json_int_t)f->n_entries, "larder",
				  "per_entry", planned(f), "header", f->header,
				  "index", f->index, "clock_and_ghost",
				  f->clock, "class_rounding", f->rounding,
				  "tables", f->tables, "free", f->rest,
				  "systems", systems));
	}
	return json_print(json_pack(
		"{s:s, s:o, s:o, s:i, s:o}", "command", "overhead", "machine",
		json_of_machine(), "build", json_of_build(), "key_size",
		(int)o->plan.key_size, "value_sizes", sizes));
}

static void print_table(const struct bench_options *o, const struct row *rows,
			unsigned n_rows)
{
	static const char *parts[] = {"HEADER",	  "INDEX",    "CLOCK, GHOST",
				      "TOGETHER", "ROUNDING", "TABLES",
				      "FREE"};
	struct table *table = table_new();

	puts("Bytes an entry beyond key and value, for the same data:\n");
	table_column(table, "VALUE", true);
	table_column(table, "ENTRIES", true);
	for (unsigned i = 0; i < o->n_systems; i++)
		table_column(table, o->systems[i]->name, true);
	for (unsigned k = 0; k < n_rows; k++) {
		table_cell(table, "%u", rows[k].value_size);
		table_cell(table, "%llu",
			   (unsigned long long)rows[k].full.n_entries);
		for (unsigned i = 0; i < o->n_systems; i++)
			table_cell(table, "%.1f", overhead_of(o, &rows[k], i));
	}
	table_print(table);

	puts("\nWhere larder's go:\n");
	table = table_new();
	table_column(table, "VALUE", true);
	for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++)
		table_column(table, parts[i], true);
	for (unsigned k = 0; k < n_rows; k++) {
		const struct full *f = &rows[k].full;
		const double value[] = {f->header,  f->index,	 f->clock,
					planned(f), f->rounding, f->tables,
					f->rest};

		table_cell(table, "%u", rows[k].value_size);
		for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++)
			table_cell(table, "%.1f", value[i]);
	}
	table_print(table);
}

static void print_csv(const struct bench_options *o, const struct row *rows,
		      unsigned n_rows)
{
	puts("value_size,entries,system,memory_bytes,overhead_per_entry");
	for (unsigned k = 0; k < n_rows; k++)
		for (unsigned i = 0; i < o->n_systems; i++)
			printf("%u,%llu,%s,%llu,%.2f\n", rows[k].value_size,
			       (unsigned long long)rows[k].full.n_entries,
			       o->systems[i]->name,
			       (unsigned long long)rows[k].memory[i],
			       overhead_of(o, &rows[k], i));
}

static bool plot(const struct bench_options *o, const struct row *rows,
		 unsigned n_rows)
{
	struct plot drawing;
	FILE *to = plot_begin(&drawing);

	if (!to)
		return false;
	fputs("set title 'Bytes an entry beyond key and value'\n"
	      "set style data histograms\nset style fill solid 0.7\n"
	      "set grid ytics\nset key outside\nset xlabel 'value size'\n"
	      "set yrange [0:*]\n$data << EOD\nsize",
	      to);
	for (unsigned i = 0; i < o->n_systems; i++)
		fprintf(to, " %s", o->systems[i]->name);
	for (unsigned k = 0; k < n_rows; k++) {
		fprintf(to, "\n%u", rows[k].value_size);
		for (unsigned i = 0; i < o->n_systems; i++)
			fprintf(to, " %g", overhead_of(o, &rows[k], i));
	}
	fprintf(to,
		"\nEOD\nplot for [i=2:%u] $data using i:xtic(1) title "
		"columnheader(i)\n",
		o->n_systems + 1);
	return plot_end(&drawing, o->plot);
}

/* The segment's bytes and the value sizes, from the operands. */
static unsigned operands_take(const struct bench_options *o, uint64_t *n_bytes,
			      struct row *rows)
{
	static const uint32_t defaults[] = {16, 64, 256, 1024, 4096};
	unsigned n = 0;
	uint64_t size;

	*n_bytes = UINT64_C(256) << 20;
	if (o->n_operands > 0 &&
	    !bench_count_parse("bytes of the segment", o->operands[0],
			       LARDER_SEGMENT_MIN, UINT64_C(1) << 34, n_bytes))
		return 0;
	for (int i = 1; i < o->n_operands; i++) {
		if (!bench_count_parse("value size", o->operands[i], 0,
				       *n_bytes / 64, &size))
			return 0;
		rows[n++].value_size = (uint32_t)size;
	}
	if (n == 0)
		for (; n < sizeof defaults / sizeof defaults[0]; n++)
			rows[n].value_size = defaults[n];
	return n;
}

int bench_overhead(int argc, char **argv)
{
	struct bench_options o;
	struct row rows[SIZES_MAX] = {0};
	struct bench_progress progress;
	uint64_t n_bytes;
	unsigned n_rows;
	int status;

	if (bench_options_parse(&command, argc, argv, &o, &status))
		return status;
	n_rows = operands_take(&o, &n_bytes, rows);
	if (!n_rows)
		return BENCH_USAGE;
	bench_progress_begin(&progress, "value sizes", n_rows);
	for (unsigned k = 0; k < n_rows; k++) {
		bench_progress_step(&progress, "filling");
		if (!measure(&o, &rows[k], n_bytes))
			return BENCH_FAILED;
	}
	bench_progress_end(&progress);
	if (o.json)
		status = print_json(&o, rows, n_rows);
	else if (o.csv)
		print_csv(&o, rows, n_rows);
	else
		print_table(&o, rows, n_rows);
	if (o.plot && !plot(&o, rows, n_rows))
		status = BENCH_FAILED;
	return status;
}
