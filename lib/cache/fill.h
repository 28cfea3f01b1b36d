/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside a fill: what struct larder_fill hides, and what larder_fetch() needs of
 * it beyond the public calls.
 */
#ifndef LARDER_CACHE_FILL_H
#define LARDER_CACHE_FILL_H

#include "cache/cache.h"

/* Values that no zeroed or forgotten memory has. */
enum fill_state {
	FILL_OVER = 0,
	FILL_WAITING = 0x74696177,
	FILL_LEADING = 0x6461656c,
};

struct fill {
	uint32_t state;         /* enum fill_state */
	uint32_t n_key;
	const void *key;        /* the caller's */
	uint64_t hash;
	struct segment *s;      /* that the rest is of */
	struct flight *flight;  /* led or followed; NULL: led alone */
	uint64_t word;          /* of the flight, ours or as last seen */
	struct larder_token token;
	uint64_t deadline_ms;
	uint64_t lead_ms;       /* as given; 0: default */
	uint64_t stale_error_ms;
	uint64_t opening_ms;    /* since when the flight is being opened */
	uint32_t slot, generation; /* whose fill it is */
	uint32_t watch;         /* id, 0: none */
	uint16_t n_empty;       /* flights that ended without a value */
	bool joined;            /* counted as a follower */
	bool unwatched;         /* never polled: larder_fetch() */
} __attribute__((may_alias));
_Static_assert(sizeof(struct fill) <= sizeof(struct larder_fill),
	       "LARDER_FILL_BYTES is too small");

static inline struct fill *fill_of(struct larder_fill *fill)
{
	return (struct fill *)fill->opaque;
}

/* larder_fill_begin() for a caller that will sleep and never poll. */
int larder_fill_start(struct larder *h, const void *key, size_t n_key,
		      const struct larder_fill_options *options,
		      struct larder_fill *fill, struct larder_view *view);

/* After LARDER_TIMEOUT: lead without a flight. LARDER_LEAD, or LARDER_OK with
 * @view if there is a value after all. */
int larder_fill_alone(struct larder *h, struct larder_fill *fill,
		      struct larder_view *view);

/* A view of private bytes, which it takes over: larder_view_free(). */
void larder_view_private(struct larder_view *view, void *bytes,
			 uint64_t n_bytes);

#endif
