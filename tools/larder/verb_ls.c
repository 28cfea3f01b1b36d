/* SPDX-License-Identifier: Apache-2.0 */
/* larder ls: entries, by pattern, tag, time left, and in some order. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "entry.h"
#include "format.h"
#include "json.h"
#include "table.h"

struct filter {
	const char *match, *tag, *sort;
	uint64_t expiring_ms, limit;
	bool all, invalid, detailed, count;
};

/* One that is to be printed: kept until all are known if they are sorted. */
struct row {
	char *key; /* escaped */
	struct larder_info info;
	struct entry_facts facts;
	uint64_t order;
	bool valid;
};

struct listing {
	struct row *rows;
	size_t n, room;
	uint64_t n_seen, n_bytes;
	struct table *table;
};

static bool has_tag(struct larder_inspector *in, const char *tag)
{
	const char *text;
	size_t n_text;

	for (uint32_t i = 0; larder_inspect_tag(in, i, &text, &n_text) == 0;
	     i++)
		if (n_text == strlen(tag) && !memcmp(text, tag, n_text))
			return true;
	return false;
}

static bool passes(struct larder_inspector *in, const struct filter *f,
		   const struct larder_walk_entry *e)
{
	if (f->invalid ? e->valid : !e->valid && !f->all)
		return false;
	if (f->match &&
	    larder_glob(f->match, strlen(f->match), e->key, e->n_key) != 1)
		return false;
	if (f->expiring_ms && e->info.ttl_left_ms > f->expiring_ms)
		return false;
	return !f->tag || has_tag(in, f->tag);
}

/* What is greatest comes first. */
static uint64_t order_of(const struct filter *f, const struct larder_info *i)
{
	switch (f->sort ? f->sort[0] : 0) {
	case 'a':
		return i->age_ms;
	case 'h':
		return i->hits;
	case 's':
		return i->n_value;
	case 'c':
		return i->cost_ns;
	case 't':
		return UINT64_MAX - i->ttl_left_ms;
	default:
		return 0;
	}
}

static int compare(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? 1 : -1;
	return strcmp(x->key, y->key);
}

static void row_drop(struct row *r)
{
	free(r->key);
	entry_facts_drop(&r->facts);
}

static struct table *new_table(const struct filter *f)
{
	static const struct table_column brief[] = {
		{"KEY", false, true},
		{"SIZE", true, false},
		{"AGE", true, false},
		{"EXPIRES", true, false},
		{"HITS", true, false},
		{"FLAGS", false, false},
		{0},
	};
	static const struct table_column full[] = {
		{"KEY", false, true},
		{"SIZE", true, false},
		{"AGE", true, false},
		{"EXPIRES", true, false},
		{"HITS", true, false},
		{"FLAGS", false, false},
		{"STALE", true, false},
		{"COST MS", true, false},
		{"CLOCK", true, false},
		{"PART", false, false},
		{"STAMP", true, false},
		{"PID", true, false},
		{"VERSION", true, false},
		{"TAGS", false, true},
		{0},
	};

	return table_new(f->detailed ? full : brief);
}

static void print_details(struct table *t, const struct row *r)
{
	char text[64], *tags = entry_tags(&r->facts);

	table_duration(t, r->info.soft_left_ms);
	snprintf(text, sizeof text, "%.3f", (double)r->info.cost_ns / 1e6);
	table_text(t, r->info.cost_ns ? text : "-");
	snprintf(text, sizeof text, "%u", r->facts.counter);
	table_text(t, text);
	table_text(t, r->facts.in_main ? "main" : "probation");
	snprintf(text, sizeof text, "%" PRIu64, r->facts.stamp);
	table_text(t, text);
	snprintf(text, sizeof text, "%" PRIu32, r->info.stored_by_pid);
	table_text(t, r->info.stored_by_pid ? text : "-");
	snprintf(text, sizeof text, "%016" PRIx64, r->info.version);
	table_text(t, text);
	table_text(t, tags);
	free(tags);
}

static void print_row(struct listing *l, const struct filter *f,
		      const struct row *r)
{
	char text[64];

	if (cli.json) {
		json_begin(NULL);
		json_text("key", r->key);
		json_bool("valid", r->valid);
		entry_json(&r->info, &r->facts);
		json_end();
		return;
	}
	table_row(l->table);
	table_text(l->table, r->key);
	table_size(l->table, r->info.n_value);
	table_duration(l->table, r->info.age_ms);
	table_duration(l->table, r->info.ttl_left_ms);
	table_count(l->table, r->info.hits);
	table_text(l->table, entry_flags(text, r->info.flags, r->valid));
	if (f->detailed)
		print_details(l->table, r);
}

/* With --sort and --limit only the first ones are kept, by sorting now and
 * then. */
static void trim(struct listing *l, const struct filter *f)
{
	qsort(l->rows, l->n, sizeof *l->rows, compare);
	while (f->limit && l->n > f->limit)
		row_drop(&l->rows[--l->n]);
}

static void add_row(struct listing *l, const struct filter *f, struct row *r)
{
	if (l->n == l->room && f->limit && l->n >= 2 * f->limit + 1000)
		trim(l, f);
	if (l->n == l->room) {
		l->room = l->room ? l->room * 2 : 1024;
		l->rows = cli_grow(l->rows, l->room * sizeof *l->rows);
	}
	l->rows[l->n++] = *r;
}

static int list(struct larder_inspector *in, const struct filter *f,
		struct listing *l)
{
	struct larder_walk_entry *e = cli_alloc(sizeof *e);
	uint64_t cursor = 0;
	int result;

	e->size_of = sizeof *e;
	while (!(result = larder_inspect_walk(in, &cursor, e))) {
		struct row r = {.info = e->info, .valid = e->valid != 0};

		if (!passes(in, f, e))
			continue;
		l->n_seen++;
		l->n_bytes += e->info.n_value;
		if (f->count)
			continue;
		r.key = format_escape(e->key, e->n_key);
		r.order = order_of(f, &e->info);
		entry_facts_take(in, e, &r.facts);
		if (f->sort) {
			add_row(l, f, &r);
			continue;
		}
		print_row(l, f, &r);
		row_drop(&r);
		if (l->n_seen == f->limit)
			break;
	}
	free(e);
	return result;
}

int cli_ls_run(const struct cli_verb *verb, int argc, char **argv)
{
	static struct filter f;
	const struct cli_option options[] = {
		{"match", "GLOB", "keys that match", CLI_TEXT, &f.match},
		{"tag", "TAG", "entries that carry it", CLI_TEXT, &f.tag},
		{"expiring", "TIME", "entries that expire within it", CLI_MS,
		 &f.expiring_ms},
		{"sort", "BY",
		 "age, hits, size, cost (greatest first), ttl (shortest) or "
		 "key",
		 CLI_TEXT, &f.sort},
		{"limit", "N", "at most so many", CLI_COUNT, &f.limit},
		{"long", NULL, "tags, stamp, cost and more", CLI_FLAG,
		 &f.detailed},
		{"all", NULL, "also what is no longer valid", CLI_FLAG, &f.all},
		{"invalid", NULL, "only what is no longer valid", CLI_FLAG,
		 &f.invalid},
		{"count", NULL, "only how many", CLI_FLAG, &f.count},
		{0},
	};
	char **arguments = cli_parse(verb, options, argc, argv, 1, 1);
	struct listing l = {0};
	struct larder_inspector *in;
	int result, status;

	if (f.match && larder_glob(f.match, strlen(f.match), "", 0) < 0)
		cli_usage(verb, "--match %s: a class or escape does not end",
			  f.match);
	if (f.sort && strcmp(f.sort, "age") && strcmp(f.sort, "hits") &&
	    strcmp(f.sort, "size") && strcmp(f.sort, "cost") &&
	    strcmp(f.sort, "ttl") && strcmp(f.sort, "key"))
		cli_usage(verb,
			  "--sort %s: there are age, hits, size, cost, "
			  "ttl and key",
			  f.sort);
	in = cli_inspect(verb, arguments[0], &status);
	if (!in)
		return status;
	if (cli.json) {
		json_begin(NULL);
		json_begin_list("entries");
	} else if (!f.count) {
		l.table = new_table(&f);
	}
	result = list(in, &f, &l);
	if (f.sort)
		trim(&l, &f);
	for (size_t i = 0; i < l.n; i++) {
		print_row(&l, &f, &l.rows[i]);
		row_drop(&l.rows[i]);
	}
	free(l.rows);
	larder_inspect_close(in);
	if (cli.json) {
		json_end_list();
		json_number("seen", l.n_seen);
		json_number("value_bytes", l.n_bytes);
		json_end();
	} else if (l.table) {
		table_end(l.table);
	} else {
		printf("%" PRIu64 "\n", l.n_seen);
	}
	return result < 0 ? cli_error("%s", larder_strerror(result)) : CLI_FINE;
}
