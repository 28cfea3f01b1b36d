/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The harness's side: open, fork, conduct, collect, close.
 */
#include "engine.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rundir.h"
#include "worker.h"

struct system {
	const struct peer *peer;
	void *shared; /* NULL with PEER_THREADS */
	struct system_area *area;
	pid_t pid[BENCH_WORKERS_MAX]; /* 0: ended and reaped */
	unsigned n_pids;
	bool opened;
};

struct engine {
	const struct bench_plan *plan;
	struct bench_stream *streams;
	int processor[BENCH_WORKERS_MAX];
	unsigned n_workers;
	unsigned n_systems;
	struct system system[BENCH_SYSTEMS_MAX];
};

static size_t area_bytes(unsigned n_workers)
{
	/* One more cell than workers: that of who gets killed. */
	return sizeof(struct system_area) +
	       (n_workers + 1) * sizeof(struct worker_cell);
}

/* Workers get a processor of their own each, or all may run anywhere. */
static void choose_processors(struct engine *e)
{
	cpu_set_t set;
	unsigned n = 0;

	for (unsigned i = 0; i < BENCH_WORKERS_MAX; i++)
		e->processor[i] = -1;
	if (sched_getaffinity(0, sizeof set, &set))
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE && n < BENCH_WORKERS_MAX; cpu++)
		if (CPU_ISSET(cpu, &set))
			e->processor[n++] = cpu;
	if (n >= e->n_workers)
		return;
	/* Too few: the first alone and the rest on the rest, or anywhere. */
	if (e->plan->first_alone && n > 1) {
		for (unsigned i = n; i < BENCH_WORKERS_MAX; i++)
			e->processor[i] = e->processor[1 + (i - 1) % (n - 1)];
		return;
	}
	for (unsigned i = 0; i < BENCH_WORKERS_MAX; i++)
		e->processor[i] = -1;
}

/* ------------------------------------------------------------------ */
/* In a worker's process                                               */

static void *worker_thread(void *argument)
{
	struct worker *w = argument;

	if (!worker_run(w))
		_exit(BENCH_FAILED); /* the cell says why */
	return NULL;
}

static _Noreturn void process_main(struct engine *e, struct system *s,
				   unsigned process, pid_t harness)
{
	bool threads_only = s->peer->flags & PEER_THREADS;
	unsigned n = threads_only ? e->n_workers : e->plan->threads;
	unsigned first = threads_only ? 0 : process * e->plan->threads;
	struct worker w[BENCH_WORKERS_MAX];
	pthread_t thread[BENCH_WORKERS_MAX];
	int result;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != harness)
		_exit(BENCH_FAILED);
	signal(SIGINT, SIG_IGN); /* the harness ends it in order */
	signal(SIGTERM, SIG_DFL);
	rundir_forked();
	if (threads_only) {
		result = s->peer->open(e->plan, &s->shared);
		if (result) {
			snprintf(s->area->cell[0].why,
				 sizeof s->area->cell[0].why,
				 "%s: cannot be opened: %s", s->peer->name,
				 bench_error(result));
			_exit(BENCH_FAILED);
		}
	}
	for (unsigned i = 0; i < n; i++)
		w[i] = (struct worker){.plan = e->plan,
				       .peer = s->peer,
				       .shared = s->shared,
				       .area = s->area,
				       .stream = &e->streams[first + i],
				       .index = first + i,
				       .processor = e->processor[first + i]};
	for (unsigned i = 1; i < n; i++)
		if (pthread_create(&thread[i], NULL, worker_thread, &w[i]))
			_exit(BENCH_FAILED);
	worker_thread(&w[0]);
	for (unsigned i = 1; i < n; i++)
		pthread_join(thread[i], NULL);
	if (threads_only)
		s->peer->close(s->shared);
	_exit(0);
}

/* ------------------------------------------------------------------ */
/* In the harness                                                      */

static bool system_fork(struct engine *e, struct system *s)
{
	pid_t harness = getpid();
	unsigned n = s->peer->flags & PEER_THREADS ? 1 : e->plan->processes;

	fflush(NULL);
	for (unsigned i = 0; i < n; i++) {
		pid_t pid = fork();

		if (pid < 0) {
			bench_complain("fork: %s", strerror(errno));
			return false;
		}
		if (pid == 0)
			process_main(e, s, i, harness);
		s->pid[s->n_pids++] = pid;
	}
	return true;
}

/* Has a worker failed or died? True: complained. */
static bool system_broken(struct engine *e, struct system *s)
{
	bool broken = false;

	for (unsigned i = 0; i < s->n_pids; i++) {
		int status;

		if (!s->pid[i] || waitpid(s->pid[i], &status, WNOHANG) <= 0)
			continue;
		s->pid[i] = 0;
		broken = true;
		if (WIFSIGNALED(status))
			bench_complain("%s: a worker was killed by signal %d",
				       s->peer->name, WTERMSIG(status));
	}
	if (broken)
		for (unsigned i = 0; i < e->n_workers; i++)
			if (s->area->cell[i].why[0])
				bench_complain("%s", s->area->cell[i].why);
	return broken;
}

/* Wait until @word is @n. */
static bool system_await(struct engine *e, struct system *s, atomic_uint *word,
			 unsigned n)
{
	while (atomic_load(word) < n) {
		if (system_broken(e, s))
			return false;
		if (bench_interrupted()) {
			bench_complain("interrupted");
			return false;
		}
		usleep(500);
	}
	return true;
}

static bool system_start(struct engine *e, struct system *s)
{
	int result = 0;

	s->area = bench_shared(area_bytes(e->n_workers));
	if (!(s->peer->flags & PEER_THREADS)) {
		result = s->peer->open(e->plan, &s->shared);
		s->opened = result == 0;
	}
	if (result) {
		bench_complain("%s cannot be opened: %s", s->peer->name,
			       bench_error(result));
		return false;
	}
	return system_fork(e, s) &&
	       system_await(e, s, &s->area->ready, e->n_workers);
}

static void system_stop(struct engine *e, struct system *s)
{
	if (s->area)
		worker_wake(&s->area->phase, PHASE_QUIT);
	for (unsigned i = 0; i < s->n_pids; i++) {
		/* One that is not at its word, as after an interruption, is not
		 * waited for. */
		for (unsigned tries = 0; s->pid[i] && tries < 200; tries++) {
			if (waitpid(s->pid[i], NULL, WNOHANG) == s->pid[i])
				s->pid[i] = 0;
			else
				usleep(5000);
		}
		if (s->pid[i]) {
			kill(s->pid[i], SIGKILL);
			waitpid(s->pid[i], NULL, 0);
		}
	}
	if (s->opened)
		s->peer->close(s->shared);
	if (s->area)
		munmap(s->area, area_bytes(e->n_workers));
}

bool engine_start(const struct bench_plan *plan,
		  const struct peer *const *peers, unsigned n_peers,
		  struct engine **engine)
{
	struct engine *e = bench_alloc(sizeof *e);
	struct bench_progress progress;

	e->plan = plan;
	e->n_workers = bench_n_workers(plan);
	e->streams = bench_alloc(e->n_workers * sizeof *e->streams);
	choose_processors(e);
	bench_progress_begin(&progress, "filling", n_peers + 1);
	bench_progress_step(&progress, "streams of operations");
	for (unsigned i = 0; i < e->n_workers; i++)
		bench_stream_make(plan, i, &e->streams[i]);
	for (unsigned i = 0; i < n_peers; i++) {
		struct system *s = &e->system[e->n_systems++];

		bench_progress_step(&progress, peers[i]->name);
		s->peer = peers[i];
		if (!system_start(e, s)) {
			bench_progress_end(&progress);
			engine_stop(e);
			return false;
		}
	}
	bench_progress_end(&progress);
	*engine = e;
	return true;
}

void engine_stop(struct engine *e)
{
	for (unsigned i = 0; i < e->n_systems; i++)
		system_stop(e, &e->system[i]);
	for (unsigned i = 0; i < e->n_workers; i++)
		free(e->streams[i].operation);
	free(e->streams);
	free(e);
	rundir_remove();
}

static void collect(const struct system *s, unsigned n_active,
		    struct turn *turn)
{
	uint64_t ns = 0;

	memset(turn, 0, sizeof *turn);
	turn->counts.has = ~0u;
	for (unsigned i = 0; i < n_active; i++) {
		const struct worker_cell *c = &s->area->cell[i];

		ns += c->ns;
		turn->n_ops += c->n_ops;
		turn->n_gets += c->n_gets;
		turn->n_misses += c->n_misses;
		turn->mops +=
			c->ns ? (double)c->n_ops * 1e3 / (double)c->ns : 0;
		turn->counts.has &= c->counts.has;
		for (unsigned k = 0; k < COUNT_KINDS; k++)
			turn->counts.value[k] += c->counts.value[k];
		latency_merge(&turn->get, &c->get);
		latency_merge(&turn->put, &c->put);
	}
	turn->ns_per_op = turn->n_ops ? (double)ns / (double)turn->n_ops : 0;
}

/* ------------------------------------------------------------------ */
/* The killer                                                          */

static pid_t victim_start(struct engine *e, struct system *s)
{
	struct worker w = {
		.plan = e->plan,
		.peer = s->peer,
		.shared = s->shared,
		.area = s->area,
		.stream = &e->streams[e->n_workers - 1],
		.index = e->n_workers, /* a cell of its own */
		.processor = e->processor[e->n_workers - 1],
	};
	pid_t harness = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != harness)
		_exit(BENCH_FAILED);
	rundir_forked();
	worker_victim(&w);
	_exit(BENCH_FAILED); /* it read a wrong value: its cell says so */
}

/* Sleep, and meanwhile kill and replace a worker every @kill_ms. */
static bool sleep_killing(struct engine *e, struct system *s, double seconds,
			  unsigned kill_ms, unsigned *n_killed)
{
	uint64_t until = bench_now_ns() + (uint64_t)(seconds * 1e9);
	bool fine = true;

	if (!kill_ms) {
		bench_sleep(seconds);
		return true;
	}
	while (fine && bench_now_ns() < until && !bench_interrupted()) {
		pid_t victim = victim_start(e, s);
		int status;

		if (victim < 0)
			return false;
		bench_sleep(kill_ms / 1e3);
		kill(victim, SIGKILL);
		waitpid(victim, &status, 0);
		fine = WIFSIGNALED(status);
		*n_killed += 1;
	}
	if (!fine)
		bench_complain("%s: the worker to be killed ended by itself: "
			       "%s",
			       s->peer->name, s->area->cell[e->n_workers].why);
	return fine;
}

/* ------------------------------------------------------------------ */

static bool conduct(struct engine *e, struct system *s, unsigned n_active,
		    unsigned kill_ms, unsigned *n_killed)
{
	struct system_area *area = s->area;
	double seconds = e->plan->seconds;
	bool fine;

	atomic_store(&area->arrived, 0);
	atomic_store(&area->finished, 0);
	area->n_active = n_active;
	atomic_fetch_add(&area->turn, 1);
	worker_wake(&area->phase, PHASE_WARM);
	if (!system_await(e, s, &area->arrived, n_active))
		return false;
	bench_sleep(seconds < 1 ? seconds / 5 : 0.2);
	worker_wake(&area->phase, PHASE_COUNT);
	fine = sleep_killing(e, s, seconds, kill_ms, n_killed);
	worker_wake(&area->phase, PHASE_SAMPLE);
	fine = fine &&
	       sleep_killing(e, s, e->plan->sample_seconds, kill_ms, n_killed);
	worker_wake(&area->phase, PHASE_REST);
	return system_await(e, s, &area->finished, n_active) && fine;
}

bool engine_turn(struct engine *e, unsigned system, unsigned n_active,
		 struct turn *turn)
{
	struct system *s = &e->system[system];

	for (unsigned i = 0; i < e->n_workers; i++)
		s->area->role[i] = ROLE_MIX;
	if (!conduct(e, s, n_active, 0, NULL))
		return false;
	collect(s, n_active, turn);
	return true;
}

bool engine_turn_company(struct engine *e, unsigned system,
			 const struct company *company, struct turn *turn,
			 unsigned *n_killed)
{
	struct system *s = &e->system[system];

	for (unsigned i = 0; i < company->n_workers; i++)
		s->area->role[i] = (enum role)company->role[i];
	if (!conduct(e, s, company->n_workers, company->kill_ms, n_killed))
		return false;
	collect(s, 1, turn);
	return true;
}

uint64_t engine_memory(const struct engine *e, unsigned system)
{
	return e->system[system].area->memory;
}

uint64_t engine_huge(const struct engine *e, unsigned system)
{
	return e->system[system].area->huge;
}

double engine_load_seconds(const struct engine *e, unsigned system)
{
	return e->system[system].area->load_seconds;
}
