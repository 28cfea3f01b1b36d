/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the storm road of a hit (recent.h) does of all remembered invalidations
 * at once, for each level of processor:
 *
 *   OWN       which of them are of this key, or wild
 *   SUSPECTS  which may be of a tag of the entry, by the first two bits of each
 *             in the entry's mask; bit 0 is the latest
 *
 * Nothing here waits for anything but the entry's lines.
 */
#ifndef LARDER_CACHE_STORM_H
#define LARDER_CACHE_STORM_H

#include "cache/cache.h"

#if defined(__x86_64__) && !defined(LARDER_TSAN)
#include <immintrin.h>
#endif

enum {
	/* Bytes of the greatest mask that the storm road looks at, of which the
	 * first half is two wide registers; and what it so reads behind a
	 * value. */
	STORM_MASK = 256,
	STORM_BEYOND = 7 + sizeof(struct tag_block) + STORM_MASK / 2,
};

/* Is an entry with optional fields one for the storm road? */
static inline bool storm_optional(const struct entry *e, uint64_t word)
{
	uint64_t hard_ms;

	if (word >> 48 & ~(uint64_t)USUAL_FLAGS)
		return false;
	if (!(word >> 48 & ENTRY_HARD))
		return true;
	memcpy(&hard_ms, e->rest, sizeof hard_ms);
	return larder_clock_ms() < hard_ms;
}

/* *n += some != 0 */
static inline void count_some(uint64_t *n, uint64_t some)
{
#if defined(__x86_64__)
	__asm__("cmpq $1, %1\n\tsbbq $-1, %0" : "+m"(*n) : "r"(some) : "cc");
#else
	*n += some != 0;
#endif
}

/* Which of the latest four are of this key; which may be the entry's? */
static inline uint32_t own_plain(const struct recent *r, uint32_t key)
{
	uint32_t own = r->wild;

	for (unsigned i = 0; i < 4; i++)
		own |= (uint32_t)(r->fingerprint[i] == key) << i;
	return own;
}

static inline uint32_t suspects_plain(const struct recent *r,
				      const unsigned char *mask, uint32_t last)
{
	uint32_t suspects = 0;

	for (unsigned i = 0; i < 4; i++) {
		uint32_t a, b;

		memcpy(&a, mask + (r->word[0][i] & last) * 4, sizeof a);
		memcpy(&b, mask + (r->word[1][i] & last) * 4, sizeof b);
		suspects |= (uint32_t)(a & r->bit[0][i] && b & r->bit[1][i])
			    << i;
	}
	return suspects;
}

#if defined(__x86_64__) && !defined(LARDER_TSAN)

struct __attribute__((may_alias)) storm_line {
	char bytes[64];
};

/* Of the latest eight. */
static inline __attribute__((always_inline, target("avx2"))) uint32_t
own_avx2(const struct recent *r, uint32_t key)
{
	const __m256i *const known =
		(const __m256i *)(const void *)r->fingerprint;
	const __m256i same =
		_mm256_cmpeq_epi32(*known, _mm256_set1_epi32((int)key));

	return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(same)) |
	       r->wild;
}

static inline __attribute__((always_inline, target("avx2"))) uint32_t
suspects_avx2(const struct recent *r, const unsigned char *mask, uint32_t last)
{
	const __m256i *const r0 = (const __m256i *)(const void *)r->word[0];
	const __m256i *const r1 = (const __m256i *)(const void *)r->word[1];
	const __m256i *const b0 = (const __m256i *)(const void *)r->bit[0];
	const __m256i *const b1 = (const __m256i *)(const void *)r->bit[1];
	const __m256i all = _mm256_set1_epi32((int)last);
	const int *words = (const int *)(const void *)mask;
	__m256i w0 =
		_mm256_i32gather_epi32(words, _mm256_and_si256(*r0, all), 4);
	__m256i w1 =
		_mm256_i32gather_epi32(words, _mm256_and_si256(*r1, all), 4);
	__m256i lacks = _mm256_or_si256(_mm256_andnot_si256(w0, *b0),
					_mm256_andnot_si256(w1, *b1));
	__m256i has = _mm256_cmpeq_epi32(lacks, _mm256_setzero_si256());

	return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(has));
}

#define STORM_512 __attribute__((target("avx512f,avx512vl,bmi,bmi2")))

#define WHOLE(array) "m"(*(const struct storm_line *)(const void *)(array))

/* Of all sixteen. */
static inline __attribute__((always_inline)) STORM_512 uint32_t
own_512(const struct recent *r, uint32_t key)
{
	uint32_t known;

	__asm__("vpbroadcastd %[key], %%zmm16\n\t"
		"vpcmpeqd %[all], %%zmm16, %%k1\n\t"
		"kmovw %%k1, %[known]"
		: [known] "=r"(known)
		: [key] "r"(key), [all] WHOLE(r->fingerprint)
		: "xmm16", "k1");
	return known | r->wild;
}

/* The first half of a mask is one register at most. */
static inline __attribute__((always_inline)) STORM_512 uint32_t
suspects_512(const struct recent *r, const unsigned char *mask, uint32_t last)
{
	uint32_t found;

	__asm__("vpbroadcastd %[last], %%zmm16\n\t"
		"vpandd %[word0], %%zmm16, %%zmm17\n\t"
		"vpandd %[word1], %%zmm16, %%zmm18\n\t"
		"vpermd %[mask], %%zmm17, %%zmm17\n\t"
		"vpermd %[mask], %%zmm18, %%zmm18\n\t"
		"vptestmd %[bit0], %%zmm17, %%k1\n\t"
		"vptestmd %[bit1], %%zmm18, %%k1%{%%k1%}\n\t"
		"kmovw %%k1, %[found]"
		: [found] "=r"(found)
		: [last] "r"(last), [mask] WHOLE(mask),
		  [word0] WHOLE(r->word[0]), [word1] WHOLE(r->word[1]),
		  [bit0] WHOLE(r->bit[0]), [bit1] WHOLE(r->bit[1])
		: "xmm16", "xmm17", "xmm18", "k1");
	return found;
}

/* It is two. */
static inline __attribute__((always_inline)) STORM_512 uint32_t
suspects_512_two(const struct recent *r, const unsigned char *mask,
		 uint32_t last)
{
	uint32_t found;

	(void)last;
	__asm__("vmovdqu32 %[low], %%zmm16\n\t"
		"vmovdqu32 %[high], %%zmm17\n\t"
		"vmovdqa32 %[word0], %%zmm18\n\t"
		"vmovdqa32 %[word1], %%zmm19\n\t"
		"vpermi2d %%zmm17, %%zmm16, %%zmm18\n\t"
		"vpermi2d %%zmm17, %%zmm16, %%zmm19\n\t"
		"vptestmd %[bit0], %%zmm18, %%k1\n\t"
		"vptestmd %[bit1], %%zmm19, %%k1%{%%k1%}\n\t"
		"kmovw %%k1, %[found]"
		: [found] "=r"(found)
		: [low] WHOLE(mask), [high] WHOLE(mask + 64),
		  [word0] WHOLE(r->word[0]), [word1] WHOLE(r->word[1]),
		  [bit0] WHOLE(r->bit[0]), [bit1] WHOLE(r->bit[1])
		: "xmm16", "xmm17", "xmm18", "xmm19", "k1");
	return found;
}

#endif

#endif
