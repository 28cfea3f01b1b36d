/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop that is measured. What it does beside calling the system, making a
 * key and verifying a value, is the same for all, and short.
 */
#include "worker.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	ROUND = 256, /* operations between looks at the phase */
	SAMPLE_EVERY = 64,
	SLOW_NS = 2000, /* from here on every operation is sampled */
	LOAD_BATCH = 64,
	WARM_LIMIT_NS = 2000 * 1000 * 1000,
};

/* A worker's own things, away from what others write. */
struct run {
	struct worker *w;
	void *session;
	struct worker_cell *cell;
	struct counters counters;
	const uint32_t *at, *first, *last; /* in the stream */
	unsigned batch;
	unsigned n_round;      /* calls between looks at the phase */
	unsigned sample_every; /* calls */
	unsigned until_sample;
	uint32_t dice;
	uint32_t n_writes, write_step;
	uint32_t keep, force; /* of an operation's bits: the role's */
	size_t stride;	      /* of a value's room */
	char *values;
	char *keys;
	struct bench_item *gets, *puts;
};

/* ------------------------------------------------------------------ */
/* Words to wait at                                                    */

void worker_wake(atomic_uint *word, unsigned value)
{
	atomic_store(word, value);
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static unsigned wait_while(atomic_uint *word, unsigned value)
{
	unsigned seen;

	while ((seen = atomic_load(word)) == value)
		syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
	return seen;
}

/* ------------------------------------------------------------------ */
/* Failures                                                            */

static bool failed(struct run *r, const char *what, uint32_t id, int error)
{
	snprintf(r->cell->why, sizeof r->cell->why,
		 "%s: %s of key %u failed: %s (%d)", r->w->peer->name, what, id,
		 bench_error(error), error);
	return false;
}

static bool wrong(struct run *r, uint32_t id, size_t n)
{
	snprintf(r->cell->why, sizeof r->cell->why,
		 "%s: WRONG VALUE under key %u: %zu bytes that are no value of "
		 "it",
		 r->w->peer->name, id, n);
	return false;
}

/* ------------------------------------------------------------------ */
/* One operation after the other                                       */

/* What a worker does between two calls: how much of it the processor can look
 * past decides how many calls wait for memory at once (README.md). */
static inline void other_work(const struct run *r)
{
	for (unsigned i = r->w->plan->work / 2; __builtin_expect(i > 0, 0); i--)
		__asm__ volatile("");
}

static inline uint32_t next_operation(struct run *r)
{
	uint32_t operation = *r->at++;

	if (__builtin_expect(r->at == r->last, 0))
		r->at = r->first;
	return (operation & r->keep) | r->force;
}

static inline __attribute__((always_inline)) bool one(struct run *r, bool timed)
{
	const struct bench_plan *plan = r->w->plan;
	const struct peer *peer = r->w->peer;
	uint32_t operation = next_operation(r);
	uint32_t id = operation & ~OPERATION_PUT;
	char bytes[BENCH_KEY_MAX];
	struct bench_key key = {bytes, plan->key_size, id};
	uint64_t begun = 0;
	size_t n = 0;
	int result;

	other_work(r);
	bench_key_make(bytes, plan->key_size, id);
	r->cell->n_ops++;
	if (operation & OPERATION_PUT) {
		n = bench_value_size(&plan->sizes, id);
		bench_value_make(r->values, n, id,
				 r->n_writes += r->write_step);
		if (timed)
			begun = ticks_now();
		result = peer->put(r->session, &key, r->values, n);
		if (timed)
			latency_add(&r->cell->put,
				    ticks_to_ns(ticks_now() - begun));
		return result == PEER_OK || failed(r, "put", id, result);
	}
	if (timed)
		begun = ticks_now();
	result = peer->get(r->session, &key, r->values, r->stride, &n);
	if (timed)
		latency_add(&r->cell->get, ticks_to_ns(ticks_now() - begun));
	r->cell->n_gets++;
	if (__builtin_expect(result != PEER_OK, 0)) {
		if (result != PEER_MISS)
			return failed(r, "get", id, result);
		r->cell->n_misses++;
		return true;
	}
	return bench_value_right(r->values, n, id, &plan->sizes) ||
	       wrong(r, id, n);
}

/* ------------------------------------------------------------------ */
/* Many at a time                                                      */

static int get_many(struct run *r, struct bench_item *items, size_t n)
{
	const struct peer *peer = r->w->peer;

	if (peer->get_many)
		return peer->get_many(r->session, items, n);
	for (size_t i = 0; i < n; i++) {
		items[i].result =
			peer->get(r->session, &items[i].key, items[i].value,
				  items[i].n_buffer, &items[i].n_value);
		if (items[i].result < 0)
			return items[i].result;
	}
	return 0;
}

static int put_many(struct run *r, struct bench_item *items, size_t n)
{
	const struct peer *peer = r->w->peer;
	int result;

	if (peer->put_many)
		return peer->put_many(r->session, items, n);
	for (size_t i = 0; i < n; i++) {
		result = peer->put(r->session, &items[i].key, items[i].value,
				   items[i].n_value);
		if (result)
			return result;
	}
	return 0;
}

static void make_item(struct run *r, struct bench_item *item, unsigned place,
		      uint32_t id)
{
	char *bytes = r->keys + (size_t)place * BENCH_KEY_MAX;

	bench_key_make(bytes, r->w->plan->key_size, id);
	item->key = (struct bench_key){bytes, r->w->plan->key_size, id};
	item->value = r->values + (size_t)place * r->stride;
	item->n_buffer = r->stride;
}

static void make_put(struct run *r, struct bench_item *item, uint32_t id)
{
	item->n_value = bench_value_size(&r->w->plan->sizes, id);
	bench_value_make(item->value, item->n_value, id,
			 r->n_writes += r->write_step);
}

static bool verify_many(struct run *r, const struct bench_item *items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (items[i].result == PEER_MISS)
			r->cell->n_misses++;
		else if (items[i].result)
			return failed(r, "get", items[i].key.id,
				      items[i].result);
		else if (!bench_value_right(items[i].value, items[i].n_value,
					    items[i].key.id,
					    &r->w->plan->sizes))
			return wrong(r, items[i].key.id, items[i].n_value);
	}
	return true;
}

/* Gets first, then puts: a caller that has both has them apart. A sampled time
 * is that of the whole call, for which each of its keys waits. */
static inline __attribute__((always_inline)) bool many(struct run *r,
						       bool timed)
{
	unsigned n_gets = 0, n_puts = 0;
	uint64_t begun = 0;
	int result;

	other_work(r);
	for (unsigned i = 0; i < r->batch; i++) {
		uint32_t operation = next_operation(r);
		uint32_t id = operation & ~OPERATION_PUT;

		if (operation & OPERATION_PUT) {
			make_item(r, &r->puts[n_puts], i, id);
			make_put(r, &r->puts[n_puts++], id);
		} else {
			make_item(r, &r->gets[n_gets++], i, id);
		}
	}
	r->cell->n_ops += r->batch;
	r->cell->n_gets += n_gets;
	if (n_gets) {
		if (timed)
			begun = ticks_now();
		result = get_many(r, r->gets, n_gets);
		if (timed)
			latency_add(&r->cell->get,
				    ticks_to_ns(ticks_now() - begun));
		if (result < 0)
			return failed(r, "get of many", r->gets[0].key.id,
				      result);
		if (!verify_many(r, r->gets, n_gets))
			return false;
	}
	if (n_puts) {
		if (timed)
			begun = ticks_now();
		result = put_many(r, r->puts, n_puts);
		if (timed)
			latency_add(&r->cell->put,
				    ticks_to_ns(ticks_now() - begun));
		if (result < 0)
			return failed(r, "put of many", r->puts[0].key.id,
				      result);
	}
	return true;
}

/* ------------------------------------------------------------------ */
/* A turn                                                              */

static bool round_counted(struct run *r)
{
	bool fine = true;

	for (unsigned i = 0; i < r->n_round && fine; i++)
		fine = r->batch > 1 ? many(r, false) : one(r, false);
	return fine;
}

/* One in sample_every, at random: what a system does every so many calls must
 * not fall on a sample each time, or never. */
static unsigned next_sample(struct run *r)
{
	r->dice = r->dice * 1664525 + 1013904223;
	return 1 +
	       (unsigned)((uint64_t)r->dice * (2 * r->sample_every - 1) >> 32);
}

static bool round_sampled(struct run *r)
{
	bool fine = true;

	for (unsigned i = 0; i < r->n_round && fine; i++) {
		bool timed = --r->until_sample == 0;

		if (timed)
			r->until_sample = next_sample(r);
		if (r->batch > 1)
			fine = timed ? many(r, true) : many(r, false);
		else
			fine = timed ? one(r, true) : one(r, false);
	}
	return fine;
}

static void zero_counts(struct worker_cell *cell)
{
	cell->n_ops = cell->n_gets = cell->n_misses = 0;
}

/* Which bits of the stream count: all, or those of a reader or writer only. */
static void take_role(struct run *r, enum role role)
{
	r->keep = role == ROLE_READ ? ~OPERATION_PUT : ~UINT32_C(0);
	r->force = role == ROLE_WRITE ? OPERATION_PUT : 0;
}

/* Others are measured beside this one. */
static bool turn_sweeping(struct run *r)
{
	struct system_area *area = r->w->area;
	unsigned phase;

	atomic_fetch_add(&area->arrived, 1);
	while ((phase = atomic_load(&area->phase)) != PHASE_REST &&
	       phase != PHASE_QUIT) {
		if (r->w->peer->sweep && r->w->peer->sweep(r->session) < 0)
			return failed(r, "sweep", 0, -EIO);
		sched_yield();
	}
	atomic_fetch_add(&area->finished, 1);
	return true;
}

static bool turn(struct run *r)
{
	struct system_area *area = r->w->area;
	struct worker_cell *cell = r->cell;
	struct counts before;
	uint64_t begun, n_ops, n_gets, n_misses;
	bool fine = true;

	if (area->role[r->w->index] == ROLE_SWEEP)
		return turn_sweeping(r);
	take_role(r, area->role[r->w->index]);
	memset(&cell->get, 0, sizeof cell->get);
	memset(&cell->put, 0, sizeof cell->put);
	/* One round before it says that it is here: pages and predictors. */
	fine = round_counted(r);
	atomic_fetch_add(&area->arrived, 1);
	while (fine && atomic_load(&area->phase) == PHASE_WARM)
		fine = round_counted(r);

	zero_counts(cell);
	counters_read(&r->counters, &before);
	begun = bench_now_ns();
	/* A round at least, whoever kept it from the processor meanwhile. */
	do
		fine = fine && round_counted(r);
	while (fine &&
	       atomic_load_explicit(&area->phase, memory_order_relaxed) ==
		       PHASE_COUNT);
	cell->ns = bench_now_ns() - begun;
	counters_since(&r->counters, &before, &cell->counts);
	n_ops = cell->n_ops;
	n_gets = cell->n_gets;
	n_misses = cell->n_misses;

	/* Calls that take microseconds cost more than their timer. */
	r->sample_every = SAMPLE_EVERY / r->batch;
	if (n_ops && cell->ns / n_ops * r->batch >= SLOW_NS)
		r->sample_every = 1;
	if (!r->sample_every)
		r->sample_every = 1;
	r->until_sample = next_sample(r);
	do
		fine = fine && round_sampled(r);
	while (fine &&
	       atomic_load_explicit(&area->phase, memory_order_relaxed) ==
		       PHASE_SAMPLE);
	cell->n_ops = n_ops;
	cell->n_gets = n_gets;
	cell->n_misses = n_misses;
	if (r->w->peer->rest)
		r->w->peer->rest(r->session);
	atomic_fetch_add(&area->finished, 1);
	return fine;
}

/* ------------------------------------------------------------------ */
/* Before the turns                                                    */

static bool load(struct run *r)
{
	const struct bench_plan *plan = r->w->plan;
	const struct peer *peer = r->w->peer;
	uint64_t begun = bench_now_ns();
	int result;

	for (uint64_t i = 0; i < plan->n_keys;) {
		unsigned n = 0;

		for (; n < LOAD_BATCH && i < plan->n_keys; n++, i++) {
			uint32_t id = bench_load_id(plan, i);

			make_item(r, &r->puts[n], n, id);
			make_put(r, &r->puts[n], id);
		}
		result = peer->load ? peer->load(r->session, r->puts, n)
				    : put_many(r, r->puts, n);
		if (result)
			return failed(r, "load", r->puts[0].key.id, result);
	}
	r->w->area->load_seconds = (double)(bench_now_ns() - begun) / 1e9;
	if (peer->memory)
		r->w->area->memory = peer->memory(r->w->shared);
	if (peer->huge)
		r->w->area->huge = peer->huge(r->w->shared);
	return true;
}

/* Each worker reads everything once, so that what it maps is mapped; slow
 * systems as much of it as two seconds allow. */
static bool read_all(struct run *r)
{
	const struct bench_plan *plan = r->w->plan;
	uint64_t begun = bench_now_ns();

	for (uint64_t i = 0; i < plan->n_keys;) {
		unsigned n = 0;
		int result;

		for (; n < LOAD_BATCH && i < plan->n_keys; n++, i++)
			make_item(r, &r->gets[n], n, bench_load_id(plan, i));
		result = get_many(r, r->gets, n);
		if (result < 0)
			return failed(r, "get", r->gets[0].key.id, result);
		if (!verify_many(r, r->gets, n))
			return false;
		if (bench_now_ns() - begun > WARM_LIMIT_NS)
			break;
	}
	return true;
}

static void pin(int processor)
{
	cpu_set_t set;

	if (processor < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	sched_setaffinity(0, sizeof set, &set);
}

static void run_prepare(struct run *r, struct worker *w)
{
	const struct bench_plan *plan = w->plan;
	size_t n_items;

	*r = (struct run){.w = w, .cell = &w->area->cell[w->index]};
	r->batch = plan->batch;
	if ((w->peer->flags & PEER_PIPELINED) && r->batch == 1)
		r->batch = plan->pipeline;
	r->keep = ~UINT32_C(0);
	r->write_step = w->peer->flags & PEER_TEARS ? 0 : 1;
	r->n_round = r->batch >= ROUND ? 1 : ROUND / r->batch;
	r->first = w->stream->operation;
	r->last = r->first + w->stream->n;
	r->at = r->first;
	r->stride = (plan->sizes.max + 64 + 63) & ~(size_t)63;
	n_items = r->batch > LOAD_BATCH ? r->batch : LOAD_BATCH;
	r->values = aligned_alloc(64, n_items * r->stride);
	if (!r->values)
		abort();
	memset(r->values, 0, n_items * r->stride);
	r->keys = bench_alloc(n_items * BENCH_KEY_MAX);
	r->gets = bench_alloc(n_items * sizeof *r->gets);
	r->puts = bench_alloc(n_items * sizeof *r->puts);
}

void worker_victim(struct worker *w)
{
	struct run run;

	run_prepare(&run, w);
	if (w->peer->attach(w->shared, w->index, &run.session))
		return;
	while (round_counted(&run))
		;
}

bool worker_run(struct worker *w)
{
	struct system_area *area = w->area;
	struct run run;
	unsigned phase, seen;
	bool fine;
	int result;

	pin(w->processor);
	run_prepare(&run, w);
	if (w->index > 0)
		wait_while(&area->loaded, 0);
	result = w->peer->attach(w->shared, w->index, &run.session);
	if (result)
		return failed(&run, "attaching before the get", 0, result);
	fine = w->index > 0 || load(&run);
	if (w->index == 0)
		worker_wake(&area->loaded, 1);
	fine = fine && read_all(&run);
	if (w->peer->rest)
		w->peer->rest(run.session);
	counters_open(&run.counters);
	atomic_fetch_add(&area->ready, 1);

	while (fine &&
	       (phase = wait_while(&area->phase, PHASE_REST)) != PHASE_QUIT) {
		seen = atomic_load(&area->turn);
		if (w->index < area->n_active)
			fine = turn(&run);
		while (fine && atomic_load(&area->turn) == seen &&
		       (phase = atomic_load(&area->phase)) != PHASE_REST &&
		       phase != PHASE_QUIT)
			wait_while(&area->phase, phase);
	}
	counters_close(&run.counters);
	w->peer->detach(run.session);
	free(run.values);
	free(run.keys);
	free(run.gets);
	free(run.puts);
	return fine;
}
