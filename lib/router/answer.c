/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a body to an answer: the road that every question takes.
 *
 *   1. byte for byte one seen before, under this catalog and load? An alias
 * entry holds the finished body, from the second time on; it counts only while
 * its canonical entry does.
 *   2. parse; too small to be worth a lookup, or as far as is known not worth
 *      keeping (admit.c)? Compute.
 *   3. the canonical entry: a hit; or we lead and compute; or somebody does.
 *
 * A leader takes its token (with the lead), then looks at the catalog again,
 * then computes: an invalidation in between refuses what it stores.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "router/answer.h"

enum { TRIES = 2, BYPASSED_MOST = 256, DEAR_CELLS = 1 << 17 };

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

const char *router_cache_status_name(enum router_cache_status status)
{
	static const char *const names[] = {"hit", "miss", "stale", "coalesced",
					    "bypass"};

	return status <= ROUTER_BYPASS ? names[status] : "?";
}

static void add(atomic_u64 *counter, uint64_t n)
{
	fetch_add_relaxed(counter, n);
}

/* ------------------------------------------------------------------ */
/* Bodies: some wait to be used again                                  */

struct text router_body_text(struct router *r)
{
	struct text t = {0};

	if (r->n_idle_bodies) {
		t.bytes = r->idle_body[--r->n_idle_bodies];
		t.room = malloc_usable_size(t.bytes);
	}
	return t;
}

void router_body_free(struct router *r, char *body)
{
	if (body && r->n_idle_bodies < IDLE_BODIES_MAX &&
	    malloc_usable_size(body) <= IDLE_BODY_BYTES)
		r->idle_body[r->n_idle_bodies++] = body;
	else
		free(body);
}

/* ------------------------------------------------------------------ */
/* Computing and storing                                               */

static int compute(struct router *r, const struct router_request *q,
		   struct router_result *result)
{
	int error;

	result->assignments = router_arena_take(
		q->arena, q->n_agents * sizeof *result->assignments);
	if (!result->assignments)
		return -ENOMEM;
	error = router_assign(&r->weights, q, result);
	if (!error)
		add(&router_cell(r)->compute_ns[q->strategy],
		    result->computed_ns);
	return error;
}

static int answer_computed(struct router *r, struct router_work *w, bool lead,
			   enum router_cache_status status,
			   struct router_answer *answer)
{
	struct router_result result;
	struct text t;
	uint64_t version = 0;
	int error = compute(r, w->request, &result);

	if (error) {
		if (lead)
			larder_fill_abandon(r->cache, &w->fill);
		return error;
	}
	if (lead)
		version = router_result_store(r, w, &result);
	t = router_body_text(r);
	router_render(w->request, &result, &t);
	if (version && (w->sight == SIGHT_KNOWN || r->warming))
		router_alias_store(r, w, &t, version, result.computed_ns);
	answer->strategy = w->request->strategy;
	return router_answer_finish(r, &t, status, NULL, result.computed_ns,
				    answer);
}

/* From a leased canonical entry. 1: it does not fit the question (a load that
 * moved meanwhile). Releases the view. */
static int answer_stored(struct router *r, struct router_work *w,
			 struct larder_view *view,
			 enum router_cache_status status,
			 struct router_answer *answer)
{
	const struct router_request *q = w->request;
	struct larder_info info = {.size_of = sizeof info};
	struct router_result result = {
		.assignments = router_arena_take(
			q->arena, q->n_agents * sizeof *result.assignments)};
	struct text t;
	bool fits = result.assignments &&
		    router_unpack(q, view->value, view->n_value, &result);
	uint64_t version = view->version;
	int error = 1;

	larder_release(r->cache, view);
	if (fits) {
		t = router_body_text(r);
		router_render(q, &result, &t);
		if (larder_get_info(r->cache, w->key, w->n_key, NULL, 0,
				    &info) == LARDER_MISS)
			info = (struct larder_info){0};
		if (status == ROUTER_HIT && info.version == version)
			router_alias_store(r, w, &t, version,
					   result.computed_ns);
		add(&router_cell(r)->saved_ns[q->strategy], result.computed_ns);
		answer->strategy = q->strategy;
		error = router_answer_finish(r, &t, status, &info,
					     result.computed_ns, answer);
	}
	return error;
}

/* ------------------------------------------------------------------ */
/* Is it worth a lookup?                                               */

unsigned router_shape(const struct router_request *q)
{
	uint64_t cells = (uint64_t)q->n_agents * q->n_models;

	return cells ? 63u - (unsigned)__builtin_clzll(cells) : 0;
}

/* True once in two to the @log. */
static bool seldom(struct router *r, unsigned log)
{
	r->random = r->random * UINT64_C(6364136223846793005) + 1;
	return r->random >> (64 - log) == 0;
}

/*
 * What hits and what computing cost, from the complete body to the ready
 * answer, is learned by shape. One in 64 that would be bypassed is looked up
 * all the same, so that what was learned can change.
 */
static bool worth_it(struct router *r, const struct router_request *q)
{
	unsigned k = router_shape(q) % 32;
	double compute_ns = r->compute_cost[q->strategy][k];
	double hit_ns = r->hit_cost[k];

	if (!r->cache || r->options.never_cache)
		return false;
	if (q->strategy == ROUTER_OPTIMAL && q->n_agents >= 2)
		return true;
	if (r->options.bypass_cells == ROUTER_BYPASS_NOTHING)
		return true;
	if ((uint64_t)q->n_agents * q->n_models < r->options.bypass_cells)
		return false;
	if (compute_ns == 0 || hit_ns == 0)
		return true;
	return compute_ns > hit_ns || seldom(r, 6);
}

/* So much work that keeping its answer costs next to nothing beside it: that is
 * always done, and nobody does such work while another is at it. */
static bool is_dear(const struct router_request *q)
{
	return q->strategy == ROUTER_OPTIMAL && q->n_agents >= 2 &&
	       (uint64_t)q->n_agents * q->n_models >= DEAR_CELLS;
}

static void learn(double *average, uint64_t ns)
{
	*average = *average == 0 ? (double)ns
				 : *average + ((double)ns - *average) / 16;
}

/* ------------------------------------------------------------------ */

static void work_free(struct router *r, struct router_work *w)
{
	if (!w)
		return;
	if (w->request)
		router_catalog_release(w->request->catalog);
	router_arena_put(r, w->arena);
}

/*
 * We lead. With a stale value at hand that is the answer, and the question
 * waits for router_refresh_some(): the client does not, and whoever asks
 * meanwhile gets the stale value too. 1: the catalog has changed since the
 * question was parsed.
 */
static int answer_leading(struct router *r, struct router_work *w,
			  struct larder_view *view,
			  struct router_answer *answer)
{
	int error = router_catalog_current(r);

	if (error || r->catalog.number != w->catalog) {
		if (view->lease)
			larder_release(r->cache, view);
		larder_fill_abandon(r->cache, &w->fill);
		return error ? error : 1;
	}
	if (view->lease &&
	    answer_stored(r, w, view, ROUTER_STALE, answer) == 0) {
		w->refreshing = true;
		w->next = r->refreshes;
		r->refreshes = w;
		return 0;
	}
	return answer_computed(r, w, true, ROUTER_MISS, answer);
}

bool router_refresh_some(struct router *r, unsigned n)
{
	for (; n && r->refreshes; n--) {
		struct router_work *w = r->refreshes;
		struct router_answer answer = {0};

		r->refreshes = w->next;
		if (router_catalog_current(r) ||
		    r->catalog.number != w->catalog)
			larder_fill_abandon(r->cache, &w->fill);
		else if (answer_computed(r, w, true, ROUTER_MISS, &answer) == 0)
			router_body_free(r, answer.body);
		work_free(r, w);
	}
	return r->refreshes != NULL;
}

void router_refreshes_drop(struct router *r)
{
	while (r->refreshes) {
		struct router_work *w = r->refreshes;

		r->refreshes = w->next;
		larder_fill_abandon(r->cache, &w->fill);
		work_free(r, w);
	}
}

/* The answer of a fill's step; LARDER_WAIT to come back; 1: begin again. */
static int step(struct router *r, struct router_work *w, int outcome,
		struct larder_view *view, bool waited,
		struct router_answer *answer)
{
	enum router_cache_status status = outcome == LARDER_STALE ? ROUTER_STALE
					  : waited ? ROUTER_COALESCED
						   : ROUTER_HIT;

	switch (outcome) {
	case LARDER_OK:
	case LARDER_STALE:
		if (answer_stored(r, w, view, status, answer) == 0)
			return 0;
		return answer_computed(r, w, false, ROUTER_MISS, answer);
	case LARDER_LEAD:
		return answer_leading(r, w, view, answer);
	case LARDER_WAIT:
		return LARDER_WAIT;
	default: /* time-out, leases at their limit: compute it ourselves */
		return answer_computed(r, w, false, ROUTER_MISS, answer);
	}
}

/* The question, parsed, under the catalog and the load as they are now. */
static int work_make(struct router *r, const void *body, size_t n_body,
		     struct router_work *w, struct router_error *e)
{
	int error =
		router_request_in(r, w->arena, body, n_body, &w->request, e);

	if (error)
		return error;
	w->catalog = r->catalog.number;
	router_load_apply(r, w->request);
	return 0;
}

static unsigned size_class(size_t n_body)
{
	return n_body ? 31u - (unsigned)__builtin_clz((unsigned)n_body) : 0;
}

/* Looked up by its bytes: 0 with the answer, or 1. Where all of a size are
 * bypassed, what they mean being cheaper to compute than to find, they are not
 * looked up by their bytes either, until one is not. */
static int answer_by_bytes(struct router *r, struct router_work *w,
			   const void *body, size_t n_body,
			   struct router_answer *answer, unsigned *shape)
{
	if (!r->cache || r->options.never_cache)
		return 1;
	w->size_class = size_class(n_body);
	if (r->bypassed[w->size_class] >= BYPASSED_MOST)
		return 1;
	router_admit_look(r, w, body, n_body);
	if (!w->by_bytes || (w->alone && w->sight != SIGHT_KNOWN))
		return 1;
	router_hot_note(r, w->digest, body, n_body);
	w->load = router_load_fingerprint(r);
	w->n_alias = router_alias_key(r, w->digest, w->load, w->alias);
	if (router_alias_try(r, w->alias, w->n_alias, answer, shape) == 0)
		return 0;
	/* What comes once only is worth no finished body in the cache. */
	if (w->sight == SIGHT_NEW && !r->warming)
		w->n_alias = 0;
	return 1;
}

/* What came of a body. */
static void count(struct router *r, const struct router_work *w,
		  const void *body, size_t n_body,
		  enum router_cache_status status)
{
	unsigned *bypassed = &r->bypassed[w->size_class];

	if (!r->admission || r->options.never_cache)
		return;
	if (status != ROUTER_BYPASS)
		*bypassed = 0;
	else if (!w->alone && *bypassed < BYPASSED_MOST)
		++*bypassed;
	if (status != ROUTER_BYPASS && !w->by_bytes && router_hot_has_room(r))
		router_hot_note(r, router_digest(r, body, n_body), body,
				n_body);
	router_admit_count(r, w, status);
}

/* The canonical entry: found, led, waited for; or not looked up at all. */
static int answer_by_meaning(struct router *r, struct router_work *w,
			     struct router_answer *answer, bool *hit)
{
	struct larder_view view = {0};
	int outcome;

	w->dear = w->alone && is_dear(w->request);
	if ((w->alone && !w->dear) || !worth_it(r, w->request))
		return answer_computed(r, w, false, ROUTER_BYPASS, answer);
	if (router_key(r, w->request, w->key, &w->n_key))
		return -ENOMEM;
	outcome = larder_fill_begin(r->cache, w->key, w->n_key, NULL, &w->fill,
				    &view);
	*hit = outcome == LARDER_OK;
	return step(r, w, outcome, &view, false, answer);
}

static int begin_once(struct router *r, const void *body, size_t n_body,
		      bool last, struct router_answer *answer,
		      struct router_work **work, struct router_error *e)
{
	int error = router_catalog_current(r);
	uint64_t began = now_ns();
	struct router_work *w;
	struct arena *a;
	unsigned shape;
	bool hit = true;

	if (error)
		return error;
	a = router_arena_get(r);
	w = a ? router_arena_zeroed(a, sizeof *w) : NULL;
	if (!w) {
		router_arena_put(r, a);
		return -ENOMEM;
	}
	w->arena = a;
	error = answer_by_bytes(r, w, body, n_body, answer, &shape);
	if (error == 1) {
		hit = false;
		error = work_make(r, body, n_body, w, e);
		if (!error) {
			shape = router_shape(w->request);
			error = answer_by_meaning(r, w, answer, &hit);
		}
		/* The catalog moves as fast as questions are read. Ours is old,
		 * its answer as good as any that began before the change, and
		 * nobody else's. */
		if (error == 1 && last)
			error = answer_computed(r, w, false, ROUTER_MISS,
						answer);
	}
	if (error == 0)
		count(r, w, body, n_body, answer->status);
	if (error == LARDER_WAIT) {
		*work = w;
		return LARDER_WAIT;
	}
	if (error == 0 && hit)
		learn(&r->hit_cost[shape % 32], now_ns() - began);
	else if (error == 0 && !w->refreshing)
		learn(&r->compute_cost[w->request->strategy][shape % 32],
		      now_ns() - began);
	if (!w->refreshing)
		work_free(r, w);
	return error;
}

int router_answer_begin(struct router *r, const void *body, size_t n_body,
			struct router_answer *answer, struct router_work **work,
			struct router_error *e)
{
	int error = 1;

	memset(answer, 0, sizeof *answer);
	*work = NULL;
	for (int tries = 1; tries <= TRIES && error == 1; tries++)
		error = begin_once(r, body, n_body, tries == TRIES, answer,
				   work, e);
	return error;
}

int router_answer_poll(struct router *r, struct router_work *w,
		       struct router_answer *answer, struct router_error *e)
{
	struct larder_view view = {0};
	int outcome = larder_fill_poll(r->cache, &w->fill, &view);
	int error = step(r, w, outcome, &view, true, answer);

	(void)e;
	if (error == LARDER_WAIT)
		return error;
	/* As in begin_once(). */
	if (error == 1)
		error = answer_computed(r, w, false, ROUTER_MISS, answer);
	if (error == 0)
		router_admit_count(r, w, answer->status);
	if (!w->refreshing)
		work_free(r, w);
	return error;
}

void router_answer_cancel(struct router *r, struct router_work *w)
{
	larder_fill_abandon(r->cache, &w->fill);
	work_free(r, w);
}
