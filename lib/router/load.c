/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load, shared by all workers: one word a model, {active:20 queue:20 level:4
 * sequence:20}, changed by one compare-and-swap. No assignment changes it.
 *
 * The level is what the score sees: eighths of max_concurrent, up at the next
 * eighth, down only when more than 1/32 below its own, so that a load that
 * trembles around a step does not make every second request a miss. A model
 * without a report for a minute is unknown and counts as idle: a report that
 * was lost heals.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "router/router.h"

enum { FORGET_MS = 60000, COUNT_MAX = (1 << 20) - 1 };
#define LOAD_BITS                                                              \
	((UINT64_C(1) << 44) - 1) /* of a word: all but the sequence */

struct load {
	uint64_t active, queue, level, sequence;
};

static struct load unpack(uint64_t w)
{
	return (struct load){.active = w & COUNT_MAX,
			     .queue = w >> 20 & COUNT_MAX,
			     .level = w >> 40 & 15,
			     .sequence = w >> 44};
}

static uint64_t pack(struct load l)
{
	return l.active | l.queue << 20 | l.level << 40 |
	       (l.sequence & COUNT_MAX) << 44;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Whether there was a report of late; one that came since @now is. */
static bool is_known(const struct load_slot *s, uint64_t now)
{
	uint64_t at = s ? load_acquire(&s->reported_ms) : 0;

	return at && now < at + FORGET_MS;
}

/* The slot of a model id; claimed if @claim. NULL: none. */
struct load_slot *router_load_slot(struct router *r, const char *id, bool claim)
{
	uint64_t hash = XXH3_64bits(id, strlen(id)) | 1;

	for (unsigned k = 0; k < LOAD_SLOTS; k++) {
		struct load_slot *s = &r->shared->load[(hash + k) % LOAD_SLOTS];
		uint64_t seen = load_acquire(&s->id_hash);

		if (seen == hash)
			return s;
		if (seen)
			continue;
		if (!claim)
			return NULL;
		if (cas_acqrel(&s->id_hash, &seen, hash) || seen == hash)
			return s;
	}
	return NULL;
}

static unsigned next_level(unsigned level, uint64_t active, uint64_t most)
{
	double u = (double)active / (double)(most ? most : 1);
	unsigned at = u >= 1 ? 8 : (unsigned)(u * 8);

	if (at > level)
		return at;
	while (level > 0 && u < (double)level / 8 - 1.0 / 32)
		level--;
	return level;
}

/* What outcomes say, in eighths, rounded to the nearest. */
static unsigned success_level(struct load_slot *s)
{
	uint64_t seen = s ? load_acquire(&s->successes) : 0;

	return seen ? (unsigned)((seen - 1 + 4096) / 8192) : 8;
}

/* Every bit of both moves every bit: two loads exchanged are not the same. */
static uint64_t mixed(uint64_t h, uint64_t more)
{
	h = (h ^ more) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

/* One model's part of a fingerprint. */
static uint64_t part_of(const struct router *r, const struct load_slot *s,
			bool known, uint64_t word, unsigned success)
{
	uint64_t h = mixed(load_acquire(&s->id_hash),
			   known ? (word & LOAD_BITS) + 1 : 0);

	return r->weights.feedback > 0 ? mixed(h, success) : h;
}

void router_load_apply(struct router *r, struct router_request *q)
{
	uint64_t now = now_ms();

	for (unsigned k = 0; k < q->n_models; k++) {
		struct router_model *m = &q->models[k];
		struct load_slot *s = router_load_slot(r, m->id, false);
		uint64_t word = 0;
		struct load l;

		m->load_known = is_known(s, now);
		if (m->load_known)
			word = load_acquire(&s->word);
		l = unpack(word);
		m->active = l.active;
		m->queue = l.queue;
		/* What stands in the word is of the last report's capacity. */
		m->level = next_level((unsigned)l.level, l.active,
				      m->max_concurrent);
		m->success = r->weights.feedback > 0 ? success_level(s) : 8;
		m->load_seen =
			s ? part_of(r, s, m->load_known, word, m->success) : 0;
		m->utilization = (double)l.active / (double)m->max_concurrent;
		m->full =
			m->load_known && (l.active >= m->max_concurrent ||
					  (m->max_queue != UINT64_MAX &&
					   l.queue && l.queue >= m->max_queue));
	}
}

/*
 * Changes whenever any model's load or its being known does. What was computed
 * holds until a report or an outcome has returned, and for a second at most:
 * loads are forgotten by time, and a reporter may die before it has counted.
 */
uint64_t router_load_fingerprint(struct router *r)
{
	uint64_t changes = load_acquire(&r->shared->load_changes);
	uint64_t h = 0, now = now_ms();

	if (now < r->fingerprint.until_ms && changes == r->fingerprint.changes)
		return r->fingerprint.value;

	for (unsigned k = 0; k < LOAD_SLOTS; k++) {
		struct load_slot *s = &r->shared->load[k];

		r->fingerprint.of[k] = 0;
		if (!load_acquire(&s->id_hash))
			continue;
		r->fingerprint.of[k] =
			part_of(r, s, is_known(s, now), load_acquire(&s->word),
				success_level(s));
		h = mixed(h, r->fingerprint.of[k]);
	}
	r->fingerprint.changes = changes;
	r->fingerprint.until_ms = now + 1000;
	r->fingerprint.value = h;
	return h;
}

bool router_load_is_of(struct router *r, const struct router_request *q,
		       uint64_t fingerprint)
{
	if (r->fingerprint.value != fingerprint)
		return false;
	for (unsigned k = 0; k < q->n_models; k++) {
		const struct load_slot *s =
			router_load_slot(r, q->models[k].id, false);

		if (q->models[k].load_seen !=
		    (s ? r->fingerprint.of[s - r->shared->load] : 0))
			return false;
	}
	return true;
}

/* ------------------------------------------------------------------ */

static int64_t clamp(int64_t n)
{
	return n < 0 ? 0 : n > COUNT_MAX ? COUNT_MAX : n;
}

static int check_whole(const json_t *item, const char *member,
		       bool may_be_below, const char *pointer,
		       struct router_error *e)
{
	const json_t *v = json_object_get(item, member);
	double d = json_number_value(v);
	char at[64];

	if (!v || (json_is_number(v) && d <= 1e9 &&
		   d >= (may_be_below ? -1e9 : 0) && d == (double)(int64_t)d))
		return 0;
	snprintf(at, sizeof at, "%s/%s", pointer, member);
	return router_fail(e, 422, at,
			   "%s: must be a whole number from %s to 1000000000",
			   at, may_be_below ? "-1000000000" : "0");
}

const json_t *router_find_item(const struct router *r, const char *kind,
			       const char *id)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(r->catalog.document, kind), i, item)
	{
		const char *own =
			json_string_value(json_object_get(item, "id"));

		if (own && !strcmp(own, id))
			return item;
	}
	return NULL;
}

void router_load_json(struct router *r, const json_t *model, struct text *t)
{
	const char *id = json_string_value(json_object_get(model, "id"));
	const json_t *v = json_object_get(model, "max_concurrent");
	const json_t *target = json_object_get(model, "target_utilization");
	double most = json_is_number(v) ? json_number_value(v) : 1;
	struct load_slot *s = router_load_slot(r, id, false);
	bool known = is_known(s, now_ms());
	struct load l =
		known ? unpack(load_acquire(&s->word)) : (struct load){0};
	unsigned level =
		next_level((unsigned)l.level, l.active, (uint64_t)most);

	router_text_string(t, "{\"model_id\":");
	router_text_json(t, id);
	router_text_format(
		t,
		",\"active\":%llu,\"queue\":%llu,\"level\":%llu,"
		"\"load_known\":%s,\"max_concurrent\":%.0f,"
		"\"target_utilization\":",
		(unsigned long long)l.active, (unsigned long long)l.queue,
		(unsigned long long)level, known ? "true" : "false", most);
	router_text_double(t, json_is_number(target) ? json_number_value(target)
						     : 0.8);
	router_text_string(t, ",\"utilization\":");
	router_text_double(t, (double)l.active / most);
	router_outcome_json(s, t);
	router_text_string(t, "}");
}

/* The model that a report is about. 0, -EINVAL or -ENOENT with @e. */
int router_check_model_id(const struct router *r, const json_t *report,
			  const char *pointer, struct router_error *e)
{
	const json_t *id = json_object_get(report, "model_id");
	char at[64];

	if (!json_is_object(report))
		return router_fail(e, 422, pointer, "%s%smust be an object",
				   pointer, *pointer ? ": " : "");
	if (!id)
		return router_fail(e, 422, pointer,
				   "%s%s\"model_id\" is missing", pointer,
				   *pointer ? ": " : "");
	snprintf(at, sizeof at, "%s/model_id", pointer);
	if (!json_is_string(id))
		return router_fail(e, 422, at, "%s: must be a string", at);
	if (router_find_item(r, "models", json_string_value(id)))
		return 0;
	router_fail(e, 404, at, "%s: no model \"%s\"", at,
		    json_string_value(id));
	return -ENOENT;
}

static int check_report(const struct router *r, const json_t *item,
			const char *pointer, struct router_error *e)
{
	static const char *const kinds[] = {"active", "queue"};
	int error = router_check_model_id(r, item, pointer, e), n = 0;
	char delta[32];

	for (unsigned k = 0; !error && k < 2; k++) {
		snprintf(delta, sizeof delta, "%s_delta", kinds[k]);
		error = check_whole(item, kinds[k], false, pointer, e);
		if (!error)
			error = check_whole(item, delta, true, pointer, e);
		if (!error && json_object_get(item, kinds[k]) &&
		    json_object_get(item, delta))
			error = router_fail(e, 422, pointer,
					    "%s%s\"%s\" and \"%s\" exclude "
					    "each other",
					    pointer, *pointer ? ": " : "",
					    kinds[k], delta);
		n += json_object_get(item, kinds[k]) ||
		     json_object_get(item, delta);
	}
	if (error || n)
		return error;
	return router_fail(e, 422, pointer,
			   "%s%sone of \"active\", \"queue\", "
			   "\"active_delta\" and \"queue_delta\" is wanted",
			   pointer, *pointer ? ": " : "");
}

static void report(struct router *r, const json_t *item, struct text *t)
{
	const char *id = json_string_value(json_object_get(item, "model_id"));
	const json_t *model = router_find_item(r, "models", id), *v;
	uint64_t most = 1, seen, next;
	struct load_slot *s = router_load_slot(r, id, true);

	v = json_object_get(model, "max_concurrent");
	if (json_is_number(v))
		most = (uint64_t)json_number_value(v);
	if (s) {
		bool known = is_known(s, now_ms());

		seen = load_acquire(&s->word);
		do {
			struct load l = known ? unpack(seen) : (struct load){0};
			int64_t active = (int64_t)l.active;
			int64_t queue = (int64_t)l.queue;

			active += (int64_t)json_number_value(
				json_object_get(item, "active_delta"));
			queue += (int64_t)json_number_value(
				json_object_get(item, "queue_delta"));
			v = json_object_get(item, "active");
			if (v)
				active = (int64_t)json_number_value(v);
			v = json_object_get(item, "queue");
			if (v)
				queue = (int64_t)json_number_value(v);
			l.active = (uint64_t)clamp(active);
			l.queue = (uint64_t)clamp(queue);
			l.level = next_level((unsigned)l.level, l.active, most);
			l.sequence = unpack(seen).sequence + 1;
			next = pack(l);
		} while (!cas_acqrel(&s->word, &seen, next));
		store_release(&s->reported_ms, now_ms());
		fetch_add_acqrel(&r->shared->load_changes, 1);
	}
	router_load_json(r, model, t);
}

int router_load_report(struct router *r, const void *bytes, size_t n,
		       char **json, size_t *n_json, struct router_error *e)
{
	struct text t = {0};
	json_error_t why;
	json_t *body = json_loadb(
		bytes, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	json_t *item;
	char pointer[32];
	size_t i;
	int error;

	if (!body)
		return router_fail(e, 400, "", "not JSON: %s at byte %d",
				   why.text, why.position);
	error = router_catalog_current(r);
	if (!error && !json_is_array(body))
		error = check_report(r, body, "", e);
	json_array_foreach(body, i, item)
	{
		snprintf(pointer, sizeof pointer, "/%zu", i);
		if (!error)
			error = check_report(r, item, pointer, e);
	}
	if (!error && !json_is_array(body)) {
		report(r, body, &t);
	} else if (!error) {
		router_text_string(&t, "[");
		json_array_foreach(body, i, item)
		{
			if (i)
				router_text_string(&t, ",");
			report(r, item, &t);
		}
		router_text_string(&t, "]");
	}
	json_decref(body);
	*json = t.bytes;
	*n_json = t.n;
	return t.failed ? -ENOMEM : error;
}

int router_load_list(struct router *r, char **json, size_t *n_json)
{
	struct text t = {0};
	const json_t *item;
	size_t i;
	int error = router_catalog_current(r);

	if (error)
		return error;
	router_text_string(&t, "{\"models\":[");
	json_array_foreach(json_object_get(r->catalog.document, "models"), i,
			   item)
	{
		if (i)
			router_text_string(&t, ",");
		router_load_json(r, item, &t);
	}
	router_text_string(&t, "]}");
	*json = t.bytes;
	*n_json = t.n;
	return t.failed ? -ENOMEM : 0;
}
