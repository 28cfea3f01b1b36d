/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared memory of the bench's own tables.
 */
#include "peers/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_BYTES ((size_t)2 << 20)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

int mapping_open(struct mapping *m, size_t n_bytes, bool huge)
{
	size_t n = (n_bytes + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1);
	int fd = memfd_create("larder-bench", MFD_CLOEXEC), error;
	char *room, *base;

	if (fd < 0)
		return -errno;
	error = ftruncate(fd, (off_t)n) ? errno
					: posix_fallocate(fd, 0, (off_t)n);
	if (error) {
		close(fd);
		return -error;
	}
	/* Reserve enough to align in, then map over it. */
	room = mmap(NULL, n + HUGE_BYTES, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (room == MAP_FAILED) {
		close(fd);
		return -ENOMEM;
	}
	base = room + (-(uintptr_t)room & (HUGE_BYTES - 1));
	if (mmap(base, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		 0) == MAP_FAILED) {
		error = errno;
		munmap(room, n + HUGE_BYTES);
		close(fd);
		return -error;
	}
	close(fd);
	if (base > room)
		munmap(room, (size_t)(base - room));
	munmap(base + n, (size_t)(room + HUGE_BYTES - base));
	memset(base, 0, n);
	if (huge) {
		madvise(base, n, MADV_HUGEPAGE);
		for (size_t at = 0; at < n; at += HUGE_BYTES)
			if (madvise(base + at, HUGE_BYTES, MADV_COLLAPSE))
				break;
	}
	m->base = base;
	m->n_bytes = n;
	return 0;
}

void mapping_close(struct mapping *m)
{
	munmap(m->base, m->n_bytes);
	m->base = NULL;
}

uint64_t mapping_huge(const struct mapping *m)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	uint64_t n_bytes = 0;
	bool inside = false;
	char line[256];

	if (!file)
		return 0;
	while (fgets(line, sizeof line, file)) {
		unsigned long from, to, kib;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = from >= (uintptr_t)m->base &&
				 to <= (uintptr_t)m->base + m->n_bytes;
		else if (inside &&
			 (sscanf(line, "ShmemPmdMapped: %lu kB", &kib) == 1 ||
			  sscanf(line, "FilePmdMapped: %lu kB", &kib) == 1))
			n_bytes += (uint64_t)kib << 10;
	}
	fclose(file);
	return n_bytes;
}
