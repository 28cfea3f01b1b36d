/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What another process does, from beginning to end, while a child stands still:
 * ordinary operations, and the rare events that make a standstill dangerous,
 * which are grace periods, expulsion, reuse of memory, and its retyping.
 */
#include "crash/letters.h"
#include "crash/scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "crash/stage.h"
#include "store/evict.h"
#include "store/page.h"

/* ------------------------------------------------------------------ */

static const char *put_z(struct larder *h)
{
	if (put_letter(h, KEY, 'z', SMALL, NULL))
		return "a put did not succeed";
	return letter_of(h) == 'z' ? NULL : "a put was not seen at once";
}

static const char *take_away(struct larder *h)
{
	int result = larder_remove(h, KEY);

	if (result != LARDER_OK && result != LARDER_MISS)
		return "a removal failed";
	return letter_of(h) == '-' ? NULL : "a removed key is there";
}

static const char *churn(struct larder *h)
{
	const char *what = put_z(h);

	if (!what)
		what = take_away(h);
	return what ? what : put_z(h);
}

static const char *hit(struct larder *h)
{
	return letter_of(h) == '!' ? "a torn value" : NULL;
}

/* A hit after an unrelated invalidation raises the stamp. */
static const char *restamp(struct larder *h)
{
	if (larder_invalidate_tag(h, "unrelated", 9))
		return "an invalidation failed";
	return hit(h);
}

static const char *invalidate(struct larder *h)
{
	if (larder_invalidate_key(h, KEY))
		return "an invalidation failed";
	return strchr("-pq", letter_of(h)) ? NULL : "what is invalid is served";
}

static const char *invalidate_tag(struct larder *h)
{
	return larder_invalidate_tag(h, "t", 1) ? "an invalidation failed"
						: NULL;
}

/* So many that KEY's number, if it has one, is displaced from its set. */
static const char *invalidate_beside(struct larder *h)
{
	struct segment *s = atomic_load(&h->segment);

	for (unsigned i = 0; i < TAG_WORDS; i++) {
		char key[16];
		size_t n = set_neighbour(s, i, key);

		if (larder_invalidate_key(h, key, n))
			return "an invalidation failed";
	}
	return NULL;
}

static const char *compute_anew(struct larder *h)
{
	const char *what = invalidate(h);

	return what ? what : put_z(h);
}

/* Compute it if nobody has: nobody who stands still may hold that up. */
static const char *fill(struct larder *h)
{
	struct larder_fill_options o = {.size_of = sizeof o, .wait_ms = 1};
	struct larder_fill f;
	struct larder_view view;
	char value[SMALL];
	int result = larder_fill_begin(h, KEY, &o, &f, &view);

	memset(value, 'z', sizeof value);
	if (result == LARDER_WAIT)
		result = larder_fill_wait(h, &f, &view);
	switch (result) {
	case LARDER_OK:
		larder_release(h, &view);
		return NULL;
	case LARDER_LEAD:
		result = larder_fill_put(h, &f, value, sizeof value, NULL);
		return result == LARDER_OK || result == LARDER_NEWER
			       ? NULL
			       : "a fill's put failed";
	case LARDER_TIMEOUT:
		result = larder_add(h, KEY, value, sizeof value, NULL);
		return result == LARDER_OK || result == LARDER_EXISTS
			       ? NULL
			       : "an add failed";
	default:
		return "a fill neither leads nor gets a value";
	}
}

static const char *increment(struct larder *h)
{
	int result = larder_increment(h, KEY, 10, 100, NULL, NULL);

	return result == LARDER_OK || result == LARDER_NOT_COUNTER
		       ? NULL
		       : "an increment failed";
}

/* Another key takes the slot that KEY was about to get, and leaves it again. */
static const char *neighbours(struct larder *h)
{
	struct segment *s = atomic_load(&h->segment);
	char key[16];
	size_t n_key = neighbour(s, 20, key);
	const char *what;

	if (put_letter(h, key, n_key, 'n', SMALL, NULL))
		return "a put beside failed";
	what = put_z(h);
	larder_remove(h, key, n_key);
	return what;
}

/* ------------------------------------------------------------------ */
/* Memory                                                              */

static const char *evict_all(struct larder *h)
{
	struct worker *w = worker(h);

	larder_evict(w, small_class(w->s), 64);
	return NULL;
}

/* Unrelated entries of KEY's size, so that its memory is used again; in other
 * groups, since in a full one of its own they would be stored in its place. */
static const char *reuse(struct larder *h)
{
	const struct segment *s = atomic_load(&h->segment);
	const struct group *own = group_of_key(s, KEY);

	for (unsigned i = 0, stored = 0; stored < 6; i++) {
		char key[16];
		size_t n = (size_t)snprintf(key, sizeof key, "reuse %u", i);

		if (group_of_key(s, key, n) == own)
			continue;
		if (put_letter(h, key, n, 'x', SMALL, NULL))
			return "a put elsewhere failed";
		stored++;
	}
	return NULL;
}

static const char *sweep(struct larder *h)
{
	const char *what;

	sweep_once(h);
	what = reuse(h);
	for (int i = 0; i < GRACE + 2; i++)
		sweep_once(h);
	return what;
}

/* As much as can be freed while the child keeps its section. */
static const char *free_patiently(struct larder *h)
{
	struct worker *w = worker(h);
	const char *what = take_away(h);

	for (int i = 0; i < GRACE + 1; i++)
		larder_epoch_advance(w, 100000);
	larder_slab_reclaim(w, false, 0);
	return what ? what : reuse(h);
}

/* The child is expelled, its epoch long past. */
static void expel(struct worker *w)
{
	for (int i = 0; i < 2 * GRACE + 6; i++)
		larder_epoch_advance(w, 0);
	larder_slab_reclaim(w, false, 0);
}

static const char *expel_and_reuse(struct larder *h)
{
	const char *what = take_away(h);

	expel(worker(h));
	for (int i = 0; i < 4 && !what; i++)
		what = put_z(h);
	return what;
}

/* KEY is back where it was: in the same slot, in the same memory. */
static const char *come_back(struct larder *h)
{
	const char *what = take_away(h);

	expel(worker(h));
	return what ? what : put_z(h);
}

/* KEY stays, its memory goes to others. */
static const char *replace_and_reuse(struct larder *h)
{
	const char *what = put_z(h);

	expel(worker(h));
	return what ? what : reuse(h);
}

/* How much is stored in an object of @class, under a key of up to 16 bytes. */
static size_t value_of_class(const struct segment *s, unsigned class)
{
	return larder_class_units(s, class) * UNIT_BYTES - 56;
}

/*
 * The same to entries with other optional fields than KEY has: a stamp that is
 * raised too late, with the flags beside it, or a hit that is written down too
 * late would be theirs.
 */
enum { HEIRS = 6 };

static struct {
	uint32_t unit;
	uint64_t version, flags;
} heir[HEIRS];

static const char *bequeath(struct larder *h)
{
	struct worker *w = worker(h);
	struct segment *s = w->s;
	struct larder_put_options o = {.size_of = sizeof o, .ttl_ms = 3600000};
	uint32_t unit = unit_of_key(h);
	unsigned class = small_class(s);
	const char *what;

	if (unit)
		larder_unit_in_page(
			s, unit,
			load_acquire(&s->page_words[page_of_unit(s, unit)]),
			&class);
	what = take_away(h);
	expel(w);
	memset(heir, 0, sizeof heir);
	for (int i = 0; i < HEIRS && !what && class != RUN_CLASS; i++) {
		uint64_t header;
		char key[16];
		size_t n = (size_t)snprintf(key, sizeof key, "heir %d", i);
		struct lookup found;

		if (put_letter(h, key, n, 'h', value_of_class(s, class) - 8,
			       &o))
			return "a put elsewhere failed";
		larder_pin(w);
		if (larder_find(w, key, n, key_hash_of(s, key, n), &found)) {
			header = load_acquire(&entry_at(s, found.unit)->header);
			if (HEADER_STATE(header) == HEADER_LIVE) {
				heir[i].unit = found.unit;
				heir[i].version = found.v.e->version;
				heir[i].flags = found.v.flags;
			}
		}
		larder_unpin(w);
	}
	return what;
}

static const char *heirs_are_whole(struct larder *h)
{
	const struct segment *s = atomic_load(&h->segment);

	for (int i = 0; i < HEIRS; i++) {
		const struct entry *e = entry_at(s, heir[i].unit);

		/* Or it has gone since. */
		if (!heir[i].unit || e->version != heir[i].version)
			continue;
		if (entry_flags(e) != heir[i].flags)
			return "the child wrote a stamp into reused memory";
		if (load_relaxed((const atomic_u32 *)&e->hits))
			return "the child wrote a hit into reused memory";
	}
	return NULL;
}

/* The same to other sizes. */
static const char *retype(struct larder *h)
{
	struct worker *w = worker(h);
	unsigned class = small_class(w->s);
	const char *what = take_away(h);

	expel(w);
	for (int i = 0; i < 4; i++)
		larder_page_move(w, class, class + 3);
	for (int i = 0; i < 24 && !what; i++) {
		char key[16];
		size_t n = (size_t)snprintf(key, sizeof key, "retype %d", i);

		if (put_letter(h, key, n, 'r', value_of_class(w->s, class + 3),
			       NULL))
			what = "a put into a retyped page failed";
	}
	return what ? what : put_z(h);
}

/*
 * The same, and what is stored there looks like the header that the child saw:
 * a header CAS of one that comes too late would succeed on a value.
 */
enum { MIMICS = 24, MIMIC_WORDS = 128 };

static uint64_t mimicked;

static size_t mimic_key(char key[16], int i)
{
	return (size_t)snprintf(key, 16, "mimic %d", i);
}

static const char *mimic(struct larder *h)
{
	struct worker *w = worker(h);
	struct segment *s = w->s;
	unsigned class = small_class(s);
	uint32_t units = larder_class_units(s, class);
	uint32_t page = class_next_page(s, s->class_bits, class, 0);
	size_t n = value_of_class(s, class + 3);
	uint64_t value[MIMIC_WORDS];
	char key[16];

	mimicked = 0;
	for (uint32_t i = 0; page < s->n_pages && i < page_units(s);
	     i += units) {
		uint64_t header = load_acquire(
			&entry_at(s, page_first_unit(s, page) + i)->header);

		if (HEADER_STATE(header) == HEADER_FREE)
			mimicked = header;
	}
	for (unsigned i = 0; i < MIMIC_WORDS; i++)
		value[i] = mimicked;
	if (n > sizeof value)
		return "the class is too large to be mimicked";
	larder_page_move(w, class, class + 3);
	for (int i = 0; i < MIMICS; i++)
		if (larder_put(h, key, mimic_key(key, i), value, n, NULL))
			return "a put into a retyped page failed";
	return NULL;
}

static const char *mimics_stay(struct larder *h)
{
	uint64_t value[MIMIC_WORDS];
	char key[16];

	for (int i = 0; i < MIMICS; i++) {
		size_t n;

		if (larder_get(h, key, mimic_key(key, i), value, sizeof value,
			       &n))
			continue; /* evicted */
		for (unsigned k = 0; k < n / 8; k++)
			if (value[k] != mimicked)
				return "somebody wrote into a value";
	}
	return NULL;
}

/* KEY's page is given up. */
static const char *move(struct larder *h)
{
	char before = letter_of(h), after;

	drain_key(h, 1);
	after = letter_of(h);
	return after == before || (after == '-' && !strchr("pq", before))
		       ? NULL
		       : "what is kept was not moved whole";
}

static const char *keep(struct larder *h)
{
	const struct larder_put_options o = {.size_of = sizeof o,
					     .flags = LARDER_KEEP};

	return put_letter(h, KEY, 'q', SMALL, &o) ? "a put did not succeed"
						  : NULL;
}

/* Whatever marks it got. */
static const char *stays(struct larder *h)
{
	evict_all(h);
	return letter_of(h) == 'q' ? NULL : "what is kept was evicted";
}

static const char *runs(struct larder *h)
{
	struct worker *w = worker(h);

	if (put_letter(h, "a run", 5, 'r', LARGE, NULL))
		return "a put of a run failed";
	larder_remove(h, "a run", 5);
	larder_slab_reclaim(w, true, 1);
	return NULL;
}

const struct script scripts[] = {
	{"put", put_z, letter_to_z},
	{"remove", take_away, letter_to_nothing},
	{"churn", churn, letter_to_z},
	{"hit", hit, letter_same},
	{"restamp", restamp, letter_same},
	{"invalidate", invalidate, letter_invalid, .invalidates = true},
	{"compute anew", compute_anew, letter_to_z, .invalidates = true},
	{"invalidate beside", invalidate_beside, letter_may_go},
	{"invalidate the tag", invalidate_tag, letter_b_invalid,
	 .beside = "refresh's late put"},
	{"fill", fill, letter_computed},
	{"increment", increment, letter_ten_more},
	{"neighbours", neighbours, letter_to_z},
	{"sweep", sweep, letter_same, .counts = true},
	{"evict", evict_all, letter_may_go, .takes_other = true},
	{"free patiently", free_patiently, letter_to_nothing},
	{"expel and reuse", expel_and_reuse, letter_to_z},
	{"come back", come_back, letter_to_z},
	{"replace and reuse", replace_and_reuse, letter_to_z},
	{"bequeath", bequeath, letter_to_nothing, .check = heirs_are_whole},
	{"retype", retype, letter_to_z, .takes_other = true},
	{"mimic", mimic, letter_may_go, .check = mimics_stay,
	 .takes_other = true},
	{"move", move, letter_may_go, .takes_other = true},
	{"keep", keep, letter_to_q, .beside = "sweep a page", .check = stays,
	 .takes_other = true},
	{"runs", runs, letter_same},
};
const unsigned n_scripts = sizeof scripts / sizeof scripts[0];
