/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arenas: see arena.h. Chunks double in size, so that their number grows with
 * the logarithm of what is taken.
 */
#include "router/arena.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_LEAST = 32768, ALIGN = alignof(max_align_t) };

struct arena_chunk {
	struct arena_chunk *before;
	size_t room; /* this head included */
};

static size_t rounded(size_t n)
{
	return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static void use(struct arena *a, struct arena_chunk *c)
{
	a->chunk = c;
	a->at = (char *)c + rounded(sizeof *c);
	a->end = (char *)c + c->room;
}

/* The arena as the first thing in its only chunk. */
static struct arena *settle(struct arena_chunk *c)
{
	struct arena first = {0}, *a;

	c->before = NULL;
	use(&first, c);
	a = (struct arena *)(void *)first.at;
	first.at += rounded(sizeof *a);
	*a = first;
	return a;
}

struct arena *router_arena_new(void)
{
	struct arena_chunk *c = malloc(CHUNK_LEAST);

	if (!c)
		return NULL;
	c->room = CHUNK_LEAST;
	return settle(c);
}

static void free_chunks(struct arena_chunk *c)
{
	while (c) {
		struct arena_chunk *before = c->before;

		free(c);
		c = before;
	}
}

void router_arena_free(struct arena *a)
{
	if (a)
		free_chunks(a->chunk);
}

struct arena *router_arena_again(struct arena *a, size_t most)
{
	struct arena_chunk *c = a->chunk;

	if (c->room > most) {
		free_chunks(c);
		return NULL;
	}
	free_chunks(c->before);
	return settle(c);
}

struct arena_mark router_arena_mark(const struct arena *a)
{
	return (struct arena_mark){.chunk = a->chunk, .at = a->at};
}

void router_arena_rewind(struct arena *a, struct arena_mark mark)
{
	while (a->chunk != mark.chunk) {
		struct arena_chunk *c = a->chunk;

		use(a, c->before);
		free(c);
	}
	a->at = mark.at;
}

static bool add_chunk(struct arena *a, size_t n)
{
	size_t room = 2 * a->chunk->room;
	struct arena_chunk *c;

	if (n > SIZE_MAX / 8)
		return false;
	while (room < n + rounded(sizeof *c))
		room *= 2;
	c = malloc(room);
	if (!c)
		return false;
	c->room = room;
	c->before = a->chunk;
	use(a, c);
	return true;
}

void *router_arena_take(struct arena *a, size_t n)
{
	void *taken;

	if (n > SIZE_MAX / 8)
		return NULL;
	n = rounded(n);
	if (n > (size_t)(a->end - a->at) && !add_chunk(a, n))
		return NULL;
	taken = a->at;
	a->at += n;
	return taken;
}

void *router_arena_zeroed(struct arena *a, size_t n)
{
	void *taken = router_arena_take(a, n);

	return taken ? memset(taken, 0, n) : NULL;
}

char *router_arena_text(struct arena *a, const void *bytes, size_t n)
{
	char *text = router_arena_take(a, n + 1);

	if (!text)
		return NULL;
	memcpy(text, bytes, n);
	text[n] = '\0';
	return text;
}

void *router_arena_grow(struct arena *a, void *list, size_t n, size_t *room,
			size_t n_bytes_each)
{
	size_t more = *room ? 2 * *room : 16;
	void *grown;

	if (n < *room)
		return list;
	grown = router_arena_take(a, more * n_bytes_each);
	if (!grown)
		return NULL;
	if (n)
		memcpy(grown, list, n * n_bytes_each);
	*room = more;
	return grown;
}
