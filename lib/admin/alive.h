/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is attached, as seen from outside.
 *
 * The slot's mutex word tells, as for any worker. In a copy of a file it tells
 * of the original's workers for ever, and so it does in a file of another boot:
 * so a second opinion is asked of /proc wherever that can know better.
 */
#ifndef LARDER_ADMIN_ALIVE_H
#define LARDER_ADMIN_ALIVE_H

#include <larder/admin.h>

#include "segment/segment.h"

/* enum larder_worker_state of slot i, from its words alone. */
int larder_alive_word(const struct segment *s, uint32_t i);

/* The same with the second opinion: is there such a thread, has it this very
 * file mapped? What cannot be asked counts as alive. */
int larder_alive_slot(const struct segment *s, uint32_t i);

/* How many slots are LIVE. */
uint32_t larder_alive_count(const struct segment *s);

/* Is the segment of the running boot and time namespace? */
bool larder_alive_boot(const struct segment *s);

/* The name of a process of our pid namespace, or "". */
void larder_alive_command(const struct segment *s, uint32_t i, char *command,
			  size_t n_command);

#endif
