/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Emptying pages that are in use, so that they can become another class's or a
 * run's: their objects are evicted, freed and BLOCKED, and nobody may hold one
 * when a grace period has passed after that. What is kept moves to another
 * page, and so does what a hand would spare, where another class gets the page;
 * regions and runs do not move.
 *
 *   dies while         leaves                       repaired by
 *   draining           DRAINING of a dead owner     sweep, takers: undone
 *   moving, its copy   ALLOC of a dead owner        recovery, sweep: RETIRED
 *   linked             ALLOC, linked; the old one   recovery, sweep: LIVE, and
 *                      LIVE in no group             the old one RETIRED
 *
 * Model: tests/model/slab.pml.
 */
#ifndef LARDER_STORE_DRAIN_H
#define LARDER_STORE_DRAIN_H

#include "worker/epoch.h"

/* Make pages [first, first + n) CLAIMED by us, whatever they are now. On false
 * everything is as it was, but for entries evicted or moved. Not pinned;
 * HAZARD_NEW and HAZARD_OLD are used. */
bool larder_drain_window(struct worker *w, uint32_t first, uint32_t n);

/* Undo: BLOCKED -> FREE, DRAINING by us -> ACTIVE. */
void larder_drain_undo(struct worker *w, uint32_t page);

#endif
