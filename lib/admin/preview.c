/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an invalidation would take with it: the valid entries that it would make
 * invalid, by the rules of the invalidation itself, counted and left alone.
 */
#include "admin/inspect.h"

#include <string.h>

#include "cache/cache.h"

struct target {
	char kind;
	const void *text;
	size_t n_text;
	enum larder_match match;
};

static bool has_tag(const struct snapshot *snap, const struct target *t,
		    bool glob)
{
	const unsigned char *text;
	uint32_t at = 0, n_text;

	while (larder_snapshot_tag(snap, &at, &text, &n_text))
		if (glob ? larder_glob(t->text, t->n_text, text, n_text) == 1
			 : n_text == t->n_text &&
				    !memcmp(text, t->text, n_text))
			return true;
	return false;
}

static bool hit_by(const struct snapshot *snap, const struct target *t)
{
	switch (t->kind) {
	case 'k':
		return snap->n_key == t->n_text &&
		       !memcmp(snap->key, t->text, t->n_text);
	case 't':
		return has_tag(snap, t, false);
	case 'm':
		if (t->match != LARDER_MATCH_TAGS &&
		    larder_glob(t->text, t->n_text, snap->key, snap->n_key) ==
			    1)
			return true;
		return t->match != LARDER_MATCH_KEYS && has_tag(snap, t, true);
	default:
		return true;
	}
}

static bool sensible(const struct target *t)
{
	switch (t->kind) {
	case 'k':
		return key_valid(t->text, t->n_text);
	case 't':
		return t->text && t->n_text >= 1 && t->n_text <= LARDER_TAG_MAX;
	case 'm':
		return t->text && t->n_text >= 1 &&
		       t->n_text <= LARDER_PATTERN_MAX &&
		       (unsigned)t->match <= LARDER_MATCH_TAGS &&
		       larder_glob(t->text, t->n_text, "", 0) >= 0;
	default:
		return t->kind == 'a';
	}
}

int larder_inspect_preview(struct larder_inspector *in, char kind,
			   const void *text, size_t n_text,
			   enum larder_match match, uint64_t *n_entries,
			   uint64_t *n_bytes)
{
	const struct target t = {kind, text, n_text, match};
	uint64_t cursor = 0, entries = 0, bytes = 0;
	uint64_t now = larder_inspect_now_ms(in);
	struct snapshot snap;
	int result;

	if (!sensible(&t))
		return -EINVAL;
	for (;;) {
		result = larder_snapshot_next(in->s, &cursor, &snap);
		if (result)
			break;
		if (!(snap.flags & LARDER_KEEP) && hit_by(&snap, &t) &&
		    larder_snapshot_valid(in->s, &snap, now)) {
			entries++;
			bytes += snap.object_bytes;
		}
		larder_snapshot_drop(&snap);
	}
	if (result != LARDER_END)
		return result;
	if (n_entries)
		*n_entries = entries;
	if (n_bytes)
		*n_bytes = bytes;
	return 0;
}
