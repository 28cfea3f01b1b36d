/* SPDX-License-Identifier: Apache-2.0 */
/* A growing text, for JSON and metrics. On lack of memory it stays what it was
 * and says so at the end. */
#ifndef LARDER_ROUTER_TEXT_H
#define LARDER_ROUTER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct text {
	char *bytes;
	size_t n, room;
	bool failed;
};

/* Room for @more bytes and a NUL; false: no memory. */
bool router_text_reserve(struct text *t, size_t more);

/* A key and an answer are made of thousands of small pieces. */
static inline void router_text_add(struct text *t, const char *bytes, size_t n)
{
	if (t->n + n >= t->room && !router_text_reserve(t, n))
		return;
	memcpy(t->bytes + t->n, bytes, n);
	t->n += n;
	t->bytes[t->n] = '\0';
}

static inline void router_text_string(struct text *t, const char *string)
{
	router_text_add(t, string, strlen(string));
}

void router_text_format(struct text *t, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* A JSON string, quotes and escapes included. */
void router_text_json(struct text *t, const char *string);
/* A double that reads back to the same bits, in few digits. */
void router_text_double(struct text *t, double value);
void router_text_whole(struct text *t, uint64_t value);

#endif
