/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Death and standstill at every instruction, of every operation from every
 * starting state that matters to it.
 *
 *   crash death           at every instruction where the shared memory differs
 *                         from the one before: copy it, the child dead in the
 *                         copy, recover, look, and do everything else once
 *   crash kill N          a real SIGKILL at N sampled accesses of each
 *   crash stall STRIDE    stop the child before every STRIDE-th access to
 *                         shared memory, run each script to its end, let the
 *                         child go on, look
 *   crash pairs STRIDE    the same with two children that stand still in turn
 *   crash create          creation, stopped and killed at each entry to the
 *                         kernel
 *   crash mutants         every seeded mistake of lib/base/mutant.h must fail
 *
 * A scenario, and for stall a script, may follow. Asserts the sentences of
 * stage.h. Exit 0 if they hold.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crash/stage.h"
#include "crash/stepper.h"

/* Sampled more sparsely, nothing rare is sure to be met. */
enum { MOST_STRIDE = 200 };

static void hung(int signal)
{
	static const char text[] = "HUNG    ";

	(void)signal;
	if (write(STDOUT_FILENO, text, sizeof text - 1) < 0 ||
	    write(STDOUT_FILENO, doing, strlen(doing)) < 0 ||
	    write(STDOUT_FILENO, "\n", 1) < 0)
		_exit(4);
	_exit(3);
}

static int usage(void)
{
	fprintf(stderr, "usage: crash death|kill N|stall STRIDE|pairs STRIDE|"
			"create|mutants [SCENARIO [SCRIPT]]\n");
	return 2;
}

static void one(const char *mode, unsigned n, const struct scenario *sc,
		const char *script)
{
	total.scenarios++;
	if (!strcmp(mode, "death"))
		try_death(sc);
	else if (!strcmp(mode, "kill"))
		try_kills(sc, n ? n : 10);
	else
		try_stalls(sc, n ? n : 1, script);
}

unsigned long try_named(const char *mode, unsigned n, const char *only,
			const char *script)
{
	unsigned long before = total.scenarios, stalls = total.stalls;

	if (!strcmp(mode, "pairs"))
		try_pairs(only, n ? n : 1);
	for (unsigned i = 0; strcmp(mode, "pairs") && i < n_operations; i++)
		for (unsigned k = 0; k < n_states; k++) {
			struct scenario sc = {&operations[i], &states[k]};

			if (!(operations[i].states & BIT(k)) ||
			    (only && strcmp(only, scenario_name(&sc))))
				continue;
			one(mode, n, &sc, script);
		}
	if (total.scenarios == before ||
	    (!strcmp(mode, "stall") && total.stalls == stalls))
		failure(only ? only : mode, mode, 0, "there is none of it");
	return total.failures;
}

/* A row of tests/README.md. */
static void print_total(int argc, char **argv)
{
	printf("| run | scenarios | instructions | accesses | distinct states "
	       "| deaths | standstills | of two | expulsions | pages retyped | "
	       "kept back, at most | failures |\n| `crash");
	for (int i = 1; i < argc; i++)
		printf(" %s", argv[i]);
	printf("` | %lu | %lu | %lu | %lu | %lu | %lu | %lu | %lu | %lu | %lu "
	       "| %lu |\n",
	       total.scenarios, total.instructions, total.accesses,
	       total.states, total.deaths, total.stalls, total.pairs,
	       total.expulsions, total.moves, total.most_kept, total.failures);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "death";
	bool counted = !strcmp(mode, "kill") || !strcmp(mode, "stall") ||
		       !strcmp(mode, "pairs");
	int rest = counted && argc > 2 ? 3 : 2;
	unsigned n =
		counted && argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
	const char *only = argc > rest ? argv[rest] : NULL;
	const char *script = argc > rest + 1 ? argv[rest + 1] : NULL;

	stepper_init();
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGALRM, hung);
	if (!strcmp(mode, "mutants"))
		return try_mutants(only);
	if (!strcmp(mode, "create"))
		try_creation();
	else if (counted || !strcmp(mode, "death"))
		try_named(mode, n, only, script);
	else
		return usage();
	if (!strcmp(mode, "stall") && !only && n < MOST_STRIDE &&
	    (!total.expulsions || !total.moves))
		failure("all", mode, 0,
			"nobody was expelled, or no page moved");
	print_total(argc, argv);
	return total.failures != 0;
}
