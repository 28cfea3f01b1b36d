/* SPDX-License-Identifier: Apache-2.0 */
/* Doubles as decimals and back, to the bit, in whatever locale. */
#ifndef LARDER_ROUTER_NUMBER_H
#define LARDER_ROUTER_NUMBER_H

#include <stddef.h>

enum { NUMBER_ROOM = 32 };

/* What a JSON number of @n bytes stands for; may be an infinity. */
double router_number_read(const char *text, size_t n);
/* A JSON number that reads back to the same double, which must be finite, and
 * always shows that it may have a fraction. Its length. */
size_t router_number_write(double value, char to[NUMBER_ROOM]);

#endif
