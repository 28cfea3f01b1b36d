/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The usual hit, at every level that the processor has and not only at the one
 * that was chosen: it returns what larder_get_info() does, writes nothing
 * beside the value, counts one hit, and leaves to the general road what is not
 * usual.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/usual.h"

enum { MOST = 4000, GUARD = 64, MARK = 0xa5 };

static const char *const names[] = {"plain", "avx2", "avx512"};

struct fixture {
	struct larder *h;
	struct worker *w;
};

static struct fixture fixture_open(void)
{
	struct larder_create_options create = {.size_of = sizeof create,
					       .bytes = 4 << 20};
	struct fixture f;
	int fd, error;

	cr_assert_eq(larder_create_fd(&create, &fd), 0);
	cr_assert_eq(larder_open_fd(fd, NULL, &f.h), 0);
	close(fd);
	f.w = worker_of(f.h, &error);
	cr_assert_not_null(f.w);
	return f;
}

static void put(struct fixture *f, const char *key, size_t n_key,
		size_t n_value, struct larder_put_options *o)
{
	unsigned char value[MOST];

	for (size_t i = 0; i < n_value; i++)
		value[i] = (unsigned char)(i * 7 + n_key);
	cr_assert_eq(larder_put(f->h, key, n_key, value, n_value, o), 0);
}

static uint64_t hits(const struct fixture *f)
{
	return load_relaxed(&f->w->cell->counter[COUNTER_HITS]);
}

/* One get at a level, into a buffer of @n_buffer: it is what the general road
 * tells. @usual: this road has to have done it. */
static void get(struct fixture *f, int level, const char *key, size_t n_key,
		size_t n_buffer, bool usual)
{
	unsigned char value[MOST + GUARD], expected[MOST];
	struct larder_info info = {.size_of = sizeof info};
	size_t n = 12345, n_hit = 0;
	struct usual code;
	uint64_t before;
	int result, wanted;
	bool hit;

	if (!larder_usual_of((enum usual_level)level, &code))
		return;
	wanted = larder_get_info(f->h, key, n_key, expected, n_buffer, &info);
	memset(value, MARK, sizeof value);
	before = hits(f);
	result = code.get(f->h, key, n_key, value, n_buffer, &n);
	cr_assert_eq(result, wanted, "%s: %d and not %d, key of %zu",
		     names[level], result, wanted, n_key);
	cr_assert_eq(hits(f) - before, wanted != LARDER_MISS);
	if (wanted == LARDER_OK)
		cr_assert(n == info.n_value && !memcmp(value, expected, n),
			  "%s: %zu bytes with a key of %zu", names[level], n,
			  n_key);
	for (size_t i = n_buffer; i < n_buffer + GUARD; i++)
		cr_assert_eq(value[i], MARK, "%s: wrote behind the buffer",
			     names[level]);
	hit = code.hit(f->w, key, n_key, key_hash_of(f->w->s, key, n_key),
		       value, n_buffer, &n_hit);
	cr_assert_eq(hit, usual, "%s: key of %zu, buffer of %zu", names[level],
		     n_key, n_buffer);
}

static void at_each_level(struct fixture *f, const char *key, size_t n_key,
			  size_t n_buffer, bool usual)
{
	for (int level = 0; level < N_USUAL_LEVELS; level++)
		get(f, level, key, n_key, n_buffer, usual);
}

/* A key that leads where another one lies, as one in 4,096 does of a group, is
 * told from it. */
static void under_its_hash(struct fixture *f, const char *key,
			   const char *other, size_t n_key)
{
	unsigned char value[MOST];
	size_t n_value;
	struct usual code;

	for (int level = 0; level < N_USUAL_LEVELS; level++) {
		if (!larder_usual_of((enum usual_level)level, &code))
			continue;
		cr_assert(!code.hit(f->w, key, n_key,
				    key_hash_of(f->w->s, other, n_key), value,
				    sizeof value, &n_value));
		cr_assert(code.hit(f->w, other, n_key,
				   key_hash_of(f->w->s, other, n_key), value,
				   sizeof value, &n_value));
	}
}

Test(cache_usual, the_chosen_one_is_the_best_there_is)
{
	struct usual best = {0};
	int n = 0;

	for (int level = 0; level < N_USUAL_LEVELS; level++)
		n += larder_usual_of((enum usual_level)level, &best);
	cr_assert_geq(n, 1);
	cr_expect_eq(best.get, larder_usual.get);
	cr_expect_eq(best.hit, larder_usual.hit);
	cr_expect(!larder_usual_of(N_USUAL_LEVELS, &best));
}

Test(cache_usual, values_of_every_size)
{
	struct fixture f = fixture_open();

	for (size_t n = 0; n <= 300; n++) {
		put(&f, "a key of 16 byte", 16, n, NULL);
		at_each_level(&f, "a key of 16 byte", 16, n, true);
		at_each_level(&f, "a key of 16 byte", 16, n + 1, true);
		if (n)
			at_each_level(&f, "a key of 16 byte", 16, n - 1, false);
	}
	put(&f, "a key of 16 byte", 16, MOST, NULL);
	at_each_level(&f, "a key of 16 byte", 16, MOST, true);
	larder_close(f.h);
}

Test(cache_usual, keys_of_every_length)
{
	struct fixture f = fixture_open();
	char key[LARDER_KEY_MAX], other[LARDER_KEY_MAX];

	for (size_t i = 0; i < sizeof key; i++)
		key[i] = (char)('a' + i % 26);
	for (size_t n = 1; n <= sizeof key; n += n < 80 ? 1 : 59) {
		put(&f, key, n, 100, NULL);
		at_each_level(&f, key, n, 100, true);
		/* One byte of it makes another key. */
		for (size_t at = 0; at < n; at += n < 80 ? 1 : 97) {
			memcpy(other, key, n);
			other[at] ^= 1;
			at_each_level(&f, other, n, 100, false);
			under_its_hash(&f, other, key, n);
		}
	}
	larder_close(f.h);
}

Test(cache_usual, optional_fields)
{
	struct fixture f = fixture_open();
	const struct larder_tag tags[] = {{"one", 3}, {"two", 3}};

	for (unsigned which = 0; which < 32; which++) {
		struct larder_put_options o = {
			.size_of = sizeof o,
			.ttl_ms = which & 1 ? 3600000 : 0,
			.soft_ttl_ms = which & 2 ? 1800000 : 0,
			.cost_ns = which & 4 ? 777 : 0,
			.tags = tags,
			.n_tags = which & 8 ? 2 : 0,
			.flags = which & 16 ? LARDER_NEGATIVE : 0,
		};

		put(&f, "optional", 8, 90, &o);
		at_each_level(&f, "optional", 8, 100, true);
		/* It lags, and the ring says that it is still valid. */
		larder_invalidate_key(f.h, "stranger", 8);
		at_each_level(&f, "optional", 8, 100, true);
		larder_invalidate_tag(f.h, "two", 3);
		at_each_level(&f, "optional", 8, 100, !(which & 8));
		larder_invalidate_key(f.h, "optional", 8);
		at_each_level(&f, "optional", 8, 100, false);
	}
	larder_close(f.h);
}

/* The level's own road alone, without the library's way in. */
static void hit_times(struct fixture *f, int level, const char *key, int n)
{
	size_t n_key = strlen(key), n_value;
	unsigned char value[GUARD];
	struct usual code;

	if (!larder_usual_of((enum usual_level)level, &code))
		return;
	for (int i = 0; i < n; i++)
		cr_assert(code.hit(f->w, key, n_key,
				   key_hash_of(f->w->s, key, n_key), value,
				   sizeof value, &n_value));
}

Test(cache_usual, one_hit_in_64_is_written_down)
{
	for (int level = 0; level < N_USUAL_LEVELS; level++) {
		struct fixture f = fixture_open();
		struct larder_info info = {.size_of = sizeof info};
		unsigned char value[GUARD];
		uint64_t before;

		put(&f, "sampled", 7, 10, NULL);
		before = hits(&f);
		hit_times(&f, level, "sampled", 64 * 200);
		if (hits(&f) == before) {
			larder_close(f.h);
			continue; /* the processor has no such level */
		}
		cr_expect_eq(hits(&f) - before, 64 * 200u);
		cr_assert_eq(larder_get_info(f.h, "sampled", 7, value,
					     sizeof value, &info),
			     LARDER_OK);
		/* Between 32 and 95 hits from one sample to the next. */
		cr_expect_geq(info.hits, 64u * 200 * 64 / 95 - 64 * 64);
		cr_expect_leq(info.hits, 64u * 200 * 64 / 32 + 64 * 64);
		cr_expect_geq(info.hits, 64u * 150);
		larder_close(f.h);
	}
}

/* Whichever slot a key lies in, its own reference rises, to 3, and no other. */
Test(cache_usual, references_rise_to_three)
{
	struct fixture f = fixture_open();

	for (int i = 0; i < 20000; i++) {
		char key[16];

		snprintf(key, sizeof key, "reference %05d", i);
		put(&f, key, 15, 8, NULL);
	}
	for (int level = 0; level < N_USUAL_LEVELS; level++) {
		unsigned seen = 0;
		struct usual code;

		if (!larder_usual_of((enum usual_level)level, &code))
			continue;
		for (int i = 0; i < 20000; i++) {
			char key[16];
			struct lookup there;
			uint64_t refs, hash;

			snprintf(key, sizeof key, "reference %05d", i);
			hash = key_hash_of(f.w->s, key, 15);
			if (!larder_find(f.w, key, 15, hash, &there) ||
			    there.slot != (unsigned)__builtin_ctz(group_match(
						  there.group, tag_of(hash))))
				continue; /* evicted, or not the first */
			seen |= 1u << there.slot;
			store_relaxed(&there.group->refs, 0);
			for (uint64_t n = 1; n <= 5; n++) {
				hit_times(&f, level, key, 1);
				refs = load_relaxed(&there.group->refs);
				cr_assert_eq(refs,
					     min_u64(n, 3) << there.slot * 4,
					     "slot %u, hit %lu", there.slot,
					     (unsigned long)n);
			}
		}
		cr_expect_geq(__builtin_popcount(seen), 10,
			      "slots of too few kinds: %x", seen);
	}
	larder_close(f.h);
}

/* The hash that a hit makes of a secret prepared is the one that everybody
 * makes. */
Test(cache_usual, the_prepared_hash_is_the_hash)
{
	unsigned char secret[LARDER_SECRET_BYTES], key[16];
	uint64_t random = 88172645463325252, flips[2];

	for (int round = 0; round < 200; round++) {
		for (size_t i = 0; i < sizeof secret; i++)
			secret[i] = (unsigned char)random_next(&random);
		for (size_t i = 0; i < sizeof key; i++)
			key[i] = (unsigned char)random_next(&random);
		larder_hash_flips(secret, flips);
		for (size_t n = 9; n <= sizeof key; n++)
			cr_assert_eq(larder_hash_flipped(flips, key, n),
				     larder_hash(secret, key, n));
	}
}
