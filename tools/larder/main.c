/* SPDX-License-Identifier: Apache-2.0 */
/*
 * larder: look into a segment and work on it. One verb, one file (verb_*.c);
 * here is only the list of them.
 */
#include "cli.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct cli_verb cli_verbs[] = {
	{"create", "SEGMENT", "make a segment",
	 "Make a segment, all of its space reserved, for programs to open. An "
	 "existing file is\nleft alone.",
	 cli_create_run},
	{"plan", "", "what a segment of some size would give",
	 "Print how a segment of these options would be divided, without "
	 "making it.",
	 cli_plan_run},
	{"info", "SEGMENT", "what a segment is: identity, sizes, limits",
	 "Print the superblock and what follows from it.", cli_info_run},
	{"stat", "SEGMENT", "counters and gauges",
	 "Print what the segment holds and what its workers did since it was "
	 "created, those that\nare gone included.",
	 cli_stat_run},
	{"top", "SEGMENT", "the same, live, with rates",
	 "Print counters and gauges again and again, with what changed a "
	 "second. Ends with\nControl-C.",
	 cli_top_run},
	{"workers", "SEGMENT", "who is attached",
	 "Print each attached thread: what it did, since when it reads, what "
	 "it leases. A pin that\nlags many epochs behind is a reader that "
	 "stands still; others go on without it.",
	 cli_workers_run},
	{"classes", "SEGMENT", "size classes, pages, fragmentation",
	 "Print how pages and objects are divided among the sizes. 'runs' are "
	 "entries larger than\na page.",
	 cli_classes_run},
	{"ages", "SEGMENT", "how old entries are, and how much in use",
	 "Print how many entries are of what age, in which part of the CLOCK, "
	 "and how many hits\n(0 to 3) they had since a hand last passed.",
	 cli_ages_run},
	{"ls", "SEGMENT", "list entries",
	 "List entries while the segment is in use. Without --sort they come "
	 "in no order, and at\nonce. Bytes of a key that are not printable "
	 "are shown as \\xNN.",
	 cli_ls_run},
	{"get", "SEGMENT KEY", "write a value to standard output",
	 "Write the value's bytes as they are. Exit status 1 if there is no "
	 "valid entry. This is a\nclient like any other: it takes a slot, and "
	 "its hit is counted.",
	 cli_get_run},
	{"put", "SEGMENT KEY VALUE", "store an entry",
	 "Store VALUE, or standard input if VALUE is '-'.", cli_put_run},
	{"del", "SEGMENT KEY...", "take entries away",
	 "Take entries away. Exit status 1 if one was not there.", cli_del_run},
	{"invalidate", "SEGMENT", "make entries invalid",
	 "Make invalid what carries a tag, what matches a pattern, a key or "
	 "everything, and what is\nbeing computed for them. Give one of "
	 "--key, --tag, --match and --all.",
	 cli_invalidate_run},
	{"flights", "SEGMENT", "who computes what now",
	 "Print the fills under way: one worker computes, others wait.",
	 cli_flights_run},
	{"patterns", "SEGMENT", "patterns that are in force",
	 "Print the patterns invalidated lately, until a sweep has taken away "
	 "what they match.",
	 cli_patterns_run},
	{"check", "SEGMENT", "verify every invariant",
	 "Verify a live, copied or dead segment without changing or stopping "
	 "anything. What an\nunfinished operation explains is a note; a "
	 "broken invariant is damage, and exit status 3.\nA file copied while "
	 "it was written to is of no one moment: check the original.",
	 cli_check_run},
	{"repair", "SEGMENT", "give up what is damaged, keep the rest",
	 "Bring a segment that nobody is attached to into a state that check "
	 "accepts, and say what\nwas given up. Also brings back a segment of "
	 "an earlier boot. Best done on a copy.",
	 cli_repair_run},
	{"copy", "OLD NEW", "carry entries into another segment",
	 "Put every valid entry of OLD into NEW, with what is left of its "
	 "time, its tags and flags.\nNEW is created if it is not there. What "
	 "is invalidated in OLD meanwhile may survive in\nNEW: stop the "
	 "writers, or invalidate again.",
	 cli_copy_run},
	{"sweep", "SEGMENT", "do the housekeeping",
	 "Take away what expired or is invalid, and finish what the dead left "
	 "behind. Workers do as\nmuch as they need of it themselves.",
	 cli_sweep_run},
	{"export", "SEGMENT", "metrics in Prometheus' text format",
	 "Print all counters and gauges for a monitoring system.",
	 cli_export_run},
	{"destroy", "SEGMENT", "remove a segment",
	 "Remove the segment's file. Refused while workers are attached.",
	 cli_destroy_run},
	{"doctor", "", "what on this machine would hurt",
	 "Look at the settings of this machine that a segment depends on, say "
	 "which would hurt, why\nand how to mend it. Changes nothing. Exit "
	 "status 1 if something would hurt.",
	 cli_doctor_run},
	{0},
};

int main(int argc, char **argv)
{
	setlocale(LC_CTYPE, "");
	if (argc < 2)
		cli_usage(NULL, "no verb given");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
	    !strcmp(argv[1], "help")) {
		cli_help();
		return CLI_FINE;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("larder %s, layout %u\n", larder_version(),
		       larder_layout_version());
		return CLI_FINE;
	}
	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		int status;

		if (strcmp(v->name, argv[1]))
			continue;
		status = v->run(v, argc - 1, argv + 1);
		/* A full disk or a closed pipe is a failure like others. */
		if (fflush(stdout) || ferror(stdout)) {
			cli_error("standard output cannot be written");
			if (status == CLI_FINE)
				status = CLI_FAILED;
		}
		return status;
	}
	cli_usage(NULL, "there is no verb '%s'", argv[1]);
}
