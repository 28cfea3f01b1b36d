/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The traced child: see stepper.h. Its answer stands in memory shared with the
 * tracer, written after the operation returned.
 */
#include "crash/stepper.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile struct {
	int acked;
	int result;
} * answer; /* shared with the child */

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

void stepper_init(void)
{
	void *m = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED)
		fail("mmap");
	answer = m;
}

void child_start(struct child *c, struct larder *h, const struct scenario *sc)
{
	int status;

	answer->acked = 0;
	c->ended = false;
	c->pid = fork();
	if (c->pid < 0)
		fail("fork");
	if (c->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!sc->unattached && larder_attach_thread(h))
			_exit(3);
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		answer->result = sc->operation(h);
		answer->acked = 1;
		raise(SIGSTOP);
		_exit(0);
	}
	if (waitpid(c->pid, &status, 0) != c->pid || !WIFSTOPPED(status)) {
		fprintf(stderr, "%s: the child did not start (%x)\n", sc->name,
			(unsigned)status);
		exit(1);
	}
}

bool child_step(struct child *c)
{
	int status;

	if (c->ended || ptrace(PTRACE_SINGLESTEP, c->pid, 0, 0))
		return false;
	if (waitpid(c->pid, &status, 0) != c->pid || !WIFSTOPPED(status) ||
	    WSTOPSIG(status) != SIGTRAP || answer->acked)
		c->ended = true;
	return !c->ended;
}

bool child_finish(struct child *c)
{
	int status;

	while (!answer->acked) {
		if (ptrace(PTRACE_CONT, c->pid, 0, 0) ||
		    waitpid(c->pid, &status, 0) != c->pid ||
		    !WIFSTOPPED(status))
			return false;
		if (WSTOPSIG(status) != SIGSTOP && WSTOPSIG(status) != SIGTRAP)
			return false;
	}
	return true;
}

void child_kill(struct child *c)
{
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
}

bool child_acked(int *result)
{
	*result = answer->result;
	return answer->acked;
}
