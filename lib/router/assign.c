/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scores and the three strategies. Pure arithmetic over a parsed request, in
 * canonical order throughout, so that the same question has the same answer to
 * the bit.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "router/router.h"

const struct router_weights router_default_weights = {
	.required = 0.70,
	.preferred = 0.20,
	.context = 0.10,
	.load = 0.3,
	.balance_penalty = 5.0,
};

const char *router_strategy_name(enum router_strategy strategy)
{
	static const char *const names[] = {"greedy", "balanced", "optimal"};

	return strategy < ROUTER_STRATEGIES ? names[strategy] : "?";
}

/* Mean strength over a set; 1 for the empty set. Summed in the order of the
 * capability table, which is sorted by name. */
static double mean_strength(uint64_t set, const struct router_model *m)
{
	double sum = 0;
	unsigned n = 0;

	if (!set)
		return 1.0;
	for (; set; set &= set - 1, n++)
		sum += m->strength[__builtin_ctzll(set)];
	return sum / n;
}

double router_match(const struct router_weights *w,
		    const struct router_agent *a, const struct router_model *m)
{
	double context = m->context_length >= a->min_context_length
				 ? 1.0
				 : (double)m->context_length /
					   (double)a->min_context_length;

	return 100.0 * (w->required * mean_strength(a->required, m) +
			w->preferred * mean_strength(a->preferred, m) +
			w->context * context);
}

static double final_score(const struct router_weights *w,
			  const struct router_request *q, double match,
			  const struct router_model *m)
{
	if (w->feedback > 0)
		match *= 1.0 - w->feedback * (1.0 - m->success / 8.0);
	if (!q->balance_load)
		return match;
	return match * (1.0 - w->load * (double)m->level / 8.0);
}

static double overlap(const struct router_agent *a,
		      const struct router_model *m)
{
	uint64_t wanted = a->required | a->preferred;

	if (!wanted)
		return 1.0;
	return (double)__builtin_popcountll(wanted & m->strong) /
	       (double)__builtin_popcountll(wanted);
}

static void give(const struct router_weights *w, const struct router_request *q,
		 unsigned i, int model, enum router_method method,
		 struct router_assignment *to)
{
	const struct router_agent *a = &q->agents[i];
	const struct router_model *m = &q->models[model];

	to->model = model;
	to->method = (uint8_t)method;
	to->reason = ROUTER_REASON_NONE;
	to->match = router_match(w, a, m);
	to->final = final_score(w, q, to->match, m);
	to->overlap = overlap(a, m);
	to->missing = a->required & ~m->strong;
}

static void give_none(struct router_assignment *to, enum router_reason reason)
{
	memset(to, 0, sizeof *to);
	to->model = -1;
	to->reason = (uint8_t)reason;
}

static bool out_by_load(const struct router_request *q,
			const struct router_model *m)
{
	return q->balance_load && m->full;
}

static int find_model(const struct router_request *q, const char *id)
{
	unsigned low = 0, high = q->n_models;

	while (low < high) {
		unsigned mid = (low + high) / 2;
		int order = strcmp(q->models[mid].id, id);

		if (order == 0)
			return (int)mid;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return -1;
}

/* The least utilized model, whatever its load; ties to the smaller id. */
static int least_utilized(const struct router_request *q)
{
	int best = -1;

	for (unsigned k = 0; k < q->n_models; k++)
		if (best < 0 ||
		    q->models[k].utilization < q->models[best].utilization)
			best = (int)k;
	return best;
}

/* Greedy and balanced: a penalty of 0 makes the one of the other. */
static void assign_in_turn(const struct router_weights *w,
			   const struct router_request *q, double penalty,
			   unsigned *uses, struct router_result *r)
{
	for (unsigned i = 0; i < q->n_agents; i++) {
		struct router_assignment *to = &r->assignments[i];
		double best_score = -INFINITY;
		int best = -1;

		if (to->model >= 0 || to->reason)
			continue;
		for (unsigned k = 0; k < q->n_models; k++) {
			const struct router_model *m = &q->models[k];
			double score;

			if (out_by_load(q, m))
				continue;
			score = final_score(w, q,
					    router_match(w, &q->agents[i], m),
					    m) -
				penalty * uses[k];
			if (score > best_score) {
				best_score = score;
				best = (int)k;
			}
		}
		if (best < 0) {
			best = least_utilized(q);
			if (best < 0) {
				give_none(to, ROUTER_REASON_NO_MODEL);
				continue;
			}
			r->has_fallback = true;
			give(w, q, i, best, ROUTER_FALLBACK, to);
		} else {
			give(w, q, i, best, ROUTER_AUTO, to);
		}
		uses[best]++;
	}
}

static int assign_optimal(const struct router_weights *w,
			  const struct router_request *q, const unsigned *uses,
			  struct router_result *r)
{
	unsigned n_rows = 0, n = q->n_models;
	struct arena *a = q->arena;
	unsigned *row_agent =
		router_arena_take(a, sizeof *row_agent * q->n_agents);
	double *score =
		router_arena_take(a, sizeof *score * (size_t)q->n_agents * n);
	uint64_t *capacity = router_arena_take(a, sizeof *capacity * n);
	int *column = router_arena_take(a, sizeof *column * q->n_agents);
	int error;

	if (!row_agent || !score || !capacity || !column)
		return -ENOMEM;
	for (unsigned i = 0; i < q->n_agents; i++)
		if (r->assignments[i].model < 0 && !r->assignments[i].reason)
			row_agent[n_rows++] = i;
	for (unsigned k = 0; k < n; k++) {
		const struct router_model *m = &q->models[k];
		uint64_t taken = q->balance_load ? m->active : 0;

		taken += uses[k];
		capacity[k] = out_by_load(q, m) || taken >= m->max_concurrent
				      ? 0
				      : m->max_concurrent - taken;
	}
	for (unsigned row = 0; row < n_rows; row++)
		for (unsigned k = 0; k < n; k++)
			score[(size_t)row * n + k] = final_score(
				w, q,
				router_match(w, &q->agents[row_agent[row]],
					     &q->models[k]),
				&q->models[k]);
	error = router_solve_in(a, n_rows, n, score, capacity, column);
	for (unsigned row = 0; !error && row < n_rows; row++) {
		struct router_assignment *to = &r->assignments[row_agent[row]];

		if (column[row] >= 0)
			give(w, q, row_agent[row], column[row], ROUTER_AUTO,
			     to);
		else
			give_none(to, n ? ROUTER_REASON_NO_CAPACITY
					: ROUTER_REASON_NO_MODEL);
	}
	return error;
}

/* Offline agents, and those pinned to a model: before all others. */
static void assign_fixed(const struct router_weights *w,
			 const struct router_request *q, unsigned *uses,
			 struct router_result *r)
{
	for (unsigned i = 0; i < q->n_agents; i++) {
		struct router_assignment *to = &r->assignments[i];
		int pinned;

		memset(to, 0, sizeof *to);
		to->model = -1;
		if (q->agents[i].status != ROUTER_ONLINE) {
			give_none(to, ROUTER_REASON_OFFLINE);
		} else if (q->agents[i].pinned) {
			pinned = find_model(q, q->agents[i].pinned);
			if (pinned < 0) {
				give_none(to, ROUTER_REASON_PIN_UNKNOWN);
				continue;
			}
			give(w, q, i, pinned, ROUTER_MANUAL, to);
			uses[pinned]++;
		}
	}
}

int router_assign(const struct router_weights *w,
		  const struct router_request *q, struct router_result *r)
{
	struct arena_mark mark = router_arena_mark(q->arena);
	unsigned *uses =
		router_arena_zeroed(q->arena, q->n_models * sizeof *uses);
	struct timespec begin, end;
	double match_sum = 0;
	int error = 0;

	if (!uses)
		return -ENOMEM;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	r->has_fallback = false;
	assign_fixed(w, q, uses, r);
	if (q->strategy == ROUTER_OPTIMAL)
		error = assign_optimal(w, q, uses, r);
	else
		assign_in_turn(w, q,
			       q->strategy == ROUTER_BALANCED
				       ? w->balance_penalty
				       : 0.0,
			       uses, r);
	router_arena_rewind(q->arena, mark);
	r->total_score = r->avg_utilization = 0;
	r->n_assigned = r->models_filtered = 0;
	for (unsigned i = 0; i < q->n_agents; i++)
		if (r->assignments[i].model >= 0) {
			r->total_score += r->assignments[i].final;
			match_sum += r->assignments[i].match;
			r->n_assigned++;
		}
	r->avg_match_score = r->n_assigned ? match_sum / r->n_assigned : 0;
	for (unsigned k = 0; k < q->n_models; k++) {
		r->avg_utilization += q->models[k].utilization;
		r->models_filtered += out_by_load(q, &q->models[k]);
	}
	if (q->n_models)
		r->avg_utilization /= q->n_models;
	clock_gettime(CLOCK_MONOTONIC, &end);
	r->computed_ns = (uint64_t)(end.tv_sec - begin.tv_sec) * 1000000000u +
			 (uint64_t)end.tv_nsec - (uint64_t)begin.tv_nsec;
	return error;
}
