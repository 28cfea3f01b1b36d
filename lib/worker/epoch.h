/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Grace periods across processes: pins, the epoch, expulsion and hazards.
 *
 * A reader pins the epoch it saw; memory unlinked in epoch e is reused when the
 * epoch is e + 3 and no hazard names it. A pin that does not move is expelled
 * by whoever advances: its owner learns so from its own pin word, before it
 * trusts what it read or changes anything [EPO.5].
 *
 * Sources: epoch-based reclamation (Fraser 2004), hazard pointers (Michael
 * 2004), asymmetric fences by membarrier, expulsion after PEBR (Kang and Jung,
 * PLDI 2020), here with any observer of an expelled pin issuing the second
 * barrier itself. Model: tests/model/reclamation.pml.
 */
#ifndef LARDER_WORKER_EPOCH_H
#define LARDER_WORKER_EPOCH_H

#include "base/mutant.h"
#include "worker/worker.h"

enum { GRACE = 3 };

/* The pin that follows: the next section, in the epoch seen last. */
static inline uint64_t larder_pin_next(const struct worker *w)
{
	return w->pin + PIN_SECTION;
}

/* The epoch that this thread's next pin will name. */
static inline void larder_pin_remember(struct worker *w, uint64_t epoch)
{
	w->epoch = epoch;
	w->pin = (w->pin & ~(PIN_SECTION - 1)) |
		 field_put(epoch, PIN_EPOCH_SHIFT, 40) | PIN_ACTIVE;
}

/*
 * [EPO.1] Store a pin of the epoch seen last, then look whether it still is.
 *   The barrier is a compiler's in asymmetric mode: the advancer's membarrier
 *   [EPO.2] makes this store visible before the advancer reads pins, or this
 *   load see what the advancer published. In fenced mode it is a real fence.
 */
static inline void larder_pin(struct worker *w)
{
	const struct segment *s = w->s;
	atomic_u64 *pin = &w->slot->pin;
	uint64_t epoch;

	for (;;) {
		w->pin = larder_pin_next(w);
		/* Release: an advancer that reads this pin and not the unpin
		 * before it still sees all of the section before [EPO.6]. */
		store_release(pin, w->pin);
		if (unlikely(s->fenced))
			fence_seqcst();
		else
			compiler_barrier();
		epoch = load_acquire(&s->hot->epoch);
		if (likely(epoch == w->epoch))
			return;
		larder_pin_remember(w, epoch);
	}
}

/*
 * [EPO.5] Is the section still ours? Loads of the section must be done before
 * this one: acquire fence (no instruction on x86). Pairs with the expelling
 * CAS [EPO.4], which precedes any reuse of what was read.
 */
static inline bool larder_pin_ok(struct worker *w)
{
	fence_acquire();
	if (MUTANT(NO_SELF_CHECK))
		return true;
	return likely(load_relaxed(&w->slot->pin) == w->pin);
}

/* The same, by a writer about to change something. */
static inline bool larder_may_write(struct worker *w)
{
	return MUTANT(NO_WRITER_CHECK) || larder_pin_ok(w);
}

/* [EPO.6] Release: a hazard set inside is visible to whoever sees us unpinned
 * and scans hazards afterwards [HAZ.2]. */
static inline void larder_unpin(struct worker *w)
{
	store_release(&w->slot->pin, 0);
}

/*
 * [HAZ.1] Announce that @unit must not be freed. True if the section was still
 * ours afterwards: then the hazard was visible before any scan [HAZ.2] that
 * could free what this section can reach. On false the hazard is taken back.
 */
static inline bool larder_hazard_set(struct worker *w, unsigned i,
				     uint32_t unit)
{
	if (MUTANT(NO_HAZARD))
		return larder_pin_ok(w);
	/* Release, as the clearing: who reads this and not the one before sees
	 * all that was done under that. */
	store_release(&w->slot->hazard[i], unit);
	if (w->s->fenced)
		fence_seqcst();
	else
		compiler_barrier();
	if (likely(MUTANT(HAZARD_UNCHECKED) || larder_pin_ok(w)))
		return true;
	store_release(&w->slot->hazard[i], 0);
	return false;
}

/* Release: what the holder did with the entry happens before its reuse. */
static inline void larder_hazard_clear(struct worker *w, unsigned i)
{
	store_release(&w->slot->hazard[i], 0);
}

/*
 * Try to move the epoch on by one. Expels pins that have not moved for
 * @patience_ms (and those of the dead at once). True if the epoch is now past
 * what it was when called, whoever moved it. Not while pinned.
 */
bool larder_epoch_advance(struct worker *w, uint64_t patience_ms);

/* Sorted units under hazard by anybody, as of now; @units has room for
 * n_slots * N_HAZARDS. The epoch is to be read before [HAZ.2]. */
uint32_t larder_hazard_snapshot(struct segment *s, uint32_t *units);
/* The same of leases alone: units that are not had by unlinking them. A hint,
 * for whoever chooses what to evict. */
uint32_t larder_lease_snapshot(struct segment *s, uint32_t *units);
bool larder_hazard_has(const uint32_t *units, uint32_t n, uint32_t unit);

enum { PATIENCE_MS = 100, PATIENCE_URGENT_MS = 4 };

/*
 * Two test builds expel the dead alone. Where slot words have versions of a few
 * bits, an expelled writer that was stopped right before its CAS would meet its
 * old word again within milliseconds, and not within hours. And what an
 * expelled reader reads, to throw it away, is a race by intent: with none,
 * whatever TSan reports is a mistake.
 */
#if defined(LARDER_SHORT_VERSIONS) || defined(LARDER_TSAN)
enum { EXPELS_THE_LIVING = 0 };
#else
enum { EXPELS_THE_LIVING = 1 };
#endif

/* Has the grace period of @retired (24 bits) passed at @epoch? */
static inline bool larder_grace_over(uint64_t epoch, uint32_t retired)
{
	uint32_t age = (uint32_t)(epoch - retired) & 0xffffff;

	return age >= (MUTANT(GRACE_ONE) ? 1 : GRACE) && age < 0x800000;
}

#endif
