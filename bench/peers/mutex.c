/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mutex: one process-shared mutex around a shared table.
 */
#include "peers/locktable.h"

static int mutex_open(const struct bench_plan *plan, void **shared)
{
	return locktable_open(plan, LOCK_MUTEX, shared);
}

const struct peer peer_mutex = {
	.name = "mutex",
	.about = "one process-shared mutex around a shared table",
	.open = mutex_open,
	LOCKTABLE_FUNCTIONS,
};
