/* SPDX-License-Identifier: Apache-2.0 */
/* A fuzz target, and a main that feeds it without a fuzzer. */
#ifndef TESTS_FUZZ_ROUNDS_H
#define TESTS_FUZZ_ROUNDS_H

#include <stddef.h>
#include <stdint.h>

/* Never returns but 0; aborts on a broken promise. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#endif
