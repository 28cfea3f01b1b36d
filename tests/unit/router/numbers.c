/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doubles as decimals: what is written reads back to the same bits, by our own
 * reader and by the C library's; what is read is what the C library reads.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/number.h"

enum { N_RANDOM = 300000 };

static uint64_t state = 20261126;

static uint64_t next(void)
{
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void same(double value)
{
	char text[NUMBER_ROOM + 1];
	size_t n = router_number_write(value, text);
	double by_us, by_library;

	cr_assert_lt(n, NUMBER_ROOM);
	text[n] = '\0';
	by_us = router_number_read(text, n);
	by_library = strtod(text, NULL);
	cr_assert(!memcmp(&by_us, &value, sizeof value) &&
			  !memcmp(&by_library, &value, sizeof value),
		  "%.17g was written as %s", value, text);
	cr_assert(strpbrk(text, ".e"), "%s does not show a fraction", text);
}

static void as_the_library(const char *text)
{
	double by_us = router_number_read(text, strlen(text));
	double by_library = strtod(text, NULL);

	cr_assert(!memcmp(&by_us, &by_library, sizeof by_us),
		  "%s was read as %.17g", text, by_us);
}

Test(numbers, what_is_written_reads_back)
{
	static const double some[] = {0,
				      -0.0,
				      1,
				      0.1,
				      0.3,
				      1.0 / 3,
				      73.8,
				      93,
				      100,
				      99.999999999999986,
				      1e-3,
				      1e-300,
				      1e300,
				      5e-324,
				      123456.789,
				      999999.5,
				      1e6,
				      9.9999999999999982,
				      9.007199254740993,
				      -12.5,
				      0.00099999999999999980,
				      999.99999999999989};

	for (size_t i = 0; i < sizeof some / sizeof some[0]; i++)
		same(some[i]);
	for (int i = 0; i < N_RANDOM; i++) {
		uint64_t bits = next();
		double any;

		same((double)(next() >> 11) * 0x1p-53 * 100);
		same((double)(next() % 100000) / 1000);
		same((double)(next() >> 11) * 0x1p-53 *
		     (double)(next() % 2000));
		memcpy(&any, &bits, sizeof any);
		if (isfinite(any))
			same(any);
	}
}

Test(numbers, few_digits_stay_few)
{
	char text[NUMBER_ROOM + 1];

	text[router_number_write(0.85, text)] = '\0';
	cr_assert_str_eq(text, "0.85");
	text[router_number_write(-73.8, text)] = '\0';
	cr_assert_str_eq(text, "-73.8");
	text[router_number_write(100, text)] = '\0';
	cr_assert_str_eq(text, "100.0");
	text[router_number_write(0, text)] = '\0';
	cr_assert_str_eq(text, "0.0");
}

Test(numbers, what_is_read_is_what_the_library_reads)
{
	static const char *const some[] = {
		"0",
		"-0",
		"0.0",
		"-0.0",
		"1",
		"1.0",
		"32768",
		"0.95",
		"1e3",
		"1E-3",
		"1.5e+2",
		"9007199254740993",
		"9007199254740992.0",
		"123456789012345678901234567890",
		"1e999",
		"-1e999",
		"1e-999",
		"0.000000000000000000000001",
		"0.1000000000000000055511151231",
		"999999999999999.9",
		"0.30000000000000004",
		"1000000000000000000000000000000000000000000000000000000000000"
		"00000000000000000000000000000000000000000000000000000000000000"
		"0000000000000000000000"};
	char text[64];

	for (size_t i = 0; i < sizeof some / sizeof some[0]; i++)
		as_the_library(some[i]);
	for (int i = 0; i < N_RANDOM; i++) {
		double value = (double)(next() >> 11) * 0x1p-53;

		snprintf(text, sizeof text, "%.*f", (int)(next() % 25),
			 value * (double)(next() % 1000000));
		as_the_library(text);
		snprintf(text, sizeof text, "%.*g", (int)(next() % 20), value);
		as_the_library(text);
	}
}
