/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redis over a Unix socket, nothing written to disk: one request at a time, and
 * pipelined.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "peers/dialogue.h"
#include "rundir.h"

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

static const struct dialect dialect = {
	.add_get = add_get,
	.add_put = add_put,
	.take_get = take_get,
	.take_put = take_put,
};

/* ------------------------------------------------------------------ */

static int server_open(const char *name, void **shared)
{
	char path[DIALOGUE_PATH];
	const char *directory = rundir_path();
	char *argv[] = {
		"redis-server", "--port", "0",
		"--unixsocket", path,	  "--unixsocketperm",
		"700",		"--save", "",
		"--appendonly", "no",	  "--daemonize",
		"no",		"--dir",  (char *)(uintptr_t)directory,
		NULL,
	};

	if (!dialogue_path(name, path))
		return -EIO;
	return dialogue_start(&dialect, name, path, argv, shared);
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

const struct peer peer_redis = {
	.name = "redis",
	.about = "Redis over a Unix socket, a request at a time",
	.flags = PEER_SURVIVES,
	.program = "redis-server",
	.open = redis_open,
	.attach = dialogue_attach,
	.load = dialogue_put_many,
	.get = dialogue_get,
	.put = dialogue_put,
	.get_many = dialogue_get_many,
	.put_many = dialogue_put_many,
	.detach = dialogue_detach,
	.memory = dialogue_memory,
	.close = dialogue_close,
};

const struct peer peer_redis_pipelined = {
	.name = "redis-pipelined",
	.about = "the same, many requests in flight",
	.flags = PEER_PIPELINED | PEER_SURVIVES,
	.program = "redis-server",
	.open = pipelined_open,
	.attach = dialogue_attach,
	.load = dialogue_put_many,
	.get = dialogue_get,
	.put = dialogue_put,
	.get_many = dialogue_get_many,
	.put_many = dialogue_put_many,
	.detach = dialogue_detach,
	.memory = dialogue_memory,
	.close = dialogue_close,
};
