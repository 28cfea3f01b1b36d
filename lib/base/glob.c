/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Globs over bytes: '*', '?', '[...]' with ranges and '!' or '^', '\' escapes.
 *
 * No recursion and no allocation: a star remembers only the last place it
 * could begin, which suffices because a later star subsumes an earlier one.
 * Worst case is pattern length times text length, both bounded by the caller.
 */
#include <errno.h>
#include <stdbool.h>

#include <larder/larder.h>

/* Length of the pattern element at p (at least one byte), or 0 if it does not
 * end within n bytes. */
static size_t element_length(const unsigned char *p, size_t n)
{
	size_t i;

	if (p[0] == '\\')
		return n >= 2 ? 2 : 0;
	if (p[0] != '[')
		return 1;
	i = 1;
	if (i < n && (p[i] == '!' || p[i] == '^'))
		i++;
	if (i < n && p[i] == ']')
		i++;
	while (i < n && p[i] != ']')
		i += p[i] == '\\' ? 2 : 1;
	return i < n ? i + 1 : 0;
}

/* One byte of a class, escapes taken off; *i is moved past it. */
static unsigned char class_byte(const unsigned char *p, size_t *i)
{
	if (p[*i] == '\\')
		(*i)++;
	return p[(*i)++];
}

static bool class_matches(const unsigned char *p, size_t n, unsigned char c)
{
	size_t i = 1, end = n - 1;
	bool negated = p[i] == '!' || p[i] == '^';
	bool found = false;

	if (negated)
		i++;
	while (i < end) {
		unsigned char low = class_byte(p, &i), high = low;

		if (i + 1 < end && p[i] == '-') {
			i++;
			high = class_byte(p, &i);
		}
		if (low <= c && c <= high)
			found = true;
	}
	return found != negated;
}

static bool element_matches(const unsigned char *p, size_t n, unsigned char c)
{
	switch (p[0]) {
	case '?':
		return true;
	case '\\':
		return p[1] == c;
	case '[':
		return class_matches(p, n, c);
	default:
		return p[0] == c;
	}
}

int larder_glob(const char *pattern, size_t n_pattern, const void *bytes,
		size_t n_bytes)
{
	const unsigned char *p = (const unsigned char *)pattern;
	const unsigned char *t = bytes;
	size_t i = 0, j = 0, star = SIZE_MAX, star_text = 0, n;

	for (size_t k = 0; k < n_pattern; k += n) {
		n = element_length(p + k, n_pattern - k);
		if (!n)
			return -EINVAL;
	}
	while (j < n_bytes) {
		if (i < n_pattern && p[i] == '*') {
			star = ++i;
			star_text = j;
			continue;
		}
		n = i < n_pattern ? element_length(p + i, n_pattern - i) : 0;
		if (n && element_matches(p + i, n, t[j])) {
			i += n;
			j++;
			continue;
		}
		if (star == SIZE_MAX)
			return 0;
		i = star;
		j = ++star_text;
	}
	while (i < n_pattern && p[i] == '*')
		i++;
	return i == n_pattern;
}
