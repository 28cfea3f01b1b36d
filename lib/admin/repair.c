/* SPDX-License-Identifier: Apache-2.0 */
/*
 * larder_repair(): who may repair, in which order, and what a death in between
 * leaves: a segment that is marked as put aside, which nobody attaches to, and
 * which the next repair takes up. A lock on the file keeps two repairs apart.
 */
#include "admin/repair.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

void larder_repair_say(struct repair *r, enum larder_severity severity,
		       const char *where, const char *format, ...)
{
	char what[400];
	va_list arguments;

	if (!r->finding)
		return;
	va_start(arguments, format);
	vsnprintf(what, sizeof what, format, arguments);
	va_end(arguments);
	r->finding(r->context, severity, where, what);
}

static int write_superblock(int fd, const struct superblock *sb)
{
	ssize_t n = pwrite(fd, sb, sizeof *sb, 0);

	if (n < 0)
		return -errno;
	return (size_t)n == sizeof *sb ? 0 : -EIO;
}

/* Map read-only and count who is attached. */
static int who_is_there(int fd, uint32_t *n_workers)
{
	struct segment *s;
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3), error;

	if (own < 0)
		return -errno;
	error = larder_segment_map(own, SEGMENT_INSPECT, &s);
	if (error)
		return error;
	*n_workers = larder_alive_count(s);
	larder_segment_drop(s);
	return 0;
}

/* Nobody attaches from now on. */
static int close_segment(int fd, const struct superblock *sb)
{
	off_t at = (off_t)(sb->off_hot + offsetof(struct hot, stamp));
	uint64_t stamp;

	if (pread(fd, &stamp, sizeof stamp, at) != sizeof stamp)
		return -EIO;
	stamp |= STAMP_CLOSED;
	return pwrite(fd, &stamp, sizeof stamp, at) == sizeof stamp ? 0 : -EIO;
}

static int reopen_segment(int fd, const struct superblock *sb)
{
	off_t at = (off_t)(sb->off_hot + offsetof(struct hot, stamp));
	uint64_t stamp;

	if (pread(fd, &stamp, sizeof stamp, at) != sizeof stamp)
		return -EIO;
	stamp &= ~STAMP_CLOSED;
	return pwrite(fd, &stamp, sizeof stamp, at) == sizeof stamp ? 0 : -EIO;
}

/* Of another boot: continue its clock by the wall clock, so that ages stay
 * right. 1 if it was, 0 if not, or why that cannot be told. */
static int adopt(struct superblock *sb)
{
	char boot_id[40];
	uint64_t time_namespace, unix_ms = larder_clock_unix_ms();
	uint64_t age = unix_ms > sb->created_unix_ms
			       ? unix_ms - sb->created_unix_ms
			       : 0;
	int error = larder_boot_identity(boot_id, &time_namespace);

	if (error && error != LARDER_ERR_BOOT_UNKNOWN)
		return error;
	if (!memcmp(boot_id, sb->boot_id, sizeof boot_id) &&
	    time_namespace == sb->time_namespace)
		return 0;
	memcpy(sb->boot_id, boot_id, sizeof boot_id);
	sb->time_namespace = time_namespace;
	/* May wrap: only differences to it are ever used. */
	sb->created_ms = larder_clock_ms() - age;
	return 1;
}

static int run(struct repair *r, int fd)
{
	struct segment *s;
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3), error;

	if (own < 0)
		return -errno;
	error = larder_segment_map(own, SEGMENT_READ_WRITE, &s);
	if (error)
		return error;
	r->s = s;
	r->kept = calloc(div_up(s->n_units, 64), sizeof *r->kept);
	if (!r->kept) {
		larder_segment_drop(s);
		return -ENOMEM;
	}
	larder_repair_freshness(r);
	larder_repair_slots(r);
	larder_repair_groups(r);
	larder_repair_pages(r);
	larder_repair_counts(r);
	larder_repair_open(r);
	free(r->kept);
	larder_segment_drop(s);
	return 0;
}

static int repair_file(struct repair *r, int fd, bool force)
{
	struct superblock sb;
	struct stat st;
	uint32_t n_workers = 0;
	bool changed;
	int error = larder_repair_superblock(fd, &sb, &changed);

	if (error)
		return error;
	/* What the plan says is what whoever is attached believes already. */
	if (changed) {
		larder_repair_say(r, LARDER_DAMAGE, "superblock",
				  "fields that contradicted the others were "
				  "taken from them");
		error = write_superblock(fd, &sb);
	}
	if (!error)
		error = who_is_there(fd, &n_workers);
	if (error)
		return error;
	if (n_workers && !force)
		return -EBUSY;
	if (fstat(fd, &st))
		return -errno;
	if ((uint64_t)st.st_size < sb.bytes) {
		error = posix_fallocate(fd, 0, (off_t)sb.bytes);
		if (error)
			return -error;
		larder_repair_say(r, LARDER_DAMAGE, "file",
				  "%llu bytes were missing at its end",
				  (unsigned long long)sb.bytes -
					  (unsigned long long)st.st_size);
	}
	error = close_segment(fd, &sb);
	if (!error && !force) {
		/* Somebody may have come before it was closed. */
		error = who_is_there(fd, &n_workers);
		if (!error && n_workers) {
			error = reopen_segment(fd, &sb);
			return error ? error : -EBUSY;
		}
	}
	if (!error)
		error = adopt(&sb);
	if (error > 0) {
		r->revived = true;
		error = write_superblock(fd, &sb);
	}
	return error ? error : run(r, fd);
}

int larder_repair(const char *path, int force, larder_finding *finding,
		  void *context, struct larder_repair_result *result)
{
	struct repair *r;
	int fd, error;

	if (!path || !*path || !result)
		return -EINVAL;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		error = errno == EWOULDBLOCK ? -EBUSY : -errno;
		close(fd);
		return error;
	}
	r = calloc(1, sizeof *r);
	if (!r) {
		close(fd);
		return -ENOMEM;
	}
	r->finding = finding;
	r->context = context;
	r->snap.bytes = r->snap.room;
	error = repair_file(r, fd, force != 0);
	if (!error &&
	    !larder_inspect_give(result, &r->result, sizeof r->result))
		error = -EINVAL;
	free(r);
	close(fd);
	return error;
}
