/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing and checking what was asked for.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workload.h"

enum option_id {
	OPTION_SYSTEMS = 256,
	OPTION_KEYS,
	OPTION_KEY_SIZE,
	OPTION_VALUE_SIZE,
	OPTION_POPULARITY,
	OPTION_MIX,
	OPTION_PROCESSES,
	OPTION_THREADS,
	OPTION_BATCH,
	OPTION_PIPELINE,
	OPTION_HUGE,
	OPTION_WORK,
	OPTION_SECONDS,
	OPTION_SAMPLE,
	OPTION_REPEATS,
	OPTION_SEED,
	OPTION_JSON,
	OPTION_CSV,
	OPTION_PLOT,
	OPTION_HELP,
};

static const struct option long_options[] = {
	{"systems", required_argument, NULL, OPTION_SYSTEMS},
	{"keys", required_argument, NULL, OPTION_KEYS},
	{"key-size", required_argument, NULL, OPTION_KEY_SIZE},
	{"value-size", required_argument, NULL, OPTION_VALUE_SIZE},
	{"popularity", required_argument, NULL, OPTION_POPULARITY},
	{"mix", required_argument, NULL, OPTION_MIX},
	{"processes", required_argument, NULL, OPTION_PROCESSES},
	{"threads", required_argument, NULL, OPTION_THREADS},
	{"batch", required_argument, NULL, OPTION_BATCH},
	{"pipeline", required_argument, NULL, OPTION_PIPELINE},
	{"huge", no_argument, NULL, OPTION_HUGE},
	{"work", required_argument, NULL, OPTION_WORK},
	{"seconds", required_argument, NULL, OPTION_SECONDS},
	{"sample-seconds", required_argument, NULL, OPTION_SAMPLE},
	{"repeats", required_argument, NULL, OPTION_REPEATS},
	{"seed", required_argument, NULL, OPTION_SEED},
	{"json", no_argument, NULL, OPTION_JSON},
	{"csv", no_argument, NULL, OPTION_CSV},
	{"plot", required_argument, NULL, OPTION_PLOT},
	{"help", no_argument, NULL, OPTION_HELP},
	{NULL, 0, NULL, 0},
};

static void usage(const struct bench_command *command)
{
	printf("Usage: larder-bench %s %s\n\n%s\n", command->name,
	       command->usage, command->about);
	fputs("\nWork\n"
	      "  --systems A,B,...   which systems; default: all there are\n"
	      "  --keys N            distinct keys (1000000, 1m, 64k)\n"
	      "  --key-size BYTES    8 to 1024\n"
	      "  --value-size SIZE   bytes; lognormal:MEDIAN:SIGMA[:MAX]; or a "
	      "JSON file\n"
	      "                      of valSizeRange and "
	      "valSizeRangeProbability\n"
	      "  --popularity P      uniform; zipf:THETA; or a file: one of "
	      "'trace', or one\n                      key a line\n"
	      "  --mix GET:PUT       parts of gets and puts\n"
	      "  --processes N       processes, --threads N threads in each\n"
	      "  --batch N           keys a call; 1: one at a time\n"
	      "  --pipeline N        requests in flight, of the pipelined "
	      "systems\n"
	      "  --huge              on huge pages where the kernel gives "
	      "them\n"
	      "  --work N            instructions of other work before each "
	      "call\n"
	      "  --seed N            another seed, other streams\n"
	      "Measuring\n"
	      "  --seconds S         counted, a system and repeat\n"
	      "  --sample-seconds S  then sampled for times; default: half of "
	      "it\n"
	      "  --repeats N         interleaved; medians are reported\n"
	      "Output\n"
	      "  --json | --csv      instead of a table\n"
	      "  --plot FILE.svg     also a plot (needs gnuplot)\n",
	      stdout);
	printf("Defaults: %s\n\nSystems:\n", command->defaults);
	for (const struct peer *const *p = bench_peers; *p; p++)
		printf("  %-20s %s\n", (*p)->name, (*p)->about);
	fputs("\nExit status: 0 fine, 1 failed (a wrong value is a failure), "
	      "2 wrong usage.\n",
	      stdout);
}

bool bench_count_parse(const char *what, const char *text, uint64_t least,
		       uint64_t most, uint64_t *count)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (*end == 'k' || *end == 'm') {
		unsigned long long unit = *end == 'k' ? 1000 : 1000000;

		n = n > UINT64_MAX / unit ? UINT64_MAX : n * unit;
		end++;
	}
	if (errno || end == text || *end || text[0] == '-' || n < least ||
	    n > most) {
		bench_complain("%s: '%s' is no number from %llu to %llu", what,
			       text, (unsigned long long)least,
			       (unsigned long long)most);
		return false;
	}
	*count = n;
	return true;
}

static bool unsigned_parse(const char *what, const char *text, unsigned least,
			   unsigned most, unsigned *number)
{
	uint64_t n;

	if (!bench_count_parse(what, text, least, most, &n))
		return false;
	*number = (unsigned)n;
	return true;
}

static bool seconds_parse(const char *what, const char *text, double *seconds)
{
	char *end;

	*seconds = strtod(text, &end);
	if (end == text || *end || !(*seconds >= 0.001) || *seconds > 86400) {
		bench_complain("%s: '%s' is no number of seconds from 0.001 to "
			       "86400",
			       what, text);
		return false;
	}
	return true;
}

static bool mix_parse(const char *text, struct bench_plan *plan)
{
	char end;

	if (sscanf(text, "%u:%u%c", &plan->get_parts, &plan->put_parts, &end) !=
		    2 ||
	    plan->get_parts > 1000000 || plan->put_parts > 1000000 ||
	    plan->get_parts + plan->put_parts == 0) {
		bench_complain("--mix: '%s' is not GET:PUT, like 95:5", text);
		return false;
	}
	return true;
}

static bool program_there(const char *program)
{
	const char *path = getenv("PATH");
	char file[512];

	while (path && *path) {
		size_t n = strcspn(path, ":");
		int size = snprintf(file, sizeof file, "%.*s/%s", (int)n, path,
				    program);

		if (size > 0 && (size_t)size < sizeof file &&
		    !access(file, X_OK))
			return true;
		path += n + (path[n] == ':');
	}
	return false;
}

static bool systems_parse(const char *text, struct bench_options *o)
{
	char name[64];

	o->n_systems = 0;
	o->systems_chosen = strcmp(text, "all") != 0;
	if (!o->systems_chosen) {
		for (const struct peer *const *p = bench_peers; *p; p++) {
			if (!(*p)->program || program_there((*p)->program))
				o->systems[o->n_systems++] = *p;
			else
				bench_complain("%s is left out: no %s here",
					       (*p)->name, (*p)->program);
		}
		return true;
	}
	while (*text) {
		size_t n = strcspn(text, ",");
		const struct peer *peer = NULL;

		if (n < sizeof name) {
			memcpy(name, text, n);
			name[n] = '\0';
			peer = bench_peer_find(name);
		}
		if (!peer) {
			bench_complain("--systems: no system '%.*s' in this "
				       "build (--help lists them)",
				       (int)n, text);
			return false;
		}
		if (o->n_systems == BENCH_SYSTEMS_MAX) {
			bench_complain("--systems: %d at most",
				       BENCH_SYSTEMS_MAX);
			return false;
		}
		o->systems[o->n_systems++] = peer;
		text += n + (text[n] == ',');
	}
	if (!o->n_systems)
		bench_complain("--systems: none named");
	return o->n_systems > 0;
}

static bool option_take(struct bench_options *o, int id, const char *text)
{
	struct bench_plan *plan = &o->plan;

	switch (id) {
	case OPTION_SYSTEMS:
		return systems_parse(text, o);
	case OPTION_KEYS:
		return bench_count_parse("--keys", text, 1, BENCH_KEYS_MAX,
					 &plan->n_keys);
	case OPTION_KEY_SIZE:
		return unsigned_parse("--key-size", text, BENCH_KEY_MIN,
				      BENCH_KEY_MAX, &plan->key_size);
	case OPTION_VALUE_SIZE:
		plan->value_size = text;
		return bench_sizes_parse(text, &plan->sizes);
	case OPTION_POPULARITY:
		return bench_popularity_parse(text, plan);
	case OPTION_MIX:
		return mix_parse(text, plan);
	case OPTION_PROCESSES:
		return unsigned_parse("--processes", text, 1, BENCH_WORKERS_MAX,
				      &plan->processes);
	case OPTION_THREADS:
		return unsigned_parse("--threads", text, 1, BENCH_WORKERS_MAX,
				      &plan->threads);
	case OPTION_BATCH:
		return unsigned_parse("--batch", text, 1, BENCH_BATCH_MAX,
				      &plan->batch);
	case OPTION_PIPELINE:
		return unsigned_parse("--pipeline", text, 2, BENCH_BATCH_MAX,
				      &plan->pipeline);
	case OPTION_HUGE:
		plan->huge = true;
		return true;
	case OPTION_WORK:
		return unsigned_parse("--work", text, 0, 1000000, &plan->work);
	case OPTION_SECONDS:
		return seconds_parse("--seconds", text, &plan->seconds);
	case OPTION_SAMPLE:
		return seconds_parse("--sample-seconds", text,
				     &plan->sample_seconds);
	case OPTION_REPEATS:
		return unsigned_parse("--repeats", text, 1, BENCH_REPEATS_MAX,
				      &plan->repeats);
	case OPTION_SEED:
		return bench_count_parse("--seed", text, 0, UINT64_MAX,
					 &plan->seed);
	case OPTION_JSON:
		o->json = true;
		return true;
	case OPTION_CSV:
		o->csv = true;
		return true;
	case OPTION_PLOT:
		o->plot = text;
		return true;
	default:
		return false;
	}
}

/* The defaults are options like the user's; their texts live as long as the
 * program. */
static bool defaults_take(const struct bench_command *command,
			  struct bench_options *o)
{
	char *text = strdup(command->defaults), *save = NULL;

	if (!text)
		abort();
	for (char *name = strtok_r(text, " ", &save); name;
	     name = strtok_r(NULL, " ", &save)) {
		const struct option *known = long_options;

		while (known->name && strcmp(known->name, name + 2))
			known++;
		if (!known->name ||
		    !option_take(o, known->val,
				 known->has_arg ? strtok_r(NULL, " ", &save)
						: NULL))
			return false;
	}
	return true;
}

static bool plan_check(struct bench_plan *plan)
{
	if (plan->processes * plan->threads > BENCH_WORKERS_MAX) {
		bench_complain("%u processes of %u threads: %d workers at most",
			       plan->processes, plan->threads,
			       BENCH_WORKERS_MAX);
		return false;
	}
	if (plan->sample_seconds <= 0)
		plan->sample_seconds = plan->seconds / 2;
	return true;
}

int bench_options_parse(const struct bench_command *command, int argc,
			char **argv, struct bench_options *o, int *status)
{
	int id;

	memset(o, 0, sizeof *o);
	o->plan.threads = 1;
	o->plan.pipeline = 16;
	o->plan.batch = 1;
	o->plan.seed = 1;
	*status = BENCH_USAGE;
	if (!defaults_take(command, o))
		return 1;
	optind = 0;
	while ((id = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
		if (id == 'h' || id == OPTION_HELP) {
			usage(command);
			*status = BENCH_OK;
			return 1;
		}
		if (id == '?' || !option_take(o, id, optarg)) {
			fprintf(stderr, "Try 'larder-bench %s --help'.\n",
				command->name);
			return 1;
		}
	}
	o->operands = argv + optind;
	o->n_operands = argc - optind;
	if (o->n_operands > command->max_operands) {
		bench_complain("%s: unexpected '%s'", command->name,
			       o->operands[command->max_operands]);
		return 1;
	}
	if (!plan_check(&o->plan))
		return 1;
	if (!o->n_systems && !systems_parse("all", o))
		return 1;
	*status = BENCH_OK;
	return 0;
}
