/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes, durations, counts and keys as text: format.h. */
#include "format.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct suffix {
	const char *name;
	double factor;
};

static const struct suffix sizes[] = {
	{"", 1},
	{"B", 1},
	{"K", 1024.0},
	{"KiB", 1024.0},
	{"M", 1048576.0},
	{"MiB", 1048576.0},
	{"G", 1073741824.0},
	{"GiB", 1073741824.0},
	{NULL, 0},
};

static const struct suffix durations[] = {
	{"", 1e9},   {"ns", 1},	    {"us", 1e3},   {"ms", 1e6},	   {"s", 1e9},
	{"m", 60e9}, {"min", 60e9}, {"h", 3600e9}, {"d", 86400e9}, {NULL, 0},
};

static const struct suffix counts[] = {
	{"", 1},
	{"k", 1e3},
	{"M", 1e6},
	{NULL, 0},
};

static bool read_number(const char *text, const struct suffix *suffixes,
			uint64_t *result)
{
	double number;
	char *end;

	/* No sign, no hexadecimal, no infinity. */
	if (!isdigit((unsigned char)text[0]) ||
	    (text[0] == '0' && tolower((unsigned char)text[1]) == 'x'))
		return false;
	errno = 0;
	number = strtod(text, &end);
	if (errno || !isfinite(number))
		return false;
	for (; suffixes->name; suffixes++) {
		if (strcasecmp(end, suffixes->name))
			continue;
		number *= suffixes->factor;
		if (number >= 18e18)
			return false;
		*result = (uint64_t)(number + 0.5);
		return true;
	}
	return false;
}

bool format_read_size(const char *text, uint64_t *bytes)
{
	return read_number(text, sizes, bytes);
}

bool format_read_duration(const char *text, uint64_t *ns)
{
	return read_number(text, durations, ns);
}

bool format_read_count(const char *text, uint64_t *n)
{
	return read_number(text, counts, n);
}

char *format_size(char *text, uint64_t bytes, bool plain)
{
	static const char *const units[] = {"B", "K", "M", "G", "T"};
	double n = (double)bytes;
	unsigned unit = 0;

	if (plain) {
		snprintf(text, TEXT_BYTES, "%" PRIu64, bytes);
		return text;
	}
	for (; n >= 1024 && unit < 4; unit++)
		n /= 1024;
	snprintf(text, TEXT_BYTES,
		 unit == 0 || n == (double)(uint64_t)n ? "%.0f%s" : "%.1f%s", n,
		 units[unit]);
	return text;
}

char *format_duration(char *text, uint64_t ms)
{
	uint64_t s = ms / 1000;

	if (ms == UINT64_MAX)
		snprintf(text, TEXT_BYTES, "never");
	else if (ms < 1000)
		snprintf(text, TEXT_BYTES, "%" PRIu64 "ms", ms);
	else if (ms < 60000)
		snprintf(text, TEXT_BYTES, "%.1fs", (double)ms / 1000);
	else if (s < 3600)
		snprintf(text, TEXT_BYTES, "%.1fm", (double)s / 60);
	else if (s < 86400)
		snprintf(text, TEXT_BYTES, "%.1fh", (double)s / 3600);
	else
		snprintf(text, TEXT_BYTES, "%.1fd", (double)s / 86400);
	return text;
}

char *format_count(char *text, uint64_t n, bool plain)
{
	if (plain || n < 100000)
		snprintf(text, TEXT_BYTES, "%" PRIu64, n);
	else if (n < 10000000)
		snprintf(text, TEXT_BYTES, "%.1fk", (double)n / 1e3);
	else
		snprintf(text, TEXT_BYTES, "%.1fM", (double)n / 1e6);
	return text;
}

char *format_escape(const void *bytes, size_t n)
{
	const unsigned char *b = bytes;
	char *text = cli_alloc(4 * n + 1), *at = text;

	for (size_t i = 0; i < n; i++) {
		if (b[i] >= 0x20 && b[i] < 0x7f && b[i] != '\\') {
			*at++ = (char)b[i];
			continue;
		}
		*at++ = '\\';
		*at++ = 'x';
		*at++ = "0123456789abcdef"[b[i] >> 4];
		*at++ = "0123456789abcdef"[b[i] & 15];
	}
	*at = '\0';
	return text;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool format_unescape(char *text, size_t *n)
{
	char *to = text;

	for (const char *from = text; *from;) {
		if (*from != '\\') {
			*to++ = *from++;
		} else if (from[1] == '\\') {
			*to++ = '\\';
			from += 2;
		} else if (from[1] == 'x' && hex(from[2]) >= 0 &&
			   hex(from[3]) >= 0) {
			*to++ = (char)(hex(from[2]) << 4 | hex(from[3]));
			from += 4;
		} else {
			return false;
		}
	}
	*n = (size_t)(to - text);
	return true;
}
