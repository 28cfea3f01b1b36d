/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys, values and streams of operations.
 */
#include "workload.h"
#ifdef BENCH_TRACE
#include "trace/trace.h"
#endif

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <xxhash.h>

enum { STREAM_LONG = 1 << 22, STREAM_SHORT = 1 << 20, STREAM_FEW_WORKERS = 4 };

/* A small generator of the streams; each worker's begins elsewhere. */
struct random {
	uint64_t state;
};

static uint64_t random_next(struct random *r)
{
	r->state += UINT64_C(0x9e3779b97f4a7c15);
	return bench_mix(r->state);
}

static double random_unit(struct random *r)
{
	return (double)(random_next(r) >> 11) * 0x1p-53;
}

/* ------------------------------------------------------------------ */
/* Sizes                                                               */

static void sizes_finish(struct bench_sizes *sizes)
{
	double sum = 0;

	sizes->max = 0;
	for (unsigned i = 0; i < BENCH_SIZE_QUANTILES; i++) {
		sum += sizes->quantile[i];
		if (sizes->quantile[i] > sizes->max)
			sizes->max = sizes->quantile[i];
	}
	sizes->mean = sum / BENCH_SIZE_QUANTILES;
}

/* Quantile of the standard normal by bisection: exact enough, and run 4096
 * times. */
static double normal_quantile(double p)
{
	double low = -9, high = 9;

	while (high - low > 1e-9) {
		double middle = (low + high) / 2;

		if (erfc(-middle * M_SQRT1_2) / 2 < p)
			low = middle;
		else
			high = middle;
	}
	return (low + high) / 2;
}

static bool sizes_lognormal(const char *text, struct bench_sizes *sizes)
{
	double median, sigma, most = BENCH_VALUE_MAX;
	int n = sscanf(text, "lognormal:%lf:%lf:%lf", &median, &sigma, &most);

	if (n < 2 || !(median >= 1) || !(sigma >= 0) || !(most >= 1) ||
	    most > BENCH_VALUE_MAX) {
		bench_complain("value size '%s': want "
			       "lognormal:MEDIAN:SIGMA[:MAX], sizes of 1 to %d",
			       text, BENCH_VALUE_MAX);
		return false;
	}
	for (unsigned i = 0; i < BENCH_SIZE_QUANTILES; i++) {
		double p = (i + 0.5) / BENCH_SIZE_QUANTILES;
		double size = median * exp(sigma * normal_quantile(p));

		sizes->quantile[i] = (uint32_t)fmax(1, fmin(size, most));
	}
	return true;
}

static bool sizes_from_json(const char *path, const json_t *root,
			    struct bench_sizes *sizes)
{
	const json_t *range = json_object_get(root, "valSizeRange");
	const json_t *weight = json_object_get(root, "valSizeRangeProbability");
	size_t n = json_array_size(range), i = 0;
	double total = 0, sum;

	if (n == 0 || n != json_array_size(weight)) {
		bench_complain("%s: no arrays valSizeRange and "
			       "valSizeRangeProbability of one length",
			       path);
		return false;
	}
	for (size_t k = 0; k < n; k++)
		total += json_number_value(json_array_get(weight, k));
	sum = json_number_value(json_array_get(weight, 0));
	for (unsigned q = 0; q < BENCH_SIZE_QUANTILES; q++) {
		double at = (q + 0.5) / BENCH_SIZE_QUANTILES * total, size;

		while (sum < at && i + 1 < n)
			sum += json_number_value(json_array_get(weight, ++i));
		size = json_number_value(json_array_get(range, i));
		if (!(size >= 0) || size > BENCH_VALUE_MAX) {
			bench_complain("%s: value of %.0f bytes, at most %d",
				       path, size, BENCH_VALUE_MAX);
			return false;
		}
		sizes->quantile[q] = (uint32_t)size;
	}
	return true;
}

static bool sizes_file(const char *path, struct bench_sizes *sizes)
{
	json_error_t error;
	json_t *root = json_load_file(path, 0, &error);
	bool fine;

	if (!root) {
		bench_complain("value size '%s' is no number, no "
			       "lognormal:MEDIAN:SIGMA, and no JSON file: %s",
			       path, error.text);
		return false;
	}
	fine = sizes_from_json(path, root, sizes);
	json_decref(root);
	return fine;
}

bool bench_sizes_parse(const char *text, struct bench_sizes *sizes)
{
	char *end;
	unsigned long fixed;

	errno = 0;
	fixed = strtoul(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9' && !*end) {
		if (errno || fixed > BENCH_VALUE_MAX) {
			bench_complain("value size %s: at most %d bytes", text,
				       BENCH_VALUE_MAX);
			return false;
		}
		for (unsigned i = 0; i < BENCH_SIZE_QUANTILES; i++)
			sizes->quantile[i] = (uint32_t)fixed;
	} else if (!strncmp(text, "lognormal:", 10)) {
		if (!sizes_lognormal(text, sizes))
			return false;
	} else if (!sizes_file(text, sizes)) {
		return false;
	}
	sizes_finish(sizes);
	return true;
}

/* ------------------------------------------------------------------ */
/* Values                                                              */

void bench_value_make(void *value, size_t n, uint32_t id, uint32_t write)
{
	uint64_t pattern = bench_pattern(id, write);
	char *at = value;

	for (; n >= 8; n -= 8, at += 8)
		memcpy(at, &pattern, 8);
	memcpy(at, &pattern, n);
}

typedef uint64_t lanes __attribute__((vector_size(64), aligned(1)));
typedef uint64_t half __attribute__((vector_size(32), aligned(1)));
typedef uint64_t quarter __attribute__((vector_size(16), aligned(1)));

/* All the bits of all lanes; by halves, so that it stays in wide registers. */
static inline __attribute__((always_inline)) uint64_t any_bit(lanes seen)
{
	half h[2];
	quarter q[2];

	memcpy(h, &seen, sizeof h);
	h[0] |= h[1];
	memcpy(q, &h[0], sizeof q);
	q[0] |= q[1];
	return q[0][0] | q[0][1];
}

/* The same few instructions for every system; wide where the processor is. */
#if defined(__x86_64__) && !defined(__clang__) &&                              \
	!defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
static uint64_t
differing_bits(const char *value, size_t n, uint64_t pattern)
{
	lanes these, seen = {0};
	uint64_t differ = 0, word;

	for (; n >= sizeof seen; n -= sizeof seen, value += sizeof seen) {
		memcpy(&these, value, sizeof these);
		seen |= these ^ pattern;
	}
	differ = any_bit(seen);
	if (__builtin_expect(n == 0, 1))
		return differ;
	for (; n >= 8; n -= 8, value += 8) {
		memcpy(&word, value, 8);
		differ |= word ^ pattern;
	}
	word = pattern;
	memcpy(&word, value, n);
	return differ | (word ^ pattern);
}

bool bench_value_right(const void *value, size_t n, uint32_t id,
		       const struct bench_sizes *sizes)
{
	uint64_t pattern;

	if (n != bench_value_size(sizes, id))
		return false;
	if (n < 8) {
		pattern = bench_pattern(id, 0);
		if (n > 2 && memcmp((const char *)value + 2,
				    (char *)&pattern + 2, n - 2))
			return false;
		return true;
	}
	memcpy(&pattern, value, 8);
	return !((pattern ^ bench_pattern(id, 0)) & ~UINT64_C(0xffff)) &&
	       !differing_bits(value, n, pattern);
}

/* ------------------------------------------------------------------ */
/* Popularity                                                          */

/*
 * Zipf by rejection-inversion: invert the integral of the envelope, reject the
 * little that it has too much. Any exponent above zero, no table.
 */
struct zipf {
	double n, theta, h_low, h_high, accept;
};

static double zipf_integral(double x, double theta)
{
	double log_x = log(x), t = (1 - theta) * log_x;

	return fabs(t) < 1e-8 ? log_x * (1 + t / 2) : log_x * expm1(t) / t;
}

static double zipf_inverse(double y, double theta)
{
	double t = y * (1 - theta);

	if (t < -1)
		t = -1;
	return fabs(t) < 1e-8 ? exp(y * (1 - t / 2)) : exp(y * log1p(t) / t);
}

static void zipf_begin(struct zipf *z, uint64_t n, double theta)
{
	z->n = (double)n;
	z->theta = theta;
	z->h_low = zipf_integral(1.5, theta) - 1;
	z->h_high = zipf_integral(z->n + 0.5, theta);
	z->accept = 2 - zipf_inverse(zipf_integral(2.5, theta) - pow(2, -theta),
				     theta);
}

/* A rank from 0 on. */
static uint64_t zipf_draw(const struct zipf *z, struct random *r)
{
	for (;;) {
		double u = z->h_high + random_unit(r) * (z->h_low - z->h_high);
		double x = zipf_inverse(u, z->theta);
		double k = floor(x + 0.5);

		k = fmin(fmax(k, 1), z->n);
		if (k - x <= z->accept ||
		    u >= zipf_integral(k + 0.5, z->theta) - pow(k, -z->theta))
			return (uint64_t)k - 1;
	}
}

/* Ids in order of first appearance, by an open table of line hashes: two lines
 * of one 64-bit hash count as one key. */
struct id_table {
	uint64_t *hash;
	uint32_t *id;
	uint64_t mask;
	uint32_t n;
};

static void id_table_grow(struct id_table *t)
{
	struct id_table old = *t;

	t->mask = old.hash ? old.mask * 2 + 1 : (1 << 16) - 1;
	t->hash = bench_alloc((t->mask + 1) * sizeof *t->hash);
	t->id = bench_alloc((t->mask + 1) * sizeof *t->id);
	for (uint64_t i = 0; old.hash && i <= old.mask; i++) {
		uint64_t at = old.hash[i] & t->mask;

		if (!old.hash[i])
			continue;
		while (t->hash[at])
			at = (at + 1) & t->mask;
		t->hash[at] = old.hash[i];
		t->id[at] = old.id[i];
	}
	free(old.hash);
	free(old.id);
}

static uint32_t id_of(struct id_table *t, const char *key, size_t n_key)
{
	uint64_t hash = XXH3_64bits(key, n_key) | 1, at;

	if (!t->hash || t->n >= t->mask / 2)
		id_table_grow(t);
	for (at = hash & t->mask; t->hash[at]; at = (at + 1) & t->mask)
		if (t->hash[at] == hash)
			return t->id[at];
	t->hash[at] = hash;
	t->id[at] = t->n;
	return t->n++;
}

/* Any format of recorded requests, where they can be read. */
static bool recorded_load(const char *path, struct bench_plan *plan, bool *fine)
{
#ifdef BENCH_TRACE
	struct trace trace;

	if (!trace_is_known(path))
		return false;
	*fine = trace_read(path, NULL, plan->seed, &trace);
	if (*fine) {
		plan->popularity = POPULARITY_TRACE;
		plan->trace = trace.id;
		plan->n_trace = trace.n_requests;
		plan->n_keys = trace.n_distinct;
		trace.id = NULL;
	}
	trace_free(&trace);
	return true;
#else
	(void)path, (void)plan, (void)fine;
	return false;
#endif
}

static bool trace_load(const char *path, struct bench_plan *plan)
{
	FILE *file = fopen(path, "re");
	struct id_table table = {0};
	char *line = NULL;
	size_t n_line = 0, room = 0, n = 0;
	uint32_t *ids = NULL;
	bool fine;

	if (file && recorded_load(path, plan, &fine)) {
		fclose(file);
		return fine;
	}
	if (!file) {
		bench_complain("popularity '%s' is neither uniform nor "
			       "zipf:THETA, and no file: %s",
			       path, strerror(errno));
		return false;
	}
	while (getline(&line, &n_line, file) > 0) {
		const char *key = line + strspn(line, " \t\r\n");
		size_t n_key = strcspn(key, " \t,\r\n");

		if (!n_key)
			continue;
		if (n == room) {
			uint32_t *more;

			room = room ? room * 2 : 1 << 16;
			more = realloc(ids, room * sizeof *ids);
			if (!more)
				abort();
			ids = more;
		}
		ids[n++] = id_of(&table, key, n_key);
	}
	fine = n > 0 && !ferror(file);
	if (!fine)
		bench_complain("%s: no key in it", path);
	fclose(file);
	free(line);
	free(table.hash);
	free(table.id);
	plan->popularity = POPULARITY_TRACE;
	plan->trace = ids;
	plan->n_trace = n;
	plan->n_keys = table.n;
	return fine;
}

bool bench_popularity_parse(const char *text, struct bench_plan *plan)
{
	char *end;

	plan->popularity_text = text;
	if (!strcmp(text, "uniform")) {
		plan->popularity = POPULARITY_UNIFORM;
		return true;
	}
	if (!strncmp(text, "zipf:", 5)) {
		plan->popularity = POPULARITY_ZIPF;
		plan->theta = strtod(text + 5, &end);
		if (end == text + 5 || *end || !(plan->theta > 0) ||
		    plan->theta > 10) {
			bench_complain("popularity '%s': zipf:THETA with THETA "
				       "above 0, at most 10",
				       text);
			return false;
		}
		return true;
	}
	return trace_load(text, plan);
}

void bench_stream_make(const struct bench_plan *plan, unsigned worker,
		       struct bench_stream *stream)
{
	struct random r = {bench_mix(plan->seed + 1) + bench_mix(worker + 1)};
	uint64_t puts = plan->put_parts;
	uint64_t parts = puts + plan->get_parts;
	unsigned n_workers = bench_n_workers(plan);
	struct zipf z = {0};

	stream->n =
		n_workers <= STREAM_FEW_WORKERS ? STREAM_LONG : STREAM_SHORT;
	if (plan->popularity == POPULARITY_TRACE)
		stream->n = plan->n_trace;
	if (plan->popularity == POPULARITY_ZIPF)
		zipf_begin(&z, plan->n_keys, plan->theta);
	stream->operation = bench_alloc(stream->n * sizeof *stream->operation);
	for (uint64_t i = 0; i < stream->n; i++) {
		uint64_t id;

		if (plan->popularity == POPULARITY_ZIPF)
			id = zipf_draw(&z, &r);
		else if (plan->popularity == POPULARITY_UNIFORM)
			id = (uint64_t)((__uint128_t)random_next(&r) *
						plan->n_keys >>
					64);
		else /* each worker begins elsewhere in the trace */
			id = plan->trace[(i + stream->n / n_workers * worker) %
					 stream->n];
		stream->operation[i] = (uint32_t)id;
		if (puts && random_next(&r) % parts < puts)
			stream->operation[i] |= OPERATION_PUT;
	}
}

uint32_t bench_load_id(const struct bench_plan *plan, uint64_t i)
{
	/* A prime above 2^30, so that it shares no factor with the number of
	 * keys. */
	return (uint32_t)(i * UINT64_C(1610612741) % plan->n_keys);
}
