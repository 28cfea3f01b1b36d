/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Death and standstill at every instruction.
 *
 *   crash death          at every instruction where the shared memory differs
 *                        from the one before: copy it, mark the child dead in
 *                        the copy, recover, verify, and do everything else once
 *   crash kill N         a real SIGKILL at N sampled instructions of each
 *   crash stall STRIDE   stop the child at every STRIDE-th instruction, run
 * each script to its end, let the child go on, verify crash create N       kill
 * larder_create() at N sampled instructions
 *
 * Asserts, in one sentence: whatever instruction a process dies or stands still
 * at, the others go on, nothing acknowledged is lost, nothing is torn, and
 * after one sweep nothing is left over. Exit 0 if so.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/cache.h"
#include "crash/stepper.h"
#include "support/verify.h"

enum { MOST_STALLS = 12 };

static unsigned n_failures;
static struct {
	unsigned long instructions, states, deaths, stalls;
} total;

static struct larder *new_segment(int *fd)
{
	const struct larder_create_options o = {
		.size_of = sizeof o,
		.bytes = SEGMENT_BYTES,
		.n_slots = 8,
		.entry_hint = 64,
	};
	struct larder *h;
	int error = larder_create_fd(&o, fd);

	if (!error)
		error = larder_open_fd(*fd, NULL, &h);
	if (error) {
		fprintf(stderr, "segment: %s\n", larder_strerror(error));
		exit(1);
	}
	return h;
}

static void *map_bytes(int fd)
{
	void *m = mmap(NULL, SEGMENT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		       fd, 0);

	if (m == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return m;
}

static void failure(const struct scenario *sc, const char *mode,
		    unsigned long step, const char *what)
{
	if (n_failures++ < 20)
		printf("FAILED  %s, %s, instruction %lu: %s\n", sc->name, mode,
		       step, what);
}

/* Every other operation completes, on the key and beside it. */
static const char *others_go_on(struct larder *h)
{
	char value[64];
	size_t n;

	if (larder_put(h, "the key", 7, "zzzz", 4, NULL))
		return "put after the death failed";
	if (larder_get(h, "the key", 7, value, sizeof value, &n) || n != 4 ||
	    memcmp(value, "zzzz", 4))
		return "get after the death failed";
	if (larder_remove(h, "the key", 7))
		return "remove after the death failed";
	if (larder_get(h, "the key", 7, value, sizeof value, &n) != LARDER_MISS)
		return "a removed key came back";
	return NULL;
}

/* The segment of @h has a dead owner somewhere: recover it and look. */
static const char *recover_and_verify(struct larder *h,
				      const struct scenario *sc, bool acked,
				      int result)
{
	static char text[200];
	struct segment *s = atomic_load(&h->segment);
	const char *what = sc->check(h, acked, result);

	if (what)
		return what;
	settle(h);
	what = sc->check(h, acked, result);
	if (what)
		return what;
	settle(h);
	what = verify(s, larder_worker_slot(h), text, sizeof text);
	if (what)
		return what;
	what = others_go_on(h);
	if (what)
		return what;
	settle(h);
	return verify(s, larder_worker_slot(h), text, sizeof text);
}

/* In a copied segment the child is not dead yet: say so, as the kernel would.
 */
static void mark_dead(struct segment *s, pid_t pid)
{
	for (uint32_t i = 0; i < s->n_slots; i++) {
		atomic_u32 *word = (atomic_u32 *)&s->slots[i].claim;

		if ((load_relaxed(word) & 0x3fffffff) == (uint32_t)pid)
			store_relaxed(word, 0x40000000);
	}
}

static void death(const struct scenario *sc)
{
	int fd, copy_fd, result;
	struct larder *h = new_segment(&fd), *copy;
	unsigned char *live = map_bytes(fd), *bytes;
	unsigned char *last = malloc(SEGMENT_BYTES);
	unsigned long step = 0, states = 0;
	struct child c;
	bool more = true;

	copy_fd = memfd_create("copy", 0);
	if (!last || copy_fd < 0 || ftruncate(copy_fd, SEGMENT_BYTES))
		exit(1);
	bytes = map_bytes(copy_fd);
	sc->setup(h);
	if (!sc->unsettled)
		settle(h);
	larder_detach_thread(h);
	child_start(&c, h, sc);
	memset(last, 0xff, SEGMENT_BYTES);
	while (more) {
		const char *what;
		bool acked;

		more = child_step(&c);
		step++;
		if (!memcmp(last, live, SEGMENT_BYTES))
			continue;
		states++;
		memcpy(last, live, SEGMENT_BYTES);
		memcpy(bytes, live, SEGMENT_BYTES);
		acked = child_acked(&result);
		if (larder_open_fd(copy_fd, NULL, &copy)) {
			failure(sc, "death", step, "the copy does not open");
			continue;
		}
		mark_dead(atomic_load(&copy->segment), c.pid);
		what = recover_and_verify(copy, sc, acked, result);
		if (what)
			failure(sc, "death", step, what);
		larder_close(copy);
	}
	child_kill(&c);
	printf("%-32s %8lu instructions %5lu states\n", sc->name, step, states);
	total.instructions += step;
	total.states += states;
	total.deaths += states;
	munmap(live, SEGMENT_BYTES);
	munmap(bytes, SEGMENT_BYTES);
	free(last);
	larder_close(h);
	close(fd);
	close(copy_fd);
}

/* How many instructions does the operation take? */
static unsigned long length_of(struct larder *h, const struct scenario *sc)
{
	unsigned long n = 0;
	struct child c;

	child_start(&c, h, sc);
	while (child_step(&c))
		n++;
	child_kill(&c);
	return n;
}

/* A segment in the scenario's starting state, and its bytes to go back to. */
struct stage {
	int fd;
	struct larder *h;
	unsigned char *live, *start;
};

static void stage_build(struct stage *st, const struct scenario *sc)
{
	st->h = new_segment(&st->fd);
	st->live = map_bytes(st->fd);
	st->start = malloc(SEGMENT_BYTES);
	if (!st->start)
		exit(1);
	sc->setup(st->h);
	if (!sc->unsettled)
		settle(st->h);
	larder_detach_thread(st->h);
	memcpy(st->start, st->live, SEGMENT_BYTES);
}

static void stage_reset(struct stage *st)
{
	larder_detach_thread(st->h);
	memcpy(st->live, st->start, SEGMENT_BYTES);
}

static void stage_free(struct stage *st)
{
	munmap(st->live, SEGMENT_BYTES);
	free(st->start);
	larder_close(st->h);
	close(st->fd);
}

static void real_kills(const struct scenario *sc, unsigned long n)
{
	struct stage st;
	unsigned long length;

	stage_build(&st, sc);
	length = length_of(st.h, sc);
	for (unsigned long k = 0; k < n; k++) {
		unsigned long at = length * k / n;
		struct child c;
		const char *what;
		int result;
		bool acked;

		stage_reset(&st);
		child_start(&c, st.h, sc);
		for (unsigned long i = 0; i < at && child_step(&c); i++)
			;
		child_kill(&c);
		acked = child_acked(&result);
		what = recover_and_verify(st.h, sc, acked, result);
		if (what)
			failure(sc, "kill", at, what);
		total.deaths++;
	}
	stage_free(&st);
}

static void stall(const struct scenario *sc, unsigned long stride)
{
	static char text[200];
	struct stage st;
	unsigned long length, runs = 0;

	stage_build(&st, sc);
	length = length_of(st.h, sc);
	for (unsigned k = 0; k < n_scripts; k++) {
		/* Another phase for each script: all instructions get a turn.
		 */
		unsigned long each = stride;

		/* Claiming a slot reads /proc: most of its instructions are the
		 * C library's. No more stalls than for the others. */
		if (length / each > MOST_STALLS && stride > 10)
			each = length / MOST_STALLS;
		for (unsigned long at = k * each / n_scripts; at <= length;
		     at += each) {
			struct child c;
			int result;
			const char *what = NULL;

			stage_reset(&st);
			child_start(&c, st.h, sc);
			for (unsigned long i = 0; i < at && child_step(&c); i++)
				;
			alarm(20); /* none of the script may wait for it */
			scripts[k].run(st.h);
			if (!child_finish(&c))
				what = "the child did not come through";
			else if (child_acked(&result) && result == SAW_TORN)
				what = "the child read what was reused";
			alarm(0);
			child_kill(&c);
			settle(st.h);
			settle(st.h);
			if (!what)
				what = verify(atomic_load(&st.h->segment),
					      larder_worker_slot(st.h), text,
					      sizeof text);
			if (!what)
				what = others_go_on(st.h);
			if (what) {
				char mode[64];

				snprintf(mode, sizeof mode, "stall with %s",
					 scripts[k].name);
				failure(sc, mode, at, what);
			}
			runs++;
		}
	}
	total.stalls += runs;
	printf("%-32s %8lu instructions %5lu stalls\n", sc->name, length, runs);
	stage_free(&st);
}

/* A creator that dies leaves a whole segment under the name, or nothing. */
static void kill_creation(unsigned long n)
{
	static const struct scenario sc = {.name = "create"};
	char directory[] = "/tmp/larder-crash-XXXXXX", path[64];
	unsigned long made = 0;

	if (!mkdtemp(directory))
		exit(1);
	snprintf(path, sizeof path, "%s/segment", directory);
	for (unsigned long k = 0; k < n; k++) {
		struct larder *h;
		int status, error;
		pid_t pid = fork();

		if (pid == 0) {
			const struct larder_create_options o = {
				.size_of = sizeof o, .bytes = SEGMENT_BYTES};

			_exit(larder_create(path, &o) < 0);
		}
		usleep((useconds_t)(k * 7 % 3000));
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		error = larder_open(path, NULL, &h);
		if (!error) {
			made++;
			larder_close(h);
			unlink(path);
		} else if (error != -ENOENT) {
			failure(&sc, "kill", k, larder_strerror(error));
		}
		total.deaths++;
	}
	unlink(path);
	if (rmdir(directory))
		failure(&sc, "kill", n, "something was left beside it");
	printf("%-32s %8lu kills, %lu had been complete\n", "create", n, made);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "death";
	unsigned long n = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	const char *only = argc > 3 ? argv[3] : NULL;

	stepper_init();
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(mode, "create")) {
		kill_creation(n ? n : 100);
	} else {
		for (unsigned i = 0; i < n_scenarios; i++) {
			const struct scenario *sc = &scenarios[i];

			if (only && strcmp(only, sc->name))
				continue;
			if (!strcmp(mode, "death")) {
				death(sc);
			} else if (!strcmp(mode, "kill")) {
				real_kills(sc, n ? n : 10);
			} else if (!strcmp(mode, "stall")) {
				stall(sc, n ? n : 101);
			} else {
				fprintf(stderr, "usage: crash death|kill N|"
						"stall STRIDE|create N\n");
				return 2;
			}
		}
	}
	printf("%u scenarios, %lu instructions, %lu distinct states, %lu "
	       "deaths, %lu stalls: %u failures\n",
	       only ? 1 : n_scenarios, total.instructions, total.states,
	       total.deaths, total.stalls, n_failures);
	return n_failures != 0;
}
