/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balance between size classes: which of them gives a page to which.
 *
 * A class that evicts what is asked for again soon would have more hits with
 * more room. How many, its ghost hits say; where there are thousands they
 * are forgotten by and by, so that classes follow a workload that changes.
 */
#ifndef LARDER_STORE_BALANCE_H
#define LARDER_STORE_BALANCE_H

#include "worker/epoch.h"

/* Give a page of the class with the fewest ghost hits for its pages to the one
 * with the most, if the difference is no chance. Cheap when it is not due. Not
 * pinned; HAZARD_NEW and HAZARD_OLD are used. */
void larder_balance(struct worker *w);

#endif
