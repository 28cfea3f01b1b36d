/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are not what they should be: of another layout version, machine,
 * boot, time; cut short, unfinished, contradicting themselves, no segment.
 *
 * Invariant: each is refused by the name of what is wrong with it and is left
 * as it was; with the recreate option it is put aside, whole, and a fresh
 * segment takes its place.
 */
#include "ground.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <larder/admin.h>

#include "segment/layout.h"

enum { MIB = 1 << 20 };

/* One way to be wrong: @n bytes at @offset become @bytes. */
struct wrong {
	const char *what;
	size_t offset, n;
	const char *bytes;
	int open;    /* of larder_open() */
	int inspect; /* of larder_inspect() */
};

#define FIELD(name)                                                            \
	offsetof(struct superblock, name),                                     \
		sizeof(((struct superblock *)0)->name)

static const struct wrong wrongs[] = {
	{"no magic", FIELD(magic), "notarder", LARDER_ERR_NOT_LARDER,
	 LARDER_ERR_NOT_LARDER},
	{"another layout version", FIELD(layout_version), "\x63\0\0\0",
	 LARDER_ERR_VERSION, LARDER_ERR_VERSION},
	{"another byte order", FIELD(byte_order), "\1\2\3\4",
	 LARDER_ERR_BYTE_ORDER, LARDER_ERR_BYTE_ORDER},
	{"another architecture", FIELD(fingerprint), "\x11\x22\x33\x44",
	 LARDER_ERR_FINGERPRINT, LARDER_ERR_FINGERPRINT},
	{"an unfinished creation", FIELD(ready), "\0\0\0\0",
	 LARDER_ERR_UNFINISHED, LARDER_ERR_UNFINISHED},
	{"another machine's boot", FIELD(boot_id),
	 "00000000-1111-2222-3333-444444444444\0\0\0\0", LARDER_ERR_OTHER_BOOT,
	 0},
	{"another time namespace", FIELD(time_namespace), "\1\0\0\0\0\0\0\0",
	 LARDER_ERR_OTHER_BOOT, 0},
	{"no slots", FIELD(n_slots), "\0\0\0\0", LARDER_ERR_DAMAGED,
	 LARDER_ERR_DAMAGED},
	{"tables elsewhere", FIELD(off_groups), "\0\0\1\0\0\0\0\0",
	 LARDER_ERR_DAMAGED, LARDER_ERR_DAMAGED},
	{"more bytes than a machine has", FIELD(bytes), "\0\0\0\0\0\0\0\x7f",
	 LARDER_ERR_DAMAGED, LARDER_ERR_DAMAGED},
};

/* The bytes of a file; malloc'ed. */
static void *slurp(const char *path, size_t *n)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *bytes;

	need(fd >= 0 && fstat(fd, &st) == 0, path);
	*n = (size_t)st.st_size;
	bytes = malloc(*n + 1);
	need(bytes && read(fd, bytes, *n) == (ssize_t)*n, "reading it");
	close(fd);
	return bytes;
}

/* The mark that a segment is closed stands in one word. */
enum { AT_STAMP = SUPERBLOCK_BYTES + offsetof(struct hot, stamp) };

/* Are these the bytes of the file, but for the mark if @closed allows one? */
static bool same_bytes(const char *path, const void *bytes, size_t n,
		       bool closed)
{
	size_t n_there;
	unsigned char *there = slurp(path, &n_there);
	bool same;

	if (closed && n_there >= AT_STAMP + 8)
		memcpy(there + AT_STAMP, (const char *)bytes + AT_STAMP, 8);
	same = n == n_there && !memcmp(bytes, there, n);
	free(there);
	return same;
}

/* The one file of the folder whose name begins with that of @path and
 * ".damaged-"; NULL if there is none. */
static const char *put_aside(const char *path)
{
	static char found[320];
	char command[300];
	FILE *f;

	found[0] = '\0';
	snprintf(command, sizeof command, "ls -d %s.damaged-* 2>/dev/null",
		 path);
	f = popen(command, "re");
	need(f != NULL, "ls");
	if (fgets(found, sizeof found, f))
		found[strcspn(found, "\n")] = '\0';
	pclose(f);
	return found[0] ? found : NULL;
}

/* Claim what opening, inspecting and recreating make of the file at @path. */
static void claim_wrong(const char *path, const char *what, int want_open,
			int want_inspect)
{
	struct larder_create_options c = {.size_of = sizeof c, .bytes = MIB};
	struct larder_open_options o = {
		.size_of = sizeof o, .flags = LARDER_OPEN_CREATE, .create = &c};
	struct larder_inspector *inspector;
	struct larder *h;
	size_t n;
	void *bytes = slurp(path, &n);
	const char *aside;
	int error = larder_open(path, &o, &h);

	claim(error == want_open, "%s: '%s'", what, larder_strerror(error));
	error = larder_inspect(path, &inspector);
	claim(error == want_inspect, "%s, inspected: '%s'", what,
	      larder_strerror(error));
	if (!error)
		larder_inspect_close(inspector);
	claim(same_bytes(path, bytes, n, false),
	      "and no byte of it is changed");

	o.flags = LARDER_OPEN_RECREATE;
	error = larder_open(path, &o, &h);
	claim(error == 0, "recreated: '%s'", larder_strerror(error));
	aside = put_aside(path);
	claim(aside && same_bytes(aside, bytes, n, true),
	      "and put aside, whole");
	if (!error) {
		claim_works(h, "key", 1000);
		claim_sound(h, "in its successor");
		larder_close(h);
	}
	if (aside)
		unlink(aside);
	unlink(path);
	free(bytes);
}

static int patched(void)
{
	struct larder_create_options o = {.size_of = sizeof o, .bytes = MIB};
	const char *path = in_folder("patched");
	size_t n = sizeof wrongs / sizeof wrongs[0];

	for (size_t i = 0; i < n; i++) {
		const struct wrong *w = &wrongs[i];
		int fd;

		need(larder_create(path, &o) == 0, "larder_create");
		fd = open(path, O_RDWR | O_CLOEXEC);
		need(fd >= 0 && pwrite(fd, w->bytes, w->n, (off_t)w->offset) ==
					(ssize_t)w->n,
		     "patching it");
		close(fd);
		claim_wrong(path, w->what, w->open, w->inspect);
	}
	return 0;
}

static int cut_short(void)
{
	static const struct {
		off_t bytes;
		int open, inspect;
	} cuts[] = {
		{MIB - 4096, LARDER_ERR_TRUNCATED, 0},
		{8192, LARDER_ERR_TRUNCATED, 0},
		{100, LARDER_ERR_TRUNCATED, LARDER_ERR_TRUNCATED},
		{7, LARDER_ERR_NOT_LARDER, LARDER_ERR_NOT_LARDER},
		{0, LARDER_ERR_NOT_LARDER, LARDER_ERR_NOT_LARDER},
	};
	struct larder_create_options o = {.size_of = sizeof o, .bytes = MIB};
	const char *path = in_folder("cut");
	char what[64];

	for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
		need(larder_create(path, &o) == 0 &&
			     truncate(path, cuts[i].bytes) == 0,
		     "a file cut short");
		snprintf(what, sizeof what, "cut to %lld bytes",
			 (long long)cuts[i].bytes);
		claim_wrong(path, what, cuts[i].open, cuts[i].inspect);
	}
	return 0;
}

static int other_kinds(void)
{
	const char *path = in_folder("kind");
	struct larder *h;
	int error;

	error = larder_open(folder(), NULL, &h);
	claim(error == -EISDIR, "a folder: '%s'", larder_strerror(error));
	error = larder_open("/dev/null", NULL, &h);
	claim(error == LARDER_ERR_NOT_LARDER, "a device: '%s'",
	      larder_strerror(error));
	need(mkfifo(path, 0600) == 0, "mkfifo");
	error = larder_open(path, NULL, &h);
	claim(error == LARDER_ERR_NOT_LARDER, "a pipe that nobody writes: '%s'",
	      larder_strerror(error));
	unlink(path);
	need(symlink("kind", path) == 0, "symlink");
	error = larder_open(path, NULL, &h);
	claim(error == -ELOOP, "a link to itself: '%s'",
	      larder_strerror(error));
	unlink(path);
	error = larder_open(path, NULL, &h);
	claim(error == -ENOENT, "nothing: '%s'", larder_strerror(error));
	return 0;
}

/* Whoever is attached to what is recreated moves on; nothing old is served. */
static int recreated_under_users(off_t damage)
{
	struct larder_create_options c = {.size_of = sizeof c, .bytes = MIB};
	struct larder_open_options o = {.size_of = sizeof o,
					.flags = LARDER_OPEN_RECREATE,
					.create = &c};
	struct larder *user = segment_in("used", &c), *other;
	const char *path = in_folder("used"), *aside;
	struct larder_view view;
	char value[1000];
	size_t n;
	int fd, error;

	claim_works(user, "key", 1000);
	need(larder_lease(user, "key", 3, &view) == LARDER_OK, "a lease");
	memcpy(value, view.value, sizeof value);
	fd = open(path, O_RDWR | O_CLOEXEC);
	need(pwrite(fd, "?", 1, damage) == 1, "patching it");
	close(fd);
	error = larder_open(path, &o, &other);
	claim(error == 0, "recreated under its user: '%s'",
	      larder_strerror(error));
	if (error)
		return 1;
	claim(!memcmp(value, view.value, sizeof value),
	      "leased bytes of the old one stay put");
	larder_release(user, &view);
	error = larder_get(user, "key", 3, value, sizeof value, &n);
	claim(error == LARDER_MISS,
	      "its user has moved on and finds nothing old: '%s'",
	      larder_strerror(error));
	need(larder_put(other, "new", 3, "!", 1, NULL) == 0, "a put");
	claim(larder_get(user, "new", 3, value, sizeof value, &n) == LARDER_OK,
	      "but what is put into the successor");
	aside = put_aside(path);
	if (aside)
		unlink(aside);
	larder_close(user);
	claim_works(other, "key", 10);
	larder_close(other);
	unlink(path);
	return 0;
}

static int boot_under_users(void)
{
	return recreated_under_users(offsetof(struct superblock, boot_id));
}

static int damage_under_users(void)
{
	return recreated_under_users(offsetof(struct superblock, n_groups));
}

/* A clock of another zero is another namespace's: the kernel makes one. */
static int other_time(int i, void *context)
{
	struct larder *h;
	int error = larder_open(context, NULL, &h);

	claim(error == LARDER_ERR_OTHER_BOOT, "in another time namespace: '%s'",
	      larder_strerror(error));
	return n_failed() != 0;
}

static int real_time_namespace(void)
{
	struct larder_create_options o = {.size_of = sizeof o, .bytes = MIB};
	char path[128];
	int fd;

	snprintf(path, sizeof path, "%s", in_folder("time"));
	need(larder_create(path, &o) == 0, "larder_create");
	if (!own_namespaces(CLONE_NEWTIME))
		return NOT_ALLOWED;
	fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "monotonic 100000 0", 18) != 18)
		return NOT_ALLOWED;
	close(fd);
	return reap(spawn(other_time, 0, path));
}

int main(void)
{
	folder();
	stage("a superblock that says something else", patched);
	stage("a file cut short", cut_short);
	stage("no file of bytes at all", other_kinds);
	stage("of another boot, recreated under its users", boot_under_users);
	stage("damaged, recreated under its users", damage_under_users);
	stage("a time namespace of its own", real_time_namespace);
	return curtain();
}
