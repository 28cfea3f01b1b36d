/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The traced child: see stepper.h. Its answer stands in memory shared with the
 * tracer, written after the operation returned.
 */
#include "crash/stepper.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/cache.h"

static volatile struct {
	int acked;
	int result;
} * answers; /* CHILDREN of them, shared with the children */

/* An instruction `syscall`, at the same place in every child. */
static uint64_t syscall_at;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

void *shared_bytes(size_t n)
{
	void *m = mmap(NULL, n, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED)
		fail("mmap");
	return m;
}

void stepper_init(void)
{
	const unsigned char *code = (const unsigned char *)(uintptr_t)syscall;

	answers = shared_bytes(4096);
	for (int i = 0; i < 64 && !syscall_at; i++)
		if (code[i] == 0x0f && code[i + 1] == 0x05)
			syscall_at = (uint64_t)(uintptr_t)(code + i);
	if (!syscall_at) {
		fprintf(stderr, "no syscall instruction in syscall()\n");
		exit(1);
	}
}

void child_start(struct child *c, unsigned which, struct larder *h,
		 const struct scenario *sc)
{
	struct segment *s = atomic_load(&h->segment);
	int status;

	*c = (struct child){
		.which = which,
		.protection = PROT_READ | PROT_WRITE,
		.base = s->base,
		.bytes = s->bytes,
	};
	answers[which].acked = 0;
	c->pid = fork();
	if (c->pid < 0)
		fail("fork");
	if (c->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!sc->operation->unattached && larder_attach_thread(h))
			_exit(3);
		if (sc->operation->prepare)
			sc->operation->prepare(h);
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		answers[which].result = sc->operation->run(h);
		answers[which].acked = 1;
		raise(SIGSTOP);
		_exit(0);
	}
	if (waitpid(c->pid, &status, 0) != c->pid || !WIFSTOPPED(status)) {
		fprintf(stderr, "%s: the child did not start (%x)\n",
			scenario_name(sc), (unsigned)status);
		exit(1);
	}
}

/* Wait for the next stop, and say its signal; 0: the child is gone. */
static int wait_stop(struct child *c)
{
	int status;

	if (waitpid(c->pid, &status, 0) != c->pid || !WIFSTOPPED(status))
		return 0;
	return WSTOPSIG(status);
}

/* Let the child itself change what it may do with the segment. */
static void protect(struct child *c, int protection)
{
	struct user_regs_struct saved, r;

	if (c->protection == protection || c->crashed)
		return;
	if (ptrace(PTRACE_GETREGS, c->pid, 0, &saved))
		fail("PTRACE_GETREGS");
	r = saved;
	r.rip = syscall_at;
	r.rax = SYS_mprotect;
	r.orig_rax = UINT64_MAX;
	r.rdi = (uint64_t)(uintptr_t)c->base;
	r.rsi = c->bytes;
	r.rdx = (uint64_t)protection;
	if (ptrace(PTRACE_SETREGS, c->pid, 0, &r) ||
	    ptrace(PTRACE_SINGLESTEP, c->pid, 0, 0) ||
	    wait_stop(c) != SIGTRAP || ptrace(PTRACE_GETREGS, c->pid, 0, &r) ||
	    r.rax != 0 || ptrace(PTRACE_SETREGS, c->pid, 0, &saved))
		fail("mprotect in the child");
	c->protection = protection;
}

/* After a stop by SIGSEGV: at the segment, or a crash? */
static bool faulted_at_segment(struct child *c)
{
	siginfo_t info;

	if (ptrace(PTRACE_GETSIGINFO, c->pid, 0, &info))
		return false;
	c->address = (uint64_t)(uintptr_t)info.si_addr;
	return c->address - (uint64_t)(uintptr_t)c->base < c->bytes;
}

/* What a stop by @signal means; true if the child goes on from there. */
static bool stopped(struct child *c, int signal)
{
	c->at_access = false;
	if (signal == SIGTRAP && !answers[c->which].acked)
		return true;
	if (signal == SIGSEGV && faulted_at_segment(c)) {
		c->at_access = true;
		return true;
	}
	c->ended = true;
	c->crashed = signal != SIGSTOP && signal != SIGTRAP;
	return false;
}

static bool step(struct child *c)
{
	if (ptrace(PTRACE_SINGLESTEP, c->pid, 0, 0))
		fail("PTRACE_SINGLESTEP");
	return stopped(c, wait_stop(c));
}

bool child_step(struct child *c, bool *stored)
{
	*stored = false;
	if (c->ended)
		return false;
	protect(c, PROT_READ);
	if (!step(c) || !c->at_access)
		return !c->ended;
	protect(c, PROT_READ | PROT_WRITE);
	*stored = true;
	return step(c);
}

static uint64_t instruction_of(const struct child *c)
{
	struct user_regs_struct r;

	if (ptrace(PTRACE_GETREGS, c->pid, 0, &r))
		fail("PTRACE_GETREGS");
	return r.rip;
}

bool child_next_access(struct child *c)
{
	if (c->ended)
		return false;
	if (c->at_access) {
		uint64_t at = instruction_of(c);

		/* A copy by one repeated instruction is one access. */
		protect(c, PROT_READ | PROT_WRITE);
		do {
			if (!step(c))
				return false;
		} while (instruction_of(c) == at);
	}
	protect(c, PROT_NONE);
	if (ptrace(PTRACE_CONT, c->pid, 0, 0))
		fail("PTRACE_CONT");
	return stopped(c, wait_stop(c));
}

bool child_finish(struct child *c)
{
	if (c->crashed)
		return false;
	protect(c, PROT_READ | PROT_WRITE);
	while (!answers[c->which].acked) {
		int signal;

		if (ptrace(PTRACE_CONT, c->pid, 0, 0))
			return false;
		signal = wait_stop(c);
		if (signal != SIGSTOP && signal != SIGTRAP) {
			c->crashed = true;
			return false;
		}
	}
	c->at_access = false;
	return true;
}

void child_kill(struct child *c)
{
	if (c->pid <= 0)
		return;
	protect(c, PROT_READ | PROT_WRITE);
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	c->pid = 0;
}

bool child_acked(const struct child *c, int *result)
{
	*result = answers[c->which].result;
	return answers[c->which].acked;
}

/* ------------------------------------------------------------------ */
/* Moments                                                             */

enum { MOST_AREAS = 128, STATE_BYTES = 16384, RED_ZONE = 128 };

struct area {
	uint64_t at, n;
	unsigned char *bytes; /* shared memory: children have no copy */
	uint64_t room;
};

struct moment {
	struct user_regs_struct registers;
	size_t n_state;
	unsigned n_areas;
	struct area area[MOST_AREAS];
	struct child child;
	unsigned char state[STATE_BYTES]; /* of the vector registers */
};

struct moment *moment_new(void)
{
	return shared_bytes(sizeof(struct moment));
}

void moment_free(struct moment *m)
{
	for (unsigned i = 0; i < MOST_AREAS; i++)
		if (m->area[i].room)
			munmap(m->area[i].bytes, m->area[i].room);
	munmap(m, sizeof *m);
}

/* Remember the bytes from @at on. */
static void take_area(struct moment *m, const struct child *c, uint64_t at,
		      uint64_t n)
{
	struct area *a = &m->area[m->n_areas++];
	struct iovec here, there = {(void *)(uintptr_t)at, n};

	if (m->n_areas == MOST_AREAS) {
		fprintf(stderr, "the child has too many mappings\n");
		exit(1);
	}
	if (a->room < n) {
		if (a->room)
			munmap(a->bytes, a->room);
		a->bytes = shared_bytes(n);
		a->room = n;
	}
	a->at = at;
	a->n = n;
	here = (struct iovec){a->bytes, n};
	if (process_vm_readv(c->pid, &here, 1, &there, 1, 0) != (ssize_t)n)
		fail("process_vm_readv");
}

/* What the child may write and does not share; of its stack what is alive. */
void moment_take(struct moment *m, const struct child *c)
{
	struct iovec state = {m->state, sizeof m->state};
	char path[64], line[512];
	FILE *maps;

	m->child = *c;
	m->n_areas = 0;
	if (ptrace(PTRACE_GETREGS, c->pid, 0, &m->registers) ||
	    ptrace(PTRACE_GETREGSET, c->pid, NT_X86_XSTATE, &state))
		fail("registers of the child");
	m->n_state = state.iov_len;
	snprintf(path, sizeof path, "/proc/%d/maps", c->pid);
	maps = fopen(path, "re");
	if (!maps)
		fail(path);
	while (fgets(line, sizeof line, maps)) {
		unsigned long from, to, sp = m->registers.rsp - RED_ZONE;
		char mode[8];

		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 ||
		    mode[0] != 'r' || mode[1] != 'w' || mode[3] != 'p')
			continue;
		if (sp > from && sp < to)
			from = sp & ~7ul;
		take_area(m, c, from, to - from);
	}
	fclose(maps);
}

void moment_return(const struct moment *m, struct child *c)
{
	struct iovec state = {(void *)(uintptr_t)m->state, m->n_state};
	int protection = c->protection;

	answers[c->which].acked = 0;
	for (unsigned i = 0; i < m->n_areas; i++) {
		const struct area *a = &m->area[i];
		struct iovec here = {a->bytes, a->n};
		struct iovec there = {(void *)(uintptr_t)a->at, a->n};

		if (process_vm_writev(c->pid, &here, 1, &there, 1, 0) !=
		    (ssize_t)a->n)
			fail("process_vm_writev");
	}
	if (ptrace(PTRACE_SETREGS, c->pid, 0, &m->registers) ||
	    ptrace(PTRACE_SETREGSET, c->pid, NT_X86_XSTATE, &state))
		fail("registers of the child");
	*c = m->child;
	c->protection = protection;
}
