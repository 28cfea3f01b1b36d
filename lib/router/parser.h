/* SPDX-License-Identifier: Apache-2.0 */
/* What reading JSON (parse.c) and knowing what it means (item.c) share. */
#ifndef LARDER_ROUTER_PARSER_H
#define LARDER_ROUTER_PARSER_H

#include <setjmp.h>

#include "router/parse.h"

/* Where the next piece stands. */
enum place { TOP, BODY, LIST, ITEM, SET, STRENGTHS };

enum member {
	OTHER,
	STRATEGY,
	BALANCE,
	AGENTS,
	MODELS,
	ID,
	NAME,
	CAPABILITIES,
	CONTEXT,
	CONCURRENT,
	QUEUE,
	TARGET,
	STATUS,
	REQUIRED,
	PREFERRED,
	LEAST_CONTEXT,
	PIN,
};

struct piece {
	enum { NOTHING, TRUTH, NUMBER, TEXT, COMPOUND } kind;
	bool truth;
	double number;
	const char *text;
	size_t n;
};

/* A capability's name, until it is known whether its agent counts. */
struct mention {
	const char *text;
	size_t n;
	bool required;
};

struct parser {
	struct arena *arena;
	struct lists *l;
	struct router_error *error;
	bool failed, too_deep;
	jmp_buf no_memory;
	void *handle;	    /* the JSON library's */
	size_t n_outermost; /* bytes up to the end of the outermost value */
	enum parse_what what;
	enum place place;
	unsigned depth, skip; /* of nesting; of what is not looked at */
	enum member list, member;
	const char *member_name;
	uint64_t seen_in_body, seen_in_item;
	/* the item */
	struct agent_item agent;
	struct model_item model;
	struct mention *mentions;
	unsigned n_mentions, n_in_set;
	size_t room_agents, room_models, room_mentions;
	struct strength strengths[ROUTER_CAPABILITIES_MAX];
	uint64_t seen_strengths; /* of names in l->had */
	const char *strength_name;
	size_t n_strength_name;
};

/* How much of the place a pointer names. */
enum where { AT_ITEM, AT_MEMBER, AT_ELEMENT };

/* parse.c: remember what is wrong, if nothing was so far. 1: read on, for it
 * may be no JSON at all. */
int router_parse_wrong(struct parser *p, enum where where, const char *format,
		       ...) __attribute__((format(printf, 3, 4)));
/* Memory; they do not come back if there is none. */
void *router_parse_take(struct parser *p, size_t n);
const char *router_parse_text(struct parser *p, const void *bytes, size_t n);
void *router_parse_grow(struct parser *p, void *list, size_t n, size_t *room,
			size_t n_bytes_each);

/* item.c, 1 throughout: a key; a value where the parser stands, a string's
 * bytes being borrowed; the beginning and the end of an item, and of its
 * strengths. */
int router_item_key(struct parser *p, const void *key, size_t n);
int router_item_value(struct parser *p, struct piece v);
void router_item_begin(struct parser *p);
int router_item_end(struct parser *p);
void router_item_end_strengths(struct parser *p);

#endif
