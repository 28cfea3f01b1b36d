/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The routing domain without a segment: scores, strategies, keys, errors.
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

TestSuite(router, .init = setup, .fini = teardown);

static struct router_request *parse(const char *body)
{
	struct router_request *q = NULL;
	struct router_error e = {0};

	cr_assert_eq(router_request_parse(router, body, strlen(body), &q, &e),
		     0, "%s: %s", e.pointer, e.detail);
	return q;
}

static void refuse(const char *body, int status, const char *pointer)
{
	struct router_request *q = NULL;
	struct router_error e = {0};

	cr_assert_lt(router_request_parse(router, body, strlen(body), &q, &e),
		     0, "accepted: %s", body);
	cr_assert_eq(e.status, status, "%s gave %d", body, e.status);
	cr_assert_str_eq(e.pointer, pointer);
}

#define MODELS                                                                 \
	"\"models\":[{\"id\":\"m1\",\"capabilities\":{\"coding\":0.9,"         \
	"\"math\":0.4},\"context_length\":4096,\"max_concurrent\":1},"         \
	"{\"id\":\"m2\",\"capabilities\":{\"coding\":0.5,\"math\":0.8},"       \
	"\"context_length\":8192,\"max_concurrent\":2}]"
#define AGENTS                                                                 \
	"\"agents\":[{\"id\":\"a\",\"required_capabilities\":[\"coding\"]},"   \
	"{\"id\":\"b\",\"required_capabilities\":[\"coding\"]},"               \
	"{\"id\":\"c\",\"required_capabilities\":[\"math\"],"                  \
	"\"min_context_length\":8192}]"

static char *key_of(const char *body)
{
	static char keys[8][ROUTER_KEY_BYTES];
	static int next;
	char *key = keys[next++ % 8];
	size_t n;
	struct router_request *q = parse(body);

	router_load_apply(router, q);
	cr_assert_eq(router_key(router, q, key, &n), 0);
	router_request_free(q);
	return key;
}

static double total(const char *body, int models[3])
{
	struct router_request *q = parse(body);
	struct router_assignment lines[3];
	struct router_result r = {.assignments = lines};

	router_load_apply(router, q);
	cr_assert_eq(router_assign(&router_default_weights, q, &r), 0);
	for (int i = 0; i < 3 && models; i++)
		models[i] = lines[i].model;
	router_request_free(q);
	return r.total_score;
}

Test(router, match_score_by_hand)
{
	struct router_request *q = parse("{" MODELS "," AGENTS "}");

	/* required 0.9, no preferred, context met: 70 x 0.9 + 20 + 10 */
	cr_assert_float_eq(router_match(&router_default_weights, &q->agents[0],
					&q->models[0]),
			   93.0, 1e-9);
	/* math 0.4, half the context: 28 + 20 + 5 */
	cr_assert_float_eq(router_match(&router_default_weights, &q->agents[2],
					&q->models[0]),
			   53.0, 1e-9);
	router_request_free(q);
}

Test(router, greedy_ignores_capacity_optimal_does_not)
{
	int greedy[3], optimal[3];

	total("{\"strategy\":\"greedy\"," MODELS "," AGENTS "}", greedy);
	cr_assert(greedy[0] == 0 && greedy[1] == 0 && greedy[2] == 1);
	total("{\"strategy\":\"optimal\"," MODELS "," AGENTS "}", optimal);
	cr_assert_eq((optimal[0] == 0) + (optimal[1] == 0) + (optimal[2] == 0),
		     1, "m1 takes one");
}

Test(router, balanced_spreads)
{
	int models[3];

	total("{\"strategy\":\"balanced\",\"models\":["
	      "{\"id\":\"m1\",\"capabilities\":{\"x\":0.90},"
	      "\"context_length\":1},"
	      "{\"id\":\"m2\",\"capabilities\":{\"x\":0.88},"
	      "\"context_length\":1}],\"agents\":["
	      "{\"id\":\"a\",\"required_capabilities\":[\"x\"]},"
	      "{\"id\":\"b\",\"required_capabilities\":[\"x\"]},"
	      "{\"id\":\"c\",\"required_capabilities\":[\"x\"]}]}",
	      models);
	cr_assert(models[0] == 0 && models[1] == 1 && models[2] == 0);
}

Test(router, same_meaning_same_key)
{
	const char *key = key_of("{" MODELS "," AGENTS "}");

	cr_assert_str_eq(key,
			 key_of("{ " AGENTS " ,\n" MODELS ",\"note\":[1,2] }"));
	cr_assert_str_eq(
		key,
		key_of("{" MODELS
		       ",\"agents\":[{\"id\":\"c\",\"name\":\"another\","
		       "\"required_capabilities\":[\"math\",\"math\"],"
		       "\"min_context_length\":8192.0},"
		       "{\"id\":\"b\",\"required_capabilities\":[\"coding\"]},"
		       "{\"required_capabilities\":[\"coding\"],"
		       "\"status\":\"online\",\"id\":\"a\"}]}"));
}

Test(router, other_meaning_other_key)
{
	const char *key = key_of("{" MODELS "," AGENTS "}");

	cr_assert_str_neq(key, key_of("{\"strategy\":\"balanced\"," MODELS
				      "," AGENTS "}"));
	cr_assert_str_neq(key, key_of("{\"enable_load_balancing\":true," MODELS
				      "," AGENTS "}"));
	cr_assert_str_neq(key,
			  key_of("{" MODELS ",\"agents\":["
				 "{\"id\":\"a\",\"required_capabilities\":["
				 "\"coding\"]},"
				 "{\"id\":\"b\",\"preferred_capabilities\":["
				 "\"coding\"]},"
				 "{\"id\":\"c\",\"required_capabilities\":["
				 "\"math\"],\"min_context_length\":8192}]}"));
}

Test(router, order_does_not_change_a_bit)
{
	double forward =
		total("{\"strategy\":\"optimal\"," MODELS "," AGENTS "}", NULL);
	double backward = total(
		"{\"strategy\":\"optimal\",\"agents\":["
		"{\"id\":\"c\",\"required_capabilities\":[\"math\"],"
		"\"min_context_length\":8192},"
		"{\"id\":\"b\",\"required_capabilities\":[\"coding\"]},"
		"{\"id\":\"a\",\"required_capabilities\":[\"coding\"]}]," MODELS
		"}",
		NULL);

	cr_assert_eq(memcmp(&forward, &backward, sizeof forward), 0);
}

Test(router, wrong_inputs_are_named)
{
	refuse("{\"strategy\":", 400, "");
	refuse("[]", 422, "");
	refuse("\"x\"", 422, "");
	refuse("{\"strategy\":\"best\"}", 422, "/strategy");
	refuse("{\"strategy\":[]}", 422, "/strategy");
	refuse("{\"enable_load_balancing\":1}", 422, "/enable_load_balancing");
	refuse("{\"strategy\":\"greedy\",\"strategy\":\"greedy\"}", 422,
	       "/strategy");
	refuse("{\"agents\":{}}", 422, "/agents");
	refuse("{\"agents\":[[]]}", 422, "/agents/0");
	refuse("{\"agents\":[{\"id\":\"a\"},{}]}", 422, "/agents/1");
	refuse("{\"agents\":[{\"id\":\"\"}]}", 422, "/agents/0/id");
	refuse("{\"agents\":[{\"id\":\"b\"},{\"id\":\"a\"},{\"id\":\"b\"}]}",
	       422, "/agents/2/id");
	refuse("{\"agents\":[{\"id\":\"a\",\"id\":\"b\"}]}", 422,
	       "/agents/0/id");
	refuse("{\"agents\":[{\"id\":\"a\",\"status\":\"gone\"}]}", 422,
	       "/agents/0/status");
	refuse("{\"agents\":[{\"id\":\"a\",\"name\":7}]}", 422,
	       "/agents/0/name");
	refuse("{\"agents\":[{\"id\":\"a\",\"min_context_length\":1.5}]}", 422,
	       "/agents/0/min_context_length");
	refuse("{\"agents\":[{\"id\":\"a\",\"required_capabilities\":["
	       "\"x\",null]}]}",
	       422, "/agents/0/required_capabilities/1");
	refuse("{\"models\":[{\"id\":\"m\"}]}", 422, "/models/0");
	refuse("{\"models\":[{\"id\":\"m\",\"context_length\":null}]}", 422,
	       "/models/0");
	refuse("{\"models\":[{\"id\":\"m\",\"context_length\":0}]}", 422,
	       "/models/0/context_length");
	refuse("{\"models\":[{\"id\":\"m\",\"context_length\":\"9\"}]}", 422,
	       "/models/0/context_length");
	refuse("{\"models\":[{\"id\":\"m\",\"context_length\":1e300}]}", 422,
	       "/models/0/context_length");
	refuse("{\"models\":[{\"id\":\"m\",\"context_length\":1,"
	       "\"max_concurrent\":-1}]}",
	       422, "/models/0/max_concurrent");
	refuse("{\"models\":[{\"id\":\"m\",\"context_length\":1,"
	       "\"target_utilization\":0}]}",
	       422, "/models/0/target_utilization");
	refuse("{\"models\":[{\"id\":\"m\",\"context_length\":1,"
	       "\"capabilities\":{\"x\":1.5}}]}",
	       422, "/models/0/capabilities/x");
	refuse("{\"models\":[{\"id\":\"m\",\"context_length\":1,"
	       "\"capabilities\":{\"a/b~c\":-0.1}}]}",
	       422, "/models/0/capabilities/a~1b~0c");
	refuse("{\"models\":[{\"id\":\"m\",\"context_length\":1,"
	       "\"capabilities\":{\"x\":0.1,\"y\":0.2,\"x\":0.1}}]}",
	       422, "/models/0/capabilities/x");
	refuse("{\"models\":[{\"id\":\"m\\u0000x\",\"context_length\":1}]}",
	       422, "/models/0/id");
}

Test(router, what_is_no_json_is_no_json_whatever_stood_before)
{
	refuse("", 400, "");
	refuse("{\"strategy\":\"best\"", 400, "");
	refuse("{\"strategy\":\"best\"} x", 400, "");
	refuse("{} \"", 400, "");
	refuse("{}\"x", 400, "");
	refuse("{}-", 400, "");
	refuse("{}{}", 400, "");
	refuse("[]\"", 400, "");
	router_request_free(parse("{} \r\n\t"));
	refuse("{\"agents\":[{}],}", 400, "");
	refuse("{\"note\":01}", 400, "");
	refuse("{\"note\":\"\x80\"}", 400, "");
	refuse("{\"note\":\"\xc0\x80\"}", 400, "");
	refuse("{\"note\":\"\xc1\xbf\"}", 400, "");
	refuse("{\"note\":\"\xe0\x9f\xbf\"}", 400, "");
	refuse("{\"note\":\"\xed\xa0\x80\"}", 400, "");
	refuse("{\"note\":\"\xf0\x8f\xbf\xbf\"}", 400, "");
	refuse("{\"note\":\"12345678\xf4\x90\x80\x80\"}", 400, "");
	refuse("{\"note\":\"\xf7\xbf\xbf\xbf\"}", 400, "");
	refuse("{\"agents\":[{\"id\":\"\xc0\x80\"}]}", 400, "");
	router_request_free(parse("{\"\xc2\x80\":\"\xdf\xbf\xe0\xa0\x80\xed\x9f"
				  "\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f"
				  "\xbf\xbf\"}"));
	refuse("{\"note\":\"\\ud800\"}", 400, "");
	refuse("{\"note\":\"\\ud800x\\udc00\"}", 400, "");
	refuse("{\"note\":\"\\udc00\"}", 400, "");
	refuse("{\"note\":\"\\ud800\\n\"}", 400, "");
	refuse("{\"note\":nul}", 400, "");
	router_request_free(parse("{\"note\":\"\\\\ud800\\ud83d\\ude00\"}"));
}

/* As many strengths as a request may name, and each number below. */
Test(router, a_model_may_have_every_capability)
{
	for (unsigned n = 0; n <= ROUTER_CAPABILITIES_MAX; n++) {
		char body[4096];
		struct router_request *q;
		int at = snprintf(body, sizeof body,
				  "{\"agents\":[],\"models\":[{\"id\":\"m\","
				  "\"context_length\":1,\"capabilities\":{");

		for (unsigned k = 0; k < n; k++)
			at += snprintf(body + at, sizeof body - (size_t)at,
				       "%s\"c%02u\":%u.5e-2", k ? "," : "", k,
				       k + 1);
		snprintf(body + at, sizeof body - (size_t)at, "}}]}");
		q = parse(body);
		cr_assert_eq(
			(unsigned)__builtin_popcountll(q->models[0].strong), n);
		for (unsigned k = 0; k < n; k++)
			cr_assert_float_eq(q->models[0].strength[k],
					   (k + 1.5) / 100, 1e-12);
		router_request_free(q);
	}
}

Test(router, nesting_has_a_limit)
{
	char lists[NESTING_MAX + 1], ends[NESTING_MAX + 1];
	char body[3 * NESTING_MAX];

	memset(lists, '[', NESTING_MAX);
	memset(ends, ']', NESTING_MAX);
	for (int depth = NESTING_MAX - 1; depth <= NESTING_MAX; depth++) {
		snprintf(body, sizeof body, "{\"note\":%.*s%.*s}", depth, lists,
			 depth, ends);
		if (depth < NESTING_MAX)
			router_request_free(parse(body));
		else
			refuse(body, 400, "");
	}
}

Test(router, unknown_members_may_hold_anything)
{
	const char *key = key_of("{" MODELS "," AGENTS "}");

	cr_assert_str_eq(
		key,
		key_of("{\"id\":{\"agents\":[{}]},\"x\":[[{\"models\":1}]],"
		       "\"a\":null,\"enable_load_balancing\":null," MODELS
		       ",\"agents\":[{\"id\":\"a\",\"tasks\":[{\"id\":1,"
		       "\"required_capabilities\":3}],\"required_"
		       "capabilities\":"
		       "[\"coding\"],\"preferred_capabilities\":null},"
		       "{\"id\":\"b\",\"required_capabilities\":[\"coding\"],"
		       "\"capabilities\":{\"x\":9}},"
		       "{\"id\":\"c\",\"required_capabilities\":[\"math\"],"
		       "\"min_context_length\":8192,\"model_id\":null}]}"));
}

static double brute(unsigned row, unsigned n, unsigned m, const double *score,
		    uint64_t *left, unsigned placed, unsigned *best_placed,
		    double sum, double best)
{
	if (row == n) {
		if (placed > *best_placed ||
		    (placed == *best_placed && sum > best)) {
			*best_placed = placed;
			return sum;
		}
		return best;
	}
	best = brute(row + 1, n, m, score, left, placed, best_placed, sum,
		     best);
	for (unsigned k = 0; k < m; k++) {
		if (!left[k])
			continue;
		left[k]--;
		best = brute(row + 1, n, m, score, left, placed + 1,
			     best_placed, sum + score[row * m + k], best);
		left[k]++;
	}
	return best;
}

Test(router, optimal_equals_brute_force)
{
	srand(7);
	for (int t = 0; t < 4000; t++) {
		unsigned n = 1 + (unsigned)rand() % 5;
		unsigned m = 1 + (unsigned)rand() % 4, best_n = 0, placed = 0;
		double score[20], best, sum = 0;
		uint64_t capacity[4], left[4];
		int column[5];

		for (unsigned i = 0; i < n * m; i++)
			score[i] = rand() % 4 ? rand() % 10000 / 100.0 : 50;
		for (unsigned k = 0; k < m; k++)
			left[k] = capacity[k] = (uint64_t)rand() % 4;
		best = brute(0, n, m, score, left, 0, &best_n, 0, 0);
		cr_assert_eq(router_solve(n, m, score, capacity, column), 0);
		for (unsigned i = 0; i < n; i++)
			if (column[i] >= 0) {
				sum += score[i * m + (unsigned)column[i]];
				placed++;
				cr_assert_gt(capacity[column[i]]--, 0);
			}
		cr_assert_eq(placed, best_n);
		cr_assert_float_eq(sum, best, 1e-6);
	}
}
