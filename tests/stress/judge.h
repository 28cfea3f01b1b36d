/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The judge's notions: spans of the board's clock, and questions about many of
 * them at once.
 */
#ifndef TESTS_STRESS_JUDGE_H
#define TESTS_STRESS_JUDGE_H

#include "storm.h"

#define NEVER UINT64_MAX

/* An operation took effect, if it did, at one moment of its span. Of what the
 * dead left pending the end is NEVER. */
struct span {
	uint64_t began, ended;
};

/* Spans, to be asked one question each. */
struct timeline {
	struct span *at;
	size_t n, room;
};
void timeline_add(struct timeline *t, uint64_t began, uint64_t ended);
void timeline_clear(struct timeline *t);
/* Of the spans that ended before a moment, the latest beginning; 0 if none. */
void timeline_order_by_end(struct timeline *t);
uint64_t latest_begun(const struct timeline *t, uint64_t before);
/* Of the spans that began before a moment, the latest end; 0 if none. */
void timeline_order_by_beginning(struct timeline *t);
uint64_t latest_ended(const struct timeline *t, uint64_t before);

/* What is known of one written value. */
struct life {
	const struct record *write; /* NULL: this record is no write */
	uint64_t first_end;   /* of its write and of reads that found it */
	uint64_t last_begin;  /* the same */
	uint64_t there_by;    /* it was written then, if ever */
	uint64_t dated;	      /* what it was computed from was read then */
	bool surely, refused; /* acknowledged or seen; told not stored */
};

/* The whole round. */
struct inquiry {
	struct life *lives; /* by record */
	uint32_t n_records;
	struct record **of_key[N_KEYS];
	uint32_t n_of_key[N_KEYS];
	/* invalidations, as they bear on values and on misses */
	struct timeline tag_done[N_TAGS], tag_any[N_TAGS];
	struct timeline any_invalidation;
	struct record **sweeping; /* of all, and globs over keys */
	uint32_t n_sweeping;
	/* versions seen, with the value they name */
	struct seen_version {
		uint64_t version, value;
		uint32_t key;
	} * versions;
	size_t n_versions;
	struct verdict *verdict;
};

static inline bool is_write(const struct record *r)
{
	return r->kind >= KIND_PUT && r->kind <= KIND_FETCH_PUT;
}

static inline bool is_read(const struct record *r)
{
	return r->kind >= KIND_GET && r->kind <= KIND_FETCH;
}

static inline bool is_done(const struct record *r)
{
	return load_relaxed(&r->state) == RECORD_DONE;
}

static inline uint64_t end_of(const struct record *r)
{
	return is_done(r) ? r->ended : NEVER;
}

/* Did it find, or leave, the key without a valid entry? */
bool found_absent(const struct record *r);

/* The life of a value that was read of @key; NULL if nobody wrote it. */
struct life *life_of(const struct inquiry *q, uint64_t value, uint32_t key);
/* The value that a version names, 0 if it was not seen. */
uint64_t value_of_version(const struct inquiry *q, uint64_t version);

void judge_key(struct inquiry *q, uint32_t key);
void judge_counter(struct inquiry *q, uint32_t key);

#endif
