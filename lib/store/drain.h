/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Emptying pages that are in use, so that they can become another class's or a
 * run's: their objects are evicted, freed and BLOCKED, and nobody may hold one
 * when a grace period has passed after that.
 *
 * Model: tests/model/slab.pml.
 */
#ifndef LARDER_STORE_DRAIN_H
#define LARDER_STORE_DRAIN_H

#include "worker/epoch.h"

/* Make pages [first, first + n) CLAIMED by us, whatever they are now. On false
 * everything is as it was, but for entries evicted. Not pinned. */
bool larder_drain_window(struct worker *w, uint32_t first, uint32_t n);

/* Undo: BLOCKED -> FREE, DRAINING by us -> ACTIVE. */
void larder_drain_undo(struct worker *w, uint32_t page);

#endif
