/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redis over a Unix socket, nothing written to disk: one request at a time, and
 * pipelined.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"
#include "peers/client.h"
#include "rundir.h"

struct shared_redis {
	char path[128];
	pid_t pid;
};

static int server_open(const char *name, void **shared)
{
	struct shared_redis *s = bench_alloc(sizeof *s);
	char socket[16], log[32];
	const char *directory = rundir_path();
	char *argv[] = {
		"redis-server", "--port", "0",
		"--unixsocket", s->path,  "--unixsocketperm",
		"700",		"--save", "",
		"--appendonly", "no",	  "--daemonize",
		"no",		"--dir",  (char *)(uintptr_t)directory,
		NULL,
	};

	snprintf(socket, sizeof socket, "%.8s.s", name);
	snprintf(log, sizeof log, "%s.log", name);
	if (!rundir_file(socket, s->path, sizeof s->path))
		return -EIO;
	s->pid = server_start(argv, log);
	if (s->pid < 0)
		return s->pid;
	*shared = s;
	return server_ready(s->pid, s->path) ? 0 : -ECONNREFUSED;
}

static int redis_open(const struct bench_plan *plan, void **shared)
{
	(void)plan;
	return server_open("redis", shared);
}

static int pipelined_open(const struct bench_plan *plan, void **shared)
{
	(void)plan;
	return server_open("repipe", shared);
}

static int redis_attach(void *shared, unsigned worker, void **session)
{
	struct shared_redis *s = shared;
	struct client *c = bench_alloc(sizeof *c);

	(void)worker;
	*session = c;
	return client_open(c, s->path);
}

static void add_string(struct client *c, const void *bytes, size_t n_bytes)
{
	client_add(c, "$", 1);
	client_add_number(c, n_bytes);
	client_add(c, "\r\n", 2);
	client_add(c, bytes, n_bytes);
	client_add(c, "\r\n", 2);
}

static void add_get(struct client *c, const struct bench_key *key)
{
	client_add(c, "*2\r\n$3\r\nGET\r\n", 13);
	add_string(c, key->bytes, key->n);
}

static void add_put(struct client *c, const struct bench_key *key,
		    const void *value, size_t n_value)
{
	client_add(c, "*3\r\n$3\r\nSET\r\n", 13);
	add_string(c, key->bytes, key->n);
	add_string(c, value, n_value);
}

static int take_get(struct client *c, void *value, size_t n_buffer,
		    size_t *n_value)
{
	const char *line = client_line(c), *bytes;
	size_t n;

	if (!line)
		return -ECONNRESET;
	if (line[0] != '$')
		return -EPROTO;
	if (line[1] == '-')
		return PEER_MISS;
	n = strtoul(line + 1, NULL, 10);
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

	return !line ? -ECONNRESET : strcmp(line, "+OK") ? -EPROTO : 0;
}

static int redis_get(void *session, const struct bench_key *key, void *value,
		     size_t n_buffer, size_t *n_value)
{
	int result;

	add_get(session, key);
	result = client_send(session);
	return result ? result : take_get(session, value, n_buffer, n_value);
}

static int redis_put(void *session, const struct bench_key *key,
		     const void *value, size_t n_value)
{
	int result;

	add_put(session, key, value, n_value);
	result = client_send(session);
	return result ? result : take_put(session);
}

static int redis_get_many(void *session, struct bench_item *items,
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

static int redis_put_many(void *session, struct bench_item *items,
			  size_t n_items)
{
	int result;

	for (size_t i = 0; i < n_items; i++)
		add_put(session, &items[i].key, items[i].value,
			items[i].n_value);
	result = client_send(session);
	for (size_t i = 0; i < n_items && !result; i++)
		result = take_put(session);
	return result;
}

static void redis_detach(void *session)
{
	client_close(session);
	free(session);
}

static uint64_t redis_memory(void *shared)
{
	const struct shared_redis *s = shared;

	return process_bytes(s->pid);
}

static void redis_close(void *shared)
{
	struct shared_redis *s = shared;

	server_stop(s->pid);
	free(s);
}

const struct peer peer_redis = {
	.name = "redis",
	.about = "Redis over a Unix socket, a request at a time",
	.flags = PEER_SURVIVES,
	.program = "redis-server",
	.open = redis_open,
	.attach = redis_attach,
	.load = redis_put_many,
	.get = redis_get,
	.put = redis_put,
	.get_many = redis_get_many,
	.put_many = redis_put_many,
	.detach = redis_detach,
	.memory = redis_memory,
	.close = redis_close,
};

const struct peer peer_redis_pipelined = {
	.name = "redis-pipelined",
	.about = "the same, many requests in flight",
	.flags = PEER_PIPELINED | PEER_SURVIVES,
	.program = "redis-server",
	.open = pipelined_open,
	.attach = redis_attach,
	.load = redis_put_many,
	.get = redis_get,
	.put = redis_put,
	.get_many = redis_get_many,
	.put_many = redis_put_many,
	.detach = redis_detach,
	.memory = redis_memory,
	.close = redis_close,
};
