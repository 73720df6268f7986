/*
 * nobody.c: whom an address stands for that has nobody.
 *
 * What is asked of an address that nobody has makes the same look-ups and
 * writes as of one that somebody has: of this id. It is the same each time: a
 * user's rows are in one place, of a table that is partitioned or spread over
 * several nodes too, and an id that differs from try to try would be in another
 * each time: whoever saw one place fail, or be slow, would learn which addresses
 * are known. And it is derived under a server key, so that nobody can work out
 * where an address would fall.
 */
#include "service/service.h"

AsUuid
as_nobody_at(const char *identifier)
{
	AsMacKey key;
	AsDigest digest;
	AsUuid nobody;

	/* Before its first use there is no key, and no account to be told from. */
	if (as_mac_key(AS_MAC_NOBODY, false, &key))
		as_mac(&key, identifier, strlen(identifier), digest.bytes);
	else
		as_digest(identifier, strlen(identifier), &digest);
	as_wipe(&key, sizeof(key));

	/* Version 8 (RFC 9562 section 5.8): no account has such an id. */
	memcpy(nobody.bytes, digest.bytes, sizeof(nobody.bytes));
	nobody.bytes[6] = (nobody.bytes[6] & 0x0f) | 0x80;
	nobody.bytes[8] = (nobody.bytes[8] & 0x3f) | 0x80;
	return nobody;
}
