/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker slots: who is alive, and what the dead leave.
 *
 * Holding the slot's robust mutex is the claim; nothing else has to be written
 * for it to count, so there is no half-claimed state. The kernel sets
 * FUTEX_OWNER_DIED in the mutex word when the owner is gone, by whatever way
 * (SIGKILL, exec, raw thread exit), about 40 us later.
 *
 * One hole: a mapping that is unmapped before its thread ends hides the death.
 * We never do that, but a program may; so a slot that blocks others is given a
 * second opinion from /proc (@thorough).
 *
 *   dies while             leaves                        repaired by
 *   claiming               mutex with OWNER_DIED         next claim, recovery
 *   recovering a slot      the same mutex, owner died    next recovery: each
 *                                                        step is idempotent
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <larder/larder.h>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/counters.h"
#include "store/slab.h"
#include "worker/epoch.h"

#define OWNER_DIED UINT32_C(0x40000000) /* FUTEX_OWNER_DIED */
#define TID_MASK   UINT32_C(0x3fffffff) /* FUTEX_TID_MASK */

/* glibc keeps the futex word first; layout fingerprints its size. */
static atomic_u32 *claim_word(struct slot *slot)
{
	return (atomic_u32 *)&slot->claim;
}

bool larder_slot_dead(struct segment *s, uint32_t i)
{
	return load_acquire(claim_word(&s->slots[i])) & OWNER_DIED;
}

bool larder_slot_current(struct segment *s, uint32_t i, uint32_t generation)
{
	struct slot *slot;
	uint32_t word;

	if (i >= s->n_slots)
		return false;
	slot = &s->slots[i];
	word = load_acquire(claim_word(slot));
	/* Beside an odd generation stands the tid of its owner [SLT.2]. Another
	 * one's in the mutex is that of who recovers the slot, and may be
	 * stopped at it. */
	return (word & TID_MASK) && !(word & OWNER_DIED) &&
	       load_acquire(&slot->generation) == generation &&
	       (MUTANT(RECOVERER_COUNTS) ||
		load_relaxed(&slot->tid) == (word & TID_MASK));
}

bool larder_proc_is_ours(void)
{
	char link[64], own[64];
	ssize_t n = readlink("/proc/thread-self", link, sizeof link - 1);

	snprintf(own, sizeof own, "%d/task/%d", (int)getpid(), (int)gettid());
	link[n > 0 ? n : 0] = '\0';
	return !strcmp(link, own);
}

bool larder_thread_gone(uint32_t tid)
{
	return syscall(SYS_tkill, (pid_t)tid, 0) < 0 && errno == ESRCH;
}

enum { NO_THREAD = 0, NOT_KNOWN = 1 };

/* Start time of a thread in clock ticks since boot; NO_THREAD if there is none,
 * NOT_KNOWN if that cannot be told (no descriptor left, no /proc or another
 * namespace's, a thread that is hidden from us). */
static uint64_t read_start_time(uint32_t pid, uint32_t tid)
{
	char path[64], text[1024], *at;
	unsigned long long ticks = 0;
	ssize_t n;
	int fd;

	if (!larder_proc_is_ours())
		return NOT_KNOWN;
	snprintf(path, sizeof path, "/proc/%u/task/%u/stat", pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT && larder_thread_gone(tid) ? NO_THREAD
								  : NOT_KNOWN;
	n = read(fd, text, sizeof text - 1);
	if (n <= 0)
		n = errno == ESRCH ? 0 : -1;
	close(fd);
	if (n <= 0)
		return n ? NOT_KNOWN : NO_THREAD;
	text[n] = '\0';
	at = strrchr(text, ')'); /* the command may contain anything */
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at)
		ticks = strtoull(at + 1, NULL, 10);
	return ticks > NOT_KNOWN ? ticks : NOT_KNOWN;
}

static uint64_t start_time(uint32_t pid, uint32_t tid)
{
	int before = cancel_hold();
	uint64_t ticks = read_start_time(pid, tid);

	cancel_allow(before);
	return ticks;
}

static uint64_t pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
}

/*
 * What a dead owner left in its slot. The mutex is held by us; if we die, the
 * next one does it again: help is idempotent, zeroing too, and the generation
 * only has to differ from the dead one's.
 */
static void clean_slot(struct worker *w, struct slot *slot, uint32_t i)
{
	uint32_t generation = load_relaxed(&slot->generation);

	for (unsigned k = 0; k < N_HAZARDS; k++) {
		uint64_t unit = load_acquire(&slot->hazard[k]);

		if (w && unit && k == HAZARD_NEW && !MUTANT(RECOVER_FORGETS))
			larder_slab_recover_unit(w, (uint32_t)unit, i,
						 generation);
	}
	store_release(&slot->pin, 0);
	for (unsigned k = 0; k < N_HAZARDS; k++)
		store_release(&slot->hazard[k], 0);
	store_relaxed(&slot->leased_units, 0);
	if (generation & 1)
		store_release(&slot->generation, generation + 1);
}

/* Take slot i: 0, EOWNERDEAD (taken, was a dead one's), or EBUSY. */
static int try_slot(struct segment *s, uint32_t i)
{
	struct slot *slot = &s->slots[i];
	uint32_t word = load_acquire(claim_word(slot));

	if ((word & TID_MASK) && !(word & OWNER_DIED))
		return EBUSY;
	return pthread_mutex_trylock(&slot->claim);
}

static void identify(struct worker *w)
{
	struct slot *slot = w->slot;
	uint64_t last = load_relaxed(&slot->sequence);

	store_relaxed(&slot->pid, (uint32_t)getpid());
	store_relaxed(&slot->tid, (uint32_t)gettid());
	store_relaxed(&slot->pid_namespace, pid_namespace());
	store_relaxed(&slot->start_time,
		      start_time((uint32_t)getpid(), (uint32_t)gettid()));
	store_relaxed(&slot->attached_ms, larder_clock_ms());
	store_relaxed(&slot->first_sequence, last);
	w->first_version = entry_version(w->index, last + 1);
	w->n_versions = entry_version(w->index + 1, 0) - w->first_version;
	for (unsigned k = 0; k < N_COUNTERS; k++)
		store_relaxed(&w->cell->baseline[k],
			      load_relaxed(&w->cell->counter[k]));
}

static int claim_at(struct segment *s, struct worker *w, uint32_t i)
{
	struct slot *slot = &s->slots[i];
	int error = try_slot(s, i);

	if (error && error != EOWNERDEAD)
		return error;
	w->s = s;
	w->slot = slot;
	w->cell = &s->cells[i];
	w->index = i;
	/* HAZARD_NEW of the dead is looked at below, when we can pin. */
	uint64_t orphan = load_relaxed(&slot->hazard[HAZARD_NEW]);
	uint32_t dead_generation = load_relaxed(&slot->generation);
	bool was_dead = error == EOWNERDEAD || (dead_generation & 1);

	if (!MUTANT(CLAIM_UNCLEAN))
		clean_slot(NULL, slot, i);
	if (error == EOWNERDEAD)
		pthread_mutex_consistent(&slot->claim);
	/* Before anything is written: whoever looks for the dead looks here. */
	raise_acqrel(&s->hot->hiwater, i + 1);
	/* Identity first, generation last: who finds an odd generation finds a
	 * complete identity beside it [SLT.1]. */
	identify(w);
	w->generation = load_relaxed(&slot->generation) + 1;
	store_release(&slot->generation, w->generation);
	if (was_dead) {
		count(w, COUNTER_RECOVERED, 1);
		store_relaxed(&s->hot->audit_wanted, 1);
		if (orphan)
			larder_slab_recover_unit(w, (uint32_t)orphan, i,
						 dead_generation);
	}
	return 0;
}

int larder_slot_claim(struct segment *s, struct worker *w)
{
	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < s->n_slots; i++)
			if (claim_at(s, w, i) == 0)
				return 0;
		/* Full: does one belong to a thread that hid its death? */
		if (round == 0) {
			struct worker visitor = {.s = s};

			if (!larder_slots_recover(&visitor, true))
				break;
		}
	}
	w->s = NULL;
	return LARDER_ERR_SLOTS_FULL;
}

void larder_slot_release(struct worker *w)
{
	struct slot *slot = w->slot;

	store_release(&slot->pin, 0);
	for (unsigned k = 0; k < N_HAZARDS; k++)
		store_release(&slot->hazard[k], 0);
	store_relaxed(&slot->leased_units, 0);
	store_release(&slot->generation, w->generation + 1);
	pthread_mutex_unlock(&slot->claim);
	w->slot = NULL;
}

bool larder_slot_recover(struct worker *w, uint32_t i)
{
	struct segment *s = w->s;
	struct slot *slot = &s->slots[i];
	int error;

	if (!larder_slot_dead(s, i))
		return false;
	error = pthread_mutex_trylock(&slot->claim);
	if (error && error != EOWNERDEAD)
		return false; /* somebody else is at it, or claimed it */
	if (error == EOWNERDEAD) {
		clean_slot(w->slot ? w : NULL, slot, i);
		pthread_mutex_consistent(&slot->claim);
	}
	pthread_mutex_unlock(&slot->claim);
	if (error == EOWNERDEAD) {
		store_relaxed(&s->hot->audit_wanted, 1);
		if (w->cell)
			count(w, COUNTER_RECOVERED, 1);
	}
	return error == EOWNERDEAD;
}

/*
 * The second opinion: a held slot of our pid namespace whose thread is not
 * there, or is another one that got its number later. The proof is turned into
 * the kernel's own notice, so that recovery has one path.
 */
static void expose_hidden_death(struct segment *s, uint32_t i)
{
	struct slot *slot = &s->slots[i];
	uint32_t word = load_acquire(claim_word(slot));
	uint32_t generation = load_acquire(&slot->generation); /* [SLT.2] */
	uint32_t pid = load_relaxed(&slot->pid), tid = load_relaxed(&slot->tid);
	uint64_t started = load_relaxed(&slot->start_time), found;

	if (!(word & TID_MASK) || (word & OWNER_DIED) || !(generation & 1) ||
	    started <= NOT_KNOWN || (word & TID_MASK) != tid ||
	    load_relaxed(&slot->pid_namespace) != pid_namespace())
		return;
	found = start_time(pid, tid);
	if (found == started || found == NOT_KNOWN)
		return;
	fence_acquire();
	if (load_acquire(&slot->generation) == generation)
		cas_acqrel(claim_word(slot), &word, word | OWNER_DIED);
}

uint32_t larder_slots_recover(struct worker *w, bool thorough)
{
	struct segment *s = w->s;
	uint32_t n =
		(uint32_t)min_u64(load_acquire(&s->hot->hiwater), s->n_slots);
	uint32_t n_recovered = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (thorough)
			expose_hidden_death(s, i);
		if (larder_slot_dead(s, i) && larder_slot_recover(w, i))
			n_recovered++;
	}
	return n_recovered;
}
