/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the account of answers that are kept is worth after hits that cost more
 * than they save.
 *
 * Invariant: however often an answer that is dear to compute is found by its
 * meaning, under ever other bytes and with no means left, an ordinary question
 * of that size is kept once more as soon as it has come some 20 times.
 */
#include "ground.h"

#include <stdio.h>
#include <string.h>

#include <larder/router.h>

enum {
	N_AGENTS = 512, /* dear with as many models as the catalog has */
	N_MODELS = 256,
	BODY = 800, /* bytes: a body that pays for hits by its meaning */
	N_SPENT = 3000,
	MISSES_MOST = N_SPENT / 100,
	PATIENCE = 64,
};

static void catalog_write(const char *path)
{
	FILE *f = fopen(path, "we");

	need(f, "a file for the catalog");
	fputs("{\"models\":[", f);
	for (unsigned i = 0; i < N_MODELS; i++)
		fprintf(f,
			"%s{\"id\":\"m%u\",\"name\":\"m\",\"context_length\":"
			"8192,\"capabilities\":{\"coding\":0.%02u},"
			"\"max_concurrent\":8}",
			i ? "," : "", i, i % 90 + 10);
	fputs("],\"agents\":[", f);
	for (unsigned i = 0; i < N_AGENTS; i++)
		fprintf(f,
			"%s{\"id\":\"a%u\",\"name\":\"a\",\"requires\":"
			"[\"coding\"]}",
			i ? "," : "", i);
	fputs("]}", f);
	need(!fclose(f), "the catalog is written");
}

/* @text and blanks of two kinds, which spell @number: BODY bytes. */
static void body_make(char body[BODY], const char *text, unsigned number)
{
	memset(body, ' ', BODY);
	memcpy(body, text, strlen(text));
	for (unsigned i = 0; i < 32; i++)
		body[BODY / 2 + i] = number >> i & 1 ? '\t' : ' ';
}

static enum router_cache_status ask(struct router *router, const char *text,
				    unsigned number)
{
	char body[BODY];
	struct router_answer answer;
	struct router_work *work;
	struct router_error e = {0};
	int error;

	body_make(body, text, number);
	error = router_answer_begin(router, body, BODY, &answer, &work, &e);
	need(!error, "an answer");
	router_body_free(router, answer.body);
	return answer.status;
}

static int spent(void)
{
	struct larder_create_options o = {.size_of = sizeof o,
					  .bytes = 64 << 20};
	struct router_options options = {.size_of = sizeof options};
	struct router_error e = {0};
	struct larder *h = segment_in("admission", &o);
	struct router *router;
	unsigned hits = 0, misses = 0, asked = 0;

	need(!router_open(h, &options, &router), "a router");
	catalog_write(in_folder("catalog.json"));
	need(router_catalog_load(router, in_folder("catalog.json"), &e) >= 0,
	     e.detail);
	for (unsigned i = 0; i < N_SPENT; i++) {
		enum router_cache_status status =
			ask(router, "{\"strategy\":\"optimal\"}", i);

		hits += status == ROUTER_HIT;
		misses += status == ROUTER_MISS;
	}
	/* It is evicted at times: the bodies fill the segment. */
	claim(hits + misses == N_SPENT && misses <= MISSES_MOST,
	      "a dear answer is always looked for, and found by its meaning "
	      "%u times of %u, all but %u",
	      hits, N_SPENT, misses);
	while (asked < PATIENCE &&
	       ask(router,
		   "{\"strategy\":\"greedy\",\"agents\":[{\"id\":\"x\","
		   "\"name\":\"x\"},{\"id\":\"y\",\"name\":\"y\"}]}",
		   0) != ROUTER_HIT)
		asked++;
	claim(asked < PATIENCE,
	      "what is asked again and again is found after %u times", asked);
	router_close(router);
	larder_close(h);
	return 0;
}

int main(void)
{
	folder();
	stage("means that are spent", spent);
	return curtain();
}
