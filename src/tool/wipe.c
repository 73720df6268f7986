/*
 * wipe.c: the end of a secret.
 *
 * A compiler may leave out a memset of what nobody reads again; libsodium's it
 * may not.
 */
#include "tool/tool.h"

#include <sodium.h>

void
as_wipe(void *bytes, size_t length)
{
	if (length > 0)
		sodium_memzero(bytes, length);
}
