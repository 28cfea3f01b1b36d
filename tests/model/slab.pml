/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slab: an object's header decides who has it, a page's word what the page
 * is; everything else is a hint.
 *
 * Modelled: one page of two objects, the header steps FREE -> ALLOC -> LIVE ->
 * RETIRED -> FREE and FREE -> BLOCKED, workers that allocate, publish, abandon,
 * unlink and retire, free what is ripe, lease; a drainer that empties the page,
 * waits and gives it another class, or aborts; its death, and the worker that
 * then takes the page over. Hints, bits and magazines alike, may be lost or
 * duplicated at any time: a worker therefore tries any object whenever it
 * likes. Hazards are plain stores: they become visible at some time, at the
 * latest with the next locked instruction of their owner or the barrier of an
 * advance. Functions: take(), larder_slab_{publish,abandon,retire,free_ripe}(),
 * larder_drain_{window,undo}(), finish_drain(), larder_page_mend().
 *
 * Asserted
 *   owned     nobody allocates an object that somebody has
 *   header    a header is compared and swapped only while it is a header: never
 *             in a page that has got another class since
 *   held      what is leased keeps its life
 *   empty     a page changes class only when all its objects are BLOCKED, and
 *             nobody can reach them
 *   drainer   one process at a time takes a page further
 *
 * Left out: the advance itself (reclamation.pml; here it is one step that passes
 * or expels whoever is pinned), runs of pages, the owner's death in ALLOC
 * (recovery.pml).
 *
 * Sizes and parts
 *   WORKERS OPS  how many, operations of each
 *   ALLOC_ EVICT FREE_RIPE LEASE MEND  what they do
 *   PASSES       of the drainer; DRAINER=0: none
 *   ALL_FREE     no entry to begin with
 * An allocator looks at its pin and at the page word after it has set its
 * hazard: here either alone would do.
 */
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef OPS
#define OPS 1
#endif
#ifndef PASSES
#define PASSES 2
#endif
#ifndef DRAINER
#define DRAINER 1
#endif
#define OBJECTS 2
#define GRACE 3
#define ME WORKERS /* the drainer's slot */
#define NONE 255

mtype = { FREE, ALLOC, LIVE, RETIRED, BLOCKED };
mtype state[OBJECTS];
byte generation[OBJECTS], extra[OBJECTS]; /* owner, or epoch of retirement */
bool linked[OBJECTS];

mtype = { ACTIVE, DRAINING, CLAIMED };
mtype page = ACTIVE;
byte page_owner = NONE;
bool other_class;

byte epoch = 1;
byte pin[WORKERS + 1];
bool expelled[WORKERS + 1];
byte hazard[WORKERS + 1] = NONE, stored[WORKERS + 1] = NONE;
bool dead;

/* Ghosts: who has it, how often it was freed, where the drain is. */
byte users[OBJECTS], life[OBJECTS];

#ifdef MUT_NO_PIN_CHECK
#define EXPELLED(p) false
#else
#define EXPELLED(p) expelled[p]
#endif

/* A locked instruction, or any time before: what was stored is visible. */
#define COMMIT(p) hazard[p] = stored[p]

inline set_hazard(p, u)
{
	/* step: set-hazard */
#ifdef MUT_NO_HAZARD
	skip
#else
	stored[p] = u
#endif
}

/* The advance, by anybody: passes, or expels who is pinned in the past. */
inline advance()
{
	/* step: advance */
	d_step {
#ifndef MUT_NO_BARRIER
		i_b = 0;
		do
		:: i_b <= WORKERS -> COMMIT(i_b); i_b++
		:: else -> break
		od;
#endif
		i_b = 0;
		do
		:: i_b <= WORKERS ->
			if
			:: pin[i_b] && pin[i_b] != epoch -> expelled[i_b] = true
			:: else
			fi;
			i_b++
		:: else -> break
		od;
		i_b = 0;
		epoch++
	}
}
hidden byte i_b;

/* CAS of a header from what was read: @state_seen, @generation_seen. */
inline header_cas(p, u, new, new_extra)
{
	/* step: header-cas */
	atomic {
		COMMIT(p);
		assert(!other_class); /* header */
		won = (state[u] == seen && generation[u] == seen_generation &&
		       extra[u] == seen_extra);
		if
		:: won && new == ALLOC ->
			users[u]++;
			assert(users[u] == 1); /* owned */
			generation[u]++
		:: won && new == FREE -> life[u]++; users[u] = 0
		:: else
		fi;
		if
		:: won -> state[u] = new; extra[u] = new_extra
		:: else
		fi
	}
}

inline load_header(u)
{
	/* step: load-header */
	d_step {
		seen = state[u];
		seen_generation = generation[u];
		seen_extra = extra[u]
	}
}

inline pin_now(p)
{
	/* step: pin */
	d_step { pin[p] = epoch; expelled[p] = false }
}

inline unpin(p)
{
	/* Behind the hazards in program order. step: unpin */
	d_step {
		COMMIT(p);
		pin[p] = 0
	}
}

/* Is object u under a hazard of anybody? */
#if WORKERS == 1
#define HELD(u) (hazard[0] == (u) || hazard[1] == (u))
#else
#define HELD(u) (hazard[0] == (u) || hazard[1] == (u) || hazard[2] == (u))
#endif

/* larder_slab_free_ripe() of what load_header() saw. @held: who held it, seen
 * after the epoch g. */
inline free_ripe(p, u)
{
	/* step: free-ripe */
	if
	:: !held && seen == RETIRED && g >= seen_extra + GRACE ->
		header_cas(p, u, FREE, 0)
	:: else
	fi
}

/* BLOCKED -> FREE, DRAINING by p -> ACTIVE. */
inline undo_drain(p)
{
	/* step: undo-drain */
	u = 0;
	do
	:: u < OBJECTS ->
		load_header(u);
		if
		:: seen == BLOCKED -> header_cas(p, u, FREE, 0)
		:: else
		fi;
		u++
	:: else -> break
	od;
	u = 0;
	d_step {
		page = ACTIVE;
		page_owner = NONE
	}
}

proctype worker(byte me)
{
	byte ops, u, seen_generation, seen_extra, g, was;
	mtype seen;
	bool won, held;

	do
	:: ops < OPS ->
		ops++;
		if
		:: u = 0
		:: u = 1
		fi;
		/* [HAZ.2] for free_ripe(): the epoch, then the hazards.
		 * step: look-at-hazards */
		g = epoch;
		held = HELD(u);
		pin_now(me);
#ifdef MUT_PAGE_FIRST
		won = (page == ACTIVE && !other_class);
#endif
		set_hazard(me, u);
		if
		:: EXPELLED(me) -> goto over
		:: else
		fi;
#ifndef MUT_PAGE_FIRST
		/* step: look-at-page */
		won = !other_class && (page == ACTIVE || page == DRAINING);
#endif
		/* The page is of the class that the worker has in mind. */
		if
		:: !won -> goto over
		:: else
		fi;
		if
#ifdef ALLOC_
		:: load_header(u); /* step: allocate */
#ifndef MUT_PAGE_FIRST
		   won = (page == ACTIVE && !other_class);
#endif
		   if
		   :: won && seen == FREE && !EXPELLED(me) ->
			header_cas(me, u, ALLOC, me);
			if
			:: won ->
				/* Ours: the section may end, the hazard stays. */
				unpin(me);
				load_header(u);
				if
				:: /* step: publish */
				   linked[u] = true;
				   header_cas(me, u, LIVE, 0)
				:: /* step: abandon */
				   header_cas(me, u, FREE, 0)
				fi
			:: else
			fi
		   :: else
		   fi
#endif
#ifdef EVICT
		:: load_header(u); /* step: evict */
		   atomic {
			won = linked[u] && !EXPELLED(me);
			if
			:: won -> linked[u] = false; COMMIT(me)
			:: else
			fi
		   }
		   if
		   :: won ->
			g = epoch; /* step: retire */
			if
			:: !EXPELLED(me) -> header_cas(me, u, RETIRED, g)
			:: else
			fi
		   :: else
		   fi
#endif
#ifdef FREE_RIPE
		:: load_header(u);
		   if
		   :: !EXPELLED(me) -> free_ripe(me, u)
		   :: else
		   fi
#endif
#ifdef LEASE
		:: won = linked[u]; /* step: lease */
		   was = life[u];
		   /* Found; the hazard that counts is set now. */
		   if
		   :: won ->
			set_hazard(me, u);
			if
			:: !EXPELLED(me) ->
				unpin(me);
				assert(life[u] == was); /* held */
				assert(life[u] == was && !other_class)
			:: else
			fi
		   :: else
		   fi
#endif
#ifdef MEND
		/* Only from the dead. step: take-over */
		:: stored[me] = NONE;
		   unpin(me);
		   atomic {
			won = (page == DRAINING && page_owner == ME
#ifndef MUT_TAKEOVER_FROM_LIVING
			       && dead
#endif
			       );
			if
			:: won -> page_owner = me
			:: else
			fi
		   }
		   if
		   :: won -> undo_drain(me)
		   :: else
		   fi
#endif
		fi;
over:	/* step: leave */
		stored[me] = NONE;
		unpin(me);
		d_step {
			u = 0; seen = 0; seen_generation = 0; seen_extra = 0;
			g = 0; was = 0; won = false; held = false
		}
	:: else -> break
	od
}

#define MAY_DIE \
	if \
	:: true \
	:: mortal -> dead = true; goto out \
	fi

#ifdef MEND
#define MORTAL true
#else
#define MORTAL false
#endif

proctype drainer()
{
	byte u, seen_generation, seen_extra, g, start, passes;
	mtype seen;
	bool won, held, all, mortal = MORTAL;

	atomic { /* step: begin-drain */
		won = (page == ACTIVE && !other_class);
		if
		:: won -> page = DRAINING; page_owner = ME
		:: else -> goto out
		fi
	}
	do
	:: passes < PASSES ->
		passes++;
		MAY_DIE;
		g = epoch; /* step: block */
		u = 0;
		all = true;
		do
		:: u < OBJECTS ->
			held = HELD(u);
			pin_now(ME);
			set_hazard(ME, u);
			load_header(u);
			if
			:: seen == RETIRED ->
				free_ripe(ME, u);
				load_header(u)
			:: else
			fi;
			if
			:: seen == LIVE ->
				all = false;
				atomic {
					won = linked[u];
					linked[u] = false;
					COMMIT(ME)
				}
				start = epoch;
				if
				:: won -> header_cas(ME, u, RETIRED, start)
				:: else
				fi
			:: seen == FREE ->
				header_cas(ME, u, BLOCKED, 0);
				if
				:: !won -> all = false
				:: else
				fi
			:: seen == BLOCKED -> skip
			:: else -> all = false
			fi;
			stored[ME] = NONE;
			unpin(ME);
			u++
		:: else -> break
		od;
		u = 0;
		if
		:: all -> break
		:: else
		fi;
		/* step: grace */
		start = epoch;
		do
		:: epoch < start + GRACE -> advance()
		:: else -> break
		od
	:: else -> break
	od;
	MAY_DIE;
	if
	:: all ->
#ifndef MUT_RETYPE_EAGER
		start = epoch; /* step: grace */
		do
		:: epoch < start + GRACE -> advance()
		:: else -> break
		od;
#endif
#ifndef MUT_NO_HAZARD_LOOK
		/* step: look-for-hazards */
		if
		:: HELD(0) -> all = false
		:: else
		fi;
		if
		:: HELD(1) -> all = false
		:: else
		fi;
#endif
		MAY_DIE
	:: else
	fi;
	if
	:: all ->
		/* step: finish-drain */
		atomic {
			/* empty */
			assert(state[0] == BLOCKED && state[1] == BLOCKED);
			assert(page_owner == ME); /* drainer */
			page = CLAIMED;
			other_class = true;
			/* Where headers stood are bytes of values now; all zero
			 * reads as FREE of generation 0. */
			state[0] = FREE; generation[0] = 0; extra[0] = 0;
			state[1] = FREE; generation[1] = 0; extra[1] = 0
		}
		page = ACTIVE /* step: open */
	:: else -> undo_drain(ME)
	fi;
out:	skip
}

init
{
	atomic {
#ifdef ALL_FREE
		state[0] = FREE;
#else
		state[0] = LIVE;
		users[0] = 1;
		linked[0] = true;
#endif
		state[1] = FREE;
		run worker(0);
#if WORKERS > 1
		run worker(1);
#endif
#if DRAINER
		run drainer()
#endif
	}
}
