/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lookup: the road that get, lease, store and fill begin on.
 */
#include "cache/cache.h"

#include <string.h>

#include "cache/recent.h"

/* Keys are short: most comparisons are of equal tags and so of equal keys. */
static inline bool same_key(const struct entry_view *v, const void *key,
			    size_t n_key)
{
	return v->n_key == n_key && memcmp(v->key, key, n_key) == 0;
}

/*
 * [PUB.2] Acquire of the slot word: the entry's bytes were written before the
 * release [PUB.1] that put the word there.
 */
bool larder_find(struct worker *w, const void *key, size_t n_key, uint64_t hash,
		 struct lookup *found)
{
	struct group *g = group_of(w->s, hash);
	uint32_t mask = group_match(g, tag_of(hash));

	for (; mask; mask &= mask - 1) {
		unsigned i = (unsigned)__builtin_ctz(mask);
		uint64_t word = load_acquire(&g->slot[i]);

		if (unlikely(slot_tag(word) != tag_of(hash) ||
			     !slot_unit(word)))
			continue; /* empty, or changed since */
		if (unlikely(!larder_entry_view(w->s, slot_unit(word),
						&found->v))) {
			if (larder_pin_ok(w))
				count(w, COUNTER_DAMAGED, 1);
			continue;
		}
		if (unlikely(!same_key(&found->v, key, n_key)))
			continue;
		found->group = g;
		found->slot = i;
		found->word = word;
		found->unit = slot_unit(word);
		return true;
	}
	return false;
}

int larder_lookup(struct worker *w, const void *key, size_t n_key,
		  uint64_t hash, struct lookup *found)
{
	/* The counter first, then everything else [FRE.2]: a tag read before
	 * it could miss an invalidation between the two. */
	uint64_t now = larder_fresh_now(w->s);

	found->why = COUNTER_NONE;
	if (!larder_find(w, key, n_key, hash, found))
		return LARDER_MISS;
	if (unlikely(found->v.flags & (ENTRY_HARD | LARDER_KEEP))) {
		if (found->v.flags & LARDER_KEEP)
			return LARDER_OK;
		if (entry_expired(&found->v, larder_clock_ms())) {
			found->why = COUNTER_MISSES_EXPIRED;
			return LARDER_MISS;
		}
	}
	if (unlikely(entry_stamp(found->v.e) < now) &&
	    !MUTANT(HIT_NO_STAMP_CHECK) &&
	    !larder_fresh_check(w, found->unit, &found->v, hash, now)) {
		found->why = COUNTER_MISSES_INVALID;
		return LARDER_MISS;
	}
	return LARDER_OK;
}

void larder_sample_begin(struct worker *w)
{
	larder_recent_judge(w);
	w->sample = w->sampled = 32 + (uint32_t)(random_next(&w->random) & 63);
}

/* One hit in 64 is written down in the entry, under a hazard: the memory may be
 * recycled under an expelled reader (P6). */
void larder_sample_hit(struct worker *w, const struct lookup *found)
{
	struct entry *e = entry_at(w->s, found->unit);

	larder_sample_begin(w);
	larder_pin(w);
	if (larder_hazard_set(w, HAZARD_OLD, found->unit)) {
		if (load_acquire(&found->group->slot[found->slot]) ==
			    found->word &&
		    larder_pin_ok(w))
			store_relaxed(&e->hits, load_relaxed(&e->hits) + 1);
		larder_hazard_clear(w, HAZARD_OLD);
	}
	larder_unpin(w);
}

void larder_count_hit(struct worker *w, const struct lookup *found)
{
	reference_raise(found->group, found->slot, &w->nowhere[1]);
	count(w, COUNTER_HITS, 1);
	if (unlikely(--w->sample == 0))
		larder_sample_hit(w, found);
}

void larder_info_fill(struct worker *w, const struct entry_view *v,
		      struct larder_info *info)
{
	uint64_t now = larder_clock_ms();
	uint64_t since = clock_since(now, w->s->sb->created_ms);
	uint64_t born = entry_born_ms(v->e), version = v->e->version;
	uint32_t slot = (uint32_t)(version >> 52);
	size_t n = info->size_of;
	struct larder_info full = {
		.size_of = n,
		.n_value = v->n_value,
		.version = version,
		.age_ms = clock_since(since, born),
		.soft_left_ms = UINT64_MAX,
		.ttl_left_ms = UINT64_MAX,
		.cost_ns = v->cost_ns,
		.hits = (uint64_t)load_relaxed(
				(atomic_u32 *)(uintptr_t)&v->e->hits) *
			64,
		.flags = v->flags & 0xf,
		.cross_worker = w->slot && cross_worker(w, version),
	};

	if (v->soft_ms)
		full.soft_left_ms = v->soft_ms > now ? v->soft_ms - now : 0;
	if (v->hard_ms)
		full.ttl_left_ms = v->hard_ms > now ? v->hard_ms - now : 0;
	if (v->tags) {
		struct tag_block block;

		memcpy(&block, v->tags, sizeof block);
		full.n_tags = block.n_tags;
	}
	if (slot < w->s->n_slots) {
		struct slot *owner = &w->s->slots[slot];

		if ((load_relaxed(&owner->generation) & 1) &&
		    (version & ENTRY_SEQUENCE_MASK) >
			    load_relaxed(&owner->first_sequence))
			full.stored_by_pid = load_relaxed(&owner->pid);
	}
	memcpy(info, &full, min_u64(n, sizeof full));
}
