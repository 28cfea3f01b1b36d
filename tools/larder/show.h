/* SPDX-License-Identifier: Apache-2.0 */
/* What more than one verb prints. */
#ifndef LARDER_TOOL_SHOW_H
#define LARDER_TOOL_SHOW_H

#include "cli.h"
#include "table.h"

/* Sizes and limits, as a table or as members of the open JSON object. */
void show_layout(struct table *t, const struct larder_segment_info *info);

/* Gauges and counters at one moment. */
struct sample {
	struct larder_usage usage;
	struct larder_segment_info info;
	uint64_t *counters; /* owned */
	double seconds;	    /* of the monotonic clock */
};
void sample_take(struct larder_inspector *in, struct sample *sample);
void sample_drop(struct sample *sample);

/* Statistics, with rates since @before unless that is NULL. */
void show_stat(const char *path, const struct sample *now,
	       const struct sample *before);

/* A verb that lists one kind of thing: the document or table it goes into, NULL
 * if that is JSON; and its end, and the inspector's. */
struct table *show_list(const char *name, const struct table_column *columns);
int show_list_end(struct larder_inspector *in, struct table *t);

/* hits / (hits + misses); 0 if there was neither. */
double hit_ratio(const uint64_t *counters);

#endif
