/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one listening socket, opened by the master and inherited: with a socket
 * for each worker, one that is stopped would strand its share of connections.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>

#include "server.h"

enum { BACKLOG = 1024 };

/* The name is taken over from a server that is gone, and from nothing else. */
static bool may_take(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct stat s;
	int fd, error;

	if (lstat(path, &s))
		return true;
	if (!S_ISSOCK(s.st_mode)) {
		say("unix:%s: there is something else than a socket", path);
		return false;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	error = fd >= 0 && !connect(fd, (struct sockaddr *)&a, sizeof a)
			? 0
			: errno;
	if (fd >= 0)
		close(fd);
	if (error == ECONNREFUSED || error == ENOENT)
		return true;
	/* It listens, though its backlog may be full; or who could tell? */
	say("unix:%s: %s", path,
	    error && error != EAGAIN ? strerror(error)
				     : "a server listens there already");
	return false;
}

static int listen_unix(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int n = snprintf(a.sun_path, sizeof a.sun_path, "%s.%ld", path,
			 (long)getpid());

	if (n < 0 || (size_t)n >= sizeof a.sun_path) {
		say("unix:%s: the path is too long", path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	if (!may_take(path)) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	/* Named only when it accepts: who finds the path can connect. */
	unlink(a.sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) ||
	    listen(fd, BACKLOG) || rename(a.sun_path, path)) {
		say("unix:%s: %s", path, strerror(errno));
		unlink(a.sun_path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static bool is_loopback(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)a)
				     ->sin_addr.s_addr) >>
			       24 ==
		       127;
	return a->sa_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(
		       &((const struct sockaddr_in6 *)(const void *)a)
				->sin6_addr);
}

/* Where the kernel chose the port, say which. */
static void name_port(struct settings *s, int fd)
{
	static char chosen[300];
	struct sockaddr_storage a;
	socklen_t n = sizeof a;
	const char *colon = strrchr(s->listen, ':');
	unsigned port;

	if (getsockname(fd, (struct sockaddr *)&a, &n))
		return;
	port = a.ss_family == AF_INET6
		       ? ((const struct sockaddr_in6 *)(const void *)&a)
				 ->sin6_port
		       : ((const struct sockaddr_in *)(const void *)&a)
				 ->sin_port;
	snprintf(chosen, sizeof chosen, "%.*s:%u", (int)(colon - s->listen),
		 s->listen, ntohs((uint16_t)port));
	s->listen = chosen;
}

static int listen_tcp(struct settings *s)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC,
				 .ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *list, *a;
	char host[256];
	const char *colon = strrchr(s->listen, ':'), *name = host;
	size_t n = colon ? (size_t)(colon - s->listen) : 0;
	int fd = -1, error, one = 1;

	if (!colon || n >= sizeof host) {
		say("--listen wants HOST:PORT or unix:PATH, not \"%s\"",
		    s->listen);
		return -1;
	}
	memcpy(host, s->listen, n);
	host[n] = '\0';
	if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
		host[n - 1] = '\0';
		name++;
	}
	error = getaddrinfo(*name ? name : NULL, colon + 1, &hints, &list);
	if (error) {
		say("%s: %s", s->listen, gai_strerror(error));
		return -1;
	}
	for (a = list; a && fd < 0; a = a->ai_next) {
		s->loopback = is_loopback(a->ai_addr);
		fd = socket(a->ai_family,
			    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		if (bind(fd, a->ai_addr, a->ai_addrlen) ||
		    listen(fd, BACKLOG)) {
			error = errno;
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	if (fd < 0)
		say("%s: %s", s->listen, strerror(error));
	else if (!strcmp(colon, ":0"))
		name_port(s, fd);
	return fd;
}

int listen_open(struct settings *s)
{
	int fd;

	if (!strncmp(s->listen, "unix:", 5)) {
		s->loopback = true;
		return listen_unix(s->listen + 5);
	}
	fd = listen_tcp(s);
	if (fd >= 0 && !s->loopback && !s->token[0]) {
		say("%s is not a loopback address: changes need "
		    "--admin-token-file there",
		    s->listen);
		close(fd);
		return -1;
	}
	return fd;
}

void listen_remove(const struct settings *s)
{
	if (!strncmp(s->listen, "unix:", 5))
		unlink(s->listen + 5);
}
