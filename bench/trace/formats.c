/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The formats of published traces.
 *
 *   arc        text, "first n 0 number": n keys from first (Megiddo, Modha)
 *   numbers    text, one decimal key a line; '*' lines are skipped (LIRS)
 *   u32        big-endian 32-bit keys (Caffeine's simulator)
 *   sized      text, "time key bytes" (AdaptSize)
 *   blocks     JSON lines whose hash_ids are keys (Mooncake)
 *   counts     text, how often the key of each rank is asked: independent draws
 *   weights    JSON of popularity buckets (CacheLib's cachebench): draws
 *   oracle     libCacheSim's oracleGeneral: little-endian records of 24 bytes
 */
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "trace/trace.h"

/* Unsigned numbers of a line, separated by blanks or commas: how many there
 * are, at most @most; -1: something is no number. */
static int numbers_of(const char *line, uint64_t *number, int most)
{
	int n = 0;

	for (;;) {
		char *end;

		while (*line == ' ' || *line == '\t' || *line == ',')
			line++;
		if (!*line)
			return n;
		if (!isdigit((unsigned char)*line))
			return -1;
		if (n == most)
			return n;
		errno = 0;
		number[n++] = strtoull(line, &end, 10);
		if (errno || (*end && !strchr(" \t,.", *end)))
			return -1;
		while (*end && !strchr(" \t,", *end))
			end++; /* a fraction */
		line = end;
	}
}

static bool read_arc(struct input *in, struct keys *keys, uint64_t seed)
{
	enum { MOST_BLOCKS = 1 << 20 };
	uint64_t n[4];
	char *line;

	(void)seed;
	while ((line = input_line(in))) {
		if (!*line)
			continue;
		if (numbers_of(line, n, 4) < 2)
			return input_wrong(in, "not 'first n 0 number'");
		if (n[1] > MOST_BLOCKS)
			return input_wrong(in, "%llu blocks in one request",
					   (unsigned long long)n[1]);
		for (uint64_t i = 0; i < n[1]; i++)
			keys_add(keys, n[0] + i);
	}
	return true;
}

static bool read_numbers(struct input *in, struct keys *keys, uint64_t seed)
{
	uint64_t n;
	char *line;

	(void)seed;
	while ((line = input_line(in))) {
		if (!*line || *line == '*')
			continue;
		if (numbers_of(line, &n, 1) != 1)
			return input_wrong(in, "not one decimal key");
		keys_add(keys, n);
	}
	return true;
}

static bool read_u32(struct input *in, struct keys *keys, uint64_t seed)
{
	unsigned char b[4];
	int got;

	(void)seed;
	while ((got = input_bytes(in, b, sizeof b)) == 1)
		keys_add(keys, (uint64_t)b[0] << 24 | (uint64_t)b[1] << 16 |
				       (uint64_t)b[2] << 8 | b[3]);
	return !got || input_wrong(in, "ends within a key of 4 bytes");
}

static bool read_sized(struct input *in, struct keys *keys, uint64_t seed)
{
	uint64_t n[3];
	char *line;

	(void)seed;
	while ((line = input_line(in))) {
		if (!*line)
			continue;
		if (numbers_of(line, n, 3) != 3)
			return input_wrong(in, "not 'time key bytes'");
		keys_add_sized(keys, n[1], n[2]);
	}
	return true;
}

static bool read_blocks(struct input *in, struct keys *keys, uint64_t seed)
{
	char *line;

	(void)seed;
	while ((line = input_line(in))) {
		json_error_t error;
		json_t *request, *ids, *id;
		size_t i;
		bool fine = true;

		if (!*line)
			continue;
		request = json_loads(line, 0, &error);
		if (!request)
			return input_wrong(in, "no JSON: %s", error.text);
		ids = json_object_get(request, "hash_ids");
		fine = json_is_array(ids);
		json_array_foreach(ids, i, id)
		{
			fine = fine && json_is_integer(id);
			keys_add(keys, (uint64_t)json_integer_value(id));
		}
		json_decref(request);
		if (!fine)
			return input_wrong(in, "no hash_ids of whole numbers");
	}
	return true;
}

static bool read_oracle(struct input *in, struct keys *keys, uint64_t seed)
{
	unsigned char b[24];
	int got;

	(void)seed;
	while ((got = input_bytes(in, b, sizeof b)) == 1) {
		uint64_t key = 0;

		for (unsigned i = 0; i < 8; i++)
			key |= (uint64_t)b[4 + i] << 8 * i;
		keys_add_sized(keys, key,
			       (uint32_t)b[12] | (uint32_t)b[13] << 8 |
				       (uint32_t)b[14] << 16 |
				       (uint32_t)b[15] << 24);
	}
	return !got || input_wrong(in, "ends within a record of 24 bytes");
}

/* ------------------------------------------------------------------ */
/* Distributions, of which requests are drawn                          */

static uint64_t draw(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	return bench_mix(*state);
}

/* As many requests as the counts say, in an order of chance. */
static bool read_counts(struct input *in, struct keys *keys, uint64_t seed)
{
	enum { MOST = 1 << 28 };
	uint64_t n, rank = 0;
	char *line;

	while ((line = input_line(in))) {
		if (!*line)
			continue;
		if (numbers_of(line, &n, 1) != 1)
			return input_wrong(in, "not one count");
		if (n > MOST || keys->n + n > MOST)
			return input_wrong(in, "more than %d requests", MOST);
		for (; n; n--)
			keys_add(keys, rank);
		rank++;
	}
	for (uint64_t i = keys->n; i > 1; i--) {
		uint64_t j = draw(&seed) % i, key = keys->key[i - 1];

		keys->key[i - 1] = keys->key[j];
		keys->key[j] = key;
	}
	return true;
}

/* Buckets: of popularityBuckets[i] accesses a key there are
 * popularityWeights[i] keys. Scaled to DRAWN_KEYS keys, 10 requests a key. */
static bool weights_of(struct input *in, json_t *root, struct keys *keys,
		       uint64_t seed)
{
	enum { DRAWN_KEYS = 1 << 20, DRAWN = 10 * DRAWN_KEYS };
	json_t *buckets = json_object_get(root, "popularityBuckets");
	json_t *weights = json_object_get(root, "popularityWeights");
	size_t n = json_array_size(weights);
	double *until, n_keys = 0, n_accesses = 0;
	uint64_t *first;

	if (!n || json_array_size(buckets) != n)
		return input_wrong(in, "no popularityBuckets and "
				       "popularityWeights of one length");
	for (size_t i = 0; i < n; i++)
		if (!(json_number_value(json_array_get(weights, i)) >= 0) ||
		    !(json_number_value(json_array_get(buckets, i)) >= 0))
			return input_wrong(in, "a bucket or weight below 0");
	until = bench_alloc(n * sizeof *until);
	first = bench_alloc((n + 1) * sizeof *first);
	for (size_t i = 0; i < n; i++)
		n_keys += json_number_value(json_array_get(weights, i));
	for (size_t i = 0; i < n && n_keys > 0; i++) {
		double w = json_number_value(json_array_get(weights, i));
		double b = json_number_value(json_array_get(buckets, i));
		uint64_t members = (uint64_t)ceil(w / n_keys * DRAWN_KEYS);

		n_accesses += (double)members * b;
		until[i] = n_accesses;
		first[i + 1] = first[i] + members;
	}
	for (uint64_t r = 0; r < DRAWN && n_accesses > 0; r++) {
		double x = (double)(draw(&seed) >> 11) * 0x1p-53 * n_accesses;
		size_t low = 0, high = n - 1;

		while (low < high) {
			size_t middle = (low + high) / 2;

			if (until[middle] > x)
				high = middle;
			else
				low = middle + 1;
		}
		keys_add(keys,
			 first[low] + draw(&seed) %
					      (first[low + 1] - first[low] +
					       (first[low + 1] == first[low])));
	}
	free(until);
	free(first);
	return true;
}

static bool read_weights(struct input *in, struct keys *keys, uint64_t seed)
{
	size_t n = 0, room = 1 << 20;
	char *text = bench_alloc(room), *line;
	json_error_t error;
	json_t *root;
	bool fine;

	while ((line = input_line(in))) {
		size_t length = strlen(line);

		if (n + length + 2 > room) {
			free(text);
			return input_wrong(in, "longer than a mebibyte");
		}
		memcpy(text + n, line, length);
		n += length;
		text[n++] = '\n';
	}
	root = json_loadb(text, n, 0, &error);
	free(text);
	if (!root)
		return input_wrong(in, "no JSON: %s", error.text);
	fine = weights_of(in, root, keys, seed);
	json_decref(root);
	return fine;
}

/* ------------------------------------------------------------------ */

const struct format trace_formats[] = {
	{"arc", "'first n 0 number': n keys from first", read_arc},
	{"numbers", "one decimal key a line", read_numbers},
	{"u32", "big-endian 32-bit keys", read_u32},
	{"sized", "'time key bytes'", read_sized},
	{"blocks", "JSON lines with hash_ids", read_blocks},
	{"counts", "how often each key is asked, drawn", read_counts},
	{"weights", "popularityBuckets and -Weights, drawn", read_weights},
	{"oracle", "libCacheSim's oracleGeneral", read_oracle},
	{0},
};

const struct format *format_named(const char *name)
{
	for (const struct format *f = trace_formats; f->name; f++)
		if (!strcmp(f->name, name))
			return f;
	return NULL;
}

static bool is_text(const unsigned char *head, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isprint(head[i]) && !isspace(head[i]))
			return false;
	return n > 0;
}

const struct format *format_guess(const char *path, const unsigned char *head,
				  size_t n_head)
{
	const char *base = strrchr(path, '/');
	char first[128];
	uint64_t n[4];
	size_t length = 0;

	base = base ? base + 1 : path;
	if (!is_text(head, n_head))
		return format_named(strstr(base, "oracle") ? "oracle" : "u32");
	if (strstr(base, "counts"))
		return format_named("counts");
	while (length < n_head && length + 1 < sizeof first &&
	       head[length] != '\n' && head[length] != '\r')
		length++;
	memcpy(first, head, length);
	first[length] = 0;
	if (first[0] == '{')
		return memmem(head, n_head, "hash_ids", 8)
			       ? format_named("blocks")
		       : memmem(head, n_head, "popularity", 10)
			       ? format_named("weights")
			       : NULL;
	switch (first[0] == '*' ? 1 : numbers_of(first, n, 4)) {
	case 1:
		return format_named("numbers");
	case 3:
		return format_named("sized");
	case 4:
		return format_named("arc");
	default:
		return NULL;
	}
}
