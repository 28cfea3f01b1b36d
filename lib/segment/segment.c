/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mapping a segment's file and letting go of it; the process's membarrier.
 *
 * The sole mmap of a segment. Nothing of the file is believed before
 * larder_layout_validate() has planned the same numbers.
 */
#include "segment/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <larder/larder.h>

static int membarrier(int command)
{
	return (int)syscall(SYS_membarrier, command, 0, 0);
}

int larder_membarrier_register(void)
{
	/* Inherited by fork, cleared by exec; repeating it costs one call. */
	return membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0
		       ? 0
		       : LARDER_ERR_NO_MEMBARRIER;
}

bool larder_membarrier(void)
{
	return membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED) == 0;
}

int larder_boot_identity(char boot_id[40], uint64_t *time_namespace)
{
	struct stat st;
	ssize_t n;
	int fd, error = 0;

	memset(boot_id, 0, 40);
	*time_namespace = 0;
	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == EACCES || errno == ENOTDIR
			       ? LARDER_ERR_BOOT_UNKNOWN
			       : -errno;
	n = read(fd, boot_id, 36);
	if (n != 36) {
		error = n < 0 ? -errno : LARDER_ERR_BOOT_UNKNOWN;
		memset(boot_id, 0, 40);
	}
	close(fd);
	if (!error && stat("/proc/self/ns/time", &st) == 0)
		*time_namespace = (uint64_t)st.st_ino;
	return error;
}

/* Is this superblock of our boot and time? One that was made without /proc is
 * for processes without it: there is nothing to compare. */
static int check_boot(const struct superblock *sb)
{
	char boot_id[40];
	uint64_t time_namespace;
	int error = larder_boot_identity(boot_id, &time_namespace);

	if (error && error != LARDER_ERR_BOOT_UNKNOWN)
		return error;
	if ((error != 0) != (sb->boot_id[0] == '\0'))
		return LARDER_ERR_BOOT_UNKNOWN;
	return memcmp(boot_id, sb->boot_id, sizeof boot_id) ||
			       time_namespace != sb->time_namespace
		       ? LARDER_ERR_OTHER_BOOT
		       : 0;
}

/* Tables from the superblock's offsets, which have been validated. */
static void locate(struct segment *s)
{
	const struct superblock *sb = s->sb;
	unsigned char *b = s->base;

	s->hot = (struct hot *)(b + sb->off_hot);
	s->slots = (struct slot *)(b + sb->off_slots);
	s->cells = (struct cell *)(b + sb->off_cells);
	s->ring = (atomic_u64 *)(b + sb->off_ring);
	s->tags = (struct tag_set *)(b + sb->off_tags);
	s->keys = (struct tag_set *)(b + sb->off_keys);
	s->patterns = (struct pattern *)(b + sb->off_patterns);
	s->flights = (struct flight *)(b + sb->off_flights);
	s->pools = (struct pool *)(b + sb->off_pools);
	s->groups = (struct group *)(b + sb->off_groups);
	s->page_words = (atomic_u64 *)(b + sb->off_page_words);
	s->page_lengths = (atomic_u32 *)(b + sb->off_page_lengths);
	s->hint_bits = (atomic_u64 *)(b + sb->off_hint_bits);
	s->probation_bits = (atomic_u64 *)(b + sb->off_probation_bits);
	s->main_bits = (atomic_u64 *)(b + sb->off_main_bits);
	s->class_bits = (atomic_u64 *)(b + sb->off_class_bits);
	s->avail_bits = (atomic_u64 *)(b + sb->off_avail_bits);
	s->ghost = (struct ghost_bucket *)(b + sb->off_ghost);
	s->ghost_main = (struct ghost_bucket *)(b + sb->off_ghost_main);
	s->n_groups = (uint32_t)sb->n_groups;
	s->n_slots = sb->n_slots;
	s->n_pages = sb->n_pages;
	s->n_classes = sb->n_classes;
	s->page_shift = sb->page_shift;
	s->page_unit_shift = sb->page_shift - UNIT_SHIFT;
	s->first_unit = (uint32_t)(sb->off_pages >> UNIT_SHIFT);
	s->end_unit = s->first_unit + (sb->n_pages << s->page_unit_shift);
	s->n_units = s->end_unit - s->first_unit;
	s->end = s->base + ((uint64_t)s->end_unit << UNIT_SHIFT);
	memcpy(s->secret, sb->secret, sizeof s->secret);
	/* As plan_tables() laid the rows out, before the tables' own room was
	 * taken off the number of pages. */
	s->class_row = (uint32_t)((sb->off_avail_bits - sb->off_class_bits) /
				  8 / MAX_CLASSES);
	s->fenced = sb->fenced;
	for (uint32_t u = 0, c = 0; u <= page_units(s); u++) {
		while (c + 1 < s->n_classes && sb->class_units[c] < u)
			c++;
		s->class_of_units[u] = (uint8_t)c;
	}
}

/*
 * Validate the superblock behind @fd into *@copy: the mapping's own copy could
 * change under our eyes.
 */
static int read_superblock(int fd, enum segment_mode mode,
			   struct superblock *copy, uint64_t *n_file)
{
	struct stat st;
	ssize_t n;
	int error;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return LARDER_ERR_NOT_LARDER;
	*n_file = (uint64_t)st.st_size;
	n = pread(fd, copy, sizeof *copy, 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof *copy) {
		if ((size_t)n >= 8 && copy->magic == SEGMENT_MAGIC)
			return LARDER_ERR_TRUNCATED;
		return LARDER_ERR_NOT_LARDER;
	}
	error = larder_layout_validate(copy, *n_file);
	if (error == LARDER_ERR_TRUNCATED && mode == SEGMENT_INSPECT)
		error = 0;
	if (error)
		return error;
	if (!copy->ready)
		return LARDER_ERR_UNFINISHED;
	/* [SEG.2] The kernel read it; what the mapping shows comes later. */
	fence_acquire();
	if (mode == SEGMENT_INSPECT)
		return 0;
	error = check_boot(copy);
	if (error)
		return error;
	return copy->fenced ? 0 : larder_membarrier_register();
}

int larder_fd_safe(int fd)
{
	int safe, error;

	if (fd > STDERR_FILENO)
		return fd;
	if (fd < 0)
		return -errno;
	safe = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	error = errno;
	close(fd);
	return safe < 0 ? -error : safe;
}

/* On a boundary of huge pages, so that the kernel can use them: in a
 * reservation that is larger by one, whose ends are given back. */
static void *map_aligned(uint64_t n, int protection, int fd)
{
	const uint64_t huge = LARDER_HUGE_BYTES;
	unsigned char *room, *base;

	room = mmap(NULL, n + huge, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (room == MAP_FAILED) /* an address space that is nearly full */
		return mmap(NULL, n, protection, MAP_SHARED, fd, 0);
	base = room + (-(uintptr_t)room & (huge - 1));
	if (mmap(base, n, protection, MAP_SHARED | MAP_FIXED, fd, 0) ==
	    MAP_FAILED) {
		int error = errno;

		munmap(room, n + huge);
		errno = error;
		return MAP_FAILED;
	}
	n = align_up(n, 4096);
	if (base > room)
		munmap(room, (size_t)(base - room));
	munmap(base + n, (size_t)(room + huge - base));
	return base;
}

/*
 * A whole segment is mapped shared. Of a truncated one what is there is mapped
 * over private zeroes, so that an inspector reads absence, not SIGBUS.
 */
static int map(struct segment *s, int fd, enum segment_mode mode,
	       uint64_t n_file)
{
	int protection =
		PROT_READ | (mode == SEGMENT_READ_WRITE ? PROT_WRITE : 0);
	uint64_t n_there = min_u64(n_file, s->bytes) & ~UINT64_C(4095);

	if (n_file >= s->bytes) {
		s->base = map_aligned(s->bytes, protection, fd);
	} else {
		s->base = mmap(NULL, s->bytes, PROT_READ,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (s->base != MAP_FAILED && n_there &&
		    mmap(s->base, n_there, PROT_READ, MAP_SHARED | MAP_FIXED,
			 fd, 0) == MAP_FAILED) {
			munmap(s->base, s->bytes);
			s->base = MAP_FAILED;
		}
	}
	if (s->base == MAP_FAILED)
		return -errno;
	/* A core dump of a worker need not hold the whole cache. */
	madvise(s->base, s->bytes, MADV_DONTDUMP);
	return 0;
}

int larder_segment_map(int fd, enum segment_mode mode, struct segment **result)
{
	struct superblock *copy = calloc(1, sizeof *copy);
	struct segment *s = calloc(1, sizeof *s);
	uint64_t n_file = 0;
	int error = copy && s ? 0 : -ENOMEM;

	if (!error)
		error = read_superblock(fd, mode, copy, &n_file);
	if (!error) {
		s->bytes = copy->bytes;
		s->stuck_pin = calloc(copy->n_slots, 2 * sizeof(uint64_t));
		error = s->stuck_pin ? map(s, fd, mode, n_file) : -ENOMEM;
	}
	if (error) {
		if (s)
			free(s->stuck_pin);
		free(s);
		free(copy);
		close(fd);
		return error;
	}
	s->sb = copy;
	s->stuck_ms = s->stuck_pin + copy->n_slots;
	s->fd = fd;
	s->read_only = mode == SEGMENT_INSPECT;
	store_release(&s->references, 1);
	locate(s);
	*result = s;
	return 0;
}

void larder_segment_hold(struct segment *s)
{
	fetch_add_relaxed(&s->references, 1);
}

void larder_segment_drop(struct segment *s)
{
	if (fetch_sub_acqrel(&s->references, 1) != 1)
		return;
	munmap(s->base, s->bytes);
	close(s->fd);
	free(s->stuck_pin);
	free((void *)(uintptr_t)s->sb);
	free(s);
}

void larder_segment_close(int fd)
{
	const size_t n = SUPERBLOCK_BYTES + sizeof(struct hot);
	const struct superblock *sb;
	struct stat st;
	unsigned char *base;
	struct hot *hot;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || (size_t)st.st_size < n)
		return;
	base = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return;
	sb = (const struct superblock *)base;
	hot = (struct hot *)(base + SUPERBLOCK_BYTES);
	if (sb->magic == SEGMENT_MAGIC && sb->byte_order == 0x01020304 &&
	    sb->layout_version == LAYOUT_VERSION &&
	    sb->fingerprint == larder_layout_fingerprint())
		fetch_or_acqrel(&hot->stamp, STAMP_CLOSED);
	munmap(base, n);
}
