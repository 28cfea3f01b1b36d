/* SPDX-License-Identifier: Apache-2.0 */
/*
 * router-price FOLDER with|without PATTERN STRATEGY AGENTS MODELS NUMBER: so
 * many questions to a router on a fresh segment, with its cache or without.
 * What the answers cost is for who runs this to count; it prints how many were
 * of which kind. Patterns, in all of which the cache is of little use:
 *
 *   once   none comes twice
 *   ends   the same, and all have the same ends and length
 *   twice  each comes twice, 300 others in between, and never again
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <larder/router.h>

#include "workload.h"

enum { MIB = 1 << 20 };

enum { APART = 300 };

/* The @i-th question of a pattern. */
static bool question(struct body *body, const char *pattern, char **words,
		     uint32_t i)
{
	bool ends = !strcmp(pattern, "ends"), twice = !strcmp(pattern, "twice");
	uint32_t number = ends	  ? 0
			  : twice ? i / (2 * APART) * APART + i % APART
				  : i;
	char *middle;

	if (!body_make(body, words[0], (uint32_t)strtoul(words[1], NULL, 10),
		       (uint32_t)strtoul(words[2], NULL, 10),
		       (number + 1) * UINT64_C(1000003)))
		return false;
	if (ends) {
		char digits[8];

		snprintf(digits, sizeof digits, "%05u", i % 100000);
		middle = strstr(body->text + body->n_text / 4, "\"agent-");
		if (!middle)
			return false;
		memcpy(middle + strlen("\"agent-"), digits, strlen(digits));
	}
	return true;
}

static bool answer(struct router *router, const struct body *body,
		   unsigned *kinds)
{
	struct router_answer answer;
	struct router_work *work;
	struct router_error error;

	if (router_answer_begin(router, body->text, body->n_text, &answer,
				&work, &error))
		return false;
	kinds[answer.status]++;
	router_body_free(router, answer.body);
	return true;
}

int main(int argc, char **argv)
{
	struct larder_create_options create = {.size_of = sizeof create,
					       .bytes = 256 * MIB};
	struct larder_open_options open = {.size_of = sizeof open,
					   .flags = LARDER_OPEN_CREATE,
					   .create = &create};
	struct router_options options = {.size_of = sizeof options};
	unsigned kinds[ROUTER_BYPASS + 1] = {0};
	struct larder *cache;
	struct router *router;
	char path[200];
	bool fine = true;

	if (argc != 8)
		return 2;
	options.never_cache = !strcmp(argv[2], "without");
	snprintf(path, sizeof path, "%s/price-%d", argv[1], (int)getpid());
	if (larder_open(path, &open, &cache) ||
	    router_open(cache, &options, &router))
		return 1;
	for (uint32_t i = 0; fine && i < strtoul(argv[7], NULL, 10); i++) {
		struct body body;

		fine = question(&body, argv[3], argv + 4, i) &&
		       answer(router, &body, kinds);
		free(body.text);
	}
	printf("%u %u %u\n", kinds[ROUTER_HIT], kinds[ROUTER_MISS],
	       kinds[ROUTER_BYPASS]);
	router_close(router);
	larder_close(cache);
	unlink(path);
	return fine ? 0 : 1;
}
