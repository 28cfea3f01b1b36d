/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handles, and the attachment of threads to segments.
 *
 * A handle is a row of a process-wide table that is read under RCU (urcu-bp,
 * the flavour that a fork without exec survives): a thread that ends looks up
 * its handle there while another thread may be closing it. A thread's own part,
 * its worker, is found through a thread-local array; it lies in memory that the
 * kernel wipes in a forked child (MADV_WIPEONFORK), so that the child finds
 * nothing there and attaches anew, even if no fork hook was run.
 *
 * Lock order: handles_lock, then a handle's lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <urcu-bp.h>

#include "base/cancel.h"
#include "cache/cache.h"
#include "segment/create.h"

__thread struct worker *larder_workers[MAX_HANDLES]
	__attribute__((tls_model("initial-exec")));

static struct larder *handles[MAX_HANDLES]; /* urcu-bp */
static pthread_mutex_t handles_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t next_serial = 1;
static atomic_u64 n_attachments;
static pthread_key_t thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int once_error;

static void end_of_thread(void *thread);

static void before_fork(void)
{
	pthread_mutex_lock(&handles_lock);
	urcu_bp_before_fork();
}

static void after_fork_parent(void)
{
	urcu_bp_after_fork_parent();
	pthread_mutex_unlock(&handles_lock);
}

/* The slots that held these mappings beside the handle are the parent's. */
static void forget_slots(struct larder *h)
{
	struct segment *s = load_acquire(&h->segment);

	store_relaxed(&s->references, 1);
	for (s = h->old; s; s = s->older)
		store_relaxed(&s->references, 1);
}

static void after_fork_child(void)
{
	urcu_bp_after_fork_child();
	pthread_mutex_unlock(&handles_lock);
	for (int i = 0; i < MAX_HANDLES; i++) {
		/* The child has one thread, and that no slot; nobody else held
		 * these. */
		if (handles[i]) {
			pthread_mutex_init(&handles[i]->lock, NULL);
			larder_fill_forked(handles[i]);
			forget_slots(handles[i]);
		}
		/* Wiped by the kernel already. An emulator that only says that
		 * it would must not let us act in our parent's slot. */
		if (larder_workers[i] && larder_workers[i]->s)
			memset(larder_workers[i], 0, sizeof *larder_workers[i]);
	}
}

static void initialize(void)
{
	once_error = -pthread_key_create(&thread_end, end_of_thread);
	if (!once_error)
		once_error = -pthread_atfork(before_fork, after_fork_parent,
					     after_fork_child);
}

/* ------------------------------------------------------------------ */
/* This thread's worker                                                */

static size_t worker_bytes(void)
{
	return align_up(sizeof(struct worker), 4096);
}

static struct worker *worker_new(void)
{
	struct worker *w = mmap(NULL, worker_bytes(), PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (w == MAP_FAILED)
		return NULL;
	if (madvise(w, worker_bytes(), MADV_WIPEONFORK)) {
		munmap(w, worker_bytes());
		return NULL;
	}
	return w;
}

/* Give back what w holds in its segment. */
static void worker_detach(struct worker *w)
{
	struct segment *s = w->s;

	larder_slab_flush(w);
	larder_sample_begin(w); /* what it has not counted yet */
	larder_slot_release(w);
	w->s = NULL;
	/* No handle's: a get looks at no more. */
	w->handle_serial = w->usual_serial = w->storm_serial = 0;
	larder_segment_drop(s);
}

static int worker_attach(struct worker *w, struct larder *h, struct segment *s)
{
	int error;

	memset(w, 0, offsetof(struct worker, retired));
	error = larder_slot_claim(s, w);
	if (error)
		return error;
	larder_segment_hold(s);
	w->handle = h;
	w->handle_serial = h->serial;
	w->attachment = fetch_add_relaxed(&n_attachments, 1) + 1;
	w->usual_serial = s->fenced ? 0 : h->serial;
	w->near = (struct near){
		.base = s->base,
		.pages = s->base + ((uint64_t)s->first_unit << UNIT_SHIFT),
		.end = s->end,
		.groups = s->groups,
		.n_groups = s->n_groups,
		.first_unit = s->first_unit,
		.n_units = s->n_units,
	};
	larder_hash_flips(s->secret, w->near.flips);
	larder_pin_remember(w, load_relaxed(&w->s->hot->epoch));
	w->sample = w->sampled = 64;
	/* Of this slot; what its owners before had is not ours to judge by. */
	w->lagged = load_relaxed(&w->cell->counter[COUNTER_FRESH_SLOW]);
	if (getrandom(&w->random, sizeof w->random, GRND_NONBLOCK) !=
	    sizeof w->random)
		w->random = larder_clock_ns();
	w->random |= 1;
	return 0;
}

/* Open the segment that took the closed one's place. The handle is locked. */
static int reattach(struct larder *h)
{
	struct segment *closed = load_acquire(&h->segment), *fresh;
	int fd, error;

	if (!(load_acquire(&closed->hot->stamp) & STAMP_CLOSED))
		return 0; /* another thread did it */
	if (h->by_fd)
		return LARDER_ERR_CLOSED;
	fd = larder_fd_safe(open(h->path, O_RDWR | O_CLOEXEC));
	if (fd < 0)
		return LARDER_ERR_CLOSED;
	error = larder_segment_map(fd, SEGMENT_READ_WRITE, &fresh);
	if (error)
		return LARDER_ERR_CLOSED;
	if (load_acquire(&fresh->hot->stamp) & STAMP_CLOSED) {
		larder_segment_drop(fresh);
		return LARDER_ERR_CLOSED;
	}
	store_release(&h->segment, fresh);
	/* A child that another thread forks in between has lost it, which is
	 * better than having it twice. */
	compiler_barrier();
	closed->older = h->old;
	h->old = closed;
	return 0;
}

static struct worker *worker_slow(struct larder *h, int *error)
{
	struct worker *w = larder_workers[h->id];
	struct segment *s = load_acquire(&h->segment);

	if (load_acquire(&s->hot->stamp) & STAMP_CLOSED) {
		pthread_mutex_lock(&h->lock);
		*error = reattach(h);
		pthread_mutex_unlock(&h->lock);
		if (*error)
			return NULL;
		s = load_acquire(&h->segment);
	}
	if (w && w->s && w->s == s && w->handle_serial == h->serial)
		return w;
	if (w && w->s)
		worker_detach(w); /* of a closed segment, or a closed handle */
	if (!w) {
		w = worker_new();
		if (!w) {
			*error = -ENOMEM;
			return NULL;
		}
		larder_workers[h->id] = w;
	}
	/* Any value but NULL makes the destructor run. */
	if (pthread_setspecific(thread_end, larder_workers)) {
		*error = -ENOMEM;
		return NULL;
	}
	*error = worker_attach(w, h, s);
	return *error ? NULL : w;
}

struct worker *larder_worker_slow(struct larder *h, int *error)
{
	int before = cancel_hold();
	struct worker *w = worker_slow(h, error);

	cancel_allow(before);
	return w;
}

/* What this thread waited for is nobody's any more. Its handle may be closed
 * by now, or be closing. */
static void leave_fills(const struct worker *w, int id)
{
	struct larder *h;

	urcu_bp_read_lock();
	h = rcu_dereference(handles[id]);
	if (h && h->serial == w->handle_serial)
		larder_fill_left(h, w);
	urcu_bp_read_unlock();
}

/* @thread: NULL at the end of the process, which other threads do not await. */
static void end_of_thread(void *thread)
{
	for (int i = 0; i < MAX_HANDLES; i++) {
		struct worker *w = larder_workers[i];

		if (!w)
			continue;
		larder_workers[i] = NULL;
		if (w->s && thread)
			leave_fills(w, i);
		if (w->s)
			worker_detach(w);
		munmap(w, worker_bytes());
	}
}

/* A process that ends in order gives its last thread's slots back, rather than
 * leaving them to be recovered. */
static __attribute__((destructor)) void end_of_process(void)
{
	end_of_thread(NULL);
}

int larder_attach_thread(struct larder *h)
{
	int error = 0;

	return worker_of(h, &error) ? 0 : error;
}

void larder_detach_thread(struct larder *h)
{
	struct worker *w = larder_workers[h->id];

	if (w && w->s && w->handle_serial == h->serial) {
		larder_fill_left(h, w);
		worker_detach(w);
	}
}

int larder_worker_slot(struct larder *h)
{
	int error = 0;
	struct worker *w = worker_of(h, &error);

	return w ? (int)w->index : error;
}

/* ------------------------------------------------------------------ */
/* Handles                                                             */

static int publish(struct larder *h)
{
	int error = -EMFILE;

	pthread_mutex_lock(&handles_lock);
	for (uint32_t i = 0; i < MAX_HANDLES && error; i++) {
		if (handles[i])
			continue;
		h->id = i;
		h->serial = next_serial++;
		rcu_set_pointer(&handles[i], h);
		error = 0;
	}
	pthread_mutex_unlock(&handles_lock);
	return error;
}

static void handle_free(struct larder *h)
{
	pthread_mutex_destroy(&h->lock);
	free(h->path);
	free(h);
}

static int copy_options(const struct larder_open_options *given,
			struct larder *h)
{
	const struct larder_create_options *c;

	if (!given)
		return 0;
	if (given->size_of < sizeof(size_t) || given->size_of > 4096)
		return -EINVAL;
	memcpy(&h->options, given, min_u64(given->size_of, sizeof h->options));
	c = h->options.create;
	if (h->options.flags &
	    ~(unsigned)(LARDER_OPEN_CREATE | LARDER_OPEN_RECREATE |
			LARDER_OPEN_HUGE | LARDER_OPEN_POPULATE))
		return -EINVAL;
	h->create.size_of = sizeof h->create;
	if (c) {
		if (c->size_of < sizeof(size_t) || c->size_of > 4096)
			return -EINVAL;
		memcpy(&h->create, c, min_u64(c->size_of, sizeof h->create));
		h->create.size_of = sizeof h->create;
	}
	h->options.create = NULL; /* the caller's memory */
	return 0;
}

static int handle_new(const struct larder_open_options *options,
		      const char *path, int by_fd, struct larder **result)
{
	struct larder *h;
	char name[32];
	int error;

	error = pthread_once(&once, initialize);
	if (error || once_error)
		return error ? -error : once_error;
	h = calloc(1, sizeof *h);
	if (!h)
		return -ENOMEM;
	pthread_mutex_init(&h->lock, NULL);
	error = copy_options(options, h);
	if (!error) {
		h->by_fd = by_fd >= 0;
		snprintf(name, sizeof name, "fd:%d", by_fd);
		h->path = strdup(path ? path : name);
		error = h->path ? 0 : -ENOMEM;
	}
	if (error) {
		handle_free(h);
		return error;
	}
	*result = h;
	return 0;
}

#ifdef MADV_POPULATE_WRITE
enum { POPULATE_WRITE = MADV_POPULATE_WRITE };
#else
enum { POPULATE_WRITE = 23 }; /* Linux 5.14 */
#endif

#ifdef MADV_COLLAPSE
enum { COLLAPSE = MADV_COLLAPSE };
#else
enum { COLLAPSE = 25 };	      /* Linux 6.1 */
#endif

/* Neither changes a setting of the system; either may say no. By huge pages,
 * because the kernel gives up at the first that it cannot make. */
static void ask_for_huge_pages(struct segment *s)
{
	madvise(s->base, s->bytes, MADV_HUGEPAGE);
	for (uint64_t at = 0; at + LARDER_HUGE_BYTES <= s->bytes;
	     at += LARDER_HUGE_BYTES)
		madvise(s->base + at, LARDER_HUGE_BYTES, COLLAPSE);
}

static int finish(struct larder *h, struct segment *s, struct larder **result)
{
	int error;

	store_release(&h->segment, s);
	if (h->options.flags & LARDER_OPEN_HUGE)
		ask_for_huge_pages(s);
	if (h->options.flags & LARDER_OPEN_POPULATE)
		madvise(s->base, s->bytes,
			POPULATE_WRITE); /* or faults later */
	error = publish(h);
	if (error) {
		larder_segment_drop(s);
		handle_free(h);
		return error;
	}
	*result = h;
	return 0;
}

enum { OPEN_ROUNDS = 16 };

/* Which failures of an attach does recreation answer? */
static bool recreatable(int error)
{
	return error == LARDER_ERR_DAMAGED || error == LARDER_ERR_TRUNCATED ||
	       error == LARDER_ERR_NOT_LARDER || error == LARDER_ERR_VERSION ||
	       error == LARDER_ERR_FINGERPRINT ||
	       error == LARDER_ERR_BYTE_ORDER ||
	       error == LARDER_ERR_OTHER_BOOT ||
	       error == LARDER_ERR_UNFINISHED || error == LARDER_ERR_CLOSED;
}

/* Map what is at @path. *@again is the same file for larder_put_aside(), if
 * that is what the failure asks for, else -1. */
static int map_path(const char *path, struct segment **s, int *again)
{
	int fd = larder_fd_safe(open(path, O_RDWR | O_CLOEXEC)), error;

	*again = -1;
	if (fd < 0)
		return fd;
	*again = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (*again < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	error = larder_segment_map(fd, SEGMENT_READ_WRITE, s);
	if (!error && (load_acquire(&(*s)->hot->stamp) & STAMP_CLOSED)) {
		larder_segment_drop(*s);
		error = LARDER_ERR_CLOSED;
	}
	if (!recreatable(error)) {
		close(*again);
		*again = -1;
	}
	return error;
}

static int open_path(const char *path,
		     const struct larder_open_options *options,
		     struct larder **result)
{
	struct segment *s = NULL;
	struct larder *h;
	int error, again;

	if (!path || !*path || !result)
		return -EINVAL;
	error = handle_new(options, path, -1, &h);
	if (error)
		return error;
	/* Create, lose the race, put aside, create again: each round but the
	 * last needs another one's success in between. */
	for (int round = 0; round < OPEN_ROUNDS; round++) {
		error = map_path(path, &s, &again);
		if (error == -ENOENT &&
		    (h->options.flags &
		     (LARDER_OPEN_CREATE | LARDER_OPEN_RECREATE))) {
			error = larder_create(path, &h->create);
			if (error < 0)
				break;
			continue;
		}
		if (again >= 0 && (h->options.flags & LARDER_OPEN_RECREATE)) {
			int aside = larder_put_aside(path, again);

			close(again);
			if (!aside)
				continue;
			error = aside;
		} else if (again >= 0) {
			close(again);
		}
		break;
	}
	if (error || !s) {
		handle_free(h);
		return error < 0 ? error : -EAGAIN;
	}
	return finish(h, s, result);
}

int larder_open(const char *path, const struct larder_open_options *options,
		struct larder **result)
{
	int before = cancel_hold();
	int error = open_path(path, options, result);

	cancel_allow(before);
	return error;
}

static int open_fd(int fd, const struct larder_open_options *options,
		   struct larder **result)
{
	struct segment *s;
	struct larder *h;
	int own, error;

	if (!result)
		return -EINVAL;
	error = handle_new(options, NULL, fd, &h);
	if (error)
		return error;
	own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	error = own < 0 ? -errno
			: larder_segment_map(own, SEGMENT_READ_WRITE, &s);
	if (error) {
		handle_free(h);
		return error;
	}
	return finish(h, s, result);
}

int larder_open_fd(int fd, const struct larder_open_options *options,
		   struct larder **result)
{
	int before = cancel_hold();
	int error = open_fd(fd, options, result);

	cancel_allow(before);
	return error;
}

void larder_close(struct larder *h)
{
	struct worker *w;
	int before;

	if (!h)
		return;
	before = cancel_hold();
	pthread_mutex_lock(&handles_lock);
	rcu_set_pointer(&handles[h->id], NULL);
	pthread_mutex_unlock(&handles_lock);
	/* A thread that ends may be looking at the watches [leave_fills()]. */
	urcu_bp_synchronize_rcu();
	larder_fill_close(h);

	w = larder_workers[h->id];
	if (w && w->s && w->handle_serial == h->serial)
		worker_detach(w);
	/* Slots of other threads keep the mapping until those threads end. */
	larder_segment_drop(load_acquire(&h->segment));
	while (h->old) {
		struct segment *closed = h->old;

		h->old = closed->older;
		larder_segment_drop(closed);
	}
	handle_free(h);
	cancel_allow(before);
}

/* ------------------------------------------------------------------ */
/* What is known of a handle                                           */

uint32_t larder_n_slots(struct larder *h)
{
	return load_acquire(&h->segment)->n_slots;
}

uint64_t larder_value_max(struct larder *h)
{
	return load_acquire(&h->segment)->sb->value_max;
}

const char *larder_path(struct larder *h)
{
	return h->path;
}

uint64_t larder_huge(struct larder *h)
{
	struct segment *s = load_acquire(&h->segment);
	unsigned long begin, end, kib = 0, value;
	char line[256];
	bool inside = false;
	int before = cancel_hold();
	FILE *f = fopen("/proc/self/smaps", "re");

	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
			inside = begin < (uintptr_t)s->base + s->bytes &&
				 end > (uintptr_t)s->base;
		else if (inside &&
			 (sscanf(line, "ShmemPmdMapped: %lu", &value) == 1 ||
			  sscanf(line, "FilePmdMapped: %lu", &value) == 1))
			kib += value;
	}
	if (f)
		fclose(f);
	cancel_allow(before);
	return (uint64_t)kib << 10;
}
