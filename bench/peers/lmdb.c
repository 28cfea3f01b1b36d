/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LMDB, set up to be fast rather than safe: a file in memory, a writable map,
 * nothing synced, one read transaction a worker that is renewed for each get.
 */
#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "peer.h"
#include "rundir.h"

/* One environment a process, as LMDB asks; its threads share it. */
struct shared_lmdb {
	char path[128];
	size_t n_map;
	pthread_mutex_t mutex;
	MDB_env *env;
	MDB_dbi database;
	unsigned n_users;
};

struct lmdb_session {
	struct shared_lmdb *shared;
	MDB_env *env;
	MDB_dbi database;
	MDB_txn *reader;
};

static int lmdb_error(int result)
{
	return result > 0 ? -result : result ? -EIO : 0;
}

static int lmdb_peer_open(const struct bench_plan *plan, void **shared)
{
	struct shared_lmdb *s = bench_alloc(sizeof *s);
	double record = plan->key_size + plan->sizes.mean + 4096.0 / 4;

	if (!rundir_file("lmdb", s->path, sizeof s->path))
		return -EIO;
	if (mkdir(s->path, 0700))
		return -errno;
	s->n_map = ((size_t)((double)plan->n_keys * record * 2) + (64u << 20) +
		    8 * (size_t)plan->sizes.max) &
		   ~(size_t)4095;
	pthread_mutex_init(&s->mutex, NULL);
	*shared = s;
	return 0;
}

/* Nobody has opened it in this process yet; the first worker of all makes the
 * file. */
static int environment_open(struct shared_lmdb *s, bool create)
{
	MDB_txn *txn = NULL;
	int result = mdb_env_create(&s->env);

	if (!result)
		result = mdb_env_set_mapsize(s->env, s->n_map);
	if (!result)
		result = mdb_env_set_maxreaders(s->env, BENCH_WORKERS_MAX + 16);
	if (!result)
		result = mdb_env_open(s->env, s->path,
				      MDB_NOSYNC | MDB_WRITEMAP | MDB_MAPASYNC |
					      MDB_NOTLS | MDB_NORDAHEAD |
					      MDB_NOMEMINIT,
				      0600);
	if (!result)
		result = mdb_txn_begin(s->env, NULL, create ? 0 : MDB_RDONLY,
				       &txn);
	if (!result)
		result = mdb_dbi_open(txn, NULL, 0, &s->database);
	if (!result)
		result = mdb_txn_commit(txn);
	return result;
}

static int lmdb_peer_attach(void *shared, unsigned worker, void **session)
{
	struct shared_lmdb *s = shared;
	struct lmdb_session *l = bench_alloc(sizeof *l);
	int result = 0;

	pthread_mutex_lock(&s->mutex);
	if (!s->n_users++)
		result = environment_open(s, worker == 0);
	pthread_mutex_unlock(&s->mutex);
	l->shared = s;
	l->env = s->env;
	l->database = s->database;
	if (!result)
		result = mdb_txn_begin(l->env, NULL, MDB_RDONLY, &l->reader);
	if (!result)
		mdb_txn_reset(l->reader);
	*session = l;
	return lmdb_error(result);
}

static int put_in(struct lmdb_session *l, MDB_txn *txn,
		  const struct bench_key *key, const void *value,
		  size_t n_value)
{
	MDB_val k = {key->n, (void *)(uintptr_t)key->bytes};
	MDB_val v = {n_value, (void *)(uintptr_t)value};

	return mdb_put(txn, l->database, &k, &v, 0);
}

static int lmdb_peer_put_many(void *session, struct bench_item *items,
			      size_t n_items)
{
	struct lmdb_session *l = session;
	MDB_txn *txn;
	int result = mdb_txn_begin(l->env, NULL, 0, &txn);

	if (result)
		return lmdb_error(result);
	for (size_t i = 0; i < n_items && !result; i++)
		result = put_in(l, txn, &items[i].key, items[i].value,
				items[i].n_value);
	if (result)
		mdb_txn_abort(txn);
	else
		result = mdb_txn_commit(txn);
	return lmdb_error(result);
}

static int lmdb_peer_put(void *session, const struct bench_key *key,
			 const void *value, size_t n_value)
{
	struct bench_item item = {
		.key = *key,
		.value = (void *)(uintptr_t)value,
		.n_value = n_value,
	};

	return lmdb_peer_put_many(session, &item, 1);
}

static int get_in(struct lmdb_session *l, const struct bench_key *key,
		  void *value, size_t n_buffer, size_t *n_value)
{
	MDB_val k = {key->n, (void *)(uintptr_t)key->bytes}, v;
	int result = mdb_get(l->reader, l->database, &k, &v);

	if (result == MDB_NOTFOUND)
		return PEER_MISS;
	if (result)
		return lmdb_error(result);
	if (v.mv_size > n_buffer)
		return -EMSGSIZE;
	memcpy(value, v.mv_data, v.mv_size);
	*n_value = v.mv_size;
	return PEER_OK;
}

static int lmdb_peer_get(void *session, const struct bench_key *key,
			 void *value, size_t n_buffer, size_t *n_value)
{
	struct lmdb_session *l = session;
	int result = mdb_txn_renew(l->reader);

	if (result)
		return lmdb_error(result);
	result = get_in(l, key, value, n_buffer, n_value);
	mdb_txn_reset(l->reader);
	return result;
}

/* Many keys of one transaction. */
static int lmdb_peer_get_many(void *session, struct bench_item *items,
			      size_t n_items)
{
	struct lmdb_session *l = session;
	int result = mdb_txn_renew(l->reader);

	if (result)
		return lmdb_error(result);
	for (size_t i = 0; i < n_items; i++)
		items[i].result = get_in(l, &items[i].key, items[i].value,
					 items[i].n_buffer, &items[i].n_value);
	mdb_txn_reset(l->reader);
	return 0;
}

static void lmdb_peer_detach(void *session)
{
	struct lmdb_session *l = session;

	struct shared_lmdb *s = l->shared;

	mdb_txn_abort(l->reader);
	pthread_mutex_lock(&s->mutex);
	if (!--s->n_users)
		mdb_env_close(s->env);
	pthread_mutex_unlock(&s->mutex);
	free(l);
}

static uint64_t lmdb_peer_memory(void *shared)
{
	const struct shared_lmdb *s = shared;
	char path[160];
	struct stat status;
	int n = snprintf(path, sizeof path, "%s/data.mdb", s->path);

	if (n < 0 || stat(path, &status))
		return 0;
	return (uint64_t)status.st_blocks * 512;
}

static void lmdb_peer_close(void *shared)
{
	struct shared_lmdb *s = shared;

	rundir_remove_tree(s->path);
	free(s);
}

const struct peer peer_lmdb = {
	.name = "lmdb",
	.about = "LMDB on a file in memory, nothing synced",
	.open = lmdb_peer_open,
	.attach = lmdb_peer_attach,
	.get = lmdb_peer_get,
	.put = lmdb_peer_put,
	.get_many = lmdb_peer_get_many,
	.put_many = lmdb_peer_put_many,
	.detach = lmdb_peer_detach,
	.memory = lmdb_peer_memory,
	.close = lmdb_peer_close,
};
