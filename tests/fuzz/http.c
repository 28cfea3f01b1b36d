/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes sent to a worker of the router, which runs in a thread of this process
 * as it does in its own: what arrives is an answer in HTTP or nothing, the
 * worker never says that it failed itself, and serves on.
 *
 * The first byte of the input says in pieces of what size the rest is sent, and
 * whether its answer is waited for. A zero byte begins another connection while
 * the ones before are still open.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fuzz/rounds.h"
#include "server.h"

enum {
	BYTES = 16 << 20,
	CONNECTIONS = 4,
	HEALTH_EVERY = 16,
	HEALTH_TRIES = 1000,
	SILENCE_MS = 20,
	LONG_MS = 30000,
};

static struct settings settings = {
	.listen = "unix:here",
	.n_workers = 1,
	.max_body = 100000,
	.max_connections = 64,
	.deadline_ms = 30000,
};
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static socklen_t n_address;
static int listener;
static pthread_t thread;

/* What main.c of the router gives the worker. */
void say(const char *format, ...)
{
	(void)format;
}

uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void *serve(void *unused)
{
	(void)unused;
	promise(worker_run(&settings, listener, 0, getppid(), false) == 0,
		"the worker ends well");
	return NULL;
}

/* A worker ends at this signal: with it all that it holds. */
static void end(void)
{
	raise(SIGTERM);
	pthread_join(thread, NULL);
}

static void begin(void)
{
	const struct larder_create_options o = {.size_of = sizeof o,
						.bytes = BYTES};
	static char segment[32];
	int fd;

	promise(larder_create_fd(&o, &fd) == 0, "create a segment");
	snprintf(segment, sizeof segment, "/proc/self/fd/%d", fd);
	settings.segment = segment;
	/* An abstract name: nothing is left behind. */
	n_address = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				(size_t)snprintf(address.sun_path + 1, 64,
						 "larder-fuzz-%ld",
						 (long)getpid()));
	listener =
		socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	promise(listener >= 0 &&
			bind(listener, (struct sockaddr *)&address,
			     n_address) == 0 &&
			listen(listener, 64) == 0,
		"listen");
	promise(pthread_create(&thread, NULL, serve, NULL) == 0, "a thread");
	atexit(end);
}

static int dial(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	promise(fd >= 0 && connect(fd, (struct sockaddr *)&address,
				   n_address) == 0,
		"the worker accepts");
	return fd;
}

/* What comes until the other side is done, or has been silent for a while: the
 * library may miss the end of a request that is cut off, and then waits for the
 * rest until its time is over. */
static size_t receive(int fd, char *to, size_t room, int silence_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t n = 0;
	ssize_t got;

	while (n < room && poll(&p, 1, silence_ms) == 1 &&
	       (got = recv(fd, to + n, room - n, MSG_DONTWAIT)) > 0)
		n += (size_t)got;
	return n;
}

/* The answer to one connection's bytes, or to the first of its requests. */
static void check_answer(const char *answer, size_t n)
{
	int status;

	if (!n)
		return;
	promise(n > 12 && !memcmp(answer, "HTTP/1.", 7), "it speaks HTTP");
	status = (answer[9] - '0') * 100 + (answer[10] - '0') * 10 +
		 answer[11] - '0';
	promise(status >= 100 && status < 600 && status != 500,
		"a status that is no failure of its own");
	promise(memmem(answer, n, "\r\n\r\n", 4) != NULL, "its head ends");
}

/* Send, but do not wait for one who reads no more: it reads what it answers. */
static void transmit(int fd, const uint8_t *bytes, size_t n, size_t piece)
{
	static char drain[1 << 16];

	while (n) {
		size_t now = piece && piece < n ? piece : n;
		ssize_t sent =
			send(fd, bytes, now, MSG_NOSIGNAL | MSG_DONTWAIT);
		struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};

		if (sent > 0) {
			bytes += sent;
			n -= (size_t)sent;
			continue;
		}
		if (sent < 0 && errno != EAGAIN)
			return; /* it hung up */
		poll(&p, 1, 1000);
		receive(fd, drain, sizeof drain, 0);
	}
}

static void check_health(void)
{
	static const char ask[] = "GET /healthz HTTP/1.1\r\nHost: a\r\n"
				  "Connection: close\r\n\r\n";
	const struct timespec nap = {.tv_nsec = 10000000};
	char answer[1024];
	size_t n = 0;

	/* It may still have as many connections as it takes, of those that we
	 * left: then it hangs up. */
	for (int tries = 0; !n && tries < HEALTH_TRIES; tries++) {
		int fd = dial();

		if (tries)
			nanosleep(&nap, NULL);
		transmit(fd, (const uint8_t *)ask, sizeof ask - 1, 0);
		n = receive(fd, answer, sizeof answer, LONG_MS);
		close(fd);
	}
	promise(n > 12 && !memcmp(answer + 9, "200", 3), "the worker lives");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static char answer[1 << 20];
	static unsigned inputs;
	int fd[CONNECTIONS], n_fd = 0;
	size_t piece;
	uint8_t how;

	if (!inputs++)
		begin();
	if (!n)
		return 0;
	how = *data++;
	n--;
	piece = how & 3 ? 1u + (how >> 4) * (how & 2 ? 64u : 3u) : 0;
	while (n_fd < CONNECTIONS && n) {
		const uint8_t *stop = memchr(data, 0, n);
		size_t part = stop && n_fd + 1 < CONNECTIONS
				      ? (size_t)(stop - data)
				      : n;

		fd[n_fd] = dial();
		transmit(fd[n_fd++], data, part, piece);
		data += part;
		n -= part;
		if (n) {
			data++;
			n--;
		}
	}
	for (int i = 0; i < n_fd; i++) {
		if (!(how & 4)) { /* else it goes away at once */
			shutdown(fd[i], SHUT_WR);
			check_answer(answer,
				     receive(fd[i], answer, sizeof answer,
					     SILENCE_MS));
		}
		close(fd[i]);
	}
	if (inputs % HEALTH_EVERY == 0)
		check_health();
	return 0;
}
