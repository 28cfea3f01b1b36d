/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Death at every instruction: single-stepped, and wherever the shared memory
 * differs from the instruction before, copied, the child dead in the copy, the
 * copy recovered by the library and looked at. Besides, real SIGKILL at sampled
 * accesses.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cache/cache.h"
#include "crash/stage.h"
#include "crash/stepper.h"

static const char *look_at_copy(const struct scenario *sc, int fd,
				const struct child *c)
{
	struct larder *copy;
	struct segment *s;
	char letters[16];
	const char *what;
	int result;
	bool acked = child_acked(c, &result);

	if (acked && result >= SAW_TORN)
		return "the operation saw what must not be";
	if (acked && !result && !may_succeed(sc, NULL, true))
		return "what is invalid or gone was served";
	if (larder_open_fd(fd, NULL, &copy))
		return "the copy does not open";
	s = atomic_load(&copy->segment);
	mark_dead(s, c->pid);
	mark_dead(s, helper_pid);
	letters_after(sc, acked, result, letters);
	what = recover_and_look(copy, sc, letters, false);
	larder_close(copy);
	return what;
}

void try_death(const struct scenario *sc)
{
	struct stage st;
	unsigned char *last = shared_bytes(SEGMENT_BYTES), *bytes;
	unsigned long step = 0, seen = 0;
	int copy_fd = memfd_create("copy", 0);
	struct child c;
	bool more = true, stored = true;

	if (copy_fd < 0 || ftruncate(copy_fd, SEGMENT_BYTES))
		must(-ENOSPC);
	bytes = mmap(NULL, SEGMENT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		     copy_fd, 0);
	if (bytes == MAP_FAILED)
		must(-ENOMEM);
	stage_build(&st, sc);
	child_start(&c, 0, st.h, sc);
	memset(last, 0xff, SEGMENT_BYTES);
	for (;;) {
		const char *what;

		/* The end is a state too: the acknowledgement. */
		if (!more || (stored && memcmp(last, st.live, SEGMENT_BYTES))) {
			seen++;
			memcpy(last, st.live, SEGMENT_BYTES);
			memcpy(bytes, st.live, SEGMENT_BYTES);
			snprintf(doing, sizeof doing, "%s; death, at %lu",
				 scenario_name(sc), step);
			alarm(60);
			what = look_at_copy(sc, copy_fd, &c);
			alarm(0);
			if (what)
				failure(scenario_name(sc), "death", step, what);
		}
		if (!more)
			break;
		more = child_step(&c, &stored);
		step++;
	}
	if (c.crashed)
		failure(scenario_name(sc), "death", step, "the child crashed");
	child_kill(&c);
	printf("%-58s %7lu instructions %4lu states\n", scenario_name(sc), step,
	       seen);
	total.instructions += step;
	total.states += seen;
	total.deaths += seen;
	munmap(bytes, SEGMENT_BYTES);
	munmap(last, SEGMENT_BYTES);
	stage_free(&st);
	close(copy_fd);
}

void try_kills(const struct scenario *sc, unsigned n)
{
	struct stage st;
	unsigned long length = 0;
	struct child c;

	stage_build(&st, sc);
	child_start(&c, 0, st.h, sc);
	while (child_next_access(&c))
		length++;
	child_kill(&c);
	for (unsigned k = 0; k < n; k++) {
		/* Two halves that move apart: another access each time. */
		unsigned long at = (length * (2 * k + 1) / (2 * n)) % length;
		const char *what;
		char letters[16];
		int result;
		bool acked;

		stage_reset(&st);
		child_start(&c, 0, st.h, sc);
		for (unsigned long i = 0; i <= at && child_next_access(&c); i++)
			;
		child_kill(&c);
		acked = child_acked(&c, &result);
		letters_after(sc, acked, result, letters);
		mark_dead(st.s, helper_pid);
		snprintf(doing, sizeof doing, "%s; kill, at %lu",
			 scenario_name(sc), at);
		alarm(60);
		what = recover_and_look(st.h, sc, letters, false);
		alarm(0);
		if (what)
			failure(scenario_name(sc), "kill", at, what);
		total.deaths++;
	}
	stage_free(&st);
}
