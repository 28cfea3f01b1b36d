/* SPDX-License-Identifier: Apache-2.0 */
/*
 * put and its kin: one loop for all of them.
 *
 * Room is found and filled first, the key switched last, so a store that fails
 * leaves what was there. The switch is one CAS: on the slot word for a key that
 * is there, on the group's control word for a new one (index.h).
 *
 *   dies while                 leaves
 *   finding room, writing      an ALLOC of a dead owner: recovered
 *   announced, not linked      a committed store: the next writer links it
 *   linked, before LIVE        ALLOC, linked: recovered as LIVE
 *   before retiring the old    LIVE, in no group: the sweep retires it
 */
#include "cache/write.h"

#include <string.h>

#include "store/evict.h"
#include "store/ghost.h"
#include "store/page.h"

/* A version that never repeats: raised in the slot before it is used, so that
 * the slot's next owner begins above it whatever happens to us. */
static uint64_t next_version(struct worker *w)
{
	uint64_t sequence = load_relaxed(&w->slot->sequence) + 1;

	store_release(&w->slot->sequence, sequence);
	return entry_version(w->index, sequence);
}

static uint64_t shorten(struct worker *w, uint64_t ms, uint32_t percent)
{
	uint64_t most = ms / 100 * min_u64(percent, 100);

	return most ? ms - random_next(&w->random) % most : ms;
}

int larder_store_options(struct worker *w,
			 const struct larder_put_options *given,
			 struct larder_put_options *o, struct entry_plan *plan)
{
	uint64_t now, ttl;

	memset(o, 0, sizeof *o);
	if (given) {
		if (given->size_of < sizeof(size_t) || given->size_of > 4096)
			return -EINVAL;
		memcpy(o, given, min_u64(given->size_of, sizeof *o));
	}
	if ((o->flags & ~(unsigned)(LARDER_KEEP | LARDER_NEGATIVE)) ||
	    o->n_tags > LARDER_TAGS_MAX || (o->n_tags && !o->tags))
		return -EINVAL;
	plan->flags |= o->flags;
	plan->cost_ns = o->cost_ns;
	plan->tags = o->tags;
	plan->n_tags = (uint32_t)o->n_tags;
	ttl = o->ttl_ms ? o->ttl_ms : w->s->sb->ttl_ms;
	if (ttl == UINT64_MAX || (plan->flags & LARDER_KEEP))
		ttl = 0;
	if (ttl || o->soft_ttl_ms) {
		now = larder_clock_ms();
		if (ttl)
			plan->hard_ms = max_u64(
				now + shorten(w, min_u64(ttl, UINT64_MAX / 4),
					      o->jitter_percent),
				1);
		if (o->soft_ttl_ms && o->soft_ttl_ms != UINT64_MAX)
			plan->soft_ms =
				max_u64(now + shorten(w,
						      min_u64(o->soft_ttl_ms,
							      UINT64_MAX / 4),
						      o->jitter_percent),
					1);
	}
	return 0;
}

/* Regions and entries with LARDER_KEEP have a limit each. */
static atomic_u64 *kept_counter(struct segment *s, bool region)
{
	return region ? &s->hot->region_units : &s->hot->kept_units;
}

static void count_kept(struct worker *w, const struct store *st, bool more)
{
	larder_evict_keep(w, kept_counter(w->s, st->plan.flags & LARDER_REGION),
			  st->class, st->unit, more);
}

/*
 * Ask for what the store will replace, or for what may be known of a new key:
 * lines that depend on the group's, on their way while the new entry is
 * written. A hint.
 */
static void expect_old(const struct segment *s, uint64_t hash)
{
	const struct group *g = group_of(s, hash);
	uint32_t mask = group_match(g, tag_of(hash)), unit;

	if (!mask) {
		larder_ghost_expect(s, hash, false);
		larder_ghost_expect(s, hash, true);
		return;
	}
	unit = slot_unit(load_relaxed(&g->slot[__builtin_ctz(mask)]));
	if (!unit_valid(s, unit))
		return;
	__builtin_prefetch(entry_at(s, unit), 1);
	__builtin_prefetch(&s->main_bits[unit >> 6], 1);
}

/* How many bytes to ask for; 0 if the plan is malformed. A region never moves,
 * so it shares its pages with nothing that would have to. */
static uint64_t bytes_of(const struct segment *s, const struct entry_plan *plan)
{
	uint64_t bytes = larder_entry_bytes(plan);

	return bytes && (plan->flags & LARDER_REGION)
		       ? max_u64(bytes, UINT64_C(1) << s->page_shift)
		       : bytes;
}

/* Room for the entry, its bytes, its version. Not pinned. */
static int prepare(struct worker *w, struct store *st)
{
	struct segment *s = w->s;
	uint64_t bytes = bytes_of(s, &st->plan), born;
	struct entry *e;
	int result;

	if (!bytes)
		return -EINVAL;
	if (st->plan.n_value > s->sb->value_max)
		return -EMSGSIZE;
	st->class = larder_slab_class(s, bytes);
	if (s->sb->max_entries && !(st->plan.flags & LARDER_KEEP)) {
		/* Only a new key needs a place; an update keeps the old one's.
		 * The bound may be passed by one entry a worker. */
		struct lookup there;
		bool present;

		larder_pin(w);
		present = larder_find(w, st->key, st->n_key, st->hash, &there);
		larder_unpin(w);
		while (!present &&
		       load_relaxed(&s->hot->n_entries) >= s->sb->max_entries &&
		       larder_evict_any(w, st->class))
			;
	}
	result = larder_slab_alloc(w, bytes, &st->unit, &st->header);
	if (result)
		return result;
	expect_old(s, st->hash);
	e = entry_at(s, st->unit);
	born = clock_since(larder_clock_ms(), s->sb->created_ms);
	e->born_key = born & STAMP_MASK;
	if (MUTANT(LIVE_BEFORE_FILL)) {
		struct entry_plan blank = st->plan;

		blank.value = NULL;
		larder_entry_write(s, e, &blank, st->stamp);
	} else {
		larder_entry_write(s, e, &st->plan, st->stamp);
	}
	e->version = st->version = next_version(w);
	if (st->plan.flags & LARDER_KEEP) {
		/* A mark that a death left in this memory would have it
		 * evicted. Counted before anybody can take it away. */
		larder_evict_unlinked(w, st->class, st->unit);
		count_kept(w, st, true);
	}
	return LARDER_OK;
}

/*
 * May this store replace, or come beside, what is there? @there is NULL if
 * nothing is; @valid says whether what is there is still good.
 */
static int decide(struct worker *w, const struct store *st,
		  const struct lookup *there, bool valid)
{
	/* The stamp is checked here, inside the loop: a slot loaded after a
	 * fresh store was published comes after that store's invalidation
	 * [FRE.4]. */
	if (st->token && !MUTANT(PUT_NO_STAMP_CHECK) &&
	    !larder_fresh_allows(w, &st->plan, st->hash, st->stamp))
		return LARDER_STALE_FILL;
	switch (st->mode) {
	case STORE_PUT:
		break;
	case STORE_ADD:
		if (valid)
			return LARDER_EXISTS;
		break;
	case STORE_REPLACE:
		if (!valid)
			return LARDER_MISS;
		break;
	case STORE_CAS:
		if (!valid)
			return LARDER_MISS;
		if (there->v.e->version != st->expected_version)
			return LARDER_CHANGED;
		break;
	case STORE_FILL:
		if (valid && there->v.e->version != st->token->version)
			return LARDER_NEWER;
		break;
	}
	return LARDER_OK;
}

bool larder_still_valid(struct worker *w, uint64_t hash,
			const struct lookup *there, uint64_t now)
{
	if (there->v.flags & LARDER_KEEP)
		return true;
	if (there->v.hard_ms && entry_expired(&there->v, larder_clock_ms()))
		return false;
	return entry_stamp(there->v.e) >= now ||
	       larder_fresh_check(w, there->unit, &there->v, hash, now);
}

/* Switch an existing key over. Pinned. INDEX_*; result in *outcome. */
static enum index_result store_over(struct worker *w, struct store *st,
				    struct lookup *there, int *outcome)
{
	struct segment *s = w->s;
	enum index_result result;
	uint64_t old_header;
	unsigned old_class;
	uint64_t page =
		load_acquire(&s->page_words[page_of_unit(s, there->unit)]);

	if (there->v.flags & LARDER_REGION) {
		*outcome = LARDER_KEPT;
		return INDEX_DONE;
	}
	if (!larder_hazard_set(w, HAZARD_OLD, there->unit))
		return INDEX_EXPELLED;
	old_header = load_acquire(&entry_at(s, there->unit)->header);
	if (!larder_unit_in_page(s, there->unit, page, &old_class))
		return larder_pin_ok(w) ? INDEX_CHANGED : INDEX_EXPELLED;
	if (MUTANT(PUT_IN_PLACE) && there->v.n_value == st->plan.n_value) {
		memcpy((void *)(uintptr_t)there->v.value, st->plan.value,
		       st->plan.n_value);
		larder_slab_abandon(w, st->unit, st->header);
		*outcome = LARDER_OK;
		return INDEX_DONE;
	}
	result = larder_index_replace(w, there->group, there->slot, there->word,
				      tag_of(st->hash), st->unit);
	if (result != INDEX_DONE)
		return result;
	/* Published last, as in store_new(). */
	if (!(st->plan.flags & LARDER_KEEP))
		larder_evict_replaced(w, old_class, there->unit, st->class,
				      st->unit);
	else
		larder_evict_unlinked(w, old_class, there->unit);
	if (there->v.flags & LARDER_KEEP)
		larder_evict_keep(w, &s->hot->kept_units, old_class,
				  there->unit, false);
	larder_slab_publish(w, st->unit, st->header);
	larder_slab_retire(w, there->unit, old_header);
	/* Its writer may have marked it since. */
	if (HEADER_STATE(old_header) == HEADER_ALLOC)
		larder_evict_unlinked(w, old_class, there->unit);
	count(w, COUNTER_UPDATES, 1);
	*outcome = LARDER_OK;
	return INDEX_DONE;
}

/* Link a new key. Pinned on entry and exit, not always the same section. */
static enum index_result store_new(struct worker *w, struct store *st,
				   struct group *g, uint64_t ctl, int *outcome)
{
	enum index_result result;
	bool in_main;
	int i = larder_index_find_empty(g);

	if (i < 0) {
		if (!larder_evict_from_group(w, g)) {
			*outcome = LARDER_NO_SPACE;
			return INDEX_DONE;
		}
		return larder_pin_ok(w) ? INDEX_CHANGED : INDEX_EXPELLED;
	}
	result = larder_index_insert(w, g, ctl, (unsigned)i, tag_of(st->hash),
				     st->unit);
	if (result != INDEX_DONE)
		return result;
	reference_set(g, (unsigned)i, 0);
	/* Published last: until then our own ALLOC keeps hands and sweeps off
	 * the marks below. */
	if (!(st->plan.flags & LARDER_KEEP)) {
		in_main = larder_evict_remembered(w, st->hash, st->class);
		larder_evict_linked(w, st->class, st->unit, in_main);
	}
	larder_slab_publish(w, st->unit, st->header);
	*outcome = LARDER_OK;
	return INDEX_DONE;
}

/* One pass of the loop. Pinned. INDEX_DONE: *outcome is the answer. */
static enum index_result store_once(struct worker *w, struct store *st,
				    int *outcome)
{
	struct group *g = group_of(w->s, st->hash);
	uint64_t now = larder_fresh_now(w->s);
	uint64_t ctl = load_acquire(&g->ctl); /* [ANN.2] before the scan */
	struct lookup there;
	bool found;

	if (ctl_index(ctl)) {
		enum index_result helped = larder_index_help(w, g, ctl);

		return helped == INDEX_DONE ? INDEX_CHANGED : helped;
	}
	found = larder_find(w, st->key, st->n_key, st->hash, &there);
	*outcome =
		decide(w, st, found ? &there : NULL,
		       found && larder_still_valid(w, st->hash, &there, now));
	if (!larder_may_write(w))
		return INDEX_EXPELLED;
	if (*outcome != LARDER_OK)
		return INDEX_DONE;
	return found ? store_over(w, st, &there, outcome)
		     : store_new(w, st, g, ctl, outcome);
}

static int check_keep(struct worker *w, const struct store *st)
{
	struct segment *s = w->s;
	uint64_t units = div_up(bytes_of(s, &st->plan), UNIT_BYTES);
	bool region = st->plan.flags & LARDER_REGION;
	uint64_t share = region ? 8 : 32;

	if (!(st->plan.flags & LARDER_KEEP) || st->successor)
		return LARDER_OK;
	return load_relaxed(kept_counter(s, region)) + units >
			       (s->bytes >> UNIT_SHIFT) / share
		       ? LARDER_KEEP_LIMIT
		       : LARDER_OK;
}

int larder_store_run(struct worker *w, struct store *st)
{
	const struct group *g = group_of(w->s, st->hash);
	int outcome = check_keep(w, st);
	enum index_result result = INDEX_CHANGED;

	__builtin_prefetch(g, 1);
	__builtin_prefetch(&g->slot[GROUP_LINE0_SLOTS], 1);

	if (!outcome)
		outcome = prepare(w, st);
	if (outcome)
		return outcome;
	for (int tries = 0; tries < CHANGE_TRIES && result != INDEX_DONE;
	     tries++) {
		larder_pin(w);
		result = store_once(w, st, &outcome);
		larder_hazard_clear(w, HAZARD_OLD);
		larder_unpin(w);
		if (result == INDEX_EXPELLED)
			count(w, COUNTER_EXPELLED, 1);
	}
	if (result != INDEX_DONE)
		outcome = LARDER_NO_SPACE;
	if (MUTANT(LIVE_BEFORE_FILL) && outcome == LARDER_OK)
		larder_entry_write(w->s, entry_at(w->s, st->unit), &st->plan,
				   st->stamp);
	if (outcome != LARDER_OK) {
		if (st->plan.flags & LARDER_KEEP)
			count_kept(w, st, false);
		larder_slab_abandon(w, st->unit, st->header);
	} else {
		count(w, COUNTER_PUTS, 1);
		w->stored_units +=
			larder_object_units(w->s, st->unit, st->class);
		count(w, COUNTER_BYTES_STORED,
		      st->plan.n_key + st->plan.n_value);
	}
	larder_upkeep(w);
	larder_slab_expect(w, st->class);
	return outcome;
}

int larder_store(struct worker *w, enum store_mode mode, const void *key,
		 size_t n_key, const void *value, size_t n_value,
		 uint64_t expected_version,
		 const struct larder_put_options *given,
		 const struct larder_token *token)
{
	struct larder_put_options o;
	struct store st = {
		.mode = mode,
		.key = key,
		.n_key = n_key,
		.expected_version = expected_version,
		.plan = {.key = key,
			 .n_key = (uint32_t)n_key,
			 .value = value,
			 .n_value = n_value},
	};
	int outcome;

	if (!key_valid(key, n_key) || (!value && n_value))
		return -EINVAL;
	outcome = larder_store_options(w, given, &o, &st.plan);
	if (outcome)
		return outcome;
	if (mode == STORE_PUT && o.token)
		st.mode = STORE_FILL;
	st.token = token ? token : o.token;
	/* Without a token: current as of this call, so the counter is read
	 * before anything the value could depend on. */
	st.stamp = token     ? token->stamp
		   : o.token ? token_stamp(w->s, o.token)
			     : larder_fresh_now(w->s) & STAMP_MASK;
	st.hash = key_hash_of(w->s, key, n_key);
	if (!n_value)
		st.plan.value = "";
	outcome = larder_store_run(w, &st);
	if (outcome == LARDER_OK && o.version)
		*o.version = st.version;
	if (outcome == LARDER_STALE_FILL)
		count(w, COUNTER_REFUSED_STALE, 1);
	else if (outcome == LARDER_NEWER)
		count(w, COUNTER_REFUSED_NEWER, 1);
	return outcome;
}

int larder_store_region(struct worker *w, const void *key, size_t n_key,
			uint64_t n_value)
{
	/* Over what is no region: such keys are the library's. */
	struct store st = {
		.mode = STORE_PUT,
		.key = key,
		.n_key = n_key,
		.hash = key_hash_of(w->s, key, n_key),
		.stamp = larder_fresh_now(w->s) & STAMP_MASK,
		.plan = {.key = key,
			 .n_key = (uint32_t)n_key,
			 .n_value = n_value,
			 .flags = LARDER_KEEP | LARDER_REGION},
	};

	return larder_store_run(w, &st);
}

/* ------------------------------------------------------------------ */

static int store_for(struct larder *h, enum store_mode mode, const void *key,
		     size_t n_key, const void *value, size_t n_value,
		     uint64_t version, const struct larder_put_options *options)
{
	int error;
	struct worker *w = worker_of(h, &error);

	return w ? larder_store(w, mode, key, n_key, value, n_value, version,
				options, NULL)
		 : error;
}

int larder_put(struct larder *h, const void *key, size_t n_key,
	       const void *value, size_t n_value,
	       const struct larder_put_options *options)
{
	return store_for(h, STORE_PUT, key, n_key, value, n_value, 0, options);
}

int larder_add(struct larder *h, const void *key, size_t n_key,
	       const void *value, size_t n_value,
	       const struct larder_put_options *options)
{
	return store_for(h, STORE_ADD, key, n_key, value, n_value, 0, options);
}

int larder_replace(struct larder *h, const void *key, size_t n_key,
		   const void *value, size_t n_value,
		   const struct larder_put_options *options)
{
	return store_for(h, STORE_REPLACE, key, n_key, value, n_value, 0,
			 options);
}

int larder_cas(struct larder *h, const void *key, size_t n_key,
	       uint64_t version, const void *value, size_t n_value,
	       const struct larder_put_options *options)
{
	return store_for(h, STORE_CAS, key, n_key, value, n_value, version,
			 options);
}
