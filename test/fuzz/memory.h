/* memory.h: the server's allocation as the fuzzer has it; see memory.c. */
#ifndef MEMORY_H
#define MEMORY_H

#include <stddef.h>

extern void *palloc(size_t size);
extern void *palloc0(size_t size);
extern void *palloc_extended(size_t size, int flags);
extern void *repalloc(void *pointer, size_t size);
extern void pfree(void *pointer);
extern char *pstrdup(const char *text);

/* Frees everything; after each input. */
extern void memory_reset(void);

#endif /* MEMORY_H */
