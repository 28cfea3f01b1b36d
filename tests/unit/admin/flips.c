/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random bytes in a segment: whatever they are, every look at it ends and stays
 * inside, and a repair that says it succeeded leaves what check accepts and
 * what answers with the right bytes or not at all. LARDER_SEED and
 * LARDER_ROUNDS in the environment repeat or lengthen a run.
 */
#include "fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* One in ten has the largest pages there are. */
enum { BYTES = 1 << 20, LARGE = 64 << 20, LARGE_EVERY = 10, ROUNDS = 60 };

static uint64_t number_from(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

/* Every function that looks. */
static void look_everywhere(const char *path)
{
	struct larder_walk_entry e = {.size_of = sizeof e};
	struct larder_segment_info info = {.size_of = sizeof info};
	struct larder_usage usage = {.size_of = sizeof usage};
	struct larder_worker_info worker = {.size_of = sizeof worker};
	struct larder_class_info class = {.size_of = sizeof class};
	struct larder_flight_info flight = {.size_of = sizeof flight};
	struct larder_pattern_info pattern = {.size_of = sizeof pattern};
	struct larder_check_result check = {.size_of = sizeof check};
	static char value[BYTES];
	uint64_t cursor = 0, n = 0, n_bytes, counters[64];
	struct larder_inspector *in;
	unsigned a, b;

	if (larder_inspect(path, &in))
		return;
	larder_inspect_info(in, &info);
	larder_inspect_usage(in, &usage);
	larder_inspect_counters(in, -1, counters, 64);
	for (uint32_t i = 0; larder_inspect_worker(in, i, &worker) == 0; i++)
		larder_inspect_counters(in, (int)i, counters, 64);
	for (uint32_t i = 0; larder_inspect_class(in, i, &class) == 0; i++)
		;
	while (larder_inspect_walk(in, &cursor, &e) == 0) {
		const char *text;
		size_t n_text;

		cr_assert_lt(n++, info.n_index_slots);
		for (uint32_t i = 0;
		     larder_inspect_tag(in, i, &text, &n_text) == 0; i++)
			cr_assert_leq(n_text, LARDER_TAG_MAX);
		larder_inspect_value(in, value, sizeof value, &n_text);
		larder_inspect_clock(in, &a, &b);
	}
	for (cursor = 0; larder_inspect_flight(in, &cursor, &flight) == 0;)
		;
	for (cursor = 0; larder_inspect_pattern(in, &cursor, &pattern) == 0;)
		;
	larder_inspect_preview(in, 'm', "*a*", 3, LARDER_MATCH_EITHER, &n,
			       &n_bytes);
	cr_assert_eq(larder_inspect_check(in, NULL, NULL, &check), 0);
	larder_inspect_close(in);
}

static void flip(struct fixture *f, uint64_t *random)
{
	unsigned n = 1 + (unsigned)(random_next(random) % 40);

	while (n--) {
		uint64_t at = random_next(random) % f->bytes;
		unsigned char byte;

		/* Half of them where the superblock and the small tables are,
		 * which a random place rarely meets. */
		if (random_next(random) & 1)
			at %= f->bytes / 16;
		cr_assert_eq(pread(f->fd, &byte, 1, (off_t)at), 1);
		byte ^= (unsigned char)(1u << (random_next(random) & 7));
		cr_assert_eq(pwrite(f->fd, &byte, 1, (off_t)at), 1);
	}
}

/* One in eight is cut short besides. */
static void cut(struct fixture *f, uint64_t *random)
{
	if (random_next(random) % 8 == 0)
		cr_assert_eq(ftruncate(f->fd,
				       (off_t)(random_next(random) % f->bytes)),
			     0);
}

Test(admin_flips, every_look_ends_and_repair_mends)
{
	uint64_t seed = number_from("LARDER_SEED", (uint64_t)time(NULL) | 1);
	uint64_t rounds = number_from("LARDER_ROUNDS", ROUNDS);
	uint64_t n_repaired = 0, n_forced = 0;

	printf("LARDER_SEED=%" PRIu64 "\n", seed);
	fflush(stdout);
	for (uint64_t i = 0; i < rounds; i++) {
		uint64_t random = (seed + i) * UINT64_C(0x9e3779b97f4a7c15) | 1;
		struct larder_check_result r;
		struct fixture f;
		int error;

		fixture_create(&f, (seed + i) % LARGE_EVERY ? BYTES : LARGE);
		fixture_fill(&f);
		flip(&f, &random);
		cut(&f, &random);
		look_everywhere(f.path);
		error = fixture_repair(&f, false, NULL);
		/* The bytes may name a thread that may not be asked, such as
		 * process 1: then a person has to say that it is not there. */
		if (error == -EBUSY) {
			n_forced++;
			error = fixture_repair(&f, true, NULL);
		}
		if (!error) {
			n_repaired++;
			r = fixture_check(&f);
			cr_assert_eq(r.n_damage, 0, "seed %" PRIu64 ": %s",
				     seed + i, fixture_said);
			cr_assert_eq(r.n_pending, 0, "seed %" PRIu64 ": %s",
				     seed + i, fixture_said);
		}
		fixture_drop(&f);
	}
	printf("%" PRIu64 " of %" PRIu64 " repaired, %" PRIu64 " by force\n",
	       n_repaired, rounds, n_forced);
	cr_assert_leq(n_forced * 20, rounds);
	cr_assert_geq(n_repaired * 2, rounds, "hardly any could be repaired");
}
