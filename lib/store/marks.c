/* SPDX-License-Identifier: Apache-2.0 */
/* Walking the marks of a class, and looking ahead of who walks: marks.h. */
#include "store/marks.h"

#include "store/entry.h"
#include "store/ghost.h"
#include "store/page.h"

uint32_t larder_marks_next(const struct segment *s, unsigned class,
			   const atomic_u64 *bits, uint32_t from)
{
	uint32_t page, first_page, n_words = page_units(s) / 64;
	bool wrapped = false;

	if (!unit_valid(s, from))
		from = s->first_unit;
	first_page = page = page_of_unit(s, from);
	for (;;) {
		page = class_next_page(s, s->class_bits, class, page);
		if (page == s->n_pages) {
			if (wrapped)
				return 0;
			wrapped = true;
			page = 0;
			continue;
		}
		if (wrapped && page > first_page)
			return 0;
		uint32_t base = page_first_unit(s, page) >> 6;

		for (uint32_t i = 0; i < n_words; i++) {
			uint64_t b = load_relaxed(&bits[base + i]);

			if (!wrapped && page == first_page) {
				if (base + i < from >> 6)
					continue;
				if (base + i == from >> 6)
					b &= ~UINT64_C(0) << (from & 63);
			}
			if (b)
				return (base + i) * 64 +
				       (uint32_t)__builtin_ctzll(b);
		}
		page++;
	}
}

#ifdef LARDER_TSAN
/* It reads keys that may be written just now, and would be told off. */
void larder_marks_ahead(struct worker *w, unsigned class,
			const atomic_u64 *bits, uint32_t unit)
{
	(void)w, (void)class, (void)bits, (void)unit;
}
#else
static void expect_entry(const struct segment *s, uint32_t unit)
{
	__builtin_prefetch(entry_at(s, unit), 1);
}

/* What unlinking it will touch beside itself. Its key may be any bytes by now:
 * it decides where to look ahead, nothing else. */
static void expect_group(const struct segment *s, uint32_t unit, bool main)
{
	struct entry_view v;
	uint64_t hash;
	struct group *g;

	if (!larder_entry_view(s, unit, &v))
		return;
	hash = larder_hash(s->sb->secret, v.key, v.n_key);
	g = group_of(s, hash);
	__builtin_prefetch(g, 1);
	__builtin_prefetch(&g->slot[GROUP_LINE0_SLOTS], 1);
	larder_ghost_expect(s, hash, main);
}

void larder_marks_ahead(struct worker *w, unsigned class,
			const atomic_u64 *bits, uint32_t unit)
{
	const struct segment *s = w->s;
	struct ahead *a = &w->ahead;

	if (a->head != a->tail && a->bits == bits && a->class == class &&
	    a->unit[a->head % MARKS_AHEAD] == unit) {
		a->head++;
	} else {
		a->head = a->tail = 0;
		a->bits = bits;
		a->class = class;
		a->at = unit + 1;
	}
	while (a->tail - a->head < MARKS_AHEAD) {
		uint32_t next = larder_marks_next(s, class, bits, a->at);

		if (next < a->at)
			break; /* around, or none */
		expect_entry(s, next);
		a->unit[a->tail++ % MARKS_AHEAD] = next;
		a->at = next + 1;
	}
	if (a->tail - a->head > MARKS_AHEAD / 2)
		expect_group(s,
			     a->unit[(a->head + MARKS_AHEAD / 2) % MARKS_AHEAD],
			     bits == s->main_bits);
}
#endif
