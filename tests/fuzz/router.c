/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the router, as its HTTP library hands them on: the input says
 * which, and holds their bodies. Every answer has a status that is meant, and a
 * body that is JSON where it says so; a problem names its own status; of each
 * assignment that was asked for there is one, and the same question, asked
 * again at once, has the same answer, which then comes from the cache.
 *
 * A request is a byte for its path, one for its method, and text up to a zero
 * byte; with the sixth bit of the method and no path it is a catalog file. In
 * the text bytes from 128 on stand for words of the router's language, so that
 * what is made of nothing means something, and 255 keeps the next one.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api.h"
#include "fuzz/rounds.h"

#define BASE "/api/v1/model-router/"

enum { BYTES = 12 << 20, MOST_TEXT = 1 << 16, MOST_REQUESTS = 24 };

static const char *const words[] = {
	"{",
	"}",
	"[",
	"]",
	",",
	":",
	"\"",
	"\"agents\":[",
	"\"models\":[",
	"\"id\":\"",
	"\"name\":\"",
	"\"strategy\":\"optimal\"",
	"\"strategy\":\"balanced\"",
	"\"strategy\":\"greedy\"",
	"\"enable_load_balancing\":true",
	"\"required_capabilities\":[\"",
	"\"preferred_capabilities\":[\"",
	"\"capabilities\":{\"",
	"\"min_context_length\":",
	"\"context_length\":",
	"\"max_concurrent\":",
	"\"max_queue\":",
	"\"model_id\":\"",
	"\"status\":\"offline\"",
	"\"status\":\"",
	"\"target_utilization\":",
	"\"active_delta\":",
	"\"queue_delta\":",
	"\"active\":",
	"\"queue\":",
	"\"success\":",
	"\"latency_ms\":",
	"\"key\":\"",
	"\"tag\":\"",
	"\"pattern\":\"",
	"\"all\":true",
	"\"dry_run\":true",
	"\"hottest\":",
	"true",
	"false",
	"null",
	"1e308",
	"-1",
	"0.5",
	"18446744073709551615",
	"1e15",
	"\\u0000",
	"\\ud800",
	"\xc3\xa9",
	"{\"id\":\"a1\",\"required_capabilities\":[\"math\"]}",
	"{\"id\":\"m1\",\"context_length\":4096,\"capabilities\":{\"math\":1}}",
	"m1",
	"a1",
	"math",
	"v1/*",
};

static const char *const paths[] = {
	"auto-assign-all",
	"auto-assign-all",
	"auto-assign-all",
	"models",
	"agents",
	"models/m1",
	"agents/a1",
	"models/", /* with what follows in the text, to its first newline */
	"agents/",
	"load",
	"outcomes",
	"stats",
	"cache/invalidate",
	"cache/warm",
	"/metrics",
	"/healthz",
	"",
};

/* The first stands for what the path is there for. */
static const char *const methods[] = {"",	"GET",	"PUT",	"POST",
				      "DELETE", "HEAD", "PATCH"};

static const char catalog[] =
	"{\"models\":[{\"id\":\"m1\",\"name\":\"M\",\"context_length\":8192,"
	"\"capabilities\":{\"math\":0.9,\"coding\":0.4},\"max_concurrent\":2},"
	"{\"id\":\"m2\",\"context_length\":100,\"max_queue\":0}],"
	"\"agents\":[{\"id\":\"a1\",\"required_capabilities\":[\"math\"]},"
	"{\"id\":\"a2\",\"model_id\":\"m2\"},"
	"{\"id\":\"a3\",\"status\":\"maintenance\"}]}";

static size_t expand(struct input *in, char *text)
{
	size_t n = 0;

	while (in->left) {
		uint8_t b = take(in);
		const char *word;
		size_t n_word;

		if (!b)
			break;
		if (b == 255 && in->left)
			b = take(in);
		else if (b >= 128) {
			word = words[(b - 128) %
				     (sizeof words / sizeof *words)];
			n_word = strlen(word);
			if (n + n_word >= MOST_TEXT)
				break;
			memcpy(text + n, word, n_word);
			n += n_word;
			continue;
		}
		if (n + 1 >= MOST_TEXT)
			break;
		text[n++] = (char)b;
	}
	text[n] = '\0';
	return n;
}

static int is_meant(int status)
{
	static const int meant[] = {200, 201, 202, 204, 400, 401,
				    404, 405, 412, 422, 507};

	for (size_t i = 0; i < sizeof meant / sizeof *meant; i++)
		if (meant[i] == status)
			return 1;
	return 0;
}

/* An answer's body, parsed; NULL if it has none. */
static json_t *check_response(const struct api_response *a)
{
	json_t *body;

	promise(is_meant(a->status), "the status is one that is meant");
	if (!a->n_body || !strncmp(a->type, "text/", 5))
		return NULL;
	body = json_loadb(a->body, a->n_body,
			  JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
	promise(body != NULL, "what says that it is JSON is JSON");
	if (a->status >= 400) {
		promise(!strcmp(a->type, "application/problem+json"),
			"an error is a problem");
		promise(json_integer_value(json_object_get(body, "status")) ==
				a->status,
			"a problem names its status");
	}
	return body;
}

static void handle(struct api *api, struct api_request *q,
		   struct api_response *a)
{
	struct router_work *work = NULL;
	int tries = 0;

	if (api_handle(api, q, a, &work) != LARDER_WAIT)
		return;
	while (api_poll(api, work, 0, a) == LARDER_WAIT)
		promise(++tries < 1000, "nobody else computes: no long wait");
}

static void check_assignments(const json_t *body)
{
	const json_t *list = json_object_get(body, "assignments"), *one;
	json_int_t n_assigned = 0;
	json_t *ids = json_object();
	size_t i;

	promise(json_is_array(list), "there is a list of assignments");
	json_array_foreach(list, i, one)
	{
		const char *id =
			json_string_value(json_object_get(one, "agent_id"));

		promise(id && !json_object_get(ids, id), "one for each agent");
		json_object_set_new(ids, id, json_true());
		n_assigned += json_is_string(json_object_get(one, "model_id"));
	}
	json_decref(ids);
	promise(json_integer_value(json_object_get(
			body, "total_assignments")) == n_assigned,
		"they are counted");
}

static void ask_again(struct api *api, struct api_request *q,
		      const json_t *body)
{
	static const char *const members[] = {"assignments", "total_score",
					      "avg_match_score", "strategy",
					      "models_filtered"};
	struct api_response again;
	json_t *other;

	check_assignments(body);
	handle(api, q, &again);
	promise(again.status == 200, "a good question stays one");
	other = check_response(&again);
	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		promise(json_equal(json_object_get(body, members[i]),
				   json_object_get(other, members[i])),
			"the same question has the same answer");
	json_decref(other);
	free(again.body);
}

/* A catalog file with this text, as the operator's is read at start and again
 * at SIGHUP: taken, unchanged, or refused with what is wrong. */
static int load_catalog(struct router *r, const char *text, size_t n)
{
	struct router_error e = {0};
	char path[32];
	int fd = memfd_create("catalog", MFD_CLOEXEC), result;

	promise(fd >= 0 && write(fd, text, n) == (ssize_t)n,
		"write the catalog");
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	result = router_catalog_load(r, path, &e);
	promise(result >= 0 || (result == -EINVAL && e.detail[0]),
		"a catalog is taken or refused with a reason");
	close(fd);
	return result;
}

static const char *natural_method(const char *path)
{
	if (!strncmp(path, "auto", 4) || !strcmp(path, "load") ||
	    !strcmp(path, "outcomes") || !strncmp(path, "cache", 5))
		return "POST";
	return strchr(path, '/') && *path != '/' ? "PUT" : "GET";
}

static void request(struct api *api, struct input *in, char etag[40])
{
	static char path[MOST_TEXT + 64], text[MOST_TEXT];
	const char *tail = paths[take(in) % (sizeof paths / sizeof *paths)];
	uint8_t how = take(in);
	const char *method = methods[how % (sizeof methods / sizeof *methods)];
	size_t n = expand(in, text), n_path = 0;
	struct api_response a;
	struct api_request q = {
		.method = *method ? method : natural_method(tail),
		.path = path,
		.if_match = how & 64 ? etag : NULL,
		.authorization = how & 128 ? "Bearer secret" : NULL,
	};
	json_t *body;

	if (!*tail && (how & 32)) {
		load_catalog(api->router, text, n);
		return;
	}
	if (!*tail || !strcmp(tail, "models/") || !strcmp(tail, "agents/")) {
		n_path = strcspn(text, "\n");
		snprintf(path, sizeof path, "%s%s%.*s", *tail ? BASE : "", tail,
			 (int)n_path, text);
		n_path += text[n_path] == '\n';
	} else {
		snprintf(path, sizeof path, "%s%s", *tail == '/' ? "" : BASE,
			 tail);
	}
	q.body = text + n_path;
	q.n_body = n - n_path;
	if (!q.n_body)
		q.body = NULL;
	handle(api, &q, &a);
	body = check_response(&a);
	if (a.etag[0])
		memcpy(etag, a.etag, sizeof a.etag);
	free(a.body);
	if (a.status == 200 && !strcmp(q.method, "POST") &&
	    !strcmp(path, BASE "auto-assign-all"))
		ask_again(api, &q, body);
	json_decref(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct larder_create_options o = {.size_of = sizeof o,
						.bytes = BYTES};
	struct settings settings = {.listen = "0.0.0.0:80"};
	struct router_options options = {.size_of = sizeof options};
	struct api api = {.settings = &settings};
	struct input in = {data, n};
	struct larder *h = NULL;
	char etag[40] = "";
	uint8_t what = take(&in);
	int fd;

	if (what & 1)
		memcpy(settings.token, "secret", 7);
	options.bypass_cells = what & 2 ? 0 : 1;
	options.feedback_weight = what & 4 ? 0.5 : 0;
	options.never_cache = what % 32 == 8;
	promise(larder_create_fd(&o, &fd) == 0, "create a segment");
	promise(larder_open_fd(fd, NULL, &h) == 0, "open it");
	promise(router_open(h, &options, &api.router) == 0, "open the router");
	promise(load_catalog(api.router, catalog, sizeof catalog - 1) >= 0,
		"load the catalog");
	for (int i = 0; in.left && i < MOST_REQUESTS; i++)
		request(&api, &in, etag);
	for (int i = 0; i < 64 && router_warm_some(api.router, 64); i++)
		;
	router_refresh_some(api.router, 64);
	router_hot_save(api.router, 0);
	router_close(api.router);
	larder_close(h);
	close(fd);
	return 0;
}
