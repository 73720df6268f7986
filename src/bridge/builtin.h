/*
 * builtin.h
 *		The templates that are built in, as the build makes them.
 */
#ifndef AS_BRIDGE_BUILTIN_H
#define AS_BRIDGE_BUILTIN_H

#include <stddef.h>

typedef struct AsBuiltin
{
	const char *locale;
	const char *kind;
	const char *content; /* of the template's file */
} AsBuiltin;

/* Ended by one whose members are NULL. */
extern const AsBuiltin as_builtins[];

#endif
