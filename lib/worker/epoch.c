/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Advancing the epoch, expelling what is stuck, and reading hazards.
 *
 * Any process may advance at any time and may die anywhere in here: the only
 * shared stores are the expelling CAS and the CAS of the epoch, each complete
 * in itself.
 */
#include "worker/epoch.h"

#include <stdlib.h>

#include <larder/larder.h>

#include "base/clock.h"
#include "base/counters.h"

/* [EPO.2] Everything stored before is visible to every pinned process, and
 * their stores to us, when this returns true. */
static bool barrier(struct segment *s)
{
	if (s->fenced) {
		fence_seqcst();
		return true;
	}
	return larder_membarrier();
}

/*
 * Has this pin stood still for patience_ms, as far as this process saw? The
 * memory of it is private and racy between our threads: a mistake expels
 * somebody early, who then retries. So does a clock that went back: better
 * than waiting until it is there again.
 */
static bool stuck(struct segment *s, uint32_t i, uint64_t pin,
		  uint64_t patience_ms)
{
	uint64_t now = larder_clock_ms();
	atomic_u64 *seen = (atomic_u64 *)&s->stuck_pin[i];
	atomic_u64 *since = (atomic_u64 *)&s->stuck_ms[i];

	if (load_relaxed(seen) != pin) {
		store_relaxed(seen, pin);
		store_relaxed(since, now);
		return false;
	}
	return now - load_relaxed(since) >= patience_ms;
}

/* What slot i's pin says about leaving epoch @epoch. */
enum verdict { MAY_PASS, WAS_EXPELLED, MUST_WAIT };

static enum verdict judge(struct worker *w, uint32_t i, uint64_t epoch,
			  uint64_t patience_ms, uint64_t *pin)
{
	struct segment *s = w->s;
	struct slot *slot = &s->slots[i];

	*pin = load_acquire(&slot->pin); /* [EPO.3] */
	if (!*pin)
		return MAY_PASS;
	if (*pin & PIN_EXPELLED)
		return WAS_EXPELLED;
	if (pin_epoch(*pin) == epoch)
		return MAY_PASS;
	if (!larder_slot_dead(s, i) &&
	    (!EXPELS_THE_LIVING || !stuck(s, i, *pin, patience_ms)))
		return MUST_WAIT;
	/* [EPO.4] The owner sees this before it uses what it read: it pairs
	 * with [EPO.5] through the second barrier below. */
	if (!cas_acqrel(&slot->pin, pin, *pin | PIN_EXPELLED))
		return MUST_WAIT;
	*pin |= PIN_EXPELLED;
	count(w, COUNTER_EXPULSIONS, 1);
	return WAS_EXPELLED;
}

/* Some expelled pins, a few at a time: the caller's stack may be small. */
struct expelled {
	uint32_t n;
	struct {
		uint32_t slot;
		uint64_t pin;
	} at[64];
};

/*
 * Whoever *sees* an expelled pin issues the second barrier, not only its
 * expeller: otherwise an advancer that trusts the mark may free what the
 * expelled one leased just before it could see the mark. A pin that changed
 * meanwhile is a new section, not covered by it: false.
 */
static bool settle(struct segment *s, uint64_t epoch, struct expelled *e)
{
	if (e->n && !barrier(s))
		return false;
	for (uint32_t k = 0; k < e->n; k++) {
		uint64_t pin = load_acquire(&s->slots[e->at[k].slot].pin);

		if (pin && pin != e->at[k].pin &&
		    ((pin & PIN_EXPELLED) || pin_epoch(pin) != epoch))
			return false;
	}
	e->n = 0;
	return true;
}

bool larder_epoch_advance(struct worker *w, uint64_t patience_ms)
{
	struct segment *s = w->s;
	uint64_t epoch = load_acquire(&s->hot->epoch), pin;
	uint32_t n =
		(uint32_t)min_u64(load_acquire(&s->hot->hiwater), s->n_slots);
	struct expelled expelled = {0};
	bool may_pass = true;

	if (!barrier(s))
		return false;
	for (uint32_t i = 0; i < n && may_pass; i++) {
		switch (judge(w, i, epoch, patience_ms, &pin)) {
		case MUST_WAIT:
			may_pass = false;
			break;
		case WAS_EXPELLED:
			expelled.at[expelled.n].slot = i;
			expelled.at[expelled.n++].pin = pin;
			if (expelled.n ==
			    sizeof expelled.at / sizeof *expelled.at)
				may_pass = settle(s, epoch, &expelled);
			break;
		case MAY_PASS:
			break;
		}
	}
	if (!may_pass || !settle(s, epoch, &expelled))
		return load_acquire(&s->hot->epoch) > epoch;
	if (cas_acqrel(&s->hot->epoch, &epoch, epoch + 1)) /* [EPO.7] */
		count(w, COUNTER_EPOCHS, 1);
	return true;
}

static int compare_units(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint32_t hazards_of(struct segment *s, unsigned n_each, uint32_t *units)
{
	uint32_t n_slots =
		(uint32_t)min_u64(load_acquire(&s->hot->hiwater), s->n_slots);
	uint32_t n = 0;

	for (uint32_t i = 0; i < n_slots; i++)
		for (unsigned k = 0; k < n_each; k++) {
			uint64_t unit = load_acquire(&s->slots[i].hazard[k]);

			if (unit)
				units[n++] = (uint32_t)unit;
		}
	qsort(units, n, sizeof *units, compare_units);
	return n;
}

/* [HAZ.2] Read after the epoch by which the caller judges. */
uint32_t larder_hazard_snapshot(struct segment *s, uint32_t *units)
{
	return hazards_of(s, N_HAZARDS, units);
}

uint32_t larder_lease_snapshot(struct segment *s, uint32_t *units)
{
	return hazards_of(s, N_USER_HAZARDS, units);
}

bool larder_hazard_has(const uint32_t *units, uint32_t n, uint32_t unit)
{
	if (MUTANT(FREE_HELD))
		return false;
	return n && bsearch(&unit, units, n, sizeof *units, compare_units);
}
