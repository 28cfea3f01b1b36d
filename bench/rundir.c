/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run's directory, its janitor, and the servers.
 */
#include "rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static char directory[80];
static int janitor_pipe = -1; /* its end is closed when the harness is gone */
static pid_t janitor;

static int remove_one(const char *path, const struct stat *status, int kind,
		      struct FTW *walk)
{
	(void)status;
	(void)kind;
	(void)walk;
	remove(path);
	return 0;
}

void rundir_remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Waits for the harness to end, in whatever way, then removes. */
static pid_t janitor_start(void)
{
	int end[2];
	pid_t pid;

	if (pipe2(end, O_CLOEXEC))
		return -1;
	pid = fork();
	if (pid == 0) {
		char byte;

		close(end[1]);
		setsid(); /* a terminal's interrupt is not for it */
		while (read(end[0], &byte, 1) < 0 && errno == EINTR)
			;
		rundir_remove_tree(directory);
		_exit(0);
	}
	close(end[0]);
	janitor_pipe = end[1];
	return pid;
}

const char *rundir_path(void)
{
	const char *places[] = {"/dev/shm", getenv("TMPDIR"), "/tmp"};

	if (directory[0])
		return directory;
	for (unsigned i = 0; i < 3; i++) {
		if (!places[i] || access(places[i], W_OK) ||
		    strlen(places[i]) > sizeof directory - 24)
			continue;
		snprintf(directory, sizeof directory, "%s/larder-bench.XXXXXX",
			 places[i]);
		if (!mkdtemp(directory))
			continue;
		janitor = janitor_start();
		if (janitor > 0)
			return directory;
		rmdir(directory);
	}
	directory[0] = '\0';
	bench_complain("no directory for sockets and files in /dev/shm, TMPDIR "
		       "or /tmp: %s",
		       strerror(errno));
	return NULL;
}

bool rundir_file(const char *name, char *path, size_t n_path)
{
	const char *in = rundir_path();
	int n;

	if (!in)
		return false;
	n = snprintf(path, n_path, "%s/%s", in, name);
	return n > 0 && (size_t)n < n_path;
}

void rundir_remove(void)
{
	if (!directory[0])
		return;
	close(janitor_pipe);
	janitor_pipe = -1;
	waitpid(janitor, NULL, 0);
	directory[0] = '\0';
}

void rundir_forked(void)
{
	if (janitor_pipe >= 0)
		close(janitor_pipe);
	janitor_pipe = -1;
}

/* ------------------------------------------------------------------ */

pid_t server_start(char *const argv[], const char *log)
{
	char path[128];
	int failed[2], error = 0;
	pid_t pid, parent = getpid();

	if (!rundir_file(log, path, sizeof path) || pipe2(failed, O_CLOEXEC))
		return -EIO;
	pid = fork();
	if (pid < 0) {
		error = errno;
		close(failed[0]);
		close(failed[1]);
		return -error;
	}
	if (pid == 0) {
		int out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		int in = open("/dev/null", O_RDONLY);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		setsid();
		signal(SIGPIPE, SIG_DFL);
		dup2(in, 0);
		dup2(out, 1);
		dup2(out, 2);
		execvp(argv[0], argv);
		error = errno;
		if (write(failed[1], &error, sizeof error) < 0)
			_exit(126);
		_exit(127);
	}
	close(failed[1]);
	/* Closed by a successful exec; else it brings the reason. */
	if (read(failed[0], &error, sizeof error) == (ssize_t)sizeof error) {
		waitpid(pid, NULL, 0);
		pid = -error;
	}
	close(failed[0]);
	return pid;
}

int socket_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, error;

	if (strlen(path) >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
		error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

bool server_ready(pid_t pid, const char *path)
{
	for (unsigned tries = 0; tries < 1000 && !bench_interrupted();
	     tries++) {
		int fd = socket_connect(path);

		if (fd >= 0) {
			close(fd);
			return true;
		}
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return false;
		bench_sleep(0.01);
	}
	return false;
}

void server_stop(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGTERM);
	for (unsigned tries = 0; tries < 300; tries++) {
		if (waitpid(pid, NULL, WNOHANG) != 0)
			return;
		usleep(10000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

uint64_t process_bytes(pid_t pid)
{
	char path[64], line[128];
	unsigned long kib = 0;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof line, file))
		if (sscanf(line, "Pss: %lu kB", &kib) == 1)
			break;
	fclose(file);
	return (uint64_t)kib << 10;
}

uint64_t own_bytes(void)
{
	char line[128];
	unsigned long kib, total = 0;
	FILE *file = fopen("/proc/self/status", "re");

	if (!file)
		return 0;
	while (fgets(line, sizeof line, file))
		if (sscanf(line, "RssAnon: %lu kB", &kib) == 1 ||
		    sscanf(line, "RssShmem: %lu kB", &kib) == 1)
			total += kib;
	fclose(file);
	return (uint64_t)total << 10;
}
