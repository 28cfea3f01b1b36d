/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doubles as decimals and back, to the bit: see number.h. An answer is made of
 * hundreds of them, a question of more, and the C library's ways cost as much
 * as all the rest together.
 *
 *   reading   an integer below 2^53 over a power of ten up to 10^22 are both
 *             exact, so that their quotient, rounded once, is the nearest
 *             double (Clinger 1990)
 *   writing   the fewest decimals, up to a bound, whose quotient of that kind
 *             is the value; beyond, 17 digits by exact integers, which always
 *             read back
 *
 * What is outside of these bounds goes to the C library.
 */
#include "router/number.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double ten_to[] = {1e0,  1e1,  1e2,  1e3,	1e4,  1e5,  1e6,  1e7,
				1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
				1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
enum { EXACT_TENS = 22 };
static const uint64_t EXACT_INTEGER = UINT64_C(1) << 53;

/* The C library wants a NUL behind it. */
static double read_slowly(const char *text, size_t n)
{
	char digits[128];

	if (n >= sizeof digits) {
		char *copy = strndup(text, n);
		double value = copy ? strtod(copy, NULL) : (double)NAN;

		free(copy);
		return value;
	}
	memcpy(digits, text, n);
	digits[n] = '\0';
	return strtod(digits, NULL);
}

double router_number_read(const char *text, size_t n)
{
	const char *at = text, *end = text + n;
	bool below = at < end && *at == '-', in_fraction = false;
	unsigned decimals = 0;
	uint64_t digits = 0;
	double value;

	for (at += below; at < end; at++) {
		if (*at == '.' && !in_fraction) {
			in_fraction = true;
			continue;
		}
		if (*at < '0' || *at > '9' || digits >= EXACT_INTEGER / 10 ||
		    decimals == EXACT_TENS)
			return read_slowly(text, n);
		digits = digits * 10 + (uint64_t)(*at - '0');
		decimals += in_fraction;
	}
	value = (double)digits / ten_to[decimals];
	return below ? -value : value;
}

/* ------------------------------------------------------------------ */

static size_t put_digits(uint64_t n, char *to)
{
	char reversed[20];
	size_t length = 0;

	do {
		reversed[length++] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	for (size_t i = 0; i < length; i++)
		to[i] = reversed[length - 1 - i];
	return length;
}

/* @scaled over ten to the @decimals, without zeros at its end but the one that
 * says that there is a fraction. */
static size_t put_decimal(uint64_t scaled, unsigned decimals, char *to)
{
	uint64_t tens = 1, fraction;
	size_t n;

	for (unsigned i = 0; i < decimals; i++)
		tens *= 10;
	n = put_digits(scaled / tens, to);
	fraction = scaled % tens;
	to[n++] = '.';
	for (; decimals > 1 && fraction % 10 == 0; decimals--)
		fraction /= 10;
	for (unsigned i = decimals; i--; fraction /= 10)
		to[n + i] = (char)('0' + fraction % 10);
	return n + decimals;
}

/* Digits behind the point that an integer below 2^53 has room for. */
static unsigned decimals_below(double value)
{
	unsigned decimals = 15;

	while (decimals && value * ten_to[decimals] >= (double)EXACT_INTEGER)
		decimals--;
	return decimals;
}

/* From 1 to 1000: the value times 10^k, k such that it has 17 digits, by
 * integers and rounded once. 17 digits always read back. */
static size_t put_17_digits(double value, char *to)
{
	unsigned decimals = value < 10 ? 16 : value < 100 ? 15 : 14;
	__extension__ unsigned __int128 exact;
	uint64_t tens = 1, scaled;
	int exponent;
	unsigned shift;

	exact = (uint64_t)(frexp(value, &exponent) * 0x1p53);
	shift = (unsigned)(53 - exponent);
	for (unsigned i = 0; i < decimals; i++)
		tens *= 10;
	exact *= tens; /* below 2^53 x 2^54 */
	exact += UINT64_C(1) << (shift - 1);
	scaled = (uint64_t)(exact >> shift);
	return put_decimal(scaled, decimals, to);
}

size_t router_number_write(double value, char to[NUMBER_ROOM])
{
	size_t sign = signbit(value) ? 1 : 0;
	int n;

	if (sign) {
		value = -value;
		to[0] = '-';
	}
	if (value < 1e6 && (value >= 1e-3 || value == 0)) {
		unsigned decimals = decimals_below(value);
		uint64_t scaled = (uint64_t)(value * ten_to[decimals] + 0.5);

		if ((double)scaled / ten_to[decimals] == value)
			return sign + put_decimal(scaled, decimals, to + sign);
		if (value >= 1 && value < 1000)
			return sign + put_17_digits(value, to + sign);
	}
	for (int precision = 15; precision <= 17; precision++) {
		n = snprintf(to + sign, NUMBER_ROOM - sign, "%.*g", precision,
			     value);
		if (strtod(to + sign, NULL) == value)
			break;
	}
	if (!strpbrk(to + sign, ".en")) {
		memcpy(to + sign + n, ".0", 3);
		n += 2;
	}
	return sign + (size_t)n;
}
