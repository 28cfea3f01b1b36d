/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What happens when a file that is mapped becomes shorter, or its file system
 * has no room for a page of it: the kernel raises SIGBUS at the next access.
 * A program of its own may answer that, unlike the library.
 */
#ifndef LARDER_TOOL_GUARD_H
#define LARDER_TOOL_GUARD_H

/*
 * From now on such an access ends the program with a sentence that names the
 * file and says what became of it, and with CLI_DAMAGE. What was printed to a
 * pipe or a file but not yet written out is lost, so nobody takes it for whole.
 */
void guard_mappings(const char *program);

#endif
