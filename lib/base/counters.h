/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counter table: one line a counter, in the order of a cell's words. Only
 * ever appended to: the order is part of the layout.
 */
#ifndef LARDER_BASE_COUNTERS_H
#define LARDER_BASE_COUNTERS_H

#define LARDER_COUNTERS(X)                                                     \
	X(HITS, "hits", "Gets answered with a value")                          \
	X(CROSS_WORKER_HITS, "cross_worker_hits",                              \
	  "Hits on entries that another worker stored")                        \
	X(MISSES, "misses", "Gets not answered")                               \
	X(MISSES_EXPIRED, "misses_expired", "Misses on an expired entry")      \
	X(MISSES_INVALID, "misses_invalid", "Misses on an invalidated entry")  \
	X(PUTS, "puts", "Entries stored")                                      \
	X(UPDATES, "updates", "Stores that replaced an entry")                 \
	X(REMOVES, "removes", "Entries removed by hand")                       \
	X(EVICTIONS, "evictions", "Entries evicted for space")                 \
	X(EVICTIONS_CONFLICT, "evictions_conflict",                            \
	  "Entries evicted because their index group was full")                \
	X(EVICTIONS_DRAIN, "evictions_drain",                                  \
	  "Entries evicted to give their page to another size")                \
	X(EXPIRATIONS, "expirations", "Expired entries taken away")            \
	X(SWEPT_INVALID, "swept_invalid", "Invalidated entries taken away")    \
	X(NO_SPACE, "no_space", "Stores that found no room")                   \
	X(REFUSED_STALE, "refused_stale",                                      \
	  "Fills refused because of an invalidation since they began")         \
	X(REFUSED_NEWER, "refused_newer",                                      \
	  "Fills refused because of a newer direct put")                       \
	X(REFUSED_PATTERN, "refused_pattern",                                  \
	  "Fills refused because a pattern was retired early")                 \
	X(INVALIDATIONS_TAG, "invalidations_tag", "Tags invalidated")          \
	X(INVALIDATIONS_KEY, "invalidations_key", "Keys invalidated")          \
	X(INVALIDATIONS_MATCH, "invalidations_match", "Patterns invalidated")  \
	X(INVALIDATIONS_ALL, "invalidations_all", "Times all was invalidated") \
	X(FRESH_SLOW, "fresh_slow", "Hits whose stamp had to be checked")      \
	X(FRESH_RING, "fresh_ring", "Of these, answered by the ring")          \
	X(RESTAMPS, "restamps", "Stamps raised")                               \
	X(FILLS_LED, "fills_led", "Fills this worker led")                     \
	X(FILLS_FOLLOWED, "fills_followed", "Fills that waited for a leader")  \
	X(FILLS_COALESCED, "fills_coalesced",                                  \
	  "Fills answered with another's computation")                         \
	X(FILLS_TAKEN_OVER, "fills_taken_over", "Fills whose leader was lost") \
	X(FILLS_TIMED_OUT, "fills_timed_out", "Fills that waited too long")    \
	X(STALE_SERVED, "stale_served", "Values served past their soft TTL")   \
	X(LEASES, "leases", "Values leased")                                   \
	X(LEASES_REFUSED, "leases_refused", "Leases refused by their limit")   \
	X(EXPELLED, "expelled", "Own sections this worker was expelled from")  \
	X(EXPULSIONS, "expulsions", "Stuck sections this worker expelled")     \
	X(EPOCHS, "epochs", "Epochs this worker advanced")                     \
	X(RECOVERED, "workers_recovered", "Dead workers recovered")            \
	X(ORPHANS, "orphans", "Entries of the dead finished or freed")         \
	X(PAGES_MOVED, "pages_moved", "Pages given to another size class")     \
	X(GHOST_HITS, "ghost_hits", "Misses on keys evicted recently")         \
	X(HAND_VISITS, "hand_visits", "Entries looked at by a hand")           \
	X(DAMAGED, "damaged", "Entries skipped because they were damaged")     \
	X(BYTES_STORED, "bytes_stored", "Bytes of keys and values stored")     \
	X(WAITED_NS, "waited_ns", "Time stores slept for a grace period")      \
	X(ENTRIES_MOVED, "entries_moved",                                      \
	  "Entries moved out of a page that others needed")

enum counter {
#define X(symbol, name, help) COUNTER_##symbol,
	LARDER_COUNTERS(X)
#undef X
		COUNTER_NONE,
};

#endif
