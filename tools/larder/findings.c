/* SPDX-License-Identifier: Apache-2.0 */
/* Findings of check and repair: findings.h. */
#include "findings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

static char *copy(const char *text)
{
	size_t n = strlen(text) + 1;

	return memcpy(cli_alloc(n), text, n);
}

void findings_add(void *context, enum larder_severity severity,
		  const char *where, const char *what)
{
	struct findings *f = context;

	if (severity == LARDER_PENDING && !f->notes)
		return;
	if (f->n >= f->limit) {
		f->n_more++;
		return;
	}
	if (f->n == f->room) {
		f->room = f->room ? f->room * 2 : 64;
		f->list = cli_grow(f->list, f->room * sizeof *f->list);
	}
	f->list[f->n++] = (struct found){
		.severity = severity,
		.where = copy(where),
		.what = copy(what),
	};
}

void findings_print(struct findings *f)
{
	if (cli.json)
		json_begin_list("findings");
	for (size_t i = 0; i < f->n; i++) {
		struct found *found = &f->list[i];
		bool damage = found->severity == LARDER_DAMAGE;

		if (cli.json) {
			json_begin(NULL);
			json_text("severity", damage ? "damage" : "pending");
			json_text("where", found->where);
			json_text("what", found->what);
			json_end();
		} else {
			printf("%s: %s: %s\n", damage ? "damage" : "note",
			       found->where, found->what);
		}
		free(found->where);
		free(found->what);
	}
	if (cli.json) {
		json_end_list();
		json_number("findings_not_listed", f->n_more);
	} else if (f->n_more) {
		printf("and %" PRIu64 " more (--limit)\n", f->n_more);
	}
	free(f->list);
	f->list = NULL;
	f->n = f->room = 0;
}

void findings_result(const struct larder_check_result *r)
{
	if (cli.json) {
		json_number("entries", r->n_entries);
		json_number("damage", r->n_damage);
		json_number("pending", r->n_pending);
		json_number("groups", r->n_groups_seen);
		json_number("pages", r->n_pages_seen);
		json_number("slots", r->n_slots_seen);
		json_bool("clean", r->n_damage == 0);
		return;
	}
	printf("%" PRIu64 " entries, %" PRIu64 " groups, %" PRIu64
	       " pages, %" PRIu64 " slots: ",
	       r->n_entries, r->n_groups_seen, r->n_pages_seen,
	       r->n_slots_seen);
	if (r->n_damage)
		printf("%" PRIu64 " damaged", r->n_damage);
	else
		printf("no damage");
	printf(", %" PRIu64 " notes on unfinished work\n", r->n_pending);
}
