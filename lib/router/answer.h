/* SPDX-License-Identifier: Apache-2.0 */
/* A question on its road to an answer; what answer.c and store.c share. */
#ifndef LARDER_ROUTER_ANSWER_H
#define LARDER_ROUTER_ANSWER_H

#include "router/router.h"

enum { ALIAS_KEY_BYTES = 48 };

/* Whether these bytes have come before, as far as is remembered; what is likely
 * has the same ends as something that did. */
enum sight { SIGHT_NEW, SIGHT_LIKELY, SIGHT_KNOWN };

struct router_work {
	struct arena *arena; /* which this lies in, as all it holds */
	struct router_request *request;
	struct larder_fill fill;
	char key[ROUTER_KEY_BYTES], alias[ALIAS_KEY_BYTES];
	size_t n_key, n_alias;
	uint64_t catalog;     /* its number when the question was parsed */
	uint64_t load;	      /* its fingerprint in the alias */
	struct digest digest; /* of the body, where it is looked up by it */
	unsigned size_class;  /* log2 of the body's */
	enum sight sight;
	bool by_bytes;		  /* looked up by its bytes first */
	bool alone;		  /* there are no means to keep its answer */
	bool dear;		  /* it is kept all the same */
	bool refreshing;	  /* answered already, with a stale value */
	struct router_work *next; /* in the list of refreshes */
};

/* admit.c: what is known of a body, and whether its answer may be kept. Only
 * with a cache. */
void router_admit_look(struct router *r, struct router_work *w,
		       const char *body, size_t n_body);
/* What came of it. */
void router_admit_count(struct router *r, const struct router_work *w,
			enum router_cache_status status);

/* Close the rendered object with its "cache" member. @info NULL: fresh. */
int router_answer_finish(struct router *r, struct text *t,
			 enum router_cache_status status,
			 const struct larder_info *info, uint64_t computed_ns,
			 struct router_answer *answer);

/* The alias of a body whose digest is @d, under this catalog, these weights and
 * the load of this fingerprint. */
size_t router_alias_key(struct router *r, struct digest d, uint64_t load,
			char key[ALIAS_KEY_BYTES]);
/* 0 with the answer, or 1: no alias, or one whose canonical entry is gone. */
int router_alias_try(struct router *r, const char *key, size_t n_key,
		     struct router_answer *answer, unsigned *shape);
void router_alias_store(struct router *r, const struct router_work *w,
			const struct text *body, uint64_t version,
			uint64_t computed_ns);
/* What questions of about this many agents times models have in common. */
unsigned router_shape(const struct router_request *q);

/* Store under the lead's token. The entry's version, or 0: not stored. */
uint64_t router_result_store(struct router *r, struct router_work *w,
			     const struct router_result *result);

#endif
