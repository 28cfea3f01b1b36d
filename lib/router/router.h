/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the routing library share; see include/larder/router.h. */
#ifndef LARDER_ROUTER_ROUTER_H
#define LARDER_ROUTER_ROUTER_H

#include <jansson.h>

#include <larder/router.h>

#include "base/atomic.h"
#include "router/arena.h"
#include "router/parse.h"
#include "router/text.h"

enum {
	LOAD_SLOTS = 2048,
	HISTOGRAM_BUCKETS = 113,
	IDLE_ARENAS_MAX = 8,
	IDLE_ARENA_BYTES = 1 << 20,
	IDLE_BODIES_MAX = 8,
	IDLE_BODY_BYTES = 256 << 10,
	MARKS = 1 << 16,
	SIZE_CLASSES = 32,
};

/* A 128-bit digest. */
struct digest {
	uint64_t low, high;
};
struct digest router_digest(const struct router *r, const void *bytes,
			    size_t n);
void router_digest_hex(struct digest d, char hex[33]);

/* One model's load, in a region shared by all workers. */
struct load_slot {
	atomic_u64 id_hash;	/* 0: unused */
	atomic_u64 word;	/* active:20 queue:20 level:4 sequence:20 */
	atomic_u64 reported_ms; /* CLOCK_MONOTONIC */
	atomic_u64 successes;	/* of outcomes, 65536ths, averaged */
	atomic_u64 outcomes, failures, latency_us, n_latencies;
};

/* The region "router/2": everything that workers share beside the cache. */
struct shared {
	atomic_u64 secret_ready;
	unsigned char secret[192];
	atomic_u64 load_changes; /* reports and outcomes that have returned */
	_Alignas(64) struct load_slot load[LOAD_SLOTS];
};

/* The region "router/admission/1": what is worth keeping (admit.c). */
struct admission {
	/* by log2 of a body's size, what is there beside the means at first */
	atomic_u64 account[SIZE_CLASSES];
	atomic_u16 mark[MARKS]; /* of bodies that were seen, by their hashes */
};

/* One worker slot's metrics. Cumulative; only the slot's owner writes. */
struct histogram {
	atomic_u64 bucket[HISTOGRAM_BUCKETS];
	atomic_u64 sum_ns;
};
/* Hits and stale ones; misses and those that waited for one; bypasses. */
enum { LATENCY_KINDS = 3 };
struct metrics {
	atomic_u64 requests[ROUTER_STRATEGIES];
	atomic_u64 status[ROUTER_STRATEGIES][5];
	atomic_u64 refused[ROUTER_STRATEGIES];
	atomic_u64 compute_ns[ROUTER_STRATEGIES];
	atomic_u64 saved_ns[ROUTER_STRATEGIES];
	atomic_u64 warm_left, warm_total; /* to be warmed by the slot's owner */
	struct histogram latency[ROUTER_STRATEGIES][LATENCY_KINDS];
};

/* The catalog as questions take of it; shared by those that do. */
struct router_catalog {
	unsigned n_users;
	struct arena *arena;
	struct lists lists;
};

struct catalog {
	struct router_catalog *parsed;
	json_t *document;	/* {"version", "pending", "models", "agents"} */
	uint64_t entry_version; /* of the cache entry */
	uint64_t number;	/* grows by one with each change */
};

struct warm_line {
	char *body;
	size_t n;
};

struct router {
	struct larder *cache;
	struct router_options options;
	struct router_weights weights;
	struct shared *shared;
	struct shared own; /* without a cache */
	struct metrics *cells;
	size_t cell_stride;
	uint32_t n_cells;
	struct metrics own_metrics;
	struct catalog catalog;
	struct warm_line *warm;
	unsigned n_warm, warm_at, warm_total;
	double compute_cost[ROUTER_STRATEGIES][32]; /* ns, learned */
	double hit_cost[32];
	uint64_t random;
	/* By log2 of a body's size: bypasses since one was worth a lookup. */
	unsigned bypassed[SIZE_CLASSES];
	struct admission *admission; /* NULL: there is no cache */
	bool warming; /* what is computed now was not asked for */
	struct {
		uint64_t changes, until_ms, value;
		uint64_t of[LOAD_SLOTS]; /* what it was made of */
	} fingerprint;			 /* of the load, as last computed */
	struct router_work *refreshes;	 /* stale results to compute again */
	struct hot *hot; /* what is asked most, by this worker */
	/* memory that waits to be used again */
	struct arena *idle;
	unsigned n_idle, n_idle_bodies;
	char *idle_body[IDLE_BODIES_MAX];
};

#define CATALOG_KEY   "router/catalog"
#define CATALOG_KEY_N (sizeof CATALOG_KEY - 1)

/* errors */
int router_fail(struct router_error *e, int status, const char *pointer,
		const char *format, ...) __attribute__((format(printf, 4, 5)));

/* catalog.c: the parsed catalog, made current first. 0 or -errno. */
int router_catalog_current(struct router *r);
/* Begin with none. */
int router_catalog_empty(struct router *r);

/* The parsed catalog, to be released; NULL: no memory. */
struct router_catalog *router_catalog_hold(struct router *r);
void router_catalog_release(struct router_catalog *c);

/* request.c */
struct arena *router_arena_get(struct router *r);
void router_arena_put(struct router *r, struct arena *a);
/* A question that lies in @a, as does the question itself. */
int router_request_in(struct router *r, struct arena *a, const void *bytes,
		      size_t n, struct router_request **request,
		      struct router_error *e);
/* Whether a request for the whole of the lists is one. 0 or -EINVAL. */
int router_lists_check(const struct lists *l, struct router_error *e);

/* solve.c: router_solve() with memory of @a. */
int router_solve_in(struct arena *a, unsigned n_rows, unsigned n_columns,
		    const double *score, const uint64_t *capacity, int *column);

/* load.c: fill in utilization, level, full of each model. */
void router_load_apply(struct router *r, struct router_request *q);
/* Digest input of all load levels of the catalog's models. */
uint64_t router_load_fingerprint(struct router *r);
/* Whether the loads that were filled in are those of a fingerprint; false where
 * that is no longer known. */
bool router_load_is_of(struct router *r, const struct router_request *q,
		       uint64_t fingerprint);
struct load_slot *router_load_slot(struct router *r, const char *id,
				   bool claim);
const json_t *router_find_item(const struct router *r, const char *kind,
			       const char *id);
int router_check_model_id(const struct router *r, const json_t *report,
			  const char *pointer, struct router_error *e);

/* outcome.c, of a slot or NULL: the share of outcomes that were good, 1 without
 * any; members of a model's load. */
double router_success(const struct load_slot *s);
void router_outcome_json(const struct load_slot *s, struct text *t);

void router_load_json(struct router *r, const json_t *model, struct text *t);

/* key.c: "v1/<strategy>/agents:<hex>/models:<hex>/load:<hex>". */
enum { ROUTER_KEY_BYTES = 160 };
int router_key(struct router *r, const struct router_request *q,
	       char key[ROUTER_KEY_BYTES], size_t *n_key);

/* hot.c: note that @body was asked for. What comes for the first time is worth
 * noting while there is room. */
bool router_hot_has_room(const struct router *r);
void router_hot_note(struct router *r, struct digest d, const void *body,
		     size_t n_body);
void router_hot_free(struct hot *hot);

/* answer.c */
void router_refreshes_drop(struct router *r);
/* A text with the memory of a body that was given back, if there is one. */
struct text router_body_text(struct router *r);

/* warm.c */
int router_warm_add(struct router *r, const char *body, size_t n);

/* render.c */
void router_render(const struct router_request *q,
		   const struct router_result *result, struct text *t);
/* In the question's arena; 0 bytes: no memory. */
size_t router_pack(const struct router_request *q,
		   const struct router_result *result, unsigned char **bytes);
bool router_unpack(const struct router_request *q, const void *bytes, size_t n,
		   struct router_result *result);

/* metrics.c; preview: what an invalidation would take */
int router_preview(struct router *r, char kind, const char *text, size_t n_text,
		   uint64_t *n_entries, uint64_t *n_bytes);
struct metrics *router_cell(struct router *r);

#endif
