/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The history of one round, judged as a whole: sorted by key, versions and
 * comparisons of them over all keys, then each key by itself.
 *
 * Nobody runs any more: what is pending here was left by the dead, and counts
 * as done or not done, whichever explains what others saw.
 */
#include "judge.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------ */
/* Timelines                                                           */

void timeline_add(struct timeline *t, uint64_t began, uint64_t ended)
{
	if (t->n == t->room) {
		t->room = t->room ? 2 * t->room : 64;
		t->at = realloc(t->at, t->room * sizeof *t->at);
		if (!t->at)
			abort();
	}
	t->at[t->n++] = (struct span){began, ended};
}

void timeline_clear(struct timeline *t)
{
	t->n = 0;
}

static int by_end(const void *a, const void *b)
{
	uint64_t x = ((const struct span *)a)->ended;
	uint64_t y = ((const struct span *)b)->ended;

	return x < y ? -1 : x > y;
}

static int by_beginning(const void *a, const void *b)
{
	uint64_t x = ((const struct span *)a)->began;
	uint64_t y = ((const struct span *)b)->began;

	return x < y ? -1 : x > y;
}

void timeline_order_by_end(struct timeline *t)
{
	if (t->n)
		qsort(t->at, t->n, sizeof *t->at, by_end);
	for (size_t i = 1; i < t->n; i++)
		t->at[i].began = max_u64(t->at[i].began, t->at[i - 1].began);
}

uint64_t latest_begun(const struct timeline *t, uint64_t before)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (t->at[middle].ended < before)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? t->at[low - 1].began : 0;
}

void timeline_order_by_beginning(struct timeline *t)
{
	if (t->n)
		qsort(t->at, t->n, sizeof *t->at, by_beginning);
	for (size_t i = 1; i < t->n; i++)
		t->at[i].ended = max_u64(t->at[i].ended, t->at[i - 1].ended);
}

uint64_t latest_ended(const struct timeline *t, uint64_t before)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (t->at[middle].began < before)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? t->at[low - 1].ended : 0;
}

/* ------------------------------------------------------------------ */
/* Records                                                             */

bool found_absent(const struct record *r)
{
	if (!is_done(r))
		return false;
	switch (r->kind) {
	case KIND_INITIAL:
	case KIND_GET:
	case KIND_GET_INFO:
	case KIND_GET_MANY:
	case KIND_LEASE:
	case KIND_REPLACE:
	case KIND_CAS:
	case KIND_TOUCH:
		return r->outcome == LARDER_MISS;
	case KIND_FILL_BEGIN:
		/* With the lead there may be a stale value. */
		return r->outcome == LARDER_WAIT ||
		       (r->outcome == LARDER_LEAD && !r->value);
	case KIND_ADD:
		return r->outcome == LARDER_OK;
	default:
		return false;
	}
}

struct life *life_of(const struct inquiry *q, uint64_t value, uint32_t key)
{
	uint64_t i = (value & UINT32_MAX) - 1;
	struct life *life;

	if (value >> 32 == load_relaxed(&board->round)) {
		if (i >= q->n_records)
			return NULL;
		life = &q->lives[i];
		return life->write && life->write->key == key ? life : NULL;
	}
	/* Of an earlier round: what the key held when this one began. */
	life = &q->lives[key];
	return life->write && life->write->value == value ? life : NULL;
}

/* What is known of a write before anybody's reads. */
static void begin_life(struct life *life, const struct record *r)
{
	bool done = is_done(r);

	*life = (struct life){.write = r,
			      .first_end = NEVER,
			      .last_begin = r->began,
			      .there_by = NEVER,
			      .dated = NEVER};
	if (r->kind == KIND_FETCH_PUT) {
		life->dated = r->began; /* its token was taken before */
		return;
	}
	life->surely = done && r->outcome == LARDER_OK;
	life->refused = done && r->outcome != LARDER_OK;
	if (life->surely)
		life->first_end = r->ended;
	if (r->token)
		life->dated = board->record[r->token - 1].ended;
}

static void sort_by_key(struct inquiry *q)
{
	static uint32_t at[N_KEYS];
	struct record **all = calloc(q->n_records + 1, sizeof *all);

	q->sweeping = calloc(q->n_records + 1, sizeof *q->sweeping);
	if (!all || !q->sweeping)
		abort();
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < q->n_records; i++) {
			struct record *r = &board->record[i];

			if (load_relaxed(&r->state) == RECORD_UNUSED ||
			    r->kind >= KIND_INVALIDATE_TAG)
				continue;
			if (pass)
				q->of_key[r->key][at[r->key]++] = r;
			else
				q->n_of_key[r->key]++;
		}
		for (uint32_t key = 0, n = 0; key < N_KEYS && !pass; key++) {
			q->of_key[key] = all + n;
			n += q->n_of_key[key];
			at[key] = 0;
		}
	}
}

static void note_tag(struct inquiry *q, uint32_t tag, const struct record *r)
{
	if (tag >= N_TAGS)
		return;
	if (is_done(r))
		timeline_add(&q->tag_done[tag], r->began, r->ended);
	timeline_add(&q->tag_any[tag], r->began, end_of(r));
}

static void note_invalidation(struct inquiry *q, struct record *r)
{
	timeline_add(&q->any_invalidation, r->began, end_of(r));
	if (r->kind == KIND_INVALIDATE_TAG)
		note_tag(q, r->key, r);
	else if (r->kind == KIND_INVALIDATE_TAGS)
		for (uint32_t i = 0; i < 5; i++)
			note_tag(q, r->key * 10 + i, r);
	else if (r->kind != KIND_INVALIDATE_KEY)
		q->sweeping[q->n_sweeping++] = r;
}

/* ------------------------------------------------------------------ */
/* Versions                                                            */

static int by_version(const void *a, const void *b)
{
	uint64_t x = ((const struct seen_version *)a)->version;
	uint64_t y = ((const struct seen_version *)b)->version;

	return x < y ? -1 : x > y;
}

static void judge_versions(struct inquiry *q)
{
	q->versions = calloc(q->n_records + 1, sizeof *q->versions);
	if (!q->versions)
		abort();
	for (uint32_t i = 0; i < q->n_records; i++) {
		const struct record *r = &board->record[i];

		if (is_done(r) && r->version && r->value && r->key < COUNTING &&
		    (is_read(r) || (is_write(r) && r->outcome == LARDER_OK)))
			q->versions[q->n_versions++] = (struct seen_version){
				r->version, r->value, r->key};
	}
	qsort(q->versions, q->n_versions, sizeof *q->versions, by_version);
	for (size_t i = 1; i < q->n_versions; i++) {
		const struct seen_version *a = &q->versions[i - 1], *b = a + 1;

		if (a->version == b->version &&
		    (a->value != b->value || a->key != b->key))
			violation("version %llx names a value of key %u and "
				  "another of key %u",
				  (unsigned long long)a->version, a->key,
				  b->key);
	}
	q->verdict->versions += q->n_versions;
}

uint64_t value_of_version(const struct inquiry *q, uint64_t version)
{
	struct seen_version wanted = {.version = version};
	struct seen_version *found =
		q->n_versions ? bsearch(&wanted, q->versions, q->n_versions,
					sizeof wanted, by_version)
			      : NULL;

	return found ? found->value : 0;
}

static int by_expected(const void *a, const void *b)
{
	uint64_t x = (*(const struct record *const *)a)->expected;
	uint64_t y = (*(const struct record *const *)b)->expected;

	return x < y ? -1 : x > y;
}

/* Of two that compared with the same version at most one succeeds. */
static void judge_comparisons(struct inquiry *q)
{
	const struct record **won = calloc(q->n_records + 1, sizeof *won);
	size_t n = 0;

	if (!won)
		abort();
	for (uint32_t i = 0; i < q->n_records; i++) {
		const struct record *r = &board->record[i];

		if ((r->kind == KIND_CAS || r->kind == KIND_REMOVE_VERSION) &&
		    is_done(r) && r->outcome == LARDER_OK)
			won[n++] = r;
	}
	qsort(won, n, sizeof *won, by_expected);
	for (size_t i = 1; i < n; i++)
		if (won[i]->expected == won[i - 1]->expected)
			violation("%s and %s of key %u both succeeded with "
				  "version %llx",
				  kind_names[won[i - 1]->kind],
				  kind_names[won[i]->kind], won[i]->key,
				  (unsigned long long)won[i]->expected);
	free(won);
}

/* ------------------------------------------------------------------ */

/* What the last look at the round before found; nothing may come back since,
 * or be another value. */
static void judge_between(struct inquiry *q)
{
	static uint64_t last[N_KEYS];
	static uint16_t last_tags[N_KEYS];

	for (uint32_t key = 0; key < N_KEYS; key++) {
		struct record *first = &board->record[key];
		const struct record *r = NULL;
		const struct life *life;

		if (first->outcome == LARDER_OK && first->value != last[key])
			violation("key %u changed between two rounds", key);
		first->tags = last_tags[key];
		for (uint32_t i = q->n_of_key[key]; i-- && !r;)
			if (q->of_key[key][i]->kind == KIND_GET &&
			    q->of_key[key][i]->seat == SURVIVOR)
				r = q->of_key[key][i];
		if (!r)
			continue;
		last[key] = r->outcome == LARDER_OK ? r->value : 0;
		life = key < COUNTING ? life_of(q, r->value, key) : NULL;
		last_tags[key] = life ? life->write->tags : 0;
	}
}

static void judge_outcome(const struct record *r)
{
	/* A fill inside a fill of the same key is told so. */
	if (is_done(r) && r->outcome < 0 &&
	    r->outcome != LARDER_ERR_NESTED_FILL)
		violation("%s of key %u: %s", kind_names[r->kind], r->key,
			  larder_strerror(r->outcome));
}

void judge_round(struct verdict *v)
{
	static struct inquiry q;

	for (unsigned i = 0; i < N_TAGS; i++) {
		timeline_clear(&q.tag_done[i]);
		timeline_clear(&q.tag_any[i]);
	}
	timeline_clear(&q.any_invalidation);
	memset(q.n_of_key, 0, sizeof q.n_of_key);
	q.n_sweeping = 0;
	q.n_versions = 0;
	q.verdict = v;
	q.n_records = (uint32_t)min_u64(load_relaxed(&board->used), RECORDS);
	q.lives = calloc(q.n_records + 1, sizeof *q.lives);
	if (!q.lives)
		abort();
	sort_by_key(&q);
	for (uint32_t i = 0; i < q.n_records; i++) {
		struct record *r = &board->record[i];

		if (load_relaxed(&r->state) == RECORD_UNUSED)
			continue;
		judge_outcome(r);
		v->pending += !is_done(r);
		v->evictions += r->kind == KIND_UNLINK && is_done(r) &&
				r->outcome == LARDER_OK;
		if (is_write(r) ||
		    (r->kind == KIND_INITIAL && r->outcome == LARDER_OK))
			begin_life(&q.lives[i], r);
		if (r->kind >= KIND_INVALIDATE_KEY &&
		    r->kind <= KIND_INVALIDATE_ALL)
			note_invalidation(&q, r);
	}
	for (unsigned i = 0; i < N_TAGS; i++) {
		timeline_order_by_end(&q.tag_done[i]);
		timeline_order_by_beginning(&q.tag_any[i]);
	}
	timeline_order_by_beginning(&q.any_invalidation);
	judge_between(&q);
	judge_versions(&q);
	judge_comparisons(&q);
	for (uint32_t key = 0; key < COUNTING; key++)
		judge_key(&q, key);
	for (uint32_t key = COUNTING; key < N_KEYS; key++)
		judge_counter(&q, key);
	free(q.lives);
	free(q.versions);
	free(q.sweeping);
	free(q.of_key[0]);
}
