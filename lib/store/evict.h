/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CLOCK: which entry goes when room is needed.
 *
 * One pool per size class; entries are in its probation or its main part. Two
 * hands go round in address order: the probation hand promotes what was hit
 * twice and evicts the rest, the main hand takes a reference from what has one.
 * Keys evicted lately are remembered as fingerprints in a ghost; one that comes
 * back goes to the main part at once. Source: S3-FIFO (Yang et al., SOSP 2023)
 * laid out as two CLOCKs; adaptation, floor and clamp are our own (DESIGN.md).
 *
 * State bits and counts are hints: the claim to evict is the index's unlink and
 * nothing else. A hand looks at most at every entry of its pool once and then
 * corrects the count that sent it, so no death can make it spin.
 */
#ifndef LARDER_STORE_EVICT_H
#define LARDER_STORE_EVICT_H

#include "store/entry.h"
#include "worker/epoch.h"

/* Why an entry goes: picks the counter. */
enum evict_reason {
	EVICT_SPACE,
	EVICT_CONFLICT,
	EVICT_DRAIN,
	EVICT_EXPIRED,
	EVICT_INVALID
};

/* Evict up to n entries of a class, to have their memory: leased ones stay. How
 * many went. Not pinned. */
uint32_t larder_evict(struct worker *w, unsigned class, uint32_t n);

/* Evict one entry of the fullest pool. Not pinned. */
bool larder_evict_any(struct worker *w, unsigned preferred_class);

/*
 * Take this entry out of the index and retire it. Pinned. INDEX_CHANGED: it is
 * not linked (any more). HAZARD_OLD is used.
 */
int larder_evict_unit(struct worker *w, uint32_t unit, uint64_t hash,
		      unsigned class, enum evict_reason reason);

/* A full group: evict its coldest entry. Pinned. False: all are kept. */
bool larder_evict_from_group(struct worker *w, struct group *g);

/* A new key is about to be stored: was it evicted lately? Adapts the target. */
bool larder_evict_remembered(struct worker *w, uint64_t hash, unsigned class);

/*
 * Bookkeeping when an entry is linked or unlinked: its mark, and what counts
 * the marks. Marked by its writer before its header is LIVE, unmarked by who
 * takes it away after it is RETIRED, each under a hazard: whichever is later
 * sees that the other was there (larder_slab_publish()). A mark that stayed
 * behind would count for ever, and be the next entry's of this memory.
 */
void larder_evict_linked(struct worker *w, unsigned class, uint32_t unit,
			 bool in_main);
/* True if it was in the main part. */
bool larder_evict_unlinked(struct worker *w, unsigned class, uint32_t unit);
/* Both at once: an entry of one key takes the place of the one before it, in
 * the same part. */
void larder_evict_replaced(struct worker *w, unsigned old_class,
			   uint32_t old_unit, unsigned class, uint32_t unit);

/* The same of an entry with LARDER_KEEP, which has no mark: @n counts units of
 * such. Counted before it is linked; its page cannot change meanwhile. */
void larder_evict_keep(struct worker *w, atomic_u64 *n, unsigned class,
		       uint32_t unit, bool more);

/* Mark an entry whose mark was lost by a death, if it is still LIVE by @header;
 * what is kept has none. Pinned; HAZARD_OLD is used. */
void larder_evict_adopt(struct worker *w, unsigned class, uint32_t unit,
			uint64_t header);

/* With the policy COST: does a hand pass by this one for what it cost? A draw,
 * with a chance that rises with the cost. */
bool larder_evict_spares(struct worker *w, const struct entry_view *v);

/* Entries per eviction batch of a class: at most 1/64 of its pool. */
uint32_t larder_evict_batch(struct worker *w, unsigned class);

#endif
