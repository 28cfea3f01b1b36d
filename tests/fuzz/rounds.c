/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target without a fuzzer, the same in every build: first on each
 * file it is given, or each in a folder, then on inputs that it makes of them
 * from a seed (some bytes overwritten, pieces joined) or of nothing.
 *
 *   fuzz-NAME [--rounds N] [--seed N] [--keep FOLDER] [FILE | FOLDER]...
 *
 * An input that it dies of is written to FOLDER/found.
 */
#include "fuzz/rounds.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST = 4096, MOST_FILES = 4096, HANG_S = 60 };

static struct {
	uint8_t *bytes;
	size_t n;
} corpus[MOST_FILES];
static size_t n_corpus;
static uint64_t state;

static uint64_t random_word(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * UINT64_C(0x9e3779b97f4a7c15) >> 16;
}

static const uint8_t *running;
static size_t n_running;
static int keep_in = -1; /* a folder */

static void die(int signal)
{
	static const char said[] = "the input is in the file 'found'\n";
	int fd = openat(keep_in, "found", O_CREAT | O_TRUNC | O_WRONLY, 0666);

	if (fd >= 0 && write(fd, running, n_running) == (ssize_t)n_running &&
	    write(STDERR_FILENO, said, sizeof said - 1) < 0)
		_exit(1);
	raise(signal);
}

static void run(const uint8_t *data, size_t n)
{
	running = data;
	n_running = n;
	alarm(HANG_S); /* a hang is a failure */
	LLVMFuzzerTestOneInput(data, n);
	alarm(0);
}

static void replay(const char *path)
{
	static uint8_t data[1 << 20];
	FILE *f = fopen(path, "rb");
	size_t n;

	if (!f) {
		perror(path);
		exit(2);
	}
	n = fread(data, 1, sizeof data, f);
	fclose(f);
	run(data, n);
	if (n_corpus == MOST_FILES)
		return;
	corpus[n_corpus].bytes = malloc(n ? n : 1);
	if (!corpus[n_corpus].bytes)
		exit(1);
	memcpy(corpus[n_corpus].bytes, data, n);
	corpus[n_corpus++].n = n;
}

/* A file, or what is in a folder, in the order of their names. */
static void replay_all(const char *path)
{
	struct dirent **list;
	struct stat st;
	int n;

	if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
		replay(path);
		return;
	}
	n = scandir(path, &list, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char name[4096];

		snprintf(name, sizeof name, "%s/%s", path, list[i]->d_name);
		if (list[i]->d_name[0] != '.')
			replay(name);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
}

/* A piece of some file of the corpus, to the end of @data. */
static size_t append(uint8_t *data, size_t n)
{
	size_t k = random_word() % n_corpus, from, length;

	if (!corpus[k].n)
		return n;
	from = random_word() & 1 ? random_word() % corpus[k].n : 0;
	length = corpus[k].n - from;
	if (random_word() & 1)
		length = 1 + random_word() % length;
	if (length > MOST - n)
		length = MOST - n;
	memcpy(data + n, corpus[k].bytes + from, length);
	return n + length;
}

static size_t make(uint8_t *data)
{
	size_t n = 0, flips;

	if (!n_corpus || random_word() % 8 == 0) {
		n = 16 + random_word() % (MOST - 16);
		for (size_t i = 0; i < n; i++)
			data[i] = (uint8_t)random_word();
		return n;
	}
	do
		n = append(data, n);
	while (random_word() & 1);
	flips = random_word() % 8;
	for (size_t i = 0; n && i < flips; i++)
		data[random_word() % n] = (uint8_t)random_word();
	return n;
}

int main(int argc, char **argv)
{
	static const int deaths[] = {SIGABRT, SIGALRM, SIGSEGV, SIGBUS, SIGFPE};
	const struct sigaction action = {.sa_handler = die,
					 .sa_flags = (int)SA_RESETHAND};
	static uint8_t data[MOST];
	uint64_t rounds = 0, seed = 1;

	for (size_t i = 0; i < sizeof deaths / sizeof *deaths; i++)
		sigaction(deaths[i], &action, NULL);
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--rounds") && i + 1 < argc)
			rounds = strtoull(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			seed = strtoull(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--keep") && i + 1 < argc)
			keep_in = open(argv[++i], O_DIRECTORY | O_CLOEXEC);
		else
			replay_all(argv[i]);
	}
	for (uint64_t k = 0; k < rounds; k++) {
		state = ((seed << 32) + k + 1) * UINT64_C(0x9e3779b97f4a7c15);
		run(data, make(data));
	}
	printf("%zu files, %llu rounds, seed %llu\n", n_corpus,
	       (unsigned long long)rounds, (unsigned long long)seed);
	for (size_t i = 0; i < n_corpus; i++)
		free(corpus[i].bytes);
	return 0;
}
