/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside a fill: what struct larder_fill hides, and what larder_fetch() needs
 * of it beyond the public calls.
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
	uint32_t state; /* enum fill_state */
	uint32_t n_key;
	const void *key; /* the caller's */
	uint64_t hash;
	struct segment *s;     /* that the rest is of */
	struct flight *flight; /* led or followed; NULL: led alone */
	uint64_t word;	       /* of the flight, ours or as last seen */
	struct larder_token token;
	uint64_t deadline_ms;
	uint64_t lead_ms; /* as given; 0: default */
	uint64_t stale_error_ms;
	uint64_t opening_ms;	   /* since when the flight is being opened */
	uint32_t slot, generation; /* whose fill it is */
	uint32_t watch;		   /* id, 0: none */
	uint16_t n_empty;	   /* flights that ended without a value */
	bool joined;		   /* counted as a follower */
} __attribute__((may_alias));
_Static_assert(sizeof(struct fill) <= sizeof(struct larder_fill),
	       "LARDER_FILL_BYTES is too small");

static inline struct fill *fill_of(struct larder_fill *fill)
{
	return (struct fill *)fill->opaque;
}

/* What there is under a key, from the worst. */
enum fill_quality {
	FILL_NOTHING,	/* or nothing valid */
	FILL_PAST_HARD, /* and within stale_error_ms */
	FILL_PAST_SOFT,
	FILL_GOOD,
};

struct fill_seen {
	enum fill_quality quality;
	uint64_t version; /* of the entry, valid or not; 0: none */
	struct lookup found;
};

/* Look the key up: @seen. Pinned; to be believed once the pin proved good. */
void larder_fill_find(struct worker *w, const struct fill *f,
		      struct fill_seen *seen);

/* Look the key up and hold what is at least @least: LARDER_OK with @view,
 * LARDER_MISS, or -ENOMEM. In any case @seen tells what was there. Not pinned.
 */
int larder_fill_serve(struct worker *w, const struct fill *f,
		      enum fill_quality least, struct fill_seen *seen,
		      struct larder_view *view);

/* larder_fill_begin() for a caller that will sleep and never poll. */
int larder_fill_start(struct larder *h, const void *key, size_t n_key,
		      const struct larder_fill_options *options,
		      struct larder_fill *fill, struct larder_view *view);

/* After LARDER_TIMEOUT: lead without a flight. LARDER_LEAD, or LARDER_OK with
 * @view if there is a value after all. */
int larder_fill_alone(struct larder *h, struct larder_fill *fill,
		      struct larder_view *view);

/* What is there now, good or not at all: LARDER_OK with @view, or LARDER_MISS.
 */
int larder_fill_view(struct larder *h, struct larder_fill *fill,
		     struct larder_view *view);

/* A stale value is served after all. */
void larder_fill_count_stale(struct larder *h);

/* A view of private bytes, which it takes over: larder_view_free(). */
void larder_view_private(struct larder_view *view, void *bytes,
			 uint64_t n_bytes);

#endif
