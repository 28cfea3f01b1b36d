/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole grace period, now: advance the epoch GRACE times.
 *
 * The one place where a store may sleep: while a pin stands in the way that is
 * neither dead nor yet stuck for patience_ms, in naps of half a millisecond. An
 * expelled pin never stands in the way again, so a stopped reader costs one
 * such wait, not one for each store.
 */
#ifndef LARDER_STORE_GRACE_H
#define LARDER_STORE_GRACE_H

#include "worker/epoch.h"

/* False if it took longer than any pin may stand still. Not pinned. */
bool larder_grace(struct worker *w, uint64_t patience_ms);

#endif
