/* SPDX-License-Identifier: Apache-2.0 */
/* A growing text, for JSON and metrics. On lack of memory it stays what it was
 * and says so at the end. */
#ifndef LARDER_ROUTER_TEXT_H
#define LARDER_ROUTER_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text {
	char *bytes;
	size_t n, room;
	bool failed;
};

void router_text_add(struct text *t, const char *bytes, size_t n);
void router_text_string(struct text *t, const char *string);
void router_text_format(struct text *t, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* A JSON string, quotes and escapes included. */
void router_text_json(struct text *t, const char *string);
/* A double that reads back to the same bits, in few digits. */
void router_text_double(struct text *t, double value);

#endif
