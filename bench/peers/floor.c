/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor: what any lookup of this kind has to do, and nothing else.
 *
 * A get reads one random line of an index, which names an entry, reads that
 * entry's first line, and copies its value out. A put does the two reads and
 * copies into the entry. No hash, no comparison of keys, no protection against
 * writers, no bookkeeping; a key's place follows from its id. Index and entries
 * take as much memory, and a value as many lines, as in the cache: 128 bytes of
 * index for 7 entries, 40 bytes of header before the key, entries at multiples
 * of 64 bytes.
 *
 * Nothing keeps a reader beside a writer from reading half of each: PEER_TEARS
 * has every write of a key store the same bytes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"
#include "peers/mapping.h"
#include "workload.h"

enum { UNIT = 64, HEADER = 40, GROUP_BYTES = 128, GROUP_ENTRIES = 7 };

struct floor_entry {
	uint64_t n_value;
	char bytes[];
};

struct floor {
	const struct bench_plan *plan;
	struct mapping index, entries;
	uint64_t n_words; /* of the index */
	uint64_t id_mask; /* of the power of two that holds all ids */
	unsigned id_bits;
	size_t value_at;    /* in an entry */
	uint64_t next_unit; /* the loader's */
};

static size_t entry_units(const struct floor *f, size_t n_value)
{
	return (f->value_at + n_value + UNIT - 1) / UNIT;
}

static int floor_open(const struct bench_plan *plan, void **shared)
{
	struct floor *f = bench_alloc(sizeof *f);
	uint64_t n_units = 1;
	int result;

	f->plan = plan;
	f->value_at = (HEADER + plan->key_size + 7) & ~(size_t)7;
	while (UINT64_C(1) << f->id_bits < plan->n_keys)
		f->id_bits++;
	f->id_mask = (UINT64_C(1) << f->id_bits) - 1;
	/* At least 2^id_bits words: keys x 128 / 7 / 8 is 2.28 x keys. */
	f->n_words = plan->n_keys * GROUP_BYTES / GROUP_ENTRIES / 8 + 16;
	for (uint64_t id = 0; id < plan->n_keys; id++)
		n_units += entry_units(
			f, bench_value_size(&plan->sizes, (uint32_t)id));
	f->next_unit = 1;
	result = mapping_open(&f->index, f->n_words * 8, plan->huge);
	if (!result)
		result = mapping_open(&f->entries, n_units * UNIT, plan->huge);
	*shared = f;
	return result;
}

static int floor_attach(void *shared, unsigned worker, void **session)
{
	(void)worker;
	*session = shared;
	return 0;
}

/* Neighbouring ids are far apart, as hashed keys are; no two share a word. */
static inline uint64_t *floor_word(const struct floor *f, uint32_t id)
{
	uint64_t scattered = (id * UINT64_C(0x9e3779b1)) & f->id_mask;

	return (uint64_t *)(void *)f->index.base +
	       (scattered * f->n_words >> f->id_bits);
}

static inline struct floor_entry *floor_find(const struct floor *f, uint32_t id)
{
	uint64_t unit = __atomic_load_n(floor_word(f, id), __ATOMIC_RELAXED);

	return (struct floor_entry *)(void *)(f->entries.base + unit * UNIT);
}

static int floor_get(void *session, const struct bench_key *key, void *value,
		     size_t n_buffer, size_t *n_value)
{
	const struct floor *f = session;
	const struct floor_entry *e = floor_find(f, key->id);
	size_t n = e->n_value;

	if (n > n_buffer)
		return -EMSGSIZE;
	memcpy(value, (const char *)e + f->value_at, n);
	*n_value = n;
	return PEER_OK;
}

static int floor_put(void *session, const struct bench_key *key,
		     const void *value, size_t n_value)
{
	const struct floor *f = session;
	struct floor_entry *e = floor_find(f, key->id);

	if (e->n_value != n_value)
		return -EINVAL;
	memcpy((char *)e + f->value_at, value, n_value);
	return PEER_OK;
}

static int floor_load(void *session, struct bench_item *items, size_t n_items)
{
	struct floor *f = session;

	for (size_t i = 0; i < n_items; i++) {
		struct floor_entry *e;

		*floor_word(f, items[i].key.id) = f->next_unit;
		f->next_unit += entry_units(f, items[i].n_value);
		e = floor_find(f, items[i].key.id);
		e->n_value = items[i].n_value;
		memcpy((char *)e + f->value_at, items[i].value,
		       items[i].n_value);
	}
	return 0;
}

/* Batched: all index lines are asked for, then all entries. */
static int floor_get_many(void *session, struct bench_item *items,
			  size_t n_items)
{
	const struct floor *f = session;

	for (size_t i = 0; i < n_items; i++)
		__builtin_prefetch(floor_word(f, items[i].key.id));
	for (size_t i = 0; i < n_items; i++) {
		const char *e = (const char *)floor_find(f, items[i].key.id);
		size_t most = f->value_at + f->plan->sizes.max;

		for (size_t at = 0; at < most && at < 512; at += UNIT)
			__builtin_prefetch(e + at);
	}
	for (size_t i = 0; i < n_items; i++)
		items[i].result =
			floor_get(session, &items[i].key, items[i].value,
				  items[i].n_buffer, &items[i].n_value);
	return 0;
}

static void floor_detach(void *session)
{
	(void)session;
}

static uint64_t floor_memory(void *shared)
{
	const struct floor *f = shared;

	return f->index.n_bytes + f->entries.n_bytes;
}

static uint64_t floor_huge(void *shared)
{
	const struct floor *f = shared;

	return mapping_huge(&f->index) + mapping_huge(&f->entries);
}

static void floor_close(void *shared)
{
	struct floor *f = shared;

	mapping_close(&f->index);
	mapping_close(&f->entries);
	free(f);
}

const struct peer peer_floor = {
	.name = "floor",
	.about = "two dependent random line reads and the copy, nothing else",
	.flags = PEER_TEARS,
	.open = floor_open,
	.attach = floor_attach,
	.load = floor_load,
	.get = floor_get,
	.put = floor_put,
	.get_many = floor_get_many,
	.detach = floor_detach,
	.memory = floor_memory,
	.huge = floor_huge,
	.close = floor_close,
};
