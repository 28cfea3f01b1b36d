/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A buffered client over a Unix socket.
 */
#include "peers/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "rundir.h"

enum { FIRST_ROOM = 64 << 10 };

static void *grown(void *buffer, size_t *room, size_t wanted)
{
	size_t more = *room ? *room : FIRST_ROOM;

	while (more < wanted)
		more *= 2;
	buffer = realloc(buffer, more);
	if (!buffer)
		abort();
	*room = more;
	return buffer;
}

int client_open(struct client *c, const char *path)
{
	memset(c, 0, sizeof *c);
	c->out = grown(NULL, &c->room_out, FIRST_ROOM);
	c->in = grown(NULL, &c->room_in, FIRST_ROOM);
	c->fd = socket_connect(path);
	return c->fd < 0 ? c->fd : 0;
}

void client_close(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	free(c->out);
	free(c->in);
}

void client_add(struct client *c, const void *bytes, size_t n_bytes)
{
	if (c->n_out + n_bytes > c->room_out)
		c->out = grown(c->out, &c->room_out, c->n_out + n_bytes);
	memcpy(c->out + c->n_out, bytes, n_bytes);
	c->n_out += n_bytes;
}

void client_add_number(struct client *c, size_t number)
{
	char digits[24], *at = digits + sizeof digits;

	do
		*--at = (char)('0' + number % 10);
	while (number /= 10);
	client_add(c, at, (size_t)(digits + sizeof digits - at));
}

/* Read what is there; @wait for it if nothing is. */
static int receive(struct client *c, bool wait)
{
	ssize_t n;

	if (c->in_from == c->in_to)
		c->in_from = c->in_to = 0;
	if (c->in_to == c->room_in) {
		if (c->in_from > 0) {
			memmove(c->in, c->in + c->in_from,
				c->in_to - c->in_from);
			c->in_to -= c->in_from;
			c->in_from = 0;
		} else {
			c->in = grown(c->in, &c->room_in, c->room_in + 1);
		}
	}
	do
		n = recv(c->fd, c->in + c->in_to, c->room_in - c->in_to,
			 wait ? 0 : MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	c->in_to += (size_t)n;
	return 0;
}

int client_send(struct client *c)
{
	size_t sent = 0;
	int result;

	while (sent < c->n_out) {
		ssize_t n = send(c->fd, c->out + sent, c->n_out - sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);
		struct pollfd both = {.fd = c->fd, .events = POLLIN | POLLOUT};

		if (n >= 0) {
			sent += (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		poll(&both, 1, -1);
		if (both.revents & POLLIN) {
			result = receive(c, false);
			if (result)
				return result;
		}
	}
	c->n_out = 0;
	return 0;
}

char *client_line(struct client *c)
{
	size_t looked = 0;

	for (;;) {
		char *from = c->in + c->in_from, *end;

		end = memchr(from + looked, '\n',
			     c->in_to - c->in_from - looked);
		if (end) {
			c->in_from = (size_t)(end + 1 - c->in);
			*end = '\0';
			if (end > from && end[-1] == '\r')
				end[-1] = '\0';
			return from;
		}
		looked = c->in_to - c->in_from;
		if (receive(c, true))
			return NULL;
	}
}

const char *client_bytes(struct client *c, size_t n_bytes)
{
	const char *bytes;

	while (c->in_to - c->in_from < n_bytes + 2) {
		if (c->room_in - c->in_from < n_bytes + 2 && c->in_from) {
			memmove(c->in, c->in + c->in_from,
				c->in_to - c->in_from);
			c->in_to -= c->in_from;
			c->in_from = 0;
		}
		if (receive(c, true))
			return NULL;
	}
	bytes = c->in + c->in_from;
	c->in_from += n_bytes + 2;
	return bytes;
}
