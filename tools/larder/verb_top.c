/* SPDX-License-Identifier: Apache-2.0 */
/* larder top: counters and gauges again and again, until interrupted. */
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "show.h"

static sig_atomic_t interrupted;

static void interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

int cli_top_run(const struct cli_verb *verb, int argc, char **argv)
{
	static uint64_t interval_ms = 1000, count;
	const struct cli_option options[] = {
		{"interval", "TIME", "between two looks (default 1s)", CLI_MS,
		 &interval_ms},
		{"count", "N", "end after so many (default: never)", CLI_COUNT,
		 &count},
		{0},
	};
	char **arguments = cli_parse(verb, options, argc, argv, 1, 1);
	const struct sigaction action = {.sa_handler = interrupt};
	struct larder_inspector *in;
	struct sample before, now;
	struct timespec pause;
	int status;

	in = cli_inspect(verb, arguments[0], &status);
	if (!in)
		return status;
	if (!interval_ms)
		interval_ms = 1000;
	pause.tv_sec = (time_t)(interval_ms / 1000);
	pause.tv_nsec = (long)(interval_ms % 1000) * 1000000;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sample_take(in, &before);
	for (uint64_t n = 0; !interrupted && (!count || n < count); n++) {
		if (nanosleep(&pause, NULL))
			break;
		sample_take(in, &now);
		/* A terminal is drawn over from its upper left corner. */
		if (isatty(STDOUT_FILENO) && !cli.json)
			fputs("\033[H\033[2J", stdout);
		show_stat(cli_path(verb, arguments[0]), &now, &before);
		if (fflush(stdout))
			break;
		sample_drop(&before);
		before = now;
	}
	sample_drop(&before);
	larder_inspect_close(in);
	return CLI_FINE;
}
