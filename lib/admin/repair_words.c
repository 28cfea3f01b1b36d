/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repairing the words that are no entries: the counter and what it numbers,
 * worker slots, hints and counts. A number that cannot be right becomes the
 * counter's own: then everything it may have stood for is invalid.
 */
#include <stdio.h>
#include <string.h>

#include "admin/check.h"
#include "admin/repair.h"
#include "base/clock.h"
#include "cache/flight.h"
#include "cache/fresh.h"
#include "cache/pattern.h"
#include "cache/words.h"
#include "store/page.h"

#define U(n) ((unsigned long long)(n))

static uint64_t counter_of(const struct repair *r)
{
	return larder_fresh_now(r->s) & STAMP_MASK;
}

static void repair_set(struct repair *r, struct tag_set *set, const char *name,
		       uint64_t i)
{
	uint64_t counter = counter_of(r);
	char where[64];
	bool doubtful = false;

	for (unsigned k = 0; k < TAG_WORDS; k++) {
		uint64_t word = load_relaxed(&set->word[k]);

		if (!word ||
		    ((word & STAMP_MASK) && (word & STAMP_MASK) <= counter))
			continue;
		store_relaxed(&set->word[k], 0);
		doubtful = true;
	}
	if (load_relaxed(&set->floor) > counter)
		doubtful = true;
	if (!doubtful)
		return;
	store_relaxed(&set->floor, counter);
	snprintf(where, sizeof where, "%s %llu", name, U(i));
	larder_repair_say(r, LARDER_DAMAGE, where,
			  "a number above the counter: what was stored before "
			  "now under its %ss is invalid",
			  name[0] == 't' ? "tag" : "key");
}

static void repair_pattern(struct repair *r, uint32_t i)
{
	struct segment *s = r->s;
	struct pattern *p = &s->patterns[i];
	atomic_u64 *at = &s->hot->pattern_word[i];
	uint64_t word = load_relaxed(at), counter = counter_of(r);
	uint32_t n = load_relaxed(&p->n_text);
	char glob[LARDER_PATTERN_MAX], where[64];
	enum pattern_state state = pattern_state(word);
	bool good = n >= 1 && n <= sizeof glob &&
		    load_relaxed(&p->match) <= LARDER_MATCH_TAGS &&
		    (load_relaxed(&p->generation) & 0xfff) ==
			    pattern_generation(word) &&
		    pattern_number(word) >= 1 &&
		    pattern_number(word) <= counter &&
		    i < load_relaxed(&s->hot->pattern_slots);

	if (state == PATTERN_FREE && !pattern_number(word))
		return;
	for (uint32_t k = 0; good && k < n; k++)
		glob[k] = (char)load_relaxed(&p->text[k]);
	good = good && larder_glob(glob, n, "", 0) >= 0;
	if (good && (state == PATTERN_SETTLED || state == PATTERN_DRAWING)) {
		store_relaxed(at, pattern_word(pattern_number(word),
					       pattern_generation(word),
					       PATTERN_SETTLED));
		store_relaxed(&p->created_ms, larder_clock_ms());
		return;
	}
	if (state != PATTERN_CLAIMED ||
	    pattern_number(word) >> 32 >= s->n_slots) {
		raise_acqrel(&s->hot->everything, counter);
		snprintf(where, sizeof where, "pattern %u", i);
		larder_repair_say(r, LARDER_DAMAGE, where,
				  "it cannot be read: everything stored before "
				  "now is invalid");
	}
	store_relaxed(at, pattern_word(0, pattern_generation(word) + 1,
				       PATTERN_FREE));
}

static void repair_ring(struct repair *r)
{
	uint64_t last = counter_of(r), n_wrong = 0;
	uint64_t first = last > RING_CELLS ? last - RING_CELLS + 1 : 2;

	for (uint64_t n = first; n <= last; n++) {
		atomic_u64 *cell = ring_of(r->s, n);

		if (ring_cell_is(load_relaxed(cell), n))
			continue;
		store_relaxed(cell, ring_cell(RING_WILD, n));
		n_wrong++;
	}
	if (n_wrong)
		larder_repair_say(r, LARDER_DAMAGE, "ring",
				  "%llu announcements were missing: hits look "
				  "closer there",
				  U(n_wrong));
}

static void repair_flights(struct repair *r)
{
	for (uint32_t i = 0; i < r->s->sb->n_flights; i++) {
		struct flight *f = &r->s->flights[i];
		uint64_t word = load_relaxed(&f->word);

		if (word & ((UINT64_C(1) << 40) - 1))
			store_relaxed(&f->word,
				      flight_word(flight_sequence(word) + 1, 0,
						  0, FLIGHT_IDLE));
		store_relaxed(&f->n_followers, 0);
	}
}

static void repair_everything(struct repair *r)
{
	struct hot *hot = r->s->hot;
	uint64_t counter = counter_of(r);

	if (load_relaxed(&hot->everything) > counter) {
		store_relaxed(&hot->everything, counter);
		larder_repair_say(r, LARDER_DAMAGE, "hot words",
				  "the number of everything was above the "
				  "counter: all that was stored before now is "
				  "invalid");
	}
	if (load_relaxed(&hot->retired_early) > counter)
		store_relaxed(&hot->retired_early, counter);
	if (load_relaxed(&hot->pattern_slots) > N_PATTERNS)
		store_relaxed(&hot->pattern_slots, N_PATTERNS);
}

/*
 * What an invalidation left half done is finished first: its number is one
 * ahead, and drawing it is what whoever meets it would do.
 */
static bool number_ahead(const struct repair *r)
{
	struct segment *s = r->s;
	uint64_t next = counter_of(r) + 1;

	if (load_relaxed(&s->hot->everything) == next)
		return true;
	for (uint32_t i = 0; i < s->sb->n_tag_sets + s->sb->n_key_sets; i++) {
		const struct tag_set *set =
			i < s->sb->n_tag_sets ? &s->tags[i]
					      : &s->keys[i - s->sb->n_tag_sets];

		for (unsigned k = 0; k < TAG_WORDS; k++)
			if ((load_relaxed(&set->word[k]) & STAMP_MASK) == next)
				return true;
	}
	for (uint32_t i = 0; i < N_PATTERNS; i++) {
		uint64_t word = load_relaxed(&s->hot->pattern_word[i]);

		if (pattern_state(word) == PATTERN_DRAWING &&
		    pattern_number(word) == next)
			return true;
	}
	return false;
}

/* More invalidations than a machine gets through. A counter beyond is damaged,
 * and would come to its end soon after the repair. */
#define STAMP_PLAUSIBLE (STAMP_MASK >> 1)

void larder_repair_freshness(struct repair *r)
{
	struct segment *s = r->s;
	atomic_u64 *stamp = &s->hot->stamp;
	uint64_t seen = load_relaxed(stamp) & ~STAMP_CLOSED;

	if (seen < 1 || seen > STAMP_PLAUSIBLE) {
		seen = clamp_u64(seen, 1, STAMP_PLAUSIBLE);
		larder_repair_say(r, LARDER_DAMAGE, "hot words",
				  "the invalidation counter could not be "
				  "right: it goes on from %llu",
				  U(seen));
	}
	store_relaxed(stamp, seen | STAMP_CLOSED);
	if (number_ahead(r)) {
		store_relaxed(ring_of(s, seen + 1),
			      ring_cell(RING_WILD, seen + 1));
		store_relaxed(stamp, (seen + 1) | STAMP_CLOSED);
	}
	repair_everything(r);
	for (uint32_t i = 0; i < s->sb->n_tag_sets; i++)
		repair_set(r, &s->tags[i], "tag set", i);
	for (uint32_t i = 0; i < s->sb->n_key_sets; i++)
		repair_set(r, &s->keys[i], "key set", i);
	repair_ring(r);
	for (uint32_t i = 0; i < N_PATTERNS; i++)
		repair_pattern(r, i);
	repair_flights(r);
}

/* ------------------------------------------------------------------ */

/* False if it cannot be made. */
static bool fresh_mutex(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attributes;
	bool good;

	if (pthread_mutexattr_init(&attributes))
		return false;
	good = !pthread_mutexattr_setpshared(&attributes,
					     PTHREAD_PROCESS_SHARED) &&
	       !pthread_mutexattr_setrobust(&attributes,
					    PTHREAD_MUTEX_ROBUST) &&
	       !pthread_mutex_init(mutex, &attributes);
	pthread_mutexattr_destroy(&attributes);
	return good;
}

static bool slot_at_rest(const struct segment *s, uint32_t i)
{
	struct slot *slot = &s->slots[i];
	bool rest = larder_alive_word(s, i) == LARDER_WORKER_FREE &&
		    slot->claim.__data.__kind == larder_check_mutex_kind() &&
		    !load_relaxed(&slot->pin) &&
		    !(load_relaxed(&slot->generation) & 1);

	for (unsigned k = 0; k < N_HAZARDS; k++)
		rest = rest && !load_relaxed(&slot->hazard[k]);
	return rest;
}

static void repair_slot(struct repair *r, uint32_t i)
{
	struct slot *slot = &r->s->slots[i];
	struct cell *cell = &r->s->cells[i];
	uint32_t generation = load_relaxed(&slot->generation);
	uint64_t sequence = load_relaxed(&slot->sequence);

	/* Only when forced: what its owner has in its hands stays its own. One
	 * that never came to the end of its claim has nothing in them. */
	if ((generation & 1) &&
	    larder_alive_slot(r->s, i) == LARDER_WORKER_LIVE)
		return;
	if (!slot_at_rest(r->s, i))
		r->result.n_slots_reset++;
	fresh_mutex(&slot->claim);
	store_relaxed(&slot->pin, 0);
	for (unsigned k = 0; k < N_HAZARDS; k++)
		store_relaxed(&slot->hazard[k], 0);
	store_relaxed(&slot->leased_units, 0);
	store_relaxed(&slot->generation, generation + (generation & 1));
	if (sequence < 1 || sequence >> 52)
		store_relaxed(&slot->sequence, 1); /* the groups raise it */
	if (load_relaxed(&slot->first_sequence) > load_relaxed(&slot->sequence))
		store_relaxed(&slot->first_sequence,
			      load_relaxed(&slot->sequence));
	for (unsigned k = 0; k < N_COUNTERS; k++) {
		if (load_relaxed(&cell->counter[k]) > COUNTER_MOST)
			store_relaxed(&cell->counter[k], 0);
		if (load_relaxed(&cell->baseline[k]) >
		    load_relaxed(&cell->counter[k]))
			store_relaxed(&cell->baseline[k],
				      load_relaxed(&cell->counter[k]));
	}
}

void larder_repair_slots(struct repair *r)
{
	for (uint32_t i = 0; i < r->s->n_slots; i++)
		repair_slot(r, i);
}

/* ------------------------------------------------------------------ */

static bool hand_good(const struct segment *s, uint64_t unit)
{
	return unit >= s->first_unit && unit <= s->end_unit;
}

void larder_repair_counts(struct repair *r)
{
	struct segment *s = r->s;
	struct hot *hot = s->hot;
	uint64_t epoch = load_relaxed(&hot->epoch);

	for (unsigned k = 0; k < MAX_CLASSES; k++) {
		struct pool *pool = &s->pools[k];

		store_relaxed(&pool->n_probation, r->n_probation[k]);
		store_relaxed(&pool->n_main, r->n_main[k]);
		store_relaxed(&pool->n_pages, r->n_pages[k]);
		if (!hand_good(s, load_relaxed(&pool->hand_probation)))
			store_relaxed(&pool->hand_probation, 0);
		if (!hand_good(s, load_relaxed(&pool->hand_main)))
			store_relaxed(&pool->hand_main, 0);
		if (load_relaxed(&pool->target) > 65536)
			store_relaxed(&pool->target, 0);
		store_relaxed(&pool->page_cursor, 0);
		store_relaxed(&pool->lock_hint, 0);
	}
	/* Nothing is RETIRED and nobody pinned: any epoch will do. */
	if (epoch < FIRST_EPOCH || epoch >> 40) {
		store_relaxed(&hot->epoch, FIRST_EPOCH);
		larder_repair_say(r, LARDER_DAMAGE, "hot words",
				  "the epoch could not be right: it goes on "
				  "from %d",
				  FIRST_EPOCH);
	}
	store_relaxed(&hot->hiwater, s->n_slots);
	store_relaxed(&hot->n_entries, r->n_live);
	store_relaxed(&hot->kept_units, r->n_kept_units);
	store_relaxed(&hot->region_units, r->n_region_units);
	store_relaxed(&hot->free_pages, r->n_free_pages);
	store_relaxed(&hot->maintainer, 0);
	store_relaxed(&hot->maintain_cursor, 0);
	store_relaxed(&hot->page_cursor, 0);
	store_relaxed(&hot->audit_wanted, 0);
}

void larder_repair_open(struct repair *r)
{
	fetch_and_acqrel(&r->s->hot->stamp, ~STAMP_CLOSED);
}
