/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog: one entry in the segment, exempt from eviction, replaced as a
 * whole by compare-and-swap. Of two concurrent changes the loser reads again
 * and applies itself again; none is lost, and a publisher that is stopped
 * blocks nobody.
 *
 * The document carries the tags that its last change still has to invalidate.
 * Whoever sees such a list finishes it before using the catalog or answering,
 * so a worker killed between publishing and invalidating leaves no stale
 * answer.
 *
 *   change:  publish (with the list), invalidate, publish (without), respond
 *   miss:    fill token, then this, then compute (answer.c)
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/router.h"

static int store(struct router *r, json_t *document, uint64_t expected,
		 uint64_t *version)
{
	struct larder_put_options o = {
		.size_of = sizeof o, .flags = LARDER_KEEP, .version = version};
	char *bytes = json_dumps(document, JSON_COMPACT);
	int result;

	if (!bytes)
		return -ENOMEM;
	result = expected ? larder_cas(r->cache, CATALOG_KEY, CATALOG_KEY_N,
				       expected, bytes, strlen(bytes), &o)
			  : larder_add(r->cache, CATALOG_KEY, CATALOG_KEY_N,
				       bytes, strlen(bytes), &o);
	free(bytes);
	return result;
}

static void adopt(struct router *r, json_t *document, uint64_t version)
{
	json_decref(r->catalog.document);
	r->catalog.document = document;
	r->catalog.entry_version = version;
	r->catalog.number = (uint64_t)json_integer_value(
		json_object_get(document, "version"));
}

static json_t *empty_document(void)
{
	return json_pack("{s:i,s:[],s:[],s:[],s:s}", "version", 0, "pending",
			 "models", "agents", "digest", "");
}

static int read_entry(struct router *r)
{
	struct larder_view view;
	int result = larder_lease(r->cache, CATALOG_KEY, CATALOG_KEY_N, &view);
	uint64_t version;
	json_t *document;

	if (result == LARDER_MISS) {
		document = empty_document();
		if (!document)
			return -ENOMEM;
		adopt(r, document, 0);
		return 0;
	}
	if (result)
		return result < 0 ? result : -EAGAIN;
	version = view.version;
	document = json_loadb(view.value, view.n_value, 0, NULL);
	larder_release(r->cache, &view);
	if (!document)
		return -EIO;
	adopt(r, document, version);
	return 0;
}

/* Invalidate what the last change left to do, then say that it is done. */
static int finish_pending(struct router *r)
{
	json_t *pending = json_object_get(r->catalog.document, "pending"), *tag;
	json_t *done;
	uint64_t version = 0;
	size_t i;
	int result;

	if (!r->cache || !json_array_size(pending))
		return 0;
	json_array_foreach(pending, i, tag)
	{
		result = larder_invalidate_tag(r->cache, json_string_value(tag),
					       json_string_length(tag));
		if (result < 0)
			return result;
	}
	done = json_copy(r->catalog.document);
	if (!done || json_object_set_new(done, "pending", json_array())) {
		json_decref(done);
		return -ENOMEM;
	}
	result = store(r, done, r->catalog.entry_version, &version);
	if (result == LARDER_OK) {
		adopt(r, done, version);
		return 0;
	}
	/* Another one finished it, or has changed the catalog since. Both are
	 * seen at the next look; what we invalidated stays invalidated. */
	json_decref(done);
	return result < 0 ? result : 0;
}

int router_catalog_current(struct router *r)
{
	struct larder_info info = {.size_of = sizeof info};
	int result;

	if (!r->cache)
		return 0;
	result = larder_get_info(r->cache, CATALOG_KEY, CATALOG_KEY_N, NULL, 0,
				 &info);
	if (result < 0)
		return result;
	if (r->catalog.document && result != LARDER_MISS &&
	    info.version == r->catalog.entry_version)
		return finish_pending(r);
	if (r->catalog.document && result == LARDER_MISS &&
	    r->catalog.entry_version == 0)
		return 0;
	result = read_entry(r);
	return result ? result : finish_pending(r);
}

/* ------------------------------------------------------------------ */
/* Changes                                                             */

struct change {
	const char *kind, *id;
	json_t *item; /* NULL: delete */
	const char *if_match;
	bool was_new;
	char etag[40];
};

static void etag_of(const struct router *r, const json_t *value, char etag[40])
{
	char *bytes = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
	char hex[33];

	router_digest_hex(
		router_digest(r, bytes ? bytes : "", bytes ? strlen(bytes) : 0),
		hex);
	free(bytes);
	snprintf(etag, 40, "\"%.16s\"", hex);
}

static size_t position(const json_t *list, const char *id)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		const char *own =
			json_string_value(json_object_get(item, "id"));

		if (own && !strcmp(own, id))
			return i;
	}
	return SIZE_MAX;
}

static bool etag_matches(const char *if_match, const char *etag)
{
	return !strcmp(if_match, "*") || strstr(if_match, etag);
}

/* What a change of @kind/@id makes invalid. */
static int add_tag_of(json_t *pending, const char *kind, const char *id)
{
	char tag[ROUTER_ID_MAX + 16];

	snprintf(tag, sizeof tag, "%.5s:%s", kind, id);
	return json_array_append_new(pending, json_string(tag));
}

/* Apply the change to a copy of the document. -ENOENT, -ESTALE, -ENOMEM. */
static int apply(const struct router *r, struct change *c, json_t **changed)
{
	json_t *copy = json_deep_copy(r->catalog.document);
	json_t *list = json_object_get(copy, c->kind);
	json_t *pending = json_object_get(copy, "pending");
	size_t at = position(list, c->id);
	char etag[40];
	int error = 0;

	if (!copy || !list || !pending) {
		json_decref(copy);
		return -ENOMEM;
	}
	c->was_new = at == SIZE_MAX;
	if (c->was_new && !c->item)
		error = -ENOENT;
	if (!error && c->if_match) {
		if (!c->was_new)
			etag_of(r, json_array_get(list, at), etag);
		if (c->was_new || !etag_matches(c->if_match, etag))
			error = -ESTALE;
	}
	if (!error && c->item)
		error = c->was_new ? json_array_append(list, c->item)
				   : json_array_set(list, at, c->item);
	else if (!error)
		error = json_array_remove(list, at);
	/* What depends on it: results that had it as a candidate, or too many
	 * candidates to name; a new one changes what used the whole catalog. */
	if (!error)
		error = add_tag_of(pending, c->kind, c->id);
	if (!error)
		error = json_array_append_new(pending, json_string("wide"));
	if (!error && c->was_new)
		error = json_array_append_new(pending, json_string("catalog"));
	if (!error)
		error = json_object_set_new(
			copy, "version",
			json_integer((json_int_t)r->catalog.number + 1));
	if (error) {
		json_decref(copy);
		return error == -1 ? -ENOMEM : error;
	}
	if (c->item)
		etag_of(r, c->item, c->etag);
	*changed = copy;
	return 0;
}

static int run_change(struct router *r, struct change *c)
{
	for (;;) {
		uint64_t version = 0;
		json_t *changed;
		int result = router_catalog_current(r);

		if (!result)
			result = apply(r, c, &changed);
		if (result)
			return result;
		result = r->cache ? store(r, changed, r->catalog.entry_version,
					  &version)
				  : 0;
		if (result == LARDER_OK) {
			adopt(r, changed, version);
			return finish_pending(r);
		}
		json_decref(changed);
		if (result == LARDER_KEEP_LIMIT || result == LARDER_NO_SPACE)
			return -ENOSPC;
		if (result < 0)
			return result;
		/* LARDER_CHANGED, EXISTS, MISS: somebody was faster. */
	}
}

int router_put(struct router *r, const char *kind, const char *id,
	       const void *body, size_t n_body, const char *if_match,
	       char etag[40], struct router_error *e)
{
	json_error_t why;
	json_t *item = json_loadb(body, n_body, JSON_REJECT_DUPLICATES, &why);
	struct change c = {
		.kind = kind, .id = id, .item = item, .if_match = if_match};
	const char *own = json_string_value(json_object_get(item, "id"));
	int error;

	if (!item)
		return router_fail(e, 400, "", "not JSON: %s at byte %d",
				   why.text, why.position);
	if (json_is_object(item) && !json_object_get(item, "id") &&
	    json_object_set_new(item, "id", json_string(id))) {
		json_decref(item);
		return -ENOMEM;
	}
	error = router_check_item(kind, item, "", e);
	own = json_string_value(json_object_get(item, "id"));
	if (!error && strcmp(own, id))
		error = router_fail(
			e, 422, "/id",
			"the body's id is \"%s\", the path's \"%s\"", own, id);
	if (!error)
		error = run_change(r, &c);
	json_decref(item);
	if (error)
		return error;
	snprintf(etag, 40, "%s", c.etag);
	return c.was_new;
}

int router_delete(struct router *r, const char *kind, const char *id,
		  const char *if_match)
{
	struct change c = {.kind = kind, .id = id, .if_match = if_match};

	return run_change(r, &c);
}

int router_get(struct router *r, const char *kind, const char *id, char **json,
	       size_t *n_json, char etag[40])
{
	json_t *list, *value;
	int error = router_catalog_current(r);

	if (error)
		return error;
	list = json_object_get(r->catalog.document, kind);
	if (id) {
		value = json_incref(json_array_get(list, position(list, id)));
		if (!value)
			return -ENOENT;
	} else {
		value = json_pack("{s:O}", kind, list);
	}
	etag_of(r, value, etag);
	*json = json_dumps(value, JSON_COMPACT);
	json_decref(value);
	*n_json = *json ? strlen(*json) : 0;
	return *json ? 0 : -ENOMEM;
}

/* ------------------------------------------------------------------ */

static int check_catalog(const json_t *file, struct router_error *e)
{
	static const char *const kinds[] = {"models", "agents"};
	char pointer[64];

	if (!json_is_object(file))
		return router_fail(e, 422, "", "a catalog is an object");
	for (unsigned k = 0; k < 2; k++) {
		const json_t *list = json_object_get(file, kinds[k]), *item;
		size_t i;

		if (!json_is_array(list))
			return router_fail(e, 422, "", "\"%s\" must be a list",
					   kinds[k]);
		json_array_foreach(list, i, item)
		{
			snprintf(pointer, sizeof pointer, "/%s/%zu", kinds[k],
				 i);
			if (router_check_item(kinds[k], item, pointer, e))
				return -EINVAL;
			if (position(list, json_string_value(json_object_get(
						   item, "id"))) != i)
				return router_fail(e, 422, pointer,
						   "this id is there twice");
		}
	}
	return 0;
}

/* The tags of what differs between two lists, and whether any is new. */
static int compare_lists(const char *kind, const json_t *before,
			 const json_t *after, json_t *pending, bool *grown)
{
	const json_t *item;
	size_t i;

	json_array_foreach(before, i, item)
	{
		const char *id = json_string_value(json_object_get(item, "id"));
		size_t at = position(after, id);

		if (at != SIZE_MAX && json_equal((json_t *)(uintptr_t)item,
						 json_array_get(after, at)))
			continue;
		if (add_tag_of(pending, kind, id))
			return -1;
	}
	json_array_foreach(after, i, item) *grown |=
		position(before,
			 json_string_value(json_object_get(item, "id"))) ==
		SIZE_MAX;
	return 0;
}

/* The file as the next document; NULL: out of memory. */
static json_t *replacement(struct router *r, json_t *file, const char *digest)
{
	static const char *const kinds[] = {"models", "agents"};
	json_t *document =
		json_pack("{s:I,s:[],s:O,s:O,s:s}", "version",
			  (json_int_t)r->catalog.number + 1, "pending",
			  "models", json_object_get(file, "models"), "agents",
			  json_object_get(file, "agents"), "digest", digest);
	json_t *pending = json_object_get(document, "pending");
	bool grown = false;
	int error = document ? 0 : -1;

	for (unsigned k = 0; !error && k < 2; k++)
		error = compare_lists(
			kinds[k],
			json_object_get(r->catalog.document, kinds[k]),
			json_object_get(document, kinds[k]), pending, &grown);
	if (!error && grown)
		error = json_array_append_new(pending, json_string("catalog"));
	if (!error && json_array_size(pending))
		error = json_array_append_new(pending, json_string("wide"));
	if (!error)
		return document;
	json_decref(document);
	return NULL;
}

int router_catalog_load(struct router *r, const char *path,
			struct router_error *e)
{
	json_error_t why;
	json_t *file = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
	json_t *document;
	const char *last;
	char digest[40];
	int result;

	if (!file)
		return router_fail(e, 400, "", "%s: %s (line %d)", path,
				   why.text, why.line);
	result = check_catalog(file, e);
	if (!result)
		etag_of(r, file, digest);
	while (!result) {
		uint64_t version = 0;

		result = router_catalog_current(r);
		if (result)
			break;
		if (!r->catalog.document)
			adopt(r, empty_document(), 0);
		last = json_string_value(
			json_object_get(r->catalog.document, "digest"));
		if (last && !strcmp(last, digest)) {
			result = 1; /* the segment's may be newer: it stays */
			break;
		}
		document = replacement(r, file, digest);
		if (!document) {
			result = -ENOMEM;
			break;
		}
		result = r->cache ? store(r, document, r->catalog.entry_version,
					  &version)
				  : 0;
		if (result == LARDER_OK) {
			adopt(r, document, version);
			result = finish_pending(r);
			break;
		}
		json_decref(document);
		if (result == LARDER_KEEP_LIMIT || result == LARDER_NO_SPACE)
			result = -ENOSPC;
		else if (result > 0)
			result = 0; /* somebody was faster: look again */
	}
	json_decref(file);
	return result;
}
