/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Part of freshness.pml: processes of single configurations. Patterns with
 * their retirement (lib/cache/pattern.c), and memory that is reused.
 */

#if MAINTAIN
#if defined(DIE)
#define MAY_DIE \
	if \
	:: mortal -> dead = true; goto out \
	:: true \
	fi
#else
#define MAY_DIE skip
#endif

/* A pattern that matches tag @text: larder_pattern_invalidate(). */
proctype matcher(byte id; byte text; bool mortal)
{
	byte c, seen, me, n, g, tries;
	mtype state;
	bool won, ours;

	d_step { src[text]++; me = src[text] }
claim:
	MAY_DIE;
	/* step: pattern-claim */
	atomic { state = p_state; g = p_generation; n = p_n }
	if
	:: state == FREE ->
		d_step {
			ours = (p_state == FREE && p_generation == g);
			if
			:: ours -> p_state = CLAIMED; p_owner = id
			:: else
			fi
		}
	:: state == SETTLED -> retire(n, g, SETTLED)
	:: else
	fi;
	if
	:: ours -> skip
	:: !ours && tries < 2 -> tries++; goto claim
	:: else ->
		/* No slot to be had: too much rather than too little.
		 * step: pattern-none */
		do
		:: c = C; raise(T[EVERYTHING], c + 1); draw(WILD);
		   if
		   :: won -> goto returns
		   :: else
		   fi
		od
	fi;
	MAY_DIE;
	p_text = text; /* step: pattern-write */
	state = CLAIMED; n = 0;
	do
	:: MAY_DIE;
	   c = C; /* step: pattern-draw */
	   atomic {
		ours = (p_state == state && p_n == n && p_generation == g);
		if
		:: ours -> p_n = c + 1; p_state = DRAWING
		:: else
		fi
	   }
#ifdef MUT_EARLY
	   ours = true;
#endif
	   if
	   :: !ours -> tries = 0; goto claim
	   :: else
	   fi;
	   state = DRAWING; n = c + 1;
	   MAY_DIE;
	   draw(WILD);
	   if
	   :: won -> break
	   :: else
	   fi
	od;
	MAY_DIE;
	atomic { /* step: pattern-settle */
		if
		:: p_state == DRAWING && p_n == n && p_generation == g ->
			p_state = SETTLED
		:: else
		fi
	}
returns:
	atomic {
		if
		:: done[text] < me -> done[text] = me
		:: else
		fi
	}
out:	skip
}

/* larder_patterns_maintain(): retire what is settled, mend the dead's. */
proctype maintainer()
{
	byte rounds, n, g, seen;
	mtype state;
	bool won;

	do
	:: rounds < MAINTAIN ->
		rounds++;
		(p_state != FREE); /* step: pattern-maintain */
		d_step { state = p_state; n = p_n; g = p_generation }
		if
		:: state == SETTLED -> retire(n, g, SETTLED)
#ifdef MUT_EARLY
		:: state == DRAWING -> retire(n, g, DRAWING)
#endif
#ifdef DIE
		:: state == CLAIMED && p_owner == 0 && dead ->
			d_step { /* step: pattern-mend */
				if
				:: p_state == CLAIMED && p_generation == g ->
					p_state = FREE; p_generation++
				:: else
				fi
			}
		:: state == DRAWING && p_owner == 0 && dead ->
			help(n);
			d_step {
				if
				:: p_state == DRAWING && p_n == n &&
				   p_generation == g -> p_state = SETTLED
				:: else
				fi
			}
#endif
		:: else
		fi
	:: else -> break
	od
}
#endif

#ifdef RECYCLE
/*
 * The entry's memory is taken for another key's, which carries a tag that the
 * first did not: val[] and stamp[] of entry 1, second life. Reader and recycler
 * meet in the pin and in one hazard. The second life is a put without a token,
 * which nothing checks: stored though it is invalid by then, it has to stay so.
 */
bool pinned, expelled, hazard;
byte life;

proctype recycled_reader()
{
	byte c, s, seen, n, x, late, i, at, g, begun[3], mine;
	byte reads = READS;
	bool ok, won, lives;

	do
	:: reads ->
		d_step {
			reads--;
			begun[0] = done[0]; begun[1] = done[1];
			pinned = true; expelled = false /* step: pin */
		}
		c = C; /* step: load-counter */
		if
		:: slot == 0 -> goto unpin
		:: else
		fi;
		d_step { s = stamp[1]; lives = life }
		/* The first life carries no tag that is invalidated. */
		d_step { late = (lives && T[0] > s -> T[0] : 0); x = 0 }
		if
		:: !late && s < c -> /* step: raise-stamp */
#ifndef MUT_NO_HAZARD
			hazard = true;
#endif
#ifndef MUT_NO_VALIDATE
			if
			:: expelled -> hazard = false; goto unpin
			:: else
			fi;
#endif
			if
			:: stamp[1] < c -> stamp[1] = c
			:: else
			fi;
			hazard = false
		:: else
		fi;
		if
		:: late || expelled -> skip
		:: else -> assert(!lives || val[3] >= begun[0])
		fi;
unpin:		atomic { pinned = false; c = 0; s = 0; late = 0; lives = 0 }
	:: else -> break
	od
}

proctype recycler()
{
	byte token, saw;

	token = C; /* step: reuse */
	saw = src[0];
	slot = 0;
	/* Grace: the reader is unpinned or expelled; then the hazard. */
	d_step {
		if
		:: pinned -> expelled = true
		:: else
		fi
	}
	!hazard;
	d_step { stamp[1] = token; val[3] = saw; life = 1 }
	slot = 1
}
#endif
