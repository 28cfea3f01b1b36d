/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoints: api.h. Errors are problem details (RFC 9457). */
#include "api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BASE "/api/v1/model-router/"

static const char JSON[] = "application/json";

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Bytes of the UTF-8 character there; 0: it is none. */
static unsigned character(const char *at)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char c = (unsigned char)*at;
	unsigned n = c < 0x80	    ? 1
		     : c >> 5 == 6  ? 2
		     : c >> 4 == 14 ? 3
		     : c >> 3 == 30 ? 4
				    : 0;
	uint32_t value = n < 2 ? c : c & (0x7fu >> n);

	for (unsigned i = 1; i < n; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (at[i] & 0x3f);
	}
	if (n > 1 && (value < least[n] || value > 0x10ffff ||
		      (value >= 0xd800 && value < 0xe000)))
		return 0;
	return n;
}

/* Text as the inside of a JSON string. An address may be any bytes, and a text
 * may have been cut off in a character: what is none is replaced. */
static void escape(const char *from, char *to, size_t room)
{
	size_t n = 0;

	while (*from && n + 7 < room) {
		unsigned char c = (unsigned char)*from;
		unsigned length = character(from);

		if (c == '"' || c == '\\')
			to[n++] = '\\';
		if (!length || c < 0x20 || c == 0x7f) {
			n += (size_t)snprintf(to + n, room - n, "\\u%04x",
					      length ? c : 0xfffdu);
			from++;
			continue;
		}
		memcpy(to + n, from, length);
		n += length;
		from += length;
	}
	to[n] = '\0';
}

void api_problem(struct api_response *a, int status, const char *title,
		 const char *detail, const char *pointer)
{
	char d[1024], p[768];
	int n;

	escape(detail ? detail : "", d, sizeof d);
	escape(pointer ? pointer : "", p, sizeof p);
	memset(a, 0, sizeof *a);
	a->status = status;
	a->type = "application/problem+json";
	n = asprintf(&a->body,
		     "{\"type\":\"about:blank\",\"title\":\"%s\","
		     "\"status\":%d,\"detail\":\"%s\"%s%s%s}",
		     title, status, d, pointer ? ",\"pointer\":\"" : "",
		     pointer ? p : "", pointer ? "\"" : "");
	if (n < 0)
		a->body = NULL;
	a->n_body = n < 0 ? 0 : (size_t)n;
}

/* What a failure of the routing library means here. */
static void fail(struct api_response *a, int error,
		 const struct router_error *e)
{
	switch (error) {
	case -EINVAL:
		api_problem(a, e->status ? e->status : 422,
			    e->status == 400 ? "Bad Request"
					     : "Unprocessable Content",
			    e->detail, e->status == 400 ? NULL : e->pointer);
		break;
	case -ENOENT:
		api_problem(a, 404, "Not Found",
			    e->detail[0] ? e->detail : "there is no such item",
			    NULL);
		break;
	case -ESTALE:
		api_problem(a, 412, "Precondition Failed",
			    "If-Match names another version of the item", NULL);
		break;
	case -ENOSPC:
		api_problem(a, 507, "Insufficient Storage",
			    "the catalog does not fit the segment", NULL);
		break;
	default:
		api_problem(a, 500, "Internal Server Error",
			    larder_strerror(error), NULL);
		break;
	}
}

static void respond(struct api_response *a, int status, char *body, size_t n)
{
	a->status = status;
	a->body = body;
	a->n_body = n;
	a->type = JSON;
}

static void answered(struct api *api, const struct router_answer *answer,
		     uint64_t began_ns, struct api_response *a)
{
	respond(a, 200, answer->body, answer->n_body);
	a->is_answer = true;
	a->larder = router_cache_status_name(answer->status);
	if (answer->status == ROUTER_HIT || answer->status == ROUTER_STALE)
		a->stored_by = answer->cross_worker ? "another" : "this";
	router_observe(api->router, answer->strategy, answer->status,
		       now_ns() - began_ns);
}

static int assign(struct api *api, const struct api_request *q,
		  struct api_response *a, struct router_work **work)
{
	struct router_answer answer;
	struct router_error e = {0};
	int error = router_answer_begin(api->router, q->body ? q->body : "",
					q->n_body, &answer, work, &e);

	if (error == LARDER_WAIT)
		return LARDER_WAIT;
	if (error)
		fail(a, error, &e);
	else
		answered(api, &answer, q->began_ns, a);
	return 0;
}

int api_poll(struct api *api, struct router_work *work, uint64_t began_ns,
	     struct api_response *a)
{
	struct router_answer answer;
	struct router_error e = {0};
	int error;

	memset(a, 0, sizeof *a);
	error = router_answer_poll(api->router, work, &answer, &e);
	if (error == LARDER_WAIT)
		return LARDER_WAIT;
	if (error)
		fail(a, error, &e);
	else
		answered(api, &answer, began_ns, a);
	return 0;
}

/* ------------------------------------------------------------------ */

static void not_allowed(struct api_response *a, const char *allow)
{
	api_problem(a, 405, "Method Not Allowed",
		    "this resource does not know the method", NULL);
	a->allow = allow;
}

static void item(struct api *api, const struct api_request *q, const char *kind,
		 const char *id, struct api_response *a)
{
	struct router_error e = {0};
	char *json = NULL;
	size_t n = 0;
	int result;

	if (strlen(id) > ROUTER_ID_MAX) {
		api_problem(a, 404, "Not Found", "no id is that long", NULL);
	} else if (!strcmp(q->method, "GET") || !strcmp(q->method, "HEAD")) {
		result = router_get(api->router, kind, id, &json, &n, a->etag);
		if (result)
			fail(a, result, &e);
		else
			respond(a, 200, json, n);
	} else if (!strcmp(q->method, "PUT")) {
		result = router_put(api->router, kind, id,
				    q->body ? q->body : "", q->n_body,
				    q->if_match, a->etag, &e);
		if (result < 0)
			fail(a, result, &e);
		else
			respond(a, result ? 201 : 200, NULL, 0);
	} else if (!strcmp(q->method, "DELETE")) {
		result = router_delete(api->router, kind, id, q->if_match);
		if (result)
			fail(a, result, &e);
		else
			respond(a, 204, NULL, 0);
	} else {
		not_allowed(a, "GET, PUT, DELETE");
	}
}

static void list(struct api *api, const struct api_request *q, const char *kind,
		 struct api_response *a)
{
	struct router_error e = {0};
	char *json = NULL;
	size_t n = 0;
	int result;

	if (strcmp(q->method, "GET") && strcmp(q->method, "HEAD")) {
		not_allowed(a, "GET");
		return;
	}
	result = router_get(api->router, kind, NULL, &json, &n, a->etag);
	if (result)
		fail(a, result, &e);
	else
		respond(a, 200, json, n);
}

/* A POST or GET that takes a body and gives one. */
enum simple { LOAD, OUTCOMES, INVALIDATE, WARM, STATS, METRICS, HEALTH };

static void simple(struct api *api, const struct api_request *q,
		   enum simple what, struct api_response *a)
{
	struct router *r = api->router;
	struct router_error e = {0};
	const char *body = q->body ? q->body : "";
	char *text = NULL;
	size_t n = 0;
	int error = 0, status = 200;
	bool get = !strcmp(q->method, "GET") || !strcmp(q->method, "HEAD");

	if (what >= STATS
		    ? !get
		    : strcmp(q->method, "POST") && !(what == LOAD && get)) {
		not_allowed(a, what >= STATS  ? "GET"
			       : what == LOAD ? "GET, POST"
					      : "POST");
		return;
	}
	switch (what) {
	case LOAD:
		error = get ? router_load_list(r, &text, &n)
			    : router_load_report(r, body, q->n_body, &text, &n,
						 &e);
		break;
	case OUTCOMES:
		error = router_outcome_report(r, body, q->n_body, &e);
		status = 204;
		break;
	case INVALIDATE:
		error = router_invalidate(r, body, q->n_body, &text, &n, &e);
		break;
	case WARM:
		error = router_warm(r, body, q->n_body, &text, &n, &e);
		status = 202;
		break;
	case STATS:
		error = router_stats(r, &text, &n);
		break;
	case METRICS:
		error = router_metrics(r, &text, &n);
		break;
	case HEALTH:
		text = strdup("{\"status\":\"ok\"}");
		n = text ? strlen(text) : 0;
		break;
	}
	if (error) {
		free(text);
		fail(a, error, &e);
		return;
	}
	respond(a, status, text, n);
	if (what == METRICS)
		a->type = "text/plain; version=0.0.4";
}

/* What changes something wants the token, where there is one and the socket is
 * not a local one. */
static bool changes_something(const struct api_request *q)
{
	static const char *const posts[] = {"load", "outcomes",
					    "cache/invalidate", "cache/warm"};

	if (!strcmp(q->method, "PUT") || !strcmp(q->method, "DELETE"))
		return true;
	if (strcmp(q->method, "POST") ||
	    strncmp(q->path, BASE, sizeof BASE - 1))
		return false;
	for (size_t i = 0; i < sizeof posts / sizeof posts[0]; i++)
		if (!strcmp(q->path + sizeof BASE - 1, posts[i]))
			return true;
	return false;
}

static bool may(const struct api *api, const struct api_request *q)
{
	const struct settings *s = api->settings;
	static const char scheme[] = "Bearer ";
	unsigned differ = 0;
	const char *given = q->authorization;
	size_t n = strlen(s->token);

	if (!s->token[0] || !strncmp(s->listen, "unix:", 5) ||
	    !changes_something(q))
		return true;
	if (!given || strncmp(given, scheme, sizeof scheme - 1) ||
	    strlen(given) != n + sizeof scheme - 1)
		return false;
	given += sizeof scheme - 1;
	for (size_t i = 0; i < n; i++)
		differ |= (unsigned char)(given[i] ^ s->token[i]);
	return !differ;
}

int api_handle(struct api *api, const struct api_request *q,
	       struct api_response *a, struct router_work **work)
{
	static const struct {
		const char *path;
		enum simple what;
	} simples[] = {
		{"/healthz", HEALTH},
		{"/metrics", METRICS},
		{BASE "load", LOAD},
		{BASE "outcomes", OUTCOMES},
		{BASE "stats", STATS},
		{BASE "cache/invalidate", INVALIDATE},
		{BASE "cache/warm", WARM},
	};
	static const char *const kinds[] = {"models", "agents"};

	memset(a, 0, sizeof *a);
	if (!may(api, q)) {
		api_problem(a, 401, "Unauthorized",
			    "a change wants the administrator's bearer token",
			    NULL);
		return 0;
	}
	if (!strcmp(q->path, BASE "auto-assign-all")) {
		if (!strcmp(q->method, "POST"))
			return assign(api, q, a, work);
		not_allowed(a, "POST");
		return 0;
	}
	for (size_t i = 0; i < sizeof simples / sizeof simples[0]; i++)
		if (!strcmp(q->path, simples[i].path)) {
			simple(api, q, simples[i].what, a);
			return 0;
		}
	for (unsigned k = 0; k < 2; k++) {
		size_t n = sizeof BASE - 1 + strlen(kinds[k]);

		if (strncmp(q->path, BASE, sizeof BASE - 1) ||
		    strncmp(q->path + sizeof BASE - 1, kinds[k],
			    strlen(kinds[k])))
			continue;
		if (q->path[n] == '\0')
			list(api, q, kinds[k], a);
		else if (q->path[n] == '/' && q->path[n + 1])
			item(api, q, kinds[k], q->path + n + 1, a);
		else
			continue;
		return 0;
	}
	api_problem(a, 404, "Not Found", "there is no such resource", NULL);
	return 0;
}
