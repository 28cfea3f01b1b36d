/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The usual hit for each level of processor, and the choice among them:
 * usual.h.
 */
#include "cache/usual.h"

#include <string.h>

#include "cache/recent.h"

/* What the compiler knows of a variable: nothing, from here on. */
#define FORGET(variable) __asm__("" : "+r"(variable) : : "memory")

enum {
	/* What an entry of a usual hit may have beside tags. Counters and
	 * negative results are read like any other. */
	USUAL_FLAGS = ENTRY_TAGS | ENTRY_HARD | ENTRY_SOFT | ENTRY_COST |
		      LARDER_NEGATIVE | LARDER_COUNTER,
};

/* How a key is hashed and compared, and where the value behind it begins. */
enum key_kind {
	KEY_4_TO_8,  /* two halves of a word, which may overlap */
	KEY_9_TO_16, /* two words, which may overlap */
	KEY_OTHER,
};

/* Of a value, behind the key, if there is nothing before that. */
static inline uint64_t usual_offset(enum key_kind kind, size_t n_key)
{
	switch (kind) {
	case KEY_4_TO_8:
		return align_up(ENTRY_FIXED + 8, 8);
	case KEY_9_TO_16:
		return align_up(ENTRY_FIXED + 16, 8);
	default:
		return align_up(ENTRY_FIXED + n_key, 8);
	}
}

static inline const struct hot *usual_hot(const struct worker *w)
{
	return (const struct hot *)(const void *)(w->near.base +
						  SUPERBLOCK_BYTES);
}

/* slot_unit() of word @i of a group, half a word loaded where it may be. */
static inline uint32_t usual_unit(const struct group *g, uint64_t i)
{
#if defined(__x86_64__) && !defined(LARDER_TSAN)
	uint32_t unit;

	__asm__("movl %1, %0" : "=r"(unit) : "m"((&g->ctl)[i]) : "memory");
	return unit;
#else
	return slot_unit(load_acquire(&(&g->ctl)[i]));
#endif
}

/* What a key's length is compared with: one instruction, with memory. */
static inline uint16_t entry_n_key_low(const struct entry *e)
{
	const size_t top = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 6 : 0;
	uint16_t n;

	memcpy(&n, (const unsigned char *)&e->born_key + top, sizeof n);
	return n;
}

static inline size_t usual_optional(uint64_t word)
{
	const uint64_t fields = ENTRY_HARD | ENTRY_SOFT | ENTRY_COST;
	uint64_t n = word >> 48 & fields; /* three neighbours */

	_Static_assert(ENTRY_HARD == 1 << 4 && ENTRY_COST == 1 << 6, "order");
	/* How many of them, from a table of two bits each. */
	return (UINT64_C(0xe994) >> (n >> 4) * 2 & 3) * 8;
}

/*
 * What could not be said by one comparison: has it expired, was it invalidated
 * since its stamp? By the ring alone; the general road knows better if that
 * does not suffice. @end: of the value, behind which its tags are.
 */
static __attribute__((noinline)) bool
usual_valid(struct worker *w, const struct entry *entry, const void *key,
	    size_t n_key, const unsigned char *end, uint64_t word, uint64_t now)
{
	const unsigned char *e = (const unsigned char *)entry;
	uint32_t unit = (uint32_t)((uint64_t)(e - w->s->base) >> UNIT_SHIFT);
	const void *tags = NULL;
	uint64_t hard_ms, stamp = word & STAMP_MASK;

	if (unlikely(now & STAMP_CLOSED))
		return false;
	if (word >> 48 & ENTRY_HARD) {
		memcpy(&hard_ms, e + ENTRY_FIXED, sizeof hard_ms);
		if (unlikely(larder_clock_ms() >= hard_ms))
			return false;
	}
	if (likely(stamp >= now))
		return true;
	if (word >> 48 & ENTRY_TAGS)
		tags = e + entry_tags_offset((uint64_t)(end - e));
	if (!larder_fresh_lagging(w, unit, tags, key_hash_of(w->s, key, n_key),
				  stamp, now))
		return false;
	count(w, COUNTER_FRESH_SLOW, 1);
	return true;
}

/* Write down one hit in 64 in its entry, as larder_sample_hit() does; within
 * the section, which still has the entry. Pinned. */
static __attribute__((noinline)) void usual_sample(struct worker *w,
						   const struct entry *e)
{
	uint64_t at = (uint64_t)((const unsigned char *)e - w->s->base);
	struct entry *hit = entry_at(w->s, (uint32_t)(at >> UNIT_SHIFT));

	larder_sample_begin(w);
	w->sample++; /* this one is still to be counted */
	if (larder_hazard_set(w, HAZARD_OLD, (uint32_t)(at >> UNIT_SHIFT))) {
		store_relaxed(&hit->hits, load_relaxed(&hit->hits) + 1);
		larder_hazard_clear(w, HAZARD_OLD);
	}
}

/* __builtin_ctz(), of which compilers do not see that it is not negative. */
static inline uint64_t lowest_bit(uint32_t mask)
{
#if defined(__x86_64__)
	uint64_t i;

	__asm__("rep bsfl %k1, %k0" : "=r"(i) : "r"(mask) : "cc");
	return i;
#else
	return (uint64_t)__builtin_ctzll(mask);
#endif
}

/*
 * reference_raise() of word @i of a group. What depends on i comes from a
 * table.
 */
static const uint64_t reference_ones[16] = {
	[2] = UINT64_C(1),	  [3] = UINT64_C(1) << 4,
	[4] = UINT64_C(1) << 8,	  [5] = UINT64_C(1) << 12,
	[6] = UINT64_C(1) << 16,  [7] = UINT64_C(1) << 20,
	[8] = UINT64_C(1) << 24,  [9] = UINT64_C(1) << 28,
	[10] = UINT64_C(1) << 32, [11] = UINT64_C(1) << 36,
	[12] = UINT64_C(1) << 40, [13] = UINT64_C(1) << 44,
	[14] = UINT64_C(1) << 48, [15] = UINT64_C(1) << 52,
};

static inline __attribute__((always_inline)) void
usual_raise(struct worker *w, struct group *g, uint64_t i)
{
	uint64_t seen = load_relaxed(&g->refs), one = reference_ones[i];
	atomic_u64 *words = &g->ctl;

	if (!(one * REFERENCE_CAP & ~seen))
		words = w->nowhere;
	FORGET(words);
	store_relaxed(words + 1, seen + one);
}

/* Comparisons with memory in one instruction. */
static inline bool same_word(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x == y;
}

static inline bool same_half(const void *a, const void *b)
{
	uint32_t x, y;

	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x == y;
}

static inline __attribute__((always_inline)) bool
usual_same_key(enum key_kind kind, const void *key, const void *other, size_t n)
{
	const char *a = key, *b = other;

	switch (kind) {
	case KEY_4_TO_8:
		return same_half(a, b) && same_half(a + n - 4, b + n - 4);
	case KEY_9_TO_16:
		return same_word(a, b) && same_word(a + n - 8, b + n - 8);
	default:
		return memcmp(a, b, n) == 0;
	}
}

/* count(COUNTER_CROSS_WORKER_HITS, cross_worker(w, version)) */
static inline void count_cross(const struct worker *w, struct cell *cell,
			       uint64_t version)
{
	atomic_u64 *c = &cell->counter[COUNTER_CROSS_WORKER_HITS];

	version -= w->first_version;
#if defined(__x86_64__) && !defined(LARDER_TSAN)
	__asm__("cmpq %2, %1\n\tsbbq $-1, %0"
		: "+m"(*c)
		: "r"(version), "m"(w->n_versions)
		: "cc");
#else
	store_relaxed(c, load_relaxed(c) + (version >= w->n_versions));
#endif
}

#include "cache/storm.h"

#define LEVEL(name) name##_plain
#define TARGET
#define MATCH	      group_match_words
#define MOVE_64(t, f) __builtin_memcpy(t, f, 64)
#define MOVE_32(t, f) __builtin_memcpy(t, f, 32)
#define MOVE_16(t, f) __builtin_memcpy(t, f, 16)
#define LEAVE()	      ((void)0)
#define LANES	      4
#define OWN	      own_plain
#define SUSPECTS      suspects_plain
#define SUSPECTS_TWO  suspects_plain
#include "cache/usual_body.h"

struct usual larder_usual = {get_plain, hit_plain};

#if defined(__x86_64__) && !defined(LARDER_TSAN)

/*
 * Moves and matches by hand: for variables in wide registers compilers align
 * the frame, and they keep in such registers what does not fit the others.
 */
struct piece_64 {
	char bytes[64];
};
struct piece_32 {
	char bytes[32];
};
struct piece_16 {
	char bytes[16];
};

#define MOVE(n, instruction, wide, clobbered, to, from)                        \
	__asm__(instruction " %1, %%" wide "\n\t" instruction " %%" wide       \
			    ", %0"                                             \
		: "=m"(*(struct piece_##n *)(void *)(to))                      \
		: "m"(*(const struct piece_##n *)(const void *)(from))         \
		: clobbered)

#define LEVEL(name)   name##_avx2
#define TARGET	      __attribute__((target("avx2,bmi,bmi2")))
#define MATCH	      group_match_words
#define MOVE_64(t, f) (MOVE_32(t, f), MOVE_32((t) + 32, (f) + 32))
#define MOVE_32(t, f) move_avx2(t, f)
#define MOVE_16(t, f) __builtin_memcpy(t, f, 16)
/* SSE code behind a dirty upper half is slow. */
#define LEAVE()	     __asm__("vzeroupper" : : : "memory")
#define LANES	     8
#define OWN	     own_avx2
#define SUSPECTS     suspects_avx2
#define SUSPECTS_TWO suspects_avx2

static inline __attribute__((always_inline, target("avx2"))) void
move_avx2(unsigned char *to, const unsigned char *from)
{
	MOVE(32, "vmovdqu", "ymm0", "xmm0", to, from);
}

#include "cache/usual_body.h"

/* Registers above the sixteenth: none of them makes SSE code slow. */
#define TARGET_512 __attribute__((target("avx512f,avx512vl,bmi,bmi2")))

static inline __attribute__((always_inline)) TARGET_512 void
move_64(unsigned char *to, const unsigned char *from)
{
	MOVE(64, "vmovdqu64", "zmm16", "xmm16", to, from);
}

static inline __attribute__((always_inline)) TARGET_512 void
move_32(unsigned char *to, const unsigned char *from)
{
	MOVE(32, "vmovdqu64", "ymm16", "xmm16", to, from);
}

/* The upper halves of sixteen words, of which the first two are no slots. */
static inline __attribute__((always_inline)) TARGET_512 uint32_t
match_512(const struct group *g, unsigned tag)
{
	static const uint32_t odd[16] __attribute__((aligned(64))) = {
		1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31};
	const struct piece_64 *lines = (const struct piece_64 *)(const void *)g;
	uint32_t mask;

	__asm__("vpbroadcastd %[tag], %%zmm16\n\t"
		"vmovdqa32 %[odd], %%zmm17\n\t"
		"vmovdqa32 %[low], %%zmm18\n\t"
		"vpermi2d %[high], %%zmm18, %%zmm17\n\t"
		"vpsrld $20, %%zmm17, %%zmm17\n\t"
		"vpcmpeqd %%zmm16, %%zmm17, %%k1\n\t"
		"kmovw %%k1, %[mask]"
		: [mask] "=r"(mask)
		: [tag] "r"(tag), [odd] "m"(odd), [low] "m"(lines[0]),
		  [high] "m"(lines[1])
		: "xmm16", "xmm17", "xmm18", "k1");
	return mask & GROUP_SLOT_WORDS;
}

#define LEVEL(name)   name##_avx512
#define TARGET	      TARGET_512
#define MATCH	      match_512
#define MOVE_64(t, f) move_64(t, f)
#define MOVE_32(t, f) move_32(t, f)
#define MOVE_16(t, f) __builtin_memcpy(t, f, 16)
#define LEAVE()	      ((void)0)
#define LANES	      16
#define OWN	      own_512
#define SUSPECTS      suspects_512
#define SUSPECTS_TWO  suspects_512_two
#include "cache/usual_body.h"

bool larder_usual_of(enum usual_level level, struct usual *usual)
{
	__builtin_cpu_init();
	switch (level) {
	case USUAL_PLAIN:
		*usual = (struct usual){get_plain, hit_plain};
		return true;
	case USUAL_AVX2:
		if (!__builtin_cpu_supports("avx2") ||
		    !__builtin_cpu_supports("bmi") ||
		    !__builtin_cpu_supports("bmi2"))
			return false;
		*usual = (struct usual){get_avx2, hit_avx2};
		return true;
	case USUAL_AVX512:
		/* Wide registers slow down processors before those that have
		 * VBMI2. */
		if (!__builtin_cpu_supports("avx512vbmi2") ||
		    !__builtin_cpu_supports("avx512vl") ||
		    !__builtin_cpu_supports("bmi") ||
		    !__builtin_cpu_supports("bmi2"))
			return false;
		*usual = (struct usual){get_avx512, hit_avx512};
		return true;
	default:
		return false;
	}
}

/* The last that the processor has. */
static __attribute__((constructor)) void choose(void)
{
	for (int level = 0; level < N_USUAL_LEVELS; level++)
		larder_usual_of((enum usual_level)level, &larder_usual);
}

#else

bool larder_usual_of(enum usual_level level, struct usual *usual)
{
	*usual = larder_usual;
	return level == USUAL_PLAIN;
}

#endif

int larder_get(struct larder *h, const void *key, size_t n_key, void *value,
	       size_t n_buffer, size_t *n_value)
{
	return larder_usual.get(h, key, n_key, value, n_buffer, n_value);
}
