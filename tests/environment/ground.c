/* SPDX-License-Identifier: Apache-2.0 */
/* How the ground of ground.h is made; nothing here outlives its program. */
#include "ground.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <larder/admin.h>

/* ------------------------------------------------------------------ */
/* Scenarios                                                           */

static unsigned n_wrong, n_run, n_skipped;
static char last_skipped[128];

static int play(int i, void *context)
{
	scenario *run = *(scenario **)context;

	alarm(60);
	i = run();
	/* What was found wrong before something was not allowed stays wrong. */
	return n_failed() ? 1 : i;
}

void stage(const char *name, scenario *run)
{
	int status;

	printf("-- %s\n", name);
	n_run++;
	status = reap(spawn(play, 0, &run));
	if (status == NOT_ALLOWED) {
		printf("SKIP %s: this machine does not allow it\n", name);
		snprintf(last_skipped, sizeof last_skipped, "%s", name);
		n_skipped++;
		return;
	}
	if (status < 0)
		printf("FAIL %s: killed by signal %d\n", name, -status);
	n_wrong += status != 0;
}

int curtain(void)
{
	if (n_skipped == n_run) {
		printf("nothing of this is allowed here, not even %s\n",
		       last_skipped);
		return NOT_ALLOWED;
	}
	printf("%u scenarios, %u failed, %u skipped\n", n_run,
	       n_wrong + (n_failed() != 0), n_skipped);
	return n_wrong || n_failed();
}

/* ------------------------------------------------------------------ */
/* Folders                                                             */

static char own_folder[64];
static pid_t folder_owner;

/* Only calls that a signal handler may make, but for the directory's: at a
 * fatal signal there is nothing to lose. */
static void remove_folder(void)
{
	struct dirent *entry;
	DIR *d;

	if (!folder_owner || getpid() != folder_owner)
		return;
	d = opendir(own_folder);
	while (d && (entry = readdir(d)))
		unlinkat(dirfd(d), entry->d_name, 0);
	if (d)
		closedir(d);
	rmdir(own_folder);
}

static void end_by_signal(int number)
{
	remove_folder();
	signal(number, SIG_DFL);
	raise(number);
}

const char *folder(void)
{
	static const int fatal[] = {SIGALRM, SIGTERM, SIGINT, SIGHUP,
				    SIGPIPE, SIGABRT, SIGSEGV};

	if (own_folder[0])
		return own_folder;
	snprintf(own_folder, sizeof own_folder, "/dev/shm/larder-test-XXXXXX");
	need(mkdtemp(own_folder) != NULL, "a folder in /dev/shm");
	folder_owner = getpid();
	atexit(remove_folder);
	for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++)
		signal(fatal[i], end_by_signal);
	return own_folder;
}

const char *in_folder(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof paths[0], "%s/%s", folder(), name);
	return path;
}

int n_files(const char *path)
{
	struct dirent *entry;
	DIR *d = opendir(path);
	int n = 0;

	if (!d)
		return -1;
	while ((entry = readdir(d)))
		n += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	closedir(d);
	return n;
}

/* ------------------------------------------------------------------ */
/* Namespaces, users, denied calls                                     */

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool written;

	if (fd < 0)
		return false;
	written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return written;
}

bool own_namespaces(int flags)
{
	unsigned uid = geteuid(), gid = getegid();
	char map[64];

	if (unshare(CLONE_NEWNS | flags)) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS | flags))
			return false;
		snprintf(map, sizeof map, "0 %u 1", uid);
		if (!write_file("/proc/self/uid_map", map) ||
		    !write_file("/proc/self/setgroups", "deny"))
			return false;
		snprintf(map, sizeof map, "0 %u 1", gid);
		if (!write_file("/proc/self/gid_map", map))
			return false;
	}
	/* What is mounted here must not reach where we came from. */
	return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

bool mount_small(const char *path, const char *options)
{
	return mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) ==
	       0;
}

bool become(uid_t uid, gid_t gid)
{
	return setgroups(0, NULL) == 0 && setresgid(gid, gid, gid) == 0 &&
	       setresuid(uid, uid, uid) == 0;
}

bool deny(long number, uint32_t first, int error)
{
	const unsigned at_number = offsetof(struct seccomp_data, nr);
	/* The low half: the arguments of the calls denied here are small. */
	const unsigned at_first =
		offsetof(struct seccomp_data, args) +
		(__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0);
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at_number),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at_first),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 0,
			 first == ANY_ARGUMENT ? 0 : 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof code / sizeof code[0], code};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

/* ------------------------------------------------------------------ */
/* Segments                                                            */

struct larder *segment_in(const char *name,
			  const struct larder_create_options *options)
{
	const char *path = in_folder(name);
	struct larder *h;
	int error = larder_create(path, options);

	if (!error)
		error = larder_open(path, NULL, &h);
	if (error) {
		fprintf(stderr, "%s: %s\n", path, larder_strerror(error));
		exit(1);
	}
	return h;
}

/* Hints may be lost, doubled or wrong without harm: those of idle workers'
 * stocks are. Everything else has to be as if nobody was ever here. */
static void tell(void *context, enum larder_severity severity,
		 const char *where, const char *what)
{
	unsigned *n_findings = context;

	if (severity == LARDER_PENDING && strstr(what, "hint"))
		return;
	printf("     %s: %s: %s\n",
	       severity == LARDER_DAMAGE ? "damage" : "pending", where, what);
	++*n_findings;
}

void claim_sound(struct larder *h, const char *when)
{
	struct larder_check_result found = {.size_of = sizeof found};
	struct larder_inspector *inspector;
	unsigned n_findings = 0;
	int error;

	for (int i = 0; i < 8; i++)
		larder_maintain(h, UINT32_MAX >> 8);
	error = larder_inspect(larder_path(h), &inspector);
	if (error) {
		claim(false, "the segment can be inspected %s: %s", when,
		      larder_strerror(error));
		return;
	}
	larder_inspect_check(inspector, tell, &n_findings, &found);
	larder_inspect_close(inspector);
	claim(n_findings == 0, "check finds nothing %s (%llu entries)", when,
	      (unsigned long long)found.n_entries);
}

void claim_works(struct larder *h, const char *key, size_t n)
{
	unsigned char *value = malloc(n + 1), *back = malloc(n + 1);
	size_t n_back = 0;
	int put, got = LARDER_MISS;

	need(value && back, "memory");
	for (size_t i = 0; i < n; i++)
		value[i] = (unsigned char)(i * 131 + n);
	put = larder_put(h, key, strlen(key), value, n, NULL);
	if (put == LARDER_OK)
		got = larder_get(h, key, strlen(key), back, n, &n_back);
	claim(put == LARDER_OK && got == LARDER_OK && n_back == n &&
		      !memcmp(value, back, n),
	      "%zu bytes come back whole (put: %s; get: %s)", n,
	      larder_strerror(put), larder_strerror(got));
	free(value);
	free(back);
}

/* ------------------------------------------------------------------ */
/* System calls, counted                                               */

static volatile sig_atomic_t n_caught;

static void caught(int number, siginfo_t *what, void *context)
{
	n_caught++;
}

bool catch_system_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_munmap, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof code / sizeof code[0], code};
	struct sigaction action = {.sa_sigaction = caught,
				   .sa_flags = SA_SIGINFO};

	return sigaction(SIGSYS, &action, NULL) == 0 &&
	       prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

int system_calls_caught(void)
{
	int n = n_caught;

	n_caught = 0;
	return n;
}
