/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a segment at rest in order? A second opinion beside
 * larder_inspect_check(), written against the layout alone and stricter:
 * nothing may be pending. Meant for after settle(), when no process is in the
 * middle of anything.
 */
#ifndef TESTS_SUPPORT_VERIFY_H
#define TESTS_SUPPORT_VERIFY_H

#include <stddef.h>

#include <larder/larder.h>

#include "segment/segment.h"

/* Sweep until what the dead left is finished and every grace period is over. */
void settle(struct larder *handle);

/* NULL if every invariant holds, else what is broken (in @text). Every key is
 * linked once, in its group, under its tag, LIVE; no object is ALLOC, RETIRED
 * or BLOCKED; no page is CLAIMED or DRAINING, no body without its head; every
 * FREE object has its hint; no slot but @own is held, pinned or in hazard. */
const char *verify(struct segment *s, int own_slot, char *text, size_t n_text);

/* The same after one sweep: entries may be RETIRED, until their grace period is
 * over. */
const char *verify_swept(struct segment *s, int own_slot, char *text,
			 size_t n_text);

#endif
