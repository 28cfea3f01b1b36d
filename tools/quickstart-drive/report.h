/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was measured, in a person's words beside what was promised, or as JSON.
 */
#ifndef QUICKSTART_REPORT_H
#define QUICKSTART_REPORT_H

#include <stdio.h>

#include "load.h"
#include "process.h"

/* One workload on both servers, the same requests in the same order. */
struct pair {
	const char *what;
	struct load_result with, without;
	uint64_t cpu_with_ns, cpu_without_ns;
	uint32_t n_distinct;
};

struct report {
	struct pair mixed;    /* repeated by popularity, every shape */
	struct pair large;    /* the same, optimal 100 x 50; empty: not run */
	struct pair distinct; /* each asked once; empty: not run */
	struct process_cost cost_with, cost_without;
	uint64_t seed;
	double speed_up; /* of a trace's clock; 0: no trace */
};

/* Both return the number of promises that were not kept. */
int report_print(FILE *f, struct report *r);
int report_json(FILE *f, struct report *r);

#endif
