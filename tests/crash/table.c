/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which letters may stand under KEY, and whether one of them does: scenario.h.
 */
#include "crash/scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/words.h"
#include "store/drain.h"
#include "store/page.h"

void must(int result)
{
	if (result) {
		fprintf(stderr, "setup failed: %s\n", larder_strerror(result));
		exit(1);
	}
}

struct worker *worker(struct larder *h)
{
	int error;
	struct worker *w = worker_of(h, &error);

	if (!w)
		must(error);
	return w;
}

const char *scenario_name(const struct scenario *sc)
{
	static char name[80];

	snprintf(name, sizeof name, "%s, %s", sc->operation->name,
		 sc->state->name);
	return name;
}

int put_letter(struct larder *h, const char *key, size_t n_key, char letter,
	       size_t n, const struct larder_put_options *o)
{
	char value[LARGE];

	memset(value, letter, n);
	return larder_put(h, key, n_key, value, n, o);
}

static char counter_letter(uint64_t n)
{
	switch (n) {
	case 100:
		return 'c';
	case 101:
		return 'd';
	case 102:
		return 'f';
	case 110:
		return 'i';
	case 111:
		return 'j';
	case 112:
		return 'k';
	default:
		return '!';
	}
}

char letter_of(struct larder *h)
{
	static char value[LARGE];
	uint64_t number;
	size_t n;

	if (larder_get(h, KEY, value, sizeof value, &n))
		return '-';
	if (n == sizeof number) {
		memcpy(&number, value, sizeof number);
		return counter_letter(number);
	}
	for (size_t i = 1; i < n; i++)
		if (value[i] != value[0])
			return '!';
	if (n == RUN)
		return value[0] ? '!' : 'B';
	if (n == LARGE)
		return value[0] == 'a' ? 'A' : '!';
	return n == SMALL && value[0] && strchr("abpqz", value[0]) ? value[0]
								   : '!';
}

/* Kept from being inlined: gcc 12 unrolls the hash over the small buffer below
 * and warns of reads that its own length checks exclude. */
__attribute__((noinline)) struct group *
group_of_key(const struct segment *s, const char *key, size_t n_key)
{
	return group_of(s, key_hash_of(s, key, n_key));
}

size_t neighbour(const struct segment *s, unsigned i, char *key)
{
	const struct group *g = group_of_key(s, KEY);

	for (unsigned k = 0;; k++) {
		size_t n = (size_t)snprintf(key, 16, "g%u", k);

		if (group_of_key(s, key, n) == g && !i--)
			return n;
	}
}

size_t set_neighbour(const struct segment *s, unsigned i, char *key)
{
	const uint64_t hash = key_hash_of(s, KEY);

	for (unsigned k = 0;; k++) {
		size_t n = (size_t)snprintf(key, 16, "s%u", k);

		if (key_set_of(s, key_hash_of(s, key, n)) ==
			    key_set_of(s, hash) &&
		    !i--)
			return n;
	}
}

uint32_t unit_of_key(struct larder *h)
{
	struct worker *w = worker(h);
	struct lookup there;
	bool found;

	larder_pin(w);
	found = larder_find(w, KEY, key_hash_of(w->s, KEY), &there);
	larder_unpin(w);
	return found ? there.unit : 0;
}

unsigned small_class(const struct segment *s)
{
	return larder_slab_class(s, ENTRY_FIXED + 8 + SMALL);
}

bool drain_key(struct larder *h, uint32_t n)
{
	struct worker *w = worker(h);
	uint32_t unit = unit_of_key(h), page;

	if (!unit)
		return false;
	page = page_of_unit(w->s, unit);
	if (page + n > w->s->n_pages || !larder_drain_window(w, page, n))
		return false;
	for (uint32_t i = 0; i < n; i++)
		larder_page_release(w, page + i);
	return true;
}

/* ------------------------------------------------------------------ */

static void add_letters(char letters[16], const char *more)
{
	size_t n = strlen(letters);

	for (; *more; more++) {
		if (strchr(letters, *more))
			continue;
		letters[n++] = *more;
		letters[n] = '\0';
	}
}

/* @after of every letter of @from, added to @to. */
static void map_letters(const char *from, const char *(*after)(char),
			char to[16])
{
	for (; *from; from++)
		add_letters(to, after(*from));
}

/* An operation that fails changes nothing, but for what it evicted. */
static bool changes(const struct scenario *sc, int result)
{
	return result == LARDER_OK || sc->operation->takes_other;
}

void letters_after(const struct scenario *sc, bool acked, int result,
		   char letters[16])
{
	letters[0] = '\0';
	if (!acked || result != LARDER_OK)
		add_letters(letters, sc->state->before);
	if (!acked || changes(sc, result))
		map_letters(sc->state->before, sc->operation->after, letters);
}

void letters_with(const struct scenario *sc, const struct script *script,
		  int result, bool begun, char letters[16])
{
	char first[16] = "";

	letters[0] = '\0';
	map_letters(sc->state->before, script->after, first);
	if (result != LARDER_OK)
		add_letters(letters, first);
	if (!changes(sc, result))
		return;
	map_letters(first, sc->operation->after, letters);
	if (begun) {
		first[0] = '\0';
		map_letters(sc->state->before, sc->operation->after, first);
		map_letters(first, script->after, letters);
	}
	/* What the script stored may have gone to make room. */
	if (sc->state->pressed || sc->state->crowded)
		map_letters("-", sc->operation->after, letters);
	if (sc->operation->dated && script->invalidates)
		add_letters(letters, "s");
}

bool may_succeed(const struct scenario *sc, const struct script *script,
		 bool begun)
{
	char letters[16] = "";

	if (!sc->operation->hits)
		return true;
	if (!script || begun)
		add_letters(letters, sc->state->before);
	if (script)
		map_letters(sc->state->before, script->after, letters);
	return strspn(letters, "-s") < strlen(letters);
}

const char *look(struct larder *h, const struct scenario *sc,
		 const char *letters, bool other_may_go)
{
	static char text[80];
	char letter = letter_of(h), value[SMALL];

	if (letter == '!')
		return "a torn value, or one that nobody stored";
	if (!strchr(letters, letter) &&
	    !(letter == 'a' && strchr(letters, 'e')) &&
	    !(letter == '-' && (strchr(letters, 's') ||
				(sc->state->pressed &&
				 strspn(letters, "pq") < strlen(letters))))) {
		snprintf(text, sizeof text, "%c is there, not one of %s",
			 letter, letters);
		return text;
	}
	if (!other_may_go && !sc->state->elsewhere &&
	    !sc->operation->takes_other &&
	    larder_get(h, OTHER, value, sizeof value, NULL))
		return "an uninvolved entry is gone";
	return NULL;
}
