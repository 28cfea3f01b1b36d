/* SPDX-License-Identifier: Apache-2.0 */
/* The model that operations.c holds a segment against: what each key was last
 * given, what is leased, which fills are under way. */
#ifndef TESTS_FUZZ_OPERATIONS_H
#define TESTS_FUZZ_OPERATIONS_H

#include <stdbool.h>

#include <larder/larder.h>

#include "fuzz/rounds.h"

enum { KEYS = 32, TAGS = 4, LEASES = 4, FILLS = 2, REGIONS = 2 };
enum { VALUE_MOST = 256 * 520 };

struct model {
	bool there; /* false: must be a miss */
	bool keep;  /* and true: must be a hit */
	/* n_lost() when it was stored: must be a hit while that is the same */
	uint64_t n_lost;
	bool counter;
	uint8_t letter; /* the value's first byte */
	unsigned tags;	/* a bit each */
	uint32_t length;
	uint64_t count;
};

struct held {
	bool held;
	struct model what; /* as it was when it was leased */
	struct larder_view view;
};

struct filling {
	bool open, invalidated, put_since;
	unsigned key;
	unsigned tags; /* that were invalidated since it began */
	struct larder_fill fill;
};

struct state {
	struct larder *h;
	int fd;
	struct model model[KEYS];
	struct held lease[LEASES];
	struct filling fill[FILLS];
	uint8_t region[REGIONS]; /* each of its bytes */
	uint64_t n_invalidations;
	bool copied; /* h is a copy's: it need not hold all */
};

#endif
