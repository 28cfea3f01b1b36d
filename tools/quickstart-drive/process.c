/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading /proc: schedstat for processor time (nanoseconds; the ticks of stat
 * where a kernel keeps none), smaps for memory.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process.h"

static int read_line(const char *path, char *line, size_t n)
{
	FILE *f = fopen(path, "re");
	size_t got;

	if (f == NULL)
		return -1;
	got = fread(line, 1, n - 1, f);
	line[got] = 0;
	fclose(f);
	return got ? 0 : -1;
}

/* The fields of stat after the command, which may hold anything but ")". */
static const char *stat_fields(const char *line)
{
	const char *end = strrchr(line, ')');

	return end ? end + 1 : "";
}

static uint64_t thread_cpu_ns(const char *task)
{
	char path[900], line[1024];
	unsigned long user, system;

	snprintf(path, sizeof(path), "%s/schedstat", task);
	if (read_line(path, line, sizeof(line)) == 0)
		return strtoull(line, NULL, 10);
	snprintf(path, sizeof(path), "%s/stat", task);
	if (read_line(path, line, sizeof(line)) != 0 ||
	    sscanf(stat_fields(line),
		   " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		   &user, &system) != 2)
		return 0;
	return (user + system) *
	       (UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK));
}

static void add_cpu(pid_t pid, struct process_cost *cost)
{
	char path[512], task[800];
	struct dirent *entry;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	while (d != NULL && (entry = readdir(d)) != NULL) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(task, sizeof(task), "%s/%.200s", path, entry->d_name);
		cost->cpu_ns += thread_cpu_ns(task);
	}
	if (d != NULL)
		closedir(d);
}

/* A line of smaps either opens a mapping ("7f..-7f.. rw-s ... path") or tells
 * of the one opened last ("Pss:   12 kB"). */
static void add_memory(pid_t pid, const char *segment,
		       struct process_cost *cost)
{
	char path[512], *line = NULL;
	size_t room = 0;
	int in_segment = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	f = fopen(path, "re");
	while (f != NULL && getline(&line, &room, f) > 0) {
		if (strncmp(line, "Pss:", 4) == 0 && !in_segment)
			cost->private_bytes +=
				strtoull(line + 4, NULL, 10) * 1024;
		else if (islower((unsigned char)line[0]) ||
			 isdigit((unsigned char)line[0]))
			in_segment = segment && strstr(line, segment) != NULL;
	}
	if (f != NULL)
		fclose(f);
	free(line);
}

static int is_child(pid_t pid, pid_t master)
{
	char path[512], line[1024];
	int parent;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	return read_line(path, line, sizeof(line)) == 0 &&
	       sscanf(stat_fields(line), " %*c %d", &parent) == 1 &&
	       parent == (int)master;
}

int process_cost(pid_t master, const char *path, int memory,
		 struct process_cost *cost)
{
	struct dirent *entry;
	struct stat st;
	DIR *d = opendir("/proc");

	*cost = (struct process_cost){0};
	while (d != NULL && (entry = readdir(d)) != NULL) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (pid <= 0 || (pid != master && !is_child(pid, master)))
			continue;
		cost->n_processes++;
		add_cpu(pid, cost);
		if (memory)
			add_memory(pid, path, cost);
	}
	if (d != NULL)
		closedir(d);
	if (path != NULL && stat(path, &st) == 0)
		cost->segment_bytes = (uint64_t)st.st_blocks * 512;
	return cost->n_processes ? 0 : -1;
}
