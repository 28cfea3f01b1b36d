/* SPDX-License-Identifier: Apache-2.0 */
/*
 * larder-bench: the subcommands, by name.
 */
#include <stdio.h>
#include <string.h>

#include <larder/larder.h>

#include "bench.h"
#include "commands.h"
#include "times.h"

static const struct subcommand {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *about;
} subcommands[] = {
	{"compare", bench_compare,
	 "systems side by side, interleaved, on the same work"},
	{"latency", bench_latency,
	 "times of a get beside a writer, the sweeper, a killer"},
	{"scale", bench_scale, "throughput of 1 to N processes"},
	{"overhead", bench_overhead,
	 "bytes per entry, by value size, for the same data"},
	{"freshness", bench_freshness,
	 "what tags and invalidations cost; a dead leader's successor"},
#ifdef BENCH_ROUTER
	{"router", bench_router,
	 "larder-router over HTTP, closed loop and open loop"},
	{"assign", bench_assign, "scoring and the strategies, by size"},
#endif
#ifdef BENCH_TRACE
	{"trace", bench_trace,
	 "miss ratios of recorded requests, beside other policies"},
	{"bytes", bench_bytes,
	 "misses with mixed sizes, beside memcached with the same bytes"},
	{"costs", bench_costs,
	 "computing time saved where results cost differently"},
#endif
	{"diff", bench_diff, "what changed between two reports in JSON"},
};

enum { N_SUBCOMMANDS = sizeof subcommands / sizeof subcommands[0] };

static void usage(void)
{
	fputs("Usage: larder-bench SUBCOMMAND [OPTION...]\n\n"
	      "Measures Larder beside other caches and beside the floor that "
	      "the memory sets.\n\n",
	      stdout);
	for (unsigned i = 0; i < N_SUBCOMMANDS; i++)
		printf("  %-9s %s\n", subcommands[i].name,
		       subcommands[i].about);
	fputs("\nlarder-bench SUBCOMMAND --help tells its options; "
	      "bench/README.md what the\nfigures mean. For a first look:\n\n"
	      "  larder-bench compare --systems larder,floor,lmdb --seconds "
	      "1\n",
	      stdout);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		bench_complain("which subcommand? Try --help.");
		return BENCH_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		usage();
		return BENCH_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("larder-bench %s\n", larder_version());
		return BENCH_OK;
	}
	bench_catch_signals();
	bench_timer_calibrate();
	for (unsigned i = 0; i < N_SUBCOMMANDS; i++)
		if (!strcmp(argv[1], subcommands[i].name))
			return subcommands[i].run(argc - 1, argv + 1);
	bench_complain("no subcommand '%s'. Try --help.", argv[1]);
	return BENCH_USAGE;
}
