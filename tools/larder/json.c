/* SPDX-License-Identifier: Apache-2.0 */
/* A writer of JSON: json.h. */
#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static int depth;
static bool first = true;

/* Bytes of the UTF-8 sequence that begins here, 0 if none does. */
static int sequence(const unsigned char *c)
{
	int n = *c < 0x80    ? 1
		: *c < 0xc2  ? 0
		: *c < 0xe0  ? 2
		: *c < 0xf0  ? 3
		: *c <= 0xf4 ? 4
			     : 0;

	for (int i = 1; i < n; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	/* Neither longer than need be, nor a surrogate, nor beyond Unicode. */
	if ((*c == 0xe0 && c[1] < 0xa0) || (*c == 0xed && c[1] > 0x9f) ||
	    (*c == 0xf0 && c[1] < 0x90) || (*c == 0xf4 && c[1] > 0x8f))
		return 0;
	return n;
}

static bool is_utf8(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;

	while (*c) {
		int n = sequence(c);

		if (!n)
			return false;
		c += n;
	}
	return true;
}

static void string(const char *text)
{
	bool utf8 = is_utf8(text);

	putchar('"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20 || c == 0x7f || (c > 0x7f && !utf8))
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void lead(const char *name)
{
	if (!first)
		putchar(',');
	if (depth)
		putchar('\n');
	first = false;
	for (int i = 0; i < depth; i++)
		fputs("  ", stdout);
	if (name) {
		string(name);
		fputs(": ", stdout);
	}
}

static void open_with(const char *name, char sign)
{
	lead(name);
	putchar(sign);
	depth++;
	first = true;
}

static void close_with(char sign)
{
	depth--;
	if (!first) {
		putchar('\n');
		for (int i = 0; i < depth; i++)
			fputs("  ", stdout);
	}
	putchar(sign);
	first = depth == 0;
	if (!depth)
		putchar('\n');
}

void json_begin(const char *name)
{
	open_with(name, '{');
}

void json_end(void)
{
	close_with('}');
}

void json_begin_list(const char *name)
{
	open_with(name, '[');
}

void json_end_list(void)
{
	close_with(']');
}

void json_text(const char *name, const char *text)
{
	lead(name);
	string(text);
}

void json_number(const char *name, uint64_t n)
{
	lead(name);
	printf("%" PRIu64, n);
}

void json_real(const char *name, double n)
{
	lead(name);
	if (isfinite(n))
		printf("%.6g", n);
	else
		fputs("null", stdout);
}

void json_bool(const char *name, bool b)
{
	lead(name);
	fputs(b ? "true" : "false", stdout);
}

void json_null(const char *name)
{
	lead(name);
	fputs("null", stdout);
}

void json_base64(const char *name, const void *bytes, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *b = bytes;

	lead(name);
	putchar('"');
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)b[i] << 16 |
			     (i + 1 < n ? (uint32_t)b[i + 1] << 8 : 0) |
			     (i + 2 < n ? b[i + 2] : 0);

		putchar(digits[v >> 18]);
		putchar(digits[v >> 12 & 63]);
		putchar(i + 1 < n ? digits[v >> 6 & 63] : '=');
		putchar(i + 2 < n ? digits[v & 63] : '=');
	}
	putchar('"');
}
