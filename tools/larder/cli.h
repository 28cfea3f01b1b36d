/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs share: arguments, help, errors, and opening a segment.
 *
 * Help goes to standard output and only when asked for; errors go to standard
 * error with a hint at --help. The program's exit statuses are enum cli_exit.
 */
#ifndef LARDER_TOOL_CLI_H
#define LARDER_TOOL_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <larder/admin.h>

enum cli_exit {
	CLI_FINE = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_DAMAGE = 3,
};

enum cli_kind {
	CLI_FLAG,  /* bool */
	CLI_TEXT,  /* const char * */
	CLI_LIST,  /* struct cli_list, repeatable */
	CLI_SIZE,  /* uint64_t, bytes */
	CLI_MS,	   /* uint64_t, a duration */
	CLI_NS,	   /* the same, in nanoseconds */
	CLI_COUNT, /* uint64_t */
	CLI_OCTAL, /* uint32_t, permission bits */
};

struct cli_list {
	const char **text; /* owned */
	size_t n;
};

struct cli_option {
	const char *name;     /* without the dashes; NULL ends the table */
	const char *argument; /* NULL for a flag */
	const char *help;
	enum cli_kind kind;
	void *to;
};

/* Those of every verb. */
struct cli_common {
	bool json, bytes;
};
extern struct cli_common cli;

struct cli_verb {
	const char *name;
	const char *arguments; /* "SEGMENT KEY" */
	const char *summary;   /* one line, for the list of verbs */
	const char *about;     /* sentences, for its own help */
	int (*run)(const struct cli_verb *verb, int argc, char **argv);
};

/* The verbs, a name of NULL ends them. */
extern const struct cli_verb cli_verbs[];

/*
 * Read options and check that there are @least to @most other arguments, whose
 * first is returned. Prints help and ends the program on --help; ends it with
 * CLI_USAGE on anything wrong. argv[argc] is NULL.
 */
char **cli_parse(const struct cli_verb *verb, const struct cli_option *options,
		 int argc, char **argv, int least, int most);

void cli_help(void);

/* "larder VERB: ..." to standard error; returns CLI_FAILED. */
int cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same with a hint at --help; ends the program with CLI_USAGE. */
void cli_usage(const struct cli_verb *verb, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn));

/* Memory, or the end of the program. */
void *cli_alloc(size_t n);
void *cli_grow(void *memory, size_t n);

/* A path, or the default path of a bare name; static storage. */
const char *cli_path(const struct cli_verb *verb, const char *segment);

/* NULL after an error was printed; *status (may be NULL) is what to exit with.
 */
struct larder_inspector *cli_inspect(const struct cli_verb *verb,
				     const char *segment, int *status);
struct larder *cli_open(const struct cli_verb *verb, const char *segment);

/* An argument as bytes; @escaped: \xNN stands for a byte. In place. */
size_t cli_key(const struct cli_verb *verb, char *text, bool escaped);

/* The options of create and plan. */
struct cli_create {
	uint64_t size, slots, max_entries, entry_hint, ttl_ms, pattern_ms;
	uint32_t mode;
	const char *group, *policy;
	bool fenced;
};
/* Entries for an option table; `c` is a struct cli_create. */
#define CLI_PLAN_OPTIONS(c)                                                    \
	{"size", "BYTES", "of the whole segment (default 32M)", CLI_SIZE,      \
	 &(c).size},                                                           \
		{"slots", "N", "threads that may be attached at once",         \
		 CLI_COUNT, &(c).slots},                                       \
		{"max-entries", "N",                                           \
		 "most entries (default: as memory allows)", CLI_COUNT,        \
		 &(c).max_entries},                                            \
		{"entry-hint", "BYTES",                                        \
		 "typical bytes of key and value (default 272)", CLI_SIZE,     \
		 &(c).entry_hint},                                             \
	{                                                                      \
		"policy", "NAME", "fin (default), base, clock or cost",        \
			CLI_TEXT, &(c).policy                                  \
	}

/* Fill create options; ends the program if something is wrong with them. */
void cli_create_options(const struct cli_verb *verb, const struct cli_create *c,
			struct larder_create_options *options);
const char *cli_policy_name(unsigned policy);

/* Counter number of a name, and its value in an array of all of them. */
uint64_t cli_counter(const uint64_t *counters, const char *name);
/* All counters, or of one slot; the caller frees them. */
uint64_t *cli_counters(struct larder_inspector *in, int slot);

int cli_create_run(const struct cli_verb *, int, char **);
int cli_info_run(const struct cli_verb *, int, char **);
int cli_stat_run(const struct cli_verb *, int, char **);
int cli_workers_run(const struct cli_verb *, int, char **);
int cli_ls_run(const struct cli_verb *, int, char **);
int cli_get_run(const struct cli_verb *, int, char **);
int cli_put_run(const struct cli_verb *, int, char **);
int cli_del_run(const struct cli_verb *, int, char **);
int cli_check_run(const struct cli_verb *, int, char **);
int cli_repair_run(const struct cli_verb *, int, char **);
int cli_copy_run(const struct cli_verb *, int, char **);
int cli_sweep_run(const struct cli_verb *, int, char **);
int cli_invalidate_run(const struct cli_verb *, int, char **);
int cli_flights_run(const struct cli_verb *, int, char **);
int cli_patterns_run(const struct cli_verb *, int, char **);
int cli_ages_run(const struct cli_verb *, int, char **);
int cli_classes_run(const struct cli_verb *, int, char **);
int cli_top_run(const struct cli_verb *, int, char **);
int cli_destroy_run(const struct cli_verb *, int, char **);
int cli_doctor_run(const struct cli_verb *, int, char **);
int cli_export_run(const struct cli_verb *, int, char **);
int cli_plan_run(const struct cli_verb *, int, char **);

#endif
