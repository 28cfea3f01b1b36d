/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Complaints, memory, interruption and progress: what has no better place.
 */
#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <larder/larder.h>

static volatile sig_atomic_t interrupted;

void bench_complain(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fflush(stdout);
	fputs("larder-bench: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
}

const char *bench_error(int error)
{
	return error > -1000 ? strerror(-error) : larder_strerror(error);
}

void *bench_alloc(size_t n_bytes)
{
	void *memory = calloc(1, n_bytes ? n_bytes : 1);

	if (!memory) {
		bench_complain("no memory for %zu bytes", n_bytes);
		exit(BENCH_FAILED);
	}
	return memory;
}

void *bench_shared(size_t n_bytes)
{
	void *memory = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		bench_complain("no shared memory for %zu bytes: %s", n_bytes,
			       strerror(errno));
		exit(BENCH_FAILED);
	}
	return memory;
}

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

void bench_catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

bool bench_interrupted(void)
{
	return interrupted;
}

void bench_sleep(double seconds)
{
	uint64_t until = bench_now_ns() + (uint64_t)(seconds * 1e9), now;

	while (!interrupted && (now = bench_now_ns()) < until) {
		uint64_t left = until - now;
		struct timespec t = {
			.tv_sec = (time_t)(left / 1000000000u),
			.tv_nsec = (long)(left % 1000000000u),
		};

		nanosleep(&t, NULL);
	}
}

/* ------------------------------------------------------------------ */

enum { PROGRESS_EVERY_NS = 10 * 1000 * 1000 };

void bench_progress_begin(struct bench_progress *p, const char *what,
			  unsigned total)
{
	*p = (struct bench_progress){
		.what = what, .total = total, .begun_ns = bench_now_ns()};
	p->said_ns = p->begun_ns;
}

void bench_progress_step(struct bench_progress *p, const char *doing)
{
	uint64_t now = bench_now_ns();
	double gone = (double)(now - p->begun_ns) / 1e9, left;
	bool terminal = isatty(STDERR_FILENO);

	/* A log gets a line every ten seconds, a terminal one that moves. */
	if (!terminal &&
	    now - p->said_ns < PROGRESS_EVERY_NS * UINT64_C(1000)) {
		p->done++;
		return;
	}
	left = p->done ? gone / p->done * (p->total - p->done) : 0;
	fprintf(stderr, "%s%s: %u of %u, %s", terminal ? "\r\033[K" : "",
		p->what, p->done + 1, p->total, doing);
	if (p->done)
		fprintf(stderr, ", about %.0f s left", left);
	fputs(terminal ? "" : "\n", stderr);
	fflush(stderr);
	p->said_ns = now;
	p->done++;
}

void bench_progress_end(struct bench_progress *p)
{
	(void)p;
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}
