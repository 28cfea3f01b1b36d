/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing text: see text.h. Nothing is checked call by call; who uses the
 * text looks at `failed` once, at the end.
 */
#include "router/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/number.h"

bool router_text_reserve(struct text *t, size_t more)
{
	size_t room = t->room ? t->room : 1024;
	char *bytes;

	if (t->failed)
		return false;
	if (t->n + more + 1 <= t->room)
		return true;
	while (room < t->n + more + 1)
		room *= 2;
	bytes = realloc(t->bytes, room);
	if (!bytes) {
		t->failed = true;
		return false;
	}
	t->bytes = bytes;
	t->room = room;
	return true;
}

void router_text_format(struct text *t, const char *format, ...)
{
	va_list list, again;
	int n;

	va_start(list, format);
	va_copy(again, list);
	n = vsnprintf(NULL, 0, format, list);
	if (n >= 0 && router_text_reserve(t, (size_t)n)) {
		vsnprintf(t->bytes + t->n, (size_t)n + 1, format, again);
		t->n += (size_t)n;
	}
	va_end(again);
	va_end(list);
}

void router_text_json(struct text *t, const char *string)
{
	const char *plain = string;

	router_text_add(t, "\"", 1);
	for (const char *c = string; *c; c++) {
		char escape[8];
		int n = 0;

		if (*c == '"' || *c == '\\')
			n = snprintf(escape, sizeof escape, "\\%c", *c);
		else if ((unsigned char)*c < 0x20)
			n = snprintf(escape, sizeof escape, "\\u%04x",
				     (unsigned char)*c);
		if (!n)
			continue;
		router_text_add(t, plain, (size_t)(c - plain));
		router_text_add(t, escape, (size_t)n);
		plain = c + 1;
	}
	router_text_string(t, plain);
	router_text_add(t, "\"", 1);
}

void router_text_double(struct text *t, double value)
{
	char digits[NUMBER_ROOM];

	router_text_add(t, digits, router_number_write(value, digits));
}

void router_text_whole(struct text *t, uint64_t value)
{
	char digits[24];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	router_text_add(t, digits + at, sizeof digits - at);
}
