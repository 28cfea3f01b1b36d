/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is worth keeping: an account, by log2 of a body's size.
 *
 * To look for an answer that nobody stored, and to store it, takes a twentieth
 * to an eighth of the instructions that compute it. So each store is paid from
 * an account, and hits pay for some. It begins with the means for 256 new
 * questions, so that of what repeats itself everything is kept from the first
 * one on. What never does is kept one time in 64, by which it would be noticed
 * if it began to.
 *
 * As the means dwindle, what was never seen is left out first, for most of what
 * comes once comes never again. It is then computed and nothing else, and
 * leaves a mark by which it is known the next time. A glance at a body's ends
 * tells most new ones from what was seen; where they are alike, all of it is
 * looked at. Some means are held back for what may have come before, and some
 * of those for what certainly has: that is looked up by its bytes in any case,
 * and kept one time in 16, where it is never found because catalog or loads
 * move.
 *
 * The account and the marks are shared: what one worker learns, all know.
 * Nothing hangs on them but work: a race that loses a mark or a payment makes
 * an answer be computed once more.
 */
#include <string.h>

#include "base/hash.h"
#include "router/answer.h"

/* In 64ths of a store. */
enum {
	STORE = 64,
	FIRST = 256, /* new questions that are all kept */
	AT_FIRST = (FIRST + 48) * STORE,
	MOST = 416 * STORE,
	/* From here on so much is repeated that all bodies are looked up. */
	PROVEN = 352 * STORE,
	FOR_NEW = 49 * STORE,
	FOR_LIKELY = 17 * STORE,
	FOR_KNOWN = STORE,
	NOT_KEPT = 1, /* one that was computed and nothing else */
	NOT_KEPT_KNOWN = 4,
};

/*
 * What a hit pays, by the size of the body. One by its bytes saves nearly all
 * that it would have cost to compute. For one by its meaning the body was read
 * and the answer written, of small ones most of the work: they cost more than
 * they save.
 */
static int64_t gain(unsigned size_class, bool by_bytes)
{
	if (by_bytes)
		return size_class < 12 ? 4 * STORE : 8 * STORE;
	if (size_class < 11)
		return -STORE / 4;
	if (size_class < 14)
		return size_class < 12 ? 0 : STORE;
	return 3 * STORE;
}

static int64_t means(const struct router *r, unsigned k)
{
	return (int64_t)(load_relaxed(&r->admission->account[k]) + AT_FIRST);
}

static void pay(struct router *r, unsigned k, int64_t units)
{
	fetch_add_relaxed(&r->admission->account[k], (uint64_t)units);
}

/* Whether that hash was seen before; from now on it was. */
static bool has_been_seen(struct router *r, uint64_t hash)
{
	atomic_u16 *slot = &r->admission->mark[hash % MARKS];
	uint16_t mark = (uint16_t)(hash >> 48);

	mark = mark ? mark : 1; /* 0 is none */
	if (load_relaxed(slot) == mark)
		return true;
	store_relaxed(slot, mark);
	return false;
}

/* Of both ends and the length: as much as the hash takes in at once. */
static uint64_t glance(const struct router *r, const char *body, size_t n)
{
	enum { END = 116 };
	const unsigned char *secret = r->shared->secret;
	char ends[2 * END + sizeof n];

	if (n < sizeof ends)
		return larder_hash(secret, body, n);
	memcpy(ends, body, END);
	memcpy(ends + END, body + n - END, END);
	memcpy(ends + 2 * END, &n, sizeof n);
	return larder_hash(secret, ends, sizeof ends);
}

void router_admit_look(struct router *r, struct router_work *w,
		       const char *body, size_t n_body)
{
	static const int64_t needed[] = {[SIGHT_NEW] = FOR_NEW,
					 [SIGHT_LIKELY] = FOR_LIKELY,
					 [SIGHT_KNOWN] = FOR_KNOWN};
	int64_t left = means(r, w->size_class);

	w->sight = SIGHT_NEW;
	w->by_bytes = left >= PROVEN || r->warming;
	if (has_been_seen(r, glance(r, body, n_body))) {
		w->sight = SIGHT_LIKELY;
		w->by_bytes = true;
	}
	if (w->by_bytes) {
		w->digest = router_digest(r, body, n_body);
		if (has_been_seen(r, w->digest.high))
			w->sight = SIGHT_KNOWN;
	}
	w->alone = !r->warming && left < needed[w->sight];
}

void router_admit_count(struct router *r, const struct router_work *w,
			enum router_cache_status status)
{
	if (r->warming)
		return;
	if (status == ROUTER_HIT || status == ROUTER_COALESCED) {
		int64_t left = means(r, w->size_class);
		int64_t units = gain(w->size_class, w->request == NULL);

		/* What is dear is looked for without means, too, and must not
		 * run up debts that all others of its size would have to pay.
		 */
		if (units < 0 ? left + units >= 0 : left < MOST)
			pay(r, w->size_class, units);
	} else if (w->alone && !w->dear) {
		pay(r, w->size_class,
		    w->sight == SIGHT_KNOWN ? NOT_KEPT_KNOWN : NOT_KEPT);
	} else if (status == ROUTER_MISS && !w->dear &&
		   means(r, w->size_class) >= STORE) {
		pay(r, w->size_class, -STORE);
	}
}
