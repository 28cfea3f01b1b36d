/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations of the storm's workers, each of which writes itself down:
 * changes.c has those that change something, operations.c the rest and what is
 * done when.
 */
#ifndef TESTS_STRESS_OPERATIONS_H
#define TESTS_STRESS_OPERATIONS_H

#include "storm.h"

/* A value to be written, and how. */
struct written {
	struct larder_put_options o;
	struct larder_tag tags[2];
	char texts[2][16];
	size_t n;
};

/* Make the value of @r's write in me->value, and say how to store it. */
void prepare(struct written *w, struct record *r);

void put(enum kind kind, uint32_t key, uint64_t version);
void put_with_token(uint32_t key);
void increment(void);
void touch(uint32_t key);
void remove_key(uint32_t key, bool by_version, uint64_t version);
void invalidate(void);

/* A plain key, a hot one in half of all cases. */
uint32_t any_plain(void);
/* Another operation in the middle of one. */
void operate_inside(void);

#endif
