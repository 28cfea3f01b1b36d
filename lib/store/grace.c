/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for a grace period: see grace.h for what may make it long, and why it
 * is never long twice for the same reader.
 */
#include "store/grace.h"

#include <time.h>

#include "base/cancel.h"
#include "base/clock.h"
#include "base/counters.h"

bool larder_grace(struct worker *w, uint64_t patience_ms)
{
	uint64_t start = load_acquire(&w->s->hot->epoch), slept_from = 0;
	uint64_t deadline_ms = 0;
	int before;
	const struct timespec nap = {.tv_nsec = 500000};

	while (load_acquire(&w->s->hot->epoch) < start + GRACE) {
		if (larder_epoch_advance(w, patience_ms))
			continue;
		if (!slept_from) {
			slept_from = larder_clock_ns();
			deadline_ms = larder_clock_ms() + 4 * patience_ms + 20;
		} else if (larder_clock_ms() > deadline_ms) {
			break;
		}
		before = cancel_hold();
		nanosleep(&nap, NULL);
		cancel_allow(before);
	}
	if (slept_from)
		count(w, COUNTER_WAITED_NS, larder_clock_ns() - slept_from);
	return load_acquire(&w->s->hot->epoch) >= start + GRACE;
}
