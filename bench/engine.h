/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Systems, their workers, and turns.
 *
 * Every system of a run is opened and filled once and then waits. A turn wakes
 * the workers of one system and of no other: they warm up, wait for each other,
 * are counted for a while with no timer inside, and are then sampled for a
 * while for the times of single operations. Turns of several systems alternate,
 * so that what disturbs the machine disturbs them alike.
 */
#ifndef LARDER_BENCH_ENGINE_H
#define LARDER_BENCH_ENGINE_H

#include "counters.h"
#include "times.h"
#include "peer.h"

struct turn {
	double mops;	  /* million operations a second, all workers */
	double ns_per_op; /* of one worker */
	uint64_t n_ops, n_gets, n_misses;
	struct counts counts;
	struct latency get, put;
};

struct engine;

/* Open, start and fill @peers; false: complained, and nothing is left. With
 * @pin workers are pinned to processors as far as there are enough. */
bool engine_start(const struct bench_plan *plan,
		  const struct peer *const *peers, unsigned n_peers,
		  struct engine **engine);

/* One turn of system @system with its first @n_active workers. False:
 * complained (a wrong value, a failure, a death). */
bool engine_turn(struct engine *engine, unsigned system, unsigned n_active,
		 struct turn *turn);

/* Who does what in a turn beside the plan's own mix. */
struct company {
	unsigned n_workers; /* of the following roles */
	int role[4];	    /* enum role of worker.h, worker by worker */
	unsigned kill_ms;   /* a worker is killed this often; 0: never */
};

/* As engine_turn(), with roles; what is reported is worker 0's. */
bool engine_turn_company(struct engine *engine, unsigned system,
			 const struct company *company, struct turn *turn,
			 unsigned *n_killed);

/* Bytes the system holds for the data; of them on huge pages; load seconds. */
uint64_t engine_memory(const struct engine *engine, unsigned system);
uint64_t engine_huge(const struct engine *engine, unsigned system);
double engine_load_seconds(const struct engine *engine, unsigned system);

void engine_stop(struct engine *engine);

#endif
