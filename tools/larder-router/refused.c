/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the HTTP library refuses by itself (headers beyond its room, lines that
 * are no HTTP, chunks that do not add up) it answers in HTML, and there is no
 * option for it. But it queues these answers by its public function, through
 * the dynamic linker, and a program's own function of that name stands before
 * the library's: here they become problem details, as all other errors are.
 * Where a library would not go that way, its own words would stay.
 *
 * Whatever this program queues itself has a content type and is let through.
 */
#include <dlfcn.h>
#include <microhttpd.h>
#include <stdlib.h>

#include "api.h"

static const char *title_of(unsigned status, const char **detail)
{
	switch (status) {
	case 413:
		*detail = "the body is larger than this server takes";
		return "Content Too Large";
	case 414:
		*detail = "the address is longer than this server takes";
		return "URI Too Long";
	case 431:
		*detail = "the headers are larger than this server takes";
		return "Request Header Fields Too Large";
	case 501:
		*detail = "this server does not know the transfer encoding";
		return "Not "
		       "Implemented";
	case 505:
		*detail = "this server speaks HTTP/1.1";
		return "HTTP Version Not Supported";
	default:
		*detail = "these bytes are no HTTP request";
		return status < 500 ? "Bad Request" : "Internal Server Error";
	}
}

__attribute__((visibility("default"))) enum MHD_Result
MHD_queue_response(struct MHD_Connection *connection, unsigned status,
		   struct MHD_Response *response)
{
	static enum MHD_Result (*real)(struct MHD_Connection *, unsigned,
				       struct MHD_Response *);
	struct api_response a;
	struct MHD_Response *problem;
	enum MHD_Result result;
	const char *title, *detail;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "MHD_queue_response");
	if (status < 400 || MHD_get_response_header(response, "Content-Type"))
		return real(connection, status, response);
	title = title_of(status, &detail);
	api_problem(&a, (int)status, title, detail, NULL);
	if (!a.body)
		return real(connection, status, response);
	problem = MHD_create_response_from_buffer(a.n_body, a.body,
						  MHD_RESPMEM_MUST_FREE);
	if (!problem) {
		free(a.body);
		return real(connection, status, response);
	}
	MHD_add_response_header(problem, "Content-Type", a.type);
	result = real(connection, status, problem);
	MHD_destroy_response(problem);
	return result;
}
