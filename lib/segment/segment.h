/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mapped segment: private pointers to the tables that layout.h describes.
 *
 * The only module that maps files. A mapping lives until its last user lets go
 * (a handle, or a thread that still holds a worker slot in it): unmapping under
 * a held slot would hide that thread's death from the kernel.
 */
#ifndef LARDER_SEGMENT_SEGMENT_H
#define LARDER_SEGMENT_SEGMENT_H

#include "segment/layout.h"

struct larder_create_options;

struct segment {
	unsigned char *base;
	uint64_t bytes;
	const struct superblock *sb;
	struct hot *hot;
	const unsigned char *end; /* past the last page */
	struct slot *slots;
	struct cell *cells;
	atomic_u64 *ring;
	struct tag_set *tags, *keys;
	struct pattern *patterns;
	struct flight *flights;
	struct pool *pools;
	struct group *groups;
	atomic_u64 *page_words;
	atomic_u32 *page_lengths;
	atomic_u64 *hint_bits, *probation_bits, *main_bits;
	atomic_u64 *class_bits, *avail_bits;
	struct ghost_bucket *ghost, *ghost_main;
	uint32_t n_groups, n_slots, n_pages, n_classes;
	uint32_t page_shift;	  /* of bytes */
	uint32_t page_unit_shift; /* of units */
	uint32_t first_unit;	  /* of page 0 */
	uint32_t end_unit;	  /* past the last page */
	uint32_t n_units;	  /* of all pages */
	uint32_t class_row;	  /* words of one row of class_bits */
	bool fenced;
	bool read_only;
	int fd;
	atomic_u32 references; /* handles and worker slots of this process */
	struct segment *older; /* of a handle's closed ones: attach.c */
	uint8_t secret[LARDER_SECRET_BYTES]; /* of the superblock, nearer */
	uint8_t class_of_units[PAGE_UNITS_MAX + 1]; /* the smallest that fits */
	/* Pins that looked stuck to this process, and since when (epoch.c). */
	uint64_t *stuck_pin, *stuck_ms;
};

#define LARDER_HUGE_BYTES (UINT64_C(2) << 20)

/* The entry at a unit. The caller knows that the unit is within the pages:
 * larder_unit_valid(). */
static inline struct entry *entry_at(const struct segment *s, uint32_t unit)
{
	return (struct entry *)(s->base + ((uint64_t)unit << UNIT_SHIFT));
}

static inline bool unit_valid(const struct segment *s, uint32_t unit)
{
	return unit - s->first_unit < s->n_units;
}

static inline uint32_t page_of_unit(const struct segment *s, uint32_t unit)
{
	return (unit - s->first_unit) >> s->page_unit_shift;
}

static inline uint32_t page_first_unit(const struct segment *s, uint32_t page)
{
	return s->first_unit + (page << s->page_unit_shift);
}

static inline uint32_t page_units(const struct segment *s)
{
	return 1u << s->page_unit_shift;
}

static inline struct group *group_of(const struct segment *s, uint64_t hash)
{
	return &s->groups[reduce_u32((uint32_t)hash, s->n_groups)];
}

/* One bit a unit, for hint_bits, probation_bits and main_bits. */
static inline bool bit_test(atomic_u64 *bits, uint32_t unit)
{
	return load_relaxed(&bits[unit >> 6]) >> (unit & 63) & 1;
}

/* True if this call set it. */
static inline bool bit_set(atomic_u64 *bits, uint32_t unit)
{
	uint64_t m = UINT64_C(1) << (unit & 63);

	return !(fetch_or_acqrel(&bits[unit >> 6], m) & m);
}

/* True if this call cleared it. */
static inline bool bit_clear(atomic_u64 *bits, uint32_t unit)
{
	uint64_t m = UINT64_C(1) << (unit & 63);

	return fetch_and_acqrel(&bits[unit >> 6], ~m) & m;
}

/*
 * Map an existing segment. On success *s is owned by the caller, who holds one
 * reference. Failures are those of larder_open().
 *
 * larder_segment_map() takes ownership of fd, also on failure.
 */
enum segment_mode {
	SEGMENT_READ_WRITE,
	SEGMENT_INSPECT, /* read-only; other boots, closed and short files pass
			  */
};
int larder_segment_map(int fd, enum segment_mode mode, struct segment **s);
void larder_segment_hold(struct segment *s);
void larder_segment_drop(struct segment *s);

/* Close the segment in this file for whoever has it mapped: every hit turns
 * slow and finds it closed. Also one that nobody can map any more, because its
 * superblock was damaged or names another boot; a file that does not say that
 * it is a segment of this layout is left alone. */
void larder_segment_close(int fd);

/* The file behind @fd, which may be negative, at a descriptor that is not one
 * of the standard three: a program that closed those still writes to them.
 * Takes ownership of @fd. -errno on failure. */
int larder_fd_safe(int fd);

/* Is this process registered for the global expedited membarrier? Registers. */
int larder_membarrier_register(void);
/* False if the kernel refused: then nothing may be concluded from pins. */
bool larder_membarrier(void);

/* Boot id of the running kernel, and the time namespace.
 * LARDER_ERR_BOOT_UNKNOWN and zeroes without /proc; -errno if it cannot be read
 * just now. */
int larder_boot_identity(char boot_id[40], uint64_t *time_namespace);

#endif
