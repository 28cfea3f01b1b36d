/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run a program that may not use membarrier, as in a container whose seccomp
 * profile does not know it: denied PROGRAM ARGUMENT... Exits with 77 if filters
 * are not allowed here.
 */
#include "ground.h"

#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: denied PROGRAM ARGUMENT...\n");
		return 2;
	}
	if (!deny(SYS_membarrier, ANY_ARGUMENT, EPERM))
		return NOT_ALLOWED;
	execv(argv[1], argv + 1);
	perror(argv[1]);
	return 1;
}
