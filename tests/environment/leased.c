/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment whose memory is leased from the first byte to the last.
 *
 * Invariant: a store fails by its name and loses nothing, neither the value it
 * was to replace nor any other; leased bytes do not change; and memory is there
 * again as soon as the holders let go or are dead.
 */
#include "ground.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MIB = 1 << 20, N_VALUE = 3000, MAX_KEYS = 1000, HOLDERS = 120 };

static struct larder *h;

/* What the holders share. */
struct plan {
	_Atomic uint32_t next;	  /* key to lease */
	_Atomic uint32_t n_ready; /* holders that took what they could */
	_Atomic uint32_t done;	  /* 1: let go */
	_Atomic uint32_t n_leased;
	uint32_t n_keys;
	struct {
		uint32_t n;
		char text[28];
	} key[MAX_KEYS];
};

static void fill_value(unsigned char *value, const char *key, size_t n_key)
{
	for (size_t i = 0; i < N_VALUE; i++)
		value[i] = (unsigned char)(key[i % n_key] + i / n_key);
}

static bool is_value_of(const void *value, size_t n, const char *key,
			size_t n_key)
{
	unsigned char want[N_VALUE];

	fill_value(want, key, n_key);
	return n == N_VALUE && !memcmp(want, value, N_VALUE);
}

static int put(const char *key)
{
	unsigned char value[N_VALUE];

	fill_value(value, key, strlen(key));
	return larder_put(h, key, strlen(key), value, N_VALUE, NULL);
}

/* Leases keys in turn, as many as one worker may, and holds them. */
static int holder(int i, void *context)
{
	struct plan *p = context;
	struct larder_view view[LARDER_LEASES_MAX];
	uint32_t of[LARDER_LEASES_MAX], k;
	int n = 0, result = LARDER_OK;
	bool kept = true;

	while (n < LARDER_LEASES_MAX) {
		k = atomic_fetch_add(&p->next, 1);
		if (k >= p->n_keys)
			break;
		result = larder_lease(h, p->key[k].text, p->key[k].n, &view[n]);
		if (result != LARDER_OK)
			break;
		of[n++] = k;
	}
	atomic_fetch_add(&p->n_leased, (uint32_t)n);
	atomic_fetch_add(&p->n_ready, 1);
	if (result != LARDER_OK)
		return 2;
	await(&p->done, 1);
	for (int j = 0; j < n; j++) {
		kept &= is_value_of(view[j].value, view[j].n_value,
				    p->key[of[j]].text, p->key[of[j]].n);
		larder_release(h, &view[j]);
	}
	return kept ? 0 : 1;
}

/* Fill the segment, and write down what is in there. */
static void fill(struct plan *p)
{
	struct larder_walk_entry e = {.size_of = sizeof e};
	uint64_t cursor = 0;
	char key[32];

	for (unsigned i = 0; counter(h, "evictions") == 0; i++) {
		snprintf(key, sizeof key, "leased %u", i);
		need(put(key) == LARDER_OK && i < MAX_KEYS, "filling");
	}
	while (larder_walk(h, &cursor, &e) == LARDER_OK) {
		need(p->n_keys < MAX_KEYS && e.n_key < 28, "a table of keys");
		p->key[p->n_keys].n = e.n_key;
		memcpy(p->key[p->n_keys++].text, e.key, e.n_key);
	}
}

static unsigned n_present(const struct plan *p)
{
	char value[N_VALUE];
	unsigned present = 0;
	size_t n = 0;

	for (uint32_t k = 0; k < p->n_keys; k++)
		present += larder_get(h, p->key[k].text, p->key[k].n, value,
				      sizeof value, &n) == LARDER_OK &&
			   is_value_of(value, n, p->key[k].text, p->key[k].n);
	return present;
}

/* Put new keys and have them leased until one is refused. The result of the
 * last; *@n holders more. */
static int exhaust(struct plan *p, pid_t *pid, unsigned *n)
{
	int result = LARDER_OK;

	while (result == LARDER_OK && *n < HOLDERS) {
		uint32_t k = p->n_keys;

		need(k < MAX_KEYS, "a table of keys");
		p->key[k].n = (uint32_t)snprintf(
			p->key[k].text, sizeof p->key[k].text, "last %u", k);
		result = put(p->key[k].text);
		if (result != LARDER_OK)
			break;
		p->n_keys++;
		atomic_store(&p->next, k);
		pid[*n] = spawn(holder, (int)*n, p);
		await(&p->n_ready, ++*n);
	}
	return result;
}

static void claim_stores_fail(const struct plan *p)
{
	static char large[100000];
	unsigned present;
	int result = LARDER_OK, small = LARDER_OK;
	char key[32];

	for (unsigned i = 0; i < 20; i++) {
		snprintf(key, sizeof key, "new %u", i);
		result = put(key);
		if (result != LARDER_NO_SPACE)
			break;
	}
	claim(result == LARDER_NO_SPACE, "a store of a new key: '%s'",
	      larder_strerror(result));
	for (unsigned i = 0; i < 20; i++) {
		result = put(p->key[i].text);
		if (result != LARDER_NO_SPACE)
			break;
	}
	claim(result == LARDER_NO_SPACE,
	      "one over a key that is there too: "
	      "'%s'",
	      larder_strerror(result));
	result = larder_put(h, "large", 5, large, sizeof large, NULL);
	claim(result == LARDER_NO_SPACE, "one that needs many pages: '%s'",
	      larder_strerror(result));
	for (unsigned i = 0; i < 20000 && small == LARDER_OK; i++) {
		snprintf(key, sizeof key, "small %u", i);
		small = larder_put(h, key, strlen(key), "s", 1, NULL);
	}
	claim(small == LARDER_OK || small == LARDER_NO_SPACE,
	      "small ones live on what is left, or end with '%s'",
	      larder_strerror(small));
	present = n_present(p);
	claim(present == p->n_keys, "%u of %u leased keys are still found",
	      present, p->n_keys);
	claim(counter(h, "no_space") >= 42, "refusals are counted: %llu",
	      (unsigned long long)counter(h, "no_space"));
}

static int all_of_it(void)
{
	struct larder_create_options o = {
		.size_of = sizeof o, .bytes = MIB, .n_slots = 200};
	struct plan *p = shared(sizeof *p);
	pid_t pid[HOLDERS];
	unsigned n = 0, n_well = 0, n_killed = 0;
	int result;

	h = segment_in("leased", &o);
	fill(p);
	for (; n < HOLDERS && atomic_load(&p->next) < p->n_keys; n++) {
		pid[n] = spawn(holder, (int)n, p);
		await(&p->n_ready, n + 1);
	}
	result = exhaust(p, pid, &n);
	claim(result == LARDER_NO_SPACE && p->n_leased == p->n_keys,
	      "%u processes lease %u of %u values, then: '%s'", n, p->n_leased,
	      p->n_keys, larder_strerror(result));
	claim_stores_fail(p);

	/* Every other one is killed, the rest lets go. */
	for (unsigned i = 0; i < n; i += 2)
		kill(pid[i], SIGKILL);
	for (unsigned i = 0; i < n; i += 2)
		n_killed += reap(pid[i]) == -SIGKILL;
	result = put("after deaths");
	claim(result == LARDER_OK,
	      "once half of them are killed, it ends "
	      "with '%s'",
	      larder_strerror(result));
	atomic_store(&p->done, 1);
	for (unsigned i = 1; i < n; i += 2)
		n_well += reap(pid[i]) == 0;
	claim(n_killed + n_well == n,
	      "%u were killed, and what %u leased did not change", n_killed,
	      n_well);
	for (unsigned i = 0; i < 300 && result == LARDER_OK; i++) {
		char key[32];

		snprintf(key, sizeof key, "again %u", i);
		result = put(key);
	}
	claim(result == LARDER_OK, "and memory is there again: '%s'",
	      larder_strerror(result));
	claim_works(h, "large", 100000);
	claim_sound(h, "after all was leased");
	larder_close(h);
	return 0;
}

int main(void)
{
	folder();
	stage("a segment that is leased entirely", all_of_it);
	return curtain();
}
