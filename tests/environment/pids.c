/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process numbers that mean another process than one would think: the same
 * number in two pid namespaces, and a number that was given away again.
 *
 * Invariant: a worker that lives is never taken for dead, whatever namespace it
 * has its number in; one that is dead never passes for alive because somebody
 * else has its number now.
 */
#include "ground.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <larder/admin.h>

enum { MIB = 1 << 20 };

static char path[128];

static struct larder *fresh(unsigned n_slots)
{
	struct larder_create_options o = {
		.size_of = sizeof o, .bytes = MIB, .n_slots = n_slots};

	unlink(path);
	return segment_in("pids", &o);
}

/* Like the program's own: /proc tells of the namespace it was mounted in. */
static bool own_proc(void)
{
	return mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV, NULL) == 0;
}

/* spawn(), for the first process of a namespace: its parent has no number in
 * there. Whatever else is in the namespace ends with it. */
static pid_t spawn_first(child *run, int i, void *context)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	need(pid >= 0, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(60);
		int result = run(i, context);

		fflush(stdout);
		_exit(result);
	}
	return pid;
}

/* ------------------------------------------------------------------ */
/* The same number twice                                               */

struct meeting {
	_Atomic uint32_t n_attached, may_meet, n_met, may_end;
	_Atomic pid_t pid[2];
};

/* Number 1 of a namespace of its own. */
static int first_of_its_kind(int i, void *context)
{
	struct meeting *m = context;
	char mine[32], other[32], value[32];
	struct larder *h;
	size_t n;

	if (!own_proc())
		return NOT_ALLOWED;
	atomic_store(&m->pid[i], getpid());
	need(larder_open(path, NULL, &h) == 0, "larder_open");
	snprintf(mine, sizeof mine, "of namespace %d", i);
	snprintf(other, sizeof other, "of namespace %d", !i);
	need(larder_put(h, mine, strlen(mine), "hello", 5, NULL) == 0, "put");
	atomic_fetch_add(&m->n_attached, 1);
	await(&m->may_meet, 1);
	claim(larder_get(h, other, strlen(other), value, sizeof value, &n) ==
			      LARDER_OK &&
		      n == 5,
	      "namespace %d finds what the other put", i);
	atomic_fetch_add(&m->n_met, 1);
	await(&m->may_end, 1);
	claim_works(h, mine, 500);
	larder_close(h);
	return n_failed() != 0;
}

/* In between: a namespace is entered by one's children only. */
static int gate(int i, void *context)
{
	if (!own_namespaces(CLONE_NEWPID))
		return NOT_ALLOWED;
	return reap(spawn_first(first_of_its_kind, i, context));
}

static int same_number(void)
{
	struct meeting *m = shared(sizeof *m);
	pid_t gates[2], victim;
	struct larder *h = fresh(2);
	char children[96];
	int bad = 0, error;
	FILE *f;

	for (int i = 0; i < 2; i++)
		gates[i] = spawn(gate, i, m);
	while (atomic_load(&m->n_attached) < 2) {
		for (int i = 0; i < 2; i++)
			if (waitpid(gates[i], &bad, WNOHANG) > 0)
				return WIFEXITED(bad) && WEXITSTATUS(bad) ==
								 NOT_ALLOWED
					       ? NOT_ALLOWED
					       : 1;
		sleep_ms(1);
	}
	claim(m->pid[0] == 1 && m->pid[1] == 1,
	      "two workers are process 1, each in a namespace of its own");
	error = larder_attach_thread(h);
	claim(error == LARDER_ERR_SLOTS_FULL,
	      "a third is refused, both are alive: '%s'",
	      larder_strerror(error));
	atomic_store(&m->may_meet, 1);
	await(&m->n_met, 2);

	snprintf(children, sizeof children, "/proc/%d/task/%d/children",
		 (int)gates[1], (int)gates[1]);
	f = fopen(children, "re");
	if (!f || fscanf(f, "%d", &victim) != 1)
		return NOT_ALLOWED;
	fclose(f);
	kill(victim, SIGKILL);
	claim(reap(gates[1]) != 0, "one of them is killed");
	error = larder_attach_thread(h);
	claim(error == 0, "its slot is had from another namespace: '%s'",
	      larder_strerror(error));
	claim_works(h, "of the parent", 500);
	atomic_store(&m->may_end, 1);
	bad = reap(gates[0]);
	claim_sound(h, "after workers of two namespaces");
	larder_close(h);
	unlink(path);
	return bad;
}

/* ------------------------------------------------------------------ */
/* A number that was given away again                                  */

enum { REUSED = 4321 };

/* A child with this very number: the kernel gives it to who may ask. */
static pid_t fork_as(pid_t number)
{
	struct clone_args arguments = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&number,
		.set_tid_size = 1,
	};

	fflush(stdout);
	return (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
}

/* exec gives the raw child of above a C library that knows its thread. */
static pid_t exec_as(pid_t number, const char *self, const char *role)
{
	pid_t pid = fork_as(number);

	if (pid == 0) {
		execl(self, self, role, path, (char *)NULL);
		_exit(126);
	}
	return pid;
}

/* Roles of the program under a number of the test's choice. */

/* Attaches, hides its mapping from the kernel, and ends. */
static int hides(void)
{
	struct larder *h;
	unsigned long from, to;
	char line[512];
	FILE *f;

	need(larder_open(path, NULL, &h) == 0, "larder_open");
	need(larder_put(h, "of the dead", 11, "x", 1, NULL) == 0, "put");
	f = fopen("/proc/self/maps", "re");
	need(f != NULL, "/proc/self/maps");
	while (fgets(line, sizeof line, f))
		if (strstr(line, path) &&
		    sscanf(line, "%lx-%lx", &from, &to) == 2)
			munmap((void *)from, to - from);
	_exit(0);
}

/* Attaches itself, under the dead one's number. */
static int succeeds(void)
{
	struct larder *h;

	need(larder_open(path, NULL, &h) == 0, "larder_open");
	claim_works(h, "of its successor", 100);
	larder_close(h);
	return n_failed() != 0;
}

/* Attaches and stays. */
static int stays(void)
{
	struct larder *h;

	need(larder_open(path, NULL, &h) == 0, "larder_open");
	need(larder_attach_thread(h) == 0, "attaching");
	pause();
	return 0;
}

static char self[256];

static unsigned n_state(uint32_t state)
{
	struct larder_inspector *inspector;
	struct larder_worker_info w = {.size_of = sizeof w};
	unsigned n = 0;

	need(larder_inspect(path, &inspector) == 0, "looking");
	for (uint32_t i = 0; larder_inspect_worker(inspector, i, &w) == 0; i++)
		n += w.state == state;
	larder_inspect_close(inspector);
	return n;
}

static int reuse_a_number(int i, void *context)
{
	struct larder *h = fresh(1);
	size_t n;
	pid_t pid;
	int error;

	if (!own_proc())
		return NOT_ALLOWED;
	pid = exec_as(REUSED, self, "hides");
	if (pid != REUSED)
		return NOT_ALLOWED;
	claim(reap(pid) == 0, "process %d attaches and dies unseen", pid);
	claim(n_state(LARDER_WORKER_DEAD) == 1,
	      "nobody has its number, so it is dead");

	/* Start times are told in ticks of 10 ms. */
	sleep_ms(30);
	pid = exec_as(REUSED, "/bin/sleep", "60");
	claim(pid == REUSED, "another program is process %d now", pid);
	claim(n_state(LARDER_WORKER_DEAD) == 1,
	      "that does not bring the dead one back to life");
	error = larder_attach_thread(h);
	claim(error == 0, "its slot, the only one, is had: '%s'",
	      larder_strerror(error));
	claim(larder_get(h, "of the dead", 11, NULL, 0, &n) ==
			      LARDER_TRUNCATED &&
		      n == 1,
	      "what the dead one had stored is there");
	kill(pid, SIGKILL);
	reap(pid);
	larder_detach_thread(h);

	pid = exec_as(REUSED, self, "hides");
	claim(reap(pid) == 0, "process %d attaches and dies unseen", pid);
	sleep_ms(30);
	pid = exec_as(REUSED, self, "succeeds");
	claim(reap(pid) == 0, "a worker with the dead one's number gets its "
			      "slot");

	pid = exec_as(REUSED, self, "stays");
	for (int k = 0; k < 2000 && n_state(LARDER_WORKER_LIVE) != 1; k++)
		sleep_ms(5);
	error = larder_attach_thread(h);
	claim(error == LARDER_ERR_SLOTS_FULL,
	      "from one that lives its slot is not had: '%s'",
	      larder_strerror(error));
	kill(pid, SIGKILL);
	claim(reap(pid) == -SIGKILL && larder_attach_thread(h) == 0,
	      "once it is killed, it is");
	claim_sound(h, "after numbers were given away again");
	larder_close(h);
	return n_failed() != 0;
}

static int reused(void)
{
	if (!own_namespaces(CLONE_NEWPID))
		return NOT_ALLOWED;
	return reap(spawn_first(reuse_a_number, 0, NULL));
}

/* ------------------------------------------------------------------ */
/* A /proc of another namespace                                        */

struct twins {
	_Atomic uint32_t attached, gone;
	_Atomic pid_t number; /* of one in the namespace of /proc */
};

static int sleeper(int i, void *context)
{
	pause();
	return 0;
}

/* The first of a namespace whose /proc tells of another one. A worker in here
 * has the number of somebody out there, who ends. */
static int sees_others(int i, void *context)
{
	struct twins *t = context;
	struct larder_usage u = {.size_of = sizeof u};
	struct larder *h;
	pid_t pid = exec_as(t->number, self, "stays");

	if (pid != t->number)
		return NOT_ALLOWED;
	need(larder_open(path, NULL, &h) == 0, "larder_open");
	while (larder_usage(h, &u) == 0 && u.n_workers != 1)
		sleep_ms(1);
	atomic_store(&t->attached, 1);
	await(&t->gone, 1);
	larder_maintain(h, 0);
	larder_maintain(h, 0);
	claim(counter(h, "workers_recovered") == 0,
	      "a worker is not taken for dead when its namesake in /proc ends");
	claim(n_state(LARDER_WORKER_LIVE) == 2, "nor by who only looks");
	kill(pid, SIGKILL);
	claim(reap(pid) == -SIGKILL, "it was there all the time");
	larder_maintain(h, 0);
	claim(counter(h, "workers_recovered") == 1,
	      "and is missed once it is killed");
	larder_close(h);
	return n_failed() != 0;
}

static int gate_to_others(int i, void *context)
{
	if (!own_namespaces(CLONE_NEWPID))
		return NOT_ALLOWED;
	return reap(spawn_first(sees_others, i, context));
}

static int namesakes(void)
{
	struct twins *t = shared(sizeof *t);
	pid_t there, gate;
	int bad = 0;

	larder_close(fresh(8));
	there = spawn(sleeper, 0, NULL);
	atomic_store(&t->number, there);
	gate = spawn(gate_to_others, 0, t);
	while (!atomic_load(&t->attached)) {
		if (waitpid(gate, &bad, WNOHANG) > 0) {
			kill(there, SIGKILL);
			reap(there);
			return WIFEXITED(bad) ? WEXITSTATUS(bad) : 1;
		}
		sleep_ms(1);
	}
	kill(there, SIGKILL);
	reap(there);
	atomic_store(&t->gone, 1);
	bad = reap(gate);
	unlink(path);
	return bad;
}

int main(int argc, char **argv)
{
	ssize_t n;

	if (argc == 3) {
		alarm(60);
		snprintf(path, sizeof path, "%s", argv[2]);
		return !strcmp(argv[1], "hides")      ? hides()
		       : !strcmp(argv[1], "succeeds") ? succeeds()
						      : stays();
	}
	n = readlink("/proc/self/exe", self, sizeof self - 1);
	need(n > 0, "/proc/self/exe");
	self[n] = '\0';
	snprintf(path, sizeof path, "%s", in_folder("pids"));
	stage("the same number in two namespaces", same_number);
	stage("a number that is given away again", reused);
	stage("a namesake in another's /proc", namesakes);
	return curtain();
}
