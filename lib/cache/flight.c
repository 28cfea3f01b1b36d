/* SPDX-License-Identifier: Apache-2.0 */
/* Flights: flight.h. The one place that sleeps on a futex of the segment,
 * always for a time and never for an event that only one process could give. */
#include "cache/flight.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/* Shared futexes: the waiters are other processes. */
static void futex_wake(atomic_u32 *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void futex_wait(atomic_u32 *word, uint32_t seen, uint64_t ms)
{
	const struct timespec t = {
		.tv_sec = (time_t)(ms / 1000),
		.tv_nsec = (long)(ms % 1000) * 1000000,
	};

	syscall(SYS_futex, word, FUTEX_WAIT, seen, &t, NULL, 0);
}

/* A futex is 32 bits: the half of the word that adding 1 changes. */
static atomic_u32 *any_futex(struct segment *s)
{
	return (atomic_u32 *)&s->hot->flight_wakes +
	       (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
}

bool larder_flight_led(struct segment *s, uint64_t word)
{
	uint32_t i = flight_slot(word), generation;

	if (MUTANT(LEADER_TRUSTED))
		return true;
	if (i >= s->n_slots)
		return false;
	generation = load_acquire(&s->slots[i].generation);
	return (generation & 0xffffff) == flight_generation(word) &&
	       larder_slot_current(s, i, generation);
}

static bool is_mine(const struct worker *w, uint64_t word)
{
	return flight_slot(word) == w->index &&
	       flight_generation(word) == (w->generation & 0xffffff);
}

enum flight_view larder_flight_look(struct worker *w, struct flight *f,
				    uint64_t hash, uint64_t lead_ms,
				    struct flight_seen *seen)
{
	uint64_t word = load_acquire(&f->word), again;

	for (;; word = again) {
		uint64_t key, started, allowed, now;

		seen->word = word;
		if (flight_state(word) == FLIGHT_IDLE)
			return FLIGHT_FREE;
		if (!is_mine(w, word) && !larder_flight_led(w->s, word))
			return FLIGHT_LOST;
		if (flight_state(word) == FLIGHT_CLAIMED)
			return FLIGHT_OPENING;
		key = load_relaxed(&f->key_hash);
		started = load_relaxed(&f->started_ms);
		allowed = load_relaxed(&f->lead_ms);
		seen->token_stamp = load_relaxed(&f->token_stamp);
		/* [FLI.2] What was read belongs to the word if that still
		 * stands: the next leader stores these with release [FLI.1]
		 * after it had changed the word. */
		fence_acquire();
		again = load_acquire(&f->word);
		if (again != word)
			continue;
		now = larder_clock_ms();
		if (lead_ms && lead_ms < allowed)
			allowed = lead_ms;
		if (now > started && now - started > allowed)
			return FLIGHT_LOST;
		if (key != hash)
			return FLIGHT_OTHER;
		return is_mine(w, word) ? FLIGHT_MINE : FLIGHT_SAME;
	}
}

bool larder_flight_claim(struct worker *w, struct flight *f, uint64_t word,
			 uint64_t *mine)
{
	*mine = flight_word(flight_sequence(word) + 1, w->index, w->generation,
			    FLIGHT_CLAIMED);
	if (!cas_acqrel(&f->word, &word, *mine))
		return false;
	/* Who follows from here on counts; a count that a dead follower left
	 * ends here. */
	store_release(&f->n_followers, 0);
	return true;
}

bool larder_flight_open(struct worker *w, struct flight *f, uint64_t hash,
			const struct larder_token *token, uint64_t lead_ms,
			uint64_t *mine)
{
	uint64_t claimed = *mine;

	/* [FLI.1] Release: none of these is seen before the claim is. */
	store_release(&f->key_hash, hash);
	store_release(&f->leader, (uint64_t)w->index << 32 | w->generation);
	store_release(&f->token_stamp, token->stamp);
	store_release(&f->token_version, token->version);
	store_release(&f->started_ms, larder_clock_ms());
	store_release(&f->lead_ms, lead_ms);
	*mine = flight_word(flight_sequence(claimed), w->index, w->generation,
			    FLIGHT_LEADING);
	return cas_acqrel(&f->word, &claimed, *mine);
}

void larder_flight_end(struct segment *s, struct flight *f, uint64_t mine)
{
	uint64_t idle =
		flight_word(flight_sequence(mine) + 1, 0, 0, FLIGHT_IDLE);

	if (!cas_acqrel(&f->word, &mine, idle))
		return; /* taken over: its followers wait for another */
	/* The followers counted themselves in before they looked at the word
	 * once more. Who is missed for want of this fence wakes by itself. */
	fence_seqcst();
	if (!load_relaxed(&f->n_followers))
		return;
	fetch_add_relaxed(&f->futex, 1);
	futex_wake(&f->futex);
	fetch_add_relaxed(&s->hot->flight_wakes, 1);
	futex_wake(any_futex(s));
}

void larder_flight_join(struct flight *f)
{
	fetch_add_relaxed(&f->n_followers, 1);
	fence_seqcst();
}

void larder_flight_leave(struct flight *f)
{
	uint64_t n = load_acquire(&f->n_followers);

	/* The next leader may have begun to count from nothing. */
	while (n && !cas_acqrel(&f->n_followers, &n, n - 1))
		;
}

void larder_flight_sleep(struct flight *f, uint32_t futex, uint64_t ms)
{
	futex_wait(&f->futex, futex, ms);
}

uint32_t larder_flight_wakes(struct segment *s)
{
	return load_acquire(any_futex(s));
}

void larder_flight_sleep_any(struct segment *s, uint32_t wakes, uint64_t ms)
{
	futex_wait(any_futex(s), wakes, ms);
}
