/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work: keys, values that prove themselves, and streams of operations.
 *
 * A key's bytes are printable (some peers speak text) and follow from its id; a
 * value is one 64-bit pattern repeated, of which 48 bits follow from the id and
 * 16 from the write that stored it. So each byte that was read is verified
 * without a table: a value of another key, of another length or of two writes
 * mixed does not pass.
 */
#ifndef LARDER_BENCH_WORKLOAD_H
#define LARDER_BENCH_WORKLOAD_H

#include <string.h>

#include "bench.h"

/* An operation of a stream: the key's id, and whether it is a put. */
#define OPERATION_PUT UINT32_C(0x80000000)

struct bench_stream {
	uint32_t *operation;
	uint64_t n;
};

/* Parse a --value-size: N, lognormal:MEDIAN:SIGMA[:MAX], or a JSON file of
 * valSizeRange and valSizeRangeProbability. False: complained. */
bool bench_sizes_parse(const char *text, struct bench_sizes *sizes);

/* Parse a --popularity: uniform, zipf:THETA, or a file: recorded requests in
 * a format of the trace subcommand, or one key a line; it sets the number of
 * keys. False: complained. */
bool bench_popularity_parse(const char *text, struct bench_plan *plan);

/* What worker @worker does: the same whichever the system is. */
void bench_stream_make(const struct bench_plan *plan, unsigned worker,
		       struct bench_stream *stream);

/* The @i-th key to load: each id once, in an order without locality. */
uint32_t bench_load_id(const struct bench_plan *plan, uint64_t i);

static inline uint32_t bench_value_size(const struct bench_sizes *sizes,
					uint32_t id)
{
	uint32_t draw = (id * UINT32_C(0x9e3779b1)) >> 20;

	return sizes->quantile[draw];
}

/* Sixteen printable characters of an id: its nibbles, then their disguise. */
static inline void bench_key_words(uint32_t id, uint64_t word[2])
{
	uint64_t x = id;

	x = (x | x << 16) & UINT64_C(0x0000ffff0000ffff);
	x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
	x = (x | x << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	word[0] = x | UINT64_C(0x4040404040404040);
	word[1] = ((id * UINT64_C(0x9e3779b97f4a7c15)) &
		   UINT64_C(0x0f0f0f0f0f0f0f0f)) |
		  UINT64_C(0x6060606060606060);
}

static inline void bench_key_make(char *bytes, uint32_t n, uint32_t id)
{
	uint64_t word[2];

	bench_key_words(id, word);
	if (n == sizeof word) {
		/* One by one: a copy of both in one wide register would wait
		 * for the stores that made them, and those for every read
		 * before them, so that no two calls could wait at once. */
		memcpy(bytes, &word[0], sizeof word[0]);
		memcpy(bytes + sizeof word[0], &word[1], sizeof word[1]);
		return;
	}
	memcpy(bytes, word, n < sizeof word ? n : sizeof word);
	for (uint32_t at = sizeof word; at < n; at += 8)
		memcpy(bytes + at, &word[1], n - at < 8 ? n - at : 8);
}

static inline uint64_t bench_pattern(uint32_t id, uint32_t write)
{
	uint64_t x = (id + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);

	return (x & ~UINT64_C(0xffff)) | (write & 0xffff);
}

void bench_value_make(void *value, size_t n, uint32_t id, uint32_t write);

/* Is it a value of this key, whole and from one write? */
bool bench_value_right(const void *value, size_t n, uint32_t id,
		       const struct bench_sizes *sizes);

#endif
