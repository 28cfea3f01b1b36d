/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is stored of an answer, and how it is found again: the canonical entry,
 * packed and with the tags of all it depends on; and the alias, which holds the
 * finished body under the digest of the question's bytes.
 *
 * An alias counts only while its canonical entry does, in the version it was
 * made from: it has no tags of its own, and what invalidates the entry
 * invalidates all its aliases at once.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/answer.h"

enum { TAGS_ROOM = LARDER_TAGS_MAX, ROOM_AT_THE_END = 160 };

struct alias_head {
	uint64_t version; /* of the canonical entry */
	uint64_t computed_ns;
	uint32_t n_key;
	uint16_t strategy, shape;
	char key[ROUTER_KEY_BYTES];
};

int router_answer_finish(struct router *r, struct text *t,
			 enum router_cache_status status,
			 const struct larder_info *info, uint64_t computed_ns,
			 struct router_answer *answer)
{
	router_text_string(t, ",\"cache\":{\"status\":\"");
	router_text_string(t, router_cache_status_name(status));
	router_text_string(t, "\",\"age_ms\":");
	router_text_whole(t, info ? info->age_ms : 0);
	router_text_string(t, ",\"stored_by\":");
	router_text_whole(t, info ? info->stored_by_pid : 0);
	router_text_string(t, ",\"computed_ns\":");
	router_text_whole(t, computed_ns);
	router_text_string(t, "}}");
	if (t->failed) {
		router_body_free(r, t->bytes);
		return -ENOMEM;
	}
	answer->status = status;
	answer->body = t->bytes;
	answer->n_body = t->n;
	answer->age_ms = info ? info->age_ms : 0;
	answer->stored_by = info ? info->stored_by_pid : 0;
	answer->cross_worker = info ? info->cross_worker : 0;
	return 0;
}

/* ------------------------------------------------------------------ */
/* The alias                                                           */

size_t router_alias_key(struct router *r, struct digest d, uint64_t load,
			char key[ALIAS_KEY_BYTES])
{
	const struct {
		uint64_t catalog, load;
		struct router_weights weights;
	} state = {r->catalog.number, load, r->weights};
	static const char prefix[] = "v1/alias/";
	struct digest s = router_digest(r, &state, sizeof state);
	char hex[33];

	d.low ^= s.low;
	d.high += s.high;
	router_digest_hex(d, hex);
	memcpy(key, prefix, sizeof prefix - 1);
	memcpy(key + sizeof prefix - 1, hex, sizeof hex);
	return sizeof prefix - 1 + sizeof hex - 1;
}

int router_alias_try(struct router *r, const char *key, size_t n_key,
		     struct router_answer *answer, unsigned *shape)
{
	struct larder_info info = {.size_of = sizeof info};
	struct larder_view view;
	struct alias_head head;
	struct text t;
	int result = larder_lease(r->cache, key, n_key, &view);

	if (result)
		return 1;
	if (view.n_value < sizeof head) {
		larder_release(r->cache, &view);
		return 1;
	}
	memcpy(&head, view.value, sizeof head);
	result =
		larder_get_info(r->cache, head.key, head.n_key, NULL, 0, &info);
	if ((result == LARDER_OK || result == LARDER_TRUNCATED) &&
	    info.version == head.version && info.soft_left_ms) {
		t = router_body_text(r);
		router_text_reserve(&t, view.n_value + ROOM_AT_THE_END);
		router_text_add(&t, (const char *)view.value + sizeof head,
				view.n_value - sizeof head);
		*shape = head.shape;
		answer->strategy = head.strategy % ROUTER_STRATEGIES;
		result = router_answer_finish(r, &t, ROUTER_HIT, &info,
					      head.computed_ns, answer);
		fetch_add_relaxed(&router_cell(r)->saved_ns[head.strategy %
							    ROUTER_STRATEGIES],
				  head.computed_ns);
	} else {
		result = 1;
	}
	larder_release(r->cache, &view);
	return result;
}

void router_alias_store(struct router *r, const struct router_work *w,
			const struct text *body, uint64_t version,
			uint64_t computed_ns)
{
	struct larder_put_options o = {.size_of = sizeof o,
				       .ttl_ms = r->options.ttl_ms,
				       .jitter_percent = 10};
	struct alias_head head = {.version = version,
				  .computed_ns = computed_ns,
				  .n_key = (uint32_t)w->n_key,
				  .strategy = w->request->strategy,
				  .shape = (uint16_t)router_shape(w->request)};
	char *value;

	/* A report between the key and the answer: the key is of another load,
	 * under which this body would be found once that load comes again. */
	if (!w->n_alias || body->failed ||
	    !router_load_is_of(r, w->request, w->load))
		return;
	value = router_arena_take(w->arena, sizeof head + body->n);
	if (!value)
		return;
	memcpy(head.key, w->key, w->n_key);
	memcpy(value, &head, sizeof head);
	memcpy(value + sizeof head, body->bytes, body->n);
	larder_put(r->cache, w->alias, w->n_alias, value, sizeof head + body->n,
		   &o);
}

/* ------------------------------------------------------------------ */
/* The canonical entry                                                 */

struct tag_list {
	struct larder_tag tag[TAGS_ROOM];
	struct arena *arena;
	size_t n;
};

static bool add_tag(struct tag_list *l, const char *prefix, size_t n_prefix,
		    const char *id)
{
	size_t n_id = strlen(id);
	char *text;

	if (l->n == TAGS_ROOM)
		return false;
	text = router_arena_take(l->arena, n_prefix + n_id);
	if (!text)
		return false;
	memcpy(text, prefix, n_prefix);
	memcpy(text + n_prefix, id, n_id);
	l->tag[l->n++] = (struct larder_tag){text, n_prefix + n_id};
	return true;
}

/* Of a literal. */
#define ADD_TAG(list, prefix, id) add_tag(list, prefix, sizeof(prefix) - 1, id)

/* Each candidate, each agent; false: more than an entry can carry. */
static bool list_items(const struct router_request *q, struct tag_list *l)
{
	bool ok = true;

	for (unsigned k = 0; ok && k < q->n_models; k++)
		ok = q->models[k].from_catalog
			     ? ADD_TAG(l, "model:", q->models[k].id)
			     : ADD_TAG(l, "inline/model:", q->models[k].id);
	for (unsigned i = 0; ok && i < q->n_agents; i++)
		ok = q->agents[i].from_catalog
			     ? ADD_TAG(l, "agent:", q->agents[i].id)
			     : ADD_TAG(l, "inline/agent:", q->agents[i].id);
	return ok;
}

/* What the answer depends on. One with more candidates than tags depends, as
 * far as tags go, on every item of the catalog: each change of one invalidates
 * "wide". */
static bool list_tags(const struct router_request *q, struct tag_list *l)
{
	size_t n_head;

	if (!ADD_TAG(l, "strategy:", router_strategy_name(q->strategy)))
		return false;
	if ((q->whole_catalog_models || q->whole_catalog_agents) &&
	    !ADD_TAG(l, "catalog", ""))
		return false;
	n_head = l->n;
	if (!list_items(q, l)) {
		l->n = n_head;
		if (!ADD_TAG(l, "wide", ""))
			return false;
	}
	return true;
}

uint64_t router_result_store(struct router *r, struct router_work *w,
			     const struct router_result *result)
{
	const struct router_request *q = w->request;
	struct tag_list *tags = router_arena_take(w->arena, sizeof *tags);
	unsigned char *bytes = NULL;
	uint64_t version = 0;
	size_t n = 0;

	if (tags) {
		tags->n = 0;
		tags->arena = w->arena;
	}
	if (tags && !result->has_fallback && list_tags(q, tags))
		n = router_pack(q, result, &bytes);
	if (n) {
		const struct larder_put_options o = {
			.size_of = sizeof o,
			.ttl_ms = r->options.ttl_ms,
			.soft_ttl_ms = r->options.soft_ttl_ms,
			.jitter_percent = 10,
			.cost_ns = result->computed_ns,
			.tags = tags->tag,
			.n_tags = tags->n,
			.version = &version};
		int outcome = larder_fill_put(r->cache, &w->fill, bytes, n, &o);

		if (outcome) {
			version = 0;
			fetch_add_relaxed(&router_cell(r)->refused[q->strategy],
					  1);
		}
	} else {
		larder_fill_abandon(r->cache, &w->fill);
	}
	return version;
}
