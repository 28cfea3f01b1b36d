/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking the words that are no entries: epoch and counter, worker slots,
 * pools, and the tables of freshness and fills.
 *
 * A word that only rises is loaded after what it bounds, so that an operation
 * between the two loads explains more, never less.
 */
#include "admin/check.h"

#include <string.h>

#include "cache/flight.h"
#include "cache/pattern.h"
#include "cache/words.h"

#define U(n) ((unsigned long long)(n))

/* ------------------------------------------------------------------ */

/* A number that an invalidation drew, or is about to draw. */
static void check_number(struct check *c, uint32_t sub, const char *what,
			 uint64_t number)
{
	uint64_t stamp = check_stamp(c);

	if (number > stamp + 1)
		damage(c, sub, "%s is %llu, the counter is at %llu", what,
		       U(number), U(stamp));
	else if (number == stamp + 1)
		pending(c, sub,
			"%s is %llu, one ahead of the counter: an "
			"invalidation under way",
			what, U(number));
}

void larder_check_hot(struct check *c)
{
	struct segment *s = c->s;
	struct hot *hot = s->hot;
	uint64_t epoch = load_acquire(&hot->epoch);
	uint64_t stamp = load_acquire(&hot->stamp) & ~STAMP_CLOSED;
	uint64_t n, cursor = load_relaxed(&hot->maintain_cursor);

	if (epoch < FIRST_EPOCH || epoch >> 40)
		damage(c, 0, "epoch %llu is not in %d..2^40", U(epoch),
		       FIRST_EPOCH);
	if (stamp < 1 || stamp > STAMP_MASK)
		damage(c, 1, "the invalidation counter is %llu, not in 1..2^48",
		       U(stamp));
	check_number(c, 2, "the number of everything",
		     load_acquire(&hot->everything));
	check_number(c, 3, "the number of a pattern retired early",
		     load_acquire(&hot->retired_early));
	n = load_acquire(&hot->pattern_slots);
	if (n > N_PATTERNS)
		damage(c, 4, "%llu patterns in use, there are %d", U(n),
		       N_PATTERNS);
	n = load_acquire(&hot->hiwater);
	if (n > s->n_slots)
		damage(c, 5, "%llu slots ever claimed, there are %u", U(n),
		       s->n_slots);
	n = load_relaxed(&hot->maintainer) >> 32;
	if (n > s->n_slots)
		damage(c, 6, "the maintainer is in worker slot %llu of %u",
		       U(n - 1), s->n_slots);
	if (cursor > s->n_pages)
		damage(c, 7, "the sweep is at page %llu of %u", U(cursor),
		       s->n_pages);
	if (load_relaxed(&hot->page_cursor) > s->n_pages)
		damage(c, 8, "free pages are looked for at page %llu of %u",
		       U(load_relaxed(&hot->page_cursor)), s->n_pages);
	n = load_relaxed(&hot->free_pages);
	if (n > s->n_pages)
		pending(c, 9, "a hint counts %llu free pages of %u", U(n),
			s->n_pages);
	n = load_relaxed(&hot->n_entries);
	if (c->quiet && n > s->n_units)
		pending(c, 10, "a hint counts %llu entries in %u units", U(n),
			s->n_units);
}

/* ------------------------------------------------------------------ */
/* Worker slots                                                        */

enum {
	SUB_CLAIM = 100,
	SUB_PIN,
	SUB_SEQUENCE,
	SUB_MUTEX,
	SUB_LEASED,
	SUB_CELL = 200
};

/* Robust and shared between processes: anything else, and the death of its
 * holder would go unnoticed. glibc keeps both in the mutex's kind. */
int larder_check_mutex_kind(void)
{
	pthread_mutexattr_t attributes;
	pthread_mutex_t mutex;
	int kind = -1;

	if (pthread_mutexattr_init(&attributes))
		return -1;
	if (!pthread_mutexattr_setpshared(&attributes,
					  PTHREAD_PROCESS_SHARED) &&
	    !pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) &&
	    !pthread_mutex_init(&mutex, &attributes)) {
		kind = mutex.__data.__kind;
		pthread_mutex_destroy(&mutex);
	}
	pthread_mutexattr_destroy(&attributes);
	return kind;
}

static void check_claim(struct check *c, struct slot *slot)
{
	uint32_t i = (uint32_t)c->index;
	uint32_t generation = load_acquire(&slot->generation);
	int state = larder_alive_word(c->s, i),
	    kind = larder_check_mutex_kind();
	uint64_t pin = load_acquire(&slot->pin);
	uint64_t epoch = load_acquire(&c->s->hot->epoch);

	if (kind >= 0 && slot->claim.__data.__kind != kind)
		damage(c, SUB_MUTEX, "its mutex is of kind %d, not %d",
		       slot->claim.__data.__kind, kind);
	if (state == LARDER_WORKER_DEAD)
		pending(c, SUB_CLAIM, "its owner died and is not recovered");
	else if ((state == LARDER_WORKER_LIVE) != (generation & 1))
		pending(c, SUB_CLAIM, "%s, generation %u: between two owners",
			state == LARDER_WORKER_LIVE ? "held" : "free",
			generation);
	else if (state == LARDER_WORKER_LIVE &&
		 i >= load_acquire(&c->s->hot->hiwater))
		pending(c, SUB_CLAIM,
			"held, and not yet in the count of slots "
			"ever claimed");
	if (!pin)
		return;
	if (state == LARDER_WORKER_FREE)
		damage(c, SUB_PIN, "pinned at epoch %llu, and free",
		       U(pin_epoch(pin)));
	if (!(pin & PIN_ACTIVE) || (pin & 0xff) > (PIN_ACTIVE | PIN_EXPELLED))
		damage(c, SUB_PIN, "its pin ends in %02llx", U(pin & 0xff));
	if (pin_epoch(pin) > epoch)
		damage(c, SUB_PIN, "pinned at epoch %llu, the present is %llu",
		       U(pin_epoch(pin)), U(epoch));
}

void larder_check_slot(struct check *c)
{
	struct slot *slot = &c->s->slots[c->index];
	struct cell *cell = &c->s->cells[c->index];
	uint64_t first = load_acquire(&slot->first_sequence);
	uint64_t sequence = load_acquire(&slot->sequence);

	check_claim(c, slot);
	for (unsigned k = 0; k < N_HAZARDS; k++) {
		uint64_t unit = load_acquire(&slot->hazard[k]);

		if (unit && (unit >> 32 || !unit_valid(c->s, (uint32_t)unit)))
			damage(c, k,
			       "hazard %u names unit %llu, outside of "
			       "the pages",
			       k, U(unit));
	}
	if (sequence < 1 || sequence >> 52)
		damage(c, SUB_SEQUENCE, "sequence %llu is not in 1..2^52",
		       U(sequence));
	else if (first > sequence)
		damage(c, SUB_SEQUENCE,
		       "sequence %llu, and its owner began at %llu",
		       U(sequence), U(first));
	if (load_relaxed(&slot->leased_units) > c->s->n_units)
		damage(c, SUB_LEASED, "%llu units leased of %u",
		       U(load_relaxed(&slot->leased_units)), c->s->n_units);
	for (unsigned k = 0; k < N_COUNTERS; k++) {
		uint64_t baseline = load_acquire(&cell->baseline[k]);
		uint64_t now = load_acquire(&cell->counter[k]);

		if (now > COUNTER_MOST)
			damage(c, SUB_CELL + k,
			       "counter %u is %llu, more than can be counted",
			       k, U(now));
		else if (baseline > now)
			damage(c, SUB_CELL + k,
			       "counter %u is %llu, its owner began at %llu", k,
			       U(now), U(baseline));
	}
}

/* ------------------------------------------------------------------ */

static bool hand_good(const struct segment *s, uint64_t unit)
{
	return unit == 0 || (unit >= s->first_unit && unit <= s->end_unit);
}

void larder_check_pool(struct check *c)
{
	struct segment *s = c->s;
	struct pool *pool = &s->pools[c->index];
	uint64_t hand = load_relaxed(&pool->hand_probation);
	uint64_t n = load_relaxed(&pool->n_probation);
	bool used = c->index < s->n_classes || c->index == RUN_CLASS;

	if (!hand_good(s, hand))
		damage(c, 0,
		       "the probation hand is at unit %llu, outside of "
		       "the pages",
		       U(hand));
	hand = load_relaxed(&pool->hand_main);
	if (!hand_good(s, hand))
		damage(c, 1,
		       "the main hand is at unit %llu, outside of the "
		       "pages",
		       U(hand));
	if (load_relaxed(&pool->target) > 65536)
		damage(c, 2, "the probation share is %llu of 65536",
		       U(load_relaxed(&pool->target)));
	if (load_relaxed(&pool->page_cursor) > s->n_pages)
		damage(c, 3, "free objects are looked for at page %llu of %u",
		       U(load_relaxed(&pool->page_cursor)), s->n_pages);
	if (!c->quiet || !used)
		return;
	if (n != c->n_probation[c->index])
		pending(c, 4,
			"a hint counts %llu entries on probation, %llu "
			"are marked",
			U(n), U(c->n_probation[c->index]));
	n = load_relaxed(&pool->n_main);
	if (n != c->n_main[c->index])
		pending(c, 5,
			"a hint counts %llu entries in the main part, "
			"%llu are marked",
			U(n), U(c->n_main[c->index]));
}

/* ------------------------------------------------------------------ */
/* Freshness                                                           */

static void check_set(struct check *c, struct tag_set *set)
{
	for (unsigned i = 0; i < TAG_WORDS; i++) {
		uint64_t word = load_acquire(&set->word[i]);

		if (word && !(word & STAMP_MASK))
			damage(c, i, "word %u has a fingerprint and no number",
			       i);
		else
			check_number(c, i, "a word", word & STAMP_MASK);
	}
	check_number(c, TAG_WORDS, "the floor", load_acquire(&set->floor));
}

void larder_check_tag_set(struct check *c)
{
	check_set(c, &c->s->tags[c->index]);
}

void larder_check_key_set(struct check *c)
{
	check_set(c, &c->s->keys[c->index]);
}

/* The last numbers drawn are announced: all but those that the next ones may
 * have overwritten since. Numbers begin with 2. */
void larder_check_ring(struct check *c)
{
	uint64_t last = check_stamp(c);
	uint64_t first = last > RING_CELLS ? last - RING_CELLS + 1 : 2;

	for (uint64_t n = first; n <= last; n++) {
		uint64_t cell = load_acquire(ring_of(c->s, n));

		if (!ring_cell_is(cell, n) &&
		    n + RING_CELLS > check_stamp(c) + 1)
			damage(c, (uint32_t)(n % RING_CELLS),
			       "number %llu was drawn and is not announced",
			       U(n));
	}
}

static void check_pattern_text(struct check *c, struct pattern *p,
			       uint64_t word)
{
	char glob[LARDER_PATTERN_MAX];
	uint32_t n = load_relaxed(&p->n_text), match = load_relaxed(&p->match);
	uint64_t generation = load_relaxed(&p->generation);
	uint64_t slots = load_acquire(&c->s->hot->pattern_slots);

	for (uint32_t k = 0; k < n && k < sizeof glob; k++)
		glob[k] = (char)load_relaxed(&p->text[k]);
	fence_acquire();
	if (load_acquire(&c->s->hot->pattern_word[c->index]) != word)
		return;
	if (n < 1 || n > LARDER_PATTERN_MAX)
		damage(c, 1, "its text has %u bytes, not 1..%d", n,
		       LARDER_PATTERN_MAX);
	else if (larder_glob(glob, n, "", 0) < 0)
		damage(c, 1, "its text is no pattern");
	if (match > LARDER_MATCH_TAGS)
		damage(c, 2, "it matches %u, the last is %d", match,
		       LARDER_MATCH_TAGS);
	if ((generation & 0xfff) != pattern_generation(word))
		damage(c, 3, "its text is of generation %llu, not %u",
		       U(generation & 0xfff), pattern_generation(word));
	if (c->index >= slots)
		damage(c, 4, "only %llu patterns were ever in use", U(slots));
}

void larder_check_pattern(struct check *c)
{
	struct segment *s = c->s;
	uint64_t word = load_acquire(&s->hot->pattern_word[c->index]);
	uint64_t number = pattern_number(word);

	switch ((unsigned)pattern_state(word)) {
	case PATTERN_FREE:
		if (number)
			damage(c, 0, "FREE, and has number %llu", U(number));
		break;
	case PATTERN_CLAIMED:
		if (number >> 32 >= s->n_slots)
			damage(c, 0, "CLAIMED by worker slot %llu of %u",
			       U(number >> 32), s->n_slots);
		else
			pending(c, 0, "CLAIMED: its text is being written");
		break;
	case PATTERN_DRAWING:
		pending(c, 0, "DRAWING: its invalidator has not returned");
		/* fall through */
	case PATTERN_SETTLED:
		if (!number)
			damage(c, 5, "effective, and has no number");
		check_number(c, 6, "its number", number);
		check_pattern_text(c, &s->patterns[c->index], word);
		break;
	default:
		damage(c, 0, "its state is %u, the last is %d",
		       (unsigned)pattern_state(word), PATTERN_SETTLED);
		break;
	}
}

void larder_check_flight(struct check *c)
{
	struct segment *s = c->s;
	struct flight *f = &s->flights[c->index];
	uint64_t word = load_acquire(&f->word), token;
	uint32_t slot = flight_slot(word);

	switch ((unsigned)flight_state(word)) {
	case FLIGHT_IDLE:
		if (slot || flight_generation(word))
			damage(c, 0, "IDLE, and names worker slot %u", slot);
		return;
	case FLIGHT_CLAIMED:
	case FLIGHT_LEADING:
		break;
	default:
		damage(c, 0, "its state is %u, the last is %d",
		       (unsigned)flight_state(word), FLIGHT_LEADING);
		return;
	}
	if (slot >= s->n_slots)
		damage(c, 0, "led by worker slot %u of %u", slot, s->n_slots);
	else if (!larder_check_owner(c, slot, flight_generation(word),
				     0xffffff))
		pending(c, 0, "led by worker slot %u, whose owner is gone",
			slot);
	if (flight_state(word) != FLIGHT_LEADING)
		return;
	token = load_relaxed(&f->token_stamp);
	fence_acquire();
	if (load_acquire(&f->word) == word && token > check_stamp(c))
		damage(c, 1, "its token is of %llu, the counter is at %llu",
		       U(token), U(check_stamp(c)));
}
