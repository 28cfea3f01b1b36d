/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a body to an answer: the road that every question takes.
 *
 *   1. byte for byte one seen before, under this catalog and load? An alias
 * entry holds the finished body; it counts only while its canonical entry does.
 *   2. parse; too small to be worth a lookup? Compute.
 *   3. the canonical entry: a hit; or we lead and compute; or somebody does.
 *
 * A leader takes its token (with the lead), then looks at the catalog again,
 * then computes: an invalidation in between refuses what it stores.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "router/router.h"

enum { ALIAS_KEY_BYTES = 48, TAGS_ROOM = LARDER_TAGS_MAX, TRIES = 4 };

struct alias_head {
	uint64_t version; /* of the canonical entry */
	uint64_t computed_ns;
	uint32_t n_key;
	uint32_t strategy;
	char key[ROUTER_KEY_BYTES];
};

struct router_work {
	struct router_request *request;
	struct larder_fill fill;
	char key[ROUTER_KEY_BYTES], alias[ALIAS_KEY_BYTES];
	size_t n_key, n_alias;
	uint64_t began_ns;
};

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

/* Close the rendered object with its "cache" member. */
static int finish(struct text *t, enum router_cache_status status,
		  const struct larder_info *info, uint64_t computed_ns,
		  struct router_answer *answer)
{
	router_text_format(t,
			   ",\"cache\":{\"status\":\"%s\",\"age_ms\":%llu,"
			   "\"stored_by\":%u,\"computed_ns\":%llu}}",
			   router_cache_status_name(status),
			   (unsigned long long)(info ? info->age_ms : 0),
			   info ? info->stored_by_pid : 0,
			   (unsigned long long)computed_ns);
	if (t->failed) {
		free(t->bytes);
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

static void add(atomic_u64 *counter, uint64_t n)
{
	fetch_add_relaxed(counter, n);
}

/* ------------------------------------------------------------------ */
/* The alias                                                           */

static size_t alias_key(struct router *r, const void *body, size_t n_body,
			char key[ALIAS_KEY_BYTES])
{
	uint64_t state[2] = {r->catalog.number, router_load_fingerprint(r)};
	struct digest d = router_digest(r, body, n_body);
	struct digest s = router_digest(r, state, sizeof state);
	char hex[33];

	d.low ^= s.low;
	d.high += s.high;
	router_digest_hex(d, hex);
	return (size_t)snprintf(key, ALIAS_KEY_BYTES, "v1/alias/%s", hex);
}

/* 0 with the answer, or 1: no alias, or one whose canonical entry is gone. */
static int try_alias(struct router *r, const char *key, size_t n_key,
		     struct router_answer *answer)
{
	struct larder_info info = {.size_of = sizeof info};
	struct larder_view view;
	struct alias_head head;
	struct text t = {0};
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
		router_text_add(&t, (const char *)view.value + sizeof head,
				view.n_value - sizeof head);
		result =
			finish(&t, ROUTER_HIT, &info, head.computed_ns, answer);
		add(&router_cell(r)
			     ->saved_ns[head.strategy % ROUTER_STRATEGIES],
		    head.computed_ns);
	} else {
		result = 1;
	}
	larder_release(r->cache, &view);
	return result;
}

static void store_alias(struct router *r, const struct router_work *w,
			const struct text *body, uint64_t version,
			uint64_t computed_ns)
{
	struct larder_put_options o = {.size_of = sizeof o,
				       .ttl_ms = r->options.ttl_ms,
				       .jitter_percent = 10};
	struct alias_head head = {.version = version,
				  .computed_ns = computed_ns,
				  .n_key = (uint32_t)w->n_key,
				  .strategy = w->request->strategy};
	struct text t = {0};

	if (!w->n_alias || body->failed)
		return;
	memcpy(head.key, w->key, w->n_key);
	router_text_add(&t, (const char *)&head, sizeof head);
	router_text_add(&t, body->bytes, body->n);
	if (!t.failed)
		larder_put(r->cache, w->alias, w->n_alias, t.bytes, t.n, &o);
	free(t.bytes);
}

/* ------------------------------------------------------------------ */
/* Computing and storing                                               */

static int compute(struct router *r, const struct router_request *q,
		   struct router_result *result)
{
	int error;

	result->assignments =
		calloc(q->n_agents + 1, sizeof *result->assignments);
	if (!result->assignments)
		return -ENOMEM;
	error = router_assign(&r->weights, q, result);
	if (error)
		free(result->assignments);
	else
		add(&router_cell(r)->compute_ns[q->strategy],
		    result->computed_ns);
	return error;
}

struct tag_list {
	struct larder_tag tag[TAGS_ROOM];
	char *text;
	size_t n;
};

static bool add_tag(struct tag_list *l, size_t *at, size_t room,
		    const char *prefix, const char *id)
{
	int n = snprintf(l->text + *at, room - *at, "%s%s", prefix, id);

	if (l->n == TAGS_ROOM || n < 0 || (size_t)n >= room - *at)
		return false;
	l->tag[l->n++] = (struct larder_tag){l->text + *at, (size_t)n};
	*at += (size_t)n;
	return true;
}

/* What the answer depends on: each candidate, each agent of the catalog. */
static bool list_tags(const struct router_request *q, struct tag_list *l)
{
	size_t room = (q->n_agents + q->n_models + 4) * (ROUTER_ID_MAX + 24);
	size_t at = 0;
	bool ok;

	l->n = 0;
	l->text = malloc(room);
	if (!l->text)
		return false;
	ok = add_tag(l, &at, room,
		     "strategy:", router_strategy_name(q->strategy));
	if (q->whole_catalog_models || q->whole_catalog_agents)
		ok = ok && add_tag(l, &at, room, "catalog", "");
	for (unsigned k = 0; ok && k < q->n_models; k++)
		ok = add_tag(l, &at, room,
			     q->models[k].from_catalog ? "model:"
						       : "inline/model:",
			     q->models[k].id);
	for (unsigned i = 0; ok && i < q->n_agents; i++)
		ok = add_tag(l, &at, room,
			     q->agents[i].from_catalog ? "agent:"
						       : "inline/agent:",
			     q->agents[i].id);
	return ok; /* more than an entry can carry: not stored */
}

/* Store under the lead's token. The entry's version, or 0: not stored. */
static uint64_t store_result(struct router *r, struct router_work *w,
			     const struct router_result *result)
{
	const struct router_request *q = w->request;
	struct tag_list *tags = calloc(1, sizeof *tags);
	unsigned char *bytes = NULL;
	uint64_t version = 0;
	size_t n = 0;

	if (tags && !result->has_fallback && list_tags(q, tags))
		n = router_pack(q, result, &bytes);
	if (n) {
		const struct larder_put_options o = {
			.size_of = sizeof o,
			.ttl_ms = r->options.ttl_ms,
			.jitter_percent = 10,
			.cost_ns = result->computed_ns,
			.tags = tags->tag,
			.n_tags = tags->n,
			.version = &version};
		int outcome = larder_fill_put(r->cache, &w->fill, bytes, n, &o);

		if (outcome) {
			version = 0;
			add(&router_cell(r)->refused[q->strategy], 1);
		}
	} else {
		larder_fill_abandon(r->cache, &w->fill);
	}
	free(bytes);
	if (tags)
		free(tags->text);
	free(tags);
	return version;
}

static int answer_computed(struct router *r, struct router_work *w, bool lead,
			   enum router_cache_status status,
			   struct router_answer *answer)
{
	struct router_result result;
	struct text t = {0};
	uint64_t version = 0;
	int error = compute(r, w->request, &result);

	if (error) {
		if (lead)
			larder_fill_abandon(r->cache, &w->fill);
		return error;
	}
	if (lead)
		version = store_result(r, w, &result);
	router_render(w->request, &result, &t);
	if (version)
		store_alias(r, w, &t, version, result.computed_ns);
	free(result.assignments);
	return finish(&t, status, NULL, result.computed_ns, answer);
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
		.assignments =
			calloc(q->n_agents + 1, sizeof *result.assignments)};
	struct text t = {0};
	bool fits = result.assignments &&
		    router_unpack(q, view->value, view->n_value, &result);
	uint64_t version = view->version;
	int error = 1;

	larder_release(r->cache, view);
	if (fits) {
		router_render(q, &result, &t);
		if (larder_get_info(r->cache, w->key, w->n_key, NULL, 0,
				    &info) == LARDER_MISS)
			info = (struct larder_info){0};
		if (status == ROUTER_HIT && info.version == version)
			store_alias(r, w, &t, version, result.computed_ns);
		add(&router_cell(r)->saved_ns[q->strategy], result.computed_ns);
		error = finish(&t, status, &info, result.computed_ns, answer);
	}
	free(result.assignments);
	return error;
}

/* ------------------------------------------------------------------ */
/* Is it worth a lookup?                                               */

static unsigned shape(const struct router_request *q)
{
	uint64_t cells = (uint64_t)q->n_agents * q->n_models;

	return cells ? 63u - (unsigned)__builtin_clzll(cells) : 0;
}

/*
 * What a lookup costs beyond the parsing that both ways have is about the same
 * for all shapes of a size; what computing costs is learned per shape. One in
 * 64 that would be bypassed is computed under the clock again.
 */
static bool worth_it(struct router *r, const struct router_request *q)
{
	unsigned k = shape(q) % 32;
	double compute_ns = r->compute_cost[q->strategy][k];
	double hit_ns = r->hit_cost[k];

	if (!r->cache || r->options.never_cache)
		return false;
	if (q->strategy == ROUTER_OPTIMAL && q->n_agents >= 2)
		return true;
	if ((uint64_t)q->n_agents * q->n_models < r->options.bypass_cells)
		return false;
	if (compute_ns == 0 || hit_ns == 0)
		return true;
	r->random = r->random * UINT64_C(6364136223846793005) + 1;
	return compute_ns > hit_ns || (r->random >> 58) == 0;
}

static void learn(double *average, uint64_t ns)
{
	*average = *average == 0 ? (double)ns
				 : *average + ((double)ns - *average) / 16;
}

/* ------------------------------------------------------------------ */

static void work_free(struct router_work *w)
{
	if (!w)
		return;
	router_request_free(w->request);
	free(w);
}

/* The answer of a fill's step; LARDER_WAIT to come back; 1: begin again. */
static int step(struct router *r, struct router_work *w, int outcome,
		struct larder_view *view, bool waited,
		struct router_answer *answer)
{
	uint64_t number = r->catalog.number;
	int error;

	switch (outcome) {
	case LARDER_OK:
		error = answer_stored(r, w, view,
				      waited ? ROUTER_COALESCED : ROUTER_HIT,
				      answer);
		return error == 1 ? answer_computed(r, w, false, ROUTER_MISS,
						    answer)
				  : error;
	case LARDER_STALE:
		error = answer_stored(r, w, view, ROUTER_STALE, answer);
		return error == 1 ? answer_computed(r, w, false, ROUTER_MISS,
						    answer)
				  : error;
	case LARDER_LEAD:
		if (view->lease)
			larder_release(r->cache, view);
		error = router_catalog_current(r);
		if (error || r->catalog.number != number) {
			larder_fill_abandon(r->cache, &w->fill);
			return error ? error : 1;
		}
		return answer_computed(r, w, true, ROUTER_MISS, answer);
	case LARDER_WAIT:
		return LARDER_WAIT;
	default: /* time-out, leases at their limit: compute it ourselves */
		return answer_computed(r, w, false, ROUTER_MISS, answer);
	}
}

static int begin_once(struct router *r, const void *body, size_t n_body,
		      struct router_answer *answer, struct router_work **work,
		      struct router_error *e)
{
	struct router_work *w;
	struct larder_view view = {0};
	uint64_t began = now_ns(), parsed;
	int error = router_catalog_current(r), outcome;
	double *learned;

	if (error)
		return error;
	w = calloc(1, sizeof *w);
	if (!w)
		return -ENOMEM;
	w->began_ns = began;
	if (r->cache && !r->options.never_cache) {
		w->n_alias = alias_key(r, body, n_body, w->alias);
		if (try_alias(r, w->alias, w->n_alias, answer) == 0) {
			free(w);
			return 0;
		}
	}
	error = router_request_parse(r, body, n_body, &w->request, e);
	if (error) {
		free(w);
		return error;
	}
	router_load_apply(r, w->request);
	parsed = now_ns();
	learned =
		&r->compute_cost[w->request->strategy][shape(w->request) % 32];
	if (!worth_it(r, w->request)) {
		error = answer_computed(r, w, false, ROUTER_BYPASS, answer);
		learn(learned, now_ns() - parsed);
		work_free(w);
		return error;
	}
	error = router_key(r, w->request, w->key, &w->n_key);
	if (error) {
		work_free(w);
		return error;
	}
	outcome = larder_fill_begin(r->cache, w->key, w->n_key, NULL, &w->fill,
				    &view);
	error = step(r, w, outcome, &view, false, answer);
	if (error == LARDER_WAIT) {
		*work = w;
		return LARDER_WAIT;
	}
	if (error == 0 && outcome == LARDER_OK)
		learn(&r->hit_cost[shape(w->request) % 32], now_ns() - parsed);
	else if (error == 0)
		learn(learned, now_ns() - parsed);
	work_free(w);
	return error;
}

int router_answer_begin(struct router *r, const void *body, size_t n_body,
			struct router_answer *answer, struct router_work **work,
			struct router_error *e)
{
	int error = 1;

	memset(answer, 0, sizeof *answer);
	*work = NULL;
	for (int tries = 0; tries < TRIES && error == 1; tries++)
		error = begin_once(r, body, n_body, answer, work, e);
	return error == 1 ? -EAGAIN : error;
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
	/* The catalog moved under the lead: its question is old, its answer as
	 * good as any that began before the change. */
	if (error == 1)
		error = answer_computed(r, w, false, ROUTER_MISS, answer);
	work_free(w);
	return error;
}

void router_answer_cancel(struct router *r, struct router_work *w)
{
	larder_fill_abandon(r->cache, &w->fill);
	work_free(w);
}

/* ------------------------------------------------------------------ */

int router_invalidate(struct router *r, const void *bytes, size_t n,
		      char **json, size_t *n_json, struct router_error *e)
{
	json_error_t why;
	json_t *body = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, &why);
	const json_t *key = json_object_get(body, "key");
	const json_t *tag = json_object_get(body, "tag");
	const json_t *pattern = json_object_get(body, "pattern");
	const json_t *all = json_object_get(body, "all"), *text;
	bool dry = json_is_true(json_object_get(body, "dry_run"));
	uint64_t entries = 0, sum = 0;
	struct text t = {0};
	int error = 0;

	if (!body)
		return router_fail(e, 400, "", "not JSON: %s at byte %d",
				   why.text, why.position);
	text = key ? key : tag ? tag : pattern;
	if (!!key + !!tag + !!pattern + json_is_true(all) != 1 ||
	    (text && (!json_is_string(text) || !json_string_length(text))))
		error = router_fail(e, 422, "",
				    "one of \"key\", \"tag\", \"pattern\" (a "
				    "string) or \"all\": true is wanted");
	else if (pattern && larder_glob(json_string_value(pattern),
					json_string_length(pattern), "", 0) < 0)
		error = router_fail(e, 422, "/pattern",
				    "a class or an escape does not end");
	else if (!r->cache)
		error = router_fail(e, 422, "", "there is no cache");
	if (!error && dry)
		error = router_preview(r,
				       key	 ? 'k'
				       : tag	 ? 't'
				       : pattern ? 'm'
						 : 'a',
				       text ? json_string_value(text) : "",
				       text ? json_string_length(text) : 0,
				       &entries, &sum);
	else if (!error && key)
		error = larder_invalidate_key(r->cache, json_string_value(key),
					      json_string_length(key));
	else if (!error && tag)
		error = larder_invalidate_tag(r->cache, json_string_value(tag),
					      json_string_length(tag));
	else if (!error && pattern)
		error = larder_invalidate_match(
			r->cache, json_string_value(pattern),
			json_string_length(pattern), LARDER_MATCH_EITHER);
	else if (!error)
		error = larder_invalidate_all(r->cache);
	json_decref(body);
	if (error)
		return error;
	if (dry)
		router_text_format(
			&t,
			"{\"dry_run\":true,\"entries\":%llu,\"bytes\":%llu}",
			(unsigned long long)entries, (unsigned long long)sum);
	else
		router_text_string(&t, "{\"invalidated\":true}");
	*json = t.bytes;
	*n_json = t.n;
	return t.failed ? -ENOMEM : 0;
}
