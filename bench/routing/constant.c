/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process, one epoll descriptor, one response object made once and queued
 * for each request after its body has arrived, unread: no server on this
 * library can do less.
 */
#include "routing/constant.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <microhttpd.h>

#include "rundir.h"

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof address.sun_path) {
		close(fd);
		return -ENAMETOOLONG;
	}
	memcpy(address.sun_path, path, strlen(path));
	if (bind(fd, (struct sockaddr *)&address, sizeof address) ||
	    listen(fd, 64)) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}

static enum MHD_Result on_request(void *context,
				  struct MHD_Connection *connection,
				  const char *url, const char *method,
				  const char *version, const char *upload,
				  size_t *n_upload, void **state)
{
	static char seen;

	(void)url;
	(void)method;
	(void)version;
	(void)upload;
	if (!*state) {
		*state = &seen;
		return MHD_YES;
	}
	if (*n_upload) {
		*n_upload = 0;
		return MHD_YES;
	}
	return MHD_queue_response(connection, MHD_HTTP_OK, context);
}

static int serve(int listener, const void *body, size_t n_body)
{
	/* The library does not write into what it is told to keep. */
	struct MHD_Response *response = MHD_create_response_from_buffer(
		n_body, (void *)(uintptr_t)body, MHD_RESPMEM_PERSISTENT);
	const union MHD_DaemonInfo *info;
	struct MHD_Daemon *daemon;
	int epoll;

	if (!response)
		return 1;
	MHD_add_response_header(response, "Content-Type", "application/json");
	MHD_add_response_header(response, "X-Larder", "hit; age=0");
	MHD_add_response_header(response, "X-Larder-Stored-By", "this");
	daemon =
		MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_TURBO, 0, NULL, NULL,
				 on_request, response, MHD_OPTION_LISTEN_SOCKET,
				 listener, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				 (size_t)65536, MHD_OPTION_END);
	info = daemon ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD)
		      : NULL;
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!info || epoll < 0 ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, info->epoll_fd,
		      &(struct epoll_event){.events = EPOLLIN}))
		return 1;
	for (;;) {
		struct epoll_event event;
		MHD_UNSIGNED_LONG_LONG timeout;
		int wait = 1000;

		if (MHD_get_timeout(daemon, &timeout) == MHD_YES &&
		    timeout < (unsigned)wait)
			wait = (int)timeout;
		epoll_wait(epoll, &event, 1, wait);
		MHD_run(daemon);
	}
}

pid_t constant_start(const char *path, const void *body, size_t n_body)
{
	pid_t parent = getpid(), pid;
	int listener = listen_at(path);

	if (listener < 0)
		return listener;
	pid = fork();
	if (pid < 0)
		pid = -errno;
	if (pid == 0) {
		rundir_forked();
		signal(SIGTERM, SIG_DFL);
		signal(SIGINT, SIG_IGN); /* its parent stops it */
		signal(SIGPIPE, SIG_IGN);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(getppid() == parent ? serve(listener, body, n_body) : 1);
	}
	close(listener);
	return pid;
}
