/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions: an entry that is never replaced, evicted or moved, and whose value
 * its clients write. Reserved by a put, which never replaces a region, so two
 * that reserve at once get the same one and a death in between leaves nothing
 * half reserved.
 */
#include "cache/cache.h"

#include <stdio.h>

/* Before the client's bytes: the sizes, which must agree. */
struct region_head {
	uint64_t n_common;
	uint64_t stride;
	uint64_t n_cells;
	uint64_t magic;
	uint64_t unused[4];
};
_Static_assert(sizeof(struct region_head) == 64, "keeps the alignment");
#define REGION_MAGIC UINT64_C(0x6e6f696765526c4c)

static int find_region(struct worker *w, const char *key, size_t n_key,
		       unsigned char **base, uint64_t *n_value)
{
	uint64_t hash = key_hash_of(w->s, key, n_key);
	struct lookup found;
	bool ok;

	do {
		larder_pin(w);
		ok = larder_find(w, key, n_key, hash, &found) &&
		     (found.v.flags & LARDER_REGION);
		*base = ok ? (unsigned char *)(uintptr_t)found.v.value : NULL;
		*n_value = ok ? found.v.n_value : 0;
		ok = larder_pin_ok(w);
		larder_unpin(w);
	} while (!ok);
	return *base ? 0 : LARDER_MISS;
}

int larder_region(struct larder *h, const char *name, uint64_t n_common,
		  uint64_t n_cell, struct larder_region *region)
{
	int error, outcome;
	struct worker *w = worker_of(h, &error);
	uint64_t stride = align_up(n_cell, 64), n_value, total;
	struct region_head *head;
	unsigned char *base;
	char key[LARDER_REGION_NAME_MAX + 16];
	int n_key;

	if (!w)
		return error;
	if (!name || !*name || strlen(name) > LARDER_REGION_NAME_MAX ||
	    n_common > w->s->bytes || n_cell > w->s->bytes || !region)
		return -EINVAL;
	n_key = snprintf(key, sizeof key, "larder/region/%s", name);
	total = sizeof *head + align_up(n_common, 64) + stride * w->s->n_slots;
	if (total > w->s->sb->value_max)
		return LARDER_NO_SPACE;
	outcome = find_region(w, key, (size_t)n_key, &base, &n_value);
	if (outcome == LARDER_MISS) {
		outcome = larder_store_region(w, key, (size_t)n_key, total);
		if (outcome && outcome != LARDER_KEPT)
			return outcome == LARDER_KEEP_LIMIT ? LARDER_NO_SPACE
							    : outcome;
		if (find_region(w, key, (size_t)n_key, &base, &n_value))
			return LARDER_NO_SPACE;
	}
	head = (struct region_head *)base;
	if (n_value != total)
		return LARDER_ERR_REGION_SIZE;
	/* Everybody who reserves writes the same; the first one's stay. */
	if (head->magic != REGION_MAGIC) {
		head->n_common = n_common;
		head->stride = stride;
		head->n_cells = w->s->n_slots;
		fence_seqcst();
		head->magic = REGION_MAGIC;
	}
	if (head->n_common != n_common || head->stride != stride)
		return LARDER_ERR_REGION_SIZE;
	region->common = base + sizeof *head;
	region->cells = base + sizeof *head + align_up(n_common, 64);
	region->n_common = n_common;
	region->stride = stride;
	region->n_cells = w->s->n_slots;
	region->reserved = 0;
	return 0;
}
