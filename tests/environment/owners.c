/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose segment it is: modes, owners, and a group that shares. Needs root, for
 * it becomes other users.
 *
 * Invariant: who may not write a segment's file is refused with EACCES and
 * changes nothing; a group that was given it shares it whole, and what one
 * user's worker leaves when it is killed, another user's mends.
 */
#include "ground.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <larder/admin.h>

enum { MIB = 1 << 20, ALICE = 61001, BOB = 61002, CAROL = 61003 };
enum { SHARERS = 62001, STRANGERS = 62002 };

/* What the child below is to find. */
struct visit {
	const char *path;
	uid_t uid;
	gid_t gid;
	int open;    /* of larder_open() */
	int inspect; /* of larder_inspect() */
};

static int visitor(int i, void *context)
{
	const struct visit *v = context;
	struct larder_inspector *inspector;
	struct larder *h = NULL;
	char text[64];
	int error;

	if (!become(v->uid, v->gid))
		return NOT_ALLOWED;
	error = larder_open(v->path, NULL, &h);
	claim(error == v->open, "user %u of group %u opens with '%s'", v->uid,
	      v->gid, larder_strerror(error));
	if (!error) {
		snprintf(text, sizeof text, "of user %u", v->uid);
		claim_works(h, text, 3000);
		larder_close(h);
	}
	error = larder_inspect(v->path, &inspector);
	claim(error == v->inspect, "and inspects with '%s'",
	      larder_strerror(error));
	if (!error)
		larder_inspect_close(inspector);
	return n_failed() != 0;
}

static int visit(const char *path, uid_t uid, gid_t gid, int open, int inspect)
{
	struct visit v = {path, uid, gid, open, inspect};

	return reap(spawn(visitor, 0, &v));
}

/* A segment of this mode, owned by @uid with @gid. */
static struct larder *owned(const char *name, uint32_t mode, uid_t uid,
			    gid_t gid)
{
	struct larder_create_options o = {
		.size_of = sizeof o, .bytes = MIB, .mode = mode, .group = gid};
	struct larder *h = segment_in(name, &o);
	struct stat st;

	need(chown(in_folder(name), uid, (gid_t)-1) == 0, "chown");
	need(stat(in_folder(name), &st) == 0, name);
	claim((st.st_mode & 07777) == mode && st.st_gid == gid,
	      "mode %o and group %u are as asked for, whatever the umask",
	      st.st_mode & 07777, st.st_gid);
	return h;
}

static int own_alone(void)
{
	struct larder *h = owned("own", 0600, ALICE, SHARERS);
	const char *path = larder_path(h);
	int bad = 0;

	bad |= visit(path, ALICE, STRANGERS, 0, 0);
	bad |= visit(path, BOB, SHARERS, -EACCES, -EACCES);
	bad |= visit(path, CAROL, STRANGERS, -EACCES, -EACCES);
	claim_sound(h, "after visits of the owner and of others");
	larder_close(h);
	return bad;
}

static int group_reads(void)
{
	struct larder *h = owned("read", 0640, ALICE, SHARERS);
	const char *path = larder_path(h);
	int bad = 0;

	bad |= visit(path, BOB, SHARERS, -EACCES, 0);
	bad |= visit(path, CAROL, STRANGERS, -EACCES, -EACCES);
	larder_close(h);
	return bad;
}

/* Holds a slot, with a lease and a full magazine, until it is killed. */
static int holder(int i, void *context)
{
	struct {
		_Atomic uint32_t ready;
		char path[128];
	} *shared_with = context;
	struct larder_view view;
	struct larder *h;

	if (!become(BOB, SHARERS))
		return NOT_ALLOWED;
	need(larder_open(shared_with->path, NULL, &h) == 0, "larder_open");
	claim_works(h, "of bob", 100);
	need(larder_lease(h, "of bob", 6, &view) == LARDER_OK, "a lease");
	atomic_store(&shared_with->ready, 1);
	for (;;)
		pause();
}

static int group_shares(void)
{
	struct larder *h;
	struct {
		_Atomic uint32_t ready;
		char path[128];
	} *with = shared(sizeof *with);
	uint64_t recovered;
	pid_t pid;
	char value[100];
	size_t n;
	int bad = 0;

	umask(077);
	h = owned("shared", 0660, ALICE, SHARERS);
	bad |= visit(larder_path(h), ALICE, STRANGERS, 0, 0);
	bad |= visit(larder_path(h), BOB, SHARERS, 0, 0);
	bad |= visit(larder_path(h), CAROL, STRANGERS, -EACCES, -EACCES);
	claim(larder_get(h, "of user 61002", 13, NULL, 0, &n) ==
			      LARDER_TRUNCATED &&
		      n == 3000,
	      "what one of the group put, all find");

	snprintf(with->path, sizeof with->path, "%s", larder_path(h));
	pid = spawn(holder, 0, with);
	await(&with->ready, 1);
	recovered = counter(h, "workers_recovered");
	kill(pid, SIGKILL);
	claim(reap(pid) == -SIGKILL, "one of the group is killed");
	larder_maintain(h, 0);
	claim(counter(h, "workers_recovered") == recovered + 1,
	      "another user recovers its slot");
	claim(larder_get(h, "of bob", 6, value, sizeof value, &n) == LARDER_OK,
	      "what it had stored is there");
	claim_sound(h, "after a death in the group");
	larder_close(h);
	return bad;
}

/* Two who share, and whose /proc hides each from the other. */
struct strangers {
	_Atomic uint32_t attached, swept;
	char path[128];
};

static int alice(int i, void *context)
{
	struct strangers *with = context;
	struct larder *h;

	if (!become(ALICE, SHARERS))
		return NOT_ALLOWED;
	need(larder_open(with->path, NULL, &h) == 0, "larder_open");
	claim_works(h, "of alice", 100);
	atomic_store(&with->attached, 1);
	await(&with->swept, 1);
	claim_works(h, "of alice", 100);
	larder_close(h);
	return n_failed() != 0;
}

static int bob(int i, void *context)
{
	struct strangers *with = context;
	struct larder_inspector *inspector;
	struct larder_worker_info w = {.size_of = sizeof w};
	struct larder *h;

	if (!become(BOB, SHARERS))
		return NOT_ALLOWED;
	need(larder_open(with->path, NULL, &h) == 0, "larder_open");
	larder_maintain(h, 0);
	larder_maintain(h, 0);
	claim(counter(h, "workers_recovered") == 0,
	      "who is hidden by /proc is not taken for dead");
	need(larder_inspect(with->path, &inspector) == 0, "looking");
	claim(larder_inspect_worker(inspector, 0, &w) == 0 &&
		      w.state == LARDER_WORKER_LIVE,
	      "nor by who looks from outside");
	larder_inspect_close(inspector);
	larder_close(h);
	return n_failed() != 0;
}

static int hidden_from_each_other(void)
{
	struct strangers *with = shared(sizeof *with);
	struct larder *h = owned("hidden", 0660, ALICE, SHARERS);
	pid_t pid;
	int bad;

	if (!own_namespaces(0) ||
	    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV, "hidepid=2"))
		return NOT_ALLOWED;
	snprintf(with->path, sizeof with->path, "%s", larder_path(h));
	pid = spawn(alice, 0, with);
	await(&with->attached, 1);
	bad = reap(spawn(bob, 0, with));
	atomic_store(&with->swept, 1);
	bad |= reap(pid);
	claim_sound(h, "after two that did not see each other");
	larder_close(h);
	unlink(in_folder("hidden"));
	return bad;
}

static int foreign_group(void)
{
	struct larder_create_options o = {.size_of = sizeof o,
					  .bytes = MIB,
					  .mode = 0660,
					  .group = STRANGERS};
	int error;

	need(chmod(folder(), 0777) == 0, "chmod");
	if (!become(BOB, SHARERS))
		return NOT_ALLOWED;
	error = larder_create(in_folder("given"), &o);
	claim(error == -EPERM, "a group that one is not in is refused: '%s'",
	      larder_strerror(error));
	claim(n_files(folder()) == 0, "no file is left");
	return 0;
}

/* In a folder like /dev/shm, where only owners rename: recreation may neither
 * destroy another user's file nor pretend that it did. */
static int recreate_foreign(void)
{
	struct larder_create_options c = {.size_of = sizeof c, .bytes = MIB};
	struct larder_open_options o = {.size_of = sizeof o,
					.flags = LARDER_OPEN_RECREATE,
					.create = &c};
	struct larder *h;
	int fd, error;

	need(chmod(folder(), 01777) == 0, "chmod");
	fd = open(in_folder("broken"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	need(fd >= 0 && fchmod(fd, 0666) == 0 && write(fd, "?", 1) == 1,
	     "a file that is no segment");
	close(fd);
	if (!become(BOB, SHARERS))
		return NOT_ALLOWED;
	error = larder_open(in_folder("broken"), &o, &h);
	claim(error == -EPERM, "another user's file is not put aside: '%s'",
	      larder_strerror(error));
	claim(n_files(folder()) == 1, "it is the only file, as before");
	return 0;
}

int main(void)
{
	if (geteuid() != 0) {
		printf("only root becomes other users\n");
		return NOT_ALLOWED;
	}
	need(chmod(folder(), 0755) == 0, "chmod");
	stage("the owner's alone", own_alone);
	stage("a group that may look", group_reads);
	stage("a group that shares", group_shares);
	unlink(in_folder("own"));
	unlink(in_folder("read"));
	unlink(in_folder("shared"));
	stage("hidden from each other", hidden_from_each_other);
	stage("a group of others", foreign_group);
	stage("recreating what is another's", recreate_foreign);
	return curtain();
}
