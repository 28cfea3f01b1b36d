/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the dead left, and the sweep: slab.h. An object is judged by its header,
 * under a hazard, whoever had it in hand. What is half done is finished; two
 * who do so at once do no harm.
 */
#include "store/slab.h"

#include <stdlib.h>

#include <larder/larder.h>

#include "base/clock.h"
#include "base/counters.h"
#include "cache/fresh.h"
#include "store/entry.h"
#include "store/evict.h"
#include "store/index.h"
#include "store/page.h"

enum { RECOVER_TRIES = 8 };

static bool alloc_orphaned(struct segment *s, uint64_t header)
{
	uint32_t i = HEADER_OWNER(header);
	uint32_t generation;

	if (i >= s->n_slots)
		return true;
	generation = load_acquire(&s->slots[i].generation);
	return (generation & 0xffffff) != HEADER_EXTRA(header) ||
	       !larder_slot_current(s, i, generation);
}

/* Is the unit linked in its key's group? Completes a pending announcement of
 * that group first. -1: not known, the section was lost. */
static int linked(struct worker *w, uint32_t unit, const struct entry_view *v,
		  uint64_t *hash)
{
	struct segment *s = w->s;
	struct group *g;
	uint64_t ctl, word;

	*hash = larder_hash(s->sb->secret, v->key, v->n_key);
	g = group_of(s, *hash);
	ctl = load_acquire(&g->ctl);
	if (ctl_index(ctl) && larder_index_help(w, g, ctl) == INDEX_EXPELLED)
		return -1;
	if (larder_index_find_unit(g, unit, &word) >= 0)
		return 1;
	return larder_pin_ok(w) ? 0 : -1;
}

/* An ALLOC whose owner is gone: LIVE if it was linked, RETIRED if not. Pinned,
 * HAZARD_OLD set and the page word checked by the caller. */
static void finish_orphan(struct worker *w, uint32_t unit, unsigned class,
			  uint64_t header)
{
	struct segment *s = w->s;
	struct entry_view v;
	uint64_t hash, live = header_word(HEADER_LIVE, 0,
					  HEADER_GENERATION(header), 0);
	int is_linked = 0;

	if (larder_entry_view(s, unit, &v))
		is_linked = linked(w, unit, &v, &hash);
	if (is_linked < 0 || !larder_may_write(w))
		return;
	if (!is_linked || MUTANT(ORPHAN_RETIRED)) {
		larder_slab_retire(w, unit, header);
		larder_evict_unlinked(w, class, unit);
	} else if (cas_acqrel(&entry_at(s, unit)->header, &header, live)) {
		larder_evict_adopt(w, class, unit, live);
	}
	count(w, COUNTER_ORPHANS, 1);
}

void larder_slab_recover_unit(struct worker *w, uint32_t unit, uint32_t slot,
			      uint32_t generation)
{
	struct segment *s = w->s;
	unsigned class;
	bool ours = false;

	/* Again if the section was lost; who is that slow too often leaves it
	 * to the sweep. */
	for (int tries = 0; tries < RECOVER_TRIES && !ours; tries++) {
		if (!unit_valid(s, unit))
			return;
		larder_pin(w);
		if (larder_hazard_set(w, HAZARD_OLD, unit)) {
			uint64_t word = load_acquire(
				&s->page_words[page_of_unit(s, unit)]);
			uint64_t header =
				larder_header_in_page(s, unit, word, &class);

			if (HEADER_STATE(header) == HEADER_ALLOC &&
			    HEADER_OWNER(header) == slot &&
			    HEADER_EXTRA(header) == (generation & 0xffffff))
				finish_orphan(w, unit, class, header);
			ours = larder_pin_ok(w);
		}
		larder_hazard_clear(w, HAZARD_OLD);
		larder_unpin(w);
	}
}

static void sweep_live(struct worker *w, uint32_t unit, unsigned class,
		       uint64_t header, struct census *census)
{
	struct segment *s = w->s;
	struct entry_view v;
	uint64_t hash;
	int is_linked;

	if (!larder_entry_view(s, unit, &v))
		return; /* damage: check reports it */
	is_linked = linked(w, unit, &v, &hash);
	if (is_linked < 0)
		return;
	if (!is_linked) {
		/* Dead, or not yet through, between unlink and retire. */
		larder_slab_retire(w, unit, header);
		larder_evict_unlinked(w, class, unit);
		return;
	}
	if (v.flags & LARDER_KEEP) {
		if (census)
			*(v.flags & LARDER_REGION ? &census->n_region_units
						  : &census->n_kept_units) +=
				larder_object_units(s, unit, class);
		return;
	}
	if (v.hard_ms && larder_clock_ms() >= v.hard_ms) {
		larder_evict_unit(w, unit, hash, class, EVICT_EXPIRED);
		return;
	}
	if (!larder_fresh_sweep(w, unit, &v, hash)) {
		larder_evict_unit(w, unit, hash, class, EVICT_INVALID);
		return;
	}
	larder_evict_adopt(w, class, unit, header);
	if (census) {
		census->n_live++;
		if (bit_test(s->main_bits, unit))
			census->n_main[class]++;
		else
			census->n_probation[class]++;
	}
}

/* Of a death between retiring and unmarking. Who allocated the memory just now
 * may have marked it anew: what is LIVE is marked again, here or by the next
 * sweep. */
static void forget_marks(struct worker *w, unsigned class, uint32_t unit)
{
	uint64_t header;

	larder_evict_unlinked(w, class, unit);
	header = load_acquire(&entry_at(w->s, unit)->header);
	if (HEADER_STATE(header) == HEADER_LIVE)
		larder_evict_adopt(w, class, unit, header);
}

static void sweep_object(struct worker *w, uint32_t unit, uint64_t epoch,
			 const uint32_t *hazards, uint32_t n_hazards,
			 struct census *census)
{
	struct segment *s = w->s;
	unsigned class;
	uint64_t word, header;

	larder_pin(w);
	if (!larder_hazard_set(w, HAZARD_OLD, unit)) {
		larder_unpin(w);
		return;
	}
	word = load_acquire(&s->page_words[page_of_unit(s, unit)]);
	header = larder_header_in_page(s, unit, word, &class);
	switch (HEADER_STATE(header)) {
	case HEADER_FREE:
		if (class == RUN_CLASS) {
			larder_run_free(w, page_of_unit(s, unit));
			break;
		}
		if (!bit_test(s->hint_bits, unit))
			larder_slab_hint(w, class, unit);
		if (bit_test(s->probation_bits, unit) ||
		    bit_test(s->main_bits, unit))
			forget_marks(w, class, unit);
		break;
	case HEADER_ALLOC:
		if (alloc_orphaned(s, header))
			finish_orphan(w, unit, class, header);
		break;
	case HEADER_LIVE:
		/* A hint of when it was free, by who did not know in whose
		 * hands; our hazard keeps it from being freed. */
		if (class != RUN_CLASS && bit_test(s->hint_bits, unit))
			bit_clear(s->hint_bits, unit);
		sweep_live(w, unit, class, header, census);
		break;
	case HEADER_RETIRED:
		larder_slab_free_ripe(w, unit, epoch, hazards, n_hazards);
		break;
	default:
		break;
	}
	larder_hazard_clear(w, HAZARD_OLD);
	larder_unpin(w);
}

void larder_slab_sweep_page(struct worker *w, uint32_t page,
			    struct census *census)
{
	struct segment *s = w->s;
	uint64_t word = load_acquire(&s->page_words[page]), epoch;
	uint32_t *hazards, n_hazards, units, first = page_first_unit(s, page);

	/* What a dead one was draining is an ordinary page again, and may hold
	 * what it had just unlinked: swept now, not the next time around. */
	if (larder_page_mend(w, page, word))
		word = load_acquire(&s->page_words[page]);
	switch (PAGE_STATE(word)) {
	case PAGE_ACTIVE:
		units = larder_class_units(s, PAGE_CLASS(word));
		if (!units)
			return; /* damage: of no class */
		if (!class_bit_test(s, s->class_bits, PAGE_CLASS(word), page))
			class_bit_set(s, s->class_bits, PAGE_CLASS(word), page);
		break;
	case PAGE_RUN_HEAD:
		if (!class_bit_test(s, s->class_bits, RUN_CLASS, page))
			class_bit_set(s, s->class_bits, RUN_CLASS, page);
		units = page_units(s);
		break;
	case PAGE_FREE:
		if (census)
			census->n_free_pages++;
		return;
	default:
		return;
	}
	if (census)
		census->n_pages[PAGE_STATE(word) == PAGE_RUN_HEAD
					? RUN_CLASS
					: PAGE_CLASS(word) % MAX_CLASSES]++;
	hazards = malloc(sizeof *hazards * s->n_slots * N_HAZARDS);
	if (!hazards)
		return;
	epoch = load_acquire(&s->hot->epoch);
	n_hazards = larder_hazard_snapshot(s, hazards);
	for (uint32_t i = 0; i < page_units(s) / units; i++)
		sweep_object(w, first + i * units, epoch, hazards, n_hazards,
			     census);
	free(hazards);
}

bool larder_slab_audit(struct worker *w, unsigned class)
{
	struct segment *s = w->s;
	uint32_t units = larder_class_units(s, class);
	bool found = false;

	for (uint32_t page = class_next_page(s, s->class_bits, class, 0);
	     page < s->n_pages;
	     page = class_next_page(s, s->class_bits, class, page + 1)) {
		uint32_t first = page_first_unit(s, page);
		uint64_t word = load_acquire(&s->page_words[page]);

		if (PAGE_STATE(word) != PAGE_ACTIVE ||
		    PAGE_CLASS(word) != class)
			continue;
		for (uint32_t i = 0; i < page_units(s) / units; i++) {
			uint32_t unit = first + i * units;
			uint64_t h = load_acquire(&entry_at(s, unit)->header);

			if (HEADER_STATE(h) == HEADER_FREE) {
				larder_slab_hint(w, class, unit);
				found = true;
			} else if (HEADER_STATE(h) == HEADER_RETIRED ||
				   (HEADER_STATE(h) == HEADER_ALLOC &&
				    alloc_orphaned(s, h))) {
				larder_slab_sweep_page(w, page, NULL);
				found = true;
			}
		}
	}
	return found;
}
