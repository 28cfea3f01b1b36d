/* SPDX-License-Identifier: Apache-2.0 */
/* Findings of check and repair: collected, then printed. */
#ifndef LARDER_TOOL_FINDINGS_H
#define LARDER_TOOL_FINDINGS_H

#include "cli.h"

struct found {
	enum larder_severity severity;
	char *where, *what; /* owned */
};

struct findings {
	struct found *list;
	size_t n, room;
	uint64_t n_more; /* beyond @limit */
	uint64_t limit;
	bool notes; /* keep what is no damage, too */
};

/* A larder_finding; the context is a struct findings. */
void findings_add(void *context, enum larder_severity severity,
		  const char *where, const char *what);
/* Lines for eyes, or a member "findings" of the open JSON object. Frees. */
void findings_print(struct findings *f);

/* Print a check's result as lines or members of the open JSON object. */
void findings_result(const struct larder_check_result *r);

#endif
