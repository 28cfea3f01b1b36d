/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading recorded traces into a workload: who asked what again, and when.
 *
 * A trace names requests, it does not hold them: each name becomes a request of
 * its own from the mixed shapes, the same name the same request.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "workload.h"

struct reader {
	struct workload *w;
	uint64_t *names;  /* open addressing: name, then number + 1 */
	uint32_t n_slots; /* power of two */
	uint32_t n_names;
	uint32_t room;
	double first_ms;
	double last_ms;
	double *ms; /* when each was asked */
};

/* Number of a name, given in the order of first appearance. */
static uint32_t number_of(struct reader *r, uint64_t name)
{
	uint32_t at = (uint32_t)(name * UINT64_C(0x9e3779b97f4a7c15) >> 32);

	for (;; at++) {
		uint64_t *slot = &r->names[2 * (at & (r->n_slots - 1))];

		if (slot[1] == 0) {
			slot[0] = name;
			slot[1] = ++r->n_names;
		}
		if (slot[0] == name)
			return (uint32_t)slot[1] - 1;
	}
}

/* FNV-1a, for names that are text. */
static uint64_t name_of_text(const char *text)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *text && *text != '\n'; text++)
		h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return h;
}

/* "hash_ids": [12, 13, ...]: the first two name the request. Else it is named
 * by what a router decided by, or by all but its time. */
static uint64_t name_of_line(const char *line)
{
	const char *ids = strstr(line, "\"hash_ids\"");
	const char *rest = strstr(line, "\"selected_model\"");
	unsigned long a, b;
	int n;

	if (rest == NULL)
		rest = strchr(line, ',');
	if (ids == NULL)
		return name_of_text(rest ? rest : line);
	ids += strcspn(ids, "[");
	n = sscanf(ids, "[%lu ,%lu", &a, &b);
	return n == 2 ? (uint64_t)a << 32 ^ b : n == 1 ? (uint64_t)a << 32 : 0;
}

static int read_requests(struct reader *r, FILE *f, char *line, size_t room,
			 uint32_t n_most, char *why, size_t n_why)
{
	struct workload *w = r->w;
	uint32_t number = 0;
	double scale;

	do {
		const char *at = strstr(line, "\"timestamp\"");

		number++;
		if (at == NULL) {
			snprintf(why, n_why, "line %u has no \"timestamp\"",
				 number);
			return -1;
		}
		at += strcspn(at, ":");
		r->last_ms = strtod(at + (*at == ':'), NULL);
		if (w->n_order == 0)
			r->first_ms = r->last_ms;
		r->ms[w->n_order] = r->last_ms - r->first_ms;
		w->order[w->n_order++] = number_of(r, name_of_line(line));
	} while (w->n_order < n_most && fgets(line, (int)room, f) != NULL);
	scale = r->last_ms - r->first_ms;
	return scale > 0 ? 0 : (snprintf(why, n_why, "it spans no time"), -1);
}

/* Milliseconds of "2023-11-16 18:17:03.9799600"; below 0: it is none. */
static double time_of(const char *text)
{
	struct tm tm = {0};
	double seconds;

	if (sscanf(text, "%d-%d-%d %d:%d:%lf", &tm.tm_year, &tm.tm_mon,
		   &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &seconds) != 6)
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	return ((double)timegm(&tm) + seconds) * 1e3;
}

/* Arrivals alone, with a line of titles: who asks what is drawn by popularity,
 * as where no trace is given. */
static int read_arrivals(struct reader *r, FILE *f, char *line, size_t room,
			 uint32_t n_most, uint64_t seed, char *why,
			 size_t n_why)
{
	struct workload *w = r->w;
	struct workload drawn;

	while (w->n_order < n_most && fgets(line, (int)room, f) != NULL) {
		r->last_ms = time_of(line);
		if (r->last_ms < 0) {
			snprintf(why, n_why,
				 "line %u does not begin with a "
				 "time",
				 w->n_order + 2);
			return -1;
		}
		if (w->n_order == 0)
			r->first_ms = r->last_ms;
		r->ms[w->n_order++] = r->last_ms - r->first_ms;
	}
	if (r->last_ms <= r->first_ms) {
		snprintf(why, n_why, "it spans no time");
		return -1;
	}
	if (!workload_make(&drawn, SHAPE_SMALL, w->n_order,
			   (uint32_t)(w->n_order * WORKLOAD_DISTINCT) + 1,
			   seed)) {
		snprintf(why, n_why, "out of memory");
		return -1;
	}
	for (uint32_t i = 0; i < w->n_order; i++)
		w->order[i] = number_of(r, drawn.order[i]);
	workload_free(&drawn);
	return 0;
}

/* One count a line: draw requests in proportion to them. */
static int read_counts(struct reader *r, FILE *f, char *line, size_t room,
		       uint32_t n_most, uint64_t seed, char *why, size_t n_why)
{
	uint64_t *upto = calloc(n_most, sizeof(*upto)), total = 0;
	struct workload *w = r->w;
	uint32_t n = 0;

	do {
		total += strtoull(line, NULL, 10);
		if (upto != NULL)
			upto[n++] = total;
	} while (n < n_most && fgets(line, (int)room, f) != NULL);
	if (upto == NULL || total == 0) {
		free(upto);
		snprintf(why, n_why, "it counts nothing");
		return -1;
	}
	while (w->n_order < n_most) {
		uint64_t at = (uint64_t)(random_unit(&seed) * (double)total);
		uint32_t low = 0, high = n - 1;

		while (low < high) {
			uint32_t middle = low + (high - low) / 2;

			if (upto[middle] > at)
				high = middle;
			else
				low = middle + 1;
		}
		w->order[w->n_order++] = number_of(r, low);
	}
	free(upto);
	return 0;
}

/* The trace's bytes, unpacked by the program that its name asks for. @unpacks:
 * that program's process, to be awaited. */
static FILE *open_trace(const char *path, pid_t *unpacks)
{
	static const struct {
		const char *suffix, *program;
	} packers[] = {{".zst", "zstd"}, {".gz", "gzip"}, {".xz", "xz"}};
	const char *suffix = strrchr(path, '.'), *program = NULL;
	int ends[2];

	for (unsigned i = 0; suffix != NULL && i < 3; i++)
		if (strcmp(suffix, packers[i].suffix) == 0)
			program = packers[i].program;
	*unpacks = -1;
	if (program == NULL || access(path, R_OK) != 0)
		return fopen(path, "re");
	if (pipe(ends) != 0)
		return NULL;
	*unpacks = fork();
	if (*unpacks == 0) {
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		execlp(program, program, "-dcq", "--", path, (char *)NULL);
		fprintf(stderr, "%s is needed to unpack it\n", program);
		_exit(127);
	}
	close(ends[1]);
	return fdopen(ends[0], "r");
}

int workload_read_trace(struct workload *w, const char *path, double seconds,
			uint32_t n_most, uint64_t seed, char *why, size_t n_why)
{
	struct reader r = {.w = w, .n_slots = 1};
	enum { LINE = 1 << 20 };
	char *line = malloc(LINE);
	pid_t unpacks;
	FILE *f = open_trace(path, &unpacks);
	int result = -1;
	bool lines, arrivals;

	*w = (struct workload){0};
	while (r.n_slots < 2 * n_most)
		r.n_slots *= 2;
	r.names = calloc(r.n_slots, 2 * sizeof(*r.names));
	r.ms = calloc(n_most, sizeof(*r.ms));
	w->order = calloc(n_most, sizeof(*w->order));
	if (!r.names || !r.ms || !w->order || !line) {
		snprintf(why, n_why, "out of memory");
		goto out;
	}
	if (f == NULL || fgets(line, LINE, f) == NULL) {
		snprintf(why, n_why, "it cannot be read, or is empty");
		goto out;
	}
	lines = line[0] == '{';
	arrivals = strncmp(line, "TIMESTAMP,", 10) == 0;
	if (lines)
		result = read_requests(&r, f, line, LINE, n_most, why, n_why);
	else if (arrivals)
		result = read_arrivals(&r, f, line, LINE, n_most, seed, why,
				       n_why);
	else if (strspn(line, "0123456789\n") == strlen(line))
		result = read_counts(&r, f, line, LINE, n_most, seed, why,
				     n_why);
	else
		snprintf(why, n_why,
			 "neither JSON, nor arrivals (TIMESTAMP,"
			 "...), nor a count in line 1");
	if (result == 0 && !workload_bodies(w, SHAPE_MIXED, r.n_names, seed)) {
		snprintf(why, n_why, "out of memory");
		result = -1;
	}
	if (result == 0 && (lines || arrivals)) {
		w->recorded_seconds = (r.last_ms - r.first_ms) / 1e3;
		w->due_ns = calloc(w->n_order, sizeof(*w->due_ns));
		for (uint32_t i = 0; w->due_ns && i < w->n_order; i++)
			w->due_ns[i] = (uint64_t)(r.ms[i] * seconds * 1e9 /
						  (r.last_ms - r.first_ms));
	}
out:
	if (f != NULL)
		fclose(f);
	if (unpacks > 0)
		waitpid(unpacks, NULL, 0);
	free(line);
	free(r.names);
	free(r.ms);
	if (result != 0)
		workload_free(w);
	return result;
}
