/* SPDX-License-Identifier: Apache-2.0 */
/* See common.h. Every program has an alarm: a hang is a failure, not a wait. */
#include "common.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int failed;

void claim(bool held, const char *format, ...)
{
	va_list arguments;

	printf("%s ", held ? "ok  " : "FAIL");
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	fflush(stdout);
	failed += !held;
}

int n_failed(void)
{
	return failed;
}

void need(bool held, const char *what)
{
	if (held)
		return;
	fprintf(stderr, "cannot go on: %s (%s)\n", what, strerror(errno));
	exit(1);
}

void *shared(size_t n)
{
	void *memory = mmap(NULL, n, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	need(memory != MAP_FAILED, "shared memory");
	return memory;
}

struct larder *segment(const struct larder_create_options *options)
{
	struct larder *h;
	int fd;

	need(larder_create_fd(options, &fd) == 0, "larder_create_fd");
	need(larder_open_fd(fd, NULL, &h) == 0, "larder_open_fd");
	close(fd);
	return h;
}

pid_t spawn(child *run, int i, void *context)
{
	pid_t parent = getpid(), pid;

	fflush(stdout);
	pid = fork();
	need(pid >= 0, "fork");
	if (pid == 0) {
		/* Nothing of ours outlives the program. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		alarm(300);
		failed = 0;
		int result = run(i, context);

		fflush(stdout);
		_exit(result);
	}
	return pid;
}

int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		need(errno == EINTR, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void sleep_ms(unsigned ms)
{
	struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

void await(_Atomic uint32_t *word, uint32_t value)
{
	while (atomic_load(word) < value)
		sleep_ms(1);
}

uint64_t counter(struct larder *h, const char *name)
{
	uint64_t counters[64];
	const char *found;

	need(larder_counters(h, counters, 64) == 0, "larder_counters");
	for (size_t i = 0; (found = larder_counter_name(i)) != NULL; i++)
		if (!strcmp(found, name))
			return counters[i];
	need(false, name);
	return 0;
}
