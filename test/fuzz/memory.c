/*
 * memory.c: palloc for the fuzzer, as a server has it: what is allocated
 * ends with the input at the latest. The server's JSON parser counts on it
 * where it refuses a text; a use after that, or past an end, is still found.
 */
#include "memory.h"

#include <stddef.h>

#include <stdlib.h>
#include <string.h>

typedef struct Chunk
{
	struct Chunk *next;
	struct Chunk *previous;
	max_align_t bytes[];
} Chunk;

static Chunk chunks = {&chunks, &chunks};

void *
palloc(size_t size)
{
	Chunk *chunk = malloc(sizeof(Chunk) + size);

	if (chunk == NULL)
		abort();
	chunk->next = &chunks;
	chunk->previous = chunks.previous;
	chunks.previous->next = chunk;
	chunks.previous = chunk;
	return chunk->bytes;
}

void
pfree(void *pointer)
{
	Chunk *chunk = (Chunk *) ((char *) pointer - offsetof(Chunk, bytes));

	chunk->next->previous = chunk->previous;
	chunk->previous->next = chunk->next;
	free(chunk);
}

void *
repalloc(void *pointer, size_t size)
{
	Chunk *chunk = (Chunk *) ((char *) pointer - offsetof(Chunk, bytes));

	chunk = realloc(chunk, sizeof(Chunk) + size);
	if (chunk == NULL)
		abort();
	chunk->next->previous = chunk;
	chunk->previous->next = chunk;
	return chunk->bytes;
}

void *
palloc0(size_t size)
{
	return memset(palloc(size), 0, size);
}

void *
palloc_extended(size_t size, int flags)
{
	(void) flags;
	return palloc(size);
}

char *
pstrdup(const char *text)
{
	size_t size = strlen(text) + 1;

	return memcpy(palloc(size), text, size);
}

void
memory_reset(void)
{
	while (chunks.next != &chunks)
		pfree(chunks.next->bytes);
}
