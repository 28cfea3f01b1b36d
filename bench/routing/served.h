/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A larder-router that is measured: started on a segment of its own, driven
 * over its Unix socket, what its processes cost, and stopped.
 */
#ifndef LARDER_BENCH_SERVED_H
#define LARDER_BENCH_SERVED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../tools/quickstart-drive/load.h"
#include "options.h"

enum { SERVED_CONNECTIONS = 8 };

struct served {
	const char *name;
	pid_t pid; /* 0: it does not run */
	struct target target;
	char path[128], address[160]; /* "unix:PATH" */
	char segment[128];	      /* "": it has none */
};

/* The program: named by the user, or beside this one as built or installed.
 * False: complained. */
bool served_find(const struct bench_options *o, char *program, size_t n);

/* Where a server of that name listens, for one that is started elsewhere. */
bool served_place(struct served *s, const char *name);
/* It runs now, as @pid (or that is a negative errno), and answers. */
bool served_ready(struct served *s, pid_t pid, const char *program);

/* Start the program, with its cache or without; @size: of the segment, NULL for
 * the program's default. False: complained. */
bool served_start(struct served *s, const char *name, char *program,
		  unsigned n_workers, char *size, bool cache);
/* Its segment goes, too. */
void served_stop(struct served *s);

/* Processor time of its processes so far. */
uint64_t served_cpu_ns(const struct served *s);

/* Requests @first to @first + @n of a workload in a closed loop, or when they
 * are due. False, after a complaint: one failed, or two answers to one question
 * differ (@same). The caller frees the result. */
bool served_drive(const struct served *s, struct workload *w, uint32_t first,
		  uint32_t n, bool same, struct load_result *result);

#endif
