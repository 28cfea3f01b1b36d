/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that end in every way a thread can, with something of the segment in
 * their hands.
 *
 * Invariant: whatever way a thread ends (return, pthread_exit, cancellation at
 * any point where the C library cancels, a raw exit), its slot and its leases
 * go back, its fill gets another leader, and no other thread notices.
 */
#include "ground.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <larder/admin.h>

enum { MIB = 1 << 20, N_VALUE = 3000, ROUNDS = 200 };

static struct larder *h;

/* Slots that are held, and leases on them, as seen from outside. */
struct held {
	unsigned n_live, n_dead, n_leases;
};

static struct held look(void)
{
	struct larder_inspector *inspector;
	struct larder_worker_info w = {.size_of = sizeof w};
	struct held held = {0};

	need(larder_inspect(larder_path(h), &inspector) == 0, "looking");
	for (uint32_t i = 0; larder_inspect_worker(inspector, i, &w) == 0;
	     i++) {
		held.n_live += w.state == LARDER_WORKER_LIVE;
		held.n_dead += w.state == LARDER_WORKER_DEAD;
		if (w.state != LARDER_WORKER_FREE)
			held.n_leases += w.n_leases;
	}
	larder_inspect_close(inspector);
	return held;
}

static void claim_alone(const char *after)
{
	struct held held;

	larder_maintain(h, 0);
	held = look();
	claim(held.n_live == 1 && held.n_dead == 0 && held.n_leases == 0,
	      "after %s: %u live, %u dead, %u leases", after, held.n_live,
	      held.n_dead, held.n_leases);
}

static void begin(void)
{
	struct larder_create_options o = {
		.size_of = sizeof o, .bytes = MIB, .n_slots = 64};

	unlink(in_folder("threads"));
	h = segment_in("threads", &o);
	claim_works(h, "key", N_VALUE);
}

static void end(const char *when)
{
	claim_sound(h, when);
	larder_close(h);
	unlink(in_folder("threads"));
}

/* ------------------------------------------------------------------ */
/* Ends with a lease held                                              */

enum way { RETURN, EXIT, RAW_EXIT, CANCELLED, N_WAYS };
static const char *const ways[] = {"returning", "pthread_exit", "a raw exit",
				   "cancellation"};

static void *holder(void *context)
{
	enum way way = *(enum way *)context;
	struct larder_view view[LARDER_LEASES_MAX];

	for (int i = 0; i < LARDER_LEASES_MAX; i++)
		if (larder_lease(h, "key", 3, &view[i]) != LARDER_OK)
			return "a lease was refused";
	switch (way) {
	case EXIT:
		pthread_exit(NULL);
	case RAW_EXIT:
		syscall(SYS_exit, 0);
		break;
	case CANCELLED:
		pause();
		break;
	default:
		break;
	}
	return NULL;
}

static int with_leases(void)
{
	pthread_t thread;
	void *result;

	begin();
	for (enum way way = RETURN; way < N_WAYS; way++) {
		for (int i = 0; i < 20; i++) {
			need(!pthread_create(&thread, NULL, holder, &way),
			     "a thread");
			if (way == CANCELLED)
				pthread_cancel(thread);
			need(!pthread_join(thread, &result), "joining");
			if (result && result != PTHREAD_CANCELED)
				claim(false, "%s: %s", ways[way],
				      (char *)result);
		}
		claim_alone(ways[way]);
	}
	end("after threads that ended with leases");
	return 0;
}

/* ------------------------------------------------------------------ */
/* Cancelled inside the library                                        */

/* The first operation claims a slot, and asks the kernel about the thread: a
 * cancellation that waits is acted upon in there, if anywhere. */
static void *first_operation(void *go)
{
	char value[N_VALUE];
	size_t n;

	while (!atomic_load((_Atomic int *)go))
		;
	larder_get(h, "key", 3, value, sizeof value, &n);
	pthread_testcancel();
	return NULL;
}

static int at_first_operation(void)
{
	pthread_t thread;
	unsigned n_cancelled = 0;
	void *result;

	begin();
	for (int i = 0; i < ROUNDS; i++) {
		_Atomic int go = 0;

		need(!pthread_create(&thread, NULL, first_operation, &go),
		     "a thread");
		pthread_cancel(thread);
		atomic_store(&go, 1);
		need(!pthread_join(thread, &result), "joining");
		n_cancelled += result == PTHREAD_CANCELED;
	}
	claim(n_cancelled == ROUNDS, "%u of %d threads were cancelled",
	      n_cancelled, ROUNDS);
	claim_works(h, "key", N_VALUE);
	claim_alone("threads cancelled at their first operation");
	end("after cancellations at the first operation");
	return 0;
}

/* Everything a worker does, in memory that is short, so that stores sleep. */
static void *busy(void *context)
{
	unsigned seed = (unsigned)(uintptr_t)context;
	static __thread char value[20000];
	char key[32];
	struct larder_view view;
	size_t n;

	for (unsigned i = 0; i < UINT_MAX; i++) {
		snprintf(key, sizeof key, "busy %u", rand_r(&seed) % 300);
		memset(value, key[5], sizeof value);
		larder_put(h, key, strlen(key), value,
			   (size_t)rand_r(&seed) % sizeof value, NULL);
		larder_get(h, key, strlen(key), value, sizeof value, &n);
		if (larder_lease(h, key, strlen(key), &view) == LARDER_OK &&
		    i % 2)
			larder_release(h, &view);
		if (i % 16 == 0)
			larder_remove(h, key, strlen(key));
		if (i % 64 == 0)
			larder_maintain(h, 4);
		pthread_testcancel();
	}
	return NULL;
}

static int while_busy(void)
{
	enum { THREADS = 4 };
	pthread_t thread[THREADS];
	unsigned seed = 7;

	begin();
	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < THREADS; i++)
			need(!pthread_create(
				     &thread[i], NULL, busy,
				     (void *)(uintptr_t)(round * 8 + i)),
			     "a thread");
		usleep((unsigned)rand_r(&seed) % 8000);
		for (int i = 0; i < THREADS; i++)
			pthread_cancel(thread[i]);
		for (int i = 0; i < THREADS; i++)
			need(!pthread_join(thread[i], NULL), "joining");
	}
	claim(counter(h, "puts") > 1000 && counter(h, "evictions") > 100,
	      "they did work: %llu puts, %llu evictions",
	      (unsigned long long)counter(h, "puts"),
	      (unsigned long long)counter(h, "evictions"));
	claim_alone("160 threads cancelled while busy");
	end("after cancellations while busy");
	return 0;
}

/* ------------------------------------------------------------------ */
/* A leader that is cancelled while it computes                        */

static _Atomic int n_computing;

static int compute_for_ever(void *context, struct larder_result *result)
{
	atomic_fetch_add(&n_computing, 1);
	pause();
	return -1;
}

static int compute_now(void *context, struct larder_result *result)
{
	atomic_fetch_add(&n_computing, 1);
	return larder_result_set(result, "done", 4, NULL);
}

static void *leader(void *unused)
{
	struct larder_view view;

	larder_fetch(h, "filled", 6, compute_for_ever, NULL, NULL, &view);
	return NULL;
}

static int cancelled_leader(void)
{
	pthread_t thread;
	struct larder_view view = {0};
	int result;

	begin();
	need(!pthread_create(&thread, NULL, leader, NULL), "a thread");
	while (!atomic_load(&n_computing))
		usleep(100);
	pthread_cancel(thread);
	need(!pthread_join(thread, NULL), "joining");
	result = larder_fetch(h, "filled", 6, compute_now, NULL, NULL, &view);
	claim(result == LARDER_OK && view.n_value == 4 &&
		      !memcmp(view.value, "done", 4) && n_computing == 2,
	      "another computes what a cancelled leader did not: '%s'",
	      larder_strerror(result));
	larder_release(h, &view);
	claim_alone("a leader that was cancelled");
	end("after a cancelled leader");
	return 0;
}

/* ------------------------------------------------------------------ */
/* Slots that outlive their handle, or their mapping                   */

struct idler {
	pthread_barrier_t attached, closed;
};

static void *idle(void *context)
{
	struct idler *i = context;
	struct larder_view view;
	bool leased = larder_lease(h, "key", 3, &view) == LARDER_OK;
	char first = leased ? *(const char *)view.value : 0, again = 1;

	pthread_barrier_wait(&i->attached);
	pthread_barrier_wait(&i->closed);
	/* The mapping is this thread's for as long as it holds a slot. */
	if (leased)
		again = *(const char *)view.value;
	return leased && first == again ? NULL : "the lease was lost";
}

static int closed_under_a_thread(void)
{
	struct idler i;
	struct larder *closed;
	pthread_t thread;
	void *result;

	begin();
	pthread_barrier_init(&i.attached, NULL, 2);
	pthread_barrier_init(&i.closed, NULL, 2);
	need(!pthread_create(&thread, NULL, idle, &i), "a thread");
	pthread_barrier_wait(&i.attached);
	closed = h;
	need(larder_open(in_folder("threads"), NULL, &h) == 0, "opening");
	larder_close(closed);
	claim(look().n_live == 1, "a thread's slot outlives its handle");
	pthread_barrier_wait(&i.closed);
	need(!pthread_join(thread, &result), "joining");
	claim(result == NULL, "its lease held: %s",
	      result ? (char *)result : "yes");
	claim_works(h, "key", N_VALUE);
	claim_alone("a thread that outlived its handle");
	end("after a handle closed under a thread");
	return 0;
}

/* Unmap every mapping of the segment, behind the library's back. */
static unsigned unmap_all(const char *path)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long from, to;
	char line[512];
	unsigned n = 0;

	need(f != NULL, "/proc/self/maps");
	while (fgets(line, sizeof line, f))
		if (strstr(line, path) &&
		    sscanf(line, "%lx-%lx", &from, &to) == 2)
			n += munmap((void *)from, to - from) == 0;
	fclose(f);
	return n;
}

static int unmapper(int i, void *context)
{
	struct larder_view view;

	need(larder_lease(h, "key", 3, &view) == LARDER_OK, "a lease");
	need(unmap_all(context) == 1, "unmapping");
	_exit(0); /* no destructor: it would go where nothing is mapped */
}

/* The kernel cannot mark what is not mapped: this death is hidden, until slots
 * are short and the owner is looked for. */
static int unmapped_with_a_slot(void)
{
	struct larder_create_options o = {
		.size_of = sizeof o, .bytes = MIB, .n_slots = 2};
	char path[128];
	struct held held;

	snprintf(path, sizeof path, "%s", in_folder("threads"));
	h = segment_in("threads", &o);
	claim_works(h, "key", N_VALUE);
	for (int i = 0; i < 3; i++)
		claim(reap(spawn(unmapper, 0, path)) == 0,
		      "a process unmaps the segment and ends, slot and lease "
		      "held (%d of 3, in 2 slots)",
		      i + 1);
	held = look();
	claim(held.n_live == 1 && held.n_dead == 1,
	      "seen from outside it is dead: %u live, %u dead", held.n_live,
	      held.n_dead);
	larder_detach_thread(h);
	claim_works(h, "key", N_VALUE);
	larder_close(h);
	unlink(path);
	return 0;
}

static void *begins_to_wait(void *detaches)
{
	struct larder_fill fill;
	struct larder_view view;

	need(larder_fill_begin(h, "watched", 7, NULL, &fill, &view) ==
		     LARDER_WAIT,
	     "a fill that waits");
	if (detaches)
		larder_detach_thread(h);
	return NULL;
}

/* Its fill ends with it. What its flight does then is no event for anybody. */
static int ends_while_it_waits(void)
{
	struct pollfd p = {.events = POLLIN};
	struct larder_fill fill;
	struct larder_view view;
	pthread_t thread;

	begin();
	p.fd = larder_fill_fd(h);
	need(p.fd >= 0, "larder_fill_fd");
	for (int detaches = 0; detaches < 2; detaches++) {
		need(larder_fill_begin(h, "watched", 7, NULL, &fill, &view) ==
			     LARDER_LEAD,
		     "a lead");
		need(pthread_create(&thread, NULL, begins_to_wait,
				    detaches ? h : NULL) == 0,
		     "a thread");
		pthread_join(thread, NULL);
		larder_fill_abandon(h, &fill);
		claim(poll(&p, 1, 500) == 0,
		      "what a thread waited for that %s wakes nobody",
		      detaches ? "detached" : "ended");
	}
	end("after a thread that waited");
	return 0;
}

static void *works_on_little(void *context)
{
	struct larder_walk_entry entry = {.size_of = sizeof entry};
	char key[16], value[N_VALUE] = {0};
	uint64_t cursor = 0;

	for (int i = 0; i < 3000; i++) {
		int n = snprintf(key, sizeof key, "%d", i % 1000);

		if (larder_put(h, key, (size_t)n, value, sizeof value, NULL))
			return context;
	}
	larder_invalidate_match(h, "1*", 2, LARDER_MATCH_EITHER);
	for (int i = 0; i < 10; i++)
		larder_maintain(h, 0);
	while (larder_walk(h, &cursor, &entry) == LARDER_OK)
		;
	return NULL;
}

/* A server of many threads gives each of them little. */
static int on_a_small_stack(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	void *failed = &thread;

	begin();
	pthread_attr_init(&attributes);
	need(pthread_attr_setstacksize(&attributes, 64 << 10) == 0,
	     "a stack of 64 KiB");
	need(pthread_create(&thread, &attributes, works_on_little, h) == 0,
	     "a thread");
	pthread_join(thread, &failed);
	claim(!failed, "a thread with a stack of 64 KiB does all there is");
	end("after a small stack");
	return 0;
}

int main(void)
{
	folder();
	stage("ends with leases held", with_leases);
	stage("ends while its fill waits", ends_while_it_waits);
	stage("on a small stack", on_a_small_stack);
	stage("cancelled at the first operation", at_first_operation);
	stage("cancelled while busy", while_busy);
	stage("a cancelled leader", cancelled_leader);
	stage("a handle closed under a thread", closed_under_a_thread);
	stage("unmapped with a slot held", unmapped_with_a_slot);
	return curtain();
}
