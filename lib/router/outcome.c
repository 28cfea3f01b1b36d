/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outcomes: what became of the requests that models were given. They stand
 * beside a model's load, are counted by all workers in common, and lower its
 * scores where feedback is on: by the share of good ones, averaged
 * exponentially over about a hundred.
 */
#include <errno.h>

#include "router/router.h"

/* A share of 1, as it is stored, plus 1: 0 is none so far. */
enum { ALL_GOOD = 65536 };

double router_success(const struct load_slot *s)
{
	uint64_t seen = s ? load_acquire(&s->successes) : 0;

	return seen ? (double)(seen - 1) / ALL_GOOD : 1;
}

void router_outcome_json(const struct load_slot *s, struct text *t)
{
	uint64_t n = s ? load_relaxed(&s->n_latencies) : 0;

	router_text_string(t, ",\"outcomes\":");
	router_text_whole(t, s ? load_relaxed(&s->outcomes) : 0);
	router_text_string(t, ",\"failures\":");
	router_text_whole(t, s ? load_relaxed(&s->failures) : 0);
	router_text_string(t, ",\"success_rate\":");
	router_text_double(t, router_success(s));
	router_text_string(t, ",\"latency_ms\":");
	if (n)
		router_text_double(t, (double)load_relaxed(&s->latency_us) /
					      1e3 / (double)n);
	else
		router_text_string(t, "null");
}

static int check(const struct router *r, const json_t *body,
		 struct router_error *e)
{
	const json_t *latency = json_object_get(body, "latency_ms");
	int error = router_check_model_id(r, body, "", e);

	if (!error && !json_is_boolean(json_object_get(body, "success")))
		error = router_fail(e, 422, "/success",
				    "/success: must be true or false");
	if (!error && latency && !json_is_null(latency) &&
	    !(json_is_number(latency) && json_number_value(latency) >= 0 &&
	      json_number_value(latency) <= 1e9))
		error = router_fail(e, 422, "/latency_ms",
				    "/latency_ms: must be a number of at "
				    "least 0");
	return error;
}

static void count(struct router *r, struct load_slot *s, bool good,
		  const json_t *latency)
{
	uint64_t seen = load_acquire(&s->successes), rate, next;

	do {
		rate = seen ? seen - 1 : ALL_GOOD;
		next = rate - rate / 100 + (good ? ALL_GOOD / 100 : 0);
		if (next > ALL_GOOD)
			next = ALL_GOOD;
		next++;
	} while (!cas_acqrel(&s->successes, &seen, next));
	fetch_add_relaxed(&s->outcomes, 1);
	fetch_add_relaxed(&s->failures, !good);
	if (json_is_number(latency)) {
		fetch_add_relaxed(&s->latency_us,
				  (uint64_t)(json_number_value(latency) * 1e3));
		fetch_add_relaxed(&s->n_latencies, 1);
	}
	fetch_add_acqrel(&r->shared->load_changes, 1);
}

int router_outcome_report(struct router *r, const void *bytes, size_t n,
			  struct router_error *e)
{
	json_error_t why;
	json_t *body = json_loadb(
		bytes, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	struct load_slot *s;
	int error;

	if (!body)
		return router_fail(e, 400, "", "not JSON: %s at byte %d",
				   why.text, why.position);
	error = router_catalog_current(r);
	if (!error)
		error = check(r, body, e);
	if (!error) {
		s = router_load_slot(
			r, json_string_value(json_object_get(body, "model_id")),
			true);
		if (s)
			count(r, s,
			      json_is_true(json_object_get(body, "success")),
			      json_object_get(body, "latency_ms"));
	}
	json_decref(body);
	return error;
}
