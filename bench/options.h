/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line, common to the subcommands that run systems.
 */
#ifndef LARDER_BENCH_OPTIONS_H
#define LARDER_BENCH_OPTIONS_H

#include "bench.h"
#include "peer.h"

struct bench_options {
	struct bench_plan plan;
	const struct peer *systems[BENCH_SYSTEMS_MAX];
	unsigned n_systems;
	bool systems_chosen; /* by name, rather than all there are */
	bool json, csv;
	const char *plot; /* a file, or NULL */
	char **operands;
	int n_operands;
};

/* What a subcommand is called, says of itself, and defaults to. */
struct bench_command {
	const char *name;
	const char *usage;    /* after the name */
	const char *about;    /* sentences for --help */
	const char *defaults; /* space-separated options, before the user's */
	int max_operands;
};

/* 0: go on; otherwise leave with *status. */
int bench_options_parse(const struct bench_command *command, int argc,
			char **argv, struct bench_options *options,
			int *status);

/* "1,000,000" or "1m", "64k": a count; false: complained. */
bool bench_count_parse(const char *what, const char *text, uint64_t least,
		       uint64_t most, uint64_t *count);

#endif
