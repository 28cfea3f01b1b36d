/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options, of the command line and of a configuration file with the same names
 * (`workers = 4`). The command line wins.
 */
#include <argp.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

const char *argp_program_version = "larder-router " LARDER_VERSION;

enum {
	OPT_NO_CACHE = 1000,
	OPT_WARM,
	OPT_TOKEN,
	OPT_BODY,
	OPT_CONNECTIONS,
	OPT_DEADLINE,
	OPT_TTL,
	OPT_SOFT_TTL,
	OPT_FEEDBACK,
	OPT_HOTTEST,
	OPT_BYPASS,
	OPT_WEIGHTS,
	OPT_LOAD_WEIGHT,
	OPT_PENALTY
};

static const struct argp_option options[] = {
	{"catalog", 'c', "FILE", 0, "Models and agents (JSON)", 0},
	{"listen", 'l', "WHERE", 0,
	 "HOST:PORT or unix:PATH (default 127.0.0.1:8080)", 0},
	{"workers", 'w', "N", 0, "Processes that serve (default 4)", 0},
	{"segment", 's', "PATH", 0,
	 "Segment shared by the workers; created if absent (default: one in "
	 "/dev/shm)",
	 0},
	{"size", 'b', "BYTES", 0,
	 "Its size, with K, M or G (default 32M, at least 8M)", 0},
	{"ttl", OPT_TTL, "SECONDS", 0, "Life of a result (default 300)", 0},
	{"soft-ttl", OPT_SOFT_TTL, "SECONDS", 0,
	 "From then on a result is served as stale while one worker computes "
	 "it anew (default: never)",
	 0},
	{"weights", OPT_WEIGHTS, "R,P,C", 0,
	 "Shares of required and preferred capabilities and of context in a "
	 "match score (default 0.7,0.2,0.1)",
	 0},
	{"load-weight", OPT_LOAD_WEIGHT, "0..1", 0,
	 "How much of its score a model loses that is wholly busy, where load "
	 "balancing is asked for (default 0.3)",
	 0},
	{"balance-penalty", OPT_PENALTY, "POINTS", 0,
	 "What each earlier use of a model costs it where balanced compares "
	 "(default 5)",
	 0},
	{"feedback-weight", OPT_FEEDBACK, "0..1", 0,
	 "How much reported failures lower a model's score (default 0)", 0},
	{"no-cache", OPT_NO_CACHE, NULL, 0, "Compute everything", 0},
	{"bypass-cells", OPT_BYPASS, "N", 0,
	 "Agents times models below which greedy and balanced are computed "
	 "without a look into the cache (default 256; 0: look always)",
	 0},
	{"warm", OPT_WARM, "FILE", 0,
	 "Request bodies to compute at start, one "
	 "a line",
	 0},
	{"warm-hottest", OPT_HOTTEST, "N", 0,
	 "Compute at start what the last run on this segment was asked most "
	 "(default 0, at most 10000)",
	 0},
	{"admin-token-file", OPT_TOKEN, "FILE", 0,
	 "Bearer token that changing anything over TCP wants", 0},
	{"max-body", OPT_BODY, "BYTES", 0, "Largest request (default 4M)", 0},
	{"max-connections", OPT_CONNECTIONS, "N", 0,
	 "Connections a worker holds (default 1000)", 0},
	{"deadline", OPT_DEADLINE, "MS", 0,
	 "Time for a whole request (default 10000)", 0},
	{"config", 'C', "FILE", 0, "Read options from FILE", 0},
	{NULL, 0, NULL, 0, NULL, 0},
};

static bool parse_size(const char *text, uint64_t *n)
{
	unsigned shift = 0;
	char *end;

	errno = 0;
	*n = strtoull(text, &end, 10);
	if (errno || end == text || *text < '0' || *text > '9')
		return false;
	switch (*end) {
	case 'G':
	case 'g':
		shift += 10;
		/* fall through */
	case 'M':
	case 'm':
		shift += 10;
		/* fall through */
	case 'K':
	case 'k':
		shift += 10;
		end++;
		break;
	default:
		break;
	}
	if (*n > UINT64_MAX >> shift)
		return false;
	*n <<= shift;
	return *end == '\0';
}

/* A number from 0 to @most, and nothing behind it but @end. */
static bool parse_share(const char *text, double most, char end, double *value,
			const char **rest)
{
	char *behind;

	*value = strtod(text, &behind);
	if (behind == text || *behind != end ||
	    !(*value >= 0 && *value <= most))
		return false;
	*rest = behind + (end != '\0');
	return true;
}

/* "0.7,0.2,0.1": none below 0, together above 0 and at most 1. */
static bool parse_weights(const char *text, struct router_weights *w)
{
	double sum;

	if (!parse_share(text, 1, ',', &w->required, &text) ||
	    !parse_share(text, 1, ',', &w->preferred, &text) ||
	    !parse_share(text, 1, '\0', &w->context, &text))
		return false;
	sum = w->required + w->preferred + w->context;
	return sum > 0 && sum <= 1 + 1e-9;
}

/* One option. NULL, or what is wrong with it. */
static const char *set(struct settings *s, int key, const char *value)
{
	uint64_t n = 0;
	bool number = value && parse_size(value, &n);
	const char *end;

	switch (key) {
	case 'c':
		s->catalog = value;
		return NULL;
	case 'l':
		s->listen = value;
		return NULL;
	case 's':
		s->segment = value;
		return NULL;
	case OPT_WARM:
		s->warm = value;
		return NULL;
	case OPT_TOKEN:
		s->token_file = value;
		return NULL;
	case OPT_NO_CACHE:
		s->no_cache = true;
		return NULL;
	case 'w':
		if (!number || n < 1 || n > WORKERS_MAX)
			return "workers: 1 to 256";
		s->n_workers = (unsigned)n;
		return NULL;
	case 'b':
		if (!number || n < ROUTER_SEGMENT_MIN || n > LARDER_SEGMENT_MAX)
			return "size: at least 8M";
		s->bytes = n;
		s->bytes_given = true;
		return NULL;
	case OPT_TTL:
		if (!number || !n || n > 1000000000)
			return "ttl: seconds, at least 1";
		s->ttl_ms = n * 1000;
		return NULL;
	case OPT_SOFT_TTL:
		if (!number || !n || n > 1000000000)
			return "soft-ttl: seconds, at least 1";
		s->soft_ttl_ms = n * 1000;
		return NULL;
	case OPT_HOTTEST:
		if (!number || n > 10000)
			return "warm-hottest: 0 to 10000";
		s->warm_hottest = (unsigned)n;
		return NULL;
	case OPT_FEEDBACK:
		return parse_share(value, 1, '\0', &s->feedback_weight, &end)
			       ? NULL
			       : "feedback-weight: a number from 0 to 1";
	case OPT_WEIGHTS:
		return parse_weights(value, &s->weights)
			       ? NULL
			       : "weights: three numbers from 0 that make at "
				 "most 1, as 0.7,0.2,0.1";
	case OPT_LOAD_WEIGHT:
		return parse_share(value, 1, '\0', &s->weights.load, &end)
			       ? NULL
			       : "load-weight: a number from 0 to 1";
	case OPT_PENALTY:
		return parse_share(value, 100, '\0',
				   &s->weights.balance_penalty, &end)
			       ? NULL
			       : "balance-penalty: a number from 0 to 100";
	case OPT_BYPASS:
		if (!number || n > 10000000)
			return "bypass-cells: 0 to 10000000";
		s->bypass_cells = n ? (uint32_t)n : ROUTER_BYPASS_NOTHING;
		return NULL;
	case OPT_BODY:
		if (!number || n < 1024 || n > (UINT64_C(1) << 30))
			return "max-body: 1K to 1G";
		s->max_body = n;
		return NULL;
	case OPT_CONNECTIONS:
		if (!number || !n || n > 100000)
			return "max-connections: 1 to 100000";
		s->max_connections = (unsigned)n;
		return NULL;
	case OPT_DEADLINE:
		if (!number || n < 10 || n > 3600000)
			return "deadline: 10 to 3600000 ms";
		s->deadline_ms = (unsigned)n;
		return NULL;
	default:
		return "unknown option";
	}
}

static error_t parse(int key, char *value, struct argp_state *state)
{
	struct settings *s = state->input;
	const char *wrong;

	switch (key) {
	case 'C':
		s->config = value;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "nothing but options is wanted: \"%s\"",
			   value);
		return 0;
	case ARGP_KEY_INIT:
	case ARGP_KEY_END:
	case ARGP_KEY_NO_ARGS:
	case ARGP_KEY_FINI:
	case ARGP_KEY_SUCCESS:
	case ARGP_KEY_ERROR:
	case ARGP_KEY_ARGS:
		return ARGP_ERR_UNKNOWN;
	default:
		wrong = set(s, key, value);
		if (wrong && strcmp(wrong, "unknown option"))
			argp_error(state, "%s (got \"%s\")", wrong, value);
		return wrong ? ARGP_ERR_UNKNOWN : 0;
	}
}

static int from_file(void *user, const char *section, const char *name,
		     const char *value)
{
	struct settings *s = user;
	const char *wrong = "unknown option";
	char *kept = strdup(value);

	for (const struct argp_option *o = options; o->name && kept; o++)
		if (!strcmp(o->name, name) && o->key != 'C') {
			if (o->key == OPT_NO_CACHE && strcmp(kept, "true"))
				wrong = strcmp(kept, "false")
						? "no-cache: true or false"
						: NULL;
			else
				wrong = set(s, o->key, kept);
		}
	if (*section)
		wrong = "sections have no meaning here";
	if (wrong)
		fprintf(stderr, "larder-router: %s: %s = %s: %s\n", s->config,
			name, value, wrong);
	return wrong == NULL;
}

static void read_token(struct settings *s)
{
	FILE *f = fopen(s->token_file, "re");
	size_t n = f ? fread(s->token, 1, sizeof s->token - 1, f) : 0;

	if (f)
		fclose(f);
	while (n && strchr("\r\n \t", s->token[n - 1]))
		n--;
	s->token[n] = '\0';
	if (n < 8 || n == sizeof s->token - 1) {
		fprintf(stderr,
			"larder-router: %s: no token of 8 to %zu bytes\n",
			s->token_file, sizeof s->token - 2);
		exit(2);
	}
}

void settings_read(struct settings *s, int argc, char **argv)
{
	static const struct argp argp = {
		options,
		parse,
		NULL,
		"Assigns models to agents, in several processes that share "
		"their answers.\v"
		"Try: larder-router --catalog catalog.json, then\n"
		"  curl http://127.0.0.1:8080/healthz\n"
		"  curl -d '{\"strategy\":\"optimal\"}' \\\n"
		"    http://127.0.0.1:8080/api/v1/model-router/auto-assign-all"
		"\n\n"
		"SIGTERM drains and ends, SIGHUP loads the catalog again. Exit "
		"status: 0 fine, 1 failed, 2 usage.",
		NULL,
		NULL,
		NULL};
	struct settings first;

	memset(s, 0, sizeof *s);
	s->listen = "127.0.0.1:8080";
	s->n_workers = 4;
	s->weights = router_default_weights;
	s->bytes = LARDER_SEGMENT_DEFAULT;
	s->max_body = 4u << 20;
	s->max_connections = 1000;
	s->deadline_ms = 10000;
	first = *s;
	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &first);
	if (first.config) {
		s->config = first.config;
		if (ini_parse(s->config, from_file, s)) {
			fprintf(stderr,
				"larder-router: %s: cannot be read as "
				"options\n",
				s->config);
			exit(2);
		}
	}
	argp_parse(&argp, argc, argv, 0, NULL, s);
	if (s->soft_ttl_ms &&
	    s->soft_ttl_ms >= (s->ttl_ms ? s->ttl_ms : 300000)) {
		fprintf(stderr, "larder-router: soft-ttl must be below ttl: "
				"what has expired is not served\n");
		exit(2);
	}
	if (s->token_file)
		read_token(s);
}
