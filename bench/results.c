/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Medians, machine and build, JSON parts, tables, plots.
 */
#include "results.h"

#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <larder/larder.h>

#include "bench_build.h"

void result_add(struct result *r, const struct turn *turn)
{
	unsigned i = r->n++;

	r->mops[i] = turn->mops;
	r->ns[i] = turn->ns_per_op;
	r->p50[i] = latency_quantile(&turn->get, 0.5);
	r->p99[i] = latency_quantile(&turn->get, 0.99);
	r->p999[i] = latency_quantile(&turn->get, 0.999);
	latency_merge(&r->get, &turn->get);
	latency_merge(&r->put, &turn->put);
	r->n_ops += turn->n_ops;
	r->n_gets += turn->n_gets;
	r->n_misses += turn->n_misses;
	r->counts.has = i ? r->counts.has & turn->counts.has : turn->counts.has;
	for (unsigned k = 0; k < COUNT_KINDS; k++)
		r->counts.value[k] += turn->counts.value[k];
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct spread spread_of(const double *value, unsigned n)
{
	double sorted[BENCH_REPEATS_MAX];

	if (!n)
		return (struct spread){0, 0, 0};
	memcpy(sorted, value, n * sizeof *sorted);
	qsort(sorted, n, sizeof *sorted, by_value);
	return (struct spread){
		.median = n % 2 ? sorted[n / 2]
				: (sorted[n / 2 - 1] + sorted[n / 2]) / 2,
		.least = sorted[0],
		.most = sorted[n - 1],
	};
}

struct spread spread_of_ratio(const double *a, const double *b, unsigned n)
{
	double ratio[BENCH_REPEATS_MAX];

	for (unsigned i = 0; i < n; i++)
		ratio[i] = b[i] > 0 ? a[i] / b[i] : 0;
	return spread_of(ratio, n);
}

const struct result *result_find(const struct result *results, unsigned n,
				 const char *name)
{
	for (unsigned i = 0; i < n; i++)
		if (!strcmp(results[i].name, name))
			return &results[i];
	return NULL;
}

/* ------------------------------------------------------------------ */
/* Machine and build                                                   */

/* The value after @name in a file of "name : value" lines. */
static void file_field(const char *path, const char *name, char *value,
		       size_t n_value)
{
	FILE *file = fopen(path, "re");
	char line[512];

	snprintf(value, n_value, "unknown");
	if (!file)
		return;
	while (fgets(line, sizeof line, file)) {
		char *colon = strchr(line, ':');

		if (!colon || strncmp(line, name, strlen(name)))
			continue;
		colon += 1 + strspn(colon + 1, " \t");
		colon[strcspn(colon, "\n")] = '\0';
		snprintf(value, n_value, "%s", colon);
		break;
	}
	fclose(file);
}

static void first_line(const char *path, char *value, size_t n_value)
{
	FILE *file = fopen(path, "re");

	snprintf(value, n_value, "unknown");
	if (!file)
		return;
	if (fgets(value, (int)n_value, file))
		value[strcspn(value, "\n")] = '\0';
	fclose(file);
}

json_t *json_of_machine(void)
{
	char cpu[128], memory[64], huge[128];
	struct utsname system;

	uname(&system);
	file_field("/proc/cpuinfo", "model name", cpu, sizeof cpu);
	file_field("/proc/meminfo", "MemTotal", memory, sizeof memory);
	first_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled", huge,
		   sizeof huge);
	return json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:f, s:I}", "cpu", cpu,
			 "processors",
			 (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "machine",
			 system.machine, "kernel", system.release, "memory",
			 memory, "shmem_huge", huge, "timer_ns_per_tick",
			 bench_timer.ns_per_tick, "timer_cost_ticks",
			 (json_int_t)bench_timer.cost_ticks);
}

json_t *json_of_build(void)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "version",
			 larder_version(), "commit", BENCH_COMMIT, "compiler",
			 __VERSION__, "buildtype", BENCH_BUILDTYPE, "flags",
			 BENCH_FLAGS);
}

void print_machine(FILE *to)
{
	char cpu[128];
	struct utsname system;

	uname(&system);
	file_field("/proc/cpuinfo", "model name", cpu, sizeof cpu);
	fprintf(to, "%s, %ld processors, Linux %s; larder %s (%s, %s)\n", cpu,
		sysconf(_SC_NPROCESSORS_ONLN), system.release, larder_version(),
		BENCH_COMMIT, BENCH_BUILDTYPE);
}

json_t *json_of_plan(const struct bench_plan *p)
{
	return json_pack(
		"{s:I, s:i, s:s, s:f, s:s, s:[ii], s:i, s:i, s:i, s:i, s:f, "
		"s:f, s:i, s:b, s:i, s:I}",
		"keys", (json_int_t)p->n_keys, "key_size", (int)p->key_size,
		"value_size", p->value_size, "value_size_mean", p->sizes.mean,
		"popularity", p->popularity_text, "mix", (int)p->get_parts,
		(int)p->put_parts, "processes", (int)p->processes, "threads",
		(int)p->threads, "batch", (int)p->batch, "pipeline",
		(int)p->pipeline, "seconds", p->seconds, "sample_seconds",
		p->sample_seconds, "repeats", (int)p->repeats, "huge",
		(int)p->huge, "work", (int)p->work, "seed",
		(json_int_t)p->seed);
}

json_t *json_of_spread(struct spread s)
{
	return json_pack("{s:f, s:f, s:f}", "median", s.median, "least",
			 s.least, "most", s.most);
}

json_t *json_of_latency(const struct latency *l)
{
	if (!l->n)
		return json_null();
	return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I}", "mean",
			 (double)l->sum_ns / (double)l->n, "p50",
			 latency_quantile(l, 0.5), "p90",
			 latency_quantile(l, 0.9), "p99",
			 latency_quantile(l, 0.99), "p999",
			 latency_quantile(l, 0.999), "p9999",
			 latency_quantile(l, 0.9999), "max", (double)l->max_ns,
			 "samples", (json_int_t)l->n);
}

int json_print(json_t *root)
{
	int status = BENCH_FAILED;

	if (!root) {
		bench_complain("the report cannot be put together");
	} else if (json_dumpf(root, stdout,
			      JSON_INDENT(2) | JSON_REAL_PRECISION(6)) ||
		   putchar('\n') == EOF || fflush(stdout)) {
		bench_complain("standard output: %s", strerror(errno));
	} else {
		status = BENCH_OK;
	}
	json_decref(root);
	return status;
}

/* ------------------------------------------------------------------ */
/* Tables                                                              */

struct table {
	struct libscols_table *columns;
	struct libscols_line *line;
	unsigned n_columns, at;
};

struct table *table_new(void)
{
	struct table *t = bench_alloc(sizeof *t);

	t->columns = scols_new_table();
	if (!t->columns)
		abort();
	return t;
}

void table_column(struct table *t, const char *name, bool right)
{
	if (!scols_table_new_column(t->columns, name, 0,
				    right ? SCOLS_FL_RIGHT : 0))
		abort();
	t->n_columns++;
}

void table_cell(struct table *t, const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (t->at == 0)
		t->line = scols_table_new_line(t->columns, NULL);
	if (!t->line || scols_line_set_data(t->line, t->at, text))
		abort();
	t->at = (t->at + 1) % t->n_columns;
}

void table_print(struct table *t)
{
	scols_table_enable_maxout(t->columns, 0);
	scols_print_table(t->columns);
	scols_unref_table(t->columns);
	free(t);
}

const char *text_of_ns(double ns, char text[16])
{
	if (ns < 10000)
		snprintf(text, 16, "%.0f ns", ns);
	else if (ns < 10e6)
		snprintf(text, 16, "%.1f us", ns / 1e3);
	else
		snprintf(text, 16, "%.1f ms", ns / 1e6);
	return text;
}

const char *text_of_bytes(uint64_t n_bytes, char text[16])
{
	if (n_bytes < 10 << 10)
		snprintf(text, 16, "%llu B", (unsigned long long)n_bytes);
	else if (n_bytes < 10 << 20)
		snprintf(text, 16, "%.1f KiB", (double)n_bytes / 1024);
	else
		snprintf(text, 16, "%.1f MiB", (double)n_bytes / (1 << 20));
	return text;
}

/* ------------------------------------------------------------------ */
/* Plots                                                               */

static void gnuplot_exec(int from, const char *path)
{
	int out = fileno(stderr);

	dup2(from, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	execlp("gnuplot", "gnuplot", "-e",
	       "set terminal svg noenhanced size 800,480 "
	       "font 'sans-serif,13' "
	       "background '#ffffff'",
	       "-", (char *)NULL);
	bench_complain("no gnuplot, so no %s", path);
	_exit(127);
}

static bool draw(const char *path, const char *script)
{
	int end[2], status = 1;
	size_t n = strlen(script);
	FILE *to;
	pid_t pid;
	bool fine;

	if (strpbrk(path, "'\\\n")) {
		bench_complain("%s: no quotes in a plot's name", path);
		return false;
	}
	if (pipe(end))
		return false;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(end[1]);
		gnuplot_exec(end[0], path);
	}
	close(end[0]);
	to = fdopen(end[1], "w");
	if (pid < 0 || !to)
		return false;
	fprintf(to, "set output '%s'\n", path);
	fine = fwrite(script, 1, n, to) == n;
	fine = fclose(to) == 0 && fine;
	if (waitpid(pid, &status, 0) != pid || status)
		fine = false;
	if (!fine)
		bench_complain("%s: not written", path);
	return fine;
}

FILE *plot_begin(struct plot *p)
{
	*p = (struct plot){0};
	p->to = open_memstream(&p->script, &p->n_script);
	return p->to;
}

bool plot_end(struct plot *p, const char *path)
{
	bool fine = fclose(p->to) == 0 && draw(path, p->script);

	free(p->script);
	return fine;
}
