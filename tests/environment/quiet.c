/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a read does not do, counted: by the kernel, by the allocator, and by
 * looking at each instruction as it comes.
 *
 * Invariant: once a thread is attached a get, a lease and a release make no
 * system call and no allocation, hit or miss; a hit executes no instruction
 * that locks memory or fences, but for the one fence of a fenced segment.
 */
#include "ground.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jemalloc/jemalloc.h>

enum { MIB = 1 << 20, N_CALLS = 20000, N_VALUE = 500 };

static struct larder *h;
static struct larder_put_options with_ttl = {
	.size_of = sizeof with_ttl, .ttl_ms = 3600000, .soft_ttl_ms = 1800000};

/* ------------------------------------------------------------------ */
/* What is called. Each returns what went wrong, or NULL.              */

static const char *hit(void)
{
	char value[N_VALUE];
	size_t n;

	return larder_get(h, "plain", 5, value, sizeof value, &n) == LARDER_OK
		       ? NULL
		       : "no hit";
}

static const char *hit_with_ttl(void)
{
	char value[N_VALUE];
	size_t n;

	return larder_get(h, "dated", 5, value, sizeof value, &n) == LARDER_OK
		       ? NULL
		       : "no hit";
}

/* An invalidation since it was stored: its stamp is looked up. */
static const char *hit_after_invalidation(void)
{
	larder_invalidate_tag(h, "nobody's", 8);
	return hit();
}

static const char *truncated(void)
{
	char value[10];
	size_t n;

	return larder_get(h, "plain", 5, value, sizeof value, &n) ==
			       LARDER_TRUNCATED
		       ? NULL
		       : "not truncated";
}

static const char *miss(void)
{
	return larder_get(h, "absent", 6, NULL, 0, NULL) == LARDER_MISS
		       ? NULL
		       : "no miss";
}

static const char *info(void)
{
	struct larder_info i = {.size_of = sizeof i};
	char value[N_VALUE];

	return larder_get_info(h, "dated", 5, value, sizeof value, &i) ==
			       LARDER_OK
		       ? NULL
		       : "no hit";
}

static const char *many(void)
{
	char value[4][N_VALUE];
	struct larder_get_item items[4];

	memset(items, 0, sizeof items);
	for (int i = 0; i < 4; i++) {
		items[i].key = i % 2 ? "plain" : "dated";
		items[i].n_key = 5;
		items[i].value = value[i];
		items[i].n_buffer = N_VALUE;
	}
	if (larder_get_many(h, items, 4) != LARDER_OK)
		return "a failure";
	return items[0].result == LARDER_OK && items[3].result == LARDER_OK
		       ? NULL
		       : "no hits";
}

static const char *lease(void)
{
	struct larder_view view;

	if (larder_lease(h, "plain", 5, &view) != LARDER_OK)
		return "no lease";
	larder_release(h, &view);
	return NULL;
}

static const char *remove_absent(void)
{
	return larder_remove(h, "absent", 6) == LARDER_MISS ? NULL : "removed";
}

/* What is called, and how often it pins or sets a hazard: each is a fence in a
 * fenced segment. What the shortest road cannot answer pins once more. */
static const struct {
	const char *what;
	const char *(*call)(void);
	unsigned n_fences; /* 0: it changes something, and may lock */
} calls[] = {
	{"a get that hits", hit, 1},
	{"a get that hits, with a TTL", hit_with_ttl, 2},
	{"an invalidation and a get that hits", hit_after_invalidation, 0},
	{"a get into a small buffer", truncated, 2},
	{"a get that misses", miss, 2},
	{"a get with information", info, 1},
	{"a get of many", many, 6},
	{"a lease and its release", lease, 2},
	{"a removal of nothing", remove_absent, 0},
};
enum { N_KINDS = sizeof calls / sizeof calls[0] };

static void begin(unsigned flags)
{
	struct larder_create_options o = {
		.size_of = sizeof o, .bytes = 2 * MIB, .flags = flags};
	char value[N_VALUE];

	unlink(in_folder("quiet"));
	h = segment_in("quiet", &o);
	memset(value, 'q', sizeof value);
	need(!larder_put(h, "plain", 5, value, N_VALUE, NULL) &&
		     !larder_put(h, "dated", 5, value, N_VALUE, &with_ttl),
	     "puts");
	/* What is resolved, attached or warmed once is so from here on. */
	for (unsigned i = 0; i < N_KINDS; i++)
		need(calls[i].call() == NULL, calls[i].what);
}

/* ------------------------------------------------------------------ */
/* System calls                                                        */

static int system_calls(void)
{
	begin(0);
	if (!catch_system_calls())
		return NOT_ALLOWED;
	getppid();
	claim(system_calls_caught() == 1, "a system call is caught");
	for (unsigned k = 0; k < N_KINDS; k++) {
		const char *wrong = NULL;
		int n_caught;

		for (unsigned i = 0; i < N_CALLS && !wrong; i++)
			wrong = calls[k].call();
		n_caught = system_calls_caught();
		claim(!wrong && n_caught == 0, "%s: %d system calls in %d (%s)",
		      calls[k].what, n_caught, N_CALLS,
		      wrong ? wrong : "as meant");
	}
	fflush(stdout);
	syscall(SYS_exit_group, n_failed() != 0);
	return 1;
}

/* ------------------------------------------------------------------ */
/* Allocations                                                         */

static int allocations(void)
{
	uint64_t *allocated, before;
	size_t n = sizeof allocated;
	void *something;

	begin(0);
	if (mallctl("thread.allocatedp", &allocated, &n, NULL, 0))
		return NOT_ALLOWED;
	before = *allocated;
	something = malloc(100);
	__asm__ volatile("" ::"r"(something) : "memory"); /* or it is none */
	claim(*allocated - before >= 100,
	      "an allocation is counted: %llu bytes",
	      (unsigned long long)(*allocated - before));
	free(something);
	for (unsigned k = 0; k < N_KINDS; k++) {
		const char *wrong = NULL;

		before = *allocated;
		for (unsigned i = 0; i < N_CALLS && !wrong; i++)
			wrong = calls[k].call();
		claim(!wrong && *allocated == before,
		      "%s: %llu bytes allocated in %d (%s)", calls[k].what,
		      (unsigned long long)(*allocated - before), N_CALLS,
		      wrong ? wrong : "as meant");
	}
	claim_sound(h, "after reads");
	larder_close(h);
	return 0;
}

/* ------------------------------------------------------------------ */
/* Instructions                                                        */

#ifdef __x86_64__

struct steps {
	unsigned n, n_locked, n_fences, n_system_calls;
};

/* Count the instruction whose first bytes these are. */
static void look_at(const uint8_t *at, struct steps *s)
{
	bool locked = false;

	s->n++;
	for (;; at++) {
		if (*at == 0xf0)
			locked = true;
		else if (*at != 0x66 && *at != 0xf2 && *at != 0xf3 &&
			 *at != 0x2e && *at != 0x36 && *at != 0x3e &&
			 *at != 0x26 && *at != 0x64 && *at != 0x65)
			break;
	}
	if ((*at & 0xf0) == 0x40)
		at++;
	/* xchg with memory locks without saying so */
	if ((at[0] == 0x86 || at[0] == 0x87) && at[1] < 0xc0)
		locked = true;
	s->n_locked += locked;
	if (at[0] == 0x0f && at[1] == 0xae && at[2] >= 0xe8)
		s->n_fences++; /* lfence, mfence, sfence */
	s->n_system_calls += at[0] == 0x0f && (at[1] == 0x05 || at[1] == 0x34);
}

static int stepped(int k, void *context)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		return NOT_ALLOWED;
	/* A child has a slot of its own to claim first. */
	for (int i = 0; i < 2; i++)
		if (calls[k].call())
			return 1;
	__asm__ volatile("int3" ::: "memory");
	calls[k].call();
	__asm__ volatile("int3" ::: "memory");
	return 0;
}

/* What one call of this kind executes, the caller's few included. */
static int step(unsigned k, struct steps *s)
{
	pid_t pid = spawn(stepped, (int)k, NULL);
	struct user_regs_struct registers;
	int status;

	memset(s, 0, sizeof *s);
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	if (!WIFSTOPPED(status))
		return WIFEXITED(status) && WEXITSTATUS(status) == NOT_ALLOWED
			       ? NOT_ALLOWED
			       : 1;
	for (;;) {
		long word;

		if (ptrace(PTRACE_GETREGS, pid, NULL, &registers))
			break;
		errno = 0;
		word = ptrace(PTRACE_PEEKTEXT, pid, (void *)registers.rip,
			      NULL);
		if (errno || (uint8_t)word == 0xcc)
			break;
		look_at((const uint8_t *)&word, s);
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) ||
		    waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
			return 1;
	}
	kill(pid, SIGKILL);
	reap(pid);
	return 0;
}

static int claim_steps(bool fenced)
{
	unsigned n_seen = 0;

	begin(fenced ? LARDER_CREATE_FENCED : 0);
	for (unsigned k = 0; k < N_KINDS; k++) {
		unsigned n_allowed = fenced ? calls[k].n_fences : 0;
		struct steps s;
		int bad;

		if (!calls[k].n_fences)
			continue;
		bad = step(k, &s);
		if (bad)
			return bad;
		n_seen += s.n;
		claim(s.n > 20 && s.n_system_calls == 0 &&
			      s.n_locked + s.n_fences <= n_allowed,
		      "%s: %u instructions, %u lock, %u fence, %u call the "
		      "kernel",
		      calls[k].what, s.n, s.n_locked, s.n_fences,
		      s.n_system_calls);
	}
	claim(n_seen > 1000, "%u instructions were looked at", n_seen);
	larder_close(h);
	return 0;
}

static int instructions(void)
{
	return claim_steps(false);
}

static int instructions_fenced(void)
{
	return claim_steps(true);
}

#else

static int instructions(void)
{
	return NOT_ALLOWED;
}

static int instructions_fenced(void)
{
	return NOT_ALLOWED;
}

#endif

int main(void)
{
	folder();
	stage("system calls", system_calls);
	stage("allocations", allocations);
	stage("instructions", instructions);
	stage("instructions in a fenced segment", instructions_fenced);
	return curtain();
}
