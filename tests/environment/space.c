/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a segment is to live and cannot: file systems that are small, full or
 * read-only, and a limit on the size of files.
 *
 * Invariant: a creation that fails says so by the name of its cause, kills
 * nobody, leaves no file and takes no space; one that succeeded never misses
 * space later.
 */
#include "ground.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <larder/admin.h>

enum { MIB = 1 << 20, NOBODY = 65534 };

static uint64_t bytes_free(const char *path)
{
	struct statvfs v;

	need(statvfs(path, &v) == 0, "statvfs");
	return (uint64_t)v.f_bavail * v.f_frsize;
}

/* Claim that creating at @path fails with @want, and leaves nothing. What space
 * it took is told where nobody else takes any: in a mount of our own. */
static void claim_refused(const char *path, uint64_t bytes, int want)
{
	struct larder_create_options o = {.size_of = sizeof o, .bytes = bytes};
	char parent[256];
	uint64_t before;
	int n_before, error;

	snprintf(parent, sizeof parent, "%s", path);
	*strrchr(parent, '/') = '\0';
	n_before = n_files(parent);
	before = bytes_free(parent);
	error = larder_create(path, &o);
	claim(error == want, "%llu bytes are refused with '%s', got '%s'",
	      (unsigned long long)bytes, larder_strerror(want),
	      larder_strerror(error));
	claim(n_files(parent) == n_before, "no file is left");
	if (strncmp(path, folder(), strlen(folder())))
		claim(bytes_free(parent) == before, "no space is taken");
}

static struct larder *made(const char *path, uint64_t bytes)
{
	struct larder_create_options o = {.size_of = sizeof o, .bytes = bytes};
	struct larder *h = NULL;
	int error = larder_create(path, &o);

	if (!error)
		error = larder_open(path, NULL, &h);
	claim(error == 0, "%llu bytes are created and opened: %s",
	      (unsigned long long)bytes, larder_strerror(error));
	return h;
}

static bool own_shm(const char *options)
{
	return own_namespaces(0) && mount_small("/dev/shm", options);
}

/* Write into @path until there is no room left. */
static void fill_up(const char *path)
{
	static char zeroes[65536];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	need(fd >= 0, path);
	while (write(fd, zeroes, sizeof zeroes) > 0)
		;
	need(errno == ENOSPC, "filling the file system");
	close(fd);
}

static int small(void)
{
	char path[64];
	struct larder *h;

	if (!own_shm("size=3m"))
		return NOT_ALLOWED;
	need(larder_default_path("small", path, sizeof path) == 0, "a path");
	claim_refused(path, 4 * MIB, -ENOSPC);
	claim_refused(path, 0, -ENOSPC);
	h = made(path, 2 * MIB);
	if (h) {
		claim_works(h, "key", 1000);
		claim_sound(h, "in a small /dev/shm");
	}
	larder_close(h);
	return 0;
}

/* Every byte of a segment is written while the file system has none left: a
 * page that was not reserved would be a SIGBUS. */
static int full(void)
{
	char key[32], value[900];
	struct larder *h;
	int error = 0;

	if (!own_shm("size=8m"))
		return NOT_ALLOWED;
	h = made("/dev/shm/early", 4 * MIB);
	if (!h)
		return 1;
	fill_up("/dev/shm/ballast");
	claim_refused("/dev/shm/late", MIB, -ENOSPC);
	memset(value, 'v', sizeof value);
	for (int i = 0; i < 30000 && !error; i++) {
		snprintf(key, sizeof key, "key %d", i);
		error = larder_put(h, key, strlen(key), value, sizeof value,
				   NULL);
	}
	claim(error == 0, "30,000 puts in a full file system: %s",
	      larder_strerror(error));
	claim(counter(h, "evictions") > 0, "the segment was full as well");
	for (size_t n = 1; n <= larder_value_max(h); n *= 8)
		claim_works(h, "of each size", n);
	claim_sound(h, "in a full /dev/shm");
	larder_close(h);
	return 0;
}

static int no_inodes(void)
{
	if (!own_shm("size=8m,nr_inodes=2"))
		return NOT_ALLOWED;
	need(creat("/dev/shm/last", 0600) >= 0, "the last inode");
	claim_refused("/dev/shm/late", MIB, -ENOSPC);
	return 0;
}

/* The kernel sends SIGXFSZ, whose default is death, to who exceeds the limit:
 * a library may not let that happen to its program. */
static int file_size_limit(void)
{
	struct rlimit limit = {2 * MIB, 2 * MIB};
	struct larder_create_options o = {.size_of = sizeof o,
					  .bytes = 4 * MIB};
	struct larder *h;
	int fd, error;

	need(setrlimit(RLIMIT_FSIZE, &limit) == 0, "RLIMIT_FSIZE");
	claim_refused(in_folder("limited"), 4 * MIB, -EFBIG);
	error = larder_create_fd(&o, &fd);
	claim(error == -EFBIG, "so are 4 MiB without a name: %s",
	      larder_strerror(error));
	h = made(in_folder("limited"), 2 * MIB);
	if (h)
		claim_works(h, "key", 1000);
	larder_close(h);
	return 0;
}

/* Memory without a name has no limit of its own: more of it than there is would
 * end whatever the kernel thinks best. Here that would be this process. */
static int no_memory(void)
{
	struct larder_create_options o = {.size_of = sizeof o,
					  .bytes = LARDER_SEGMENT_MAX};
	struct sysinfo machine;
	FILE *first = fopen("/proc/self/oom_score_adj", "we");
	int fd, error;

	if (!first || fputs("1000", first) < 0 || fclose(first) ||
	    sysinfo(&machine) ||
	    machine.totalram * machine.mem_unit >= LARDER_SEGMENT_MAX / 2)
		return NOT_ALLOWED;
	error = larder_create_fd(&o, &fd);
	claim(error == -ENOMEM, "256 GiB without a name are refused: %s",
	      larder_strerror(error));
	o.bytes++;
	error = larder_create_fd(&o, &fd);
	claim(error == -EINVAL, "one byte more is no size: %s",
	      larder_strerror(error));
	return 0;
}

static int read_only_mount(void)
{
	struct larder_inspector *inspector;
	struct larder *h;
	int error;

	if (!own_shm("size=8m"))
		return NOT_ALLOWED;
	h = made("/dev/shm/early", MIB);
	if (!h)
		return 1;
	claim_works(h, "key", 100);
	larder_close(h);
	if (mount("none", "/dev/shm", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY,
		  NULL))
		return NOT_ALLOWED;
	claim_refused("/dev/shm/late", MIB, -EROFS);
	error = larder_open("/dev/shm/early", NULL, &h);
	claim(error == -EROFS, "a worker is refused with '%s'",
	      larder_strerror(error));
	error = larder_inspect("/dev/shm/early", &inspector);
	claim(error == 0, "an inspector is not: %s", larder_strerror(error));
	if (!error)
		larder_inspect_close(inspector);
	return 0;
}

static int read_only_folder(void)
{
	const char *path = in_folder("shut");
	char inside[160];

	need(mkdir(path, 0555) == 0, path);
	snprintf(inside, sizeof inside, "%s/segment", path);
	if (chmod(folder(), 0755) ||
	    (geteuid() == 0 && !become(NOBODY, NOBODY)))
		return NOT_ALLOWED;
	claim_refused(inside, MIB, -EACCES);
	return 0;
}

static int no_folder(void)
{
	struct larder_create_options o = {.size_of = sizeof o, .bytes = MIB};
	int error = larder_create(in_folder("missing/segment"), &o);

	claim(error == -ENOENT, "a folder that is not there: '%s'",
	      larder_strerror(error));
	claim(n_files(folder()) == 0, "no file is left");
	return 0;
}

int main(void)
{
	folder();
	stage("a small file system", small);
	stage("a full file system", full);
	stage("no inodes left", no_inodes);
	stage("a folder that is not there", no_folder);
	stage("a limit on the size of files", file_size_limit);
	stage("more than the memory", no_memory);
	stage("a read-only mount", read_only_mount);
	stage("a read-only folder", read_only_folder);
	rmdir(in_folder("shut"));
	return curtain();
}
