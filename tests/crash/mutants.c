/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mistakes on purpose: each of lib/base/mutant.h must make the run that is
 * named for it fail, and that run must pass without it. A mistake that is not
 * named here is not caught, and fails the test.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mutant.h"
#include "crash/stage.h"

#ifndef LARDER_MUTANT_CHOSEN
int try_mutants(const char *only)
{
	(void)only;
	fprintf(stderr,
		"this program has no mistakes built in: crash-mutants\n");
	return 2;
}
#else

int larder_mutant;

/* A run as crash's arguments name it; the script is stall's. */
#define CAUGHT(name, mode, scenario, script)                                   \
	[LARDER_MUTANT_##name] = {#name, mode, scenario, script}
static const struct {
	const char *name, *mode, *scenario, *script;
} caught_by[N_LARDER_MUTANTS] = {
	CAUGHT(PLAIN_INSERT, "stall", "put, absent", "neighbours"),
	CAUGHT(HELP_NO_RECHECK, "stall", "add, announced by a dead one",
	       "remove"),
	CAUGHT(UNLINK_NO_HELP, "pairs", "remove | put | sweep, absent", NULL),
	CAUGHT(SLOT_NO_VERSION, "stall", "add, announced by a dead one",
	       "remove"),
	CAUGHT(LIVE_BEFORE_FILL, "death", "put, absent", NULL),
	CAUGHT(NO_RETIRE, "death", "put, present", NULL),
	CAUGHT(RETIRE_FREE, "stall", "get, present", "free patiently"),
	CAUGHT(NO_SELF_CHECK, "stall", "get, present", "expel and reuse"),
	CAUGHT(NO_HAZARD, "stall", "lease and release, present",
	       "expel and reuse"),
	CAUGHT(NO_WRITER_CHECK, "stall", "put, present", "replace and reuse"),
	CAUGHT(RECOVER_FORGETS, "death",
	       "recover dead slots, dead with an entry in hand", NULL),
	CAUGHT(PUT_IN_PLACE, "death", "put, present", NULL),
	CAUGHT(DRAW_FIRST, "stall", "invalidate a key, present", "hit"),
	CAUGHT(RETURN_UNDRAWN, "stall", "invalidate a key, present", "restamp"),
	CAUGHT(PUT_NO_STAMP_CHECK, "stall", "refresh's late put, present",
	       "invalidate the tag"),
	CAUGHT(HIT_NO_STAMP_CHECK, "death", "invalidate a key, present", NULL),
	CAUGHT(RETYPE_EAGER, "stall", "put, present", "mimic"),
	CAUGHT(RUN_LEAK, "death", "free a run, a run", NULL),
	CAUGHT(ORPHAN_RETIRED, "death", "put, absent", NULL),
	CAUGHT(FREE_HELD, "stall", "lease and release, present",
	       "expel and reuse"),
	CAUGHT(GRACE_ONE, "stall", "get, present", "free patiently"),
	CAUGHT(HAZARD_UNCHECKED, "stall", "lease and release, present",
	       "replace and reuse"),
	CAUGHT(MEND_LIVING, "stall", "move a page, present", "sweep"),
	CAUGHT(RECOVERER_COUNTS, "stall",
	       "maintain, page claimed by a dead one", "sweep"),
	CAUGHT(PAGE_OPEN_FIRST, "death", "claim a page, present", NULL),
	CAUGHT(RUN_OPEN_FIRST, "death", "put a run, absent", NULL),
	CAUGHT(CLAIM_UNCLEAN, "death", "claim a slot, leased by a dead one",
	       NULL),
	CAUGHT(LEADER_TRUSTED, "death",
	       "fill after a dead leader, led by a dead one", NULL),
	CAUGHT(SUCCESSOR_STAMP, "stall", "touch, absent", "compute anew"),
	CAUGHT(RESTAMP_LATE, "stall", "get, stamp lags", "invalidate"),
	CAUGHT(STORM_LATE, "stall", "get in a storm, tagged", "invalidate"),
	CAUGHT(STORM_NO_HAZARD, "stall", "get in a storm, tagged", "bequeath"),
	CAUGHT(FLOOR_LATE, "death",
	       "invalidate another key, invalid, its set full", NULL),
	CAUGHT(FLOOR_FIRST, "stall", "get, invalid, its set full",
	       "invalidate beside"),
	CAUGHT(MOVE_BLIND, "stall", "move what is kept, kept", "put"),
};

/* The run that catches mutant @i, with it or without. 0: it passed. */
static int run(int i, bool with, int out)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		dup2(out, STDOUT_FILENO);
		dup2(out, STDERR_FILENO);
		larder_mutant = with ? i : LARDER_MUTANT_NONE;
		stop_at_first = true;
		_exit(try_named(caught_by[i].mode, 1, caught_by[i].scenario,
				caught_by[i].script)
			      ? 1
			      : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* The line that says what was seen, of what a run printed. */
static void print_what_was_seen(int out)
{
	char text[4096], *line, *end;
	ssize_t n = pread(out, text, sizeof text - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	line = strstr(text, "FAILED  ");
	if (!line)
		line = strstr(text, "HUNG    ");
	if (!line)
		line = text;
	end = strchr(line, '\n');
	if (end)
		*end = '\0';
	printf("    %s\n", *line ? line : "it crashed");
}

int try_mutants(const char *only)
{
	unsigned n_seeded = 0, n_caught = 0;

	for (int i = LARDER_MUTANT_NONE + 1; i < N_LARDER_MUTANTS; i++) {
		int out = memfd_create("out", 0), without, with;

		if (only &&
		    (!caught_by[i].name || strcmp(only, caught_by[i].name)))
			continue;
		n_seeded++;
		if (!caught_by[i].name) {
			printf("NOT CAUGHT  number %d is named nowhere\n", i);
			continue;
		}
		without = run(i, false, out);
		if (without || ftruncate(out, 0) || lseek(out, 0, SEEK_SET)) {
			printf("NOT CAUGHT  %s: without it the run fails too\n",
			       caught_by[i].name);
			print_what_was_seen(out);
			close(out);
			continue;
		}
		with = run(i, true, out);
		n_caught += with != 0;
		printf("%-10s  %-20s crash %s \"%s\"%s%s\n",
		       with ? "caught" : "NOT CAUGHT", caught_by[i].name,
		       caught_by[i].mode, caught_by[i].scenario,
		       caught_by[i].script ? ", " : "",
		       caught_by[i].script ? caught_by[i].script : "");
		if (with)
			print_what_was_seen(out);
		close(out);
	}
	printf("%u mistakes seeded, %u caught\n", n_seeded, n_caught);
	return n_seeded != n_caught;
}
#endif
