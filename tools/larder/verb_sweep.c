/* SPDX-License-Identifier: Apache-2.0 */
/* larder sweep: the housekeeping, a whole round of it, once or for ever. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "cli.h"
#include "json.h"

static sig_atomic_t interrupted;

static void interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

static int rounds(struct larder *h, uint32_t n_pages, uint64_t n_rounds,
		  uint64_t every_ms)
{
	const struct timespec pause = {
		.tv_sec = (time_t)(every_ms / 1000),
		.tv_nsec = (long)(every_ms % 1000) * 1000000,
	};
	int result = 0;

	for (uint64_t i = 0; !interrupted && (!n_rounds || i < n_rounds); i++) {
		if (i && every_ms && nanosleep(&pause, NULL))
			break;
		result = larder_maintain(h, n_pages);
		if (result < 0 || (result == LARDER_WAIT && !every_ms))
			break;
	}
	return result;
}

int cli_sweep_run(const struct cli_verb *verb, int argc, char **argv)
{
	static uint64_t n_rounds, every_ms;
	const struct cli_option options[] = {
		{"rounds", "N",
		 "sweep so often (default 1; with --every: for ever)",
		 CLI_COUNT, &n_rounds},
		{"every", "TIME", "pause between two rounds", CLI_MS,
		 &every_ms},
		{0},
	};
	char **arguments = cli_parse(verb, options, argc, argv, 1, 1);
	const struct sigaction action = {.sa_handler = interrupt};
	static const char *const names[] = {"expirations", "swept_invalid",
					    "workers_recovered", "orphans"};
	struct larder_segment_info info = {.size_of = sizeof info};
	struct larder_inspector *in;
	struct larder *h;
	uint64_t before[4], after[4], counters[128];
	int result, status;

	in = cli_inspect(verb, arguments[0], &status);
	if (!in)
		return status;
	larder_inspect_info(in, &info);
	larder_inspect_close(in);
	h = cli_open(verb, arguments[0]);
	if (!h)
		return CLI_FAILED;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	larder_counters(h, counters, 128);
	for (int i = 0; i < 4; i++)
		before[i] = cli_counter(counters, names[i]);
	result = rounds(h, info.n_pages, n_rounds || every_ms ? n_rounds : 1,
			every_ms);
	larder_counters(h, counters, 128);
	for (int i = 0; i < 4; i++)
		after[i] = cli_counter(counters, names[i]) - before[i];
	larder_close(h);
	if (result)
		return cli_error("%s: %s", cli_path(verb, arguments[0]),
				 result == LARDER_WAIT
					 ? "another process sweeps it now"
					 : larder_strerror(result));
	if (cli.json) {
		json_begin(NULL);
		for (int i = 0; i < 4; i++)
			json_number(names[i], after[i]);
		json_end();
	} else {
		printf("%" PRIu64 " expired and %" PRIu64 " invalid entries "
		       "taken away, %" PRIu64 " dead workers recovered, "
		       "%" PRIu64 " of their entries finished\n",
		       after[0], after[1], after[2], after[3]);
	}
	return CLI_FINE;
}
