/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a question is, as a key: everything its answer depends on and nothing
 * else. Fields are written with their lengths, so that no two questions have
 * the same bytes; names, endpoints and unknown members are not among them.
 */
#include <errno.h>
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

/* Where the next field goes; there is room, see room_for(). */
static char *put_bytes(char *at, const void *bytes, size_t n)
{
	memcpy(at, bytes, n);
	return at + n;
}

static char *put_number(char *at, uint64_t n)
{
	return put_bytes(at, &n, sizeof n);
}

static char *put_double(char *at, double d)
{
	if (d == 0)
		d = 0; /* -0.0 means the same */
	return put_bytes(at, &d, sizeof d);
}

static char *put_string(char *at, const char *s)
{
	size_t n = s ? strlen(s) : 0;

	at = put_number(at, s ? n : UINT64_MAX);
	return put_bytes(at, s ? s : "", n);
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

static char *put_names(char *at, const struct router_capabilities *c,
		       uint64_t used)
{
	at = put_number(at, (uint64_t)__builtin_popcountll(used));
	for (; used; used &= used - 1)
		at = put_string(at, c->name[__builtin_ctzll(used)]);
	return at;
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

static char *put_agents(char *at, const struct router_request *q, uint64_t used)
{
	at = put_names(at, &q->capabilities, used);
	for (unsigned i = 0; i < q->n_agents; i++) {
		const struct router_agent *a = &q->agents[i];
		struct agent_numbers n = {
			.status = 2,
			.required = renumbered(a->required, used),
			.preferred = renumbered(a->preferred, used),
			.min_context = a->min_context_length};

		at = put_string(at, a->id);
		if (a->status != ROUTER_ONLINE) {
			at = put_number(at, n.status);
			continue;
		}
		n.status = a->from_catalog;
		at = put_bytes(at, &n, sizeof n);
		at = put_string(at, a->pinned);
	}
	return at;
}

static char *put_models(char *at, const struct router_request *q, uint64_t used)
{
	at = put_names(at, &q->capabilities, used);
	for (unsigned k = 0; k < q->n_models; k++) {
		const struct router_model *m = &q->models[k];
		const struct model_numbers n = {
			.from_catalog = m->from_catalog,
			.context = m->context_length,
			.capacity = q->strategy == ROUTER_OPTIMAL
					    ? m->max_concurrent
					    : 0,
			.strong = renumbered(m->strong, used)};

		at = put_string(at, m->id);
		at = put_bytes(at, &n, sizeof n);
		for (uint64_t set = m->strong; set; set &= set - 1)
			at = put_double(at, m->strength[__builtin_ctzll(set)]);
	}
	return at;
}

/* Load and outcomes as the answer sees them: nothing at all of what does not
 * count. */
static char *put_load(char *at, const struct router *r,
		      const struct router_request *q)
{
	unsigned online = 0;

	for (unsigned i = 0; i < q->n_agents; i++)
		online += q->agents[i].status == ROUTER_ONLINE;
	for (unsigned k = 0; r->weights.feedback > 0 && k < q->n_models; k++)
		at = put_number(at, q->models[k].success);
	for (unsigned k = 0; q->balance_load && k < q->n_models; k++) {
		const struct router_model *m = &q->models[k];
		uint64_t left = m->active < m->max_concurrent
					? m->max_concurrent - m->active
					: 0;

		at = put_number(at, m->level);
		at = put_number(at, m->full);
		if (q->strategy == ROUTER_OPTIMAL)
			at = put_number(at, left < online ? left : online);
	}
	return at;
}

/* The most that any of the three lists of fields takes. */
static size_t room_for(const struct router_request *q)
{
	enum { STRING = 8 + ROUTER_ID_MAX };
	size_t names = 8 + q->capabilities.n * (size_t)STRING;
	size_t agents =
		q->n_agents * (2 * STRING + sizeof(struct agent_numbers));
	size_t models = q->n_models * (STRING + sizeof(struct model_numbers) +
				       8 * (size_t)q->capabilities.n);
	size_t load = 8 + sizeof(struct router_weights) +
		      q->n_models * 4 * sizeof(uint64_t);
	size_t most = agents > models ? agents : models;

	return names + (most > load ? most : load);
}

/* A digest's digits behind a word. */
static char *put_part(char *at, const char *word, struct digest d)
{
	at = put_bytes(at, word, strlen(word));
	router_digest_hex(d, at);
	return at + 32;
}

int router_key(struct router *r, const struct router_request *q,
	       char key[ROUTER_KEY_BYTES], size_t *n_key)
{
	const char *strategy = router_strategy_name(q->strategy);
	uint64_t used = used_capabilities(q);
	char *fields = router_arena_take(q->arena, room_for(q)), *end;
	char *at = key;

	if (!fields)
		return -ENOMEM;
	at = put_bytes(at, "v1/", 3);
	at = put_bytes(at, strategy, strlen(strategy));
	end = put_agents(fields, q, used);
	at = put_part(at, "/agents:",
		      router_digest(r, fields, (size_t)(end - fields)));
	end = put_models(fields, q, used);
	at = put_part(at, "/models:",
		      router_digest(r, fields, (size_t)(end - fields)));
	end = put_number(fields, q->balance_load);
	end = put_bytes(end, &r->weights, sizeof r->weights);
	end = put_load(end, r, q);
	at = put_part(
		at, "/load:", router_digest(r, fields, (size_t)(end - fields)));
	*n_key = (size_t)(at - key);
	return 0;
}
