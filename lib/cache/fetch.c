/* SPDX-License-Identifier: Apache-2.0 */
/*
 * larder_fetch(): get, or compute once and share; fill.c in one call.
 *
 * Whatever becomes of the store, the caller gets the value it computed: leased
 * where it was stored, else as a private copy.
 */
#include "cache/fill.h"

#include <stdlib.h>

/* What a compute callback gave. All of it is the library's own copy. */
struct larder_result {
	bool given;
	void *bytes;
	size_t n_bytes;
	struct larder_put_options options;
	struct larder_tag *tags; /* with their texts behind them */
};

static void clear(struct larder_result *r)
{
	free(r->bytes);
	free(r->tags);
	memset(r, 0, sizeof *r);
}

/* Tags and texts in one piece; NULL with *error 0 if there are none. */
static struct larder_tag *copy_tags(const struct larder_put_options *o,
				    int *error)
{
	size_t n = 0;
	struct larder_tag *tags;
	char *text;

	*error = o->n_tags > LARDER_TAGS_MAX || (o->n_tags && !o->tags)
			 ? -EINVAL
			 : 0;
	if (*error || !o->n_tags)
		return NULL;
	for (size_t i = 0; i < o->n_tags; i++) {
		if (!o->tags[i].text || o->tags[i].n_text < 1 ||
		    o->tags[i].n_text > LARDER_TAG_MAX) {
			*error = -EINVAL;
			return NULL;
		}
		n += o->tags[i].n_text;
	}
	tags = malloc(o->n_tags * sizeof *tags + n);
	if (!tags) {
		*error = -ENOMEM;
		return NULL;
	}
	text = (char *)(tags + o->n_tags);
	for (size_t i = 0; i < o->n_tags; i++) {
		tags[i].text = text;
		tags[i].n_text = o->tags[i].n_text;
		memcpy(text, o->tags[i].text, tags[i].n_text);
		text += tags[i].n_text;
	}
	return tags;
}

int larder_result_set(struct larder_result *r, const void *value,
		      size_t n_value, const struct larder_put_options *options)
{
	struct larder_result fresh = {.given = true, .n_bytes = n_value};
	int error = 0;

	if (!r || (!value && n_value))
		return -EINVAL;
	if (options) {
		if (options->size_of < sizeof(size_t) ||
		    options->size_of > 4096)
			return -EINVAL;
		memcpy(&fresh.options, options,
		       min_u64(options->size_of, sizeof fresh.options));
		fresh.tags = copy_tags(&fresh.options, &error);
		if (error)
			return error;
	}
	fresh.options.size_of = sizeof fresh.options;
	fresh.options.tags = fresh.tags;
	fresh.options.token = NULL;
	/* May be on the callback's stack, which is gone by then. */
	fresh.options.version = NULL;
	fresh.bytes = malloc(n_value ? n_value : 1);
	if (!fresh.bytes) {
		free(fresh.tags);
		return -ENOMEM;
	}
	if (n_value)
		memcpy(fresh.bytes, value, n_value);
	clear(r);
	*r = fresh;
	return 0;
}

/* The lead is ours; @view holds the stale value if there is one. */
static int lead(struct larder *h, struct larder_fill *fill,
		larder_compute *compute, void *context,
		struct larder_view *view)
{
	struct larder_result r = {0};
	uint64_t began = larder_clock_ns();
	int result = compute(context, &r);

	if (result || !r.given) {
		larder_fill_abandon(h, fill);
		clear(&r);
		if (!view->lease)
			return LARDER_ERR_COMPUTE;
		larder_fill_count_stale(h);
		return LARDER_STALE;
	}
	if (!r.options.cost_ns)
		r.options.cost_ns = max_u64(larder_clock_ns() - began, 1);
	if (view->lease)
		larder_release(h, view);
	result = larder_fill_put(h, fill, r.bytes, r.n_bytes, &r.options);
	if (result < 0 && result != -EMSGSIZE) {
		clear(&r);
		return result;
	}
	if ((result != LARDER_OK && result != LARDER_NEWER) ||
	    larder_fill_view(h, fill, view) != LARDER_OK) {
		larder_view_private(view, r.bytes, r.n_bytes);
		r.bytes = NULL;
	}
	clear(&r);
	return LARDER_OK;
}

int larder_fetch(struct larder *h, const void *key, size_t n_key,
		 larder_compute *compute, void *context,
		 const struct larder_fill_options *options,
		 struct larder_view *view)
{
	struct larder_view held = {0};
	struct larder_fill fill;
	int result;

	if (!compute || !view)
		return -EINVAL;
	result = larder_fill_start(h, key, n_key, options, &fill, &held);
	if (result == LARDER_WAIT)
		result = larder_fill_wait(h, &fill, &held);
	if (result == LARDER_TIMEOUT)
		result = larder_fill_alone(h, &fill, &held);
	if (result == LARDER_LEAD)
		result = lead(h, &fill, compute, context, &held);
	if (result >= 0)
		*view = held;
	return result;
}
