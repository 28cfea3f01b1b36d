/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subcommands. argv[0] is the subcommand's name; each returns the
 * program's exit status.
 */
#ifndef LARDER_BENCH_COMMANDS_H
#define LARDER_BENCH_COMMANDS_H

int bench_compare(int argc, char **argv);
int bench_latency(int argc, char **argv);
int bench_scale(int argc, char **argv);
int bench_overhead(int argc, char **argv);
int bench_freshness(int argc, char **argv);
int bench_router(int argc, char **argv);
int bench_assign(int argc, char **argv);
int bench_trace(int argc, char **argv);
int bench_bytes(int argc, char **argv);
int bench_costs(int argc, char **argv);
int bench_diff(int argc, char **argv);

#endif
