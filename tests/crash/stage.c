/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stage: a starting state that is built once and put back byte by byte, and
 * what must hold in it afterwards. See stage.h.
 */
#include "crash/stage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cache/cache.h"
#include "crash/stepper.h"
#include "store/page.h"
#include "store/slab.h"
#include "support/verify.h"

struct total total;
bool stop_at_first;
char doing[160];

void failure(const char *scenario, const char *mode, unsigned long at,
	     const char *what)
{
	if (total.failures++ < 400)
		printf("FAILED  %s; %s, at %lu: %s\n", scenario, mode, at,
		       what);
	if (stop_at_first) {
		fflush(stdout);
		helper_end();
		_exit(1);
	}
}

void stage_build(struct stage *st, const struct scenario *sc)
{
	const struct larder_create_options o = {
		.size_of = sizeof o,
		.bytes = SEGMENT_BYTES,
		.n_slots = N_SLOTS,
		.entry_hint = 64,
	};
	int error = larder_create_fd(&o, &st->fd);

	if (!error)
		error = larder_open_fd(st->fd, NULL, &st->h);
	must(error);
	st->sc = sc;
	st->s = atomic_load(&st->h->segment);
	st->live = mmap(NULL, SEGMENT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			st->fd, 0);
	if (st->live == MAP_FAILED)
		must(-ENOMEM);
	st->start = shared_bytes(SEGMENT_BYTES);
	dead_comes_first = sc->operation->unattached;
	sc->state->setup(st->h);
	if (!sc->state->unsettled && !sc->state->helped)
		for (int i = 0; i < GRACE + 2; i++)
			sweep_once(st->h);
	larder_detach_thread(st->h);
	memcpy(st->start, st->live, SEGMENT_BYTES);
}

void stage_reset(struct stage *st)
{
	larder_detach_thread(st->h);
	memcpy(st->live, st->start, SEGMENT_BYTES);
}

void stage_free(struct stage *st)
{
	helper_end();
	munmap(st->live, SEGMENT_BYTES);
	munmap(st->start, SEGMENT_BYTES);
	larder_close(st->h);
	close(st->fd);
}

void sweep_once(struct larder *h)
{
	struct worker *w = worker(h);
	struct segment *s = w->s;

	larder_slots_recover(w, false);
	larder_epoch_advance(w, 0);
	larder_slab_reclaim(w, false, 0);
	for (uint32_t page = 0; page < s->n_pages; page++)
		larder_slab_sweep_page(w, page, NULL);
	for (uint32_t i = 0; i < s->n_groups; i++) {
		uint64_t ctl = load_acquire(&s->groups[i].ctl);

		if (!ctl_index(ctl))
			continue;
		larder_pin(w);
		larder_index_help(w, &s->groups[i], ctl);
		larder_unpin(w);
	}
	/* What this thread keeps for itself is not left over. */
	larder_slab_flush(w);
}

uint64_t counted(const struct segment *s, unsigned counter)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < s->n_slots; i++)
		n += load_relaxed(&s->cells[i].counter[counter]);
	return n;
}

void mark_dead(struct segment *s, pid_t pid)
{
	for (uint32_t i = 0; pid && i < s->n_slots; i++) {
		atomic_u32 *word = (atomic_u32 *)&s->slots[i].claim;

		if ((load_relaxed(word) & 0x3fffffff) == (uint32_t)pid)
			store_relaxed(word, 0x40000000);
	}
}

/* Every other operation completes, on the key and beside it. */
static const char *others_go_on(struct larder *h)
{
	struct larder_fill_options o = {.size_of = sizeof o, .wait_ms = 1};
	struct larder_fill fill;
	struct larder_view view;
	uint64_t n = 0;

	if (put_letter(h, KEY, 'z', SMALL, NULL))
		return "put afterwards failed";
	if (letter_of(h) != 'z')
		return "get afterwards failed";
	if (larder_remove(h, KEY))
		return "remove afterwards failed";
	if (letter_of(h) != '-')
		return "a removed key came back";
	if (larder_increment(h, KEY, 1, 6, NULL, &n) || n != 7)
		return "increment afterwards failed";
	if (larder_invalidate_key(h, KEY) || letter_of(h) != '-')
		return "invalidation afterwards failed";
	if (larder_fill_begin(h, KEY, &o, &fill, &view) != LARDER_LEAD ||
	    larder_fill_put(h, &fill, "filled", 6, NULL))
		return "fill afterwards failed";
	if (larder_lease(h, KEY, &view) || view.n_value != 6)
		return "lease afterwards failed";
	larder_release(h, &view);
	if (larder_remove(h, KEY))
		return "remove of a filled key failed";
	return NULL;
}

const char *recover_and_look(struct larder *h, const struct scenario *sc,
			     const char *letters, bool other_may_go)
{
	static char text[200];
	struct segment *s = atomic_load(&h->segment);
	int own;
	const char *what = look(h, sc, letters, other_may_go);

	if (what)
		return what;
	own = larder_worker_slot(h);
	sweep_once(h);
	what = verify_swept(s, own, text, sizeof text);
	for (int i = 0; !what && i < GRACE + 2; i++)
		sweep_once(h);
	if (!what)
		what = look(h, sc, letters, other_may_go);
	if (!what)
		what = verify(s, own, text, sizeof text);
	if (!what)
		what = others_go_on(h);
	for (int i = 0; !what && i < GRACE + 2; i++)
		sweep_once(h);
	return what ? what : verify(s, own, text, sizeof text);
}

const char *kept_back(struct larder *h, pid_t pid, bool reads)
{
	static char text[80];
	struct segment *s = atomic_load(&h->segment);
	unsigned n_own = 0, n_kept = 0, n_pages = 0;
	uint32_t own = UINT32_MAX;

	for (uint32_t i = 0; i < s->n_slots; i++) {
		const atomic_u32 *word = (const atomic_u32 *)&s->slots[i].claim;

		if ((load_relaxed(word) & 0x3fffffff) != (uint32_t)pid)
			continue;
		/* Who recovers or claims a slot has its hazards, and not what
		 * the dead one had. */
		if (load_relaxed(&s->slots[i].tid) == (uint32_t)pid)
			own = i;
		for (unsigned k = 0; k < N_HAZARDS; k++)
			n_own += load_relaxed(&s->slots[i].hazard[k]) != 0;
	}
	for (uint32_t page = 0; page < s->n_pages; page++) {
		uint64_t word = load_relaxed(&s->page_words[page]);
		uint32_t units =
			PAGE_STATE(word) == PAGE_RUN_HEAD
				? page_units(s)
				: larder_class_units(s, PAGE_CLASS(word));

		n_pages += (PAGE_STATE(word) == PAGE_CLAIMED ||
			    PAGE_STATE(word) == PAGE_DRAINING) &&
			   (reads || PAGE_OWNER(word) != own);
		if (PAGE_STATE(word) != PAGE_RUN_HEAD &&
		    (PAGE_STATE(word) != PAGE_ACTIVE || !units))
			continue;
		for (uint32_t i = 0; i < page_units(s) / units; i++) {
			uint64_t header = load_relaxed(
				&entry_at(s,
					  page_first_unit(s, page) + i * units)
					 ->header);

			n_kept += HEADER_STATE(header) == HEADER_RETIRED ||
				  HEADER_STATE(header) == HEADER_ALLOC;
		}
	}
	if (n_kept > total.most_kept)
		total.most_kept = n_kept;
	if (n_kept <= n_own && !n_pages)
		return NULL;
	snprintf(text, sizeof text,
		 "keeps %u entries back with %u in hazard, and %u pages not "
		 "its own",
		 n_kept, n_own, n_pages);
	return text;
}
