/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork, vfork and exec around an attached process.
 *
 * Invariant: a child never acts as its parent: it has a slot of its own or
 * none, takes nothing of its parent's away, whether it works, never calls the
 * library, execs, ends in order or is killed; and an exec ends an attachment
 * even though the process lives on.
 */
#include "ground.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <larder/admin.h>

enum { MIB = 1 << 20, THREADS = 4, FORKS = 40, N_VALUE = 2000 };

static struct larder *h;
static _Atomic int over;

static void begin(void)
{
	struct larder_create_options o = {
		.size_of = sizeof o, .bytes = 2 * MIB, .n_slots = 64};

	unlink(in_folder("forks"));
	h = segment_in("forks", &o);
	claim_works(h, "key", N_VALUE);
}

static int end(const char *when)
{
	claim_sound(h, when);
	larder_close(h);
	unlink(in_folder("forks"));
	return 0;
}

/* How many slots this process holds, and leases on all slots. */
static unsigned slots_of(pid_t pid, unsigned *n_leases)
{
	struct larder_inspector *inspector;
	struct larder_worker_info w = {.size_of = sizeof w};
	unsigned n = 0;

	*n_leases = 0;
	need(larder_inspect(larder_path(h), &inspector) == 0, "looking");
	for (uint32_t i = 0; larder_inspect_worker(inspector, i, &w) == 0;
	     i++) {
		if (w.state != LARDER_WORKER_LIVE)
			continue;
		n += w.pid == (uint32_t)pid;
		*n_leases += w.n_leases;
	}
	larder_inspect_close(inspector);
	return n;
}

/* Each value is its key's number over and over. 0, or what is wrong. */
static const char *work(unsigned seed, unsigned n_rounds)
{
	unsigned value[N_VALUE / 4], back[N_VALUE / 4];
	struct larder_view view;
	char key[32];
	size_t n;

	for (unsigned i = 0; i < n_rounds && !atomic_load(&over); i++) {
		unsigned k = (unsigned)rand_r(&seed) % 1500;
		int result;

		snprintf(key, sizeof key, "work %u", k);
		for (unsigned j = 0; j < N_VALUE / 4; j++)
			value[j] = k;
		if (i % 3 == 0 && larder_put(h, key, strlen(key), value,
					     sizeof value, NULL) < 0)
			return "a put failed";
		result = larder_get(h, key, strlen(key), back, sizeof back, &n);
		if (result < 0)
			return larder_strerror(result);
		if (result == LARDER_OK)
			for (unsigned j = 0; j < N_VALUE / 4; j++)
				if (back[j] != k || n != sizeof back)
					return "a value of another key";
		if (larder_lease(h, key, strlen(key), &view) == LARDER_OK) {
			if (*(const unsigned *)view.value != k)
				return "a lease of another key";
			larder_release(h, &view);
		}
	}
	return NULL;
}

static void *worker(void *seed)
{
	return (void *)(uintptr_t)work((unsigned)(uintptr_t)seed, UINT_MAX);
}

static void start(pthread_t *thread)
{
	atomic_store(&over, 0);
	for (int i = 0; i < THREADS; i++)
		need(!pthread_create(&thread[i], NULL, worker,
				     (void *)(uintptr_t)(i + 1)),
		     "a thread");
}

static void stop(pthread_t *thread)
{
	void *wrong;

	atomic_store(&over, 1);
	for (int i = 0; i < THREADS; i++) {
		need(!pthread_join(thread[i], &wrong), "joining");
		claim(!wrong, "a thread of the parent: %s",
		      wrong ? (char *)wrong : "nothing wrong");
	}
	atomic_store(&over, 0);
}

/* ------------------------------------------------------------------ */

/* What a child of a busy parent does: 0 to work and return, 1 to work and be
 * killed, 2 nothing, 3 to open and close handles of its own. */
static int child_of_many(int i, void *parent_slot)
{
	struct larder *own;
	const char *wrong = NULL;

	switch (i % 4) {
	case 0:
	case 1:
		if (larder_worker_slot(h) == *(int *)parent_slot)
			return 2;
		wrong = work((unsigned)i, 300);
		if (wrong)
			printf("     child %d: %s\n", i, wrong);
		if (i % 4 == 1)
			raise(SIGKILL);
		break;
	case 3:
		if (larder_open(in_folder("forks"), NULL, &own))
			return 3;
		larder_put(own, "of a child", 10, "!", 1, NULL);
		larder_close(own);
		break;
	default:
		break;
	}
	return wrong ? 1 : 0;
}

static int with_threads(void)
{
	pthread_t thread[THREADS];
	unsigned n_well = 0, n_killed = 0, n_leases;
	int own;

	begin();
	own = larder_worker_slot(h);
	start(thread);
	for (int i = 0; i < FORKS; i++) {
		int status = reap(spawn(child_of_many, i, &own));

		n_well += status == 0;
		n_killed += status == -SIGKILL;
	}
	stop(thread);
	claim(n_well == FORKS * 3 / 4 && n_killed == FORKS / 4,
	      "of %d children of a parent with %d busy threads %u did well "
	      "and %u were killed as planned",
	      FORKS, THREADS, n_well, n_killed);
	claim(slots_of(getpid(), &n_leases) == 1 && n_leases == 0,
	      "the parent has its one slot, and nobody a lease");
	return end("after forks of a busy parent");
}

/* ------------------------------------------------------------------ */

/* The parent's lease is not the child's to end, even by its own view. */
static int child_of_leaser(int i, void *context)
{
	struct larder_view *view = context;

	if (i == 0)
		return 0; /* never calls the library */
	if (i == 1)
		exit(0); /* nor does it, but its destructors run */
	larder_release(h, view);
	return work(9, 3000) != NULL;
}

static int leased_by_the_parent(void)
{
	struct larder_view view;
	unsigned n_leases;
	char want[N_VALUE];

	begin();
	need(larder_lease(h, "key", 3, &view) == LARDER_OK, "a lease");
	memcpy(want, view.value, N_VALUE);
	for (int i = 0; i < 3; i++) {
		int status = reap(spawn(child_of_leaser, i, &view));

		claim(status == 0 && slots_of(getpid(), &n_leases) == 1 &&
			      n_leases == 1,
		      "%s: the parent keeps its slot and its lease",
		      i == 0   ? "a child that never called the library"
		      : i == 1 ? "one that never did, and ended by exit()"
			       : "one that released its parent's view");
	}
	larder_remove(h, "key", 3);
	claim(!work(11, 4000), "memory is reused meanwhile");
	claim(!memcmp(want, view.value, N_VALUE), "but not what is leased");
	larder_release(h, &view);
	return end("after children of a lease holder");
}

/* Lease anew, then let go of a view that was taken in an earlier attachment:
 * what is leased now has to stay as it is. */
static bool keeps_what_it_leases(struct larder_view *before)
{
	struct larder_view view;
	char want[N_VALUE];
	bool same;

	claim_works(h, "leased anew", N_VALUE);
	need(larder_lease(h, "leased anew", 11, &view) == LARDER_OK, "a lease");
	memcpy(want, view.value, N_VALUE);
	larder_release(h, before);
	larder_remove(h, "leased anew", 11);
	need(!work(12, 8000), "memory is reused meanwhile");
	same = !memcmp(want, view.value, N_VALUE);
	larder_release(h, &view);
	return same;
}

static int child_with_a_view(int i, void *view)
{
	(void)i;
	return !keeps_what_it_leases(view);
}

static int views_of_before(void)
{
	struct larder_view view;

	begin();
	need(larder_lease(h, "key", 3, &view) == LARDER_OK, "a lease");
	claim(reap(spawn(child_with_a_view, 0, &view)) == 0,
	      "a child that releases its parent's view keeps its own leases");
	larder_detach_thread(h);
	claim(keeps_what_it_leases(&view),
	      "so does a thread that releases a view of before it detached");
	return end("after views of before");
}

/* ------------------------------------------------------------------ */

struct orphan {
	_Atomic uint32_t ready, may_end;
	_Atomic pid_t pid;
};

/* Attaches, has a child that never calls the library, and is killed. */
static int doomed_parent(int i, void *context)
{
	struct orphan *o = context;
	struct larder_view view;
	pid_t pid;

	need(larder_lease(h, "key", 3, &view) == LARDER_OK, "a lease");
	pid = fork();
	need(pid >= 0, "fork");
	if (pid == 0) {
		alarm(30);
		atomic_store(&o->ready, 1);
		await(&o->may_end, 1);
		_exit(0);
	}
	atomic_store(&o->pid, pid);
	for (;;)
		pause();
}

static int silent_child_of_the_dead(void)
{
	struct orphan *o = shared(sizeof *o);
	uint64_t recovered;
	unsigned n_leases;
	pid_t pid;

	begin();
	pid = spawn(doomed_parent, 0, o);
	await(&o->ready, 1);
	recovered = counter(h, "workers_recovered");
	kill(pid, SIGKILL);
	need(reap(pid) == -SIGKILL, "killing");
	larder_maintain(h, 0);
	claim(counter(h, "workers_recovered") == recovered + 1 &&
		      slots_of(pid, &n_leases) == 0 && n_leases == 0,
	      "a killed worker is recovered though its silent child lives, "
	      "with the mapping");
	atomic_store(&o->may_end, 1);
	return end("after a silent child");
}

/* ------------------------------------------------------------------ */

extern char **environ;

static int exec_true(bool by_vfork)
{
	static char name[] = "true";
	char *arguments[] = {name, NULL};
	pid_t pid;
	int status;

	if (!by_vfork)
		need(posix_spawnp(&pid, "true", NULL, NULL, arguments,
				  environ) == 0,
		     "posix_spawn");
	else {
		/* Deprecated, and what servers still do. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
		pid = vfork();
#pragma GCC diagnostic pop
		need(pid >= 0, "vfork");
		if (pid == 0) {
			execvp("true", arguments);
			_exit(1);
		}
	}
	while (waitpid(pid, &status, 0) < 0)
		need(errno == EINTR, "waitpid");
	return status;
}

static int vfork_and_exec(void)
{
	pthread_t thread[THREADS];
	struct larder_view view;
	unsigned n_leases, n_well = 0;
	char want[N_VALUE];

	begin();
	need(larder_lease(h, "key", 3, &view) == LARDER_OK, "a lease");
	memcpy(want, view.value, N_VALUE);
	start(thread);
	for (int i = 0; i < FORKS; i++)
		n_well += exec_true(i % 2) == 0;
	stop(thread);
	claim(n_well == FORKS, "%u of %d programs ran", n_well, FORKS);
	claim(slots_of(getpid(), &n_leases) == 1 && n_leases == 1 &&
		      !memcmp(want, view.value, N_VALUE),
	      "slot, lease and leased bytes are untouched");
	larder_release(h, &view);
	return end("after vforks and execs");
}

/* ------------------------------------------------------------------ */

/* Attaches with a lease, then is another program under the same pid. */
static int becomes_another(int i, void *context)
{
	struct larder_view view;

	need(larder_lease(h, "key", 3, &view) == LARDER_OK, "a lease");
	alarm(0);
	execlp("sleep", "sleep", "60", (char *)NULL);
	return 1;
}

static bool is_another(pid_t pid)
{
	char path[64], name[64] = "";
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(name, sizeof name, f))
		name[0] = '\0';
	fclose(f);
	return !strcmp(name, "sleep\n");
}

static int exec_without_fork(void)
{
	uint64_t recovered;
	unsigned n_leases;
	pid_t pid;

	begin();
	recovered = counter(h, "workers_recovered");
	pid = spawn(becomes_another, 0, NULL);
	for (int i = 0; i < 10000 && !is_another(pid); i++)
		sleep_ms(1);
	larder_maintain(h, 0);
	claim(counter(h, "workers_recovered") == recovered + 1 &&
		      slots_of(pid, &n_leases) == 0 && n_leases == 0,
	      "an exec ends the attachment");
	claim(kill(pid, 0) == 0, "the process lives on");
	kill(pid, SIGKILL);
	reap(pid);
	return end("after an exec");
}

/* ------------------------------------------------------------------ */

/* A daemon: opens, forks, the parent goes; the grandchild serves. */
static int daemonizes(int i, void *context)
{
	struct orphan *o = context;
	pid_t pid = fork();

	need(pid >= 0, "fork");
	if (pid > 0)
		return 0;
	alarm(30);
	atomic_store(&o->ready, work(5, 500) ? 2 : 1);
	if (larder_put(h, "of a daemon", 11, "served", 6, NULL))
		atomic_store(&o->ready, 2);
	atomic_store(&o->may_end, 1);
	exit(0);
}

/* Mappings of the segment in this process. */
static int n_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	while (f && fgets(line, sizeof line, f))
		n += strstr(line, in_folder("forks")) != NULL;
	if (f)
		fclose(f);
	return n;
}

static int closes(int i, void *context)
{
	(void)i;
	(void)context;
	if (n_mappings() != 1)
		return 1;
	larder_close(h);
	return n_mappings() == 0 ? 0 : 2;
}

static int child_that_closes(void)
{
	int status;

	begin();
	status = reap(spawn(closes, 0, NULL));
	claim(status == 0,
	      "a child that closes its parent's handle maps it no longer (%d)",
	      status);
	claim_works(h, "still", N_VALUE);
	return end("after a child that closes");
}

static int daemon_serves(void)
{
	struct orphan *o = shared(sizeof *o);
	char value[6];
	unsigned n_leases;
	size_t n;

	begin();
	need(reap(spawn(daemonizes, 0, o)) == 0, "a daemon");
	await(&o->may_end, 1);
	claim(o->ready == 1, "a daemon works through its parent's handle");
	claim(larder_get(h, "of a daemon", 11, value, 6, &n) == LARDER_OK &&
		      !memcmp(value, "served", 6),
	      "and what it puts is found");
	for (int i = 0; i < 10000 && slots_of(getpid(), &n_leases) != 1; i++)
		sleep_ms(1);
	return end("after a daemon");
}

int main(void)
{
	folder();
	stage("forks of a parent with threads", with_threads);
	stage("children of a lease holder", leased_by_the_parent);
	stage("views of an earlier attachment", views_of_before);
	stage("a child that closes", child_that_closes);
	stage("a silent child of the dead", silent_child_of_the_dead);
	stage("vfork and exec", vfork_and_exec);
	stage("exec without fork", exec_without_fork);
	stage("a daemon", daemon_serves);
	return curtain();
}
