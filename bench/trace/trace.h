/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trace: recorded requests, replayed against the library and beside it against
 * other policies, all with the same number of entries.
 *
 * A trace in memory is a sequence of ids: the distinct keys, numbered by their
 * first appearance, from 0. Policies are simulations and see ids only; the
 * library is the real one and sees keys.
 */
#ifndef LARDER_BENCH_TRACE_H
#define LARDER_BENCH_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trace {
	const char *path;
	char *name; /* the file's, without folder and endings */
	uint32_t *id;
	uint64_t n_requests;
	uint32_t n_distinct;
	uint32_t *size;	   /* of an id's value; NULL: the trace has none */
	bool unknown;	   /* not read: what is in it is no known format */
	uint64_t *cost_ns; /* of computing an id's value; NULL: unknown */
};

/* Keys as a reader finds them; numbered afterwards. */
struct keys {
	uint64_t *key;
	uint32_t *size; /* NULL until the first with one is added */
	uint64_t n, room;
};
void keys_add(struct keys *keys, uint64_t key);
/* A trace has sizes for all of its requests or for none. */
void keys_add_sized(struct keys *keys, uint64_t key, uint64_t size);

/* A byte stream behind whatever compression the file has. */
struct input;
/* The next line without its end, NUL-terminated; NULL at the end or after an
 * error. Lines longer than a mebibyte are an error. */
char *input_line(struct input *in);
/* Exactly n bytes: 1, or 0 at the end of the input, or -1 for a part of them.
 */
int input_bytes(struct input *in, void *to, size_t n);
/* Complains with the file's name and the place reached; returns false. */
bool input_wrong(struct input *in, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* How a format's requests become keys. False: complained. */
struct format {
	const char *name;
	const char *about;
	bool (*read)(struct input *in, struct keys *keys, uint64_t seed);
};
extern const struct format trace_formats[];
/* The format of that name; NULL: there is none. */
const struct format *format_named(const char *name);
/* What the file's name and first bytes tell; NULL: nothing. */
const struct format *format_guess(const char *path, const unsigned char *head,
				  size_t n_head);

/* Read a whole trace; @format NULL: by name and content. False: complained. */
bool trace_read(const char *path, const struct format *format, uint64_t seed,
		struct trace *trace);
void trace_free(struct trace *trace);

/* Does name or content tell a format? Complains only if it cannot be read. */
bool trace_is_known(const char *path);

/* The same for one of @n_files: one of several that is of no known format, as
 * what lies beside traces in their folder, is said and passed over. *pass: go
 * on with the next one. */
bool trace_read_next(const char *path, int n_files, const struct format *format,
		     uint64_t seed, struct trace *trace, bool *pass);

/* Number the keys: trace->id, n_requests, n_distinct; the size of an id is that
 * of its first request. */
void trace_number(const struct keys *keys, struct trace *trace);

/* ------------------------------------------------------------------ */

/* Misses of a policy that holds at most @entries entries, none at first. */
struct policy {
	const char *name; /* in JSON */
	const char *title;
	uint64_t (*misses)(const struct trace *trace, uint32_t entries);
};
extern const struct policy trace_policies[];
extern const unsigned n_trace_policies;

uint64_t fifo_misses(const struct trace *trace, uint32_t entries);
uint64_t clock1_misses(const struct trace *trace, uint32_t entries);
uint64_t clock2_misses(const struct trace *trace, uint32_t entries);
uint64_t sieve_misses(const struct trace *trace, uint32_t entries);
uint64_t lru_misses(const struct trace *trace, uint32_t entries);
uint64_t s3fifo_misses(const struct trace *trace, uint32_t entries);
uint64_t wtinylfu_misses(const struct trace *trace, uint32_t entries);
uint64_t belady_misses(const struct trace *trace, uint32_t entries);

/* The library itself, in a segment bounded to @entries: a get, and a put where
 * it missed. False: complained. @policy is one of LARDER_POLICY_*. */
struct library_run {
	uint64_t misses;
	uint64_t computed_ns; /* the cost of all misses */
};
bool library_run(const struct trace *trace, uint32_t entries, unsigned policy,
		 struct library_run *run);

/* A doubly linked list over ids, newest first; links are ids + 1, 0 none. */
struct list {
	uint32_t *newer, *older;
	uint32_t newest, oldest, n;
};
void list_open(struct list *list, uint32_t n_ids);
void list_close(struct list *list);
void list_push(struct list *list, uint32_t id);
void list_remove(struct list *list, uint32_t id);
uint32_t list_pop(struct list *list);

#endif
