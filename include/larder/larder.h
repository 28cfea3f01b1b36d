/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file larder.h  One cache, many processes, one mapped segment.
 *
 * What a worker uses: open a segment, get, put, invalidate, fill. What a tool
 * uses to look into a segment from outside is in admin.h.
 *
 * True of every function here unless it says otherwise
 * ----------------------------------------------------
 *   returns   0 (LARDER_OK) or a positive outcome of enum larder_outcome that
 *             the function lists by name; a negative number is a failure: a
 *             negated errno or one of enum larder_error. On a failure no
 *             output argument was written. larder_strerror() names both.
 *   units     bytes; durations end in _ms or _ns; counts begin with n_
 *   keys      LARDER_KEY_MIN to LARDER_KEY_MAX bytes of any content
 *   values    0 to larder_value_max() bytes of any content
 *   ownership the caller keeps what it passes in; nothing is retained
 *   threads   [T] any thread, concurrently   [X] caller excludes all others
 *   progress  [W] wait-free but for retries that another operation's success
 *                 explains (lock-free)
 *             [E] like [W], and may run the sweeper to make room: bounded work.
 *                 Where all memory is in use and somebody is stopped inside a
 *                 read, it may sleep until that one goes on or has stood still
 *                 for 0.1 s; after that it is in nobody's way again
 *             [B] may sleep, for at most the time it was given
 *   Nothing else ever waits for another worker.
 *
 * Options structures open with their own size (`size_of`). Zero the structure,
 * set size_of to sizeof, set what you want: zero always means the default, and
 * a structure from an older header keeps working with a newer library.
 *
 * Threads and forks
 * -----------------
 * A thread claims a worker slot at its first operation and gives it back when
 * it ends or closes the handle. A thread that ends without either (even by a
 * raw exit system call) is noticed by the kernel and its slot recovered by
 * whoever looks next. After fork() the child uses the same handle: its first
 * call claims a slot of its own. Leases, fills and views belong to the thread
 * that took them and do not survive fork(). After exec() nothing remains. A
 * thread that is cancelled (deferred, as is the default) ends between
 * operations, never inside one, and gives its slot and its leases back.
 *
 * What a death leaves behind
 * --------------------------
 * A worker killed at any instruction costs the others nothing: a store that
 * was acknowledged stays, one that was not is either there whole or not at
 * all, memory it was about to use is found again by the next sweep. The same
 * holds for a worker that is stopped; it may go on at any time later.
 *
 * Progress of invalidation is described at larder_invalidate_tag().
 *
 * Known limits: one machine; a segment's size is fixed at creation; values are
 * bytes; whoever may write the segment's file is trusted not to scribble in it
 * (bounds are checked against accidents, not against attackers with write
 * access); two segments share nothing, invalidations included.
 */
#ifndef LARDER_LARDER_H
#define LARDER_LARDER_H

#include <stddef.h>
#include <stdint.h>

#include <larder/version.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define LARDER_API __attribute__((visibility("default")))
#else
#define LARDER_API
#endif

/* Limits. The largest value depends on the segment: larder_value_max(). */
enum {
	LARDER_KEY_MIN = 1,
	LARDER_KEY_MAX = 1024,
	LARDER_TAGS_MAX = 1000,	  /* tags of one entry */
	LARDER_TAG_MAX = 255,	  /* bytes of one tag, at least 1 */
	LARDER_PATTERN_MAX = 255, /* bytes of one pattern */
	LARDER_SLOTS_MAX = 4096,  /* attached threads */
	LARDER_LEASES_MAX = 5,	  /* leases one thread may hold at once */
	LARDER_REGION_NAME_MAX = 63,
};
#define LARDER_SEGMENT_MIN     ((uint64_t)1 << 20)
#define LARDER_SEGMENT_MAX     ((uint64_t)1 << 38)
#define LARDER_SEGMENT_DEFAULT ((uint64_t)32 << 20)

/** What an operation found or did; none of these is a failure. */
enum larder_outcome {
	LARDER_OK = 0,	    /* done; for a get: a hit */
	LARDER_MISS = 1,    /* no such entry, or not valid any more */
	LARDER_STALE = 2,   /* a value past its soft TTL (or kept on error) */
	LARDER_LEAD = 3,    /* compute it: the caller leads this fill */
	LARDER_WAIT = 4,    /* somebody else computes it */
	LARDER_EXISTS = 5,  /* add: there is an entry */
	LARDER_CHANGED = 6, /* cas: the version is another one now */
	LARDER_NEWER = 7,   /* fill: somebody put directly meanwhile */
	LARDER_STALE_FILL = 8, /* fill: invalidated since the token was taken */
	LARDER_NO_SPACE = 9,   /* nothing could be evicted in time */
	LARDER_LEASE_LIMIT = 10, /* too much leased already: copy instead */
	LARDER_KEEP_LIMIT = 11,	 /* entries with LARDER_KEEP reached 1/32 */
	LARDER_TIMEOUT = 12, /* waited as long as allowed: compute yourself */
	LARDER_NOT_COUNTER = 13, /* the entry there is no 8-byte counter */
	LARDER_TRUNCATED = 14,	 /* buffer too small: its size's bytes copied */
	LARDER_KEPT = 15,	 /* a region's memory: stays as it is */
	LARDER_END = 16,	 /* a walk is over */
};

/** Failures that no errno names. All are negative. */
enum larder_error {
	LARDER_ERR_NOT_LARDER = -1001,	/* no larder segment */
	LARDER_ERR_VERSION = -1002,	/* of another layout version */
	LARDER_ERR_FINGERPRINT = -1003, /* of another architecture or libc */
	LARDER_ERR_BYTE_ORDER = -1004,
	LARDER_ERR_TRUNCATED = -1005,  /* file shorter than the segment */
	LARDER_ERR_DAMAGED = -1006,    /* it contradicts itself: repair it */
	LARDER_ERR_OTHER_BOOT = -1007, /* of another boot or time namespace */
	LARDER_ERR_NO_MEMBARRIER =
		-1008,			/* segment needs it, process lacks it */
	LARDER_ERR_SLOTS_FULL = -1009,	/* every worker slot is taken */
	LARDER_ERR_CLOSED = -1010,	/* put aside; open the new one */
	LARDER_ERR_UNFINISHED = -1011,	/* its creation never finished */
	LARDER_ERR_NESTED_FILL = -1012, /* fill of a key inside its own fill */
	LARDER_ERR_REGION_SIZE = -1013, /* region exists with other sizes */
	LARDER_ERR_COMPUTE = -1014,	/* fetch: the compute callback failed */
	LARDER_ERR_BOOT_UNKNOWN =
		-1015, /* cannot be told whose boot it is of */
};

struct larder; /* a handle: one attached segment, shared by all threads */

/** A name for any outcome or failure; never NULL, static storage. [T] [W] */
LARDER_API const char *larder_strerror(int result);

/** Layout version that this library reads and writes. [T] [W] */
LARDER_API uint32_t larder_layout_version(void);

/** Version of the loaded library, like "0.1.0". [T] [W] */
LARDER_API const char *larder_version(void);

/* ------------------------------------------------------------------ */
/* Segments                                                            */

enum larder_policy {
	LARDER_POLICY_DEFAULT = 0, /* FIN */
	LARDER_POLICY_CLOCK = 1,   /* one hand, 2-bit counters */
	LARDER_POLICY_BASE = 2, /* two hands and a ghost (S3-FIFO as CLOCK) */
	LARDER_POLICY_FIN = 3,	/* BASE, adaptive, guarded against loops */
	LARDER_POLICY_COST = 4, /* FIN that spares what was dear to compute */
};

enum larder_create_flags {
	LARDER_CREATE_FENCED = 1u << 0, /* never rely on membarrier */
	LARDER_CREATE_EXCL = 1u << 1,	/* fail with -EEXIST if there is one */
};

struct larder_create_options {
	size_t size_of;
	uint64_t bytes;	  /* 0: LARDER_SEGMENT_DEFAULT; all reserved */
	uint32_t mode;	  /* permission bits; 0: 0600 */
	uint32_t flags;	  /* enum larder_create_flags */
	int64_t group;	  /* owning group id; 0: the creator's own */
	uint32_t n_slots; /* attached threads; 0: bytes / 256 KiB in 64..4096 */
	uint32_t policy;  /* enum larder_policy */
	uint64_t max_entries; /* most entries; 0: only memory bounds them */
	uint64_t entry_hint;  /* typical bytes of key and value; 0: 272 */
	uint64_t ttl_ms;      /* of entries put without one; 0: for ever */
	uint64_t pattern_ms;  /* longest fill a pattern waits for; 0: 60000 */
};

/**
 * larder_default_path() - where a segment of this name lives by default
 * @name:   letters, digits, '-', '_' and '.'
 * @path:   written: "/dev/shm/larder-v<layout version>-<name>"
 * @n_path: its size
 *
 * The layout version is part of the name, so that programs of two versions
 * run side by side. Return: 0, -EINVAL, -ENAMETOOLONG. [T] [W]
 */
LARDER_API int larder_default_path(const char *name, char *path, size_t n_path);

/**
 * larder_create() - make a segment and leave it for others to open
 *
 * All space is reserved now: a full file system is -ENOSPC here and never a
 * signal later. The file appears under its name only when it is complete, so
 * nobody opens a half-made one.
 *
 * Return: 0, LARDER_EXISTS (one is there; not with LARDER_CREATE_EXCL),
 * -EINVAL (a size or count out of range), -ENOSPC, -EFBIG (more than the
 * process's limit on the size of files), -EACCES, ... [T]
 */
LARDER_API int larder_create(const char *path,
			     const struct larder_create_options *options);

/** The same in a memfd that forked or executed children inherit. *@fd is
 *  owned by the caller and has no close-on-exec flag. Return: 0, -EINVAL,
 *  -EFBIG, -ENOMEM (more than the memory that is available). [T] */
LARDER_API int larder_create_fd(const struct larder_create_options *options,
				int *fd);

enum larder_open_flags {
	LARDER_OPEN_CREATE = 1u << 0, /* create it if there is none */
	LARDER_OPEN_RECREATE = 1u
			       << 1, /* put a damaged one aside, start anew */
	LARDER_OPEN_HUGE = 1u << 2,  /* ask for huge pages; see larder_huge() */
	LARDER_OPEN_POPULATE = 1u << 3, /* map every page now: opening takes
					   about 0.2 ms a MiB, and no later call
					   meets a page fault (Linux 5.14) */
};

struct larder_open_options {
	size_t size_of;
	uint32_t flags;				    /* enum larder_open_flags */
	uint32_t reserved;			    /* zero */
	const struct larder_create_options *create; /* with CREATE, RECREATE */
};

/**
 * larder_open() - attach to the segment at @path
 * @options: may be NULL
 * @handle:  written on success; give back with larder_close()
 *
 * Validates before it trusts: each way a file can be wrong has an error of its
 * own (enum larder_error). With LARDER_OPEN_RECREATE a segment that is damaged,
 * truncated, foreign or of another boot is renamed to "<path>.damaged-<time>"
 * and a fresh one takes its place; whoever is attached to the old one finds it
 * closed and attaches to the new one at its next operation.
 *
 * Return: 0, -ENOENT, -EACCES, -EROFS, -EMFILE (32 handles are open already),
 * enum larder_error. [T]
 */
LARDER_API int larder_open(const char *path,
			   const struct larder_open_options *options,
			   struct larder **handle);

/** Attach to a segment by an inherited descriptor; the library keeps its own
 *  duplicate. Return as larder_open(). [T] */
LARDER_API int larder_open_fd(int fd, const struct larder_open_options *options,
			      struct larder **handle);

/**
 * larder_close() - detach, release this process's slots, unmap
 * Views of any thread become invalid. NULL is allowed. [X]
 * A worker slot that another thread of the process still holds, and the
 * mapping under it, goes when that thread ends.
 */
LARDER_API void larder_close(struct larder *handle);

/** Claim this thread's slot now rather than at its first operation.
 *  Return: 0, LARDER_ERR_SLOTS_FULL, LARDER_ERR_CLOSED. [T] */
LARDER_API int larder_attach_thread(struct larder *handle);

/** Give this thread's slot back before the thread ends; its leases end. [T] */
LARDER_API void larder_detach_thread(struct larder *handle);

/** Index of this thread's slot, or a failure as larder_attach_thread(). [T] */
LARDER_API int larder_worker_slot(struct larder *handle);

/** Worker slots of the segment, and the largest value it takes. [T] [W] */
LARDER_API uint32_t larder_n_slots(struct larder *handle);
LARDER_API uint64_t larder_value_max(struct larder *handle);

/** Bytes of the mapping that are on huge pages now; 0 where the kernel gives
 *  none. Asking for them changes no setting of the system. [T] */
LARDER_API uint64_t larder_huge(struct larder *handle);

/** Path or, of a descriptor, "fd:N"; owned by the handle. [T] [W] */
LARDER_API const char *larder_path(struct larder *handle);

/* ------------------------------------------------------------------ */
/* Reading                                                             */

enum larder_entry_flags {
	LARDER_KEEP = 1u << 0, /* exempt from eviction, expiry, invalidation */
	LARDER_NEGATIVE = 1u << 1, /* the stored fact is "there is nothing" */
	LARDER_COUNTER = 1u << 2,  /* 8 bytes, changed by larder_increment() */
	LARDER_REGION = 1u << 3,   /* memory of larder_region(); not a value */
};

/** What is known of an entry beside its bytes. */
struct larder_info {
	size_t size_of; /* set by the caller */
	uint64_t n_value;
	uint64_t version; /* never repeats; what larder_cas() compares */
	uint64_t age_ms;
	uint64_t soft_left_ms;	/* UINT64_MAX: never stale */
	uint64_t ttl_left_ms;	/* UINT64_MAX: never expires */
	uint64_t cost_ns;	/* as put; 0: unknown */
	uint64_t hits;		/* estimate: one hit in 64 is counted */
	uint32_t flags;		/* enum larder_entry_flags */
	uint32_t stored_by_pid; /* 0: that worker is gone */
	uint32_t cross_worker;	/* 1: stored by another worker than this one */
	uint32_t n_tags;
};

/**
 * larder_get() - copy a value out
 * @value:   @n_buffer bytes, none of them the key's; may be NULL if that is 0
 * @n_value: the value's whole size, also when it was truncated; may be NULL
 *
 * Whole and from one moment, whatever writers do. On a miss it is anything.
 * Return: LARDER_OK, LARDER_MISS, LARDER_TRUNCATED. An entry past its soft TTL
 * is a hit here; larder_fill_begin() tells the difference.
 * [T] [W] No system call, no allocation, no atomic read-modify-write.
 */
LARDER_API int larder_get(struct larder *handle, const void *key, size_t n_key,
			  void *value, size_t n_buffer, size_t *n_value);

/** larder_get() that also tells about the entry: @info is written on LARDER_OK
 *  and LARDER_TRUNCATED. [T] [W] */
LARDER_API int larder_get_info(struct larder *handle, const void *key,
			       size_t n_key, void *value, size_t n_buffer,
			       struct larder_info *info);

/** One key of larder_get_many(). */
struct larder_get_item {
	const void *key;
	size_t n_key;
	void *value;
	size_t n_buffer;
	size_t n_value; /* written as by larder_get() */
	int result;	/* what larder_get() would have returned */
	int reserved;	/* zero */
};

/** Get @n_items keys, hiding memory latency by prefetching all of them ahead.
 *  Return: 0 (each item has its own result) or a failure of all. [T] [W] */
LARDER_API int larder_get_many(struct larder *handle,
			       struct larder_get_item *items, size_t n_items);

/** A leased value: bytes that stay put until larder_release(). */
struct larder_view {
	const void *value; /* in the segment; read only */
	uint64_t n_value;
	uint64_t version;
	uint64_t lease; /* the library's own */
};

/**
 * larder_lease() - find a value and keep its bytes where they are
 *
 * Leased bytes neither move nor change, even when the key is replaced, evicted
 * or invalidated meanwhile. A holder that is killed loses its leases; one that
 * is stopped keeps at most its own LARDER_LEASES_MAX entries from being reused.
 * A worker may hold 1/32 of the segment leased; its first lease is always
 * given.
 *
 * Return: LARDER_OK, LARDER_MISS, LARDER_LEASE_LIMIT. [T] [W]
 */
LARDER_API int larder_lease(struct larder *handle, const void *key,
			    size_t n_key, struct larder_view *view);

/** End a lease on the thread that took it; @view is zeroed. [T] [W] */
LARDER_API void larder_release(struct larder *handle, struct larder_view *view);

/* ------------------------------------------------------------------ */
/* Writing                                                             */

struct larder_tag {
	const char *text;
	size_t n_text;
};

/** What a computation saw before it began; see larder_fill_begin(). */
struct larder_token {
	uint64_t stamp;
	uint64_t version;
};

struct larder_put_options {
	size_t size_of;
	uint64_t ttl_ms; /* hard; 0: the segment's default; UINT64_MAX: never */
	uint64_t soft_ttl_ms;	 /* from then on stale; 0: none */
	uint32_t jitter_percent; /* shorten both by up to this much at random;
				    more than 100 is 100 */
	uint32_t flags;		 /* LARDER_KEEP, LARDER_NEGATIVE */
	uint64_t cost_ns;	 /* what computing it took; 0: unknown */
	const struct larder_tag *tags;
	size_t n_tags;			  /* at most LARDER_TAGS_MAX */
	const struct larder_token *token; /* NULL: current as of this call */
	uint64_t *version; /* written with the new version; may be NULL */
};

/**
 * larder_put() - store, replacing what is there
 * @options: may be NULL
 *
 * Room is found and the value written first, the key is switched over last, by
 * one compare-and-swap: a failed put leaves the old value in place.
 *
 * Return: LARDER_OK, LARDER_NO_SPACE, LARDER_KEEP_LIMIT; with a token also
 * LARDER_STALE_FILL, LARDER_NEWER. LARDER_KEPT: the key is a region's. -EINVAL
 * (key, options or a tag that cannot be), -EMSGSIZE (larger than
 * larder_value_max()). [T] [E]
 */
LARDER_API int larder_put(struct larder *handle, const void *key, size_t n_key,
			  const void *value, size_t n_value,
			  const struct larder_put_options *options);

/** Store only if there is no valid entry. Return as larder_put(), or
 *  LARDER_EXISTS. [T] [E] */
LARDER_API int larder_add(struct larder *handle, const void *key, size_t n_key,
			  const void *value, size_t n_value,
			  const struct larder_put_options *options);

/** Store only if there is a valid entry. Return as larder_put(), or
 *  LARDER_MISS. [T] [E] */
LARDER_API int larder_replace(struct larder *handle, const void *key,
			      size_t n_key, const void *value, size_t n_value,
			      const struct larder_put_options *options);

/** Store only if the entry's version is @version. Return as larder_put(), or
 *  LARDER_CHANGED, LARDER_MISS. [T] [E] */
LARDER_API int larder_cas(struct larder *handle, const void *key, size_t n_key,
			  uint64_t version, const void *value, size_t n_value,
			  const struct larder_put_options *options);

/**
 * larder_increment() - add to a 64-bit counter, atomically
 * @delta:   wraps around as unsigned numbers do
 * @initial: value of a counter that does not exist yet, before @delta is added
 * @options: for a new counter; an existing one keeps its tags and expiry
 * @result:  the new value; may be NULL
 *
 * Copy-on-write: the counter's bytes are native-endian and readable by get; any
 * value of 8 bytes counts as one. A counter that is not valid any more begins
 * anew. Return: LARDER_OK, LARDER_NOT_COUNTER, LARDER_NO_SPACE. [T] [E]
 */
LARDER_API int larder_increment(struct larder *handle, const void *key,
				size_t n_key, int64_t delta, uint64_t initial,
				const struct larder_put_options *options,
				uint64_t *result);

/** Move an entry's hard expiry: @ttl_ms from now, UINT64_MAX for never. The
 *  entry is written anew, its soft expiry and all else as before; one with
 *  LARDER_KEEP is left alone. Return: LARDER_OK, LARDER_MISS, LARDER_NO_SPACE.
 *  [T] [E] */
LARDER_API int larder_touch(struct larder *handle, const void *key,
			    size_t n_key, uint64_t ttl_ms);

/** Take an entry away. Stops no fill that is under way; invalidating the key
 *  does. Entries with LARDER_KEEP go too. Return: LARDER_OK, LARDER_MISS,
 *  LARDER_KEPT (a region's key), LARDER_ERR_DAMAGED. [T] [W] */
LARDER_API int larder_remove(struct larder *handle, const void *key,
			     size_t n_key);

/** Remove only if the entry's version is @version. Return: LARDER_OK,
 *  LARDER_MISS, LARDER_CHANGED, LARDER_KEPT, LARDER_ERR_DAMAGED. [T] [W] */
LARDER_API int larder_remove_version(struct larder *handle, const void *key,
				     size_t n_key, uint64_t version);

/* ------------------------------------------------------------------ */
/* Invalidation                                                        */

/**
 * larder_invalidate_tag() - nothing that carries this tag is valid any more
 *
 * Takes the same time whatever carries the tag. Once it returned, no read that
 * begins in any process is answered with an entry stored before, nor with one
 * computed before (if its put carries the fill's token), however late it is
 * stored. Entries with LARDER_KEEP stay. A death inside leaves too much
 * invalid, never too little. Return: LARDER_OK. [T] [W]
 */
LARDER_API int larder_invalidate_tag(struct larder *handle, const char *tag,
				     size_t n_tag);

/** The same for one key: what is stored and what is being computed. [T] [W] */
LARDER_API int larder_invalidate_key(struct larder *handle, const void *key,
				     size_t n_key);

/** The same for everything. [T] [W] */
LARDER_API int larder_invalidate_all(struct larder *handle);

enum larder_match {
	LARDER_MATCH_EITHER = 0, /* keys or tag names */
	LARDER_MATCH_KEYS = 1,
	LARDER_MATCH_TAGS = 2,
};

/**
 * larder_invalidate_match() - the same for a glob
 *
 * '*' any bytes, '?' one byte, '[a-z]' and '[!a-z]' classes, '\' escapes.
 * Bytes, not characters. Effective when the call returns; at most 64 patterns
 * are kept at a time, swept away in the background (when all 64 are taken, the
 * oldest is retired early, which may refuse innocent fills: counted).
 *
 * Return: LARDER_OK, -EINVAL (a class or escape that does not end). [T] [W]
 */
LARDER_API int larder_invalidate_match(struct larder *handle,
				       const char *pattern, size_t n_pattern,
				       enum larder_match match);

/** Does @pattern match these bytes? 1, 0, or -EINVAL. [T] [W] */
LARDER_API int larder_glob(const char *pattern, size_t n_pattern,
			   const void *bytes, size_t n_bytes);

/* ------------------------------------------------------------------ */
/* Filling a miss once                                                 */

enum { LARDER_FILL_BYTES = 128 };

/** A fill under way; the caller provides the memory and does not look in. */
struct larder_fill {
	uint64_t opaque[LARDER_FILL_BYTES / 8];
};

struct larder_fill_options {
	size_t size_of;
	uint64_t wait_ms; /* follow a leader this long; 0: 10000 */
	uint64_t lead_ms; /* a leader older than this is given up; 0: 60000 */
	uint64_t
		stale_error_ms; /* past the hard TTL, served if compute fails */
	uint32_t flags;		/* zero */
	uint32_t reserved;	/* zero */
};

/** Take a token by hand: what a computation that begins now will have seen.
 *  For callers that do their own single flight, or want none. [T] [W] */
LARDER_API int larder_token(struct larder *handle, const void *key,
			    size_t n_key, struct larder_token *token);

/**
 * larder_fill_begin() - a hit, a stale value, the lead, or somebody to wait for
 * @key:  kept by reference until the fill ends
 * @view: leased value on LARDER_OK and LARDER_STALE; release it
 *
 * Never blocks. LARDER_OK: @view is the value and the fill is over.
 * LARDER_STALE: @view is usable and somebody refreshes it; the fill is over.
 * LARDER_LEAD: compute, then larder_fill_put() or larder_fill_abandon(); @view
 * holds the stale value if there is one (n_value and value zeroed if not).
 * LARDER_WAIT: larder_fill_wait(), or larder_fill_poll() with
 * larder_fill_fd(), or larder_fill_abandon().
 * LARDER_ERR_NESTED_FILL: this thread leads this very key already. [T] [W]
 */
LARDER_API int larder_fill_begin(struct larder *handle, const void *key,
				 size_t n_key,
				 const struct larder_fill_options *options,
				 struct larder_fill *fill,
				 struct larder_view *view);

/** Store the leader's result under its token and release the followers.
 *  Return as larder_put() with a token; the fill is over in any case. @token of
 *  @options is ignored. [T] [E] */
LARDER_API int larder_fill_put(struct larder *handle, struct larder_fill *fill,
			       const void *value, size_t n_value,
			       const struct larder_put_options *options);

/** End a fill without a result: a leader lets one follower lead. [T] [W] */
LARDER_API void larder_fill_abandon(struct larder *handle,
				    struct larder_fill *fill);

/** Sleep until the leader is done. LARDER_OK or LARDER_STALE with @view,
 *  LARDER_LEAD (it died, failed or was refused), LARDER_TIMEOUT (compute
 *  yourself; the fill is over). A dead leader is noticed in about 5 ms. [T] [B]
 */
LARDER_API int larder_fill_wait(struct larder *handle, struct larder_fill *fill,
				struct larder_view *view);

/** The same without sleeping: also LARDER_WAIT. [T] [W] */
LARDER_API int larder_fill_poll(struct larder *handle, struct larder_fill *fill,
				struct larder_view *view);

/** A descriptor that becomes readable when polling a LARDER_WAIT fill of this
 *  process is worth it. One per process and handle, watched by one helper
 *  thread that the first call starts; owned by the handle. [T] */
LARDER_API int larder_fill_fd(struct larder *handle);

/** The token of a fill that the caller leads. Return: 0, -EINVAL (it does not
 *  lead). [T] [W] */
LARDER_API int larder_fill_token(const struct larder_fill *fill,
				 struct larder_token *token);

/** A buffer that a compute callback fills through larder_result_set(). */
struct larder_result;

/** Give the computed bytes and how to store them (may be NULL): all is copied;
 *  of several calls the last counts. Return: 0, -EINVAL, -ENOMEM. */
LARDER_API int larder_result_set(struct larder_result *result,
				 const void *value, size_t n_value,
				 const struct larder_put_options *options);

/** Compute a value: call larder_result_set() and return 0; anything else says
 *  that it failed. It may call the library, for other keys also fills. */
typedef int larder_compute(void *context, struct larder_result *result);

/**
 * larder_fetch() - get, or compute once and share
 *
 * All of the above in one call. On LARDER_OK and LARDER_STALE @view is leased;
 * where the result could not be stored (refused, too large) it is a private
 * copy, released by larder_release() all the same.
 *
 * Return: LARDER_OK, LARDER_STALE, LARDER_ERR_COMPUTE (and no stale value),
 * LARDER_ERR_NESTED_FILL, -EINVAL, -ENOMEM. [T] [B]
 */
LARDER_API int larder_fetch(struct larder *handle, const void *key,
			    size_t n_key, larder_compute *compute,
			    void *context,
			    const struct larder_fill_options *options,
			    struct larder_view *view);

/* ------------------------------------------------------------------ */
/* Walking, counting, keeping house                                    */

/** One entry of a walk. */
struct larder_walk_entry {
	size_t size_of; /* set by the caller */
	struct larder_info info;
	uint64_t stamp;
	uint32_t n_key;
	uint32_t valid; /* 0: invalidated or expired */
	unsigned char key[LARDER_KEY_MAX];
};

/**
 * larder_walk() - the next entry at or after @cursor
 * @cursor: 0 to begin; moved on
 *
 * Stops nobody. An entry that is there throughout the walk is seen once; one
 * that comes, goes or is replaced meanwhile may be seen or not.
 * Return: LARDER_OK, LARDER_END. [T] [W]
 */
LARDER_API int larder_walk(struct larder *handle, uint64_t *cursor,
			   struct larder_walk_entry *entry);

/** Counters of the segment; see larder_counter_name(). Cumulative since
 *  creation, over all workers living and dead. @counters has room for
 *  @n_counters; those beyond the library's own are zeroed. [T] [W] */
LARDER_API int larder_counters(struct larder *handle, uint64_t *counters,
			       size_t n_counters);

/** Number of counters, and the name of one ("hits"); NULL past the end. */
LARDER_API size_t larder_n_counters(void);
LARDER_API const char *larder_counter_name(size_t counter);
/** One sentence of help for a counter; NULL past the end. */
LARDER_API const char *larder_counter_help(size_t counter);

/** Gauges, derived when asked. */
struct larder_usage {
	size_t size_of;	      /* set by the caller */
	uint64_t bytes_total; /* of the segment */
	uint64_t
		bytes_used; /* by live entries, headers and rounding included */
	uint64_t bytes_values;	/* keys and values alone */
	uint64_t bytes_retired; /* waiting for their grace period */
	uint64_t bytes_free;	/* free objects and free pages */
	uint64_t bytes_kept;	/* of entries with LARDER_KEEP */
	uint64_t n_entries;
	uint64_t n_workers; /* attached threads */
};
/** Count them: a look at every page, so for people and not for hits. Return: 0,
 *  -EINVAL. [T] */
LARDER_API int larder_usage(struct larder *handle, struct larder_usage *usage);

/**
 * larder_maintain() - do a share of the housekeeping
 * @n_pages: how many pages to sweep, at most once around; 0: a default of 64
 *
 * Expires what is due, finishes what the dead left, retires patterns, recovers
 * slots, advances the epoch, rebalances pages. Any process may call it at any
 * time; of two at once one does the work. Workers do what they need of it
 * themselves: nothing depends on its being called.
 *
 * Return: 0, or LARDER_WAIT if another one is at it: one that has done nothing
 * for a second gives way. [T] [E]
 */
LARDER_API int larder_maintain(struct larder *handle, uint32_t n_pages);

/** A piece of the segment that belongs to the caller. */
struct larder_region {
	void *common; /* @n_common bytes, zeroed at creation */
	void *cells;  /* cell i at cells + i * stride: worker slot i's */
	uint64_t n_common;
	uint64_t stride;  /* n_cell rounded up to 64 */
	uint32_t n_cells; /* larder_n_slots() */
	uint32_t reserved;
};

/**
 * larder_region() - find or reserve named memory in the segment
 *
 * Never moves, never goes; 64-byte aligned. The cache knows nothing of its
 * content, which outlives every worker: use atomics. Takes whole pages, of 4 to
 * 128 KiB by the segment's size; all regions together at most 1/8 of it.
 *
 * Return: 0, LARDER_NO_SPACE, -EINVAL, LARDER_ERR_REGION_SIZE. [T] [E]
 */
LARDER_API int larder_region(struct larder *handle, const char *name,
			     uint64_t n_common, uint64_t n_cell,
			     struct larder_region *region);

#ifdef __cplusplus
}
#endif

#endif
