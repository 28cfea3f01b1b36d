/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file admin.h  Looking into a segment from outside.
 *
 * An inspector maps a segment's file read-only, live, copied or damaged, takes
 * no worker slot, changes nothing and stops nobody. Everything it reads is data
 * from a possibly broken process: each offset and length is checked before it
 * is followed, so a hostile file gives findings, never a crash or a hang.
 *
 * The conventions of larder.h hold. Functions on one inspector: [X]. Strings
 * are owned by the inspector unless they are said to be static.
 */
#ifndef LARDER_ADMIN_H
#define LARDER_ADMIN_H

#include <larder/larder.h>

#ifdef __cplusplus
extern "C" {
#endif

struct larder_inspector;

/**
 * larder_inspect() - map the segment at @path for reading
 *
 * Also opens what larder_open() refuses, as far as it can be understood: of
 * another boot, damaged, truncated (what is missing reads as absent).
 * Return: 0, -ENOENT, -EACCES, LARDER_ERR_NOT_LARDER, _VERSION, _BYTE_ORDER,
 * _FINGERPRINT, LARDER_ERR_DAMAGED (the superblock describes no segment).
 */
LARDER_API int larder_inspect(const char *path,
			      struct larder_inspector **inspector);
LARDER_API void larder_inspect_close(struct larder_inspector *inspector);

/** The superblock, and what follows from it. */
struct larder_segment_info {
	size_t size_of; /* set by the caller */
	uint32_t layout_version;
	uint32_t page_bytes;
	uint64_t bytes_total;
	uint64_t bytes_file; /* of the file as it is */
	uint64_t created_unix_ms;
	uint64_t created_boot_ms; /* CLOCK_MONOTONIC at creation */
	char id[33];		  /* random identity, hex */
	char boot_id[40];
	uint8_t this_boot; /* 1: of the running boot */
	uint8_t fenced;	   /* 1: created without membarrier */
	uint8_t closed;	   /* 1: put aside */
	uint8_t policy;	   /* enum larder_policy */
	uint32_t n_slots;
	uint32_t n_pages;
	uint32_t n_classes;
	uint32_t creator_pid;
	uint64_t n_groups; /* of the index */
	uint64_t n_index_slots;
	uint64_t max_entries;
	uint64_t entry_hint;
	uint64_t value_max;
	uint64_t ttl_ms;
	uint64_t epoch;
	uint64_t stamp; /* the invalidation counter */
	/* where the bytes go */
	uint64_t bytes_superblock;
	uint64_t bytes_slots;  /* slots and counter cells */
	uint64_t bytes_tables; /* tags, keys, patterns, flights, ring */
	uint64_t bytes_index;
	uint64_t bytes_clock; /* counters, state bits, ghosts, hints */
	uint64_t bytes_pages;
	double overhead_per_entry; /* header, index, CLOCK state, ghost, at half
				      load, without TTL, tags and cost */
};
LARDER_API int larder_inspect_info(struct larder_inspector *inspector,
				   struct larder_segment_info *info);

/** What larder_create() would make of these options, without making it: sizes
 *  and limits, nothing of identity or state. Return: 0, -EINVAL. */
LARDER_API int larder_plan(const struct larder_create_options *options,
			   struct larder_segment_info *info);

/** Gauges, by a walk over all pages. */
LARDER_API int larder_inspect_usage(struct larder_inspector *inspector,
				    struct larder_usage *usage);

/** Counters of all workers together, or of one slot (@slot >= 0): that of the
 *  slot's present owner alone, its predecessors' share taken off. */
LARDER_API int larder_inspect_counters(struct larder_inspector *inspector,
				       int slot, uint64_t *counters,
				       size_t n_counters);

enum larder_worker_state {
	LARDER_WORKER_FREE = 0,
	LARDER_WORKER_LIVE = 1,
	LARDER_WORKER_DEAD = 2, /* not yet recovered */
};

struct larder_worker_info {
	size_t size_of; /* set by the caller */
	uint32_t slot;
	uint32_t state; /* enum larder_worker_state */
	uint32_t generation;
	uint32_t pid;
	uint32_t tid;
	uint32_t pinned;   /* 1: inside a read or write section */
	uint32_t expelled; /* 1: and expelled from it */
	uint32_t n_leases;
	uint64_t bytes_leased;
	uint64_t pin_epoch_lag; /* epochs that passed since it pinned */
	uint64_t attached_ms;	/* how long ago */
	char command[32];	/* of /proc, if it is of this pid namespace */
};

/** Slot number @slot. Return: 0, or LARDER_END past the last. */
LARDER_API int larder_inspect_worker(struct larder_inspector *inspector,
				     uint32_t slot,
				     struct larder_worker_info *info);

struct larder_class_info {
	size_t size_of;	       /* set by the caller */
	uint32_t class_index;  /* n_classes: page runs */
	uint32_t object_bytes; /* 0 for page runs */
	uint64_t n_pages;
	uint64_t n_live;
	uint64_t n_free;
	uint64_t n_retired;
	uint64_t n_allocated;	  /* being written, or left by the dead */
	uint64_t bytes_requested; /* headers, keys and values of live entries */
	uint64_t n_probation;
	uint64_t n_main;
	uint64_t n_draining; /* pages on their way to another class */
	uint64_t target;     /* of the probation share */
};
LARDER_API int larder_inspect_class(struct larder_inspector *inspector,
				    uint32_t class_index,
				    struct larder_class_info *info);

/** The next entry at or after @cursor (0 begins). Return: 0, LARDER_END. */
LARDER_API int larder_inspect_walk(struct larder_inspector *inspector,
				   uint64_t *cursor,
				   struct larder_walk_entry *entry);

/** Tag @tag of the entry that the last walk returned. @text is not terminated.
 *  Return: 0, LARDER_END, LARDER_MISS (the entry went meanwhile). */
LARDER_API int larder_inspect_tag(struct larder_inspector *inspector,
				  uint32_t tag, const char **text,
				  size_t *n_text);

/** Value bytes of the entry that the last walk returned, copied; validated
 *  after the copy. Return: 0, LARDER_MISS, LARDER_TRUNCATED. */
LARDER_API int larder_inspect_value(struct larder_inspector *inspector,
				    void *value, size_t n_buffer,
				    size_t *n_value);

/** CLOCK state of the entry that the last walk returned: the hit counter 0..3,
 *  and 1 if it is in the main part. */
LARDER_API int larder_inspect_clock(struct larder_inspector *inspector,
				    unsigned *counter, unsigned *in_main);

struct larder_flight_info {
	size_t size_of; /* set by the caller */
	uint32_t flight;
	uint32_t leader_slot;
	uint32_t leader_pid;
	uint32_t leader_alive;
	uint64_t age_ms;
	uint64_t token_stamp;
	uint64_t key_hash;
};
/** The next flight under way at or after *@cursor. Return: 0, LARDER_END. */
LARDER_API int larder_inspect_flight(struct larder_inspector *inspector,
				     uint64_t *cursor,
				     struct larder_flight_info *info);

struct larder_pattern_info {
	size_t size_of; /* set by the caller */
	uint32_t n_text;
	uint32_t match; /* enum larder_match */
	uint64_t number;
	uint64_t age_ms;
	char text[256];
};
/** The next live pattern at or after *@cursor. Return: 0, LARDER_END. */
LARDER_API int larder_inspect_pattern(struct larder_inspector *inspector,
				      uint64_t *cursor,
				      struct larder_pattern_info *info);

/** What an invalidation would take with it: a dry run. @kind is 'k' (one key),
 *  't' (one tag), 'm' (a pattern) or 'a' (all). Return: 0, -EINVAL. */
LARDER_API int larder_inspect_preview(struct larder_inspector *inspector,
				      char kind, const void *text,
				      size_t n_text, enum larder_match match,
				      uint64_t *n_entries, uint64_t *n_bytes);

/* ------------------------------------------------------------------ */
/* Checking, repairing, copying                                        */

enum larder_severity {
	LARDER_PENDING = 0, /* an unfinished operation explains it: a note */
	LARDER_DAMAGE = 1,  /* a broken invariant */
};

/** Called for each finding. @where names the structure ("page 17"), @what says
 *  what is wrong and, for damage, what it would have to be. */
typedef void larder_finding(void *context, enum larder_severity severity,
			    const char *where, const char *what);

struct larder_check_result {
	size_t size_of; /* set by the caller */
	uint64_t n_entries;
	uint64_t n_pending;
	uint64_t n_damage;
	uint64_t n_groups_seen;
	uint64_t n_pages_seen;
	uint64_t n_slots_seen;
};

/**
 * larder_inspect_check() - verify every invariant of the segment
 *
 * On a live segment what looks wrong is looked at again until it stands still
 * or is gone. Return: 0 whatever was found; see @result.
 */
LARDER_API int larder_inspect_check(struct larder_inspector *inspector,
				    larder_finding *finding, void *context,
				    struct larder_check_result *result);

/** What larder_repair() did. */
struct larder_repair_result {
	size_t size_of; /* set by the caller */
	uint64_t n_entries_kept;
	uint64_t n_entries_lost; /* given up: damaged */
	uint64_t n_pages_reset;
	uint64_t n_slots_reset;
};

/**
 * larder_repair() - bring a segment that nobody uses to a state check accepts
 *
 * Works on the file in place and refuses (-EBUSY) while a live worker is
 * attached, unless @force. What cannot be trusted is given up and reported.
 * Also revives a segment of another boot: entries that expire are given up.
 * Return: 0, -EBUSY, as larder_inspect().
 */
LARDER_API int larder_repair(const char *path, int force,
			     larder_finding *finding, void *context,
			     struct larder_repair_result *result);

/** Carry every valid entry of @from into @to, with what is left of its TTL, its
 *  tags and flags. @n_copied and @n_skipped may be NULL. Invalidations that
 *  happen meanwhile in @from may miss the copies: stop its writers, or
 *  invalidate again. Return: 0, LARDER_NO_SPACE if some did not fit. */
LARDER_API int larder_copy(struct larder_inspector *from, struct larder *to,
			   uint64_t *n_copied, uint64_t *n_skipped);

#ifdef __cplusplus
}
#endif

#endif
