/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Warming: requests that are computed and stored before anybody asks, a few at
 * a time between those that somebody does ask.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/router.h"

enum { WARM_LINES_MAX = 100000 };

/* Whoever is asked tells for all workers. */
static void tell(struct router *r)
{
	store_relaxed(&router_cell(r)->warm_left, r->n_warm - r->warm_at);
}

int router_warm_add(struct router *r, const char *line, size_t n)
{
	struct warm_line *more;

	while (n && (line[n - 1] == '\r' || line[n - 1] == ' '))
		n--;
	if (!n)
		return 0;
	if (r->n_warm == WARM_LINES_MAX)
		return -E2BIG;
	more = realloc(r->warm, (r->n_warm + 1) * sizeof *more);
	if (!more)
		return -ENOMEM;
	r->warm = more;
	r->warm[r->n_warm].body = malloc(n);
	if (!r->warm[r->n_warm].body)
		return -ENOMEM;
	memcpy(r->warm[r->n_warm].body, line, n);
	r->warm[r->n_warm++].n = n;
	r->warm_total++;
	fetch_add_relaxed(&router_cell(r)->warm_total, 1);
	tell(r);
	return 0;
}

/* Line by line: is it JSON at all? 0, or an error with the line's number. */
static int check_lines(const char *lines, size_t n, struct router_error *e)
{
	for (unsigned number = 1; n; number++) {
		const char *end = memchr(lines, '\n', n);
		size_t length = end ? (size_t)(end - lines) : n;
		json_error_t why;
		json_t *line;

		if (length && !(length == 1 && *lines == '\r')) {
			line = json_loadb(lines, length, 0, &why);
			if (!json_is_object(line)) {
				json_decref(line);
				return router_fail(e, 422, "",
						   "line %u is no JSON object",
						   number);
			}
			json_decref(line);
		}
		lines += length + (end != NULL);
		n -= length + (end != NULL);
	}
	return 0;
}

/* {"hottest": N} alone: N. 0: it is something else. */
static unsigned asks_for_hottest(const char *body, size_t n)
{
	json_t *object = json_loadb(body, n, 0, NULL);
	const json_t *hottest = json_object_get(object, "hottest");
	json_int_t value = json_integer_value(hottest);
	bool alone = json_object_size(object) == 1;

	json_decref(object);
	return alone && value > 0 ? value > WARM_LINES_MAX ? WARM_LINES_MAX
							   : (unsigned)value
				  : 0;
}

int router_warm(struct router *r, const char *body, size_t n, char **json,
		size_t *n_json, struct router_error *e)
{
	unsigned before = r->warm_total, hottest = asks_for_hottest(body, n);
	struct text t = {0};
	int error = 0;

	if (!hottest)
		error = check_lines(body, n, e);
	if (!error && hottest)
		error = router_warm_hottest(r, hottest);
	while (!error && !hottest && n) {
		const char *end = memchr(body, '\n', n);
		size_t length = end ? (size_t)(end - body) : n;

		error = router_warm_add(r, body, length);
		body += length + (end != NULL);
		n -= length + (end != NULL);
	}
	if (error < 0)
		return error == -E2BIG
			       ? router_fail(e, 422, "",
					     "more than %d requests wait to be "
					     "warmed",
					     WARM_LINES_MAX)
			       : error;
	router_text_format(&t, "{\"queued\":%u}", r->warm_total - before);
	*json = t.bytes;
	*n_json = t.n;
	return t.failed ? -ENOMEM : 0;
}

int router_warm_file(struct router *r, const char *path)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	int error = 0;

	if (!f)
		return -errno;
	while (!error && (n = getline(&line, &room, f)) > 0)
		error = router_warm_add(r, line,
					(size_t)n - (line[n - 1] == '\n'));
	free(line);
	fclose(f);
	return error;
}

unsigned router_warm_some(struct router *r, unsigned n)
{
	for (; n && r->warm_at < r->n_warm; n--) {
		struct warm_line *l = &r->warm[r->warm_at++];
		struct router_answer answer;
		struct router_work *work;
		int result;

		r->warming = true;
		result = router_answer_begin(r, l->body, l->n, &answer, &work,
					     NULL);
		r->warming = false;
		if (result == 0)
			router_body_free(r, answer.body);
		else if (result == LARDER_WAIT)
			router_answer_cancel(r, work); /* somebody is at it */
		free(l->body);
		tell(r);
	}
	if (r->n_warm && r->warm_at == r->n_warm) {
		free(r->warm);
		r->warm = NULL;
		r->n_warm = r->warm_at = 0;
	}
	return r->n_warm - r->warm_at;
}
