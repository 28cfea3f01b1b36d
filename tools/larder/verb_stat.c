/* SPDX-License-Identifier: Apache-2.0 */
/* larder stat: counters and gauges, once. */
#include <time.h>

#include "cli.h"
#include "show.h"

int cli_stat_run(const struct cli_verb *verb, int argc, char **argv)
{
	static uint64_t interval_ms;
	const struct cli_option options[] = {
		{"interval", "TIME",
		 "look twice, so far apart, and print rates", CLI_MS,
		 &interval_ms},
		{0},
	};
	char **arguments = cli_parse(verb, options, argc, argv, 1, 1);
	struct larder_inspector *in;
	struct sample before, now;
	int status;

	in = cli_inspect(verb, arguments[0], &status);
	if (!in)
		return status;
	if (interval_ms) {
		const struct timespec pause = {
			.tv_sec = (time_t)(interval_ms / 1000),
			.tv_nsec = (long)(interval_ms % 1000) * 1000000,
		};

		sample_take(in, &before);
		nanosleep(&pause, NULL);
	}
	sample_take(in, &now);
	show_stat(cli_path(verb, arguments[0]), &now,
		  interval_ms ? &before : NULL);
	if (interval_ms)
		sample_drop(&before);
	sample_drop(&now);
	larder_inspect_close(in);
	return CLI_FINE;
}
