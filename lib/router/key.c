/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a question is, as a key: everything its answer depends on and nothing
 * else. Fields are written with their lengths, so that no two questions have
 * the same bytes; names, endpoints and unknown members are not among them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "router/router.h"

struct digest router_digest(const struct router *r, const void *bytes, size_t n)
{
	XXH128_hash_t h = XXH3_128bits_withSecret(bytes, n, r->shared->secret,
						  sizeof r->shared->secret);

	return (struct digest){.low = h.low64, .high = h.high64};
}

void router_digest_hex(struct digest d, char hex[33])
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < 16; i++) {
		hex[i] = digits[d.high >> (60 - 4 * i) & 15];
		hex[16 + i] = digits[d.low >> (60 - 4 * i) & 15];
	}
	hex[32] = '\0';
}

static void put_number(struct text *t, uint64_t n)
{
	router_text_add(t, (const char *)&n, sizeof n);
}

static void put_double(struct text *t, double d)
{
	if (d == 0)
		d = 0; /* -0.0 means the same */
	router_text_add(t, (const char *)&d, sizeof d);
}

static void put_string(struct text *t, const char *s)
{
	put_number(t, s ? strlen(s) : UINT64_MAX);
	if (s)
		router_text_string(t, s);
}

/*
 * Capabilities are written once, by name; sets of them as bits, numbered as
 * they were written. Only those that somebody wants or has are numbered, so
 * that one with a strength of 0 changes no key.
 */
static uint64_t used_capabilities(const struct router_request *q)
{
	uint64_t used = 0;

	for (unsigned i = 0; i < q->n_agents; i++)
		used |= q->agents[i].required | q->agents[i].preferred;
	for (unsigned k = 0; k < q->n_models; k++)
		used |= q->models[k].strong;
	return used;
}

static void put_names(struct text *t, const struct router_capabilities *c,
		      uint64_t used)
{
	put_number(t, (uint64_t)__builtin_popcountll(used));
	for (; used; used &= used - 1)
		put_string(t, c->name[__builtin_ctzll(used)]);
}

/* The bits of @set at the places of @used, moved together. */
static uint64_t renumbered(uint64_t set, uint64_t used)
{
	uint64_t moved = 0;

	if (!(used & (used + 1)))
		return set; /* they are together */
	for (uint64_t bit = 1; used; used &= used - 1, bit <<= 1)
		if (set & used & -used)
			moved |= bit;
	return moved;
}

/* What an agent's or a model's numbers are, in one piece. */
struct agent_numbers {
	uint64_t status, required, preferred, min_context;
};
struct model_numbers {
	uint64_t from_catalog, context, capacity, strong;
};

static void put_agents(struct text *t, const struct router_request *q,
		       uint64_t used)
{
	put_names(t, &q->capabilities, used);
	for (unsigned i = 0; i < q->n_agents; i++) {
		const struct router_agent *a = &q->agents[i];
		struct agent_numbers n = {
			.status = 2,
			.required = renumbered(a->required, used),
			.preferred = renumbered(a->preferred, used),
			.min_context = a->min_context_length};

		put_string(t, a->id);
		if (a->status != ROUTER_ONLINE) {
			put_number(t, n.status);
			continue;
		}
		n.status = a->from_catalog;
		router_text_add(t, (const char *)&n, sizeof n);
		put_string(t, a->pinned);
	}
}

static void put_models(struct text *t, const struct router_request *q,
		       uint64_t used)
{
	put_names(t, &q->capabilities, used);
	for (unsigned k = 0; k < q->n_models; k++) {
		const struct router_model *m = &q->models[k];
		const struct model_numbers n = {
			.from_catalog = m->from_catalog,
			.context = m->context_length,
			.capacity = q->strategy == ROUTER_OPTIMAL
					    ? m->max_concurrent
					    : 0,
			.strong = renumbered(m->strong, used)};

		put_string(t, m->id);
		router_text_add(t, (const char *)&n, sizeof n);
		for (uint64_t set = m->strong; set; set &= set - 1)
			put_double(t, m->strength[__builtin_ctzll(set)]);
	}
}

/* Load and outcomes as the answer sees them: nothing at all of what does not
 * count. */
static void put_load(struct text *t, const struct router *r,
		     const struct router_request *q)
{
	unsigned online = 0;

	for (unsigned i = 0; i < q->n_agents; i++)
		online += q->agents[i].status == ROUTER_ONLINE;
	for (unsigned k = 0; r->weights.feedback > 0 && k < q->n_models; k++)
		put_number(t, q->models[k].success);
	for (unsigned k = 0; q->balance_load && k < q->n_models; k++) {
		const struct router_model *m = &q->models[k];
		uint64_t left = m->active < m->max_concurrent
					? m->max_concurrent - m->active
					: 0;

		put_number(t, m->level);
		put_number(t, m->full);
		if (q->strategy == ROUTER_OPTIMAL)
			put_number(t, left < online ? left : online);
	}
}

int router_key(struct router *r, const struct router_request *q,
	       char key[ROUTER_KEY_BYTES], size_t *n_key)
{
	char agents[33], models[33], load[33];
	uint64_t used = used_capabilities(q);
	struct text t = router_body_text(r);
	int n;

	router_text_reserve(&t, 96 * (q->n_agents + q->n_models) + 1024);
	put_agents(&t, q, used);
	router_digest_hex(router_digest(r, t.bytes ? t.bytes : "", t.n),
			  agents);
	t.n = 0;
	put_models(&t, q, used);
	router_digest_hex(router_digest(r, t.bytes ? t.bytes : "", t.n),
			  models);
	t.n = 0;
	put_number(&t, q->balance_load);
	router_text_add(&t, (const char *)&r->weights, sizeof r->weights);
	put_load(&t, r, q);
	router_digest_hex(router_digest(r, t.bytes, t.n), load);
	router_body_free(r, t.bytes);
	if (t.failed)
		return -ENOMEM;
	n = snprintf(key, ROUTER_KEY_BYTES, "v1/%s/agents:%s/models:%s/load:%s",
		     router_strategy_name(q->strategy), agents, models, load);
	*n_key = (size_t)n;
	return 0;
}
