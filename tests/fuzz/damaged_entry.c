/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entry whose bytes cannot be right, met by each way to read: it is a miss
 * and is counted, its neighbours are hits, and a put in its place stores.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <larder/larder.h>

#include "fuzz/rounds.h"
#include "segment/segment.h"
#include "store/entry.h"
#include "store/index.h"

enum { BYTES = 1 << 20, NEIGHBOURS = 50 };

struct damage {
	const char *what;
	void (*make)(struct segment *s, struct entry *e);
};

static void no_key(struct segment *s, struct entry *e)
{
	e->born_key &= STAMP_MASK;
}

static void long_key(struct segment *s, struct entry *e)
{
	e->born_key |= UINT64_C(0xffff) << 48;
}

/* One that stays inside of the segment only check tells from a right one: a hit
 * does not look at the page's size class. */
static void long_value(struct segment *s, struct entry *e)
{
	e->n_value = (uint32_t)((unsigned char *)s->base + s->bytes -
				(unsigned char *)e);
}

/* Tags stand behind the value, and a hit looks at them only when something was
 * invalidated since it was last known to be valid. */
static struct tag_block *tags_of(struct segment *s, struct entry *e)
{
	uint64_t offset = (uint64_t)((char *)e - (char *)s->base);
	struct entry_view v;

	promise(larder_entry_view(s, (uint32_t)(offset >> UNIT_SHIFT), &v) &&
			v.tags,
		"the entry has tags");
	return (struct tag_block *)(uintptr_t)v.tags;
}

static void odd_mask(struct segment *s, struct entry *e)
{
	tags_of(s, e)->n_mask = 9;
}

static void many_tags(struct segment *s, struct entry *e)
{
	tags_of(s, e)->n_tags = LARDER_TAGS_MAX + 1;
}

static void long_tags(struct segment *s, struct entry *e)
{
	tags_of(s, e)->n_texts = UINT32_MAX;
}

static const struct damage damages[] = {
	{"a key of no bytes", no_key},
	{"a key longer than any", long_key},
	{"a value longer than any", long_value},
	{"a mask of no power of two", odd_mask},
	{"more tags than any entry has", many_tags},
	{"tags that reach past the segment", long_tags},
};

static uint64_t counted(struct larder *h)
{
	uint64_t counters[64];

	larder_counters(h, counters, 64);
	for (size_t i = 0; i < larder_n_counters(); i++)
		if (!strcmp(larder_counter_name(i), "damaged"))
			return counters[i];
	return UINT64_MAX;
}

static struct entry *find(struct segment *s, const char *key)
{
	for (uint32_t g = 0; g < s->n_groups; g++)
		for (unsigned i = 0; i < GROUP_SLOTS; i++) {
			uint64_t word = load_acquire(&s->groups[g].slot[i]);
			struct entry_view v;

			if (slot_unit(word) &&
			    larder_entry_view(s, slot_unit(word), &v) &&
			    v.n_key == strlen(key) &&
			    !memcmp(v.key, key, v.n_key))
				return entry_at(s, slot_unit(word));
		}
	promise(0, "the entry is in the index");
	return NULL;
}

static void put(struct larder *h, const char *key)
{
	const struct larder_tag tag = {"tag", 3};
	const struct larder_put_options o = {
		.size_of = sizeof o, .tags = &tag, .n_tags = 1};

	promise(larder_put(h, key, strlen(key), "value", 5, &o) == 0, "put");
}

/* A new segment with the victim in it, and how the damage gets there. */
static struct larder *begin(struct segment **s)
{
	const struct larder_create_options o = {.size_of = sizeof o,
						.bytes = BYTES};
	struct larder *h;
	int fd;

	promise(larder_create_fd(&o, &fd) == 0, "create");
	promise(larder_open_fd(fd, NULL, &h) == 0, "open");
	promise(larder_segment_map(fd, SEGMENT_READ_WRITE, s) == 0, "map");
	put(h, "victim");
	return h;
}

static void one(const struct damage *d)
{
	struct larder_info info = {.size_of = sizeof info};
	struct larder_get_item item = {.key = "victim", .n_key = 6};
	struct larder_view view;
	struct larder_token token;
	char key[16], value[16];
	struct segment *s;
	struct larder *h = begin(&s);
	uint64_t before;
	size_t n;

	for (int i = 0; i < NEIGHBOURS; i++) {
		snprintf(key, sizeof key, "n%d", i);
		put(h, key);
	}
	d->make(s, find(s, "victim"));
	promise(larder_invalidate_tag(h, "another", 7) == LARDER_OK,
		"an invalidation of another tag");

	printf("%s\n", d->what);
	before = counted(h);
	item.value = value;
	item.n_buffer = sizeof value;
	promise(larder_get(h, "victim", 6, value, sizeof value, &n) ==
			LARDER_MISS,
		"a get of it is a miss");
	promise(counted(h) > before, "that is counted");
	before = counted(h);
	promise(larder_get_info(h, "victim", 6, value, sizeof value, &info) ==
			LARDER_MISS,
		"so is one that asks for more");
	promise(counted(h) > before, "that is counted too");
	before = counted(h);
	promise(larder_get_many(h, &item, 1) == 0 && item.result == LARDER_MISS,
		"so is one of many");
	promise(counted(h) > before, "that is counted too");
	before = counted(h);
	promise(larder_lease(h, "victim", 6, &view) == LARDER_MISS,
		"so is a lease");
	promise(counted(h) > before, "that is counted too");
	promise(larder_token(h, "victim", 6, &token) == 0, "a token is given");
	for (int i = 0; i < NEIGHBOURS; i++) {
		snprintf(key, sizeof key, "n%d", i);
		promise(larder_get(h, key, strlen(key), value, sizeof value,
				   &n) == LARDER_OK &&
				n == 5 && !memcmp(value, "value", 5),
			"its neighbours are as they were");
	}
	put(h, "victim");
	promise(larder_get(h, "victim", 6, value, sizeof value, &n) ==
				LARDER_OK &&
			n == 5,
		"what is put in its place is a hit");
	larder_segment_drop(s);
	larder_close(h);
}

/* Its bytes are right, and its page says that no entry is there: the two never
 * agree, however often a change is tried. Each write ends, and says that it
 * changed nothing; a store's neighbours are stored. */
static void page_without_entries(void)
{
	struct larder_info info = {.size_of = sizeof info};
	struct segment *s;
	struct larder *h = begin(&s);
	uint32_t unit;

	unit = (uint32_t)(((char *)find(s, "victim") - (char *)s->base) >>
			  UNIT_SHIFT);
	store_release(&s->page_words[page_of_unit(s, unit)], 0);

	printf("a page that has no entry there\n");
	promise(larder_put(h, "victim", 6, "other", 5, NULL) == LARDER_NO_SPACE,
		"a put over it finds no room");
	promise(larder_remove(h, "victim", 6) == LARDER_ERR_DAMAGED,
		"removing it says that it is damaged");
	promise(larder_get_info(h, "victim", 6, NULL, 0, &info) >= 0 &&
			larder_remove_version(h, "victim", 6, info.version) ==
				LARDER_ERR_DAMAGED,
		"so does removing what it is");
	promise(larder_put(h, "neighbour", 9, "value", 5, NULL) == LARDER_OK &&
			larder_remove(h, "neighbour", 9) == LARDER_OK,
		"a neighbour is stored and removed");
	larder_segment_drop(s);
	larder_close(h);
}

int main(void)
{
	page_without_entries();
	for (size_t i = 0; i < sizeof damages / sizeof *damages; i++)
		one(&damages[i]);
	printf("%zu damages, each a miss and counted\n",
	       sizeof damages / sizeof *damages);
	return 0;
}
