/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trace files: bytes through libarchive's filters (gzip, xz, zstd, bzip2, or
 * none), lines and records out of them, keys numbered.
 *
 * Nothing a file holds can do harm: what is no trace of its format is an error
 * that names the file and the place.
 */
#include <archive.h>
#include <archive_entry.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench.h"
#include "trace/trace.h"

enum { BLOCK = 1 << 16, LINE_MAX_BYTES = 1 << 20 };

struct input {
	const char *path;
	struct archive *archive;
	char *bytes; /* [at, end) are unread */
	size_t at, end, room;
	uint64_t n_read; /* bytes handed out */
	uint64_t line;	 /* number of the last line; 0: no lines were read */
	bool ended, failed;
};

bool input_wrong(struct input *in, const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (in->line)
		bench_complain("%s, line %llu: %s", in->path,
			       (unsigned long long)in->line, text);
	else
		bench_complain("%s, byte %llu: %s", in->path,
			       (unsigned long long)in->n_read, text);
	in->failed = true;
	return false;
}

/* Have at least one more unread byte; false at the end. */
static bool more(struct input *in)
{
	la_ssize_t n;

	if (in->ended || in->failed)
		return false;
	if (in->at) {
		memmove(in->bytes, in->bytes + in->at, in->end - in->at);
		in->end -= in->at;
		in->at = 0;
	}
	if (in->room - in->end < BLOCK) {
		char *larger = realloc(in->bytes, in->room + 4 * BLOCK);

		if (!larger)
			return input_wrong(in, "no memory");
		in->bytes = larger;
		in->room += 4 * BLOCK;
	}
	n = archive_read_data(in->archive, in->bytes + in->end,
			      in->room - in->end - 1);
	if (n < 0)
		return input_wrong(in, "cannot decompress: %s",
				   archive_error_string(in->archive));
	in->ended = n == 0;
	in->end += (size_t)n;
	return n > 0;
}

char *input_line(struct input *in)
{
	size_t looked = 0;
	char *line;

	for (;;) {
		char *end = memchr(in->bytes + in->at + looked, '\n',
				   in->end - in->at - looked);

		if (end || (in->ended && in->end > in->at)) {
			line = in->bytes + in->at;
			if (!end)
				end = in->bytes + in->end;
			in->n_read += (size_t)(end - line) + 1;
			in->at = (size_t)(end - in->bytes);
			in->at += in->at < in->end;
			if (end > line && end[-1] == '\r')
				end--;
			*end = 0;
			in->line++;
			return line;
		}
		looked = in->end - in->at;
		if (looked > LINE_MAX_BYTES) {
			in->line++;
			input_wrong(in, "no end within a mebibyte");
			return NULL;
		}
		if (!more(in) && (in->failed || in->end == in->at))
			return NULL;
	}
}

int input_bytes(struct input *in, void *to, size_t n)
{
	while (in->end - in->at < n)
		if (!more(in))
			return in->failed || in->end > in->at ? -1 : 0;
	memcpy(to, in->bytes + in->at, n);
	in->at += n;
	in->n_read += n;
	return 1;
}

static bool input_open(struct input *in, const char *path)
{
	struct archive_entry *entry;
	struct stat about;

	*in = (struct input){.path = path, .room = 4 * BLOCK};
	in->bytes = bench_alloc(in->room);
	in->archive = archive_read_new();
	if (stat(path, &about) == 0 && S_ISDIR(about.st_mode))
		return input_wrong(in, "is a folder");
	if (!in->archive)
		return input_wrong(in, "no memory");
	/* By their magic numbers. Not what is recognized by less, as lzma's
	 * old format is: a trace of binary keys may look like it. */
	archive_read_support_filter_gzip(in->archive);
	archive_read_support_filter_bzip2(in->archive);
	archive_read_support_filter_xz(in->archive);
	archive_read_support_filter_zstd(in->archive);
	archive_read_support_filter_lz4(in->archive);
	archive_read_support_format_raw(in->archive);
	archive_read_support_format_empty(in->archive);
	if (archive_read_open_filename(in->archive, path, BLOCK))
		return input_wrong(in, "%s", archive_error_string(in->archive));
	if (archive_read_next_header(in->archive, &entry))
		return input_wrong(in, "is empty, or no file that can be read");
	return true;
}

static void input_close(struct input *in)
{
	if (in->archive)
		archive_read_free(in->archive);
	free(in->bytes);
}

/* ------------------------------------------------------------------ */

void keys_add(struct keys *keys, uint64_t key)
{
	if (keys->n == keys->room) {
		uint64_t room = keys->room ? keys->room * 2 : 1 << 16;
		uint64_t *larger = bench_alloc(room * sizeof *larger);

		if (keys->n)
			memcpy(larger, keys->key, keys->n * sizeof *larger);
		free(keys->key);
		keys->key = larger;
		keys->room = room;
	}
	keys->key[keys->n++] = key;
}

void keys_add_sized(struct keys *keys, uint64_t key, uint64_t size)
{
	uint64_t room = keys->room;

	keys_add(keys, key);
	if (keys->room != room) {
		uint32_t *larger = bench_alloc(keys->room * sizeof *larger);

		if (keys->size)
			memcpy(larger, keys->size,
			       (keys->n - 1) * sizeof *larger);
		free(keys->size);
		keys->size = larger;
	}
	keys->size[keys->n - 1] =
		size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
}

/* A table of twice the keys, linear probing: it only ever grows once. */
void trace_number(const struct keys *keys, struct trace *trace)
{
	uint64_t mask = 63, *slot_key;
	uint32_t *slot_id;

	while (mask < keys->n * 2)
		mask = mask * 2 + 1;
	slot_key = bench_alloc((mask + 1) * sizeof *slot_key);
	slot_id = bench_alloc((mask + 1) * sizeof *slot_id);
	trace->id = bench_alloc(keys->n * sizeof *trace->id);
	trace->size =
		keys->size ? bench_alloc(keys->n * sizeof *trace->size) : NULL;
	trace->n_requests = keys->n;
	trace->n_distinct = 0;
	for (uint64_t i = 0; i < keys->n; i++) {
		uint64_t at = bench_mix(keys->key[i] + 1) & mask;

		while (slot_id[at] && slot_key[at] != keys->key[i])
			at = (at + 1) & mask;
		if (!slot_id[at]) {
			slot_key[at] = keys->key[i];
			if (keys->size)
				trace->size[trace->n_distinct] = keys->size[i];
			slot_id[at] = ++trace->n_distinct;
		}
		trace->id[i] = slot_id[at] - 1;
	}
	free(slot_key);
	free(slot_id);
}

/* "/a/OLTP.lis.zst": OLTP */
static char *short_name(const char *path)
{
	const char *base = strrchr(path, '/');
	char *name = strdup(base ? base + 1 : path), *dot;

	if (!name)
		exit(BENCH_FAILED);
	dot = strchr(name + 1, '.');
	if (name[0] && dot)
		*dot = 0;
	return name;
}

static const struct format *guess(struct input *in)
{
	while (in->end - in->at < 512 && more(in))
		;
	return format_guess(in->path, (unsigned char *)in->bytes + in->at,
			    in->end - in->at);
}

bool trace_is_known(const char *path)
{
	struct input in;
	bool known = input_open(&in, path) && guess(&in) && !in.failed;

	input_close(&in);
	return known;
}

bool trace_read(const char *path, const struct format *format, uint64_t seed,
		struct trace *trace)
{
	struct input in;
	struct keys keys = {0};
	bool fine;

	*trace = (struct trace){.path = path};
	fine = input_open(&in, path);
	if (fine && !format) {
		format = guess(&in);
		trace->unknown = !format && !in.failed;
		if (trace->unknown)
			input_wrong(&in,
				    "no requests for keys in a format known "
				    "by name or content; if it is one of "
				    "--help, name it with --format");
		fine = !in.failed;
	}
	fine = fine && format->read(&in, &keys, seed) && !in.failed;
	if (fine && !keys.n)
		fine = input_wrong(&in, "holds no request");
	if (fine && keys.n >= UINT32_MAX)
		fine = input_wrong(&in, "more than 4 billion requests");
	if (fine) {
		trace_number(&keys, trace);
		trace->name = short_name(path);
	}
	free(keys.key);
	free(keys.size);
	input_close(&in);
	return fine;
}

bool trace_read_next(const char *path, int n_files, const struct format *format,
		     uint64_t seed, struct trace *trace, bool *pass)
{
	bool fine = trace_read(path, format, seed, trace);

	*pass = !fine && trace->unknown && n_files > 1;
	return fine || *pass;
}

void trace_free(struct trace *trace)
{
	free(trace->id);
	free(trace->name);
	free(trace->size);
	free(trace->cost_ns);
	*trace = (struct trace){0};
}
