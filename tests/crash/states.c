/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting states: what is there before the operation that is stepped.
 *
 * What "the dead" left is left by a process that really attached, did it, and
 * is gone: its slot is as the kernel leaves it.
 */
#include "crash/scenario.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/cache.h"
#include "cache/pattern.h"
#include "cache/words.h"
#include "store/evict.h"
#include "store/page.h"

pid_t helper_pid;
bool dead_comes_first;

void helper_end(void)
{
	if (!helper_pid)
		return;
	kill(helper_pid, SIGKILL);
	waitpid(helper_pid, NULL, 0);
	helper_pid = 0;
}

/* Let a process do it and die. */
static void by_dead(struct larder *h, void (*deed)(struct worker *w))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		deed(worker(h));
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		must(LARDER_NO_SPACE);
}

/* ------------------------------------------------------------------ */
/* Without any death                                                   */

static void absent(struct larder *h)
{
	must(put_letter(h, OTHER, 'o', SMALL, NULL));
}

static void present(struct larder *h)
{
	absent(h);
	must(put_letter(h, KEY, 'a', SMALL, NULL));
}

static void fill_group(struct larder *h, unsigned n)
{
	struct segment *s = atomic_load(&h->segment);

	for (unsigned i = 0; i < n; i++) {
		char key[16];
		size_t n_key = neighbour(s, i, key);

		must(put_letter(h, key, n_key, 'g', SMALL, NULL));
	}
}

static void group_full(struct larder *h)
{
	fill_group(h, GROUP_SLOTS);
}

static void group_full_present(struct larder *h)
{
	fill_group(h, GROUP_SLOTS - 1);
	must(put_letter(h, KEY, 'a', SMALL, NULL));
}

/* Every page is of one class or another, every object taken. */
static void memory_full(struct larder *h)
{
	char key[16];

	for (unsigned i = 0; i < 3000; i++)
		must(put_letter(h, key,
				(size_t)snprintf(key, sizeof key, "m%u", i),
				'm', i % 2 ? 500 : SMALL, NULL));
}

static void memory_full_present(struct larder *h)
{
	memory_full(h);
	must(put_letter(h, KEY, 'a', SMALL, NULL));
}

static void counter(struct larder *h)
{
	absent(h);
	must(larder_increment(h, KEY, 0, 100, NULL, NULL));
}

static void expired(struct larder *h)
{
	struct larder_put_options o = {.size_of = sizeof o, .ttl_ms = 1};

	absent(h);
	must(put_letter(h, KEY, 'a', SMALL, &o));
	usleep(20000);
}

static void tagged(struct larder *h)
{
	struct larder_tag tag = {"t", 1};
	struct larder_put_options o = {
		.size_of = sizeof o, .tags = &tag, .n_tags = 1};

	absent(h);
	must(put_letter(h, KEY, 'a', SMALL, &o));
}

/* KEY's stamp is older than some unrelated invalidations. */
static void lagging(struct larder *h)
{
	tagged(h);
	for (int i = 0; i < 20; i++)
		must(larder_invalidate_tag(h, "u", 1));
}

static void run_present(struct larder *h)
{
	absent(h);
	must(put_letter(h, KEY, 'a', LARGE, NULL));
}

/* KEY is invalid, and its number the next that is displaced from its set. */
static void set_full(struct larder *h)
{
	struct segment *s = atomic_load(&h->segment);

	present(h);
	must(larder_invalidate_key(h, KEY));
	for (unsigned i = 0; i < TAG_WORDS - 1; i++) {
		char key[16];
		size_t n = set_neighbour(s, i, key);

		must(larder_invalidate_key(h, key, n));
	}
}

/* Others of KEY's size, in its page and in another one. */
static void beside(struct larder *h)
{
	char key[16];

	for (unsigned i = 0; i < 40; i++)
		must(put_letter(h, key,
				(size_t)snprintf(key, sizeof key, "b%u", i),
				'n', SMALL, NULL));
}

/* Nothing of KEY's size is free any more. */
static void use_up(struct larder *h)
{
	struct worker *w = worker(h);
	uint64_t header;
	uint32_t unit;
	char key[16];

	for (unsigned i = 0;
	     larder_slab_take_known(w, small_class(w->s), &unit, &header);
	     i++) {
		larder_slab_abandon(w, unit, header);
		must(put_letter(h, key,
				(size_t)snprintf(key, sizeof key, "f%u", i),
				'm', SMALL, NULL));
	}
}

/* KEY has references, and there is room for it in another page. */
static void warm(struct larder *h)
{
	present(h);
	beside(h);
	for (int i = 0; i < REFERENCE_CAP; i++)
		must(letter_of(h) == 'a' ? 0 : LARDER_MISS);
}

static void warm_full(struct larder *h)
{
	memory_full(h);
	warm(h);
	use_up(h);
}

/* KEY is kept, in a page with others; there is room in another one. */
static void kept_alone(struct larder *h)
{
	struct larder_put_options o = {.size_of = sizeof o,
				       .flags = LARDER_KEEP};

	absent(h);
	must(put_letter(h, KEY, 'p', SMALL, &o));
}

static void kept(struct larder *h)
{
	kept_alone(h);
	beside(h);
}

/* Nothing of its size is free. */
static void kept_full(struct larder *h)
{
	kept(h);
	memory_full(h);
	use_up(h);
}

/* Free memory beside KEY's bears marks, of a death between retiring and
 * unmarking. */
static void marked(struct larder *h)
{
	struct worker *w;
	struct segment *s;
	uint32_t first, units;

	present(h);
	w = worker(h);
	s = w->s;
	first = page_first_unit(s, page_of_unit(s, unit_of_key(h)));
	units = larder_class_units(s, small_class(s));
	for (uint32_t u = first; u + units <= first + page_units(s); u += units)
		if (HEADER_STATE(load_acquire(&entry_at(s, u)->header)) ==
		    HEADER_FREE)
			larder_evict_linked(w, small_class(s), u, false);
}

/* KEY was there, and its memory waits for its grace period. */
static void garbage(struct larder *h)
{
	present(h);
	for (int i = 0; i < 3; i++) {
		must(larder_remove(h, KEY));
		must(put_letter(h, KEY, 'a', SMALL, NULL));
	}
	must(larder_remove(h, KEY));
}

/* ------------------------------------------------------------------ */
/* Left by the dead                                                    */

/* An entry of @key in hand: allocated, written, not linked. */
static uint32_t in_hand(struct worker *w, const char *key, size_t n_key,
			char letter, uint64_t *header)
{
	char value[SMALL];
	struct entry_plan plan = {.key = key,
				  .n_key = (uint32_t)n_key,
				  .value = value,
				  .n_value = SMALL};
	uint32_t unit;

	memset(value, letter, sizeof value);
	if (larder_slab_alloc(w, larder_entry_bytes(&plan), &unit, header))
		_exit(1);
	larder_entry_write(w->s, entry_at(w->s, unit), &plan,
			   larder_fresh_now(w->s));
	return unit;
}

static void announce(struct worker *w, const char *key, size_t n_key)
{
	uint64_t header, ctl;
	struct group *g = group_of_key(w->s, key, n_key);
	uint32_t unit = in_hand(w, key, n_key, 'a', &header);
	int i = larder_index_find_empty(g);

	if (i < 0)
		_exit(1);
	ctl = load_acquire(&g->ctl);
	store_release(&g->ctl, ctl_next(ctl, (unsigned)i + 1, unit));
}

static void announce_key(struct worker *w)
{
	announce(w, KEY);
}

static void announce_beside(struct worker *w)
{
	char key[16];
	size_t n_key = neighbour(w->s, 0, key);

	announce(w, key, n_key);
}

static void link_key(struct worker *w)
{
	struct group *g = group_of_key(w->s, KEY);

	announce(w, KEY);
	larder_pin(w);
	larder_index_help(w, g, load_acquire(&g->ctl));
}

/* KEY is taken out and not retired. */
static void unlink_key(struct worker *w)
{
	uint64_t word, hash = key_hash_of(w->s, KEY);
	struct group *g = group_of(w->s, hash);
	struct lookup there;

	larder_pin(w);
	if (!larder_find(w, KEY, hash, &there))
		_exit(1);
	word = load_acquire(&g->slot[there.slot]);
	if (larder_index_unlink(w, g, there.slot, word) != INDEX_DONE)
		_exit(1);
}

static void fill_only(struct worker *w)
{
	uint64_t header;

	in_hand(w, "in hand", 7, 'h', &header);
}

static void lease_key(struct worker *w)
{
	struct larder_view view;

	if (larder_lease(w->handle, KEY, &view))
		_exit(1);
}

static void pin_only(struct worker *w)
{
	larder_pin(w);
}

static void maintain(struct worker *w)
{
	larder_maintain(w->handle, 1);
}

static uint64_t dead_word(struct worker *w, unsigned state, uint64_t word)
{
	return page_word(state, PAGE_CLASS(word), PAGE_GENERATION(word),
			 w->index, w->generation);
}

static uint32_t free_pages(struct worker *w, uint32_t n)
{
	struct segment *s = w->s;

	for (uint32_t page = 0, here = 0; page < s->n_pages; page++) {
		uint64_t word = load_acquire(&s->page_words[page]);

		here = PAGE_STATE(word) == PAGE_FREE ? here + 1 : 0;
		if (here == n)
			return page + 1 - n;
	}
	_exit(1);
}

static void claim_page(struct worker *w)
{
	atomic_u64 *word = &w->s->page_words[free_pages(w, 1)];

	store_release(word, dead_word(w, PAGE_CLAIMED, load_acquire(word)));
}

/* Three pages claimed, bodies joined, the head never opened. */
static void half_claim_run(struct worker *w)
{
	uint32_t head;

	if (!larder_run_claim(w, 3, false, &head))
		_exit(1);
}

/* KEY's run is free, its head claimed, its bodies not yet given back. */
static void half_free_run(struct worker *w)
{
	struct segment *s = w->s;
	uint64_t hash = key_hash_of(s, KEY), header;
	struct lookup there;
	uint32_t page;

	larder_pin(w);
	if (!larder_find(w, KEY, hash, &there))
		_exit(1);
	page = page_of_unit(s, there.unit);
	header = load_acquire(&entry_at(s, there.unit)->header);
	if (larder_index_unlink(w, there.group, there.slot, there.word) !=
	    INDEX_DONE)
		_exit(1);
	store_release(
		&entry_at(s, there.unit)->header,
		header_word(HEADER_FREE, 0, HEADER_GENERATION(header), 0));
	store_release(
		&s->page_words[page],
		dead_word(w, PAGE_CLAIMED, load_acquire(&s->page_words[page])));
}

/* KEY's page is being drained, some of its objects are blocked already. */
static void half_drain(struct worker *w)
{
	struct segment *s = w->s;
	uint64_t hash = key_hash_of(s, KEY);
	struct lookup there;
	uint32_t page, units, first;

	larder_pin(w);
	if (!larder_find(w, KEY, hash, &there))
		_exit(1);
	page = page_of_unit(s, there.unit);
	first = page_first_unit(s, page);
	units = larder_class_units(s, small_class(s));
	store_release(&s->page_words[page],
		      dead_word(w, PAGE_DRAINING,
				load_acquire(&s->page_words[page])));
	for (uint32_t i = 0; i < page_units(s) / units; i++) {
		atomic_u64 *at = &entry_at(s, first + i * units)->header;
		uint64_t h = load_acquire(at);

		if (HEADER_STATE(h) == HEADER_FREE && i % 2)
			store_release(at, header_word(HEADER_BLOCKED, 0,
						      HEADER_GENERATION(h), 0));
	}
	larder_unpin(w);
}

/* Tag "t" raised to the next number, which was never drawn. */
static void half_invalidate(struct worker *w)
{
	uint64_t hash = larder_tag_hash(w->s, "t", 1);

	larder_set_raise(tag_set_of(w->s, hash), hash,
			 larder_fresh_now(w->s) + 1);
}

static void claim_patterns(struct worker *w)
{
	struct hot *hot = w->s->hot;

	for (uint32_t i = 0; i < N_PATTERNS; i++)
		store_release(
			&hot->pattern_word[i],
			pattern_word(pattern_owner(w->index, w->generation), 1,
				     PATTERN_CLAIMED));
	store_release(&hot->pattern_slots, N_PATTERNS);
}

/* A pattern that matches KEY is effective; its number was never drawn. */
static void draw_pattern(struct worker *w)
{
	struct hot *hot = w->s->hot;
	struct pattern *p = &w->s->patterns[0];

	store_release(&p->owner, pattern_owner(w->index, w->generation));
	store_release(&p->created_ms, larder_clock_ms());
	store_release(&p->n_text, 1);
	store_release(&p->match, LARDER_MATCH_KEYS);
	store_release(&p->generation, 1);
	store_release(&p->text[0], '*');
	store_release(&hot->pattern_slots, 1);
	store_release(
		&hot->pattern_word[0],
		pattern_word(larder_fresh_now(w->s) + 1, 1, PATTERN_DRAWING));
}

static void lead(struct worker *w)
{
	struct larder_fill fill;
	struct larder_view view;

	if (larder_fill_begin(w->handle, KEY, NULL, &fill, &view) !=
	    LARDER_LEAD)
		_exit(1);
}

/* A region is there; its sizes were never written. */
static void half_reserve(struct worker *w)
{
	if (larder_store_region(w, "larder/region/r", 15,
				64 + 64 + 64 * N_SLOTS))
		_exit(1);
}

/* KEY's entry has been copied, and the copy linked instead. */
static void half_move(struct worker *w)
{
	struct segment *s = w->s;
	const size_t skip = offsetof(struct entry, version);
	uint64_t hash = key_hash_of(s, KEY), header;
	struct lookup there;
	uint32_t to;

	if (larder_slab_alloc(w, ENTRY_FIXED + 8 + SMALL, &to, &header))
		_exit(1);
	larder_pin(w);
	if (!larder_find(w, KEY, hash, &there))
		_exit(1);
	memcpy((char *)entry_at(s, to) + skip,
	       (char *)entry_at(s, there.unit) + skip, there.v.n_bytes - skip);
	if (larder_index_replace(w, there.group, there.slot, there.word,
				 tag_of(hash), to) != INDEX_DONE)
		_exit(1);
}

#define LEFT(name, before, deed)                                               \
	static void name(struct larder *h)                                     \
	{                                                                      \
		before(h);                                                     \
		if (dead_comes_first)                                          \
			larder_detach_thread(h);                               \
		by_dead(h, deed);                                              \
	}
LEFT(pending, absent, announce_key)
LEFT(pending_beside, present, announce_beside)
LEFT(half_invalidated, tagged, half_invalidate)
LEFT(run_half_claimed, present, half_claim_run)
LEFT(run_half_freed, run_present, half_free_run)
LEFT(page_claimed, present, claim_page)
LEFT(page_draining, present, half_drain)
LEFT(kept_draining, kept, half_drain)
LEFT(kept_half_moved, kept, half_move)
LEFT(dead_filling, present, fill_only)
LEFT(dead_linked, absent, link_key)
LEFT(dead_unlinked, present, unlink_key)
LEFT(dead_leasing, present, lease_key)
LEFT(dead_pinned, present, pin_only)
LEFT(dead_maintainer, present, maintain)
LEFT(patterns_claimed, present, claim_patterns)
LEFT(pattern_drawing, present, draw_pattern)
LEFT(flight_dead, absent, lead)
LEFT(region_half, present, half_reserve)

/* Every slot was taken, and all of those who took them died at once. */
static void slots_full(struct larder *h)
{
	pid_t pid[N_SLOTS];
	int status;

	present(h);
	larder_detach_thread(h);
	for (int i = 0; i < N_SLOTS; i++) {
		pid[i] = fork();
		if (pid[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (larder_attach_thread(h))
				_exit(1);
			raise(SIGSTOP);
			_exit(1);
		}
		if (pid[i] < 0 || waitpid(pid[i], &status, WUNTRACED) < 0 ||
		    !WIFSTOPPED(status))
			must(LARDER_ERR_SLOTS_FULL);
	}
	for (int i = 0; i < N_SLOTS; i++) {
		kill(pid[i], SIGKILL);
		waitpid(pid[i], NULL, 0);
	}
}

/* KEY is being computed by somebody who lives and takes its time. */
static void flight_led(struct larder *h)
{
	int status;

	absent(h);
	larder_detach_thread(h);
	helper_pid = fork();
	if (helper_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		lead(worker(h));
		raise(SIGSTOP);
		_exit(0);
	}
	if (helper_pid < 0 || waitpid(helper_pid, &status, WUNTRACED) < 0 ||
	    !WIFSTOPPED(status))
		must(LARDER_NO_SPACE);
}

const struct state states[] = {
	[S_ABSENT] = {"absent", absent, "-"},
	[S_PRESENT] = {"present", present, "a"},
	[S_GROUP_FULL] = {"group full", group_full, "-", .crowded = true,
			  .elsewhere = true},
	[S_GROUP_FULL_PRESENT] = {"group full, present", group_full_present,
				  "a", .crowded = true, .elsewhere = true},
	[S_MEMORY_FULL] = {"memory full", memory_full, "-", .pressed = true,
			   .elsewhere = true},
	[S_MEMORY_FULL_PRESENT] = {"memory full, present", memory_full_present,
				   "a", .pressed = true, .elsewhere = true},
	[S_PENDING] = {"announced by a dead one", pending, "-a",
		       .unsettled = true},
	[S_PENDING_BESIDE] = {"another announced by a dead one", pending_beside,
			      "a", .unsettled = true},
	[S_COUNTER] = {"a counter", counter, "c"},
	[S_EXPIRED] = {"expired", expired, "-"},
	[S_TAGGED] = {"tagged", tagged, "a"},
	[S_LAGGING] = {"stamp lags", lagging, "a", .unsettled = true},
	[S_HALF_INVALIDATED] = {"half invalidated by a dead one",
				half_invalidated, "-a", .unsettled = true},
	[S_RUN] = {"a run", run_present, "A"},
	[S_RUN_HALF_CLAIMED] = {"run half claimed by a dead one",
				run_half_claimed, "a", .unsettled = true},
	[S_RUN_HALF_FREED] = {"run half freed by a dead one", run_half_freed,
			      "-", .unsettled = true},
	[S_PAGE_CLAIMED] = {"page claimed by a dead one", page_claimed, "a",
			    .unsettled = true},
	[S_PAGE_DRAINING] = {"page draining by a dead one", page_draining, "a",
			     .unsettled = true},
	[S_DEAD_FILLING] = {"dead with an entry in hand", dead_filling, "a",
			    .unsettled = true},
	[S_DEAD_LINKED] = {"dead before LIVE", dead_linked, "a",
			   .unsettled = true},
	[S_DEAD_UNLINKED] = {"dead before retiring", dead_unlinked, "-",
			     .unsettled = true},
	[S_DEAD_LEASING] = {"leased by a dead one", dead_leasing, "a",
			    .unsettled = true},
	[S_DEAD_PINNED] = {"pinned by a dead one", dead_pinned, "a",
			   .unsettled = true},
	[S_DEAD_MAINTAINER] = {"maintainer dead", dead_maintainer, "a",
			       .unsettled = true},
	[S_SLOTS_FULL] = {"slots full of the dead", slots_full, "a",
			  .unsettled = true},
	[S_PATTERNS_CLAIMED] = {"patterns claimed by a dead one",
				patterns_claimed, "a", .unsettled = true},
	[S_PATTERN_DRAWING] = {"pattern drawn by a dead one", pattern_drawing,
			       "-a", .unsettled = true},
	[S_FLIGHT_DEAD] = {"led by a dead one", flight_dead, "-",
			   .unsettled = true},
	[S_FLIGHT_LED] = {"led by another", flight_led, "-", .helped = true},
	[S_REGION_HALF] = {"half reserved by a dead one", region_half, "a",
			   .unsettled = true},
	[S_SET_FULL] = {"invalid, its set full", set_full, "s",
			.unsettled = true},
	[S_WARM] = {"in use", warm, "a"},
	[S_WARM_FULL] = {"memory full, in use", warm_full, "a", .pressed = true,
			 .elsewhere = true, .unsettled = true},
	[S_KEPT] = {"kept", kept, "p"},
	[S_KEPT_ALONE] = {"kept alone", kept_alone, "p"},
	[S_KEPT_FULL] = {"memory full, kept", kept_full, "p", .pressed = true,
			 .elsewhere = true, .unsettled = true},
	[S_KEPT_DRAINING] = {"kept, page draining by a dead one", kept_draining,
			     "p", .unsettled = true},
	[S_KEPT_HALF_MOVED] = {"kept, half moved by a dead one",
			       kept_half_moved, "p", .unsettled = true},
	[S_MARKED] = {"marked by a dead one", marked, "a", .unsettled = true},
	[S_GARBAGE] = {"garbage", garbage, "-", .unsettled = true},
};
const unsigned n_states = N_STATES;
_Static_assert(sizeof states / sizeof states[0] == N_STATES, "all of them");
