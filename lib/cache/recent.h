/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The latest invalidations as one worker remembers them, and the storm road of
 * a hit, which looks at all of them at once.
 *
 * Where many entries are hit between two invalidations, each of them lags once,
 * and whether the one at hand does is known only when its line has come from
 * memory. A branch on that is mispredicted as often as not, and what the
 * processor had begun of the next gets is thrown away. So, while many hits lag,
 * a worker takes a road on which nothing branches on the lag: every hit tests
 * the last few invalidations against the entry, those that are older than its
 * stamp are masked away, and the stamp goes to the entry or to nowhere.
 *
 * What is remembered is the ring's: a cell of a number that C has reached
 * changes only when it is lapped, so a copy stays true.
 */
#ifndef LARDER_CACHE_RECENT_H
#define LARDER_CACHE_RECENT_H

#include "cache/words.h"
#include "worker/worker.h"

/* Bring what is remembered up to C, which is then w->recent.now, as if the hit
 * had loaded it here [FRE.2]. False if the segment is closed. */
bool larder_recent_follow(struct worker *w);

/* Every some hits: which road do the next ones take? */
void larder_recent_judge(struct worker *w);

#endif
