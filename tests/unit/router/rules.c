/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of the domain, one by one: what load does to scores and candidates,
 * what pins, ties and capacities do to assignments, and what of all this is in
 * a question's key.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router/router.h"

static struct router *router;

static void setup(void)
{
	cr_assert_eq(router_open(NULL, NULL, &router), 0);
}

static void teardown(void)
{
	router_close(router);
}

TestSuite(rules, .init = setup, .fini = teardown);

/* A model of the catalog: load can be reported for it. */
static void model(const char *id, unsigned max_concurrent, const char *more)
{
	struct router_error e = {0};
	char body[256], etag[40];

	snprintf(body, sizeof body,
		 "{\"context_length\":1000,\"max_concurrent\":%u%s}",
		 max_concurrent, more);
	cr_assert_geq(router_put(router, "models", id, body, strlen(body), NULL,
				 etag, &e),
		      0, "%s", e.detail);
}

static void load(const char *id, const char *what)
{
	struct router_error e = {0};
	char body[128], *json;
	size_t n;

	snprintf(body, sizeof body, "{\"model_id\":\"%s\",%s}", id, what);
	cr_assert_eq(
		router_load_report(router, body, strlen(body), &json, &n, &e),
		0, "%s", e.detail);
	free(json);
}

enum { AGENTS_MOST = 8 };

static struct router_assignment lines[AGENTS_MOST];
static struct router_result result;
static struct router_request *asked;

static void forget(void)
{
	router_request_free(asked);
	asked = NULL;
}

static void ask(const char *body)
{
	struct router_error e = {0};

	forget();
	cr_assert_eq(
		router_request_parse(router, body, strlen(body), &asked, &e), 0,
		"%s", e.detail);
	router_load_apply(router, asked);
	result = (struct router_result){.assignments = lines};
	cr_assert_eq(router_assign(&router_default_weights, asked, &result), 0);
}

static const char *given(unsigned i)
{
	return lines[i].model < 0 ? "" : asked->models[lines[i].model].id;
}

static const char *key(const char *body)
{
	static char keys[4][ROUTER_KEY_BYTES];
	static unsigned at;
	char *to = keys[at++ % 4];
	size_t n;

	ask(body);
	cr_assert_eq(router_key(router, asked, to, &n), 0);
	forget();
	return to;
}

#define A(id, more)   "{\"id\":\"" id "\"" more "}"
#define BALANCED_LOAD "\"enable_load_balancing\":true"

/* ------------------------------------------------------------------ */
/* Load                                                                */

static unsigned level_of(const char *id)
{
	ask("{\"agents\":[]," BALANCED_LOAD "}");
	for (unsigned k = 0; k < asked->n_models; k++)
		if (!strcmp(asked->models[k].id, id))
			return asked->models[k].level;
	return 99;
}

Test(rules, a_level_rises_at_an_eighth_and_falls_a_thirty_second_below)
{
	model("m", 800, "");
	load("m", "\"active\":99");
	cr_assert_eq(level_of("m"), 0);
	load("m", "\"active_delta\":1");
	cr_assert_eq(level_of("m"), 1);
	load("m", "\"active\":75"); /* 3/32: not below 1/8 - 1/32 */
	cr_assert_eq(level_of("m"), 1);
	load("m", "\"active\":74");
	cr_assert_eq(level_of("m"), 0);
	load("m", "\"active\":800");
	cr_assert_eq(level_of("m"), 8);
	load("m", "\"active\":675");
	cr_assert_eq(level_of("m"), 7);
	load("m", "\"active_delta\":-100000");
	cr_assert_eq(level_of("m"), 0);
	load("m", "\"active_delta\":100"); /* clamped at 0 before */
	cr_assert_eq(level_of("m"), 1);
	forget();
}

Test(rules, a_level_is_of_the_capacity_as_it_is_now)
{
	char *json;
	size_t n;

	model("m", 16, "");
	load("m", "\"active\":4");
	cr_assert_eq(level_of("m"), 2);
	model("m", 8, "");
	cr_assert_eq(level_of("m"), 4);
	cr_assert_eq(router_load_list(router, &json, &n), 0);
	cr_assert(strstr(json, "\"level\":4,"), "%s", json);
	free(json);
	model("m", 32, "");
	cr_assert_eq(level_of("m"), 1);
}

Test(rules, the_score_sees_the_level_and_the_report_the_utilization)
{
	model("m", 16, "");
	load("m", "\"active\":5"); /* 5/16: level 2 */
	ask("{\"agents\":[" A("a", "") "]," BALANCED_LOAD "}");
	cr_assert_float_eq(lines[0].match, 100, 1e-9);
	cr_assert_float_eq(lines[0].final, 100 * (1 - 0.3 * 2 / 8.0), 1e-9);
	cr_assert_float_eq(result.avg_utilization, 5.0 / 16, 1e-12);
	ask("{\"agents\":[" A("a", "") "]}");
	cr_assert_float_eq(lines[0].final, 100, 1e-9);
	forget();
}

Test(rules, a_full_model_is_left_out_and_fallback_is_the_least_utilized)
{
	const char *greedy = "{\"agents\":[" A("a", "") "]," BALANCED_LOAD "}";
	const char *optimal = "{\"strategy\":\"optimal\",\"agents\":[" A(
		"a", "") "]," BALANCED_LOAD "}";

	model("m1", 2, "");
	model("m2", 4, ",\"max_queue\":3");
	load("m1", "\"active\":2");
	ask(greedy);
	cr_assert_str_eq(given(0), "m2");
	cr_assert_eq(result.models_filtered, 1);
	cr_assert(!result.has_fallback);
	load("m2", "\"active\":1,\"queue\":3");
	ask(greedy);
	cr_assert(result.has_fallback);
	cr_assert_eq(lines[0].method, ROUTER_FALLBACK);
	cr_assert_str_eq(given(0), "m2", "the least utilized");
	cr_assert_eq(result.models_filtered, 2);
	ask(optimal);
	cr_assert(!result.has_fallback);
	cr_assert_str_eq(given(0), "");
	cr_assert_eq(lines[0].reason, ROUTER_REASON_NO_CAPACITY);
	/* Without load balancing nobody is full. */
	ask("{\"agents\":[" A("a", "") "]}");
	cr_assert_str_eq(given(0), "m1");
	cr_assert_eq(result.models_filtered, 0);
	forget();
}

Test(rules, a_load_that_is_not_reported_for_a_minute_is_unknown)
{
	struct load_slot *s;

	model("m", 2, "");
	load("m", "\"active\":2");
	ask("{\"agents\":[" A("a", "") "]," BALANCED_LOAD "}");
	cr_assert(asked->models[0].full && asked->models[0].load_known);
	s = router_load_slot(router, "m", false);
	store_release(&s->reported_ms, load_acquire(&s->reported_ms) - 59000);
	ask("{\"agents\":[" A("a", "") "]," BALANCED_LOAD "}");
	cr_assert(asked->models[0].full && asked->models[0].load_known);
	store_release(&s->reported_ms, load_acquire(&s->reported_ms) - 2000);
	ask("{\"agents\":[" A("a", "") "]," BALANCED_LOAD "}");
	cr_assert(!asked->models[0].full && !asked->models[0].load_known);
	cr_assert_float_eq(asked->models[0].utilization, 0, 0);
	cr_assert_float_eq(lines[0].final, lines[0].match, 0);
	/* A change to what is unknown is a change to nothing. */
	load("m", "\"active_delta\":1");
	ask("{\"agents\":[" A("a", "") "]," BALANCED_LOAD "}");
	cr_assert_eq(asked->models[0].active, 1);
	forget();
}

/* ------------------------------------------------------------------ */
/* Assignments                                                         */

Test(rules, ties_go_to_the_smaller_id)
{
	static const char *const bodies[] = {
		"{\"agents\":[" A("a", "") "]}",
		"{\"strategy\":\"balanced\",\"agents\":[" A("a", "") "]}"};

	model("b", 1, "");
	model("a", 1, "");
	model("B", 1, "");
	for (unsigned i = 0; i < 2; i++) {
		ask(bodies[i]);
		cr_assert_str_eq(given(0), "B", "bytewise");
	}
	forget();
}

Test(rules, an_earlier_use_costs_balanced_5_points_in_the_comparison_alone)
{
	model("m1", 9, ",\"capabilities\":{\"x\":1}");
	model("m2", 9, ",\"capabilities\":{\"x\":0.9}"); /* 7 points less */
	ask("{\"strategy\":\"balanced\",\"agents\":["
	    "{\"id\":\"a\",\"required_capabilities\":[\"x\"]},"
	    "{\"id\":\"b\",\"required_capabilities\":[\"x\"]},"
	    "{\"id\":\"c\",\"required_capabilities\":[\"x\"]}]}");
	cr_assert_str_eq(given(0), "m1");
	cr_assert_str_eq(given(1), "m1", "5 points are less than 7");
	cr_assert_str_eq(given(2), "m2");
	cr_assert_float_eq(lines[1].final, 100, 1e-9);
	forget();
}

Test(rules, a_pin_takes_its_capacity_first)
{
	model("m1", 1, ",\"capabilities\":{\"x\":1}");
	model("m2", 1, "");
	ask("{\"strategy\":\"optimal\",\"agents\":["
	    "{\"id\":\"a\",\"required_capabilities\":[\"x\"]},"
	    "{\"id\":\"z\",\"model_id\":\"m1\"},"
	    "{\"id\":\"zz\",\"model_id\":\"none\"}]}");
	cr_assert_str_eq(given(0), "m2");
	cr_assert_str_eq(given(1), "m1");
	cr_assert_eq(lines[1].method, ROUTER_MANUAL);
	cr_assert_str_eq(given(2), "");
	cr_assert_eq(lines[2].reason, ROUTER_REASON_PIN_UNKNOWN);
	forget();
}

Test(rules, as_many_as_fit_are_assigned)
{
	const char *body =
		"{\"strategy\":\"optimal\"," BALANCED_LOAD
		",\"agents\":[" A("a", "") "," A("b", "") "," A("c", "") "]}";

	model("m1", 3, "");
	ask(body);
	cr_assert_eq(result.n_assigned, 3);
	load("m1", "\"active\":1");
	ask(body);
	cr_assert_eq(result.n_assigned, 2);
	cr_assert_eq(lines[2].reason + lines[1].reason + lines[0].reason,
		     ROUTER_REASON_NO_CAPACITY);
	ask("{\"strategy\":\"optimal\",\"models\":[],\"agents\":[" A("a",
								     "") "]}");
	cr_assert_eq(lines[0].reason, ROUTER_REASON_NO_MODEL);
	forget();
}

Test(rules, who_is_not_online_gets_nothing_and_says_so)
{
	model("m", 1, "");
	ask("{\"strategy\":\"optimal\",\"agents\":["
	    "{\"id\":\"a\",\"status\":\"offline\"},"
	    "{\"id\":\"b\",\"status\":\"maintenance\",\"model_id\":\"m\"},"
	    "{\"id\":\"c\",\"status\":\"online\"}]}");
	cr_assert_eq(lines[0].reason, ROUTER_REASON_OFFLINE);
	cr_assert_eq(lines[1].reason, ROUTER_REASON_OFFLINE);
	cr_assert_str_eq(given(2), "m");
	forget();
}

Test(rules, overlap_and_missing)
{
	model("m", 1, ",\"capabilities\":{\"x\":0.1,\"z\":0}");
	ask("{\"agents\":[{\"id\":\"a\",\"required_capabilities\":[\"z\",\"x\","
	    "\"b\"],\"preferred_capabilities\":[\"x\",\"p\"]}," A("b",
								  "") "]}");
	cr_assert_float_eq(lines[0].overlap, 0.25, 0);
	cr_assert_eq(__builtin_popcountll(lines[0].missing), 2);
	cr_assert_str_eq(
		asked->capabilities.name[__builtin_ctzll(lines[0].missing)],
		"b", "sorted");
	cr_assert_float_eq(lines[1].overlap, 1, 0);
	forget();
}

/* ------------------------------------------------------------------ */
/* Keys                                                                */

/* A question with one thing that can be replaced in each. */
static const char *changed(const char *from, const char *to)
{
	static char body[2048];
	static const char question[] =
		"{\"strategy\":\"optimal\",\"enable_load_balancing\":false,"
		"\"agents\":[{\"id\":\"a1\",\"name\":\"A\",\"status\":"
		"\"online\",\"required_capabilities\":[\"coding\",\"math\"],"
		"\"preferred_capabilities\":[\"arabic\"],"
		"\"min_context_length\":8192,\"model_id\":null},"
		"{\"id\":\"a2\",\"status\":\"maintenance\"}],"
		"\"models\":[{\"id\":\"m1\",\"name\":\"M\",\"capabilities\":{"
		"\"coding\":0.9,\"math\":0.25},\"context_length\":32768,"
		"\"max_concurrent\":3,\"max_queue\":5},"
		"{\"id\":\"m2\",\"context_length\":9}]}";
	const char *at = strstr(question, from);

	cr_assert(at, "%s", from);
	snprintf(body, sizeof body, "%.*s%s%s", (int)(at - question), question,
		 to, at + strlen(from));
	return body;
}

Test(rules, every_difference_that_can_change_the_answer_is_another_key)
{
	static const char *const changes[][2] = {
		{"optimal", "greedy"},
		{"optimal", "balanced"},
		{"\"enable_load_balancing\":false",
		 "\"enable_load_balancing\":true"},
		{"\"id\":\"a1\"", "\"id\":\"a3\""},
		{"\"status\":\"online\"", "\"status\":\"offline\""},
		{"[\"coding\",\"math\"]", "[\"coding\"]"},
		{"[\"coding\",\"math\"]", "[\"coding\",\"arabic\"]"},
		{"[\"arabic\"]", "[]"},
		{"[\"arabic\"]", "[\"coding\"]"},
		{"8192", "8193"},
		{"\"model_id\":null", "\"model_id\":\"m1\""},
		{",{\"id\":\"a2\",\"status\":\"maintenance\"}", ""},
		{"\"status\":\"maintenance\"", "\"status\":\"online\""},
		{"\"id\":\"m1\"", "\"id\":\"m3\""},
		{"\"coding\":0.9", "\"coding\":0.9000000000000001"},
		{"\"coding\":0.9", "\"arabic\":0.9"},
		{",\"math\":0.25", ""},
		{"32768", "8000"},
		{"\"max_concurrent\":3", "\"max_concurrent\":4"},
		{",{\"id\":\"m2\",\"context_length\":9}", ""},
	};
	char before[ROUTER_KEY_BYTES];

	snprintf(before, sizeof before, "%s", key(changed("", "")));
	for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
		cr_assert_str_neq(before,
				  key(changed(changes[i][0], changes[i][1])),
				  "%s to %s", changes[i][0], changes[i][1]);
}

Test(rules, what_cannot_change_the_answer_is_not_in_the_key)
{
	static const char *const changes[][2] = {
		{"\"name\":\"A\"", "\"name\":\"B\""},
		{"\"name\":\"M\",", "\"endpoint\":\"http://x\","},
		{"[\"coding\",\"math\"]", "[\"math\",\"coding\",\"math\"]"},
		{"8192", "8192.0"},
		{"8192", "8.192e3"},
		{"0.25", "2.5e-1"},
		{"\"max_concurrent\":3", "\"max_concurrent\":3.0"},
		{"\"coding\":0.9,", "\"coding\":0.9,\"general\":0,"},
		{"\"coding\":0.9,\"math\":0.25",
		 "\"math\":0.25,\"coding\":0.9"},
		{"\"enable_load_balancing\":false,", ""},
		{"\"status\":\"online\",", ""},
		{",\"model_id\":null", ""},
		{"\"max_queue\":5", "\"max_queue\":6"},
		{"\"status\":\"maintenance\"",
		 "\"status\":\"offline\",\"required_capabilities\":[\"q\"]"},
		{"\"id\":\"a1\"", "\"tasks\":[{\"score\":1}],\"id\":\"a1\""},
		{"\"id\":\"m2\"", " \n\t\"id\" : \"\\u006d2\""},
	};
	char before[ROUTER_KEY_BYTES];

	snprintf(before, sizeof before, "%s", key(changed("", "")));
	for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
		cr_assert_str_eq(before,
				 key(changed(changes[i][0], changes[i][1])),
				 "%s to %s", changes[i][0], changes[i][1]);
}

Test(rules, load_is_in_the_key_as_far_as_the_answer_sees_it)
{
	const char *greedy = "{\"agents\":[" A("a", "") "]," BALANCED_LOAD "}";
	const char *plain = "{\"agents\":[" A("a", "") "]}";
	const char *optimal = "{\"strategy\":\"optimal\",\"agents\":[" A(
		"a", "") "," A("b", "") "]," BALANCED_LOAD "}";
	char g[ROUTER_KEY_BYTES], o[ROUTER_KEY_BYTES], p[ROUTER_KEY_BYTES];

	model("m", 64, ",\"max_queue\":4");
	snprintf(g, sizeof g, "%s", key(greedy));
	snprintf(o, sizeof o, "%s", key(optimal));
	snprintf(p, sizeof p, "%s", key(plain));
	load("m", "\"active\":7,\"queue\":3"); /* below an eighth */
	cr_assert_str_eq(g, key(greedy));
	cr_assert_str_eq(o, key(optimal), "free for more than there are");
	load("m", "\"active\":8");
	cr_assert_str_neq(g, key(greedy));
	cr_assert_str_eq(p, key(plain), "no load balancing");
	load("m", "\"active\":0,\"queue\":4"); /* full */
	cr_assert_str_neq(g, key(greedy));
	load("m", "\"active\":62,\"queue\":0");
	snprintf(o, sizeof o, "%s", key(optimal));
	snprintf(g, sizeof g, "%s", key(greedy));
	load("m", "\"active\":63"); /* the same level, one place less */
	cr_assert_str_neq(o, key(optimal));
	cr_assert_str_eq(g, key(greedy));
}

Test(rules, every_load_has_a_fingerprint_of_its_own)
{
	enum { N = 2 * 2 * 3 * 3 * 3 };
	uint64_t seen[N];
	unsigned n = 0;

	model("a", 8, "");
	model("b", 8, "");
	model("c", 8, "");
	for (unsigned i = 0; i < N; i++) {
		char what[64];

		snprintf(what, sizeof what, "\"active\":%u,\"queue\":%u", i % 3,
			 i / 27 % 2);
		load("a", what);
		snprintf(what, sizeof what, "\"active\":%u,\"queue\":%u",
			 i / 3 % 3, i / 54);
		load("b", what);
		snprintf(what, sizeof what, "\"active\":%u", i / 9 % 3);
		load("c", what);
		seen[n++] = router_load_fingerprint(router);
		for (unsigned k = 0; k + 1 < n; k++)
			cr_assert_neq(seen[k], seen[n - 1]);
	}
	/* Known and idle is not the same as unknown. */
	load("a", "\"active\":0,\"queue\":0");
	seen[0] = router_load_fingerprint(router);
	store_release(&router_load_slot(router, "a", false)->reported_ms, 1);
	fetch_add_acqrel(&router->shared->load_changes, 1);
	cr_assert_neq(seen[0], router_load_fingerprint(router));
}

Test(rules, an_answer_knows_of_which_load_it_is)
{
	uint64_t before;

	model("a", 8, "");
	model("b", 8, "");
	load("a", "\"active\":1");
	before = router_load_fingerprint(router);
	ask("{\"agents\":[]}");
	cr_assert(router_load_is_of(router, asked, before));
	/* Read after a report that the fingerprint was made before, be the load
	 * what it was when that is asked. */
	load("a", "\"active\":2");
	ask("{\"agents\":[]}");
	cr_assert(!router_load_is_of(router, asked, before));
	load("a", "\"active\":1");
	cr_assert_eq(router_load_fingerprint(router), before);
	cr_assert(!router_load_is_of(router, asked, before));
	ask("{\"agents\":[]}");
	cr_assert(router_load_is_of(router, asked, before));
	/* The first report of a model. */
	load("b", "\"active\":0");
	ask("{\"agents\":[]}");
	cr_assert(!router_load_is_of(router, asked, before));
	cr_assert(router_load_is_of(router, asked,
				    router_load_fingerprint(router)));
}

Test(rules, the_catalogs_and_the_requests_own_are_told_apart)
{
	char own[ROUTER_KEY_BYTES];

	model("m", 1, "");
	snprintf(own, sizeof own, "%s",
		 key("{\"agents\":[],\"models\":[{\"id\":\"m\","
		     "\"context_length\":1000,\"max_concurrent\":1}]}"));
	cr_assert_str_neq(own, key("{\"agents\":[]}"));
	cr_assert_eq(strncmp(own, "v1/greedy/agents:", 17), 0);
	cr_assert(strstr(own, "/models:") && strstr(own, "/load:"));
}
