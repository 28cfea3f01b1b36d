/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments with hostile bytes: what the input says is overwritten, then every
 * operation is tried. None may crash, hang, or read outside the mapping; what
 * they answer does not matter.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <larder/admin.h>

#include "fuzz/rounds.h"

enum { BYTES = 1 << 20 };

static int file_of(unsigned char *bytes)
{
	int fd = memfd_create("hostile", 0);

	if (fd < 0 || ftruncate(fd, BYTES) ||
	    pwrite(fd, bytes, BYTES, 0) != BYTES)
		exit(1);
	return fd;
}

/* A segment with something of everything in it, as bytes. */
static const unsigned char *specimen(void)
{
	static unsigned char bytes[BYTES];
	const struct larder_create_options o = {.size_of = sizeof o,
						.bytes = BYTES};
	struct larder_tag tag = {"tag", 3};
	struct larder_put_options with_tag = {.size_of = sizeof with_tag,
					      .tags = &tag,
					      .n_tags = 1,
					      .ttl_ms = 100000};
	static char value[20000];
	struct larder *h;
	char key[16];
	int fd;

	if (bytes[0])
		return bytes;
	if (larder_create_fd(&o, &fd) || larder_open_fd(fd, NULL, &h))
		exit(1);
	for (int i = 0; i < 600; i++)
		larder_put(h, key, (size_t)snprintf(key, sizeof key, "k%d", i),
			   value, (size_t)(i * 31 % (i % 50 ? 900 : 20000)),
			   i % 2 ? &with_tag : NULL);
	larder_invalidate_tag(h, "other", 5);
	larder_invalidate_match(h, "x*", 2, LARDER_MATCH_KEYS);
	larder_close(h);
	if (pread(fd, bytes, BYTES, 0) != BYTES)
		exit(1);
	close(fd);
	return bytes;
}

static void use(int fd)
{
	static char value[1 << 18];
	struct larder_walk_entry entry = {.size_of = sizeof entry};
	struct larder_usage usage = {.size_of = sizeof usage};
	struct larder_view view;
	struct larder *h;
	uint64_t cursor = 0;
	char key[16];

	if (larder_open_fd(fd, NULL, &h))
		return;
	for (int i = 0; i < 40; i++) {
		size_t n = (size_t)snprintf(key, sizeof key, "k%d", i * 15),
		       got;

		larder_get(h, key, n, value, sizeof value, &got);
		if (larder_lease(h, key, n, &view) == LARDER_OK)
			larder_release(h, &view);
		if (i % 4 == 0)
			larder_put(h, key, n, value, 200, NULL);
		if (i % 7 == 0)
			larder_remove(h, key, n);
		if (i % 9 == 0)
			larder_touch(h, key, n, 1000);
	}
	for (int i = 0; i < 2000; i++)
		if (larder_walk(h, &cursor, &entry))
			break;
	larder_usage(h, &usage);
	larder_maintain(h, 0);
	larder_close(h);
}

static void look(int fd)
{
	struct larder_check_result result = {.size_of = sizeof result};
	struct larder_inspector *inspector;
	char path[32];

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (larder_inspect(path, &inspector))
		return;
	larder_inspect_check(inspector, NULL, NULL, &result);
	larder_inspect_close(inspector);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static unsigned char bytes[BYTES];
	int fd;

	memcpy(bytes, specimen(), BYTES);
	/* Four bytes each: where (three), what. Few of them, so that most of
	 * the segment still makes sense. */
	for (size_t i = 0; i + 4 <= n && i < 64; i += 4) {
		uint32_t at = ((uint32_t)data[i] << 16 |
			       (uint32_t)data[i + 1] << 8 | data[i + 2]) %
			      BYTES;

		/* The middle of the file is the index and the tables. */
		if (data[i + 3] & 1)
			at = 4096 + at % 200000;
		bytes[at] ^= data[i + 3] | 1;
	}
	fd = file_of(bytes);
	alarm(30); /* a hang is a failure */
	look(fd);
	use(fd);
	alarm(0);
	close(fd);
	return 0;
}
