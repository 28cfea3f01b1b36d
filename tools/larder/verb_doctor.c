/* SPDX-License-Identifier: Apache-2.0 */
/*
 * larder doctor: the settings of this machine that a segment depends on. Each
 * line says fine, a note, or that it would hurt; why; and how to mend it. It
 * reads files and asks the kernel, and changes nothing.
 */
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli.h"
#include "format.h"
#include "json.h"

enum verdict { FINE, NOTE, HURTS };

struct examination {
	uint64_t size; /* of the segment that is wanted */
	unsigned n_hurts;
};

/* @mend is NULL where there is nothing to do. */
__attribute__((format(printf, 5, 6))) static void
say(struct examination *x, const char *what, enum verdict verdict,
    const char *mend, const char *format, ...)
{
	static const char *const names[] = {"fine", "note", "would hurt"};
	char why[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, sizeof why, format, arguments);
	va_end(arguments);
	x->n_hurts += verdict == HURTS;
	if (cli.json) {
		json_begin(NULL);
		json_text("what", what);
		json_text("verdict", names[verdict]);
		json_text("why", why);
		if (mend)
			json_text("mend", mend);
		json_end();
		return;
	}
	printf("%-10s  %s: %s\n", names[verdict], what, why);
	if (mend)
		printf("%-10s  -> %s\n", "", mend);
}

/* The first line of a small file, without its end. */
static bool first_line(const char *path, char *line, size_t n)
{
	FILE *f = fopen(path, "re");
	bool read = f && fgets(line, (int)n, f);

	if (f)
		fclose(f);
	if (read)
		line[strcspn(line, "\n")] = '\0';
	return read;
}

static void look_at_shm(struct examination *x)
{
	char total[TEXT_BYTES], available[TEXT_BYTES], want[TEXT_BYTES];
	struct statvfs v;
	uint64_t size, left;

	if (statvfs("/dev/shm", &v)) {
		say(x, "/dev/shm", HURTS,
		    "mount a tmpfs there: mount -t tmpfs tmpfs /dev/shm, or "
		    "give segments a path elsewhere",
		    "it cannot be looked at: %s", strerror(errno));
		return;
	}
	size = (uint64_t)v.f_blocks * v.f_frsize;
	left = (uint64_t)v.f_bavail * v.f_frsize;
	format_size(total, size, cli.bytes);
	format_size(available, left, cli.bytes);
	format_size(want, x->size, cli.bytes);
	if (left < x->size)
		say(x, "/dev/shm", HURTS,
		    size <= UINT64_C(64) << 20
			    ? "64M is what containers get by default: start "
			      "them with --shm-size (Docker) or shm_size "
			      "(Compose), or an emptyDir of medium Memory at "
			      "/dev/shm (Kubernetes)"
			    : "mount -o remount,size=SIZE /dev/shm, remove "
			      "what is left there, or ask for less",
		    "%s of %s are free, and a segment of %s is created whole "
		    "or not at all",
		    available, total, want);
	else
		say(x, "/dev/shm", FINE, NULL,
		    "%s of %s are free for a segment of %s", available, total,
		    want);
	if (v.f_flag & ST_RDONLY)
		say(x, "/dev/shm access", HURTS,
		    "mount -o remount,rw /dev/shm, or give segments a path "
		    "elsewhere",
		    "it is mounted read-only");
	else if (access("/dev/shm", W_OK | X_OK))
		say(x, "/dev/shm access", HURTS,
		    "chmod 1777 /dev/shm, or give segments a path elsewhere",
		    "this user may not create files there: %s",
		    strerror(errno));
	else
		say(x, "/dev/shm access", FINE, NULL,
		    "this user may create files there");
}

/* The last word on RemoveIPC in this file, if it says one. */
static void scan_logind(const char *path, char *value, size_t n)
{
	FILE *f = fopen(path, "re");
	char line[512];

	while (f && fgets(line, sizeof line, f)) {
		char *at = line + strspn(line, " \t");

		if (strncmp(at, "RemoveIPC", 9))
			continue;
		at += 9 + strspn(at + 9, " \t");
		if (*at != '=')
			continue;
		at += 1 + strspn(at + 1, " \t");
		at[strcspn(at, " \t\r\n")] = '\0';
		snprintf(value, n, "%s", at);
	}
	if (f)
		fclose(f);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool later(const char *path, const char *other)
{
	return strcmp(base_name(path), base_name(other)) > 0;
}

/*
 * As systemd reads it: one main file, then the drop-ins of all folders in the
 * order of their names, each name from the first folder that has it.
 */
static void read_logind(char *value, size_t n)
{
	static const char *const folders[] = {"/etc", "/run", "/usr/lib"};
	char path[64];
	glob_t found = {0};

	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/systemd/logind.conf",
			 folders[i]);
		if (access(path, R_OK))
			continue;
		scan_logind(path, value, n);
		break;
	}
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/systemd/logind.conf.d/*.conf",
			 folders[i]);
		glob(path, i ? GLOB_APPEND : 0, NULL, &found);
	}
	/* Insertion keeps those of one name in the order of their folders. */
	for (size_t i = 1; i < found.gl_pathc; i++)
		for (size_t k = i;
		     k > 0 && later(found.gl_pathv[k - 1], found.gl_pathv[k]);
		     k--) {
			char *path_k = found.gl_pathv[k];

			found.gl_pathv[k] = found.gl_pathv[k - 1];
			found.gl_pathv[k - 1] = path_k;
		}
	for (size_t i = 0; i < found.gl_pathc; i++)
		if (!i || later(found.gl_pathv[i], found.gl_pathv[i - 1]))
			scan_logind(found.gl_pathv[i], value, n);
	globfree(&found);
}

static bool is_no(const char *value)
{
	static const char *const noes[] = {"0", "no", "n", "false", "f", "off"};

	for (size_t i = 0; i < sizeof noes / sizeof noes[0]; i++)
		if (!strcasecmp(value, noes[i]))
			return true;
	return false;
}

static void look_at_logind(struct examination *x)
{
	char value[64] = "";

	if (access("/run/systemd/system", F_OK)) {
		say(x, "RemoveIPC", FINE, NULL,
		    "no systemd runs here, so no logind removes segments");
		return;
	}
	read_logind(value, sizeof value);
	if (is_no(value))
		say(x, "RemoveIPC", FINE, NULL,
		    "logind leaves /dev/shm alone when users log out");
	else if (geteuid() < 1000)
		say(x, "RemoveIPC", NOTE,
		    "if ordinary users own segments, set RemoveIPC=no in "
		    "/etc/systemd/logind.conf",
		    "logind removes what a user owns in /dev/shm at his last "
		    "logout; system users such as this one are spared");
	else
		say(x, "RemoveIPC", HURTS,
		    "run workers as a system user, or set RemoveIPC=no in "
		    "/etc/systemd/logind.conf and restart systemd-logind",
		    "logind removes this user's segments from /dev/shm at the "
		    "last logout, under running workers");
}

static void look_at_membarrier(struct examination *x)
{
	long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

	if (commands >= 0 && (commands & MEMBARRIER_CMD_GLOBAL_EXPEDITED))
		say(x, "membarrier", FINE, NULL,
		    "readers need no fence instructions");
	else
		say(x, "membarrier", HURTS,
		    "allow the membarrier system call (Linux 4.16) in the "
		    "container's seccomp profile; or create segments with "
		    "--fenced, which costs each read some nanoseconds",
		    "%s: segments created here are fenced, and others cannot "
		    "be opened",
		    commands < 0 ? strerror(errno)
				 : "the kernel lacks its global expedited "
				   "command");
}

static void look_at_overcommit(struct examination *x)
{
	char mode[16];

	if (!first_line("/proc/sys/vm/overcommit_memory", mode, sizeof mode))
		return;
	if (mode[0] == '2')
		say(x, "overcommit", NOTE,
		    "see that CommitLimit in /proc/meminfo leaves room for the "
		    "segment and for forked workers",
		    "the kernel promises no more memory than it has "
		    "(vm.overcommit_memory=2): create fails where it would "
		    "not fit");
	else
		say(x, "overcommit", FINE, NULL,
		    "vm.overcommit_memory=%s; a segment's own space is "
		    "reserved when it is created",
		    mode);
}

static void look_at_huge_pages(struct examination *x)
{
	char shmem[128], anonymous[128];

	if (!first_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
			shmem, sizeof shmem)) {
		say(x, "huge pages", NOTE, NULL,
		    "the kernel has none for shared memory: large segments "
		    "cost more address translation");
		return;
	}
	if (!first_line("/sys/kernel/mm/transparent_hugepage/enabled",
			anonymous, sizeof anonymous))
		snprintf(anonymous, sizeof anonymous, "unknown");
	if (strstr(shmem, "[never]") || strstr(shmem, "[deny]"))
		say(x, "huge pages", NOTE,
		    strstr(shmem, "[deny]")
			    ? "echo advise > /sys/kernel/mm/"
			      "transparent_hugepage/shmem_enabled"
			    : "programs that open with LARDER_OPEN_HUGE get "
			      "them on Linux 6.1 and later all the same; "
			      "before, echo advise > /sys/kernel/mm/"
			      "transparent_hugepage/shmem_enabled",
		    "shmem_enabled is '%s', enabled is '%s': reads of large "
		    "segments are about a quarter slower on small pages",
		    shmem, anonymous);
	else
		say(x, "huge pages", FINE, NULL, "shmem_enabled is '%s'",
		    shmem);
}

static void look_at_limits(struct examination *x)
{
	char text[TEXT_BYTES], want[TEXT_BYTES];
	struct rlimit l;

	format_size(want, x->size, cli.bytes);
	if (!getrlimit(RLIMIT_FSIZE, &l)) {
		if (l.rlim_cur != RLIM_INFINITY && l.rlim_cur < x->size)
			say(x, "ulimit -f", HURTS,
			    "ulimit -f unlimited, or LimitFSIZE=infinity in "
			    "the service's unit",
			    "files may have %s, a segment of %s is a file",
			    format_size(text, l.rlim_cur, cli.bytes), want);
		else
			say(x, "ulimit -f", FINE, NULL,
			    "a file of %s is allowed", want);
	}
	if (!getrlimit(RLIMIT_AS, &l) && l.rlim_cur != RLIM_INFINITY &&
	    l.rlim_cur / 2 < x->size)
		say(x, "ulimit -v", HURTS, "ulimit -v unlimited",
		    "processes may map %s, and a segment of %s is mapped "
		    "whole",
		    format_size(text, l.rlim_cur, cli.bytes), want);
	if (!getrlimit(RLIMIT_MEMLOCK, &l))
		say(x, "ulimit -l", FINE, NULL, "%s may be locked; nothing is",
		    l.rlim_cur == RLIM_INFINITY
			    ? "any amount"
			    : format_size(text, l.rlim_cur, cli.bytes));
	if (!getrlimit(RLIMIT_NOFILE, &l) && l.rlim_cur < 256)
		say(x, "ulimit -n", NOTE, "ulimit -n 1024",
		    "only %" PRIu64 " files may be open; each segment takes "
		    "one",
		    (uint64_t)l.rlim_cur);
}

/* The value of a line "Name:   123 kB" of /proc/meminfo, in bytes. */
static uint64_t memory_of(const char *name)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[256];
	uint64_t n = 0;

	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, name, strlen(name)) &&
		    line[strlen(name)] == ':')
			n = strtoull(line + strlen(name) + 1, NULL, 10) << 10;
	if (f)
		fclose(f);
	return n;
}

static void look_at_memory(struct examination *x)
{
	uint64_t available = memory_of("MemAvailable");
	uint64_t swap = memory_of("SwapTotal");
	char have[TEXT_BYTES], want[TEXT_BYTES], limit[64];

	format_size(have, available, cli.bytes);
	format_size(want, x->size, cli.bytes);
	if (available && available < x->size)
		say(x, "memory", HURTS, "ask for a smaller segment",
		    "%s are available for a segment of %s", have, want);
	else
		say(x, "memory", FINE, NULL, "%s are available", have);
	if (swap)
		say(x, "swap", NOTE,
		    "vm.swappiness=1, or no swap for the service "
		    "(MemorySwapMax=0)",
		    "there is swap (%s): pages of a segment that are not "
		    "used for a while may be read from disk at their next hit",
		    format_size(have, swap, cli.bytes));
	else
		say(x, "swap", FINE, NULL, "there is none");
	if (first_line("/sys/fs/cgroup/memory.max", limit, sizeof limit) &&
	    strcmp(limit, "max") && strtoull(limit, NULL, 10) < x->size)
		say(x, "memory.max", HURTS,
		    "raise the container's memory limit: a segment counts",
		    "this control group may use %s, a segment of %s is "
		    "charged to who creates it",
		    format_size(have, strtoull(limit, NULL, 10), cli.bytes),
		    want);
}

static void look_at_namespaces(struct examination *x)
{
	struct stat own, first;
	char line[128];

	if (stat("/proc/self/ns/time", &own)) {
		say(x, "time namespace", FINE, NULL, "the kernel has none");
	} else if (stat("/proc/1/ns/time", &first)) {
		say(x, "time namespace", FINE, NULL,
		    "that of process 1 cannot be seen from here");
	} else if (own.st_ino != first.st_ino) {
		say(x, "time namespace", NOTE,
		    "create and open a segment in one time namespace",
		    "not that of process 1: segments made in one are refused "
		    "in the other, their clocks differ");
	} else {
		say(x, "time namespace", FINE, NULL, "that of process 1");
	}
	if (!first_line("/proc/sys/kernel/random/boot_id", line, sizeof line))
		say(x, "boot id", NOTE,
		    "mount /proc in the container, and do not hide "
		    "/proc/sys/kernel/random",
		    "it cannot be read: segments that were made where it can "
		    "be are refused here, and the other way round");
	if (access("/proc/self/stat", R_OK))
		say(x, "/proc", NOTE, "mount it",
		    "it is not there: hidden deaths of workers stay hidden");
}

int cli_doctor_run(const struct cli_verb *verb, int argc, char **argv)
{
	static struct examination x;
	const struct cli_option options[] = {
		{"size", "BYTES", "for a segment of this size (default 32M)",
		 CLI_SIZE, &x.size},
		{0},
	};

	cli_parse(verb, options, argc, argv, 0, 0);
	if (!x.size)
		x.size = LARDER_SEGMENT_DEFAULT;
	if (cli.json) {
		json_begin(NULL);
		json_begin_list("examined");
	}
	look_at_shm(&x);
	look_at_memory(&x);
	look_at_limits(&x);
	look_at_membarrier(&x);
	look_at_logind(&x);
	look_at_overcommit(&x);
	look_at_huge_pages(&x);
	look_at_namespaces(&x);
	if (cli.json) {
		json_end_list();
		json_number("would_hurt", x.n_hurts);
		json_end();
	}
	return x.n_hurts ? CLI_FAILED : CLI_FINE;
}
