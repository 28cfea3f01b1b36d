/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rwlock: one process-shared rwlock around a shared table.
 */
#include "peers/locktable.h"

static int rwlock_open(const struct bench_plan *plan, void **shared)
{
	return locktable_open(plan, LOCK_RWLOCK, shared);
}

const struct peer peer_rwlock = {
	.name = "rwlock",
	.about = "one process-shared rwlock around a shared table",
	.open = rwlock_open,
	LOCKTABLE_FUNCTIONS,
};
