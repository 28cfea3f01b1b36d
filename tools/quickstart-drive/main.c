/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quickstart-drive: the same requests to a router with the cache and to one
 * without, turn by turn, and what that showed. Started by tools/quickstart.
 */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load.h"
#include "process.h"
#include "report.h"

struct options {
	const char *with, *without, *segment, *without_segment, *trace;
	pid_t with_pid, without_pid;
	double seconds;
	uint64_t seed;
	bool json;
};

static const struct argp_option option_list[] = {
	{"with", 'w', "WHERE", 0, "The router with the cache", 0},
	{"without", 'o', "WHERE", 0, "The router without", 0},
	{"with-pid", 1, "PID", 0, "Its master", 0},
	{"without-pid", 2, "PID", 0, "The other's master", 0},
	{"segment", 's', "PATH", 0, "The segment of the first", 0},
	{"without-segment", 3, "PATH", 0, "That of the other", 0},
	{"trace", 't', "FILE", 0, "Replay a recorded trace", 0},
	{"seconds", 'n', "N", 0, "About how long (default 20)", 0},
	{"seed", 'r', "N", 0, "Of the workload (default 1)", 0},
	{"json", 'j', NULL, 0, "Figures for machines", 0},
	{NULL, 0, NULL, 0, NULL, 0},
};

static error_t parse(int key, char *value, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'w':
		o->with = value;
		return 0;
	case 'o':
		o->without = value;
		return 0;
	case 1:
		o->with_pid = (pid_t)strtol(value, NULL, 10);
		return 0;
	case 2:
		o->without_pid = (pid_t)strtol(value, NULL, 10);
		return 0;
	case 's':
		o->segment = value;
		return 0;
	case 3:
		o->without_segment = value;
		return 0;
	case 't':
		o->trace = value;
		return 0;
	case 'n':
		o->seconds = strtod(value, NULL);
		return 0;
	case 'r':
		o->seed = strtoull(value, NULL, 10);
		return 0;
	case 'j':
		o->json = true;
		return 0;
	case ARGP_KEY_END:
		if (!o->with || !o->without || !o->with_pid || !o->without_pid)
			argp_error(state, "both servers and both pids are "
					  "wanted");
		if (!(o->seconds >= 1 && o->seconds <= 3600) || !o->seed)
			argp_error(state, "--seconds 1 to 3600, --seed from 1");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

struct side {
	struct target target;
	pid_t pid;
	const char *path;
};

struct bar {
	const char *what;
	uint32_t done_before, total, shown;
};

static void progress(void *context, uint32_t done, uint32_t total)
{
	struct bar *b = context;
	uint32_t percent =
		(b->done_before + done) * 100 / (b->total ? b->total : 1);

	(void)total;
	/* A terminal gets a line that moves, a log one for each part. */
	if (percent == b->shown || (!isatty(STDERR_FILENO) && percent < 100))
		return;
	b->shown = percent;
	fprintf(stderr, "\r  %-34s %3u %%", b->what, percent);
	fflush(stderr);
}

static uint64_t cpu_of(const struct side *s)
{
	struct process_cost cost = {0};

	process_cost(s->pid, s->path, 0, &cost);
	return cost.cpu_ns;
}

/* One part of the workload on one side. */
static int drive(struct side *s, struct workload *w, uint32_t first, uint32_t n,
		 struct load_result *result, uint64_t *cpu_ns, struct bar *b)
{
	uint64_t before = cpu_of(s);
	int error = load_run(&s->target, w, first, n, 8, result, progress, b);

	*cpu_ns += cpu_of(s) - before;
	b->done_before += n;
	return error;
}

/* The whole workload on both, in turns, so that a machine whose speed drifts
 * drifts for both. */
static int compare(struct side *with, struct side *without, struct workload *w,
		   const char *what, struct pair *p)
{
	enum { TURNS = 8 };
	struct bar b = {.what = what, .total = w->n_order * 2};
	uint32_t at = 0;

	p->what = what;
	p->n_distinct = w->n_bodies;
	for (uint32_t turn = 0; turn < TURNS; turn++) {
		uint32_t end =
			(uint32_t)((uint64_t)w->n_order * (turn + 1) / TURNS);

		if (drive(without, w, at, end - at, &p->without,
			  &p->cpu_without_ns, &b) ||
		    drive(with, w, at, end - at, &p->with, &p->cpu_with_ns,
			  &b)) {
			fprintf(stderr, "\n%s%s\n", p->with.failure,
				p->without.failure);
			return -1;
		}
		at = end;
	}
	fprintf(stderr, "\n");
	return 0;
}

/* How many requests fill the time? From a short run of each kind. */
static uint32_t fitting(struct side *with, struct side *without,
			enum shape shape, double seconds, uint64_t seed)
{
	enum { TRIAL = 120 };
	struct load_result a = {0}, b = {0};
	struct bar bar = {.what = "how fast is this machine?",
			  .total = TRIAL * 2};
	struct workload w;
	uint64_t cpu = 0;
	double each, n = 400;

	if (!workload_make(&w, shape, TRIAL, TRIAL, seed + 77))
		return 0;
	if (!drive(without, &w, 0, TRIAL, &b, &cpu, &bar) &&
	    !drive(with, &w, 0, TRIAL, &a, &cpu, &bar)) {
		each = (double)(a.wall_ns + b.wall_ns) / TRIAL / 1e9;
		n = each > 0 ? seconds / each : n;
	}
	fprintf(stderr, "\n");
	load_result_free(&a);
	load_result_free(&b);
	workload_free(&w);
	return n < 400 ? 400 : n > 200000 ? 200000 : (uint32_t)n;
}

static int run_pair(struct side *with, struct side *without, enum shape shape,
		    const char *what, double seconds, uint64_t seed,
		    struct pair *p)
{
	struct workload w;
	uint32_t n = fitting(with, without, shape, seconds, seed);
	uint32_t n_distinct = (uint32_t)(n * WORKLOAD_DISTINCT) + 1;
	int error;

	if (shape == SHAPE_LARGE && n_distinct > WORKLOAD_LARGE_MOST)
		n_distinct = WORKLOAD_LARGE_MOST;
	if (!n || !workload_make(&w, shape, n, n_distinct, seed))
		return -1;
	error = compare(with, without, &w, what, p);
	workload_free(&w);
	return error;
}

/*
 * Questions that never come again, after those that did: what the hits have
 * paid for is still kept of them, and counted.
 */
static int run_distinct(struct side *with, struct side *without,
			const struct options *o, struct pair *p)
{
	enum { COUNTED = 8000 };
	struct workload w;
	int error;

	if (!workload_make(&w, SHAPE_LARGE, COUNTED, COUNTED, o->seed + 2))
		return -1;
	error = compare(with, without, &w, "Nothing asked twice", p);
	workload_free(&w);
	return error;
}

static int run_trace(struct side *with, struct side *without,
		     const struct options *o, struct report *r)
{
	struct workload w;
	char why[200];
	int error;

	if (workload_read_trace(&w, o->trace, o->seconds / 2, 100000, o->seed,
				why, sizeof(why))) {
		fprintf(stderr, "%s: %s\n", o->trace, why);
		return -1;
	}
	/* In turns would tear the trace's clock: one after the other. */
	struct bar b = {.what = "the trace", .total = w.n_order * 2};

	r->mixed.what = "The trace";
	r->mixed.n_distinct = w.n_bodies;
	r->speed_up = w.recorded_seconds / (o->seconds / 2);
	error = drive(without, &w, 0, w.n_order, &r->mixed.without,
		      &r->mixed.cpu_without_ns, &b) ||
		drive(with, &w, 0, w.n_order, &r->mixed.with,
		      &r->mixed.cpu_with_ns, &b);
	fprintf(stderr, "\n");
	workload_free(&w);
	return error ? -1 : 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		option_list,
		parse,
		NULL,
		"The same requests to two routers, with the cache and without.",
		NULL,
		NULL,
		NULL};
	struct options o = {.seconds = 20, .seed = 1};
	struct report r = {0};
	struct side with = {0}, without = {0};
	int missed, error;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	with.pid = o.with_pid;
	with.path = o.segment;
	without.pid = o.without_pid;
	if (target_parse(&with.target, o.with) ||
	    target_parse(&without.target, o.without)) {
		fprintf(stderr, "no such address\n");
		return 2;
	}
	r.seed = o.seed;
	if (o.trace) {
		error = run_trace(&with, &without, &o, &r);
	} else {
		error = run_pair(&with, &without, SHAPE_MIXED,
				 "Requests of every shape", o.seconds * 0.4,
				 o.seed, &r.mixed);
		if (!error)
			error = run_pair(&with, &without, SHAPE_LARGE,
					 "Optimal, 100 agents x 50 models",
					 o.seconds * 0.35, o.seed + 1,
					 &r.large);
		if (!error && o.seconds >= 10)
			error = run_distinct(&with, &without, &o, &r.distinct);
	}
	if (error)
		return 1;
	process_cost(with.pid, o.segment, 1, &r.cost_with);
	process_cost(without.pid, o.without_segment, 1, &r.cost_without);
	missed = o.json ? report_json(stdout, &r) : report_print(stdout, &r);
	if (r.mixed.with.n_failed || r.mixed.with.n_different ||
	    r.large.with.n_failed || r.large.with.n_different) {
		fprintf(stderr, "%s\n",
			r.mixed.with.failure[0] ? r.mixed.with.failure
						: r.large.with.failure);
		return 1;
	}
	(void)missed; /* shown; a crowded machine is no failure */
	return 0;
}
