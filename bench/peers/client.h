/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's end of a text protocol over a Unix socket: requests are
 * gathered and sent together, replies read by line and by length.
 *
 * Sending never waits for a server that waits for us: while it takes nothing,
 * its replies are read.
 */
#ifndef LARDER_BENCH_PEERS_CLIENT_H
#define LARDER_BENCH_PEERS_CLIENT_H

#include <stddef.h>

struct client {
	int fd;
	char *out, *in;
	size_t n_out, room_out;
	size_t in_from, in_to, room_in;
};

int client_open(struct client *c, const char *path);
void client_close(struct client *c);

void client_add(struct client *c, const void *bytes, size_t n_bytes);
/* A decimal number. */
void client_add_number(struct client *c, size_t number);

/* Send what was added. 0 or a negative errno. */
int client_send(struct client *c);

/* The next line without its end, terminated by a zero, valid until the next
 * call; NULL on a broken connection. */
char *client_line(struct client *c);

/* The next @n_bytes and the line end after them, valid until the next call. */
const char *client_bytes(struct client *c, size_t n_bytes);

#endif
