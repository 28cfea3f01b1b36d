/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index: one group, its announcements and their completion by anyone.
 *
 * Modelled: the control word {sequence, slot, entry}, the slot words {version,
 * key, entry}, and processes that put (insert or update), remove, evict and move
 * (a copy takes an entry's place, wherever it is linked) with the steps H1, H2, H3 of lib/store/index.c, every shared load and every CAS a
 * step of its own. Keys collide in the group; a full group is evicted from. Who
 * stops for ever is a process that is not scheduled again, at any step.
 *
 * Asserted
 *   single   no key stands in two slots
 *   once     an entry is linked at most once in its life: nothing comes back
 *            from the dead
 *   kept     an acknowledged put is there, unless it was updated, removed or
 *            evicted since
 *   moved    a copy takes the place of what it was copied from, and of nothing
 *            that was stored since
 *   solo     (SOLO) in any state, with everybody else stopped, one process
 *            completes what is announced and its own insert
 *
 * Left out: reclamation (a unit is never used twice here; reclamation.pml), tags
 * and hashes, readers (they only load slot words), versions that wrap round.
 *
 * Sizes and parts
 *   SLOTS KEYS  of the group; keys that fall into it
 *   WRITERS OPS how many processes, operations of each
 *   REMOVE EVICT MOVE  what they do besides put
 *   EXPEL       who helps may be expelled before each of its CAS
 *   SOLO        the solo run
 */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef KEYS
#define KEYS 1
#endif
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef OPS
#define OPS 1
#endif
#define ENTRIES (WRITERS * OPS + 2)

/* The words. An entry's key is known from its number. */
byte ctl_sequence, ctl_slot, ctl_entry; /* ctl_slot: index + 1, 0 idle */
byte version[SLOTS], entry[SLOTS];
byte key_of[ENTRIES];
byte next_entry = 1;

/* Ghosts. */
bool linked[ENTRIES], gone[ENTRIES];
bool over_and_out;

#ifdef SOLO
#define LIVING provided(!over_and_out)
#else
#define LIVING
#endif

#if SLOTS == 2
#define TWICE \
	(entry[0] && entry[1] && key_of[entry[0]] == key_of[entry[1]])
#else
#define SAME(a, b) (entry[a] && key_of[entry[a]] == key_of[entry[b]])
#define TWICE (SAME(0, 1) || SAME(1, 2) || SAME(0, 2))
#endif

/* CAS of slot @i from what was read. */
inline slot_cas(i, new, won)
{
	d_step { /* step: swap-slot */
		won = (entry[i] == word && version[i] == word_version);
		if
		:: won ->
			if
			:: word -> gone[word] = true
			:: else
			fi;
			entry[i] = new;
#ifndef MUT_NO_VERSION
			version[i]++;
#endif
			if
			:: new ->
				assert(!linked[new]); /* once */
				linked[new] = true;
				assert(!TWICE) /* single */
			:: else
			fi
		:: else
		fi
	}
}

inline load_slot(i)
{
	/* step: load-slot */
	d_step { word = entry[i]; word_version = version[i] }
}

inline load_ctl()
{
	/* step: load-control */
	d_step { sequence = ctl_sequence; at = ctl_slot; announced = ctl_entry }
}

#define CTL_IS_SEEN \
	(ctl_sequence == sequence && ctl_slot == at && ctl_entry == announced)

/* May this process still write? If not, it changes nothing and begins anew. */
#ifdef EXPEL
#define MAY_BE_EXPELLED \
	if \
	:: true \
	:: expelled = true \
	fi
#else
#define MAY_BE_EXPELLED skip
#endif

/* larder_index_help() of what load_ctl() saw; expelled: not done by us. */
inline help()
{
	/* step: help */
	load_slot(at - 1);
	if
#ifndef MUT_NO_H1
	:: CTL_IS_SEEN -> /* step: H1 */
#else
	:: true ->
#endif
		MAY_BE_EXPELLED;
		if
		:: word == 0 && !expelled ->
			slot_cas(at - 1, announced, won); /* step: H2 */
			MAY_BE_EXPELLED
		:: else
		fi;
		d_step { /* step: H3 */
			if
			:: CTL_IS_SEEN && !expelled ->
				ctl_sequence++; ctl_slot = 0; ctl_entry = 0
			:: else
			fi
		}
#ifndef MUT_NO_H1
	:: else
#endif
	fi;
	d_step { word = 0; word_version = 0; won = false }
}

/* The key's slot: i, with its word; i == SLOTS if it is in none. */
inline find(key)
{
	/* step: find */
	i = 0;
	do
	:: i < SLOTS ->
		load_slot(i);
		if
		:: word && key_of[word] == key -> break
		:: else -> i++
		fi
	:: else -> break
	od
}

/* larder_index_unlink() of slot i, whose word was seen. */
inline unlink()
{
	/* step: look-at-control */
	d_step { held = word; held_version = word_version }
#ifndef MUT_NO_CTL_IN_UNLINK
	load_ctl();
	if
	:: at -> help()
	:: else
	fi;
#endif
#ifdef MUT_EXPELLED_GOES_ON
	expelled = false;
#endif
	if
	:: expelled -> won = false
	:: else ->
		d_step { word = held; word_version = held_version }
		slot_cas(i, 0, won) /* step: unlink */
	fi;
	d_step { expelled = false; held = 0; held_version = 0 }
}

inline put()
{
	/* step: prepare */
	d_step { mine = next_entry; next_entry++; key_of[mine] = key }
	do
	:: load_ctl(); /* step: put */
	   if
	   :: at -> help(); expelled = false
	   :: else ->
		find(key);
		if
		:: i < SLOTS ->
			slot_cas(i, mine, won); /* step: replace */
			if
			:: won -> break
			:: else
			fi
		:: else ->
			/* Any empty slot; a full group is evicted from.
			 * step: find-empty */
			i = 0;
			do
			:: i < SLOTS ->
				load_slot(i);
				if
				:: word == 0 -> break
#if SLOTS > 1
				:: word == 0 && i + 1 < SLOTS -> i++
#endif
				:: word -> i++
				fi
			:: else -> break
			od;
			if
			:: i == SLOTS -> /* step: evict-from-group */
				if
				:: i = 0
#if SLOTS > 1
				:: i = 1
#endif
#if SLOTS > 2
				:: i = 2
#endif
				fi;
				load_slot(i);
				if
				:: word -> unlink()
				:: else
				fi
			:: else ->
#ifdef MUT_PLAIN_INSERT
				slot_cas(i, mine, won);
				if
				:: won -> break
				:: else
				fi
#else
				d_step { /* step: announce */
					won = CTL_IS_SEEN;
					if
					:: won ->
						ctl_sequence++;
						ctl_slot = i + 1;
						ctl_entry = mine
					:: else
					fi
				}
				if
				:: won ->
					d_step {
						sequence = sequence + 1;
						at = i + 1;
						announced = mine
					}
					/* It is certain; stay till it is
					 * visible. step: complete */
					do
					:: help();
#ifdef MUT_EXPELLED_IS_DONE
					   expelled = false;
#endif
					   if
					   :: expelled && CTL_IS_SEEN ->
						expelled = false
					   :: else -> break
					   fi
					od;
					expelled = false;
					break
				:: else
				fi
#endif
			fi
		fi
	   fi
	od;
	/* Acknowledged. step: acknowledge */
	assert(linked[mine] && (gone[mine] || entry[0] == mine ||
				entry[1] == mine
#if SLOTS > 2
				|| entry[2] == mine
#endif
				)) /* kept */
}

inline move()
{
	/* step: move */
	if
	:: i = 0
	:: i = 1
	fi;
	load_slot(i);
	if
	:: word ->
		d_step {
			mine = next_entry;
			next_entry++;
			key_of[mine] = key_of[word];
			held = word
		}
#ifdef MUT_MOVE_BLIND
		load_slot(i);
#endif
		slot_cas(i, mine, won);
		assert(!won || word == held) /* moved */
	:: else
	fi
}

proctype writer() LIVING
{
	byte ops, key, mine, i, word, word_version, held, held_version;
	byte sequence, at, announced;
	bool won, expelled;

	do
	:: ops < OPS ->
		ops++;
#if KEYS > 1
		if
		:: key = 0
		:: key = 1
#if KEYS > 2
		:: key = 2
#endif
		fi;
#endif
		if
		:: put()
#ifdef REMOVE
		:: atomic { won = false; i = 0 }
		   do
		   :: load_ctl(); /* step: remove */
		      if
		      :: at -> help()
		      :: else
		      fi;
		      if
		      :: expelled -> expelled = false
		      :: else ->
			find(key);
			if
			:: i == SLOTS -> break
			:: else -> unlink();
				if
				:: won -> break
				:: else
				fi
			fi
		      fi
		   od
#endif
#ifdef EVICT
		:: i = 0; load_slot(0); /* step: evict */
		   if
		   :: word -> unlink()
		   :: else
		   fi
		:: i = 1; load_slot(1);
		   if
		   :: word -> unlink()
		   :: else
		   fi
#endif
#ifdef MOVE
		:: move()
#endif
		fi;
		atomic {
			key = 0; mine = 0; i = 0; word = 0; word_version = 0;
			sequence = 0; at = 0; announced = 0; won = false;
			held = 0; held_version = 0
		}
	:: else -> break
	od
}

#ifdef SOLO
proctype survivor()
{
	byte key, mine, i, word, word_version, held, held_version;
	byte sequence, at, announced;
	bool won, expelled;

	atomic { /* step: survive */
		over_and_out = true;
		put();
		load_ctl();
		assert(at == 0 && !gone[mine]) /* solo */
	}
}
#endif

init
{
	atomic {
		byte k;
		do
		:: k < WRITERS -> run writer(); k++
		:: else -> break
		od;
#ifdef SOLO
		run survivor()
#endif
	}
}
