/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The storm: what its parts share. storm.c is the program and says what it
 * asserts.
 *
 *   history.c     the log in shared memory, keys, values, the measure of an
 *                 operation
 *   changes.c     what a worker changes
 *   operations.c  the rest of what it does, and what when
 *   seats.c       workers, their deaths, forks and execs
 *   judge.c       the history of one round, judged
 *   judge_key.c   the history of one key
 */
#ifndef TESTS_STRESS_STORM_H
#define TESTS_STRESS_STORM_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include <larder/larder.h>

#include "base/atomic.h"
#include "base/bits.h"

/* Half of all operations go to these. Where versions have few bits, to fewer,
 * so that theirs come round. */
#ifdef LARDER_SHORT_VERSIONS
enum { HOT_KEYS = 4 };
#else
enum { HOT_KEYS = 40 };
#endif

/* Keys by what may happen to them, in one row of numbers. */
enum {
	PLAIN = 0,	 /* evicted, invalidated; never expire */
	EXPIRING = 1200, /* the same, and expire */
	KEPT = 1280,	 /* LARDER_KEEP: only removed */
	COUNTING = 1296, /* LARDER_KEEP, and never removed */
	N_KEYS = 1304,
	ROOMY_KEYS = 96, /* of the plain ones, where nothing is evicted */
	N_TAGS = 12,
	SEATS_MAX = 64,
	SURVIVOR = SEATS_MAX, /* who prepares and judges */
	VALUE_MAX = 24000,
	EXPIRES_MS = 60, /* more than any time to live */
};

enum kind {
	KIND_NONE,
	KIND_INITIAL, /* what a key held when the round began */
	/* writes of a value */
	KIND_PUT,
	KIND_ADD,
	KIND_REPLACE,
	KIND_CAS,
	KIND_TOKEN_PUT,
	KIND_FILL_PUT,
	KIND_FETCH_PUT, /* what fetch computed; stored or not */
	/* reads of a value */
	KIND_GET,
	KIND_GET_INFO,
	KIND_GET_MANY,
	KIND_LEASE,
	KIND_FILL_BEGIN,
	KIND_FILL_WAIT,
	KIND_FILL_POLL,
	KIND_FETCH,
	/* other changes of a key */
	KIND_INCREMENT,
	KIND_TOUCH,
	KIND_REMOVE,
	KIND_REMOVE_VERSION,
	KIND_UNLINK, /* the library evicts, or takes what is invalid */
	KIND_INVALIDATE_KEY,
	KIND_INVALIDATE_TAG,
	KIND_INVALIDATE_KEYS, /* a glob: ten keys */
	KIND_INVALIDATE_TAGS, /* a glob: some tags */
	KIND_INVALIDATE_ALL,
	/* the rest */
	KIND_TOKEN,
	KIND_RELEASE,
	KIND_ABANDON,
	KIND_MAINTAIN,
	KIND_SWEEP,
	KIND_WALK,
	KIND_STATISTICS,
	KIND_FORK,
	KIND_EXEC,
	KIND_REOPEN,
	N_KINDS,
};
extern const char *const kind_names[N_KINDS];

enum record_state {
	RECORD_UNUSED,
	RECORD_INTENDED, /* begun; of a dead process: done or not done */
	RECORD_DONE,
};

enum {
	RECORD_INVALID = 1, /* a miss: what was there was not valid */
	RECORD_REMOVAL = 2, /* an unlink: by a remove */
};

/* One operation in the log: one line of memory. */
struct record {
	atomic_u32 state;
	uint16_t kind, seat;
	uint16_t key;  /* or tag, or which glob */
	uint16_t tags; /* of the value written: a mask */
	int32_t outcome;
	uint64_t began, ended; /* by the board's clock */
	uint64_t value;	       /* written or read: its record's name */
	uint64_t version;      /* of that value, if it is known */
	uint64_t expected;     /* the version compared; the counter's summand */
	uint32_t token; /* a late result's token: its record's index + 1 */
	uint32_t flags;
};
_Static_assert(sizeof(struct record) == 64, "a record is one line");

enum { CHUNK = 64, RECORDS = 1 << 19, RECORDS_SPARE = 1 << 16 };

struct seat {
	_Alignas(64) atomic_u64 incarnation;
};

/* Shared by all; in a memfd, so that it survives an exec. */
struct board {
	/* options */
	uint64_t seed;
	uint32_t n_seats;
	uint32_t roomy, threads, fenced;
	pid_t parent;
	char path[128];
	/* of the present round */
	atomic_u64 round, stop, used, clock;
	/* of all rounds */
	atomic_u64 n_kind[N_KINDS], n_outcomes_failed;
	atomic_u64 n_violations;
	/* of one operation: without page faults; with them */
	atomic_u64 most_cpu_ns, most_cpu_kind, most_cpu_any_ns;
	atomic_u64 sleeps, sleep_kind, kernel_sleeps, n_undisturbed;
	struct seat seat[SEATS_MAX];
	struct record record[RECORDS];
};

extern struct board *board;
extern int board_fd;
extern struct larder *cache; /* of this process */

/* A worker: a process, or a thread. */
struct actor {
	uint32_t seat;
	uint64_t random;
	/* its piece of the log */
	uint32_t next, end;
	/* the operation under way */
	uint64_t cpu_ns, switches, faults, in_kernel, continued, waited_ns,
		invalid;
	uint32_t kind;
	bool attached;
	unsigned depth;
	bool forked;
	struct held {
		struct larder_view view;
		uint64_t value;
		uint16_t key;
	} held[3];
	void *buffer; /* VALUE_MAX + 64 bytes */
	void *value;  /* the same, to be written */
	void *pad[8]; /* what lies where the segment was mapped */
	unsigned n_pads;
};
extern __thread struct actor *me;

uint64_t mix(uint64_t a, uint64_t b);
uint32_t draw_below(uint32_t n); /* by this actor's stream */

/* A violation of what the storm asserts: printed, counted. */
void violation(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* history.c: the log. The intention, then the outcome. */
struct record *log_intention(enum kind kind, uint32_t key);
void log_outcome(struct record *r, int outcome);
bool log_full(void);

/* The same around one call of the library by an actor, measured: begin is the
 * intention and measure. */
void operation_measure(const struct record *r);
struct record *operation_begin(enum kind kind, uint32_t key);
void operation_end(struct record *r, int outcome);
/* Count how often this process was continued after a stop; tell of a crash. */
void watch_signals(void);

/* history.c: keys and values. A value names the record of its write. */
size_t key_text(uint32_t key, char text[LARDER_KEY_MAX]);
int key_number(const void *text, size_t n); /* -1: none of ours */
size_t make_value(void *at, uint64_t name, uint32_t key, size_t n);
/* The name in a value; 0 and a violation if it is torn or another key's. */
uint64_t value_name(const void *at, size_t n, uint32_t key, const char *how);

static inline uint64_t record_name(const struct record *r)
{
	return load_relaxed(&board->round) << 32 |
	       (uint64_t)(r - board->record + 1);
}

/* operations.c: an actor's life, until it is to stop. */
enum role { ROLE_WORKER, ROLE_MAINTAINER, ROLE_SWEEPER };
void act(enum role role, uint64_t n_operations);
/* Read every key once, as the first or the last operations of a round. */
void read_all(bool initial);

/* seats.c */
struct toll {
	uint64_t kills, stops, continues, children;
};
/* A round of processes: until @end_ns, the log is full, or @kills more deaths.
 * All of them are dead, and their children, when it returns. */
void storm_processes(struct toll *toll, uint64_t end_ns, uint64_t kills);
void storm_threads(uint64_t end_ns);
/* An actor after an exec: board and segment are found anew. */
int storm_executed(int argc, char **argv);
/* By an actor: a child that lives for some operations; a new image. */
void seat_fork(void);
void seat_exec(void);
void actor_begin(struct actor *a, uint32_t seat, uint64_t incarnation);
void actor_end(struct actor *a);

/* judge.c: the round's history. */
struct verdict {
	uint64_t reads, versions, evictions, pending;
};
void judge_round(struct verdict *v);

#endif
