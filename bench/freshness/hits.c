/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What freshness costs a hit: with many tags and nothing invalidated, and while
 * a process of its own invalidates tags that none of the entries has.
 *
 * Time is the reader's own processor time, so that what else runs on the
 * machine takes nothing away from either half of a pair; also the pace of the
 * invalidations, or a reader that has half a processor would meet twice as many
 * a hit.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <larder/larder.h>

#include "freshness/freshness.h"

enum {
	FEW_KEYS = 1000,
	TAGS_MANY = 100, /* of an entry in the first part */
	TAGS_STORM = 50, /* and in the second */
	STORM_NAMES = 100000,
	BATCH = 256, /* hits between looks at the clock */
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t = {0};

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t own_ns(void)
{
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

/* The processor number @i of those allowed; alone there is no choice. */
static void pin(unsigned i)
{
	cpu_set_t allowed, one;

	if (sched_getaffinity(0, sizeof allowed, &allowed) ||
	    CPU_COUNT(&allowed) < 2)
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && i-- == 0) {
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			sched_setaffinity(0, sizeof one, &one);
			return;
		}
}

struct reader {
	struct larder *h;
	char (*key)[FRESHNESS_KEY];
	char *value;
	uint32_t value_size;
	uint32_t n_tags; /* of what may be lost to a collision, and put back */
	uint64_t random;
	uint64_t n_hits, n_lost, spent_ns; /* on putting back */
};

/* Invalidations may take an innocent with them; not one hit in a thousand. */
static bool put_back(struct reader *r, uint64_t id)
{
	uint64_t begun = own_ns();
	bool fine = r->n_tags && ++r->n_lost <= 100 + r->n_hits / 1000;

	if (!fine)
		bench_complain("freshness: key %llu is no hit",
			       (unsigned long long)id);
	fine = fine && freshness_put(r->h, id, r->n_tags, r->value_size);
	r->spent_ns += own_ns() - begun;
	return fine;
}

static bool reader_begin(struct reader *r, struct larder *h, uint64_t n_keys,
			 uint32_t value_size)
{
	*r = (struct reader){
		.h = h,
		.key = bench_alloc(n_keys * FRESHNESS_KEY),
		.value = bench_alloc(value_size + 1),
		.value_size = value_size,
		.random = 88172645463325252u,
	};
	for (uint64_t i = 0; i < n_keys; i++)
		freshness_key(i, r->key[i]);
	return true;
}

static void reader_end(struct reader *r)
{
	free(r->key);
	free(r->value);
	larder_close(r->h);
}

/* Nanoseconds a hit, of keys [first, first + n) at random; 0: complained. */
static double read_for(struct reader *r, uint64_t first, uint64_t n,
		       double seconds)
{
	uint64_t end = bench_now_ns() + (uint64_t)(seconds * 1e9);
	uint64_t begun = own_ns() - r->spent_ns, n_hits = 0;
	size_t n_value;

	do {
		for (unsigned i = 0; i < BATCH; i++) {
			uint64_t id;

			r->random ^= r->random << 13;
			r->random ^= r->random >> 7;
			r->random ^= r->random << 17;
			id = first + (uint32_t)(r->random >> 32) * n /
					     (UINT64_C(1) << 32);
			if (larder_get(r->h, r->key[id], FRESHNESS_KEY,
				       r->value, r->value_size,
				       &n_value) != LARDER_OK &&
			    !put_back(r, id))
				return 0;
		}
		n_hits += BATCH;
	} while (bench_now_ns() < end && !bench_interrupted());
	r->n_hits += n_hits;
	return (double)(own_ns() - r->spent_ns - begun) / (double)n_hits;
}

/* ------------------------------------------------------------------ */

bool freshness_of_tags(const struct freshness_plan *plan, struct figures *to)
{
	uint64_t n_keys = 2 * FEW_KEYS;
	struct larder *h = freshness_segment(
		n_keys * (plan->value_size + 2 * TAGS_MANY * FRESHNESS_TAG));
	struct reader r;
	bool fine = h && reader_begin(&r, h, n_keys, plan->value_size);

	if (!fine)
		return false;
	for (uint64_t id = 0; id < n_keys && fine; id++)
		fine = freshness_put(h, id, id < FEW_KEYS ? 0 : TAGS_MANY,
				     plan->value_size);
	for (unsigned i = 0; i <= plan->repeats && fine; i++) {
		double bare = read_for(&r, 0, FEW_KEYS, plan->seconds);
		double tagged = read_for(&r, FEW_KEYS, FEW_KEYS, plan->seconds);

		fine = bare > 0 && tagged > 0 && !bench_interrupted();
		if (!fine || i == 0) /* the first warms up */
			continue;
		figure_add(to, "hit without tags", "ns", bare);
		figure_add(to, "hit with 100 tags", "ns", tagged);
		figure_add(to, "with 100 tags to without", "ratio",
			   tagged / bare);
	}
	reader_end(&r);
	return fine;
}

/* ------------------------------------------------------------------ */

struct storm {
	_Atomic uint64_t rate; /* 0: rest */
	_Atomic uint64_t n_done;
};

/* Invalidate at an even pace by the @reader's time, catching up after being
 * held. */
static void storm_run(struct larder *h, struct storm *storm, pid_t reader)
{
	uint64_t begun = 0, n = 0, rate = 0, id = 0;
	clockid_t clock;

	if (clock_getcpuclockid(reader, &clock))
		_exit(1);
	pin(1);
	for (;;) {
		uint64_t wanted = atomic_load(&storm->rate), due;
		const struct timespec nap = {0, 200000};
		char tag[FRESHNESS_TAG];

		if (wanted != rate) {
			rate = wanted;
			begun = clock_ns(clock);
			n = 0;
		}
		due = (uint64_t)((double)(clock_ns(clock) - begun) *
				 (double)rate / 1e9);
		for (; n < due; n++, id++) {
			size_t n_tag =
				freshness_tag("other", id % STORM_NAMES, tag);

			if (larder_invalidate_tag(h, tag, n_tag))
				_exit(1);
			atomic_fetch_add(&storm->n_done, 1);
		}
		nanosleep(&nap, NULL);
	}
}

static pid_t storm_start(struct larder *h, struct storm *storm)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		bench_complain("freshness: fork: %s", strerror(errno));
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			storm_run(h, storm, parent);
		_exit(0);
	}
	return pid;
}

/* Pairs over @n keys. */
static bool storm_pairs(const struct freshness_plan *plan, struct reader *r,
			struct storm *storm, uint64_t n, struct figures *to)
{
	char name[48];
	bool fine = true;

	for (unsigned i = 0; i <= plan->repeats && fine; i++) {
		double calm, stormy, begun;
		uint64_t done;

		calm = read_for(r, 0, n, plan->seconds);
		atomic_store(&storm->rate, plan->rate);
		/* Stamps of all ages, as after any while of it. */
		fine = calm > 0 && read_for(r, 0, n, 0.1) > 0;
		done = atomic_load(&storm->n_done);
		begun = (double)own_ns();
		stormy = fine ? read_for(r, 0, n, plan->seconds) : 0;
		done = atomic_load(&storm->n_done) - done;
		begun = ((double)own_ns() - begun) / 1e9;
		atomic_store(&storm->rate, 0);
		fine = fine && stormy > 0 && read_for(r, 0, n, 0.1) > 0 &&
		       !bench_interrupted();
		if (!fine || i == 0)
			continue;
		snprintf(name, sizeof name, "hit, 50 tags, %llu keys",
			 (unsigned long long)n);
		figure_add(to, name, "ns", calm);
		snprintf(name, sizeof name, "beside invalidations, %llu keys",
			 (unsigned long long)n);
		figure_add(to, name, "ns", stormy);
		snprintf(name, sizeof name, "throughput kept, %llu keys",
			 (unsigned long long)n);
		figure_add(to, name, "ratio", calm / stormy);
		figure_add(to, "unrelated invalidations made", "1/s",
			   (double)done / begun);
	}
	return fine;
}

bool freshness_of_storm(const struct freshness_plan *plan, struct figures *to)
{
	struct storm *storm = bench_shared(sizeof *storm);
	struct larder *h = freshness_segment(
		plan->n_keys *
		(plan->value_size + 2 * TAGS_STORM * FRESHNESS_TAG));
	struct reader r;
	pid_t pid;
	bool fine = h && reader_begin(&r, h, plan->n_keys, plan->value_size);

	if (!fine)
		return false;
	r.n_tags = TAGS_STORM;
	for (uint64_t id = 0; id < plan->n_keys && fine; id++)
		fine = freshness_put(h, id, TAGS_STORM, plan->value_size);
	pin(0);
	pid = fine ? storm_start(h, storm) : -1;
	fine = pid > 0;
	if (fine && plan->n_keys > FEW_KEYS)
		fine = storm_pairs(plan, &r, storm, FEW_KEYS, to);
	fine = fine && storm_pairs(plan, &r, storm, plan->n_keys, to);
	if (fine)
		figure_add(to, "innocents lost, of a million hits", "entries",
			   (double)r.n_lost * 1e6 / (double)r.n_hits);
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	reader_end(&r);
	return fine;
}
