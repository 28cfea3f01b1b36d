/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker of the storm does: every operation of the library, drawn at
 * random from the worker's own stream, each written down before and after.
 *
 * Half of them go to a few hot keys, so that they meet. Leases are held across
 * other operations, and a fill that is led goes on only after some of them, so
 * that what it computed is late at times.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cache/cache.h"
#include "operations.h"
#include "store/slab.h"

uint32_t any_plain(void)
{
	uint32_t n = board->roomy ? ROOMY_KEYS : EXPIRING - PLAIN;

	return PLAIN + draw_below(draw_below(2) ? HOT_KEYS : n);
}

/* Of those whose values may be replaced by anything. */
static uint32_t any_value_key(void)
{
	switch (draw_below(12)) {
	case 0:
		return EXPIRING + draw_below(KEPT - EXPIRING);
	case 1:
		return KEPT + draw_below(COUNTING - KEPT);
	default:
		return any_plain();
	}
}

/* ------------------------------------------------------------------ */
/* Reading                                                             */

/* What a read found, noted in its record. */
static void note_value(struct record *r, const void *value, size_t n)
{
	if (r->key < COUNTING)
		r->value = value_name(value, n, r->key, kind_names[r->kind]);
	else if (n == 8)
		memcpy(&r->value, value, 8);
	else
		violation("a counter of %zu bytes, key %u", n, r->key);
}

static void get(uint32_t key)
{
	char text[LARDER_KEY_MAX];
	size_t n = key_text(key, text), n_value = 0;
	struct record *r = operation_begin(KIND_GET, key);
	int result = larder_get(cache, text, n, me->buffer, VALUE_MAX + 64,
				&n_value);

	operation_end(r, result);
	if (result == LARDER_OK)
		note_value(r, me->buffer, n_value);
}

/* The version that was found; 0 if there was nothing. */
static uint64_t get_info(uint32_t key)
{
	struct larder_info info = {.size_of = sizeof info};
	char text[LARDER_KEY_MAX];
	size_t n = key_text(key, text);
	struct record *r = operation_begin(KIND_GET_INFO, key);
	int result = larder_get_info(cache, text, n, me->buffer, VALUE_MAX + 64,
				     &info);

	operation_end(r, result);
	if (result != LARDER_OK)
		return 0;
	note_value(r, me->buffer, info.n_value);
	r->version = info.version;
	return info.version;
}

static void get_many(void)
{
	enum { MANY = 8, EACH = VALUE_MAX / MANY };
	char texts[MANY][LARDER_KEY_MAX];
	struct larder_get_item items[MANY];
	struct record *r[MANY];
	int result;

	memset(items, 0, sizeof items);
	for (int i = 0; i < MANY; i++) {
		uint32_t key = any_value_key();

		r[i] = log_intention(KIND_GET_MANY, key);
		items[i].key = texts[i];
		items[i].n_key = key_text(key, texts[i]);
		items[i].value = (char *)me->buffer + i * EACH;
		items[i].n_buffer = EACH;
	}
	operation_measure(r[0]);
	result = larder_get_many(cache, items, MANY);
	operation_end(r[0], result ? result : items[0].result);
	for (int i = 0; i < MANY; i++) {
		if (i) {
			r[i]->flags = r[0]->flags;
			log_outcome(r[i], result ? result : items[i].result);
		}
		if (!result && items[i].result == LARDER_OK)
			note_value(r[i], items[i].value, items[i].n_value);
	}
}

static void hold(const struct record *r, const struct larder_view *view)
{
	for (unsigned i = 0; i < 3; i++) {
		struct held *h = &me->held[i];

		if (h->view.lease)
			continue;
		*h = (struct held){*view, r->value, r->key};
		return;
	}
	larder_release(cache,
		       &(struct larder_view){view->value, view->n_value,
					     view->version, view->lease});
}

static void release(unsigned i)
{
	struct held *h = &me->held[i];
	struct record *r;

	if (!h->view.lease)
		return;
	if (h->key < COUNTING && value_name(h->view.value, h->view.n_value,
					    h->key, "lease") != h->value)
		violation("leased bytes changed, key %u", h->key);
	r = operation_begin(KIND_RELEASE, h->key);
	larder_release(cache, &h->view);
	operation_end(r, LARDER_OK);
}

static void note_view(struct record *r, struct larder_view *view)
{
	note_value(r, view->value, view->n_value);
	r->version = view->version;
	hold(r, view);
}

static void lease(uint32_t key)
{
	char text[LARDER_KEY_MAX];
	size_t n = key_text(key, text);
	struct larder_view view;
	struct record *r = operation_begin(KIND_LEASE, key);
	int result = larder_lease(cache, text, n, &view);

	operation_end(r, result);
	if (result == LARDER_OK)
		note_view(r, &view);
}

/* ------------------------------------------------------------------ */
/* Filling                                                             */

/* Wait for a leader, by sleeping or by looking now and then. The record of the
 * call that ended the waiting. */
static struct record *follow(uint32_t key, struct larder_fill *fill,
			     struct larder_view *view, int *result)
{
	struct record *r;

	for (int polls = (int)draw_below(4); polls > 0; polls--) {
		r = operation_begin(KIND_FILL_POLL, key);
		*result = larder_fill_poll(cache, fill, view);
		operation_end(r, *result);
		if (*result != LARDER_WAIT)
			return r;
		operate_inside();
	}
	r = operation_begin(KIND_FILL_WAIT, key);
	*result = larder_fill_wait(cache, fill, view);
	operation_end(r, *result);
	return r;
}

static void lead(uint32_t key, const struct record *token,
		 struct larder_fill *fill)
{
	struct written w;
	struct record *r;

	for (uint32_t others = draw_below(4); others; others--)
		operate_inside();
	if (draw_below(6) == 0) {
		r = operation_begin(KIND_ABANDON, key);
		larder_fill_abandon(cache, fill);
		operation_end(r, LARDER_OK);
		return;
	}
	r = log_intention(KIND_FILL_PUT, key);
	prepare(&w, r);
	r->token = (uint32_t)(token - board->record) + 1;
	operation_measure(r);
	operation_end(r, larder_fill_put(cache, fill, me->value, w.n, &w.o));
}

static void fill(uint32_t key)
{
	struct larder_fill_options o = {.size_of = sizeof o,
					.wait_ms = 1 + draw_below(8),
					.lead_ms = 5 + draw_below(40)};
	char text[LARDER_KEY_MAX];
	size_t n = key_text(key, text);
	struct larder_view view = {0};
	struct larder_fill f;
	struct record *r = operation_begin(KIND_FILL_BEGIN, key);
	int result = larder_fill_begin(cache, text, n, &o, &f, &view);

	operation_end(r, result);
	if (result == LARDER_WAIT)
		r = follow(key, &f, &view, &result);
	if (result == LARDER_OK || result == LARDER_STALE ||
	    (result == LARDER_LEAD && view.lease))
		note_view(r, &view);
	if (result == LARDER_LEAD)
		lead(key, r, &f);
}

/* What larder_fetch() calls: a value, written down before it is computed. */
struct computed {
	uint32_t key;
	struct record *r;
};

static int compute(void *context, struct larder_result *result)
{
	struct computed *c = context;
	struct written w;

	c->r = log_intention(KIND_FETCH_PUT, c->key);
	prepare(&w, c->r);
	w.o.version = NULL;
	return larder_result_set(result, me->value, w.n, &w.o);
}

static void fetch(uint32_t key)
{
	struct larder_fill_options o = {.size_of = sizeof o,
					.wait_ms = 1 + draw_below(8),
					.lead_ms = 5 + draw_below(40)};
	struct computed c = {.key = key};
	char text[LARDER_KEY_MAX];
	size_t n = key_text(key, text);
	struct larder_view view = {0};
	struct record *r = operation_begin(KIND_FETCH, key);
	int result = larder_fetch(cache, text, n, compute, &c, &o, &view);

	operation_end(r, result);
	if (c.r)
		log_outcome(c.r, result);
	if (result == LARDER_OK || result == LARDER_STALE)
		note_view(r, &view);
	/* Its own computation may be a private copy: no read of the key. */
	if (c.r && r->value == c.r->value)
		r->value = 0;
}

/* ------------------------------------------------------------------ */
/* The rest                                                            */

static void walk(void)
{
	static __thread uint64_t cursor;
	struct larder_walk_entry e = {.size_of = sizeof e};
	struct record *r = operation_begin(KIND_WALK, 0);
	int result = LARDER_OK, n = 0, foreign = 0;

	while (n++ < 16 && result == LARDER_OK) {
		result = larder_walk(cache, &cursor, &e);
		foreign += result == LARDER_OK &&
			   (key_number(e.key, e.n_key) < 0 ||
			    e.info.n_value > VALUE_MAX);
	}
	if (result == LARDER_END)
		cursor = 0;
	operation_end(r, result);
	if (foreign)
		violation("a walk met %d entries that nobody stored", foreign);
}

static void statistics(void)
{
	struct larder_usage usage = {.size_of = sizeof usage};
	uint64_t counters[64];
	struct record *r = operation_begin(KIND_STATISTICS, 0);
	int result = larder_counters(cache, counters, 64);

	if (result == LARDER_OK && !board->threads) /* see operate() */
		result = larder_usage(cache, &usage);
	operation_end(r, result);
	if (usage.bytes_used > usage.bytes_total)
		violation("usage: %llu bytes used of %llu",
			  (unsigned long long)usage.bytes_used,
			  (unsigned long long)usage.bytes_total);
}

static void maintain(void)
{
	struct record *r = operation_begin(KIND_MAINTAIN, 0);

	operation_end(r, larder_maintain(cache, 1 + draw_below(64)));
}

/* As a maintainer does, beside the maintainer: nothing keeps two sweepers from
 * the same page. */
static void sweep(void)
{
	struct record *r = operation_begin(KIND_SWEEP, 0);
	int error = 0;
	struct worker *w = worker_of(cache, &error);

	for (int i = 0; w && i < 16; i++)
		larder_slab_sweep_page(w, draw_below(w->s->n_pages), NULL);
	if (w) {
		larder_epoch_advance(w, PATIENCE_MS);
		larder_slots_recover(w, false);
	}
	operation_end(r, error);
}

/* Another handle on the same segment, mapped elsewhere. */
static void reopen(void)
{
	struct record *r;
	unsigned i = me->n_pads++ % 8;
	int result;

	for (unsigned k = 0; k < 3; k++)
		release(k);
	r = log_intention(KIND_REOPEN, 0);
	larder_close(cache);
	cache = NULL;
	if (me->pad[i])
		munmap(me->pad[i], 4 << 20);
	me->pad[i] = mmap(NULL, 4 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	result = larder_open(board->path, NULL, &cache);
	log_outcome(r, result);
	fetch_add_relaxed(&board->n_kind[KIND_REOPEN], 1);
	if (result) {
		violation("open: %s", larder_strerror(result));
		_exit(3);
	}
}

/* ------------------------------------------------------------------ */

static void change(uint32_t what)
{
	uint32_t key = any_value_key();
	uint64_t version;

	if (what < 45) {
		put(KIND_PUT, key, 0);
	} else if (what < 52) {
		put(KIND_ADD, key, 0);
	} else if (what < 59) {
		put(KIND_REPLACE, key, 0);
	} else if (what < 74) {
		version = get_info(key);
		if (version && what < 70)
			put(KIND_CAS, key, version);
		else if (version)
			remove_key(key, true, version);
	} else if (what < 80) {
		touch(key);
	} else if (what < 88) {
		increment();
	} else if (what < 93) {
		remove_key(key, false, 0);
	} else if (!board->roomy) {
		invalidate();
	}
}

static void operate(void)
{
	uint32_t what = draw_below(1000);

	if (what < 260)
		get(draw_below(12) ? any_value_key()
				   : COUNTING + draw_below(N_KEYS - COUNTING));
	else if (what < 290)
		get_info(any_value_key());
	else if (what < 310)
		get_many();
	else if (what < 370)
		lease(any_value_key());
	else if (what < 430)
		release(draw_below(3));
	else if (what < 820)
		change(draw_below(100));
	else if (what < 860)
		put_with_token(any_plain());
	else if (what < 930)
		fill(any_plain());
	else if (what < 970)
		fetch(any_plain());
	else if (what < 976)
		maintain();
	else if (what < 980)
		statistics();
	else if (board->threads)
		/* Inspection reads what is written beside it, by intent: that
		 * is a race to ThreadSanitizer. Forks are another process. */
		return;
	else if (what < 994)
		walk();
	else if (me->depth)
		return;
	else if (what < 997)
		reopen();
	else if (what < 999)
		seat_fork();
	else if (draw_below(4) == 0)
		seat_exec();
}

void operate_inside(void)
{
	if (me->depth >= 2)
		return;
	me->depth++;
	operate();
	me->depth--;
}

void act(enum role role, uint64_t n_operations)
{
	uint64_t round = load_relaxed(&board->round);

	while (n_operations-- && !load_relaxed(&board->stop) &&
	       load_relaxed(&board->round) == round) {
		if (log_full()) {
			usleep(1000);
			continue;
		}
		if (role == ROLE_MAINTAINER)
			maintain();
		else if (role == ROLE_SWEEPER)
			sweep();
		else
			operate();
	}
}

void read_all(bool initial)
{
	for (uint32_t key = 0; key < N_KEYS; key++) {
		char text[LARDER_KEY_MAX];
		size_t n = key_text(key, text), n_value = 0;
		struct record *r =
			log_intention(initial ? KIND_INITIAL : KIND_GET, key);
		int result = larder_get(cache, text, n, me->buffer,
					VALUE_MAX + 64, &n_value);

		log_outcome(r, result);
		if (result == LARDER_OK)
			note_value(r, me->buffer, n_value);
	}
}
