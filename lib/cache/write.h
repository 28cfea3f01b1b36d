/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One store on its way, for those who prepare it otherwise than put and its kin
 * do. larder_store() in cache.h is the whole of it.
 */
#ifndef LARDER_CACHE_WRITE_H
#define LARDER_CACHE_WRITE_H

#include "cache/cache.h"

struct store {
	enum store_mode mode;
	const void *key;
	size_t n_key;
	uint64_t hash;
	uint64_t expected_version;
	const struct larder_token *token;
	struct entry_plan plan;
	uint64_t stamp;
	/* the new entry; larder_store_run() finds it */
	uint32_t unit;
	uint64_t header, version;
	unsigned class;
	bool successor; /* of one that is as large, and kept if this is */
};

/* What the options ask for, copied to @o and added to @plan. 0 or -EINVAL. */
int larder_store_options(struct worker *w,
			 const struct larder_put_options *given,
			 struct larder_put_options *o, struct entry_plan *plan);

/* Store it: room, bytes, and the switch in a loop. What larder_put() and its
 * kin return; unless it is LARDER_OK nothing has changed. Not pinned. */
int larder_store_run(struct worker *w, struct store *st);

#endif
