/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments, help, errors and segments, for all verbs: cli.h. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "guard.h"

struct cli_common cli;
static const char *running = "larder"; /* for messages */

enum { MOST_OPTIONS = 32, HELP_COLUMN = 26 };

static const struct cli_option common_options[] = {
	{"json", NULL, "print JSON", CLI_FLAG, &cli.json},
	{"bytes", NULL, "print plain numbers instead of 1.5M and 100.0k",
	 CLI_FLAG, &cli.bytes},
	{"help", NULL, "print this and end", CLI_FLAG, NULL},
	{0},
};

int cli_error(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s: ", running);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	return CLI_FAILED;
}

void cli_usage(const struct cli_verb *verb, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s: ", running);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	if (verb)
		fprintf(stderr, "\nTry 'larder %s --help'.\n", verb->name);
	else
		fprintf(stderr, "\nTry 'larder --help'.\n");
	exit(CLI_USAGE);
}

void *cli_grow(void *memory, size_t n)
{
	void *more = realloc(memory, n ? n : 1);

	if (!more) {
		cli_error("no memory");
		exit(CLI_FAILED);
	}
	return more;
}

void *cli_alloc(size_t n)
{
	void *memory = cli_grow(NULL, n);

	memset(memory, 0, n);
	return memory;
}

/* ------------------------------------------------------------------ */

void cli_help(void)
{
	printf("Usage: larder VERB [OPTION]... SEGMENT [ARGUMENT]...\n\n"
	       "Look into a larder segment, and work on it. SEGMENT is a path, "
	       "or a bare name\nthat stands for "
	       "/dev/shm/larder-v%" PRIu32 "-NAME.\n\n",
	       larder_layout_version());
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		printf("  %-12s %s\n", v->name, v->summary);
	printf("\nEach verb explains itself: larder VERB --help. Exit status: "
	       "0 fine, 1 failed,\n2 wrong usage, 3 damage found.\n");
}

static void print_option(const struct cli_option *o)
{
	char left[64];

	snprintf(left, sizeof left, "--%s%s%s", o->name, o->argument ? " " : "",
		 o->argument ? o->argument : "");
	printf("  %-*s %s\n", HELP_COLUMN, left, o->help);
}

static void verb_help(const struct cli_verb *verb,
		      const struct cli_option *options)
{
	printf("Usage: larder %s [OPTION]...%s%s\n\n%s\n\n", verb->name,
	       *verb->arguments ? " " : "", verb->arguments, verb->about);
	for (; options && options->name; options++)
		print_option(options);
	for (options = common_options; options->name; options++)
		print_option(options);
}

static void add_to_list(struct cli_list *list, const char *text)
{
	list->text = cli_grow(list->text, (list->n + 1) * sizeof *list->text);
	list->text[list->n++] = text;
}

static void set_option(const struct cli_verb *verb, const struct cli_option *o,
		       const char *text)
{
	uint64_t n;
	char *end;

	switch (o->kind) {
	case CLI_FLAG:
		*(bool *)o->to = true;
		return;
	case CLI_TEXT:
		*(const char **)o->to = text;
		return;
	case CLI_LIST:
		add_to_list(o->to, text);
		return;
	case CLI_SIZE:
		if (!format_read_size(text, o->to))
			cli_usage(verb, "--%s %s: not a size such as 64M",
				  o->name, text);
		return;
	case CLI_COUNT:
		if (!format_read_count(text, o->to))
			cli_usage(verb, "--%s %s: not a number", o->name, text);
		return;
	case CLI_MS:
	case CLI_NS:
		if (!format_read_duration(text, &n))
			cli_usage(verb,
				  "--%s %s: not a duration such as 5m or 250ms",
				  o->name, text);
		/* Zero means the default everywhere: a duration that is too
		 * short to tell is the shortest one. */
		*(uint64_t *)o->to = o->kind == CLI_NS	? n
				     : n && n < 1000000 ? 1
							: n / 1000000;
		return;
	case CLI_OCTAL:
		n = strtoul(text, &end, 8);
		if (*end || end == text || n > 07777)
			cli_usage(verb, "--%s %s: not a mode such as 0660",
				  o->name, text);
		*(uint32_t *)o->to = (uint32_t)n;
		return;
	}
}

static size_t add_options(const struct cli_option *options, struct option *all,
			  const struct cli_option **known, size_t n)
{
	for (; options && options->name && n < MOST_OPTIONS; options++, n++) {
		known[n] = options;
		all[n] = (struct option){
			.name = options->name,
			.has_arg = options->kind == CLI_FLAG
					   ? no_argument
					   : required_argument,
		};
	}
	return n;
}

char **cli_parse(const struct cli_verb *verb, const struct cli_option *options,
		 int argc, char **argv, int least, int most)
{
	struct option all[MOST_OPTIONS + 1] = {0};
	const struct cli_option *known[MOST_OPTIONS];
	static char name[64];
	int which, c;
	size_t n;

	snprintf(name, sizeof name, "larder %s", verb->name);
	running = name;
	guard_mappings(name);
	n = add_options(options, all, known, 0);
	add_options(common_options, all, known, n);
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":h", all, &which)) != -1) {
		if (c == 'h' || (c == 0 && !known[which]->to)) {
			verb_help(verb, options);
			exit(CLI_FINE);
		}
		if (c == ':')
			cli_usage(verb, "%s needs an argument",
				  argv[optind - 1]);
		if (c != 0)
			cli_usage(verb, "unknown option %s", argv[optind - 1]);
		set_option(verb, known[which], optarg);
	}
	if (argc - optind < least)
		cli_usage(verb, "missing argument: %s", verb->arguments);
	if (argc - optind > most)
		cli_usage(verb, "one argument too many: %s",
			  argv[optind + most]);
	return argv + optind;
}

/* ------------------------------------------------------------------ */

const char *cli_path(const struct cli_verb *verb, const char *segment)
{
	static char path[4096];

	if (strchr(segment, '/'))
		return segment;
	if (larder_default_path(segment, path, sizeof path))
		cli_usage(verb,
			  "'%s' is neither a path nor a name of letters, "
			  "digits, '-', '_' and '.'",
			  segment);
	return path;
}

struct larder_inspector *cli_inspect(const struct cli_verb *verb,
				     const char *segment, int *status)
{
	const char *path = cli_path(verb, segment);
	struct larder_inspector *in;
	int error = larder_inspect(path, &in);

	if (status)
		*status = CLI_FAILED;
	if (!error)
		return in;
	if (status &&
	    (error == LARDER_ERR_DAMAGED || error == LARDER_ERR_TRUNCATED ||
	     error == LARDER_ERR_UNFINISHED))
		*status = CLI_DAMAGE;
	cli_error("%s: %s", path, larder_strerror(error));
	return NULL;
}

struct larder *cli_open(const struct cli_verb *verb, const char *segment)
{
	const char *path = cli_path(verb, segment);
	struct larder *h;
	int error = larder_open(path, NULL, &h);

	if (!error) {
		error = larder_attach_thread(h);
		if (!error)
			return h;
		larder_close(h);
	}
	cli_error("%s: %s", path, larder_strerror(error));
	return NULL;
}

size_t cli_key(const struct cli_verb *verb, char *text, bool escaped)
{
	size_t n = strlen(text);

	if (escaped && !format_unescape(text, &n))
		cli_usage(verb, "'%s': only \\xNN and \\\\ are escapes", text);
	if (n < LARDER_KEY_MIN || n > LARDER_KEY_MAX)
		cli_usage(verb, "a key has 1 to %d bytes, this one %zu",
			  LARDER_KEY_MAX, n);
	return n;
}

/* ------------------------------------------------------------------ */

static const char *const policies[] = {
	[LARDER_POLICY_DEFAULT] = "default", [LARDER_POLICY_CLOCK] = "clock",
	[LARDER_POLICY_BASE] = "base",	     [LARDER_POLICY_FIN] = "fin",
	[LARDER_POLICY_COST] = "cost",
};

const char *cli_policy_name(unsigned policy)
{
	return policy < sizeof policies / sizeof policies[0] ? policies[policy]
							     : "unknown";
}

static int64_t read_group(const struct cli_verb *verb, const char *text)
{
	const struct group *g = getgrnam(text);
	uint64_t n;

	if (g)
		return g->gr_gid;
	if (!format_read_count(text, &n) || n > INT32_MAX)
		cli_usage(verb, "--group %s: there is no such group", text);
	return (int64_t)n;
}

void cli_create_options(const struct cli_verb *verb, const struct cli_create *c,
			struct larder_create_options *o)
{
	*o = (struct larder_create_options){
		.size_of = sizeof *o,
		.bytes = c->size,
		.mode = c->mode,
		.flags = LARDER_CREATE_EXCL |
			 (c->fenced ? LARDER_CREATE_FENCED : 0u),
		.group = c->group ? read_group(verb, c->group) : 0,
		.n_slots = (uint32_t)c->slots,
		.max_entries = c->max_entries,
		.entry_hint = c->entry_hint,
		.ttl_ms = c->ttl_ms,
		.pattern_ms = c->pattern_ms,
	};
	if (c->size &&
	    (c->size < LARDER_SEGMENT_MIN || c->size > LARDER_SEGMENT_MAX))
		cli_usage(verb, "a segment has 1M to 256G bytes, not %" PRIu64,
			  c->size);
	if (c->slots > LARDER_SLOTS_MAX)
		cli_usage(verb, "there are at most %d slots", LARDER_SLOTS_MAX);
	if (!c->policy)
		return;
	for (o->policy = 0; o->policy < sizeof policies / sizeof policies[0];
	     o->policy++)
		if (!strcmp(policies[o->policy], c->policy))
			return;
	cli_usage(verb, "--policy %s: there are fin, base, clock and cost",
		  c->policy);
}

uint64_t cli_counter(const uint64_t *counters, const char *name)
{
	for (size_t i = 0; i < larder_n_counters(); i++)
		if (!strcmp(larder_counter_name(i), name))
			return counters[i];
	return 0;
}

uint64_t *cli_counters(struct larder_inspector *in, int slot)
{
	uint64_t *counters = cli_alloc(larder_n_counters() * sizeof *counters);

	larder_inspect_counters(in, slot, counters, larder_n_counters());
	return counters;
}
