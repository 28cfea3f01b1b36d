/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hit-work TAGS HITS: put a few entries of TAGS tags, then get them HITS times,
 * every get a hit. What these gets cost is counted from outside, by hit_cost.py
 * under a tool that collects inside larder_get() only. The entries have been
 * got before counting matters: reference counters are as high as they go.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"

enum { KEYS = 32, KEY = 16, VALUE = 64, TEXT = 16 };

static void put(struct larder *h, uint32_t key, uint32_t n_tags)
{
	static struct larder_tag tags[LARDER_TAGS_MAX];
	static char texts[LARDER_TAGS_MAX][TEXT];
	struct larder_put_options o = {
		.size_of = sizeof o, .tags = tags, .n_tags = n_tags};
	char name[KEY + 1], value[VALUE] = {0};

	snprintf(name, sizeof name, "key-%012u", key);
	for (uint32_t i = 0; i < n_tags; i++) {
		tags[i].text = texts[i];
		tags[i].n_text =
			(size_t)snprintf(texts[i], TEXT, "tag-%u-%u", key, i);
	}
	need(larder_put(h, name, KEY, value, VALUE, &o) == LARDER_OK, "put");
}

int main(int argc, char **argv)
{
	struct larder_create_options create = {.size_of = sizeof create};
	struct larder *h = segment(&create);
	unsigned long n_tags = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned long n_hits = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
	char value[VALUE], name[KEYS][KEY + 1];
	size_t n_value;

	need(n_tags <= LARDER_TAGS_MAX, "at most LARDER_TAGS_MAX tags");
	for (uint32_t i = 0; i < KEYS; i++) {
		put(h, i, (uint32_t)n_tags);
		snprintf(name[i], sizeof name[i], "key-%012u", i);
	}
	for (unsigned long i = 0; i < n_hits; i++)
		need(larder_get(h, name[i % KEYS], KEY, value, VALUE,
				&n_value) == LARDER_OK &&
			     n_value == VALUE,
		     "a hit");
	larder_close(h);
	return 0;
}
