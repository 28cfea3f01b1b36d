/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Planning a segment: how many slots, groups, classes and pages a size gives,
 * and where each table begins. One function plans; validation plans again from
 * the superblock's own options and compares, so no offset of a file is trusted
 * that this code would not have chosen.
 */
#include "segment/layout.h"

#include <errno.h>
#include <string.h>

#include <larder/larder.h>

/*
 * Into how many pages a segment would be divided if it held nothing else, where
 * they can be as small; and from how large a one on they are the largest. Large
 * pages leave less of what large values take unused and are enough for more of
 * them; with few of them each of dozens of classes has too much or too little.
 * DESIGN.md.
 */
enum { MIN_PAGES = 256, LARGEST_PAGES_BYTES = 64 << 20 };

uint32_t larder_layout_version(void)
{
	return LAYOUT_VERSION;
}

uint32_t larder_layout_fingerprint(void)
{
	const uint32_t sizes[] = {
		sizeof(struct superblock),
		sizeof(struct hot),
		sizeof(struct slot),
		sizeof(struct cell),
		sizeof(struct pattern),
		sizeof(struct flight),
		sizeof(struct group),
		sizeof(struct entry),
		sizeof(struct pool),
		sizeof(pthread_mutex_t),
		offsetof(struct slot, claim),
		sizeof(void *),
		LAYOUT_VERSION,
	};
	uint32_t h = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		h = (h ^ sizes[i]) * 16777619u;
	return h;
}

/*
 * Object sizes in units: of those that fill a page with no tail left over, the
 * largest within an eighth of the one before, or else the next. So no entry of
 * eight units and more takes over an eighth more than it needs, but in the last
 * sizes, of which seven to one fill a page.
 */
static uint32_t plan_classes(struct superblock *p)
{
	uint32_t page_units = (1u << p->page_shift) >> UNIT_SHIFT;
	uint32_t n = 0, size = 1;

	memset(p->class_units, 0, sizeof p->class_units);
	p->class_units[n++] = size;
	while (size < page_units) {
		uint32_t per_page = page_units / (size + 1);

		per_page = (uint32_t)min_u64(
			per_page, div_up(page_units, size + size / 8));
		/* Pages larger than they are now would have more of them. */
		size = n == RUN_CLASS - 1 ? page_units : page_units / per_page;
		p->class_units[n++] = size;
	}
	return n;
}

static uint64_t place(uint64_t *at, uint64_t n_bytes)
{
	uint64_t here = *at;

	*at = align_up(here + n_bytes, 128);
	return here;
}

static uint32_t power_of_two_at_most(uint64_t n)
{
	return n < 2 ? 1 : 1u << (63 - __builtin_clzll(n));
}

static void plan_tables(struct superblock *p, uint64_t *at)
{
	uint64_t n_units = p->bytes >> UNIT_SHIFT;
	uint64_t bits = div_up(n_units, 64) * 8;
	uint64_t class_row;

	p->off_hot = place(at, sizeof(struct hot));
	p->off_slots = place(at, p->n_slots * sizeof(struct slot));
	p->off_cells = place(at, p->n_slots * sizeof(struct cell));
	p->off_ring = place(at, RING_CELLS * 8);
	p->off_tags = place(at, p->n_tag_sets * sizeof(struct tag_set));
	p->off_keys = place(at, p->n_key_sets * sizeof(struct tag_set));
	p->off_patterns = place(at, N_PATTERNS * sizeof(struct pattern));
	p->off_flights = place(at, p->n_flights * sizeof(struct flight));
	p->off_pools = place(at, MAX_CLASSES * sizeof(struct pool));
	p->off_groups = place(at, p->n_groups * sizeof(struct group));
	p->off_hint_bits = place(at, bits);
	p->off_probation_bits = place(at, bits);
	p->off_main_bits = place(at, bits);
	p->off_ghost = place(at, (uint64_t)p->n_ghost_buckets *
					 sizeof(struct ghost_bucket));
	p->off_ghost_main = place(at, (uint64_t)p->n_ghost_main_buckets *
					      sizeof(struct ghost_bucket));
	/* The page tables are sized for the pages that would fit if they took
	 * no room themselves: a few too many words, and no circular sum. */
	p->n_pages = (uint32_t)((p->bytes - *at) >> p->page_shift);
	class_row = div_up(p->n_pages, 64) * 8;
	p->off_page_words = place(at, (uint64_t)p->n_pages * 8);
	p->off_page_lengths = place(at, (uint64_t)p->n_pages * 4);
	p->off_class_bits = place(at, MAX_CLASSES * class_row);
	p->off_avail_bits = place(at, MAX_CLASSES * class_row);
	*at = align_up(*at, UINT64_C(1) << p->page_shift);
	p->off_pages = *at;
	p->n_pages = *at < p->bytes
			     ? (uint32_t)((p->bytes - *at) >> p->page_shift)
			     : 0;
	/* The end has a number too: of the very largest segment the last page
	 * is given up for it. */
	if ((*at >> UNIT_SHIFT) +
		    ((uint64_t)p->n_pages << (p->page_shift - UNIT_SHIFT)) >
	    UINT32_MAX)
		p->n_pages--;
}

int larder_layout_plan(const struct larder_create_options *o,
		       struct superblock *p)
{
	/* Whole pages first: the validator plans from what is stored. */
	uint64_t bytes = (o->bytes ? o->bytes : LARDER_SEGMENT_DEFAULT) &
			 ~UINT64_C(4095);
	uint64_t entries, at = SUPERBLOCK_BYTES;

	if (bytes < LARDER_SEGMENT_MIN || o->bytes > LARDER_SEGMENT_MAX ||
	    o->n_slots > LARDER_SLOTS_MAX || o->policy > LARDER_POLICY_COST ||
	    o->max_entries > bytes / UNIT_BYTES || o->entry_hint > bytes / 8)
		return -EINVAL;

	memset(p, 0, sizeof *p);
	p->magic = SEGMENT_MAGIC;
	p->layout_version = LAYOUT_VERSION;
	p->byte_order = 0x01020304;
	p->fingerprint = larder_layout_fingerprint();
	p->bytes = bytes;
	p->max_entries = o->max_entries;
	p->entry_hint = o->entry_hint ? o->entry_hint : 272;
	p->ttl_ms = o->ttl_ms;
	p->pattern_ms = o->pattern_ms ? o->pattern_ms : 60000;
	p->policy = o->policy ? o->policy : LARDER_POLICY_FIN;
	p->n_slots = o->n_slots ? o->n_slots
				: (uint32_t)clamp_u64(bytes >> 18, 64,
						      LARDER_SLOTS_MAX);
	p->page_shift = (uint32_t)clamp_u64(
		63 - (uint64_t)__builtin_clzll(bytes / MIN_PAGES),
		PAGE_SHIFT_MIN, PAGE_SHIFT_MAX - 1);
	if (bytes >= LARGEST_PAGES_BYTES)
		p->page_shift = PAGE_SHIFT_MAX;
	p->n_classes = plan_classes(p);
	p->value_max = min_u64(bytes / 8, UINT64_C(1) << 30);

	/* Seven entries in a group of fourteen, for 18.3 bytes of index an
	 * entry; how many inserts meet a full one, DESIGN.md says. */
	entries = o->max_entries
			  ? o->max_entries
			  : bytes / align_up(ENTRY_FIXED + p->entry_hint, 64);
	p->n_groups = max_u64(div_up(entries, GROUP_TYPICAL), 4);
	if (p->n_groups > UINT32_MAX)
		return -EINVAL;
	p->ghost_entries = max_u64(entries, 64);
	p->n_ghost_buckets = (uint32_t)div_up(p->ghost_entries, GHOST_WAYS);
	p->n_ghost_main_buckets =
		(uint32_t)div_up(p->ghost_entries / 8 + 8, GHOST_WAYS);
	p->n_tag_sets = (uint32_t)clamp_u64(power_of_two_at_most(bytes / 2048),
					    256, 1u << 18);
	p->n_key_sets = p->n_tag_sets / 4;
	p->n_flights = (uint32_t)clamp_u64(power_of_two_at_most(bytes >> 15),
					   64, 8192);
	plan_tables(p, &at);
	return p->n_pages >= MIN_PAGES / 4 ? 0 : -EINVAL;
}

void larder_layout_options(const struct superblock *sb,
			   struct larder_create_options *options)
{
	*options = (struct larder_create_options){
		.size_of = sizeof *options,
		.bytes = sb->bytes,
		.n_slots = sb->n_slots,
		.policy = sb->policy,
		.max_entries = sb->max_entries,
		.entry_hint = sb->entry_hint,
		.ttl_ms = sb->ttl_ms,
		.pattern_ms = sb->pattern_ms,
	};
}

void larder_layout_adopt(struct superblock *plan, const struct superblock *sb)
{
	plan->ready = sb->ready;
	memcpy(plan->id, sb->id, sizeof plan->id);
	memcpy(plan->boot_id, sb->boot_id, sizeof plan->boot_id);
	memcpy(plan->secret, sb->secret, sizeof plan->secret);
	plan->time_namespace = sb->time_namespace;
	plan->created_ms = sb->created_ms;
	plan->created_unix_ms = sb->created_unix_ms;
	plan->creator_pid = sb->creator_pid;
	plan->fenced = sb->fenced;
}

int larder_layout_validate(const struct superblock *sb, uint64_t n_file)
{
	struct larder_create_options options;
	struct superblock plan;

	if (sb->magic != SEGMENT_MAGIC)
		return LARDER_ERR_NOT_LARDER;
	if (sb->byte_order != 0x01020304)
		return LARDER_ERR_BYTE_ORDER;
	if (sb->layout_version != LAYOUT_VERSION)
		return LARDER_ERR_VERSION;
	if (sb->fingerprint != larder_layout_fingerprint())
		return LARDER_ERR_FINGERPRINT;
	larder_layout_options(sb, &options);
	if (larder_layout_plan(&options, &plan) || sb->n_slots == 0 ||
	    sb->fenced > 1)
		return LARDER_ERR_DAMAGED;
	larder_layout_adopt(&plan, sb);
	if (memcmp(&plan, sb, sizeof plan))
		return LARDER_ERR_DAMAGED;
	return n_file < sb->bytes ? LARDER_ERR_TRUNCATED : 0;
}
