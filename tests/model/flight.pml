/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single flight: a miss is computed once, and nobody waits for ever.
 *
 * Modelled: one flight of one key, its word {sequence, leader, state}, its count
 * of followers and its futex; fillers that look the key up, lead, follow, sleep
 * and are served, as step(), take_lead(), follow() of lib/cache/fill.c and
 * lib/cache/flight.c do it; leaders that store, are refused, give up, exceed
 * their time or die; an invalidation in between. A sleep ends when the futex has
 * moved, or, as it has a time limit, when there is something else to see.
 *
 * Asserted
 *   leader   one sequence of the flight has one leader, and only that one opens
 *            or ends it
 *   served   what is served is not older than an invalidation that had returned
 *            before the fill began
 *   once     (CALM) with nothing out of the ordinary it is computed once
 *   hangs    when nothing moves any more, all that live are done
 *
 * Left out: other keys in the same cell (they compute alone), the slot's
 * generation (a slot claimed anew is not the leader: here owners are never
 * reused), stale values, time-outs of followers (who then compute themselves),
 * the store's own loop (freshness.pml).
 *
 * Sizes and parts
 *   FILLERS KILLS   processes, deaths
 *   FAIL OVERTIME   leaders may give up, may be taken for lost though they live
 *   INVALIDATE      the key is invalidated at some time
 *   CALM            none of these: asserts once
 *   WAKES           sleeps have no limit; then a claim must not begin the count
 *                   of followers anew, which may lose one that joins just then
 *                   (he sleeps out his slice, which is why there are slices)
 */
#ifndef FILLERS
#define FILLERS 2
#endif
#ifndef KILLS
#define KILLS 0
#endif
#define EMPTY_FLIGHTS 2

/* The flight. */
mtype = { IDLE, CLAIMED, LEADING };
mtype state = IDLE;
byte sequence, leader;
byte token_stamp, followers, futex;

/* The entry: its stamp, and the numbers of freshness.pml in brief. */
bool stored;
byte stamp, C, T;

/* Ghosts. */
bool alive[FILLERS + 3] = true, finished[FILLERS + 3];
byte leaders[24], computed, n_over, kills;

#define SEEN (state == s_state && sequence == s_sequence && leader == s_leader)

/* A hit: what is there, and valid. */
inline lookup()
{
	/* step: serve */
	d_step {
		hit = stored && stamp >= T;
		got = stamp
	}
}

inline look()
{
	/* step: look */
	d_step {
		s_state = state;
		s_sequence = sequence;
		s_leader = leader
	}
}

/* larder_flight_end() */
inline end_flight()
{
	/* step: end */
	d_step {
		won = (state != IDLE && sequence == mine && leader == _pid);
#ifdef MUT_END_BLIND
		won = true;
#endif
		if
		:: won ->
			assert(sequence == mine && leader == _pid); /* leader */
			state = IDLE; sequence++; leader = 0
		:: else
		fi
	}
#ifndef MUT_NO_WAKE
	/* step: wake */
	if
	:: won && followers -> futex++
	:: else
	fi;
#endif
	won = false
}

/* May the flight's leader be taken for lost? */
#ifdef OVERTIME
#define LOST(p) (!alive[p] || computed < 3)
#else
#define LOST(p) (!alive[p])
#endif

proctype filler() provided(alive[_pid])
{
	byte s_sequence, s_leader, mine, seen_futex, before, n_empty, token;
	byte got, since;
	mtype s_state;
	bool hit, won, joined, leads;

	since = T; /* step: begin */
again:
	seen_futex = futex; /* step: load-futex */
look_again:
	lookup();
	if
	:: hit -> goto served
	:: else
	fi;
	look();
#ifdef MUT_FUTEX_LATE
	seen_futex = futex;
#endif
	if
	:: s_state == IDLE -> goto claim
	:: s_state != IDLE && LOST(s_leader) -> goto claim
	:: s_state != IDLE && alive[s_leader] ->
		/* step: follow */
		if
		:: s_state == LEADING && (!joined || before != s_sequence) ->
			got = token_stamp;
			/* [FLI.2] */
			if
			:: !SEEN -> goto look_again
			:: else
			fi;
			if
			:: got < T -> goto alone
			:: else
			fi
		:: else
		fi;
		if
		:: !joined ->
			followers++; /* step: join */
			joined = true;
			before = s_sequence;
			goto again
		:: joined && s_sequence - before >= 2 ->
			n_empty++;
			if
			:: n_empty >= EMPTY_FLIGHTS -> goto alone
			:: else
			fi
		:: else
		fi;
		before = s_sequence
	fi;
	/* For a slice, then it looks again. What it would find unchanged is not
	 * worth a state. step: sleep */
#if defined(WAKES) || defined(MUT_NO_SLICES)
	(futex != seen_futex);
#else
	(futex != seen_futex || !SEEN || LOST(s_leader));
#endif
	goto again;

claim:
	atomic { /* step: claim */
		won = SEEN;
#ifdef MUT_PLAIN_CLAIM
		won = true;
#endif
		if
		:: won ->
			mine = s_sequence + 1;
			state = CLAIMED; sequence = mine; leader = _pid;
			leaders[mine]++;
			assert(leaders[mine] == 1) /* leader */
		:: else
		fi
	}
	if
	:: !won -> goto look_again
	:: else
	fi;
	atomic { won = false; leads = true }
#ifndef WAKES
	followers = 0;
#endif

	/* The stamp first, then look once more. step: take-lead */
	token = C;
#ifndef MUT_NO_SECOND_LOOK
	lookup();
	if
	:: hit -> end_flight(); goto served
	:: else
	fi;
#endif
	token_stamp = token;
	d_step { /* step: open */
		if
		:: state == CLAIMED && sequence == mine && leader == _pid ->
			state = LEADING
		:: else -> leads = false
		fi
	}
	goto compute;
alone:	/* step: alone */
	token = C;
compute:
	computed++;
	if
	:: true ->
		/* step: put */
		d_step {
			if
			:: T > token -> skip /* LARDER_STALE_FILL */
			:: else -> stored = true; stamp = token
			fi
		}
#ifdef FAIL
	:: true -> skip
#endif
	fi;
	if
	:: leads ->
#ifdef MUT_REFUSED_STAYS
		if
		:: stored && stamp >= T -> end_flight()
		:: else
		fi
#else
		end_flight()
#endif
	:: else
	fi;
	goto done;
served:	/* step: leave */
	assert(got >= since); /* served */
	if
	:: joined && followers -> followers--
	:: else
	fi;
done:	atomic { finished[_pid] = true; n_over++ }
}

#ifdef INVALIDATE
proctype invalidator()
{
	atomic { T = C + 1; C++ } /* step: invalidate */
}
#endif

proctype killer()
{
	byte p;

	do
	:: kills < KILLS ->
		atomic {
			select(p : 1 .. FILLERS);
			if
			:: alive[p] && !finished[p] ->
				alive[p] = false; kills++; n_over++
			:: else
			fi;
			p = 0
		}
	:: true -> break
	od
}

init
{
	byte k;

	atomic {
		run filler();
		run filler();
#if FILLERS > 2
		run filler();
#endif
#ifdef INVALIDATE
		run invalidator();
#endif
		run killer()
	}
	timeout;
	assert(n_over == FILLERS); /* hangs */
#ifdef CALM
	assert(computed == 1) /* once */
#endif
}
