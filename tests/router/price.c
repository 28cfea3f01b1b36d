/* SPDX-License-Identifier: Apache-2.0 */
/*
 * router-price FOLDER with|without STRATEGY AGENTS MODELS NUMBER: so many
 * questions, none of them twice, to a router on a fresh segment, with its cache
 * or without. What the answers cost is for who runs this to count; it prints
 * how many were of which kind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <larder/router.h>

#include "workload.h"

enum { MIB = 1 << 20 };

static bool answer(struct router *router, const char *strategy,
		   uint32_t n_agents, uint32_t n_models, uint32_t number,
		   unsigned *kinds)
{
	struct router_answer answer;
	struct router_work *work;
	struct router_error error;
	struct body body;
	bool fine = body_make(&body, strategy, n_agents, n_models,
			      number * UINT64_C(1000003)) &&
		    !router_answer_begin(router, body.text, body.n_text,
					 &answer, &work, &error);

	if (fine) {
		kinds[answer.status]++;
		router_body_free(router, answer.body);
	}
	free(body.text);
	return fine;
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

	if (argc != 7)
		return 2;
	options.never_cache = !strcmp(argv[2], "without");
	snprintf(path, sizeof path, "%s/price-%d", argv[1], (int)getpid());
	if (larder_open(path, &open, &cache) ||
	    router_open(cache, &options, &router))
		return 1;
	for (uint32_t i = 1; fine && i <= strtoul(argv[6], NULL, 10); i++)
		fine = answer(router, argv[3],
			      (uint32_t)strtoul(argv[4], NULL, 10),
			      (uint32_t)strtoul(argv[5], NULL, 10), i, kinds);
	printf("%u %u %u\n", kinds[ROUTER_HIT], kinds[ROUTER_MISS],
	       kinds[ROUTER_BYPASS]);
	router_close(router);
	larder_close(cache);
	unlink(path);
	return fine ? 0 : 1;
}
