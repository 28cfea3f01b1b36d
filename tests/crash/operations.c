/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations that are stepped, what each makes of KEY, and the starting states
 * that matter to it.
 *
 * A value is a letter repeated, so that a torn one shows; one by an operation
 * is never equal to one by a starting state or a script.
 */
#include "crash/letters.h"
#include "crash/scenario.h"

#include <errno.h>
#include <string.h>

#include "cache/cache.h"
#include "store/evict.h"
#include "store/page.h"

/* ------------------------------------------------------------------ */
/* Stores                                                              */

static int op_put(struct larder *h)
{
	return put_letter(h, KEY, 'b', SMALL, NULL);
}

static int op_put_kept(struct larder *h)
{
	struct larder_put_options o = {.size_of = sizeof o,
				       .flags = LARDER_KEEP};

	return put_letter(h, KEY, 'q', SMALL, &o);
}

static int op_put_run(struct larder *h)
{
	/* The value is zeroes: no long copy is stepped through. */
	static const char value[RUN];

	return larder_put(h, KEY, value, sizeof value, NULL);
}

static int op_put_tagged(struct larder *h)
{
	struct larder_tag tag = {"t", 1};
	struct larder_put_options o = {.size_of = sizeof o,
				       .tags = &tag,
				       .n_tags = 1,
				       .ttl_ms = 600000};

	return put_letter(h, KEY, 'b', SMALL, &o);
}

static int op_add(struct larder *h)
{
	char value[SMALL];

	memset(value, 'b', sizeof value);
	return larder_add(h, KEY, value, sizeof value, NULL);
}

static int op_replace(struct larder *h)
{
	char value[SMALL];

	memset(value, 'b', sizeof value);
	return larder_replace(h, KEY, value, sizeof value, NULL);
}

/* What was read before the operation began. */
static uint64_t version_read;
static struct larder_fill fill_led;
static struct larder_view view_held;

static void read_version(struct larder *h)
{
	struct larder_info info = {.size_of = sizeof info};
	char value[SMALL];

	version_read = 0;
	if (!larder_get_info(h, KEY, value, sizeof value, &info))
		version_read = info.version;
}

static int op_cas(struct larder *h)
{
	char value[SMALL];

	memset(value, 'b', sizeof value);
	return larder_cas(h, KEY, version_read, value, sizeof value, NULL);
}

static int op_increment(struct larder *h)
{
	int result = larder_increment(h, KEY, 1, 100, NULL, NULL);

	return result == LARDER_NOT_COUNTER ? LARDER_OK : result;
}

static int op_touch(struct larder *h)
{
	return larder_touch(h, KEY, 60000);
}

static int op_remove(struct larder *h)
{
	return larder_remove(h, KEY);
}

static int op_remove_version(struct larder *h)
{
	return larder_remove_version(h, KEY, version_read);
}

/* ------------------------------------------------------------------ */
/* Reads                                                               */

/* Only whole values may be seen, however long the reader stood still. */
static bool whole(const char *value, size_t n)
{
	/* Of a long one here and there: each look is an access. */
	for (size_t i = 1; i<n; i += n> SMALL ? 997 : 1)
		if (value[i] != value[0])
			return false;
	return n == SMALL ? value[0] && strchr("abpqz", value[0])
			  : n == LARGE && value[0] == 'a';
}

/* The same of what may have become a counter. */
static bool whole_or_counter(const void *value, size_t n)
{
	uint64_t number;

	if (n != sizeof number)
		return whole(value, n);
	memcpy(&number, value, sizeof number);
	return number >= 100 && number <= 112;
}

static int op_get(struct larder *h)
{
	static char value[LARGE];
	size_t n;
	int result = larder_get(h, KEY, value, sizeof value, &n);

	return result || whole_or_counter(value, n) ? result : SAW_TORN;
}

/* Where many hits lag, a worker takes a road of its own; KEY lags by two. */
static void begin_storm(struct larder *h)
{
	struct worker *w = larder_workers[h->id];
	char value[LARGE];

	larder_get(h, KEY, value, sizeof value, NULL);
	for (int i = 0; i < 2; i++)
		larder_invalidate_tag(h, "u", 1);
	if (w->usual_serial) {
		w->storm_serial = w->handle_serial;
		w->usual_serial = 0;
	}
}

/* One hit in 64 is written down in its entry: this one. */
static void begin_sample(struct larder *h)
{
	larder_workers[h->id]->sample = 1;
}

static void begin_storm_sample(struct larder *h)
{
	begin_storm(h);
	begin_sample(h);
}

static int op_get_many(struct larder *h)
{
	char value[2][SMALL];
	struct larder_get_item item[2] = {
		{.key = "the key",
		 .n_key = 7,
		 .value = value[0],
		 .n_buffer = SMALL},
		{.key = "another",
		 .n_key = 7,
		 .value = value[1],
		 .n_buffer = SMALL},
	};
	int result = larder_get_many(h, item, 2);

	if (!result && !item[0].result && !whole(value[0], item[0].n_value))
		result = SAW_TORN;
	return result;
}

/* What is leased stays what it was until it is released. */
static int op_lease(struct larder *h)
{
	struct larder_view v;
	int result = larder_lease(h, KEY, &v);
	char first;

	if (result)
		return result;
	first = *(const char *)v.value;
	if (!whole_or_counter(v.value, v.n_value) ||
	    *(const char *)v.value != first)
		result = SAW_TORN;
	larder_release(h, &v);
	return result;
}

static void take_lease(struct larder *h)
{
	memset(&view_held, 0, sizeof view_held);
	larder_lease(h, KEY, &view_held);
}

static int op_release(struct larder *h)
{
	bool torn = view_held.value &&
		    !whole_or_counter(view_held.value, view_held.n_value);

	larder_release(h, &view_held);
	return torn ? SAW_TORN : LARDER_OK;
}

/* ------------------------------------------------------------------ */
/* Fills                                                               */

static int op_fill(struct larder *h)
{
	struct larder_fill_options o = {.size_of = sizeof o, .wait_ms = 1};
	struct larder_fill fill;
	struct larder_view view;
	char value[SMALL];
	int result = larder_fill_begin(h, KEY, &o, &fill, &view);

	if (result == LARDER_OK || result == LARDER_STALE) {
		if (!whole_or_counter(view.value, view.n_value))
			result = SAW_TORN;
		larder_release(h, &view);
		return result == LARDER_OK ? LARDER_EXISTS : result;
	}
	if (result == LARDER_WAIT) {
		larder_fill_abandon(h, &fill);
		return result;
	}
	if (result != LARDER_LEAD)
		return result;
	memset(value, 'b', sizeof value);
	return larder_fill_put(h, &fill, value, sizeof value, NULL);
}

/* The flight's leader is dead: nobody may have to wait for it. */
static int op_fill_lost(struct larder *h)
{
	int result = op_fill(h);

	return result == LARDER_WAIT ? SAW_WRONG : result;
}

static void begin_fill(struct larder *h)
{
	struct larder_view view;

	must(larder_fill_begin(h, KEY, NULL, &fill_led, &view) != LARDER_LEAD);
}

static int op_fill_put(struct larder *h)
{
	char value[SMALL];

	memset(value, 'b', sizeof value);
	return larder_fill_put(h, &fill_led, value, sizeof value, NULL);
}

static struct larder_token token_taken;

static void take_token(struct larder *h)
{
	must(larder_token(h, KEY, &token_taken));
}

/* What replaces the old value has a tag that the old one has not. */
static int op_refresh(struct larder *h)
{
	struct larder_tag tag = {"t", 1};
	struct larder_put_options o = {.size_of = sizeof o,
				       .tags = &tag,
				       .n_tags = 1,
				       .token = &token_taken};

	return put_letter(h, KEY, 'b', SMALL, &o);
}

static int op_fill_abandon(struct larder *h)
{
	larder_fill_abandon(h, &fill_led);
	return 0;
}

/* Follow somebody who takes longer than we care to wait. */
static int op_follow(struct larder *h)
{
	struct larder_fill_options o = {.size_of = sizeof o, .wait_ms = 1};
	struct larder_fill fill;
	struct larder_view view;
	int result = larder_fill_begin(h, KEY, &o, &fill, &view);

	if (result == LARDER_WAIT)
		result = larder_fill_wait(h, &fill, &view);
	if (result == LARDER_OK) {
		if (!whole_or_counter(view.value, view.n_value))
			return SAW_TORN;
		larder_release(h, &view);
	} else if (result == LARDER_LEAD) {
		larder_fill_abandon(h, &fill);
	}
	return result == LARDER_OK || result == LARDER_LEAD ||
			       result == LARDER_TIMEOUT
		       ? LARDER_OK
		       : result;
}

/* ------------------------------------------------------------------ */
/* Invalidations                                                       */

static int op_invalidate_tag(struct larder *h)
{
	return larder_invalidate_tag(h, "t", 1);
}

static int op_invalidate_key(struct larder *h)
{
	return larder_invalidate_key(h, KEY);
}

/* Another key's, which takes KEY's place in its set. */
static char key_beside[16];
static size_t n_key_beside;

static void find_key_beside(struct larder *h)
{
	n_key_beside = set_neighbour(atomic_load(&h->segment), 20, key_beside);
}

static int op_invalidate_beside(struct larder *h)
{
	return larder_invalidate_key(h, key_beside, n_key_beside);
}

static int op_invalidate_match(struct larder *h)
{
	return larder_invalidate_match(h, "the *", 5, LARDER_MATCH_KEYS);
}

static int op_invalidate_all(struct larder *h)
{
	return larder_invalidate_all(h);
}

/* ------------------------------------------------------------------ */
/* Slots                                                               */

/* Nothing of the slot's last owner is left in it. */
static int op_attach(struct larder *h)
{
	int result = larder_attach_thread(h);
	struct slot *slot;

	if (result)
		return result;
	slot = worker(h)->slot;
	for (unsigned k = 0; k < N_HAZARDS; k++)
		if (load_relaxed(&slot->hazard[k]))
			return FOUND_LEAK;
	return load_relaxed(&slot->pin) ? FOUND_LEAK : 0;
}

static int op_detach(struct larder *h)
{
	larder_detach_thread(h);
	return 0;
}

static uint64_t header_of(struct segment *s, uint64_t unit)
{
	return load_acquire(&entry_at(s, (uint32_t)unit)->header);
}

/* What the dead had in hand is finished by the recovery, not by a sweep. */
static int op_recover(struct larder *h)
{
	struct worker *w = worker(h);
	struct segment *s = w->s;
	uint64_t unit[N_SLOTS], header[N_SLOTS];

	for (uint32_t i = 0; i < s->n_slots; i++) {
		unit[i] =
			larder_slot_dead(s, i)
				? load_acquire(&s->slots[i].hazard[HAZARD_NEW])
				: 0;
		header[i] = unit[i] ? header_of(s, unit[i]) : 0;
	}
	larder_slots_recover(w, false);
	for (uint32_t i = 0; i < s->n_slots; i++)
		if (HEADER_STATE(header[i]) == HEADER_ALLOC &&
		    !larder_slot_dead(s, i) &&
		    header_of(s, unit[i]) == header[i])
			return FOUND_LEAK;
	return 0;
}

/* ------------------------------------------------------------------ */
/* Memory                                                              */

static int op_evict(struct larder *h)
{
	struct worker *w = worker(h);

	return larder_evict(w, small_class(w->s), 2) ? 0 : LARDER_MISS;
}

/* The page of KEY, or the first there is. */
static int op_sweep(struct larder *h)
{
	struct worker *w = worker(h);
	uint32_t unit = unit_of_key(h);

	larder_slab_sweep_page(
		w, page_of_unit(w->s, unit ? unit : w->s->first_unit), NULL);
	return 0;
}

static int op_maintain(struct larder *h)
{
	return larder_maintain(h, 4);
}

static int op_page_move(struct larder *h)
{
	struct worker *w = worker(h);

	return larder_page_move(w, small_class(w->s), small_class(w->s) + 3)
		       ? 0
		       : LARDER_NO_SPACE;
}

static int op_move(struct larder *h)
{
	return drain_key(h, 1) ? 0 : LARDER_NO_SPACE;
}

/* Two pages, as for a run: KEY's and the next. */
static int op_move_for_run(struct larder *h)
{
	return drain_key(h, 2) ? 0 : LARDER_NO_SPACE;
}

static int op_page_add(struct larder *h)
{
	struct worker *w = worker(h);

	return larder_page_add(w, small_class(w->s) + 3, false)
		       ? 0
		       : LARDER_NO_SPACE;
}

static int op_reclaim(struct larder *h)
{
	struct worker *w = worker(h);

	larder_remove(h, KEY);
	larder_slab_reclaim(w, true, 4);
	return 0;
}

/* A run goes, and its pages are given back with it, without a sweep. */
static int op_free_run(struct larder *h)
{
	struct worker *w = worker(h);
	struct segment *s = w->s;
	uint32_t unit = unit_of_key(h), page, n;
	uint64_t head, body;

	if (!unit)
		return LARDER_MISS;
	page = page_of_unit(s, unit);
	head = load_acquire(&s->page_words[page]);
	n = load_relaxed(&s->page_lengths[page]);
	body = PAGE_STATE(head) == PAGE_RUN_HEAD && n > 1
		       ? load_acquire(&s->page_words[page + n - 1])
		       : 0;
	if (PAGE_STATE(body) != PAGE_RUN_BODY)
		body = 0;
	if (larder_remove(h, KEY))
		return LARDER_MISS;
	larder_slab_reclaim(w, true, 4);
	return body &&
			       PAGE_STATE(load_acquire(&s->page_words[page])) ==
				       PAGE_FREE &&
			       load_acquire(&s->page_words[page + n - 1]) ==
				       body
		       ? FOUND_LEAK
		       : 0;
}

static int op_claim_run(struct larder *h)
{
	struct worker *w = worker(h);
	uint32_t unit;
	uint64_t header;
	int result = larder_slab_alloc(w, RUN, &unit, &header);

	if (!result)
		larder_slab_abandon(w, unit, header);
	return result;
}

static int op_advance(struct larder *h)
{
	struct worker *w = worker(h);

	for (int i = 0; i < GRACE; i++)
		larder_epoch_advance(w, 0);
	return 0;
}

static int op_region(struct larder *h)
{
	struct larder_region region;
	int result = larder_region(h, "r", 64, 64, &region);

	if (!result && (region.n_common != 64 || region.stride != 64))
		result = SAW_WRONG;
	return result;
}

/* ------------------------------------------------------------------ */

#define INDEX_STATES                                                           \
	(BIT(S_ABSENT) | BIT(S_PRESENT) | BIT(S_PENDING) |                     \
	 BIT(S_PENDING_BESIDE) | BIT(S_GROUP_FULL) |                           \
	 BIT(S_GROUP_FULL_PRESENT) | BIT(S_DEAD_LINKED) |                      \
	 BIT(S_DEAD_UNLINKED))
#define MEMORY_STATES                                                          \
	(BIT(S_MEMORY_FULL) | BIT(S_MEMORY_FULL_PRESENT) | BIT(S_GARBAGE))
#define LIVE_STATES                                                            \
	(BIT(S_PRESENT) | BIT(S_TAGGED) | BIT(S_LAGGING) |                     \
	 BIT(S_HALF_INVALIDATED) | BIT(S_PATTERN_DRAWING) | BIT(S_EXPIRED) |   \
	 BIT(S_RUN))
#define PAGE_STATES                                                            \
	(BIT(S_PAGE_CLAIMED) | BIT(S_PAGE_DRAINING) |                          \
	 BIT(S_RUN_HALF_CLAIMED) | BIT(S_RUN_HALF_FREED))
#define SLOT_STATES                                                            \
	(BIT(S_DEAD_FILLING) | BIT(S_DEAD_LINKED) | BIT(S_DEAD_UNLINKED) |     \
	 BIT(S_DEAD_LEASING) | BIT(S_DEAD_PINNED) | BIT(S_SLOTS_FULL) |        \
	 BIT(S_PENDING))

const struct operation operations[] = {
	{"put", NULL, op_put, letter_to_b,
	 INDEX_STATES | MEMORY_STATES | PAGE_STATES | BIT(S_EXPIRED) |
		 BIT(S_RUN) | BIT(S_DEAD_FILLING) | BIT(S_DEAD_LEASING) |
		 BIT(S_KEPT) | BIT(S_KEPT_HALF_MOVED),
	 .dated = true},
	{"put tagged", NULL, op_put_tagged, letter_to_b,
	 BIT(S_TAGGED) | BIT(S_HALF_INVALIDATED), .dated = true},
	{"put to keep", NULL, op_put_kept, letter_to_q,
	 BIT(S_ABSENT) | BIT(S_PRESENT) | BIT(S_GROUP_FULL) | BIT(S_KEPT)},
	{"put a run", NULL, op_put_run, letter_to_run,
	 BIT(S_ABSENT) | BIT(S_PRESENT) | BIT(S_RUN) | BIT(S_MEMORY_FULL) |
		 PAGE_STATES,
	 .dated = true},
	{"add", NULL, op_add, letter_only_new, INDEX_STATES | BIT(S_EXPIRED)},
	{"replace", NULL, op_replace, letter_only_old,
	 BIT(S_ABSENT) | BIT(S_PRESENT) | BIT(S_PENDING) | BIT(S_EXPIRED),
	 .dated = true},
	{"compare and swap", read_version, op_cas, letter_only_first,
	 BIT(S_ABSENT) | BIT(S_PRESENT) | BIT(S_DEAD_LINKED) |
		 BIT(S_MEMORY_FULL_PRESENT) | BIT(S_KEPT)},
	{"increment", NULL, op_increment, letter_one_more,
	 BIT(S_COUNTER) | BIT(S_ABSENT) | BIT(S_PRESENT) | BIT(S_GROUP_FULL)},
	{"touch", NULL, op_touch, letter_same,
	 BIT(S_PRESENT) | BIT(S_ABSENT) | BIT(S_TAGGED) | BIT(S_KEPT)},
	{"remove", NULL, op_remove, letter_to_nothing,
	 INDEX_STATES | BIT(S_RUN) | BIT(S_EXPIRED) | BIT(S_PAGE_DRAINING) |
		 BIT(S_DEAD_LEASING) | BIT(S_KEPT) | BIT(S_KEPT_HALF_MOVED)},
	{"remove a version", read_version, op_remove_version, letter_first_goes,
	 BIT(S_PRESENT) | BIT(S_ABSENT) | BIT(S_KEPT)},
	{"get", NULL, op_get, letter_same,
	 LIVE_STATES | BIT(S_SET_FULL) | BIT(S_ABSENT) | BIT(S_PENDING) |
		 BIT(S_DEAD_LINKED) | BIT(S_KEPT),
	 .reads = true, .hits = true},
	{"get in a storm", begin_storm, op_get, letter_same,
	 BIT(S_PRESENT) | BIT(S_TAGGED) | BIT(S_LAGGING) | BIT(S_SET_FULL) |
		 BIT(S_ABSENT),
	 .reads = true, .hits = true},
	{"get and write it down", begin_sample, op_get, letter_same,
	 BIT(S_PRESENT) | BIT(S_LAGGING), .reads = true, .hits = true},
	{"get and write it down in a storm", begin_storm_sample, op_get,
	 letter_same, BIT(S_PRESENT) | BIT(S_TAGGED), .reads = true,
	 .hits = true},
	{"get many", NULL, op_get_many, letter_same,
	 BIT(S_PRESENT) | BIT(S_LAGGING), .reads = true},
	{"lease and release", NULL, op_lease, letter_same,
	 BIT(S_PRESENT) | BIT(S_RUN) | BIT(S_LAGGING) | BIT(S_SET_FULL) |
		 BIT(S_KEPT),
	 .reads = true, .hits = true},
	{"release", take_lease, op_release, letter_same,
	 BIT(S_PRESENT) | BIT(S_RUN), .reads = true},
	{"fill", NULL, op_fill, letter_only_new,
	 BIT(S_ABSENT) | BIT(S_PRESENT) | BIT(S_EXPIRED) |
		 BIT(S_HALF_INVALIDATED) | BIT(S_FLIGHT_LED) | BIT(S_PENDING)},
	{"fill after a dead leader", NULL, op_fill_lost, letter_only_new,
	 BIT(S_FLIGHT_DEAD)},
	{"fill's late put", begin_fill, op_fill_put, letter_late_fill,
	 BIT(S_ABSENT) | BIT(S_GROUP_FULL) | BIT(S_DEAD_UNLINKED)},
	{"refresh's late put", take_token, op_refresh, letter_late_refresh,
	 BIT(S_PRESENT) | BIT(S_ABSENT)},
	{"fill's end without a value", begin_fill, op_fill_abandon, letter_same,
	 BIT(S_ABSENT)},
	{"follow a fill", NULL, op_follow, letter_same,
	 BIT(S_FLIGHT_LED) | BIT(S_FLIGHT_DEAD), .reads = true},
	{"invalidate a tag", NULL, op_invalidate_tag, letter_a_invalid,
	 BIT(S_TAGGED) | BIT(S_LAGGING) | BIT(S_HALF_INVALIDATED)},
	{"invalidate a key", NULL, op_invalidate_key, letter_invalid,
	 BIT(S_PRESENT) | BIT(S_LAGGING) | BIT(S_HALF_INVALIDATED)},
	{"invalidate another key", find_key_beside, op_invalidate_beside,
	 letter_same, BIT(S_SET_FULL) | BIT(S_PRESENT)},
	{"invalidate a pattern", NULL, op_invalidate_match, letter_invalid,
	 BIT(S_PRESENT) | BIT(S_HALF_INVALIDATED) | BIT(S_PATTERNS_CLAIMED) |
		 BIT(S_PATTERN_DRAWING),
	 .takes_other = true},
	{"invalidate all", NULL, op_invalidate_all, letter_invalid,
	 BIT(S_PRESENT) | BIT(S_HALF_INVALIDATED), .takes_other = true},
	{"claim a slot", NULL, op_attach, letter_same,
	 BIT(S_PRESENT) | SLOT_STATES | BIT(S_FLIGHT_LED), .unattached = true},
	{"give a slot back", NULL, op_detach, letter_same,
	 BIT(S_PRESENT) | BIT(S_GARBAGE)},
	{"recover dead slots", NULL, op_recover, letter_same,
	 SLOT_STATES | BIT(S_KEPT_HALF_MOVED)},
	{"evict", NULL, op_evict, letter_may_go,
	 BIT(S_PRESENT) | BIT(S_EXPIRED) | BIT(S_DEAD_LEASING) |
		 BIT(S_MEMORY_FULL_PRESENT) | BIT(S_PENDING_BESIDE),
	 .takes_other = true},
	{"sweep a page", NULL, op_sweep, letter_same,
	 BIT(S_EXPIRED) | BIT(S_PENDING) | BIT(S_GARBAGE) | BIT(S_LAGGING) |
		 BIT(S_PAGE_DRAINING) | BIT(S_RUN_HALF_CLAIMED) |
		 BIT(S_DEAD_LINKED) | BIT(S_DEAD_UNLINKED) | BIT(S_RUN) |
		 BIT(S_KEPT_DRAINING) | BIT(S_KEPT_HALF_MOVED) | BIT(S_MARKED)},
	{"maintain", NULL, op_maintain, letter_same,
	 BIT(S_PRESENT) | BIT(S_DEAD_MAINTAINER) | BIT(S_PATTERN_DRAWING) |
		 PAGE_STATES},
	{"move a page", NULL, op_page_move, letter_may_go,
	 BIT(S_PRESENT) | BIT(S_PAGE_DRAINING) | BIT(S_DEAD_LEASING),
	 .takes_other = true},
	{"move what is in use", NULL, op_move, letter_may_go,
	 BIT(S_WARM) | BIT(S_WARM_FULL), .takes_other = true},
	{"move what is kept", NULL, op_move, letter_may_go,
	 BIT(S_KEPT) | BIT(S_KEPT_FULL) | BIT(S_KEPT_HALF_MOVED),
	 .takes_other = true},
	{"move what is kept for a run", NULL, op_move_for_run, letter_may_go,
	 BIT(S_KEPT) | BIT(S_KEPT_ALONE), .takes_other = true},
	{"claim a page", NULL, op_page_add, letter_same,
	 BIT(S_PRESENT) | BIT(S_MEMORY_FULL_PRESENT)},
	{"claim a run", NULL, op_claim_run, letter_may_go,
	 BIT(S_PRESENT) | BIT(S_RUN_HALF_CLAIMED) | BIT(S_MEMORY_FULL_PRESENT),
	 .takes_other = true},
	{"free a run", NULL, op_free_run, letter_to_nothing,
	 BIT(S_RUN) | BIT(S_DEAD_LEASING)},
	{"retire and reclaim", NULL, op_reclaim, letter_to_nothing,
	 BIT(S_PRESENT) | BIT(S_GARBAGE) | BIT(S_DEAD_PINNED)},
	{"advance the epoch", NULL, op_advance, letter_same,
	 BIT(S_PRESENT) | BIT(S_DEAD_PINNED)},
	{"reserve a region", NULL, op_region, letter_same,
	 BIT(S_PRESENT) | BIT(S_REGION_HALF)},
};
const unsigned n_operations = sizeof operations / sizeof operations[0];
