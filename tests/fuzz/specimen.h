/* SPDX-License-Identifier: Apache-2.0 */
/* A segment with something of everything in it, as bytes, to be damaged. */
#ifndef TESTS_FUZZ_SPECIMEN_H
#define TESTS_FUZZ_SPECIMEN_H

#include <stdint.h>

enum { SPECIMEN_BYTES = 1 << 20, SPECIMEN_KEYS = 400 };

/* The same in each run of a program but for times, process ids and the boot.
 * Made at the first call; in static memory. */
const uint8_t *specimen(void);

/* Units of its entries, in the order of the index; @n of them. */
const uint32_t *specimen_units(uint32_t *n);

#endif
