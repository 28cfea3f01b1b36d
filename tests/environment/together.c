/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many processes on one segment, mapped wherever each of them has room.
 *
 * Invariant: what one process has put, removed or invalidated, every other one
 * sees at its next call, at whatever address it has the segment; and 64 of them
 * on one key or on thousands make no torn value, no second entry of a key, no
 * lost increment, and leave nothing behind.
 */
#include "ground.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MIB = 1 << 20, PEOPLE = 64, ROUNDS = 20000 };

/* ------------------------------------------------------------------ */
/* Two addresses                                                       */

struct rally {
	_Atomic uint32_t turn; /* even: the parent's, odd: the child's */
	_Atomic uint64_t address[2];
	_Atomic uint32_t n_wrong;
	char path[128];
};

/* Where this process has the segment; 0 if nowhere. */
static uint64_t address_of(const char *path)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long from = 0, found = 0;
	char line[512];

	need(f != NULL, "/proc/self/maps");
	while (!found && fgets(line, sizeof line, f))
		if (strstr(line, path) && sscanf(line, "%lx-", &from) == 1)
			found = from;
	fclose(f);
	return found;
}

/* Whose turn it is puts a new value, removes or invalidates; the other one has
 * to see just that. */
static void act(struct larder *h, uint32_t turn)
{
	char value[300];

	memset(value, (int)(turn & 0xff), sizeof value);
	if (turn % 7 == 6)
		larder_remove(h, "ball", 4);
	else if (turn % 7 == 5)
		larder_invalidate_key(h, "ball", 4);
	else
		larder_put(h, "ball", 4, value, 50 + turn % 250, NULL);
}

static bool sees(struct larder *h, uint32_t turn)
{
	unsigned char value[300];
	size_t n = 0;
	int got = larder_get(h, "ball", 4, value, sizeof value, &n);

	if (turn % 7 >= 5)
		return got == LARDER_MISS;
	return got == LARDER_OK && n == 50 + turn % 250 &&
	       value[0] == (turn & 0xff) && value[n - 1] == (turn & 0xff);
}

static void play_rally(struct larder *h, struct rally *r, uint32_t own)
{
	for (uint32_t turn = own; turn < ROUNDS; turn += 2) {
		uint32_t spins = 0;

		while (atomic_load(&r->turn) != turn)
			if (++spins > 100)
				sched_yield();
		if (turn && !sees(h, turn - 1))
			atomic_fetch_add(&r->n_wrong, 1);
		act(h, turn);
		atomic_store(&r->turn, turn + 1);
	}
}

/* Nothing else is mapped at this address from now on. */
static bool take_room(uint64_t address)
{
	return mmap((void *)(uintptr_t)address, 4 * MIB, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
		    0) != MAP_FAILED;
}

static int player(int i, void *context)
{
	struct rally *r = context;
	struct larder *h;

	/* Room for the segment where the parent has it is taken. */
	if (!take_room(r->address[0]))
		return 1;
	need(larder_open(r->path, NULL, &h) == 0, "larder_open");
	atomic_store(&r->address[1], address_of(r->path));
	play_rally(h, r, 1);
	larder_close(h);
	return 0;
}

static int two_addresses(void)
{
	struct larder_create_options o = {.size_of = sizeof o,
					  .bytes = 4 * MIB};
	struct rally *r = shared(sizeof *r);
	struct larder *h = segment_in("rally", &o), *again;
	pid_t pid;

	snprintf(r->path, sizeof r->path, "%s", larder_path(h));
	atomic_store(&r->address[0], address_of(r->path));
	/* The child is to have no mapping but its own. */
	larder_close(h);
	pid = spawn(player, 0, r);
	while (!atomic_load(&r->address[1])) {
		if (kill(pid, 0))
			return 1;
		sleep_ms(1);
	}
	need(larder_open(r->path, NULL, &h) == 0, "larder_open");
	atomic_store(&r->address[0], address_of(r->path));
	if (r->address[0] == r->address[1]) {
		/* Where the child has it is taken here. */
		larder_close(h);
		need(take_room(r->address[1]) &&
			     larder_open(r->path, NULL, &h) == 0,
		     "another address");
		atomic_store(&r->address[0], address_of(r->path));
	}
	play_rally(h, r, 0);
	claim(reap(pid) == 0, "both play to the end");
	claim(r->address[0] != r->address[1],
	      "one has the segment at %#llx, the other at %#llx",
	      (unsigned long long)r->address[0],
	      (unsigned long long)r->address[1]);
	claim(r->n_wrong == 0, "%u of %d changes were not seen at once",
	      r->n_wrong, ROUNDS);

	need(larder_open(r->path, NULL, &again) == 0, "a second handle");
	claim(larder_put(h, "one", 3, "1", 1, NULL) == LARDER_OK &&
		      larder_remove(again, "one", 3) == LARDER_OK &&
		      larder_remove(h, "one", 3) == LARDER_MISS,
	      "two handles of one process see each other as well");
	larder_close(again);
	claim_sound(h, "after a rally");
	larder_close(h);
	return 0;
}

/* ------------------------------------------------------------------ */
/* Sixty-four at once                                                  */

struct crowd {
	struct larder *h;
	unsigned n_keys, n_ops;
	_Atomic uint32_t n_ready, go;
	_Atomic uint64_t n_gets, n_hits;
};

/* A value says its key and who wrote it when, and all of it follows from
 * that. */
struct stamp {
	uint32_t key, writer, sequence, n;
};
enum { VALUE_MAX = 2000 };

static uint8_t byte_of(const struct stamp *s, uint32_t i)
{
	return (uint8_t)(s->key * 7 + s->writer * 31 + s->sequence * 13 + i);
}

static size_t write_value(unsigned char *value, uint32_t key, uint32_t writer,
			  uint32_t sequence)
{
	struct stamp s = {key, writer, sequence,
			  (uint32_t)sizeof s + (writer * 977 + sequence * 131) %
						       (VALUE_MAX - 64)};

	memcpy(value, &s, sizeof s);
	for (uint32_t i = sizeof s; i < s.n; i++)
		value[i] = byte_of(&s, i);
	return s.n;
}

static bool is_whole(const unsigned char *value, size_t n, uint32_t key)
{
	struct stamp s;

	if (n < sizeof s)
		return false;
	memcpy(&s, value, sizeof s);
	if (s.key != key || s.n != n || s.writer >= PEOPLE)
		return false;
	for (uint32_t i = sizeof s; i < n; i++)
		if (value[i] != byte_of(&s, i))
			return false;
	return true;
}

static int one_of_many(int me, void *context)
{
	struct crowd *c = context;
	unsigned seed = (unsigned)me * 7919 + 1;
	unsigned char value[VALUE_MAX];
	struct larder_view view;
	uint64_t n_hits = 0, n_gets = 0;
	char text[32];

	need(larder_attach_thread(c->h) == 0, "attaching");
	atomic_fetch_add(&c->n_ready, 1);
	await(&c->go, 1);
	for (unsigned i = 0; i < c->n_ops; i++) {
		uint32_t key = (uint32_t)rand_r(&seed) % c->n_keys;
		size_t n_text =
			(size_t)snprintf(text, sizeof text, "key %u", key);
		unsigned what = (unsigned)rand_r(&seed) % 16;
		size_t n;
		int got;

		if (what < 5) {
			n = write_value(value, key, (uint32_t)me, i);
			if (larder_put(c->h, text, n_text, value, n, NULL) < 0)
				return 2;
		} else if (what == 5) {
			larder_remove(c->h, text, n_text);
		} else if (what == 6) {
			n = write_value(value, key, (uint32_t)me, i);
			larder_add(c->h, text, n_text, value, n, NULL);
		} else if (what == 7) {
			larder_increment(c->h, "sum", 3, me + 1, 0, NULL, NULL);
		} else if (what < 10) {
			if (larder_lease(c->h, text, n_text, &view))
				continue;
			if (!is_whole(view.value, view.n_value, key))
				return 3;
			larder_release(c->h, &view);
		} else {
			n_gets++;
			got = larder_get(c->h, text, n_text, value,
					 sizeof value, &n);
			if (got != LARDER_OK)
				continue;
			if (!is_whole(value, n, key))
				return 4;
			n_hits++;
		}
	}
	atomic_fetch_add(&c->n_gets, n_gets);
	atomic_fetch_add(&c->n_hits, n_hits);
	return 0;
}

/* What the increments have to add up to. */
static uint64_t want_sum(const struct crowd *c)
{
	uint64_t sum = 0;

	for (unsigned me = 0; me < PEOPLE; me++) {
		unsigned seed = me * 7919 + 1;

		for (unsigned i = 0; i < c->n_ops; i++) {
			rand_r(&seed);
			if (rand_r(&seed) % 16 == 7)
				sum += me + 1;
		}
	}
	return sum;
}

/* Every key is met at most once. */
static unsigned n_twice(struct crowd *c)
{
	struct larder_walk_entry e = {.size_of = sizeof e};
	uint8_t *met = calloc(c->n_keys, 1);
	unsigned twice = 0, key;
	uint64_t cursor = 0;

	need(met != NULL, "memory");
	while (larder_walk(c->h, &cursor, &e) == LARDER_OK) {
		e.key[e.n_key < LARDER_KEY_MAX ? e.n_key : 0] = '\0';
		if (sscanf((char *)e.key, "key %u", &key) == 1 &&
		    key < c->n_keys)
			twice += met[key]++ != 0;
	}
	free(met);
	return twice;
}

static int crowd(unsigned n_keys, unsigned n_ops)
{
	struct larder_create_options o = {
		.size_of = sizeof o, .bytes = 2 * MIB, .n_slots = PEOPLE + 8};
	struct crowd *c = shared(sizeof *c);
	struct larder_put_options keep = {.size_of = sizeof keep,
					  .flags = LARDER_KEEP};
	pid_t pid[PEOPLE];
	unsigned n_well = 0;
	uint64_t sum = 0;
	size_t n;

	unlink(in_folder("crowd"));
	c->h = segment_in("crowd", &o);
	c->n_keys = n_keys;
	c->n_ops = n_ops;
	/* Kept, or it would be evicted with what was added up so far. */
	need(larder_increment(c->h, "sum", 3, 0, 0, &keep, NULL) == 0,
	     "a counter");
	for (int i = 0; i < PEOPLE; i++)
		pid[i] = spawn(one_of_many, i, c);
	await(&c->n_ready, PEOPLE);
	atomic_store(&c->go, 1);
	for (int i = 0; i < PEOPLE; i++) {
		int status = reap(pid[i]);

		n_well += status == 0;
		if (status)
			printf("     process %d: %s\n", i,
			       status == 2   ? "a put failed"
			       : status == 3 ? "a torn or foreign lease"
			       : status == 4 ? "a torn or foreign value"
					     : "died");
	}
	claim(n_well == PEOPLE,
	      "%u of %d processes saw whole values of their keys only (%llu of "
	      "%llu gets were hits)",
	      n_well, PEOPLE, (unsigned long long)c->n_hits,
	      (unsigned long long)c->n_gets);
	claim(c->n_hits > 0 && n_twice(c) == 0, "no key is there twice");
	need(larder_get(c->h, "sum", 3, &sum, 8, &n) == LARDER_OK && n == 8,
	     "the counter");
	claim(sum == want_sum(c), "%llu was added up, %llu is right",
	      (unsigned long long)sum, (unsigned long long)want_sum(c));
	claim_sound(c->h, "after a crowd");
	larder_close(c->h);
	return 0;
}

static int one_key(void)
{
	return crowd(1, 2000);
}

static int many_keys(void)
{
	return crowd(5000, 3000);
}

int main(void)
{
	folder();
	stage("two addresses", two_addresses);
	stage("64 processes, one key", one_key);
	stage("64 processes, 5,000 keys", many_keys);
	return curtain();
}
