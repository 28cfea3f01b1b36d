/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The figures and how they are derived. Rates are of what was looked up: the
 * requests that the router bypasses, because they are too small for a cache to
 * make them faster, or new where little repeats, stand apart. Latencies are as
 * the client sees them, processor time and memory those of the server's
 * processes.
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

enum { MEBIBYTE = 1 << 20 };

/* Everything that is said of one pair. */
struct figures {
	double looked_up, hits, hit_rate, cross_rate, bypassed;
	double hit_p50, hit_p99, miss_p50, miss_p99;
	double with_mean, with_p50, with_p99;
	double without_mean, without_p50, without_p99;
	double rate_with, rate_without;
	double cpu_saved, cached_mean;
};

/* A promise, the least that holds, and what was seen. */
struct promise {
	const char *what;
	const char *least;
	double seen;
	const char *unit;
	bool kept;
	bool measured;
};

enum { N_PROMISES = 8 };

static double mean_ns(const struct samples *s)
{
	double sum = 0;

	for (uint32_t i = 0; i < s->n; i++)
		sum += (double)s->ns[i];
	return s->n ? sum / s->n : 0;
}

static double rate(const struct load_result *r)
{
	return r->wall_ns ? (double)r->n_requests * 1e9 / (double)r->wall_ns
			  : 0;
}

static void all_samples(const struct load_result *r, struct samples *all)
{
	*all = (struct samples){0};
	for (int i = 0; i < N_ANSWERS; i++)
		samples_merge(all, &r->latency[i]);
	samples_sort(all);
}

static void figures(struct pair *p, struct figures *f)
{
	struct samples *hit = &p->with.latency[ANSWER_HIT];
	struct samples *miss = &p->with.latency[ANSWER_MISS];
	struct samples with, without;

	*f = (struct figures){0};
	samples_sort(hit);
	samples_sort(miss);
	all_samples(&p->with, &with);
	all_samples(&p->without, &without);
	f->bypassed = p->with.latency[ANSWER_BYPASS].n;
	f->looked_up = (double)with.n - f->bypassed;
	f->hits = hit->n + p->with.latency[ANSWER_STALE].n +
		  p->with.latency[ANSWER_COALESCED].n;
	f->hit_rate = f->looked_up > 0 ? 100 * f->hits / f->looked_up : 0;
	f->cross_rate =
		hit->n ? 100.0 * (double)p->with.n_cross_worker / hit->n : 0;
	f->hit_p50 = (double)samples_quantile(hit, 0.5);
	f->hit_p99 = (double)samples_quantile(hit, 0.99);
	f->miss_p50 = (double)samples_quantile(miss, 0.5);
	f->miss_p99 = (double)samples_quantile(miss, 0.99);
	f->cached_mean = mean_ns(hit);
	f->with_mean = mean_ns(&with);
	f->with_p50 = (double)samples_quantile(&with, 0.5);
	f->with_p99 = (double)samples_quantile(&with, 0.99);
	f->without_mean = mean_ns(&without);
	f->without_p50 = (double)samples_quantile(&without, 0.5);
	f->without_p99 = (double)samples_quantile(&without, 0.99);
	f->rate_with = rate(&p->with);
	f->rate_without = rate(&p->without);
	f->cpu_saved = p->cpu_without_ns
			       ? 100 * (1 - (double)p->cpu_with_ns /
						    (double)p->cpu_without_ns)
			       : 0;
	free(with.ns);
	free(without.ns);
}

static double less(double now, double before)
{
	return before > 0 ? 100 * (1 - now / before) : 0;
}

/* Memory that the cache costs: its segment and what it adds to the workers. */
static double memory_mib(const struct report *r)
{
	return ((double)r->cost_with.segment_bytes +
		(double)r->cost_with.private_bytes -
		(double)r->cost_without.private_bytes) /
	       MEBIBYTE;
}

static void promises(const struct report *r, const struct figures *mixed,
		     const struct figures *large, struct promise *list)
{
	const struct figures *on = r->large.with.n_requests ? large : mixed;
	const struct pair *once = &r->distinct;
	double extra = once->cpu_without_ns
			       ? 100.0 * ((double)once->cpu_with_ns /
						  (double)once->cpu_without_ns -
					  1)
			       : 0;
	double ratio =
		on->rate_without > 0 ? on->rate_with / on->rate_without : 0;
	bool paced = r->speed_up > 0;
	struct promise all[N_PROMISES] = {
		{"hit rate, repeated queries", "> 60 %", mixed->hit_rate, "%",
		 mixed->hit_rate > 60, true},
		{"response time, cached (p99)", "< 10 ms", mixed->hit_p99 / 1e6,
		 "ms", mixed->hit_p99 < 1e7, true},
		{"processor time, nothing repeated", "within 2 %", fabs(extra),
		 extra < 0 ? "% less" : "% more", extra <= 2,
		 once->with.n_requests > 0},
		{"response time, cached queries", "30 to 50 % less",
		 less(on->cached_mean, on->without_mean), "% less",
		 less(on->cached_mean, on->without_mean) >= 30, true},
		{"response time, whole workload", "30 to 50 % less",
		 less(on->with_mean, on->without_mean), "% less",
		 less(on->with_mean, on->without_mean) >= 30, true},
		{"compute load", "40 to 60 % less", on->cpu_saved, "% less",
		 on->cpu_saved >= 40, true},
		{"throughput", "2 to 3 times", ratio, "times", ratio >= 2,
		 !paced},
		{"memory overhead", "< 50 MB", memory_mib(r) * 1.048576, "MB",
		 memory_mib(r) * 1.048576 < 50, true},
	};

	memcpy(list, all, sizeof(all));
}

static int n_missed(const struct promise *list)
{
	int n = 0;

	for (int i = 0; i < N_PROMISES; i++)
		n += list[i].measured && !list[i].kept;
	return n;
}

static void print_pair(FILE *f, struct pair *p, const struct figures *g,
		       bool paced)
{
	fprintf(f, "\n%s: %llu requests, %u distinct\n", p->what,
		(unsigned long long)p->with.n_requests, p->n_distinct);
	fprintf(f, "%-34s %14s %14s\n", "", "without cache", "with cache");
	if (!paced)
		fprintf(f, "  %-32s %14.0f %14.0f   %.1f times\n",
			"requests a second", g->rate_without, g->rate_with,
			g->rate_without > 0 ? g->rate_with / g->rate_without
					    : 0);
	fprintf(f, "  %-32s %11.3f ms %11.3f ms\n", "response time, median",
		g->without_p50 / 1e6, g->with_p50 / 1e6);
	fprintf(f, "  %-32s %11.3f ms %11.3f ms\n", "response time, p99",
		g->without_p99 / 1e6, g->with_p99 / 1e6);
	fprintf(f, "  %-32s %12.2f s %12.2f s   %.0f %% saved\n",
		"processor time of the server", (double)p->cpu_without_ns / 1e9,
		(double)p->cpu_with_ns / 1e9, g->cpu_saved);
	fprintf(f,
		"  hits %.1f %% of %.0f looked up (%.0f bypassed), %.1f %% of "
		"them on another worker's work\n",
		g->hit_rate, g->looked_up, g->bypassed, g->cross_rate);
	fprintf(f, "  a hit %.3f ms (p99 %.3f), a miss %.3f ms (p99 %.3f)\n",
		g->hit_p50 / 1e6, g->hit_p99 / 1e6, g->miss_p50 / 1e6,
		g->miss_p99 / 1e6);
}

int report_print(FILE *f, struct report *r)
{
	struct promise list[N_PROMISES];
	struct figures mixed, large = {0};
	bool paced = r->speed_up > 0;

	figures(&r->mixed, &mixed);
	print_pair(f, &r->mixed, &mixed, paced);
	if (r->large.with.n_requests) {
		figures(&r->large, &large);
		print_pair(f, &r->large, &large, false);
	}
	if (r->distinct.with.n_requests)
		fprintf(f,
			"\n%s: %llu requests, optimal, 100 agents x 50 models\n"
			"  %-32s %12.2f s %12.2f s\n",
			r->distinct.what,
			(unsigned long long)r->distinct.with.n_requests,
			"processor time of the server",
			(double)r->distinct.cpu_without_ns / 1e9,
			(double)r->distinct.cpu_with_ns / 1e9);
	if (paced)
		fprintf(f, "  the trace's clock ran %.1f times as fast\n",
			r->speed_up);
	fprintf(f,
		"\nMemory: segment %.1f MiB; %u processes with the cache "
		"%.1f MiB, without %.1f MiB\n",
		(double)r->cost_with.segment_bytes / MEBIBYTE,
		r->cost_with.n_processes,
		(double)r->cost_with.private_bytes / MEBIBYTE,
		(double)r->cost_without.private_bytes / MEBIBYTE);
	promises(r, &mixed, &large, list);
	fprintf(f, "\n  %-40s %-17s %s\n", "promised", "at least", "measured");
	for (int i = 0; i < N_PROMISES; i++) {
		char seen[48];

		if (!list[i].measured)
			continue;
		snprintf(seen, sizeof(seen), "%.1f %s", list[i].seen,
			 list[i].unit);
		fprintf(f, "  %-40s %-17s %-16s %s\n", list[i].what,
			list[i].least, seen, list[i].kept ? "kept" : "MISSED");
	}
	return n_missed(list);
}

static void json_pair(FILE *f, const char *name, const struct pair *p,
		      const struct figures *g)
{
	fprintf(f,
		"\"%s\":{\"requests\":%llu,\"distinct\":%u,\"failed\":%llu,"
		"\"different\":%llu,\"hit_rate\":%.4f,\"cross_worker\":%.4f,"
		"\"bypassed\":%.0f,\"hit_p50_ns\":%.0f,\"hit_p99_ns\":%.0f,"
		"\"miss_p50_ns\":%.0f,\"miss_p99_ns\":%.0f,"
		"\"without_p50_ns\":%.0f,\"without_p99_ns\":%.0f,"
		"\"per_second\":%.1f,\"without_per_second\":%.1f,"
		"\"cpu_ns\":%llu,\"without_cpu_ns\":%llu},",
		name, (unsigned long long)p->with.n_requests, p->n_distinct,
		(unsigned long long)(p->with.n_failed + p->without.n_failed),
		(unsigned long long)(p->with.n_different +
				     p->without.n_different),
		g->hit_rate / 100, g->cross_rate / 100, g->bypassed, g->hit_p50,
		g->hit_p99, g->miss_p50, g->miss_p99, g->without_p50,
		g->without_p99, g->rate_with, g->rate_without,
		(unsigned long long)p->cpu_with_ns,
		(unsigned long long)p->cpu_without_ns);
}

int report_json(FILE *f, struct report *r)
{
	struct promise list[N_PROMISES];
	struct figures mixed, large = {0}, once = {0};

	figures(&r->mixed, &mixed);
	fprintf(f, "{\"seed\":%llu,", (unsigned long long)r->seed);
	json_pair(f, "mixed", &r->mixed, &mixed);
	if (r->large.with.n_requests) {
		figures(&r->large, &large);
		json_pair(f, "large", &r->large, &large);
	}
	if (r->distinct.with.n_requests) {
		figures(&r->distinct, &once);
		json_pair(f, "distinct", &r->distinct, &once);
	}
	fprintf(f,
		"\"memory\":{\"segment\":%llu,\"workers\":%llu,"
		"\"workers_without\":%llu},\"promises\":[",
		(unsigned long long)r->cost_with.segment_bytes,
		(unsigned long long)r->cost_with.private_bytes,
		(unsigned long long)r->cost_without.private_bytes);
	promises(r, &mixed, &large, list);
	for (int i = 0, n = 0; i < N_PROMISES; i++)
		if (list[i].measured)
			fprintf(f,
				"%s{\"what\":\"%s\",\"least\":\"%s\","
				"\"measured\":%.3f,\"unit\":\"%s\",\"kept\":%"
				"s}",
				n++ ? "," : "", list[i].what, list[i].least,
				list[i].seen, list[i].unit,
				list[i].kept ? "true" : "false");
	fprintf(f, "]}\n");
	return n_missed(list);
}
