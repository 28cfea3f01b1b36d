/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For each invariant one way to break it: check finds it, repair mends it and
 * gives up no more than the entries it touched. For each thing that a death
 * leaves behind: a note, no damage, and nothing is given up.
 */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

#include "cache/flight.h"
#include "cache/pattern.h"
#include "cache/words.h"

struct spoiling {
	const char *name;
	void (*spoil)(struct segment *s);
	unsigned n_lost; /* entries given up at most */
};

static uint32_t an_active_page(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-0");

	return page_of_unit(s, p.unit);
}

/* key-7 is a run of pages. */
static uint32_t a_run(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-7");

	return page_of_unit(s, p.unit);
}

static uint32_t a_free_page(struct segment *s)
{
	for (uint32_t i = 0; i < s->n_pages; i++)
		if (PAGE_STATE(s->page_words[i]) == PAGE_FREE)
			return i;
	cr_assert_fail("no page is free");
	return 0;
}

static void unit_outside(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-5");

	p.g->slot[p.i] = (p.word & ~UINT64_C(0xffffffff)) | s->end_unit;
}

static void unit_low(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-5");

	p.g->slot[p.i] = (p.word & ~UINT64_C(0xffffffff)) | 1;
}

static void unit_misaligned(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-6");

	/* 50 bytes of value: more than one unit. */
	p.g->slot[p.i] = p.word + 1;
}

static void wrong_tag(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-5");

	p.g->slot[p.i] = p.word ^ UINT64_C(1) << 60;
}

static void tag_of_nothing(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-5");
	int i = larder_index_find_empty(p.g);

	cr_assert_geq(i, 0);
	p.g->slot[i] = UINT64_C(7) << 52;
}

static void wrong_group(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-5");
	struct group *g = p.g == s->groups ? p.g + 1 : s->groups;
	int i = larder_index_find_empty(g);

	cr_assert_geq(i, 0);
	g->slot[i] = p.word;
	p.g->slot[p.i] = slot_next(p.word, 0, 0);
}

static void linked_twice(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-5");
	int i = larder_index_find_empty(p.g);

	p.g->slot[i] = p.word;
}

/* key-5 in another object as well. */
static void same_key_twice(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-5");
	uint32_t page = page_of_unit(s, p.unit);
	unsigned class = PAGE_CLASS(s->page_words[page]);
	uint32_t units = larder_class_units(s, class);
	int i = larder_index_find_empty(p.g);

	for (uint32_t u = page_first_unit(s, page);; u += units) {
		struct entry *e = entry_at(s, u);
		uint64_t header = e->header;

		cr_assert_eq(page_of_unit(s, u), page, "no free object");
		if (HEADER_STATE(header) != HEADER_FREE)
			continue;
		memcpy((void *)e, (const void *)p.e,
		       (size_t)units << UNIT_SHIFT);
		e->header = header_word(HEADER_LIVE, 0,
					HEADER_GENERATION(header) + 1, 0);
		p.g->slot[i] = (p.word & ~UINT64_C(0xffffffff)) | u;
		return;
	}
}

static void header_is(struct segment *s, unsigned state)
{
	struct fixture_place p = fixture_find(s, "key-5");

	p.e->header = header_word(state, 0, HEADER_GENERATION(p.e->header), 0);
}

static void header_none(struct segment *s)
{
	header_is(s, HEADER_NONE);
}

static void header_free(struct segment *s)
{
	header_is(s, HEADER_FREE);
}

static void header_blocked(struct segment *s)
{
	header_is(s, HEADER_BLOCKED);
}

static void header_beyond(struct segment *s)
{
	header_is(s, 7);
}

static void header_owner(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-5");

	p.e->header = header_word(HEADER_ALLOC, 4095,
				  HEADER_GENERATION(p.e->header), 1);
}

static void no_key(struct segment *s)
{
	fixture_find(s, "key-5").e->born_key &= STAMP_MASK;
}

static void other_key(struct segment *s)
{
	fixture_find(s, "key-4").e->rest[3] ^= 1;
}

static void long_value(struct segment *s)
{
	fixture_find(s, "key-5").e->n_value += 100000;
}

static void unknown_flag(struct segment *s)
{
	fixture_find(s, "key-5").e->flags_stamp ^= UINT64_C(1) << 60;
}

static void stamp_ahead(struct segment *s)
{
	fixture_find(s, "key-5").e->flags_stamp += 1000;
}

static void version_ahead(struct segment *s)
{
	fixture_find(s, "key-5").e->version += UINT64_C(1) << 40;
}

static void version_of_no_slot(struct segment *s)
{
	fixture_find(s, "key-5").e->version |= UINT64_C(4000) << 52;
}

/* key-2 has two tags and nothing before them. */
static void tag_mask_lost(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-2");
	struct entry_view v;

	cr_assert(larder_entry_view(s, p.unit, &v));
	memset((void *)(uintptr_t)v.tags->bytes, 0, v.tags->n_mask);
}

static void tag_text_long(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-2");
	struct entry_view v;

	cr_assert(larder_entry_view(s, p.unit, &v));
	((unsigned char *)(uintptr_t)v.tags->bytes)[v.tags->n_mask] = 250;
}

static void announces_slot_15(struct segment *s)
{
	s->groups[0].ctl = UINT64_C(15) << 32 | s->first_unit;
}

static void idle_with_unit(struct segment *s)
{
	s->groups[0].ctl = 12345;
}

static void announces_free(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-5");
	int i = larder_index_find_empty(p.g);

	p.g->ctl = ctl_next(p.g->ctl, (unsigned)i + 1,
			    page_first_unit(s, a_free_page(s)));
}

static void page_state(struct segment *s)
{
	s->page_words[a_free_page(s)] = 9;
}

static void page_class(struct segment *s)
{
	s->page_words[a_free_page(s)] =
		page_word(PAGE_ACTIVE, s->n_classes, 0, 0, 0);
}

static void page_never_opened(struct segment *s)
{
	s->page_words[a_free_page(s)] = page_word(PAGE_ACTIVE, 0, 0, 0, 0);
}

static void page_owner(struct segment *s)
{
	s->page_words[a_free_page(s)] =
		page_word(PAGE_CLAIMED, 0, 0, s->n_slots, 0);
}

static void run_past_end(struct segment *s)
{
	s->page_lengths[a_run(s)] = s->n_pages;
}

static void run_body_lost(struct segment *s)
{
	s->page_words[a_run(s) + 1] = page_word(PAGE_FREE, 0, 0, 0, 0);
}

static void body_at_no_distance(struct segment *s)
{
	s->page_words[a_free_page(s)] = field_put(PAGE_RUN_BODY, 0, 4);
}

static void epoch_low(struct segment *s)
{
	s->hot->epoch = 3;
}

static void everything_ahead(struct segment *s)
{
	s->hot->everything = 1000000;
}

static void hiwater_high(struct segment *s)
{
	s->hot->hiwater = 100000;
}

static void tag_number_ahead(struct segment *s)
{
	s->tags[0].word[0] = UINT64_C(5) << 48 | 1000000;
}

static void floor_ahead(struct segment *s)
{
	s->keys[1].floor = 1000000;
}

static void unannounced(struct segment *s)
{
	s->ring[(s->hot->stamp & STAMP_MASK) % RING_CELLS] = 0;
}

static void pattern_no_state(struct segment *s)
{
	s->hot->pattern_word[3] = 11;
}

static void pattern_no_glob(struct segment *s)
{
	s->patterns[0].text[0] = '[';
}

static void flight_no_state(struct segment *s)
{
	s->flights[2].word = 9;
}

static void pinned_and_free(struct segment *s)
{
	s->slots[4].pin = UINT64_C(16) << PIN_EPOCH_SHIFT | PIN_ACTIVE;
}

static void hazard_outside(struct segment *s)
{
	s->slots[4].hazard[2] = 1;
}

static void sequence_zero(struct segment *s)
{
	s->slots[9].sequence = 0;
}

static void counter_back(struct segment *s)
{
	s->cells[9].baseline[0] = 1;
}

static void mutex_not_robust(struct segment *s)
{
	s->slots[5].claim.__data.__kind = 0;
}

static void hand_outside(struct segment *s)
{
	s->pools[3].hand_main = 5;
}

static const struct spoiling damages[] = {
	{"unit beyond the pages", unit_outside, 1},
	{"unit before the pages", unit_low, 1},
	{"unit inside an object", unit_misaligned, 1},
	{"wrong tag", wrong_tag, 1},
	{"tag of an empty slot", tag_of_nothing, 0},
	{"wrong group", wrong_group, 1},
	{"linked twice", linked_twice, 0},
	{"one key twice", same_key_twice, 1},
	{"linked NONE", header_none, 1},
	{"linked FREE", header_free, 1},
	{"linked BLOCKED", header_blocked, 1},
	{"header of no state", header_beyond, 1},
	{"header of no owner", header_owner, 0},
	{"no key", no_key, 1},
	{"another key", other_key, 1},
	{"value too long", long_value, 1},
	{"unknown flag", unknown_flag, 1},
	{"stamp above the counter", stamp_ahead, 1},
	{"version never drawn", version_ahead, 0},
	{"version of no slot", version_of_no_slot, 1},
	{"tag not in the mask", tag_mask_lost, 1},
	{"tag too long", tag_text_long, 1},
	{"announces slot 15", announces_slot_15, 0},
	{"idle, and names a unit", idle_with_unit, 0},
	{"announces what is no object", announces_free, 0},
	{"page of no state", page_state, 0},
	{"page of no class", page_class, 0},
	{"page without headers", page_never_opened, 0},
	{"page of no owner", page_owner, 0},
	{"run past the end", run_past_end, 1},
	{"run with a hole", run_body_lost, 1},
	{"body without a distance", body_at_no_distance, 0},
	{"epoch too low", epoch_low, 0},
	{"everything above the counter", everything_ahead, FIXTURE_ENTRIES},
	{"too many slots in use", hiwater_high, 0},
	{"tag number above the counter", tag_number_ahead, FIXTURE_ENTRIES},
	{"floor above the counter", floor_ahead, FIXTURE_ENTRIES},
	{"number not announced", unannounced, 0},
	{"pattern of no state", pattern_no_state, FIXTURE_ENTRIES},
	{"pattern that is none", pattern_no_glob, FIXTURE_ENTRIES},
	{"flight of no state", flight_no_state, 0},
	{"pinned and free", pinned_and_free, 0},
	{"hazard outside", hazard_outside, 0},
	{"sequence zero", sequence_zero, 0},
	{"counter below its baseline", counter_back, 0},
	{"mutex that is not robust", mutex_not_robust, 0},
	{"hand outside", hand_outside, 0},
};

Test(admin_damage, sound_segment_has_neither_damage_nor_notes)
{
	struct fixture f;
	struct larder_check_result r;

	fixture_create(&f, 4 << 20);
	fixture_fill(&f);
	r = fixture_check(&f);
	cr_expect_eq(r.n_damage, 0, "%s", fixture_said);
	/* The counter's replaced object waits for its grace period. */
	cr_expect_leq(r.n_pending, 1, "%s", fixture_said);
	cr_expect_eq(r.n_entries, FIXTURE_ENTRIES + 1);
	cr_expect_eq(fixture_count(&f), FIXTURE_ENTRIES);
	fixture_drop(&f);
}

/* Pages are the largest there are, and one value takes several of them. */
Test(admin_damage, sound_segment_of_large_pages_is_left_as_it_is)
{
	enum { VALUE = 400000 };
	static char value[VALUE], found[VALUE];
	struct larder_repair_result repaired;
	struct larder_check_result r;
	struct larder *h;
	struct fixture f;
	size_t n;

	fixture_create(&f, 64 << 20);
	fixture_fill(&f);
	memset(value, 'v', sizeof value);
	cr_assert_eq(larder_open(f.path, NULL, &h), 0);
	for (char key = 'a'; key <= 'h'; key++)
		cr_assert_eq(larder_put(h, &key, 1, value, VALUE, NULL),
			     LARDER_OK);
	larder_close(h);
	cr_assert_eq(fixture_repair(&f, true, &repaired), 0);
	r = fixture_check(&f);
	cr_expect_eq(r.n_damage, 0, "%s", fixture_said);
	cr_expect_eq(fixture_count(&f), FIXTURE_ENTRIES);
	cr_assert_eq(larder_open(f.path, NULL, &h), 0);
	for (char key = 'a'; key <= 'h'; key++) {
		cr_expect_eq(larder_get(h, &key, 1, found, VALUE, &n),
			     LARDER_OK);
		cr_expect(n == VALUE && !memcmp(found, value, VALUE));
	}
	larder_close(h);
	fixture_drop(&f);
}

static void one_damage(const struct spoiling *d)
{
	struct larder_repair_result repaired;
	struct larder_check_result r;
	struct segment *s;
	struct fixture f;
	unsigned n;

	fixture_create(&f, 4 << 20);
	fixture_fill(&f);
	s = fixture_map(&f);
	d->spoil(s);
	larder_segment_drop(s);
	r = fixture_check(&f);
	cr_expect_gt(r.n_damage, 0, "%s: not found", d->name);
	cr_assert_eq(fixture_repair(&f, false, &repaired), 0, "%s", d->name);
	r = fixture_check(&f);
	cr_expect_eq(r.n_damage, 0, "%s: after repair: %s", d->name,
		     fixture_said);
	cr_expect_eq(r.n_pending, 0, "%s: after repair: %s", d->name,
		     fixture_said);
	n = fixture_count(&f);
	cr_expect_geq(n + d->n_lost, FIXTURE_ENTRIES,
		      "%s: only %u entries are left", d->name, n);
	r = fixture_check(&f);
	cr_expect_eq(r.n_damage, 0, "%s: after use: %s", d->name, fixture_said);
	fixture_drop(&f);
}

Test(admin_damage, each_is_found_and_repaired)
{
	for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++)
		one_damage(&damages[i]);
}

/* ------------------------------------------------------------------ */
/* What the dead leave                                                 */

static void orphan_linked(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-5");

	p.e->header =
		header_word(HEADER_ALLOC, 3, HEADER_GENERATION(p.e->header), 1);
}

static void orphan_unlinked(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-5");

	orphan_linked(s);
	p.g->slot[p.i] = slot_next(p.word, 0, 0);
}

static void live_unlinked(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-5");

	p.g->slot[p.i] = slot_next(p.word, 0, 0);
}

static void announced(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-5");

	orphan_linked(s);
	p.g->slot[p.i] = slot_next(p.word, 0, 0);
	p.g->ctl = ctl_next(p.g->ctl, p.i + 1, p.unit);
}

static void announced_and_linked(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-5");

	orphan_linked(s);
	p.g->ctl = ctl_next(p.g->ctl, p.i + 1, p.unit);
}

static void retired(struct segment *s)
{
	struct fixture_place p = fixture_find(s, "key-5");

	p.g->slot[p.i] = slot_next(p.word, 0, 0);
	p.e->header =
		header_word(HEADER_RETIRED, 0, HEADER_GENERATION(p.e->header),
			    (uint32_t)s->hot->epoch);
}

static void hints_lost(struct segment *s)
{
	uint32_t page = an_active_page(s);

	s->hint_bits[page_first_unit(s, page) >> 6] = 0;
}

static void page_claimed(struct segment *s)
{
	s->page_words[a_free_page(s)] = page_word(PAGE_CLAIMED, 0, 5, 3, 1);
}

static void page_draining(struct segment *s)
{
	uint32_t page = an_active_page(s);
	uint64_t word = s->page_words[page];

	s->page_words[page] = page_word(PAGE_DRAINING, PAGE_CLASS(word),
					PAGE_GENERATION(word), 3, 1);
}

static void body_denied(struct segment *s)
{
	s->page_words[a_free_page(s)] =
		field_put(PAGE_RUN_BODY, 0, 4) | field_put(1, 32, 32);
}

static void number_one_ahead(struct segment *s)
{
	s->tags[9].word[0] =
		UINT64_C(5) << 48 | ((s->hot->stamp & STAMP_MASK) + 1);
}

static void pattern_claimed(struct segment *s)
{
	s->hot->pattern_word[5] =
		pattern_word(pattern_owner(3, 1), 0, PATTERN_CLAIMED);
}

static void flight_of_the_dead(struct segment *s)
{
	s->flights[1].word = flight_word(1, 3, 1, FLIGHT_LEADING);
}

static const struct spoiling deaths[] = {
	{"linked, not yet LIVE", orphan_linked, 0},
	{"written, not linked", orphan_unlinked, 1},
	{"unlinked, not retired", live_unlinked, 1},
	{"announced", announced, 0},
	{"announced and linked", announced_and_linked, 0},
	{"retired", retired, 1},
	{"hints lost", hints_lost, 0},
	{"page claimed", page_claimed, 0},
	{"page draining", page_draining, 0},
	{"body without a head", body_denied, 0},
	{"invalidation not drawn", number_one_ahead, 0},
	{"pattern claimed", pattern_claimed, 0},
	{"flight of the dead", flight_of_the_dead, 0},
};

Test(admin_damage, what_the_dead_leave_is_a_note)
{
	for (size_t i = 0; i < sizeof deaths / sizeof deaths[0]; i++) {
		const struct spoiling *d = &deaths[i];
		struct larder_repair_result repaired;
		struct larder_check_result r;
		struct segment *s;
		struct fixture f;

		fixture_create(&f, 4 << 20);
		fixture_fill(&f);
		s = fixture_map(&f);
		d->spoil(s);
		larder_segment_drop(s);
		r = fixture_check(&f);
		cr_expect_eq(r.n_damage, 0, "%s: %s", d->name, fixture_said);
		cr_expect_gt(r.n_pending, 0, "%s: not noticed", d->name);
		cr_expect_eq(fixture_repair(&f, false, &repaired), 0);
		cr_expect_eq(repaired.n_entries_lost, 0, "%s: %s", d->name,
			     fixture_said);
		r = fixture_check(&f);
		cr_expect_eq(r.n_damage + r.n_pending, 0, "%s: %s", d->name,
			     fixture_said);
		cr_expect_eq(fixture_count(&f), FIXTURE_ENTRIES - d->n_lost,
			     "%s", d->name);
		fixture_drop(&f);
	}
}
