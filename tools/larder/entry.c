/* SPDX-License-Identifier: Apache-2.0 */
/* What an inspector knows of an entry: entry.h. */
#include "entry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "json.h"

void entry_facts_take(struct larder_inspector *in,
		      const struct larder_walk_entry *e,
		      struct entry_facts *facts)
{
	const char *text;
	size_t n_text;

	memset(facts, 0, sizeof *facts);
	facts->found = true;
	facts->stamp = e->stamp;
	larder_inspect_clock(in, &facts->counter, &facts->in_main);
	facts->tags = cli_alloc((e->info.n_tags + 1) * sizeof *facts->tags);
	for (uint32_t i = 0; i < e->info.n_tags; i++)
		if (larder_inspect_tag(in, i, &text, &n_text) == 0)
			facts->tags[facts->n_tags++] =
				format_escape(text, n_text);
}

void entry_facts_drop(struct entry_facts *facts)
{
	for (size_t i = 0; i < facts->n_tags; i++)
		free(facts->tags[i]);
	free(facts->tags);
	facts->tags = NULL;
	facts->n_tags = 0;
}

void entry_find(const struct cli_verb *verb, const char *segment,
		const void *key, size_t n_key, struct entry_facts *facts)
{
	struct larder_inspector *in = cli_inspect(verb, segment, NULL);
	struct larder_walk_entry *e = cli_alloc(sizeof *e);
	uint64_t cursor = 0;

	memset(facts, 0, sizeof *facts);
	e->size_of = sizeof *e;
	while (in && !facts->found &&
	       larder_inspect_walk(in, &cursor, e) == LARDER_OK)
		if (e->n_key == n_key && !memcmp(e->key, key, n_key))
			entry_facts_take(in, e, facts);
	larder_inspect_close(in);
	free(e);
}

char *entry_flags(char *text, uint32_t flags, bool valid)
{
	snprintf(text, 64, "%s%s%s%s%s", flags & LARDER_KEEP ? ",keep" : "",
		 flags & LARDER_NEGATIVE ? ",negative" : "",
		 flags & LARDER_COUNTER ? ",counter" : "",
		 flags & LARDER_REGION ? ",region" : "",
		 valid ? "" : ",invalid");
	if (!*text)
		snprintf(text, 64, ",-");
	memmove(text, text + 1, strlen(text));
	return text;
}

char *entry_tags(const struct entry_facts *facts)
{
	size_t n = 2;
	char *all, *at;

	for (size_t i = 0; i < facts->n_tags; i++)
		n += strlen(facts->tags[i]) + 1;
	at = all = cli_alloc(n);
	for (size_t i = 0; i < facts->n_tags; i++)
		at += snprintf(at, n - (size_t)(at - all), "%s%s", i ? " " : "",
			       facts->tags[i]);
	if (!facts->n_tags)
		snprintf(all, n, "-");
	return all;
}

static void json_time(const char *name, uint64_t ms)
{
	if (ms == UINT64_MAX)
		json_null(name);
	else
		json_number(name, ms);
}

void entry_json(const struct larder_info *info, const struct entry_facts *facts)
{
	json_number("value_bytes", info->n_value);
	json_number("version", info->version);
	json_number("age_ms", info->age_ms);
	json_time("soft_left_ms", info->soft_left_ms);
	json_time("ttl_left_ms", info->ttl_left_ms);
	json_number("cost_ns", info->cost_ns);
	json_number("hits", info->hits);
	json_number("stored_by_pid", info->stored_by_pid);
	json_bool("keep", info->flags & LARDER_KEEP);
	json_bool("negative", info->flags & LARDER_NEGATIVE);
	json_bool("counter", info->flags & LARDER_COUNTER);
	json_bool("region", info->flags & LARDER_REGION);
	if (!facts->found)
		return;
	json_number("stamp", facts->stamp);
	json_number("clock", facts->counter);
	json_bool("in_main", facts->in_main);
	json_begin_list("tags");
	for (size_t i = 0; i < facts->n_tags; i++)
		json_text(NULL, facts->tags[i]);
	json_end_list();
}

void entry_properties(struct table *t, const struct larder_info *info,
		      const struct entry_facts *facts)
{
	char text[64], *tags;

	table_property(t, "flags", "%s", entry_flags(text, info->flags, true));
	if (!facts->found)
		return; /* went meanwhile */
	table_property(t, "stamp", "%" PRIu64, facts->stamp);
	table_property(t, "recent hits", "%u of 3, %s", facts->counter,
		       facts->in_main ? "main part" : "on probation");
	tags = entry_tags(facts);
	table_row(t);
	table_text(t, "tags");
	table_text(t, tags);
	free(tags);
}
