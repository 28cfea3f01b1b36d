/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The history of one key, judged.
 *
 * A value is written once, at one moment of its write's span, and stands until
 * something takes its place: another write, a removal, an eviction. Whoever
 * finds the key absent shows that it was gone at some moment. So of a value
 * that was there by then (its write had ended, or somebody had read it):
 *
 *   stale      something that came after it had ended before the read began
 *   late       so had an invalidation of the key, or of a tag of the value,
 *              that began after the computation's token was taken
 *   returned   it was held from its first sight to its last, and another was
 *              held in between (registers of unique values: Gibbons and Korach
 *              1997)
 *   lost       the key was absent, and nothing had taken it away since
 *
 * Each test is of spans that cannot overlap, so none of them depends on how
 * long anything took, and what is called a violation is one.
 */
#include <stdlib.h>

#include "judge.h"

/* Lines of one key, kept from key to key for their room. */
static struct timeline newer, invalid, written, taken, spoilt;

/* Does this glob over keys, or invalidation of everything, match? */
static bool sweeps(const struct record *r, uint32_t key)
{
	return r->kind == KIND_INVALIDATE_ALL ||
	       (r->kind == KIND_INVALIDATE_KEYS && key / 10 == r->key);
}

static bool is_removal(const struct record *r)
{
	if (r->kind == KIND_REMOVE || r->kind == KIND_REMOVE_VERSION)
		return !is_done(r) || r->outcome == LARDER_OK ||
		       r->outcome == LARDER_MISS;
	return r->kind == KIND_UNLINK &&
	       (!is_done(r) || r->outcome == LARDER_OK);
}

/* The value that an operation found there, 0 if that is not known. */
static uint64_t found_value(const struct inquiry *q, const struct record *r)
{
	if (!is_done(r))
		return 0;
	if (is_read(r))
		return r->outcome == LARDER_OK || r->outcome == LARDER_STALE ||
				       r->outcome == LARDER_LEAD
			       ? r->value
			       : 0;
	if ((r->kind == KIND_CAS || r->kind == KIND_REMOVE_VERSION) &&
	    r->outcome == LARDER_OK)
		return value_of_version(q, r->expected);
	return 0;
}

/* What is written down of a key from @began to @ended, once: so that somebody
 * can see for himself. */
static void tell(const struct inquiry *q, uint32_t key, uint64_t began,
		 uint64_t ended)
{
	static bool told;

	if (told)
		return;
	told = true;
	for (uint32_t i = 0; i < q->n_of_key[key]; i++) {
		const struct record *r = q->of_key[key][i];

		if (r->began > ended || end_of(r) < began)
			continue;
		fprintf(stderr,
			"  seat %u, %llu..%llu: %s, %s, value %llx, version "
			"%llx, expected %llx, flags %u\n",
			r->seat, (unsigned long long)r->began,
			(unsigned long long)end_of(r), kind_names[r->kind],
			is_done(r) ? larder_strerror(r->outcome) : "pending",
			(unsigned long long)r->value,
			(unsigned long long)r->version,
			(unsigned long long)r->expected, r->flags);
	}
}

static void say(const struct inquiry *q, const char *what,
		const struct record *read, const struct record *write)
{
	violation("%s of key %u at %llu..%llu: %s; written by %s at "
		  "%llu..%llu, outcome %d",
		  kind_names[read->kind], read->key,
		  (unsigned long long)read->began,
		  (unsigned long long)read->ended, what,
		  kind_names[write->kind], (unsigned long long)write->began,
		  (unsigned long long)end_of(write), write->outcome);
	tell(q, read->key, write->began, read->ended);
}

/* ------------------------------------------------------------------ */

/* Who found which value: what is known of the values' lives. */
static void see_values(struct inquiry *q, uint32_t key)
{
	for (uint32_t i = 0; i < q->n_of_key[key]; i++) {
		const struct record *r = q->of_key[key][i];
		uint64_t value = found_value(q, r);
		struct life *life;

		if (!value)
			continue;
		q->verdict->reads++;
		life = life_of(q, value, key);
		if (!life) {
			violation("%s of key %u: value %llx, which nobody "
				  "wrote",
				  kind_names[r->kind], key,
				  (unsigned long long)value);
			continue;
		}
		if (life->refused)
			say(q, "its store had been refused", r, life->write);
		if (life->write->began > r->ended)
			say(q, "read before it was written", r, life->write);
		life->surely = true;
		life->first_end = min_u64(life->first_end, r->ended);
		life->last_begin = max_u64(life->last_begin, r->began);
	}
}

static void draw_lines(struct inquiry *q, uint32_t key)
{
	timeline_clear(&newer);
	timeline_clear(&invalid);
	timeline_clear(&written);
	timeline_clear(&taken);
	timeline_clear(&spoilt);
	for (uint32_t i = 0; i < q->n_of_key[key]; i++) {
		struct record *r = q->of_key[key][i];
		struct life *life = &q->lives[r - board->record];

		if (life->write) {
			life->there_by = life->surely ? life->first_end : NEVER;
			if (life->dated == NEVER)
				life->dated = life->there_by;
			if (!life->surely)
				continue;
			timeline_add(&newer, r->began, life->there_by);
			timeline_add(&written, r->began, life->there_by);
		}
		if (is_removal(r)) {
			if (is_done(r))
				timeline_add(&newer, r->began, r->ended);
			/* Nothing is evicted where there is room for all. */
			if (r->kind != KIND_UNLINK || !board->roomy)
				timeline_add(&taken, r->began, end_of(r));
		} else if (r->kind == KIND_INVALIDATE_KEY && key < KEPT) {
			if (is_done(r))
				timeline_add(&invalid, r->began, r->ended);
			timeline_add(&spoilt, r->began, end_of(r));
		} else if (found_absent(r) && (key < EXPIRING || key >= KEPT)) {
			/* Expired is gone as well, but a touch that began
			 * before may bring it back. */
			timeline_add(&newer, r->began, r->ended);
		}
	}
	for (uint32_t i = 0; i < q->n_sweeping && key < KEPT; i++) {
		const struct record *r = q->sweeping[i];

		if (!sweeps(r, key))
			continue;
		if (is_done(r))
			timeline_add(&invalid, r->began, r->ended);
		timeline_add(&spoilt, r->began, end_of(r));
	}
	timeline_order_by_end(&newer);
	timeline_order_by_end(&invalid);
	timeline_order_by_end(&written);
	timeline_order_by_beginning(&taken);
	timeline_order_by_beginning(&spoilt);
}

/* Was the key, or a tag of the value, invalidated after what it was computed
 * from was read, and before @began? */
static bool is_late(const struct inquiry *q, const struct life *life,
		    uint64_t began)
{
	if (latest_begun(&invalid, began) > life->dated)
		return true;
	for (uint32_t tag = 0; tag < N_TAGS; tag++)
		if (life->write->tags >> tag & 1 &&
		    latest_begun(&q->tag_done[tag], began) > life->dated)
			return true;
	return false;
}

static void judge_read(const struct inquiry *q, const struct record *r,
		       const struct life *life)
{
	if (latest_begun(&newer, r->began) > life->there_by)
		say(q, "older than a completed write or removal", r,
		    life->write);
	if (is_late(q, life, r->began))
		say(q, "computed before an invalidation", r, life->write);
}

/* A result that came late must not take a fresh one's place. */
static void judge_late(const struct inquiry *q, const struct record *r)
{
	const struct life *life = &q->lives[r - board->record];

	if (life->write && r->token && is_done(r) && r->outcome == LARDER_OK &&
	    is_late(q, life, r->began))
		say(q, "stored though it came too late", r, r);
}

/*
 * The beginning of the first write that may have had the last word, if one that
 * began at @since was acknowledged. A put's value is as of the beginning of its
 * call: invalidated while it was on its way, it still takes the place of what
 * was stored meanwhile, and leaves a miss.
 */
static uint64_t first_rival(const struct inquiry *q, const struct record *r,
			    uint64_t since)
{
	uint64_t first = since;

	for (uint32_t i = 0; i < q->n_of_key[r->key]; i++) {
		const struct record *w = q->of_key[r->key][i];
		const struct life *life = &q->lives[w - board->record];

		if (life->write && !life->refused && w->began < r->ended &&
		    life->there_by >= since)
			first = min_u64(first, w->began);
	}
	return first;
}

/* May an invalidation explain it? */
static bool may_be_invalid(const struct inquiry *q, const struct record *r,
			   uint64_t since)
{
	bool told = r->kind >= KIND_GET && r->kind <= KIND_LEASE;
	uint32_t key = r->key;

	if (key >= KEPT)
		return false;
	if (latest_ended(&spoilt, r->ended) > since)
		return true;
	/* A tag of the key may have been of the value's. */
	if (key % 3 &&
	    (latest_ended(&q->tag_any[key % N_TAGS], r->ended) > since ||
	     latest_ended(&q->tag_any[key / N_TAGS % N_TAGS], r->ended) >
		     since))
		return true;
	/* Invalidations may take others with them: where the library says that
	 * this is why, or does not say. */
	return (!told || r->flags & RECORD_INVALID) &&
	       latest_ended(&q->any_invalidation, r->ended) > since;
}

/* Absent, though a write was acknowledged and nothing took it away? */
static void judge_absent(const struct inquiry *q, const struct record *r)
{
	uint64_t since = latest_begun(&written, r->began);

	if (!since || latest_ended(&taken, r->ended) > since ||
	    may_be_invalid(q, r, since) ||
	    may_be_invalid(q, r, first_rival(q, r, since)))
		return;
	violation("%s of key %u at %llu..%llu: an acknowledged value is gone, "
		  "written since %llu",
		  kind_names[r->kind], r->key, (unsigned long long)r->began,
		  (unsigned long long)r->ended, (unsigned long long)since);
	tell(q, r->key, since, r->ended);
}

/* It said that something is there: may there have been? */
static void judge_present(const struct inquiry *q, const struct record *r)
{
	uint64_t gone = latest_begun(&newer, r->began);

	for (uint32_t i = 0; i < q->n_of_key[r->key]; i++) {
		const struct record *w = q->of_key[r->key][i];
		const struct life *life = &q->lives[w - board->record];

		if (life->write && w != r && !life->refused &&
		    w->began < r->ended && life->there_by >= gone)
			return;
	}
	violation("%s of key %u: %s, and there was nothing",
		  kind_names[r->kind], r->key, larder_strerror(r->outcome));
}

static bool found_something(const struct record *r)
{
	if (!is_done(r))
		return false;
	return (r->kind == KIND_ADD && r->outcome == LARDER_EXISTS) ||
	       (r->kind == KIND_CAS && r->outcome == LARDER_CHANGED) ||
	       (r->kind == KIND_REPLACE && r->outcome == LARDER_OK) ||
	       (r->kind == KIND_TOUCH && r->outcome == LARDER_OK) ||
	       (r->kind == KIND_GET_MANY && r->outcome == LARDER_TRUNCATED);
}

static int by_first_end(const void *a, const void *b)
{
	uint64_t x = (*(const struct life *const *)a)->first_end;
	uint64_t y = (*(const struct life *const *)b)->first_end;

	return x < y ? -1 : x > y;
}

/* A value that was seen, then another, then it again. */
static void judge_returns(struct inquiry *q, uint32_t key)
{
	const struct life **held =
		calloc(q->n_of_key[key] + 1, sizeof(struct life *));
	size_t n = 0;

	if (!held)
		abort();
	for (uint32_t i = 0; i < q->n_of_key[key]; i++) {
		const struct life *life =
			&q->lives[q->of_key[key][i] - board->record];

		if (life->write && life->surely &&
		    life->first_end < life->last_begin)
			held[n++] = life;
	}
	qsort(held, n, sizeof *held, by_first_end);
	for (size_t i = 1; i < n; i++)
		if (held[i]->first_end < held[i - 1]->last_begin)
			say(q, "held while another was held", held[i]->write,
			    held[i - 1]->write);
	for (uint32_t i = 0; i < q->n_of_key[key]; i++) {
		const struct life *life =
			&q->lives[q->of_key[key][i] - board->record];
		size_t low = 0, high = n;

		if (!life->write || !life->surely ||
		    life->first_end < life->last_begin)
			continue;
		while (low < high) {
			size_t middle = (low + high) / 2;

			if (held[middle]->first_end < life->last_begin)
				low = middle + 1;
			else
				high = middle;
		}
		if (low && life->first_end < held[low - 1]->last_begin)
			say(q, "there while another was held", life->write,
			    held[low - 1]->write);
	}
	free(held);
}

void judge_key(struct inquiry *q, uint32_t key)
{
	see_values(q, key);
	draw_lines(q, key);
	for (uint32_t i = 0; i < q->n_of_key[key]; i++) {
		const struct record *r = q->of_key[key][i];
		uint64_t value = found_value(q, r);
		const struct life *life = value ? life_of(q, value, key) : NULL;

		if (life)
			judge_read(q, r, life);
		if (found_absent(r) && (key < EXPIRING || key >= KEPT))
			judge_absent(q, r);
		if (found_something(r))
			judge_present(q, r);
		judge_late(q, r);
		if (board->roomy && r->kind == KIND_UNLINK &&
		    (key < EXPIRING || key >= KEPT) && is_done(r) &&
		    r->outcome == LARDER_OK && !(r->flags & RECORD_REMOVAL))
			violation("key %u was evicted where all have room",
				  key);
	}
	judge_returns(q, key);
}

/* ------------------------------------------------------------------ */
/* Counters                                                            */

static int by_value(const void *a, const void *b)
{
	uint64_t x = (*(const struct record *const *)a)->value;
	uint64_t y = (*(const struct record *const *)b)->value;

	return x < y ? -1 : x > y;
}

/* What it may be read as from @began to @ended: what was acknowledged before
 * counts, what had begun may. */
static void judge_sum(const struct inquiry *q, const struct record *read,
		      uint64_t initial)
{
	uint64_t least = initial, most = initial;

	for (uint32_t i = 0; i < q->n_of_key[read->key]; i++) {
		const struct record *r = q->of_key[read->key][i];

		if (r->kind != KIND_INCREMENT ||
		    (is_done(r) && r->outcome != LARDER_OK))
			continue;
		if (end_of(r) < read->began)
			least += r->expected;
		if (r->began < read->ended)
			most += r->expected;
	}
	q->verdict->reads++;
	if (read->outcome == LARDER_MISS && !least)
		return;
	if (read->outcome != LARDER_OK || read->value < least ||
	    read->value > most)
		violation("%s of counter %u: %s, %llu, and it has to be from "
			  "%llu to %llu",
			  kind_names[read->kind], read->key,
			  larder_strerror(read->outcome),
			  (unsigned long long)read->value,
			  (unsigned long long)least, (unsigned long long)most);
}

/* Each sum was told to one increment only, and in an order that their spans
 * allow. */
static void judge_increments(const struct record **told, size_t n)
{
	uint64_t next_end = NEVER;

	qsort(told, n, sizeof *told, by_value);
	for (size_t i = n; i--;) {
		const struct record *r = told[i];

		if (i && r->value - r->expected < told[i - 1]->value)
			violation("counter %u: %llu after %llu, by %llu",
				  r->key, (unsigned long long)r->value,
				  (unsigned long long)told[i - 1]->value,
				  (unsigned long long)r->expected);
		if (r->began > next_end)
			violation("counter %u: %llu after a greater sum",
				  r->key, (unsigned long long)r->value);
		next_end = min_u64(next_end, r->ended);
	}
}

void judge_counter(struct inquiry *q, uint32_t key)
{
	const struct record **told = calloc(q->n_of_key[key] + 1, sizeof *told);
	const struct record *first = &board->record[key];
	uint64_t initial = first->outcome == LARDER_OK ? first->value : 0;
	size_t n = 0;

	if (!told)
		abort();
	for (uint32_t i = 0; i < q->n_of_key[key]; i++) {
		const struct record *r = q->of_key[key][i];

		if (!is_done(r))
			continue;
		if (r->kind == KIND_INCREMENT && r->outcome == LARDER_OK)
			told[n++] = r;
		else if (r->kind == KIND_GET)
			judge_sum(q, r, initial);
		else if (r->kind == KIND_UNLINK && r->outcome == LARDER_OK)
			violation("counter %u was evicted", key);
	}
	judge_increments(told, n);
	free(told);
}
