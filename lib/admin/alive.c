/* SPDX-License-Identifier: Apache-2.0 */
/* Liveness as seen from outside: alive.h. */
#include "admin/alive.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/worker.h"

#define OWNER_DIED UINT32_C(0x40000000) /* FUTEX_OWNER_DIED */
#define TID_MASK   UINT32_C(0x3fffffff) /* FUTEX_TID_MASK */

static uint32_t tid_of(struct slot *slot)
{
	return load_acquire((atomic_u32 *)&slot->claim) & TID_MASK;
}

int larder_alive_word(const struct segment *s, uint32_t i)
{
	uint32_t word = load_acquire((atomic_u32 *)&s->slots[i].claim);

	if (word & OWNER_DIED)
		return LARDER_WORKER_DEAD;
	return word & TID_MASK ? LARDER_WORKER_LIVE : LARDER_WORKER_FREE;
}

bool larder_alive_boot(const struct segment *s)
{
	char boot_id[40];
	uint64_t time_namespace;

	if (larder_boot_identity(boot_id, &time_namespace))
		return false;
	return memcmp(boot_id, s->sb->boot_id, sizeof boot_id) == 0 &&
	       time_namespace == s->sb->time_namespace;
}

static bool same_pid_namespace(const struct slot *slot)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 &&
	       load_relaxed(&slot->pid_namespace) == (uint64_t)st.st_ino;
}

enum answer { NO, YES, CANNOT_TELL };

/* Does /proc know a thread of this number that began then? */
static enum answer thread_there(const struct slot *slot)
{
	char path[64], text[1024], *at;
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%u/task/%u/stat",
		 load_relaxed(&slot->pid), load_relaxed(&slot->tid));
	if (!larder_proc_is_ours())
		return CANNOT_TELL;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT && larder_thread_gone(
						  load_relaxed(&slot->tid))
			       ? NO
			       : CANNOT_TELL;
	n = read(fd, text, sizeof text - 1);
	if (n <= 0) {
		enum answer answer = n < 0 && errno == ESRCH ? NO : CANNOT_TELL;

		close(fd);
		return answer;
	}
	close(fd);
	text[n] = '\0';
	at = strrchr(text, ')'); /* the command may contain anything */
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	/* 1 stands for a time that could not be told at the claim. */
	if (!at || load_relaxed(&slot->start_time) <= 1)
		return CANNOT_TELL;
	return strtoull(at + 1, NULL, 10) == load_relaxed(&slot->start_time)
		       ? YES
		       : NO;
}

/* A mapped file as the maps of /proc name it: stat()'s device is another one on
 * overlay and other stacked file systems. */
struct mapped {
	char device[32];
	uint64_t inode;
};

static bool next_mapped(FILE *f, uint64_t *begin, struct mapped *m)
{
	char line[512];

	while (fgets(line, sizeof line, f)) {
		bool whole = strchr(line, '\n') != NULL;
		int n = sscanf(line, "%" SCNx64 "-%*s %*s %*s %31s %" SCNu64,
			       begin, m->device, &m->inode);

		while (!whole && fgets(line, sizeof line, f))
			whole = strchr(line, '\n') != NULL;
		if (n == 3)
			return true;
	}
	return false;
}

/* Our own mapping of the segment. */
static bool own_mapped(const struct segment *s, struct mapped *m)
{
	FILE *f = fopen("/proc/self/maps", "re");
	uint64_t begin;
	bool found = false;

	while (f && !found && next_mapped(f, &begin, m))
		found = begin == (uintptr_t)s->base && m->inode;
	if (f)
		fclose(f);
	return found;
}

/* Has the process this file mapped? */
static enum answer file_mapped(const struct segment *s, uint32_t pid)
{
	struct mapped own, other;
	enum answer answer = NO;
	char path[64];
	uint64_t begin;
	FILE *f;

	if (!larder_proc_is_ours())
		return CANNOT_TELL;
	snprintf(path, sizeof path, "/proc/%u/maps", pid);
	f = fopen(path, "re");
	if (!f && errno == ENOENT && larder_thread_gone(pid))
		return NO;
	if (!f || !own_mapped(s, &own)) {
		if (f)
			fclose(f);
		return CANNOT_TELL;
	}
	while (answer == NO && next_mapped(f, &begin, &other))
		if (other.inode == own.inode &&
		    !strcmp(other.device, own.device))
			answer = YES;
	if (ferror(f))
		answer = CANNOT_TELL;
	fclose(f);
	return answer;
}

int larder_alive_slot(const struct segment *s, uint32_t i)
{
	struct slot *slot = &s->slots[i];
	int state = larder_alive_word(s, i);
	uint32_t generation = load_acquire(&slot->generation);
	enum answer there, mapped;
	char boot_id[40];
	uint64_t time_namespace;

	if (state != LARDER_WORKER_LIVE)
		return state;
	/* A container with a time of its own may be alive: only the boot
	 * counts here. */
	if (larder_boot_identity(boot_id, &time_namespace) == 0 &&
	    memcmp(boot_id, s->sb->boot_id, sizeof boot_id))
		return LARDER_WORKER_DEAD;
	/* A claim in progress has no identity yet [SLT.2] but its thread's
	 * number; one that is not there may be a word that was damaged. */
	if (!(generation & 1))
		return file_mapped(s, tid_of(slot)) == NO ? LARDER_WORKER_DEAD
							  : state;
	if (!same_pid_namespace(slot))
		return state;
	there = thread_there(slot);
	mapped = there != NO ? file_mapped(s, load_relaxed(&slot->pid))
			     : CANNOT_TELL;
	fence_acquire();
	if (load_acquire(&slot->generation) != generation)
		return larder_alive_word(s, i);
	return there == NO || mapped == NO ? LARDER_WORKER_DEAD : state;
}

uint32_t larder_alive_count(const struct segment *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n_slots; i++)
		n += larder_alive_word(s, i) == LARDER_WORKER_LIVE &&
		     larder_alive_slot(s, i) == LARDER_WORKER_LIVE;
	return n;
}

void larder_alive_command(const struct segment *s, uint32_t i, char *command,
			  size_t n_command)
{
	char path[64];
	ssize_t n = 0;
	int fd;

	command[0] = '\0';
	if (!same_pid_namespace(&s->slots[i]))
		return;
	snprintf(path, sizeof path, "/proc/%u/comm",
		 load_relaxed(&s->slots[i].pid));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, command, n_command - 1);
	close(fd);
	command[n > 0 ? n : 0] = '\0';
	command[strcspn(command, "\n")] = '\0';
}
