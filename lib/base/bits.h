/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small arithmetic that several modules share: rounding, range reduction, and
 * fields of packed words.
 */
#ifndef LARDER_BASE_BITS_H
#define LARDER_BASE_BITS_H

#include <stddef.h>
#include <stdint.h>

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* a must be a power of two */
static inline uint64_t align_up(uint64_t n, uint64_t a)
{
	return (n + a - 1) & ~(a - 1);
}

static inline uint64_t div_up(uint64_t n, uint64_t d)
{
	return (n + d - 1) / d;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline uint64_t clamp_u64(uint64_t n, uint64_t low, uint64_t high)
{
	return n < low ? low : n > high ? high : n;
}

/* Spread 32 random bits over [0, n) without a division (Lemire 2016). */
static inline uint32_t reduce_u32(uint32_t random, uint32_t n)
{
	return (uint32_t)(((uint64_t)random * n) >> 32);
}

static inline uint64_t field_get(uint64_t word, unsigned shift, unsigned bits)
{
	return (word >> shift) & ((UINT64_C(1) << bits) - 1);
}

static inline uint64_t field_put(uint64_t value, unsigned shift, unsigned bits)
{
	return (value & ((UINT64_C(1) << bits) - 1)) << shift;
}

/* Marsaglia's xorshift64: cheap, never zero from a seed that is not. */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

#endif
