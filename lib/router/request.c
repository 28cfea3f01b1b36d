/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From lists to a canonical question: agents and models by id, capabilities by
 * name, so that the order of a request cannot matter. What the request leaves
 * out is the catalog's.
 *
 * A question, and all that it points to but the catalog's own, lies in one
 * arena.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/router.h"

int router_fail(struct router_error *e, int status, const char *pointer,
		const char *format, ...)
{
	va_list list;

	if (e) {
		e->status = status;
		snprintf(e->pointer, sizeof e->pointer, "%s", pointer);
		va_start(list, format);
		vsnprintf(e->detail, sizeof e->detail, format, list);
		va_end(list);
	}
	return -EINVAL;
}

/* ------------------------------------------------------------------ */
/* Arenas: some wait to be used again                                  */

struct arena *router_arena_get(struct router *r)
{
	struct arena *a = r->idle;

	if (!a)
		return router_arena_new();
	r->idle = a->next;
	r->n_idle--;
	return a;
}

void router_arena_put(struct router *r, struct arena *a)
{
	if (!a)
		return;
	if (r->n_idle == IDLE_ARENAS_MAX) {
		router_arena_free(a);
		return;
	}
	a = router_arena_again(a, IDLE_ARENA_BYTES);
	if (!a)
		return;
	a->next = r->idle;
	r->idle = a;
	r->n_idle++;
}

/* ------------------------------------------------------------------ */

/* By name: where names of the agents' and the models' lists stand in both. */
struct merged {
	uint8_t of_wanted[ROUTER_CAPABILITIES_MAX];
	uint8_t of_had[ROUTER_CAPABILITIES_MAX];
};

static int merge_names(const struct names *wanted, const struct names *had,
		       struct router_capabilities *c, struct merged *m,
		       struct router_error *e)
{
	struct {
		const char *name;
		uint8_t *place;
	} all[2 * ROUTER_CAPABILITIES_MAX], one;
	unsigned n = 0;

	for (unsigned k = 0; k < wanted->n + had->n; k++) {
		unsigned at = n++;

		one.name = k < wanted->n ? wanted->name[k]
					 : had->name[k - wanted->n];
		one.place = k < wanted->n ? &m->of_wanted[k]
					  : &m->of_had[k - wanted->n];
		for (; at && strcmp(all[at - 1].name, one.name) > 0; at--)
			all[at] = all[at - 1];
		all[at] = one;
	}
	c->n = 0;
	for (unsigned k = 0; k < n; k++) {
		if (!k || strcmp(all[k].name, all[k - 1].name)) {
			if (c->n == ROUTER_CAPABILITIES_MAX)
				return router_fail(e, 422, "",
						   "more than %d different "
						   "capabilities",
						   ROUTER_CAPABILITIES_MAX);
			c->name[c->n++] = all[k].name;
		}
		*all[k].place = (uint8_t)(c->n - 1);
	}
	return 0;
}

int router_lists_check(const struct lists *l, struct router_error *e)
{
	struct router_capabilities c;
	struct merged m;

	return merge_names(&l->wanted, &l->had, &c, &m, e);
}

static uint64_t moved(uint64_t set, const uint8_t *place)
{
	uint64_t to = 0;

	for (; set; set &= set - 1)
		to |= UINT64_C(1) << place[__builtin_ctzll(set)];
	return to;
}

static void take_agents(struct router_request *q, const struct lists *l,
			const struct merged *m)
{
	for (unsigned i = 0; i < l->n_agents; i++) {
		const struct agent_item *from = &l->agents[i];

		q->agents[i] = (struct router_agent){
			.id = from->id,
			.name = from->name,
			.status = from->status,
			.required = moved(from->required, m->of_wanted),
			.preferred = moved(from->preferred, m->of_wanted),
			.min_context_length = from->min_context_length,
			.pinned = from->pinned,
			.position = from->position,
			.from_catalog = q->whole_catalog_agents};
	}
}

static void take_models(struct router_request *q, const struct lists *l,
			const struct merged *m)
{
	for (unsigned k = 0; k < l->n_models; k++) {
		const struct model_item *from = &l->models[k];
		struct router_model *to = &q->models[k];

		*to = (struct router_model){
			.id = from->id,
			.name = from->name,
			.context_length = from->context_length,
			.max_concurrent = from->max_concurrent,
			.max_queue = from->max_queue,
			.from_catalog = q->whole_catalog_models,
			.success = 8};
		for (unsigned s = 0; s < from->n_strengths; s++) {
			unsigned at = m->of_had[from->strengths[s].name];

			to->strength[at] = from->strengths[s].value;
			to->strong |= UINT64_C(1) << at;
		}
	}
}

static int request_from(struct router *r, struct arena *a,
			const struct lists *own, struct router_request *q,
			struct router_error *e)
{
	const struct lists *agents = own, *models = own;
	struct merged merged;
	int error = 0;

	if (!own->has_agents || !own->has_models) {
		q->catalog = router_catalog_hold(r);
		if (!q->catalog)
			return -ENOMEM;
		agents = own->has_agents ? own : &q->catalog->lists;
		models = own->has_models ? own : &q->catalog->lists;
	}
	q->strategy = own->strategy;
	q->balance_load = own->balance_load;
	q->whole_catalog_agents = !own->has_agents;
	q->whole_catalog_models = !own->has_models;
	q->n_agents = agents->n_agents;
	q->n_models = models->n_models;
	error = merge_names(&agents->wanted, &models->had, &q->capabilities,
			    &merged, e);
	if (error)
		return error;
	q->agents = router_arena_take(a, q->n_agents * sizeof *q->agents);
	q->models = router_arena_take(a, q->n_models * sizeof *q->models);
	if (!q->agents || !q->models)
		return -ENOMEM;
	take_agents(q, agents, &merged);
	take_models(q, models, &merged);
	return 0;
}

int router_request_in(struct router *r, struct arena *a, const void *bytes,
		      size_t n, struct router_request **request,
		      struct router_error *e)
{
	struct router_request *q = router_arena_zeroed(a, sizeof *q);
	struct lists own;
	int error = q ? router_parse(a, PARSE_QUESTION, bytes, n, &own, e)
		      : -ENOMEM;

	if (error)
		return error;
	q->arena = a;
	q->router = r;
	error = request_from(r, a, &own, q, e);
	if (error)
		router_catalog_release(q->catalog);
	else
		*request = q;
	return error;
}

int router_request_parse(struct router *r, const void *bytes, size_t n,
			 struct router_request **request,
			 struct router_error *e)
{
	struct arena *a = router_arena_get(r);
	int error = a ? router_request_in(r, a, bytes, n, request, e) : -ENOMEM;

	if (error)
		router_arena_put(r, a);
	return error;
}

void router_request_free(struct router_request *q)
{
	if (!q)
		return;
	router_catalog_release(q->catalog);
	router_arena_put(q->router, q->arena);
}
