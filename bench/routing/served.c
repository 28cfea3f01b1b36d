/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routers that are measured: see served.h.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../tools/quickstart-drive/process.h"
#include "bench.h"
#include "routing/served.h"
#include "rundir.h"

bool served_find(const struct bench_options *o, char *program, size_t n)
{
	static const char *const places[] = {"../tools/larder-router",
					     "larder-router"};
	char self[512];
	ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
	char *slash;

	if (o->n_operands) {
		snprintf(program, n, "%s", o->operands[0]);
		return true;
	}
	self[length > 0 ? length : 0] = '\0';
	slash = strrchr(self, '/');
	for (unsigned i = 0; slash && i < 2; i++) {
		snprintf(program, n, "%.*s/%s", (int)(slash - self), self,
			 places[i]);
		if (!access(program, X_OK))
			return true;
	}
	bench_complain("no larder-router beside this program: build it, or "
		       "name it");
	return false;
}

bool served_place(struct served *s, const char *name)
{
	*s = (struct served){.name = name};
	if (!rundir_file(name, s->path, sizeof s->path))
		return false;
	snprintf(s->address, sizeof s->address, "unix:%s", s->path);
	return target_parse(&s->target, s->address) == 0;
}

bool served_ready(struct served *s, pid_t pid, const char *program)
{
	if (pid > 0)
		s->pid = pid;
	if (pid > 0 && server_ready(pid, s->path))
		return true;
	bench_complain("%s: %s", program,
		       pid < 0 ? bench_error(pid) : "does not answer");
	return false;
}

bool served_start(struct served *s, const char *name, char *program,
		  unsigned n_workers, char *size, bool cache)
{
	char workers[16], log[64], file[64];
	char *argv[12] = {program,    "--listen",  s->address, "--segment",
			  s->segment, "--workers", workers};
	unsigned n = 7;

	snprintf(file, sizeof file, "%s.segment", name);
	snprintf(log, sizeof log, "%s.log", name);
	snprintf(workers, sizeof workers, "%u", n_workers);
	if (size) {
		argv[n++] = "--size";
		argv[n++] = size;
	}
	if (!cache)
		argv[n++] = "--no-cache";
	if (!served_place(s, name) ||
	    !rundir_file(file, s->segment, sizeof s->segment))
		return false;
	return served_ready(s, server_start(argv, log), program);
}

void served_stop(struct served *s)
{
	if (s->pid)
		server_stop(s->pid);
	s->pid = 0;
	if (s->segment[0])
		unlink(s->segment);
}

uint64_t served_cpu_ns(const struct served *s)
{
	struct process_cost cost = {0};

	process_cost(s->pid, NULL, 0, &cost);
	return cost.cpu_ns;
}

bool served_drive(const struct served *s, struct workload *w, uint32_t first,
		  uint32_t n, bool same, struct load_result *result)
{
	*result = (struct load_result){0};
	if (!load_run(&s->target, w, first, n, SERVED_CONNECTIONS, result, NULL,
		      NULL) &&
	    !result->n_failed && !(same && result->n_different))
		return true;
	bench_complain("%s: %s", s->name,
		       result->failure[0] ? result->failure
					  : "two answers to one question");
	load_result_free(result);
	return false;
}
