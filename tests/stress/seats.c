/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seats: places for workers, and who disturbs them.
 *
 * Every few milliseconds one of them is killed, stopped or continued; a killed
 * one is replaced by another process in the same seat. The first seat is the
 * maintainer's, the second a sweeper's, the others do what workers do. Workers
 * fork children, which use the handle and end, and exec themselves, which find
 * board and segment anew; children die with their parents.
 *
 * Which seat is struck when, and what each incarnation of a seat does, follows
 * from the seed; how far each gets between two strokes does not.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "storm.h"

int board_fd = -1;

void actor_begin(struct actor *a, uint32_t seat, uint64_t incarnation)
{
	memset(a, 0, sizeof *a);
	a->seat = seat;
	a->random = mix(
		board->seed,
		mix(load_relaxed(&board->round) << 20 | incarnation, seat + 1));
	a->buffer = malloc(VALUE_MAX + 64);
	a->value = malloc(VALUE_MAX + 64);
	if (!a->buffer || !a->value)
		abort();
	me = a;
}

void actor_end(struct actor *a)
{
	for (unsigned i = 0; i < 3; i++)
		if (a->held[i].view.lease)
			larder_release(cache, &a->held[i].view);
	free(a->buffer);
	free(a->value);
	me = NULL;
}

static enum role role_of(uint32_t seat)
{
	return seat == 0   ? ROLE_MAINTAINER
	       : seat == 1 ? ROLE_SWEEPER
			   : ROLE_WORKER;
}

/* A process's life in its seat. */
static void live(uint32_t seat, uint64_t incarnation)
{
	static struct actor actor;

	/* Below the killer, who has to get the processor to strike in time. */
	setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + 4);
	signal(SIGCHLD, SIG_IGN);
	watch_signals();
	actor_begin(&actor, seat, incarnation);
	act(role_of(seat), UINT64_MAX);
	actor_end(&actor);
	_exit(0);
}

static pid_t start(uint32_t seat)
{
	uint64_t incarnation =
		fetch_add_relaxed(&board->seat[seat].incarnation, 1);
	pid_t pid = fork();

	if (pid < 0) {
		perror("fork");
		exit(1);
	}
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != board->parent)
			_exit(0);
		live(seat, incarnation);
	}
	return pid;
}

void seat_fork(void)
{
	struct record *r;
	pid_t parent = getpid(), pid;

	if (me->forked)
		return;
	r = log_intention(KIND_FORK, 0);
	pid = fork();
	if (pid) {
		log_outcome(r, pid < 0 ? -errno : 0);
		fetch_add_relaxed(&board->n_kind[KIND_FORK], 1);
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	me->forked = true;
	me->next = me->end; /* the rest of that piece is the parent's */
	me->random = mix(me->random, 7);
	memset(me->held, 0, sizeof me->held); /* do not survive a fork */
	act(ROLE_WORKER, 20 + draw_below(100));
	_exit(0);
}

void seat_exec(void)
{
	char seat[16], fd[16], incarnation[24];

	if (me->forked)
		return;
	log_intention(KIND_EXEC, 0);
	fetch_add_relaxed(&board->n_kind[KIND_EXEC], 1);
	snprintf(seat, sizeof seat, "%u", me->seat);
	snprintf(fd, sizeof fd, "%d", board_fd);
	snprintf(incarnation, sizeof incarnation, "%llu",
		 (unsigned long long)fetch_add_relaxed(
			 &board->seat[me->seat].incarnation, 1));
	execl("/proc/self/exe", "larder-storm", "--executed", seat, fd,
	      incarnation, (char *)NULL);
	violation("exec: %s", strerror(errno));
	_exit(3);
}

int storm_executed(int argc, char **argv)
{
	int result;

	if (argc != 5)
		return 2;
	board_fd = (int)strtol(argv[3], NULL, 10);
	board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED,
		     board_fd, 0);
	if (board == MAP_FAILED)
		return 2;
	result = larder_open(board->path, NULL, &cache);
	if (result) {
		violation("open after exec: %s", larder_strerror(result));
		return 3;
	}
	live((uint32_t)strtoul(argv[2], NULL, 10), strtoull(argv[4], NULL, 10));
	return 0;
}

/* ------------------------------------------------------------------ */

static pid_t pids[SEATS_MAX];

/* Whoever died. Nobody in a seat does so unless told, and no child but by its
 * end or with its parent. */
static void reap(bool all)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, all ? 0 : WNOHANG)) > 0 ||
	       (pid < 0 && errno == EINTR)) {
		for (uint32_t i = 0; i < board->n_seats && pid > 0 && !all; i++)
			if (pids[i] == pid) {
				violation("the worker in seat %u ended by "
					  "itself, status %d",
					  i, status);
				pids[i] = start(i);
			}
		if (pid > 0 &&
		    !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) &&
		    !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
			violation("process %d ended with status %d", (int)pid,
				  status);
	}
}

static void strike(uint32_t seat, uint32_t what, struct toll *toll)
{
	if (what < 35) {
		kill(pids[seat], SIGSTOP);
		toll->stops++;
	} else if (what < 60) {
		kill(pids[seat], SIGCONT);
		toll->continues++;
	} else {
		/* Not waited for: its number is taken until it is reaped. */
		kill(pids[seat], SIGKILL);
		toll->kills++;
		pids[seat] = start(seat);
	}
}

void storm_processes(struct toll *toll, uint64_t end_ns, uint64_t kills)
{
	uint64_t random =
		mix(board->seed, mix(load_relaxed(&board->round), 1 << 20));

	kills += toll->kills;
	for (uint32_t i = 0; i < board->n_seats; i++)
		pids[i] = start(i);
	while (larder_clock_ns() < end_ns && !log_full() &&
	       toll->kills < kills) {
		struct timespec nap = {
			.tv_nsec = 200000 +
				   (long)(random_next(&random) % 3000000)};
		uint32_t seat =
			(uint32_t)(random_next(&random) >> 20) % board->n_seats;

		nanosleep(&nap, NULL);
		strike(seat, (uint32_t)(random_next(&random) >> 20) % 100,
		       toll);
		reap(false);
	}
	for (uint32_t i = 0; i < board->n_seats; i++)
		kill(pids[i], SIGKILL);
	toll->kills += board->n_seats;
	/* Children of the dead are ours to reap, and die at once. */
	reap(true);
}

static void *live_as_thread(void *seat)
{
	struct actor actor;

	actor_begin(&actor, (uint32_t)(uintptr_t)seat, 0);
	act(role_of(actor.seat), UINT64_MAX);
	actor_end(&actor);
	larder_detach_thread(cache);
	return NULL;
}

void storm_threads(uint64_t end_ns)
{
	pthread_t threads[SEATS_MAX];
	uint32_t n = board->n_seats;

	store_relaxed(&board->stop, 0);
	for (uint32_t i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, live_as_thread,
				   (void *)(uintptr_t)i))
			exit(1);
	while (larder_clock_ns() < end_ns && !log_full())
		usleep(2000);
	store_relaxed(&board->stop, 1);
	for (uint32_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}
