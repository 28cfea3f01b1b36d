/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache itself, through its public header and its shared library: what a
 * worker of a user would call.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <larder/larder.h>

#include "peer.h"

/* What an entry takes beside key and value, and what its share of the index and
 * its kin is. A segment is made as large as the data, so that it takes no more
 * cache and no more translations than it has to. */
enum {
	ENTRY_HEADER = 40,
	UNIT = 64,
	FINE_UNITS = 6, /* up to here a size class for each number of units */
	TABLES_PER_ENTRY = 30,
	SLACK = 4 << 20,
};

struct shared_larder {
	struct larder *handle;
	int fd;
	uint64_t n_bytes;
};

static uint64_t segment_bytes(const struct bench_plan *plan)
{
	double sum = 0;

	if (plan->cache_bytes)
		return plan->cache_bytes;
	for (unsigned i = 0; i < BENCH_SIZE_QUANTILES; i++) {
		uint32_t n =
			ENTRY_HEADER + plan->key_size + plan->sizes.quantile[i];
		uint32_t units = (n + 7 + UNIT - 1) / UNIT;

		sum += units * UNIT * (units <= FINE_UNITS ? 1.05 : 1.2);
	}
	return (uint64_t)((double)plan->n_keys *
			  (sum / BENCH_SIZE_QUANTILES + TABLES_PER_ENTRY)) +
	       SLACK + bench_n_workers(plan) * UINT64_C(4096) +
	       8 * (uint64_t)plan->sizes.max;
}

/* What somebody who knows the sizes would say. Where memory is short the small
 * ones are more than half of what is kept. */
static uint64_t typical_bytes(const struct bench_plan *plan)
{
	return plan->key_size +
	       (plan->cache_bytes
			? plan->sizes.quantile[BENCH_SIZE_QUANTILES / 2]
			: (uint64_t)plan->sizes.mean);
}

static int larder_peer_open(const struct bench_plan *plan, void **shared)
{
	struct shared_larder *s = bench_alloc(sizeof *s);
	struct larder_create_options create = {
		.size_of = sizeof create,
		.bytes = segment_bytes(plan),
		.entry_hint = typical_bytes(plan),
		.n_slots = bench_n_workers(plan) + 16 < 64
				   ? 64
				   : bench_n_workers(plan) + 16,
	};
	struct larder_open_options open = {.size_of = sizeof open};
	int result = larder_create_fd(&create, &s->fd);

	if (result)
		return result;
	if (plan->huge)
		open.flags = LARDER_OPEN_HUGE;
	s->n_bytes = create.bytes;
	result = larder_open_fd(s->fd, &open, &s->handle);
	*shared = s;
	return result;
}

static int larder_peer_attach(void *shared, unsigned worker, void **session)
{
	struct shared_larder *s = shared;

	(void)worker;
	*session = s->handle;
	return larder_attach_thread(s->handle);
}

static int larder_peer_get(void *session, const struct bench_key *key,
			   void *value, size_t n_buffer, size_t *n_value)
{
	int result = larder_get(session, key->bytes, key->n, value, n_buffer,
				n_value);

	return result == LARDER_OK     ? PEER_OK
	       : result == LARDER_MISS ? PEER_MISS
	       : result > 0	       ? -EPROTO
				       : result;
}

static int larder_peer_put(void *session, const struct bench_key *key,
			   const void *value, size_t n_value)
{
	int result =
		larder_put(session, key->bytes, key->n, value, n_value, NULL);

	return result > 0 ? -ENOSPC : result;
}

static int larder_peer_get_many(void *session, struct bench_item *items,
				size_t n_items)
{
	struct larder_get_item item[BENCH_BATCH_MAX];
	int result;

	for (size_t i = 0; i < n_items; i++)
		item[i] = (struct larder_get_item){
			.key = items[i].key.bytes,
			.n_key = items[i].key.n,
			.value = items[i].value,
			.n_buffer = items[i].n_buffer,
		};
	result = larder_get_many(session, item, n_items);
	for (size_t i = 0; i < n_items; i++) {
		items[i].n_value = item[i].n_value;
		items[i].result = item[i].result == LARDER_OK	  ? PEER_OK
				  : item[i].result == LARDER_MISS ? PEER_MISS
				  : item[i].result > 0		  ? -EPROTO
						       : item[i].result;
	}
	return result;
}

static int larder_peer_sweep(void *session)
{
	int result = larder_maintain(session, 0);

	return result < 0 ? result : 0;
}

static void larder_peer_detach(void *session)
{
	larder_detach_thread(session);
}

static uint64_t larder_peer_memory(void *shared)
{
	const struct shared_larder *s = shared;

	return s->n_bytes;
}

static uint64_t larder_peer_huge(void *shared)
{
	const struct shared_larder *s = shared;

	return larder_huge(s->handle);
}

static void larder_peer_close(void *shared)
{
	struct shared_larder *s = shared;

	larder_close(s->handle);
	close(s->fd);
	free(s);
}

const struct peer peer_larder = {
	.name = "larder",
	.about = "this cache",
	.flags = PEER_SURVIVES | PEER_BOUNDED,
	.open = larder_peer_open,
	.attach = larder_peer_attach,
	.get = larder_peer_get,
	.put = larder_peer_put,
	.get_many = larder_peer_get_many,
	.sweep = larder_peer_sweep,
	.detach = larder_peer_detach,
	.memory = larder_peer_memory,
	.huge = larder_peer_huge,
	.close = larder_peer_close,
};
