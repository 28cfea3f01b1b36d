/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flights: one computation for many askers, whatever becomes of the leader.
 *
 * 64 processes ask for one absent key whose computation takes 100 ms, sleeping
 * or polling; leaders are killed, stopped, refused, or fail; fills nest. What
 * is counted is computations, not time: a hang is ended by the alarm.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

enum { ASKERS = 64 };

struct scene {
	const char *key;
	struct larder_fill_options options;
	unsigned compute_ms;
	bool polled;
	bool fails;   /* the computation does */
	bool refused; /* the key is invalidated meanwhile */
	_Atomic uint32_t go, ready, computing, n_computed, n_answered;
	_Atomic uint32_t n_private, n_errors, n_timeouts, release;
};

static struct larder *h;

static int compute(void *context, struct larder_result *result)
{
	struct scene *sc = context;
	char value[32];
	uint32_t n = atomic_fetch_add(&sc->n_computed, 1) + 1;

	atomic_fetch_add(&sc->computing, 1);
	sleep_ms(sc->compute_ms);
	if (sc->refused)
		larder_invalidate_key(h, sc->key, strlen(sc->key));
	if (sc->fails)
		return -1;
	return larder_result_set(result, value,
				 (size_t)snprintf(value, sizeof value, "%u", n),
				 NULL);
}

static void note(struct scene *sc, int result, struct larder_view *view)
{
	if (result == LARDER_OK && view->n_value) {
		atomic_fetch_add(&sc->n_answered, 1);
		if (view->version == 0)
			atomic_fetch_add(&sc->n_private, 1);
		larder_release(h, view);
	} else {
		atomic_fetch_add(&sc->n_errors, 1);
	}
}

/* The form of an event loop: never sleep but on the descriptor. */
static int ask_polled(struct scene *sc, struct larder_view *view)
{
	struct larder_fill fill;
	struct pollfd p = {.fd = larder_fill_fd(h), .events = POLLIN};
	char value[32];
	uint32_t n;
	int result = larder_fill_begin(h, sc->key, strlen(sc->key),
				       &sc->options, &fill, view);

	while (result == LARDER_WAIT) {
		need(poll(&p, 1, -1) == 1 || errno == EINTR, "poll");
		result = larder_fill_poll(h, &fill, view);
	}
	if (result != LARDER_LEAD)
		return result;
	n = atomic_fetch_add(&sc->n_computed, 1) + 1;
	atomic_fetch_add(&sc->computing, 1);
	sleep_ms(sc->compute_ms);
	result = larder_fill_put(h, &fill, value,
				 (size_t)snprintf(value, sizeof value, "%u", n),
				 NULL);
	return result ? result
		      : larder_lease(h, sc->key, strlen(sc->key), view);
}

static int asker(int i, void *context)
{
	struct scene *sc = context;
	struct larder_view view = {0};
	int result;

	(void)i;
	need(larder_attach_thread(h) == 0, "attach");
	atomic_fetch_add(&sc->ready, 1);
	await(&sc->go, 1);
	result = sc->polled ? ask_polled(sc, &view)
			    : larder_fetch(h, sc->key, strlen(sc->key), compute,
					   sc, &sc->options, &view);
	note(sc, result, &view);
	return 0;
}

static struct scene *scene(const char *key)
{
	struct scene *sc = shared(sizeof *sc);

	sc->key = key;
	sc->compute_ms = 100;
	sc->options.size_of = sizeof sc->options;
	return sc;
}

/* Run n askers to their end; they begin together. */
static void run_askers(struct scene *sc, int n)
{
	pid_t pids[ASKERS];

	for (int i = 0; i < n; i++)
		pids[i] = spawn(asker, i, sc);
	await(&sc->ready, (uint32_t)n);
	atomic_store(&sc->go, 1);
	for (int i = 0; i < n; i++)
		reap(pids[i]);
}

static void test_once(bool polled)
{
	struct scene *sc = scene(polled ? "once, polled" : "once");

	sc->polled = polled;
	run_askers(sc, ASKERS);
	claim(sc->n_computed == 1, "%s: %d askers, computed %u times", sc->key,
	      ASKERS, sc->n_computed);
	claim(sc->n_answered == ASKERS, "%s: %u answered", sc->key,
	      sc->n_answered);
}

/* ------------------------------------------------------------------ */

/* Leads until it is killed, or told to go on. */
static int stuck_leader(int i, void *context)
{
	struct scene *sc = context;
	struct larder_fill fill;
	struct larder_view view;

	(void)i;
	need(larder_fill_begin(h, sc->key, strlen(sc->key), &sc->options, &fill,
			       &view) == LARDER_LEAD,
	     "the first one leads");
	atomic_fetch_add(&sc->n_computed, 1);
	atomic_fetch_add(&sc->computing, 1);
	await(&sc->release, 1);
	return larder_fill_put(h, &fill, "late", 4, NULL) == LARDER_OK ? 0 : 1;
}

/* @signal hits the leader once all others follow it. */
static void test_lost_leader(const char *name, bool polled, int signal)
{
	enum { FOLLOWERS = ASKERS - 1 };
	struct scene *sc = scene(name);
	uint64_t followed = counter(h, "fills_followed");
	pid_t leader, pids[FOLLOWERS];

	sc->polled = polled;
	if (signal == SIGSTOP)
		sc->options.lead_ms = 300;
	leader = spawn(stuck_leader, 0, sc);
	await(&sc->computing, 1);
	for (int i = 0; i < FOLLOWERS; i++)
		pids[i] = spawn(asker, i, sc);
	await(&sc->ready, FOLLOWERS);
	if (signal == SIGSTOP)
		kill(leader, signal);
	atomic_store(&sc->go, 1);
	if (signal == SIGKILL) {
		while (counter(h, "fills_followed") - followed < FOLLOWERS)
			sleep_ms(1);
		kill(leader, signal);
		reap(leader);
	}
	for (int i = 0; i < FOLLOWERS; i++)
		reap(pids[i]);
	claim(sc->n_computed == 2, "%s: computed %u times", name,
	      sc->n_computed);
	claim(sc->n_answered == FOLLOWERS, "%s: %u of %d answered", name,
	      sc->n_answered, FOLLOWERS);
	if (signal == SIGSTOP) {
		atomic_store(&sc->release, 1);
		kill(leader, SIGCONT);
		claim(reap(leader) == 1,
		      "%s: what the first leader has at last is not stored",
		      name);
	}
}

/* ------------------------------------------------------------------ */

static void test_refused(void)
{
	struct scene *sc = scene("refused");

	sc->refused = true;
	sc->compute_ms = 20;
	run_askers(sc, 8);
	claim(sc->n_answered == 8 && sc->n_errors == 0,
	      "refused stores: all 8 askers were answered, %u by values of "
	      "their "
	      "own",
	      sc->n_private);
	claim(sc->n_computed >= 2 && sc->n_computed <= 8,
	      "refused stores: nobody computed twice (%u computations)",
	      sc->n_computed);
}

/* The first is refused, what follows is not: one computes again, for all. */
static int refused_once(int i, void *context)
{
	struct scene *sc = context;
	struct larder_fill fill;
	struct larder_view view;
	int result;

	(void)i;
	result = larder_fill_begin(h, sc->key, strlen(sc->key), &sc->options,
				   &fill, &view);
	need(result == LARDER_LEAD, "the first one leads");
	atomic_fetch_add(&sc->n_computed, 1);
	atomic_fetch_add(&sc->computing, 1);
	await(&sc->release, 1);
	larder_invalidate_key(h, sc->key, strlen(sc->key));
	return larder_fill_put(h, &fill, "old", 3, NULL) == LARDER_STALE_FILL
		       ? 0
		       : 1;
}

static void test_refused_once(void)
{
	enum { FOLLOWERS = 16 };
	struct scene *sc = scene("refused once");
	uint64_t followed = counter(h, "fills_followed");
	pid_t leader = spawn(refused_once, 0, sc), pids[FOLLOWERS];

	sc->compute_ms = 50;
	await(&sc->computing, 1);
	for (int i = 0; i < FOLLOWERS; i++)
		pids[i] = spawn(asker, i, sc);
	await(&sc->ready, FOLLOWERS);
	atomic_store(&sc->go, 1);
	while (counter(h, "fills_followed") - followed < FOLLOWERS)
		sleep_ms(1);
	atomic_store(&sc->release, 1);
	claim(reap(leader) == 0, "refused once: the leader is told so by name");
	for (int i = 0; i < FOLLOWERS; i++)
		reap(pids[i]);
	claim(sc->n_computed == 2 && sc->n_answered == FOLLOWERS,
	      "refused once: its %d followers were released, one computed "
	      "again "
	      "(%u computations)",
	      FOLLOWERS, sc->n_computed);
}

static void test_failing(void)
{
	struct scene *sc = scene("failing");

	sc->fails = true;
	sc->compute_ms = 20;
	run_askers(sc, 8);
	claim(sc->n_errors == 8 && sc->n_computed == 8,
	      "failing computations: each of 8 askers tried its own and said "
	      "so "
	      "(%u)",
	      sc->n_errors);
}

static int timed_out(int i, void *context)
{
	struct scene *sc = context;
	struct larder_fill fill;
	struct larder_view view;
	int result;

	(void)i;
	result = larder_fill_begin(h, sc->key, strlen(sc->key), &sc->options,
				   &fill, &view);
	if (result != LARDER_WAIT)
		return 2;
	result = larder_fill_wait(h, &fill, &view);
	if (result == LARDER_TIMEOUT)
		atomic_fetch_add(&sc->n_timeouts, 1);
	return larder_fill_wait(h, &fill, &view) == -EINVAL ? 0 : 3;
}

static void test_timeout(void)
{
	struct scene *sc = scene("slow");
	pid_t leader, follower;

	sc->options.wait_ms = 30;
	sc->compute_ms = 1;
	leader = spawn(stuck_leader, 0, sc);
	await(&sc->computing, 1);
	follower = spawn(timed_out, 0, sc);
	claim(reap(follower) == 0 && sc->n_timeouts == 1,
	      "time-out: a follower is told after its wait, and its fill is "
	      "over");
	atomic_store(&sc->go, 1);
	reap(spawn(asker, 0, sc));
	claim(sc->n_answered == 1 && sc->n_computed == 2,
	      "time-out: fetch computes by itself");
	atomic_store(&sc->release, 1);
	reap(leader);
}

/* ------------------------------------------------------------------ */

/* Each leads one key, and asks for the other's inside its computation. */
static const char *const crossed[] = {"nested a", "nested b"};

struct crossing {
	struct scene *sc;
	int mine;
};

static int compute_leaf(void *context, struct larder_result *result)
{
	struct scene *sc = context;

	atomic_fetch_add(&sc->n_computed, 1);
	return larder_result_set(result, "leaf", 4, NULL);
}

static int compute_crossed(void *context, struct larder_result *result)
{
	struct crossing *c = context;
	const char *other = crossed[1 - c->mine], *own = crossed[c->mine];
	struct larder_view view;

	if (larder_fetch(h, own, strlen(own), compute_leaf, c->sc, NULL,
			 &view) != LARDER_ERR_NESTED_FILL)
		atomic_fetch_add(&c->sc->n_errors, 1);
	/* Both lead now. */
	atomic_fetch_add(&c->sc->computing, 1);
	await(&c->sc->computing, 2);
	if (larder_fetch(h, other, strlen(other), compute_leaf, c->sc, NULL,
			 &view) != LARDER_OK)
		return -1;
	larder_release(h, &view);
	return larder_result_set(result, own, strlen(own), NULL);
}

static int crossing(int i, void *context)
{
	struct crossing c = {.sc = context, .mine = i};
	struct larder_view view = {0};
	int result = larder_fetch(h, crossed[i], strlen(crossed[i]),
				  compute_crossed, &c, NULL, &view);

	note(c.sc, result, &view);
	return 0;
}

static void test_nested(void)
{
	struct scene *sc = scene("nested");
	uint64_t timeouts = counter(h, "fills_timed_out");
	pid_t a = spawn(crossing, 0, sc), b = spawn(crossing, 1, sc);

	reap(a);
	reap(b);
	claim(sc->n_answered == 2,
	      "nested fills that cross: both ended (%u), one computing the "
	      "other's key itself (%u)",
	      sc->n_answered, sc->n_computed);
	claim(sc->n_computed == 1 && counter(h, "fills_timed_out") == timeouts,
	      "nested fills that cross: nobody waited for a time-out");
	claim(sc->n_errors == 0,
	      "a fill inside a fill of the same key is an error by name");
}

/* ------------------------------------------------------------------ */

static int forked_fd(int i, void *context)
{
	struct scene *sc = context;
	int fd = larder_fill_fd(h);

	(void)i;
	return fd >= 0 && asker(0, sc) == 0 ? 0 : 1;
}

static void test_fork(void)
{
	struct scene *sc = scene("forked"), *own = scene("forked, parent");
	int fd = larder_fill_fd(h);
	pid_t leader, follower;

	sc->polled = true;
	leader = spawn(stuck_leader, 0, sc);
	await(&sc->computing, 1);
	follower = spawn(forked_fd, 0, sc);
	await(&sc->ready, 1);
	atomic_store(&sc->go, 1);
	sleep_ms(20);
	atomic_store(&sc->release, 1);
	claim(reap(leader) == 0 && reap(follower) == 0 && sc->n_answered == 1 &&
		      sc->n_computed == 1,
	      "a forked child has a descriptor and a watcher of its own");

	own->polled = true;
	leader = spawn(stuck_leader, 0, own);
	await(&own->computing, 1);
	atomic_store(&own->go, 1);
	atomic_store(&own->release, 1);
	asker(0, own);
	reap(leader);
	claim(fd == larder_fill_fd(h) && own->n_answered == 1,
	      "and the parent's goes on");
}

static unsigned n_threads(void)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *entry;
	unsigned n = 0;

	need(d != NULL, "/proc/self/task");
	while ((entry = readdir(d)))
		n += entry->d_name[0] != '.';
	closedir(d);
	return n;
}

int main(void)
{
	struct larder_create_options create = {.size_of = sizeof create,
					       .n_slots = 256};

	alarm(280);
	h = segment(&create);
	test_once(false);
	test_once(true);
	test_lost_leader("killed leader", false, SIGKILL);
	test_lost_leader("killed leader, polled", true, SIGKILL);
	test_lost_leader("stopped leader", false, SIGSTOP);
	test_lost_leader("stopped leader, polled", true, SIGSTOP);
	test_refused();
	test_refused_once();
	test_failing();
	test_timeout();
	test_nested();
	test_fork();
	claim(n_threads() == 2, "the parent's watcher runs");
	larder_close(h);
	claim(n_threads() == 1, "and ends when the handle is closed");
	return n_failed() ? 1 : 0;
}
