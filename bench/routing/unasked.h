/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions that nobody asked before and nobody asks again, to routers that
 * were started for them: what a cache costs that is of no use.
 */
#ifndef LARDER_BENCH_UNASKED_H
#define LARDER_BENCH_UNASKED_H

#include <jansson.h>

#include "options.h"

struct unasked;

/* Measure: for each size and repeat a router with its cache and one without,
 * both fresh, get the same questions, phase by phase. NULL: complained. */
struct unasked *unasked_measure(const struct bench_options *o, char *program);
void unasked_free(struct unasked *u);

/* [{"agents", "models", "phases": [{"name", "requests", "stored", "cpu_ns",
 * "no_cache_cpu_ns", "ratio"}]}] */
json_t *unasked_json(const struct unasked *u);
void unasked_print(const struct unasked *u);
void unasked_print_csv(const struct unasked *u);

#endif
