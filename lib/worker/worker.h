/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread's attachment to a segment: what it owns in there (its slot) and what
 * it remembers privately (hints: losing them loses nothing).
 *
 * The structure lies in memory that the kernel wipes in a forked child, so that
 * a child never takes its parent's slot for its own.
 */
#ifndef LARDER_WORKER_WORKER_H
#define LARDER_WORKER_WORKER_H

#include "segment/segment.h"

enum {
	RETIRE_RING = 8192, /* units this thread retired, oldest first */
	MAGAZINE = 64,	    /* free units a thread keeps of one class */
	MARKS_AHEAD = 8,    /* entries a hand asks for before it meets them */
};

/* Where a hand of this thread was, and what it will meet: store/marks.h. */
struct ahead {
	const atomic_u64 *bits;
	unsigned class;
	uint32_t at; /* looked up to here */
	uint32_t head, tail;
	uint32_t unit[MARKS_AHEAD];
};

struct retired {
	uint32_t unit;
	uint32_t epoch; /* low 32 bits */
};

struct magazine {
	uint32_t n;
	uint32_t unit[MAGAZINE];
};

enum { ROUND_BYTES = 1600 };

/* What each hit needs of its segment, without the step by way of it: that many
 * instructions fewer (cache/usual.h). */
struct near {
	unsigned char *base, *pages; /* the first page */
	const unsigned char *end;
	struct group *groups;
	uint32_t n_groups, first_unit, n_units;
	uint64_t flips[2]; /* of the secret, for keys of 9 to 16 bytes */
};

/*
 * The latest invalidations up to number @now, newest first, and where each
 * one's first two bits are in the greatest mask of tags: cache/recent.h.
 */
enum { RECENT = 16 };
struct recent {
	_Alignas(64) uint32_t word[2][RECENT];
	uint32_t bit[2][RECENT];
	uint32_t fingerprint[RECENT]; /* its lower half */
	uint64_t now;
	uint32_t wild; /* one bit each: look closer, whatever the entry */
};

struct worker {
	struct segment *s; /* NULL in a forked child */
	struct larder *handle;
	uint64_t handle_serial;
	/* The same, in the one that names the road its gets take; both are 0
	 * where readers have to fence. */
	uint64_t usual_serial, storm_serial;
	struct slot *slot;
	struct cell *cell;
	uint64_t pin;	/* as this thread stored it last */
	uint64_t epoch; /* as this thread saw it last */
	struct near near;
	uint64_t attachment; /* its number, of this process and its parents */
	uint32_t index;	     /* of the slot */
	uint32_t generation; /* of the slot */
	/* Versions that this attachment gives: the first, and how many. */
	uint64_t first_version, n_versions;
	uint64_t random;
	atomic_u64 nowhere[2];	 /* see reference_raise() */
	uint32_t sample;	 /* hits until the next sampled one */
	uint32_t sampled;	 /* what it began with */
	uint64_t lagged;	 /* hits that lagged up to then */
	uint64_t n_lagged;	 /* and since then, as far as not counted yet */
	uint32_t n_twice;	 /* those that the storm road looked at twice */
	uint32_t storm_failed;	 /* samples in a row in which most were */
	uint32_t storm_pause;	 /* samples until it is tried anew */
	uint32_t puts;		 /* changes, for upkeep */
	uint32_t retired_upkeep; /* end of the ring when upkeep last advanced */
	uint64_t stored_units;	 /* since then */
	uint64_t last_death_check;
	uint64_t typical_cost; /* of what the hands met, as an estimate */
	struct ahead ahead;
	struct {
		uint32_t unit;
		uint32_t units;
	} lease[N_USER_HAZARDS];
	uint32_t retired_head, retired_tail; /* of the ring at the end */
	struct magazine magazine[MAX_CLASSES];
	/* Whom this thread left the housekeeping to, how far that one was and
	 * since when: maintain.c */
	uint64_t maintainer, maintained, maintainer_ms;
	struct recent recent;
	uint32_t n_leading; /* fills this thread leads, by key hash */
	uint64_t leading[16];
	_Alignas(uint64_t) unsigned char round[ROUND_BYTES]; /* of maintain.c */
	/* Last, as what is between head and tail needs no clearing. */
	struct retired retired[RETIRE_RING];
};

/*
 * This thread's worker for a handle: attaches on first use and after a fork,
 * and moves to the new segment when the old one was closed. NULL with *error
 * set when it cannot.
 */
struct worker *larder_worker_slow(struct larder *handle, int *error);

/* Few: this memory must be had when a program that runs loads the library, and
 * the C library keeps some 500 bytes of it for all who come late. */
enum { MAX_HANDLES = 32 };
extern __thread struct worker *larder_workers[MAX_HANDLES]
	__attribute__((tls_model("initial-exec")));

/* Slot claim and recovery: slot.c */
int larder_slot_claim(struct segment *s, struct worker *w);
void larder_slot_release(struct worker *w);
/* Is the owner of slot i gone? One load. */
bool larder_slot_dead(struct segment *s, uint32_t i);
/* Is (slot, generation) still the same attached thread? */
bool larder_slot_current(struct segment *s, uint32_t i, uint32_t generation);
/* Does /proc tell of the numbers that we know? Where it was mounted in another
 * pid namespace, what has our numbers there is somebody else. */
bool larder_proc_is_ours(void);
/* Is there no thread of this number in our namespace? Where /proc shows none it
 * may only be hidden from us (hidepid). */
bool larder_thread_gone(uint32_t tid);
/* Recover slot i if its owner died. True if this call did. */
bool larder_slot_recover(struct worker *w, uint32_t i);
/* Recover every slot whose owner died; how many this call recovered. The
 * second opinion (proc) is asked only if @thorough. */
uint32_t larder_slots_recover(struct worker *w, bool thorough);

/* Add to a counter whose only writer is us. */
static inline void count_in(struct cell *cell, unsigned counter, uint64_t n)
{
	atomic_u64 *c = &cell->counter[counter];

#if defined(__x86_64__) && !defined(LARDER_TSAN)
	/* Load, add and store in one; compilers leave them apart. */
	__asm__("addq %1, %0" : "+m"(*c) : "er"(n) : "cc");
#else
	store_relaxed(c, load_relaxed(c) + n);
#endif
}

static inline void count(struct worker *w, unsigned counter, uint64_t n)
{
	count_in(w->cell, counter, n);
}

#endif
