/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file router.h  Assigning models to agents, and sharing the answers.
 *
 * The routing domain: capabilities, models, agents, three strategies, load. A
 * client of larder.h like any other; the cache knows nothing of it.
 *
 * Conventions as in larder.h. A struct router belongs to one thread [X];
 * workers share through the segment, not through it. A request, once parsed, is
 * freed with router_request_free(). Scores are IEEE doubles, summed in the
 * canonical order (by id, bytewise) whatever order a request has, so that the
 * same question has the same answer, to the bit, in every worker.
 */
#ifndef LARDER_ROUTER_H
#define LARDER_ROUTER_H

#include <stdbool.h>

#include <larder/larder.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	ROUTER_CAPABILITIES_MAX = 64, /* different names in one request */
	ROUTER_AGENTS_MAX = 2000,
	ROUTER_MODELS_MAX = 1000,
	ROUTER_ID_MAX = 128, /* bytes of an id, at least 1 */
};

enum router_strategy {
	ROUTER_GREEDY = 0,
	ROUTER_BALANCED = 1,
	ROUTER_OPTIMAL = 2,
	ROUTER_STRATEGIES = 3,
};
const char *router_strategy_name(enum router_strategy strategy);

enum router_status { ROUTER_ONLINE, ROUTER_OFFLINE, ROUTER_MAINTENANCE };
enum router_method { ROUTER_AUTO, ROUTER_MANUAL, ROUTER_FALLBACK };

struct router_capabilities {
	unsigned n;
	const char *name[ROUTER_CAPABILITIES_MAX];
};

struct router_model {
	const char *id, *name;
	double strength[ROUTER_CAPABILITIES_MAX]; /* by capability; 0: absent */
	uint64_t strong;			  /* mask: strength above 0 */
	uint64_t context_length;		  /* tokens */
	uint64_t max_concurrent;		  /* at least 1 */
	uint64_t max_queue;			  /* UINT64_MAX: unlimited */
	bool from_catalog;
	/* filled in from the load tracker before an assignment */
	double utilization; /* as it is, for the report */
	unsigned level;	    /* eighths, what the score sees */
	unsigned success;   /* eighths of reported outcomes; 8: all */
	uint64_t active, queue;
	bool full, load_known;
	uint64_t load_seen; /* what of all this was there to be read */
};

struct router_agent {
	const char *id, *name;
	enum router_status status;
	uint64_t required, preferred; /* masks of capabilities */
	uint64_t min_context_length;
	const char *pinned; /* model id, or NULL */
	unsigned position;  /* in the request */
	bool from_catalog;
};

struct router;
struct arena;
struct router_catalog;

/** A parsed question: agents and models in canonical order. */
struct router_request {
	enum router_strategy strategy;
	bool balance_load;
	bool whole_catalog_models, whole_catalog_agents;
	struct router_capabilities capabilities;
	struct router_agent *agents;
	struct router_model *models;
	unsigned n_agents, n_models;
	/* what all this belongs to */
	struct router *router;
	struct arena *arena;
	struct router_catalog *catalog; /* or NULL */
};

struct router_weights {
	double required, preferred, context; /* 0.70, 0.20, 0.10 */
	double load;			     /* 0.3 */
	double balance_penalty;		     /* 5 points */
	double feedback;		     /* 0: outcomes do not count */
};
extern const struct router_weights router_default_weights;

/** One line of the answer, for agents[i] of the request. */
struct router_assignment {
	int model;	/* index in request->models, -1: none */
	uint8_t method; /* enum router_method */
	uint8_t reason; /* enum router_reason, if model is -1 */
	double match, final, overlap;
	uint64_t missing; /* mask of required capabilities */
};
enum router_reason {
	ROUTER_REASON_NONE,
	ROUTER_REASON_OFFLINE,
	ROUTER_REASON_NO_MODEL,
	ROUTER_REASON_NO_CAPACITY,
	ROUTER_REASON_PIN_UNKNOWN,
};

struct router_result {
	double total_score, avg_match_score, avg_utilization;
	unsigned n_assigned, models_filtered;
	bool has_fallback;
	uint64_t computed_ns;
	struct router_assignment *assignments; /* n_agents of them */
};

/** What is wrong with an input: an RFC 6901 pointer and a sentence. */
struct router_error {
	int status; /* 400: no JSON; 422: JSON of another meaning */
	char pointer[320];
	char detail[480];
};

/* ---- scoring and assigning: pure functions, no segment needed ---- */

/** Match score, 0..100, of an agent and a model. [T] */
double router_match(const struct router_weights *w,
		    const struct router_agent *agent,
		    const struct router_model *model);

/** Compute the answer into @result, whose assignments the caller provides.
 *  0, or -ENOMEM. [T] */
int router_assign(const struct router_weights *w,
		  const struct router_request *request,
		  struct router_result *result);

/**
 * router_solve() - maximize the sum of scores under column capacities
 * @score: n_rows x n_columns, any finite values at least 0
 * @capacity: rows that each column takes
 * @column:  written: the row's column, or -1
 *
 * As many rows as fit are assigned; among those assignments the sum of the
 * scores, rounded to 2^-32, is greatest. Shortest augmenting paths with
 * potentials (Edmonds and Karp 1972, Tomizawa 1971; Jonker and Volgenant 1987
 * for the dense form), columns kept whole: O(rows^2 x columns). 0, or -ENOMEM.
 */
int router_solve(unsigned n_rows, unsigned n_columns, const double *score,
		 const uint64_t *capacity, int *column);

/* ---- a router on a segment ---- */

struct router_options {
	size_t size_of;
	uint64_t ttl_ms;	/* of results; 0: 300000 */
	uint64_t soft_ttl_ms;	/* from then on served stale while one worker
				   computes anew; 0: never */
	double feedback_weight; /* 0..1: how much reported failures lower a
				   model's score */
	uint32_t never_cache;	/* 1: compute everything */
	uint32_t bypass_cells;	/* agents x models below which greedy and
				   balanced are not looked up; 0: 256 */
#define ROUTER_BYPASS_NOTHING 1u
	/* NULL: the default ones; feedback is taken from above. The first three
	 * and the loads' are at least 0, none of them and not the sum of the
	 * first three above 1; the penalty is at most 100. */
	const struct router_weights *weights;
};

/** Open the router's part of a segment; @cache may be NULL (no sharing: for
 *  parsing and computing alone). */
int router_open(struct larder *cache, const struct router_options *options,
		struct router **router);
void router_close(struct router *router);

/** Load the catalog file if it differs from the one last loaded (by digest);
 *  the segment's own catalog, which may have been changed since, stays
 *  otherwise. 0, 1 (unchanged), -errno, -EINVAL with @error. */
int router_catalog_load(struct router *router, const char *path,
			struct router_error *error);

/** Parse a body of auto-assign-all. @fill agents and models from the catalog
 *  where the body leaves them out. 0, -EINVAL with @error, -ENOMEM. */
int router_request_parse(struct router *router, const void *body, size_t n_body,
			 struct router_request **request,
			 struct router_error *error);
void router_request_free(struct router_request *request);

enum router_cache_status {
	ROUTER_HIT,
	ROUTER_MISS,
	ROUTER_STALE,
	ROUTER_COALESCED,
	ROUTER_BYPASS,
};
const char *router_cache_status_name(enum router_cache_status status);

/** A finished answer; its body goes back with router_body_free(), or free(). */
struct router_answer {
	enum router_cache_status status;
	enum router_strategy strategy;
	char *body;
	size_t n_body;
	uint64_t age_ms;
	uint32_t stored_by; /* pid; 0: gone */
	uint32_t cross_worker;
};

/** A question under way: WAIT means that another worker computes it. */
struct router_work;

/** Answer, or begin to wait. 0 with @answer, LARDER_WAIT with @work, -EINVAL
 *  with @error, -ENOMEM. */
int router_answer_begin(struct router *router, const void *body, size_t n_body,
			struct router_answer *answer, struct router_work **work,
			struct router_error *error);
/** Look again. 0 with @answer (and @work freed), or LARDER_WAIT. */
int router_answer_poll(struct router *router, struct router_work *work,
		       struct router_answer *answer,
		       struct router_error *error);
void router_answer_cancel(struct router *router, struct router_work *work);
/** Give an answer's body back: the next answer may use its memory. */
void router_body_free(struct router *router, char *body);

/* ---- what changes: models, agents, load ---- */

/** JSON of the list, or of one item; 0 with malloc'ed @json, -ENOENT. @etag is
 *  the item's or list's entity tag. */
int router_get(struct router *router, const char *kind, const char *id,
	       char **json, size_t *n_json, char etag[40]);
/** Replace or add (@if_match may be NULL). 0 replaced, 1 new, -EINVAL with
 *  @error, -ESTALE (412), -ENOSPC. On return nobody serves what depended on it.
 */
int router_put(struct router *router, const char *kind, const char *id,
	       const void *body, size_t n_body, const char *if_match,
	       char etag[40], struct router_error *error);
/** 0, -ENOENT, -ESTALE. */
int router_delete(struct router *router, const char *kind, const char *id,
		  const char *if_match);

/** POST load: one report or a list. 0 with JSON, -EINVAL, -ENOENT. */
int router_load_report(struct router *router, const void *body, size_t n_body,
		       char **json, size_t *n_json, struct router_error *error);
int router_load_list(struct router *router, char **json, size_t *n_json);
/** POST outcomes. */
int router_outcome_report(struct router *router, const void *body,
			  size_t n_body, struct router_error *error);

/** POST cache/invalidate: 0 with JSON, -EINVAL with @error. */
int router_invalidate(struct router *router, const void *body, size_t n_body,
		      char **json, size_t *n_json, struct router_error *error);

/** Warming: request bodies of a JSONL file (or of memory), a few at a time. */
int router_warm_file(struct router *router, const char *path);
/** POST cache/warm: such lines, or {"hottest": N}. 0 with JSON that says how
 *  many were queued; -EINVAL with @error, and nothing queued. */
int router_warm(struct router *router, const char *body, size_t n_body,
		char **json, size_t *n_json, struct router_error *error);
/** Compute up to @n of what waits to be warmed; how many are left. */
unsigned router_warm_some(struct router *router, unsigned n);

/** Every worker notes what is asked most; router_hot_save() leaves that in the
 *  segment under the worker's @number. router_warm_hottest() queues the @n
 *  hottest of all that were left there, by this run or the last; how many, or
 *  a negative errno. */
int router_hot_save(struct router *router, unsigned number);
int router_warm_hottest(struct router *router, unsigned n);

/** Compute up to @n results that were served stale again; whether any is left.
 *  Whoever serves a stale result owes this call soon. */
bool router_refresh_some(struct router *router, unsigned n);

/** GET stats (JSON) and GET metrics (Prometheus text), of all workers. */
int router_stats(struct router *router, char **json, size_t *n_json);
int router_metrics(struct router *router, char **text, size_t *n_text);
/** Time from the complete request to the ready response. */
void router_observe(struct router *router, enum router_strategy strategy,
		    enum router_cache_status status, uint64_t ns);

#ifdef __cplusplus
}
#endif

#endif
