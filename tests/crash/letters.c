/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of the letter under KEY: letters.h. Each returns letters that
 * stand until the next call.
 */
#include "crash/letters.h"

#include <stdbool.h>

const char *letter_same(char before)
{
	static char letter[2];

	letter[0] = before;
	return letter;
}

const char *letter_to_b(char before)
{
	(void)before;
	return "b";
}

const char *letter_to_q(char before)
{
	(void)before;
	return "q";
}

const char *letter_to_run(char before)
{
	(void)before;
	return "B";
}

const char *letter_to_nothing(char before)
{
	return before == 's' ? "s" : "-";
}

static bool nothing(char letter)
{
	return letter == '-' || letter == 's';
}

const char *letter_only_new(char before)
{
	return nothing(before) ? "b" : letter_same(before);
}

/* A fill whose token is older than the invalidation is refused. */
const char *letter_late_fill(char before)
{
	return before == '-' ? "b" : letter_same(before);
}

/* The same with a tag of its own that was invalidated. */
const char *letter_late_refresh(char before)
{
	return before == 'a' || before == '-' ? "b" : letter_same(before);
}

/* By the starting state. */
static bool there_first(char letter)
{
	return letter == 'a' || letter == 'p';
}

/* Only what was there when the version was read is replaced. */
const char *letter_only_first(char before)
{
	return there_first(before) ? "b" : letter_same(before);
}

const char *letter_only_old(char before)
{
	return nothing(before) ? letter_same(before) : "b";
}

const char *letter_first_goes(char before)
{
	return there_first(before) ? "-" : letter_same(before);
}

/* What is kept is exempt. */
static bool is_kept(char letter)
{
	return letter == 'p' || letter == 'q';
}

const char *letter_invalid(char before)
{
	return is_kept(before) ? letter_same(before) : "s";
}

/* Scripts store without tags. */
const char *letter_a_invalid(char before)
{
	return before == 'z' ? "z" : "s";
}

const char *letter_one_more(char before)
{
	switch (before) {
	case 'c':
		return "d";
	case 'd':
		return "f";
	case 'i':
		return "j";
	case 'j':
		return "k";
	case '-':
	case 's':
		return "d"; /* begins at 100 */
	default:
		return letter_same(before);
	}
}

const char *letter_may_go(char before)
{
	static char letters[3] = "-";

	if (before == 's' || is_kept(before))
		return letter_same(before);
	letters[1] = nothing(before) ? '\0' : before;
	return letters;
}

const char *letter_to_z(char before)
{
	(void)before;
	return "z";
}

/* b alone has the tag. */
const char *letter_b_invalid(char before)
{
	return before == 'a' ? "e" : before == 'b' ? "s" : letter_same(before);
}

const char *letter_computed(char before)
{
	return nothing(before) ? "z" : letter_same(before);
}

const char *letter_ten_more(char before)
{
	return before == 'c' || nothing(before) ? "i"
	       : before == 'd'			? "j"
	       : before == 'f'			? "k"
						: letter_same(before);
}
