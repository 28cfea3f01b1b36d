/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked most, so that the next run can begin with it.
 *
 * Each worker follows its first thousand requests, and then one in eight, with
 * the Space-Saving algorithm (Metwally, Agrawal, El Abbadi 2005): a table of a
 * fixed number of bodies, in which a new one takes the place, and the count, of
 * the least; whoever is asked more often than one time in the table's size
 * cannot be missing. In a table that is full, bytes are copied of what comes a
 * second time. A worker leaves its table in the segment, in one entry that it
 * alone writes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/router.h"

enum {
	HOT_SLOTS = 64,
	HOT_BODY_MAX = 64 << 10,
	HOT_SAVED_MAX = 512 << 10,
	HOT_WORKERS_MAX = 256,
	NOTE_ONE_IN = 8,
	NOTE_ALL = 1024, /* at first */
};

struct hot_slot {
	struct digest digest;
	uint64_t count;
	char *body; /* once it has come twice */
	uint32_t n_body, room;
};
struct hot {
	struct hot_slot slot[HOT_SLOTS];
	uint64_t n_noted, n_saved; /* counts, to see whether there is news */
};

/* In the segment: records of this head and a body, one after the other. */
struct hot_record {
	uint64_t count;
	uint32_t n_body;
	uint32_t reserved;
};

/* The body's bytes; the memory of one that was here before does for another of
 * its size. */
static void keep_body(struct hot_slot *s, const void *body, size_t n_body)
{
	if (n_body > s->room) {
		char *larger = malloc(n_body);

		s->n_body = 0;
		if (!larger)
			return;
		free(s->body);
		s->body = larger;
		s->room = (uint32_t)n_body;
	}
	memcpy(s->body, body, n_body);
	s->n_body = (uint32_t)n_body;
}

bool router_hot_has_room(const struct router *r)
{
	return !r->hot || r->hot->n_noted < HOT_SLOTS;
}

void router_hot_note(struct router *r, struct digest d, const void *body,
		     size_t n_body)
{
	struct hot_slot *least;

	uint64_t weight = 1;

	if (r->hot && r->hot->n_noted >= NOTE_ALL) {
		r->random = r->random * UINT64_C(6364136223846793005) + 1;
		if ((r->random >> 40) % NOTE_ONE_IN)
			return;
		weight = NOTE_ONE_IN;
	}
	if (!n_body || n_body > HOT_BODY_MAX || r->warming)
		return;
	if (!r->hot)
		r->hot = calloc(1, sizeof *r->hot);
	if (!r->hot)
		return;
	r->hot->n_noted++;
	least = &r->hot->slot[0];
	for (unsigned k = 0; k < HOT_SLOTS; k++) {
		struct hot_slot *s = &r->hot->slot[k];

		if (s->digest.low == d.low && s->digest.high == d.high) {
			s->count += weight;
			if (!s->n_body)
				keep_body(s, body, n_body);
			return;
		}
		if (s->count < least->count)
			least = s;
	}
	least->n_body = 0;
	if (!least->count)
		keep_body(least, body, n_body);
	least->digest = d;
	least->count += weight;
}

void router_hot_free(struct hot *hot)
{
	if (!hot)
		return;
	for (unsigned k = 0; k < HOT_SLOTS; k++)
		free(hot->slot[k].body);
	free(hot);
}

static int hotter(const void *a, const void *b)
{
	const struct hot_slot *x = a, *y = b;

	return x->count < y->count ? 1 : x->count > y->count ? -1 : 0;
}

static size_t entry_key(char key[32], unsigned number)
{
	return (size_t)snprintf(key, 32, "router/hot/%u", number);
}

int router_hot_save(struct router *r, unsigned number)
{
	struct larder_put_options o = {.size_of = sizeof o,
				       .ttl_ms = UINT64_MAX,
				       .flags = LARDER_KEEP};
	struct text t = {0};
	char key[32];
	size_t n_key = entry_key(key, number);
	int result;

	if (!r->cache || !r->hot || r->hot->n_noted == r->hot->n_saved)
		return 0;
	qsort(r->hot->slot, HOT_SLOTS, sizeof r->hot->slot[0], hotter);
	for (unsigned k = 0; k < HOT_SLOTS; k++) {
		const struct hot_slot *s = &r->hot->slot[k];
		struct hot_record head = {.count = s->count,
					  .n_body = s->n_body};

		if (t.n + sizeof head + s->n_body > HOT_SAVED_MAX ||
		    t.n + sizeof head + s->n_body > larder_value_max(r->cache))
			break;
		if (!s->n_body)
			continue; /* came once */
		router_text_add(&t, (const char *)&head, sizeof head);
		router_text_add(&t, s->body, s->n_body);
	}
	result = t.failed ? -ENOMEM
			  : larder_put(r->cache, key, n_key,
				       t.bytes ? t.bytes : "", t.n, &o);
	if (result == LARDER_KEEP_LIMIT || result == LARDER_NO_SPACE) {
		o.flags = 0; /* as long as there is room for it */
		result = larder_put(r->cache, key, n_key, t.bytes, t.n, &o);
	}
	free(t.bytes);
	if (!result)
		r->hot->n_saved = r->hot->n_noted;
	return result;
}

/* ------------------------------------------------------------------ */

struct hot_list {
	struct hot_slot *slot;
	size_t n, room;
};

/* One more worker's count of a body. */
static int list_add(struct router *r, struct hot_list *l, uint64_t count,
		    const char *body, uint32_t n_body)
{
	struct digest d = router_digest(r, body, n_body);

	for (size_t i = 0; i < l->n; i++)
		if (l->slot[i].digest.low == d.low &&
		    l->slot[i].digest.high == d.high) {
			l->slot[i].count += count;
			return 0;
		}
	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : HOT_SLOTS;
		struct hot_slot *more = realloc(l->slot, room * sizeof *more);

		if (!more)
			return -ENOMEM;
		l->slot = more;
		l->room = room;
	}
	l->slot[l->n] = (struct hot_slot){.count = count, .digest = d};
	keep_body(&l->slot[l->n], body, n_body);
	if (!l->slot[l->n].n_body)
		return -ENOMEM;
	l->n++;
	return 0;
}

/* The records of one entry; what does not fit its own lengths is left out. */
static int list_add_entry(struct router *r, struct hot_list *l,
			  const char *bytes, size_t n)
{
	struct hot_record head;
	int error = 0;

	while (!error && n >= sizeof head) {
		memcpy(&head, bytes, sizeof head);
		bytes += sizeof head;
		n -= sizeof head;
		if (!head.n_body || head.n_body > HOT_BODY_MAX ||
		    head.n_body > n || !head.count)
			break;
		error = list_add(r, l, head.count, bytes, head.n_body);
		bytes += head.n_body;
		n -= head.n_body;
	}
	return error;
}

int router_warm_hottest(struct router *r, unsigned n)
{
	struct hot_list l = {0};
	int error = 0, n_queued = 0;

	for (unsigned i = 0; r->cache && i < HOT_WORKERS_MAX && !error; i++) {
		struct larder_view view;
		char key[32];
		size_t n_key = entry_key(key, i);

		if (larder_lease(r->cache, key, n_key, &view))
			continue;
		error = list_add_entry(r, &l, view.value, view.n_value);
		larder_release(r->cache, &view);
	}
	if (l.n)
		qsort(l.slot, l.n, sizeof l.slot[0], hotter);
	for (size_t i = 0; i < l.n && i < n && !error; i++, n_queued++)
		error = router_warm_add(r, l.slot[i].body, l.slot[i].n_body);
	for (size_t i = 0; i < l.n; i++)
		free(l.slot[i].body);
	free(l.slot);
	return error ? error : n_queued;
}
