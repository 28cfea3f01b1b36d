/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many innocent answers an invalidation takes along.
 *
 * Invariant: in a segment of the default size, of answers that depend on 100
 * agents and 50 models each (151 tags), an invalidation of a tag that none of
 * them carries takes at most 0.1 % along, on the average over many; and one of
 * a tag that some carry takes all of those.
 */
#include "ground.h"

#include <stdio.h>
#include <string.h>

enum { N_ANSWERS = 2000, N_TAGS = 151, N_UNRELATED = 300, FLEETS = 8 };

static struct larder *h;

static void key_of(unsigned i, char key[32])
{
	memset(key, 0, 32);
	snprintf(key, 32, "v1/optimal/%u", i);
}

/* As the router does it: the strategy, a fleet's models, agents of one's own.
 */
static void store(unsigned i)
{
	struct larder_tag tags[N_TAGS];
	char text[N_TAGS][32], key[32], value[1000];
	struct larder_put_options o = {
		.size_of = sizeof o, .tags = tags, .n_tags = N_TAGS};

	for (unsigned t = 0; t < N_TAGS; t++) {
		int n = t == 0	  ? snprintf(text[t], 32, "strategy:optimal")
			: t <= 50 ? snprintf(text[t], 32, "model:fleet%u-m%u",
					     i % FLEETS, t)
				  : snprintf(text[t], 32, "agent:a%u-%u", i, t);

		tags[t] = (struct larder_tag){text[t], (size_t)n};
	}
	memset(value, (int)(i & 0xff), sizeof value);
	key_of(i, key);
	need(!larder_put(h, key, strlen(key), value, sizeof value, &o),
	     "an answer is stored");
}

/* How many are gone; those are stored again. */
static unsigned missing(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < N_ANSWERS; i++) {
		char key[32];

		key_of(i, key);
		if (larder_get(h, key, strlen(key), NULL, 0, NULL) !=
		    LARDER_MISS)
			continue;
		n++;
		store(i);
	}
	return n;
}

static int unrelated(void)
{
	struct larder_create_options o = {.size_of = sizeof o};
	unsigned taken = 0, most = 0;

	h = segment_in("collateral", &o);
	for (unsigned i = 0; i < N_ANSWERS; i++)
		store(i);
	claim(missing() == 0, "%u answers fit a segment of the default size",
	      N_ANSWERS);
	for (unsigned k = 0; k < N_UNRELATED; k++) {
		char tag[32];
		int n = snprintf(tag, sizeof tag, "model:nobodys-%u", k);
		unsigned lost;

		need(!larder_invalidate_tag(h, tag, (size_t)n), "invalidated");
		lost = missing();
		taken += lost;
		most = lost > most ? lost : most;
	}
	claim(taken <= N_UNRELATED * (N_ANSWERS / 1000.0),
	      "%u invalidations of what nobody depends on took %u of %u "
	      "answers along (%.4f %% each, at most %u)",
	      N_UNRELATED, taken, N_ANSWERS,
	      100.0 * taken / N_UNRELATED / N_ANSWERS, most);
	need(!larder_invalidate_tag(h, "model:fleet3-m7", 15), "invalidated");
	taken = missing();
	claim(taken >= N_ANSWERS / FLEETS &&
		      taken <= N_ANSWERS / FLEETS + N_ANSWERS / 1000,
	      "one that %u depend on took %u", N_ANSWERS / FLEETS, taken);
	larder_close(h);
	return 0;
}

int main(void)
{
	folder();
	stage("unrelated", unrelated);
	return curtain();
}
