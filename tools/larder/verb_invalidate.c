/* SPDX-License-Identifier: Apache-2.0 */
/* larder invalidate: a key, a tag, a pattern or everything; or what would go.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "format.h"
#include "json.h"

struct invalidation {
	const char *key, *tag, *match, *in;
	bool all, dry_run, escaped;
};

/* One of the four, as larder_inspect_preview() names them. */
static char kind_of(const struct cli_verb *verb, const struct invalidation *i,
		    const char **text)
{
	if ((i->key != NULL) + (i->tag != NULL) + (i->match != NULL) + i->all !=
	    1)
		cli_usage(verb, "give one of --key, --tag, --match and --all");
	*text = i->key ? i->key : i->tag ? i->tag : i->match ? i->match : "";
	return i->key ? 'k' : i->tag ? 't' : i->match ? 'm' : 'a';
}

static enum larder_match match_of(const struct cli_verb *verb,
				  const struct invalidation *i)
{
	if (i->in && !i->match)
		cli_usage(verb, "--in goes with --match");
	if (!i->in || !strcmp(i->in, "either"))
		return LARDER_MATCH_EITHER;
	if (!strcmp(i->in, "keys"))
		return LARDER_MATCH_KEYS;
	if (!strcmp(i->in, "tags"))
		return LARDER_MATCH_TAGS;
	cli_usage(verb, "--in %s: there are keys, tags and either", i->in);
}

static int preview(const struct cli_verb *verb, const char *segment, char kind,
		   const char *text, size_t n, enum larder_match match)
{
	uint64_t n_entries = 0, n_bytes = 0;
	struct larder_inspector *in;
	char size[TEXT_BYTES];
	int error, status;

	in = cli_inspect(verb, segment, &status);
	if (!in)
		return status;
	error = larder_inspect_preview(in, kind, text, n, match, &n_entries,
				       &n_bytes);
	larder_inspect_close(in);
	if (error)
		return cli_error("%s", larder_strerror(error));
	if (cli.json) {
		json_begin(NULL);
		json_bool("dry_run", true);
		json_number("entries", n_entries);
		json_number("bytes", n_bytes);
		json_end();
	} else {
		printf("%" PRIu64 " entries of %s would become invalid\n",
		       n_entries, format_size(size, n_bytes, cli.bytes));
	}
	return CLI_FINE;
}

static int invalidate(struct larder *h, char kind, const char *text, size_t n,
		      enum larder_match match)
{
	switch (kind) {
	case 'k':
		return larder_invalidate_key(h, text, n);
	case 't':
		return larder_invalidate_tag(h, text, n);
	case 'm':
		return larder_invalidate_match(h, text, n, match);
	default:
		return larder_invalidate_all(h);
	}
}

int cli_invalidate_run(const struct cli_verb *verb, int argc, char **argv)
{
	static struct invalidation i;
	const struct cli_option options[] = {
		{"key", "KEY", "this key", CLI_TEXT, &i.key},
		{"tag", "TAG", "what carries this tag", CLI_TEXT, &i.tag},
		{"match", "GLOB",
		 "keys or tags that match: * ? [a-z] [!a-z] \\", CLI_TEXT,
		 &i.match},
		{"in", "WHAT",
		 "--match looks at keys, tags or either (default)", CLI_TEXT,
		 &i.in},
		{"all", NULL, "everything", CLI_FLAG, &i.all},
		{"dry-run", NULL, "only count what would go", CLI_FLAG,
		 &i.dry_run},
		{"escaped", NULL, "\\xNN in KEY stands for a byte", CLI_FLAG,
		 &i.escaped},
		{0},
	};
	char **arguments = cli_parse(verb, options, argc, argv, 1, 1);
	enum larder_match match = match_of(verb, &i);
	struct larder *h;
	const char *text;
	char kind = kind_of(verb, &i, &text), copy[4 * LARDER_KEY_MAX + 1];
	size_t n = strlen(text);
	int error;

	if (kind == 'k') {
		if (n >= sizeof copy)
			cli_usage(verb, "the key is too long");
		memcpy(copy, text, n + 1);
		n = cli_key(verb, copy, i.escaped);
		text = copy;
	}
	if (kind == 't' && (n < 1 || n > LARDER_TAG_MAX))
		cli_usage(verb, "a tag has 1 to %d bytes", LARDER_TAG_MAX);
	if (kind == 'm' && (n < 1 || n > LARDER_PATTERN_MAX ||
			    larder_glob(text, n, "", 0) < 0))
		cli_usage(verb,
			  "--match %s: a pattern has 1 to %d bytes, and "
			  "its classes and escapes end",
			  text, LARDER_PATTERN_MAX);
	if (i.dry_run)
		return preview(verb, arguments[0], kind, text, n, match);
	h = cli_open(verb, arguments[0]);
	if (!h)
		return CLI_FAILED;
	error = invalidate(h, kind, text, n, match);
	larder_close(h);
	if (error)
		return cli_error("%s", larder_strerror(error));
	if (cli.json) {
		json_begin(NULL);
		json_bool("dry_run", false);
		json_bool("invalidated", true);
		json_end();
	}
	return CLI_FINE;
}
