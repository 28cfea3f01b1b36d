/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a run keeps its files and sockets, and the servers it starts.
 *
 * The directory lies in /dev/shm (or TMPDIR, or /tmp where there is none) and
 * is removed when the run ends, however it ends: a small process of its own
 * waits for that. Servers die with the harness and are stopped by their pid;
 * they listen on Unix sockets in the directory, never on a network.
 */
#ifndef LARDER_BENCH_RUNDIR_H
#define LARDER_BENCH_RUNDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The run's directory, made at the first call; NULL: complained. */
const char *rundir_path(void);

/* "<directory>/<name>" into @path; false if it is too long for a socket. */
bool rundir_file(const char *name, char *path, size_t n_path);

/* Remove it now. A second run directory may be made afterwards. */
void rundir_remove(void);

/* In a forked worker: its end is not the run's end. */
void rundir_forked(void);

/* Remove a file or a tree; nothing there is fine. */
void rundir_remove_tree(const char *path);

/* Start @argv; its output goes to "<directory>/<log>". The pid, or a negative
 * errno (-ENOENT: no such program). */
pid_t server_start(char *const argv[], const char *log);

/* Wait until the Unix socket at @path answers; false when the server has ended
 * or takes longer than ten seconds. */
bool server_ready(pid_t pid, const char *path);

void server_stop(pid_t pid);

/* Connect to the Unix socket at @path; a negative errno on failure. */
int socket_connect(const char *path);

/* Resident bytes of a process: private ones and its share of the rest. */
uint64_t process_bytes(pid_t pid);

/* Resident bytes of this process that no file holds, shared ones in full. */
uint64_t own_bytes(void);

#endif
