/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flights: who computes which key now.
 *
 * A lossy direct-mapped table by key hash. A flight says nothing about values:
 * what followers get they look up themselves, as valid as any hit. So whatever
 * goes wrong here, a collision, a lost leader, a word that comes round, costs a
 * second computation and never an answer.
 *
 *   IDLE -> CLAIMED -> LEADING -> IDLE       the leader
 *           CLAIMED <- CLAIMED, LEADING      who finds the leader lost
 *
 * Lost is a leader that is dead or has led longer than allowed. Taking over
 * raises the word's sequence by one, ending a flight and claiming it again by
 * two: a follower tells a lost leader from one that ended without a value.
 */
#ifndef LARDER_CACHE_FLIGHT_H
#define LARDER_CACHE_FLIGHT_H

#include <larder/larder.h>

#include "worker/epoch.h"

static inline uint64_t flight_word(uint32_t sequence, uint32_t slot,
				   uint32_t generation, enum flight_state state)
{
	return field_put(sequence, 40, 24) | field_put(slot, 28, 12) |
	       field_put(generation, 4, 24) | field_put(state, 0, 4);
}

static inline uint32_t flight_sequence(uint64_t word)
{
	return (uint32_t)field_get(word, 40, 24);
}

static inline uint32_t flight_slot(uint64_t word)
{
	return (uint32_t)field_get(word, 28, 12);
}

static inline uint32_t flight_generation(uint64_t word)
{
	return (uint32_t)field_get(word, 4, 24);
}

static inline enum flight_state flight_state(uint64_t word)
{
	return (enum flight_state)field_get(word, 0, 4);
}

static inline struct flight *flight_of(const struct segment *s, uint64_t hash)
{
	return &s->flights[(hash >> 32) & (s->sb->n_flights - 1)];
}

/* Is the leader that the word names still attached? */
bool larder_flight_led(struct segment *s, uint64_t word);

enum flight_view {
	FLIGHT_FREE,	/* nobody leads here: may be claimed */
	FLIGHT_LOST,	/* the same, after a leader that was lost */
	FLIGHT_SAME,	/* somebody computes this key */
	FLIGHT_MINE,	/* this thread does */
	FLIGHT_OPENING, /* claimed this moment, its key not yet written */
	FLIGHT_OTHER,	/* somebody computes another key of this cell */
};

/* What was seen of a flight at one moment. */
struct flight_seen {
	uint64_t word;
	uint64_t token_stamp; /* in SAME and MINE */
};

/* @lead_ms: give up a leader that is older, whatever it asked for; 0: believe
 * it. */
enum flight_view larder_flight_look(struct worker *w, struct flight *f,
				    uint64_t hash, uint64_t lead_ms,
				    struct flight_seen *seen);

/* FREE or LOST as @word -> CLAIMED by this thread, as *mine. */
bool larder_flight_claim(struct worker *w, struct flight *f, uint64_t word,
			 uint64_t *mine);

/* CLAIMED -> LEADING: say which key and since when. False if the flight was
 * taken over; *mine is then of no use. */
bool larder_flight_open(struct worker *w, struct flight *f, uint64_t hash,
			const struct larder_token *token, uint64_t lead_ms,
			uint64_t *mine);

/* Our flight is over, with or without a value: let the followers look. */
void larder_flight_end(struct segment *s, struct flight *f, uint64_t mine);

/* Count a follower in or out; only a flight with followers wakes anybody. */
void larder_flight_join(struct flight *f);
void larder_flight_leave(struct flight *f);

/* Sleep until the flight ends, at most @ms. @futex was loaded before the flight
 * was looked at. */
void larder_flight_sleep(struct flight *f, uint32_t futex, uint64_t ms);

/* The same for any flight of the segment. */
uint32_t larder_flight_wakes(struct segment *s);
void larder_flight_sleep_any(struct segment *s, uint32_t wakes, uint64_t ms);

#endif
