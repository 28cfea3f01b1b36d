/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker of the storm changes: values, counters, expiries, and what is
 * valid. How a value is to be stored is drawn anew each time: its size, its
 * times to live, its tags, what it had cost.
 */
#include <string.h>

#include "operations.h"

static size_t tag_text(uint32_t tag, char text[16])
{
	return (size_t)snprintf(text, 16, "tag-%02u", tag % 100);
}

/* What is usual changes every few thousand events, for everybody: pages have to
 * move from class to class. */
static uint32_t usual_bytes(void)
{
	return 100u << (load_relaxed(&board->clock) >> 15) % 5;
}

void prepare(struct written *w, struct record *r)
{
	uint32_t key = r->key,
		 carried[2] = {key % N_TAGS, key / N_TAGS % N_TAGS};

	memset(w, 0, sizeof *w);
	w->o = (struct larder_put_options){.size_of = sizeof w->o,
					   .tags = w->tags,
					   .version = &r->version};
	w->n = 16 + draw_below(draw_below(8) ? usual_bytes() : 1500);
	if (board->roomy)
		w->n = 16 + draw_below(240);
	else if (key < KEPT && draw_below(20) == 0)
		w->n = 3000 + draw_below(VALUE_MAX - 3000);
	if (key >= KEPT) {
		w->o.flags = LARDER_KEEP;
		w->n = 16 + draw_below(80);
	} else if (key >= EXPIRING) {
		w->o.ttl_ms = 1 + draw_below(40);
		w->o.jitter_percent = draw_below(50);
	}
	if (key < KEPT && draw_below(6) == 0)
		w->o.soft_ttl_ms = 1 + draw_below(20);
	if (draw_below(4) == 0)
		w->o.cost_ns = 1000 + draw_below(1000000);
	for (unsigned i = 0; i < 2 && key < KEPT && key % 3; i++) {
		struct larder_tag *t = &w->tags[w->o.n_tags];

		if (draw_below(2) || (i && carried[0] == carried[1]))
			continue;
		t->text = w->texts[w->o.n_tags];
		t->n_text = tag_text(carried[i], w->texts[w->o.n_tags]);
		w->o.n_tags++;
		r->tags |= (uint16_t)(1u << carried[i]);
	}
	r->value = record_name(r);
	w->n = make_value(me->value, r->value, key, w->n);
}

void put(enum kind kind, uint32_t key, uint64_t version)
{
	struct record *r = log_intention(kind, key);
	char text[LARDER_KEY_MAX];
	size_t n = key_text(key, text);
	struct written w;
	int result;

	prepare(&w, r);
	r->expected = version;
	operation_measure(r);
	if (kind == KIND_ADD)
		result = larder_add(cache, text, n, me->value, w.n, &w.o);
	else if (kind == KIND_REPLACE)
		result = larder_replace(cache, text, n, me->value, w.n, &w.o);
	else if (kind == KIND_CAS)
		result = larder_cas(cache, text, n, version, me->value, w.n,
				    &w.o);
	else
		result = larder_put(cache, text, n, me->value, w.n, &w.o);
	operation_end(r, result);
}

void put_with_token(uint32_t key)
{
	struct record *token = operation_begin(KIND_TOKEN, key), *r;
	char text[LARDER_KEY_MAX];
	size_t n = key_text(key, text);
	struct larder_token seen;
	struct written w;
	int result = larder_token(cache, text, n, &seen);

	operation_end(token, result);
	if (result)
		return;
	if (draw_below(2))
		operate_inside();
	r = log_intention(KIND_TOKEN_PUT, key);
	prepare(&w, r);
	w.o.token = &seen;
	r->token = (uint32_t)(token - board->record) + 1;
	operation_measure(r);
	operation_end(r, larder_put(cache, text, n, me->value, w.n, &w.o));
}

void increment(void)
{
	uint32_t key = COUNTING + draw_below(N_KEYS - COUNTING);
	struct larder_put_options o = {.size_of = sizeof o,
				       .flags = LARDER_KEEP};
	struct record *r = log_intention(KIND_INCREMENT, key);
	char text[LARDER_KEY_MAX];
	size_t n = key_text(key, text);
	uint64_t value = 0;
	int result;

	r->expected = 1 + draw_below(5);
	operation_measure(r);
	result = larder_increment(cache, text, n, (int64_t)r->expected, 0, &o,
				  &value);
	r->value = value;
	operation_end(r, result);
}

void touch(uint32_t key)
{
	uint64_t ttl =
		key >= EXPIRING && key < KEPT ? 5 + draw_below(40) : UINT64_MAX;
	char text[LARDER_KEY_MAX];
	size_t n = key_text(key, text);
	struct record *r = operation_begin(KIND_TOUCH, key);

	operation_end(r, larder_touch(cache, text, n, ttl));
}

void remove_key(uint32_t key, bool by_version, uint64_t version)
{
	char text[LARDER_KEY_MAX];
	size_t n = key_text(key, text);
	struct record *r = log_intention(
		by_version ? KIND_REMOVE_VERSION : KIND_REMOVE, key);

	r->expected = version;
	operation_measure(r);
	operation_end(
		r, by_version ? larder_remove_version(cache, text, n, version)
			      : larder_remove(cache, text, n));
}

/* ------------------------------------------------------------------ */
/* Invalidating                                                        */

void invalidate(void)
{
	uint32_t what = draw_below(100), key, tag;
	char text[LARDER_KEY_MAX];
	struct record *r;
	size_t n;
	int result;

	if (what < 60) {
		key = draw_below(KEPT);
		if (draw_below(2))
			key = any_plain();
		n = key_text(key, text);
		r = operation_begin(KIND_INVALIDATE_KEY, key);
		result = larder_invalidate_key(cache, text, n);
	} else if (what < 90) {
		tag = draw_below(N_TAGS);
		n = tag_text(tag, text);
		r = operation_begin(KIND_INVALIDATE_TAG, tag);
		result = larder_invalidate_tag(cache, text, n);
	} else if (what < 95) {
		key = any_plain() / 10;
		n = (size_t)snprintf(text, sizeof text, "k%03u*", key % 1000);
		r = operation_begin(KIND_INVALIDATE_KEYS, key);
		result = larder_invalidate_match(cache, text, n,
						 LARDER_MATCH_KEYS);
	} else if (what < 98) {
		tag = draw_below(2);
		n = (size_t)snprintf(text, sizeof text, "tag-%u[0-4]", tag);
		r = operation_begin(KIND_INVALIDATE_TAGS, tag);
		result = larder_invalidate_match(cache, text, n,
						 LARDER_MATCH_EITHER);
	} else {
		r = operation_begin(KIND_INVALIDATE_ALL, 0);
		result = larder_invalidate_all(cache);
	}
	operation_end(r, result);
}
