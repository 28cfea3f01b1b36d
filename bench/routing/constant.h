/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that answers everything with the same bytes: what the HTTP library
 * itself costs, driven the way larder-router drives it.
 */
#ifndef LARDER_BENCH_CONSTANT_H
#define LARDER_BENCH_CONSTANT_H

#include <stddef.h>
#include <sys/types.h>

/* Fork it, listening on a Unix socket at @path. The pid, or a negative errno.
 * It dies with its parent; stop it with server_stop(). */
pid_t constant_start(const char *path, const void *body, size_t n_body);

#endif
