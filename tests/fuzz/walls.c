/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walls around each mapping of a segment: the linker puts these in the place of
 * mmap64 and munmap (-Wl,--wrap), so that whoever reads or writes outside of
 * the mapping dies of it, rather than meeting what lies beside.
 */
#include <stddef.h>
#include <sys/mman.h>

void *__real_mmap64(void *at, size_t n, int protection, int flags, int fd,
		    off_t offset);
int __real_munmap(void *at, size_t n);
void *__wrap_mmap64(void *at, size_t n, int protection, int flags, int fd,
		    off_t offset);
int __wrap_munmap(void *at, size_t n);

/* As far as a unit number of 32 bits reaches would be 256 GiB; a page length,
 * a key or a value that is off reaches less than this. */
static const size_t WALL = (size_t)4 << 30;

/* What is mapped, of what was taken with its walls. */
static struct {
	char *all, *at;
	size_t n_all, n;
} walled[64];

void *__wrap_mmap64(void *at, size_t n, int protection, int flags, int fd,
		    off_t offset)
{
	char *all;
	int i = 0;

	if (at)
		return __real_mmap64(at, n, protection, flags, fd, offset);
	while (walled[i].all)
		if (++i == 64)
			return MAP_FAILED;
	n = (n + 4095) & ~(size_t)4095;
	all = __real_mmap64(NULL, n + 2 * WALL, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (all == MAP_FAILED)
		return MAP_FAILED;
	at = __real_mmap64(all + WALL, n, protection, flags | MAP_FIXED, fd,
			   offset);
	if (at == MAP_FAILED) {
		__real_munmap(all, n + 2 * WALL);
		return MAP_FAILED;
	}
	walled[i].all = all;
	walled[i].n_all = n + 2 * WALL;
	walled[i].at = at;
	walled[i].n = n;
	return at;
}

/* The last of it takes the walls along; either end becomes a part of them. */
int __wrap_munmap(void *at, size_t n)
{
	char *from = at;
	int i = 0;

	n = (n + 4095) & ~(size_t)4095;
	while (!walled[i].all || from < walled[i].at ||
	       from >= walled[i].at + walled[i].n)
		if (++i == 64)
			return __real_munmap(at, n);
	if (n == walled[i].n) {
		char *all = walled[i].all;

		walled[i].all = NULL;
		return __real_munmap(all, walled[i].n_all);
	}
	if (from == walled[i].at)
		walled[i].at += n;
	walled[i].n -= n;
	return __real_mmap64(at, n, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
				     MAP_FIXED,
			     -1, 0) == MAP_FAILED;
}
