/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The history: what every process of the storm writes down in shared memory.
 *
 * The intention stands there before the operation begins, the outcome after it
 * ended; both carry the reading of one clock that ticks at every event of every
 * process, so what ended before something else began is known for certain.
 * Nothing is written twice: where a process dies, its last record says what it
 * was about to do.
 *
 * Evictions are operations like any other. The library's one call that empties
 * a slot is wrapped by the linker: whoever takes an entry away writes the
 * intention first, and that it did so afterwards.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/counters.h"
#include "storm.h"
#include "store/entry.h"
#include "store/index.h"
#include "worker/worker.h"

#include "cache/cache.h"

struct board *board;
struct larder *cache;
__thread struct actor *me;

const char *const kind_names[N_KINDS] = {
	[KIND_NONE] = "nothing",
	[KIND_INITIAL] = "found at the beginning",
	[KIND_PUT] = "put",
	[KIND_ADD] = "add",
	[KIND_REPLACE] = "replace",
	[KIND_CAS] = "cas",
	[KIND_TOKEN_PUT] = "put with token",
	[KIND_FILL_PUT] = "fill_put",
	[KIND_FETCH_PUT] = "computed by fetch",
	[KIND_GET] = "get",
	[KIND_GET_INFO] = "get_info",
	[KIND_GET_MANY] = "get_many",
	[KIND_LEASE] = "lease",
	[KIND_FILL_BEGIN] = "fill_begin",
	[KIND_FILL_WAIT] = "fill_wait",
	[KIND_FILL_POLL] = "fill_poll",
	[KIND_FETCH] = "fetch",
	[KIND_INCREMENT] = "increment",
	[KIND_TOUCH] = "touch",
	[KIND_REMOVE] = "remove",
	[KIND_REMOVE_VERSION] = "remove_version",
	[KIND_UNLINK] = "evicted or swept",
	[KIND_INVALIDATE_KEY] = "invalidate_key",
	[KIND_INVALIDATE_TAG] = "invalidate_tag",
	[KIND_INVALIDATE_KEYS] = "invalidate_match keys",
	[KIND_INVALIDATE_TAGS] = "invalidate_match tags",
	[KIND_INVALIDATE_ALL] = "invalidate_all",
	[KIND_TOKEN] = "token",
	[KIND_RELEASE] = "release",
	[KIND_ABANDON] = "fill_abandon",
	[KIND_MAINTAIN] = "maintain",
	[KIND_SWEEP] = "sweep",
	[KIND_WALK] = "walk",
	[KIND_STATISTICS] = "counters, usage",
	[KIND_FORK] = "fork",
	[KIND_EXEC] = "exec",
	[KIND_REOPEN] = "close, open",
};

uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t x = a * UINT64_C(0x9e3779b97f4a7c15) ^ b;

	x = (x ^ x >> 31) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 29) * UINT64_C(0x94d049bb133111eb);
	return (x ^ x >> 32) | 1;
}

uint32_t draw_below(uint32_t n)
{
	return reduce_u32((uint32_t)(random_next(&me->random) >> 24), n);
}

void violation(const char *format, ...)
{
	va_list arguments;

	if (fetch_add_relaxed(&board->n_violations, 1) >= 12)
		return;
	flockfile(stderr);
	fprintf(stderr, "violation, round %llu: ",
		(unsigned long long)load_relaxed(&board->round));
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	funlockfile(stderr);
}

/* ------------------------------------------------------------------ */
/* The log                                                             */

static uint64_t tick(void)
{
	return fetch_add_acqrel(&board->clock, 1) + 1;
}

bool log_full(void)
{
	return load_relaxed(&board->used) > RECORDS - RECORDS_SPARE;
}

struct record *log_intention(enum kind kind, uint32_t key)
{
	struct record *r;

	if (me->next == me->end) {
		me->next = (uint32_t)fetch_add_acqrel(&board->used, CHUNK);
		me->end = me->next + CHUNK;
		if (me->end > RECORDS) {
			violation("the log has no room: nothing can be judged");
			_exit(3);
		}
	}
	r = &board->record[me->next++];
	r->kind = (uint16_t)kind;
	r->seat = (uint16_t)me->seat;
	r->key = (uint16_t)key;
	r->began = tick();
	store_release(&r->state, RECORD_INTENDED);
	return r;
}

void log_outcome(struct record *r, int outcome)
{
	r->outcome = outcome;
	r->ended = tick();
	store_release(&r->state, RECORD_DONE);
}

/* The linker puts these two where the library calls larder_index_unlink(). */
enum index_result __real_larder_index_unlink(struct worker *w, struct group *g,
					     unsigned i, uint64_t word);
enum index_result __wrap_larder_index_unlink(struct worker *w, struct group *g,
					     unsigned i, uint64_t word);

enum index_result __wrap_larder_index_unlink(struct worker *w, struct group *g,
					     unsigned i, uint64_t word)
{
	struct entry_view v;
	struct record *r;
	enum index_result result;
	int key = -1;

	/* The caller's hazard names the entry: its key stays as it is. If the
	 * word is an older one, nothing will be taken away. */
	if (me && unit_valid(w->s, slot_unit(word)) &&
	    larder_entry_view(w->s, slot_unit(word), &v))
		key = key_number(v.key, v.n_key);
	if (key < 0)
		return __real_larder_index_unlink(w, g, i, word);
	r = log_intention(KIND_UNLINK, (uint32_t)key);
	if (me->kind == KIND_REMOVE || me->kind == KIND_REMOVE_VERSION)
		r->flags = RECORD_REMOVAL;
	result = __real_larder_index_unlink(w, g, i, word);
	log_outcome(r, result == INDEX_DONE ? LARDER_OK : LARDER_CHANGED);
	return result;
}

/* ------------------------------------------------------------------ */
/* The measure of one operation                                        */

static volatile sig_atomic_t n_continued;

static void continued(int number)
{
	(void)number;
	n_continued++;
}

static void crashed(int number)
{
	violation("a crash by signal %d", number);
	_exit(3);
}

/* A stop is a voluntary switch to the kernel; every stop but the last before a
 * death ends with this signal, taken before anything else goes on. */
void watch_signals(void)
{
	struct sigaction a = {.sa_handler = continued, .sa_flags = SA_RESTART};

	sigaction(SIGCONT, &a, NULL);
	a = (struct sigaction){.sa_handler = crashed};
	sigaction(SIGSEGV, &a, NULL);
	sigaction(SIGBUS, &a, NULL);
	sigaction(SIGABRT, &a, NULL);
}

static uint64_t thread_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* What the kernel counts of this thread: its voluntary switches, and its page
 * faults, in which it may have waited for another's. */
static uint64_t thread_switches(uint64_t *faults)
{
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	*faults = (uint64_t)(u.ru_minflt + u.ru_majflt);
	return (uint64_t)u.ru_nvcsw;
}

static uint64_t own_counter(enum counter which)
{
	const struct worker *w = cache ? larder_workers[cache->id] : NULL;

	return w && w->s ? load_relaxed(&w->cell->counter[which]) : 0;
}

static bool attached(void)
{
	const struct worker *w = larder_workers[cache->id];

	return w && w->s && w->handle_serial == cache->serial;
}

/* Those that may sleep by their documentation, and those that are no calls of
 * the library. */
static bool may_sleep(enum kind kind)
{
	return kind == KIND_FETCH || kind == KIND_FILL_WAIT;
}

void operation_measure(const struct record *r)
{
	me->kind = r->kind;
	me->attached = attached();
	me->in_kernel = 0;
	me->waited_ns = own_counter(COUNTER_WAITED_NS);
	me->invalid = own_counter(COUNTER_MISSES_INVALID);
	me->continued = (uint64_t)n_continued;
	me->switches = thread_switches(&me->faults);
	me->cpu_ns = thread_cpu_ns();
}

struct record *operation_begin(enum kind kind, uint32_t key)
{
	struct record *r = log_intention(kind, key);

	operation_measure(r);
	return r;
}

void operation_end(struct record *r, int outcome)
{
	uint64_t cpu = thread_cpu_ns() - me->cpu_ns;
	uint64_t faults, slept = thread_switches(&faults) - me->switches;

	if (me->attached && own_counter(COUNTER_MISSES_INVALID) != me->invalid)
		r->flags |= RECORD_INVALID;
	me->kind = KIND_NONE;
	log_outcome(r, outcome);
	raise_acqrel(&board->most_cpu_any_ns, cpu);
	if (me->faults == faults && raise_acqrel(&board->most_cpu_ns, cpu))
		store_relaxed(&board->most_cpu_kind, r->kind);
	fetch_add_relaxed(&board->n_kind[r->kind], 1);
	if (may_sleep(r->kind) || !me->attached ||
	    me->continued != (uint64_t)n_continued || me->faults != faults ||
	    me->waited_ns != own_counter(COUNTER_WAITED_NS))
		return;
	fetch_add_relaxed(&board->n_undisturbed, 1);
	fetch_add_relaxed(&board->kernel_sleeps, me->in_kernel);
	if (slept > me->in_kernel) {
		fetch_add_relaxed(&board->sleeps, 1);
		store_relaxed(&board->sleep_kind, r->kind);
	}
}

/*
 * Two calls in which the kernel may put a thread to sleep on a lock of its own,
 * for as long as it takes another processor to answer: membarrier, of which one
 * passes at a time, and looking into /proc for whether somebody lives. Neither
 * waits for a process, which may be dead or stopped; what is slept there is
 * counted apart.
 */
bool __real_larder_membarrier(void);
bool __wrap_larder_membarrier(void);
uint32_t __real_larder_slots_recover(struct worker *w, bool thorough);
uint32_t __wrap_larder_slots_recover(struct worker *w, bool thorough);

bool __wrap_larder_membarrier(void)
{
	uint64_t faults, before = me ? thread_switches(&faults) : 0;
	bool done = __real_larder_membarrier();

	if (me)
		me->in_kernel += thread_switches(&faults) - before;
	return done;
}

uint32_t __wrap_larder_slots_recover(struct worker *w, bool thorough)
{
	uint64_t faults, before = me ? thread_switches(&faults) : 0;
	uint32_t n = __real_larder_slots_recover(w, thorough);

	if (me && thorough)
		me->in_kernel += thread_switches(&faults) - before;
	return n;
}

#ifdef LARDER_TSAN
/*
 * Stand still inside of a section, with an entry in view: what nobody holds
 * back is written anew meanwhile, and ThreadSanitizer sees it. Without this a
 * library that waits for no grace period at all went unreported.
 */
bool __real_larder_find(struct worker *w, const void *key, size_t n_key,
			uint64_t hash, struct lookup *found);
bool __wrap_larder_find(struct worker *w, const void *key, size_t n_key,
			uint64_t hash, struct lookup *found);

bool __wrap_larder_find(struct worker *w, const void *key, size_t n_key,
			uint64_t hash, struct lookup *found)
{
	static _Thread_local unsigned n_found;
	const struct timespec nap = {.tv_nsec = 20000000};
	bool there = __real_larder_find(w, key, n_key, hash, found);

	if (there && ++n_found % 100 == 0)
		nanosleep(&nap, NULL);
	return there;
}
#endif

/* ------------------------------------------------------------------ */
/* Keys and values                                                     */

enum { KEY_DIGITS = 5 };

size_t key_text(uint32_t key, char text[LARDER_KEY_MAX])
{
	size_t n = key % 61 == 7 ? 900 : key % 13 == 5 ? 180 : KEY_DIGITS;

	snprintf(text, 8, "k%04u", key % 10000);
	memset(text + KEY_DIGITS, '.', n - KEY_DIGITS);
	return n;
}

int key_number(const void *text, size_t n)
{
	const char *at = text;
	char whole[LARDER_KEY_MAX];
	uint32_t key = 0;

	if (n < KEY_DIGITS || at[0] != 'k')
		return -1;
	for (int i = 1; i < KEY_DIGITS; i++) {
		if (at[i] < '0' || at[i] > '9')
			return -1;
		key = key * 10 + (uint32_t)(at[i] - '0');
	}
	if (key >= N_KEYS || key_text(key, whole) != n || memcmp(whole, at, n))
		return -1;
	return (int)key;
}

struct value {
	uint64_t name;
	uint32_t key, length;
	uint64_t fill[];
};

/* The whole of it depends on the name, and every word on its place. */
static uint64_t fill_word(uint64_t name, size_t i)
{
	return name * UINT64_C(0x9e3779b97f4a7c15) + i;
}

size_t make_value(void *at, uint64_t name, uint32_t key, size_t n)
{
	struct value *v = at;
	size_t n_fill = n < sizeof *v ? 0 : (n - sizeof *v) / 8;

	v->name = name;
	v->key = key;
	v->length = (uint32_t)(sizeof *v + n_fill * 8);
	for (size_t i = 0; i < n_fill; i++)
		v->fill[i] = fill_word(name, i);
	return v->length;
}

uint64_t value_name(const void *at, size_t n, uint32_t key, const char *how)
{
	const struct value *v = at;

	if (n < sizeof *v || n > VALUE_MAX || v->length != n) {
		violation("%s of key %u: a torn value of %zu bytes", how, key,
			  n);
		return 0;
	}
	if (v->key != key) {
		violation("%s of key %u: a value of key %u", how, key, v->key);
		return 0;
	}
	for (size_t i = 0; i < (n - sizeof *v) / 8; i++)
		if (v->fill[i] != fill_word(v->name, i)) {
			violation("%s of key %u: torn at word %zu of %zu", how,
				  key, i, (n - sizeof *v) / 8);
			return 0;
		}
	return v->name;
}
