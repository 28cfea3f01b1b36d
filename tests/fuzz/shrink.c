/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a program until it has mapped a file, cuts the file short there, and
 * lets it go on: at that very system call, so that nothing depends on time.
 *
 *   fuzz-shrink N BYTES FILE PROGRAM [ARGUMENT]...
 *
 * cuts FILE to BYTES after the N-th shared mapping (from 1) of it. Ends as the
 * program does: with its status, or 128 + the signal; 99 if there was no such
 * mapping.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/ptrace.h>

enum { NO_MAPPING = 99 };

/* Is descriptor @fd of the process the file? */
static bool is_file(pid_t pid, int fd, const struct stat *file)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, fd);
	return !stat(path, &st) && st.st_dev == file->st_dev &&
	       st.st_ino == file->st_ino;
}

/* At the entry of a system call: is it a shared mapping of the file? */
static bool maps_file(pid_t pid, const struct ptrace_syscall_info *i,
		      const struct stat *file)
{
	return i->op == PTRACE_SYSCALL_INFO_ENTRY &&
	       i->entry.nr == (uint64_t)SYS_mmap &&
	       (i->entry.args[3] & MAP_SHARED) &&
	       is_file(pid, (int)i->entry.args[4], file);
}

int main(int argc, char **argv)
{
	unsigned long left;
	struct stat file;
	bool inside = false, done = false;
	int status, deliver = 0;
	pid_t pid;

	if (argc < 5 || stat(argv[3], &file)) {
		fprintf(stderr, "usage: fuzz-shrink N BYTES FILE PROGRAM...\n");
		return 2;
	}
	left = strtoul(argv[1], NULL, 10);
	pid = fork();
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		execv(argv[4], argv + 4);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid ||
	    ptrace(PTRACE_SETOPTIONS, pid, NULL,
		   PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL))
		return 126;
	for (;;) {
		struct ptrace_syscall_info info;

		if (ptrace(done ? PTRACE_CONT : PTRACE_SYSCALL, pid, NULL,
			   (void *)(intptr_t)deliver) ||
		    waitpid(pid, &status, 0) != pid)
			return 126;
		deliver = 0;
		if (WIFEXITED(status))
			return done ? WEXITSTATUS(status) : NO_MAPPING;
		if (WIFSIGNALED(status))
			return 128 + WTERMSIG(status);
		if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			if (WSTOPSIG(status) != SIGTRAP)
				deliver = WSTOPSIG(status);
			continue;
		}
		if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <
		    0)
			return 126;
		if (maps_file(pid, &info, &file)) {
			inside = true;
		} else if (inside && info.op == PTRACE_SYSCALL_INFO_EXIT) {
			inside = false;
			if (--left)
				continue;
			if (truncate(argv[3], strtol(argv[2], NULL, 10)))
				return 126;
			done = true;
		}
	}
}
