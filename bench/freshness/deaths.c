/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the SIGKILL of a flight's leader to the moment in which a follower
 * leads: once with a follower that sleeps in larder_fill_wait(), once with one
 * that polls the descriptor as an event loop does. Kills come at random moments
 * of the followers' slices.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <larder/larder.h>

#include "freshness/freshness.h"

enum { KILLS = 101, TEN_SECONDS_MS = 10000 };

/* One kill's story, in memory that all three processes share. */
struct story {
	_Atomic uint32_t leading, following;
	_Atomic uint64_t took_over_ns;
	_Atomic int result; /* the follower's */
};

/* Both give up by themselves: nothing here waits for ever. */
static void lead(struct larder *h, struct story *s, const char *key)
{
	struct larder_fill fill;
	struct larder_view view;

	if (larder_fill_begin(h, key, FRESHNESS_KEY, NULL, &fill, &view) !=
	    LARDER_LEAD)
		_exit(1);
	atomic_store(&s->leading, 1);
	sleep(TEN_SECONDS_MS / 1000);
	_exit(1);
}

static void follow(struct larder *h, struct story *s, const char *key,
		   bool polled)
{
	struct larder_fill fill;
	struct larder_view view;
	struct pollfd p = {.events = POLLIN};
	int result;

	if (polled)
		p.fd = larder_fill_fd(h);
	result = larder_fill_begin(h, key, FRESHNESS_KEY, NULL, &fill, &view);
	atomic_store(&s->following, 1);
	if (!polled && result == LARDER_WAIT)
		result = larder_fill_wait(h, &fill, &view);
	while (polled && result == LARDER_WAIT &&
	       poll(&p, 1, TEN_SECONDS_MS) == 1)
		result = larder_fill_poll(h, &fill, &view);
	atomic_store(&s->took_over_ns, bench_now_ns());
	atomic_store(&s->result, result);
	if (result == LARDER_LEAD)
		larder_fill_put(h, &fill, "", 0, NULL);
	_exit(0);
}

static pid_t start(struct larder *h, struct story *s, const char *key,
		   bool leader, bool polled)
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	if (leader)
		lead(h, s, key);
	follow(h, s, key, polled);
	return 0;
}

static bool await(_Atomic uint32_t *word)
{
	for (unsigned i = 0; i < TEN_SECONDS_MS * 10 && !atomic_load(word); i++)
		bench_sleep(1e-4);
	return atomic_load(word);
}

/* Milliseconds from the kill to the lead; negative: it did not happen. */
static double one_kill(struct larder *h, struct story *s, uint64_t id,
		       bool polled)
{
	char key[FRESHNESS_KEY];
	pid_t leader, follower = -1;
	uint64_t killed_ns = 0;
	bool fine;

	memset(s, 0, sizeof *s);
	freshness_key(id, key);
	leader = start(h, s, key, true, polled);
	fine = leader > 0 && await(&s->leading);
	if (fine)
		follower = start(h, s, key, false, polled);
	fine = fine && follower > 0 && await(&s->following);
	bench_sleep(5e-3 + (double)(bench_mix(id) % 4000) * 1e-6);
	if (leader > 0) {
		killed_ns = bench_now_ns();
		kill(leader, SIGKILL);
		waitpid(leader, NULL, 0);
	}
	if (follower > 0) {
		if (!fine)
			kill(follower, SIGKILL);
		waitpid(follower, NULL, 0);
	}
	if (!fine || atomic_load(&s->result) != LARDER_LEAD)
		return -1;
	return ((double)atomic_load(&s->took_over_ns) - (double)killed_ns) /
	       1e6;
}

bool freshness_of_deaths(const struct freshness_plan *plan, struct figures *to)
{
	static const char *const names[] = {
		"a leader's SIGKILL to a sleeper's lead",
		"a leader's SIGKILL to a poller's lead",
	};
	struct story *s = bench_shared(sizeof *s);
	struct larder *h = freshness_segment(0);
	bool fine = h != NULL;

	(void)plan;
	for (uint64_t i = 0; i < 2 * KILLS && fine; i++) {
		double ms = one_kill(h, s, i, i & 1);

		fine = ms >= 0 && !bench_interrupted();
		if (fine)
			figure_add(to, names[i & 1], "ms", ms);
		else if (!bench_interrupted())
			bench_complain("freshness: the follower of a killed "
				       "leader got %d",
				       atomic_load(&s->result));
	}
	larder_close(h);
	return fine;
}
