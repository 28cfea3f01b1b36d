/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bytes FILE...: misses of Larder and of a real memcached that are given the
 * same bytes, with values of mixed sizes.
 *
 * Larder's bytes are those of its whole segment, with every table in it;
 * memcached's are its memory limit, which counts items only. A value has the
 * size that the trace says, or one drawn for its key. Both get the same
 * requests in the same order, a few distinct keys at a time, so that the
 * server's round trips do not take all day; what missed is stored before the
 * next ones are asked for. Every value is verified.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "options.h"
#include "results.h"
#include "rundir.h"
#include "trace/trace.h"
#include "workload.h"

enum { FILES_MAX = 64, SIZES_MAX = 8, BATCH = 16, SWEEP_EVERY = 256 };

static const struct bench_command command = {
	.name = "bytes",
	.usage = "[OPTION...] [BYTES...] FILE...",
	.about = "Misses of recorded requests where the caches are given the "
		 "same bytes (default 64m)\nand values differ in size: as the "
		 "trace says, else as --value-size draws them. Sizes\nabove "
		 "1/64 of the bytes are cut to it. Systems are larder and "
		 "memcached. Of the options,\n--systems, --key-size, "
		 "--value-size, --seed, --json and --csv have a meaning\nhere.",
	.defaults = "--systems larder,memcached --key-size 16 --value-size "
		    "lognormal:1024:1.2 --processes 1 --mix 100:0",
	.max_operands = FILES_MAX,
};

struct row {
	char *trace;
	bool own_sizes;
	double mean_size;
	uint64_t n_bytes, n_requests;
	struct outcome {
		uint64_t misses, refused, memory;
	} of[BENCH_SYSTEMS_MAX];
};

/* Requests of one batch, and the room for their values. */
struct batch {
	struct bench_item get[BATCH], put[BATCH];
	uint32_t id[BATCH];
	unsigned n;
	char *keys, *values, *expected;
};

static uint32_t size_of(const struct bench_plan *plan, const struct trace *t,
			uint32_t id)
{
	uint32_t most = (uint32_t)(plan->cache_bytes / 64);
	uint32_t n = t->size ? t->size[id] : bench_value_size(&plan->sizes, id);

	return n < most ? n : most;
}

static void batch_add(struct batch *b, const struct bench_plan *plan,
		      uint32_t id)
{
	size_t room = plan->sizes.max;
	char *key = b->keys + (size_t)b->n * BENCH_KEY_MAX;

	bench_key_make(key, plan->key_size, id);
	b->id[b->n] = id;
	b->get[b->n] = (struct bench_item){
		.key = {key, plan->key_size, id},
		.value = b->values + b->n * room,
		.n_buffer = room,
	};
	b->n++;
}

static bool batch_has(const struct batch *b, uint32_t id)
{
	for (unsigned i = 0; i < b->n; i++)
		if (b->id[i] == id)
			return true;
	return false;
}

static bool failed(const struct peer *peer, const char *what, int result)
{
	bench_complain("%s: %s: %s", peer->name, what, bench_error(result));
	return false;
}

/* Ask for all of the batch, then store what missed. */
static bool batch_run(struct batch *b, const struct bench_plan *plan,
		      const struct trace *t, const struct peer *peer,
		      void *session, struct outcome *of)
{
	unsigned n_puts = 0;
	int result = peer->get_many(session, b->get, b->n);

	if (result < 0)
		return failed(peer, "get", result);
	for (unsigned i = 0; i < b->n; i++) {
		struct bench_item *item = &b->get[i];
		size_t n = size_of(plan, t, b->id[i]);

		if (item->result == PEER_OK) {
			bench_value_make(b->expected, n, b->id[i], 0);
			if (item->n_value != n ||
			    memcmp(item->value, b->expected, n) != 0)
				return failed(peer, "WRONG VALUE", -EILSEQ);
			continue;
		}
		if (item->result != PEER_MISS)
			return failed(peer, "get", item->result);
		of->misses++;
		bench_value_make(item->value, n, b->id[i], 0);
		b->put[n_puts] = *item;
		b->put[n_puts++].n_value = n;
	}
	b->n = 0;
	if (peer->put_many) {
		result = n_puts ? peer->put_many(session, b->put, n_puts) : 0;
	} else {
		for (unsigned i = 0; i < n_puts; i++) {
			struct bench_item *item = &b->put[i];

			item->result = peer->put(session, &item->key,
						 item->value, item->n_value);
			if (item->result && item->result != -ENOSPC)
				result = item->result;
		}
	}
	for (unsigned i = 0; i < n_puts; i++)
		of->refused += b->put[i].result == -ENOSPC;
	return !result || result == -ENOSPC || failed(peer, "put", result);
}

static bool replay(const struct bench_plan *plan, const struct trace *t,
		   const struct peer *peer, void *session, struct outcome *of)
{
	struct batch *b = bench_alloc(sizeof *b);
	uint64_t n_batches = 0;
	bool fine = true;

	b->keys = bench_alloc(BATCH * BENCH_KEY_MAX);
	b->values = bench_alloc(BATCH * (size_t)plan->sizes.max);
	b->expected = bench_alloc(plan->sizes.max);
	for (uint64_t r = 0; r < t->n_requests && fine; r++) {
		if (b->n == BATCH || batch_has(b, t->id[r])) {
			fine = batch_run(b, plan, t, peer, session, of) &&
			       !bench_interrupted();
			if (peer->sweep && n_batches++ % SWEEP_EVERY == 0)
				peer->sweep(session);
		}
		batch_add(b, plan, t->id[r]);
	}
	fine = fine && batch_run(b, plan, t, peer, session, of);
	free(b->keys);
	free(b->values);
	free(b->expected);
	free(b);
	return fine;
}

static bool run_system(const struct bench_plan *plan, const struct trace *t,
		       const struct peer *peer, struct outcome *of)
{
	void *shared, *session;
	int result = peer->open(plan, &shared);
	bool fine;

	if (result)
		return failed(peer, "cannot be opened", result);
	result = peer->attach(shared, 0, &session);
	if (result) {
		peer->close(shared);
		return failed(peer, "attaching", result);
	}
	fine = replay(plan, t, peer, session, of);
	of->memory = peer->memory(shared);
	peer->detach(session);
	peer->close(shared);
	return fine;
}

static int compare_sizes(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* The plan of one trace and one number of bytes: sizes as they will be. */
static struct bench_plan plan_of(const struct bench_options *o,
				 const struct trace *t, uint64_t n_bytes)
{
	struct bench_plan plan = o->plan;
	uint32_t *sorted = bench_alloc(t->n_distinct * sizeof *sorted);
	double sum = 0;

	plan.cache_bytes = n_bytes;
	plan.n_keys = t->n_distinct;
	for (uint32_t id = 0; id < t->n_distinct; id++) {
		sorted[id] = size_of(&plan, t, id);
		sum += sorted[id];
	}
	qsort(sorted, t->n_distinct, sizeof *sorted, compare_sizes);
	for (uint64_t q = 0; q < BENCH_SIZE_QUANTILES; q++)
		plan.sizes.quantile[q] =
			sorted[q * t->n_distinct / BENCH_SIZE_QUANTILES];
	plan.sizes.mean = sum / t->n_distinct;
	plan.sizes.max = sorted[t->n_distinct - 1] + 1;
	free(sorted);
	return plan;
}

static bool run_trace(const struct bench_options *o, const struct trace *t,
		      const uint64_t *bytes, unsigned n_bytes, struct row *rows,
		      unsigned *n_rows, struct bench_progress *progress)
{
	for (unsigned k = 0; k < n_bytes; k++) {
		struct bench_plan plan = plan_of(o, t, bytes[k]);
		struct row *row = &rows[(*n_rows)++];

		*row = (struct row){.trace = strdup(t->name),
				    .own_sizes = t->size != NULL,
				    .mean_size = plan.sizes.mean,
				    .n_bytes = bytes[k],
				    .n_requests = t->n_requests};
		for (unsigned i = 0; i < o->n_systems; i++) {
			bench_progress_step(progress, t->name);
			if (!run_system(&plan, t, o->systems[i], &row->of[i]))
				return false;
		}
	}
	return true;
}

/* ------------------------------------------------------------------ */

static double ratio(const struct row *row, unsigned i)
{
	return (double)row->of[i].misses / (double)row->n_requests;
}

/* Larder's misses to those of system @i: geometric mean, and the worst. */
static double to_other(const struct bench_options *o, const struct row *rows,
		       unsigned n_rows, unsigned i, double *worst)
{
	double logs = 0;
	unsigned larder = 0;

	while (strcmp(o->systems[larder]->name, "larder"))
		larder++;
	*worst = 0;
	for (unsigned r = 0; r < n_rows; r++) {
		double one = (double)rows[r].of[larder].misses /
			     (double)rows[r].of[i].misses;

		logs += log(one);
		*worst = one > *worst ? one : *worst;
	}
	return exp(logs / n_rows);
}

static bool has_larder(const struct bench_options *o)
{
	for (unsigned i = 0; i < o->n_systems; i++)
		if (!strcmp(o->systems[i]->name, "larder"))
			return true;
	return false;
}

static int print_json(const struct bench_options *o, const struct row *rows,
		      unsigned n_rows)
{
	json_t *cells = json_array(), *means = json_object();

	for (unsigned r = 0; r < n_rows; r++) {
		json_t *miss = json_object(), *refused = json_object();
		json_t *memory = json_object();

		for (unsigned i = 0; i < o->n_systems; i++) {
			json_object_set_new(miss, o->systems[i]->name,
					    json_real(ratio(&rows[r], i)));
			json_object_set_new(
				refused, o->systems[i]->name,
				json_integer(
					(json_int_t)rows[r].of[i].refused));
			json_object_set_new(
				memory, o->systems[i]->name,
				json_integer((json_int_t)rows[r].of[i].memory));
		}
		json_array_append_new(
			cells,
			json_pack("{s:s, s:I, s:f, s:b, s:I, s:o, s:o, s:o}",
				  "trace", rows[r].trace, "bytes",
				  (json_int_t)rows[r].n_bytes, "mean_size",
				  rows[r].mean_size, "sizes_of_the_trace",
				  (int)rows[r].own_sizes, "requests",
				  (json_int_t)rows[r].n_requests, "miss_ratio",
				  miss, "refused", refused, "memory_bytes",
				  memory));
	}
	for (unsigned i = 0; i < o->n_systems && has_larder(o); i++) {
		double worst, mean = to_other(o, rows, n_rows, i, &worst);

		if (strcmp(o->systems[i]->name, "larder") != 0)
			json_object_set_new(means, o->systems[i]->name,
					    json_pack("{s:f, s:f}",
						      "geometric_mean", mean,
						      "worst", worst));
	}
	return json_print(json_pack(
		"{s:s, s:o, s:o, s:s, s:o, s:o}", "command", "bytes", "machine",
		json_of_machine(), "build", json_of_build(), "value_size",
		o->plan.value_size, "cells", cells, "larder_to", means));
}

static void print_csv(const struct bench_options *o, const struct row *rows,
		      unsigned n_rows)
{
	puts("trace,bytes,mean_size,system,miss_ratio,refused,memory_bytes");
	for (unsigned r = 0; r < n_rows; r++)
		for (unsigned i = 0; i < o->n_systems; i++)
			printf("%s,%llu,%.0f,%s,%.6f,%llu,%llu\n",
			       rows[r].trace,
			       (unsigned long long)rows[r].n_bytes,
			       rows[r].mean_size, o->systems[i]->name,
			       ratio(&rows[r], i),
			       (unsigned long long)rows[r].of[i].refused,
			       (unsigned long long)rows[r].of[i].memory);
}

static void print_table(const struct bench_options *o, const struct row *rows,
			unsigned n_rows)
{
	struct table *table = table_new();
	char text[16];

	printf("Share of requests that missed; values %s where the trace has "
	       "no sizes:\n\n",
	       o->plan.value_size);
	table_column(table, "TRACE", false);
	table_column(table, "BYTES", true);
	table_column(table, "MEAN SIZE", true);
	for (unsigned i = 0; i < o->n_systems; i++) {
		table_column(table, o->systems[i]->name, true);
		table_column(table, "TOOK", true);
	}
	for (unsigned r = 0; r < n_rows; r++) {
		table_cell(table, "%s", rows[r].trace);
		table_cell(table, "%s", text_of_bytes(rows[r].n_bytes, text));
		table_cell(table, "%.0f%s", rows[r].mean_size,
			   rows[r].own_sizes ? " (its own)" : "");
		for (unsigned i = 0; i < o->n_systems; i++) {
			table_cell(table, "%.4f", ratio(&rows[r], i));
			table_cell(table, "%s",
				   text_of_bytes(rows[r].of[i].memory, text));
		}
	}
	table_print(table);
	for (unsigned i = 0; i < o->n_systems && has_larder(o); i++) {
		double worst, mean = to_other(o, rows, n_rows, i, &worst);

		if (strcmp(o->systems[i]->name, "larder") != 0)
			printf("Larder's misses to %s's: %.3f (geometric "
			       "mean), at worst %.3f\n",
			       o->systems[i]->name, mean, worst);
	}
}

/* Leading operands that are counts are bytes. The number of them, or 0 after a
 * complaint. */
static unsigned take_bytes(struct bench_options *o, uint64_t *bytes)
{
	unsigned n = 0;

	while (o->n_operands && n < SIZES_MAX &&
	       strspn(o->operands[0], "0123456789") > 0 &&
	       strlen(o->operands[0]) <=
		       strspn(o->operands[0], "0123456789") + 1) {
		if (!bench_count_parse("bytes", o->operands[0],
				       UINT64_C(8) << 20, UINT64_C(1) << 36,
				       &bytes[n++]))
			return 0;
		o->operands++;
		o->n_operands--;
	}
	if (!n)
		bytes[n++] = UINT64_C(64) << 20;
	return n;
}

/* Those that can be told how many bytes they may have. */
static bool systems_take_bytes(const struct bench_options *o)
{
	for (unsigned i = 0; i < o->n_systems; i++)
		if (!(o->systems[i]->flags & PEER_BOUNDED)) {
			bench_complain("%s cannot be given a number of bytes",
				       o->systems[i]->name);
			return false;
		}
	return true;
}

int bench_bytes(int argc, char **argv)
{
	struct bench_options o;
	struct bench_progress progress;
	struct row *rows;
	uint64_t bytes[SIZES_MAX];
	unsigned n_rows = 0, n_bytes;
	int status;
	bool fine = true;

	if (bench_options_parse(&command, argc, argv, &o, &status))
		return status;
	n_bytes = take_bytes(&o, bytes);
	if (!n_bytes || !systems_take_bytes(&o))
		return BENCH_USAGE;
	if (!o.n_operands) {
		bench_complain("which traces? Try --help.");
		return BENCH_USAGE;
	}
	rows = bench_alloc((size_t)o.n_operands * n_bytes * sizeof *rows);
	bench_progress_begin(&progress, "replays",
			     (unsigned)o.n_operands * n_bytes * o.n_systems);
	for (int i = 0; i < o.n_operands && fine; i++) {
		struct trace trace;
		bool pass;

		fine = trace_read_next(o.operands[i], o.n_operands, NULL,
				       o.plan.seed, &trace, &pass) &&
		       (pass || run_trace(&o, &trace, bytes, n_bytes, rows,
					  &n_rows, &progress));
		trace_free(&trace);
	}
	bench_progress_end(&progress);
	rundir_remove();
	if (fine && !n_rows) {
		bench_complain("none of these files is a trace");
		fine = false;
	}
	status = fine ? BENCH_OK : BENCH_FAILED;
	if (fine && o.json)
		status = print_json(&o, rows, n_rows);
	else if (fine && o.csv)
		print_csv(&o, rows, n_rows);
	else if (fine)
		print_table(&o, rows, n_rows);
	for (unsigned i = 0; i < n_rows; i++)
		free(rows[i].trace);
	free(rows);
	return status;
}
