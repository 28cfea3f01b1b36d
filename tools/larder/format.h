/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How sizes, durations, counts and keys are read and written. One rule for all
 * verbs: what is printed for eyes can be given back as an argument.
 */
#ifndef LARDER_TOOL_FORMAT_H
#define LARDER_TOOL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT_BYTES = 32 };

/* "64M", "1.5GiB", "4096": powers of 1024. */
bool format_read_size(const char *text, uint64_t *bytes);
/* "250ms", "10s", "5m", "2h", "7d", "1.5s"; a bare number counts seconds. In
 * nanoseconds. */
bool format_read_duration(const char *text, uint64_t *ns);
bool format_read_count(const char *text, uint64_t *n);

/* Into text of TEXT_BYTES, which is returned. */
char *format_size(char *text, uint64_t bytes, bool plain);
char *format_duration(char *text, uint64_t ms);
char *format_count(char *text, uint64_t n, bool plain);

/*
 * Bytes as text: printable ASCII as it is, anything else and the backslash as
 * \xNN. The caller frees the result; the program ends if there is no memory.
 */
char *format_escape(const void *bytes, size_t n);
/* The reverse, in place. False: an escape that is none. */
bool format_unescape(char *text, size_t *n);

#endif
