/* SPDX-License-Identifier: Apache-2.0 */
/* A segment of a test's own, and a clock that stands still until it is moved.
 */
#ifndef TESTS_UNIT_FRESH_FIXTURE_H
#define TESTS_UNIT_FRESH_FIXTURE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/cache.h"

struct fixture {
	struct larder *h;
	struct segment *s;
	struct worker *w;
};

struct fixture fixture_open(void);
void fixture_close(struct fixture *f);

/* Milliseconds that have passed on the replaced clock. */
extern uint64_t passed_ms;

/* put and get of short texts; get is true on a hit. */
int put_text(struct fixture *f, const char *key, const char *tag,
	     const struct larder_token *token);
bool has(struct fixture *f, const char *key);

/* Not inlined: the compiler would judge the hash by this call's buffer. */
uint64_t hash_of_key(struct fixture *f, const char *key, size_t n_key);

#endif
