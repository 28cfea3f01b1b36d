/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the parts of a check work together.
 *
 * A segment is checked item by item (a group, a page, a slot ...). Each item
 * has one function that looks at it and says what is wrong; it loads what it
 * judges in an order in which no unfinished operation looks like damage, and
 * looks twice at the word that covers what it read. What was said at the first
 * look is a suspicion. Suspicions are looked at again a few times with pauses,
 * and only what was said each time of the same thing is reported: on a live
 * segment that leaves what stands still, work of the stopped and of the dead
 * included.
 */
#ifndef LARDER_ADMIN_CHECK_H
#define LARDER_ADMIN_CHECK_H

#include "admin/inspect.h"
#include "base/counters.h"
#include "store/index.h"

enum check_kind {
	CHECK_FILE,
	CHECK_HOT,
	CHECK_SLOT,
	CHECK_GROUP,
	CHECK_PAGE, /* after the groups: uses `linked` */
	CHECK_POOL, /* after the pages: compares their sums */
	CHECK_TAG_SET,
	CHECK_KEY_SET,
	CHECK_RING,
	CHECK_PATTERN,
	CHECK_FLIGHT,
	CHECK_KINDS,
};

struct suspicion {
	uint64_t index;
	uint32_t sub;  /* which part of the item */
	uint16_t code; /* which rule */
	uint8_t kind, severity;
	bool seen; /* in this round */
};

enum check_pass { CHECK_COLLECT, CHECK_CONFIRM, CHECK_REPORT };

struct check {
	struct larder_inspector *in;
	struct segment *s;
	larder_finding *finding;
	void *context;
	enum check_pass pass;
	/* the item that is being looked at */
	enum check_kind kind;
	uint64_t index;
	size_t from, to, at; /* its suspicions; where the next is expected */
	struct suspicion *suspicions;
	size_t n_suspicions, n_room;
	uint64_t n_beyond[2]; /* that found no room, by severity */
	bool quiet;	      /* nobody is attached: sums can be compared */
	uint64_t *linked;     /* a bit for each unit that a group names */
	uint64_t n_entries;
	uint64_t n_probation[MAX_CLASSES], n_main[MAX_CLASSES];
	struct snapshot snap;
	struct {
		uint64_t word;
		uint32_t n_key;
		unsigned char key[LARDER_KEY_MAX];
	} seen[GROUP_SLOTS]; /* of the group that is being looked at */
};

void larder_check_say(struct check *c, enum larder_severity severity,
		      uint32_t sub, unsigned code, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* The line tells one rule from another. */
#define damage(c, sub, ...)                                                    \
	larder_check_say(c, LARDER_DAMAGE, sub, __LINE__, __VA_ARGS__)
#define pending(c, sub, ...)                                                   \
	larder_check_say(c, LARDER_PENDING, sub, __LINE__, __VA_ARGS__)

/* C, without the mark of a segment that was put aside. */
static inline uint64_t check_stamp(const struct check *c)
{
	return load_acquire(&c->s->hot->stamp) & STAMP_MASK;
}

/* Is (slot, generation's low bits) an attached thread, by the slot's words? */
bool larder_check_owner(const struct check *c, uint32_t slot,
			uint32_t generation, uint32_t mask);

/* check_store.c */
void larder_check_group(struct check *c);
void larder_check_page(struct check *c);
/* check_words.c */
void larder_check_hot(struct check *c);
void larder_check_slot(struct check *c);
void larder_check_pool(struct check *c);
void larder_check_tag_set(struct check *c);
void larder_check_key_set(struct check *c);
void larder_check_ring(struct check *c);
void larder_check_pattern(struct check *c);
void larder_check_flight(struct check *c);

/* The kind field of a freshly made claim mutex. */
int larder_check_mutex_kind(void);

#endif
