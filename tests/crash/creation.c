/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creation, stopped and killed at each entry to the kernel and each return from
 * it. Nobody shares what is being created until it has a name, so what others
 * may see changes there and nowhere else. Whatever the creator does or does not
 * do any more, another process opens or creates the segment, and who was first
 * stays.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/cache.h"
#include "crash/stage.h"

static char directory[] = "/tmp/larder-crash-XXXXXX", path[64];

static const struct larder_create_options small = {
	.size_of = sizeof small, .bytes = SEGMENT_BYTES, .n_slots = N_SLOTS};

static int create(void)
{
	int result = larder_create(path, &small);

	return result == LARDER_EXISTS ? 0 : result;
}

static int open_or_create(struct larder **h)
{
	const struct larder_open_options o = {.size_of = sizeof o,
					      .flags = LARDER_OPEN_CREATE,
					      .create = &small};

	return larder_open(path, &o, h);
}

static int open_and_put(void)
{
	struct larder *h;
	int result = open_or_create(&h);

	return result ? result : larder_put(h, "child", 5, "c", 1, NULL);
}

static const struct {
	const char *name;
	int (*run)(void);
} ways[] = {{"create", create}, {"open, creating", open_and_put}};

/* A creator that is stopped at its @at-th entry or return; false: it was over
 * before. */
static bool start(int (*run)(void), unsigned long at, pid_t *pid)
{
	int status;

	*pid = fork();
	if (*pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(run() ? 1 : 0);
	}
	if (*pid < 0 || waitpid(*pid, &status, 0) < 0 || !WIFSTOPPED(status))
		must(-ECHILD);
	while (at--)
		if (ptrace(PTRACE_SYSCALL, *pid, 0, 0) ||
		    waitpid(*pid, &status, 0) < 0 || !WIFSTOPPED(status))
			return false;
	return true;
}

/* NULL if nothing lies beside the segment, and the segment itself is whole. */
static const char *only_a_segment(bool *there)
{
	DIR *d = opendir(directory);
	struct dirent *e;
	const char *what = NULL;

	*there = false;
	if (!d)
		return "the directory is gone";
	while ((e = readdir(d))) {
		if (!strcmp(e->d_name, "segment"))
			*there = true;
		else if (e->d_name[0] != '.')
			what = "something was left beside the segment";
		else if (!strncmp(e->d_name, ".larder-", 8))
			what = "a temporary file was left";
	}
	closedir(d);
	return what;
}

/* Another one opens or creates it and works there. */
static const char *another_works(void)
{
	struct larder *h;
	const char *what = NULL;
	char value[8];

	if (open_or_create(&h))
		return "another one can neither open nor create it";
	if (larder_put(h, "other", 5, "o", 1, NULL) ||
	    larder_get(h, "other", 5, value, sizeof value, NULL))
		what = "another one cannot work there";
	larder_close(h);
	return what;
}

static const char *others_entry_stays(void)
{
	struct larder *h;
	char value[8];
	int result;

	if (larder_open(path, NULL, &h))
		return "the segment does not open";
	result = larder_get(h, "other", 5, value, sizeof value, NULL);
	larder_close(h);
	return result ? "the creator that came late replaced the segment"
		      : NULL;
}

static const char *look_at(pid_t pid, bool killed, bool *there)
{
	const char *what;
	int status;
	bool now;

	if (killed) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	what = only_a_segment(there);
	if (!what)
		what = another_works();
	if (!what && !killed) {
		if (ptrace(PTRACE_DETACH, pid, 0, 0) ||
		    waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) ||
		    WEXITSTATUS(status))
			what = "the creator did not come through";
		else
			what = others_entry_stays();
	}
	return what ? what : only_a_segment(&now);
}

void try_creation(void)
{
	if (!mkdtemp(directory))
		must(-errno);
	snprintf(path, sizeof path, "%s/segment", directory);
	for (unsigned way = 0; way < sizeof ways / sizeof ways[0]; way++) {
		unsigned long at = 0, n_seen = 0, n_there = 0;
		bool more = true;

		for (; more; at++) {
			for (int killed = 0; killed < 2 && more; killed++) {
				const char *what;
				bool there = false;
				pid_t pid;

				more = start(ways[way].run, at, &pid);
				if (!more) {
					unlink(path);
					break;
				}
				snprintf(doing, sizeof doing, "%s; at %lu",
					 ways[way].name, at);
				alarm(60);
				what = look_at(pid, killed, &there);
				alarm(0);
				if (what)
					failure(ways[way].name,
						killed ? "death" : "stall", at,
						what);
				n_there += killed && there;
				n_seen++;
				*(killed ? &total.deaths : &total.stalls) += 1;
				unlink(path);
			}
		}
		printf("%-58s %7lu entries and returns, at %lu the segment "
		       "was there\n",
		       ways[way].name, at - 1, n_there);
		total.scenarios++;
		/* With a name and without: two states at least, or nothing was
		 * seen. */
		total.states += n_there && n_there < at ? 2 : 1;
		if (!n_there || n_there >= at || !n_seen)
			failure(ways[way].name, "death", at,
				"its naming was not met");
	}
	if (rmdir(directory))
		failure("create", "end", 0, "something was left");
}
