/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assign: what routing computes, by size: scores, the three strategies, the
 * solver beside a textbook's and beside scipy's, and a whole answer before and
 * after it is in the cache.
 *
 * Everything runs in one thread, turn by turn within a repeat. The solver's
 * total must equal the others' (to 1e-6 of it), or the run fails.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <larder/router.h>

#include "../tools/quickstart-drive/workload.h"
#include "commands.h"
#include "results.h"
#include "routing/textbook.h"
#include "rundir.h"

enum { SIZES_MAX = 8, SEGMENT_BYTES = 64 << 20 };

/* A call is repeated until this much time is gone. */
static const uint64_t enough_ns = 4000000;

static const struct bench_command command = {
	.name = "assign",
	.usage = "[OPTION...] [AGENTSxMODELS...]",
	.about = "Times of scoring, of the strategies and of whole answers, "
		 "uncached and cached, by size\n(default 10x5 30x20 100x50 "
		 "500x100 1000x1000), and of the optimal solver beside a\n"
		 "textbook's and python3-scipy's (where it is installed). Of "
		 "the options, --repeats,\n--seed, --json, --csv and --plot "
		 "have a meaning here.",
	.defaults = "--systems larder --repeats 5",
	.max_operands = SIZES_MAX,
};

/* What is timed. The last three are given the same matrix. */
enum timed {
	SCORING, /* all pairs */
	GREEDY,
	BALANCED,
	OPTIMAL,
	UNCACHED, /* a whole answer from its body */
	CACHED,
	SOLVER,
	TEXTBOOK,
	SCIPY,
	N_TIMED,
};
static const char *const timed_names[N_TIMED] = {
	"scoring", "greedy", "balanced", "optimal", "uncached",
	"cached",  "solver", "textbook", "scipy",
};

struct row {
	uint32_t n_agents, n_models;
	double ns[N_TIMED][BENCH_REPEATS_MAX]; /* 0: not measured */
};

/* One size's inputs. */
struct subject {
	struct body body;
	struct router *fresh, *sharing;
	struct router_request *request;
	struct router_result result;
	double *score; /* agents x models, at random */
	uint64_t *capacity;
	int *column;
	char matrix[128]; /* the file that scipy reads */
};

static bool failed(const char *doing, int error)
{
	bench_complain("%s: %s", doing, bench_error(error));
	return false;
}

/* Scores at random; every model takes its share of the agents, and one more. */
static bool matrix_make(struct subject *s, const struct row *row, uint64_t seed)
{
	size_t n = (size_t)row->n_agents * row->n_models;
	uint64_t rng = seed;
	FILE *to;

	for (size_t i = 0; i < n; i++)
		s->score[i] = 100 * random_unit(&rng);
	for (uint32_t k = 0; k < row->n_models; k++)
		s->capacity[k] = row->n_agents <= row->n_models
					 ? 1
					 : row->n_agents / row->n_models + 1;
	if (!rundir_file("matrix", s->matrix, sizeof s->matrix))
		return false;
	to = fopen(s->matrix, "we");
	if (!to || fwrite(s->score, sizeof *s->score, n, to) != n) {
		bench_complain("%s: cannot be written", s->matrix);
		if (to)
			fclose(to);
		return false;
	}
	return fclose(to) == 0;
}

static void subject_free(struct subject *s)
{
	router_request_free(s->request);
	router_close(s->fresh);
	free(s->body.text);
	free(s->result.assignments);
	free(s->score);
	free(s->capacity);
	free(s->column);
}

static bool subject_make(struct subject *s, const struct row *row,
			 struct router *sharing, uint64_t seed)
{
	struct router_options options = {.size_of = sizeof options,
					 .never_cache = 1};
	struct router_error error;
	size_t n = row->n_agents;

	*s = (struct subject){.sharing = sharing};
	s->result.assignments = bench_alloc(n * sizeof *s->result.assignments);
	s->score = bench_alloc(n * row->n_models * sizeof *s->score);
	s->capacity = bench_alloc(row->n_models * sizeof *s->capacity);
	s->column = bench_alloc(n * sizeof *s->column);
	if (!body_make(&s->body, "optimal", row->n_agents, row->n_models, seed))
		return failed("a body", -ENOMEM);
	if (router_open(NULL, &options, &s->fresh))
		return failed("a router", -ENOMEM);
	if (router_request_parse(s->fresh, s->body.text, s->body.n_text,
				 &s->request, &error)) {
		bench_complain("%ux%u: %s %s", row->n_agents, row->n_models,
			       error.pointer, error.detail);
		return false;
	}
	return matrix_make(s, row, seed);
}

/* ------------------------------------------------------------------ */

static double score_all(const struct router_request *q)
{
	double sum = 0;

	for (unsigned i = 0; i < q->n_agents; i++)
		for (unsigned k = 0; k < q->n_models; k++)
			sum += router_match(&router_default_weights,
					    &q->agents[i], &q->models[k]);
	return sum;
}

/* Answer the whole body once. The status, or a negative errno. */
static int answer(struct subject *s, struct router *router)
{
	struct router_answer a = {0};
	struct router_work *work;
	struct router_error error;
	int result = router_answer_begin(router, s->body.text, s->body.n_text,
					 &a, &work, &error);

	if (result == LARDER_WAIT) {
		router_answer_cancel(router, work);
		return -EBUSY;
	}
	if (result)
		return result;
	router_body_free(router, a.body);
	return (int)a.status;
}

/* Do it once; a negative errno on failure. */
static int once(struct subject *s, enum timed what, const struct row *row)
{
	double sum;

	switch (what) {
	case SCORING:
		sum = score_all(s->request);
		return sum < 0 ? -EDOM : 0;
	case GREEDY:
	case BALANCED:
	case OPTIMAL:
		s->request->strategy = what == GREEDY	  ? ROUTER_GREEDY
				       : what == BALANCED ? ROUTER_BALANCED
							  : ROUTER_OPTIMAL;
		return router_assign(&router_default_weights, s->request,
				     &s->result);
	case UNCACHED:
		return answer(s, s->fresh);
	case CACHED:
		return answer(s, s->sharing);
	case SOLVER:
		return router_solve(row->n_agents, row->n_models, s->score,
				    s->capacity, s->column);
	default:
		return -EINVAL;
	}
}

/* Mean of as many calls as fill the time; below 0: complained. */
static double mean_ns(struct subject *s, enum timed what, const struct row *row)
{
	uint64_t begun = bench_now_ns(), took;
	unsigned n = 0;

	do {
		int result = once(s, what, row);

		if (result < 0) {
			failed(timed_names[what], result);
			return -1;
		}
		n++;
		took = bench_now_ns() - begun;
	} while (took < enough_ns);
	return (double)took / n;
}

static double total_of(const struct subject *s, const struct row *row)
{
	double total = 0;

	for (uint32_t i = 0; i < row->n_agents; i++)
		if (s->column[i] >= 0)
			total += s->score[(size_t)i * row->n_models +
					  (unsigned)s->column[i]];
	return total;
}

static bool same_total(const struct row *row, const char *whose, double theirs,
		       double ours)
{
	if (fabs(theirs - ours) <= 1e-6 * ours)
		return true;
	bench_complain("%ux%u: router_solve() found a total of %.9g, %s one of "
		       "%.9g: a wrong answer",
		       row->n_agents, row->n_models, ours, whose, theirs);
	return false;
}

static bool time_textbook(struct subject *s, struct row *row, unsigned repeat)
{
	uint64_t begun = bench_now_ns();
	double total;

	if (!textbook_solve(row->n_agents, row->n_models, s->score, s->capacity,
			    &total))
		return failed("the textbook's solver", -ENOMEM);
	row->ns[TEXTBOOK][repeat] = (double)(bench_now_ns() - begun);
	return same_total(row, "the textbook", total, total_of(s, row));
}

/* Nothing where python3-scipy is not installed. */
static bool time_scipy(struct subject *s, struct row *row, unsigned repeat)
{
	static const char program[] =
		"import sys, time, numpy\n"
		"from scipy.optimize import linear_sum_assignment as solve\n"
		"n, m, c = map(int, sys.argv[2:])\n"
		"a = numpy.fromfile(sys.argv[1]).reshape(n, m)\n"
		"a = numpy.ascontiguousarray(numpy.repeat(a, c, axis=1))\n"
		"solve(a[:2], maximize=True)\n"
		"t = time.perf_counter()\n"
		"i, k = solve(a, maximize=True)\n"
		"t = time.perf_counter() - t\n"
		"print(t * 1e9, repr(float(a[i, k].sum())))\n";
	char script[128], line[512];
	double ns, total;
	FILE *file;
	int n;

	if (!rundir_file("solve.py", script, sizeof script))
		return false;
	file = fopen(script, "we");
	if (!file || fputs(program, file) < 0 || fclose(file))
		return failed("a script for scipy", -EIO);
	/* Debian's module belongs to Debian's interpreter. */
	snprintf(line, sizeof line,
		 "exec /usr/bin/python3 %s %s %u %u %llu 2>/dev/null", script,
		 s->matrix, row->n_agents, row->n_models,
		 (unsigned long long)s->capacity[0]);
	file = popen(line, "re");
	if (!file)
		return true;
	n = fscanf(file, "%lf %lf", &ns, &total);
	pclose(file);
	if (n != 2)
		return true;
	row->ns[SCIPY][repeat] = ns;
	return same_total(row, "scipy", total, total_of(s, row));
}

static bool measure_repeat(struct subject *s, struct row *row, unsigned repeat)
{
	for (enum timed what = SCORING; what <= SOLVER; what++) {
		double ns;

		/* Stored unless it is cheaper to compute than to find: then
		 * there is no cached answer to time. */
		if (what == CACHED && (answer(s, s->sharing) < 0 ||
				       answer(s, s->sharing) != ROUTER_HIT))
			continue;
		ns = mean_ns(s, what, row);
		if (ns < 0)
			return false;
		row->ns[what][repeat] = ns;
	}
	return time_textbook(s, row, repeat) && time_scipy(s, row, repeat);
}

static bool measure(struct bench_options *o, struct row *rows, unsigned n_rows,
		    struct router *sharing)
{
	struct subject *subjects = bench_alloc(n_rows * sizeof *subjects);
	struct bench_progress progress;
	bool fine = true;

	for (unsigned i = 0; i < n_rows && fine; i++)
		fine = subject_make(&subjects[i], &rows[i], sharing,
				    o->plan.seed + i);
	bench_progress_begin(&progress, "sizes", n_rows * o->plan.repeats);
	for (unsigned r = 0; r < o->plan.repeats && fine; r++)
		for (unsigned i = 0; i < n_rows && fine; i++) {
			bench_progress_step(&progress, "assigning");
			fine = !bench_interrupted() &&
			       matrix_make(&subjects[i], &rows[i],
					   o->plan.seed + i) &&
			       measure_repeat(&subjects[i], &rows[i], r);
		}
	bench_progress_end(&progress);
	for (unsigned i = 0; i < n_rows; i++)
		subject_free(&subjects[i]);
	free(subjects);
	return fine;
}

/* ------------------------------------------------------------------ */

static struct spread times(const struct bench_options *o, const struct row *row,
			   enum timed what)
{
	return spread_of(row->ns[what], o->plan.repeats);
}

static struct spread ratio(const struct bench_options *o, const struct row *row,
			   enum timed what, enum timed to)
{
	if (row->ns[to][0] <= 0 || row->ns[what][0] <= 0)
		return (struct spread){0};
	return spread_of_ratio(row->ns[what], row->ns[to], o->plan.repeats);
}

static int print_json(const struct bench_options *o, const struct row *rows,
		      unsigned n_rows)
{
	json_t *sizes = json_array();

	for (unsigned i = 0; i < n_rows; i++) {
		json_t *size =
			json_pack("{s:i, s:i}", "agents", (int)rows[i].n_agents,
				  "models", (int)rows[i].n_models);

		for (enum timed what = 0; what < N_TIMED; what++)
			if (rows[i].ns[what][0] > 0)
				json_object_set_new(
					size, timed_names[what],
					json_of_spread(
						times(o, &rows[i], what)));
		json_object_set_new(
			size, "solver_to_scipy",
			json_of_spread(ratio(o, &rows[i], SOLVER, SCIPY)));
		json_object_set_new(
			size, "uncached_to_cached",
			json_of_spread(ratio(o, &rows[i], UNCACHED, CACHED)));
		json_array_append_new(sizes, size);
	}
	return json_print(json_pack("{s:s, s:o, s:o, s:i, s:o}", "command",
				    "assign", "machine", json_of_machine(),
				    "build", json_of_build(), "repeats",
				    (int)o->plan.repeats, "ns", sizes));
}

static void print_csv(const struct bench_options *o, const struct row *rows,
		      unsigned n_rows)
{
	puts("agents,models,what,repeat,ns");
	for (unsigned i = 0; i < n_rows; i++)
		for (enum timed what = 0; what < N_TIMED; what++)
			for (unsigned r = 0; r < o->plan.repeats; r++)
				printf("%u,%u,%s,%u,%.0f\n", rows[i].n_agents,
				       rows[i].n_models, timed_names[what],
				       r + 1, rows[i].ns[what][r]);
}

static void ratio_cell(struct table *table, struct spread s)
{
	if (s.median > 0)
		table_cell(table, "%.2f (%.2f..%.2f)", s.median, s.least,
			   s.most);
	else
		table_cell(table, "-");
}

static void print_table(const struct bench_options *o, const struct row *rows,
			unsigned n_rows)
{
	static const char *const ratios[] = {
		"TEXTBOOK TO SOLVER", "SOLVER TO SCIPY", "UNCACHED TO CACHED"};
	struct table *table = table_new();
	char name[16], text[16];

	table_column(table, "AGENTS", true);
	table_column(table, "MODELS", true);
	table_column(table, "A SCORE", true);
	for (enum timed what = GREEDY; what < N_TIMED; what++) {
		for (unsigned k = 0; k < sizeof name; k++)
			name[k] = timed_names[what][k] & ~0x20;
		table_column(table, name, true);
	}
	for (unsigned i = 0; i < n_rows; i++) {
		table_cell(table, "%u", rows[i].n_agents);
		table_cell(table, "%u", rows[i].n_models);
		table_cell(table, "%.1f ns",
			   times(o, &rows[i], SCORING).median /
				   rows[i].n_agents / rows[i].n_models);
		for (enum timed what = GREEDY; what < N_TIMED; what++)
			table_cell(table, "%s",
				   rows[i].ns[what][0] > 0
					   ? text_of_ns(times(o, &rows[i], what)
								.median,
							text)
					   : "-");
	}
	table_print(table);
	puts("");
	table = table_new();
	table_column(table, "AGENTS", true);
	table_column(table, "MODELS", true);
	for (unsigned k = 0; k < 3; k++)
		table_column(table, ratios[k], true);
	for (unsigned i = 0; i < n_rows; i++) {
		table_cell(table, "%u", rows[i].n_agents);
		table_cell(table, "%u", rows[i].n_models);
		ratio_cell(table, ratio(o, &rows[i], TEXTBOOK, SOLVER));
		ratio_cell(table, ratio(o, &rows[i], SOLVER, SCIPY));
		ratio_cell(table, ratio(o, &rows[i], UNCACHED, CACHED));
	}
	table_print(table);
}

static bool plot(const struct bench_options *o, const struct row *rows,
		 unsigned n_rows)
{
	struct plot drawing;
	FILE *to = plot_begin(&drawing);

	if (!to)
		return false;
	fputs("set title 'Computing an assignment, and finding it'\n"
	      "set logscale y\nset grid\nset key outside\n"
	      "set ylabel 'microseconds'\nset xlabel 'agents x models'\n"
	      "set style data linespoints\n$data << EOD\nsize",
	      to);
	for (enum timed what = GREEDY; what < N_TIMED; what++)
		fprintf(to, " %s", timed_names[what]);
	for (unsigned i = 0; i < n_rows; i++) {
		fprintf(to, "\n%ux%u", rows[i].n_agents, rows[i].n_models);
		for (enum timed what = GREEDY; what < N_TIMED; what++)
			if (rows[i].ns[what][0] > 0)
				fprintf(to, " %g",
					times(o, &rows[i], what).median / 1e3);
			else
				fputs(" ?", to);
	}
	fprintf(to,
		"\nEOD\nset datafile missing '?'\n"
		"plot for [i=2:%d] $data using i:xtic(1) lw 2 title "
		"columnheader(i)\n",
		N_TIMED - GREEDY + 1);
	return plot_end(&drawing, o->plot);
}

/* ------------------------------------------------------------------ */

static unsigned sizes_take(const struct bench_options *o, struct row *rows)
{
	static const uint32_t defaults[][2] = {
		{10, 5}, {30, 20}, {100, 50}, {500, 100}, {1000, 1000}};
	unsigned n = 0;

	for (int i = 0; i < o->n_operands; i++, n++) {
		char after;

		if (sscanf(o->operands[i], "%5ux%5u%c", &rows[n].n_agents,
			   &rows[n].n_models, &after) != 2 ||
		    rows[n].n_agents < 1 || rows[n].n_models < 1 ||
		    rows[n].n_agents > ROUTER_AGENTS_MAX ||
		    rows[n].n_models > ROUTER_MODELS_MAX) {
			bench_complain("'%s' is no size: AGENTSxMODELS, up to "
				       "%dx%d",
				       o->operands[i], ROUTER_AGENTS_MAX,
				       ROUTER_MODELS_MAX);
			return 0;
		}
	}
	if (n == 0)
		for (; n < sizeof defaults / sizeof defaults[0]; n++) {
			rows[n].n_agents = defaults[n][0];
			rows[n].n_models = defaults[n][1];
		}
	return n;
}

/* A segment and a router on it, which shares what it computes. */
static int sharing_open(struct larder **cache, struct router **router)
{
	struct larder_create_options create = {.size_of = sizeof create,
					       .bytes = SEGMENT_BYTES};
	struct larder_open_options open = {.size_of = sizeof open,
					   .flags = LARDER_OPEN_CREATE,
					   .create = &create};
	struct router_options options = {.size_of = sizeof options};
	char path[128];
	int result;

	if (!rundir_file("assign", path, sizeof path))
		return -EIO;
	result = larder_open(path, &open, cache);
	if (result)
		return result;
	result = router_open(*cache, &options, router);
	if (result)
		larder_close(*cache);
	return result;
}

int bench_assign(int argc, char **argv)
{
	struct bench_options o;
	struct row *rows;
	struct larder *cache;
	struct router *sharing;
	unsigned n_rows;
	int status;
	bool fine;

	if (bench_options_parse(&command, argc, argv, &o, &status))
		return status;
	rows = bench_alloc(SIZES_MAX * sizeof *rows);
	n_rows = sizes_take(&o, rows);
	status = n_rows ? sharing_open(&cache, &sharing) : 0;
	if (!n_rows || status) {
		if (status)
			failed("a segment", status);
		free(rows);
		return n_rows ? BENCH_FAILED : BENCH_USAGE;
	}
	fine = measure(&o, rows, n_rows, sharing);
	router_close(sharing);
	larder_close(cache);
	rundir_remove();
	status = fine ? BENCH_OK : BENCH_FAILED;
	if (fine && o.json) {
		status = print_json(&o, rows, n_rows);
	} else if (fine && o.csv) {
		print_csv(&o, rows, n_rows);
	} else if (fine) {
		print_machine(stdout);
		print_table(&o, rows, n_rows);
	}
	if (fine && o.plot && !plot(&o, rows, n_rows))
		status = BENCH_FAILED;
	free(rows);
	return status;
}
