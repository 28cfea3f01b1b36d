/* SPDX-License-Identifier: Apache-2.0 */
/*
 * larder-storm: dozens of processes do everything at once in a segment far too
 * small for it, are killed, stopped and continued every few milliseconds, and
 * write down what they do; then what they wrote down is judged.
 *
 * Asserts, in one sentence: every value read was written for its key, whole, is
 * not older than a write or removal, nor computed before an invalidation, that
 * had completed before the read began; nothing acknowledged is lost but to an
 * eviction that took place; counters add up; nobody waits for the dead; and
 * nothing is left over.
 *
 * A storm is a sequence of rounds, until one fails. At the end of each
 * everybody is killed, the survivor sweeps, the segment must be in order, and
 * the round's history is judged: history.c, judge.c.
 *
 *   larder-storm [--seconds N] [--kills N] [--operations N] [--processes N]
 *                [--megabytes N] [--seed N] [--round N] [--fenced] [--threads]
 *                [--roomy] [--mistaken]
 *
 * It goes on in any case until somebody was killed and something read was
 * judged: without, it would have shown nothing. --kills ends it after so many
 * deaths; --operations goes on until there were so many, however slow the
 * machine is. --round begins with the streams of that round: of a failure, give
 * its seed and its round. --roomy has few keys, small values and no
 * invalidation, and more memory than a round's workers could take to their
 * graves: then nothing may be evicted, and an acknowledged value that is gone
 * is a violation without excuse. --threads has threads over one mapping and
 * nobody killed: for ThreadSanitizer, which sees one mapping of one process
 * only. --mistaken is for a library with a mistake in it: then a violation is
 * success, and nothing else is.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <larder/admin.h>

#include "base/clock.h"
#include "cache/cache.h"
#include "storm.h"
#include "support/verify.h"

/* What a thread's operation may take of the processor, but for mapping pages
 * that it meets for the first time: ten times the most that was ever seen. */
enum { MOST_CPU_NS = 50000000 };

struct plan {
	struct larder_create_options create;
	double seconds, round_seconds;
	uint64_t kills, operations, first_round;
	bool mistaken;
};

/* Everything that may be asked for, or the exit status. */
static int read_options(int argc, char **argv, struct plan *p)
{
	static const struct option options[] = {
		{"seconds", required_argument, NULL, 's'},
		{"kills", required_argument, NULL, 'k'},
		{"operations", required_argument, NULL, 'o'},
		{"processes", required_argument, NULL, 'p'},
		{"megabytes", required_argument, NULL, 'm'},
		{"seed", required_argument, NULL, 'r'},
		{"round", required_argument, NULL, 'n'},
		{"fenced", no_argument, NULL, 'f'},
		{"threads", no_argument, NULL, 't'},
		{"roomy", no_argument, NULL, 'y'},
		{"mistaken", no_argument, NULL, 'x'},
		{NULL, 0, NULL, 0}};
	uint64_t megabytes = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			p->seconds = strtod(optarg, NULL);
			break;
		case 'k':
			p->kills = strtoull(optarg, NULL, 10);
			p->seconds = 1e9;
			break;
		case 'o':
			p->operations = strtoull(optarg, NULL, 10);
			break;
		case 'p':
			board->n_seats = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'm':
			megabytes = strtoull(optarg, NULL, 10);
			break;
		case 'r':
			board->seed = strtoull(optarg, NULL, 10);
			break;
		case 'n':
			p->first_round = strtoull(optarg, NULL, 10);
			break;
		case 'f':
			board->fenced = 1;
			break;
		case 't':
			board->threads = 1;
			break;
		case 'y':
			board->roomy = 1;
			break;
		case 'x':
			p->mistaken = true;
			break;
		default:
			return 2;
		}
	}
	if (optind != argc || board->n_seats < 3 || board->n_seats > SEATS_MAX)
		return 2;
	if (!megabytes)
		megabytes = board->roomy ? 64 : 2;
	p->create = (struct larder_create_options){
		.size_of = sizeof p->create,
		.bytes = megabytes << 20,
		.n_slots = 2 * board->n_seats + 16,
		.pattern_ms = 200,
		.flags = board->fenced ? LARDER_CREATE_FENCED : 0};
	return 0;
}

static int make_board(void)
{
	board_fd = memfd_create("storm", 0);
	if (board_fd < 0 || ftruncate(board_fd, sizeof *board))
		return -1;
	board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED,
		     board_fd, 0);
	if (board == MAP_FAILED)
		return -1;
	board->parent = getpid();
	board->n_seats = 24;
	board->seed = (uint64_t)time(NULL);
	return 0;
}

/* Without a name that would outlive a storm that is killed itself: whoever
 * forks or execs inherits the descriptor and opens it by its path. */
static int make_segment(const struct larder_create_options *options)
{
	int fd, result = larder_create_fd(options, &fd);

	if (result)
		return result;
	snprintf(board->path, sizeof board->path, "/proc/self/fd/%d", fd);
	return larder_open(board->path, NULL, &cache);
}

static uint64_t n_operations(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < N_KINDS; i++)
		n += load_relaxed(&board->n_kind[i]);
	return n;
}

/* ------------------------------------------------------------------ */
/* A round                                                             */

static void damage(void *context, enum larder_severity severity,
		   const char *where, const char *what)
{
	(void)context;
	if (severity == LARDER_DAMAGE)
		violation("check: %s: %s", where, what);
}

/* The swept segment is in order, by two opinions. Units that are neither free
 * nor of a linked entry. */
static uint64_t judge_segment(void)
{
	struct larder_check_result result = {.size_of = sizeof result};
	struct larder_class_info class = {.size_of = sizeof class};
	struct larder_inspector *inspector;
	uint64_t leaked = 0;
	char text[200];
	const char *broken =
		verify(load_acquire(&cache->segment), larder_worker_slot(cache),
		       text, sizeof text);

	if (broken)
		violation("afterwards: %s", broken);
	if (larder_inspect(board->path, &inspector)) {
		violation("the segment cannot be inspected");
		return 0;
	}
	larder_inspect_check(inspector, damage, NULL, &result);
	for (uint32_t i = 0;
	     larder_inspect_class(inspector, i, &class) == LARDER_OK; i++)
		leaked += (class.n_retired + class.n_allocated) *
			  max_u64(class.object_bytes / UNIT_BYTES, 1);
	larder_inspect_close(inspector);
	if (leaked)
		violation("%llu units are neither free nor linked",
			  (unsigned long long)leaked);
	return leaked;
}

static void storm_round(const struct plan *p, uint64_t end_ns,
			struct toll *toll, struct verdict *verdict,
			uint64_t *leaked)
{
	uint64_t now = larder_clock_ns();
	uint64_t end = now + (uint64_t)(p->round_seconds * 1e9);

	if (end_ns > now)
		end = min_u64(end, end_ns);

	memset(board->record, 0,
	       min_u64(load_relaxed(&board->used), RECORDS) *
		       sizeof *board->record);
	store_relaxed(&board->used, 0);
	for (uint32_t i = 0; i < board->n_seats; i++)
		store_relaxed(&board->seat[i].incarnation, 0);
	me->next = me->end = 0;
	read_all(true);
	if (board->threads)
		storm_threads(end);
	else
		storm_processes(toll, end,
				p->kills - min_u64(p->kills, toll->kills));
	/* Until all that expires has: nothing goes while it is swept. */
	usleep(1000 * EXPIRES_MS);
	settle(cache);
	settle(cache);
	*leaked += judge_segment();
	read_all(false);
	judge_round(verdict);
}

/* Nobody's operation pays for the deaths of others. Under a sanitizer, or with
 * threads that share one process's locks, that is not the library's doing. */
static void judge_costs(void)
{
#ifdef STORM_SANITIZED
	return;
#endif
	if (board->threads)
		return;
	if (load_relaxed(&board->most_cpu_ns) > MOST_CPU_NS)
		violation("one %s took %.1f ms of its thread's CPU time",
			  kind_names[load_relaxed(&board->most_cpu_kind)],
			  (double)load_relaxed(&board->most_cpu_ns) / 1e6);
	if (load_relaxed(&board->sleeps))
		violation("%llu operations slept, the last one of them a %s",
			  (unsigned long long)load_relaxed(&board->sleeps),
			  kind_names[load_relaxed(&board->sleep_kind)]);
}

/* ------------------------------------------------------------------ */
/* The report                                                          */

static void report_kinds(void)
{
	for (unsigned i = 0; i < N_KINDS; i++) {
		uint64_t n = load_relaxed(&board->n_kind[i]);

		if (n)
			printf("  %-22s %llu\n", kind_names[i],
			       (unsigned long long)n);
	}
}

static void report(const struct toll *toll, const struct verdict *v,
		   uint64_t leaked)
{
	uint64_t n = n_operations(), counters[COUNTER_NONE] = {0};

	report_kinds();
	larder_counters(cache, counters, COUNTER_NONE);

	printf("operations %llu, kills %llu, stops %llu, forks %llu, execs "
	       "%llu, left pending %llu\n"
	       "reads judged %llu, versions %llu, entries evicted or swept "
	       "%llu, entries moved %llu, stores without room %llu\n"
	       "dead workers recovered %llu, stuck sections expelled %llu, "
	       "waits for a grace period %llu ms\n"
	       "most CPU time of one operation %.2f ms (%s), %.2f ms with page "
	       "faults\n"
	       "sleeps outside documented waits %llu (%s), on locks of the "
	       "kernel %llu, in %llu operations\n"
	       "leaked units %llu, violations %llu\n",
	       (unsigned long long)n, (unsigned long long)toll->kills,
	       (unsigned long long)toll->stops,
	       (unsigned long long)load_relaxed(&board->n_kind[KIND_FORK]),
	       (unsigned long long)load_relaxed(&board->n_kind[KIND_EXEC]),
	       (unsigned long long)v->pending, (unsigned long long)v->reads,
	       (unsigned long long)v->versions,
	       (unsigned long long)v->evictions,
	       (unsigned long long)counters[COUNTER_ENTRIES_MOVED],
	       (unsigned long long)counters[COUNTER_NO_SPACE],
	       (unsigned long long)counters[COUNTER_RECOVERED],
	       (unsigned long long)counters[COUNTER_EXPULSIONS],
	       (unsigned long long)(counters[COUNTER_WAITED_NS] / 1000000),
	       (double)load_relaxed(&board->most_cpu_ns) / 1e6,
	       kind_names[load_relaxed(&board->most_cpu_kind)],
	       (double)load_relaxed(&board->most_cpu_any_ns) / 1e6,
	       (unsigned long long)load_relaxed(&board->sleeps),
	       kind_names[load_relaxed(&board->sleep_kind)],
	       (unsigned long long)load_relaxed(&board->kernel_sleeps),
	       (unsigned long long)load_relaxed(&board->n_undisturbed),
	       (unsigned long long)leaked,
	       (unsigned long long)load_relaxed(&board->n_violations));
}

static bool showed_something(const struct toll *toll, const struct verdict *v)
{
	return v->reads && (toll->kills || board->threads);
}

int main(int argc, char **argv)
{
	struct plan p = {
		.seconds = 10, .round_seconds = 2, .kills = UINT64_MAX / 2};
	static struct actor survivor;
	struct toll toll = {0};
	struct verdict verdict = {0};
	uint64_t end_ns, leaked = 0;
	int result;

	if (argc > 1 && !strcmp(argv[1], "--executed"))
		return storm_executed(argc, argv);
	if (make_board()) {
		perror("larder-storm: shared memory");
		return 1;
	}
	result = read_options(argc, argv, &p);
	if (result) {
		fprintf(stderr,
			"larder-storm: see the head of storm.c; 3 to "
			"%d processes\n",
			SEATS_MAX);
		return result;
	}
	printf("seed %llu\n", (unsigned long long)board->seed);
	fflush(stdout);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	result = make_segment(&p.create);
	if (result) {
		fprintf(stderr, "larder-storm: a segment: %s\n",
			larder_strerror(result));
		return 1;
	}
	store_relaxed(&board->round, max_u64(p.first_round, 1) - 1);
	actor_begin(&survivor, SURVIVOR, 0);
	end_ns = larder_clock_ns() + (uint64_t)(p.seconds * 1e9);
	do {
		fetch_add_relaxed(&board->round, 1);
		storm_round(&p, end_ns, &toll, &verdict, &leaked);
	} while ((larder_clock_ns() < end_ns || n_operations() < p.operations ||
		  !showed_something(&toll, &verdict)) &&
		 toll.kills < p.kills && !load_relaxed(&board->n_violations));
	judge_costs();
	report(&toll, &verdict, leaked);
	actor_end(&survivor);
	larder_close(cache);
	return (load_relaxed(&board->n_violations) != 0) == p.mistaken ? 0 : 1;
}
