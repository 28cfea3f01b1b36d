/* SPDX-License-Identifier: Apache-2.0 */
/* larder put: store an entry. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "json.h"

/* All of standard input; at most one byte more than the largest value. */
static char *read_input(uint64_t most, size_t *n)
{
	size_t room = 65536;
	char *bytes = cli_alloc(room);

	*n = 0;
	while (!feof(stdin) && !ferror(stdin) && *n <= most) {
		if (*n == room) {
			room *= 2;
			bytes = cli_grow(bytes, room);
		}
		*n += fread(bytes + *n, 1, room - *n, stdin);
	}
	return bytes;
}

struct put {
	struct cli_list tags;
	uint64_t ttl_ms, soft_ttl_ms, cost_ns, jitter;
	bool keep, add, replace, negative, escaped;
};

static struct larder_tag *read_tags(const struct cli_verb *verb,
				    const struct cli_list *list)
{
	struct larder_tag *tags = cli_alloc((list->n + 1) * sizeof *tags);

	if (list->n > LARDER_TAGS_MAX)
		cli_usage(verb, "an entry has at most %d tags",
			  LARDER_TAGS_MAX);
	for (size_t i = 0; i < list->n; i++) {
		tags[i].text = list->text[i];
		tags[i].n_text = strlen(list->text[i]);
		if (tags[i].n_text < 1 || tags[i].n_text > LARDER_TAG_MAX)
			cli_usage(verb, "a tag has 1 to %d bytes",
				  LARDER_TAG_MAX);
	}
	return tags;
}

static int store(struct larder *h, const struct put *p, const char *key,
		 size_t n_key, const char *value, size_t n_value,
		 struct larder_tag *tags, uint64_t *version)
{
	const struct larder_put_options o = {
		.size_of = sizeof o,
		.ttl_ms = p->ttl_ms,
		.soft_ttl_ms = p->soft_ttl_ms,
		.jitter_percent = (uint32_t)p->jitter,
		.flags = (p->keep ? LARDER_KEEP : 0u) |
			 (p->negative ? LARDER_NEGATIVE : 0u),
		.cost_ns = p->cost_ns,
		.tags = tags,
		.n_tags = p->tags.n,
		.version = version,
	};

	return p->add	    ? larder_add(h, key, n_key, value, n_value, &o)
	       : p->replace ? larder_replace(h, key, n_key, value, n_value, &o)
			    : larder_put(h, key, n_key, value, n_value, &o);
}

int cli_put_run(const struct cli_verb *verb, int argc, char **argv)
{
	static struct put p;
	const struct cli_option options[] = {
		{"tag", "TAG", "carry this tag (repeatable)", CLI_LIST,
		 &p.tags},
		{"ttl", "TIME", "expire after this (default: the segment's)",
		 CLI_MS, &p.ttl_ms},
		{"soft-ttl", "TIME", "be stale after this", CLI_MS,
		 &p.soft_ttl_ms},
		{"jitter", "PERCENT", "shorten both by up to this at random",
		 CLI_COUNT, &p.jitter},
		{"cost", "TIME", "what computing the value took", CLI_NS,
		 &p.cost_ns},
		{"keep", NULL, "exempt from eviction, expiry, invalidation",
		 CLI_FLAG, &p.keep},
		{"negative", NULL, "the fact stored is that there is nothing",
		 CLI_FLAG, &p.negative},
		{"add", NULL, "only if there is no valid entry", CLI_FLAG,
		 &p.add},
		{"replace", NULL, "only if there is a valid entry", CLI_FLAG,
		 &p.replace},
		{"escaped", NULL, "\\xNN in KEY stands for a byte", CLI_FLAG,
		 &p.escaped},
		{0},
	};
	char **arguments = cli_parse(verb, options, argc, argv, 3, 3);
	size_t n_key = cli_key(verb, arguments[1], p.escaped), n_value;
	struct larder_tag *tags = read_tags(verb, &p.tags);
	char *value = arguments[2], *input = NULL;
	struct larder *h;
	uint64_t version = 0;
	int result;

	if (p.add && p.replace)
		cli_usage(verb, "--add and --replace exclude each other");
	if (p.jitter > 100)
		cli_usage(verb, "--jitter is 0 to 100");
	h = cli_open(verb, arguments[0]);
	if (!h)
		return CLI_FAILED;
	n_value = strlen(value);
	if (!strcmp(value, "-")) {
		value = input = read_input(larder_value_max(h), &n_value);
		if (ferror(stdin)) {
			larder_close(h);
			return cli_error("standard input cannot be read");
		}
	}
	result = store(h, &p, arguments[1], n_key, value, n_value, tags,
		       &version);
	if (result == -EMSGSIZE)
		cli_error("the value is larger than the %" PRIu64
			  " bytes that this segment takes",
			  larder_value_max(h));
	else if (result)
		cli_error("%s", larder_strerror(result));
	larder_close(h);
	free(input);
	free(tags);
	free(p.tags.text);
	if (!result && cli.json) {
		json_begin(NULL);
		json_number("version", version);
		json_number("bytes", n_value);
		json_end();
	}
	return result ? CLI_FAILED : CLI_FINE;
}
