/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an answer does not do, counted by the kernel and by the allocator.
 *
 * Invariant: once a router has answered such questions before, an answer that
 * is found makes no system call and no allocation, be it found by the
 * question's bytes or by its meaning; and one that is computed, from the
 * complete body to the ready response with the storing of it included, makes
 * no more than a few allocations, however large the question.
 */
#include "ground.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <jemalloc/jemalloc.h>

#include <larder/router.h>

enum { MIB = 1 << 20, N_HITS = 4000, N_MISSES = 200, MISS_MOST = 4 };

static struct larder *h;
static struct router *router;

struct question {
	unsigned n_agents, n_models;
	char *text;
	size_t n, room;
};

__attribute__((format(printf, 2, 3))) static void
append(struct question *q, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	q->n += (size_t)vsnprintf(q->text + q->n, q->room - q->n, format, list);
	va_end(list);
	need(q->n < q->room, "room for a question");
}

/* Written into memory that is there: nothing is allocated between answers.
 * @number: another question; @note: the same one in other bytes. */
static void write_question(struct question *q, unsigned number, unsigned note)
{
	q->n = 0;
	append(q, "{\"strategy\":\"optimal\",\"note\":%u,\"agents\":[", note);
	for (unsigned i = 0; i < q->n_agents; i++)
		append(q,
		       "%s{\"id\":\"q%u-a%u\",\"name\":\"Agent \\\"%u\\\"\","
		       "\"required_capabilities\":[\"coding\",\"c%u\"]}",
		       i ? "," : "", number, i, i, i % 7);
	append(q, "],\"models\":[");
	for (unsigned k = 0; k < q->n_models; k++)
		append(q,
		       "%s{\"id\":\"m%u\",\"context_length\":%u,"
		       "\"max_concurrent\":%u,\"capabilities\":{\"coding\":"
		       "%.3f,\"c%u\":0.5}}",
		       k ? "," : "", k, 4096 + k, 1 + k % 5, (k % 10) / 10.0,
		       k % 7);
	append(q, "]}");
}

static struct question question(unsigned n_agents, unsigned n_models)
{
	struct question q = {.n_agents = n_agents, .n_models = n_models};

	q.room = 200 * (size_t)(n_agents + n_models) + 1000;
	q.text = malloc(q.room);
	need(q.text != NULL, "memory");
	write_question(&q, 0, 0);
	return q;
}

static int ask(const struct question *q)
{
	struct router_answer answer;
	struct router_work *work;
	struct router_error error;
	int result = router_answer_begin(router, q->text, q->n, &answer, &work,
					 &error);

	if (result)
		return -1;
	router_body_free(router, answer.body);
	return (int)answer.status;
}

static void begin(void)
{
	struct larder_create_options o = {.size_of = sizeof o,
					  .bytes = 64 * MIB};
	char item[200];
	char etag[40];
	struct router_error error;

	unlink(in_folder("quiet"));
	h = segment_in("quiet", &o);
	need(!router_open(h, NULL, &router), "a router");
	for (unsigned k = 0; k < 40; k++) {
		int n = snprintf(item, sizeof item,
				 "{\"id\":\"m%u\",\"context_length\":9000}", k);
		char id[16];

		snprintf(id, sizeof id, "m%u", k);
		need(router_put(router, "models", id, item, (size_t)n, NULL,
				etag, &error) == 1,
		     "a catalog");
	}
}

/* ------------------------------------------------------------------ */
/* Found, by bytes and by meaning                                      */

static const char *by_bytes(struct question *q, unsigned number)
{
	(void)number;
	return ask(q) == ROUTER_HIT ? NULL : "no hit";
}

static const char *by_meaning(struct question *q, unsigned number)
{
	write_question(q, 0, number);
	return ask(q) == ROUTER_HIT ? NULL : "no hit";
}

static const struct {
	const char *what;
	const char *(*call)(struct question *q, unsigned number);
} calls[] = {
	{"found by its bytes", by_bytes},
	{"found by its meaning", by_meaning},
};
enum { N_KINDS = sizeof calls / sizeof calls[0], N_WARM = 1500 };

/* What is attached, grown or followed once is so from here on: the list of what
 * is asked most fills with its first thousand. */
static void warm_up(struct question *q)
{
	need(ask(q) == ROUTER_MISS, "an answer");
	for (unsigned k = 0; k < N_KINDS; k++)
		for (unsigned i = 1; i < N_WARM; i++)
			need(!calls[k].call(q, i), calls[k].what);
	write_question(q, 0, 0);
}

static int system_calls(void)
{
	struct question q = question(30, 20);

	begin();
	warm_up(&q);
	if (!catch_system_calls())
		return NOT_ALLOWED;
	getppid();
	claim(system_calls_caught() == 1, "a system call is caught");
	for (unsigned k = 0; k < N_KINDS; k++) {
		const char *wrong = NULL;
		int n_caught;

		for (unsigned i = 0; i < N_HITS && !wrong; i++)
			wrong = calls[k].call(&q, N_WARM + i);
		n_caught = system_calls_caught();
		claim(!wrong && n_caught == 0, "%s: %d system calls in %d (%s)",
		      calls[k].what, n_caught, N_HITS,
		      wrong ? wrong : "as meant");
	}
	fflush(stdout);
	syscall(SYS_exit_group, n_failed() != 0);
	return 1;
}

static int allocations(void)
{
	struct question q = question(30, 20);
	uint64_t *allocated, before;
	size_t n = sizeof allocated;

	begin();
	warm_up(&q);
	if (mallctl("thread.allocatedp", &allocated, &n, NULL, 0))
		return NOT_ALLOWED;
	for (unsigned k = 0; k < N_KINDS; k++) {
		const char *wrong = NULL;

		before = *allocated;
		for (unsigned i = 0; i < N_HITS && !wrong; i++)
			wrong = calls[k].call(&q, N_WARM + i);
		claim(!wrong && *allocated == before,
		      "%s: %llu bytes allocated in %d (%s)", calls[k].what,
		      (unsigned long long)(*allocated - before), N_HITS,
		      wrong ? wrong : "as meant");
	}
	free(q.text);
	router_close(router);
	larder_close(h);
	return 0;
}

/* ------------------------------------------------------------------ */
/* Computed                                                            */

/* Allocations made so far, as the allocator counts them. */
static bool requests(uint64_t *n)
{
	uint64_t epoch = 1, small, large;
	size_t n_epoch = sizeof epoch, n_count = sizeof small;
	char name[80];

	if (mallctl("thread.tcache.flush", NULL, NULL, NULL, 0) ||
	    mallctl("epoch", &epoch, &n_epoch, &epoch, sizeof epoch))
		return false;
	snprintf(name, sizeof name, "stats.arenas.%u.small.nrequests",
		 MALLCTL_ARENAS_ALL);
	if (mallctl(name, &small, &n_count, NULL, 0))
		return false;
	snprintf(name, sizeof name, "stats.arenas.%u.large.nrequests",
		 MALLCTL_ARENAS_ALL);
	if (mallctl(name, &large, &n_count, NULL, 0))
		return false;
	*n = small + large;
	return true;
}

/* The most that one answer of this size allocates: the first, for which there
 * is no memory yet, and the others. False: the allocator does not count. */
static bool most_of_misses(unsigned n_agents, unsigned n_models,
			   uint64_t *first, uint64_t *later)
{
	struct question q = question(n_agents, n_models);
	uint64_t before, after;

	*later = 0;
	for (unsigned i = 0; i < N_MISSES; i++) {
		int kind;

		write_question(&q, i, 0);
		if (!requests(&before))
			return false;
		kind = ask(&q);
		if (!requests(&after))
			return false;
		need(kind == ROUTER_MISS, "a miss");
		after -= before;
		if (i == 0)
			*first = after;
		else if (after > *later)
			*later = after;
	}
	free(q.text);
	return true;
}

static int misses(void)
{
	static const unsigned sizes[][2] = {
		{2, 5}, {30, 20}, {100, 50}, {400, 200}};
	uint64_t before, after, first, later;

	begin();
	if (!requests(&before))
		return NOT_ALLOWED;
	for (size_t size = 100; size <= 100000; size *= 1000) {
		void *something = malloc(size);

		__asm__ volatile("" ::"r"(something) : "memory");
		free(something);
	}
	if (!requests(&after))
		return NOT_ALLOWED;
	claim(after - before == 2, "two allocations are counted: %llu",
	      (unsigned long long)(after - before));
	for (unsigned k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
		if (!most_of_misses(sizes[k][0], sizes[k][1], &first, &later))
			return NOT_ALLOWED;
		claim(first <= 4 * MISS_MOST && later <= MISS_MOST,
		      "%u agents x %u models computed and stored: %llu "
		      "allocations at first, then at most %llu",
		      sizes[k][0], sizes[k][1], (unsigned long long)first,
		      (unsigned long long)later);
	}
	router_close(router);
	larder_close(h);
	return 0;
}

int main(void)
{
	folder();
	stage("system calls", system_calls);
	stage("allocations", allocations);
	stage("allocations of what is computed", misses);
	return curtain();
}
