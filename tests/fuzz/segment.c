/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments with hostile bytes: the input says what of a valid segment is
 * overwritten, exchanged or cut off. Then everything is done with it that
 * clients, inspectors, copies and repairs do. None crashes, hangs or touches
 * memory outside of the mapping. What is repaired is accepted by check, works,
 * and still is accepted then; so is what was copied.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <larder/admin.h>

#include "fuzz/rounds.h"
#include "fuzz/specimen.h"
#include "segment/layout.h"

enum { BYTES = SPECIMEN_BYTES, MOST_PATCHES = 24 };

static uint8_t image[BYTES], value[1 << 18];
static uint32_t n_image;

static void *at(uint64_t offset)
{
	return image + offset % (BYTES - 63);
}

/* One that makes sense more often than chance would have it. */
static uint64_t word(struct input *in, uint64_t was)
{
	uint8_t kind = take(in);
	uint64_t v = 0;

	switch (kind % 9) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX;
	case 2:
		return was ^ UINT64_C(1) << take(in) % 64;
	case 3:
		return take(in);
	case 4:
		memcpy(&v, at(take_24(in) & ~7u), sizeof v);
		return v;
	case 5:
		for (unsigned i = 0; i < 8; i++)
			v = v << 8 | take(in);
		return v;
	case 6:
		return was + 1;
	case 7:
		return was - 1;
	default:
		return was ^ (uint64_t)take(in) << take(in) % 57;
	}
}

static void patch_word(struct input *in, uint64_t offset)
{
	uint64_t was, now;

	memcpy(&was, at(offset), sizeof was);
	now = word(in, was);
	memcpy(at(offset), &now, sizeof now);
}

/* Anywhere in one of the tables, all of which are in need of damage alike. */
static uint64_t place(struct input *in)
{
	const struct superblock *sb = (const struct superblock *)specimen();
	const uint64_t begin[] = {
		0,
		sb->off_hot,
		sb->off_slots,
		sb->off_cells,
		sb->off_ring,
		sb->off_tags,
		sb->off_keys,
		sb->off_patterns,
		sb->off_flights,
		sb->off_pools,
		sb->off_groups,
		sb->off_hint_bits,
		sb->off_probation_bits,
		sb->off_main_bits,
		sb->off_ghost,
		sb->off_ghost_main,
		sb->off_page_words,
		sb->off_page_lengths,
		sb->off_class_bits,
		sb->off_avail_bits,
		sb->off_pages,
		BYTES,
	};
	const unsigned n = sizeof begin / sizeof *begin - 1;
	unsigned table = take(in) % n;
	uint64_t length = begin[table + 1] - begin[table];

	return begin[table] + take_24(in) % length;
}

static void patch(struct input *in)
{
	const uint32_t *units, *unit;
	uint32_t n;
	uint8_t how = take(in);
	uint64_t from, to;

	units = specimen_units(&n);
	unit = &units[(how / 8u * 256u + take(in)) % n];
	switch (how % 8) {
	case 0:
		*(uint8_t *)at(take_24(in)) ^= take(in) | 1;
		break;
	case 1:
	case 2:
		patch_word(in, place(in) & ~UINT64_C(7));
		break;
	case 3: /* an entry's header, or its key and what is before it */
	case 4:
		patch_word(in,
			   ((uint64_t)*unit << UNIT_SHIFT) + take(in) % 12 * 8);
		break;
	case 5: /* one structure in the place of another */
		from = place(in) & ~UINT64_C(63);
		to = place(in) & ~UINT64_C(63);
		memmove(at(to), at(from), 64);
		break;
	case 6: /* one entry in the place of another */
		memmove(at((uint64_t)*unit << UNIT_SHIFT),
			at((uint64_t)units[take_24(in) % n] << UNIT_SHIFT), 64);
		break;
	default:
		if (how < 0xe0) { /* a file that is cut off shows little */
			patch_word(in, place(in) & ~UINT64_C(7));
			break;
		}
		n_image = take_24(in) % (BYTES + 1);
		if (!(how & 8))
			n_image &= ~UINT32_C(4095);
		break;
	}
}

/* A file with the damaged bytes. */
static int file(char path[32])
{
	int fd = memfd_create("hostile", MFD_CLOEXEC);

	promise(fd >= 0 && ftruncate(fd, n_image) == 0 &&
			pwrite(fd, image, n_image, 0) == (ssize_t)n_image,
		"write the image");
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

/* All of a leased value is in the mapping. */
static volatile unsigned sink; /* so that bytes are read */

static unsigned read_all(const uint8_t *bytes, uint64_t n)
{
	unsigned sum = 0;

	for (uint64_t i = 0; i < n; i++)
		sum += bytes[i];
	return sum;
}

static void use(struct larder *h)
{
	struct larder_walk_entry entry = {.size_of = sizeof entry};
	struct larder_usage usage = {.size_of = sizeof usage};
	struct larder_info info = {.size_of = sizeof info};
	struct larder_put_options o = {.size_of = sizeof o, .ttl_ms = 1000000};
	struct larder_tag tag = {"red", 3};
	struct larder_region region;
	struct larder_fill fill;
	struct larder_view view;
	uint64_t counters[64], cursor = 0;
	char key[16];

	for (int i = 0; i < SPECIMEN_KEYS; i += 3) {
		size_t n = (size_t)snprintf(key, sizeof key, "k%d", i), got;

		larder_get(h, key, n, value, sizeof value, &got);
		larder_get_info(h, key, n, NULL, 0, &info);
		if (larder_lease(h, key, n, &view) == LARDER_OK) {
			sink += read_all(view.value, view.n_value);
			larder_release(h, &view);
		}
		if (i % 4 == 0)
			larder_put(h, key, n, value, (size_t)i * 7, &o);
		if (i % 4 == 1)
			larder_cas(h, key, n, info.version, value, 5000, NULL);
		if (i % 7 == 0)
			larder_remove(h, key, n);
		if (i % 9 == 0)
			larder_touch(h, key, n, 1000000);
		if (i % 10 == 1)
			larder_increment(h, key, n, 1, 1, NULL, NULL);
		if (i % 20 == 2) {
			int begun = larder_fill_begin(h, key, n, NULL, &fill,
						      &view);

			if (begun == LARDER_LEAD)
				larder_fill_put(h, &fill, value, 100, NULL);
			else if (begun == LARDER_OK || begun == LARDER_STALE)
				larder_release(h, &view);
		}
	}
	for (int i = 0; i < 2000; i++)
		if (larder_walk(h, &cursor, &entry))
			break;
	o.tags = &tag;
	o.n_tags = 1;
	larder_put(h, "large", 5, value, 60000, &o);
	larder_invalidate_tag(h, "red", 3);
	larder_invalidate_match(h, "k1*", 3, LARDER_MATCH_EITHER);
	larder_invalidate_key(h, "k5", 2);
	larder_region(h, "region", 100, 8, &region);
	larder_usage(h, &usage);
	larder_counters(h, counters, 64);
	for (int i = 0; i < 3; i++)
		larder_maintain(h, 1024);
	larder_invalidate_all(h);
	larder_maintain(h, 1024);
}

static void use_fd(int fd)
{
	struct larder *h;

	if (larder_open_fd(fd, NULL, &h))
		return;
	use(h);
	larder_close(h);
}

/* The finding is of no use but to read: a broken string would be met. */
static void read_finding(void *context, enum larder_severity severity,
			 const char *where, const char *what)
{
	size_t *n = context;

	*n += strlen(where) + strlen(what);
	if (severity == LARDER_DAMAGE)
		++*n;
}

static void show_finding(void *context, enum larder_severity severity,
			 const char *where, const char *what)
{
	if (severity == LARDER_DAMAGE)
		fprintf(stderr, "%s: %s\n", where, what);
}

static void look(const char *path, bool deeply)
{
	struct larder_check_result result = {.size_of = sizeof result};
	struct larder_segment_info info = {.size_of = sizeof info};
	struct larder_usage usage = {.size_of = sizeof usage};
	struct larder_worker_info worker = {.size_of = sizeof worker};
	struct larder_class_info class = {.size_of = sizeof class};
	struct larder_walk_entry entry = {.size_of = sizeof entry};
	struct larder_flight_info flight = {.size_of = sizeof flight};
	struct larder_pattern_info pattern = {.size_of = sizeof pattern};
	struct larder_inspector *in;
	uint64_t cursor = 0, counters[64], a, b;
	size_t n = 0;

	if (larder_inspect(path, &in))
		return;
	larder_inspect_check(in, read_finding, &n, &result);
	larder_inspect_info(in, &info);
	larder_inspect_usage(in, &usage);
	larder_inspect_counters(in, -1, counters, 64);
	for (uint32_t i = 0; !larder_inspect_worker(in, i, &worker); i++)
		larder_inspect_counters(in, (int)i, counters, 64);
	for (uint32_t i = 0; !larder_inspect_class(in, i, &class); i++)
		promise(i <= MAX_CLASSES, "classes end");
	for (int i = 0; !larder_inspect_walk(in, &cursor, &entry); i++) {
		const char *text;
		size_t n_text;
		unsigned clock, in_main;

		promise(i <= BYTES / UNIT_BYTES, "a walk ends");
		for (uint32_t t = 0; !larder_inspect_tag(in, t, &text, &n_text);
		     t++)
			memcpy(value, text, n_text);
		larder_inspect_value(in, value, sizeof value, &n_text);
		larder_inspect_clock(in, &clock, &in_main);
	}
	cursor = 0;
	while (!larder_inspect_flight(in, &cursor, &flight))
		n += flight.flight;
	cursor = 0;
	while (!larder_inspect_pattern(in, &cursor, &pattern))
		n += strlen(pattern.text);
	if (deeply) {
		larder_inspect_preview(in, 'm', "k*", 2, LARDER_MATCH_EITHER,
				       &a, &b);
		larder_inspect_preview(in, 't', "red", 3, LARDER_MATCH_TAGS, &a,
				       &b);
	}
	larder_inspect_close(in);
}

static void expect_clean(const char *path, const char *what)
{
	struct larder_check_result result = {.size_of = sizeof result};
	struct larder_inspector *in;

	promise(larder_inspect(path, &in) == 0, what);
	promise(larder_inspect_check(in, show_finding, NULL, &result) == 0,
		what);
	promise(result.n_damage == 0, what);
	larder_inspect_close(in);
}

static void repair(void)
{
	struct larder_repair_result result = {.size_of = sizeof result};
	struct larder *h;
	char path[32];
	size_t n = 0;
	int fd = file(path);

	if (larder_repair(path, 1, read_finding, &n, &result) == 0) {
		expect_clean(path, "check accepts what was repaired");
		promise(larder_open_fd(fd, NULL, &h) == 0, "it opens");
		promise(larder_put(h, "after", 5, "repair", 6, NULL) == 0,
			"it stores");
		use(h);
		larder_close(h);
		expect_clean(path, "and is still accepted after its use");
	}
	close(fd);
}

static void copy(const char *path)
{
	const struct larder_create_options o = {.size_of = sizeof o,
						.bytes = 2 << 20};
	struct larder_inspector *in;
	struct larder *h;
	char to[32];
	int fd;

	if (larder_inspect(path, &in))
		return;
	promise(larder_create_fd(&o, &fd) == 0, "create");
	promise(larder_open_fd(fd, NULL, &h) == 0, "open");
	larder_copy(in, h, NULL, NULL);
	larder_close(h);
	larder_inspect_close(in);
	snprintf(to, sizeof to, "/proc/self/fd/%d", fd);
	expect_clean(to, "check accepts a copy of what is damaged");
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct input in = {data, n};
	uint8_t what = take(&in);
	char path[32];
	int fd;

	memcpy(image, specimen(), BYTES);
	n_image = BYTES;
	for (int i = 0; in.left && i < MOST_PATCHES; i++)
		patch(&in);
	/* One of them a time is enough, and leaves more time for others. */
	switch (what % 4) {
	case 0:
		fd = file(path);
		look(path, what & 16);
		close(fd);
		break;
	case 1:
		fd = file(path);
		use_fd(fd);
		look(path, what & 16); /* what became of it is no better */
		close(fd);
		break;
	case 2:
		repair();
		break;
	default:
		fd = file(path);
		copy(path);
		close(fd);
		break;
	}
	return 0;
}
