/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the parts of a repair work together. Nobody else uses the segment while
 * it runs, so plain order suffices; loads and stores are the library's own.
 *
 * The index says which entries there are and the pages say where: an entry is
 * kept if both agree about it in every respect that check verifies. All the
 * rest is made free, and everything that can be counted is counted again. What
 * is doubtful about freshness is decided for invalid.
 */
#ifndef LARDER_ADMIN_REPAIR_H
#define LARDER_ADMIN_REPAIR_H

#include "admin/inspect.h"

struct repair {
	struct segment *s;
	larder_finding *finding;
	void *context;
	struct larder_repair_result result;
	bool revived;	     /* of another boot: its clock is gone */
	uint64_t *kept;	     /* a bit for each unit of a kept entry */
	uint64_t n_expiring; /* given up because the clock is gone */
	uint64_t n_live, n_kept_units, n_region_units, n_free_pages;
	uint64_t n_probation[MAX_CLASSES], n_main[MAX_CLASSES];
	uint64_t n_pages[MAX_CLASSES];
	struct snapshot snap;
};

void larder_repair_say(struct repair *r, enum larder_severity severity,
		       const char *where, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* repair_file.c: a superblock that describes the file, or an error. */
int larder_repair_superblock(int fd, struct superblock *sb, bool *changed);

/* repair_store.c, in this order. */
void larder_repair_groups(struct repair *r);
void larder_repair_pages(struct repair *r);
/* repair_words.c; the first one before the groups: entries are judged by the
 * counter. The last one opens the segment. */
void larder_repair_freshness(struct repair *r);
void larder_repair_slots(struct repair *r);
void larder_repair_counts(struct repair *r);
void larder_repair_open(struct repair *r);

#endif
