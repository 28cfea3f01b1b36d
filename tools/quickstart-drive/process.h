/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server costs: processor time and memory of a process and its
 * children, read from /proc.
 */
#ifndef QUICKSTART_PROCESS_H
#define QUICKSTART_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

struct process_cost {
	uint32_t n_processes;
	uint64_t cpu_ns;	/* of all their threads */
	uint64_t private_bytes; /* PSS but for the mapping of @path */
	uint64_t segment_bytes; /* resident bytes of the file @path */
};

/*
 * The cost of process @master and its children. @path: a mapped file that is
 * counted apart, or NULL. Memory is read only with @memory: it takes
 * milliseconds. Return: 0, or -1 if the process is not there.
 */
int process_cost(pid_t master, const char *path, int memory,
		 struct process_cost *cost);

#endif
