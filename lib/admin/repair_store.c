/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repairing what holds the entries. The groups decide first which entries are
 * kept; the pages then follow them.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "admin/repair.h"
#include "cache/cache.h"
#include "store/page.h"

static bool is_kept(const struct repair *r, uint32_t unit)
{
	uint32_t i = unit - r->s->first_unit;

	return r->kept[i >> 6] >> (i & 63) & 1;
}

static void set_kept(struct repair *r, uint32_t unit)
{
	uint32_t i = unit - r->s->first_unit;

	r->kept[i >> 6] |= UINT64_C(1) << (i & 63);
}

static void empty_slot(struct group *g, unsigned i)
{
	store_relaxed(&g->slot[i], slot_next(load_relaxed(&g->slot[i]), 0, 0));
}

__attribute__((format(printf, 4, 5))) static void
give_up(struct repair *r, const struct group *g, unsigned i, const char *format,
	...)
{
	char where[64], what[200];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(what, sizeof what, format, arguments);
	va_end(arguments);
	snprintf(where, sizeof where, "group %llu slot %u",
		 (unsigned long long)(g - r->s->groups), i);
	larder_repair_say(r, LARDER_DAMAGE, where, "entry given up: %s", what);
	r->result.n_entries_lost++;
}

/* A run is whole if each of its pages says so. */
static bool run_whole(const struct segment *s, uint32_t head)
{
	uint32_t n = load_relaxed(&s->page_lengths[head]);

	if (n < 1 || n > s->n_pages - head)
		return false;
	for (uint32_t i = 1; i < n; i++) {
		uint64_t word = load_relaxed(&s->page_words[head + i]);

		if (PAGE_STATE(word) != PAGE_RUN_BODY ||
		    PAGE_DISTANCE(word) != i)
			return false;
	}
	return true;
}

static bool mask_whole(const struct segment *s, const struct snapshot *snap)
{
	const struct tag_mask mask = {snap->mask, snap->n_mask * 8 - 1};
	const unsigned char *text;
	uint32_t at = 0, n_text;

	while (larder_snapshot_tag(snap, &at, &text, &n_text))
		if (!tag_mask_has(mask, larder_tag_hash(s, text, n_text)))
			return false;
	return true;
}

/* Why the entry in r->snap cannot be kept as the one of this group and tag, or
 * NULL. */
static const char *objection(const struct repair *r, const struct group *g,
			     unsigned tag)
{
	const struct segment *s = r->s;
	const struct snapshot *snap = &r->snap;
	uint64_t hash = key_hash_of(s, snap->key, snap->n_key);

	if (group_of(s, hash) != g || tag_of(hash) != tag)
		return "its key belongs elsewhere";
	if (snap->stamp > (larder_fresh_now(s) & STAMP_MASK))
		return "its stamp is above the counter";
	if (snap->version >> 52 >= s->n_slots ||
	    (snap->version & ENTRY_SEQUENCE_MASK) >> 51)
		return "its version cannot be right";
	if (snap->n_tags && !mask_whole(s, snap))
		return "its tag mask lacks a tag";
	if (snap->class == RUN_CLASS &&
	    !run_whole(s, page_of_unit(s, snap->unit)))
		return "its run of pages is not whole";
	return NULL;
}

/* The slot of g with the same key as slot i, before it; -1. */
static int same_key_before(struct repair *r, struct group *g, unsigned i)
{
	struct snapshot other;

	for (unsigned k = 0; k < i; k++) {
		uint64_t word = load_relaxed(&g->slot[k]);
		bool same;

		if (!slot_unit(word) ||
		    slot_tag(word) != slot_tag(load_relaxed(&g->slot[i])) ||
		    larder_snapshot_take(r->s, slot_unit(word), &other) !=
			    SNAPSHOT_OK)
			continue;
		same = other.n_key == r->snap.n_key &&
		       !memcmp(other.key, r->snap.key, other.n_key);
		larder_snapshot_drop(&other);
		if (same)
			return (int)k;
	}
	return -1;
}

/* The entry is good: make it LIVE, and what depends on it right. */
static void keep(struct repair *r)
{
	struct segment *s = r->s;
	const struct snapshot *snap = &r->snap;
	struct entry *e = entry_at(s, snap->unit);
	struct slot *slot = &s->slots[snap->version >> 52];
	uint64_t sequence = snap->version & ENTRY_SEQUENCE_MASK;
	const uint64_t past = 1;

	store_relaxed(&e->header,
		      header_word(HEADER_LIVE, 0,
				  HEADER_GENERATION(snap->header), 0));
	if (load_relaxed(&slot->sequence) < sequence)
		store_relaxed(&slot->sequence, sequence);
	/* Its clock is gone: stale from the beginning. One with a hard expiry
	 * before it was given up. */
	if (r->revived && (snap->flags & ENTRY_SOFT))
		memcpy(e->rest, &past, sizeof past);
	set_kept(r, snap->unit);
	r->result.n_entries_kept++;
}

static void judge_slot(struct repair *r, struct group *g, unsigned i)
{
	uint64_t word = load_relaxed(&g->slot[i]);
	uint32_t unit = slot_unit(word);
	const char *why;
	int result, twin;

	if (!unit) {
		if (slot_tag(word))
			empty_slot(g, i);
		return;
	}
	result = larder_snapshot_take(r->s, unit, &r->snap);
	why = result == SNAPSHOT_OK ? objection(r, g, slot_tag(word))
	      : result == SNAPSHOT_STATE
		      ? "its header says that it is not in use"
	      : result < 0 ? "no memory to read it"
			   : r->snap.why;
	if (!why && is_kept(r, unit))
		why = "it was there twice";
	twin = why ? -1 : same_key_before(r, g, i);
	if (why || twin >= 0) {
		give_up(r, g, i, "%s",
			why ? why
			    : "its key is there twice, and which is "
			      "newer cannot be told");
		empty_slot(g, i);
	}
	if (twin >= 0) {
		uint32_t other = slot_unit(load_relaxed(&g->slot[twin]));

		give_up(r, g, (unsigned)twin, "its key is there twice");
		empty_slot(g, (unsigned)twin);
		if (unit_valid(r->s, other) && is_kept(r, other)) {
			other -= r->s->first_unit;
			r->kept[other >> 6] &= ~(UINT64_C(1) << (other & 63));
			r->result.n_entries_kept--;
		}
	} else if (!why && r->revived && r->snap.hard_ms) {
		r->n_expiring++;
		r->result.n_entries_lost++;
		empty_slot(g, i);
	} else if (!why) {
		keep(r);
	}
	larder_snapshot_drop(&r->snap);
}

/* A store that was announced is committed: link it, as any writer would. What
 * follows judges it like all others. */
static void finish_announcement(struct repair *r, struct group *g)
{
	uint64_t ctl = load_relaxed(&g->ctl), word, hash;
	unsigned i = ctl_index(ctl);

	if (!i && !ctl_unit(ctl))
		return;
	store_relaxed(&g->ctl, ctl_next(ctl, 0, 0));
	if (i < 1 || i > GROUP_SLOTS)
		return;
	word = load_relaxed(&g->slot[i - 1]);
	if (slot_unit(word))
		return;
	if (larder_snapshot_take(r->s, ctl_unit(ctl), &r->snap) ==
	    SNAPSHOT_OK) {
		hash = key_hash_of(r->s, r->snap.key, r->snap.n_key);
		if (group_of(r->s, hash) == g)
			store_relaxed(
				&g->slot[i - 1],
				slot_next(word, tag_of(hash), ctl_unit(ctl)));
	}
	larder_snapshot_drop(&r->snap);
}

void larder_repair_groups(struct repair *r)
{
	for (uint32_t k = 0; k < r->s->n_groups; k++) {
		struct group *g = &r->s->groups[k];

		finish_announcement(r, g);
		for (unsigned i = 0; i < GROUP_SLOTS; i++)
			judge_slot(r, g, i);
	}
	if (r->n_expiring)
		larder_repair_say(r, LARDER_PENDING, "segment",
				  "%llu entries that expire were given up: the "
				  "clock they count by ended with its boot",
				  (unsigned long long)r->n_expiring);
}

/* ------------------------------------------------------------------ */

static void clear_hints(struct segment *s, uint32_t page, uint64_t *was_main)
{
	uint32_t first = page_first_unit(s, page) >> 6;

	for (uint32_t i = 0; i < page_units(s) / 64; i++) {
		was_main[i] = load_relaxed(&s->main_bits[first + i]);
		store_relaxed(&s->hint_bits[first + i], 0);
		store_relaxed(&s->probation_bits[first + i], 0);
		store_relaxed(&s->main_bits[first + i], 0);
	}
}

static void free_page(struct repair *r, uint32_t page, const char *why)
{
	uint64_t word = load_relaxed(&r->s->page_words[page]);
	char where[32];

	if (why) {
		snprintf(where, sizeof where, "page %u", page);
		larder_repair_say(r, LARDER_DAMAGE, where, "set free: %s", why);
		r->result.n_pages_reset++;
	}
	store_relaxed(&r->s->page_words[page],
		      page_word(PAGE_FREE, 0, PAGE_GENERATION(word) + 1, 0, 0));
	r->n_free_pages++;
}

/* Count a kept entry and give it the marks it needs. */
static void mark_kept(struct repair *r, uint32_t unit, unsigned class,
		      uint64_t units, bool was_main)
{
	struct segment *s = r->s;

	unsigned flags = entry_flags(entry_at(s, unit));

	if (flags & LARDER_KEEP) {
		*(flags & LARDER_REGION ? &r->n_region_units
					: &r->n_kept_units) += units;
		return;
	}
	r->n_live++;
	if (was_main || s->sb->policy == LARDER_POLICY_CLOCK) {
		bit_set(s->main_bits, unit);
		r->n_main[class]++;
	} else {
		bit_set(s->probation_bits, unit);
		r->n_probation[class]++;
	}
}

static void repair_objects(struct repair *r, uint32_t page, uint64_t word,
			   const uint64_t *was_main)
{
	struct segment *s = r->s;
	unsigned class = PAGE_CLASS(word);
	uint32_t units = larder_class_units(s, class);
	uint32_t first = page_first_unit(s, page);
	bool available = false;

	for (uint32_t i = 0; i < page_units(s) / units; i++) {
		uint32_t unit = first + i * units, at = i * units;
		atomic_u64 *header = &entry_at(s, unit)->header;

		if (is_kept(r, unit)) {
			mark_kept(r, unit, class, units,
				  was_main[at >> 6] >> (at & 63) & 1);
			continue;
		}
		store_relaxed(
			header,
			header_word(HEADER_FREE, 0,
				    HEADER_GENERATION(load_relaxed(header)) + 1,
				    0));
		bit_set(s->hint_bits, unit);
		available = true;
	}
	store_relaxed(
		&s->page_words[page],
		page_word(PAGE_ACTIVE, class, PAGE_GENERATION(word), 0, 0));
	class_bit_set(s, s->class_bits, class, page);
	if (available)
		class_bit_set(s, s->avail_bits, class, page);
	r->n_pages[class]++;
}

/* The run at @head is kept: its pages are passed over. */
static uint32_t repair_run(struct repair *r, uint32_t head, uint64_t word,
			   bool was_main)
{
	struct segment *s = r->s;
	uint32_t n = load_relaxed(&s->page_lengths[head]);
	uint64_t main_words[PAGE_UNITS_MAX / 64];

	for (uint32_t i = 1; i < n; i++) {
		uint64_t body = load_relaxed(&s->page_words[head + i]);

		clear_hints(s, head + i, main_words);
		store_relaxed(&s->page_words[head + i],
			      field_put(PAGE_RUN_BODY, 0, 4) |
				      field_put(PAGE_GENERATION(body), 12, 20) |
				      field_put(i, 32, 32));
	}
	store_relaxed(&s->page_words[head],
		      page_word(PAGE_RUN_HEAD, RUN_CLASS, PAGE_GENERATION(word),
				0, 0));
	class_bit_set(s, s->class_bits, RUN_CLASS, head);
	r->n_pages[RUN_CLASS]++;
	mark_kept(r, page_first_unit(s, head), RUN_CLASS,
		  (uint64_t)n << s->page_unit_shift, was_main);
	return n;
}

void larder_repair_pages(struct repair *r)
{
	struct segment *s = r->s;
	uint64_t was_main[PAGE_UNITS_MAX / 64];
	uint32_t n_words = MAX_CLASSES * s->class_row, page = 0;

	for (uint32_t i = 0; i < n_words; i++) {
		store_relaxed(&s->class_bits[i], 0);
		store_relaxed(&s->avail_bits[i], 0);
	}
	while (page < s->n_pages) {
		uint64_t word = load_relaxed(&s->page_words[page]);
		uint32_t n = 1;

		clear_hints(s, page, was_main);
		switch (PAGE_STATE(word)) {
		case PAGE_ACTIVE:
		case PAGE_DRAINING:
			if (larder_class_units(s, PAGE_CLASS(word)))
				repair_objects(r, page, word, was_main);
			else
				free_page(r, page, "there is no such class");
			break;
		case PAGE_RUN_HEAD:
			if (is_kept(r, page_first_unit(s, page)))
				n = repair_run(r, page, word, was_main[0] & 1);
			else
				free_page(r, page, NULL);
			break;
		case PAGE_FREE:
		case PAGE_CLAIMED:
		case PAGE_RUN_BODY: /* of no run that is kept */
			free_page(r, page, NULL);
			break;
		default:
			free_page(r, page, "its state does not exist");
			break;
		}
		page += n;
	}
}
