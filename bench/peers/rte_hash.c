/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DPDK's rte_hash with lock-free concurrency, in threads of one process: values
 * of private memory behind the table's data pointers, replaced on put, freed
 * when every thread has passed a quiescent state.
 *
 * Readers take no lock. Writers take one of their own, which lets the table do
 * without its own and makes the pointer that a put replaces known. A thread is
 * quiescent once in some operations, and when it rests.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_log.h>
#include <rte_rcu_qsbr.h>
#include <rte_spinlock.h>

#include "peer.h"
#include "rundir.h"

enum { QUIESCENT_EVERY = 64, RETIRED_MOST = 8192 };

struct value {
	uint32_t n;
	char bytes[];
};

struct retired {
	uint64_t token;
	struct value *value;
};

struct shared_rte_hash {
	struct rte_hash *table;
	struct rte_rcu_qsbr *rcu;
	uint64_t n_bytes_before;
	rte_spinlock_t writers;
	uint64_t head, tail; /* of the ring of retired ones; the lock's */
	struct retired retired[RETIRED_MOST];
};

struct rte_session {
	struct shared_rte_hash *shared;
	unsigned worker;
	unsigned until_quiescent;
	bool online;
};

/* Without huge pages, devices and other processes, and quietly. */
static int eal_start(const struct bench_plan *plan)
{
	double megabytes =
		128 + (double)plan->n_keys * (plan->key_size + 64) * 2 / 1e6;
	char memory[24];
	char *argv[] = {
		"larder-bench",	  "--no-huge", "--no-shconf", "--no-pci",
		"--no-telemetry", "--lcores",  "0",	      "-m",
		memory,		  NULL,
	};
	cpu_set_t before;
	int n;

	snprintf(memory, sizeof memory, "%.0f", megabytes);
	sched_getaffinity(0, sizeof before, &before);
	rte_log_set_global_level(RTE_LOG_ERR);
	setenv("RUNTIME_DIRECTORY", rundir_path(), 1);
	n = rte_eal_init(sizeof argv / sizeof argv[0] - 1, argv);
	/* It ties this thread to a processor; the harness decides that. */
	sched_setaffinity(0, sizeof before, &before);
	return n < 0 ? -rte_errno : 0;
}

static int rte_hash_peer_open(const struct bench_plan *plan, void **shared)
{
	struct shared_rte_hash *s = bench_alloc(sizeof *s);
	unsigned n_threads = bench_n_workers(plan);
	struct rte_hash_parameters options = {
		.name = "bench",
		.entries = (uint32_t)(plan->n_keys + plan->n_keys / 4 + 64),
		.key_len = plan->key_size,
		.hash_func = rte_hash_crc,
		.socket_id = SOCKET_ID_ANY,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF,
	};
	size_t n_rcu = rte_rcu_qsbr_get_memsize(n_threads);
	int result;

	s->n_bytes_before = own_bytes();
	result = eal_start(plan);
	if (result)
		return result;
	s->table = rte_hash_create(&options);
	s->rcu = aligned_alloc(RTE_CACHE_LINE_SIZE, n_rcu);
	if (!s->table || !s->rcu)
		return -ENOMEM;
	rte_spinlock_init(&s->writers);
	*shared = s;
	return rte_rcu_qsbr_init(s->rcu, n_threads) ? -EINVAL : 0;
}

static int rte_hash_peer_attach(void *shared, unsigned worker, void **session)
{
	struct rte_session *l = bench_alloc(sizeof *l);

	l->shared = shared;
	l->worker = worker;
	*session = l;
	return rte_rcu_qsbr_thread_register(l->shared->rcu, worker) ? -EINVAL
								    : 0;
}

static inline void begin(struct rte_session *l)
{
	if (__builtin_expect(l->online, 1))
		return;
	rte_rcu_qsbr_thread_online(l->shared->rcu, l->worker);
	l->online = true;
}

static inline void end(struct rte_session *l, unsigned n)
{
	l->until_quiescent += n;
	if (l->until_quiescent < QUIESCENT_EVERY)
		return;
	l->until_quiescent = 0;
	rte_rcu_qsbr_quiescent(l->shared->rcu, l->worker);
}

static void rte_hash_peer_rest(void *session)
{
	struct rte_session *l = session;

	if (l->online)
		rte_rcu_qsbr_thread_offline(l->shared->rcu, l->worker);
	l->online = false;
}

static int take(const struct value *v, void *value, size_t n_buffer,
		size_t *n_value)
{
	if (v->n > n_buffer)
		return -EMSGSIZE;
	memcpy(value, v->bytes, v->n);
	*n_value = v->n;
	return PEER_OK;
}

static int rte_hash_peer_get(void *session, const struct bench_key *key,
			     void *value, size_t n_buffer, size_t *n_value)
{
	struct rte_session *l = session;
	void *found;
	int result = PEER_MISS;

	begin(l);
	if (rte_hash_lookup_data(l->shared->table, key->bytes, &found) >= 0)
		result = take(found, value, n_buffer, n_value);
	end(l, 1);
	return result;
}

static int rte_hash_peer_get_many(void *session, struct bench_item *items,
				  size_t n_items)
{
	struct rte_session *l = session;
	const void *keys[RTE_HASH_LOOKUP_BULK_MAX];
	void *found[RTE_HASH_LOOKUP_BULK_MAX];

	begin(l);
	for (size_t at = 0; at < n_items; at += RTE_HASH_LOOKUP_BULK_MAX) {
		size_t left = n_items - at;
		uint32_t n = left < RTE_HASH_LOOKUP_BULK_MAX
				     ? (uint32_t)left
				     : RTE_HASH_LOOKUP_BULK_MAX;
		uint64_t hits = 0;

		for (uint32_t i = 0; i < n; i++)
			keys[i] = items[at + i].key.bytes;
		rte_hash_lookup_bulk_data(l->shared->table, keys, n, &hits,
					  found);
		for (uint32_t i = 0; i < n; i++)
			if (hits >> i & 1)
				__builtin_prefetch(found[i]);
		for (uint32_t i = 0; i < n; i++) {
			struct bench_item *item = &items[at + i];

			item->result =
				hits >> i & 1
					? take(found[i], item->value,
					       item->n_buffer, &item->n_value)
					: PEER_MISS;
		}
	}
	end(l, (unsigned)n_items);
	return 0;
}

/* The lock is held. Waits for nobody unless the ring is full. */
static void retire(struct rte_session *l, struct value *value)
{
	struct shared_rte_hash *s = l->shared;

	while (s->head < s->tail) {
		struct retired *oldest = &s->retired[s->head % RETIRED_MOST];

		if (rte_rcu_qsbr_check(s->rcu, oldest->token, false)) {
			free(oldest->value);
			s->head++;
		} else if (s->tail - s->head < RETIRED_MOST) {
			break;
		} else {
			rte_rcu_qsbr_quiescent(s->rcu, l->worker);
			sched_yield();
		}
	}
	s->retired[s->tail++ % RETIRED_MOST] =
		(struct retired){rte_rcu_qsbr_start(s->rcu), value};
}

static int rte_hash_peer_put(void *session, const struct bench_key *key,
			     const void *value, size_t n_value)
{
	struct rte_session *l = session;
	struct shared_rte_hash *s = l->shared;
	struct value *v = malloc(sizeof *v + n_value);
	void *old = NULL;
	hash_sig_t hash;
	int result;

	if (!v)
		return -ENOMEM;
	v->n = (uint32_t)n_value;
	memcpy(v->bytes, value, n_value);
	begin(l);
	hash = rte_hash_hash(s->table, key->bytes);
	/* Who waits is quiescent: the holder may be waiting for us. */
	while (!rte_spinlock_trylock(&s->writers)) {
		rte_rcu_qsbr_quiescent(s->rcu, l->worker);
		rte_pause();
	}
	if (rte_hash_lookup_with_hash_data(s->table, key->bytes, hash, &old) <
	    0)
		old = NULL;
	result = rte_hash_add_key_with_hash_data(s->table, key->bytes, hash, v);
	if (!result && old)
		retire(l, old);
	rte_spinlock_unlock(&s->writers);
	if (result)
		free(v);
	end(l, 1);
	return result;
}

static void rte_hash_peer_detach(void *session)
{
	struct rte_session *l = session;

	rte_hash_peer_rest(l);
	rte_rcu_qsbr_thread_unregister(l->shared->rcu, l->worker);
	free(l);
}

static uint64_t rte_hash_peer_memory(void *shared)
{
	const struct shared_rte_hash *s = shared;

	return own_bytes() - s->n_bytes_before;
}

static void rte_hash_peer_close(void *shared)
{
	/* The process ends next; its memory goes with it. */
	(void)shared;
	rte_eal_cleanup();
}

const struct peer peer_rte_hash = {
	.name = "rte_hash",
	.about = "DPDK's lock-free hash table, in threads of one process",
	.flags = PEER_THREADS,
	.open = rte_hash_peer_open,
	.attach = rte_hash_peer_attach,
	.get = rte_hash_peer_get,
	.put = rte_hash_peer_put,
	.get_many = rte_hash_peer_get_many,
	.rest = rte_hash_peer_rest,
	.detach = rte_hash_peer_detach,
	.memory = rte_hash_peer_memory,
	.close = rte_hash_peer_close,
};
