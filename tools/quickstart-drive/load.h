/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load of HTTP requests on one server, and what came back.
 *
 * One thread, many connections, one request in flight on each. A closed loop
 * sends the next request when an answer arrived; where the workload has due
 * times, a request is sent when it is due (or as soon as a connection is free
 * after that) and its latency counts from when it was due, so that a server
 * that stalls is not flattered by the requests it delayed.
 */
#ifndef QUICKSTART_LOAD_H
#define QUICKSTART_LOAD_H

#include <stdint.h>
#include <sys/socket.h>

#include "workload.h"

/* Where a server listens: "unix:PATH" or "HOST:PORT". */
struct target {
	struct sockaddr_storage address;
	socklen_t n_address;
	const char *name;
};

/* Return: 0, or -1 if @text is no such address. @text is kept. */
int target_parse(struct target *t, const char *text);

/* How a request was answered, as the X-Larder header tells it. */
enum answer {
	ANSWER_HIT,
	ANSWER_MISS,
	ANSWER_STALE,
	ANSWER_COALESCED,
	ANSWER_BYPASS,
	N_ANSWERS,
};
extern const char *const answer_names[N_ANSWERS];

struct samples {
	uint64_t *ns; /* owned; sorted by samples_sort() */
	uint32_t n;
	uint32_t room;
};

void samples_sort(struct samples *s);
/* The smallest sample that @share of them do not exceed; 0 if there is none. */
uint64_t samples_quantile(const struct samples *s, double share);
void samples_merge(struct samples *into, const struct samples *from);

struct load_result {
	uint64_t n_requests;
	uint64_t n_failed;	 /* no answer, or another status than 200 */
	uint64_t n_different;	 /* answers that contradict an earlier one */
	uint64_t n_cross_worker; /* hits on what another worker stored */
	uint64_t n_late;	 /* due times that found no free connection */
	uint64_t wall_ns;
	struct samples latency[N_ANSWERS];
	char failure[160]; /* the first one, in a sentence */
};

typedef void load_progress(void *context, uint32_t done, uint32_t total);

/*
 * Send the requests @first .. @first + @n of the workload over @n_connections
 * and add what happened to @result. Return: 0, or -1 if the server could not be
 * reached or memory ran out (@result says why).
 */
int load_run(const struct target *t, struct workload *w, uint32_t first,
	     uint32_t n, uint32_t n_connections, struct load_result *result,
	     load_progress *progress, void *context);

void load_result_free(struct load_result *r);

uint64_t now_ns(void);

#endif
