/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spinlocks: a shared table striped over 1,024 spinlocks.
 */
#include "peers/locktable.h"

static int spinlocks_open(const struct bench_plan *plan, void **shared)
{
	return locktable_open(plan, LOCK_SPINS, shared);
}

const struct peer peer_spinlocks = {
	.name = "spinlocks",
	.about = "a shared table striped over 1,024 spinlocks",
	.open = spinlocks_open,
	LOCKTABLE_FUNCTIONS,
};
