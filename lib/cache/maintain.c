/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Housekeeping: a share of the sweep, by whoever calls, and what each worker
 * does between its own changes.
 *
 * One maintainer at a time, named by slot and generation in hot->maintainer; a
 * dead one's place is taken by CAS, and so is that of one under which nothing
 * moves any more: it may never call again. At the end of a round it gives way
 * itself. It only saves others from doing the same work twice: everything it
 * does, any process may do at any time.
 */
#include "cache/cache.h"

#include "store/balance.h"
#include "store/evict.h"
#include "store/page.h"

enum {
	DEFAULT_PAGES = 64,
	STOPPED_MS = 1000,
	UPKEEP_EVERY = 64, /* changes */
	RECOVER_EVERY = 1024,
	ADVANCE_SHARE = 256,
	ADVANCE_MOST = 1024, /* a grace period of these fits the ring */
};

static uint64_t maintainer_id(const struct worker *w)
{
	return (uint64_t)(w->index + 1) << 32 | w->generation;
}

/* Does nothing move under this maintainer any more, as far as this thread saw?
 * It may have stopped, or call no more; what it has begun may be done twice. */
static bool has_stopped(struct worker *w, uint64_t who)
{
	struct hot *hot = w->s->hot;
	uint64_t at = load_relaxed(&hot->maintain_round) * w->s->n_pages +
		      load_relaxed(&hot->maintain_cursor);
	uint64_t now = larder_clock_ms();

	if (w->maintainer != who || w->maintained != at ||
	    now < w->maintainer_ms) {
		w->maintainer = who;
		w->maintained = at;
		w->maintainer_ms = now;
	}
	return now - w->maintainer_ms >= STOPPED_MS;
}

static bool become_maintainer(struct worker *w)
{
	atomic_u64 *who = &w->s->hot->maintainer;
	uint64_t seen = load_acquire(who), me = maintainer_id(w);

	if (seen == me)
		return true;
	if (seen &&
	    larder_slot_current(w->s, (uint32_t)(seen >> 32) - 1,
				(uint32_t)seen) &&
	    !has_stopped(w, seen))
		return false;
	return cas_acqrel(who, &seen, me);
}

/* Between two rounds nothing is lost if another one goes on. */
static void resign(struct worker *w)
{
	uint64_t me = maintainer_id(w);

	if (!load_relaxed(&w->s->hot->maintain_cursor))
		cas_acqrel(&w->s->hot->maintainer, &me, 0);
}

/* Counts of a whole round, private to the maintainer's worker, which forgets
 * them when it attaches anew. A round that changed hands is begun again. */
struct round {
	struct census census;
	uint64_t id, began_ms;
	uint64_t next; /* page; elsewhere, somebody else has swept */
};
_Static_assert(sizeof(struct round) <= ROUND_BYTES, "a worker has room for it");

/*
 * A death may have left the hints wrong by what the dead one had in hand. They
 * are set right by what a whole round saw; what others did meanwhile is not in
 * it, so only a difference that a death explains is worth it.
 */
static void correct_hints(struct worker *w, const struct census *c)
{
	struct segment *s = w->s;

	for (unsigned k = 0; k < MAX_CLASSES; k++) {
		struct pool *pool = &s->pools[k];

		store_relaxed(&pool->n_probation, c->n_probation[k]);
		store_relaxed(&pool->n_main, c->n_main[k]);
		store_relaxed(&pool->n_pages, c->n_pages[k]);
	}
	store_relaxed(&s->hot->n_entries, c->n_live);
	store_relaxed(&s->hot->free_pages, c->n_free_pages);
	store_relaxed(&s->hot->kept_units, c->n_kept_units);
	store_relaxed(&s->hot->region_units, c->n_region_units);
}

/* Groups beside the pages: a pending announcement of the dead. */
static void help_groups(struct worker *w, uint32_t page)
{
	struct segment *s = w->s;
	uint64_t per_page = div_up(s->n_groups, s->n_pages);

	for (uint64_t i = page * per_page;
	     i < min_u64((page + 1) * per_page, s->n_groups); i++) {
		uint64_t ctl = load_acquire(&s->groups[i].ctl);

		if (!ctl_index(ctl))
			continue;
		larder_pin(w);
		larder_index_help(w, &s->groups[i], ctl);
		larder_unpin(w);
	}
}

/*
 * Has enough been retired for an advance? Its barrier interrupts every reader
 * for some microseconds: as seldom as what waits meanwhile allows, which is
 * about 1/256 of the segment for each of the epochs of a grace period.
 */
static bool advance_is_due(const struct worker *w, uint32_t n_retired)
{
	const struct segment *s = w->s;
	uint64_t most =
		clamp_u64((uint64_t)s->n_groups * GROUP_TYPICAL / ADVANCE_SHARE,
			  UPKEEP_EVERY, ADVANCE_MOST);

	return n_retired >= most ||
	       (n_retired && w->stored_units >= s->n_units / ADVANCE_SHARE);
}

void larder_upkeep(struct worker *w)
{
	w->puts++;
	if (w->puts % UPKEEP_EVERY)
		return;
	if (advance_is_due(w, w->retired_tail - w->retired_upkeep)) {
		w->retired_upkeep = w->retired_tail;
		w->stored_units = 0;
		larder_epoch_advance(w, PATIENCE_MS);
	}
	larder_slab_reclaim(w, false, PATIENCE_MS);
	if (w->puts % RECOVER_EVERY == 0) {
		larder_slots_recover(w, false);
		larder_balance(w);
	}
}

int larder_maintain(struct larder *h, uint32_t n_pages)
{
	struct round *round;
	int error;
	struct worker *w = worker_of(h, &error);
	struct segment *s;

	if (!w)
		return error;
	s = w->s;
	round = (struct round *)w->round;
	if (!become_maintainer(w))
		return LARDER_WAIT;
	larder_slots_recover(w, true);
	larder_epoch_advance(w, PATIENCE_MS);
	larder_slab_reclaim(w, false, PATIENCE_MS);

	n_pages = (uint32_t)min_u64(n_pages ? n_pages : DEFAULT_PAGES,
				    s->n_pages);
	for (uint32_t k = 0; k < n_pages; k++) {
		uint32_t page =
			(uint32_t)load_relaxed(&s->hot->maintain_cursor);

		if (page >= s->n_pages)
			page = 0;
		if (page == 0) {
			memset(round, 0, sizeof *round);
			round->id = maintainer_id(w);
			round->began_ms = larder_clock_ms();
		} else if (page != round->next) {
			round->id = 0;
		}
		round->next = page + 1;
		larder_slab_sweep_page(w, page, &round->census);
		help_groups(w, page);
		store_relaxed(&s->hot->maintain_cursor, page + 1);
		if (page + 1 < s->n_pages)
			continue;
		store_relaxed(&s->hot->maintain_cursor, 0);
		fetch_add_relaxed(&s->hot->maintain_round, 1);
		if (round->id == maintainer_id(w)) {
			if (load_relaxed(&s->hot->audit_wanted)) {
				store_relaxed(&s->hot->audit_wanted, 0);
				correct_hints(w, &round->census);
			}
			larder_patterns_maintain(w, round->began_ms);
		}
	}
	larder_balance(w);
	resign(w);
	return 0;
}
