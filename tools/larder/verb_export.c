/* SPDX-License-Identifier: Apache-2.0 */
/*
 * larder export: Prometheus' text format. Names and help of the counters are
 * the library's own; the segment's path is a label, so that several can be
 * scraped together.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "show.h"

static const char *segment;

static void metric(const char *name, const char *type, const char *help)
{
	printf("# HELP larder_%s %s\n# TYPE larder_%s %s\nlarder_%s{segment=\"",
	       name, help, name, type, name);
	for (const char *c = segment; *c; c++) {
		if (*c == '\\' || *c == '"')
			putchar('\\');
		if (*c == '\n')
			fputs("\\n", stdout);
		else
			putchar(*c);
	}
	fputs("\"} ", stdout);
}

static void gauge(const char *name, const char *help, uint64_t n)
{
	metric(name, "gauge", help);
	printf("%" PRIu64 "\n", n);
}

/* Base units only: what the library counts in nanoseconds goes out in
 * seconds. */
static void counter(size_t i, uint64_t n)
{
	const char *own = larder_counter_name(i);
	size_t length = strlen(own);
	char name[96];

	if (length > 3 && !strcmp(own + length - 3, "_ns")) {
		snprintf(name, sizeof name, "%.*s_seconds_total",
			 (int)length - 3, own);
		metric(name, "counter", larder_counter_help(i));
		printf("%.9f\n", (double)n / 1e9);
		return;
	}
	snprintf(name, sizeof name, "%s_total", own);
	metric(name, "counter", larder_counter_help(i));
	printf("%" PRIu64 "\n", n);
}

int cli_export_run(const struct cli_verb *verb, int argc, char **argv)
{
	char **arguments = cli_parse(verb, NULL, argc, argv, 1, 1);
	struct larder_inspector *in;
	struct sample s;
	int status;

	in = cli_inspect(verb, arguments[0], &status);
	if (!in)
		return status;
	segment = cli_path(verb, arguments[0]);
	sample_take(in, &s);
	larder_inspect_close(in);
	gauge("entries", "Entries in the segment", s.usage.n_entries);
	gauge("size_bytes", "Size of the segment", s.usage.bytes_total);
	gauge("used_bytes", "Bytes that entries occupy", s.usage.bytes_used);
	gauge("value_bytes", "Bytes of keys and values", s.usage.bytes_values);
	gauge("free_bytes", "Bytes of free objects and pages",
	      s.usage.bytes_free);
	gauge("retired_bytes", "Bytes that wait for their grace period",
	      s.usage.bytes_retired);
	gauge("kept_bytes", "Bytes of entries exempt from eviction",
	      s.usage.bytes_kept);
	gauge("workers", "Threads attached", s.usage.n_workers);
	gauge("worker_slots", "Threads that may be attached at once",
	      s.info.n_slots);
	metric("overhead_bytes_per_entry", "gauge",
	       "Header, index and eviction state of an entry");
	printf("%.6g\n", s.info.overhead_per_entry);
	for (size_t i = 0; i < larder_n_counters(); i++)
		counter(i, s.counters[i]);
	sample_drop(&s);
	return CLI_FINE;
}
