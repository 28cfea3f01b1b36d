/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What inspectors and walks tell: it agrees with what was put, changes nothing,
 * and counts what it says it counts.
 */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct larder *open_fixture(struct fixture *f)
{
	struct larder *h;

	cr_assert_eq(larder_open_fd(f->fd, NULL, &h), 0);
	return h;
}

static struct larder_inspector *inspect_fixture(struct fixture *f)
{
	struct larder_inspector *in;

	cr_assert_eq(larder_inspect(f->path, &in), 0);
	return in;
}

Test(admin_inspect, walk_meets_each_entry_once)
{
	struct larder_walk_entry e = {.size_of = sizeof e};
	bool seen[FIXTURE_ENTRIES] = {false};
	struct fixture f;
	struct larder *h;
	uint64_t cursor = 0;
	unsigned n = 0, i;

	fixture_create(&f, 4 << 20);
	fixture_fill(&f);
	h = open_fixture(&f);
	while (larder_walk(h, &cursor, &e) == LARDER_OK) {
		char key[LARDER_KEY_MAX + 1];

		memcpy(key, e.key, e.n_key);
		key[e.n_key] = '\0';
		cr_expect(e.valid);
		n++;
		if (sscanf(key, "key-%u", &i) != 1)
			continue;
		cr_assert_lt(i, FIXTURE_ENTRIES);
		cr_expect(!seen[i], "%s was met twice", key);
		seen[i] = true;
		cr_expect_eq(e.info.n_tags, i % 4);
		cr_expect_eq(e.info.cost_ns, i % 3 ? 0 : 12345);
		cr_expect_eq(e.info.ttl_left_ms != UINT64_MAX,
			     i % 5 == 1 && i % 50 != 3);
		cr_expect_eq(e.info.cross_worker, 1);
	}
	cr_expect_eq(n, FIXTURE_ENTRIES + 1);
	larder_close(h);
	fixture_drop(&f);
}

Test(admin_inspect, tags_values_and_validity)
{
	struct larder_walk_entry e = {.size_of = sizeof e};
	struct larder_put_options o = {.size_of = sizeof o};
	const struct larder_tag tags[] = {{"one", 3}, {"two", 3}};
	struct larder_inspector *in;
	unsigned counter, in_main;
	const char *text;
	char value[64];
	struct fixture f;
	struct larder *h;
	uint64_t cursor = 0;
	size_t n;

	fixture_create(&f, 1 << 20);
	h = open_fixture(&f);
	o.tags = tags;
	o.n_tags = 2;
	cr_assert_eq(larder_put(h, "k", 1, "some value", 10, &o), 0);
	in = inspect_fixture(&f);
	cr_assert_eq(larder_inspect_walk(in, &cursor, &e), 0);
	cr_expect(e.valid);
	cr_expect_eq(e.info.stored_by_pid, (uint32_t)getpid());
	cr_expect_eq(larder_inspect_tag(in, 1, &text, &n), 0);
	cr_expect(n == 3 && !memcmp(text, "two", 3));
	cr_expect_eq(larder_inspect_tag(in, 0, &text, &n), 0);
	cr_expect(n == 3 && !memcmp(text, "one", 3));
	cr_expect_eq(larder_inspect_tag(in, 2, &text, &n), LARDER_END);
	cr_expect_eq(larder_inspect_value(in, value, sizeof value, &n), 0);
	cr_expect(n == 10 && !memcmp(value, "some value", 10));
	cr_expect_eq(larder_inspect_value(in, value, 4, &n), LARDER_TRUNCATED);
	cr_expect_eq(n, 10);
	cr_expect_eq(larder_inspect_clock(in, &counter, &in_main), 0);
	cr_expect_eq(counter, 0);
	/* It goes: then neither its value is given nor its bytes. */
	cr_assert_eq(larder_remove(h, "k", 1), 0);
	cr_expect_eq(larder_inspect_value(in, value, sizeof value, &n),
		     LARDER_MISS);
	cr_assert_eq(larder_put(h, "k", 1, "x", 1, &o), 0);
	cr_assert_eq(larder_invalidate_tag(h, "two", 3), 0);
	cursor = 0;
	cr_assert_eq(larder_inspect_walk(in, &cursor, &e), 0);
	cr_expect(!e.valid, "its tag was invalidated");
	cr_expect_eq(larder_inspect_walk(in, &cursor, &e), LARDER_END);
	larder_inspect_close(in);
	larder_close(h);
	fixture_drop(&f);
}

Test(admin_inspect, preview_counts_what_an_invalidation_takes)
{
	static const struct {
		char kind;
		const char *text;
		enum larder_match match;
	} cases[] = {
		{'k', "key-4", LARDER_MATCH_EITHER},
		{'t', "model:gpt", LARDER_MATCH_EITHER},
		{'m', "key-1*", LARDER_MATCH_KEYS},
		{'m', "model:*", LARDER_MATCH_TAGS},
		{'m', "*d*", LARDER_MATCH_EITHER},
		{'a', "", LARDER_MATCH_EITHER},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct larder_walk_entry e = {.size_of = sizeof e};
		const char *text = cases[i].text;
		uint64_t n_entries, n_bytes, cursor = 0, before = 0, after = 0;
		struct larder_inspector *in;
		struct fixture f;
		struct larder *h;

		fixture_create(&f, 4 << 20);
		fixture_fill(&f);
		in = inspect_fixture(&f);
		cr_assert_eq(larder_inspect_preview(
				     in, cases[i].kind, text, strlen(text),
				     cases[i].match, &n_entries, &n_bytes),
			     0);
		while (!larder_inspect_walk(in, &cursor, &e))
			before += e.valid;
		h = open_fixture(&f);
		if (cases[i].kind == 'k')
			larder_invalidate_key(h, text, strlen(text));
		else if (cases[i].kind == 't')
			larder_invalidate_tag(h, text, strlen(text));
		else if (cases[i].kind == 'm')
			larder_invalidate_match(h, text, strlen(text),
						cases[i].match);
		else
			larder_invalidate_all(h);
		for (cursor = 0; !larder_inspect_walk(in, &cursor, &e);)
			after += e.valid;
		cr_expect_eq(before - after, n_entries,
			     "%c '%s': %llu foretold, %llu went", cases[i].kind,
			     text, (unsigned long long)n_entries,
			     (unsigned long long)(before - after));
		cr_expect_gt(n_entries, 0);
		cr_expect_geq(n_bytes, n_entries * 64);
		larder_inspect_close(in);
		larder_close(h);
		fixture_drop(&f);
	}
}

Test(admin_inspect, usage_adds_up)
{
	struct larder_usage u = {.size_of = sizeof u};
	struct larder_segment_info info = {.size_of = sizeof info};
	struct larder_class_info c = {.size_of = sizeof c};
	struct larder_inspector *in;
	uint64_t n_live = 0, n_pages = 0;
	struct fixture f;
	struct larder *h;

	fixture_create(&f, 4 << 20);
	fixture_fill(&f);
	in = inspect_fixture(&f);
	cr_assert_eq(larder_inspect_usage(in, &u), 0);
	cr_assert_eq(larder_inspect_info(in, &info), 0);
	cr_expect_eq(u.n_entries, FIXTURE_ENTRIES + 1);
	cr_expect_eq(u.n_workers, 0);
	cr_expect_gt(u.bytes_kept, 0);
	cr_expect_gt(u.bytes_used, u.bytes_values);
	cr_expect_leq(u.bytes_used + u.bytes_free + u.bytes_retired,
		      info.bytes_pages);
	cr_expect_eq(info.bytes_superblock + info.bytes_slots +
			     info.bytes_tables + info.bytes_index +
			     info.bytes_clock + info.bytes_pages,
		     info.bytes_total);
	cr_expect_leq(info.overhead_per_entry, 72);
	for (uint32_t i = 0; !larder_inspect_class(in, i, &c); i++) {
		n_live += c.n_live;
		n_pages += c.n_pages;
	}
	cr_expect_eq(n_live, u.n_entries);
	cr_expect_leq(n_pages, info.n_pages);
	h = open_fixture(&f);
	cr_assert_eq(larder_attach_thread(h), 0);
	cr_assert_eq(larder_inspect_usage(in, &u), 0);
	cr_expect_eq(u.n_workers, 1);
	cr_assert_eq(larder_usage(h, &u), 0);
	cr_expect_eq(u.n_workers, 1);
	cr_expect_eq(fixture_repair(&f, false, NULL), -EBUSY);
	larder_close(h);
	larder_inspect_close(in);
	fixture_drop(&f);
}

/* The bytes of the file, before and after all looks. */
Test(admin_inspect, looking_changes_nothing)
{
	struct larder_check_result r = {.size_of = sizeof r};
	struct larder_walk_entry e = {.size_of = sizeof e};
	struct larder_usage u = {.size_of = sizeof u};
	struct larder_inspector *in;
	uint64_t cursor = 0, n;
	void *before, *after;
	struct fixture f;

	fixture_create(&f, 4 << 20);
	fixture_fill(&f);
	before = malloc(f.bytes);
	after = malloc(f.bytes);
	cr_assert(before && after);
	cr_assert_eq(pread(f.fd, before, f.bytes, 0), (ssize_t)f.bytes);
	in = inspect_fixture(&f);
	larder_inspect_check(in, NULL, NULL, &r);
	larder_inspect_usage(in, &u);
	while (!larder_inspect_walk(in, &cursor, &e))
		;
	larder_inspect_preview(in, 'a', "", 0, LARDER_MATCH_EITHER, &n, &n);
	larder_inspect_close(in);
	cr_assert_eq(pread(f.fd, after, f.bytes, 0), (ssize_t)f.bytes);
	cr_expect_eq(memcmp(before, after, f.bytes), 0);
	free(before);
	free(after);
	fixture_drop(&f);
}

Test(admin_inspect, copy_carries_all_into_another_size)
{
	struct larder_walk_entry e = {.size_of = sizeof e};
	struct larder_info info = {.size_of = sizeof info};
	struct larder_inspector *from;
	uint64_t n_copied, n_skipped, cursor = 0, sum;
	struct fixture f, g;
	struct larder *to;
	unsigned n_tagged = 0;

	fixture_create(&f, 4 << 20);
	fixture_create(&g, 9 << 20);
	fixture_fill(&f);
	from = inspect_fixture(&f);
	to = open_fixture(&g);
	cr_assert_eq(larder_copy(from, to, &n_copied, &n_skipped), 0);
	cr_expect_eq(n_copied, FIXTURE_ENTRIES + 1);
	cr_expect_eq(n_skipped, 0);
	while (!larder_walk(to, &cursor, &e))
		n_tagged += e.info.n_tags > 0;
	cr_expect_eq(n_tagged, FIXTURE_ENTRIES * 3 / 4);
	cr_assert_eq(larder_get_info(to, "key-1", 5, NULL, 0, &info),
		     LARDER_TRUNCATED);
	cr_expect_leq(info.ttl_left_ms, 3600000);
	cr_expect_gt(info.ttl_left_ms, 3500000);
	cr_assert_eq(larder_increment(to, "counter", 7, 1, 0, NULL, &sum), 0);
	cr_expect_eq(sum, 16);
	larder_close(to);
	larder_inspect_close(from);
	/* The page size differs, and with it which values were made runs: the
	 * bytes are compared by those of the first segment. */
	cr_expect_eq(fixture_check(&g).n_damage, 0, "%s", fixture_said);
	fixture_drop(&f);
	fixture_drop(&g);
}

/* A file of another boot: what does not expire comes back, at its age. */
Test(admin_inspect, repair_revives_another_boot)
{
	struct larder_repair_result r;
	struct superblock sb;
	struct larder *h;
	struct fixture f;

	fixture_create(&f, 4 << 20);
	fixture_fill(&f);
	cr_assert_eq(pread(f.fd, &sb, sizeof sb, 0), (ssize_t)sizeof sb);
	sb.boot_id[0] ^= 1;
	cr_assert_eq(pwrite(f.fd, &sb, sizeof sb, 0), (ssize_t)sizeof sb);
	cr_assert_eq(larder_open_fd(f.fd, NULL, &h), LARDER_ERR_OTHER_BOOT);
	cr_assert_eq(fixture_repair(&f, false, &r), 0);
	cr_expect_eq(r.n_entries_lost, FIXTURE_ENTRIES / 5);
	cr_expect_eq(fixture_count(&f), FIXTURE_ENTRIES - FIXTURE_ENTRIES / 5);
	cr_expect_eq(fixture_check(&f).n_damage, 0, "%s", fixture_said);
	fixture_drop(&f);
}

/* A superblock with one damaged field is mended from its others. */
Test(admin_inspect, repair_mends_the_superblock)
{
	static const size_t fields[] = {
		offsetof(struct superblock, magic),
		offsetof(struct superblock, n_slots),
		offsetof(struct superblock, bytes),
		offsetof(struct superblock, policy),
		offsetof(struct superblock, entry_hint),
		offsetof(struct superblock, off_groups),
		offsetof(struct superblock, ready),
		offsetof(struct superblock, class_units) + 12,
	};

	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
		struct larder_inspector *in;
		unsigned char byte;
		struct fixture f;

		fixture_create(&f, 4 << 20);
		fixture_fill(&f);
		cr_assert_eq(pread(f.fd, &byte, 1, (off_t)fields[i] + 1), 1);
		byte ^= 4;
		if (fields[i] == offsetof(struct superblock, ready))
			cr_assert_eq(pwrite(f.fd, "\0", 1, (off_t)fields[i]),
				     1);
		else
			cr_assert_eq(
				pwrite(f.fd, &byte, 1, (off_t)fields[i] + 1),
				1);
		cr_expect_lt(larder_inspect(f.path, &in), 0, "field %zu", i);
		cr_expect_eq(fixture_repair(&f, false, NULL), 0, "field %zu",
			     i);
		cr_expect_eq(fixture_count(&f), FIXTURE_ENTRIES, "field %zu",
			     i);
		fixture_drop(&f);
	}
}

/* Regions have a limit of their own, four times that of other kept entries. */
Test(admin_inspect, repair_counts_regions_apart)
{
	const struct larder_put_options keep = {.size_of = sizeof keep,
						.flags = LARDER_KEEP};
	struct larder_region region;
	struct fixture f;
	struct segment *s;
	struct larder *h;
	uint64_t regions, kept;

	fixture_create(&f, 4 << 20);
	cr_assert_eq(larder_open_fd(f.fd, NULL, &h), 0);
	cr_assert_eq(larder_region(h, "r", 200000, 0, &region), 0);
	cr_assert_eq(larder_put(h, "k1", 2, "v", 1, &keep), LARDER_OK);
	larder_close(h);
	s = fixture_map(&f);
	regions = load_relaxed(&s->hot->region_units);
	kept = load_relaxed(&s->hot->kept_units);
	larder_segment_drop(s);
	cr_assert_eq(fixture_repair(&f, false, NULL), 0);
	s = fixture_map(&f);
	cr_expect_eq(load_relaxed(&s->hot->region_units), regions);
	cr_expect_eq(load_relaxed(&s->hot->kept_units), kept);
	larder_segment_drop(s);
	cr_assert_eq(larder_open_fd(f.fd, NULL, &h), 0);
	cr_expect_eq(larder_put(h, "k2", 2, "v", 1, &keep), LARDER_OK);
	larder_close(h);
	fixture_drop(&f);
}
