/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The endpoints, apart from how they travel: a request in, a response out.
 */
#ifndef LARDER_ROUTER_API_H
#define LARDER_ROUTER_API_H

#include "server.h"

struct api_request {
	const char *method, *path;
	const char *if_match, *authorization; /* or NULL */
	const char *body;
	size_t n_body;
	uint64_t began_ns; /* when it was complete */
};

struct api_response {
	int status;
	char *body;	/* malloc()ed; may be NULL */
	bool is_answer; /* body: goes back with router_body_free() */
	size_t n_body;
	const char *type;
	char etag[40];	       /* "" if none */
	const char *stored_by; /* X-Larder-Stored-By, or NULL */
	const char *larder;    /* X-Larder, or NULL */
	const char *allow;     /* with 405 */
};

struct api {
	const struct settings *settings;
	struct router *router;
};

/* Answer, or LARDER_WAIT with *work: call api_poll() later. */
int api_handle(struct api *api, const struct api_request *q,
	       struct api_response *a, struct router_work **work);
int api_poll(struct api *api, struct router_work *work, uint64_t began_ns,
	     struct api_response *a);

/* A problem (RFC 9457). @pointer may be NULL. */
void api_problem(struct api_response *a, int status, const char *title,
		 const char *detail, const char *pointer);

#endif
