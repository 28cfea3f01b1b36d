/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills within fills: threads that lead and wait at the same time never wait in
 * a circle.
 *
 * Modelled: flights of several keys, of which only the order of their hashes
 * matters; threads that begin a fill while they lead others, in any order of
 * keys, and sleep only for a key greater than all they lead; else they compute
 * it alone. Sleeps have no end here, though they have one: nobody is to need
 * it. Functions: step(), take_lead(), may_sleep(), larder_fill_wait(),
 * larder_fill_alone(), end_lead() of lib/cache/fill.c.
 *
 * Asserted
 *   circle   when nothing moves any more, all are done
 *
 * Left out: deaths, failures, what flights say of time (flight.pml); flights
 * that two keys share, whose second key is computed alone.
 *
 * Sizes and parts
 *   THREADS KEYS DEPTH  how many; fills that one has under way at once
 */
#ifndef THREADS
#define THREADS 2
#endif
#ifndef KEYS
#define KEYS 2
#endif
#ifndef DEPTH
#define DEPTH 2
#endif

byte leader[KEYS]; /* pid, 0 none */
bool stored[KEYS];

/* Ghosts. */
byte n_over;

/* Are all that this thread leads before key k? Bit k of led: it leads k. */
#ifdef MUT_SLEEP_FOR_ANY
#define MAY_SLEEP true
#elif defined(MUT_SLEEP_BY_LAST)
#define MAY_SLEEP (n == 0 || chosen[n - 1] < k)
#else
#define MAY_SLEEP (led >> k == 0)
#endif

proctype thread()
{
	byte n, k, led, chosen[DEPTH];
	bool done;

	do
	:: n < DEPTH ->
		select(k : 0 .. KEYS - 1);
		done = false;
		do
		:: done -> break
		:: !done && (led >> k & 1) -> done = true /* nested: refused */
		:: !done && !(led >> k & 1) ->
			/* step: serve */
			if
			:: stored[k] -> done = true
			:: else ->
				/* step: claim */
				atomic {
					if
					:: leader[k] == 0 ->
						leader[k] = _pid;
						led = led | (1 << k);
						done = true
					:: else
					fi
				}
				if
				:: done -> skip
				:: !done && !(MAY_SLEEP) -> done = true /* alone */
				:: !done && MAY_SLEEP ->
					/* step: sleep */
					(stored[k] || leader[k] == 0)
				fi
			fi
		od;
		chosen[n] = k;
		n++
	:: n == DEPTH -> break
	od;
	/* What it leads is stored, in any order. */
	do
	:: led ->
		select(k : 0 .. KEYS - 1);
		if
		:: led >> k & 1 ->
			stored[k] = true; /* step: store */
			leader[k] = 0;	  /* step: end */
			led = led & ~(1 << k)
		:: else
		fi
	:: else -> break
	od;
	n_over++
}

init
{
	byte i;

	atomic {
		do
		:: i < THREADS -> run thread(); i++
		:: else -> break
		od
	}
	timeout;
	assert(n_over == THREADS) /* circle */
}
