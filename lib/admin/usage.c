/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gauges: what the pages hold, derived by a walk over them when asked, never
 * counted up and down. On a live segment each page is of its own moment.
 */
#include "admin/inspect.h"

#include <string.h>

#include "cache/cache.h"

/* What one page's objects amount to. */
struct tally {
	uint64_t n[HEADER_BLOCKED + 1]; /* objects by header state */
	uint64_t bytes_requested;	/* headers, keys, values of the live */
	uint64_t bytes_values;		/* keys and values alone */
	uint64_t bytes_kept;		/* objects of entries with KEEP */
};

/* Fields may tear while they are read: the result is a gauge, and clamped. */
static void add_live(const struct segment *s, uint32_t unit, uint64_t object,
		     struct tally *t)
{
	struct entry_view v;

	if (!larder_entry_view(s, unit, &v))
		return;
	t->bytes_requested += min_u64(v.n_bytes, object);
	t->bytes_values += min_u64((uint64_t)v.n_key + v.n_value, object);
	if (v.flags & LARDER_KEEP)
		t->bytes_kept += object;
}

static void add_object(const struct segment *s, uint32_t unit, uint64_t object,
		       struct tally *t)
{
	unsigned state = HEADER_STATE(load_acquire(&entry_at(s, unit)->header));

	if (state > HEADER_BLOCKED)
		return;
	t->n[state]++;
	if (state == HEADER_LIVE)
		add_live(s, unit, object, t);
}

/* The objects of an ACTIVE or DRAINING page; their size, 0 if it has none. */
static uint64_t tally_page(const struct segment *s, uint32_t page,
			   uint64_t word, struct tally *t)
{
	uint32_t units = larder_class_units(s, PAGE_CLASS(word));
	uint32_t first = page_first_unit(s, page);

	if (!units)
		return 0;
	for (uint32_t i = 0; i < page_units(s) / units; i++)
		add_object(s, first + i * units, (uint64_t)units << UNIT_SHIFT,
			   t);
	return (uint64_t)units << UNIT_SHIFT;
}

static bool has_objects(uint64_t word)
{
	return PAGE_STATE(word) == PAGE_ACTIVE ||
	       PAGE_STATE(word) == PAGE_DRAINING;
}

void larder_usage_of(const struct segment *s, struct larder_usage *usage)
{
	uint64_t page_bytes = UINT64_C(1) << s->page_shift;

	usage->bytes_total = s->bytes;
	for (uint32_t page = 0; page < s->n_pages; page++) {
		uint64_t word = load_acquire(&s->page_words[page]), object;
		struct tally t = {0};

		if (PAGE_STATE(word) == PAGE_FREE) {
			usage->bytes_free += page_bytes;
			continue;
		}
		if (has_objects(word)) {
			object = tally_page(s, page, word, &t);
		} else if (PAGE_STATE(word) == PAGE_RUN_HEAD) {
			object =
				larder_snapshot_run_pages(s, page) * page_bytes;
			add_object(s, page_first_unit(s, page), object, &t);
		} else {
			continue;
		}
		usage->n_entries += t.n[HEADER_LIVE];
		usage->bytes_used += t.n[HEADER_LIVE] * object;
		usage->bytes_values += t.bytes_values;
		usage->bytes_retired += t.n[HEADER_RETIRED] * object;
		usage->bytes_free += t.n[HEADER_FREE] * object;
		usage->bytes_kept += t.bytes_kept;
	}
}

int larder_inspect_usage(struct larder_inspector *in,
			 struct larder_usage *usage)
{
	struct larder_usage u = {0};

	larder_usage_of(in->s, &u);
	u.n_workers = larder_alive_count(in->s);
	return larder_inspect_give(usage, &u, sizeof u) ? 0 : -EINVAL;
}

int larder_usage(struct larder *h, struct larder_usage *usage)
{
	struct larder_usage u = {0};
	struct segment *s;

	if (!h || !usage)
		return -EINVAL;
	s = load_acquire(&h->segment);
	larder_usage_of(s, &u);
	for (uint32_t i = 0; i < s->n_slots; i++)
		u.n_workers += larder_alive_word(s, i) == LARDER_WORKER_LIVE;
	return larder_inspect_give(usage, &u, sizeof u) ? 0 : -EINVAL;
}

/* ------------------------------------------------------------------ */

static void count_bits(const struct segment *s, uint32_t page,
		       struct larder_class_info *c)
{
	uint32_t first = page_first_unit(s, page) >> 6;

	for (uint32_t i = 0; i < page_units(s) / 64; i++) {
		c->n_probation += (uint64_t)__builtin_popcountll(
			load_relaxed(&s->probation_bits[first + i]));
		c->n_main += (uint64_t)__builtin_popcountll(
			load_relaxed(&s->main_bits[first + i]));
	}
}

int larder_inspect_class(struct larder_inspector *in, uint32_t class_index,
			 struct larder_class_info *info)
{
	const struct segment *s = in->s;
	bool runs = class_index == s->n_classes;
	unsigned class = runs ? RUN_CLASS : class_index;
	struct larder_class_info c = {.class_index = class_index};
	struct tally t = {0};

	if (class_index > s->n_classes)
		return LARDER_END;
	c.object_bytes = larder_class_units(s, class) << UNIT_SHIFT;
	c.target = load_relaxed(&s->pools[class].target);
	for (uint32_t page = 0; page < s->n_pages; page++) {
		uint64_t word = load_acquire(&s->page_words[page]);

		if (runs && PAGE_STATE(word) == PAGE_RUN_HEAD) {
			uint64_t n = larder_snapshot_run_pages(s, page);

			c.n_pages += n;
			add_object(s, page_first_unit(s, page),
				   n << s->page_shift, &t);
			count_bits(s, page, &c);
		} else if (!runs && has_objects(word) &&
			   PAGE_CLASS(word) == class) {
			c.n_pages++;
			c.n_draining += PAGE_STATE(word) == PAGE_DRAINING;
			tally_page(s, page, word, &t);
			count_bits(s, page, &c);
		}
	}
	c.n_live = t.n[HEADER_LIVE];
	c.n_free = t.n[HEADER_FREE];
	c.n_retired = t.n[HEADER_RETIRED];
	c.n_allocated = t.n[HEADER_ALLOC];
	c.bytes_requested = t.bytes_requested;
	return larder_inspect_give(info, &c, sizeof c) ? 0 : -EINVAL;
}
