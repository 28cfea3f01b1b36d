/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifying a segment, read-only: collect suspicions, look again, report what
 * stands still (check.h). Each loop is bounded by the tables' sizes, which the
 * validated superblock gives.
 */
#include "admin/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 5, PAUSE_MS = 10, MOST_SUSPICIONS = 1 << 20 };

static void check_file(struct check *c)
{
	if (c->in->n_file < c->s->bytes)
		damage(c, 0,
		       "the file has %llu of the segment's %llu bytes: what is "
		       "missing is taken for zeroes",
		       (unsigned long long)c->in->n_file,
		       (unsigned long long)c->s->bytes);
}

static const struct {
	const char *name;
	void (*look)(struct check *c);
} kinds[CHECK_KINDS] = {
	[CHECK_FILE] = {"file", check_file},
	[CHECK_HOT] = {"hot words", larder_check_hot},
	[CHECK_SLOT] = {"slot", larder_check_slot},
	[CHECK_POOL] = {"pool", larder_check_pool},
	[CHECK_GROUP] = {"group", larder_check_group},
	[CHECK_PAGE] = {"page", larder_check_page},
	[CHECK_TAG_SET] = {"tag set", larder_check_tag_set},
	[CHECK_KEY_SET] = {"key set", larder_check_key_set},
	[CHECK_RING] = {"ring", larder_check_ring},
	[CHECK_PATTERN] = {"pattern", larder_check_pattern},
	[CHECK_FLIGHT] = {"flight", larder_check_flight},
};

static uint64_t items_of(const struct segment *s, enum check_kind kind)
{
	switch (kind) {
	case CHECK_SLOT:
		return s->n_slots;
	case CHECK_POOL:
		return MAX_CLASSES;
	case CHECK_GROUP:
		return s->n_groups;
	case CHECK_PAGE:
		return s->n_pages;
	case CHECK_TAG_SET:
		return s->sb->n_tag_sets;
	case CHECK_KEY_SET:
		return s->sb->n_key_sets;
	case CHECK_PATTERN:
		return N_PATTERNS;
	case CHECK_FLIGHT:
		return s->sb->n_flights;
	default:
		return 1;
	}
}

bool larder_check_owner(const struct check *c, uint32_t slot,
			uint32_t generation, uint32_t mask)
{
	uint32_t now;

	if (slot >= c->s->n_slots)
		return false;
	now = load_acquire(&c->s->slots[slot].generation);
	return (now & 1) && (now & mask) == generation &&
	       larder_alive_word(c->s, slot) == LARDER_WORKER_LIVE;
}

/* ------------------------------------------------------------------ */

static void collect(struct check *c, const struct suspicion *new)
{
	struct suspicion *more;

	/* Damage has twice the room of notes: a large segment in heavy use has
	 * many notes at any moment. */
	if (c->n_suspicions == c->n_room && c->n_room < MOST_SUSPICIONS) {
		size_t n = c->n_room ? c->n_room * 2 : 256;

		more = realloc(c->suspicions, n * sizeof *more);
		if (more) {
			c->suspicions = more;
			c->n_room = n;
		}
	}
	if (c->n_suspicions == c->n_room ||
	    (new->severity == LARDER_PENDING &&
	     c->n_suspicions >= MOST_SUSPICIONS / 2))
		c->n_beyond[new->severity]++;
	else
		c->suspicions[c->n_suspicions++] = *new;
}

/* The item's suspicion of this kind, or NULL. They come in the same order each
 * time, so the one after the last is tried first. */
static struct suspicion *recall(struct check *c, const struct suspicion *like)
{
	for (size_t k = 0; k < c->to - c->from; k++) {
		struct suspicion *s = &c->suspicions[c->at];

		c->at = c->at + 1 < c->to ? c->at + 1 : c->from;
		if (s->sub == like->sub && s->code == like->code &&
		    s->severity == like->severity)
			return s;
	}
	return NULL;
}

void larder_check_say(struct check *c, enum larder_severity severity,
		      uint32_t sub, unsigned code, const char *format, ...)
{
	const struct suspicion new = {
		.index = c->index,
		.sub = sub,
		.code = (uint16_t)code,
		.kind = (uint8_t)c->kind,
		.severity = (uint8_t)severity,
	};
	struct suspicion *known;
	char where[64], what[400];
	va_list arguments;

	if (c->pass == CHECK_COLLECT) {
		collect(c, &new);
		return;
	}
	known = recall(c, &new);
	if (!known || known->seen)
		return;
	known->seen = true;
	if (c->pass == CHECK_CONFIRM || !c->finding)
		return;
	if (items_of(c->s, c->kind) == 1)
		snprintf(where, sizeof where, "%s", kinds[c->kind].name);
	else
		snprintf(where, sizeof where, "%s %llu", kinds[c->kind].name,
			 (unsigned long long)c->index);
	va_start(arguments, format);
	vsnprintf(what, sizeof what, format, arguments);
	va_end(arguments);
	c->finding(c->context, severity, where, what);
}

static void look_at_all(struct check *c)
{
	c->pass = CHECK_COLLECT;
	for (c->kind = 0; c->kind < CHECK_KINDS; c->kind++) {
		uint64_t n = items_of(c->s, c->kind);

		for (c->index = 0; c->index < n; c->index++)
			kinds[c->kind].look(c);
	}
}

/* Look once more at every item under suspicion; forget what is not said of it
 * this time. */
static void look_again(struct check *c, enum check_pass pass)
{
	size_t kept = 0;

	c->pass = pass;
	for (c->from = 0; c->from < c->n_suspicions; c->from = c->to) {
		const struct suspicion *first = &c->suspicions[c->from];

		c->kind = first->kind;
		c->index = first->index;
		for (c->to = c->from; c->to < c->n_suspicions; c->to++) {
			struct suspicion *s = &c->suspicions[c->to];

			if (s->kind != c->kind || s->index != c->index)
				break;
			s->seen = false;
		}
		c->at = c->from;
		kinds[c->kind].look(c);
	}
	for (size_t k = 0; k < c->n_suspicions; k++)
		if (c->suspicions[k].seen)
			c->suspicions[kept++] = c->suspicions[k];
	c->n_suspicions = kept;
}

static bool nobody_attached(const struct segment *s)
{
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (larder_alive_word(s, i) == LARDER_WORKER_LIVE)
			return false;
	return true;
}

static void report_beyond(struct check *c)
{
	char what[128];

	for (int severity = 0; severity < 2; severity++) {
		if (!c->n_beyond[severity] || !c->finding)
			continue;
		snprintf(what, sizeof what,
			 "%llu more that are not listed or looked at again",
			 (unsigned long long)c->n_beyond[severity]);
		c->finding(c->context, (enum larder_severity)severity,
			   "segment", what);
	}
}

int larder_inspect_check(struct larder_inspector *in, larder_finding *finding,
			 void *context, struct larder_check_result *result)
{
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
	struct larder_check_result r = {0};
	struct check *c;

	if (!in || !result)
		return -EINVAL;
	c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	c->in = in;
	c->s = in->s;
	c->finding = finding;
	c->context = context;
	c->quiet = nobody_attached(c->s);
	c->snap.bytes = c->snap.room;
	c->linked = calloc(div_up(c->s->n_units, 64), sizeof *c->linked);
	if (!c->linked) {
		free(c);
		return -ENOMEM;
	}
	look_at_all(c);
	for (int round = 0; round < ROUNDS && c->n_suspicions; round++) {
		/* Where nobody is, nothing will change. */
		if (!nobody_attached(c->s))
			nanosleep(&pause, NULL);
		look_again(c, CHECK_CONFIRM);
	}
	look_again(c, CHECK_REPORT);
	report_beyond(c);
	r.n_entries = c->n_entries;
	r.n_groups_seen = c->s->n_groups;
	r.n_pages_seen = c->s->n_pages;
	r.n_slots_seen = c->s->n_slots;
	r.n_pending = c->n_beyond[LARDER_PENDING];
	r.n_damage = c->n_beyond[LARDER_DAMAGE];
	for (size_t k = 0; k < c->n_suspicions; k++) {
		if (c->suspicions[k].severity == LARDER_DAMAGE)
			r.n_damage++;
		else
			r.n_pending++;
	}
	larder_snapshot_drop(&c->snap);
	free(c->suspicions);
	free(c->linked);
	free(c);
	return larder_inspect_give(result, &r, sizeof r) ? 0 : -EINVAL;
}
