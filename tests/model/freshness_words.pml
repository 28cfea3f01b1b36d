/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Part of freshness.pml: the steps on shared words that all its processes share
 * (lib/cache/words.c, fresh.c), one shared access each. They use the locals c,
 * e, s, n, x, seen, i, at, g, late, ok and won of who includes them.
 */

inline cas(word, old, new, won)
{
	d_step {
		won = (word == old);
		if
		:: won -> word = new
		:: else
		fi
	}
}

inline raise(word, n)
{
	d_step {
		if
		:: word < n -> word = n
		:: else
		fi
	}
}

/* ---- words.c: T of a tag, with and without a set ---- */

#ifdef SET
/* larder_set_raise(): the tag's own word, else the least; floor first. */
inline raise_tag(t, n)
{
	do
	:: i = 0; at = 0; seen = 255;
	   do
	   :: i < SET ->
		d_step { /* step: find-word */
			if
			:: set_tag[i] == t + 1 ->
				at = i; seen = t + 1; low = set_n[i]; i = SET
			:: set_tag[i] != t + 1 &&
			   (seen == 255 || set_n[i] < low) ->
				at = i; seen = set_tag[i]; low = set_n[i]; i++
			:: else -> i++
			fi
		}
	   :: else -> break
	   od;
	   if
	   :: seen == t + 1 && low >= n -> break
	   :: else
	   fi;
#if !defined(MUT_FLOOR_AFTER) && !defined(MUT_NO_FLOOR)
	   /* step: raise-floor */
	   if
	   :: seen && seen != t + 1 -> raise(floor_, low)
	   :: else
	   fi;
#endif
	   d_step { /* step: raise-word */
		won = (set_tag[at] == seen && set_n[at] == low);
		if
		:: won -> set_tag[at] = t + 1; set_n[at] = n
		:: else
		fi
	   }
#ifdef MUT_FLOOR_AFTER
	   if
	   :: won && seen && seen != t + 1 -> raise(floor_, low)
	   :: else
	   fi;
#endif
	   if
	   :: won -> break
	   :: else
	   fi
	od;
	i = 0; at = 0; seen = 0; low = 0
}

/* larder_set_number(): words first, floor last. x = T(t). */
inline number_of(t)
{
	atomic { x = 0; i = 0 } /* step: load-words */
#ifdef MUT_FLOOR_FIRST
	x = floor_;
#endif
	do
	:: i < SET ->
		d_step {
			if
			:: set_tag[i] == t + 1 && set_n[i] > x -> x = set_n[i]
			:: else
			fi;
			i++
		}
	:: else -> break
	od;
#ifndef MUT_FLOOR_FIRST
	atomic { /* step: load-floor */
		i = 0;
		if
		:: floor_ > x -> x = floor_
		:: else
		fi
	}
#endif
}
#else
#define raise_tag(t, n) raise(T[t], n)
#define number_of(t)	x = T[t]
#endif

/* ---- words.c: larder_draw(), larder_help() ---- */

/* Draw number c + 1 for @who. won: it is ours. */
inline draw(who)
{
	seen = ring[(c + 1) % RING]; /* step: load-cell */
	if
	:: CELL_NUMBER(seen) == c + 1 ->
		cas(C, c, c + 1, won); /* step: taken */
#ifndef MUT_TAKEN_RETURNS
		won = false
#else
		won = true
#endif
	:: else ->
#ifndef MUT_NO_LOOK
		won = (C == c); /* step: second-look */
#else
		won = true;
#endif
		if
		:: won -> /* step: claim-cell */
			cas(ring[(c + 1) % RING], seen, CELL(c + 1, who), won)
		:: else
		fi;
#ifdef MUT_CELL_FIRST
		if
		:: won && target < EVERYTHING -> raise_tag(target, c + 1)
		:: else
		fi;
#endif
		if
		:: won ->
			d_step { /* step: draw */
				if
				:: C == c -> C = c + 1
				:: else -> won = (C - (c + 1) < HELPED)
				fi
			}
#ifdef MUT_RETURN_UNDRAWN
		:: else -> won = true
#else
		:: else
#endif
		fi
	fi;
	seen = 0
}

/* Finish the invalidation that left T = n behind. */
inline help(n)
{
	do
	:: C == n - 1 -> /* step: help */
		seen = ring[n % RING];
		won = true;
		if
		:: CELL_NUMBER(seen) != n ->
#ifndef MUT_HELP_NO_LOOK
			if
			:: C != n - 1 -> break
			:: else
			fi;
#endif
			cas(ring[n % RING], seen, CELL(n, WILD), won)
		:: else
		fi;
		if
		:: won -> cas(C, n - 1, n, won); break
		:: else
		fi
	:: else -> break
	od;
	atomic { seen = 0; won = false }
}

/* ---- pattern.c ---- */

/* SETTLED -> FREE; @n and @g as its word was read. */
inline retire(n, g, state)
{
	/* step: pattern-retire */
#ifndef MUT_CLEAR_FIRST
	raise(T[EVERYTHING], n);
#endif
	d_step {
		if
		:: p_state == state && p_n == n && p_generation == g ->
			p_state = FREE; p_n = 0; p_generation++
		:: else
		fi
	}
#ifdef MUT_CLEAR_FIRST
	raise(T[EVERYTHING], n);
#endif
}

/*
 * larder_pattern_find(): x = its number if it is live, younger than s, and
 * matches what the entry carries. The second look at the word spares innocents:
 * a pattern that went away meanwhile is found in everything, which comes last.
 */
inline find_pattern(s)
{
	do
	:: atomic { /* step: pattern-find */
		x = 0; g = p_generation;
		if
		:: (p_state == DRAWING || p_state == SETTLED) && p_n > s ->
			x = p_n
		:: else
		fi
	   }
	   if
	   :: x == 0 -> break
	   :: else
	   fi;
	   at = p_text;
	   if
	   :: p_n != x || p_generation != g -> skip /* start over */
	   :: else ->
		d_step {
			if
			:: !CARRIES(at + 1) -> x = 0
			:: else
			fi
		}
		break
	   fi
	od;
	atomic { at = 0; g = 0 }
}

/* ---- fresh.c: judge(). late = a T above s, or 0 ---- */

inline judge(s)
{
	late = 0; /* step: judge */
#ifdef MUT_EVERYTHING_FIRST
	d_step {
		if
		:: T[EVERYTHING] > s -> late = T[EVERYTHING]
		:: else
		fi
	}
#endif
	if
	:: !late && (CARRY & 1) ->
		number_of(0);
		atomic { late = (x > s -> x : 0); x = 0 }
	:: else
	fi;
	if
	:: !late && (CARRY & 2) ->
		number_of(1);
		atomic { late = (x > s -> x : 0); x = 0 }
	:: else
	fi;
#if MAINTAIN
	if
	:: !late ->
		find_pattern(s);
		d_step { late = x; x = 0 }
	:: else
	fi;
#endif
#if !defined(MUT_EVERYTHING_FIRST) && !defined(MUT_NO_EVERYTHING)
	d_step { /* step: everything-last */
		if
		:: !late && T[EVERYTHING] > s -> late = T[EVERYTHING]
		:: else
		fi
	}
#endif
}

/*
 * larder_fresh_allows(): C as it is now says all of a stamp that is current,
 * whatever is half drawn. The slot was loaded before it, so that what is
 * fresher than C is not displaced: the put's CAS fails.
 */
inline allows(s)
{
	late = 0; /* step: current */
#ifdef MUT_CURRENT_EARLY
	x = c;
#else
	x = C;
#endif
	if
	:: s == x -> x = 0
	:: else -> x = 0; judge(s)
	fi
}

/* Is entry e valid at c, which was loaded before? Raises its stamp. */
inline check(e)
{
	s = stamp[e]; /* step: load-stamp */
	late = 0;
	if
	:: s >= c -> skip
	:: else ->
		ok = (c - s <= WALK);
		n = s + 1;
		do
		:: ok && n <= c ->
			d_step { /* step: walk-ring */
				x = ring[n % RING];
#ifdef REMEMBER
				x = (c == upto -> CELL(n, kept[c - n]) : x);
#endif
				ok = (CELL_NUMBER(x) == n
#ifdef MUT_NO_CELL_NUMBER
				      || true
#endif
				      ) && CELL_WHO(x) != WILD &&
				     !CARRIES(CELL_WHO(x));
				x = 0;
				n++
			}
		:: else -> break
		od;
		n = 0;
		if
		:: ok -> skip
		:: else -> judge(s)
		fi;
		if
		:: late -> help(late)
		:: else ->
#ifdef MUT_RESTAMP_ANEW
			c = C;
#endif
			/* The code swaps, which is no less. step: raise-stamp */
			if
			:: stamp[e] < c -> stamp[e] = c
			:: else
			fi
		fi
	fi;
	d_step { ok = (late == 0); late = 0; s = 0 }
}
