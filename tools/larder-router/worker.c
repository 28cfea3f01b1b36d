/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: one thread, one epoll loop around the HTTP library. A question that
 * somebody else is computing suspends its connection; the loop goes on, and
 * looks again when the cache's descriptor says so or a few milliseconds passed.
 */
#include <errno.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "api.h"

enum {
	WAIT_MS = 100,
	LOOK_MS = 4,
	LAST_RUNS = 8,
	WARM_AT_ONCE = 1,
	HEADER_ROOM = 65536,
	WARM_SAY_MS = 1000,
	HOT_SAVE_MS = 5000
};

struct worker {
	struct api api;
	struct larder *cache;
	unsigned number;
	bool warming;
	uint64_t said_ms, saved_ms; /* of warming; of what is asked most */
	struct MHD_Daemon *daemon;
	struct heartbeat *beat;
	struct exchange *waiting; /* suspended, a list */
	struct client *clients;	  /* all, a list: for the deadline */
	unsigned n_open;
};

/* One connection, which either owes us a request or is owed its answer. */
struct client {
	struct MHD_Connection *connection;
	struct client *next, **link;
	uint64_t since_ms; /* of its beginning, of the last answer, or of the
			    * first line behind one */
	bool owed;	   /* an answer is on its way */
	bool had_one;	   /* it has been answered before */
};

/* One HTTP request on its way. */
struct exchange {
	struct worker *w;
	struct MHD_Connection *connection;
	struct exchange *next_waiting;
	struct router_work *work; /* while suspended */
	struct api_response response;
	bool answered, suspended, too_large, ambiguous;
	char *body;
	size_t n_body, room;
	uint64_t complete_ns;
};

static atomic_bool stop; /* set by the signal handler; lock-free */

static void on_stop(int signal)
{
	(void)signal;
	stop = 1;
}

static struct client *client_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

/* From its answer to its end a request is not waited for. */
static void owe(struct MHD_Connection *connection, bool owed)
{
	struct client *c = client_of(connection);

	if (c) {
		c->owed = owed;
		c->had_one = true;
		c->since_ms = clock_ms();
	}
}

/* The first line of a request. What a connection that was kept has idled is not
 * the request's; what a new one has, is, for its line may have trickled. */
static void *on_line(void *context, const char *line,
		     struct MHD_Connection *connection)
{
	struct client *c = client_of(connection);

	(void)context;
	(void)line;
	if (c && c->had_one)
		c->since_ms = clock_ms();
	return NULL; /* there is no exchange yet */
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Of the one router of this process: the HTTP library says only which body is
 * done with. */
static struct router *owner_of_bodies;

static void body_is_sent(void *body)
{
	router_body_free(owner_of_bodies, body);
}

static enum MHD_Result send_response(struct exchange *x)
{
	struct api_response *a = &x->response;
	struct MHD_Response *r =
		a->is_answer
			? MHD_create_response_from_buffer_with_free_callback_cls(
				  a->n_body, a->body, body_is_sent, a->body)
			: MHD_create_response_from_buffer(
				  a->n_body, a->body, MHD_RESPMEM_MUST_FREE);
	enum MHD_Result result;

	if (!r) {
		free(a->body);
		return MHD_NO;
	}
	a->body = NULL;
	if (a->type && a->n_body)
		MHD_add_response_header(r, "Content-Type", a->type);
	if (a->etag[0])
		MHD_add_response_header(r, "ETag", a->etag);
	if (a->larder)
		MHD_add_response_header(r, "X-Larder", a->larder);
	if (a->stored_by)
		MHD_add_response_header(r, "X-Larder-Stored-By", a->stored_by);
	if (a->allow)
		MHD_add_response_header(r, "Allow", a->allow);
	if (a->status == 401)
		MHD_add_response_header(r, "WWW-Authenticate", "Bearer");
	if (x->too_large || x->ambiguous || stop)
		MHD_add_response_header(r, "Connection", "close");
	owe(x->connection, true);
	result = MHD_queue_response(x->connection, (unsigned)a->status, r);
	MHD_destroy_response(r);
	return result;
}

static enum MHD_Result count_length(void *context, enum MHD_ValueKind kind,
				    const char *name, const char *value)
{
	unsigned *n = context;

	(void)kind;
	(void)value;
	*n += !strcasecmp(name, "Content-Length") ||
	      !strcasecmp(name, "Transfer-Encoding");
	return MHD_YES;
}

/* Two lengths, be they the same, or a length beside chunks: who stands before
 * us may have believed the other one, and what is a body to one of us is the
 * next request to the other. */
static bool has_two_lengths(struct MHD_Connection *connection)
{
	unsigned n = 0;

	MHD_get_connection_values(connection, MHD_HEADER_KIND, count_length,
				  &n);
	return n > 1;
}

static struct exchange *exchange_new(struct worker *w,
				     struct MHD_Connection *connection)
{
	struct exchange *x = calloc(1, sizeof *x);

	if (!x)
		return NULL;
	x->w = w;
	x->connection = connection;
	x->ambiguous = has_two_lengths(connection);
	w->n_open++;
	return x;
}

/* What the client says it will send; 0: it does not say. */
static size_t stated_length(struct exchange *x)
{
	const char *length = MHD_lookup_connection_value(
		x->connection, MHD_HEADER_KIND, "Content-Length");
	unsigned long long n = length ? strtoull(length, NULL, 10) : 0;

	return n <= x->w->api.settings->max_body ? (size_t)n : 0;
}

/* Part of a body; what is refused anyway is read on and forgotten. */
static void take_body(struct exchange *x, const char *data, size_t n)
{
	if (x->ambiguous)
		return;
	if (x->too_large || x->n_body + n > x->w->api.settings->max_body) {
		x->too_large = true;
		return;
	}
	if (x->n_body + n + 1 > x->room) {
		size_t room = x->room ? x->room * 2 : stated_length(x) + 1;
		char *body;

		while (room < x->n_body + n + 1)
			room *= 2;
		body = realloc(x->body, room);
		if (!body) {
			x->too_large = true;
			return;
		}
		x->body = body;
		x->room = room;
	}
	memcpy(x->body + x->n_body, data, n);
	x->n_body += n;
	x->body[x->n_body] = '\0';
}

/* All of the request is there. */
static void answer(struct exchange *x, const char *method, const char *path,
		   const char *body, size_t n_body)
{
	struct api_request q = {
		.method = method,
		.path = path,
		.if_match = MHD_lookup_connection_value(
			x->connection, MHD_HEADER_KIND, "If-Match"),
		.authorization = MHD_lookup_connection_value(
			x->connection, MHD_HEADER_KIND, "Authorization"),
		.body = body,
		.n_body = n_body,
	};

	q.began_ns = x->complete_ns = now_ns();
	if (x->ambiguous)
		api_problem(&x->response, 400, "Bad Request",
			    "the request gives more than one length", NULL);
	else if (x->too_large)
		api_problem(&x->response, 413, "Content Too Large",
			    "the body is larger than this server takes", NULL);
	else if (api_handle(&x->w->api, &q, &x->response, &x->work) ==
		 LARDER_WAIT)
		x->suspended = true;
	x->answered = true;
}

static enum MHD_Result on_request(void *context,
				  struct MHD_Connection *connection,
				  const char *path, const char *method,
				  const char *version, const char *data,
				  size_t *n_data, void **state)
{
	struct exchange *x = *state;

	(void)version;
	if (!x) {
		x = *state = exchange_new(context, connection);
		return x ? MHD_YES : MHD_NO;
	}
	if (*n_data) {
		/* A body that is there at once is not copied: the response has
		 * to wait for the next call, but the answer has not. */
		if (!x->n_body && !x->ambiguous && *n_data == stated_length(x))
			answer(x, method, path, data, *n_data);
		else
			take_body(x, data, *n_data);
		*n_data = 0;
		return MHD_YES;
	}
	if (!x->answered)
		answer(x, method, path, x->body, x->n_body);
	if (!x->suspended)
		return send_response(x);
	x->next_waiting = x->w->waiting;
	x->w->waiting = x;
	MHD_suspend_connection(x->connection);
	return MHD_YES;
}

static void on_end(void *context, struct MHD_Connection *connection,
		   void **state, enum MHD_RequestTerminationCode why)
{
	struct exchange *x = *state, **at;

	(void)context;
	(void)why;
	if (!x)
		return;
	for (at = &x->w->waiting; *at && *at != x; at = &(*at)->next_waiting)
		;
	if (*at)
		*at = x->next_waiting;
	if (x->work)
		router_answer_cancel(x->w->api.router, x->work);
	x->w->n_open--;
	owe(connection, false);
	free(x->response.body);
	free(x->body);
	free(x);
	*state = NULL;
}

/* Suspended questions whose answer may be there. */
static void look_at_waiting(struct worker *w)
{
	struct exchange **at = &w->waiting;

	while (*at) {
		struct exchange *x = *at;

		if (api_poll(&w->api, x->work, x->complete_ns, &x->response) ==
		    LARDER_WAIT) {
			at = &x->next_waiting;
			continue;
		}
		*at = x->next_waiting;
		x->next_waiting = NULL;
		x->work = NULL;
		x->suspended = false;
		MHD_resume_connection(x->connection);
	}
}

/* At the end: who still waits for another's answer is told so. The HTTP library
 * ends the process where a connection is suspended when it stops. */
static void give_up_waiting(struct worker *w)
{
	while (w->waiting) {
		struct exchange *x = w->waiting;

		w->waiting = x->next_waiting;
		x->next_waiting = NULL;
		router_answer_cancel(w->api.router, x->work);
		x->work = NULL;
		x->suspended = false;
		api_problem(&x->response, 503, "Service Unavailable",
			    "this server ends", NULL);
		MHD_resume_connection(x->connection);
	}
	for (int i = 0; i < LAST_RUNS && w->n_open; i++)
		MHD_run(w->daemon);
}

/* A deadline for the whole request, its head included: one that trickles in is
 * cut off, however regularly it trickles. */
static void cut_off_the_slow(struct worker *w, uint64_t now)
{
	for (struct client *c = w->clients; c; c = c->next) {
		const union MHD_ConnectionInfo *info;

		if (c->owed || now < c->since_ms + w->api.settings->deadline_ms)
			continue;
		info = MHD_get_connection_info(
			c->connection,
			MHD_CONNECTION_INFO_CONNECTION_SUSPENDED);
		if (info && info->suspended)
			continue;
		info = MHD_get_connection_info(
			c->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		if (info)
			shutdown(info->connect_fd, SHUT_RDWR);
	}
}

static int digit(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* Percent escapes of an address, in place. One of NUL stays what it is: it
 * must not make another, shorter address. */
static size_t unescape(void *context, struct MHD_Connection *connection,
		       char *text)
{
	char *to = text;

	(void)context;
	(void)connection;
	for (const char *at = text; *at; at++) {
		int high = *at == '%' ? digit(at[1]) : -1;
		int low = high >= 0 ? digit(at[2]) : -1;

		if (low >= 0 && (high || low)) {
			*to++ = (char)(high << 4 | low);
			at += 2;
		} else {
			*to++ = *at;
		}
	}
	*to = '\0';
	return (size_t)(to - text);
}

/* Noticed at its first byte, not at the end of its first head. */
static void on_connection(void *context, struct MHD_Connection *connection,
			  void **state,
			  enum MHD_ConnectionNotificationCode what)
{
	struct worker *w = context;
	struct client *c = *state;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		c = *state = calloc(1, sizeof *c);
		if (!c)
			return; /* it has the library's patience, then */
		c->connection = connection;
		c->since_ms = clock_ms();
		c->next = w->clients;
		c->link = &w->clients;
		if (c->next)
			c->next->link = &c->next;
		w->clients = c;
	} else if (c) {
		*c->link = c->next;
		if (c->next)
			c->next->link = c->link;
		free(c);
		*state = NULL;
	}
}

static struct MHD_Daemon *start(struct worker *w, int listener)
{
	const struct settings *s = w->api.settings;

	return MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO, 0,
		NULL, NULL, on_request, w, MHD_OPTION_LISTEN_SOCKET, listener,
		MHD_OPTION_CONNECTION_LIMIT, s->max_connections,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_ROOM,
		MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)(s->deadline_ms / 1000 + 1),
		MHD_OPTION_URI_LOG_CALLBACK, on_line, NULL,
		MHD_OPTION_NOTIFY_COMPLETED, on_end, w,
		MHD_OPTION_UNESCAPE_CALLBACK, unescape, NULL,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, w, MHD_OPTION_END);
}

static int add_to(int epoll, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

/* What the last run was asked most, and what the file says. */
static void begin_warming(struct worker *w)
{
	const struct settings *s = w->api.settings;
	int n = 0;

	if (s->warm_hottest)
		n = router_warm_hottest(w->api.router, s->warm_hottest);
	if (n < 0)
		say("--warm-hottest: %s", larder_strerror(n));
	else if (s->warm_hottest)
		say("warming: %d requests of the last run", n);
	n = s->warm ? router_warm_file(w->api.router, s->warm) : 0;
	if (n)
		say("--warm %s: %s", s->warm, strerror(-n));
}

/* Between requests: what was served stale, what is to be warmed, what is asked
 * most. True: there is more to do at once. */
static bool keep_house(struct worker *w, uint64_t now)
{
	struct router *r = w->api.router;
	bool stale = router_refresh_some(r, 1);
	bool warming = w->warming || router_warm_some(r, 0);
	unsigned left = router_warm_some(r, WARM_AT_ONCE);

	if (left && now >= w->said_ms + WARM_SAY_MS) {
		say("warming: %u requests left", left);
		w->said_ms = now;
	} else if (!left && warming) {
		say("warming: done");
	}
	w->warming = left > 0;
	if (now >= w->saved_ms + HOT_SAVE_MS) {
		router_hot_save(r, w->number);
		w->saved_ms = now;
	}
	return stale || left;
}

/* Until we are told to stop, and what was sent before is answered. It may lie
 * unread in its socket then, so the last pass is a whole one. */
static void loop(struct worker *w, int epoll, pid_t master)
{
	uint64_t stop_at = 0, now = clock_ms(), looked_ms = 0;
	bool quiesced = false, looked_again = false;

	while (!looked_again || (w->n_open && now < stop_at)) {
		struct epoll_event events[4];
		MHD_UNSIGNED_LONG_LONG timeout;
		bool busy = keep_house(w, now);
		int wait = busy ? 0 : WAIT_MS;

		if (MHD_get_timeout(w->daemon, &timeout) == MHD_YES &&
		    timeout < (unsigned)wait)
			wait = (int)timeout;
		if (w->waiting && wait > LOOK_MS)
			wait = LOOK_MS;
		if (quiesced && !w->n_open)
			wait = 0;
		epoll_wait(epoll, events, 4, wait);
		now = clock_ms();
		if (now != atomic_load(&w->beat->beat_ms))
			atomic_store(&w->beat->beat_ms, now);
		if (w->waiting)
			look_at_waiting(w);
		MHD_run(w->daemon);
		if (now >= looked_ms + WAIT_MS) {
			looked_ms = now;
			cut_off_the_slow(w, now);
			if (getppid() != master)
				stop = 1; /* nobody is left to replace us */
		}
		looked_again = quiesced;
		if (stop && !quiesced) {
			MHD_quiesce_daemon(w->daemon);
			quiesced = true;
			stop_at = now + 4000;
		}
	}
}

int worker_run(const struct settings *s, int listener, unsigned number,
	       pid_t master, bool warm)
{
	const struct router_options options = {.size_of = sizeof options,
					       .ttl_ms = s->ttl_ms,
					       .soft_ttl_ms = s->soft_ttl_ms,
					       .feedback_weight =
						       s->feedback_weight,
					       .weights = &s->weights,
					       .never_cache = s->no_cache,
					       .bypass_cells = s->bypass_cells};
	/* Requests should not pay for what a start can. */
	const struct larder_open_options open_options = {
		.size_of = sizeof open_options, .flags = LARDER_OPEN_POPULATE};
	struct worker w = {.api = {.settings = s}};
	struct larder_region region;
	const union MHD_DaemonInfo *info;
	struct sigaction action = {.sa_handler = on_stop};
	int error, epoll, fill_fd;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGHUP, SIG_IGN); /* the master reads the catalog for all */
	signal(SIGPIPE, SIG_IGN);
	if (getppid() != master)
		return 0;
	error = larder_open(s->segment, &open_options, &w.cache);
	if (!error)
		error = router_open(w.cache, &options, &w.api.router);
	if (!error)
		error = larder_region(w.cache, "router/workers",
				      WORKERS_MAX * sizeof *w.beat, 0, &region);
	if (error) {
		say("%s: %s", s->segment, larder_strerror(error));
		return 1;
	}
	w.beat = (struct heartbeat *)region.common + number;
	atomic_store(&w.beat->pid, (uint64_t)getpid());
	atomic_store(&w.beat->beat_ms, clock_ms());
	w.daemon = start(&w, listener);
	info = w.daemon
		       ? MHD_get_daemon_info(w.daemon, MHD_DAEMON_INFO_EPOLL_FD)
		       : NULL;
	epoll = epoll_create1(EPOLL_CLOEXEC);
	fill_fd = larder_fill_fd(w.cache);
	if (!info || epoll < 0 || add_to(epoll, info->epoll_fd) ||
	    (fill_fd >= 0 && add_to(epoll, fill_fd))) {
		say("the HTTP library does not start: %s", strerror(errno));
		return 1;
	}
	w.number = number;
	owner_of_bodies = w.api.router;
	if (warm)
		begin_warming(&w);
	loop(&w, epoll, master);
	give_up_waiting(&w);
	router_hot_save(w.api.router, number);
	MHD_stop_daemon(w.daemon);
	router_close(w.api.router);
	larder_close(w.cache);
	return 0;
}
