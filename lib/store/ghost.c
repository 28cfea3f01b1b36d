/* SPDX-License-Identifier: Apache-2.0 */
/* See ghost.h. Two tables of one shape: evicted from probation, from main. */
#include "store/ghost.h"

/*
 * In 64ths of the live entries. A set forgets its oldest when a ninth comes, so
 * with as many entries as planned half of the ghosts outlive 64 and few 96; the
 * limit is for a segment that holds fewer than planned.
 */
enum { AGES = 64, FORGOTTEN_AGE = 96 };

/* The ghost's clock: probation evictions in 64ths of the planned entries. */
static uint8_t now(const struct segment *s)
{
	uint64_t per_age = max_u64(s->sb->ghost_entries / AGES, 1);

	return (uint8_t)(load_relaxed(&s->hot->evicted) / per_age);
}

static uint16_t fingerprint(uint64_t hash, unsigned class)
{
	uint64_t x = (hash ^ (uint64_t) class * UINT64_C(0x9e3779b97f4a7c15)) *
		     UINT64_C(0xff51afd7ed558ccd);

	return (uint16_t)(x >> 48 ? x >> 48 : 1);
}

static struct ghost_bucket *bucket(struct ghost_bucket *table, uint32_t n,
				   uint64_t hash)
{
	return &table[reduce_u32((uint32_t)(hash >> 20), n)];
}

static void add(struct segment *s, struct ghost_bucket *b, uint16_t fp)
{
	uint8_t clock = now(s), oldest_age = 0;
	unsigned victim = 0;

	for (unsigned i = 0; i < GHOST_WAYS; i++) {
		uint8_t age = (uint8_t)(clock - load_relaxed(&b->stamp[i]));

		if (!load_relaxed(&b->fingerprint[i])) {
			victim = i;
			break;
		}
		if (age > oldest_age) {
			oldest_age = age;
			victim = i;
		}
	}
	store_relaxed(&b->stamp[victim], clock);
	store_relaxed(&b->fingerprint[victim], fp);
}

/* The stamp of the ghost, which is forgotten; -1: there is none. */
static int take(struct ghost_bucket *b, uint16_t fp)
{
	for (unsigned i = 0; i < GHOST_WAYS; i++) {
		if (load_relaxed(&b->fingerprint[i]) != fp)
			continue;
		store_relaxed(&b->fingerprint[i], 0);
		return load_relaxed(&b->stamp[i]);
	}
	return -1;
}

void larder_ghost_add(struct segment *s, uint64_t hash, unsigned class)
{
	add(s, bucket(s->ghost, s->sb->n_ghost_buckets, hash),
	    fingerprint(hash, class));
}

void larder_ghost_main_add(struct segment *s, uint64_t hash, unsigned class)
{
	add(s, bucket(s->ghost_main, s->sb->n_ghost_main_buckets, hash),
	    fingerprint(hash, class));
}

void larder_ghost_expect(const struct segment *s, uint64_t hash, bool main)
{
	if (main)
		__builtin_prefetch(bucket(s->ghost_main,
					  s->sb->n_ghost_main_buckets, hash),
				   1);
	else
		__builtin_prefetch(
			bucket(s->ghost, s->sb->n_ghost_buckets, hash), 1);
}

int larder_ghost_take(struct segment *s, uint64_t hash, unsigned class)
{
	uint64_t live = max_u64(load_relaxed(&s->hot->n_entries), 1), age;
	int stamp = take(bucket(s->ghost, s->sb->n_ghost_buckets, hash),
			 fingerprint(hash, class));

	if (stamp < 0)
		return -1;
	/* In 64ths of what is live, which may be fewer than planned. */
	age = (uint8_t)(now(s) - stamp) * s->sb->ghost_entries / live;
	return age > FORGOTTEN_AGE ? -1 : (int)age;
}

/*
 * Whatever its age: the clock counts evictions from probation, and where main
 * is seldom swept many of those pass between two evictions from it. Without the
 * old ones too few would speak against a growing probation.
 */
bool larder_ghost_main_take(struct segment *s, uint64_t hash, unsigned class)
{
	return take(bucket(s->ghost_main, s->sb->n_ghost_main_buckets, hash),
		    fingerprint(hash, class)) >= 0;
}
