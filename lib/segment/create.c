/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creating a segment. The file is built without a name, all of its space
 * reserved, and linked to its path only when it is complete: a creator may die
 * anywhere and leaves either a whole segment or nothing that has a name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <larder/larder.h>

#include "base/cancel.h"
#include "base/clock.h"
#include "segment/segment.h"
#include "segment/create.h"

int larder_default_path(const char *name, char *path, size_t n_path)
{
	int n;

	if (!name || !*name || !path)
		return -EINVAL;
	for (const char *c = name; *c; c++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX"
			    "YZ"
			    "0123456789-_.",
			    *c))
			return -EINVAL;
	n = snprintf(path, n_path, "/dev/shm/larder-v%d-%s", LAYOUT_VERSION,
		     name);
	return n < 0 || (size_t)n >= n_path ? -ENAMETOOLONG : 0;
}

/* Options of any age: what a shorter structure does not have is zero. */
static int read_options(const struct larder_create_options *given,
			struct larder_create_options *o)
{
	memset(o, 0, sizeof *o);
	if (!given)
		return 0;
	if (given->size_of < sizeof(size_t) || given->size_of > 4096)
		return -EINVAL;
	memcpy(o, given, min_u64(given->size_of, sizeof *o));
	if (o->flags & ~(unsigned)(LARDER_CREATE_FENCED | LARDER_CREATE_EXCL))
		return -EINVAL;
	return o->mode & ~07777u ? -EINVAL : 0;
}

static int fill_random(void *bytes, size_t n)
{
	unsigned char *b = bytes;

	while (n) {
		ssize_t got = getrandom(b, n, 0);

		if (got < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		b += got;
		n -= (size_t)got;
	}
	return 0;
}

static int init_slots(unsigned char *base, const struct superblock *sb)
{
	struct slot *slots = (struct slot *)(base + sb->off_slots);
	pthread_mutexattr_t attributes;
	int error;

	error = pthread_mutexattr_init(&attributes);
	if (error)
		return -error;
	error = pthread_mutexattr_setpshared(&attributes,
					     PTHREAD_PROCESS_SHARED);
	if (!error)
		error = pthread_mutexattr_setrobust(&attributes,
						    PTHREAD_MUTEX_ROBUST);
	for (uint32_t i = 0; !error && i < sb->n_slots; i++) {
		error = pthread_mutex_init(&slots[i].claim, &attributes);
		store_relaxed(&slots[i].sequence, 1);
	}
	pthread_mutexattr_destroy(&attributes);
	return -error;
}

/* Reserve the space, then write superblock, slots and first words. */
static int build(int fd, const struct larder_create_options *o)
{
	struct superblock plan;
	struct superblock *sb;
	struct hot *hot;
	struct rlimit limit;
	unsigned char *base;
	int error = larder_layout_plan(o, &plan);

	if (error)
		return error;
	/* Asking the kernel for more than the limit is a signal, SIGXFSZ, and
	 * by default the program's end. */
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
	    limit.rlim_cur != RLIM_INFINITY && plan.bytes > limit.rlim_cur)
		return -EFBIG;
	if (ftruncate(fd, (off_t)plan.bytes))
		return -errno;
	error = posix_fallocate(fd, 0, (off_t)plan.bytes);
	if (error)
		return -error;
	error = fill_random(plan.secret, sizeof plan.secret);
	if (!error)
		error = fill_random(plan.id, sizeof plan.id);
	if (error)
		return error;
	error = larder_boot_identity(plan.boot_id, &plan.time_namespace);
	if (error && error != LARDER_ERR_BOOT_UNKNOWN)
		return error;
	plan.created_ms = larder_clock_ms();
	plan.created_unix_ms = larder_clock_unix_ms();
	plan.creator_pid = (uint32_t)getpid();
	plan.fenced = (o->flags & LARDER_CREATE_FENCED) ||
		      larder_membarrier_register();

	base = mmap(NULL, plan.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    0);
	if (base == MAP_FAILED)
		return -errno;
	sb = (struct superblock *)base;
	memcpy(sb, &plan, sizeof plan);
	hot = (struct hot *)(base + plan.off_hot);
	store_relaxed(&hot->epoch, FIRST_EPOCH);
	store_relaxed(&hot->stamp, 1);
	store_relaxed(&hot->free_pages, plan.n_pages);
	error = init_slots(base, &plan);
	if (!error)
		store_release(&sb->ready, 1); /* [SEG.1] */
	munmap(base, plan.bytes);
	return error;
}

static int set_owner(int fd, const struct larder_create_options *o)
{
	if (o->group > 0 && fchown(fd, (uid_t)-1, (gid_t)o->group))
		return -errno;
	if (fchmod(fd, o->mode ? (mode_t)o->mode : 0600))
		return -errno;
	return 0;
}

static int directory_of(const char *path, char *directory, size_t n)
{
	const char *slash = strrchr(path, '/');
	size_t length = slash ? (size_t)(slash - path) : 0;

	if (!slash)
		return snprintf(directory, n, ".") < 0 ? -EINVAL : 0;
	if (length == 0)
		length = 1;
	if (length >= n)
		return -ENAMETOOLONG;
	memcpy(directory, path, length);
	directory[length] = '\0';
	return 0;
}

/*
 * Give the nameless file its name, if none has it. Where there is no O_TMPFILE,
 * or no /proc, it has a temporary name first, which a death leaves behind.
 */
static int create_at(const char *path,
		     const struct larder_create_options *given)
{
	struct larder_create_options o;
	char directory[4096], link_from[64], temporary[4200];
	bool named = false;
	int error = read_options(given, &o), fd;

	if (error)
		return error;
	if (!path || !*path)
		return -EINVAL;
	if (access(path, F_OK) == 0)
		return o.flags & LARDER_CREATE_EXCL ? -EEXIST : LARDER_EXISTS;
	error = directory_of(path, directory, sizeof directory);
	if (error)
		return error;

	/* A file without a name is given one through /proc. */
	fd = access("/proc/self/fd", X_OK)
		     ? -EOPNOTSUPP
		     : larder_fd_safe(open(directory,
					   O_TMPFILE | O_RDWR | O_CLOEXEC,
					   0600));
	if (fd == -EOPNOTSUPP || fd == -EISDIR) {
		snprintf(temporary, sizeof temporary, "%s/.larder-XXXXXX",
			 directory);
		fd = larder_fd_safe(mkostemp(temporary, O_CLOEXEC));
		named = fd >= 0;
	}
	if (fd < 0)
		return fd;
	error = build(fd, &o);
	if (!error)
		error = set_owner(fd, &o);
	if (!error && named) {
		if (link(temporary, path))
			error = -errno;
	} else if (!error) {
		snprintf(link_from, sizeof link_from, "/proc/self/fd/%d", fd);
		if (linkat(AT_FDCWD, link_from, AT_FDCWD, path,
			   AT_SYMLINK_FOLLOW))
			error = -errno;
	}
	if (named)
		unlink(temporary);
	close(fd);
	if (error == -EEXIST && !(o.flags & LARDER_CREATE_EXCL))
		return LARDER_EXISTS;
	return error;
}

int larder_create(const char *path, const struct larder_create_options *given)
{
	int before = cancel_hold();
	int error = create_at(path, given);

	cancel_allow(before);
	return error;
}

/* Bytes that the kernel could give without taking them from somebody. */
static uint64_t memory_available(void)
{
	static const char *const names[] = {"MemAvailable:", "SwapFree:"};
	FILE *f = fopen("/proc/meminfo", "re");
	uint64_t bytes = 0;
	char line[128];

	if (!f)
		return UINT64_MAX;
	while (fgets(line, sizeof line, f))
		for (size_t i = 0; i < sizeof names / sizeof *names; i++)
			if (!strncmp(line, names[i], strlen(names[i])))
				bytes += strtoull(line + strlen(names[i]), NULL,
						  10)
					 << 10;
	fclose(f);
	return bytes ? bytes : UINT64_MAX;
}

static int create_fd(const struct larder_create_options *given, int *result)
{
	struct larder_create_options o;
	struct superblock plan;
	int error = read_options(given, &o), fd;

	if (!error)
		error = larder_layout_plan(&o, &plan);
	/* No file system bounds a file without a name: the kernel would end
	 * other programs to reserve what is not there. */
	if (!error && plan.bytes > memory_available())
		error = -ENOMEM;
	if (error)
		return error;
	fd = memfd_create("larder", 0);
	if (fd < 0)
		return -errno;
	if (fd <= STDERR_FILENO) {
		/* Without close-on-exec, as promised. */
		int safe = fcntl(fd, F_DUPFD, STDERR_FILENO + 1);

		error = -errno;
		close(fd);
		if (safe < 0)
			return error;
		fd = safe;
	}
	error = build(fd, &o);
	if (!error)
		error = set_owner(fd, &o);
	if (error) {
		close(fd);
		return error;
	}
	*result = fd;
	return 0;
}

int larder_create_fd(const struct larder_create_options *given, int *result)
{
	int before = cancel_hold();
	int error = create_fd(given, result);

	cancel_allow(before);
	return error;
}

/* ------------------------------------------------------------------ */
/* Putting aside                                                       */

enum { TURN_POLLS = 20 }; /* of a millisecond */

/* One at a time. Who stands still in there is passed by; its turn is then not
 * its own any more, and it finds that out below. */
static void wait_for_turn(int fd)
{
	const struct timespec nap = {.tv_nsec = 1000000};

	for (int i = 0; i < TURN_POLLS; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
			return;
		nanosleep(&nap, NULL);
	}
}

static bool is_at(const char *path, int fd)
{
	struct stat there, ours;

	return stat(path, &there) == 0 && fstat(fd, &ours) == 0 &&
	       there.st_dev == ours.st_dev && there.st_ino == ours.st_ino;
}

/* Never over another file that was put aside; *aside is the name it got. */
static int rename_aside(const char *path, char *aside, size_t n_aside)
{
	uint64_t ms = larder_clock_unix_ms();

	for (int tries = 0; tries < 100; tries++, ms++) {
		if (snprintf(aside, n_aside, "%s.damaged-%llu-%ld", path,
			     (unsigned long long)ms,
			     (long)getpid()) >= (int)n_aside)
			return -ENAMETOOLONG;
		if (renameat2(AT_FDCWD, path, AT_FDCWD, aside,
			      RENAME_NOREPLACE) == 0)
			return 0;
		if (errno == EINVAL || errno == ENOSYS)
			return rename(path, aside) ? -errno : 0;
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

int larder_put_aside(const char *path, int fd)
{
	char aside[4200];
	int error, other;

	wait_for_turn(fd);
	if (!is_at(path, fd))
		return 0;
	/* Closed first: its users must not serve on from a file that no
	 * invalidation reaches any more. */
	larder_segment_close(fd);
	error = rename_aside(path, aside, sizeof aside);
	if (error)
		return error == -ENOENT ? 0 : error;
	if (is_at(aside, fd))
		return 0;
	/* We were passed by, and have moved what took its place: back with it.
	 * Should a third one be there, ours is closed, and its users follow. */
	if (link(aside, path)) {
		other = open(aside, O_RDWR | O_CLOEXEC);
		if (other >= 0) {
			larder_segment_close(other);
			close(other);
		}
		return 0;
	}
	return unlink(aside) ? -errno : 0;
}
