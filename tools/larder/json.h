/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing JSON to standard output, one value after the other. The writer keeps
 * commas and indentation; names are NULL inside of arrays. Text that is
 * no UTF-8 is taken for Latin-1; callers escape binary keys first.
 */
#ifndef LARDER_TOOL_JSON_H
#define LARDER_TOOL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void json_begin(const char *name); /* an object */
void json_end(void);
void json_begin_list(const char *name); /* an array */
void json_end_list(void);
void json_text(const char *name, const char *text);
void json_number(const char *name, uint64_t n);
void json_real(const char *name, double n);
void json_bool(const char *name, bool b);
void json_null(const char *name);
/* Any bytes, in base64. */
void json_base64(const char *name, const void *bytes, size_t n);

#endif
