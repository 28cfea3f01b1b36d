/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that lack what one takes for granted: descriptors, the three
 * standard ones, address space, memory for threads' slots, /proc.
 *
 * Invariant: what cannot be done is refused by the name of its cause and leaves
 * nothing open, mapped or claimed; what needs none of it goes on; and nothing
 * that the process writes to what it takes for its standard output lands in a
 * segment.
 */
#include "ground.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

static const struct larder_create_options small = {.size_of = sizeof small,
						   .bytes = MIB};

static unsigned n_open(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ------------------------------------------------------------------ */

/* Run @act with no descriptor to spare, one, and so on, until it succeeds. Its
 * failures must be EMFILE and leave none open. How many it took; 0: never. */
static unsigned descriptors_for(const char *what, int (*act)(void))
{
	unsigned before = n_open(), n_bad = 0;
	struct rlimit limit;
	int error = -EMFILE;
	unsigned n = 0;

	need(getrlimit(RLIMIT_NOFILE, &limit) == 0, "RLIMIT_NOFILE");
	for (; n < 64 && error; n++) {
		struct rlimit few = {n, limit.rlim_max};

		need(setrlimit(RLIMIT_NOFILE, &few) == 0, "RLIMIT_NOFILE");
		error = act();
		setrlimit(RLIMIT_NOFILE, &limit);
		if (error && (error != -EMFILE || n_open() != before)) {
			printf("     below %u: '%s', %u open, %u before\n", n,
			       larder_strerror(error), n_open(), before);
			n_bad++;
		}
	}
	claim(error == 0 && n > before && n_bad == 0,
	      "%s ends with '%s' until descriptor %u may be had", what,
	      larder_strerror(-EMFILE), n - 1);
	return error ? 0 : n;
}

static struct larder *opened;

/* May put aside what is damaged; what is there is not. */
static int open_or_recreate(void)
{
	struct larder_open_options o = {.size_of = sizeof o,
					.flags = LARDER_OPEN_RECREATE,
					.create = &small};

	return larder_open(in_folder("few"), &o, &opened);
}

static int create_another(void)
{
	return larder_create(in_folder("another"), &small);
}

static int descriptors(void)
{
	struct larder *h = segment_in("few", &small);
	struct rlimit limit;
	size_t n;

	claim_works(h, "key", 1000);
	descriptors_for("opening", open_or_recreate);
	claim(n_files(folder()) == 1 &&
		      larder_get(h, "key", 3, NULL, 0, &n) == LARDER_TRUNCATED,
	      "a sound segment is not put aside for want of descriptors");
	descriptors_for("creation", create_another);
	claim(n_files(folder()) == 2, "and leaves one file");
	if (!opened)
		return 1;

	/* The first operation of a thread asks /proc who it is. */
	need(getrlimit(RLIMIT_NOFILE, &limit) == 0, "RLIMIT_NOFILE");
	limit.rlim_cur = 0;
	need(setrlimit(RLIMIT_NOFILE, &limit) == 0, "RLIMIT_NOFILE");
	claim_works(opened, "key", 1000);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	claim_sound(h, "after work without descriptors");
	larder_close(opened);
	larder_close(h);
	unlink(in_folder("another"));
	return 0;
}

/* One that attached without a descriptor to spare has no start time on record:
 * it may not be taken for dead because of that. */
static int nameless(int i, void *context)
{
	_Atomic uint32_t *words = context;
	struct larder *h;
	struct rlimit none;

	need(larder_open(in_folder("nameless"), NULL, &h) == 0, "larder_open");
	none.rlim_cur = none.rlim_max = 3;
	need(setrlimit(RLIMIT_NOFILE, &none) == 0, "RLIMIT_NOFILE");
	need(larder_attach_thread(h) == 0, "attaching");
	atomic_store(&words[0], 1);
	await(&words[1], 1);
	claim_works(h, "of the nameless", 100);
	return n_failed() != 0;
}

static int without_start_time(void)
{
	struct larder_create_options o = {
		.size_of = sizeof o, .bytes = MIB, .n_slots = 1};
	_Atomic uint32_t *words = shared(2 * sizeof *words);
	struct larder *h = segment_in("nameless", &o);
	pid_t pid = spawn(nameless, 0, words);
	int error, status;

	await(&words[0], 1);
	error = larder_attach_thread(h);
	claim(error == LARDER_ERR_SLOTS_FULL,
	      "one whose start time is not known keeps its slot: '%s'",
	      larder_strerror(error));
	atomic_store(&words[1], 1);
	status = reap(pid);
	error = larder_attach_thread(h);
	claim(status == 0 && error == 0, "and gives it back at its end: '%s'",
	      larder_strerror(error));
	larder_close(h);
	return 0;
}

/* ------------------------------------------------------------------ */

/* A daemon of the old school: closes all three, opens a segment, and prints. */
static int chatterer(int i, void *context)
{
	struct larder *h;
	int memory = -1, result, error;

	close(0);
	close(1);
	close(2);
	error = i == 2 ? larder_create_fd(&small, &memory) : 0;
	result = i == 0	  ? larder_open(context, NULL, &h)
		 : i == 1 ? larder_create(in_folder("second"), &small)
			  : larder_open_fd(memory, NULL, &h);
	for (int fd = 0; fd < 3; fd++)
		for (int k = 0; k < 100; k++)
			if (write(fd, "disk full, giving up\n", 21) != -1)
				return 2;
	if (error || result)
		return 3;
	return i == 1 ? 0 : larder_put(h, "key", 3, "!", 1, NULL) != LARDER_OK;
}

static int standard_descriptors(void)
{
	struct larder *h = segment_in("daemon", &small);
	char path[128];

	snprintf(path, sizeof path, "%s", larder_path(h));
	claim(reap(spawn(chatterer, 0, path)) == 0,
	      "a segment is opened at no standard descriptor");
	claim(reap(spawn(chatterer, 1, path)) == 0,
	      "nor does its creation leave one open there");
	claim(reap(spawn(chatterer, 2, path)) == 0,
	      "nor is one without a name");
	claim_works(h, "key", 100);
	claim_sound(h, "after a daemon that prints");
	larder_close(h);
	return 0;
}

/* ------------------------------------------------------------------ */

static int address_space(void)
{
	struct larder_create_options large = {.size_of = sizeof large,
					      .bytes = 256 * MIB};
	struct larder *h = NULL;
	struct rlimit limit;
	struct larder *was;
	unsigned before;
	int error;

	was = segment_in("first", &small);
	claim_works(was, "key", 100);
	need(larder_create(in_folder("large"), &large) == 0, "larder_create");
	before = n_open();
	need(getrlimit(RLIMIT_AS, &limit) == 0, "RLIMIT_AS");
	limit.rlim_cur = 128 * MIB;
	need(setrlimit(RLIMIT_AS, &limit) == 0, "RLIMIT_AS");
	error = larder_open(in_folder("large"), NULL, &h);
	claim(error == -ENOMEM && n_open() == before,
	      "a segment that cannot be mapped: '%s', and nothing is left "
	      "open",
	      larder_strerror(error));
	error = larder_create(in_folder("larger"), &large);
	claim(error == -ENOMEM && n_files(folder()) == 2,
	      "nor is one made: '%s'", larder_strerror(error));
	claim_works(was, "key", 50000);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_AS, &limit);
	claim_sound(was, "after refusals");
	larder_close(was);
	return 0;
}

/* A new thread's first operation maps a page for it, which may be refused. */
static void *first_operation(void *context)
{
	size_t n;

	return (void *)(intptr_t)larder_get(context, "key", 3, NULL, 0, &n);
}

static void *refused_operation(void *context)
{
	struct rlimit limit, was;
	void *result;

	need(getrlimit(RLIMIT_AS, &was) == 0, "RLIMIT_AS");
	limit = was;
	limit.rlim_cur = 1;
	need(setrlimit(RLIMIT_AS, &limit) == 0, "RLIMIT_AS");
	result = first_operation(context);
	setrlimit(RLIMIT_AS, &was);
	if ((intptr_t)result == -ENOMEM &&
	    (intptr_t)first_operation(context) == LARDER_TRUNCATED)
		return NULL;
	return result ? result : (void *)1;
}

static int thread_memory(void)
{
	struct larder *h = segment_in("threads", &small);
	pthread_t thread;
	void *result;

	claim_works(h, "key", 100);
	need(!pthread_create(&thread, NULL, refused_operation, h), "a thread");
	need(!pthread_join(thread, &result), "joining");
	claim(result == NULL,
	      "a thread that no memory is left for is refused, and works when "
	      "there is: %s",
	      result ? larder_strerror((int)(intptr_t)result) : "so it is");
	claim_works(h, "key", 200);
	claim_sound(h, "after a refused thread");
	larder_close(h);
	return 0;
}

/* ------------------------------------------------------------------ */

static int no_proc(void)
{
	struct larder_open_options o = {.size_of = sizeof o, .create = &small};
	struct larder *h = segment_in("with", &small), *other;
	char with[128], without[128];
	int error;

	snprintf(with, sizeof with, "%s", in_folder("with"));
	snprintf(without, sizeof without, "%s", in_folder("without"));
	if (!own_namespaces(0) || !mount_small("/proc", "size=64k"))
		return NOT_ALLOWED;
	claim_works(h, "attached before", 100);
	o.flags = LARDER_OPEN_RECREATE;
	error = larder_open(with, &o, &other);
	claim(error == LARDER_ERR_BOOT_UNKNOWN && n_files(folder()) == 1,
	      "a segment whose boot cannot be compared is refused and left "
	      "alone: '%s'",
	      larder_strerror(error));
	error = larder_create(without, &small);
	claim(error == 0 && n_files(folder()) == 2,
	      "one is made, and nothing else is left: '%s'",
	      larder_strerror(error));
	error = error ? error : larder_open(without, NULL, &other);
	claim(error == 0, "and opened by its like: '%s'",
	      larder_strerror(error));
	if (error)
		return 1;
	claim_works(other, "key", 1000);
	claim_sound(other, "in a process without /proc");
	larder_close(other);
	need(umount("/proc") == 0, "umount");
	error = larder_open(without, &o, &other);
	claim(error == LARDER_ERR_BOOT_UNKNOWN && n_files(folder()) == 2,
	      "one with /proc can compare it as little: '%s'",
	      larder_strerror(error));
	larder_close(h);
	return 0;
}

/* ------------------------------------------------------------------ */

static void *attach(void *context)
{
	void **parts = context;
	int error = larder_attach_thread(parts[0]);

	pthread_barrier_wait(parts[1]);
	pthread_barrier_wait(parts[1]);
	return (void *)(intptr_t)error;
}

/* More threads than slots: those without are told so, and the others work. */
static int slots(void)
{
	enum { THREADS = 10, SLOTS = 4 };
	struct larder_create_options o = {
		.size_of = sizeof o, .bytes = MIB, .n_slots = SLOTS};
	struct larder *h = segment_in("slots", &o);
	pthread_t thread[THREADS];
	pthread_barrier_t barrier;
	void *parts[2] = {h, &barrier}, *result;
	unsigned n_in = 0, n_full = 0;
	size_t n;

	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		need(!pthread_create(&thread[i], NULL, attach, parts),
		     "a thread");
	pthread_barrier_wait(&barrier);
	claim(larder_get(h, "key", 3, NULL, 0, &n) == LARDER_ERR_SLOTS_FULL,
	      "an operation without a slot is refused");
	pthread_barrier_wait(&barrier);
	for (int i = 0; i < THREADS; i++) {
		need(!pthread_join(thread[i], &result), "joining");
		n_in += result == NULL;
		n_full += (intptr_t)result == LARDER_ERR_SLOTS_FULL;
	}
	claim(n_in == SLOTS && n_full == THREADS - SLOTS,
	      "%u of %d threads had a slot of %d, %u were refused", n_in,
	      THREADS, SLOTS, n_full);
	claim_works(h, "key", 100);
	claim_sound(h, "after too many threads");
	larder_close(h);
	return 0;
}

int main(void)
{
	folder();
	stage("descriptors", descriptors);
	unlink(in_folder("few"));
	stage("no start time on record", without_start_time);
	unlink(in_folder("nameless"));
	stage("the standard descriptors", standard_descriptors);
	unlink(in_folder("daemon"));
	unlink(in_folder("second"));
	stage("address space", address_space);
	unlink(in_folder("first"));
	unlink(in_folder("large"));
	stage("memory for a thread", thread_memory);
	unlink(in_folder("threads"));
	stage("/proc", no_proc);
	stage("slots", slots);
	return curtain();
}
