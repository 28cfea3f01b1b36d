/* SPDX-License-Identifier: Apache-2.0 */
/*
 * liburcu's lock-free hash table, in threads of one process: nodes of private
 * memory, replaced on put, freed after a grace period.
 */
#define _LGPL_SOURCE
#define RCU_MEMBARRIER
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <urcu/urcu-memb.h>
#include <urcu/rculfhash.h>
#include <xxhash.h>

#include "peer.h"
#include "rundir.h"

struct node {
	struct cds_lfht_node link;
	struct rcu_head reclaim;
	uint32_t n_key;
	uint32_t n_value;
	char bytes[]; /* key, value at a multiple of 8 */
};

struct shared_rculfhash {
	struct cds_lfht *table;
	uint64_t n_bytes_before;
};

static size_t value_at(uint32_t n_key)
{
	return (n_key + 7) & ~(size_t)7;
}

static int rculfhash_open(const struct bench_plan *plan, void **shared)
{
	struct shared_rculfhash *s = bench_alloc(sizeof *s);
	unsigned long n_buckets = 1;

	while (n_buckets < plan->n_keys)
		n_buckets *= 2;
	s->n_bytes_before = own_bytes();
	urcu_memb_register_thread();
	s->table = cds_lfht_new_flavor(n_buckets, n_buckets, 0, 0,
				       &urcu_memb_flavor, NULL);
	urcu_memb_unregister_thread();
	*shared = s;
	return s->table ? 0 : -ENOMEM;
}

static int rculfhash_attach(void *shared, unsigned worker, void **session)
{
	(void)worker;
	urcu_memb_register_thread();
	*session = shared;
	return 0;
}

static int match(struct cds_lfht_node *link, const void *wanted)
{
	const struct node *n = caa_container_of(link, struct node, link);
	const struct bench_key *key = wanted;

	return n->n_key == key->n && !memcmp(n->bytes, key->bytes, key->n);
}

static int rculfhash_get(void *session, const struct bench_key *key,
			 void *value, size_t n_buffer, size_t *n_value)
{
	struct shared_rculfhash *s = session;
	struct cds_lfht_iter at;
	struct cds_lfht_node *link;
	int result = PEER_MISS;

	urcu_memb_read_lock();
	cds_lfht_lookup(s->table, XXH3_64bits(key->bytes, key->n), match, key,
			&at);
	link = cds_lfht_iter_get_node(&at);
	if (link) {
		struct node *n = caa_container_of(link, struct node, link);

		result = -EMSGSIZE;
		if (n->n_value <= n_buffer) {
			memcpy(value, n->bytes + value_at(n->n_key),
			       n->n_value);
			*n_value = n->n_value;
			result = PEER_OK;
		}
	}
	urcu_memb_read_unlock();
	return result;
}

static void reclaim(struct rcu_head *head)
{
	free(caa_container_of(head, struct node, reclaim));
}

static int rculfhash_put(void *session, const struct bench_key *key,
			 const void *value, size_t n_value)
{
	struct shared_rculfhash *s = session;
	struct cds_lfht_node *old;
	struct node *n = malloc(sizeof *n + value_at(key->n) + n_value);

	if (!n)
		return -ENOMEM;
	cds_lfht_node_init(&n->link);
	n->n_key = key->n;
	n->n_value = (uint32_t)n_value;
	memcpy(n->bytes, key->bytes, key->n);
	memcpy(n->bytes + value_at(key->n), value, n_value);
	urcu_memb_read_lock();
	old = cds_lfht_add_replace(s->table, XXH3_64bits(key->bytes, key->n),
				   match, key, &n->link);
	urcu_memb_read_unlock();
	if (old)
		urcu_memb_call_rcu(
			&caa_container_of(old, struct node, link)->reclaim,
			reclaim);
	return PEER_OK;
}

static void rculfhash_detach(void *session)
{
	(void)session;
	urcu_memb_unregister_thread();
}

static uint64_t rculfhash_memory(void *shared)
{
	const struct shared_rculfhash *s = shared;

	return own_bytes() - s->n_bytes_before;
}

static void rculfhash_close(void *shared)
{
	/* The process ends next; its memory goes with it. */
	free(shared);
}

const struct peer peer_rculfhash = {
	.name = "rculfhash",
	.about = "liburcu's lock-free hash table, in threads of one process",
	.flags = PEER_THREADS,
	.open = rculfhash_open,
	.attach = rculfhash_attach,
	.get = rculfhash_get,
	.put = rculfhash_put,
	.detach = rculfhash_detach,
	.memory = rculfhash_memory,
	.close = rculfhash_close,
};
