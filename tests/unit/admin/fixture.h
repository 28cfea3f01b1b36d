/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment in a memfd with entries of every shape, and ways to look at it, to
 * damage it and to repair it by its path in /proc.
 */
#ifndef TESTS_UNIT_ADMIN_FIXTURE_H
#define TESTS_UNIT_ADMIN_FIXTURE_H

#include <criterion/criterion.h>

#include <larder/admin.h>

#include "cache/cache.h"
#include "segment/segment.h"

enum { FIXTURE_ENTRIES = 200 };

struct fixture {
	int fd;
	char path[64];
	uint64_t bytes;
};

void fixture_create(struct fixture *f, uint64_t bytes);
/* Entries key-0 .. key-199: plain, tagged, expiring, kept, counters, runs. */
void fixture_fill(struct fixture *f);
void fixture_drop(struct fixture *f);

/* The segment, writable, for damaging it; larder_segment_drop() ends it. */
struct segment *fixture_map(struct fixture *f);

struct larder_check_result fixture_check(struct fixture *f);
/* As larder_repair(); the result may be NULL. */
int fixture_repair(struct fixture *f, bool force,
		   struct larder_repair_result *result);

/* Group, slot and word of an entry of the fixture. */
struct fixture_place {
	struct group *g;
	unsigned i;
	uint64_t word;
	uint32_t unit;
	struct entry *e;
};
struct fixture_place fixture_find(struct segment *s, const char *key);

/* How many of the fixture's entries are answered, each with its own bytes; a
 * wrong answer fails the test. */
unsigned fixture_count(struct fixture *f);

/* The last finding said, for messages. */
extern char fixture_said[512];

#endif
