/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets share: their entry, an input that is read byte by byte
 * and gives zeroes once it is over, and promises. The same target is linked
 * with libFuzzer, or with rounds.c where the compiler has none.
 */
#ifndef TESTS_FUZZ_ROUNDS_H
#define TESTS_FUZZ_ROUNDS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Returns 0; aborts on a broken promise. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static inline void promise(int kept, const char *what)
{
	if (kept)
		return;
	fprintf(stderr, "broken promise: %s\n", what);
	abort();
}

struct input {
	const uint8_t *at;
	size_t left;
};

static inline uint8_t take(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->at++;
}

static inline uint32_t take_24(struct input *in)
{
	uint32_t high = take(in), middle = take(in);

	return high << 16 | middle << 8 | take(in);
}

#endif
