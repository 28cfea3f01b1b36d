/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that ends all at once: what a question needs on its way to an answer.
 * Taking is a pointer's move; nothing is given back piece by piece. An arena
 * that is begun again keeps its largest chunk, so that the next question of its
 * size takes nothing from the allocator.
 */
#ifndef LARDER_ROUTER_ARENA_H
#define LARDER_ROUTER_ARENA_H

#include <stddef.h>

struct arena_chunk;

struct arena {
	struct arena_chunk *chunk; /* the newest, which is the largest */
	char *at, *end;
	struct arena *next; /* among those that wait to be used */
};

/* An arena, which lies in its own first chunk. NULL: no memory. */
struct arena *router_arena_new(void);
void router_arena_free(struct arena *a);
/* All that was taken is gone. The arena, which has moved; or NULL, and it is
 * freed, if it would keep more than @most bytes. */
struct arena *router_arena_again(struct arena *a, size_t most);

/* What was taken since a mark is gone. */
struct arena_mark {
	struct arena_chunk *chunk;
	char *at;
};
struct arena_mark router_arena_mark(const struct arena *a);
void router_arena_rewind(struct arena *a, struct arena_mark mark);

/* @n bytes of any content, aligned for anything; NULL: no memory. */
void *router_arena_take(struct arena *a, size_t n);
void *router_arena_zeroed(struct arena *a, size_t n);
/* @n bytes and a NUL. */
char *router_arena_text(struct arena *a, const void *bytes, size_t n);
/* The list of @n elements, with room for one more: it may have moved. NULL: no
 * memory. */
void *router_arena_grow(struct arena *a, void *list, size_t n, size_t *room,
			size_t n_bytes_each);

#endif
