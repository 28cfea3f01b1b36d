/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGBUS: guard.h. The handler runs anywhere, so it calls nothing but system
 * calls: it looks the address up in /proc/self/maps, which also says which file
 * is mapped there, and compares with the file's size as it is now.
 */
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

static const char *program_name = "larder";

/* One line of /proc/self/maps, as far as it matters. */
struct mapping {
	uint64_t begin, end, offset, inode;
	char path[4096]; /* "" if it is of no file */
};

/* ------------------------------------------------------------------ */
/* A message, put together without the C library's streams.            */

struct message {
	size_t n;
	char text[4608];
};

static void say(struct message *m, const char *text)
{
	size_t n = strlen(text);

	if (n > sizeof m->text - m->n)
		n = sizeof m->text - m->n;
	memcpy(m->text + m->n, text, n);
	m->n += n;
}

static void say_number(struct message *m, uint64_t n)
{
	char digits[21];
	size_t at = sizeof digits - 1;

	digits[at] = '\0';
	do
		digits[--at] = (char)('0' + n % 10);
	while (n /= 10);
	say(m, digits + at);
}

/* ------------------------------------------------------------------ */

struct reader {
	int fd;
	size_t at, n;
	char bytes[1024];
};

static int next_byte(struct reader *r)
{
	if (r->at == r->n) {
		ssize_t n = read(r->fd, r->bytes, sizeof r->bytes);

		if (n <= 0)
			return -1;
		r->n = (size_t)n;
		r->at = 0;
	}
	return (unsigned char)r->bytes[r->at++];
}

static uint64_t next_hex(struct reader *r)
{
	uint64_t v = 0;
	int c;

	for (;;) {
		c = next_byte(r);
		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			return v;
	}
}

static int skip_word(struct reader *r)
{
	int c = next_byte(r);

	while (c != ' ' && c != '\n' && c >= 0)
		c = next_byte(r);
	return c;
}

/* "begin-end rwxp offset device inode      /path" */
static bool next_mapping(struct reader *r, struct mapping *m)
{
	size_t n = 0;
	int c;

	m->begin = next_hex(r);
	m->end = next_hex(r);
	skip_word(r);
	m->offset = next_hex(r);
	skip_word(r);
	m->inode = 0;
	for (c = next_byte(r); c >= '0' && c <= '9'; c = next_byte(r))
		m->inode = m->inode * 10 + (uint64_t)(c - '0');
	while (c == ' ')
		c = next_byte(r);
	for (; c != '\n' && c >= 0; c = next_byte(r))
		if (n < sizeof m->path - 1)
			m->path[n++] = (char)c;
	m->path[n] = '\0';
	return m->end != 0;
}

static bool find_mapping(uint64_t address, struct mapping *m)
{
	struct reader r = {.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
	bool found = false;

	if (r.fd < 0)
		return false;
	while (!found && next_mapping(&r, m))
		found = address >= m->begin && address < m->end;
	close(r.fd);
	return found;
}

static void say_what_became(struct message *say_to, const struct mapping *m)
{
	uint64_t mapped = m->offset + (m->end - m->begin);
	struct stat st;

	if (stat(m->path, &st) || st.st_ino != m->inode) {
		say(say_to, ": the file was removed, and cut short while it "
			    "was in use");
	} else if ((uint64_t)st.st_size < mapped) {
		say(say_to, ": the file was cut short while it was in use: ");
		say_number(say_to, (uint64_t)st.st_size);
		say(say_to, " bytes are left of ");
		say_number(say_to, mapped);
	} else {
		say(say_to, ": a page of the file cannot be had: its file "
			    "system is full, or the memory is broken");
	}
}

static void bus_error(int signal, siginfo_t *info, void *context)
{
	static struct mapping m;
	static struct message message;

	(void)signal;
	(void)context;
	say(&message, program_name);
	say(&message, ": ");
	if (find_mapping((uint64_t)(uintptr_t)info->si_addr, &m) && m.path[0]) {
		say(&message, m.path);
		say_what_became(&message, &m);
	} else {
		say(&message, "memory cannot be read any more");
	}
	say(&message, "\n");
	if (write(STDERR_FILENO, message.text, message.n) < 0)
		_exit(CLI_FAILED);
	_exit(CLI_DAMAGE);
}

void guard_mappings(const char *program)
{
	struct sigaction action = {.sa_sigaction = bus_error,
				   .sa_flags = SA_SIGINFO};

	program_name = program;
	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, NULL);
}
