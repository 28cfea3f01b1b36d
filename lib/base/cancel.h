/* SPDX-License-Identifier: Apache-2.0 */
/*
 * No thread is cancelled inside the library: a cancellation that waits is acted
 * upon at the first call that may block (open, read, nanosleep ...), and would
 * leave a mutex locked, a descriptor open or a slot half claimed behind. It is
 * put off from cancel_hold() to cancel_allow(), which undoes it.
 */
#ifndef LARDER_BASE_CANCEL_H
#define LARDER_BASE_CANCEL_H

#include <pthread.h>

static inline int cancel_hold(void)
{
	int before;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	return before;
}

static inline void cancel_allow(int before)
{
	pthread_setcancelstate(before, &before);
}

#endif
