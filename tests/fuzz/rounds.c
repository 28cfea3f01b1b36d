/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target on inputs made from a seed, or on files: what a build
 * without libFuzzer can do, the same in every build.
 *
 *   fuzz-NAME [--rounds N] [--seed N] [FILE...]
 */
#include "fuzz/rounds.h"

#ifndef LIBFUZZER
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4096 };

static int replay(const char *path)
{
	static uint8_t data[1 << 20];
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f) {
		perror(path);
		return 1;
	}
	n = fread(data, 1, sizeof data, f);
	fclose(f);
	return LLVMFuzzerTestOneInput(data, n);
}

int main(int argc, char **argv)
{
	uint64_t rounds = 1000, seed = 1, x;
	static uint8_t data[MOST];

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--rounds") && i + 1 < argc)
			rounds = strtoull(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			seed = strtoull(argv[++i], NULL, 10);
		else
			return replay(argv[i]);
	}
	for (uint64_t k = 0; k < rounds; k++) {
		size_t n;

		x = (seed * 1000003 + k) * UINT64_C(0x9e3779b97f4a7c15) | 1;
		n = 16 + (size_t)(x >> 40) % (MOST - 16);
		for (size_t i = 0; i < n; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			data[i] = (uint8_t)(x >> 32);
		}
		LLVMFuzzerTestOneInput(data, n);
	}
	printf("%llu rounds, seed %llu\n", (unsigned long long)rounds,
	       (unsigned long long)seed);
	return 0;
}
#endif
