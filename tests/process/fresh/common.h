/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What these programs share: assertions that say what they assert, children
 * that are always reaped, memory that all of them see.
 */
#ifndef TESTS_PROCESS_FRESH_COMMON_H
#define TESTS_PROCESS_FRESH_COMMON_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <larder/larder.h>

enum { MAX_CHILDREN = 128 };

/* Print the sentence with what was found; remember a failure. */
void claim(bool held, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Number of failed claims of this process. */
int n_failed(void);

/* End the program at once: nothing else can be concluded. */
void need(bool held, const char *what);

/* Zeroed memory that children share. */
void *shared(size_t n);

/* A segment without a name, opened; the children inherit the handle. */
struct larder *segment(const struct larder_create_options *options);

/* Fork; the child runs @run(@i, @context) and exits with what it returns. */
typedef int child(int i, void *context);
pid_t spawn(child *run, int i, void *context);

/* Reap one child of ours: its exit status, or -signal. */
int reap(pid_t pid);

void sleep_ms(unsigned ms);

/* Wait until *word reaches @value; a hang ends the program by its alarm. */
void await(_Atomic uint32_t *word, uint32_t value);

/* One counter of the segment, by name. */
uint64_t counter(struct larder *h, const char *name);

#endif
