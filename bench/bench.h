/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every part of the bench uses: the plan of a run, complaints, the clock.
 *
 * A plan is what the command line asked for; it is complete and consistent once
 * bench_options_parse() returned, and nothing changes it afterwards. All
 * systems of a run get the same plan, the same streams of operations and the
 * same values.
 */
#ifndef LARDER_BENCH_H
#define LARDER_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { BENCH_OK = 0, BENCH_FAILED = 1, BENCH_USAGE = 2 };

enum {
	BENCH_KEY_MIN = 8,
	BENCH_KEY_MAX = 1024,
	BENCH_VALUE_MAX = 1 << 20,
	BENCH_BATCH_MAX = 1024,
	BENCH_WORKERS_MAX = 256,
	BENCH_SYSTEMS_MAX = 32,
	BENCH_REPEATS_MAX = 101,
};
#define BENCH_KEYS_MAX (UINT64_C(1) << 30)

/* Value sizes: a table of quantiles, from which a key's size is drawn by its
 * id. A key's value always has the same size. */
enum { BENCH_SIZE_QUANTILES = 4096 };
struct bench_sizes {
	uint32_t quantile[BENCH_SIZE_QUANTILES];
	uint32_t max;
	double mean;
};

enum bench_popularity { POPULARITY_UNIFORM, POPULARITY_ZIPF, POPULARITY_TRACE };

struct bench_plan {
	uint64_t n_keys;
	uint32_t key_size;
	const char *value_size; /* as asked for */
	struct bench_sizes sizes;
	const char *popularity_text; /* as asked for */
	enum bench_popularity popularity;
	double theta;
	const uint32_t *trace; /* ids in order, with POPULARITY_TRACE */
	uint64_t n_trace;
	uint32_t get_parts, put_parts; /* of the mix */
	unsigned processes, threads;   /* workers are processes x threads */
	unsigned batch;		       /* keys per call; 1: single gets */
	unsigned repeats;
	double seconds;	       /* counted, a system and repeat */
	double sample_seconds; /* then sampled for latencies */
	bool huge;
	uint64_t seed;
	unsigned pipeline; /* of pipelined peers where batch is 1 */
	bool first_alone;  /* worker 0 shares no processor */
	unsigned work;	   /* instructions of other work before each call */
	uint64_t
		cache_bytes; /* what a cache may have; 0: what the data needs */
};

static inline unsigned bench_n_workers(const struct bench_plan *plan)
{
	return plan->processes * plan->threads;
}

static inline uint64_t bench_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t bench_mix(uint64_t x)
{
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	return x ^ x >> 32;
}

/* Standard error, one line, with the program's name. */
void bench_complain(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/* A name for a negative errno, or for an error of the library. */
const char *bench_error(int error);

/* Memory or the end of the program: a bench without memory has no result. */
void *bench_alloc(size_t n_bytes);

/* Zeroed memory that forked workers share; never fails, as bench_alloc(). */
void *bench_shared(size_t n_bytes);

/* An interrupted run ends in order: servers stopped, files removed. */
void bench_catch_signals(void);
bool bench_interrupted(void);

/* Sleep, unless interrupted. */
void bench_sleep(double seconds);

/* A line on stderr that says how far the run is; silent if stderr is no
 * terminal and the run is short. */
struct bench_progress {
	const char *what;
	unsigned done, total;
	uint64_t begun_ns, said_ns;
};
void bench_progress_begin(struct bench_progress *p, const char *what,
			  unsigned total);
void bench_progress_step(struct bench_progress *p, const char *doing);
void bench_progress_end(struct bench_progress *p);

#endif
