/* SPDX-License-Identifier: Apache-2.0 */
/* Private copies of entries: snapshot.h. */
#include "admin/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/pattern.h"
#include "cache/words.h"

enum { TRIES = 16 };

uint32_t larder_snapshot_run_pages(const struct segment *s, uint32_t head)
{
	uint32_t n = load_relaxed(&s->page_lengths[head]);

	return (uint32_t)clamp_u64(n, 1, s->n_pages - head);
}

bool larder_snapshot_stands(const struct segment *s,
			    const struct snapshot *snap)
{
	uint64_t header, page;

	fence_acquire();
	header = load_acquire(&entry_at(s, snap->unit)->header);
	page = load_acquire(&s->page_words[page_of_unit(s, snap->unit)]);
	return header == snap->header && page == snap->page_word;
}

static bool ensure(struct snapshot *snap, size_t n)
{
	unsigned char *more;

	if (snap->bytes == snap->room && n <= sizeof snap->room)
		return true;
	more = malloc(n);
	if (!more)
		return false;
	memcpy(more, snap->bytes, snap->n_bytes);
	if (snap->bytes != snap->room)
		free(snap->bytes);
	snap->bytes = more;
	return true;
}

/* Have the copy hold at least n bytes of the object. */
static int extend(const struct segment *s, struct snapshot *snap, uint64_t n)
{
	const unsigned char *from =
		(const unsigned char *)entry_at(s, snap->unit);

	if (n <= snap->n_bytes)
		return 0;
	if (n > snap->object_bytes)
		return SNAPSHOT_BAD;
	if (!ensure(snap, n))
		return -ENOMEM;
	larder_copy_unstable(snap->bytes + snap->n_bytes, from + snap->n_bytes,
			     n - snap->n_bytes);
	snap->n_bytes = n;
	return 0;
}

/* Have the copy hold n more bytes of the object, from @from on; *at is where
 * they are in the copy. */
static int append(const struct segment *s, struct snapshot *snap, uint64_t from,
		  uint64_t n, uint64_t *at)
{
	if (from > snap->object_bytes || n > snap->object_bytes - from)
		return SNAPSHOT_BAD;
	if (!ensure(snap, snap->n_bytes + n))
		return -ENOMEM;
	larder_copy_unstable(
		snap->bytes + snap->n_bytes,
		(const unsigned char *)entry_at(s, snap->unit) + from, n);
	*at = snap->n_bytes;
	snap->n_bytes += n;
	return 0;
}

static int bad(struct snapshot *snap, const char *why)
{
	snap->why = why;
	return SNAPSHOT_BAD;
}

static uint64_t take_u64(const struct snapshot *snap, uint64_t *at)
{
	uint64_t v;

	memcpy(&v, snap->bytes + *at, sizeof v);
	*at += sizeof v;
	return v;
}

/* The tag block at @from of the object; *texts_at in the copy. */
static int read_tags(const struct segment *s, struct snapshot *snap,
		     uint64_t from, uint64_t *texts_at)
{
	struct tag_block block;
	uint64_t at;
	int result = append(s, snap, from, sizeof block, &at);

	if (result)
		return result == SNAPSHOT_BAD
			       ? bad(snap, "its tags reach past its object")
			       : result;
	memcpy(&block, snap->bytes + at, sizeof block);
	if (block.n_tags > LARDER_TAGS_MAX || block.n_tags == 0)
		return bad(snap, "its number of tags is out of range");
	if (block.n_mask < 8 || (block.n_mask & (block.n_mask - 1)))
		return bad(snap, "its tag mask is no power of two");
	result = append(s, snap, from + sizeof block,
			(uint64_t)block.n_mask + block.n_texts, &at);
	if (result)
		return result == SNAPSHOT_BAD
			       ? bad(snap, "its tags reach past its object")
			       : result;
	snap->n_tags = block.n_tags;
	snap->n_texts = block.n_texts;
	snap->n_mask = block.n_mask;
	*texts_at = at + block.n_mask;
	return 0;
}

static int count_tags(struct snapshot *snap)
{
	const unsigned char *text;
	uint32_t at = 0, n_text, n = 0;

	while (larder_snapshot_tag(snap, &at, &text, &n_text))
		n++;
	return n == snap->n_tags && at == snap->n_texts
		       ? 0
		       : bad(snap, "its tags' lengths do not add up");
}

/* Everything but the value, which is only measured. */
static int parse(const struct segment *s, struct snapshot *snap)
{
	struct entry head;
	uint64_t at = ENTRY_FIXED, key_at, texts_at = 0;
	int result = extend(s, snap, min_u64(snap->object_bytes, 256));

	if (result)
		return result;
	memcpy((void *)&head, snap->bytes, ENTRY_FIXED);
	snap->version = head.version;
	snap->hits = load_relaxed(&head.hits);
	snap->flags = entry_flags(&head);
	snap->stamp = entry_stamp(&head);
	snap->n_key = entry_n_key(&head);
	snap->born_ms = entry_born_ms(&head);
	snap->n_value = head.n_value;
	snap->texts = snap->mask = NULL;
	snap->n_tags = snap->n_texts = 0;
	snap->hard_ms = snap->soft_ms = snap->cost_ns = 0;
	if (snap->flags &
	    ~(0xfu | ENTRY_HARD | ENTRY_SOFT | ENTRY_COST | ENTRY_TAGS))
		return bad(snap, "it has flags that do not exist");
	if ((snap->flags & LARDER_REGION) && !(snap->flags & LARDER_KEEP))
		return bad(snap, "a region without keep");
	if ((snap->flags & LARDER_COUNTER) && snap->n_value != 8)
		return bad(snap, "a counter that is not of 8 bytes");
	/* An object has at least 64 bytes, and these end there. */
	if (snap->flags & ENTRY_HARD)
		snap->hard_ms = take_u64(snap, &at);
	if (snap->flags & ENTRY_SOFT)
		snap->soft_ms = take_u64(snap, &at);
	if (snap->flags & ENTRY_COST)
		snap->cost_ns = take_u64(snap, &at);
	if (snap->n_key < LARDER_KEY_MIN || snap->n_key > LARDER_KEY_MAX)
		return bad(snap, "its key's length is out of range");
	key_at = at;
	result = extend(s, snap, at + snap->n_key);
	if (result == SNAPSHOT_BAD)
		return bad(snap, "its key reaches past its object");
	if (result)
		return result;
	snap->value_offset =
		entry_value_offset(key_at + snap->n_key, snap->flags);
	if (snap->value_offset + snap->n_value > snap->object_bytes)
		return bad(snap, "its value reaches past its object");
	if (snap->n_value > s->sb->value_max)
		return bad(snap, "its value is larger than any may be");
	if (snap->flags & ENTRY_TAGS) {
		result = read_tags(
			s, snap,
			entry_tags_offset(snap->value_offset + snap->n_value),
			&texts_at);
		if (result)
			return result;
	}
	snap->key = snap->bytes + key_at;
	if (texts_at) {
		snap->texts = snap->bytes + texts_at;
		snap->mask = snap->texts - snap->n_mask;
	}
	return snap->n_tags ? count_tags(snap) : 0;
}

static int take_once(const struct segment *s, struct snapshot *snap)
{
	uint32_t page = page_of_unit(s, snap->unit);
	unsigned state;
	int result;

	snap->page_word = load_acquire(&s->page_words[page]);
	snap->header = load_acquire(&entry_at(s, snap->unit)->header);
	if (!larder_unit_in_page(s, snap->unit, snap->page_word,
				 &snap->class)) {
		snap->why = "its page has no object there";
		result = SNAPSHOT_PAGE;
		goto validate;
	}
	state = HEADER_STATE(snap->header);
	if (state != HEADER_ALLOC && state != HEADER_LIVE) {
		result = SNAPSHOT_STATE;
		goto validate;
	}
	snap->object_bytes =
		snap->class == RUN_CLASS
			? (uint64_t)larder_snapshot_run_pages(s, page)
				  << s->page_shift
			: (uint64_t)larder_class_units(s, snap->class)
				  << UNIT_SHIFT;
	result = parse(s, snap);
validate:
	if (result >= 0 && !larder_snapshot_stands(s, snap))
		return SNAPSHOT_MOVED;
	return result;
}

int larder_snapshot_take(const struct segment *s, uint32_t unit,
			 struct snapshot *snap)
{
	int result = SNAPSHOT_MOVED;

	snap->unit = unit;
	snap->bytes = snap->room;
	snap->n_bytes = 0;
	snap->why = NULL;
	if (!unit_valid(s, unit)) {
		snap->why = "it is outside of the pages";
		return SNAPSHOT_PAGE;
	}
	for (int i = 0; i < TRIES && result == SNAPSHOT_MOVED; i++) {
		snap->n_bytes = 0;
		result = take_once(s, snap);
	}
	return result;
}

void larder_snapshot_drop(struct snapshot *snap)
{
	if (snap->bytes != snap->room)
		free(snap->bytes);
	snap->bytes = snap->room;
	snap->n_bytes = 0;
}

bool larder_snapshot_tag(const struct snapshot *snap, uint32_t *at,
			 const unsigned char **text, uint32_t *n_text)
{
	if (!snap->texts || *at >= snap->n_texts)
		return false;
	*n_text = snap->texts[*at];
	if (*n_text < 1 || *at + 1 + *n_text > snap->n_texts)
		return false;
	*text = snap->texts + *at + 1;
	*at += 1 + *n_text;
	return true;
}

/* ------------------------------------------------------------------ */

bool larder_snapshot_valid(struct segment *s, const struct snapshot *snap,
			   uint64_t now_ms)
{
	struct larder_tag tags[LARDER_TAGS_MAX];
	struct bearer b = {
		.key = snap->key,
		.n_key = snap->n_key,
		.key_hash = key_hash_of(s, snap->key, snap->n_key),
		.tags = tags,
	};
	const unsigned char *text;
	uint32_t at = 0, n_text;
	uint64_t number;

	if (snap->flags & LARDER_KEEP)
		return true;
	if (snap->hard_ms && now_ms >= snap->hard_ms)
		return false;
	if (snap->stamp >= (larder_fresh_now(s) & STAMP_MASK))
		return true;
	number = larder_set_number(key_set_of(s, b.key_hash), b.key_hash);
	if (number > snap->stamp)
		return false;
	while (b.n_tags < LARDER_TAGS_MAX &&
	       larder_snapshot_tag(snap, &at, &text, &n_text)) {
		uint64_t hash = larder_tag_hash(s, text, n_text);

		if (larder_set_number(tag_set_of(s, hash), hash) > snap->stamp)
			return false;
		tags[b.n_tags].text = (const char *)text;
		tags[b.n_tags++].n_text = n_text;
	}
	return !larder_pattern_find(s, &b, snap->stamp) &&
	       load_acquire(&s->hot->everything) <= snap->stamp;
}

static uint32_t stored_by(const struct segment *s, uint64_t version)
{
	uint64_t slot = version >> 52;
	struct slot *owner;

	if (slot >= s->n_slots)
		return 0;
	owner = &s->slots[slot];
	return (load_relaxed(&owner->generation) & 1) &&
			       (version & ENTRY_SEQUENCE_MASK) >
				       load_relaxed(&owner->first_sequence)
		       ? load_relaxed(&owner->pid)
		       : 0;
}

void larder_snapshot_info(const struct segment *s, const struct snapshot *snap,
			  uint64_t now_ms, struct larder_info *info)
{
	uint64_t since = clock_since(now_ms, s->sb->created_ms);
	struct larder_info full = {
		.size_of = info->size_of,
		.n_value = snap->n_value,
		.version = snap->version,
		.age_ms = clock_since(since, snap->born_ms),
		.soft_left_ms = UINT64_MAX,
		.ttl_left_ms = UINT64_MAX,
		.cost_ns = snap->cost_ns,
		.hits = (uint64_t)snap->hits * 64,
		.flags = snap->flags & 0xf,
		.stored_by_pid = stored_by(s, snap->version),
		.n_tags = snap->n_tags,
	};

	if (snap->soft_ms)
		full.soft_left_ms =
			snap->soft_ms > now_ms ? snap->soft_ms - now_ms : 0;
	if (snap->hard_ms && !(snap->flags & LARDER_KEEP))
		full.ttl_left_ms =
			snap->hard_ms > now_ms ? snap->hard_ms - now_ms : 0;
	memcpy(info, &full, min_u64(info->size_of, sizeof full));
}

/* The entry that slot i of g names, if it is one of that group's. */
static int take_slot(const struct segment *s, struct group *g, unsigned i,
		     struct snapshot *snap)
{
	for (int tries = 0; tries < TRIES; tries++) {
		uint64_t word = load_acquire(&g->slot[i]), hash;
		int result;

		if (!slot_unit(word))
			return LARDER_MISS;
		result = larder_snapshot_take(s, slot_unit(word), snap);
		fence_acquire();
		if (result < 0)
			return result;
		if (load_acquire(&g->slot[i]) != word) {
			larder_snapshot_drop(snap);
			continue; /* replaced: the key is still there */
		}
		if (result != SNAPSHOT_OK)
			return LARDER_MISS;
		hash = key_hash_of(s, snap->key, snap->n_key);
		return group_of(s, hash) == g && tag_of(hash) == slot_tag(word)
			       ? LARDER_OK
			       : LARDER_MISS;
	}
	return LARDER_MISS;
}

int larder_snapshot_next(const struct segment *s, uint64_t *cursor,
			 struct snapshot *snap)
{
	uint64_t end = (uint64_t)s->n_groups * GROUP_SLOTS;

	/* Nothing is held yet, whatever the caller's memory says. */
	snap->bytes = snap->room;
	snap->n_bytes = 0;
	while (*cursor < end) {
		struct group *g = &s->groups[*cursor / GROUP_SLOTS];
		unsigned i = (unsigned)(*cursor % GROUP_SLOTS);
		int result = take_slot(s, g, i, snap);

		if (result == LARDER_OK) {
			++*cursor;
			return LARDER_OK;
		}
		larder_snapshot_drop(snap);
		if (result < 0)
			return result;
		++*cursor;
	}
	return LARDER_END;
}

void larder_snapshot_walk_entry(struct segment *s, const struct snapshot *snap,
				uint64_t now_ms,
				struct larder_walk_entry *entry)
{
	entry->info.size_of = sizeof entry->info;
	larder_snapshot_info(s, snap, now_ms, &entry->info);
	entry->stamp = snap->stamp;
	entry->n_key = snap->n_key;
	entry->valid = larder_snapshot_valid(s, snap, now_ms);
	memcpy(entry->key, snap->key, snap->n_key);
}
