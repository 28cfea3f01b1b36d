/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seeded mistakes, for the tests that must catch them.
 *
 * A test build compiles the library with -DLARDER_MUTANT=LARDER_MUTANT_<NAME>;
 * any other build has LARDER_MUTANT 0 and the compiler removes every trace.
 * Each mutant is one check left out or one order swapped, named for it.
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
	LARDER_MUTANT_RETYPE_EAGER, /* page retyped without a grace period */
	LARDER_MUTANT_RUN_LEAK,	    /* run's interior pages forgotten */
};

#ifndef LARDER_MUTANT
#define LARDER_MUTANT 0
#endif
#define MUTANT(name) (LARDER_MUTANT == LARDER_MUTANT_##name)

#endif
