/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An answer as JSON, in the request's order; and as the bytes that are cached,
 * in the canonical order and without names: those come from each request.
 */
#include <stdlib.h>
#include <string.h>

#include "router/router.h"

static const char *const methods[] = {"auto", "manual", "fallback"};
static const char *const reasons[] = {
	[ROUTER_REASON_NONE] = "",
	[ROUTER_REASON_OFFLINE] = "the agent is not online",
	[ROUTER_REASON_NO_MODEL] = "there is no model",
	[ROUTER_REASON_NO_CAPACITY] = "no model has capacity left",
	[ROUTER_REASON_PIN_UNKNOWN] = "the model it is pinned to is not there",
};

static void render_one(const struct router_request *q, unsigned i,
		       const struct router_assignment *a, struct text *t)
{
	uint64_t missing = a->missing;

	router_text_string(t, "{\"agent_id\":");
	router_text_json(t, q->agents[i].id);
	router_text_string(t, ",\"agent_name\":");
	router_text_json(t, q->agents[i].name);
	if (a->model < 0) {
		router_text_string(
			t, ",\"model_id\":null,\"model_name\":null,"
			   "\"match_score\":0.0,\"final_score\":0.0,"
			   "\"method\":\"auto\",\"capability_overlap\":0.0,"
			   "\"missing_required\":[],\"reason\":");
		router_text_json(t, reasons[a->reason]);
		router_text_string(t, "}");
		return;
	}
	router_text_string(t, ",\"model_id\":");
	router_text_json(t, q->models[a->model].id);
	router_text_string(t, ",\"model_name\":");
	router_text_json(t, q->models[a->model].name);
	router_text_string(t, ",\"match_score\":");
	router_text_double(t, a->match);
	router_text_string(t, ",\"final_score\":");
	router_text_double(t, a->final);
	router_text_string(t, ",\"method\":\"");
	router_text_string(t, methods[a->method]);
	router_text_string(t, "\",\"capability_overlap\":");
	router_text_double(t, a->overlap);
	router_text_string(t, ",\"missing_required\":[");
	for (const char *comma = ""; missing; missing &= missing - 1) {
		router_text_string(t, comma);
		router_text_json(
			t, q->capabilities.name[__builtin_ctzll(missing)]);
		comma = ",";
	}
	router_text_string(t, "]");
	if (q->balance_load && !q->models[a->model].load_known)
		router_text_string(t, ",\"load_known\":false");
	router_text_string(t, "}");
}

/* The object without its closing brace: the "cache" member is added by who
 * serves it. */
void router_render(const struct router_request *q,
		   const struct router_result *r, struct text *t)
{
	unsigned *order =
		router_arena_take(q->arena, q->n_agents * sizeof *order);

	if (!order) {
		t->failed = true;
		return;
	}
	for (unsigned i = 0; i < q->n_agents; i++)
		order[q->agents[i].position] = i;
	router_text_string(t, "{\"assignments\":[");
	for (unsigned p = 0; p < q->n_agents; p++) {
		if (p)
			router_text_string(t, ",");
		render_one(q, order[p], &r->assignments[order[p]], t);
	}
	router_text_string(t, "],\"total_score\":");
	router_text_double(t, r->total_score);
	router_text_string(t, ",\"avg_match_score\":");
	router_text_double(t, r->avg_match_score);
	router_text_format(
		t,
		",\"total_assignments\":%u,\"strategy\":\"%s\","
		"\"load_balancing_enabled\":%s,\"models_filtered\":%u,"
		"\"avg_utilization\":",
		r->n_assigned, router_strategy_name(q->strategy),
		q->balance_load ? "true" : "false", r->models_filtered);
	router_text_double(t, r->avg_utilization);
}

/* ------------------------------------------------------------------ */

struct packed_head {
	uint32_t magic, n_agents, n_models, n_assigned;
	double total, average;
	uint64_t computed_ns, reserved;
};
struct packed_line {
	int32_t model;
	uint8_t method, reason;
	uint16_t reserved;
	double match, final, overlap;
	uint64_t missing;
};
#define PACKED_MAGIC 0x31525552u

size_t router_pack(const struct router_request *q,
		   const struct router_result *r, unsigned char **bytes)
{
	size_t n = sizeof(struct packed_head) +
		   q->n_agents * sizeof(struct packed_line);
	struct packed_head *head = router_arena_zeroed(q->arena, n);
	struct packed_line *line;

	*bytes = (unsigned char *)head;
	if (!head)
		return 0;
	line = (struct packed_line *)(head + 1);
	head->magic = PACKED_MAGIC;
	head->n_agents = q->n_agents;
	head->n_models = q->n_models;
	head->n_assigned = r->n_assigned;
	head->total = r->total_score;
	head->average = r->avg_match_score;
	head->computed_ns = r->computed_ns;
	for (unsigned i = 0; i < q->n_agents; i++) {
		const struct router_assignment *a = &r->assignments[i];

		line[i] = (struct packed_line){.model = a->model,
					       .method = a->method,
					       .reason = a->reason,
					       .match = a->match,
					       .final = a->final,
					       .overlap = a->overlap,
					       .missing = a->missing};
	}
	return n;
}

/* False if the bytes are not an answer to this question. What depends on the
 * load as it is now (utilization, what is filtered) is computed anew. */
bool router_unpack(const struct router_request *q, const void *bytes, size_t n,
		   struct router_result *r)
{
	struct packed_head head;
	struct packed_line line;
	const unsigned char *at = bytes;
	unsigned n_names = q->capabilities.n;
	uint64_t names =
		n_names < 64 ? (UINT64_C(1) << n_names) - 1 : UINT64_MAX;

	if (n != sizeof head + q->n_agents * sizeof line)
		return false;
	memcpy(&head, at, sizeof head);
	if (head.magic != PACKED_MAGIC || head.n_agents != q->n_agents ||
	    head.n_models != q->n_models)
		return false;
	at += sizeof head;
	for (unsigned i = 0; i < q->n_agents; i++, at += sizeof line) {
		memcpy(&line, at, sizeof line);
		if (line.model >= (int)q->n_models || line.method > 2 ||
		    line.reason > ROUTER_REASON_PIN_UNKNOWN ||
		    (line.missing & ~names) ||
		    (line.model >= 0 && q->balance_load &&
		     line.method == ROUTER_AUTO && q->models[line.model].full))
			return false;
		r->assignments[i] = (struct router_assignment){
			.model = line.model < 0 ? -1 : line.model,
			.method = line.method,
			.reason = line.reason,
			.match = line.match,
			.final = line.final,
			.overlap = line.overlap,
			.missing = line.missing};
	}
	r->total_score = head.total;
	r->avg_match_score = head.average;
	r->n_assigned = head.n_assigned;
	r->computed_ns = head.computed_ns;
	r->has_fallback = false;
	r->avg_utilization = 0;
	r->models_filtered = 0;
	for (unsigned k = 0; k < q->n_models; k++) {
		r->avg_utilization += q->models[k].utilization;
		r->models_filtered += q->balance_load && q->models[k].full;
	}
	if (q->n_models)
		r->avg_utilization /= q->n_models;
	return true;
}
