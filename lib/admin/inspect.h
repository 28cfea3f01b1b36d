/* SPDX-License-Identifier: Apache-2.0 */
/* An inspector: a read-only mapping, and the entry its walk returned last. */
#ifndef LARDER_ADMIN_INSPECT_H
#define LARDER_ADMIN_INSPECT_H

#include <errno.h>

#include <larder/admin.h>

#include "admin/alive.h"
#include "admin/snapshot.h"

struct larder_inspector {
	struct segment *s;
	bool this_boot;	      /* when it was mapped */
	uint64_t n_file;      /* bytes of the file when it was mapped */
	struct snapshot last; /* of the walk */
	bool has_last;
	uint32_t last_tag; /* the tag that last_at is at */
	uint32_t last_at;
	uint64_t last_cursor; /* just past the last one */
};

/* Milliseconds on the segment's own clock. Another boot's is continued by the
 * wall clock. */
uint64_t larder_inspect_now_ms(const struct larder_inspector *inspector);

/* Copy what the library knows into a structure of the caller's age. False if
 * its size makes no sense. */
bool larder_inspect_give(void *to, const void *from, size_t n_from);

/* Gauges, for handles and inspectors. */
void larder_usage_of(const struct segment *s, struct larder_usage *usage);

#endif
