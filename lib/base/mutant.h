/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seeded mistakes, for the tests that must catch them.
 *
 * A test build compiles the library with -DLARDER_MUTANT=LARDER_MUTANT_<NAME>,
 * or once for all of them with -DLARDER_MUTANT_CHOSEN, and the test then sets
 * larder_mutant. Any other build has LARDER_MUTANT 0 and the compiler removes
 * every trace. Each mutant is one check left out or one order swapped, named
 * for it.
 */
#ifndef LARDER_BASE_MUTANT_H
#define LARDER_BASE_MUTANT_H

enum {
	LARDER_MUTANT_NONE,
	LARDER_MUTANT_PLAIN_INSERT,	/* slot CAS without announcement */
	LARDER_MUTANT_HELP_NO_RECHECK,	/* H1 left out */
	LARDER_MUTANT_UNLINK_NO_HELP,	/* unlink without looking at ctl */
	LARDER_MUTANT_SLOT_NO_VERSION,	/* slot words that repeat */
	LARDER_MUTANT_LIVE_BEFORE_FILL, /* published before it is written */
	LARDER_MUTANT_NO_RETIRE,	/* replaced entry forgotten */
	LARDER_MUTANT_RETIRE_FREE,	/* freed without a grace period */
	LARDER_MUTANT_NO_SELF_CHECK,	/* reader trusts its copy blindly */
	LARDER_MUTANT_NO_HAZARD,	/* leases not announced */
	LARDER_MUTANT_NO_WRITER_CHECK,	/* expelled writer goes on */
	LARDER_MUTANT_RECOVER_FORGETS,	/* recovery leaves the unit in hand */
	LARDER_MUTANT_PUT_IN_PLACE,	/* overwrites instead of swapping */
	LARDER_MUTANT_DRAW_FIRST,	/* number drawn before it is written */
	LARDER_MUTANT_RETURN_UNDRAWN, /* invalidation returns after lost CAS */
	LARDER_MUTANT_PUT_NO_STAMP_CHECK, /* late fill is stored */
	LARDER_MUTANT_HIT_NO_STAMP_CHECK, /* invalidated entry is served */
	LARDER_MUTANT_RETYPE_EAGER,   /* page retyped without a grace period */
	LARDER_MUTANT_RUN_LEAK,	      /* run's interior pages forgotten */
	LARDER_MUTANT_ORPHAN_RETIRED, /* what the dead had linked is retired */
	LARDER_MUTANT_FREE_HELD,      /* freed though it is in hazard */
	LARDER_MUTANT_GRACE_ONE,      /* freed after one advance */
	LARDER_MUTANT_HAZARD_UNCHECKED, /* pin not looked at after the hazard */
	LARDER_MUTANT_MEND_LIVING,	/* a living one's page is mended */
	LARDER_MUTANT_PAGE_OPEN_FIRST,	/* page word before its headers */
	LARDER_MUTANT_RUN_OPEN_FIRST,	/* run's word before its header */
	LARDER_MUTANT_CLAIM_UNCLEAN,	/* a dead one's hazards are inherited */
	LARDER_MUTANT_LEADER_TRUSTED,	/* a dead one's flight is followed */
	LARDER_MUTANT_RECOVERER_COUNTS, /* who recovers a slot is its owner */
	LARDER_MUTANT_SUCCESSOR_STAMP,	/* touch forgets what it read */
	LARDER_MUTANT_RESTAMP_LATE,	/* raised past what was judged */
	LARDER_MUTANT_STORM_LATE,	/* the same by the storm road */
	LARDER_MUTANT_STORM_NO_HAZARD,	/* stored without a hazard there */
	LARDER_MUTANT_FLOOR_LATE,	/* word displaced before its floor */
	LARDER_MUTANT_FLOOR_FIRST,	/* floor read before the words */
	LARDER_MUTANT_MOVE_BLIND,	/* copied, whatever was stored since */
	N_LARDER_MUTANTS,
};

#ifndef LARDER_MUTANT
#define LARDER_MUTANT 0
#endif
#ifdef LARDER_MUTANT_CHOSEN
extern int larder_mutant; /* the test's */
#define MUTANT(name) (larder_mutant == LARDER_MUTANT_##name)
#else
#define MUTANT(name) (LARDER_MUTANT == LARDER_MUTANT_##name)
#endif

#endif
