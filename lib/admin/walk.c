/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks over all entries that stop nobody: by the index, whose slots never
 * move, so that what is there throughout is met once. Each entry is copied and
 * the copy proved (snapshot.h) before anything of it is believed.
 */
#include "admin/inspect.h"

#include <string.h>

#include "cache/cache.h"

int larder_walk(struct larder *h, uint64_t *cursor,
		struct larder_walk_entry *entry)
{
	struct snapshot snap;
	struct worker *w;
	int result;

	if (!h || !cursor || !entry || entry->size_of < sizeof *entry)
		return -EINVAL;
	w = worker_of(h, &result);
	if (!w)
		return result;
	result = larder_snapshot_next(w->s, cursor, &snap);
	if (result)
		return result;
	larder_snapshot_walk_entry(w->s, &snap, larder_clock_ms(), entry);
	entry->info.cross_worker = cross_worker(w, snap.version);
	larder_snapshot_drop(&snap);
	return LARDER_OK;
}

/* ------------------------------------------------------------------ */

int larder_inspect_walk(struct larder_inspector *in, uint64_t *cursor,
			struct larder_walk_entry *entry)
{
	int result;

	if (!in || !cursor || !entry || entry->size_of < sizeof *entry)
		return -EINVAL;
	if (in->has_last)
		larder_snapshot_drop(&in->last);
	in->has_last = false;
	result = larder_snapshot_next(in->s, cursor, &in->last);
	if (result)
		return result;
	in->has_last = true;
	in->last_tag = in->last_at = 0;
	in->last_cursor = *cursor;
	larder_snapshot_walk_entry(in->s, &in->last, larder_inspect_now_ms(in),
				   entry);
	return LARDER_OK;
}

int larder_inspect_tag(struct larder_inspector *in, uint32_t tag,
		       const char **text, size_t *n_text)
{
	const unsigned char *found = NULL;
	uint32_t n = 0;

	if (!in->has_last || tag >= in->last.n_tags)
		return LARDER_END;
	if (tag < in->last_tag)
		in->last_tag = in->last_at = 0;
	for (; in->last_tag <= tag; in->last_tag++)
		if (!larder_snapshot_tag(&in->last, &in->last_at, &found, &n))
			return LARDER_END;
	*text = (const char *)found;
	*n_text = n;
	return LARDER_OK;
}

int larder_inspect_value(struct larder_inspector *in, void *value,
			 size_t n_buffer, size_t *n_value)
{
	const struct snapshot *snap = &in->last;
	size_t n = min_u64(n_buffer, snap->n_value);

	if (!in->has_last || (n && !value))
		return in->has_last ? -EINVAL : LARDER_MISS;
	if (n)
		larder_copy_unstable(
			value,
			(const unsigned char *)entry_at(in->s, snap->unit) +
				snap->value_offset,
			n);
	if (!larder_snapshot_stands(in->s, snap))
		return LARDER_MISS;
	if (n_value)
		*n_value = snap->n_value;
	return n < snap->n_value ? LARDER_TRUNCATED : LARDER_OK;
}

int larder_inspect_clock(struct larder_inspector *in, unsigned *counter,
			 unsigned *in_main)
{
	uint64_t at;

	if (!in->has_last)
		return LARDER_MISS;
	at = in->last_cursor - 1;
	*counter = reference_get(&in->s->groups[at / GROUP_SLOTS],
				 (unsigned)(at % GROUP_SLOTS));
	*in_main = bit_test(in->s->main_bits, in->last.unit);
	return LARDER_OK;
}
