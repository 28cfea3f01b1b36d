/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freshness: is an entry still valid, may a late result still be stored?
 *
 * One counter (hot->stamp) decides. An entry's stamp is the counter's value
 * when its computation began, raised later by hits that found it valid. The
 * order of every step was found by model checking: tests/model/freshness.pml.
 */
#ifndef LARDER_CACHE_FRESH_H
#define LARDER_CACHE_FRESH_H

#include "store/entry.h"
#include "worker/epoch.h"

/* [FRE.2] The counter, loaded first of all of a hit. STAMP_CLOSED may be set.
 */
static inline uint64_t larder_fresh_now(const struct segment *s)
{
	return load_acquire(&s->hot->stamp);
}

/*
 * The slow half of a hit: @v's stamp is older than @now, which was loaded
 * before anything of the entry. True if the entry is valid; its stamp may then
 * have been raised to @now, under hazard HAZARD_OLD. Pinned on entry and exit;
 * the caller still validates its pin. False for anything in a closed segment.
 */
bool larder_fresh_check(struct worker *w, uint32_t unit,
			const struct entry_view *v, uint64_t key_hash,
			uint64_t now);

/*
 * The usual road of a hit on an entry that lags: by the ring alone, without a
 * view. @tags NULL: it has none; @stamp is its own, older than @now. True as
 * above; false says only that the ring does not suffice.
 */
bool larder_fresh_lagging(struct worker *w, uint32_t unit,
			  const struct tag_block *tags, uint64_t key_hash,
			  uint64_t stamp, uint64_t now);

/*
 * The check inside a put's loop: may a result computed at @stamp with this key
 * and these tags be stored? Against every word; helps what stands half done.
 */
bool larder_fresh_allows(struct worker *w, const struct entry_plan *plan,
			 uint64_t key_hash, uint64_t stamp);

/* Is what began at @stamp for this key, whose tags are not known yet, as good
 * as what would begin now? Counts nothing. */
bool larder_fresh_key(struct segment *s, const void *key, uint32_t n_key,
		      uint64_t key_hash, uint64_t stamp);

/* Housekeeping of patterns: settle the dead's, retire those that the sweep has
 * passed. @swept_ms: when the last whole sweep that removed or restamped every
 * older entry began. Called by the maintainer, unpinned. */
void larder_patterns_maintain(struct worker *w, uint64_t swept_ms);

/* Would this entry survive the sweep? The sweep removes it if not, and raises
 * its stamp if so. Pinned. */
bool larder_fresh_sweep(struct worker *w, uint32_t unit,
			const struct entry_view *v, uint64_t key_hash);

#endif
