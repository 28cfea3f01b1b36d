/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `larder-bench freshness` measures, and where the figures go.
 *
 * A figure is a name, a unit and one value a repeat; two of a pair are measured
 * one right after the other in the same repeat, and their ratio is formed there
 * before any median is.
 */
#ifndef BENCH_FRESHNESS_H
#define BENCH_FRESHNESS_H

#include "bench.h"

struct larder;

enum {
	FRESHNESS_KEY = 16,	/* bytes of a key */
	FRESHNESS_TAG = 16,	/* room for a tag's text */
	FRESHNESS_VALUES = 501, /* of one figure, at most */
	FRESHNESS_FIGURES = 24,
};

struct figure {
	char name[48];
	const char *unit;
	unsigned n;
	double value[FRESHNESS_VALUES];
};

struct figures {
	unsigned n;
	struct figure figure[FRESHNESS_FIGURES];
};

struct freshness_plan {
	uint64_t n_keys; /* of the many keys that are hit at random */
	uint32_t value_size;
	uint64_t rate; /* invalidations a second */
	double seconds;
	unsigned repeats;
};

/* Append a value to the figure of this name and unit. */
void figure_add(struct figures *all, const char *name, const char *unit,
		double value);

/* A segment without a name of at least so many bytes; NULL: complained. */
struct larder *freshness_segment(uint64_t n_bytes);

/* Keys and tags by number. */
void freshness_key(uint64_t id, char key[FRESHNESS_KEY]);
size_t freshness_tag(const char *kind, uint64_t id, char tag[FRESHNESS_TAG]);

/* Store entry @id with @n_tags tags, or without; false: complained. */
bool freshness_put(struct larder *h, uint64_t id, uint32_t n_tags,
		   uint32_t value_size);

/* The parts; each adds its figures. False: complained. */
bool freshness_of_tags(const struct freshness_plan *plan, struct figures *to);
bool freshness_of_storm(const struct freshness_plan *plan, struct figures *to);
bool freshness_of_cost(const struct freshness_plan *plan, struct figures *to);
bool freshness_of_deaths(const struct freshness_plan *plan, struct figures *to);

#endif
