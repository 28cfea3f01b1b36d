/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load: non-blocking connections under one epoll.
 *
 * A connection is closed after some requests and opened anew, as clients do
 * that come and go: so the kernel spreads them over the workers that share the
 * listening socket.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

enum {
	REQUESTS_PER_CONNECTION = 64,
	STALLED_MS = 30000,
	HEAD_ROOM = 256,
};

const char *const answer_names[N_ANSWERS] = {"hit", "miss", "stale",
					     "coalesced", "bypass"};

struct connection {
	int fd; /* -1: closed */
	bool busy;
	uint32_t n_sent;   /* requests since it was opened */
	struct body *body; /* asked on it now */
	uint64_t from_ns;  /* what its latency counts from */
	char head[HEAD_ROOM];
	uint32_t n_head;
	uint32_t n_written; /* of head and body together */
	char *in;	    /* owned, one byte more than in_room */
	uint32_t n_in;
	uint32_t in_room;
};

struct load {
	const struct target *target;
	struct workload *w;
	struct load_result *r;
	struct connection *connections;
	uint32_t n_connections;
	uint32_t next; /* of w->order */
	uint32_t end;
	uint32_t n_done;
	uint64_t start_ns;
	int epoll;
};

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

int target_parse(struct target *t, const char *text)
{
	const char *colon = strrchr(text, ':');
	struct addrinfo hint = {.ai_socktype = SOCK_STREAM}, *found;
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	char host[256];

	t->name = text;
	if (strncmp(text, "unix:", 5) == 0) {
		if (strlen(text + 5) >= sizeof(local.sun_path))
			return -1;
		memcpy(local.sun_path, text + 5, strlen(text + 5) + 1);
		memcpy(&t->address, &local, sizeof(local));
		t->n_address = sizeof(local);
		return 0;
	}
	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		return -1;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = 0;
	if (getaddrinfo(host, colon + 1, &hint, &found) != 0)
		return -1;
	memcpy(&t->address, found->ai_addr, found->ai_addrlen);
	t->n_address = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

void samples_sort(struct samples *s)
{
	if (s->n)
		qsort(s->ns, s->n, sizeof(*s->ns), compare_u64);
}

uint64_t samples_quantile(const struct samples *s, double share)
{
	uint32_t i = (uint32_t)(share * s->n);

	return s->n == 0 ? 0 : s->ns[i >= s->n ? s->n - 1 : i];
}

static bool samples_add(struct samples *s, uint64_t ns)
{
	if (s->n == s->room) {
		uint32_t room = s->room ? s->room * 2 : 1024;
		uint64_t *grown = realloc(s->ns, room * sizeof(*grown));

		if (grown == NULL)
			return false;
		s->ns = grown;
		s->room = room;
	}
	s->ns[s->n++] = ns;
	return true;
}

void samples_merge(struct samples *into, const struct samples *from)
{
	for (uint32_t i = 0; i < from->n; i++)
		if (!samples_add(into, from->ns[i]))
			return;
}

void load_result_free(struct load_result *r)
{
	for (int i = 0; i < N_ANSWERS; i++)
		free(r->latency[i].ns);
	*r = (struct load_result){0};
}

static void fail(struct load *l, const char *what, const char *detail)
{
	l->r->n_failed++;
	if (l->r->failure[0] == 0)
		snprintf(l->r->failure, sizeof(l->r->failure), "%s: %s%s%s",
			 l->target->name, what, *detail ? ": " : "", detail);
}

static void disconnect(struct connection *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->n_sent = 0;
}

/* Local connects may find the backlog full for a moment; they are retried. */
static int connect_to(struct load *l, struct connection *c)
{
	struct epoll_event event = {.data.ptr = c};

	c->fd = socket(l->target->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC,
		       0);
	if (c->fd < 0)
		return -1;
	while (connect(c->fd, (const struct sockaddr *)&l->target->address,
		       l->target->n_address) != 0) {
		if (errno != EINTR && errno != EAGAIN) {
			int error = errno;

			disconnect(c);
			errno = error;
			return -1;
		}
	}
	event.events = EPOLLIN;
	return epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event);
}

/* Write what is left of the request; wait for room if the socket is full. */
static int write_request(struct load *l, struct connection *c)
{
	uint32_t n_all = c->n_head + c->body->n_text;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

	while (c->n_written < n_all) {
		struct msghdr message = {0};
		struct iovec parts[2];
		ssize_t n;
		int i = 0;

		if (c->n_written < c->n_head) {
			parts[i].iov_base = c->head + c->n_written;
			parts[i++].iov_len = c->n_head - c->n_written;
			parts[i].iov_base = c->body->text;
			parts[i++].iov_len = c->body->n_text;
		} else {
			uint32_t at = c->n_written - c->n_head;

			parts[i].iov_base = c->body->text + at;
			parts[i++].iov_len = c->body->n_text - at;
		}
		message.msg_iov = parts;
		message.msg_iovlen = (size_t)i;
		n = sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			event.events |= EPOLLOUT;
			break;
		}
		if (n < 0)
			return -1;
		c->n_written += (uint32_t)n;
	}
	return epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &event);
}

/* Begin the next request on an idle connection. -1: the server is not there. */
static int begin(struct load *l, struct connection *c)
{
	uint32_t i = l->next++;
	uint64_t due;

	c->body = &l->w->bodies[l->w->order[i]];
	c->from_ns = now_ns();
	if (l->w->due_ns != NULL) {
		due = l->start_ns + l->w->due_ns[i];
		if (c->from_ns > due + 1000000)
			l->r->n_late++;
		c->from_ns = due;
	}
	c->n_head = (uint32_t)snprintf(
		c->head, sizeof(c->head),
		"POST /api/v1/model-router/auto-assign-all HTTP/1.1\r\n"
		"Host: localhost\r\nContent-Type: application/json\r\n"
		"Content-Length: %u\r\n\r\n",
		c->body->n_text);
	c->n_written = 0;
	c->n_in = 0;
	c->busy = true;
	if (c->fd >= 0 && c->n_sent >= REQUESTS_PER_CONNECTION)
		disconnect(c);
	/* A server may close an idle connection at any time: once more. */
	for (int attempt = 0; attempt < 2; attempt++) {
		if (c->fd < 0 && connect_to(l, c) != 0)
			return -1;
		if (write_request(l, c) == 0) {
			c->n_sent++;
			return 0;
		}
		disconnect(c);
		c->n_written = 0;
	}
	return -1;
}

/* The value of a header, or NULL. The head is terminated and ends in \r\n. */
static const char *header(const char *head, const char *name)
{
	size_t n = strlen(name);

	for (const char *line = strstr(head, "\r\n"); line != NULL;
	     line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
			line += n + 1;
			while (*line == ' ')
				line++;
			return line;
		}
	}
	return NULL;
}

static bool begins_with(const char *text, const char *word)
{
	return text != NULL && strncasecmp(text, word, strlen(word)) == 0;
}

/* Two answers to one question have one total, whoever gave them. */
static void compare_score(struct load *l, struct body *b, const char *answer)
{
	const char *at = strstr(answer, "\"total_score\":");
	size_t n;

	if (at == NULL) {
		fail(l, "an answer without total_score", "");
		return;
	}
	at += strlen("\"total_score\":");
	at += strspn(at, " ");
	n = strcspn(at, ",}");
	if (n >= sizeof(b->score))
		n = sizeof(b->score) - 1;
	if (b->score[0] == 0) {
		memcpy(b->score, at, n);
		b->score[n] = 0;
	} else if (strlen(b->score) != n || memcmp(b->score, at, n) != 0) {
		l->r->n_different++;
	}
}

static void finish(struct load *l, struct connection *c, const char *answer)
{
	const char *kind = header(c->in, "X-Larder");
	const char *by = header(c->in, "X-Larder-Stored-By");
	uint64_t took = now_ns() - c->from_ns;
	int i;

	if (strncmp(c->in, "HTTP/1.1 200", 12) != 0) {
		c->in[strcspn(c->in, "\r\n")] = 0;
		fail(l, "an answer", c->in);
		return;
	}
	for (i = 0; i < N_ANSWERS; i++)
		if (begins_with(kind, answer_names[i]))
			break;
	if (i == N_ANSWERS) {
		fail(l, "an answer with an unknown X-Larder header", "");
		return;
	}
	if (i == ANSWER_HIT && begins_with(by, "another"))
		l->r->n_cross_worker++;
	compare_score(l, c->body, answer);
	if (!samples_add(&l->r->latency[i], took))
		fail(l, "out of memory", "");
}

/* True if the whole answer is there; *keep: the connection may go on. */
static bool whole(struct connection *c, const char **answer, bool *keep)
{
	char *end;
	const char *length;
	uint64_t n;

	c->in[c->n_in] = 0;
	end = strstr(c->in, "\r\n\r\n");
	if (end == NULL)
		return false;
	end[2] = 0; /* the head ends here for header() */
	length = header(c->in, "Content-Length");
	n = length ? strtoull(length, NULL, 10) : 0;
	*keep = !begins_with(header(c->in, "Connection"), "close");
	*answer = end + 4;
	if (c->n_in < (uint64_t)(*answer - c->in) + n) {
		end[2] = '\r';
		return false;
	}
	return true;
}

/* Read what there is. -1: the connection ended before the answer did. */
static int receive(struct load *l, struct connection *c)
{
	for (;;) {
		const char *answer;
		bool keep;
		ssize_t n;

		if (c->in_room - c->n_in < 4096) {
			uint32_t room = c->in_room ? c->in_room * 2 : 65536;
			char *grown = realloc(c->in, room + 1);

			if (grown == NULL)
				return -1;
			c->in = grown;
			c->in_room = room;
		}
		n = recv(c->fd, c->in + c->n_in, c->in_room - c->n_in,
			 MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			return -1;
		c->n_in += (uint32_t)n;
		if (!whole(c, &answer, &keep))
			continue;
		finish(l, c, answer);
		c->busy = false;
		l->n_done++;
		l->r->n_requests++;
		if (!keep)
			disconnect(c);
		return 0;
	}
}

/* Milliseconds until the next request is due; STALLED_MS if none waits. */
static int until_due(const struct load *l)
{
	uint64_t due, now;

	if (l->w->due_ns == NULL || l->next == l->end)
		return STALLED_MS;
	due = l->start_ns + l->w->due_ns[l->next];
	now = now_ns();
	return due <= now ? 0 : (int)((due - now) / 1000000 + 1);
}

static bool is_due(const struct load *l)
{
	return l->w->due_ns == NULL ||
	       l->start_ns + l->w->due_ns[l->next] <= now_ns();
}

static void handle(struct load *l, struct connection *c, uint32_t events)
{
	int result = 0;

	if (events & EPOLLOUT)
		result = write_request(l, c);
	if (result == 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		if (!c->busy) {
			disconnect(c); /* closed while idle */
			return;
		}
		result = receive(l, c);
	}
	if (result != 0) {
		fail(l, "a connection ended before its answer", "");
		disconnect(c);
		c->busy = false;
		l->n_done++;
	}
}

static int run(struct load *l, uint32_t n, load_progress *progress,
	       void *context)
{
	struct epoll_event events[64];
	uint32_t first = l->next;

	while (l->n_done < n) {
		int n_events, patience;

		for (uint32_t i = 0; i < l->n_connections; i++) {
			struct connection *c = &l->connections[i];

			if (c->busy || l->next == l->end || !is_due(l))
				continue;
			if (begin(l, c) != 0) {
				fail(l, "cannot be reached", strerror(errno));
				return -1;
			}
		}
		patience = l->next - first == l->n_done ? until_due(l)
							: STALLED_MS;
		if (l->w->due_ns != NULL && until_due(l) < patience)
			patience = until_due(l) ? until_due(l) : 1;
		n_events = epoll_wait(l->epoll, events, 64, patience);
		if (n_events < 0 && errno != EINTR)
			return -1;
		if (n_events == 0 && patience == STALLED_MS) {
			fail(l, "no answer for 30 s", "");
			return -1;
		}
		for (int i = 0; i < n_events; i++)
			handle(l, events[i].data.ptr, events[i].events);
		if (progress != NULL)
			progress(context, l->n_done, n);
	}
	return 0;
}

int load_run(const struct target *t, struct workload *w, uint32_t first,
	     uint32_t n, uint32_t n_connections, struct load_result *result,
	     load_progress *progress, void *context)
{
	struct load l = {
		.target = t,
		.w = w,
		.r = result,
		.n_connections = n_connections,
		.next = first,
		.end = first + n,
	};
	int ended = -1;

	l.connections = calloc(n_connections, sizeof(*l.connections));
	l.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l.connections == NULL || l.epoll < 0) {
		fail(&l, "no memory or descriptors for a load", "");
		goto out;
	}
	for (uint32_t i = 0; i < n_connections; i++)
		l.connections[i].fd = -1;
	l.start_ns = now_ns();
	if (w->due_ns != NULL && n > 0)
		l.start_ns -= w->due_ns[first];
	ended = run(&l, n, progress, context);
	result->wall_ns += now_ns() - l.start_ns -
			   (w->due_ns != NULL && n > 0 ? w->due_ns[first] : 0);
out:
	for (uint32_t i = 0; l.connections != NULL && i < n_connections; i++) {
		disconnect(&l.connections[i]);
		free(l.connections[i].in);
	}
	free(l.connections);
	if (l.epoll >= 0)
		close(l.epoll);
	return ended;
}
