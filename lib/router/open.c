/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A router on a segment: its regions, the secret of its keys, and warming.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "router/router.h"

enum { WARM_LINES_MAX = 100000, DEFAULT_TTL_MS = 300000, BYPASS_CELLS = 256 };

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
	if (!r->options.ttl_ms)
		r->options.ttl_ms = DEFAULT_TTL_MS;
	if (!r->options.bypass_cells)
		r->options.bypass_cells = BYPASS_CELLS;
	r->shared = &r->own;
	if (cache) {
		error = larder_region(cache, "router", sizeof *r->shared, 0,
				      &region);
		if (!error)
			r->shared = region.common;
		if (!error)
			error = larder_region(cache, "router/metrics", 0,
					      sizeof *r->cells, &region);
		if (!error) {
			r->cells = region.cells;
			r->cell_stride = region.stride;
			r->n_cells = region.n_cells;
		}
	}
	if (!error)
		error = share_secret(r->shared);
	if (!error)
		error = router_catalog_current(r);
	if (!error && !r->catalog.document) {
		r->catalog.document =
			json_pack("{s:i,s:[],s:[],s:[],s:s}", "version", 0,
				  "pending", "models", "agents", "digest", "");
		error = r->catalog.document ? 0 : -ENOMEM;
	}
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
	json_decref(r->catalog.document);
	for (unsigned i = r->warm_at; i < r->n_warm; i++)
		free(r->warm[i].body);
	free(r->warm);
	free(r);
}

/* ------------------------------------------------------------------ */
/* Warming                                                             */

static int warm_add(struct router *r, const char *line, size_t n)
{
	struct warm_line *more;

	while (n && (line[n - 1] == '\r' || line[n - 1] == ' '))
		n--;
	if (!n)
		return 0;
	if (r->n_warm == WARM_LINES_MAX)
		return -E2BIG;
	more = realloc(r->warm, (r->n_warm + 1) * sizeof *more);
	if (!more)
		return -ENOMEM;
	r->warm = more;
	r->warm[r->n_warm].body = malloc(n);
	if (!r->warm[r->n_warm].body)
		return -ENOMEM;
	memcpy(r->warm[r->n_warm].body, line, n);
	r->warm[r->n_warm++].n = n;
	r->warm_total++;
	return 0;
}

int router_warm_lines(struct router *r, const char *lines, size_t n)
{
	int error = 0;

	while (n && !error) {
		const char *end = memchr(lines, '\n', n);
		size_t length = end ? (size_t)(end - lines) : n;

		error = warm_add(r, lines, length);
		lines += length + (end != NULL);
		n -= length + (end != NULL);
	}
	return error;
}

int router_warm_file(struct router *r, const char *path)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	int error = 0;

	if (!f)
		return -errno;
	while (!error && (n = getline(&line, &room, f)) > 0)
		error = warm_add(r, line, (size_t)n - (line[n - 1] == '\n'));
	free(line);
	fclose(f);
	return error;
}

unsigned router_warm_some(struct router *r, unsigned n)
{
	for (; n && r->warm_at < r->n_warm; n--) {
		struct warm_line *l = &r->warm[r->warm_at++];
		struct router_answer answer;
		struct router_work *work;
		int result = router_answer_begin(r, l->body, l->n, &answer,
						 &work, NULL);

		if (result == 0)
			free(answer.body);
		else if (result == LARDER_WAIT)
			router_answer_cancel(r, work); /* somebody is at it */
		free(l->body);
	}
	if (r->n_warm && r->warm_at == r->n_warm) {
		free(r->warm);
		r->warm = NULL;
		r->n_warm = r->warm_at = 0;
	}
	return r->n_warm - r->warm_at;
}
