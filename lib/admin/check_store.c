/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking what holds the entries: index groups and pages with their objects.
 *
 * The header is the truth about an object and the slot word about an entry; the
 * two meet here. Loads go slot word, page word, header, bytes, then all words
 * again: what changed under our eyes is nobody's damage.
 */
#include "admin/check.h"

#include <string.h>

#include "cache/cache.h"
#include "store/page.h"

static const char *const header_names[8] = {"NONE",    "FREE",	  "ALLOC",
					    "LIVE",    "RETIRED", "BLOCKED",
					    "state 6", "state 7"};

static const char *const page_names[16] = {
	"FREE",	    "CLAIMED",	"ACTIVE",   "DRAINING", "RUN_HEAD", "RUN_BODY",
	"state 6",  "state 7",	"state 8",  "state 9",	"state 10", "state 11",
	"state 12", "state 13", "state 14", "state 15"};

static struct group *group_at(struct check *c)
{
	return &c->s->groups[c->index];
}

static uint64_t *linked_word(struct check *c, uint32_t unit)
{
	return &c->linked[(unit - c->s->first_unit) >> 6];
}

static uint64_t linked_bit(const struct check *c, uint32_t unit)
{
	return UINT64_C(1) << ((unit - c->s->first_unit) & 63);
}

/* ------------------------------------------------------------------ */
/* Groups                                                              */

enum { SUB_CTL = 100, SUB_TWICE = 200 };

/*
 * An announcement names an entry of this group, or one that was linked from it
 * already and has left its slot to another: then the unit may be anything by
 * now, and a helper only clears the word.
 */
static void check_announcement(struct check *c)
{
	struct group *g = group_at(c);
	uint64_t ctl = load_acquire(&g->ctl), word, hash;
	unsigned i = ctl_index(ctl);
	uint32_t unit = ctl_unit(ctl);
	int result;

	if (!i) {
		if (unit)
			damage(c, SUB_CTL,
			       "the idle control word names unit %u, not 0",
			       unit);
		return;
	}
	if (i > GROUP_SLOTS) {
		damage(c, SUB_CTL,
		       "the control word announces slot %u, the last is %u",
		       i - 1, GROUP_SLOTS - 1);
		return;
	}
	word = load_acquire(&g->slot[i - 1]);
	result = larder_snapshot_take(c->s, unit, &c->snap);
	fence_acquire();
	if (load_acquire(&g->ctl) != ctl ||
	    load_acquire(&g->slot[i - 1]) != word || result == SNAPSHOT_MOVED ||
	    result < 0) {
		larder_snapshot_drop(&c->snap);
		return;
	}
	pending(c, SUB_CTL, "unit %u is announced for slot %u: %s", unit, i - 1,
		slot_unit(word) == unit ? "linked, not yet confirmed"
		: slot_unit(word)	? "taken by another since"
					: "not yet linked");
	if (slot_unit(word)) {
		if (!unit_valid(c->s, unit))
			damage(c, SUB_CTL, "unit %u is outside of the pages",
			       unit);
	} else if (result == SNAPSHOT_STATE) {
		damage(c, SUB_CTL, "announced unit %u is %s, not ALLOC or LIVE",
		       unit, header_names[HEADER_STATE(c->snap.header)]);
	} else if (result != SNAPSHOT_OK) {
		damage(c, SUB_CTL, "announced unit %u: %s", unit, c->snap.why);
	} else {
		hash = key_hash_of(c->s, c->snap.key, c->snap.n_key);
		if (group_of(c->s, hash) != g)
			damage(c, SUB_CTL,
			       "announced unit %u is of another group", unit);
	}
	larder_snapshot_drop(&c->snap);
}

/* Every tag must be found in the mask: a hit trusts its absence. */
static void check_mask(struct check *c, unsigned i)
{
	const struct snapshot *snap = &c->snap;
	const struct tag_mask mask = {snap->mask, snap->n_mask * 8 - 1};
	const unsigned char *text;
	uint32_t at = 0, n_text;

	while (larder_snapshot_tag(snap, &at, &text, &n_text))
		if (!tag_mask_has(mask, larder_tag_hash(c->s, text, n_text))) {
			damage(c, i, "slot %u: a tag is not in the tag mask",
			       i);
			return;
		}
}

/* The entry that slot i names, whose copy is good. */
static void check_linked(struct check *c, unsigned i, uint64_t word,
			 uint64_t stamp)
{
	const struct snapshot *snap = &c->snap;
	uint64_t hash = key_hash_of(c->s, snap->key, snap->n_key);
	uint64_t slot = snap->version >> 52;
	uint64_t sequence = snap->version & ENTRY_SEQUENCE_MASK;

	if (c->pass == CHECK_COLLECT)
		c->n_entries++;
	if (group_of(c->s, hash) != group_at(c))
		damage(c, i, "slot %u: unit %u is of group %llu", i, snap->unit,
		       (unsigned long long)(group_of(c->s, hash) -
					    c->s->groups));
	else if (tag_of(hash) != slot_tag(word))
		damage(c, i, "slot %u: tag %03x, its key's is %03x", i,
		       slot_tag(word), tag_of(hash));
	if (HEADER_STATE(snap->header) == HEADER_ALLOC)
		pending(c, i, "slot %u: unit %u is linked, and not yet LIVE", i,
			snap->unit);
	if (snap->stamp > stamp)
		damage(c, i, "slot %u: stamp %llu, the counter is at %llu", i,
		       (unsigned long long)snap->stamp,
		       (unsigned long long)stamp);
	if (slot >= c->s->n_slots)
		damage(c, i, "slot %u: its version names worker slot %llu", i,
		       (unsigned long long)slot);
	else if (sequence > load_acquire(&c->s->slots[slot].sequence))
		damage(c, i,
		       "slot %u: version %llu, worker slot %llu has not come "
		       "that far",
		       i, (unsigned long long)sequence,
		       (unsigned long long)slot);
	if (snap->n_tags)
		check_mask(c, i);
}

/* Two slots of one group with one key, or with one entry. */
static void check_twice(struct check *c, unsigned i)
{
	struct group *g = group_at(c);

	for (unsigned k = 0; k < i; k++) {
		bool same_unit, same_key;

		if (!c->seen[k].word)
			continue;
		same_unit = slot_unit(c->seen[k].word) ==
			    slot_unit(c->seen[i].word);
		same_key = c->seen[k].n_key == c->seen[i].n_key &&
			   !memcmp(c->seen[k].key, c->seen[i].key,
				   c->seen[i].n_key);
		if (!same_unit && !same_key)
			continue;
		fence_acquire();
		if (load_acquire(&g->slot[k]) != c->seen[k].word ||
		    load_acquire(&g->slot[i]) != c->seen[i].word)
			continue;
		damage(c, SUB_TWICE + i, "slots %u and %u have the same %s", k,
		       i, same_unit ? "entry" : "key");
	}
}

static void check_slot_word(struct check *c, unsigned i)
{
	struct group *g = group_at(c);
	uint64_t word = load_acquire(&g->slot[i]), stamp;
	uint32_t unit = slot_unit(word);
	int result;

	c->seen[i].word = 0;
	if (!unit) {
		if (slot_tag(word))
			damage(c, i, "slot %u is empty and has tag %03x", i,
			       slot_tag(word));
		return;
	}
	result = larder_snapshot_take(c->s, unit, &c->snap);
	stamp = check_stamp(c); /* after the entry's */
	fence_acquire();
	if (load_acquire(&g->slot[i]) != word || result == SNAPSHOT_MOVED ||
	    result < 0)
		goto out;
	if (unit_valid(c->s, unit) && c->pass == CHECK_COLLECT)
		*linked_word(c, unit) |= linked_bit(c, unit);
	switch (result) {
	case SNAPSHOT_OK:
		check_linked(c, i, word, stamp);
		c->seen[i].word = word;
		c->seen[i].n_key = c->snap.n_key;
		memcpy(c->seen[i].key, c->snap.key, c->snap.n_key);
		check_twice(c, i);
		break;
	case SNAPSHOT_STATE:
		damage(c, i, "slot %u: unit %u is %s, not ALLOC or LIVE", i,
		       unit, header_names[HEADER_STATE(c->snap.header)]);
		break;
	default:
		damage(c, i, "slot %u: unit %u: %s", i, unit, c->snap.why);
		break;
	}
out:
	larder_snapshot_drop(&c->snap);
}

void larder_check_group(struct check *c)
{
	check_announcement(c);
	for (unsigned i = 0; i < GROUP_SLOTS; i++)
		check_slot_word(c, i);
}

/* ------------------------------------------------------------------ */
/* Objects                                                             */

/* What a page's hints and objects in transit add up to: one note a page. */
struct transit {
	uint32_t n_retired, n_unhinted, n_bits;
};

/* LIVE and named by no group at the first look: by none now? */
static void check_unlinked(struct check *c, uint32_t unit)
{
	struct group *g;
	uint64_t ctl, word, hash;
	int result = larder_snapshot_take(c->s, unit, &c->snap);

	if (result == SNAPSHOT_BAD) {
		damage(c, unit, "unit %u: %s", unit, c->snap.why);
	} else if (result == SNAPSHOT_OK &&
		   HEADER_STATE(c->snap.header) == HEADER_LIVE) {
		hash = key_hash_of(c->s, c->snap.key, c->snap.n_key);
		g = group_of(c->s, hash);
		ctl = load_acquire(&g->ctl);
		if (larder_index_find_unit(g, unit, &word) < 0 &&
		    !(ctl_index(ctl) && ctl_unit(ctl) == unit) &&
		    larder_snapshot_stands(c->s, &c->snap))
			pending(c, unit,
				"unit %u is LIVE in no group: unlinked, not "
				"yet retired",
				unit);
	}
	larder_snapshot_drop(&c->snap);
}

static void check_alloc(struct check *c, uint32_t unit, uint64_t header)
{
	uint32_t owner = HEADER_OWNER(header);

	if (owner >= c->s->n_slots)
		damage(c, unit, "unit %u: its owner is worker slot %u of %u",
		       unit, owner, c->s->n_slots);
	else if (larder_check_owner(c, owner, HEADER_EXTRA(header), 0xffffff))
		pending(c, unit, "unit %u is being written by worker slot %u",
			unit, owner);
	else
		pending(c, unit,
			"unit %u was being written by worker slot %u, whose "
			"owner is gone",
			unit, owner);
}

static void check_bits(struct check *c, uint32_t unit, unsigned class,
		       unsigned state, struct transit *t)
{
	struct segment *s = c->s;
	bool hint = bit_test(s->hint_bits, unit);
	bool probation = bit_test(s->probation_bits, unit);
	bool main_part = bit_test(s->main_bits, unit);
	bool kept = state == HEADER_LIVE &&
		    (entry_flags(entry_at(s, unit)) & LARDER_KEEP);

	if (state == HEADER_FREE && !hint)
		t->n_unhinted++;
	if (state == HEADER_LIVE && c->pass == CHECK_COLLECT) {
		c->n_probation[class] += probation && !main_part;
		c->n_main[class] += main_part;
	}
	if ((state != HEADER_FREE && hint && class != RUN_CLASS) ||
	    (probation && main_part) ||
	    (state == HEADER_LIVE && !kept && !probation && !main_part) ||
	    (state == HEADER_FREE && (probation || main_part)))
		t->n_bits++;
}

static void check_object(struct check *c, uint32_t unit, unsigned class,
			 uint64_t page_word, struct transit *t)
{
	struct segment *s = c->s;
	uint64_t header = load_acquire(&entry_at(s, unit)->header);
	unsigned state = HEADER_STATE(header);
	uint64_t epoch = load_acquire(&s->hot->epoch);
	atomic_u64 *at = &s->page_words[c->index];

	fence_acquire();
	if (load_acquire(at) != page_word)
		return;
	switch (state) {
	case HEADER_ALLOC:
		check_alloc(c, unit, header);
		break;
	case HEADER_LIVE:
		if (!(*linked_word(c, unit) & linked_bit(c, unit)))
			check_unlinked(c, unit);
		break;
	case HEADER_RETIRED:
		t->n_retired++;
		if (((epoch - HEADER_EXTRA(header)) & 0xffffff) >= 0x800000)
			damage(c, unit,
			       "unit %u was retired at epoch %u (of 2^24), "
			       "after the present one",
			       unit, HEADER_EXTRA(header));
		break;
	case HEADER_BLOCKED:
		if (PAGE_STATE(page_word) != PAGE_DRAINING)
			damage(c, unit, "unit %u is BLOCKED, and its page %s",
			       unit, page_names[PAGE_STATE(page_word)]);
		break;
	case HEADER_FREE:
		if (class == RUN_CLASS)
			pending(c, unit, "a run that is FREE keeps its pages");
		break;
	default:
		damage(c, unit, "unit %u: its header is %s", unit,
		       header_names[state]);
		return;
	}
	if (state != HEADER_ALLOC && HEADER_OWNER(header))
		damage(c, unit, "unit %u is %s and has owner %u", unit,
		       header_names[state], HEADER_OWNER(header));
	if ((state == HEADER_FREE || state == HEADER_LIVE ||
	     state == HEADER_BLOCKED) &&
	    HEADER_EXTRA(header))
		damage(c, unit, "unit %u is %s and its header ends in %06x",
		       unit, header_names[state], HEADER_EXTRA(header));
	check_bits(c, unit, class, state, t);
}

/* ------------------------------------------------------------------ */
/* Pages                                                               */

enum { SUB_WORD, SUB_CLASS_BIT, SUB_TRANSIT, SUB_BITS, SUB_OWNER, SUB_BODY };

static void report_transit(struct check *c, const struct transit *t)
{
	if (t->n_retired)
		pending(c, SUB_TRANSIT,
			"%u objects wait for their grace period or a sweep",
			t->n_retired);
	if (t->n_unhinted)
		pending(c, SUB_TRANSIT,
			"%u free objects have no hint: in a worker's hands, or "
			"to be found by a sweep",
			t->n_unhinted);
	if (t->n_bits)
		pending(c, SUB_BITS, "%u objects whose hint bits disagree",
			t->n_bits);
}

static void check_objects(struct check *c, uint64_t word)
{
	struct segment *s = c->s;
	uint32_t page = (uint32_t)c->index;
	unsigned class = PAGE_CLASS(word);
	uint32_t units = larder_class_units(s, class);
	struct transit t = {0};

	if (!units) {
		damage(c, SUB_WORD, "%s of class %u, there are %u",
		       page_names[PAGE_STATE(word)], class, s->n_classes);
		return;
	}
	for (uint32_t i = 0; i < page_units(s) / units; i++)
		check_object(c, page_first_unit(s, page) + i * units, class,
			     word, &t);
	report_transit(c, &t);
	if (PAGE_STATE(word) == PAGE_ACTIVE &&
	    !class_bit_test(s, s->class_bits, class, page))
		pending(c, SUB_CLASS_BIT,
			"the row of class %u does not show the page", class);
}

/* All bodies were written before the head, and are given back after it. */
static void check_run(struct check *c, uint64_t word)
{
	struct segment *s = c->s;
	uint32_t head = (uint32_t)c->index;
	uint32_t n = load_relaxed(&s->page_lengths[head]);
	struct transit t = {0};

	if (PAGE_CLASS(word) != RUN_CLASS) {
		damage(c, SUB_WORD, "RUN_HEAD of class %u, not %u",
		       PAGE_CLASS(word), RUN_CLASS);
		return;
	}
	if (n < 1 || n > s->n_pages - head) {
		fence_acquire();
		if (load_acquire(&s->page_words[head]) == word)
			damage(c, SUB_WORD,
			       "a run of %u pages, %u are left from here", n,
			       s->n_pages - head);
		return;
	}
	/* A body names its one head: these loops end, together, with the
	 * pages. */
	for (uint32_t i = 1; i < n; i++) {
		uint64_t body = load_acquire(&s->page_words[head + i]);

		if (PAGE_STATE(body) == PAGE_RUN_BODY &&
		    PAGE_DISTANCE(body) == i)
			continue;
		fence_acquire();
		if (load_acquire(&s->page_words[head]) == word)
			damage(c, SUB_BODY,
			       "page %u of the run of %u is %s, at distance %u",
			       i, n, page_names[PAGE_STATE(body)],
			       PAGE_STATE(body) == PAGE_RUN_BODY
				       ? PAGE_DISTANCE(body)
				       : 0);
		break;
	}
	check_object(c, page_first_unit(s, head), RUN_CLASS, word, &t);
	report_transit(c, &t);
}

static void check_body(struct check *c, uint64_t word)
{
	uint32_t page = (uint32_t)c->index, head;

	if (PAGE_CLASS(word) || PAGE_DISTANCE(word) < 1 ||
	    PAGE_DISTANCE(word) > page)
		damage(c, SUB_WORD,
		       "RUN_BODY of class %u, %u pages behind its "
		       "head",
		       PAGE_CLASS(word), PAGE_DISTANCE(word));
	else if (!larder_page_in_run(c->s, page, word, &head))
		pending(c, SUB_WORD,
			"RUN_BODY, and page %u has no run that covers it: to "
			"be freed by a sweep",
			head);
}

static void check_page_owner(struct check *c, uint64_t word)
{
	const char *name = page_names[PAGE_STATE(word)];

	if (PAGE_OWNER(word) >= c->s->n_slots)
		damage(c, SUB_OWNER, "%s by worker slot %u of %u", name,
		       PAGE_OWNER(word), c->s->n_slots);
	else if (larder_check_owner(c, PAGE_OWNER(word), PAGE_OWNER_GEN(word),
				    0xfffff))
		pending(c, SUB_OWNER, "%s by worker slot %u", name,
			PAGE_OWNER(word));
	else
		pending(c, SUB_OWNER,
			"%s by worker slot %u, whose owner is gone", name,
			PAGE_OWNER(word));
}

void larder_check_page(struct check *c)
{
	uint64_t word = load_acquire(&c->s->page_words[c->index]);
	unsigned state = PAGE_STATE(word);

	switch (state) {
	case PAGE_FREE:
		if (PAGE_CLASS(word))
			damage(c, SUB_WORD, "FREE of class %u, not 0",
			       PAGE_CLASS(word));
		break;
	case PAGE_CLAIMED:
		check_page_owner(c, word);
		if (PAGE_CLASS(word))
			damage(c, SUB_WORD, "CLAIMED of class %u, not 0",
			       PAGE_CLASS(word));
		break;
	case PAGE_DRAINING:
		check_page_owner(c, word);
		check_objects(c, word);
		break;
	case PAGE_ACTIVE:
		check_objects(c, word);
		break;
	case PAGE_RUN_HEAD:
		check_run(c, word);
		break;
	case PAGE_RUN_BODY:
		check_body(c, word);
		break;
	default:
		damage(c, SUB_WORD, "its state is %u, the last is %u", state,
		       PAGE_RUN_BODY);
		return;
	}
	if ((state == PAGE_FREE || state == PAGE_ACTIVE ||
	     state == PAGE_RUN_HEAD) &&
	    PAGE_DISTANCE(word))
		damage(c, SUB_OWNER, "%s, and names an owner (%08x)",
		       page_names[state], PAGE_DISTANCE(word));
}
