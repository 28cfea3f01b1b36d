/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A peer that is a server of its own, with a text protocol over a Unix socket:
 * all that such servers have in common. What they differ in is a dialect.
 */
#ifndef LARDER_BENCH_PEERS_DIALOGUE_H
#define LARDER_BENCH_PEERS_DIALOGUE_H

#include <stdbool.h>

#include "peer.h"
#include "peers/client.h"

struct dialect {
	/* Add a request to what is sent next. */
	void (*add_get)(struct client *c, const struct bench_key *key);
	void (*add_put)(struct client *c, const struct bench_key *key,
			const void *value, size_t n_value);
	/* Take its reply: PEER_OK, PEER_MISS, or a negative errno. -ENOSPC: the
	 * server had no room, and goes on. */
	int (*take_get)(struct client *c, void *value, size_t n_buffer,
			size_t *n_value);
	int (*take_put)(struct client *c);
};

enum { DIALOGUE_PATH = 128 };

/* Where the socket of a server of this name is to be. */
bool dialogue_path(const char *name, char path[DIALOGUE_PATH]);
/* Start it and wait until it answers at @path. 0 or a negative errno; *shared
 * is there to be closed either way, unless it is NULL. */
int dialogue_start(const struct dialect *dialect, const char *name,
		   const char *path, char **argv, void **shared);

/* For struct peer. */
int dialogue_attach(void *shared, unsigned worker, void **session);
int dialogue_get(void *session, const struct bench_key *key, void *value,
		 size_t n_buffer, size_t *n_value);
int dialogue_put(void *session, const struct bench_key *key, const void *value,
		 size_t n_value);
int dialogue_get_many(void *session, struct bench_item *items, size_t n_items);
int dialogue_put_many(void *session, struct bench_item *items, size_t n_items);
void dialogue_detach(void *session);
uint64_t dialogue_memory(void *shared);
void dialogue_close(void *shared);

#endif
