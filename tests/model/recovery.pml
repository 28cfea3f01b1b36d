/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery: what a dead worker leaves is put right by whoever comes first, and
 * again by the next one if that dies too.
 *
 * Modelled: one worker slot with its robust mutex, generation, HAZARD_NEW and
 * counter; its owner, who allocates, announces, links and publishes an entry
 * and counts it; recoverers; a claimant, who recovers by taking the slot over
 * and then works with it; a sweeper; a remover, who unlinks the entry as soon
 * as it is linked. A killer ends any of them between any two steps, KILLS times
 * in all. When all have ended, one sweep and one recovery follow. Functions:
 * lib/worker/slot.c, larder_slab_recover_unit(), finish_orphan(), sweep_live().
 *
 * Asserted
 *   mine      nobody finishes or frees what a living owner has in hand, or
 *             writes into the slot of a living owner
 *   linked    at the end: what is linked is LIVE, what is not is neither ALLOC
 *             nor LIVE, the slot is empty
 *   counted   every operation that ended is counted, none twice: the counter
 *             is between the operations ended and those begun, and what the
 *             claimant shows as its own is what it did
 *
 * Left out: the kernel's part (a mutex of the dead says so, to one at a time),
 * reclamation, the index's words (announcing and linking are one step each),
 * reuse of the unit.
 *
 * Sizes and parts
 *   KILLS       deaths
 *   RECOVERERS  0 to 2; CLAIM SWEEP REMOVE: who else takes part
 *   STAYS       the claimant keeps the slot
 *   FORGET_UNIT it recovers nothing: the sweep has to find it
 */
#ifndef KILLS
#define KILLS 2
#endif
#ifndef RECOVERERS
#define RECOVERERS 1
#endif
#define PROCESSES 7
#define UNIT 1
#define OWN 2 /* what the claimant has in hand */

/* The slot. */
mtype = { UNHELD, HELD, OWNER_DIED };
mtype mutex = HELD;
byte generation = 1; /* odd: claimed */
byte hazard_new;
byte counter, baseline, folded;

/* The unit. */
mtype = { FREE, ALLOC, LIVE, RETIRED };
mtype state = FREE;
byte alloc_generation;
bool announced, linked;

/* Ghosts. */
bool alive[PROCESSES + 1] = true, finished[PROCESSES + 1];
bool holds[PROCESSES + 1]; /* the mutex */
byte allocator, begun, ended, n_over, n_started, kills;

#define OVER atomic { finished[_pid] = true; n_over++ }

inline unlock()
{
	/* step: unlock */
	d_step { mutex = UNHELD; holds[_pid] = false }
}

/* Announcements are completed by anyone. */
inline help()
{
	/* step: help */
	d_step {
		if
		:: announced ->
			assert(state == ALLOC || state == LIVE); /* linked */
			linked = true;
			announced = false
		:: else
		fi
	}
}

/* A CAS of the header by somebody else than its owner. */
inline finish(to)
{
	/* step: finish-orphan */
	d_step {
		if
		:: state == ALLOC && alloc_generation == seen ->
			assert(!alive[allocator]); /* mine */
			state = to
		:: else
		fi
	}
}

/* finish_orphan() of an ALLOC of generation @seen. */
inline finish_orphan()
{
	/* step: finish-orphan */
#ifndef MUT_NO_HELP
	help();
#endif
	is_linked = linked;
#ifdef MUT_FINISH_BLIND
	is_linked = false;
#endif
	if
	:: is_linked -> finish(LIVE)
	:: else -> finish(RETIRED)
	fi;
	d_step { is_linked = false; seen = 0 }
}

/* larder_slab_recover_unit(): @g is the dead owner's generation. */
inline recover_unit(g)
{
	/* step: recover-unit */
	seen = alloc_generation;
	if
	:: state == ALLOC && seen == g -> finish_orphan()
	:: else
	fi
}

proctype owner() provided(alive[_pid])
{
	byte n;

	begun++;
	/* FREE -> ALLOC. step: allocate */
	hazard_new = UNIT;
	d_step {
		state = ALLOC;
		alloc_generation = generation;
		allocator = _pid
	}
	announced = true; /* step: announce */
	help();
	d_step { /* step: publish */
		if
		:: state == ALLOC -> state = LIVE
		:: else
		fi
	}
	assert(mutex == HELD && hazard_new == UNIT); /* mine */
	hazard_new = 0;
	n = counter; /* step: count */
	d_step { counter = n + 1; ended++ }
	hazard_new = 0; /* step: release */
	generation++;
	unlock();
	OVER
}

/* larder_slot_recover() */
proctype recoverer() provided(alive[_pid])
{
	byte n, g, seen, unit;
	bool is_linked;

	do
	:: atomic { /* step: take-dead */
#ifdef MUT_NO_LOCK
		mutex == OWNER_DIED || holds[_pid]
	   }
#else
#ifdef MUT_TAKE_LIVING
		mutex != UNHELD;
#else
		mutex == OWNER_DIED;
#endif
		mutex = HELD;
		holds[_pid] = true
	   }
#endif
	   /* step: clean */
	   g = generation;
	   unit = hazard_new;
	   if
	   :: unit == UNIT -> recover_unit(g)
	   :: else
	   fi;
	   hazard_new = 0;
	   if
	   :: g & 1 -> generation = g + 1
	   :: else
	   fi;
#ifdef MUT_NO_LOCK
	   break
#else
	   unlock();
	   break
#endif
	:: n_over >= n_started - RECOVERERS -> break
	od;
	OVER
}

#ifdef CLAIM
/* larder_slot_claim(), one operation, larder_slot_release() */
proctype claimant() provided(alive[_pid])
{
	byte n, g, seen, unit;
	bool is_linked;

	atomic { /* step: claim */
		mutex != HELD;
		mutex = HELD;
		holds[_pid] = true
	}
	unit = hazard_new;
	g = generation;
	hazard_new = 0;
	if
	:: g & 1 -> generation = g + 1
	:: else
	fi;
#ifdef MUT_FOLD
	/* The totals are kept elsewhere, and the cell begins from nothing. */
	n = folded;
	folded = n + counter;
	counter = 0;
#endif
	baseline = counter; /* step: inherit */
	/* step: identify */
#ifdef MUT_GENERATION_KEPT
	generation = g;
#else
	generation++;
#endif
#ifndef FORGET_UNIT
	if
	:: unit == UNIT -> recover_unit(g)
	:: else
	fi;
#endif
	/* An operation of its own. step: count */
	begun++;
	hazard_new = OWN;
	assert(mutex == HELD && (generation & 1));
	assert(hazard_new == OWN); /* mine */
	n = counter;
	d_step { counter = n + 1; ended++ }
	assert(counter - baseline == 1); /* counted */
	hazard_new = 0;
#ifndef STAYS
	generation++; /* step: release */
	unlock();
#endif
	OVER
}
#endif

#ifdef REMOVE
proctype remover() provided(alive[_pid])
{
	atomic { /* step: unlink */
		linked;
		linked = false
	}
	/* From ALLOC too. step: retire */
	d_step {
		if
		:: state == ALLOC || state == LIVE -> state = RETIRED
		:: else
		fi
	}
	OVER
}
#endif

/* Is the ALLOC that was seen nobody's any more? alloc_orphaned() */
#ifdef MUT_OWNER_ONLY
#define ORPHANED (mutex != HELD)
#else
/* The mutex may be held by who recovers the slot: larder_slot_current(). */
#define ORPHANED (generation != seen || mutex != HELD || !holds[allocator])
#endif

inline sweep()
{
	/* step: sweep */
	help();
	if
	:: state == ALLOC ->
		seen = alloc_generation;
		if
		:: ORPHANED -> finish_orphan()
		:: else
		fi
	:: state == LIVE ->
		is_linked = linked;
		if
		:: !is_linked ->
			d_step {
				if
				:: state == LIVE -> state = RETIRED
				:: else
				fi
			}
		:: else
		fi
	:: else
	fi;
	d_step { is_linked = false; seen = 0 }
}

#ifdef SWEEP
proctype sweeper() provided(alive[_pid])
{
	byte seen;
	bool is_linked;

	sweep();
	OVER
}
#endif

#define CAN_DIE(p) (alive[p] && !finished[p])

proctype killer()
{
	byte p;

	do
	:: kills < KILLS ->
		atomic {
			if
			:: CAN_DIE(2) -> p = 2
#if RECOVERERS > 0
			:: CAN_DIE(3) -> p = 3
#endif
#if RECOVERERS > 1
			:: CAN_DIE(4) -> p = 4
#endif
#if defined(CLAIM) || defined(REMOVE) || defined(SWEEP)
			:: n_started > 1 + RECOVERERS &&
			   CAN_DIE(3 + RECOVERERS) -> p = 3 + RECOVERERS
			:: n_started > 2 + RECOVERERS &&
			   CAN_DIE(4 + RECOVERERS) -> p = 4 + RECOVERERS
#endif
			:: n_over == n_started -> break
			fi;
			kills++; /* step: die */
			alive[p] = false;
			n_over++;
			if
			:: holds[p] -> mutex = OWNER_DIED; holds[p] = false
			:: else
			fi;
			p = 0
		}
	:: kills < KILLS && n_over == n_started -> break
	:: kills == KILLS -> break
	od
}

init
{
	byte seen, g, unit, n;
	bool is_linked;

	atomic {
		run killer();
		run owner(); n_started++; holds[2] = true;
#if RECOVERERS > 0
		run recoverer(); n_started++;
#endif
#if RECOVERERS > 1
		run recoverer(); n_started++;
#endif
#ifdef CLAIM
		run claimant(); n_started++;
#endif
#ifdef REMOVE
		run remover(); n_started++;
#endif
#ifdef SWEEP
		run sweeper(); n_started++
#endif
	}
	/* Wherever they stand, or stopped. step: last */
	atomic {
		(n_over == n_started || timeout);
		if
		:: mutex == OWNER_DIED ->
			g = generation;
			if
			:: hazard_new == UNIT -> recover_unit(g)
			:: else
			fi;
			hazard_new = 0;
			generation = g + (g & 1);
			mutex = UNHELD
		:: else
		fi;
		sweep();
		assert((linked && state == LIVE) ||
		       (!linked && (state == FREE || state == RETIRED)));
		assert((mutex == UNHELD) == !(generation & 1) && !hazard_new);
		assert(folded + counter >= ended && folded + counter <= begun)
	}
}
