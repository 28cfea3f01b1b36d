/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request bodies from a seed, and which of them is asked when.
 *
 * A fleet is a set of models that many requests share, as the requests of one
 * company would; the agents differ from request to request.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workload.h"

static const char *const capabilities[] = {
	"coding",	    "math",	   "reasoning",
	"arabic",	    "general",	   "multilingual",
	"long_context",	    "low_latency", "high_accuracy",
	"function_calling",
};
enum { N_CAPABILITIES = 10, N_FLEETS = 8 };

/* Steele, Lea, Flood: SplitMix64. */
uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

double random_unit(uint64_t *state)
{
	return (double)(random_next(state) >> 11) * 0x1p-53;
}

static uint32_t below(uint64_t *state, uint32_t n)
{
	return (uint32_t)(random_unit(state) * n);
}

/* Text that grows; after a failure `at` is NULL and stays so. */
struct text {
	char *at;
	size_t n;
	size_t room;
};

__attribute__((format(printf, 2, 3))) static void
append(struct text *t, const char *format, ...)
{
	va_list arguments;
	int n;

	if (t->at == NULL)
		return;
	if (t->room - t->n < 512) {
		char *grown = realloc(t->at, t->room * 2);

		if (grown == NULL) {
			free(t->at);
			t->at = NULL;
			return;
		}
		t->at = grown;
		t->room *= 2;
	}
	va_start(arguments, format);
	n = vsnprintf(t->at + t->n, t->room - t->n, format, arguments);
	va_end(arguments);
	if (n > 0)
		t->n += (size_t)n < t->room - t->n ? (size_t)n
						   : t->room - t->n - 1;
}

/* Up to @most capability names, each at most once. */
static void append_set(struct text *t, uint64_t *rng, uint32_t least,
		       uint32_t most)
{
	uint32_t n = least + below(rng, most - least + 1);
	uint32_t first = below(rng, N_CAPABILITIES);

	/* 3 and 10 have no common divisor: no name comes twice. */
	append(t, "[");
	for (uint32_t i = 0; i < n; i++)
		append(t, "%s\"%s\"", i ? "," : "",
		       capabilities[(first + 3 * i) % N_CAPABILITIES]);
	append(t, "]");
}

static void append_agents(struct text *t, uint64_t *rng, uint32_t n)
{
	append(t, ",\"agents\":[");
	for (uint32_t i = 0; i < n; i++) {
		append(t, "%s{\"id\":\"agent-%05u-%u\",\"name\":\"Agent %u\",",
		       i ? "," : "", below(rng, 100000), i, i);
		append(t, "\"required_capabilities\":");
		append_set(t, rng, 1, 3);
		append(t, ",\"preferred_capabilities\":");
		append_set(t, rng, 0, 2);
		append(t, ",\"min_context_length\":%u}",
		       4096u << below(rng, 6));
	}
	append(t, "]");
}

static void append_models(struct text *t, uint32_t fleet, uint32_t n)
{
	uint64_t rng = 77 + fleet;

	append(t, ",\"models\":[");
	for (uint32_t i = 0; i < n; i++) {
		uint32_t first = below(&rng, N_CAPABILITIES);
		uint32_t n_strengths = 3 + below(&rng, 5);

		append(t, "%s{\"id\":\"fleet%u-model-%02u\",", i ? "," : "",
		       fleet, i);
		append(t, "\"name\":\"Model %u\",\"capabilities\":{", i);
		for (uint32_t k = 0; k < n_strengths; k++)
			append(t, "%s\"%s\":%.2f", k ? "," : "",
			       capabilities[(first + 3 * k) % N_CAPABILITIES],
			       0.3 + 0.7 * random_unit(&rng));
		append(t,
		       "},\"context_length\":%u,\"max_concurrent\":%u,"
		       "\"max_queue\":%u}",
		       8192u << below(&rng, 5), 2 + below(&rng, 10),
		       10 + below(&rng, 40));
	}
	append(t, "]");
}

bool body_make(struct body *b, const char *strategy, uint32_t n_agents,
	       uint32_t n_models, uint64_t seed)
{
	struct text t = {.at = malloc(4096), .room = 4096};
	uint64_t rng = seed;

	b->n_agents = n_agents;
	b->n_models = n_models;
	append(&t, "{\"strategy\":\"%s\",\"enable_load_balancing\":%s",
	       strategy, below(&rng, 3) == 0 ? "true" : "false");
	append_agents(&t, &rng, n_agents);
	if (n_models)
		append_models(&t, below(&rng, N_FLEETS), n_models);
	append(&t, "}");
	b->text = t.at;
	b->n_text = (uint32_t)t.n;
	return t.at != NULL;
}

static bool shape_body(struct body *b, enum shape shape, uint64_t seed)
{
	static const uint32_t agents[] = {3,  5,  10, 10,  20,
					  25, 50, 50, 100, 100};
	static const uint32_t models[] = {5, 10, 20, 20, 35, 50, 50, 50};
	static const char *const strategies[] = {"optimal", "optimal",
						 "balanced", "greedy"};
	uint64_t rng = seed;
	const char *strategy;
	uint32_t n_agents, n_models;

	if (shape == SHAPE_LARGE)
		return body_make(b, "optimal", 100, 50, seed);
	if (shape == SHAPE_SMALL)
		return body_make(b, "greedy", 3, 5, seed);
	strategy = strategies[below(&rng, 4)];
	n_agents = agents[below(&rng, 10)];
	/* A quarter of the requests takes the models of the catalog. */
	n_models = below(&rng, 4) == 0 ? 0 : models[below(&rng, 8)];
	return body_make(b, strategy, n_agents, n_models, random_next(&rng));
}

bool workload_bodies(struct workload *w, enum shape shape, uint32_t n,
		     uint64_t seed)
{
	w->bodies = calloc(n, sizeof(*w->bodies));
	if (w->bodies == NULL)
		return false;
	for (w->n_bodies = 0; w->n_bodies < n; w->n_bodies++) {
		uint64_t own = seed ^ ((uint64_t)w->n_bodies << 20);

		if (!shape_body(&w->bodies[w->n_bodies], shape,
				random_next(&own)))
			return false;
	}
	return true;
}

/*
 * A rank below @n. Between two published ranks the share of a rank falls as
 * its inverse, so that ranks are drawn uniformly over the logarithm.
 */
static uint32_t draw_rank(uint64_t *rng, uint32_t n)
{
	static const double upto[] = {10, 100, 1000, 10000, 167005};
	static const double share[] = {0.28, 0.42, 0.52, 0.65, 1.0};
	double u = random_unit(rng), from, to;
	unsigned last = 4, i = 0;

	/* A shorter log ends earlier: its last ranks take what is beyond. */
	while (last > 0 && upto[last - 1] >= n)
		last--;
	while (i < last && u >= share[i])
		i++;
	from = i ? upto[i - 1] + 1 : 1;
	to = i == last ? n : upto[i];
	u = from * pow((to + 1) / from, random_unit(rng)) - 1;
	return u >= n ? n - 1 : (uint32_t)u;
}

bool workload_make(struct workload *w, enum shape shape, uint32_t n,
		   uint32_t n_distinct, uint64_t seed)
{
	uint64_t rng = seed;

	*w = (struct workload){0};
	if (n_distinct < 1)
		n_distinct = 1;
	w->order = malloc((n ? n : 1) * sizeof(*w->order));
	if (w->order == NULL || !workload_bodies(w, shape, n_distinct, seed)) {
		workload_free(w);
		return false;
	}
	for (; w->n_order < n; w->n_order++)
		w->order[w->n_order] = n_distinct >= n
					       ? w->n_order
					       : draw_rank(&rng, n_distinct);
	return true;
}

void workload_free(struct workload *w)
{
	for (uint32_t i = 0; w->bodies != NULL && i < w->n_bodies; i++)
		free(w->bodies[i].text);
	free(w->bodies);
	free(w->order);
	free(w->due_ns);
	*w = (struct workload){0};
}
