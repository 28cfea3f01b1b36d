/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many processes that find the same segment damaged, or missing, at once.
 *
 * Invariant: one of them puts it aside, one makes the fresh one, and all end up
 * on that one; what is stored there stays, however late another comes who had
 * seen the damage.
 */
#include "ground.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "segment/layout.h"

enum { MIB = 1 << 20, OPENERS = 12, ROUNDS = 30 };

struct race {
	_Atomic uint32_t n_ready, go, n_stored, may_look;
	char path[128];
};

static void damage(const char *path)
{
	struct larder_create_options c = {.size_of = sizeof c, .bytes = MIB};
	int fd;

	need(larder_create(path, &c) == 0, "larder_create");
	fd = open(path, O_RDWR | O_CLOEXEC);
	need(pwrite(fd, "?", 1, offsetof(struct superblock, n_groups)) == 1,
	     "damaging it");
	close(fd);
}

/* Opens when told to, stores at once, then looks for what all have stored. */
static int opener(int me, void *context)
{
	struct race *r = context;
	struct larder_create_options c = {.size_of = sizeof c, .bytes = MIB};
	struct larder_open_options o = {.size_of = sizeof o,
					.flags = LARDER_OPEN_RECREATE,
					.create = &c};
	struct larder *h;
	char key[16];
	int error, n_lost = 0;

	atomic_fetch_add(&r->n_ready, 1);
	while (!atomic_load(&r->go))
		;
	error = larder_open(r->path, &o, &h);
	if (error) {
		printf("     %d opens with '%s'\n", me, larder_strerror(error));
		atomic_fetch_add(&r->n_stored, 1);
		return 1;
	}
	snprintf(key, sizeof key, "of %d", me);
	error = larder_put(h, key, strlen(key), key, strlen(key), NULL);
	atomic_fetch_add(&r->n_stored, 1);
	await(&r->may_look, 1);
	for (int i = 0; i < OPENERS; i++) {
		size_t n;

		snprintf(key, sizeof key, "of %d", i);
		n_lost += larder_get(h, key, strlen(key), NULL, 0, &n) !=
			  LARDER_TRUNCATED;
	}
	larder_close(h);
	if (error || n_lost)
		printf("     %d stores with '%s' and misses %d of %d\n", me,
		       larder_strerror(error), n_lost, OPENERS);
	return error || n_lost;
}

/* Files of the folder that were put aside; removes them. */
static unsigned n_aside(void)
{
	struct dirent *entry;
	DIR *d = opendir(folder());
	unsigned n = 0;

	need(d != NULL, "the folder");
	while ((entry = readdir(d)))
		if (strstr(entry->d_name, ".damaged-")) {
			unlinkat(dirfd(d), entry->d_name, 0);
			n++;
		}
	closedir(d);
	return n;
}

static int at_once(bool damaged)
{
	struct race *r = shared(sizeof *r);
	pid_t pid[OPENERS];
	unsigned n_well = 0, aside = 0, n_left = 0;

	for (int round = 0; round < ROUNDS; round++) {
		memset(r, 0, sizeof *r);
		snprintf(r->path, sizeof r->path, "%s", in_folder("raced"));
		if (damaged)
			damage(r->path);
		for (int i = 0; i < OPENERS; i++)
			pid[i] = spawn(opener, i, r);
		await(&r->n_ready, OPENERS);
		atomic_store(&r->go, 1);
		await(&r->n_stored, OPENERS);
		atomic_store(&r->may_look, 1);
		for (int i = 0; i < OPENERS; i++)
			n_well += reap(pid[i]) == 0;
		aside += n_aside();
		unlink(r->path);
		n_left += (unsigned)n_files(folder());
	}
	claim(n_well == ROUNDS * OPENERS,
	      "%u of %d processes find what all of them stored", n_well,
	      ROUNDS * OPENERS);
	claim(aside == (damaged ? ROUNDS : 0),
	      "%u files were put aside in %d rounds", aside, ROUNDS);
	claim(n_left == 0, "no other file is left");
	return 0;
}

static int damaged(void)
{
	return at_once(true);
}

static int missing(void)
{
	return at_once(false);
}

/* ------------------------------------------------------------------ */
/*
 * One stands still, or is killed, at each system call of its opening in turn,
 * while another one does all of it.
 */

static const struct larder_create_options small = {.size_of = sizeof small,
						   .bytes = MIB};
static const struct larder_open_options recreate = {
	.size_of = sizeof recreate,
	.flags = LARDER_OPEN_RECREATE,
	.create = &small};

static int open_and_store(const char *path, const char *key,
			  struct larder **result)
{
	int error = larder_open(path, &recreate, result);

	return error ? error
		     : larder_put(*result, key, strlen(key), "!", 1, NULL);
}

static bool finds(struct larder *h, const char *key)
{
	size_t n;

	return larder_get(h, key, strlen(key), NULL, 0, &n) == LARDER_TRUNCATED;
}

/* 0 if it opens, stores and finds what both stored; the number of the step
 * that went wrong otherwise. */
static int slow_opener(int i, void *context)
{
	struct race *r = context;
	struct larder *h;
	int error;

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		return NOT_ALLOWED;
	raise(SIGSTOP);
	error = open_and_store(r->path, "slow", &h);
	atomic_store(&r->n_stored, 1);
	if (error) {
		printf("     the slow one: '%s'\n", larder_strerror(error));
		return 1;
	}
	await(&r->may_look, 1);
	if (!finds(h, "slow"))
		return 2;
	return finds(h, "fast") ? 0 : 3;
}

/* Let it run to its @n_stops'th entry into or exit from the kernel. False if
 * it came to an end, or to its own wait, before. */
static bool run_to(pid_t pid, unsigned n_stops, struct race *r)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		return false;
	for (unsigned i = 0; i < n_stops; i++) {
		if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) ||
		    waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
		    atomic_load(&r->n_stored))
			return false;
	}
	return true;
}

/* One run; false if the slow one was through before its stop. */
static bool meet(unsigned n_stops, bool killed, unsigned *n_bad)
{
	struct race *r = shared(sizeof *r);
	struct larder *h = NULL;
	pid_t pid;
	unsigned n;
	int fast, slow;
	bool stopped;

	snprintf(r->path, sizeof r->path, "%s", in_folder("met"));
	damage(r->path);
	pid = spawn(slow_opener, 0, r);
	stopped = run_to(pid, n_stops, r);
	if (stopped && killed)
		kill(pid, SIGKILL);
	fast = open_and_store(r->path, "fast", &h);
	if (ptrace(PTRACE_DETACH, pid, NULL, NULL))
		kill(pid, SIGCONT);
	if (!killed)
		await(&r->n_stored, 1);
	atomic_store(&r->may_look, 1);
	slow = reap(pid);
	n = n_aside();
	if (fast || !finds(h, "fast") || n != 1 ||
	    (killed ? slow != -SIGKILL && stopped
		    : slow || !finds(h, "slow"))) {
		printf("     at stop %u: the fast one '%s', %s; the slow one "
		       "%d, %s; %u put aside\n",
		       n_stops, larder_strerror(fast),
		       h && finds(h, "fast") ? "is there" : "is lost", slow,
		       h && finds(h, "slow") ? "is there" : "is lost", n);
		++*n_bad;
	}
	larder_close(h);
	unlink(r->path);
	n = (unsigned)n_files(folder());
	if (n) {
		printf("     at stop %u: %u files are left\n", n_stops, n);
		++*n_bad;
	}
	munmap(r, sizeof *r);
	return stopped;
}

static int at_each_call(bool killed)
{
	unsigned n_stops = 1, n_bad = 0;

	while (meet(n_stops, killed, &n_bad) && n_bad < 10)
		n_stops++;
	claim(n_stops > 20 && n_bad == 0,
	      "one opener %s at each of %u entries and exits of the kernel, "
	      "and another does it all: %u times something was wrong",
	      killed ? "is killed" : "stands still", n_stops, n_bad);
	return 0;
}

static int stands_still(void)
{
	return at_each_call(false);
}

static int is_killed(void)
{
	return at_each_call(true);
}

/* Whoever is attached moves on, however often. */
static int again_and_again(void)
{
	enum { TIMES = 20 };
	struct larder_create_options c = {.size_of = sizeof c, .bytes = MIB};
	struct larder_open_options o = {.size_of = sizeof o,
					.flags = LARDER_OPEN_RECREATE,
					.create = &c};
	struct larder *h, *finder;
	char path[128];
	int n_moved = 0;

	snprintf(path, sizeof path, "%s", in_folder("again"));
	need(larder_open(path, &o, &h) == 0, "larder_open");
	for (int i = 0; i < TIMES; i++) {
		int fd = open(path, O_RDWR | O_CLOEXEC);

		need(pwrite(fd, "?", 1,
			    offsetof(struct superblock, n_groups)) == 1,
		     "damaging it");
		close(fd);
		need(larder_open(path, &o, &finder) == 0, "finding it damaged");
		n_moved += larder_put(h, "key", 3, "v", 1, NULL) == LARDER_OK &&
			   larder_get(finder, "key", 3, NULL, 0, NULL) ==
				   LARDER_TRUNCATED;
		larder_close(finder);
	}
	claim(n_moved == TIMES,
	      "%d of %d times the user of one put aside is on "
	      "the next",
	      n_moved, TIMES);
	larder_close(h);
	return 0;
}

int main(void)
{
	folder();
	stage("damaged, and found so by many at once", damaged);
	stage("missing, and made by many at once", missing);
	stage("one stands still while another does it", stands_still);
	stage("one is killed while another does it", is_killed);
	stage("put aside again and again", again_and_again);
	return curtain();
}
