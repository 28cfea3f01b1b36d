/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pollable form of waiting: an eventfd that is readable while a fill of
 * this process is worth polling, kept so by one thread per process and handle.
 *
 * The thread sleeps while nothing waits; else on the segment's futex, in slices
 * of 2 ms, and looks at what each waiting fill waits for: its flight's word,
 * its leader's liveness, its deadlines. It holds no worker slot and pins
 * nothing: it reads words of tables that never move.
 */
#ifndef LARDER_CACHE_WATCH_H
#define LARDER_CACHE_WATCH_H

#include "cache/cache.h"

/* What a fill waits for. */
struct watched {
	struct segment *s;
	struct flight *flight;
	uint64_t word;	      /* of the flight, as the fill saw it last */
	uint64_t give_up_ms;  /* when its leader or its opening is too old */
	uint64_t deadline_ms; /* when the fill times out */
	uint32_t slot, generation; /* whose fill it is */
};

/* Watch for a fill: an id for the two below, or 0 if there is no memory, when
 * the fill has to be polled without being told. */
uint32_t larder_watch_add(struct larder *h, const struct watched *what);

/* The fill was polled and waits on, for @what; the event was consumed. */
void larder_watch_again(struct larder *h, uint32_t id,
			const struct watched *what);

/* The fill is over. */
void larder_watch_remove(struct larder *h, uint32_t id);

#endif
