/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The systems that this build knows, in the order of reports.
 */
#include <string.h>

#include "peer.h"

extern const struct peer peer_larder, peer_floor, peer_mutex, peer_rwlock,
	peer_spinlocks;
#ifdef BENCH_RCULFHASH
extern const struct peer peer_rculfhash;
#endif
#ifdef BENCH_RTE_HASH
extern const struct peer peer_rte_hash;
#endif
#ifdef BENCH_LMDB
extern const struct peer peer_lmdb;
#endif
extern const struct peer peer_memcached, peer_memcached_pipelined, peer_redis,
	peer_redis_pipelined;

const struct peer *const bench_peers[] = {
	&peer_larder,
	&peer_floor,
	&peer_mutex,
	&peer_rwlock,
	&peer_spinlocks,
#ifdef BENCH_RCULFHASH
	&peer_rculfhash,
#endif
#ifdef BENCH_RTE_HASH
	&peer_rte_hash,
#endif
#ifdef BENCH_LMDB
	&peer_lmdb,
#endif
	&peer_memcached,
	&peer_memcached_pipelined,
	&peer_redis,
	&peer_redis_pipelined,
	NULL,
};

const struct peer *bench_peer_find(const char *name)
{
	for (const struct peer *const *p = bench_peers; *p; p++)
		if (!strcmp((*p)->name, name))
			return *p;
	return NULL;
}
