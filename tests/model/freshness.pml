/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freshness: no read that begins after an invalidation has returned is answered
 * with data computed before it.
 *
 * Modelled, step by step as lib/cache/{words,fresh,pattern,invalidate,write}.c
 * do it: the counter C, the numbers T of two tags and of everything, the ring
 * of announcements, helping, hits with the ring and with the full check,
 * raising a stamp by a plain store, fills with tokens against fills and direct
 * puts, a set of tag words with its floor, one pattern slot with its text, its
 * retirement and its owner's death, entry memory that is reused under an
 * expelled reader.
 *
 * Sources: src[t] counts the changes of what t stands for; an invalidator makes
 * the change, invalidates, returns: done[t]. An entry knows the src it saw.
 *
 * Asserted
 *   served     what a hit returns saw every change that was done[] before the
 *              read began
 *   refused    a put with a token is not taken if an invalidation had returned
 *              before the put that its data does not know of
 *   displaced  a put with a token that is behind an invalidation that returned
 *              replaces nothing that is valid by the numbers
 *   newer      a put with a token replaces only the version it saw, nothing, or
 *              what an invalidation has reached that began after it
 *   alone      (ALONE) in any state, with everybody else stopped for ever, an
 *              invalidation ends within three rounds and the second fill at the
 *              latest is taken and served
 * Safety is asserted in every prefix of every run: a process that stops for
 * ever anywhere is one that is not scheduled again.
 *
 * Left out: weaker memory than sequential consistency (each edge is argued in
 * lib/DESIGN.md), numbers that wrap round, closing the segment, time to live,
 * the sweep (it only spares innocents the everything of a retired pattern).
 *
 * Sizes and parts
 *   INV0 INV1 INV2  what each invalidator invalidates: 0, 1 tags, 2 everything,
 *                   3 a pattern matching tag 0, 4 one matching tag 1; AGAIN1:
 *                   how often the second does
 *   CARRY           tags of the key's entries: 1, 2 or 3 for both
 *   RING WALK       cells; how far a hit walks before it takes the full check
 *   READS FILLERS FILLS PUTS  reads, fillers, fills of each, direct puts;
 *                   PUTTERS: by how many
 *   TOUCHES         successors of what is there: touch, increment
 *   SET             tags stand in a set of this many words, with a floor
 *   MAINTAIN        rounds of the maintainer, who retires patterns
 *   DIE             the first invalidator may die; its pattern is mended
 *   RECYCLE         entry memory is reused
 *   REMEMBER        readers keep what they saw of the ring from hit to hit
 *   VERSIONLESS     tokens carry no version: the numbers alone keep what is late
 *                   from displacing what is fresh
 *   LIMIT           no number above this one, where a mutant draws without end
 *   ALONE           the solo run
 */
#ifndef INV0
#define INV0 0
#endif
#ifndef CARRY
#define CARRY 1
#endif
#ifndef AGAIN1
#define AGAIN1 1
#endif
#ifndef RING
#define RING 2
#endif
#ifndef WALK
#define WALK 1
#endif
#ifndef READS
#define READS 2
#endif
#ifndef FILLERS
#define FILLERS 0
#endif
#ifndef FILLS
#define FILLS 1
#endif
#ifndef PUTS
#define PUTS 0
#endif
#ifndef PUTTERS
#define PUTTERS 1
#endif
#ifndef TOUCHES
#define TOUCHES 0
#endif
#ifndef MAINTAIN
#define MAINTAIN 0
#endif
#define N_ENTRIES (2 + FILLERS * FILLS + PUTS * PUTTERS + TOUCHES + 1)

/* How far past a number C may be for its cell to be certain. A ring of one
 * cell is only the model's. */
#define HELPED (RING > 1 -> RING - 1 : 1)

#define EVERYTHING 2
#define WILD 0
#define CELL(n, who) ((n) * 4 + (who))
#define CELL_NUMBER(x) ((x) / 4)
#define CELL_WHO(x) ((x) & 3)
#define CARRIES(who) ((CARRY >> ((who)-1)) & 1)

/* The words of freshness. */
byte C;
byte T[3];
byte ring[RING];
byte floor_;
#ifdef SET
byte set_tag[SET]; /* tag + 1, 0: free */
byte set_n[SET];
#endif

/* The key's slot: an entry, 0 for none. Entries are numbered by version. */
byte slot = 1;
byte next_entry = 2;
byte stamp[N_ENTRIES];
byte val[N_ENTRIES * 3];

/* The pattern slot: word {number, generation, state}, text, owner. */
mtype = { FREE, CLAIMED, DRAWING, SETTLED };
mtype p_state = FREE;
byte p_n, p_generation, p_text, p_owner;
bool dead;

/* Ghosts. */
byte src[3], done[3];
bool over_and_out;

#ifdef ALONE
#define LIVING provided(!over_and_out)
#else
#define LIVING
#endif

#include "freshness_words.pml"

/* Did entry e see what stands in @since of all it depends on? */
#define SAW(e, t, since) (!CARRIES((t) + 1) || val[(e) * 3 + (t)] >= since[t])
#define BEHIND_NONE(e, since) \
	(SAW(e, 0, since) && SAW(e, 1, since) && val[(e) * 3 + 2] >= since[2])

/* Ghosts: T of the key's entries as it is now, all words together. */
inline whole_truth()
{
	d_step {
		x = T[EVERYTHING];
#ifdef SET
		i = 0;
		do
		:: i < SET ->
			if
			:: set_tag[i] && CARRIES(set_tag[i]) && set_n[i] > x ->
				x = set_n[i]
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		if
		:: floor_ > x -> x = floor_
		:: else
		fi;
#else
		if
		:: (CARRY & 1) && T[0] > x -> x = T[0]
		:: else
		fi;
		if
		:: (CARRY & 2) && T[1] > x -> x = T[1]
		:: else
		fi;
#endif
		if
		:: (p_state == DRAWING || p_state == SETTLED) &&
		   CARRIES(p_text + 1) && p_n > x -> x = p_n
		:: else
		fi
	}
}

/* A tag, or everything. */
proctype invalidator(byte target; byte times) LIVING
{
	byte c, seen, me, i, at, low;
	bool won;

	do
	:: times ->
		d_step { times--; src[target]++; me = src[target] }
		do
		:: c = C; /* step: load-counter */
#ifdef LIMIT
		   (c < LIMIT); /* or stopped for ever */
#endif
#if !defined(MUT_DRAW_FIRST) && !defined(MUT_CELL_FIRST)
		   if /* step: raise-target */
		   :: target < EVERYTHING -> raise_tag(target, c + 1)
		   :: else -> raise(T[EVERYTHING], c + 1)
		   fi;
#endif
		   draw((target == EVERYTHING -> WILD : target + 1));
#ifdef MUT_DRAW_FIRST
		   if
		   :: won && target < EVERYTHING -> raise_tag(target, c + 1)
		   :: else
		   fi;
#endif
		   if
		   :: won -> break
		   :: else
		   fi
		od;
		atomic {
			if
			:: done[target] < me -> done[target] = me
			:: else
			fi;
			c = 0; me = 0; won = false
		}
	:: else -> break
	od
}

#ifndef RECYCLE
proctype reader() LIVING
{
	byte c, e, s, n, x, late, seen, i, at, g, begun[3];
	byte reads = READS;
	bool ok, won;
#ifdef REMEMBER
	byte kept[2], upto; /* newest first; WALK is not greater */
#endif

	do
	:: reads ->
		d_step {
			reads--;
			begun[0] = done[0];
			begun[1] = done[1];
			begun[2] = done[2]
		}
#ifdef MUT_WORDS_BEFORE_C
		e = slot; /* step: hit */
		s = stamp[e];
		judge(s);
		c = C;
		ok = (e && !late);
		if
		:: ok -> stamp[e] = c
		:: else
		fi;
#else
#ifdef REMEMBER
		c = C; /* step: follow */
		n = upto;
		do
		:: n < c ->
			d_step {
				n++;
				x = ring[n % RING];
				kept[1] = kept[0];
				kept[0] = (CELL_NUMBER(x) == n ->
					   CELL_WHO(x) : WILD);
				x = 0
			}
		:: else -> break
		od;
		n = 0;
#ifdef MUT_REMEMBER_AHEAD
		c = C;
#endif
		upto = c;
#endif
		c = C; /* step: hit */
		e = slot;
		if
		:: e -> check(e)
		:: else -> ok = false
		fi;
#endif
		assert(!ok || BEHIND_NONE(e, begun)); /* served */
		d_step {
			c = 0; e = 0; ok = false; s = 0; late = 0;
			begun[0] = 0; begun[1] = 0; begun[2] = 0
		}
	:: else -> break
	od
}
#endif

#if FILLERS
/* A put with a token: larder_store() in STORE_FILL. */
proctype filler() LIVING
{
	byte c, e, s, n, x, late, seen, i, at, g;
	byte fills = FILLS, token, version, mine, begun[3];
	bool ok, won;

	do
	:: fills ->
		fills--;
		token = C; /* step: token */
		version = slot;
		d_step {
			mine = next_entry;
			next_entry++;
			stamp[mine] = token;
			val[mine * 3] = src[0];
			val[mine * 3 + 1] = src[1];
			val[mine * 3 + 2] = src[2]
		}
		d_step {
			begun[0] = done[0];
			begun[1] = done[1];
			begun[2] = done[2]
		}
#ifdef MUT_CHECK_ONCE
		judge(token);
#endif
		do
		:: c = C; /* step: decide */
		   e = slot;
		   if
		   :: e -> check(e)
		   :: else -> ok = false
		   fi;
#if defined(VERSIONLESS) || defined(MUT_NO_VERSION)
		   ok = false;
#endif
#if !defined(MUT_NO_STAMP_CHECK) && !defined(MUT_CHECK_ONCE)
		   allows(token);
#endif
		   if
		   :: late -> help(late); break	    /* LARDER_STALE_FILL */
		   :: !late && ok && e != version -> break /* LARDER_NEWER */
		   :: else
		   fi;
		   atomic { /* step: put */
			whole_truth();
			if
			:: slot == e ->
				assert(!e || stamp[e] < x ||
				       BEHIND_NONE(mine, done)); /* displaced */
#ifndef VERSIONLESS
				assert(!e || stamp[e] < x || e == version ||
				       !BEHIND_NONE(e, src)); /* newer */
#endif
				assert(BEHIND_NONE(mine, begun)); /* refused */
				slot = mine; won = true
			:: else -> won = false
			fi;
			x = 0
		   }
		   if
		   :: won -> break
		   :: else
		   fi
		od;
		atomic {
			c = 0; e = 0; ok = false; won = false; late = 0;
			token = 0; version = 0; mine = 0;
			begun[0] = 0; begun[1] = 0; begun[2] = 0
		}
	:: else -> break
	od
}
#endif

#if PUTS
/* A put without a token: current as of the call. */
proctype putter() LIVING
{
	byte e, mine, puts = PUTS;
	bool won;

	do
	:: puts ->
		puts--;
		d_step { mine = next_entry; next_entry++ } /* step: prepare */
#ifndef MUT_PUT_STAMP_LATE
		stamp[mine] = C; /* step: put-stamp */
#endif
		d_step {
			val[mine * 3] = src[0];
			val[mine * 3 + 1] = src[1];
			val[mine * 3 + 2] = src[2]
		}
#ifdef MUT_PUT_STAMP_LATE
		stamp[mine] = C;
#endif
		do
		:: e = slot; /* step: put */
		   cas(slot, e, mine, won);
		   if
		   :: won -> break
		   :: else
		   fi
		od;
		atomic { e = 0; mine = 0; won = false }
	:: else -> break
	od
}
#endif

#if TOUCHES
/* A copy of what is there with another expiry or count: successor_read(), then
 * larder_store() in STORE_CAS. */
proctype toucher() LIVING
{
	byte c, e, s, n, x, late, seen, i, at, g, from, mine;
	byte touches = TOUCHES;
	bool ok, won;

	do
	:: touches ->
		touches--;
		d_step { mine = next_entry; next_entry++ } /* step: prepare */
		c = C; /* step: touch-read */
		stamp[mine] = c;
		e = slot;
		if
		:: e -> check(e)
		:: else -> ok = false
		fi;
		d_step {
			from = e;
			if
			:: ok ->
				val[mine * 3] = val[from * 3];
				val[mine * 3 + 1] = val[from * 3 + 1];
				val[mine * 3 + 2] = val[from * 3 + 2]
			:: else
			fi
		}
		do
		:: !ok -> break /* LARDER_MISS, LARDER_CHANGED */
		:: ok ->
			c = C; /* step: touch-store */
			e = slot;
			if
			:: e == from -> check(e)
			:: else -> ok = false
			fi;
			if
			:: ok ->
#ifdef MUT_TOUCH_ANEW
				stamp[mine] = C;
#endif
				cas(slot, from, mine, won);
				if
				:: won -> break
				:: else
				fi
			:: else
			fi
		od;
		atomic { c = 0; e = 0; ok = false; won = false; from = 0; mine = 0 }
	:: else -> break
	od
}
#endif

#include "freshness_processes.pml"

#ifdef ALONE
/* Everybody else has stopped for ever: what is left still works. */
proctype survivor()
{
	byte c, seen, i, at, low, rounds, target;
	bool won;

	atomic {
		over_and_out = true;
		src[0]++;
		do
		:: /* step: survive */
		   c = C; raise_tag(0, c + 1); draw(1); rounds++;
		   if
		   :: won -> break
		   :: else -> assert(rounds < 3)
		   fi
		od;
		assert(T[0] <= C && T[1] <= C + 1)
	}
}

proctype filling_survivor()
{
	byte c, e, s, n, x, late, seen, i, at, g, rounds;
	bool ok, won;

	atomic {
		over_and_out = true;
		do
		:: n = C; rounds++; judge(n); /* step: survive */
		   if
		   :: late -> assert(rounds < 2); help(late)
		   :: else -> break
		   fi
		od;
		slot = N_ENTRIES - 1;
		stamp[slot] = n;
		c = C;
		e = slot;
		check(e);
		assert(ok)
	}
}
#endif

#define START(target, id) \
	if \
	:: target <= EVERYTHING -> run invalidator(target, (id == 1 -> AGAIN1 : 1)) \
	:: else -> PATTERN(target, id) \
	fi
#if MAINTAIN
#define PATTERN(target, id) run matcher(id, target - 3, id == 0)
#else
#define PATTERN(target, id) skip
#endif

init
{
	atomic {
		START(INV0, 0);
#ifdef INV1
		START(INV1, 1);
#endif
#ifdef INV2
		START(INV2, 2);
#endif
#if MAINTAIN
		run maintainer();
#endif
#ifdef RECYCLE
		run recycled_reader();
		run recycler();
#elif READS
		run reader();
#endif
#if FILLERS
		run filler();
#endif
#if FILLERS > 1
		run filler();
#endif
#if PUTS
		run putter();
#endif
#if PUTTERS > 1
		run putter();
#endif
#if TOUCHES
		run toucher();
#endif
#ifdef ALONE
		run survivor();
		run filling_survivor()
#endif
	}
}
