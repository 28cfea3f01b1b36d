/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment in a starting state, to go back to again and again, and what must
 * hold in it afterwards. In one sentence each:
 *
 *   kept      what was acknowledged is there
 *   whole     what was not acknowledged is there whole or not at all
 *   found     after one sweep no entry is left over but those that wait for
 *             their grace period, and after that none
 *   go on     every other process's operations complete
 */
#ifndef TESTS_CRASH_STAGE_H
#define TESTS_CRASH_STAGE_H

#include "crash/scenario.h"

struct stage {
	const struct scenario *sc;
	int fd;
	struct larder *h;
	struct segment *s;
	unsigned char *live, *start;
};

void stage_build(struct stage *st, const struct scenario *sc);
void stage_reset(struct stage *st);
void stage_free(struct stage *st);

/* What a maintainer does in one round, whoever is the maintainer. */
void sweep_once(struct larder *h);

/* In a copied or rewound segment a dead one is not dead yet: say so, as the
 * kernel would. */
void mark_dead(struct segment *s, pid_t pid);

/* The segment of @h has a dead owner somewhere: look, recover, look again; see
 * the sentences above. NULL, or what is wrong. */
const char *recover_and_look(struct larder *h, const struct scenario *sc,
			     const char *letters, bool other_may_go);

/* With all garbage swept, what does the slot of @pid keep from being used
 * again? NULL if it is at most its own few entries, and pages that are its own;
 * no page if it only @reads. */
const char *kept_back(struct larder *h, pid_t pid, bool reads);

/* ------------------------------------------------------------------ */

struct total {
	unsigned long scenarios, instructions, accesses, states, deaths, stalls,
		pairs, failures;
	/* By scripts, while a child stood still. */
	unsigned long expulsions, moves;
	/* At most, by one that stood still. */
	unsigned long most_kept;
};
extern struct total total;

/* A counter of the segment, of all slots together. */
uint64_t counted(const struct segment *s, unsigned counter);

/* Report a failure. The first of them decide; with stop_at_first the process
 * ends there. */
extern bool stop_at_first;
void failure(const char *scenario, const char *mode, unsigned long at,
	     const char *what);

/* The modes. @stride: every how many accesses. */
void try_death(const struct scenario *sc);
void try_kills(const struct scenario *sc, unsigned n);
void try_stalls(const struct scenario *sc, unsigned stride,
		const char *only_script);
void try_pairs(const char *only, unsigned stride);
void try_creation(void);
int try_mutants(const char *only);
/* Any of death, kill, stall and pairs; all scenarios, or the one so named. How
 * many failures; that there is none of the name is one. */
unsigned long try_named(const char *mode, unsigned n, const char *only,
			const char *script);

/* What a mode was doing when it hung. */
extern char doing[160];

#endif
