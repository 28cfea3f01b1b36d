/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation of a child, an instruction or a shared access at a time.
 *
 * The child inherits the handle, attaches unless the scenario says otherwise,
 * prepares, and stops before its operation. From there the tracer goes on in
 * one of two ways:
 *
 *   by instruction   the segment is write-protected in the child, so that each
 *                    instruction that stores into it shows itself by its fault
 *                    and is executed alone
 *   by access        the segment is out of the child's reach: it runs freely to
 *                    its next instruction that touches it. To stand still
 * before any other instruction is to stand still before that one.
 *
 * A child can be put back where it was (registers and private memory), so that
 * many things can be tried from one standstill without stepping there again.
 * The segment's bytes are the caller's to put back. x86-64 only.
 */
#ifndef TESTS_CRASH_STEPPER_H
#define TESTS_CRASH_STEPPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <larder/larder.h>

#include "crash/scenario.h"

/* Children that are stopped at the same time. */
enum { CHILDREN = 2 };

struct child {
	pid_t pid;
	unsigned which;	     /* below CHILDREN: where it leaves its answer */
	bool ended;	     /* its operation is over */
	bool crashed;	     /* by a signal of its own */
	int protection;	     /* of the segment, in the child */
	bool at_access;	     /* stopped before an instruction that touches it */
	uint64_t address;    /* that it touches */
	unsigned char *base; /* of the segment */
	uint64_t bytes;
};

void stepper_init(void);

void child_start(struct child *c, unsigned which, struct larder *h,
		 const struct scenario *sc);

/* One instruction. *stored: it wrote to the segment. False once the operation
 * is over. */
bool child_step(struct child *c, bool *stored);

/* To before the next instruction that touches the segment. False once the
 * operation is over. */
bool child_next_access(struct child *c);

/* Let it run to its end; false if it does not come back (a crash). */
bool child_finish(struct child *c);

/* SIGKILL, with the segment within reach, as the kernel's death notice is
 * written through the dead one's mapping. */
void child_kill(struct child *c);

/* Whether the operation had returned, and what. */
bool child_acked(const struct child *c, int *result);

/* Where a child stands, to go back to. */
struct moment;
struct moment *moment_new(void);
void moment_take(struct moment *m, const struct child *c);
void moment_return(const struct moment *m, struct child *c);
void moment_free(struct moment *m);

/* Memory that children do not inherit as their own: never part of a moment. */
void *shared_bytes(size_t n);

#endif
