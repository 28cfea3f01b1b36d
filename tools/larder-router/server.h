/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of larder-router share. */
#ifndef LARDER_ROUTER_SERVER_H
#define LARDER_ROUTER_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <larder/router.h>

/* What workers share beside answers needs a segment of at least this. */
enum { WORKERS_MAX = 256, ROUTER_SEGMENT_MIN = 8 << 20 };

struct settings {
	const char *catalog, *listen, *segment, *config, *warm, *token_file;
	uint64_t bytes, ttl_ms, soft_ttl_ms;
	double feedback_weight;
	struct router_weights weights;
	unsigned warm_hottest;
	uint32_t bypass_cells; /* 0: the library's default */
	unsigned n_workers;
	bool no_cache, bytes_given;
	size_t max_body;
	unsigned max_connections, deadline_ms;
	char token[1024]; /* of token_file; "" if none */
	bool loopback;	  /* Unix socket or a loopback address */
};

/* options.c: of the command line and the configuration file. Exits (2) on bad
 * usage; sets every default. */
void settings_read(struct settings *s, int argc, char **argv);

/* listen.c: a listening socket; for a Unix path the name appears only once it
 * accepts. -1 after a message. */
int listen_open(struct settings *s);
void listen_remove(const struct settings *s);

/* A worker's cell in the region "router/workers", watched by the master. */
struct heartbeat {
	_Atomic uint64_t beat_ms;
	_Atomic uint64_t pid;
};

/* worker.c: serve until told to stop; the process's exit status. */
int worker_run(const struct settings *s, int listener, unsigned number,
	       pid_t master, bool warm);

/* One line on stderr: time, pid, text. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t clock_ms(void);

#endif
