/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memcached over a Unix socket, by its meta commands: one request at a time,
 * and pipelined.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peer.h"
#include "peers/client.h"
#include "rundir.h"

enum { KEY_MOST = 250, ITEM_OVERHEAD = 128 };

struct shared_memcached {
	char path[128];
	pid_t pid;
	size_t n_buffer;
};

static int server_open(const struct bench_plan *plan, const char *name,
		       void **shared)
{
	struct shared_memcached *s = bench_alloc(sizeof *s);
	double item = plan->key_size + plan->sizes.mean + ITEM_OVERHEAD;
	struct passwd *user = getpwuid(getuid());
	char megabytes[24], threads[24], item_max[24], socket[16], log[32];
	long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	char *argv[] = {
		"memcached", "-s",     s->path,
		"-a",	     "0600",   "-m",
		megabytes,   "-t",     threads,
		"-I",	     item_max, "-c",
		"1024",	     "-u",     user ? user->pw_name : "root",
		NULL,
	};

	if (plan->key_size > KEY_MOST)
		return -EKEYREJECTED;
	snprintf(socket, sizeof socket, "%.8s.s", name);
	snprintf(log, sizeof log, "%s.log", name);
	if (!rundir_file(socket, s->path, sizeof s->path))
		return -EIO;
	snprintf(megabytes, sizeof megabytes, "%.0f",
		 plan->cache_bytes
			 ? (double)plan->cache_bytes / (1 << 20)
			 : (double)plan->n_keys * item * 1.4 / (1 << 20) + 64 +
				   8.0 * plan->sizes.max / (1 << 20));
	snprintf(threads, sizeof threads, "%ld", n_cpus > 4 ? 4 : n_cpus);
	snprintf(item_max, sizeof item_max, "%u",
		 plan->sizes.max > 500000 ? 4u << 20 : 1u << 20);
	s->pid = server_start(argv, log);
	if (s->pid < 0)
		return s->pid;
	*shared = s;
	return server_ready(s->pid, s->path) ? 0 : -ECONNREFUSED;
}

static int memcached_open(const struct bench_plan *plan, void **shared)
{
	return server_open(plan, "memcached", shared);
}

static int pipelined_open(const struct bench_plan *plan, void **shared)
{
	return server_open(plan, "mcpipe", shared);
}

static int memcached_attach(void *shared, unsigned worker, void **session)
{
	struct shared_memcached *s = shared;
	struct client *c = bench_alloc(sizeof *c);

	(void)worker;
	*session = c;
	return client_open(c, s->path);
}

static void add_get(struct client *c, const struct bench_key *key)
{
	client_add(c, "mg ", 3);
	client_add(c, key->bytes, key->n);
	client_add(c, " v\r\n", 4);
}

static void add_put(struct client *c, const struct bench_key *key,
		    const void *value, size_t n_value)
{
	client_add(c, "ms ", 3);
	client_add(c, key->bytes, key->n);
	client_add(c, " ", 1);
	client_add_number(c, n_value);
	client_add(c, "\r\n", 2);
	client_add(c, value, n_value);
	client_add(c, "\r\n", 2);
}

static int take_get(struct client *c, void *value, size_t n_buffer,
		    size_t *n_value)
{
	const char *line = client_line(c), *bytes;
	size_t n;

	if (!line)
		return -ECONNRESET;
	if (!strncmp(line, "EN", 2))
		return PEER_MISS;
	if (strncmp(line, "VA ", 3))
		return -EPROTO;
	n = strtoul(line + 3, NULL, 10);
	if (n > n_buffer)
		return -EMSGSIZE;
	bytes = client_bytes(c, n);
	if (!bytes)
		return -ECONNRESET;
	memcpy(value, bytes, n);
	*n_value = n;
	return PEER_OK;
}

static int take_put(struct client *c)
{
	const char *line = client_line(c);

	return !line				     ? -ECONNRESET
	       : !strncmp(line, "HD", 2)	     ? 0
	       : !strncmp(line, "SERVER_ERROR ", 13) ? -ENOSPC
						     : -EPROTO;
}

static int memcached_get(void *session, const struct bench_key *key,
			 void *value, size_t n_buffer, size_t *n_value)
{
	int result;

	add_get(session, key);
	result = client_send(session);
	return result ? result : take_get(session, value, n_buffer, n_value);
}

static int memcached_put(void *session, const struct bench_key *key,
			 const void *value, size_t n_value)
{
	int result;

	add_put(session, key, value, n_value);
	result = client_send(session);
	return result ? result : take_put(session);
}

static int memcached_get_many(void *session, struct bench_item *items,
			      size_t n_items)
{
	int result;

	for (size_t i = 0; i < n_items; i++)
		add_get(session, &items[i].key);
	result = client_send(session);
	for (size_t i = 0; i < n_items && !result; i++) {
		items[i].result =
			take_get(session, items[i].value, items[i].n_buffer,
				 &items[i].n_value);
		if (items[i].result < 0)
			result = items[i].result;
	}
	return result;
}

static int memcached_put_many(void *session, struct bench_item *items,
			      size_t n_items)
{
	int result;

	for (size_t i = 0; i < n_items; i++)
		add_put(session, &items[i].key, items[i].value,
			items[i].n_value);
	result = client_send(session);
	if (result)
		return result;
	for (size_t i = 0; i < n_items; i++) {
		items[i].result = take_put(session);
		if (items[i].result && items[i].result != -ENOSPC)
			return items[i].result;
		if (items[i].result)
			result = items[i].result;
	}
	return result;
}

static void memcached_detach(void *session)
{
	client_close(session);
	free(session);
}

static uint64_t memcached_memory(void *shared)
{
	const struct shared_memcached *s = shared;

	return process_bytes(s->pid);
}

static void memcached_close(void *shared)
{
	struct shared_memcached *s = shared;

	server_stop(s->pid);
	free(s);
}

const struct peer peer_memcached = {
	.name = "memcached",
	.about = "memcached over a Unix socket, a request at a time",
	.flags = PEER_SURVIVES | PEER_BOUNDED,
	.program = "memcached",
	.open = memcached_open,
	.attach = memcached_attach,
	.load = memcached_put_many,
	.get = memcached_get,
	.put = memcached_put,
	.get_many = memcached_get_many,
	.put_many = memcached_put_many,
	.detach = memcached_detach,
	.memory = memcached_memory,
	.close = memcached_close,
};

const struct peer peer_memcached_pipelined = {
	.name = "memcached-pipelined",
	.about = "the same, many requests in flight",
	.flags = PEER_PIPELINED | PEER_SURVIVES | PEER_BOUNDED,
	.program = "memcached",
	.open = pipelined_open,
	.attach = memcached_attach,
	.load = memcached_put_many,
	.get = memcached_get,
	.put = memcached_put,
	.get_many = memcached_get_many,
	.put_many = memcached_put_many,
	.detach = memcached_detach,
	.memory = memcached_memory,
	.close = memcached_close,
};
