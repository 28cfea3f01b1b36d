/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the stepped child does, from which state, and what may be there if it
 * dies. The key in question is always KEY; every value of it is a letter
 * repeated, so that a torn one shows.
 */
#include "crash/stepper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/cache.h"
#include "store/evict.h"
#include "store/page.h"

#define KEY   "the key", 7
#define OTHER "another", 7
enum { SMALL = 24, LARGE = 9000 };

static int put(struct larder *h, const char *key, size_t n_key, char letter,
	       size_t n, const struct larder_put_options *o)
{
	char value[LARGE];

	memset(value, letter, n);
	return larder_put(h, key, n_key, value, n, o);
}

static void must(int result)
{
	if (result) {
		fprintf(stderr, "setup failed: %s\n", larder_strerror(result));
		exit(1);
	}
}

/* The letter under KEY; 0 if it is not there; '!' if the value is torn. */
static char letter_of(struct larder *h)
{
	char value[LARGE];
	size_t n;

	if (larder_get(h, KEY, value, sizeof value, &n))
		return 0;
	for (size_t i = 1; i < n; i++)
		if (value[i] != value[0])
			return '!';
	return n == SMALL || n == LARGE ? value[0] : '!';
}

/* ------------------------------------------------------------------ */
/* Starting states                                                     */

static void absent(struct larder *h)
{
	must(put(h, OTHER, 'o', SMALL, NULL));
}

static void present(struct larder *h)
{
	absent(h);
	must(put(h, KEY, 'a', SMALL, NULL));
}

static void counter(struct larder *h)
{
	must(larder_increment(h, KEY, 0, 100, NULL, NULL));
}

/* Kept from being inlined: gcc 12 unrolls the hash over the small buffer below
 * and warns of reads that its own length checks exclude. */
static __attribute__((noinline)) struct group *
group_of_key(const struct segment *s, const char *key, size_t n_key)
{
	return group_of(s, key_hash_of(s, key, n_key));
}

static void group_full(struct larder *h)
{
	struct segment *s = atomic_load(&h->segment);
	struct group *g = group_of_key(s, KEY);
	char key[16];

	for (unsigned i = 0, n = 0; n < GROUP_SLOTS; i++) {
		int length = snprintf(key, sizeof key, "g%u", i);

		if (group_of_key(s, key, (size_t)length) != g)
			continue;
		must(put(h, key, (size_t)length, 'g', SMALL, NULL));
		n++;
	}
}

static void memory_full(struct larder *h)
{
	char key[16];

	for (unsigned i = 0; i < 3000; i++)
		must(put(h, key, (size_t)snprintf(key, sizeof key, "m%u", i),
			 'm', 500, NULL));
}

/* Somebody announced KEY and died before it was linked. */
static void pending(struct larder *h)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int error;
		struct worker *w = worker_of(h, &error);
		struct segment *s = w->s;
		uint64_t hash = key_hash_of(s, KEY), header, ctl;
		struct group *g = group_of(s, hash);
		char value[SMALL];
		struct entry_plan plan = {.key = "the key",
					  .n_key = 7,
					  .value = value,
					  .n_value = SMALL};
		uint32_t unit;

		memset(value, 'a', sizeof value);
		if (larder_slab_alloc(w, larder_entry_bytes(&plan), &unit,
				      &header))
			_exit(1);
		larder_entry_write(s, entry_at(s, unit), &plan, 1);
		ctl = load_acquire(&g->ctl);
		store_release(&g->ctl, ctl_next(ctl, 1, unit));
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		must(LARDER_NO_SPACE);
}

static void expired(struct larder *h)
{
	struct larder_put_options o = {.size_of = sizeof o, .ttl_ms = 1};

	must(put(h, KEY, 'a', SMALL, &o));
	usleep(20000);
}

static void tagged(struct larder *h)
{
	struct larder_tag tag = {"t", 1};
	struct larder_put_options o = {
		.size_of = sizeof o, .tags = &tag, .n_tags = 1};

	must(put(h, KEY, 'a', SMALL, &o));
}

/* KEY's stamp lags by enough that a hit raises it. */
static void lagging(struct larder *h)
{
	tagged(h);
	for (int i = 0; i < 20; i++)
		must(larder_invalidate_tag(h, "u", 1));
}

static void run_present(struct larder *h)
{
	must(put(h, KEY, 'a', LARGE, NULL));
}

/* A slot whose owner died with an entry in hand. */
static void dead_slot(struct larder *h)
{
	present(h);
	if (fork() == 0) {
		int error;
		uint32_t unit;
		uint64_t header;
		struct worker *w = worker_of(h, &error);

		larder_slab_alloc(w, 100, &unit, &header);
		_exit(0);
	}
	wait(NULL);
}

/* ------------------------------------------------------------------ */
/* Operations                                                          */

static int op_put(struct larder *h)
{
	return put(h, KEY, 'b', SMALL, NULL);
}

static int op_put_run(struct larder *h)
{
	/* The value is zeroes: no long copy is stepped through. */
	static const char value[LARGE];

	return larder_put(h, KEY, value, 5000, NULL);
}

static int op_remove(struct larder *h)
{
	return larder_remove(h, KEY);
}

static int op_cas(struct larder *h)
{
	struct larder_info info = {.size_of = sizeof info};
	char value[SMALL];
	int result = larder_get_info(h, KEY, value, sizeof value, &info);

	if (result)
		return result;
	memset(value, 'b', sizeof value);
	return larder_cas(h, KEY, info.version, value, sizeof value, NULL);
}

static int op_add(struct larder *h)
{
	char value[SMALL];

	memset(value, 'b', sizeof value);
	return larder_add(h, KEY, value, sizeof value, NULL);
}

static int op_increment(struct larder *h)
{
	return larder_increment(h, KEY, 1, 0, NULL, NULL);
}

static int op_touch(struct larder *h)
{
	return larder_touch(h, KEY, 60000);
}

/* Only whole values may be seen, however long the reader stood still. */
static bool whole(const char *value, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (value[i] != value[0])
			return false;
	return n == SMALL && (value[0] == 'a' || value[0] == 'b');
}

static int op_get(struct larder *h)
{
	char value[64];
	size_t n;
	int result = larder_get(h, KEY, value, sizeof value, &n);

	return result || whole(value, n) ? result : SAW_TORN;
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
	if (!whole(v.value, v.n_value) || *(const char *)v.value != first)
		result = SAW_TORN;
	larder_release(h, &v);
	return result;
}

static int op_evict(struct larder *h)
{
	int error;
	struct worker *w = worker_of(h, &error);

	return larder_evict(w, larder_slab_class(w->s, 40 + 8 + SMALL), 2) ? 0
									   : 1;
}

static int op_sweep(struct larder *h)
{
	int error;
	struct worker *w = worker_of(h, &error);
	struct lookup there;

	larder_pin(w);
	if (!larder_find(w, KEY, key_hash_of(w->s, KEY), &there))
		there.unit = w->s->first_unit;
	larder_unpin(w);
	larder_slab_sweep_page(w, page_of_unit(w->s, there.unit), NULL);
	return 0;
}

static int op_fill(struct larder *h)
{
	struct larder_fill fill;
	struct larder_view view;
	char value[SMALL];
	int result = larder_fill_begin(h, KEY, NULL, &fill, &view);

	if (result != LARDER_LEAD)
		return result;
	memset(value, 'b', sizeof value);
	return larder_fill_put(h, &fill, value, sizeof value, NULL);
}

static int op_invalidate_tag(struct larder *h)
{
	return larder_invalidate_tag(h, "t", 1);
}

static int op_invalidate_key(struct larder *h)
{
	return larder_invalidate_key(h, KEY);
}

static int op_invalidate_match(struct larder *h)
{
	return larder_invalidate_match(h, "the *", 5, LARDER_MATCH_KEYS);
}

static int op_invalidate_all(struct larder *h)
{
	return larder_invalidate_all(h);
}

static int op_attach(struct larder *h)
{
	return larder_attach_thread(h);
}

static int op_detach(struct larder *h)
{
	larder_detach_thread(h);
	return 0;
}

static int op_recover(struct larder *h)
{
	int error;
	struct worker *w = worker_of(h, &error);

	larder_slots_recover(w, false);
	return 0;
}

static int op_page_move(struct larder *h)
{
	int error;
	struct worker *w = worker_of(h, &error);

	return larder_page_move(w, larder_slab_class(w->s, 40 + 8 + SMALL), 9)
		       ? 0
		       : 1;
}

static int op_reclaim(struct larder *h)
{
	int error;
	struct worker *w = worker_of(h, &error);

	larder_remove(h, KEY);
	larder_slab_reclaim(w, true, 4);
	return 0;
}

/* ------------------------------------------------------------------ */
/* What may be there                                                   */

static const char *expect(struct larder *h, const char *allowed)
{
	char letter = letter_of(h);

	if (letter == '!')
		return "a torn value";
	if (!letter)
		return strchr(allowed, '-') ? NULL : "a stored entry is gone";
	return strchr(allowed, letter) ? NULL : "a value that cannot be there";
}

static const char *other_stays(struct larder *h)
{
	char value[SMALL];

	return larder_get(h, OTHER, value, sizeof value, NULL) == LARDER_OK
		       ? NULL
		       : "an uninvolved entry is gone";
}

static const char *was_absent(struct larder *h, bool acked, int result)
{
	const char *what = expect(h, acked && !result ? "b" : "-b");

	return what ? what : other_stays(h);
}

static const char *was_present(struct larder *h, bool acked, int result)
{
	const char *what = expect(h, acked && !result ? "b" : "ab");

	return what ? what : other_stays(h);
}

static const char *may_go(struct larder *h, bool acked, int result)
{
	(void)acked;
	(void)result;
	return expect(h, "-ab");
}

static const char *removed(struct larder *h, bool acked, int result)
{
	return expect(h, acked && !result ? "-" : "-a");
}

static const char *stays(struct larder *h, bool acked, int result)
{
	(void)acked;
	(void)result;
	return expect(h, "a");
}

static const char *counted(struct larder *h, bool acked, int result)
{
	uint64_t value = 0;
	size_t n;

	if (larder_get(h, KEY, &value, sizeof value, &n) || n != sizeof value)
		return "the counter is gone";
	if (value != 101 && (value != 100 || (acked && !result)))
		return "the counter did not add up";
	return NULL;
}

static const char *run_there(struct larder *h, bool acked, int result)
{
	char value[LARGE];
	size_t n;
	int found = larder_get(h, KEY, value, sizeof value, &n);

	if (found == LARDER_OK)
		for (size_t i = 1; i < n; i++)
			if (value[i] != value[0])
				return "a torn value";
	if (acked && !result && (found || n != 5000))
		return "an acknowledged run is gone";
	return NULL;
}

static const char *anything(struct larder *h, bool acked, int result)
{
	(void)acked;
	(void)result;
	return expect(h, "-abg");
}

const struct scenario scenarios[] = {
	{"put, absent", absent, op_put, was_absent},
	{"put, present", present, op_put, was_present},
	{"put, group full", group_full, op_put, anything},
	{"put, memory full", memory_full, op_put, anything},
	{"put, announcement pending", pending, op_put, may_go,
	 .unsettled = true},
	{"put a run, absent", absent, op_put_run, run_there},
	{"put a run, over a run", run_present, op_put_run, run_there},
	{"remove, present", present, op_remove, removed},
	{"remove, absent", absent, op_remove, removed},
	{"remove, announcement pending", pending, op_remove, removed,
	 .unsettled = true},
	{"remove a run", run_present, op_remove, removed},
	{"compare and swap", present, op_cas, was_present},
	{"add, absent", absent, op_add, was_absent},
	{"add, announcement pending", pending, op_add, may_go,
	 .unsettled = true},
	{"increment", counter, op_increment, counted},
	{"touch", present, op_touch, stays},
	{"get", present, op_get, stays},
	{"lease and release", present, op_lease, stays},
	{"restamp", lagging, op_get, stays},
	{"evict", present, op_evict, may_go},
	{"expire", expired, op_sweep, may_go},
	{"sweep, announcement pending", pending, op_sweep, may_go,
	 .unsettled = true},
	{"fill, absent", absent, op_fill, was_absent},
	{"invalidate a tag", tagged, op_invalidate_tag, removed},
	{"invalidate a key", present, op_invalidate_key, removed},
	{"invalidate a pattern", present, op_invalidate_match, removed},
	{"invalidate all", present, op_invalidate_all, removed},
	{"claim a slot", present, op_attach, stays, .unattached = true},
	{"claim a dead one's slot", dead_slot, op_attach, stays,
	 .unattached = true, .unsettled = true},
	{"give a slot back", present, op_detach, stays},
	{"recover a dead slot", dead_slot, op_recover, stays,
	 .unsettled = true},
	{"move a page", present, op_page_move, may_go},
	{"retire and reclaim", present, op_reclaim, removed},
};
const unsigned n_scenarios = sizeof scenarios / sizeof scenarios[0];

/* ------------------------------------------------------------------ */
/* Scripts                                                             */

static void script_put(struct larder *h)
{
	put(h, KEY, 'b', SMALL, NULL);
}

static void script_remove(struct larder *h)
{
	larder_remove(h, KEY);
}

static void script_churn(struct larder *h)
{
	put(h, KEY, 'a', SMALL, NULL);
	larder_remove(h, KEY);
	put(h, KEY, 'b', SMALL, NULL);
}

/* Everything is swept and the child expelled, its epoch long past. */
static void script_expel(struct larder *h)
{
	int error;
	struct worker *w = worker_of(h, &error);

	larder_remove(h, KEY);
	for (int i = 0; i < 12; i++)
		larder_epoch_advance(w, 0);
	larder_slab_reclaim(w, false, 0);
	larder_maintain(h, UINT32_MAX >> 8);
	for (int i = 0; i < 4; i++)
		put(h, KEY, 'b', SMALL, NULL);
}

/* ... and its memory given to another size. */
static void script_retype(struct larder *h)
{
	int error;
	struct worker *w = worker_of(h, &error);
	unsigned class = larder_slab_class(w->s, 40 + 8 + SMALL);

	script_expel(h);
	larder_remove(h, KEY);
	for (int i = 0; i < 8; i++)
		larder_page_move(w, class, class + 3);
	for (int i = 0; i < 40; i++) {
		char key[16];

		put(h, key, (size_t)snprintf(key, sizeof key, "r%d", i), 'r',
		    120, NULL);
	}
	put(h, KEY, 'b', SMALL, NULL);
}

const struct script scripts[] = {
	{"put", script_put},	   {"remove", script_remove},
	{"churn", script_churn},   {"expel and reuse", script_expel},
	{"retype", script_retype},
};
const unsigned n_scripts = sizeof scripts / sizeof scripts[0];
