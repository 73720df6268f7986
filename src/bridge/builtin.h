/*
 * builtin.h
 *		The templates that are built in, as the build makes them.
 */
#ifndef BR_BUILTIN_H
#define BR_BUILTIN_H

#include <stddef.h>

typedef struct BrBuiltin
{
	const char *locale;
	const char *kind;
	const char *content; /* of the template's file */
} BrBuiltin;

/* Ended by one whose members are NULL. */
extern const BrBuiltin br_builtins[];

#endif
