/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker of one system: the loop that is measured, and what the harness and
 * the workers share about it.
 *
 *   field      written by            read by
 *   phase      harness               workers, once a round of operations
 *   arrived    workers, at a turn    harness: all are warm
 *   finished   workers, at its end   harness: the cells are complete
 *   cell       its worker            harness, after finished or a death
 */
#ifndef LARDER_BENCH_WORKER_H
#define LARDER_BENCH_WORKER_H

#include <stdatomic.h>

#include "counters.h"
#include "times.h"
#include "peer.h"
#include "workload.h"

enum phase { PHASE_REST, PHASE_WARM, PHASE_COUNT, PHASE_SAMPLE, PHASE_QUIT };

enum role { ROLE_MIX, ROLE_READ, ROLE_WRITE, ROLE_SWEEP };

struct worker_cell {
	_Alignas(128) char why[200]; /* not empty: it failed, and why */
	uint64_t n_ops, n_gets, n_misses, ns;
	struct counts counts;
	struct latency get, put;
};

struct system_area {
	_Alignas(128) atomic_uint phase; /* futex word */
	atomic_uint turn;		 /* raised before a turn begins */
	unsigned n_active;
	enum role role[BENCH_WORKERS_MAX];
	_Alignas(128) atomic_uint loaded; /* futex word */
	atomic_uint ready;
	atomic_uint arrived;
	atomic_uint finished;
	uint64_t memory, huge;
	double load_seconds;
	struct worker_cell cell[];
};

struct worker {
	const struct bench_plan *plan;
	const struct peer *peer;
	void *shared;
	struct system_area *area;
	const struct bench_stream *stream;
	unsigned index;
	int processor; /* to be pinned to, or -1 */
};

/* All a worker does, until PHASE_QUIT. False: its cell says why. */
bool worker_run(struct worker *worker);

/* What is killed: attaches and works until somebody ends it. */
void worker_victim(struct worker *worker);

void worker_wake(atomic_uint *word, unsigned value);

#endif
