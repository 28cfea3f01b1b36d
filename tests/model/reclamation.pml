/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reclamation: memory that anybody may still use is not used again.
 *
 * Modelled: one worker slot, whose pin and hazard its owner writes with plain
 * stores that wait in a store buffer (x86; membarrier empties it), and the two
 * reclaimers that advance the epoch, expel, look at hazards and free. The owner
 * copies, leases, or writes: sets a hazard on the old entry, swaps the slot
 * word, retires the old one. It may die wherever that makes a difference; the
 * next owner clears the slot and begins with section 1 again. Units that were
 * freed are linked again, so that words could repeat. Functions:
 * lib/worker/epoch.[ch], larder_slab_retire(), larder_slab_free_ripe().
 *
 * Asserted
 *   copied    what the owner copied and validated was not freed before the copy
 *   leased    what it leased is not freed while it holds the lease
 *   swapped   it swaps a slot word only if that still means what it read
 *   retired   it touches the header of the old entry only in that entry's life
 *   lost      nothing is freed that is linked
 *
 * Left out: other orders than x86's (the distance of three epochs puts a whole
 * membarrier between stamp and release, so none of the proof rests on less),
 * pins of the reclaimers themselves (they hold none while they advance), failure
 * of membarrier (no advance).
 *
 * Sizes and parts
 *   COPY LEASE WRITE  what the owner does
 *   SECTIONS LIVES    sections of one owner, owners in all
 *   RECLAIMERS TRIES PUTS  their number, how often each advances, how often
 *                     the first puts; only the first frees unless BOTH_FREE=1
 *   NO_RECHECK        the owner does not look at the epoch again after its pin
 *   FENCED            a fence after each store instead of membarrier
 *   DISTANCE          epochs between retirement and release
 *   NO_VERSION        slot words that repeat: the hazard alone has to do
 */
#ifndef SECTIONS
#define SECTIONS 1
#endif
#ifndef LIVES
#define LIVES 1
#endif
#ifndef RECLAIMERS
#define RECLAIMERS 2
#endif
#ifndef TRIES
#define TRIES 3
#endif
#ifndef BOTH_FREE
#define BOTH_FREE false
#endif
#ifndef PUTS
#define PUTS 1
#endif
#ifndef DISTANCE
#define DISTANCE 3
#endif
#define UNITS 2

#ifdef NO_VERSION
#define SAME_VERSION true
#else
#define SAME_VERSION (slot_version == version)
#endif

/* A pin: epoch, section, mark. */
#define EXPELLED 128
#define PIN(epoch, section) ((epoch) + 32 * (section))
#define PIN_EPOCH(p) ((p) & 31)

byte epoch = 1;
byte pin, hazard;

/* The owner's store buffer, oldest first. */
mtype = { TO_PIN, TO_HAZARD };
mtype pending_to[5];
byte pending[5];
byte n_pending;

/* The slot word, and the headers of the units. */
byte slot_unit = 1, slot_version;
mtype = { FREE, LIVE, RETIRED };
mtype state[UNITS + 1];
byte stamp[UNITS + 1];
byte life[UNITS + 1]; /* the header's generation, raised when it is freed */

inline commit()
{
	/* step: store-reaches-memory */
	d_step {
		if
		:: pending_to[0] == TO_PIN -> pin = pending[0]
		:: else -> hazard = pending[0]
		fi;
		i_b = 0;
		do
		:: i_b < 4 ->
			pending_to[i_b] = pending_to[i_b + 1];
			pending[i_b] = pending[i_b + 1];
			i_b++
		:: else -> break
		od;
		pending_to[4] = 0;
		pending[4] = 0;
		n_pending--;
		i_b = 0
	}
}
hidden byte i_b;

inline flush()
{
	/* step: store-reaches-memory */
	atomic {
		do
		:: n_pending -> commit()
		:: else -> break
		od
	}
}

inline store(where, value)
{
	/* step: store */
	atomic {
		n_pending < 5;
		pending_to[n_pending] = where;
		pending[n_pending] = value;
		n_pending++
	}
#ifdef FENCED
	(n_pending == 0)
#endif
}

/* The owner's own load of its pin: the youngest of its stores, else memory. */
inline load_pin(p)
{
	/* step: look-at-pin */
	d_step {
		p = pin;
		i_b = 0;
		do
		:: i_b < n_pending ->
			if
			:: pending_to[i_b] == TO_PIN -> p = pending[i_b]
			:: else
			fi;
			i_b++
		:: else -> break
		od;
		i_b = 0
	}
}

#ifdef FENCED
#define BARRIER skip
#else
#define BARRIER flush()
#endif

active proctype store_buffer()
{
	/* step: store-reaches-memory */
end:	do
	:: atomic { n_pending -> commit() }
	od
}

#if LIVES > 1
#define MAY_DIE \
	if \
	:: lives > 1 -> goto died \
	:: true \
	fi
#else
#define MAY_DIE skip
#endif

active proctype owner()
{
	byte section, mine, p, now, unit, version, was, r;
	byte lives = LIVES;
	bool torn, swapped;

again:
	do
	:: section < SECTIONS ->
		/* step: pin */
		section++;
		now = epoch;
		do
		:: mine = PIN(now, section);
		   store(TO_PIN, mine);
#ifdef NO_RECHECK
		   break
#else
		   if
		   :: epoch == now -> break
		   :: else -> now = epoch
		   fi
#endif
		od;
		now = 0;
		MAY_DIE;
		atomic { /* step: find */
			unit = slot_unit;
			version = slot_version;
			was = life[unit]
		}
		if
#ifdef COPY
		:: torn = (life[unit] != was); /* step: copy */
		   load_pin(p);
#ifndef MUT_NO_VALIDATION
		   assert(p != mine || !torn); /* copied */
#else
		   assert(!torn);
#endif
#endif
#ifdef LEASE
		:: skip; /* step: lease */
#ifdef MUT_HAZARD_LATE
		   load_pin(p);
#endif
#ifndef MUT_NO_HAZARD
		   store(TO_HAZARD, unit);
#endif
#ifndef MUT_HAZARD_LATE
		   load_pin(p);
#endif
#ifdef MUT_NO_VALIDATION
		   p = mine;
#endif
		   MAY_DIE;
		   if
		   :: p == mine ->
			store(TO_PIN, 0);
			assert(life[unit] == was); /* leased */
			MAY_DIE;
			assert(life[unit] == was)
		   :: else
		   fi;
		   store(TO_HAZARD, 0)
#endif
#ifdef WRITE
		:: skip; /* step: hold-old */
#ifndef MUT_NO_HAZARD
		   store(TO_HAZARD, unit);
#endif
#ifndef MUT_NO_WRITER_CHECK
		   load_pin(p);
#else
		   p = mine;
#endif
		   if
		   :: p == mine ->
			/* A new unit: any that is free. Locked instructions
			 * wait until the buffer is empty. step: swap */
			atomic {
				n_pending == 0;
				swapped = (slot_unit == unit && SAME_VERSION);
				if
				:: swapped ->
					assert(life[unit] == was); /* swapped */
					slot_unit = 0;
					slot_version++
				:: else
				fi
			}
			MAY_DIE;
			if
			:: swapped ->
				/* step: retire */
				r = epoch;
				load_pin(p);
				if
				:: p == mine ->
					atomic {
						n_pending == 0;
						/* retired */
						assert(life[unit] == was);
						if
						:: state[unit] == LIVE ->
							state[unit] = RETIRED;
							stamp[unit] = r
						:: else
						fi
					}
				:: else
				fi
			:: else
			fi
		   :: else
		   fi;
		   store(TO_HAZARD, 0)
#endif
		fi;
		store(TO_PIN, 0); /* step: unpin */
		d_step {
			mine = 0; p = 0; unit = 0; version = 0; was = 0; r = 0;
			torn = false; swapped = false
		}
	:: else -> break
	od;
	goto out;
died:
	/* What a dead thread had stored is in memory; the next owner clears the
	 * slot before it uses it. step: clear-slot */
	atomic {
		n_pending == 0;
		pin = 0;
		hazard = 0;
		lives--;
		section = 0;
		mine = 0; p = 0; unit = 0; version = 0; was = 0; r = 0;
		torn = false; swapped = false;
		now = 0
	}
	goto again;
out:	skip
}

/* larder_epoch_advance() */
inline advance()
{
	g = epoch; /* step: load-epoch */
#ifndef MUT_NO_M1
	BARRIER; /* step: first-barrier */
#endif
	p = pin; /* step: judge */
	pass = true;
	if
	:: p == 0 || (p < EXPELLED && PIN_EPOCH(p) == g) -> skip
	:: p >= EXPELLED -> seen = true
	:: p && p < EXPELLED && PIN_EPOCH(p) != g ->
		if
		:: pass = false /* not stuck yet */
		:: atomic { /* step: expel */
			if
			:: pin == p ->
				pin = p + EXPELLED;
				p = pin;
				seen = true;
				expeller = true
			:: else -> pass = false
			fi
		   }
		fi
	fi;
	if
	:: pass && seen ->
#ifdef MUT_M2_BY_EXPELLER
		if
		:: expeller -> BARRIER
		:: else
		fi;
#elif !defined(MUT_NO_M2)
		BARRIER; /* step: second-barrier */
#endif
		now = pin;
		if
		:: now == p || now == 0 ||
		   (now < EXPELLED && PIN_EPOCH(now) == g) -> skip
		:: else -> pass = false
		fi
	:: else
	fi;
	if
	:: pass ->
		d_step { /* step: advance */
			if
			:: epoch == g -> epoch++
			:: else
			fi
		}
	:: else
	fi;
	atomic {
		p = 0; now = 0; g = 0;
		seen = false; pass = false; expeller = false
	}
}

inline retire(which)
{
	/* step: retire */
	d_step {
		if
		:: state[which] == LIVE && life[which] == generation ->
			state[which] = RETIRED;
			stamp[which] = r
		:: else
		fi
	}
}

proctype reclaimer(byte puts; bool frees)
{
	byte g, p, now, old, unit, r, h, tries, generation;
	bool seen, pass, expeller;

	do
#ifdef MUT_STAMP_FIRST
	:: r == 0 -> r = epoch /* step: put */
#endif
	:: atomic {
		/* Put over what is there: a free unit is linked. step: put */
#ifdef MUT_STAMP_FIRST
		r &&
#endif
		puts && (state[1] == FREE || state[2] == FREE);
		puts--;
		unit = (state[1] == FREE -> 1 : 2);
		state[unit] = LIVE;
		old = slot_unit;
		generation = life[old];
		slot_unit = unit;
		slot_version++;
		unit = 0
	   }
	   if
	   :: old ->
#ifndef MUT_STAMP_FIRST
		r = epoch;
#endif
		retire(old)
	   :: else
	   fi;
	   d_step { old = 0; r = 0; generation = 0 }
	:: tries < TRIES -> tries++; advance()
	:: tries == TRIES -> break
	:: frees ->
		/* Whatever is ripe. The epoch first, then the hazards.
		 * step: look-at-hazards */
#ifdef MUT_HAZARDS_FIRST
		h = hazard;
#endif
		g = epoch;
#ifndef MUT_HAZARDS_FIRST
		h = hazard;
#endif
		if
		:: unit = 1
		:: unit = 2
		fi;
		atomic { /* step: free */
			if
			:: state[unit] == RETIRED && h != unit &&
			   g >= stamp[unit] + DISTANCE ->
				assert(slot_unit != unit); /* lost */
				state[unit] = FREE;
				stamp[unit] = 0;
				life[unit]++
			:: else
			fi;
			g = 0; h = 0; unit = 0
		}
#ifdef WRITE
	:: atomic {
		/* LIVE, and in no group. step: sweep */
		frees && state[1] == LIVE && slot_unit != 1;
		generation = life[1]
	   }
	   r = epoch;
	   retire(1);
	   d_step { r = 0; generation = 0 }
#endif
	od
}

init
{
	atomic {
		state[0] = FREE;
		state[1] = LIVE;
		state[2] = FREE;
		run reclaimer(PUTS, true);
#if RECLAIMERS > 1
		run reclaimer(0, BOTH_FREE)
#endif
	}
}
