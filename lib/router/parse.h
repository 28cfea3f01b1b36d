/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON as it comes, read once: agents and models in canonical order, with
 * everything that is wrong named by its pointer. What questions, catalogs and
 * single items of a catalog have in common.
 */
#ifndef LARDER_ROUTER_PARSE_H
#define LARDER_ROUTER_PARSE_H

#include <larder/router.h>

#include "router/arena.h"

enum { NESTING_MAX = 64 };

/* Capabilities that count, numbered as they came. */
struct names {
	unsigned n;
	const char *name[ROUTER_CAPABILITIES_MAX];
	size_t n_name[ROUTER_CAPABILITIES_MAX];
};

struct agent_item {
	const char *id, *name, *pinned; /* pinned: a model's id, or NULL */
	enum router_status status;
	uint64_t required, preferred; /* sets of names */
	uint64_t min_context_length;
	unsigned position; /* in the list as it came */
};

/* Of a capability, above 0. */
struct strength {
	double value;
	unsigned name;
};

struct model_item {
	const char *id, *name;
	uint64_t context_length, max_concurrent, max_queue;
	struct strength *strengths;
	unsigned n_strengths, position;
};

struct lists {
	enum router_strategy strategy;
	bool balance_load;
	bool has_agents, has_models; /* given, be they empty */
	unsigned n_agents, n_models;
	struct agent_item *agents; /* by id, bytewise */
	struct model_item *models;
	struct names wanted, had; /* by agents; by models */
};

enum parse_what {
	PARSE_QUESTION, /* an object whose lists may be left out */
	PARSE_CATALOG,	/* an object with both lists */
	PARSE_MODEL,	/* one item, whose id may be left out */
	PARSE_AGENT,
};

/* Everything taken lies in @a. 0, -ENOMEM, or -EINVAL with @e: 400 if the bytes
 * are no JSON, else 422. */
int router_parse(struct arena *a, enum parse_what what, const void *bytes,
		 size_t n, struct lists *l, struct router_error *e);

#endif
