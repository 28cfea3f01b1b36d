/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the members of a question, an agent and a model mean: each is checked as
 * it comes, and a wrong one is named by its pointer. What is null is as if it
 * were not there.
 *
 * Capabilities are numbered as they come, and only those that can count:
 * neither a strength of 0 nor what an agent wants that is not online is in a
 * key, so they must not be numbered either, for a stored answer names
 * capabilities by their number.
 */
#include <string.h>

#include "router/parser.h"

struct named {
	const char *text;
	size_t n;
	enum member member;
};
#define NAMED(text, member)                                                    \
	{                                                                      \
		text, sizeof(text) - 1, member                                 \
	}

static const struct named body_members[] = {
	NAMED("strategy", STRATEGY),
	NAMED("enable_load_balancing", BALANCE),
	NAMED("agents", AGENTS),
	NAMED("models", MODELS),
	{NULL, 0, OTHER},
};
static const struct named model_members[] = {
	NAMED("id", ID),
	NAMED("name", NAME),
	NAMED("capabilities", CAPABILITIES),
	NAMED("context_length", CONTEXT),
	NAMED("max_concurrent", CONCURRENT),
	NAMED("max_queue", QUEUE),
	NAMED("target_utilization", TARGET),
	{NULL, 0, OTHER},
};
static const struct named agent_members[] = {
	NAMED("id", ID),
	NAMED("name", NAME),
	NAMED("status", STATUS),
	NAMED("required_capabilities", REQUIRED),
	NAMED("preferred_capabilities", PREFERRED),
	NAMED("min_context_length", LEAST_CONTEXT),
	NAMED("model_id", PIN),
	{NULL, 0, OTHER},
};

static bool is_name(const struct piece *v)
{
	return v->kind == TEXT && v->n >= 1 && v->n <= ROUTER_ID_MAX &&
	       !memchr(v->text, '\0', v->n);
}

static bool is(const struct piece *v, const char *text)
{
	return v->kind == TEXT && v->n == strlen(text) &&
	       !memcmp(v->text, text, v->n);
}

static int take_id(struct parser *p, const struct piece *v, const char **id)
{
	if (!is_name(v))
		return router_parse_wrong(p, AT_MEMBER,
					  "must be a string of 1 to %d bytes "
					  "without NUL",
					  ROUTER_ID_MAX);
	*id = router_parse_text(p, v->text, v->n);
	return 1;
}

static int take_name(struct parser *p, const struct piece *v, const char **name)
{
	if (v->kind != TEXT || memchr(v->text, '\0', v->n))
		return router_parse_wrong(p, AT_MEMBER,
					  "must be a string without NUL");
	*name = router_parse_text(p, v->text, v->n);
	return 1;
}

/* A number without a fraction; 1.0 counts as 1. */
static int take_count(struct parser *p, const struct piece *v, unsigned least,
		      uint64_t *count)
{
	if (v->kind != NUMBER || !(v->number >= least) || v->number > 1e15 ||
	    v->number != (double)(uint64_t)v->number)
		return router_parse_wrong(
			p, AT_MEMBER,
			"must be a whole number from %u to 1000000000000000",
			least);
	*count = (uint64_t)v->number;
	return 1;
}

static int take_strategy(struct parser *p, const struct piece *v)
{
	for (unsigned k = 0; k < ROUTER_STRATEGIES; k++)
		if (is(v, router_strategy_name(k))) {
			p->l->strategy = k;
			return 1;
		}
	return router_parse_wrong(p, AT_MEMBER,
				  "must be greedy, balanced or optimal");
}

static int take_status(struct parser *p, const struct piece *v)
{
	static const char *const names[] = {"online", "offline", "maintenance"};

	for (unsigned k = 0; k < 3; k++)
		if (is(v, names[k])) {
			p->agent.status = k;
			return 1;
		}
	return router_parse_wrong(p, AT_MEMBER,
				  "must be online, offline or maintenance");
}

static int take_of_body(struct parser *p, const struct piece *v)
{
	if (p->member == STRATEGY)
		return take_strategy(p, v);
	if (p->member != BALANCE)
		return router_parse_wrong(p, AT_MEMBER, "must be a list");
	if (v->kind != TRUTH)
		return router_parse_wrong(p, AT_MEMBER,
					  "must be true or false");
	p->l->balance_load = v->truth;
	return 1;
}

static int take_of_model(struct parser *p, const struct piece *v)
{
	struct model_item *m = &p->model;

	switch (p->member) {
	case ID:
		return take_id(p, v, &m->id);
	case NAME:
		return take_name(p, v, &m->name);
	case CONTEXT:
		return take_count(p, v, 1, &m->context_length);
	case CONCURRENT:
		return take_count(p, v, 1, &m->max_concurrent);
	case QUEUE:
		return take_count(p, v, 0, &m->max_queue);
	case TARGET:
		if (v->kind == NUMBER && v->number > 0 && v->number <= 1)
			return 1; /* reported, from the catalog */
		return router_parse_wrong(p, AT_MEMBER,
					  "must be a number above 0, at most "
					  "1");
	default:
		return router_parse_wrong(p, AT_MEMBER,
					  "must be an object of strengths");
	}
}

static int take_of_agent(struct parser *p, const struct piece *v)
{
	struct agent_item *a = &p->agent;

	switch (p->member) {
	case ID:
		return take_id(p, v, &a->id);
	case NAME:
		return take_name(p, v, &a->name);
	case STATUS:
		return take_status(p, v);
	case LEAST_CONTEXT:
		return take_count(p, v, 0, &a->min_context_length);
	case PIN:
		return take_id(p, v, &a->pinned);
	default:
		return router_parse_wrong(p, AT_MEMBER,
					  "must be a list of names");
	}
}

/* ------------------------------------------------------------------ */
/* Capabilities                                                        */

/* The number of a name; -1: it has none yet. */
static int known(const struct names *names, const char *text, size_t n)
{
	for (unsigned k = 0; k < names->n; k++)
		if (names->n_name[k] == n && !memcmp(names->name[k], text, n))
			return (int)k;
	return -1;
}

/* The number of a name, whose bytes stay; -1 after saying that there are too
 * many. */
static int number_of(struct parser *p, struct names *names, const char *text,
		     size_t n)
{
	int k = known(names, text, n);

	if (k >= 0)
		return k;
	if (names->n == ROUTER_CAPABILITIES_MAX) {
		router_parse_wrong(p, AT_ITEM,
				   "more than %d different capabilities",
				   ROUTER_CAPABILITIES_MAX);
		return -1;
	}
	names->name[names->n] = text;
	names->n_name[names->n] = n;
	return (int)names->n++;
}

/* Most names have come before: then they are not copied. */
static const char *kept(struct parser *p, const struct names *names,
			const char *text, size_t n)
{
	int k = known(names, text, n);

	return k >= 0 ? names->name[k] : router_parse_text(p, text, n);
}

static int take_in_set(struct parser *p, const struct piece *v)
{
	if (!is_name(v))
		return router_parse_wrong(p, AT_ELEMENT,
					  "must be a string of 1 to %d bytes "
					  "without NUL",
					  ROUTER_ID_MAX);
	p->mentions = router_parse_grow(p, p->mentions, p->n_mentions,
					&p->room_mentions, sizeof *p->mentions);
	p->mentions[p->n_mentions++] =
		(struct mention){.text = kept(p, &p->l->wanted, v->text, v->n),
				 .n = v->n,
				 .required = p->member == REQUIRED};
	p->n_in_set++;
	return 1;
}

static int take_strength(struct parser *p, const struct piece *v)
{
	struct model_item *m = &p->model;
	const char *name = p->strength_name;
	int k;

	if (!p->n_strength_name || p->n_strength_name > ROUTER_ID_MAX ||
	    memchr(name, '\0', p->n_strength_name))
		return router_parse_wrong(
			p, AT_MEMBER,
			"the name of a capability has 1 to %d bytes and no NUL",
			ROUTER_ID_MAX);
	if (v->kind != NUMBER || !(v->number >= 0 && v->number <= 1))
		return router_parse_wrong(p, AT_ELEMENT,
					  "must be a number from 0 to 1");
	if (!(v->number > 0))
		return 1; /* as if it were absent */
	k = number_of(p, &p->l->had, name, p->n_strength_name);
	if (k < 0)
		return 1;
	if (p->seen_strengths >> k & 1)
		return router_parse_wrong(p, AT_ELEMENT, "is there twice");
	p->seen_strengths |= UINT64_C(1) << k;
	p->strengths[m->n_strengths++] =
		(struct strength){.value = v->number, .name = (unsigned)k};
	return 1;
}

void router_item_end_strengths(struct parser *p)
{
	struct model_item *m = &p->model;
	size_t n = m->n_strengths * sizeof *m->strengths;

	m->strengths = router_parse_take(p, n);
	memcpy(m->strengths, p->strengths, n);
}

/* ------------------------------------------------------------------ */

int router_item_key(struct parser *p, const void *key, size_t n)
{
	const struct named *m = p->place == BODY    ? body_members
				: p->list == MODELS ? model_members
						    : agent_members;
	uint64_t *seen = p->place == BODY ? &p->seen_in_body : &p->seen_in_item;

	if (p->place == STRENGTHS) {
		p->strength_name = kept(p, &p->l->had, key, n);
		p->n_strength_name = n;
		return 1;
	}
	while (m->text && (m->n != n || memcmp(m->text, key, n)))
		m++;
	p->member = m->member;
	p->member_name = m->text;
	if (p->member != OTHER && *seen >> p->member & 1)
		return router_parse_wrong(p, AT_MEMBER, "is there twice");
	*seen |= UINT64_C(1) << p->member;
	return 1;
}

int router_item_value(struct parser *p, struct piece v)
{
	switch (p->place) {
	case TOP:
	case LIST:
		return router_parse_wrong(p, AT_ITEM, "must be an object");
	case SET:
		return take_in_set(p, &v);
	case STRENGTHS:
		return take_strength(p, &v);
	default:
		break;
	}
	if (p->member == OTHER || v.kind == NOTHING)
		return 1;
	return p->place == BODY	   ? take_of_body(p, &v)
	       : p->list == MODELS ? take_of_model(p, &v)
				   : take_of_agent(p, &v);
}

void router_item_begin(struct parser *p)
{
	p->place = ITEM;
	p->seen_in_item = 0;
	p->n_mentions = 0;
	p->seen_strengths = 0;
	p->member_name = NULL;
	p->model = (struct model_item){.max_concurrent = 1,
				       .max_queue = UINT64_MAX,
				       .position = p->l->n_models};
	p->agent = (struct agent_item){.position = p->l->n_agents};
}

static int end_model(struct parser *p)
{
	struct model_item *m = &p->model;
	struct lists *l = p->l;

	if (!m->context_length)
		return router_parse_wrong(p, AT_ITEM,
					  "\"context_length\" is missing");
	if (l->n_models == ROUTER_MODELS_MAX)
		return router_parse_wrong(p, AT_ITEM, "more than %d models",
					  ROUTER_MODELS_MAX);
	if (!m->name)
		m->name = m->id;
	l->models = router_parse_grow(p, l->models, l->n_models,
				      &p->room_models, sizeof *m);
	l->models[l->n_models++] = *m;
	return 1;
}

static int end_agent(struct parser *p)
{
	struct agent_item *a = &p->agent;
	struct lists *l = p->l;

	if (l->n_agents == ROUTER_AGENTS_MAX)
		return router_parse_wrong(p, AT_ITEM, "more than %d agents",
					  ROUTER_AGENTS_MAX);
	for (unsigned i = 0; a->status == ROUTER_ONLINE && i < p->n_mentions;
	     i++) {
		const struct mention *m = &p->mentions[i];
		int k = number_of(p, &l->wanted, m->text, m->n);

		if (k < 0)
			return 1;
		*(m->required ? &a->required : &a->preferred) |= UINT64_C(1)
								 << k;
	}
	if (!a->name)
		a->name = a->id;
	l->agents = router_parse_grow(p, l->agents, l->n_agents,
				      &p->room_agents, sizeof *a);
	l->agents[l->n_agents++] = *a;
	return 1;
}

int router_item_end(struct parser *p)
{
	bool single = p->what >= PARSE_MODEL;
	const char *id = p->list == MODELS ? p->model.id : p->agent.id;

	if (!id && !single)
		return router_parse_wrong(p, AT_ITEM, "\"id\" is missing");
	return p->list == MODELS ? end_model(p) : end_agent(p);
}
