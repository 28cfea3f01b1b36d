/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every structure that lies in a segment, and where it lies.
 *
 *   superblock | hot words | slots | cells | ring | tags | keys | patterns |
 *   flights | pools | index groups | hint bits | probation bits | main bits |
 *   ghosts | page words | page lengths | class rows | pages ...
 *
 * Positions are offsets from the segment's first byte; entries are named by
 * their *unit*, the count of 64-byte units before them, which fits 32 bits up
 * to 256 GiB. Nothing here holds a pointer: the same bytes serve processes that
 * mapped them at different addresses. Whatever changes size or meaning here
 * changes LAYOUT_VERSION; tests/arch/layout.golden holds every offset.
 *
 * All memory is zero when a segment is created; a structure's zero is its
 * initial state unless its comment says otherwise.
 */
#ifndef LARDER_SEGMENT_LAYOUT_H
#define LARDER_SEGMENT_LAYOUT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/hash.h"

enum {
	LAYOUT_VERSION = 5,
	UNIT_BYTES = 64,
	UNIT_SHIFT = 6,
	PAGE_SHIFT_MIN = 12,
	PAGE_SHIFT_MAX = 17,
	PAGE_UNITS_MAX = 1 << (PAGE_SHIFT_MAX - UNIT_SHIFT),
	MAX_CLASSES = 64,
	RUN_CLASS = 63, /* of entries that take a run of pages */
	GROUP_SLOTS = 14,
	GROUP_LINE0_SLOTS = 6, /* those that share a line with ctl */
	GROUP_TYPICAL = 7,     /* entries per group at the planned load */
	N_PATTERNS = 64,
	RING_CELLS = 1024,
	TAG_WORDS = 7,
	N_COUNTERS = 48,
	SUPERBLOCK_BYTES = 4096, /* the hot words follow, in every segment */
	N_HAZARDS = 7,
	N_USER_HAZARDS = 5,
	HAZARD_NEW = 5, /* the entry being written */
	HAZARD_OLD = 6, /* the entry whose header changes next */
	GHOST_WAYS = 8,
};

#define SEGMENT_MAGIC UINT64_C(0x315245445241654c) /* "LeARDER1" */

/* ------------------------------------------------------------------ */
/*
 * Superblock: written once by the creator before the file has its name, read
 * by everybody. `ready` is stored last with release [SEG.1]; whoever attaches
 * reads it, and maps the segment behind an acquire fence [SEG.2].
 */
struct superblock {
	uint64_t magic;
	uint32_t layout_version;
	uint32_t byte_order;  /* 0x01020304 as the creator stores it */
	uint32_t fingerprint; /* of struct sizes, libc and architecture */
	atomic_u32 ready;
	uint64_t bytes;
	uint8_t id[16];
	char boot_id[40];
	uint64_t time_namespace; /* inode of /proc/self/ns/time, 0 if none */
	uint64_t created_ms;	 /* CLOCK_MONOTONIC */
	uint64_t created_unix_ms;
	uint64_t max_entries;
	uint64_t entry_hint;
	uint64_t ttl_ms;
	uint64_t pattern_ms;
	uint64_t value_max;
	uint64_t n_groups;
	uint32_t creator_pid;
	uint32_t fenced; /* 1: readers fence, nobody needs membarrier */
	uint32_t policy;
	uint32_t n_slots;
	uint32_t page_shift;
	uint32_t n_pages;
	uint32_t n_classes;
	uint32_t n_tag_sets;
	uint32_t n_key_sets;
	uint32_t n_flights;
	uint32_t n_ghost_buckets;
	uint32_t n_ghost_main_buckets;
	uint64_t ghost_entries; /* entries that the ghost was sized for */
	uint64_t off_hot, off_slots, off_cells, off_ring, off_tags, off_keys;
	uint64_t off_patterns, off_flights, off_pools, off_groups;
	uint64_t off_page_words, off_page_lengths;
	uint64_t off_hint_bits, off_probation_bits, off_main_bits;
	uint64_t off_class_bits, off_avail_bits;
	uint64_t off_ghost, off_ghost_main, off_pages;
	uint32_t class_units[MAX_CLASSES]; /* object size of each class */
	uint8_t secret[LARDER_SECRET_BYTES];
};
_Static_assert(sizeof(struct superblock) <= SUPERBLOCK_BYTES,
	       "superblock is one page");

/* ------------------------------------------------------------------ */
/*
 * Hot words: each on lines of its own, so that one's writers do not take
 * another's readers' line away.
 *
 *   word        written by                    read by
 *   epoch       advance, CAS +1 [EPO.*]       every pin
 *   stamp       invalidations, CAS +1 [FRE.*] every hit
 */
struct hot {
	_Alignas(128) atomic_u64 epoch;	     /* starts at FIRST_EPOCH */
	_Alignas(128) atomic_u64 stamp;	     /* starts at 1; STAMP_CLOSED */
	_Alignas(128) atomic_u64 everything; /* nothing older is valid */
	atomic_u64 pattern_slots; /* words below that were ever used */
	atomic_u64 pattern_word[N_PATTERNS]; /* see struct pattern */
	atomic_u64 retired_early; /* greatest number of such a pattern */
	_Alignas(128) atomic_u64 hiwater; /* slots ever claimed */
	atomic_u64 n_entries;		  /* hint; recounted by sweeps */
	atomic_u64 kept_units;		  /* hint; recounted by sweeps */
	atomic_u64 region_units;
	atomic_u64 free_pages; /* hint */
	atomic_u64 evicted;    /* from probation: the ghost's clock */
	_Alignas(128) atomic_u64 maintainer; /* slot+1 : 32, generation : 32 */
	atomic_u64 maintain_cursor;	     /* page to sweep next */
	atomic_u64 maintain_round;
	atomic_u64 audit_wanted; /* a death was seen */
	atomic_u64 page_cursor;	 /* where to look for free pages */
	atomic_u64 flight_wakes; /* futex word: any flight ended */
};

enum { FIRST_EPOCH = 16 };
#define STAMP_CLOSED (UINT64_C(1) << 63)
#define STAMP_MASK   ((UINT64_C(1) << 48) - 1)

/* ------------------------------------------------------------------ */
/*
 * Worker slot. The robust mutex, held for the life of the attachment, is the
 * claim; FUTEX_OWNER_DIED in its word is the death notice.
 *
 *   pin      0, or section:16 | epoch:40 | flags:8; the section is above, so
 *            that it begins anew of its own accord
 *   hazard   units that must not be freed, 0 = none
 *
 *   field      written by                           read by
 *   pin        owner, plain; expeller, CAS [EPO.*]  advance
 *   hazard     owner, plain [HAZ.1]                 whoever frees [HAZ.2]
 *   sequence   owner, before the version is used    next owner
 *   the rest   owner at claim, recovery             inspection
 */
struct slot {
	_Alignas(128) atomic_u64 pin;
	atomic_u64 hazard[N_HAZARDS];
	_Alignas(64) atomic_u64 sequence; /* of entry versions; never reset */
	atomic_u64 first_sequence;	  /* the last before this claim */
	atomic_u32 generation;		  /* odd while claimed */
	atomic_u32 pid;
	atomic_u32 tid;
	atomic_u32 reserved;
	atomic_u64 pid_namespace;
	atomic_u64 start_time; /* of the thread, clock ticks */
	atomic_u64 attached_ms;
	atomic_u64 leased_units;
	_Alignas(64) pthread_mutex_t claim;
};
_Static_assert(sizeof(struct slot) == 256, "slot is four lines");

enum { PIN_ACTIVE = 1, PIN_EXPELLED = 2 };
#define PIN_EPOCH_SHIFT 8
#define PIN_SECTION	(UINT64_C(1) << 48) /* one more of them */
static inline uint64_t pin_epoch(uint64_t pin)
{
	return field_get(pin, PIN_EPOCH_SHIFT, 40);
}

/* Counters of one slot: cumulative over all its owners. Only the owner writes,
 * with plain stores; `baseline` is what its predecessors had left. */
struct cell {
	_Alignas(128) atomic_u64 counter[N_COUNTERS];
	atomic_u64 baseline[N_COUNTERS];
};
/* Nobody counts so far in a lifetime: a counter above it is damage, and could
 * run over. */
#define COUNTER_MOST (UINT64_C(1) << 62)

/* ------------------------------------------------------------------ */
/*
 * Freshness. A set of the tag or key table: words {fingerprint:16, number:48}
 * and the floor of what was displaced from here.
 */
struct tag_set {
	_Alignas(64) atomic_u64 word[TAG_WORDS];
	atomic_u64 floor;
};
_Static_assert(sizeof(struct tag_set) == 64, "tag set is one line");

/*
 * A live pattern. pattern_word[i] of struct hot is, from the top bit down,
 *   number:48 | generation:12 | state:4
 * so that a hit meets all the numbers in few lines. In CLAIMED the number's
 * bits name the claimant instead: unused:4 | slot:12 | generation:32.
 */
struct pattern {
	_Alignas(64) atomic_u64 created_ms;
	atomic_u64 owner; /* slot:32 | generation:32 */
	atomic_u32 n_text;
	atomic_u32 match;
	atomic_u64 generation; /* of the text below */
	atomic_u8 text[256];
};
enum pattern_state {
	PATTERN_FREE,
	PATTERN_CLAIMED, /* text is being written */
	PATTERN_DRAWING, /* effective; its invalidator is in its loop */
	PATTERN_SETTLED, /* its invalidator has returned, or was helped */
};

/*
 * A fill under way, found by key hash; lossy, so a collision computes twice.
 *   word   sequence:24 | slot:12 | generation:24 | state:4, from the top down
 * changed by CAS only. slot and generation (its low bits) are the leader's, in
 * the word itself so that a claim names its claimant from the first moment. The
 * other fields are written in CLAIMED and read in LEADING.
 */
enum flight_state {
	FLIGHT_IDLE,
	FLIGHT_CLAIMED,
	FLIGHT_LEADING,
};
struct flight {
	_Alignas(128) atomic_u64 word;
	atomic_u64 key_hash;
	atomic_u64 leader; /* slot:32 | generation:32 */
	atomic_u64 token_stamp;
	atomic_u64 token_version;
	atomic_u64 started_ms;
	atomic_u64 lead_ms;
	atomic_u64 n_followers; /* hint, for people */
	atomic_u32 futex;	/* raised when the flight ends */
};

/* ------------------------------------------------------------------ */
/*
 * Index group: two adjacent lines.
 *
 *   0      8        16                 64                        128
 *   +------+--------+------------------+-------------------------+
 *   | ctl  | refs   | slot 0 .. slot 5 | slot 6 .. slot 13       |
 *   +------+--------+------------------+-------------------------+
 *
 *   ctl    seq:28 | index:4 | unit:32   index 0 idle, else slot index + 1
 *   slot   tag:12 | version:20 | unit:32   unit 0 empty; version rises
 *   refs   one nibble a slot: recent hits, 0..3 (a reader's plain store may
 *          undo a neighbour's: a lost reference, never a lost entry)
 *
 *   field   written by               read by       edges
 *   ctl     writers, CAS             writers       [ANN.1] [ANN.2]
 *   slot    writers, CAS             everybody     [PUB.1] [PUB.2]
 *   refs    readers, plain stores    hands         none needed: a hint
 */
struct group {
	_Alignas(128) atomic_u64 ctl;
	atomic_u64 refs;
	atomic_u64 slot[GROUP_SLOTS];
};
_Static_assert(sizeof(struct group) == 128, "group is two lines");

/* ------------------------------------------------------------------ */
/*
 * Page word: state:4 | class:8 | generation:20 | owner:12 | owner_generation:20
 * Owner fields name who is responsible in CLAIMED and DRAINING.
 *
 *   FREE -> CLAIMED -> ACTIVE -> DRAINING -> CLAIMED
 *   FREE -> CLAIMED -> RUN_HEAD | RUN_BODY -> CLAIMED -> FREE
 *
 * In RUN_BODY the owner fields hold the distance to the head (32 bits); such a
 * page belongs to the run only while its head is RUN_HEAD and its length
 * covers it. page_lengths[head] is the run's number of pages.
 */
enum page_state {
	PAGE_FREE,
	PAGE_CLAIMED,
	PAGE_ACTIVE,
	PAGE_DRAINING,
	PAGE_RUN_HEAD,
	PAGE_RUN_BODY,
};

static inline uint64_t page_word(unsigned state, unsigned class,
				 uint32_t generation, uint32_t owner,
				 uint32_t owner_generation)
{
	return field_put(state, 0, 4) | field_put(class, 4, 8) |
	       field_put(generation, 12, 20) | field_put(owner, 32, 12) |
	       field_put(owner_generation, 44, 20);
}
#define PAGE_STATE(w)	   ((unsigned)field_get(w, 0, 4))
#define PAGE_CLASS(w)	   ((unsigned)field_get(w, 4, 8))
#define PAGE_GENERATION(w) ((uint32_t)field_get(w, 12, 20))
#define PAGE_OWNER(w)	   ((uint32_t)field_get(w, 32, 12))
#define PAGE_OWNER_GEN(w)  ((uint32_t)field_get(w, 44, 20))
#define PAGE_DISTANCE(w)   ((uint32_t)field_get(w, 32, 32))

/* ------------------------------------------------------------------ */
/*
 * Entry header word: the truth about an object.
 *   state:3 | owner:12 | generation:25 | extra:24
 * extra is the owner slot's generation in ALLOC, the epoch (mod 2^24) in
 * RETIRED. FREE is 1 and not 0, so that no zeroed memory passes for a header.
 */
enum header_state {
	HEADER_NONE, /* no object was ever here */
	HEADER_FREE,
	HEADER_ALLOC, /* being written by its owner, or just published */
	HEADER_LIVE,
	HEADER_RETIRED, /* unlinked at an epoch */
	HEADER_BLOCKED, /* its page is being drained */
};

static inline uint64_t header_word(unsigned state, uint32_t owner,
				   uint32_t generation, uint32_t extra)
{
	return field_put(state, 0, 3) | field_put(owner, 3, 12) |
	       field_put(generation, 15, 25) | field_put(extra, 40, 24);
}
#define HEADER_STATE(h)	     ((unsigned)field_get(h, 0, 3))
#define HEADER_OWNER(h)	     ((uint32_t)field_get(h, 3, 12))
#define HEADER_GENERATION(h) ((uint32_t)field_get(h, 15, 25))
#define HEADER_EXTRA(h)	     ((uint32_t)field_get(h, 40, 24))

/*
 * Entry: at a 64-byte unit. After the fixed part, in this order and only if
 * the flag says so: hard expiry, soft expiry, cost (8 bytes each), then the
 * key, then the value at the next multiple of 8 (of 64 for a region), then, at
 * the next multiple of 8 and if the flag says so, tags (struct tag_block, mask,
 * texts). Last, so that a hit finds key and value where they are without tags.
 *
 *   field        written by                        read by
 *   header       CAS, under a hazard               sweeps
 *   version      its writer, before it is linked   everybody
 *   flags_stamp  its writer; the stamp also by     everybody
 *                hits and sweeps that found it
 *                valid: plain, under a hazard
 *   hits         one hit in 64, under a hazard     people
 *   the rest     its writer, before it is linked   everybody
 */
struct entry {
	_Alignas(64) atomic_u64 header;
	uint64_t version;	/* slot:12 | sequence:52 */
	atomic_u64 flags_stamp; /* flags:16 | stamp:48 */
	uint64_t born_key;	/* n_key:16 | ms since creation:48 */
	uint32_t n_value;
	atomic_u32 hits; /* sampled */
	unsigned char rest[];
};
#define ENTRY_SEQUENCE_MASK ((UINT64_C(1) << 52) - 1)
#define ENTRY_FIXED	    offsetof(struct entry, rest)
_Static_assert(offsetof(struct entry, rest) == 40, "entry header is 40 bytes");

static inline uint64_t entry_version(uint32_t slot, uint64_t sequence)
{
	return (uint64_t)slot << 52 | (sequence & ENTRY_SEQUENCE_MASK);
}

enum {
	/* low bits are enum larder_entry_flags */
	ENTRY_HARD = 1 << 4,
	ENTRY_SOFT = 1 << 5,
	ENTRY_COST = 1 << 6,
	ENTRY_TAGS = 1 << 7,
};

/* Tags of an entry: a Bloom mask of n_mask bytes (a power of two; which bits is
 * in store/entry.h), then texts, each one length byte and its bytes. */
struct tag_block {
	uint16_t n_tags;
	uint16_t n_mask;
	uint32_t n_texts; /* bytes of all texts */
	unsigned char bytes[];
};

/* ------------------------------------------------------------------ */
/* Eviction state of one class; all of it hints, recounted by sweeps. */
struct pool {
	_Alignas(128) atomic_u64 n_probation;
	atomic_u64 n_main;
	atomic_u64 hand_probation; /* unit */
	atomic_u64 hand_main;	   /* unit */
	atomic_u64 target;	   /* of the probation share, 1/65536ths */
	atomic_u64 since;	   /* probation victims since a promotion */
	atomic_u64 page_cursor;	   /* where allocation looks next */
	atomic_u64 n_pages;	   /* hint */
	_Alignas(128) atomic_u64 ghost_hits; /* balance.h; forgotten later */
	atomic_u64 ghost_hits_used;	     /* those when it last asked */
	atomic_u64 n_free;    /* hint: objects with their bit set */
	atomic_u64 lock_hint; /* who sweeps this pool now; lossy */
	atomic_u64 unused[4];
};

/* A bucket of the ghost: fingerprints (0 = empty) of evicted keys, with the
 * ghost clock's reading at their eviction. */
struct ghost_bucket {
	atomic_u16 fingerprint[GHOST_WAYS];
	atomic_u8 stamp[GHOST_WAYS];
};
_Static_assert(sizeof(struct ghost_bucket) == 24, "three bytes an entry");

/* ------------------------------------------------------------------ */
/* What a segment of these options would look like; also the validator of an
 * existing superblock, whose numbers must be the plan's. */
struct larder_create_options;
int larder_layout_plan(const struct larder_create_options *options,
		       struct superblock *plan);

/* The options that a superblock holds. */
void larder_layout_options(const struct superblock *sb,
			   struct larder_create_options *options);

/* Take over what no plan knows: identity, times, secret and mode, which are the
 * creator's. The rest follows from the options. */
void larder_layout_adopt(struct superblock *plan, const struct superblock *sb);

/* 0, or why a superblock read from a file cannot be used. @n_file bytes are
 * there. The plan for its options must give the very same numbers. */
int larder_layout_validate(const struct superblock *sb, uint64_t n_file);

uint32_t larder_layout_fingerprint(void);

#endif
