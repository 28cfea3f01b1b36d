/* SPDX-License-Identifier: Apache-2.0 */
/* larder_create() and larder_create_fd() are public: see larder.h. What the
 * attaching side needs of them beside stands here. */
#ifndef LARDER_SEGMENT_CREATE_H
#define LARDER_SEGMENT_CREATE_H

/* Close the segment behind @fd and rename it from @path to
 * "<path>.damaged-<time>-<pid>", unless another file is at @path by now: then
 * somebody else did so. 0 or -errno. */
int larder_put_aside(const char *path, int fd);

#endif
