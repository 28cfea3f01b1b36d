/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills: a miss is computed once, by whoever leads its flight.
 *
 *   begin --OK, STALE--> over
 *     |--LEAD--> put or abandon --> over
 *     `--WAIT--> wait, poll --OK, STALE, TIMEOUT--> over
 *                  |--LEAD--> put or abandon --> over
 *                  `--WAIT--> ...
 *
 * All of it is one step (step()), made again and again: look the key up; if
 * there is nothing to serve, lead the flight if it is free or its leader lost,
 * else follow it. Values come from the lookup alone, as valid as any hit, so
 * nothing said about flights can make an answer wrong. Where following makes no
 * sense (another key's flight, one that began before an invalidation, two that
 * ended without a value) a fill is led alone: computed twice, never late.
 *
 *   dies while        leaves                        noticed by
 *   leading           a flight whose word names     followers, within a slice
 *                     a slot that is not current
 *   following         one too many in n_followers   the next claim
 */
#include "cache/fill.h"

#include <stdlib.h>

#include "cache/flight.h"
#include "cache/watch.h"

enum {
	SLICE_MS = 2,
	WAIT_MS = 10000,
	LEAD_MS = 60000,
	/* A claim is opened within microseconds; after this the claimant was
	 * stopped in between. */
	OPENING_MS = 20,
	EMPTY_FLIGHTS = 2,
	MAX_LEADING = sizeof((struct worker *)0)->leading / sizeof(uint64_t),
};

/* This thread's worker, in a segment that was not put aside. */
static struct worker *open_worker(struct larder *h, int *error)
{
	struct worker *w = worker_of(h, error);

	if (w && unlikely(larder_fresh_now(w->s) & STAMP_CLOSED))
		w = larder_worker_slow(h, error);
	return w;
}

/* ------------------------------------------------------------------ */
/* Who leads what                                                      */

static void remember_lead(struct worker *w, uint64_t hash)
{
	if (w->n_leading < MAX_LEADING)
		w->leading[w->n_leading++] = hash;
}

static void forget_lead(struct worker *w, uint64_t hash)
{
	for (uint32_t i = 0; i < w->n_leading; i++) {
		if (w->leading[i] == hash) {
			w->leading[i] = w->leading[--w->n_leading];
			return;
		}
	}
}

static bool leads(const struct worker *w, uint64_t hash)
{
	for (uint32_t i = 0; i < w->n_leading; i++)
		if (w->leading[i] == hash)
			return true;
	return false;
}

/*
 * May this thread sleep until somebody else has computed the key? A thread that
 * leads may itself be waited for. It sleeps for greater hashes only: then no
 * circle of leaders can wait for each other. With more leads than it remembers
 * it sleeps for none.
 */
static bool may_sleep(const struct worker *w, uint64_t hash)
{
	if (w->n_leading == MAX_LEADING)
		return false;
	for (uint32_t i = 0; i < w->n_leading; i++)
		if (w->leading[i] >= hash)
			return false;
	return true;
}

/* Not a follower any more. */
static void leave(struct fill *f)
{
	if (f->joined)
		larder_flight_leave(f->flight);
	f->joined = false;
}

static void unwatch(struct larder *h, struct fill *f)
{
	if (f->watch)
		larder_watch_remove(h, f->watch);
	f->watch = 0;
}

/*
 * The lead is ours, of @flight claimed as @mine or of none. Between our lookup
 * and the claim the last leader may have stored its value, so look once more:
 * LARDER_OK with @view, or LARDER_LEAD, with a stale value in @view if there
 * is one.
 */
static int take_lead(struct worker *w, struct fill *f, struct flight *flight,
		     uint64_t mine, struct fill_seen *seen,
		     struct larder_view *view)
{
	uint64_t stamp = larder_fresh_now(w->s); /* [FRE.2] the token's */
	int result = larder_fill_serve(
		w, f, f->stale_error_ms ? FILL_PAST_HARD : FILL_PAST_SOFT, seen,
		view);

	leave(f);
	if (result == LARDER_OK && seen->quality == FILL_GOOD) {
		if (flight)
			larder_flight_end(w->s, flight, mine);
		return LARDER_OK;
	}
	if (result != LARDER_OK)
		memset(view, 0, sizeof *view);
	f->token.stamp = stamp & STAMP_MASK;
	f->token.version = seen->version;
	if (flight &&
	    !larder_flight_open(w, flight, f->hash, &f->token,
				f->lead_ms ? f->lead_ms : LEAD_MS, &mine))
		flight = NULL;
	f->flight = flight;
	f->word = mine;
	f->state = FILL_LEADING;
	remember_lead(w, f->hash);
	count(w, COUNTER_FILLS_LED, 1);
	return LARDER_LEAD;
}

/* The lead is given back. */
static void end_lead(struct worker *w, struct fill *f)
{
	forget_lead(w, f->hash);
	if (f->flight)
		larder_flight_end(f->s, f->flight, f->word);
	f->state = FILL_OVER;
}

/* ------------------------------------------------------------------ */
/* The step                                                            */

/* What to be told of while waiting. */
static void watched_of(const struct fill *f, struct watched *what)
{
	uint64_t started = load_relaxed(&f->flight->started_ms);
	uint64_t allowed = load_relaxed(&f->flight->lead_ms);

	if (f->lead_ms)
		allowed = min_u64(allowed, f->lead_ms);
	*what = (struct watched){
		.s = f->s,
		.flight = f->flight,
		.word = f->word,
		.deadline_ms = f->deadline_ms,
		.slot = f->slot,
		.generation = f->generation,
		.give_up_ms = f->opening_ms ? f->opening_ms + OPENING_MS + 1
					    : started + allowed + 1,
	};
}

/*
 * Follow the flight that was seen. False if that makes no sense: its token is
 * older than an invalidation of the key that came before us, it does not get
 * opened, or two flights ended without a value.
 */
static bool follow(struct worker *w, struct fill *f, bool opening,
		   const struct flight_seen *seen)
{
	uint64_t before = f->word;
	uint32_t gone =
		(flight_sequence(seen->word) - flight_sequence(before)) &
		0xffffff;

	if (!opening && (!f->joined || before != seen->word) &&
	    !larder_fresh_key(w->s, f->key, f->n_key, f->hash,
			      seen->token_stamp))
		return false;
	if (!f->joined) {
		larder_flight_join(f->flight);
		f->joined = true;
		count(w, COUNTER_FILLS_FOLLOWED, 1);
	} else if (gone >= 2 && ++f->n_empty >= EMPTY_FLIGHTS) {
		return false;
	}
	f->word = seen->word;
	if (!opening) {
		f->opening_ms = 0;
		return true;
	}
	if (!f->opening_ms || gone)
		f->opening_ms = larder_clock_ms();
	return larder_clock_ms() - f->opening_ms <= OPENING_MS;
}

/*
 * Whatever can be done about a fill that is not led, without sleeping.
 * LARDER_OK and LARDER_STALE with @view, LARDER_LEAD, LARDER_WAIT,
 * LARDER_ERR_NESTED_FILL, -ENOMEM.
 */
static int step(struct worker *w, struct fill *f, struct fill_seen *seen,
		struct larder_view *view)
{
	struct flight *flight = flight_of(w->s, f->hash);
	bool nested = leads(w, f->hash);

	f->flight = flight;
	for (;;) {
		struct flight_seen at;
		enum flight_view how;
		uint64_t mine;
		int result = larder_fill_serve(w, f, FILL_GOOD, seen, view);
		bool stale = seen->quality == FILL_PAST_SOFT;

		if (result != LARDER_MISS)
			return result;
		how = larder_flight_look(w, flight, f->hash, f->lead_ms, &at);
		if (!nested && (how == FLIGHT_FREE || how == FLIGHT_LOST)) {
			if (!larder_flight_claim(w, flight, at.word, &mine))
				continue;
			result = take_lead(w, f, flight, mine, seen, view);
			if (how == FLIGHT_LOST && result == LARDER_LEAD)
				count(w, COUNTER_FILLS_TAKEN_OVER, 1);
			return result;
		}
		if (stale) {
			/* One refreshes at a time, and it is not us. */
			result = larder_fill_serve(w, f, FILL_PAST_SOFT, seen,
						   view);
			if (result == LARDER_OK)
				return seen->quality == FILL_GOOD
					       ? LARDER_OK
					       : LARDER_STALE;
			if (result < 0)
				return result;
			continue;
		}
		if (nested || how == FLIGHT_MINE)
			return LARDER_ERR_NESTED_FILL;
		if (how != FLIGHT_OTHER &&
		    follow(w, f, how == FLIGHT_OPENING, &at))
			return LARDER_WAIT;
		return take_lead(w, f, NULL, 0, seen, view);
	}
}

/* ------------------------------------------------------------------ */
/* Beginning and waiting                                               */

/* Bind the fill to this thread and its segment, from nothing. */
static void bind(struct worker *w, struct fill *f)
{
	f->s = w->s;
	f->hash = key_hash_of(w->s, f->key, f->n_key);
	f->slot = w->index;
	f->generation = w->generation;
	f->word = 0;
	f->opening_ms = 0;
	f->n_empty = 0;
}

/* This thread's worker if the fill, in @state, is its own. A fill outlives the
 * segment it began in, if that was put aside; not its thread, and no fork. */
static struct worker *owner_of(struct larder *h, const struct fill *f,
			       enum fill_state state, int *error)
{
	struct worker *w;

	*error = -EINVAL;
	if (!h || !f || f->state != (uint32_t)state)
		return NULL;
	w = open_worker(h, error);
	if (w && w->s == f->s &&
	    (w->index != f->slot || w->generation != f->generation)) {
		*error = -EINVAL;
		return NULL;
	}
	return w;
}

static int read_options(const struct larder_fill_options *given, struct fill *f)
{
	struct larder_fill_options o = {0};

	if (given) {
		if (given->size_of < sizeof(size_t) || given->size_of > 4096)
			return -EINVAL;
		memcpy(&o, given, min_u64(given->size_of, sizeof o));
	}
	if (o.flags || o.reserved)
		return -EINVAL;
	f->deadline_ms =
		larder_clock_ms() +
		min_u64(o.wait_ms ? o.wait_ms : WAIT_MS, UINT64_MAX / 4);
	f->lead_ms = min_u64(o.lead_ms, UINT64_MAX / 4);
	f->stale_error_ms = o.stale_error_ms;
	return 0;
}

static void watch(struct larder *h, struct fill *f)
{
	struct watched what;

	watched_of(f, &what);
	if (f->watch)
		larder_watch_again(h, f->watch, &what);
	else
		f->watch = larder_watch_add(h, &what);
}

static void count_begin(struct worker *w, const struct fill_seen *seen,
			int result)
{
	if (result == LARDER_OK || result == LARDER_STALE) {
		larder_count_hit(w, &seen->found);
		if (cross_worker(w, seen->version))
			count(w, COUNTER_CROSS_WORKER_HITS, 1);
		if (result == LARDER_STALE)
			count(w, COUNTER_STALE_SERVED, 1);
	} else if (result == LARDER_LEAD || result == LARDER_WAIT) {
		count(w, COUNTER_MISSES, 1);
		if (seen->found.why != COUNTER_NONE)
			count(w, seen->found.why, 1);
	}
}

static int begin(struct larder *h, const void *key, size_t n_key,
		 const struct larder_fill_options *options, bool unwatched,
		 struct larder_fill *fill, struct larder_view *view)
{
	struct fill f = {.key = key, .n_key = (uint32_t)n_key};
	struct larder_view held = {0};
	struct worker *w;
	struct fill_seen seen;
	int result;

	if (!h || !key_valid(key, n_key) || !fill || !view ||
	    read_options(options, &f))
		return -EINVAL;
	w = open_worker(h, &result);
	if (!w)
		return result;
	bind(w, &f);
	result = step(w, &f, &seen, &held);
	count_begin(w, &seen, result);
	if (result < 0)
		return result;
	if (result == LARDER_WAIT) {
		f.state = FILL_WAITING;
		if (!unwatched)
			watch(h, &f);
	}
	*fill_of(fill) = f;
	*view = held;
	return result;
}

int larder_fill_begin(struct larder *h, const void *key, size_t n_key,
		      const struct larder_fill_options *options,
		      struct larder_fill *fill, struct larder_view *view)
{
	return begin(h, key, n_key, options, false, fill, view);
}

int larder_fill_start(struct larder *h, const void *key, size_t n_key,
		      const struct larder_fill_options *options,
		      struct larder_fill *fill, struct larder_view *view)
{
	return begin(h, key, n_key, options, true, fill, view);
}

/* One step of a fill that waits. All outcomes of step(), and LARDER_TIMEOUT;
 * the fill is over unless it waits on or is led. */
static int advance(struct larder *h, struct fill *f, bool sleeping,
		   struct larder_view *view)
{
	struct larder_view held = {0};
	struct fill_seen seen;
	int result;
	struct worker *w = owner_of(h, f, FILL_WAITING, &result);

	if (!w)
		return result;
	if (w->s != f->s) {
		leave(f);
		unwatch(h, f);
		bind(w, f);
	}
	result = step(w, f, &seen, &held);
	/* Polled, another fill of this thread may have become the leader. */
	if (result == LARDER_ERR_NESTED_FILL && !sleeping)
		result = LARDER_WAIT;
	if (result == LARDER_WAIT && larder_clock_ms() >= f->deadline_ms) {
		count(w, COUNTER_FILLS_TIMED_OUT, 1);
		result = LARDER_TIMEOUT;
	}
	if (result == LARDER_OK || result == LARDER_STALE) {
		reference_raise(seen.found.group, seen.found.slot,
				&w->nowhere[1]);
		count(w, COUNTER_FILLS_COALESCED, 1);
		if (result == LARDER_STALE)
			count(w, COUNTER_STALE_SERVED, 1);
	}
	if (result == LARDER_WAIT)
		return result;
	leave(f);
	unwatch(h, f);
	if (result != LARDER_LEAD)
		f->state = FILL_OVER;
	if (result >= 0 && result != LARDER_TIMEOUT)
		*view = held;
	return result;
}

int larder_fill_poll(struct larder *h, struct larder_fill *fill,
		     struct larder_view *view)
{
	int result;

	if (!h || !fill || !view)
		return -EINVAL;
	result = advance(h, fill_of(fill), false, view);
	if (result == LARDER_WAIT)
		watch(h, fill_of(fill));
	return result;
}

int larder_fill_alone(struct larder *h, struct larder_fill *fill,
		      struct larder_view *view)
{
	struct fill *f = fill_of(fill);
	struct larder_view held = {0};
	struct fill_seen seen;
	int result;
	struct worker *w = open_worker(h, &result);

	if (!w)
		return result;
	leave(f);
	unwatch(h, f);
	bind(w, f);
	result = take_lead(w, f, NULL, 0, &seen, &held);
	if (result != LARDER_LEAD)
		f->state = FILL_OVER;
	*view = held;
	return result;
}

int larder_fill_wait(struct larder *h, struct larder_fill *fill,
		     struct larder_view *view)
{
	struct fill *f = fill ? fill_of(fill) : NULL;
	int result;

	if (!view)
		return -EINVAL;
	/* Another's watch may have the number of one that ended with its
	 * thread. */
	if (!owner_of(h, f, FILL_WAITING, &result))
		return result;
	unwatch(h, f);
	for (;;) {
		/* Before the look: an end that comes after it is noticed. */
		uint32_t futex = load_acquire(&f->flight->futex);
		struct worker *w;
		uint64_t now;

		result = advance(h, f, true, view);
		if (result != LARDER_WAIT)
			return result;
		w = worker_of(h, &result);
		if (!w)
			return result; /* put aside just now */
		if (!may_sleep(w, f->hash))
			return larder_fill_alone(h, fill, view);
		now = larder_clock_ms();
		larder_flight_sleep(
			f->flight, futex,
			f->deadline_ms > now
				? min_u64(f->deadline_ms - now, SLICE_MS)
				: 1);
	}
}

/* ------------------------------------------------------------------ */
/* Ending                                                              */

int larder_fill_view(struct larder *h, struct larder_fill *fill,
		     struct larder_view *view)
{
	struct fill *f = fill_of(fill);
	struct fill_seen seen;
	int result;
	struct worker *w = open_worker(h, &result);

	if (!w)
		return result;
	if (w->s != f->s)
		return LARDER_MISS;
	return larder_fill_serve(w, f, FILL_GOOD, &seen, view);
}

void larder_fill_count_stale(struct larder *h)
{
	int error;
	struct worker *w = worker_of(h, &error);

	if (w)
		count(w, COUNTER_STALE_SERVED, 1);
}

int larder_fill_put(struct larder *h, struct larder_fill *fill,
		    const void *value, size_t n_value,
		    const struct larder_put_options *options)
{
	struct fill *f = fill ? fill_of(fill) : NULL;
	int result;
	struct worker *w = owner_of(h, f, FILL_LEADING, &result);

	if (!w)
		return result;
	/* A token says nothing in another segment than its own. */
	result = w->s == f->s
			 ? larder_store(w, STORE_FILL, f->key, f->n_key, value,
					n_value, 0, options, &f->token)
			 : LARDER_STALE_FILL;
	end_lead(w, f);
	return result;
}

void larder_fill_abandon(struct larder *h, struct larder_fill *fill)
{
	struct fill *f = fill ? fill_of(fill) : NULL;
	int error;
	struct worker *w;

	if (!h || !f)
		return;
	w = owner_of(h, f, FILL_LEADING, &error);
	if (w) {
		end_lead(w, f);
		return;
	}
	w = owner_of(h, f, FILL_WAITING, &error);
	if (w) {
		leave(f);
		unwatch(h, f);
		f->state = FILL_OVER;
	}
}

int larder_fill_token(const struct larder_fill *fill,
		      struct larder_token *token)
{
	const struct fill *f = (const struct fill *)fill;

	if (!f || !token || f->state != FILL_LEADING)
		return -EINVAL;
	*token = f->token;
	token->stamp |= token_mark(f->s);
	return 0;
}

int larder_token(struct larder *h, const void *key, size_t n_key,
		 struct larder_token *token)
{
	struct fill f = {.key = key, .n_key = (uint32_t)n_key};
	struct worker *w;
	struct fill_seen seen;
	uint64_t stamp;
	int error;
	bool ours = false;

	if (!h || !key_valid(key, n_key) || !token)
		return -EINVAL;
	w = open_worker(h, &error);
	if (!w)
		return error;
	bind(w, &f);
	stamp = larder_fresh_now(w->s); /* [FRE.2] */
	while (!ours) {
		larder_pin(w);
		larder_fill_find(w, &f, &seen);
		ours = larder_pin_ok(w);
		larder_unpin(w);
		if (!ours)
			count(w, COUNTER_EXPELLED, 1);
	}
	token->stamp = (stamp & STAMP_MASK) | token_mark(w->s);
	token->version = seen.version;
	return 0;
}
