/* SPDX-License-Identifier: Apache-2.0 */
/*
 * larder_fill_fd(): watch.h.
 *
 *   field                  written by             under
 *   watches, n_raised      pollers, the thread    lock
 *   stop, running          larder_fill_fd, close  lock
 *   h->watch               first user, fork, close  h->lock
 *
 * The eventfd's count is not 0 exactly while n_raised is not: each watch that
 * was raised and not polled since keeps it readable, so polling one fill does
 * not swallow the event of another.
 */
#include "cache/watch.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cancel.h"
#include "cache/flight.h"

enum { SLICE_MS = 2 };

struct watch {
	struct watched what;
	bool used, raised;
	uint32_t next_free; /* id, 0: none */
};

struct fill_watch {
	pthread_mutex_t lock;
	pthread_cond_t wanted; /* a watch was added, or stop */
	pthread_t thread;
	bool running, stop;
	int fd;		       /* -1: nobody asked for it */
	struct watch *watches; /* id - 1 is the index */
	uint32_t n_watches, first_free;
	uint32_t n_raised;
};

static struct fill_watch *watch_of(struct larder *h)
{
	struct fill_watch *fw = load_acquire(&h->watch);

	if (fw)
		return fw;
	pthread_mutex_lock(&h->lock);
	fw = load_acquire(&h->watch);
	if (!fw) {
		fw = calloc(1, sizeof *fw);
		if (fw) {
			pthread_mutex_init(&fw->lock, NULL);
			pthread_cond_init(&fw->wanted, NULL);
			fw->fd = -1;
			store_release(&h->watch, fw);
		}
	}
	pthread_mutex_unlock(&h->lock);
	return fw;
}

/* Make the eventfd agree with n_raised. Locked. */
static void show_locked(struct fill_watch *fw)
{
	uint64_t one = 1;
	ssize_t n;
	int before;

	if (fw->fd < 0)
		return;
	/* Neither can block, and neither result matters: full is readable, and
	 * empty is what was wanted. */
	before = cancel_hold();
	n = fw->n_raised ? write(fw->fd, &one, sizeof one)
			 : read(fw->fd, &one, sizeof one);
	(void)n;
	cancel_allow(before);
}

static void raise_locked(struct fill_watch *fw, struct watch *w)
{
	if (w->raised)
		return;
	w->raised = true;
	if (fw->n_raised++ == 0)
		show_locked(fw);
}

static void lower_locked(struct fill_watch *fw, struct watch *w)
{
	if (!w->raised)
		return;
	w->raised = false;
	if (--fw->n_raised == 0)
		show_locked(fw);
}

/* Is polling the fill worth it? */
static bool worth_it(const struct watched *what, uint64_t now)
{
	uint64_t word = load_acquire(&what->flight->word);

	return word != what->word || now >= what->deadline_ms ||
	       now >= what->give_up_ms || !larder_flight_led(what->s, word);
}

/* Look at all watches. The segment to sleep on, or NULL if every watch is
 * raised already or there is none. Locked. */
static struct segment *look_locked(struct fill_watch *fw)
{
	uint64_t now = larder_clock_ms();
	struct segment *s = NULL;

	for (uint32_t i = 0; i < fw->n_watches; i++) {
		struct watch *w = &fw->watches[i];

		if (!w->used || w->raised)
			continue;
		if (worth_it(&w->what, now))
			raise_locked(fw, w);
		else
			s = w->what.s;
	}
	return s;
}

static void *watch_thread(void *context)
{
	struct fill_watch *fw = context;

	pthread_mutex_lock(&fw->lock);
	while (!fw->stop) {
		struct segment *s = look_locked(fw);
		uint32_t wakes;

		if (!s) {
			pthread_cond_wait(&fw->wanted, &fw->lock);
			continue;
		}
		/* The count first, then once more a look: what ends in between
		 * changes the count. */
		wakes = larder_flight_wakes(s);
		s = look_locked(fw);
		if (!s)
			continue;
		pthread_mutex_unlock(&fw->lock);
		larder_flight_sleep_any(s, wakes, SLICE_MS);
		pthread_mutex_lock(&fw->lock);
	}
	pthread_mutex_unlock(&fw->lock);
	return NULL;
}

static int start_locked(struct fill_watch *fw)
{
	sigset_t all, before;
	int error;

	if (fw->fd < 0) {
		fw->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fw->fd < 0)
			return -errno;
	}
	if (!fw->running) {
		/* The program's signals are the program's threads' business. */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		error = pthread_create(&fw->thread, NULL, watch_thread, fw);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		if (error)
			return -error;
		fw->running = true;
	}
	show_locked(fw);
	return fw->fd;
}

int larder_fill_fd(struct larder *h)
{
	struct fill_watch *fw;
	int result;

	if (!h)
		return -EINVAL;
	fw = watch_of(h);
	if (!fw)
		return -ENOMEM;
	pthread_mutex_lock(&fw->lock);
	result = start_locked(fw);
	pthread_mutex_unlock(&fw->lock);
	return result;
}

/* ------------------------------------------------------------------ */

static uint32_t take_free_locked(struct fill_watch *fw)
{
	uint32_t id = fw->first_free;

	if (id) {
		fw->first_free = fw->watches[id - 1].next_free;
		return id;
	}
	uint32_t n = fw->n_watches ? fw->n_watches * 2 : 16;
	struct watch *more = realloc(fw->watches, n * sizeof *more);

	if (!more)
		return 0;
	memset(more + fw->n_watches, 0, (n - fw->n_watches) * sizeof *more);
	for (uint32_t i = fw->n_watches + 1; i < n; i++) {
		more[i].next_free = fw->first_free;
		fw->first_free = i + 1;
	}
	id = fw->n_watches + 1;
	fw->watches = more;
	fw->n_watches = n;
	return id;
}

uint32_t larder_watch_add(struct larder *h, const struct watched *what)
{
	struct fill_watch *fw = watch_of(h);
	uint32_t id;

	if (!fw)
		return 0;
	pthread_mutex_lock(&fw->lock);
	id = take_free_locked(fw);
	if (id) {
		fw->watches[id - 1] = (struct watch){
			.what = *what,
			.used = true,
		};
		pthread_cond_signal(&fw->wanted);
	}
	pthread_mutex_unlock(&fw->lock);
	return id;
}

/* NULL if there is none of this id: the fill is of before a fork. Locked. */
static struct watch *find_locked(struct fill_watch *fw, uint32_t id)
{
	if (!id || id > fw->n_watches || !fw->watches[id - 1].used)
		return NULL;
	return &fw->watches[id - 1];
}

void larder_watch_again(struct larder *h, uint32_t id,
			const struct watched *what)
{
	struct fill_watch *fw = load_acquire(&h->watch);
	struct watch *w;

	if (!fw || !id)
		return;
	pthread_mutex_lock(&fw->lock);
	w = find_locked(fw, id);
	if (w) {
		w->what = *what;
		lower_locked(fw, w);
		pthread_cond_signal(&fw->wanted);
	}
	pthread_mutex_unlock(&fw->lock);
}

static void remove_locked(struct fill_watch *fw, uint32_t id)
{
	struct watch *w = &fw->watches[id - 1];

	lower_locked(fw, w);
	w->used = false;
	w->next_free = fw->first_free;
	fw->first_free = id;
}

void larder_watch_remove(struct larder *h, uint32_t id)
{
	struct fill_watch *fw = load_acquire(&h->watch);

	if (!fw || !id)
		return;
	pthread_mutex_lock(&fw->lock);
	if (find_locked(fw, id))
		remove_locked(fw, id);
	pthread_mutex_unlock(&fw->lock);
}

/* Nobody else may poll them, and one that was raised would keep the eventfd
 * readable for ever. */
void larder_fill_left(struct larder *h, const struct worker *w)
{
	struct fill_watch *fw = load_acquire(&h->watch);

	if (!fw)
		return;
	pthread_mutex_lock(&fw->lock);
	for (uint32_t i = 0; i < fw->n_watches; i++) {
		const struct watched *what = &fw->watches[i].what;

		if (fw->watches[i].used && what->s == w->s &&
		    what->slot == w->index && what->generation == w->generation)
			remove_locked(fw, i + 1);
	}
	pthread_mutex_unlock(&fw->lock);
}

static void watch_free(struct fill_watch *fw)
{
	if (fw->fd >= 0)
		close(fw->fd);
	pthread_cond_destroy(&fw->wanted);
	pthread_mutex_destroy(&fw->lock);
	free(fw->watches);
	free(fw);
}

void larder_fill_close(struct larder *h)
{
	struct fill_watch *fw = load_acquire(&h->watch);

	if (!fw)
		return;
	pthread_mutex_lock(&fw->lock);
	fw->stop = true;
	pthread_cond_signal(&fw->wanted);
	pthread_mutex_unlock(&fw->lock);
	if (fw->running)
		pthread_join(fw->thread, NULL);
	store_release(&h->watch, NULL);
	watch_free(fw);
}

/*
 * In a forked child, which has the one thread that called fork(): the watcher
 * stayed behind, and its fills are the parent's. The eventfd is shared with the
 * parent and must not be touched, only let go. If another thread was inside,
 * the rest may be half changed; it is left to itself.
 */
void larder_fill_forked(struct larder *h)
{
	struct fill_watch *fw = load_acquire(&h->watch);

	if (!fw)
		return;
	store_release(&h->watch, NULL);
	if (fw->fd >= 0)
		close(fw->fd);
	if (pthread_mutex_trylock(&fw->lock))
		return;
	free(fw->watches);
	free(fw);
}
