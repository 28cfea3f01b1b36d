/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is tried: operations x starting states, and scripts of others.
 *
 * All of it is about one key, KEY. What stands under it is told by a letter,
 * and what an operation or a script makes of it by a function from letter to
 * letters; so what may be there after a death or a standstill is computed and
 * not written down scenario by scenario.
 *
 *   -   nothing           a   stored by the starting state, small
 *   s   nothing, and an   A   the same, a run of pages
 *       invalidation      b   stored by the operation, small
 *       has returned      B   the same, a run of pages
 *   e   a, and an invalidation of a tag that it has not has returned
 *   z   stored by a       c   a counter at 100;   d  at 101, f at 102
 *       script, small     i   at 110;             j  at 111, k at 112
 *   p   stored by the starting state, to be kept;   q   by the operation
 *   !   torn, or of no kind above
 */
#ifndef TESTS_CRASH_SCENARIO_H
#define TESTS_CRASH_SCENARIO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <larder/larder.h>

#include "segment/segment.h"

#define KEY   "the key", 7
#define OTHER "another", 7
enum {
	SMALL = 24,   /* bytes of a small value */
	LARGE = 9000, /* of a state's run, of three pages */
	RUN = 5000,   /* of an operation's run, of two */
	N_SLOTS = 8,
	SEGMENT_BYTES = 1 << 20,
};

/* What an operation saw that must never be seen. */
enum { SAW_TORN = 7777, SAW_WRONG = 7778, FOUND_LEAK = 7779 };

struct state {
	const char *name;
	void (*setup)(struct larder *h);
	const char *before; /* letters: what may be under KEY */
	bool unsettled;	    /* a sweep would undo it */
	bool pressed;	    /* entries may be evicted to make room */
	bool crowded;	    /* the same, of KEY's group only */
	bool elsewhere;	    /* OTHER is not stored */
	bool helped;	    /* a living process is part of it */
};

struct operation {
	const char *name;
	/* In the child, before it is stopped. */
	void (*prepare)(struct larder *h);
	/* What is stepped; returning 0 it acknowledges. */
	int (*run)(struct larder *h);
	/* What it makes of a letter if it is acknowledged with 0. */
	const char *(*after)(char before);
	uint64_t states;  /* relevant ones, by BIT(enum) */
	bool unattached;  /* attaching is part of the operation */
	bool takes_other; /* OTHER may go */
	bool reads;	  /* it has no page in hand, ever */
	bool hits;	  /* successful only if KEY is there */
	bool dated;	  /* its value is as old as its call: what an
			     invalidation since then makes of it is right */
};

struct scenario {
	const struct operation *operation;
	const struct state *state;
};

/* Others while the child stands still. NULL, or what was wrong. */
struct script {
	const char *name;
	const char *(*run)(struct larder *h);
	const char *(*after)(char before);
	const char *beside; /* only this operation */
	/* After the child came through. NULL, or what is wrong. */
	const char *(*check)(struct larder *h);
	bool takes_other;
	bool invalidates;
	bool counts; /* it sweeps: what is left over is counted */
};

#define BIT(n) (UINT64_C(1) << (n))

extern const struct state states[];
extern const unsigned n_states;
extern const struct operation operations[];
extern const unsigned n_operations;
extern const struct script scripts[];
extern const unsigned n_scripts;

enum {
	S_ABSENT,
	S_PRESENT,
	S_GROUP_FULL,
	S_GROUP_FULL_PRESENT,
	S_MEMORY_FULL,
	S_MEMORY_FULL_PRESENT,
	S_PENDING,
	S_PENDING_BESIDE,
	S_COUNTER,
	S_EXPIRED,
	S_TAGGED,
	S_LAGGING,
	S_HALF_INVALIDATED,
	S_RUN,
	S_RUN_HALF_CLAIMED,
	S_RUN_HALF_FREED,
	S_PAGE_CLAIMED,
	S_PAGE_DRAINING,
	S_DEAD_FILLING,
	S_DEAD_LINKED,
	S_DEAD_UNLINKED,
	S_DEAD_LEASING,
	S_DEAD_PINNED,
	S_DEAD_MAINTAINER,
	S_SLOTS_FULL,
	S_PATTERNS_CLAIMED,
	S_PATTERN_DRAWING,
	S_FLIGHT_DEAD,
	S_FLIGHT_LED,
	S_REGION_HALF,
	S_GARBAGE,
	S_SET_FULL,
	S_WARM,
	S_WARM_FULL,
	S_KEPT,
	S_KEPT_ALONE,
	S_KEPT_FULL,
	S_KEPT_DRAINING,
	S_KEPT_HALF_MOVED,
	S_MARKED,
	N_STATES,
};

/* "put, memory full" */
const char *scenario_name(const struct scenario *sc);

/* The letter under KEY. */
char letter_of(struct larder *h);

/* Letters after the operation (acknowledged with success or not at all), and
 * after operation and script in either order; only the script first if the
 * operation had not @begun. */
void letters_after(const struct scenario *sc, bool acked, int result,
		   char letters[16]);
void letters_with(const struct scenario *sc, const struct script *script,
		  int result, bool begun, char letters[16]);

/* May it have succeeded, given what was there while it ran? @script may be
 * NULL. */
bool may_succeed(const struct scenario *sc, const struct script *script,
		 bool begun);

/* NULL, or why what is there cannot be. */
const char *look(struct larder *h, const struct scenario *sc,
		 const char *letters, bool other_may_go);

/* Helpers of states, operations and scripts. */
void must(int result);
int put_letter(struct larder *h, const char *key, size_t n_key, char letter,
	       size_t n, const struct larder_put_options *o);
struct worker *worker(struct larder *h);
struct group *group_of_key(const struct segment *s, const char *key,
			   size_t n_key);
/* The i-th key beside KEY in its group, printed to @key of 16 bytes. */
size_t neighbour(const struct segment *s, unsigned i, char *key);
/* The i-th key beside KEY in its set of invalidated keys. */
size_t set_neighbour(const struct segment *s, unsigned i, char *key);
/* Unit of KEY's entry, 0 if it is not linked. */
uint32_t unit_of_key(struct larder *h);
unsigned small_class(const struct segment *s);
/* Empty @n pages from KEY's on, and give them back free. False: not possible.
 */
bool drain_key(struct larder *h, uint32_t n);

/* Does the dead one leave the slot that the next claim meets first? */
extern bool dead_comes_first;

/* The living process that is part of a state; 0: none. */
extern pid_t helper_pid;
void helper_end(void);

#endif
