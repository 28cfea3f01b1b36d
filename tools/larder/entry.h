/* SPDX-License-Identifier: Apache-2.0 */
/* What an inspector knows of an entry, and how it is printed. */
#ifndef LARDER_TOOL_ENTRY_H
#define LARDER_TOOL_ENTRY_H

#include "cli.h"
#include "table.h"

struct entry_facts {
	bool found;
	uint64_t stamp;
	unsigned counter, in_main; /* of the CLOCK */
	char **tags;		   /* escaped, owned */
	size_t n_tags;
};

/* Of the entry that the last walk returned. */
void entry_facts_take(struct larder_inspector *in,
		      const struct larder_walk_entry *e,
		      struct entry_facts *facts);
void entry_facts_drop(struct entry_facts *facts);

/* Look the key up by a walk, without counting a hit. */
void entry_find(const struct cli_verb *verb, const char *segment,
		const void *key, size_t n_key, struct entry_facts *facts);

/* "keep,counter" or "-", into 64 bytes. */
char *entry_flags(char *text, uint32_t flags, bool valid);
/* All tags with spaces between; the caller frees it. */
char *entry_tags(const struct entry_facts *facts);

/* Members of the open JSON object; rows of a property table. */
void entry_json(const struct larder_info *info,
		const struct entry_facts *facts);
void entry_properties(struct table *t, const struct larder_info *info,
		      const struct entry_facts *facts);

#endif
