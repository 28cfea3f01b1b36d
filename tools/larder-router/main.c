/* SPDX-License-Identifier: Apache-2.0 */
/*
 * larder-router: the master. Opens the segment and the socket, forks the
 * workers, replaces the dead and the hung, keeps the cache's house, and at
 * SIGTERM lets the workers finish and ends within five seconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server.h"

enum { HANG_MS = 10000, DRAIN_MS = 4500, STARTUP_MS = 1000, TICK_MS = 50 };

struct child {
	pid_t pid;
	uint64_t started_ms, retry_ms;
	unsigned failures; /* in a row, during start-up */
};

static struct child children[WORKERS_MAX];

uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void say(const char *format, ...)
{
	char line[512], when[32];
	time_t now = time(NULL);
	struct tm tm;
	va_list list;

	localtime_r(&now, &tm);
	strftime(when, sizeof when, "%H:%M:%S", &tm);
	va_start(list, format);
	vsnprintf(line, sizeof line, format, list);
	va_end(list);
	dprintf(STDERR_FILENO, "%s larder-router[%ld]: %s\n", when,
		(long)getpid(), line);
}

static void spawn(const struct settings *s, int listener, unsigned i,
		  const sigset_t *blocked, bool first)
{
	pid_t master = getpid(), pid = fork();

	if (pid == 0) {
		sigprocmask(SIG_UNBLOCK, blocked, NULL);
		_exit(worker_run(s, listener, i, master, first && i == 0));
	}
	if (pid < 0) {
		say("fork: %s", strerror(errno));
		children[i].retry_ms = clock_ms() + 1000;
		return;
	}
	children[i].pid = pid;
	children[i].started_ms = clock_ms();
}

/* A worker ended. Replaced at once, unless it keeps failing as it starts. */
static void ended(pid_t pid, int status)
{
	unsigned i = 0;

	while (i < WORKERS_MAX && children[i].pid != pid)
		i++;
	if (i == WORKERS_MAX)
		return;
	if (WIFSIGNALED(status))
		say("worker %u (%ld) was killed by signal %d", i, (long)pid,
		    WTERMSIG(status));
	else
		say("worker %u (%ld) ended with %d", i, (long)pid,
		    WEXITSTATUS(status));
	children[i].pid = 0;
	if (!WIFSIGNALED(status) &&
	    clock_ms() - children[i].started_ms < STARTUP_MS) {
		unsigned wait =
			50u << (children[i].failures < 5 ? children[i].failures
							 : 5);

		children[i].failures++;
		children[i].retry_ms = clock_ms() + (wait > 1000 ? 1000 : wait);
	} else {
		children[i].failures = 0;
		children[i].retry_ms = 0;
	}
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		ended(pid, status);
}

static unsigned alive(const struct settings *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->n_workers; i++)
		n += children[i].pid != 0;
	return n;
}

/* Workers without a heartbeat are killed; waitpid() then replaces them. */
static void watch(const struct settings *s, struct heartbeat *beats)
{
	uint64_t now = clock_ms();

	for (unsigned i = 0; i < s->n_workers; i++) {
		uint64_t beat;

		if (!children[i].pid)
			continue;
		beat = atomic_load(&beats[i].beat_ms);
		if (beat < children[i].started_ms)
			beat = children[i].started_ms;
		if (now > beat && now - beat > HANG_MS) {
			say("worker %u (%ld) has been silent for %d s: killed",
			    i, (long)children[i].pid, HANG_MS / 1000);
			kill(children[i].pid, SIGKILL);
			children[i].started_ms = now;
		}
	}
}

static void drain(const struct settings *s)
{
	uint64_t until = clock_ms() + DRAIN_MS;

	for (unsigned i = 0; i < s->n_workers; i++)
		if (children[i].pid)
			kill(children[i].pid, SIGTERM);
	while (alive(s) && clock_ms() < until) {
		const struct timespec nap = {.tv_nsec = 5000000};

		nanosleep(&nap, NULL);
		reap();
	}
	for (unsigned i = 0; i < s->n_workers; i++)
		if (children[i].pid) {
			kill(children[i].pid, SIGKILL);
			waitpid(children[i].pid, NULL, 0);
		}
}

static int load_catalog(struct router *r, const char *path)
{
	struct router_error e = {0};
	int result = path ? router_catalog_load(r, path, &e) : 1;

	if (result < 0)
		say("catalog %s: %s%s%s", path, e.pointer,
		    e.pointer[0] ? ": " : "",
		    e.detail[0] ? e.detail : strerror(-result));
	else if (result == 0)
		say("catalog %s: loaded", path);
	else if (path)
		say("catalog %s: as it was last loaded; changes since then "
		    "stay",
		    path);
	return result;
}

/* A segment keeps the size that it was made with, which is of whole pages. */
static void compare_size(const struct settings *s, struct larder *cache)
{
	struct larder_usage usage = {.size_of = sizeof usage};

	if (s->bytes_given && !larder_usage(cache, &usage) &&
	    usage.bytes_total != (s->bytes & ~UINT64_C(4095)))
		say("%s: is there already and keeps its %llu bytes; for "
		    "another size remove it with `larder destroy`",
		    s->segment, (unsigned long long)usage.bytes_total);
}

/* One master a segment: a lock on its file, which ends with the process. */
static int lock_segment(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	if (fd >= 0 && errno == EWOULDBLOCK)
		say("%s: another larder-router uses this segment", path);
	else
		say("%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* From the start on: who finds the socket may ask us to end. */
static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGCHLD);
	sigprocmask(SIG_BLOCK, set, NULL);
}

static int run(const struct settings *s, int listener, struct larder *cache,
	       struct router *r, const sigset_t *set)
{
	struct larder_region region;
	struct heartbeat *beats;
	int signals, error;

	error = larder_region(cache, "router/workers",
			      WORKERS_MAX * sizeof *beats, 0, &region);
	if (error) {
		say("segment: %s", larder_strerror(error));
		return 1;
	}
	beats = region.common;
	signals = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0) {
		say("signalfd: %s", strerror(errno));
		return 1;
	}
	for (unsigned i = 0; i < s->n_workers; i++)
		spawn(s, listener, i, set, true);
	say("%u workers serve on %s", s->n_workers, s->listen);
	for (;;) {
		struct pollfd p = {.fd = signals, .events = POLLIN};
		struct signalfd_siginfo info;

		poll(&p, 1, TICK_MS);
		while (read(signals, &info, sizeof info) == sizeof info) {
			if (info.ssi_signo == SIGHUP) {
				load_catalog(r, s->catalog);
			} else if (info.ssi_signo != SIGCHLD) {
				say("draining");
				drain(s);
				return 0;
			}
		}
		reap();
		for (unsigned i = 0; i < s->n_workers; i++)
			if (!children[i].pid &&
			    clock_ms() >= children[i].retry_ms)
				spawn(s, listener, i, set, false);
		watch(s, beats);
		larder_maintain(cache, 64);
	}
}

int main(int argc, char **argv)
{
	static struct settings s;
	static char default_segment[128];
	struct larder_create_options create = {.size_of = sizeof create};
	struct larder_open_options open_options = {
		.size_of = sizeof open_options,
		.flags = LARDER_OPEN_CREATE | LARDER_OPEN_RECREATE,
		.create = &create};
	const struct router_options router_options = {
		.size_of = sizeof router_options};
	struct larder *cache;
	struct router *r;
	sigset_t signals;
	int error, lock, listener, status;

	settings_read(&s, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	block_signals(&signals);
	if (!s.segment) {
		larder_default_path("router", default_segment,
				    sizeof default_segment);
		s.segment = default_segment;
	}
	create.bytes = s.bytes;
	error = larder_open(s.segment, &open_options, &cache);
	if (error) {
		say("%s: %s", s.segment, larder_strerror(error));
		return 1;
	}
	lock = lock_segment(s.segment);
	if (lock < 0)
		return 1;
	compare_size(&s, cache);
	error = router_open(cache, &router_options, &r);
	if (error == LARDER_NO_SPACE)
		say("%s: too small for a router, which wants at least 8M: "
		    "remove it with `larder destroy`, or name another",
		    s.segment);
	else if (error)
		say("%s: %s", s.segment, larder_strerror(error));
	if (error)
		return 1;
	if (load_catalog(r, s.catalog) < 0)
		return 1;
	listener = listen_open(&s);
	if (listener < 0)
		return 1;
	status = run(&s, listener, cache, r, &signals);
	listen_remove(&s);
	router_close(r);
	larder_close(cache);
	close(lock);
	return status;
}
