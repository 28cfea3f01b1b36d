/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two that stand still at once: the first stopped before an access to KEY's
 * group, then the second before one of its own, in every combination; a script
 * of a third runs, and they go on in every order. What three parties can break
 * and two cannot shows here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cache/cache.h"
#include "crash/stage.h"
#include "crash/stepper.h"

static const struct {
	const char *first, *second, *state, *script;
} pairs[] = {
	{"remove", "put", "absent", "sweep"},
	{"put", "put", "absent", "put"},
	{"put", "put", "absent", "neighbours"},
	{"put", "remove", "absent", "remove"},
	{"put", "add", "absent", "churn"},
	{"add", "remove", "absent", "evict"},
	{"put", "evict", "present", "sweep"},
	{"remove", "put", "present", "churn"},
	{"compare and swap", "put", "present", "remove"},
	{"evict", "remove", "present", "put"},
	{"put", "remove", "announced by a dead one", "sweep"},
	{"sweep a page", "remove", "announced by a dead one", "put"},
	{"put", "put", "another announced by a dead one", "neighbours"},
	{"put", "add", "group full", "evict"},
	{"increment", "increment", "a counter", "increment"},
	{"move what is in use", "evict", "in use", "move"},
	{"move what is kept", "put", "kept", "move"},
	{"move what is kept", "remove", "kept", "put"},
	{"move what is kept", "move what is kept", "kept", "sweep"},
};

enum order { FIRST_SCRIPT, SCRIPT_FIRST, SECOND_SCRIPT, N_ORDERS };
static const char *const order_name[] = {
	"the first, the script, the second",
	"the script, the first, the second",
	"the second, the script, the first",
};

struct two {
	struct stage st; /* of the first's scenario */
	struct scenario sc[CHILDREN];
	const struct script *script;
	struct child c[CHILDREN];
	const char *name;
};

static const struct operation *operation_named(const char *name)
{
	for (unsigned i = 0; i < n_operations; i++)
		if (!strcmp(operations[i].name, name))
			return &operations[i];
	fprintf(stderr, "no operation %s\n", name);
	exit(2);
}

static const struct state *state_named(const char *name)
{
	for (unsigned i = 0; i < n_states; i++)
		if (!strcmp(states[i].name, name))
			return &states[i];
	fprintf(stderr, "no state %s\n", name);
	exit(2);
}

static const struct script *script_named(const char *name)
{
	for (unsigned i = 0; i < n_scripts; i++)
		if (!strcmp(scripts[i].name, name))
			return &scripts[i];
	fprintf(stderr, "no script %s\n", name);
	exit(2);
}

/* Letters after the three in any order, each done or, if it failed, not. */
static void add_orders(const struct two *t, const int result[CHILDREN],
		       unsigned left, char letter, char letters[16])
{
	if (!left) {
		size_t n = strlen(letters);

		if (!strchr(letters, letter)) {
			letters[n] = letter;
			letters[n + 1] = '\0';
		}
		return;
	}
	for (unsigned i = 0; i < 3; i++) {
		char after[16];

		if (!(left & BIT(i)))
			continue;
		if (i < CHILDREN && result[i])
			add_orders(t, result, left & ~(unsigned)BIT(i), letter,
				   letters);
		snprintf(after, sizeof after, "%s",
			 i < CHILDREN ? t->sc[i].operation->after(letter)
				      : t->script->after(letter));
		for (const char *a = after; *a; a++)
			add_orders(t, result, left & ~(unsigned)BIT(i), *a,
				   letters);
	}
}

static const char *go_on(struct two *t, enum order order)
{
	static const unsigned char turns[N_ORDERS][3] = {
		{0, 2, 1}, {2, 0, 1}, {1, 2, 0}};
	const char *what = NULL;
	char letters[16] = "";
	int result[CHILDREN];

	for (int i = 0; i < 3 && !what; i++) {
		unsigned who = turns[order][i];

		if (who < CHILDREN && !child_finish(&t->c[who]))
			what = "a child did not come through";
		else if (who == CHILDREN)
			what = t->script->run(t->st.h);
	}
	if (what)
		return what;
	for (unsigned i = 0; i < CHILDREN; i++) {
		child_acked(&t->c[i], &result[i]);
		if (result[i] >= SAW_TORN)
			return "a child saw what must not be";
		mark_dead(t->st.s, t->c[i].pid);
	}
	for (const char *b = t->sc[0].state->before; *b; b++)
		add_orders(t, result, 7, *b, letters);
	if (t->sc[0].state->crowded)
		add_orders(t, result, 7, '-', letters);
	return recover_and_look(t->st.h, &t->sc[0], letters,
				t->script->takes_other ||
					t->sc[1].operation->takes_other);
}

/* Before an access to KEY's group: false once the operation is over. */
static bool next_in_group(const struct two *t, struct child *c)
{
	const unsigned char *g =
		(const unsigned char *)group_of_key(t->st.s, KEY);

	while (child_next_access(c))
		if (c->address - (uint64_t)(uintptr_t)g < sizeof(struct group))
			return true;
	return false;
}

static void try_at(struct two *t, unsigned long i, unsigned long k,
		   enum order order)
{
	const char *what;

	snprintf(doing, sizeof doing, "%s; %s, at %lu and %lu", t->name,
		 order_name[order], i, k);
	alarm(60);
	what = go_on(t, order);
	alarm(0);
	total.pairs++;
	if (what)
		failure(t->name, order_name[order], i * 1000 + k, what);
}

static void try_two(struct two *t, unsigned stride)
{
	struct moment *at[CHILDREN] = {moment_new(), moment_new()};
	struct moment *begin = moment_new();
	unsigned char *bytes[CHILDREN] = {shared_bytes(SEGMENT_BYTES),
					  shared_bytes(SEGMENT_BYTES)};
	unsigned long i = 0, before = total.pairs;
	unsigned turn = 0;

	for (unsigned k = 0; k < CHILDREN; k++)
		child_start(&t->c[k], k, t->st.h, &t->sc[k]);
	moment_take(begin, &t->c[1]);
	while (next_in_group(t, &t->c[0])) {
		unsigned long k = 0;

		i++;
		moment_take(at[0], &t->c[0]);
		memcpy(bytes[0], t->st.live, SEGMENT_BYTES);
		while (next_in_group(t, &t->c[1])) {
			bool taken = false;

			k++;
			for (enum order order = 0; order < N_ORDERS; order++) {
				if (turn++ % stride)
					continue;
				if (!taken) {
					moment_take(at[1], &t->c[1]);
					memcpy(bytes[1], t->st.live,
					       SEGMENT_BYTES);
					taken = true;
				}
				try_at(t, i, k, order);
				larder_detach_thread(t->st.h);
				memcpy(t->st.live, bytes[1], SEGMENT_BYTES);
				moment_return(at[0], &t->c[0]);
				moment_return(at[1], &t->c[1]);
			}
		}
		memcpy(t->st.live, bytes[0], SEGMENT_BYTES);
		moment_return(begin, &t->c[1]);
	}
	printf("%-58s %5lu standstills of two\n", t->name,
	       total.pairs - before);
	for (unsigned k = 0; k < CHILDREN; k++) {
		child_kill(&t->c[k]);
		moment_free(at[k]);
		munmap(bytes[k], SEGMENT_BYTES);
	}
	moment_free(begin);
}

void try_pairs(const char *only, unsigned stride)
{
	for (unsigned i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
		struct two t = {
			.sc = {{operation_named(pairs[i].first),
				state_named(pairs[i].state)},
			       {operation_named(pairs[i].second),
				state_named(pairs[i].state)}},
			.script = script_named(pairs[i].script),
		};
		char name[160];

		snprintf(name, sizeof name, "%s | %s | %s, %s", pairs[i].first,
			 pairs[i].second, pairs[i].script, pairs[i].state);
		if (only && strcmp(only, name))
			continue;
		t.name = name;
		total.scenarios++;
		stage_build(&t.st, &t.sc[0]);
		try_two(&t, stride);
		stage_free(&t.st);
	}
}
