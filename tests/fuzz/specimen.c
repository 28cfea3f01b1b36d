/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment with something of everything in it: entries of every shape, runs,
 * counters, regions, tags, patterns, a worker that was killed with a lease and
 * a fill in its hands and an entry half written.
 *
 * `fuzz-specimen PATH` writes it to a file.
 */
#include "fuzz/specimen.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <larder/larder.h>

#include "fuzz/rounds.h"
#include "segment/segment.h"
#include "store/index.h"

static uint8_t bytes[SPECIMEN_BYTES];
static uint32_t units[1 << 14], n_units;

static void put(struct larder *h, int i)
{
	static const char text[] = "a piece of what a value may hold, ";
	static char value[20000];
	struct larder_tag tags[3] = {{"red", 3}, {"green", 5}, {"blue", 4}};
	struct larder_put_options o = {.size_of = sizeof o, .tags = tags};
	size_t n = (size_t)(i % 50 ? i * 31 % 900 : 100 * i % 20000);
	char key[64];
	int n_key = snprintf(key, sizeof key, "k%d", i);

	if (i % 40 == 39)
		n_key = snprintf(key, sizeof key, "k%d-%050d", i, i);
	for (size_t at = 0; at < n; at++)
		value[at] = text[at % (sizeof text - 1)];
	o.n_tags = i % 3 == 1 ? 1u + (unsigned)i % 2 * 2u : 0;
	o.ttl_ms = i % 5 == 2 ? 100000000 : 0;
	o.soft_ttl_ms = i % 7 == 3 ? 50000000 : 0;
	o.cost_ns = i % 11 == 4 ? 12345678 : 0;
	o.flags = i % 97 == 5 ? LARDER_KEEP : i % 13 == 6 ? LARDER_NEGATIVE : 0;
	if (i % 30 == 7)
		promise(larder_increment(h, key, (size_t)n_key, i, 1, &o,
					 NULL) == 0,
			"a counter in the specimen");
	else
		promise(larder_put(h, key, (size_t)n_key, value, n, &o) == 0,
			"an entry in the specimen");
}

/* Dies with all that one can have in hand. */
static void die_at_it(struct larder *h)
{
	struct larder_view view;
	struct larder_fill fill;
	int status;
	pid_t pid = fork();

	promise(pid >= 0, "fork");
	if (pid == 0) {
		put(h, SPECIMEN_KEYS - 1);
		if (larder_lease(h, "k11", 3, &view) == LARDER_OK &&
		    larder_fill_begin(h, "absent", 6, NULL, &fill, &view) ==
			    LARDER_LEAD)
			raise(SIGKILL);
		_exit(1);
	}
	promise(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status),
		"a worker of the specimen dies");
}

static void find_units(int fd)
{
	struct segment *s;

	promise(larder_segment_map(fd, SEGMENT_INSPECT, &s) == 0, "map it");
	for (uint32_t g = 0; g < s->n_groups; g++)
		for (unsigned i = 0; i < GROUP_SLOTS; i++) {
			uint32_t unit =
				slot_unit(load_relaxed(&s->groups[g].slot[i]));

			if (unit)
				units[n_units++] = unit;
		}
	larder_segment_drop(s);
}

static void make(void)
{
	static const uint8_t secret[LARDER_SECRET_BYTES] = "of the specimen";
	const struct larder_create_options o = {.size_of = sizeof o,
						.bytes = SPECIMEN_BYTES};
	struct larder_region region;
	struct larder *h;
	int fd;

	promise(larder_create_fd(&o, &fd) == 0, "create");
	promise(pwrite(fd, secret, sizeof secret,
		       offsetof(struct superblock, secret)) == sizeof secret,
		"write the secret");
	promise(larder_open_fd(fd, NULL, &h) == 0, "open");
	promise(larder_region(h, "region", 100, 8, &region) == 0, "region");
	for (int i = 0; i < SPECIMEN_KEYS; i++) {
		put(h, i);
		if (i % 100 == 50) {
			larder_invalidate_tag(h, "green", 5);
			larder_invalidate_match(h, "k9*", 3, LARDER_MATCH_KEYS);
			larder_invalidate_key(h, "k33", 3);
		}
		if (i % 60 == 20)
			larder_remove(h, "k17", 3);
	}
	die_at_it(h);
	larder_close(h);
	promise(pread(fd, bytes, sizeof bytes, 0) == sizeof bytes, "read");
	find_units(fd);
}

const uint8_t *specimen(void)
{
	if (!n_units)
		make();
	return bytes;
}

const uint32_t *specimen_units(uint32_t *n)
{
	specimen();
	*n = n_units;
	return units;
}

#ifdef SPECIMEN_PROGRAM
int main(int argc, char **argv)
{
	FILE *f = argc == 2 ? fopen(argv[1], "wb") : NULL;

	if (!f || fwrite(specimen(), 1, SPECIMEN_BYTES, f) != SPECIMEN_BYTES ||
	    fclose(f)) {
		perror("fuzz-specimen");
		return 1;
	}
	return 0;
}
#endif
