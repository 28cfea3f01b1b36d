/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The usual hit, in as few instructions as it can be done: an entry in the
 * first slot of its hash's tag, stamped since the last invalidation or cleared
 * by the ring of recent ones, best without optional fields but tags. Anything
 * else, and any doubt, is left to the general road of read.c, which begins
 * anew.
 *
 * A second road is for a worker most of whose hits lag behind invalidations:
 * cache/recent.h.
 *
 * The number of instructions matters beyond their own time. A get waits for two
 * lines of memory, and how many gets wait at once is how many fit the
 * processor's window. So there is one body, usual_body.h, compiled once for
 * each level of processor, and the best one is chosen when the library is
 * loaded.
 */
#ifndef LARDER_CACHE_USUAL_H
#define LARDER_CACHE_USUAL_H

#include "cache/cache.h"

struct usual {
	/* larder_get(), whole: what is not usual it gives to
	 * larder_get_unusual(). */
	int (*get)(struct larder *h, const void *key, size_t n_key, void *value,
		   size_t n_buffer, size_t *n_value);
	/* The same with the worker and the hash at hand: false if it is not
	 * usual, and then no hit was counted. The key is valid, and the buffer
	 * is there. */
	bool (*hit)(struct worker *w, const void *key, size_t n_key,
		    uint64_t hash, void *value, size_t n_buffer,
		    size_t *n_value);
};

extern struct usual larder_usual;

enum usual_level { USUAL_PLAIN, USUAL_AVX2, USUAL_AVX512, N_USUAL_LEVELS };

/* The code of one level to @usual. False, and nothing, if this processor does
 * not have it. */
bool larder_usual_of(enum usual_level level, struct usual *usual);

/* Any other get, and every error. */
int larder_get_unusual(struct larder *h, const void *key, size_t n_key,
		       void *value, size_t n_buffer, size_t *n_value);

#endif
