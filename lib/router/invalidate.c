/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST cache/invalidate: one of a key, a tag, a pattern or everything; or, as a
 * dry run, what that would take.
 */
#include <errno.h>
#include <string.h>

#include "router/router.h"

/* Results with more candidates than an entry has room for tags are tagged
 * "wide" in the place of all their items: they go with each of them. */
static bool names_items(const char *text)
{
	static const char *const begins[] = {"model:", "agent:", "inline/"};

	for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++)
		if (!strncmp(text, begins[i], strlen(begins[i])))
			return true;
	return false;
}

static int preview(struct router *r, char kind, const char *text, size_t n_text,
		   bool wide, uint64_t *n_entries, uint64_t *n_bytes)
{
	uint64_t entries = 0, bytes = 0;
	int error = router_preview(r, kind, text, n_text, n_entries, n_bytes);

	if (!error && wide)
		error = router_preview(r, 't', "wide", 4, &entries, &bytes);
	*n_entries += entries;
	*n_bytes += bytes;
	return error;
}

int router_invalidate(struct router *r, const void *bytes, size_t n,
		      char **json, size_t *n_json, struct router_error *e)
{
	json_error_t why;
	json_t *body = json_loadb(
		bytes, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	const json_t *key = json_object_get(body, "key");
	const json_t *tag = json_object_get(body, "tag");
	const json_t *pattern = json_object_get(body, "pattern");
	const json_t *all = json_object_get(body, "all"), *text;
	size_t most = key   ? LARDER_KEY_MAX
		      : tag ? LARDER_TAG_MAX
			    : LARDER_PATTERN_MAX;
	const json_t *dry_run = json_object_get(body, "dry_run");
	bool dry = json_is_true(dry_run), wide = false;
	uint64_t entries = 0, sum = 0;
	struct text t = {0};
	int error = 0;

	if (!body)
		return router_fail(e, 400, "", "not JSON: %s at byte %d",
				   why.text, why.position);
	text = key ? key : tag ? tag : pattern;
	if (!!key + !!tag + !!pattern + json_is_true(all) != 1 ||
	    (text && (!json_is_string(text) || !json_string_length(text))))
		error = router_fail(e, 422, "",
				    "one of \"key\", \"tag\", \"pattern\" (a "
				    "string) or \"all\": true is wanted");
	else if (text && json_string_length(text) > most)
		error = router_fail(e, 422,
				    key	  ? "/key"
				    : tag ? "/tag"
					  : "/pattern",
				    "longer than %zu bytes", most);
	else if (dry_run && !json_is_boolean(dry_run))
		error = router_fail(e, 422, "/dry_run",
				    "/dry_run: must be true or false");
	else if (pattern && larder_glob(json_string_value(pattern),
					json_string_length(pattern), "", 0) < 0)
		error = router_fail(e, 422, "/pattern",
				    "a class or an escape does not end");
	else if (!r->cache)
		error = router_fail(e, 422, "", "there is no cache");
	if (!error && text && !key)
		wide = names_items(json_string_value(text));
	if (!error && dry)
		error = preview(r,
				key	  ? 'k'
				: tag	  ? 't'
				: pattern ? 'm'
					  : 'a',
				text ? json_string_value(text) : "",
				text ? json_string_length(text) : 0, wide,
				&entries, &sum);
	else if (!error && key)
		error = larder_invalidate_key(r->cache, json_string_value(key),
					      json_string_length(key));
	else if (!error && tag)
		error = larder_invalidate_tag(r->cache, json_string_value(tag),
					      json_string_length(tag));
	else if (!error && pattern)
		error = larder_invalidate_match(
			r->cache, json_string_value(pattern),
			json_string_length(pattern), LARDER_MATCH_EITHER);
	else if (!error)
		error = larder_invalidate_all(r->cache);
	if (!error && wide && !dry)
		error = larder_invalidate_tag(r->cache, "wide", 4);
	json_decref(body);
	if (error)
		return error;
	if (dry)
		router_text_format(
			&t,
			"{\"dry_run\":true,\"entries\":%llu,\"bytes\":%llu}",
			(unsigned long long)entries, (unsigned long long)sum);
	else
		router_text_string(&t, "{\"invalidated\":true}");
	*json = t.bytes;
	*n_json = t.n;
	return t.failed ? -ENOMEM : 0;
}
