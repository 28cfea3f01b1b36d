/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hands: evict.h. Policies differ in what a hand does with what it meets:
 *
 *   CLOCK   one part only; a reference buys one more round
 *   BASE    probation of 10 %, two references promote, ghost brings back
 *   FIN     BASE, and: the share adapts between 5 and 30 % by which ghost is
 *           hit; after 64 victims without a promotion one is promoted, so that
 *           a loop larger than the cache keeps a part of itself; a main hand
 *           that met 64 references in a row takes the next entry anyway
 *   COST    FIN, and: a victim that was dear for its bytes gets more rounds
 */
#include "store/evict.h"

#include <larder/larder.h>

#include "base/clock.h"
#include "base/counters.h"
#include "store/ghost.h"
#include "store/index.h"
#include "store/marks.h"
#include "store/page.h"
#include "store/slab.h"

enum {
	SHARE_ONE = 65536, /* targets are in 65536ths of the pool */
	SHARE_START = SHARE_ONE / 10,
	SHARE_MIN = SHARE_ONE / 20,
	SHARE_MAX = SHARE_ONE * 3 / 10,
	SHARE_STEP = 13, /* 0.0002 */
	RECENT_AGE = 6,	 /* of 64: a quick return after probation */
	PROMOTE_REFERENCES = 2,
	FLOOR_VICTIMS = 64,
	MAIN_PATIENCE = 64,
};

static bool adaptive(const struct segment *s)
{
	return s->sb->policy == LARDER_POLICY_FIN ||
	       s->sb->policy == LARDER_POLICY_COST;
}

static uint64_t pool_target(const struct segment *s, struct pool *pool,
			    uint64_t n)
{
	uint64_t share = load_relaxed(&pool->target);

	if (!share || !adaptive(s))
		share = SHARE_START;
	return max_u64(n * share / SHARE_ONE, 1);
}

/* Counts are hints, and a death may have left one too low. */
static void decrement(atomic_u64 *n)
{
	uint64_t seen = load_relaxed(n);

	while (seen && !cas_acqrel(n, &seen, seen - 1))
		;
}

void larder_evict_linked(struct worker *w, unsigned class, uint32_t unit,
			 bool in_main)
{
	struct segment *s = w->s;
	struct pool *pool = &s->pools[class];
	bool main = in_main || s->sb->policy == LARDER_POLICY_CLOCK;

	/* One that a death left behind is counted already. */
	if (!bit_set(main ? s->main_bits : s->probation_bits, unit))
		return;
	fetch_add_relaxed(main ? &pool->n_main : &pool->n_probation, 1);
	fetch_add_relaxed(&s->hot->n_entries, 1);
}

void larder_evict_adopt(struct worker *w, unsigned class, uint32_t unit,
			uint64_t header)
{
	struct segment *s = w->s;

	if (bit_test(s->probation_bits, unit) || bit_test(s->main_bits, unit) ||
	    !larder_hazard_set(w, HAZARD_OLD, unit) ||
	    (entry_flags(entry_at(s, unit)) & LARDER_KEEP))
		return;
	larder_evict_linked(w, class, unit, false);
	/* Retired meanwhile: whoever did it may have looked for marks before.
	 */
	if (load_acquire(&entry_at(s, unit)->header) != header)
		larder_evict_unlinked(w, class, unit);
}

bool larder_evict_unlinked(struct worker *w, unsigned class, uint32_t unit)
{
	struct segment *s = w->s;
	struct pool *pool = &s->pools[class];
	bool in_main = bit_clear(s->main_bits, unit);

	if (in_main) {
		decrement(&pool->n_main);
		decrement(&s->hot->n_entries);
	}
	if (bit_clear(s->probation_bits, unit)) {
		decrement(&pool->n_probation);
		decrement(&s->hot->n_entries);
	}
	return in_main;
}

void larder_evict_replaced(struct worker *w, unsigned old_class,
			   uint32_t old_unit, unsigned class, uint32_t unit)
{
	struct segment *s = w->s;
	atomic_u64 *bits = s->main_bits;

	if (old_class != class) {
		larder_evict_linked(
			w, class, unit,
			larder_evict_unlinked(w, old_class, old_unit));
		return;
	}
	/* Of one class the counts stay as they are: each of their words is
	 * everybody's. */
	if (!bit_test(bits, old_unit) || !bit_clear(bits, old_unit)) {
		bits = s->probation_bits;
		if (!bit_clear(bits, old_unit)) {
			/* It was kept, or its hints were lost. */
			larder_evict_linked(w, class, unit, false);
			return;
		}
	}
	/* One that a death left behind was counted too. */
	if (!bit_set(bits, unit)) {
		decrement(bits == s->main_bits ? &s->pools[class].n_main
					       : &s->pools[class].n_probation);
		decrement(&s->hot->n_entries);
	}
}

void larder_evict_keep(struct worker *w, atomic_u64 *n, unsigned class,
		       uint32_t unit, bool more)
{
	uint64_t units = larder_object_units(w->s, unit, class);
	uint64_t seen = load_relaxed(n);

	while (!cas_acqrel(n, &seen,
			   more ? seen + units : seen - min_u64(seen, units)))
		;
}

static void remember(struct worker *w, uint64_t hash, unsigned class,
		     bool in_main)
{
	struct segment *s = w->s;

	if (s->sb->policy == LARDER_POLICY_CLOCK)
		return;
	if (!in_main) {
		fetch_add_relaxed(&s->hot->evicted, 1);
		larder_ghost_add(s, hash, class);
	} else if (adaptive(s)) {
		larder_ghost_main_add(s, hash, class);
	}
}

static const unsigned reason_counter[] = {
	[EVICT_SPACE] = COUNTER_EVICTIONS,
	[EVICT_CONFLICT] = COUNTER_EVICTIONS_CONFLICT,
	[EVICT_DRAIN] = COUNTER_EVICTIONS_DRAIN,
	[EVICT_EXPIRED] = COUNTER_EXPIRATIONS,
	[EVICT_INVALID] = COUNTER_SWEPT_INVALID,
};

int larder_evict_unit(struct worker *w, uint32_t unit, uint64_t hash,
		      unsigned class, enum evict_reason reason)
{
	struct segment *s = w->s;
	struct group *g = group_of(s, hash);
	uint64_t word, header;
	unsigned references;
	bool in_main;
	int i, result;

	i = larder_index_find_unit(g, unit, &word);
	if (i < 0)
		return INDEX_CHANGED;
	if (!larder_hazard_set(w, HAZARD_OLD, unit))
		return INDEX_EXPELLED;
	header = load_acquire(&entry_at(s, unit)->header);
	references = reference_get(g, (unsigned)i);
	result = larder_index_unlink(w, g, (unsigned)i, word);
	if (result != INDEX_DONE)
		return result;
	larder_slab_retire(w, unit, header);
	in_main = larder_evict_unlinked(w, class, unit);
	count(w, reason_counter[reason], 1);
	if (reason != EVICT_SPACE && reason != EVICT_INVALID)
		count(w, COUNTER_EVICTIONS, reason != EVICT_EXPIRED);
	/* An expired entry that was in use will be asked for again. */
	if (reason == EVICT_SPACE || reason == EVICT_CONFLICT ||
	    reason == EVICT_DRAIN)
		remember(w, hash, class, in_main);
	else if (reason == EVICT_EXPIRED && (in_main || references))
		larder_ghost_add(s, hash, class);
	return INDEX_DONE;
}

/* ------------------------------------------------------------------ */
/* Hands                                                               */

/* What a hand finds at a marked unit. */
struct candidate {
	struct entry_view v;
	struct group *g;
	uint64_t hash;
	int slot;
	bool doomed; /* expired or invalid: goes whatever its references */
	enum evict_reason reason;
};

enum met { MET_ENTRY, MET_NOTHING, MET_EXPELLED, MET_END };

static enum met meet(struct worker *w, uint32_t unit, unsigned class,
		     struct candidate *c)
{
	struct segment *s = w->s;
	unsigned found;
	uint64_t word, page_state;

	if (!larder_hazard_set(w, HAZARD_OLD, unit))
		return MET_EXPELLED;
	page_state = load_acquire(&s->page_words[page_of_unit(s, unit)]);
	if (!larder_unit_in_page(s, unit, page_state, &found) || found != class)
		return MET_NOTHING;
	word = load_acquire(&entry_at(s, unit)->header);
	if (HEADER_STATE(word) != HEADER_LIVE ||
	    !larder_entry_view(s, unit, &c->v))
		return MET_NOTHING;
	/* Marks are hints; that it is kept is not. */
	if (c->v.flags & LARDER_KEEP) {
		larder_evict_unlinked(w, class, unit);
		return MET_NOTHING;
	}
	c->hash = larder_hash(s->sb->secret, c->v.key, c->v.n_key);
	c->g = group_of(s, c->hash);
	c->slot = larder_index_find_unit(c->g, unit, &word);
	if (c->slot < 0)
		return MET_NOTHING;
	c->reason = EVICT_SPACE;
	if (c->v.hard_ms && larder_clock_ms() >= c->v.hard_ms)
		c->reason = EVICT_EXPIRED;
	else if (entry_stamp(c->v.e) < load_relaxed(&s->hot->everything))
		c->reason = EVICT_INVALID;
	c->doomed = c->reason != EVICT_SPACE;
	return larder_pin_ok(w) ? MET_ENTRY : MET_EXPELLED;
}

/* A mark that no entry stands behind. An entry that is just being published
 * has its header ALLOC and keeps its mark. */
static void forget_mark(struct worker *w, atomic_u64 *bits, atomic_u64 *n,
			uint32_t unit)
{
	uint64_t header = load_acquire(&entry_at(w->s, unit)->header);

	if (HEADER_STATE(header) != HEADER_ALLOC &&
	    HEADER_STATE(header) != HEADER_LIVE && bit_clear(bits, unit)) {
		decrement(n);
		decrement(&w->s->hot->n_entries);
	}
}

/* Of x > 0, in 256ths; linear between powers of two. */
static unsigned log2_256(uint64_t x)
{
	unsigned n = 63 - (unsigned)__builtin_clzll(x);

	return n * 256 + ((n < 8 ? x << (8 - n) : x >> (n - 8)) & 255);
}

/*
 * What is dear for its bytes stays longer: it goes at a visit with a chance of
 * typical cost to its own, so that the rounds it gets are in proportion (what
 * GreedyDual, Young 1994, does with a clock of costs), but 1 in 16 at least: it
 * gets old, and goes. Typical is the geometric mean of what the hands met: an
 * arithmetic one is what a few dear ones make it, and of two kinds, one cheap
 * and one dear, a median would be either. The memory is private: an estimate.
 */
bool larder_evict_spares(struct worker *w, const struct entry_view *v)
{
	uint64_t typical = w->typical_cost; /* log2_256() times 64 */
	uint64_t per_kib, own, draw, above;

	if (w->s->sb->policy != LARDER_POLICY_COST || !v->cost_ns)
		return false;
	per_kib = v->cost_ns / ((v->n_value + v->n_key) / 1024 + 1);
	own = log2_256(max_u64(per_kib, 2));
	if (!typical)
		typical = own * 64;
	typical = typical - typical / 64 + own;
	w->typical_cost = typical;
	if (own <= typical / 64)
		return false;
	above = own - typical / 64;
	draw = random_next(&w->random) % 4096;
	return draw >= 256 &&
	       (above >= 4 * 256 ||
		draw >= (4096 >> above / 256) * (512 - above % 256) / 512);
}

/* Leased units, sorted: evicting them would lose entries and free nothing. */
struct leased {
	uint32_t *units;
	uint32_t n;
};

/* One of the two parts of a class: its marks, and the hand that goes over them.
 */
struct part {
	atomic_u64 *bits, *n, *hand;
};

/* One step of a hand: MET_ENTRY if it met one that may go, MET_END if no mark
 * is left. Pinned, not always in the same section afterwards. */
static enum met meet_next(struct worker *w, unsigned class,
			  const struct part *part, const struct leased *leased,
			  uint32_t *unit, struct candidate *c)
{
	enum met met;

	*unit = larder_marks_next(w->s, class, part->bits,
				  (uint32_t)load_relaxed(part->hand));
	if (!*unit)
		return MET_END;
	store_relaxed(part->hand, *unit + 1);
	larder_marks_ahead(w, class, part->bits, *unit);
	count(w, COUNTER_HAND_VISITS, 1);
	met = meet(w, *unit, class, c);
	if (met == MET_EXPELLED) {
		larder_unpin(w);
		larder_pin(w);
	} else if (met == MET_NOTHING) {
		forget_mark(w, part->bits, part->n, *unit);
	} else if (unlikely(leased->n) && !c->doomed &&
		   larder_hazard_has(leased->units, leased->n, *unit)) {
		return MET_NOTHING;
	}
	return met;
}

/* The probation hand: 1 if an entry was evicted, 0 if none is there. */
static int sweep_probation(struct worker *w, unsigned class,
			   const struct leased *leased)
{
	struct segment *s = w->s;
	struct pool *pool = &s->pools[class];
	const struct part part = {s->probation_bits, &pool->n_probation,
				  &pool->hand_probation};
	uint64_t limit = load_relaxed(&pool->n_probation) + 64;

	for (uint64_t visits = 0; visits < limit; visits++) {
		struct candidate c;
		uint64_t since = load_relaxed(&pool->since);
		uint32_t unit;
		enum met met = meet_next(w, class, &part, leased, &unit, &c);

		if (met == MET_END)
			break;
		if (met != MET_ENTRY)
			continue;
		if (!c.doomed && (reference_get(c.g, (unsigned)c.slot) >=
					  PROMOTE_REFERENCES ||
				  (adaptive(s) && since >= FLOOR_VICTIMS))) {
			if (bit_clear(s->probation_bits, unit)) {
				decrement(&pool->n_probation);
				if (bit_set(s->main_bits, unit))
					fetch_add_relaxed(&pool->n_main, 1);
				else
					decrement(&s->hot->n_entries);
			}
			reference_set(c.g, (unsigned)c.slot, 0);
			store_relaxed(&pool->since, 0);
			continue;
		}
		if (!c.doomed && larder_evict_spares(w, &c.v))
			continue;
		if (larder_evict_unit(w, unit, c.hash, class, c.reason) ==
		    INDEX_DONE) {
			store_relaxed(&pool->since, since + 1);
			return 1;
		}
	}
	return 0;
}

static int sweep_main(struct worker *w, unsigned class,
		      const struct leased *leased)
{
	struct segment *s = w->s;
	struct pool *pool = &s->pools[class];
	const struct part part = {s->main_bits, &pool->n_main,
				  &pool->hand_main};
	uint64_t limit = load_relaxed(&pool->n_main) * (REFERENCE_CAP + 1) + 64;
	unsigned spared = 0;

	for (uint64_t visits = 0; visits < limit; visits++) {
		struct candidate c;
		unsigned references;
		uint32_t unit;
		enum met met = meet_next(w, class, &part, leased, &unit, &c);

		if (met == MET_END)
			break;
		if (met != MET_ENTRY)
			continue;
		references = reference_get(c.g, (unsigned)c.slot);
		if (!c.doomed && references &&
		    !(adaptive(s) && spared >= MAIN_PATIENCE)) {
			reference_set(c.g, (unsigned)c.slot, references - 1);
			spared++;
			continue;
		}
		if (!c.doomed && larder_evict_spares(w, &c.v))
			continue;
		if (larder_evict_unit(w, unit, c.hash, class, c.reason) ==
		    INDEX_DONE)
			return 1;
	}
	return 0;
}

/* One entry of the class. A part whose hand came back empty had a wrong count:
 * it is set right, and the other part is tried. */
static int evict_one(struct worker *w, unsigned class,
		     const struct leased *leased)
{
	struct pool *pool = &w->s->pools[class];
	uint64_t n_probation = load_relaxed(&pool->n_probation);
	uint64_t n_main = load_relaxed(&pool->n_main);
	uint64_t target = pool_target(w->s, pool, n_probation + n_main);

	if (n_probation && (n_probation >= target || !n_main)) {
		if (sweep_probation(w, class, leased))
			return 1;
		if (larder_marks_next(w->s, class, w->s->probation_bits, 0) ==
		    0)
			store_relaxed(&pool->n_probation, 0);
	}
	if (sweep_main(w, class, leased))
		return 1;
	if (larder_marks_next(w->s, class, w->s->main_bits, 0) == 0)
		store_relaxed(&pool->n_main, 0);
	return sweep_probation(w, class, leased);
}

static uint32_t evict(struct worker *w, unsigned class, uint32_t n,
		      const struct leased *leased)
{
	uint32_t done = 0;

	larder_pin(w);
	while (done < n && evict_one(w, class, leased)) {
		done++;
		/* A fresh section for each: a long one would hold the epoch. */
		larder_hazard_clear(w, HAZARD_OLD);
		larder_unpin(w);
		larder_pin(w);
	}
	larder_hazard_clear(w, HAZARD_OLD);
	larder_unpin(w);
	return done;
}

uint32_t larder_evict(struct worker *w, unsigned class, uint32_t n)
{
	struct segment *s = w->s;
	struct leased leased = {
		.units = malloc(sizeof(uint32_t) * s->n_slots * N_USER_HAZARDS),
	};
	uint32_t done;

	if (leased.units)
		leased.n = larder_lease_snapshot(s, leased.units);
	done = evict(w, class, n, &leased);
	free(leased.units);
	return done;
}

bool larder_evict_any(struct worker *w, unsigned preferred)
{
	struct segment *s = w->s;
	/* What is wanted is one entry less, not its memory. */
	const struct leased none = {0};
	unsigned most = preferred;
	uint64_t most_n = 0;

	if (evict(w, preferred, 1, &none))
		return true;
	for (unsigned c = 0; c < MAX_CLASSES; c++) {
		uint64_t n = load_relaxed(&s->pools[c].n_probation) +
			     load_relaxed(&s->pools[c].n_main);

		if (c != preferred && n > most_n) {
			most_n = n;
			most = c;
		}
	}
	return most != preferred && evict(w, most, 1, &none);
}

uint32_t larder_evict_batch(struct worker *w, unsigned class)
{
	struct pool *pool = &w->s->pools[class];
	uint64_t n =
		load_relaxed(&pool->n_probation) + load_relaxed(&pool->n_main);

	return class == RUN_CLASS ? 1 : (uint32_t)clamp_u64(n / 64, 1, 256);
}

/* ------------------------------------------------------------------ */

bool larder_evict_from_group(struct worker *w, struct group *g)
{
	struct segment *s = w->s;
	uint32_t coldest_unit = 0;
	unsigned coldest = ~0u, class = 0;
	uint64_t coldest_hash = 0;

	for (unsigned i = 0; i < GROUP_SLOTS; i++) {
		uint32_t unit = slot_unit(load_acquire(&g->slot[i]));
		unsigned warmth, found;
		struct entry_view v;

		if (!unit_valid(s, unit) || !larder_entry_view(s, unit, &v) ||
		    (v.flags & (LARDER_KEEP | LARDER_REGION)) ||
		    !larder_unit_in_page(
			    s, unit,
			    load_acquire(&s->page_words[page_of_unit(s, unit)]),
			    &found))
			continue;
		warmth = reference_get(g, i) * 2 +
			 (bit_test(s->main_bits, unit) ? 1 : 0);
		if (v.hard_ms && larder_clock_ms() >= v.hard_ms)
			warmth = 0;
		if (warmth < coldest) {
			coldest = warmth;
			coldest_unit = unit;
			coldest_hash =
				larder_hash(s->sb->secret, v.key, v.n_key);
			class = found;
		}
	}
	if (!coldest_unit || !larder_pin_ok(w))
		return coldest_unit != 0;
	larder_evict_unit(w, coldest_unit, coldest_hash, class, EVICT_CONFLICT);
	return true;
}

bool larder_evict_remembered(struct worker *w, uint64_t hash, unsigned class)
{
	struct segment *s = w->s;
	struct pool *pool = &s->pools[class];
	uint64_t share;
	int age;

	if (s->sb->policy == LARDER_POLICY_CLOCK)
		return false;
	age = larder_ghost_take(s, hash, class);
	if (age >= 0) {
		count(w, COUNTER_GHOST_HITS, 1);
		fetch_add_relaxed(&pool->ghost_hits, 1);
		store_relaxed(&pool->since, 0);
	}
	if (!adaptive(s))
		return age >= 0;
	share = load_relaxed(&pool->target);
	if (!share)
		share = SHARE_START;
	if (age >= 0 && age <= RECENT_AGE)
		share += SHARE_STEP;
	else if (larder_ghost_main_take(s, hash, class))
		share -= SHARE_STEP;
	store_relaxed(&pool->target, clamp_u64(share, SHARE_MIN, SHARE_MAX));
	return age >= 0;
}
