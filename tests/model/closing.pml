/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two segments share nothing: one that is put aside is closed first, so that
 * nobody serves from where no invalidation arrives any more.
 *
 * Modelled: the segment that is put aside and the one that takes its place, in
 * brief (a counter with its closed bit, one T, one entry each); who puts aside;
 * processes that came before and after and invalidate, read and fill, and that
 * move on when they meet the closed bit. Functions: larder_put_aside(),
 * larder_segment_close(), reattach(), larder_draw(), larder_fresh_check(),
 * larder_fresh_allows(), larder_fill_put().
 *
 * Asserted
 *   served   what a hit returns saw every change whose invalidation had returned
 *            before the read began
 *
 * Left out: the steps of freshness inside of one segment (freshness.pml), three
 * segments in a row, who loses the race to put aside (tests/environment).
 *
 * Sizes and parts
 *   INVS READS FILLS  how many processes of each; each finds the old segment or
 *                     its successor
 */
#ifndef INVS
#define INVS 1
#endif
#ifndef READS
#define READS 1
#endif
#ifndef FILLS
#define FILLS 1
#endif

/* By segment: 0 the old one, 1 its successor. */
byte C[2], T[2], stamp[2], val[2];
bool there[2], closed;
bit path; /* which is found by its name */

/* Ghosts. */
byte src, done;

/* The segment at hand; one that is closed is left for what is at the path. An
 * operation that finds it there still fails: at -> 2. */
inline attach()
{
	/* step: attach */
	at = path
}
inline move_on()
{
	/* step: reattach */
	if
	:: at == 0 && closed ->
		at = path;
		if
		:: at == 0 -> goto failed
		:: else
		fi
	:: else
	fi
}

proctype put_aside()
{
	/* step: close */
#ifndef MUT_RENAME_FIRST
	closed = true;
#endif
	path = 1; /* step: rename */
#ifdef MUT_RENAME_FIRST
	closed = true
#endif
}

proctype invalidator()
{
	byte at, c, me;
	bool shut, won;

	attach();
	d_step { src++; me = src }
again:	skip;
#ifndef MUT_DRAW_WHEN_CLOSED
	move_on();
#endif
	do
	:: /* step: load-counter */
	   d_step { c = C[at]; shut = (at == 0 && closed) }
#ifndef MUT_DRAW_WHEN_CLOSED
	   if
	   :: shut -> goto again
	   :: else
	   fi;
#endif
	   /* step: raise */
	   d_step {
		if
		:: T[at] < c + 1 -> T[at] = c + 1
		:: else
		fi
	   }
	   /* step: draw */
	   d_step {
#ifdef MUT_DRAW_WHEN_CLOSED
		won = (C[at] == c);
#else
		won = (C[at] == c && !(at == 0 && closed));
#endif
		if
		:: won -> C[at] = c + 1
		:: else
		fi
	   }
	   if
	   :: won -> break
	   :: else
	   fi
	od;
	atomic {
		if
		:: done < me -> done = me
		:: else
		fi
	}
failed:	skip
}

proctype reader()
{
	byte at, c, begun, s, v;
	bool shut, ok;

	attach();
	begun = done;
again:	skip;
	/* step: hit */
	d_step { c = C[at]; shut = (at == 0 && closed) }
#ifndef MUT_HIT_WHEN_CLOSED
	if
	:: shut -> move_on(); goto again
	:: else
	fi;
#endif
	/* step: hit */
	d_step { ok = there[at]; s = stamp[at]; v = val[at] }
	if
	:: ok && s < c -> ok = (T[at] <= s)
	:: else
	fi;
	assert(!ok || v >= begun); /* served */
failed:	skip
}

proctype filler()
{
	byte at, home, token, v;
	bool ok;

	attach();
	move_on();
	/* step: token */
	home = at;
	token = C[at];
	v = src;
	/* step: put */
	move_on();
#ifndef MUT_TOKEN_ANYWHERE
	if
	:: at != home -> goto failed /* LARDER_STALE_FILL */
	:: else
	fi;
#endif
	d_step {
		ok = (token >= T[at]);
#ifndef MUT_TOKEN_ANYWHERE
		ok = ok && token <= C[at] && !(at == 0 && closed);
#endif
		if
		:: ok -> there[at] = true; stamp[at] = token; val[at] = v
		:: else
		fi
	}
failed:	skip
}

init
{
	byte k;

	atomic {
		there[0] = true;
		run put_aside();
		do
		:: k < INVS -> run invalidator(); k++
		:: else -> break
		od;
		k = 0;
		do
		:: k < READS -> run reader(); k++
		:: else -> break
		od;
		k = 0;
		do
		:: k < FILLS -> run filler(); k++
		:: else -> break
		od
	}
}
