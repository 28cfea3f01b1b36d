/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What verify.h promises, structure by structure: groups first, then pages and
 * their objects against what the groups link, then slots.
 */
#include "support/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/entry.h"
#include "store/index.h"
#include "store/page.h"
#include "store/slab.h"

void settle(struct larder *handle)
{
	for (int i = 0; i < 8; i++)
		larder_maintain(handle, UINT32_MAX >> 8);
}

static const char *broken(char *text, size_t n, const char *what, uint64_t a,
			  uint64_t b)
{
	snprintf(text, n, "%s (%llu, %llu)", what, (unsigned long long)a,
		 (unsigned long long)b);
	return text;
}

static const char *verify_group(struct segment *s, uint32_t gi, uint8_t *linked,
				char *text, size_t n)
{
	struct group *g = &s->groups[gi];
	struct entry_view v[GROUP_SLOTS];

	if (ctl_index(load_acquire(&g->ctl)))
		return broken(text, n, "announcement pending in group", gi, 0);
	for (unsigned i = 0; i < GROUP_SLOTS; i++) {
		uint64_t word = load_acquire(&g->slot[i]), hash, page;
		uint32_t unit = slot_unit(word);
		unsigned class;

		v[i].key = NULL;
		if (!unit)
			continue;
		if (!unit_valid(s, unit))
			return broken(text, n, "unit outside", gi, unit);
		page = load_acquire(&s->page_words[page_of_unit(s, unit)]);
		if (!larder_unit_in_page(s, unit, page, &class))
			return broken(text, n, "no object there", unit, page);
		if (linked[unit - s->first_unit]++)
			return broken(text, n, "linked twice", gi, unit);
		if (HEADER_STATE(load_acquire(&entry_at(s, unit)->header)) !=
		    HEADER_LIVE)
			return broken(text, n, "linked, not LIVE", unit,
				      load_acquire(&entry_at(s, unit)->header));
		if (!larder_entry_view(s, unit, &v[i]))
			return broken(text, n, "malformed entry", gi, unit);
		hash = larder_hash(s->sb->secret, v[i].key, v[i].n_key);
		if (group_of(s, hash) != g || tag_of(hash) != slot_tag(word))
			return broken(text, n, "wrong group or tag", gi, unit);
		for (unsigned k = 0; k < i; k++)
			if (v[k].key && v[k].n_key == v[i].n_key &&
			    !memcmp(v[k].key, v[i].key, v[i].n_key))
				return broken(text, n, "duplicate key", gi,
					      unit);
	}
	return NULL;
}

/* @waiting: entries may still wait for their grace period. */
static const char *verify_object(struct segment *s, uint32_t unit,
				 unsigned class, const uint8_t *linked,
				 bool waiting, char *text, size_t n)
{
	uint64_t header = load_acquire(&entry_at(s, unit)->header);

	if (waiting && HEADER_STATE(header) == HEADER_RETIRED)
		return NULL;
	switch (HEADER_STATE(header)) {
	case HEADER_LIVE:
		return linked[unit - s->first_unit]
			       ? NULL
			       : broken(text, n, "LIVE in no group", unit, 0);
	case HEADER_FREE:
		if (class != RUN_CLASS && !bit_test(s->hint_bits, unit))
			return broken(text, n, "FREE without hint", unit, 0);
		if (class == RUN_CLASS)
			return broken(text, n, "run not given back", unit, 0);
		return NULL;
	default:
		return broken(text, n, "object left behind", unit, header);
	}
}

static const char *verify_page(struct segment *s, uint32_t page,
			       const uint8_t *linked, bool waiting, char *text,
			       size_t n)
{
	uint64_t word = load_acquire(&s->page_words[page]);
	uint32_t units, head, first = page_first_unit(s, page);
	const char *what;

	switch (PAGE_STATE(word)) {
	case PAGE_FREE:
		return NULL;
	case PAGE_ACTIVE:
		units = larder_class_units(s, PAGE_CLASS(word));
		if (!units)
			return broken(text, n, "class of page", page, word);
		for (uint32_t i = 0; i < page_units(s) / units; i++) {
			what = verify_object(s, first + i * units,
					     PAGE_CLASS(word), linked, waiting,
					     text, n);
			if (what)
				return what;
		}
		return NULL;
	case PAGE_RUN_HEAD:
		return verify_object(s, first, RUN_CLASS, linked, waiting, text,
				     n);
	case PAGE_RUN_BODY:
		return larder_page_in_run(s, page, word, &head)
			       ? NULL
			       : broken(text, n, "body without head", page, 0);
	default:
		return broken(text, n, "page left behind", page, word);
	}
}

static const char *verify_all(struct segment *s, int own, bool waiting,
			      char *text, size_t n)
{
	uint8_t *linked = calloc(s->n_units, 1);
	const char *what = NULL;

	if (!linked)
		return "no memory";
	for (uint32_t g = 0; g < s->n_groups && !what; g++)
		what = verify_group(s, g, linked, text, n);
	for (uint32_t p = 0; p < s->n_pages && !what; p++)
		what = verify_page(s, p, linked, waiting, text, n);
	for (uint32_t i = 0; i < s->n_slots && !what; i++) {
		struct slot *slot = &s->slots[i];

		if ((int)i == own)
			continue;
		if (load_acquire(&slot->generation) & 1)
			what = broken(text, n, "slot still claimed", i, 0);
		else if (load_acquire(&slot->pin))
			what = broken(text, n, "slot still pinned", i, 0);
		for (unsigned k = 0; k < N_HAZARDS && !what; k++)
			if (load_acquire(&slot->hazard[k]))
				what = broken(text, n, "hazard left", i, k);
	}
	free(linked);
	return what;
}

const char *verify(struct segment *s, int own, char *text, size_t n)
{
	return verify_all(s, own, false, text, n);
}

const char *verify_swept(struct segment *s, int own, char *text, size_t n)
{
	return verify_all(s, own, true, text, n);
}
