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

#include "peers/dialogue.h"

enum { KEY_MOST = 250, ITEM_OVERHEAD = 128 };

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

static const struct dialect dialect = {
	.add_get = add_get,
	.add_put = add_put,
	.take_get = take_get,
	.take_put = take_put,
};

/* ------------------------------------------------------------------ */

static int server_open(const struct bench_plan *plan, const char *name,
		       void **shared)
{
	double item = plan->key_size + plan->sizes.mean + ITEM_OVERHEAD;
	struct passwd *user = getpwuid(getuid());
	char megabytes[24], threads[24], item_max[24], path[DIALOGUE_PATH];
	long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	char *argv[] = {
		"memcached", "-s",     path,
		"-a",	     "0600",   "-m",
		megabytes,   "-t",     threads,
		"-I",	     item_max, "-c",
		"1024",	     "-u",     user ? user->pw_name : "root",
		NULL,
	};

	if (plan->key_size > KEY_MOST)
		return -EKEYREJECTED;
	if (!dialogue_path(name, path))
		return -EIO;
	snprintf(megabytes, sizeof megabytes, "%.0f",
		 plan->cache_bytes
			 ? (double)plan->cache_bytes / (1 << 20)
			 : (double)plan->n_keys * item * 1.4 / (1 << 20) + 64 +
				   8.0 * plan->sizes.max / (1 << 20));
	snprintf(threads, sizeof threads, "%ld", n_cpus > 4 ? 4 : n_cpus);
	snprintf(item_max, sizeof item_max, "%u",
		 plan->sizes.max > 500000 ? 4u << 20 : 1u << 20);
	return dialogue_start(&dialect, name, path, argv, shared);
}

static int memcached_open(const struct bench_plan *plan, void **shared)
{
	return server_open(plan, "memcached", shared);
}

static int pipelined_open(const struct bench_plan *plan, void **shared)
{
	return server_open(plan, "mcpipe", shared);
}

const struct peer peer_memcached = {
	.name = "memcached",
	.about = "memcached over a Unix socket, a request at a time",
	.flags = PEER_SURVIVES | PEER_BOUNDED,
	.program = "memcached",
	.open = memcached_open,
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

const struct peer peer_memcached_pipelined = {
	.name = "memcached-pipelined",
	.about = "the same, many requests in flight",
	.flags = PEER_PIPELINED | PEER_SURVIVES | PEER_BOUNDED,
	.program = "memcached",
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
