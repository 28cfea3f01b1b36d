/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A router on a segment: its regions and the secret of its keys.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "router/router.h"

/*
 * Regions are named with the version of what is in them, which is to grow by
 * one whenever one of their structures changes: a router of another version,
 * started on the segment of the last, then finds the catalog and begins the
 * rest anew.
 */
enum { DEFAULT_TTL_MS = 300000, BYPASS_CELLS = 256 };

/* The secret is drawn once for a segment, by whoever comes first: 1 drawing,
 * 2 ready. One who dies while drawing leaves 1; the next draws after a while.
 */
static int share_secret(struct shared *s)
{
	unsigned char own[sizeof s->secret];
	uint64_t seen = 0;

	if (getrandom(own, sizeof own, 0) != (ssize_t)sizeof own)
		return -errno;
	if (cas_acqrel(&s->secret_ready, &seen, 1)) {
		memcpy(s->secret, own, sizeof own);
		store_release(&s->secret_ready, 2);
		return 0;
	}
	for (int i = 0; i < 2000 && load_acquire(&s->secret_ready) != 2; i++) {
		const struct timespec nap = {.tv_nsec = 500000};

		nanosleep(&nap, NULL);
	}
	if (load_acquire(&s->secret_ready) != 2) {
		memcpy(s->secret, own, sizeof own);
		store_release(&s->secret_ready, 2);
	}
	return 0;
}

int router_open(struct larder *cache, const struct router_options *options,
		struct router **result)
{
	struct router *r = calloc(1, sizeof *r);
	struct larder_region region;
	int error = 0;

	if (!r)
		return -ENOMEM;
	r->cache = cache;
	r->weights = router_default_weights;
	r->random = 1;
	if (options && options->size_of <= sizeof r->options)
		memcpy(&r->options, options, options->size_of);
	if (r->options.weights)
		r->weights = *r->options.weights;
	r->options.weights = NULL; /* the caller's, and copied */
	if (r->options.feedback_weight > 0 && r->options.feedback_weight <= 1)
		r->weights.feedback = r->options.feedback_weight;
	if (!r->options.ttl_ms)
		r->options.ttl_ms = DEFAULT_TTL_MS;
	if (!r->options.bypass_cells)
		r->options.bypass_cells = BYPASS_CELLS;
	r->shared = &r->own;
	if (cache) {
		error = larder_region(cache, "router/2", sizeof *r->shared, 0,
				      &region);
		if (!error)
			r->shared = region.common;
		if (!error)
			error = larder_region(cache, "router/metrics/4", 0,
					      sizeof *r->cells, &region);
		if (!error) {
			r->cells = region.cells;
			r->cell_stride = region.stride;
			r->n_cells = region.n_cells;
		}
	}
	if (cache && !error)
		error = larder_region(cache, "router/admission/1",
				      sizeof *r->admission, 0, &region);
	if (cache && !error)
		r->admission = region.common;
	if (!error)
		error = share_secret(r->shared);
	if (!error)
		error = router_catalog_current(r);
	if (!error && !r->catalog.document)
		error = router_catalog_empty(r);
	/* What another one was warming who had this slot, it took with it. */
	if (!error)
		store_relaxed(&router_cell(r)->warm_left, 0);
	if (error) {
		router_close(r);
		return error;
	}
	*result = r;
	return 0;
}

void router_close(struct router *r)
{
	if (!r)
		return;
	router_refreshes_drop(r);
	router_hot_free(r->hot);
	json_decref(r->catalog.document);
	router_catalog_release(r->catalog.parsed);
	while (r->idle) {
		struct arena *a = r->idle;

		r->idle = a->next;
		router_arena_free(a);
	}
	while (r->n_idle_bodies)
		free(r->idle_body[--r->n_idle_bodies]);
	for (unsigned i = r->warm_at; i < r->n_warm; i++)
		free(r->warm[i].body);
	free(r->warm);
	free(r);
}
