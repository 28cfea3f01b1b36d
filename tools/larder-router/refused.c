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
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

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

/* A Content-Length that is no number, or too large a one. */
static bool has_bad_length(struct MHD_Connection *connection)
{
	const char *length = MHD_lookup_connection_value(
		connection, MHD_HEADER_KIND, "Content-Length");

	if (!length)
		return false;
	errno = 0;
	strtoull(length, NULL, 10);
	return errno || !*length || length[strspn(length, "0123456789")];
}

/*
 * The library refuses a bad length while it still reads the headers, goes on
 * where it was, and sends the head of its answer twice. So the answer is sent
 * here, whole, before anything else of this request is; and as it then hears
 * that there is none, it ends the connection.
 */
static void send_alone(struct MHD_Connection *connection, unsigned status,
		       const char *title, const struct api_response *a)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	char *text;
	int n = asprintf(&text,
			 "HTTP/1.1 %u %s\r\nConnection: close\r\n"
			 "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
			 status, title, a->type, a->n_body, a->body);

	if (n < 0)
		return;
	if (info)
		send(info->connect_fd, text, (size_t)n,
		     MSG_NOSIGNAL | MSG_DONTWAIT);
	free(text);
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
	if (has_bad_length(connection)) {
		send_alone(connection, status, title, &a);
		free(a.body);
		return MHD_NO;
	}
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
