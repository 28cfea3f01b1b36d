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

static int store(struct router *r, const char *bytes, uint64_t expected,
		 uint64_t *version)
{
	struct larder_put_options o = {
		.size_of = sizeof o, .flags = LARDER_KEEP, .version = version};

	if (!r->cache)
		return 0;
	return expected ? larder_cas(r->cache, CATALOG_KEY, CATALOG_KEY_N,
				     expected, bytes, strlen(bytes), &o)
			: larder_add(r->cache, CATALOG_KEY, CATALOG_KEY_N,
				     bytes, strlen(bytes), &o);
}

/* ------------------------------------------------------------------ */
/* As questions take of it                                             */

static int parse_catalog(const void *bytes, size_t n,
			 struct router_catalog **parsed, struct router_error *e)
{
	struct arena *a = router_arena_new();
	struct router_catalog *c = a ? router_arena_zeroed(a, sizeof *c) : NULL;
	int error = c ? router_parse(a, PARSE_CATALOG, bytes, n, &c->lists, e)
		      : -ENOMEM;

	if (!error && !(c->lists.has_models && c->lists.has_agents))
		error = router_fail(e, 422, "",
				    "a catalog is an object with the lists "
				    "\"models\" and \"agents\"");
	if (!error)
		error = router_lists_check(&c->lists, e);
	if (error) {
		router_arena_free(a);
		return error;
	}
	c->n_users = 1;
	c->arena = a;
	*parsed = c;
	return 0;
}

struct router_catalog *router_catalog_hold(struct router *r)
{
	if (r->catalog.parsed)
		r->catalog.parsed->n_users++;
	return r->catalog.parsed;
}

void router_catalog_release(struct router_catalog *c)
{
	if (c && --c->n_users == 0)
		router_arena_free(c->arena);
}

/* From now on this is the catalog. Document and lists are taken over. */
static void adopt(struct router *r, json_t *document,
		  struct router_catalog *parsed, uint64_t version)
{
	json_decref(r->catalog.document);
	router_catalog_release(r->catalog.parsed);
	r->catalog.document = document;
	r->catalog.parsed = parsed;
	r->catalog.entry_version = version;
	r->catalog.number = (uint64_t)json_integer_value(
		json_object_get(document, "version"));
}

static int adopt_bytes(struct router *r, const void *bytes, size_t n,
		       uint64_t version)
{
	json_t *document = json_loadb(bytes, n, 0, NULL);
	struct router_catalog *parsed;
	struct router_error e;
	int error = document ? parse_catalog(bytes, n, &parsed, &e) : -EIO;

	if (error) {
		json_decref(document);
		return error == -EINVAL ? -EIO : error;
	}
	adopt(r, document, parsed, version);
	return 0;
}

int router_catalog_empty(struct router *r)
{
	static const char bytes[] = "{\"version\":0,\"pending\":[],"
				    "\"models\":[],\"agents\":[],"
				    "\"digest\":\"\"}";

	return adopt_bytes(r, bytes, sizeof bytes - 1, 0);
}

static int read_entry(struct router *r)
{
	struct larder_view view;
	int result = larder_lease(r->cache, CATALOG_KEY, CATALOG_KEY_N, &view);

	if (result == LARDER_MISS)
		return router_catalog_empty(r);
	if (result)
		return result < 0 ? result : -EAGAIN;
	result = adopt_bytes(r, view.value, view.n_value, view.version);
	larder_release(r->cache, &view);
	return result;
}

/* Make @document the catalog, if the catalog is still what it was. 0: it is
 * this one's now; 1: somebody was faster; or -errno, -EINVAL with @e. */
static int publish(struct router *r, json_t *document, struct router_error *e)
{
	char *bytes = json_dumps(document, JSON_COMPACT);
	struct router_catalog *parsed;
	uint64_t version = 0;
	int result = bytes ? parse_catalog(bytes, strlen(bytes), &parsed, e)
			   : -ENOMEM;

	if (result) {
		free(bytes);
		return result;
	}
	result = store(r, bytes, r->catalog.entry_version, &version);
	free(bytes);
	if (result == LARDER_OK) {
		adopt(r, json_incref(document), parsed, version);
		return 0;
	}
	router_catalog_release(parsed);
	if (result == LARDER_KEEP_LIMIT || result == LARDER_NO_SPACE)
		return -ENOSPC;
	/* LARDER_CHANGED, EXISTS, MISS: another one's is there. */
	return result < 0 ? result : 1;
}

/* Is the entry the one that ours was read from? 1, 0, or -errno. */
static int is_current(struct router *r)
{
	struct larder_info info = {.size_of = sizeof info};
	int result = larder_get_info(r->cache, CATALOG_KEY, CATALOG_KEY_N, NULL,
				     0, &info);

	if (result < 0 || !r->catalog.document)
		return result < 0 ? result : 0;
	return r->catalog.entry_version ==
	       (result == LARDER_MISS ? 0 : info.version);
}

/*
 * Invalidate what the last change left to do, then say that it is done. 1:
 * nothing was invalidated, the catalog is another one by now.
 *
 * To read it took a while, in which another one may have finished all of this.
 * To do it again then would take along answers that were stored since.
 */
static int finish_pending(struct router *r)
{
	json_t *pending = json_object_get(r->catalog.document, "pending"), *tag;
	struct router_error e;
	json_t *done;
	size_t i;
	int result;

	if (!r->cache || !json_array_size(pending))
		return 0;
	result = is_current(r);
	if (result != 1)
		return result ? result : 1;
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
	result = publish(r, done, &e);
	json_decref(done);
	/* Where another one finished it, or has changed the catalog since, that
	 * is seen at the next look; what was invalidated stays so. */
	return result < 0 ? result : 0;
}

int router_catalog_current(struct router *r)
{
	int result;

	if (!r->cache)
		return 0;
	do {
		result = is_current(r);
		if (result == 0)
			result = read_entry(r);
		if (result >= 0)
			result = finish_pending(r);
	} while (result == 1);
	return result;
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

static int run_change(struct router *r, struct change *c,
		      struct router_error *e)
{
	int result = 1;

	while (result == 1) {
		json_t *changed;

		result = router_catalog_current(r);
		if (!result)
			result = apply(r, c, &changed);
		if (result)
			return result;
		result = publish(r, changed, e);
		json_decref(changed);
	}
	/* A change right behind this one took over what is left to do. */
	return result ? result : router_catalog_current(r);
}

/* An item of the catalog, checked; its id is the path's, if it has none. */
static json_t *item_from(const char *kind, const char *id, const void *body,
			 size_t n_body, int *error, struct router_error *e)
{
	enum parse_what what =
		strcmp(kind, "models") ? PARSE_AGENT : PARSE_MODEL;
	struct arena *a = router_arena_new();
	struct lists l;
	const char *own;
	json_error_t why;
	json_t *item;

	*error = a ? router_parse(a, what, body, n_body, &l, e) : -ENOMEM;
	if (!*error) {
		own = what == PARSE_MODEL ? l.models[0].id : l.agents[0].id;
		if (own && strcmp(own, id))
			*error = router_fail(e, 422, "/id",
					     "/id: the body's is \"%s\", the "
					     "path's \"%s\"",
					     own, id);
	}
	router_arena_free(a);
	if (*error)
		return NULL;
	/* What a question may skip, a catalog has to keep. */
	item = json_loadb(body, n_body, 0, &why);
	if (!item)
		*error =
			router_fail(e, 422, "", "cannot be kept: %s at byte %d",
				    why.text, why.position);
	else if (json_object_set_new(item, "id", json_string(id)))
		*error = router_fail(e, 422, "", "this id is no UTF-8");
	if (!*error)
		return item;
	json_decref(item);
	return NULL;
}

int router_put(struct router *r, const char *kind, const char *id,
	       const void *body, size_t n_body, const char *if_match,
	       char etag[40], struct router_error *e)
{
	int error = 0;
	json_t *item = item_from(kind, id, body, n_body, &error, e);
	struct change c = {
		.kind = kind, .id = id, .item = item, .if_match = if_match};

	if (!error)
		error = run_change(r, &c, e);
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
	struct router_error e;

	return run_change(r, &c, &e);
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

/* The file's bytes, to be freed, or NULL with errno. */
static char *read_file(const char *path, size_t *n)
{
	FILE *f = fopen(path, "re");
	struct text t = {0};
	char piece[4096];
	size_t got;

	if (!f)
		return NULL;
	while ((got = fread(piece, 1, sizeof piece, f)) > 0)
		router_text_add(&t, piece, got);
	if (ferror(f) || t.failed || !t.bytes) {
		errno = t.failed ? ENOMEM : errno ? errno : EINVAL;
		free(t.bytes);
		t.bytes = NULL;
	}
	fclose(f);
	*n = t.n;
	return t.bytes;
}

static int load_file(struct router *r, const char *path, json_t **file,
		     char digest[40], struct router_error *e)
{
	json_error_t why;
	struct router_catalog *parsed;
	size_t n = 0;
	char *bytes = read_file(path, &n);
	int error;

	if (!bytes)
		return router_fail(e, 400, "", "%s", strerror(errno));
	error = parse_catalog(bytes, n, &parsed, e);
	if (!error) {
		router_catalog_release(parsed);
		*file = json_loadb(bytes, n, 0, &why);
		if (!*file)
			error = router_fail(e, 422, "",
					    "cannot be kept: %s at byte %d",
					    why.text, why.position);
	}
	free(bytes);
	if (!error)
		etag_of(r, *file, digest);
	return error;
}

int router_catalog_load(struct router *r, const char *path,
			struct router_error *e)
{
	json_t *file = NULL, *document;
	const char *last;
	char digest[40];
	int result = load_file(r, path, &file, digest, e);
	bool done = result != 0;

	while (!done) {
		result = router_catalog_current(r);
		if (result)
			break;
		last = json_string_value(
			json_object_get(r->catalog.document, "digest"));
		if (last && !strcmp(last, digest)) {
			result = 1; /* the segment's may be newer: it stays */
			break;
		}
		document = replacement(r, file, digest);
		result = document ? publish(r, document, e) : -ENOMEM;
		json_decref(document);
		/* 1: somebody was faster; look again */
		done = result != 1;
		if (!result)
			result = router_catalog_current(r);
	}
	json_decref(file);
	return result;
}
