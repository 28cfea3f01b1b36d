/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writers' half of index.h. Each CAS is preceded by a look at the own pin:
 * an expelled writer's loads may be of reused memory, and what it concluded
 * from them must not reach a shared word.
 */
#include "store/index.h"

#include <larder/larder.h>

#include "store/entry.h"

/* Tag of an announced entry, recomputed from its key. */
static unsigned tag_of_unit(struct segment *s, uint32_t unit)
{
	struct entry_view v;

	if (!unit_valid(s, unit) || !larder_entry_view(s, unit, &v))
		return 0;
	return tag_of(larder_hash(s->sb->secret, v.key, v.n_key));
}

static enum index_result help_with_tag(struct worker *w, struct group *g,
				       uint64_t ctl, unsigned tag)
{
	unsigned i = ctl_index(ctl) - 1;
	uint64_t word;

	if (i >= GROUP_SLOTS)
		return INDEX_DONE; /* damage: check reports it */
	word = load_acquire(&g->slot[i]);

	/*
	 * H1: is the announcement still the one we read? After the slot was
	 * loaded: a slot that the announced entry has already left again was
	 * emptied by somebody who saw the control word moved on first, so we
	 * see it too and do not link the entry a second time.
	 */
	if (!MUTANT(HELP_NO_RECHECK) && load_acquire(&g->ctl) != ctl)
		return INDEX_DONE;
	if (slot_unit(word) == 0) {
		if (!larder_may_write(w))
			return INDEX_EXPELLED;
		/* H2 [PUB.1]: acq_rel. Carries the entry's bytes, which its
		 * writer wrote before announcing [ANN.1]. */
		cas_acqrel(&g->slot[i], &word,
			   slot_next(word, tag, ctl_unit(ctl)));
	}
	if (!larder_may_write(w))
		return INDEX_EXPELLED;
	cas_acqrel(&g->ctl, &ctl, ctl_next(ctl, 0, 0)); /* H3 */
	return INDEX_DONE;
}

enum index_result larder_index_help(struct worker *w, struct group *g,
				    uint64_t ctl)
{
	return help_with_tag(w, g, ctl, tag_of_unit(w->s, ctl_unit(ctl)));
}

enum index_result larder_index_insert(struct worker *w, struct group *g,
				      uint64_t ctl, unsigned i, unsigned tag,
				      uint32_t unit)
{
	uint64_t announced = ctl_next(ctl, i + 1, unit);
	uint64_t word;

	if (MUTANT(PLAIN_INSERT)) {
		word = load_acquire(&g->slot[i]);
		if (slot_unit(word) ||
		    !cas_acqrel(&g->slot[i], &word, slot_next(word, tag, unit)))
			return INDEX_CHANGED;
		return INDEX_DONE;
	}
	if (!larder_may_write(w))
		return INDEX_EXPELLED;
	/* [ANN.1] release: the entry's bytes, for helpers [ANN.2]. Success also
	 * says that no insert of this group happened since the scan. */
	if (!cas_acqrel(&g->ctl, &ctl, announced))
		return INDEX_CHANGED;
	while (help_with_tag(w, g, announced, tag) == INDEX_EXPELLED) {
		larder_unpin(w);
		larder_pin(w);
		if (load_acquire(&g->ctl) != announced)
			break; /* somebody completed it */
	}
	return INDEX_DONE;
}

enum index_result larder_index_replace(struct worker *w, struct group *g,
				       unsigned i, uint64_t word, unsigned tag,
				       uint32_t unit)
{
	if (!larder_may_write(w))
		return INDEX_EXPELLED;
	/* [PUB.1] release: the new entry's bytes, to any reader [PUB.2]. */
	if (!cas_acqrel(&g->slot[i], &word, slot_next(word, tag, unit)))
		return INDEX_CHANGED;
	return INDEX_DONE;
}

enum index_result larder_index_unlink(struct worker *w, struct group *g,
				      unsigned i, uint64_t word)
{
	/* After seeing @word: its insert may still be announced, and a helper
	 * that finds the slot empty again would link the entry twice. */
	uint64_t ctl = load_acquire(&g->ctl); /* [ANN.2] */

	if (!MUTANT(UNLINK_NO_HELP) && ctl_index(ctl) &&
	    larder_index_help(w, g, ctl) == INDEX_EXPELLED)
		return INDEX_EXPELLED;
	if (!larder_may_write(w))
		return INDEX_EXPELLED;
	if (!cas_acqrel(&g->slot[i], &word, slot_next(word, 0, 0)))
		return INDEX_CHANGED;
	return INDEX_DONE;
}

int larder_index_find_unit(const struct group *g, uint32_t unit, uint64_t *word)
{
	for (int i = 0; i < GROUP_SLOTS; i++) {
		uint64_t seen = load_acquire(&g->slot[i]);

		if (slot_unit(seen) == unit) {
			*word = seen;
			return i;
		}
	}
	return -1;
}

int larder_index_find_empty(const struct group *g)
{
	for (int i = 0; i < GROUP_SLOTS; i++)
		if (slot_unit(load_acquire(&g->slot[i])) == 0)
			return i;
	return -1;
}
