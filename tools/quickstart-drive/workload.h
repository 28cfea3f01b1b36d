/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked, and how often: request bodies and the order they are sent in.
 *
 * A workload owns its distinct bodies and a sequence of indices into them; with
 * due times it is meant to be sent at these moments, without as fast as
 * answers come. The same seed makes the same workload, byte for byte.
 */
#ifndef QUICKSTART_WORKLOAD_H
#define QUICKSTART_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct body {
	char *text; /* JSON, owned */
	uint32_t n_text;
	uint32_t n_agents; /* 0: those of the catalog */
	uint32_t n_models; /* the same */
	char score[32];	   /* total_score of its first answer; "" before */
};

struct workload {
	struct body *bodies;
	uint32_t n_bodies;
	uint32_t *order;  /* indices into bodies */
	uint64_t *due_ns; /* since the start, ascending; NULL: closed loop */
	uint32_t n_order;
	double recorded_seconds; /* of a trace, before it was scaled */
};

/* Which requests a workload is made of. */
enum shape {
	SHAPE_MIXED, /* 3 x 5 to 100 x 50, all strategies, some catalog */
	SHAPE_LARGE, /* optimal, 100 agents x 50 models */
	SHAPE_SMALL, /* greedy, 3 x 5: cheaper to compute than to find */
};

/* One body of a given size; 0 models: those of the catalog. False: out of
 * memory. The caller frees its text. */
bool body_make(struct body *b, const char *strategy, uint32_t n_agents,
	       uint32_t n_models, uint64_t seed);

/*
 * @n requests over @n_distinct bodies. The popularity is that of a published
 * query log (1.03 million queries, 167 thousand of them distinct): the top 10,
 * 100, 1,000 and 10,000 make 28, 42, 52 and 65 % of the requests. With
 * @n_distinct == @n each is asked once. False: out of memory.
 */
bool workload_make(struct workload *w, enum shape shape, uint32_t n,
		   uint32_t n_distinct, uint64_t seed);

/*
 * A recorded trace, by content: lines of JSON with "timestamp" and "hash_ids"
 * (a request is named by its first two blocks) or without (named by its other
 * members); arrivals, of which the first line is TIMESTAMP,... (who asks what
 * is drawn by popularity); or one count a line (how often the k-th query was
 * asked). Times are scaled so that the whole takes @seconds; counts have none.
 * Files ending in .zst, .gz and .xz are unpacked by zstd, gzip and xz.
 *
 * Return: 0, or -1 with a sentence in @why.
 */
int workload_read_trace(struct workload *w, const char *path, double seconds,
			uint32_t n_most, uint64_t seed, char *why,
			size_t n_why);

void workload_free(struct workload *w);

/* Distinct requests per request in the published log. */
#define WORKLOAD_DISTINCT (167005.0 / 1030577.0)

/* Of the largest shape at most so many, however fast the machine is: a site has
 * only so many fleets of agents, and their answers fit the default segment. */
enum { WORKLOAD_LARGE_MOST = 500 };

/* For the readers of traces: bodies in the order of their numbers. */
bool workload_bodies(struct workload *w, enum shape shape, uint32_t n,
		     uint64_t seed);
uint64_t random_next(uint64_t *state);
double random_unit(uint64_t *state);

#endif
