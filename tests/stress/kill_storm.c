/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill_storm: workers that are killed, stopped and continued every few
 * milliseconds, on a segment far too small for what they store.
 *
 * Asserts, in one sentence: every value read was written for its key, whole,
 * and is not older than a write or removal that had completed before the read
 * began.
 *
 * How: one shared clock ticks at every event. A write notes its start in the
 * value and in the key's history, and its completion in the history; a key
 * remembers the latest start among its completed writes and removals. A value
 * whose write completed before that start is stale. What a dead process left
 * unfinished counts as done or not done: it is not judged. At the end the
 * segment is swept and must be in order, with nothing left over.
 *
 *   kill_storm [--seconds N] [--processes N] [--megabytes N] [--seed N]
 *              [--fenced] [--threads]
 *
 * With --threads the workers are threads over one mapping and nobody is killed:
 * for ThreadSanitizer, which sees one mapping of one process only.
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cache/cache.h"
#include "support/verify.h"

enum { KEYS = 2000, HISTORY = 64, WORKERS_MAX = 48, VALUE_MAX = 40000 };

struct history {
	atomic_u64 newest_start;       /* of completed writes and removals */
	atomic_u64 completed[HISTORY]; /* by start, modulo; 0 unfinished */
	atomic_u64 start[HISTORY];
};

struct shared {
	atomic_u64 clock, operations, hits, violations, no_space, stop;
	atomic_u64 most_cpu_us;
	struct history keys[KEYS];
};

struct value {
	uint64_t key, start, length, fill[];
};

static struct shared *shared;
static struct larder *cache;

static uint64_t tick(void)
{
	return fetch_add_relaxed(&shared->clock, 1) + 1;
}

static void violation(const char *what, uint64_t key)
{
	if (fetch_add_relaxed(&shared->violations, 1) < 5)
		fprintf(stderr, "violation: %s, key %llu\n", what,
			(unsigned long long)key);
}

static void judge(uint64_t key, const struct value *v, size_t n,
		  uint64_t newest)
{
	struct history *h = &shared->keys[key];
	uint64_t completed;

	if (n < sizeof *v || v->key != key || v->length != n) {
		violation("a value of another key or length", key);
		return;
	}
	for (size_t i = 0; i < (n - sizeof *v) / 8; i++)
		if (v->fill[i] != v->start) {
			violation("a torn value", key);
			return;
		}
	completed = load_acquire(&h->completed[v->start % HISTORY]);
	if (load_acquire(&h->start[v->start % HISTORY]) == v->start &&
	    completed && completed < newest)
		violation("an older value than a completed write", key);
}

static void write_key(uint64_t key, size_t n, struct value *v)
{
	struct history *h = &shared->keys[key];
	uint64_t start = tick();
	int result;

	store_release(&h->completed[start % HISTORY], 0);
	store_release(&h->start[start % HISTORY], start);
	n = sizeof *v + n / 8 * 8;
	v->key = key;
	v->start = start;
	v->length = n;
	for (size_t i = 0; i < (n - sizeof *v) / 8; i++)
		v->fill[i] = start;
	result = larder_put(cache, &key, sizeof key, v, n, NULL);
	if (result == LARDER_NO_SPACE) {
		fetch_add_relaxed(&shared->no_space, 1);
		return;
	}
	if (result != LARDER_OK) {
		violation(larder_strerror(result), key);
		return;
	}
	if (load_acquire(&h->start[start % HISTORY]) == start)
		store_release(&h->completed[start % HISTORY], tick());
	raise_acqrel(&h->newest_start, start);
}

static void read_key(uint64_t key, struct value *v, bool lease)
{
	uint64_t newest = load_acquire(&shared->keys[key].newest_start);
	struct larder_view view;
	size_t n;

	if (lease) {
		if (larder_lease(cache, &key, sizeof key, &view) == LARDER_OK) {
			judge(key, view.value, view.n_value, newest);
			judge(key, view.value, view.n_value, 0);
			larder_release(cache, &view);
		}
	} else if (larder_get(cache, &key, sizeof key, v, VALUE_MAX, &n) ==
		   LARDER_OK) {
		judge(key, v, n, newest);
		fetch_add_relaxed(&shared->hits, 1);
	}
}

static void remove_key(uint64_t key, bool invalidate)
{
	uint64_t start = tick();
	int result = invalidate ? larder_invalidate_key(cache, &key, sizeof key)
				: larder_remove(cache, &key, sizeof key);

	if (result == LARDER_OK)
		raise_acqrel(&shared->keys[key].newest_start, start);
}

static uint64_t cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void *work(void *seed_of)
{
	uint64_t random = (uint64_t)(uintptr_t)seed_of * 2654435761u + 1;
	struct value *v = malloc(VALUE_MAX + 64);

	while (v && !load_relaxed(&shared->stop)) {
		uint64_t key = random_next(&random) % KEYS, before = cpu_us();
		unsigned what = (unsigned)(random_next(&random) >> 33) % 24;

		if (what < 8)
			read_key(key, v, false);
		else if (what < 11)
			read_key(key, v, true);
		else if (what < 20)
			write_key(key,
				  random_next(&random) %
					  (what == 11 ? VALUE_MAX - 64 : 1500),
				  v);
		else if (what < 22)
			remove_key(key, what == 20);
		else if (what == 22)
			larder_maintain(cache, 4);
		else
			larder_touch(cache, &key, sizeof key, UINT64_MAX);
		raise_acqrel(&shared->most_cpu_us, cpu_us() - before);
		fetch_add_relaxed(&shared->operations, 1);
	}
	free(v);
	return NULL;
}

static pid_t start_worker(uint64_t seed)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		work((void *)(uintptr_t)seed);
		_exit(0);
	}
	return pid;
}

static unsigned storm(unsigned n, double seconds, uint64_t seed)
{
	pid_t pids[WORKERS_MAX];
	struct timespec nap = {0};
	uint64_t random = seed | 1, born = seed * 1000;
	uint64_t end = larder_clock_ns() + (uint64_t)(seconds * 1e9);
	unsigned kills = 0;
	int status;

	for (unsigned i = 0; i < n; i++)
		pids[i] = start_worker(++born);
	while (larder_clock_ns() < end) {
		unsigned i = (unsigned)(random_next(&random) >> 20) % n;

		nap.tv_nsec = (long)(random_next(&random) % 3000000) + 200000;
		nanosleep(&nap, NULL);
		switch ((random_next(&random) >> 20) % 4) {
		case 0:
			kill(pids[i], SIGSTOP);
			break;
		case 1:
			kill(pids[i], SIGCONT);
			break;
		default:
			kill(pids[i], SIGKILL);
			waitpid(pids[i], &status, 0);
			if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
				violation("a worker ended by itself", i);
			kills++;
			pids[i] = start_worker(++born);
			break;
		}
	}
	for (unsigned i = 0; i < n; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], &status, 0);
	}
	return kills;
}

static void threads(unsigned n, double seconds, uint64_t seed)
{
	pthread_t t[WORKERS_MAX];

	for (unsigned i = 0; i < n; i++)
		if (pthread_create(&t[i], NULL, work,
				   (void *)(uintptr_t)(seed + i)))
			exit(1);
	usleep((useconds_t)(seconds * 1e6));
	store_relaxed(&shared->stop, 1);
	for (unsigned i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"seconds", required_argument, NULL, 's'},
		{"processes", required_argument, NULL, 'p'},
		{"megabytes", required_argument, NULL, 'm'},
		{"seed", required_argument, NULL, 'r'},
		{"fenced", no_argument, NULL, 'f'},
		{"threads", no_argument, NULL, 't'},
		{NULL, 0, NULL, 0}};
	struct larder_create_options o = {
		.size_of = sizeof o, .bytes = 2 << 20, .n_slots = 64};
	unsigned n = 12, kills = 0;
	uint64_t seed = (uint64_t)time(NULL);
	double seconds = 10;
	bool as_threads = false;
	char text[200];
	const char *broken;
	int fd, c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (c) {
		case 's':
			seconds = strtod(optarg, NULL);
			break;
		case 'p':
			n = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'm':
			o.bytes = strtoull(optarg, NULL, 10) << 20;
			break;
		case 'r':
			seed = strtoull(optarg, NULL, 10);
			break;
		case 'f':
			o.flags = LARDER_CREATE_FENCED;
			break;
		case 't':
			as_threads = true;
			break;
		default:
			return 2;
		}
	}
	if (n < 1 || n > WORKERS_MAX)
		return 2;
	printf("seed %llu\n", (unsigned long long)seed);
	fflush(stdout);
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || larder_create_fd(&o, &fd) ||
	    larder_open_fd(fd, NULL, &cache))
		return 1;
	if (as_threads)
		threads(n, seconds, seed);
	else
		kills = storm(n, seconds, seed);
	settle(cache);
	settle(cache);
	broken = verify(load_acquire(&cache->segment),
			larder_worker_slot(cache), text, sizeof text);
	printf("operations %llu, hits %llu, kills %u, no space %llu, most CPU "
	       "time of one operation %llu us\nviolations %llu; afterwards: "
	       "%s\n",
	       (unsigned long long)load_relaxed(&shared->operations),
	       (unsigned long long)load_relaxed(&shared->hits), kills,
	       (unsigned long long)load_relaxed(&shared->no_space),
	       (unsigned long long)load_relaxed(&shared->most_cpu_us),
	       (unsigned long long)load_relaxed(&shared->violations),
	       broken ? broken : "in order, nothing left over");
	return load_relaxed(&shared->violations) || broken;
}
