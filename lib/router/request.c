/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From JSON to a canonical question. Everything wrong is named by its JSON
 * pointer; members that are not known are ignored. Agents and models are sorted
 * by id, capabilities by name, so that the order of a request cannot matter.
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
/* Checks: an item is what it should be before anything is taken of it. */

static int check_id(const json_t *item, const char *pointer, const char *member,
		    struct router_error *e)
{
	const json_t *id = json_object_get(item, member);
	size_t n;

	if (!id)
		return router_fail(e, 422, pointer, "\"%s\" is missing",
				   member);
	n = json_is_string(id) ? json_string_length(id) : 0;
	if (n < 1 || n > ROUTER_ID_MAX || strlen(json_string_value(id)) != n)
		return router_fail(e, 422, pointer,
				   "\"%s\" must be a string of 1 to %d bytes "
				   "without NUL",
				   member, ROUTER_ID_MAX);
	return 0;
}

/* A count: a number without a fraction, at least @least. 1.0 counts as 1. */
static int check_count(const json_t *item, const char *member, double least,
		       const char *pointer, struct router_error *e)
{
	const json_t *v = json_object_get(item, member);
	double d;

	if (!v || json_is_null(v))
		return 0;
	d = json_number_value(v);
	if (!json_is_number(v) || d < least || d > 1e15 ||
	    d != (double)(uint64_t)d)
		return router_fail(e, 422, pointer,
				   "\"%s\" must be a whole number of at least "
				   "%.0f",
				   member, least);
	return 0;
}

static int check_strings(const json_t *item, const char *member,
			 const char *pointer, struct router_error *e)
{
	const json_t *list = json_object_get(item, member), *one;
	size_t i;

	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list))
		return router_fail(e, 422, pointer, "\"%s\" must be a list",
				   member);
	json_array_foreach(list, i, one) if (
		!json_is_string(one) || !json_string_length(one) ||
		strlen(json_string_value(one)) != json_string_length(one) ||
		json_string_length(one) >
			ROUTER_ID_MAX) return router_fail(e, 422, pointer,
							  "\"%s\" holds what "
							  "is no name",
							  member);
	return 0;
}

static int check_model(const json_t *m, const char *pointer,
		       struct router_error *e)
{
	const json_t *strengths = json_object_get(m, "capabilities"), *v;
	const char *name;

	if (!json_object_get(m, "context_length"))
		return router_fail(e, 422, pointer,
				   "\"context_length\" is missing");
	if (check_count(m, "context_length", 1, pointer, e) ||
	    check_count(m, "max_concurrent", 1, pointer, e) ||
	    check_count(m, "max_queue", 0, pointer, e))
		return -EINVAL;
	if (!strengths || json_is_null(strengths))
		return 0;
	if (!json_is_object(strengths))
		return router_fail(e, 422, pointer,
				   "\"capabilities\" must be an object of "
				   "strengths");
	json_object_foreach((json_t *)(uintptr_t)strengths, name, v)
	{
		double d = json_number_value(v);

		if (!json_is_number(v) || !(d >= 0.0 && d <= 1.0) || !*name ||
		    strlen(name) > ROUTER_ID_MAX)
			return router_fail(e, 422, pointer,
					   "the strength of \"%.60s\" must be "
					   "a number from 0 to 1",
					   name);
	}
	return 0;
}

static int check_agent(const json_t *a, const char *pointer,
		       struct router_error *e)
{
	const json_t *status = json_object_get(a, "status");
	const json_t *pin = json_object_get(a, "model_id");
	const char *s = json_string_value(status);

	if (check_strings(a, "required_capabilities", pointer, e) ||
	    check_strings(a, "preferred_capabilities", pointer, e) ||
	    check_count(a, "min_context_length", 0, pointer, e))
		return -EINVAL;
	if (status && !json_is_null(status) &&
	    (!s || (strcmp(s, "online") && strcmp(s, "offline") &&
		    strcmp(s, "maintenance"))))
		return router_fail(e, 422, pointer,
				   "\"status\" must be online, offline or "
				   "maintenance");
	if (pin && !json_is_null(pin))
		return check_id(a, pointer, "model_id", e);
	return 0;
}

int router_check_item(const char *kind, const json_t *item, const char *pointer,
		      struct router_error *e)
{
	const json_t *name = json_object_get(item, "name");

	if (!json_is_object(item))
		return router_fail(e, 422, pointer, "must be an object");
	if (check_id(item, pointer, "id", e))
		return -EINVAL;
	if (name && !json_is_null(name) && !json_is_string(name))
		return router_fail(e, 422, pointer,
				   "\"name\" must be a string");
	return !strcmp(kind, "models") ? check_model(item, pointer, e)
				       : check_agent(item, pointer, e);
}

/* ------------------------------------------------------------------ */
/* Taking: of items that were checked.                                 */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_online(const json_t *agent)
{
	const char *status =
		json_string_value(json_object_get(agent, "status"));

	return !status || !strcmp(status, "online");
}

/* Every capability that can count, sorted, once. Neither a strength of 0 nor
 * what an agent that is not online wants is in the key, so they must not be
 * here either: a stored answer names capabilities by their place in this list.
 */
static int collect_capabilities(const json_t *agents, const json_t *models,
				struct router_capabilities *c,
				struct router_error *e)
{
	size_t room = 64, n = 0, i, k;
	const char **all = malloc(room * sizeof *all), *name;
	const json_t *item, *one;

	if (!all)
		return -ENOMEM;
#define TAKE(text)                                                             \
	do {                                                                   \
		if (n == room) {                                               \
			const char **more =                                    \
				realloc(all, 2 * room * sizeof *all);          \
			if (!more) {                                           \
				free(all);                                     \
				return -ENOMEM;                                \
			}                                                      \
			all = more;                                            \
			room *= 2;                                             \
		}                                                              \
		all[n++] = (text);                                             \
	} while (0)
	json_array_foreach(agents, i, item)
	{
		if (!is_online(item))
			continue;
		json_array_foreach(
			json_object_get(item, "required_capabilities"), k, one)
			TAKE(json_string_value(one));
		json_array_foreach(
			json_object_get(item, "preferred_capabilities"), k, one)
			TAKE(json_string_value(one));
	}
	json_array_foreach(models, i, item)
	{
		json_object_foreach(json_object_get(item, "capabilities"), name,
				    one) if (json_number_value(one) > 0)
			TAKE(name);
	}
#undef TAKE
	qsort(all, n, sizeof *all, by_text);
	c->n = 0;
	for (i = 0; i < n; i++) {
		if (i && !strcmp(all[i], all[i - 1]))
			continue;
		if (c->n == ROUTER_CAPABILITIES_MAX) {
			free(all);
			return router_fail(e, 422, "",
					   "more than %d different "
					   "capabilities",
					   ROUTER_CAPABILITIES_MAX);
		}
		c->name[c->n++] = all[i];
	}
	free(all);
	return 0;
}

static unsigned capability(const struct router_capabilities *c,
			   const char *name)
{
	const char *const *at =
		bsearch(&name, c->name, c->n, sizeof *c->name, by_text);

	return at ? (unsigned)(at - c->name) : 0;
}

static uint64_t capability_set(const struct router_capabilities *c,
			       const json_t *list)
{
	const json_t *one;
	uint64_t set = 0;
	size_t i;

	json_array_foreach(list, i, one) set |=
		UINT64_C(1) << capability(c, json_string_value(one));
	return set;
}

static uint64_t count_of(const json_t *item, const char *member,
			 uint64_t absent)
{
	const json_t *v = json_object_get(item, member);

	return json_is_number(v) ? (uint64_t)json_number_value(v) : absent;
}

static const char *name_of(const json_t *item)
{
	const char *name = json_string_value(json_object_get(item, "name"));

	return name ? name : json_string_value(json_object_get(item, "id"));
}

static void take_model(const struct router_capabilities *c, const json_t *item,
		       bool from_catalog, struct router_model *m)
{
	const char *name;
	json_t *v;

	memset(m, 0, sizeof *m);
	m->id = json_string_value(json_object_get(item, "id"));
	m->name = name_of(item);
	m->context_length = count_of(item, "context_length", 1);
	m->max_concurrent = count_of(item, "max_concurrent", 1);
	m->max_queue = count_of(item, "max_queue", UINT64_MAX);
	m->from_catalog = from_catalog;
	m->success = 8;
	json_object_foreach(json_object_get(item, "capabilities"), name, v)
	{
		unsigned k;

		if (!(json_number_value(v) > 0))
			continue;
		k = capability(c, name);
		m->strength[k] = json_number_value(v);
		m->strong |= UINT64_C(1) << k;
	}
}

static void take_agent(const struct router_capabilities *c, const json_t *item,
		       bool from_catalog, unsigned position,
		       struct router_agent *a)
{
	const char *status = json_string_value(json_object_get(item, "status"));

	memset(a, 0, sizeof *a);
	a->id = json_string_value(json_object_get(item, "id"));
	a->name = name_of(item);
	a->pinned = json_string_value(json_object_get(item, "model_id"));
	if (is_online(item)) {
		a->required = capability_set(
			c, json_object_get(item, "required_capabilities"));
		a->preferred = capability_set(
			c, json_object_get(item, "preferred_capabilities"));
	}
	a->min_context_length = count_of(item, "min_context_length", 0);
	a->position = position;
	a->from_catalog = from_catalog;
	a->status = !status || !strcmp(status, "online") ? ROUTER_ONLINE
		    : !strcmp(status, "offline")	 ? ROUTER_OFFLINE
							 : ROUTER_MAINTENANCE;
}

static int model_order(const void *a, const void *b)
{
	return strcmp(((const struct router_model *)a)->id,
		      ((const struct router_model *)b)->id);
}

static int agent_order(const void *a, const void *b)
{
	return strcmp(((const struct router_agent *)a)->id,
		      ((const struct router_agent *)b)->id);
}

/* A list of the body, checked; or the catalog's if the body has none. */
static int choose_list(struct router *r, json_t *body, const char *kind,
		       size_t most, json_t **list, bool *from_catalog,
		       struct router_error *e)
{
	json_t *own = json_object_get(body, kind), *item;
	char pointer[96];
	size_t i;

	*from_catalog = !own || json_is_null(own);
	if (*from_catalog) {
		*list = json_object_get(r->catalog.document, kind);
		return 0;
	}
	snprintf(pointer, sizeof pointer, "/%s", kind);
	if (!json_is_array(own))
		return router_fail(e, 422, pointer, "must be a list");
	if (json_array_size(own) > most)
		return router_fail(e, 422, pointer, "more than %zu of them",
				   most);
	json_array_foreach(own, i, item)
	{
		snprintf(pointer, sizeof pointer, "/%s/%zu", kind, i);
		if (router_check_item(kind, item, pointer, e))
			return -EINVAL;
	}
	*list = own;
	return 0;
}

static int read_head(const json_t *body, struct router_request *q,
		     struct router_error *e)
{
	const json_t *strategy = json_object_get(body, "strategy");
	const json_t *balance = json_object_get(body, "enable_load_balancing");
	const char *s = json_string_value(strategy);
	unsigned k = 0;

	if (!json_is_object(body))
		return router_fail(e, 422, "", "the body must be an object");
	if (!strategy)
		s = "greedy";
	while (k < ROUTER_STRATEGIES &&
	       (!s || strcmp(s, router_strategy_name(k))))
		k++;
	if (k == ROUTER_STRATEGIES)
		return router_fail(e, 422, "/strategy",
				   "must be greedy, balanced or optimal");
	q->strategy = k;
	if (balance && !json_is_null(balance) && !json_is_boolean(balance))
		return router_fail(e, 422, "/enable_load_balancing",
				   "must be true or false");
	q->balance_load = json_is_true(balance);
	return 0;
}

static int find_twice(const struct router_request *q, struct router_error *e)
{
	for (unsigned i = 1; i < q->n_agents; i++)
		if (!strcmp(q->agents[i].id, q->agents[i - 1].id))
			return router_fail(e, 422, "/agents",
					   "the id \"%s\" is there twice",
					   q->agents[i].id);
	for (unsigned i = 1; i < q->n_models; i++)
		if (!strcmp(q->models[i].id, q->models[i - 1].id))
			return router_fail(e, 422, "/models",
					   "the id \"%s\" is there twice",
					   q->models[i].id);
	return 0;
}

int router_request_from(struct router *r, json_t *body,
			struct router_request **request, struct router_error *e)
{
	struct router_request *q = calloc(1, sizeof *q);
	json_t *agents = NULL, *models = NULL, *item;
	bool agents_ours = false, models_ours = false;
	size_t i;
	int error = q ? 0 : -ENOMEM;

	if (!error)
		q->memory = body;
	else
		json_decref(body);
	if (!error)
		error = read_head(body, q, e);
	if (!error)
		error = choose_list(r, body, "agents", ROUTER_AGENTS_MAX,
				    &agents, &agents_ours, e);
	if (!error)
		error = choose_list(r, body, "models", ROUTER_MODELS_MAX,
				    &models, &models_ours, e);
	if (!error)
		error = collect_capabilities(agents, models, &q->capabilities,
					     e);
	if (!error) {
		q->memory2 = json_incref(r->catalog.document);
		q->whole_catalog_agents = agents_ours;
		q->whole_catalog_models = models_ours;
		q->n_agents = (unsigned)json_array_size(agents);
		q->n_models = (unsigned)json_array_size(models);
		q->agents = calloc(q->n_agents + 1, sizeof *q->agents);
		q->models = calloc(q->n_models + 1, sizeof *q->models);
		error = q->agents && q->models ? 0 : -ENOMEM;
	}
	if (error) {
		router_request_free(q);
		return error;
	}
	json_array_foreach(agents, i, item)
		take_agent(&q->capabilities, item, agents_ours, (unsigned)i,
			   &q->agents[i]);
	json_array_foreach(models, i, item)
		take_model(&q->capabilities, item, models_ours, &q->models[i]);
	qsort(q->agents, q->n_agents, sizeof *q->agents, agent_order);
	qsort(q->models, q->n_models, sizeof *q->models, model_order);
	error = find_twice(q, e);
	if (error) {
		router_request_free(q);
		return error;
	}
	*request = q;
	return 0;
}

int router_request_parse(struct router *r, const void *bytes, size_t n,
			 struct router_request **request,
			 struct router_error *e)
{
	json_error_t why;
	json_t *body = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, &why);

	if (!body)
		return router_fail(e, 400, "", "not JSON: %s at byte %d",
				   why.text, why.position);
	return router_request_from(r, body, request, e);
}

void router_request_free(struct router_request *q)
{
	if (!q)
		return;
	json_decref(q->memory);
	json_decref(q->memory2);
	free(q->agents);
	free(q->models);
	free(q);
}
