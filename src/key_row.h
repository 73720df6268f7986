/*
 * key_row.h: what the files of the noun "signing key" share. signing_key.c
 * signs and verifies; key_ring.c holds a backend's loaded keys; key_life.c
 * makes, moves and ends keys; key_show.c tells of them.
 */
#ifndef AS_KEY_ROW_H
#define AS_KEY_ROW_H

#include "nouns.h"

#define AS_SIGNING_KEYS "signing_keys"

/* A row of auth_private.signing_keys, loaded by this backend. */
typedef struct AsSigningKey
{
	char kid[AS_KID_MAX + 1];
	AsAlgorithm algorithm;
	bool is_active;
	TimestampTz verifies_until; /* AS_NO_TIME: no end */

	/* Whether the private part could be had, where it was asked for. */
	AsSealOutcome opened;

	/* Public until the key signs; NULL where neither part could be had. */
	AsKey *key;

	/* The header segment of the tokens that the key itself makes. */
	size_t header_length;
	char header[AS_JWT_OWN_HEADER_ROOM];
} AsSigningKey;

/*
 * This backend's keys that verify, as of the newest committed state, the
 * one that signs first (if there is any active one). The array stays until
 * the next call.
 */
extern const AsSigningKey *as_key_ring(int *count);

/*
 * The key that signs, with its private part where opened says so; NULL where
 * there is none yet.
 */
extern const AsSigningKey *as_key_ring_active(void);

/* Makes an active HS256 key unless there is an active key by now. */
extern void as_signing_key_ensure(void);

#endif /* AS_KEY_ROW_H */
