/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From JSON to lists: see parse.h. The JSON library calls back for each piece;
 * where it stands is followed here, what it means is known in item.c. Members
 * that are not known are skipped, whatever they hold.
 *
 * The first thing that is wrong is remembered, and the rest only read on: bytes
 * that turn out to be no JSON are refused as such, whatever stood before. The
 * JSON library's memory is the arena's too; it cannot be told that there is
 * none, so that a jump leaves it.
 */
#include "router/parse.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_parse.h>

#include "router/number.h"
#include "router/parser.h"
#include "router/router.h"

/* ------------------------------------------------------------------ */
/* What is wrong, and where                                            */

static void point_at_name(const struct parser *p, char *to, size_t room)
{
	size_t at = 0;

	if (p->n_strength_name > ROUTER_ID_MAX)
		return;
	to[at++] = '/';
	for (size_t i = 0; i < p->n_strength_name && at + 3 < room; i++) {
		char c = p->strength_name[i];

		if (c == '~' || c == '/') {
			to[at++] = '~';
			c = c == '~' ? '0' : '1';
		}
		to[at++] = c;
	}
	to[at] = '\0';
}

static void point(const struct parser *p, enum where where, char *to,
		  size_t room)
{
	size_t n = 0;

	to[0] = '\0';
	if (p->place >= LIST && p->what < PARSE_MODEL)
		n += (size_t)snprintf(to, room, "/%s/%u",
				      p->list == AGENTS ? "agents" : "models",
				      p->list == AGENTS ? p->l->n_agents
							: p->l->n_models);
	if (where == AT_ITEM || !p->member_name)
		return;
	n += (size_t)snprintf(to + n, room - n, "/%s", p->member_name);
	if (where == AT_MEMBER)
		return;
	if (p->place == SET)
		snprintf(to + n, room - n, "/%u", p->n_in_set);
	else
		point_at_name(p, to + n, room - n);
}

int router_parse_wrong(struct parser *p, enum where where, const char *format,
		       ...)
{
	char detail[sizeof p->error->detail];
	char pointer[sizeof p->error->pointer];
	va_list list;

	if (p->failed)
		return 1;
	p->failed = true;
	point(p, where, pointer, sizeof pointer);
	va_start(list, format);
	vsnprintf(detail, sizeof detail, format, list);
	va_end(list);
	router_fail(p->error, 422, pointer, "%s%s%s", pointer,
		    *pointer ? ": " : "", detail);
	return 1;
}

/* ------------------------------------------------------------------ */
/* Memory                                                              */

void *router_parse_take(struct parser *p, size_t n)
{
	void *taken = router_arena_take(p->arena, n);

	if (!taken)
		longjmp(p->no_memory, 1);
	return taken;
}

const char *router_parse_text(struct parser *p, const void *bytes, size_t n)
{
	char *text = router_parse_take(p, n + 1);

	memcpy(text, bytes, n);
	text[n] = '\0';
	return text;
}

void *router_parse_grow(struct parser *p, void *list, size_t n, size_t *room,
			size_t n_bytes_each)
{
	void *more = router_arena_grow(p->arena, list, n, room, n_bytes_each);

	if (!more)
		longjmp(p->no_memory, 1);
	return more;
}

/* The JSON library's: each block's size stands before it. */
enum { BEFORE_BLOCK = 16 };

static void *block_new(void *context, size_t n)
{
	size_t *block = router_parse_take(context, n + BEFORE_BLOCK);

	*block = n;
	return (char *)block + BEFORE_BLOCK;
}

static void *block_resize(void *context, void *old, size_t n)
{
	void *block = block_new(context, n);
	size_t before = 0;

	if (old)
		memcpy(&before, (char *)old - BEFORE_BLOCK, sizeof before);
	if (before)
		memcpy(block, old, before < n ? before : n);
	return block;
}

static void block_free(void *context, void *block)
{
	(void)context;
	(void)block;
}

/* ------------------------------------------------------------------ */
/* Pieces, as the JSON library calls                                   */

static bool ignored(const struct parser *p)
{
	return p->failed || p->skip ||
	       (p->member == OTHER && (p->place == BODY || p->place == ITEM));
}

static int on_null(void *context)
{
	struct parser *p = context;

	return ignored(p)
		       ? 1
		       : router_item_value(p, (struct piece){.kind = NOTHING});
}

static int on_boolean(void *context, int truth)
{
	struct parser *p = context;

	return ignored(p)
		       ? 1
		       : router_item_value(p, (struct piece){.kind = TRUTH,
							     .truth = truth});
}

static int on_number(void *context, const char *text, size_t n)
{
	struct parser *p = context;

	return ignored(p)
		       ? 1
		       : router_item_value(
				 p, (struct piece){.kind = NUMBER,
						   .number = router_number_read(
							   text, n)});
}

static int on_text(void *context, const unsigned char *text, size_t n)
{
	struct parser *p = context;

	return ignored(p)
		       ? 1
		       : router_item_value(
				 p, (struct piece){.kind = TEXT,
						   .text = (const char *)text,
						   .n = n});
}

static int on_key(void *context, const unsigned char *key, size_t n)
{
	struct parser *p = context;

	return p->failed || p->skip ? 1 : router_item_key(p, key, n);
}

/* One level deeper; false: too deep. */
static bool deeper(struct parser *p)
{
	p->too_deep = ++p->depth > NESTING_MAX;
	return !p->too_deep;
}

/* An object or a list that is none of those that are looked into. */
static int skip(struct parser *p)
{
	if (!ignored(p))
		router_item_value(p, (struct piece){.kind = COMPOUND});
	p->skip++;
	return 1;
}

static int on_object(void *context)
{
	struct parser *p = context;

	if (!deeper(p))
		return 0;
	if (p->failed || p->skip)
		return skip(p);
	if (p->place == LIST || (p->place == TOP && p->what >= PARSE_MODEL)) {
		router_item_begin(p);
		return 1;
	}
	if (p->place == TOP) {
		p->place = BODY;
		return 1;
	}
	if (p->place == ITEM && p->member == CAPABILITIES) {
		p->place = STRENGTHS;
		return 1;
	}
	return skip(p);
}

static int on_list(void *context)
{
	struct parser *p = context;

	if (!deeper(p))
		return 0;
	if (p->failed || p->skip)
		return skip(p);
	if (p->place == BODY && (p->member == AGENTS || p->member == MODELS)) {
		p->list = p->member;
		*(p->list == AGENTS ? &p->l->has_agents : &p->l->has_models) =
			true;
		p->place = LIST;
		p->member_name = NULL;
		return 1;
	}
	if (p->place == ITEM &&
	    (p->member == REQUIRED || p->member == PREFERRED)) {
		p->place = SET;
		p->n_in_set = 0;
		return 1;
	}
	return skip(p);
}

static int on_end(void *context)
{
	struct parser *p = context;

	if (--p->depth == 0)
		p->n_outermost = yajl_get_bytes_consumed(p->handle);
	if (p->skip) {
		p->skip--;
		return 1;
	}
	switch (p->place) {
	case STRENGTHS:
		if (!p->failed)
			router_item_end_strengths(p);
		p->place = ITEM;
		return 1;
	case SET:
		p->place = ITEM;
		return 1;
	case ITEM:
		p->member_name = NULL;
		if (!p->failed)
			router_item_end(p);
		p->place = p->what >= PARSE_MODEL ? TOP : LIST;
		return 1;
	case LIST:
		p->place = BODY;
		return 1;
	default:
		p->place = TOP;
		return 1;
	}
}

/* ------------------------------------------------------------------ */
/* Order                                                               */

static int agent_order(const void *a, const void *b)
{
	return strcmp(((const struct agent_item *)a)->id,
		      ((const struct agent_item *)b)->id);
}

static int model_order(const void *a, const void *b)
{
	return strcmp(((const struct model_item *)a)->id,
		      ((const struct model_item *)b)->id);
}

/*
 * Sorted from one room into another and back, by merging runs of growing
 * length: the C library's own sorting may allocate. What is sorted already, as
 * many lists are, is only looked at.
 */
static int sort(struct arena *a, void *list, size_t n, size_t each,
		int (*order)(const void *, const void *))
{
	char *from = list, *to;
	size_t sorted = 1;

	while (sorted < n &&
	       order(from + (sorted - 1) * each, from + sorted * each) <= 0)
		sorted++;
	if (sorted >= n)
		return 0;
	to = router_arena_take(a, n * each);
	if (!to)
		return -ENOMEM;
	for (size_t run = 1; run < n; run *= 2) {
		for (size_t at = 0; at < n; at += 2 * run) {
			size_t i = at, i_end = at + run < n ? at + run : n;
			size_t k = i_end;
			size_t k_end = at + 2 * run < n ? at + 2 * run : n;

			for (size_t out = at; out < k_end; out++) {
				bool first = k == k_end ||
					     (i < i_end &&
					      order(from + i * each,
						    from + k * each) <= 0);

				memcpy(to + out * each,
				       from + (first ? i++ : k++) * each, each);
			}
		}
		memcpy(from, to, n * each);
	}
	return 0;
}

static int twice(struct router_error *e, const char *kind, unsigned position,
		 const char *id)
{
	char pointer[64];

	snprintf(pointer, sizeof pointer, "/%s/%u/id", kind, position);
	return router_fail(e, 422, pointer, "%s: \"%s\" is there twice",
			   pointer, id);
}

static unsigned later(unsigned a, unsigned b)
{
	return a > b ? a : b;
}

static int put_in_order(struct arena *a, struct lists *l,
			struct router_error *e)
{
	if (sort(a, l->agents, l->n_agents, sizeof *l->agents, agent_order) ||
	    sort(a, l->models, l->n_models, sizeof *l->models, model_order))
		return -ENOMEM;
	for (unsigned i = 1; i < l->n_agents; i++)
		if (!agent_order(&l->agents[i - 1], &l->agents[i]))
			return twice(e, "agents",
				     later(l->agents[i - 1].position,
					   l->agents[i].position),
				     l->agents[i].id);
	for (unsigned i = 1; i < l->n_models; i++)
		if (!model_order(&l->models[i - 1], &l->models[i]))
			return twice(e, "models",
				     later(l->models[i - 1].position,
					   l->models[i].position),
				     l->models[i].id);
	return 0;
}

/* ------------------------------------------------------------------ */

/* An escaped half of a surrogate pair alone stands for nothing. The JSON
 * library would let it pass as a question mark. */
static bool has_half_a_pair(const char *at, size_t n)
{
	const char *end = at + n;
	bool high = false; /* the escape just before was a pair's first half */

	while ((at = memchr(at, '\\', (size_t)(end - at)))) {
		unsigned long value;
		char digits[5] = "";

		if (end - at < 6 || at[1] != 'u') {
			if (high)
				return true;
			at += end - at < 2 ? 1 : 2;
			continue;
		}
		memcpy(digits, at + 2, 4);
		value = strtoul(digits, NULL, 16);
		if (high != (value >= 0xdc00 && value < 0xe000))
			return true;
		high = value >= 0xd800 && value < 0xdc00;
		at += 6;
		if (high && (end - at < 1 || *at != '\\'))
			return true;
	}
	return high;
}

/*
 * The JSON library looks at the shape of UTF-8 alone. What has it and is none:
 * a character written longer than it has to be, half a surrogate pair, and what
 * lies beyond the last character. Nearly all bytes are ASCII, and are only
 * looked at by eights.
 */
static bool is_no_character(const unsigned char *at, const unsigned char *end)
{
	unsigned next = at + 1 < end ? at[1] : 0;

	switch (at[0]) {
	case 0xc0:
	case 0xc1:
		return true;
	case 0xe0:
		return next < 0xa0;
	case 0xed:
		return next >= 0xa0;
	case 0xf0:
		return next < 0x90;
	case 0xf4:
		return next >= 0x90;
	default:
		return at[0] > 0xf4;
	}
}

static bool has_no_character(const char *bytes, size_t n)
{
	const unsigned char *at = (const unsigned char *)bytes, *end = at + n;

	while (at < end) {
		uint64_t eight = 0;

		if (end - at >= (ptrdiff_t)sizeof eight) {
			memcpy(&eight, at, sizeof eight);
			if (!(eight & UINT64_C(0x8080808080808080))) {
				at += sizeof eight;
				continue;
			}
		}
		if (is_no_character(at, end))
			return true;
		at++;
	}
	return false;
}

/* The JSON library waits for the rest of what begins behind the value. */
static bool has_more(const char *bytes, size_t n, size_t at)
{
	for (; at && at < n; at++)
		if (!strchr(" \t\r\n", bytes[at]) || !bytes[at])
			return true;
	return false;
}

static int no_json(struct parser *p, yajl_handle handle, struct router_error *e)
{
	const char *why;
	size_t n;

	if (p->too_deep)
		return router_fail(e, 400, "",
				   "not JSON for this server: nested deeper "
				   "than %d levels at byte %zu",
				   NESTING_MAX,
				   yajl_get_bytes_consumed(handle));
	why = (const char *)yajl_get_error(handle, 0, NULL, 0);
	n = strcspn(why, "\n");
	return router_fail(e, 400, "", "not JSON: %.*s at byte %zu", (int)n,
			   why, yajl_get_bytes_consumed(handle));
}

int router_parse(struct arena *a, enum parse_what what, const void *bytes,
		 size_t n, struct lists *l, struct router_error *e)
{
	static const yajl_callbacks callbacks = {
		.yajl_null = on_null,
		.yajl_boolean = on_boolean,
		.yajl_number = on_number,
		.yajl_string = on_text,
		.yajl_start_map = on_object,
		.yajl_map_key = on_key,
		.yajl_end_map = on_end,
		.yajl_start_array = on_list,
		.yajl_end_array = on_end,
	};
	struct parser p = {.arena = a,
			   .l = l,
			   .error = e,
			   .what = what,
			   .list = what == PARSE_MODEL	 ? MODELS
				   : what == PARSE_AGENT ? AGENTS
							 : OTHER};
	yajl_alloc_funcs memory = {block_new, block_resize, block_free, &p};
	yajl_handle handle;

	memset(l, 0, sizeof *l);
	if (setjmp(p.no_memory))
		return -ENOMEM;
	handle = p.handle = yajl_alloc(&callbacks, &memory, &p);
	if (yajl_parse(handle, bytes, n) != yajl_status_ok ||
	    yajl_complete_parse(handle) != yajl_status_ok)
		return no_json(&p, handle, e);
	if (has_more(bytes, n, p.n_outermost))
		return router_fail(e, 400, "",
				   "not JSON: more than one value, at byte %zu",
				   p.n_outermost);
	if (has_half_a_pair(bytes, n))
		return router_fail(e, 400, "",
				   "not JSON: half a surrogate pair");
	if (has_no_character(bytes, n))
		return router_fail(e, 400, "",
				   "not JSON: bytes that are no UTF-8");
	if (p.failed)
		return -EINVAL;
	return put_in_order(a, l, e);
}
