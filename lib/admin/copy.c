/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From one segment into another, of any size: every valid entry is put anew
 * with what is left of its time, its tags, cost and flags. Entries of the
 * probation part go first, so that what does not fit pushes out those and not
 * what was in use. Regions stay behind: their cells belong to the slots of the
 * segment they are in.
 */
#include "admin/inspect.h"

#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"

static size_t tags_of(const struct snapshot *snap, struct larder_tag *tags)
{
	const unsigned char *text;
	uint32_t at = 0, n_text;
	size_t n = 0;

	while (n < LARDER_TAGS_MAX &&
	       larder_snapshot_tag(snap, &at, &text, &n_text)) {
		tags[n].text = (const char *)text;
		tags[n++].n_text = n_text;
	}
	return n;
}

/* Its value's bytes, copied and proved; the caller frees them. NULL: gone, or
 * no memory. */
static unsigned char *value_of(const struct segment *s,
			       const struct snapshot *snap)
{
	unsigned char *value = malloc(snap->n_value ? snap->n_value : 1);

	if (!value)
		return NULL;
	larder_copy_unstable(value,
			     (const unsigned char *)entry_at(s, snap->unit) +
				     snap->value_offset,
			     snap->n_value);
	if (!larder_snapshot_stands(s, snap)) {
		free(value);
		return NULL;
	}
	return value;
}

/* LARDER_MISS: it went meanwhile. */
static int copy_entry(const struct segment *s, const struct snapshot *snap,
		      uint64_t now, struct larder *to)
{
	struct larder_tag tags[LARDER_TAGS_MAX];
	struct larder_put_options o = {
		.size_of = sizeof o,
		.ttl_ms = snap->hard_ms ? snap->hard_ms - now : UINT64_MAX,
		.flags = snap->flags & (LARDER_KEEP | LARDER_NEGATIVE),
		.cost_ns = snap->cost_ns,
		.tags = tags,
	};
	unsigned char *value = value_of(s, snap);
	uint64_t counter;
	int result;

	if (!value)
		return LARDER_MISS;
	o.n_tags = tags_of(snap, tags);
	/* One that is stale already stays so: a millisecond from the copy. */
	if (snap->soft_ms)
		o.soft_ttl_ms = snap->soft_ms > now ? snap->soft_ms - now : 1;
	if (snap->flags & LARDER_COUNTER) {
		memcpy(&counter, value, sizeof counter);
		larder_remove(to, snap->key, snap->n_key);
		result = larder_increment(to, snap->key, snap->n_key, 0,
					  counter, &o, NULL);
	} else {
		result = larder_put(to, snap->key, snap->n_key, value,
				    snap->n_value, &o);
	}
	free(value);
	return result;
}

struct totals {
	uint64_t n_copied, n_skipped;
	bool full;
};

static int copy_part(struct larder_inspector *from, struct larder *to,
		     bool main_part, struct totals *totals)
{
	uint64_t cursor = 0, now;
	struct snapshot snap;
	int result;

	while (!(result = larder_snapshot_next(from->s, &cursor, &snap))) {
		now = larder_inspect_now_ms(from);
		if (bit_test(from->s->main_bits, snap.unit) != main_part ||
		    !larder_snapshot_valid(from->s, &snap, now)) {
			larder_snapshot_drop(&snap);
			continue;
		}
		if (snap.flags & LARDER_REGION)
			result = LARDER_KEPT;
		else
			result = copy_entry(from->s, &snap, now, to);
		larder_snapshot_drop(&snap);
		if (result == LARDER_OK)
			totals->n_copied++;
		else if (result > 0 || result == -EMSGSIZE)
			totals->n_skipped++;
		else
			return result;
		if (result == LARDER_NO_SPACE || result == LARDER_KEEP_LIMIT ||
		    result == -EMSGSIZE)
			totals->full = true;
	}
	return result == LARDER_END ? 0 : result;
}

int larder_copy(struct larder_inspector *from, struct larder *to,
		uint64_t *n_copied, uint64_t *n_skipped)
{
	struct totals totals = {0};
	int result;

	if (!from || !to)
		return -EINVAL;
	result = copy_part(from, to, false, &totals);
	if (!result)
		result = copy_part(from, to, true, &totals);
	if (n_copied)
		*n_copied = totals.n_copied;
	if (n_skipped)
		*n_skipped = totals.n_skipped;
	if (result)
		return result;
	return totals.full ? LARDER_NO_SPACE : 0;
}
