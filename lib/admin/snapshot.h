/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A private copy of one entry, taken from outside: no pin, no hazard, no store.
 *
 * What keeps a copy honest is that the page word and the header, generation
 * included, are the same before and after it: an object that was freed, reused
 * or given to another class in between has other ones. Every length is checked
 * against the object that holds the entry, so a copy never reaches beyond it,
 * whatever the bytes claim.
 */
#ifndef LARDER_ADMIN_SNAPSHOT_H
#define LARDER_ADMIN_SNAPSHOT_H

#include <larder/larder.h>

#include "segment/segment.h"

enum snapshot_result {
	SNAPSHOT_OK,	/* LIVE, or ALLOC whose fields make sense */
	SNAPSHOT_MOVED, /* it changed under our eyes, again and again */
	SNAPSHOT_STATE, /* the header is neither ALLOC nor LIVE */
	SNAPSHOT_PAGE,	/* no object of its page, or none at all */
	SNAPSHOT_BAD,	/* its fields contradict each other: why */
};

struct snapshot {
	uint32_t unit;
	unsigned class;
	uint64_t object_bytes;
	uint64_t page_word, header;
	uint64_t version, stamp, born_ms;
	uint64_t hard_ms, soft_ms, cost_ns; /* 0: none */
	uint32_t n_value, hits;
	uint32_t n_key, n_tags, n_texts;
	unsigned flags;
	uint64_t value_offset;			 /* from the header */
	const unsigned char *key, *mask, *texts; /* mask, texts: NULL if none */
	uint32_t n_mask;
	const char *why;      /* of SNAPSHOT_BAD and SNAPSHOT_PAGE */
	unsigned char *bytes; /* the copy; room, or allocated */
	size_t n_bytes;
	unsigned char room[2048];
};

/* Of a run's head: the run's pages, clamped to those that are there. */
uint32_t larder_snapshot_run_pages(const struct segment *s, uint32_t head);

/* Ends by itself; larder_snapshot_drop() afterwards, whatever it returned.
 * -ENOMEM, or enum snapshot_result. */
int larder_snapshot_take(const struct segment *s, uint32_t unit,
			 struct snapshot *snap);
void larder_snapshot_drop(struct snapshot *snap);

/* Is the object still the one that was copied? */
bool larder_snapshot_stands(const struct segment *s,
			    const struct snapshot *snap);

/* The next tag; *at begins at 0. False past the end. */
bool larder_snapshot_tag(const struct snapshot *snap, uint32_t *at,
			 const unsigned char **text, uint32_t *n_text);

/* Would a get at @now_ms be answered with it? */
bool larder_snapshot_valid(struct segment *s, const struct snapshot *snap,
			   uint64_t now_ms);

/* What is known of it, but for what depends on who asks. */
void larder_snapshot_info(const struct segment *s, const struct snapshot *snap,
			  uint64_t now_ms, struct larder_info *info);

/*
 * The entry at or after *@cursor that the index names, as a reader would find
 * it: a cursor counts slots of all groups. 0, LARDER_END or -ENOMEM; on 0 the
 * cursor is past it.
 */
int larder_snapshot_next(const struct segment *s, uint64_t *cursor,
			 struct snapshot *snap);

/* Fill a caller's walk entry, however short it is. */
void larder_snapshot_walk_entry(struct segment *s, const struct snapshot *snap,
				uint64_t now_ms,
				struct larder_walk_entry *entry);

#endif
