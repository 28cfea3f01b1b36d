/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Standstill before every access to shared memory: a script of others runs from
 * beginning to end, then the child goes on; nobody waits, nothing breaks, and
 * what the child keeps back is its own. One child, or two at once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cache/cache.h"
#include "crash/stage.h"
#include "crash/stepper.h"

/* The child went on after @script. What is there now? */
static const char *look_after(struct stage *st, const struct script *script,
			      struct child *c, bool begun)
{
	const struct scenario *sc = st->sc;
	char letters[16];
	const char *what;
	int result;

	if (!child_finish(c))
		return "the child did not come through";
	if (child_acked(c, &result) && result >= SAW_TORN)
		return result == SAW_TORN ? "the child read what was reused"
					  : "the child saw what must not be";
	if (!result && !may_succeed(sc, script, begun))
		return "the child was served what is invalid or gone";
	what = script->check ? script->check(st->h) : NULL;
	if (what)
		return what;
	mark_dead(st->s, c->pid);
	mark_dead(st->s, helper_pid);
	letters_with(sc, script, result, begun, letters);
	return recover_and_look(st->h, sc, letters, script->takes_other);
}

static void try_script(struct stage *st, const struct script *script,
		       struct child *c, unsigned long at)
{
	const struct scenario *sc = st->sc;
	uint64_t expelled = counted(st->s, COUNTER_EXPULSIONS);
	uint64_t moved = counted(st->s, COUNTER_PAGES_MOVED);
	const char *what;

	snprintf(doing, sizeof doing, "%s; stall with %s, at %lu",
		 scenario_name(sc), script->name, at);
	alarm(60); /* nothing of the script may wait for the child */
	what = script->run(st->h);
	total.expulsions += counted(st->s, COUNTER_EXPULSIONS) - expelled;
	total.moves += counted(st->s, COUNTER_PAGES_MOVED) - moved;
	if (!what && script->counts && !sc->state->helped)
		what = kept_back(st->h, c->pid, sc->operation->reads);
	if (!what)
		what = look_after(st, script, c, at > 0);
	alarm(0);
	total.stalls++;
	if (what) {
		char mode[64];

		snprintf(mode, sizeof mode, "stall with %s", script->name);
		failure(scenario_name(sc), mode, at, what);
	}
}

void try_stalls(const struct scenario *sc, unsigned stride,
		const char *only_script)
{
	static unsigned turn;
	struct moment *moment = moment_new();
	unsigned char *here = shared_bytes(SEGMENT_BYTES);
	unsigned long at = 0, before = total.stalls;
	struct stage st;
	struct child c;

	stage_build(&st, sc);
	child_start(&c, 0, st.h, sc);
	do {
		bool taken = false;

		for (unsigned k = 0; k < n_scripts; k++) {
			if (only_script && strcmp(only_script, scripts[k].name))
				continue;
			if (scripts[k].beside &&
			    strcmp(scripts[k].beside, sc->operation->name))
				continue;
			/* Each script at other accesses, each scenario too. */
			if ((at + k * 7 + turn) % stride)
				continue;
			if (!taken) {
				moment_take(moment, &c);
				memcpy(here, st.live, SEGMENT_BYTES);
				taken = true;
			}
			try_script(&st, &scripts[k], &c, at);
			larder_detach_thread(st.h);
			memcpy(st.live, here, SEGMENT_BYTES);
			moment_return(moment, &c);
		}
		at++;
	} while (child_next_access(&c));
	turn++;
	total.accesses += at;
	child_kill(&c);
	printf("%-58s %7lu accesses %5lu stalls\n", scenario_name(sc), at,
	       total.stalls - before);
	moment_free(moment);
	munmap(here, SEGMENT_BYTES);
	stage_free(&st);
}
