/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation of a child, an instruction at a time.
 *
 * The child inherits the handle, attaches unless the scenario says otherwise,
 * and stops before its operation; step() lets it execute one instruction.
 */
#ifndef TESTS_CRASH_STEPPER_H
#define TESTS_CRASH_STEPPER_H

#include <stdbool.h>
#include <sys/types.h>

#include <larder/larder.h>

#include "segment/segment.h"

struct scenario {
	const char *name;
	/* Brings the segment into its starting state. */
	void (*setup)(struct larder *h);
	/* The child's operation; what it returns is its acknowledgement. */
	int (*operation)(struct larder *h);
	/* NULL, or why what is there now is wrong. @acked: the operation had
	 * returned @result before the death. Called after recovery. */
	const char *(*check)(struct larder *h, bool acked, int result);
	bool unattached; /* attaching is part of the operation */
	bool unsettled;	 /* the sweep would undo the starting state */
};

extern const struct scenario scenarios[];
extern const unsigned n_scenarios;

/* Scripts that another process runs while the child stands still. */
struct script {
	const char *name;
	void (*run)(struct larder *h);
};
extern const struct script scripts[];
extern const unsigned n_scripts;

struct child {
	pid_t pid;
	bool ended; /* its operation is over */
};

enum { SEGMENT_BYTES = 1 << 20, SAW_TORN = 7777 };

void child_start(struct child *c, struct larder *h, const struct scenario *sc);
/* False once the operation is over. */
bool child_step(struct child *c);
/* Let it run to its end; false if it does not come back (a crash). */
bool child_finish(struct child *c);
void child_kill(struct child *c);
/* Whether the operation had returned, and what. */
bool child_acked(int *result);

void stepper_init(void);

#endif
