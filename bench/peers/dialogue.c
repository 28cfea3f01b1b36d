/* SPDX-License-Identifier: Apache-2.0 */
/* Servers with a text protocol: dialogue.h. */
#include "peers/dialogue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "rundir.h"

struct server {
	const struct dialect *dialect;
	char path[DIALOGUE_PATH];
	pid_t pid;
};

struct session {
	struct client client;
	const struct dialect *dialect;
};

bool dialogue_path(const char *name, char path[DIALOGUE_PATH])
{
	char socket[16];

	snprintf(socket, sizeof socket, "%.8s.s", name);
	return rundir_file(socket, path, DIALOGUE_PATH);
}

int dialogue_start(const struct dialect *dialect, const char *name,
		   const char *path, char **argv, void **shared)
{
	struct server *s;
	char log[32];
	pid_t pid;

	snprintf(log, sizeof log, "%s.log", name);
	pid = server_start(argv, log);
	if (pid < 0)
		return pid;
	s = bench_alloc(sizeof *s);
	s->dialect = dialect;
	s->pid = pid;
	snprintf(s->path, sizeof s->path, "%s", path);
	*shared = s;
	return server_ready(pid, path) ? 0 : -ECONNREFUSED;
}

int dialogue_attach(void *shared, unsigned worker, void **session)
{
	struct server *server = shared;
	struct session *s = bench_alloc(sizeof *s);

	(void)worker;
	s->dialect = server->dialect;
	*session = s;
	return client_open(&s->client, server->path);
}

int dialogue_get(void *session, const struct bench_key *key, void *value,
		 size_t n_buffer, size_t *n_value)
{
	struct session *s = session;
	int result;

	s->dialect->add_get(&s->client, key);
	result = client_send(&s->client);
	return result ? result
		      : s->dialect->take_get(&s->client, value, n_buffer,
					     n_value);
}

int dialogue_put(void *session, const struct bench_key *key, const void *value,
		 size_t n_value)
{
	struct session *s = session;
	int result;

	s->dialect->add_put(&s->client, key, value, n_value);
	result = client_send(&s->client);
	return result ? result : s->dialect->take_put(&s->client);
}

int dialogue_get_many(void *session, struct bench_item *items, size_t n_items)
{
	struct session *s = session;
	int result;

	for (size_t i = 0; i < n_items; i++)
		s->dialect->add_get(&s->client, &items[i].key);
	result = client_send(&s->client);
	for (size_t i = 0; i < n_items && !result; i++) {
		items[i].result = s->dialect->take_get(
			&s->client, items[i].value, items[i].n_buffer,
			&items[i].n_value);
		if (items[i].result < 0)
			result = items[i].result;
	}
	return result;
}

int dialogue_put_many(void *session, struct bench_item *items, size_t n_items)
{
	struct session *s = session;
	int result;

	for (size_t i = 0; i < n_items; i++)
		s->dialect->add_put(&s->client, &items[i].key, items[i].value,
				    items[i].n_value);
	result = client_send(&s->client);
	if (result)
		return result;
	for (size_t i = 0; i < n_items; i++) {
		items[i].result = s->dialect->take_put(&s->client);
		if (items[i].result && items[i].result != -ENOSPC)
			return items[i].result;
		if (items[i].result)
			result = items[i].result;
	}
	return result;
}

void dialogue_detach(void *session)
{
	struct session *s = session;

	client_close(&s->client);
	free(s);
}

uint64_t dialogue_memory(void *shared)
{
	const struct server *s = shared;

	return process_bytes(s->pid);
}

void dialogue_close(void *shared)
{
	struct server *s = shared;

	server_stop(s->pid);
	free(s);
}
