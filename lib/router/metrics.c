/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics: one cell a worker slot, in a region of the segment, so that
 * whichever worker is asked answers for all, and a worker's death loses
 * nothing. Latencies are log-linear: four steps an octave.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <larder/admin.h>

#include "router/router.h"

struct metrics *router_cell(struct router *r)
{
	int slot = r->cache ? larder_worker_slot(r->cache) : -1;

	if (slot < 0 || (uint32_t)slot >= r->n_cells)
		return &r->own_metrics;
	return (struct metrics *)((char *)r->cells +
				  (size_t)slot * r->cell_stride);
}

/* Octaves that are told apart: from a quarter of a microsecond to a minute. */
enum { FIRST_OCTAVE = 8, LAST_OCTAVE = 35 };
_Static_assert(HISTOGRAM_BUCKETS == 4 * (LAST_OCTAVE - FIRST_OCTAVE + 1) + 1,
	       "what is below is one bucket");

static unsigned bucket_of(uint64_t ns)
{
	unsigned octave;

	if (ns < UINT64_C(1) << FIRST_OCTAVE)
		return 0;
	octave = 63u - (unsigned)__builtin_clzll(ns);
	if (octave > LAST_OCTAVE)
		return HISTOGRAM_BUCKETS - 1;
	return 1 + (octave - FIRST_OCTAVE) * 4 +
	       (unsigned)(ns >> (octave - 2) & 3);
}

/* The least value beyond the bucket. */
static uint64_t bucket_end(unsigned b)
{
	return b ? ((uint64_t)5 + (b - 1) % 4)
			       << (FIRST_OCTAVE - 2 + (b - 1) / 4)
		 : UINT64_C(1) << FIRST_OCTAVE;
}

static void add(atomic_u64 *c, uint64_t n)
{
	fetch_add_relaxed(c, n);
}

void router_observe(struct router *r, enum router_strategy strategy,
		    enum router_cache_status status, uint64_t ns)
{
	struct metrics *m = router_cell(r);
	unsigned kind = status == ROUTER_HIT || status == ROUTER_STALE ? 0
			: status == ROUTER_BYPASS		       ? 2
								       : 1;
	struct histogram *h = &m->latency[strategy % ROUTER_STRATEGIES][kind];

	add(&m->requests[strategy % ROUTER_STRATEGIES], 1);
	add(&m->status[strategy % ROUTER_STRATEGIES][status % 5], 1);
	add(&h->bucket[bucket_of(ns) % HISTOGRAM_BUCKETS], 1);
	add(&h->sum_ns, ns);
}

/* The sum of one counter, named by its place in a cell, over all cells. */
static uint64_t sum(const struct router *r, size_t offset)
{
	uint64_t n = *(
		const uint64_t *)(const void *)((const char *)&r->own_metrics +
						offset);

	for (uint32_t i = 0; i < r->n_cells; i++)
		n += load_relaxed(
			(const atomic_u64 *)(const void *)((const char *)
								   r->cells +
							   i * r->cell_stride +
							   offset));
	return n;
}
#define SUM(r, member) sum(r, offsetof(struct metrics, member))

static size_t latency_of_kind(unsigned strategy, unsigned kind)
{
	return offsetof(struct metrics, latency) +
	       (strategy * LATENCY_KINDS + kind) * sizeof(struct histogram);
}

static uint64_t quantile(const struct router *r, unsigned s, unsigned kind,
			 double q)
{
	size_t base = latency_of_kind(s, kind);
	uint64_t bucket[HISTOGRAM_BUCKETS], n = 0, seen = 0;

	for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++)
		n += bucket[b] = sum(r, base + b * sizeof(uint64_t));
	for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++) {
		seen += bucket[b];
		if (seen && (double)seen >= q * (double)n)
			return bucket_end(b);
	}
	return 0;
}

static void stats_of(struct router *r, unsigned s, struct text *t)
{
	static const char *const kinds[LATENCY_KINDS] = {"hits", "misses",
							 "bypasses"};

	router_text_format(t, "\"%s\":{\"requests\":%llu",
			   router_strategy_name(s),
			   (unsigned long long)SUM(r, requests[s]));
	for (unsigned k = 0; k < 5; k++)
		router_text_format(t, ",\"%s\":%llu",
				   router_cache_status_name(k),
				   (unsigned long long)SUM(r, status[s][k]));
	router_text_format(t,
			   ",\"refused_stores\":%llu,\"compute_ns\":%llu,"
			   "\"compute_saved_ns\":%llu,\"latency_us\":{",
			   (unsigned long long)SUM(r, refused[s]),
			   (unsigned long long)SUM(r, compute_ns[s]),
			   (unsigned long long)SUM(r, saved_ns[s]));
	for (unsigned k = 0; k < LATENCY_KINDS; k++)
		router_text_format(
			t, "%s\"%s\":{\"p50\":%.1f,\"p95\":%.1f,\"p99\":%.1f}",
			k ? "," : "", kinds[k],
			(double)quantile(r, s, k, 0.50) / 1e3,
			(double)quantile(r, s, k, 0.95) / 1e3,
			(double)quantile(r, s, k, 0.99) / 1e3);
	router_text_string(t, "}}");
}

int router_stats(struct router *r, char **json, size_t *n_json)
{
	struct text t = {0};
	uint64_t counters[64];
	struct larder_usage usage = {.size_of = sizeof usage};
	int error = router_catalog_current(r);

	if (error)
		return error;
	router_text_format(
		&t,
		"{\"catalog\":{\"version\":%llu,\"models\":%zu,"
		"\"agents\":%zu},\"warming\":{\"left\":%u,\"total\":%u},"
		"\"strategies\":{",
		(unsigned long long)r->catalog.number,
		json_array_size(json_object_get(r->catalog.document, "models")),
		json_array_size(json_object_get(r->catalog.document, "agents")),
		(unsigned)SUM(r, warm_left), (unsigned)SUM(r, warm_total));
	for (unsigned s = 0; s < ROUTER_STRATEGIES; s++) {
		if (s)
			router_text_string(&t, ",");
		stats_of(r, s, &t);
	}
	router_text_string(&t, "}");
	if (r->cache && !larder_usage(r->cache, &usage)) {
		larder_counters(r->cache, counters, 64);
		router_text_format(&t,
				   ",\"cache\":{\"bytes_total\":%llu,"
				   "\"bytes_used\":%llu,\"entries\":%llu,"
				   "\"workers\":%llu",
				   (unsigned long long)usage.bytes_total,
				   (unsigned long long)usage.bytes_used,
				   (unsigned long long)usage.n_entries,
				   (unsigned long long)usage.n_workers);
		for (size_t k = 0; k < larder_n_counters() && k < 64; k++)
			router_text_format(&t, ",\"%s\":%llu",
					   larder_counter_name(k),
					   (unsigned long long)counters[k]);
		router_text_string(&t, "}");
	}
	router_text_string(&t, "}");
	*json = t.bytes;
	*n_json = t.n;
	return t.failed ? -ENOMEM : 0;
}

/* ------------------------------------------------------------------ */
/* Prometheus' text format                                             */

static void head(struct text *t, const char *name, const char *type,
		 const char *help)
{
	router_text_format(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
			   type);
}

static void by_strategy(struct router *r, struct text *t, const char *name,
			const char *help, size_t offset, double scale)
{
	head(t, name, "counter", help);
	for (unsigned s = 0; s < ROUTER_STRATEGIES; s++)
		router_text_format(t, "%s{strategy=\"%s\"} %.9g\n", name,
				   router_strategy_name(s),
				   (double)sum(r, offset + s * 8) * scale);
}

static void latencies(struct router *r, struct text *t)
{
	static const char *const kinds[LATENCY_KINDS] = {"hit", "miss",
							 "bypass"};
	const char *name = "larder_router_latency_seconds";

	head(t, name, "histogram",
	     "Time from the complete request to the ready response");
	for (unsigned s = 0; s < ROUTER_STRATEGIES; s++)
		for (unsigned k = 0; k < LATENCY_KINDS; k++) {
			size_t base = latency_of_kind(s, k);
			uint64_t n = 0;

			for (unsigned b = 0; b < HISTOGRAM_BUCKETS; b++) {
				n += sum(r, base + b * 8);
				/* whole octaves from 1 us to 17 s */
				if (b % 4 || b < 8 || b > 104)
					continue;
				router_text_format(
					t,
					"%s_bucket{strategy=\"%s\",cache="
					"\"%s\",le=\"%.9g\"} %llu\n",
					name, router_strategy_name(s), kinds[k],
					(double)bucket_end(b) / 1e9,
					(unsigned long long)n);
			}
			router_text_format(
				t,
				"%s_bucket{strategy=\"%s\",cache=\"%s\",le="
				"\"+Inf\"} %llu\n%s_sum{strategy=\"%s\","
				"cache=\"%s\"} %.9g\n%s_count{strategy="
				"\"%s\",cache=\"%s\"} %llu\n",
				name, router_strategy_name(s), kinds[k],
				(unsigned long long)n, name,
				router_strategy_name(s), kinds[k],
				(double)sum(r, base + HISTOGRAM_BUCKETS * 8) /
					1e9,
				name, router_strategy_name(s), kinds[k],
				(unsigned long long)n);
		}
}

/* A label's value has three escapes, and no others. */
static void label(struct text *t, const char *value)
{
	router_text_string(t, "\"");
	for (; *value; value++)
		if (*value == '\n')
			router_text_string(t, "\\n");
		else if (*value == '"' || *value == '\\')
			router_text_add(t, (char[]){'\\', *value}, 2);
		else
			router_text_add(t, value, 1);
	router_text_string(t, "\"");
}

/* One figure of every model. */
static void of_models(struct router *r, const struct router_request *q,
		      struct text *t, const char *name, const char *more,
		      double (*figure)(const struct router_model *m,
				       const struct load_slot *s))
{
	for (unsigned i = 0; i < q->n_models; i++) {
		const struct router_model *m = &q->models[i];

		router_text_string(t, name);
		router_text_string(t, "{model=");
		label(t, m->id);
		router_text_string(t, more);
		router_text_format(
			t, "} %.9g\n",
			figure(m, router_load_slot(r, m->id, false)));
	}
}

static double active_of(const struct router_model *m, const struct load_slot *s)
{
	(void)s;
	return (double)m->active;
}

static double queue_of(const struct router_model *m, const struct load_slot *s)
{
	(void)s;
	return (double)m->queue;
}

static double utilization_of(const struct router_model *m,
			     const struct load_slot *s)
{
	(void)s;
	return m->utilization;
}

static double success_of(const struct router_model *m,
			 const struct load_slot *s)
{
	(void)m;
	return router_success(s);
}

static double good_of(const struct router_model *m, const struct load_slot *s)
{
	(void)m;
	return s ? (double)(load_relaxed(&s->outcomes) -
			    load_relaxed(&s->failures))
		 : 0;
}

static double failures_of(const struct router_model *m,
			  const struct load_slot *s)
{
	(void)m;
	return s ? (double)load_relaxed(&s->failures) : 0;
}

static double latency_of(const struct router_model *m,
			 const struct load_slot *s)
{
	(void)m;
	return s ? (double)load_relaxed(&s->latency_us) / 1e6 : 0;
}

static double latencies_of(const struct router_model *m,
			   const struct load_slot *s)
{
	(void)m;
	return s ? (double)load_relaxed(&s->n_latencies) : 0;
}

static void models(struct router *r, struct text *t)
{
	struct router_request *q;
	struct router_error e;
	const char *name;

	if (router_request_parse(r, "{}", 2, &q, &e)) {
		t->failed = true;
		return;
	}
	router_load_apply(r, q);
	head(t, "larder_router_model_active", "gauge",
	     "Requests that a model is working on, as reported");
	of_models(r, q, t, "larder_router_model_active", "", active_of);
	head(t, "larder_router_model_queue", "gauge",
	     "Requests that wait for a model, as reported");
	of_models(r, q, t, "larder_router_model_queue", "", queue_of);
	head(t, "larder_router_model_utilization", "gauge",
	     "Active requests over the most a model takes");
	of_models(r, q, t, "larder_router_model_utilization", "",
		  utilization_of);
	head(t, "larder_router_model_success_ratio", "gauge",
	     "Share of a model's reported outcomes that were good, averaged "
	     "over about a hundred");
	of_models(r, q, t, "larder_router_model_success_ratio", "", success_of);
	name = "larder_router_model_outcomes_total";
	head(t, name, "counter", "Outcomes reported for a model");
	of_models(r, q, t, name, ",outcome=\"success\"", good_of);
	of_models(r, q, t, name, ",outcome=\"failure\"", failures_of);
	name = "larder_router_model_latency_seconds";
	head(t, name, "summary", "Time that a model took, as reported");
	of_models(r, q, t, "larder_router_model_latency_seconds_sum", "",
		  latency_of);
	of_models(r, q, t, "larder_router_model_latency_seconds_count", "",
		  latencies_of);
	router_request_free(q);
}

static void cache_counters(struct router *r, struct text *t)
{
	struct larder_usage usage = {.size_of = sizeof usage};
	uint64_t counters[64];
	char name[96];

	if (!r->cache || larder_usage(r->cache, &usage))
		return;
	larder_counters(r->cache, counters, 64);
	for (size_t k = 0; k < larder_n_counters() && k < 64; k++) {
		const char *own = larder_counter_name(k);
		size_t n = strlen(own);
		/* Prometheus counts time in seconds. */
		bool ns = n > 3 && !strcmp(own + n - 3, "_ns");

		snprintf(name, sizeof name, "larder_%.*s%s_total",
			 (int)(ns ? n - 3 : n), own, ns ? "_seconds" : "");
		head(t, name, "counter", larder_counter_help(k));
		if (ns)
			router_text_format(t, "%s %.9g\n", name,
					   (double)counters[k] / 1e9);
		else
			router_text_format(t, "%s %llu\n", name,
					   (unsigned long long)counters[k]);
	}
	head(t, "larder_entries", "gauge", "Live entries");
	router_text_format(t, "larder_entries %llu\n",
			   (unsigned long long)usage.n_entries);
	head(t, "larder_used_bytes", "gauge", "Bytes of live entries");
	router_text_format(t, "larder_used_bytes %llu\n",
			   (unsigned long long)usage.bytes_used);
	head(t, "larder_size_bytes", "gauge", "Bytes of the segment");
	router_text_format(t, "larder_size_bytes %llu\n",
			   (unsigned long long)usage.bytes_total);
	head(t, "larder_workers", "gauge", "Attached threads");
	router_text_format(t, "larder_workers %llu\n",
			   (unsigned long long)usage.n_workers);
}

int router_metrics(struct router *r, char **text, size_t *n_text)
{
	struct text t = {0};
	int error = router_catalog_current(r);

	if (error)
		return error;
	by_strategy(r, &t, "larder_router_requests_total", "Questions answered",
		    offsetof(struct metrics, requests), 1);
	head(&t, "larder_router_answers_total", "counter",
	     "Answers by how the cache took part");
	for (unsigned s = 0; s < ROUTER_STRATEGIES; s++)
		for (unsigned k = 0; k < 5; k++)
			router_text_format(
				&t,
				"larder_router_answers_total{strategy="
				"\"%s\",cache=\"%s\"} %llu\n",
				router_strategy_name(s),
				router_cache_status_name(k),
				(unsigned long long)SUM(r, status[s][k]));
	by_strategy(r, &t, "larder_router_refused_stores_total",
		    "Results that came too late to be stored",
		    offsetof(struct metrics, refused), 1);
	by_strategy(r, &t, "larder_router_compute_seconds_total",
		    "Time spent computing assignments",
		    offsetof(struct metrics, compute_ns), 1e-9);
	by_strategy(r, &t, "larder_router_compute_saved_seconds_total",
		    "Computing time that hits saved",
		    offsetof(struct metrics, saved_ns), 1e-9);
	latencies(r, &t);
	models(r, &t);
	cache_counters(r, &t);
	*text = t.bytes;
	*n_text = t.n;
	return t.failed ? -ENOMEM : 0;
}

int router_preview(struct router *r, char kind, const char *text, size_t n_text,
		   uint64_t *n_entries, uint64_t *n_bytes)
{
	struct larder_inspector *inspector;
	int error = larder_inspect(larder_path(r->cache), &inspector);

	if (error)
		return error;
	error = larder_inspect_preview(inspector, kind, text, n_text,
				       LARDER_MATCH_EITHER, n_entries, n_bytes);
	larder_inspect_close(inspector);
	return error;
}
