/*
 * keys.h: the floor of the server's own keys: those that sign access tokens
 * and the one from which refresh tokens, codes and links get their MACs. Their
 * tables' statements are here too. Calls jose, base and tool.
 */
#ifndef AS_KEYS_H
#define AS_KEYS_H

#include "base/base.h"
#include "jose/jose.h"

/* ---- mac_key.c: the server's MAC key (auth_private.mac_keys) ---- */

/*
 * The key of a purpose, derived from the newest MAC key. With may_create,
 * makes the MAC key on first use (a write: not in a read-only transaction or
 * on a standby); without it, false where there is none. Raises where it is
 * sealed and can't be opened.
 */
extern bool as_mac_key(AsMacPurpose purpose, bool may_create, AsMacKey *out);

/*
 * A fresh MAC key in place of all there are: refresh tokens, codes and links
 * of before are forged ones. A write, durable when it commits, which holds the
 * lock of mac_keys to the transaction's end.
 */
extern void as_mac_key_replace_all(void);

/* ---- signing_key.c: the keys that sign access tokens ---- */

/*
 * Signs claims (JSON text of an object, length bytes, in the database's
 * encoding) under the active key, made on first use (a write), and returns
 * the compact JWT, in the caller's memory context. Raises where the key
 * can't be had (sealed and no master key: an operator's error, never a
 * fallback), and where the token would be longer than AS_JWT_MAX.
 */
extern char *as_signing_key_sign(const char *claims, size_t length);

/*
 * Verifies form, size, key and signature of a compact JWT against the keys
 * of auth_private.signing_keys (active, next, retiring), at the newest
 * committed state. Looks at no claim; raises nothing for any input. jwt
 * points into token.
 */
extern bool as_signing_key_verify(const char *token, size_t length, AsJwt *jwt);

/* ---- key_life.c: how signing keys come, sign, retire and go ---- */

/*
 * All of these are writes, durable when they commit, and hold the lock of
 * signing_keys (the first in the lock order) to the transaction's end.
 * AS_READ_ONLY in a read-only transaction or on a standby.
 */
typedef enum AsKeyChange
{
	AS_KEY_CHANGED,
	AS_KEY_UNKNOWN,      /* no key of that kid, or a retired one */
	AS_KEY_EXISTS,       /* the kid is taken, if by a retired key */
	AS_KEY_TOO_LONG,     /* import: more than AS_KEY_TEXT_MAX */
	AS_KEY_UNACCEPTABLE, /* import: no key, or too weak; activate: it can't
						  * sign; retire: it is the active one */
} AsKeyChange;

/* Makes a key, state next, and answers its kid. */
extern void as_signing_key_create(AsAlgorithm algorithm,
                                  char kid[AS_KID_MAX + 1]);

/*
 * Takes a key over, state next. Its kid is the JWK's own, else its RFC 7638
 * thumbprint, else (HMAC) a random id. jwk is as PG_GETARG_JSONB_P has it;
 * the texts that are made of it are zeroed.
 */
extern AsKeyChange as_signing_key_import(Jsonb *jwk, char kid[AS_KID_MAX + 1]);

/*
 * The key signs; the one that did verifies until its last token has expired
 * (access_token_ttl and leeway from now, and a minute).
 */
extern AsKeyChange as_signing_key_activate(const char *kid);

/* Refused at once in every backend; the private part is deleted. */
extern AsKeyChange as_signing_key_retire(const char *kid);

/*
 * A step of maintenance: retires what verifies no longer, makes the next key,
 * and where key_rotation_interval has passed activates the one that an earlier
 * step has made: true then, with its kid. Keeps other operators from the keys until the commit.
 */
extern bool as_signing_key_rotate_if_due(char kid[AS_KID_MAX + 1]);

/*
 * A fresh key signs, of the same algorithm as the one before it (HS256 where
 * there is none), and every other key is retired.
 */
extern void as_signing_key_replace_all(void);

/* ---- key_show.c: what others are told of the signing keys ---- */

/* auth.jwks(): the public keys that verify, the active one first. */
extern Jsonb *as_signing_key_public_set(void);

/*
 * The active key as a secret JWK, made on first use (a write); NULL where it
 * isn't an HMAC key. Raises where it is sealed and can't be opened.
 */
extern Jsonb *as_signing_key_secret_jwk(void);

/*
 * A JWK set, as text, of every key that verifies or will, HMAC keys with their
 * secret: to be zeroed. The active key first, made on first use (a write).
 * Raises where an HMAC key is sealed and can't be opened.
 */
extern char *as_signing_key_set(void);

/* ---- seal_keys.c: all keys under the master key of today ---- */

typedef enum AsSealing
{
	AS_SEALING_DONE,
	AS_SEALING_NO_FILE,         /* auth_session.master_key_file isn't set */
	AS_SEALING_PREVIOUS_REFUSED /* the previous file is no master key */
} AsSealing;

/*
 * Seals every signing and MAC key, and the secret of every second factor, that
 * is stored open, or sealed under the master key in previous_file (NULL: none),
 * and counts them in *sealed. A write, as those of key_life.c. Raises where a key can't be opened, or the
 * file of today can't be used; keeps no master key on any way out.
 */
extern AsSealing as_keys_seal(const char *previous_file, int *sealed);

/* ---- key_check.c: what an operator should know of the keys ---- */

/*
 * Adds what is wrong with the master key's file, with what is stored without
 * it or under another one, and keys that are too short. Reads every row of
 * second factors; opens nothing.
 */
extern void as_keys_check(AsFindings *findings);

/* ---- the files of this floor among themselves ---- */

#define AS_SIGNING_KEYS "signing_keys"
#define AS_MAC_KEYS     "mac_keys"

/* sealed.c: what is stored under the master key */

/*
 * The form in which a secret is stored in the row that label names: sealed
 * where auth_session.master_key_file is set, else open. Raises where the file
 * can't be used; zeroes the secret either way.
 */
extern AsArg as_sealed_arg(const char *label, void *secret, size_t length);

/*
 * Opens a stored form into out of room bytes, and zeroes it. Never raises:
 * where the master key is missing or wrong the log has why, and the outcome
 * says so.
 */
extern AsSealOutcome as_sealed_open(const char *label, AsBytes *stored,
                                    void *out, size_t room, size_t *length);

/*
 * Seals under the master key of today what was open, or sealed under previous
 * (NULL: none), and answers how many that were. rows reads (label text,
 * stored bytea), update writes stored, $2, where label is $1. Raises where
 * one can't be opened or the file can't be used.
 */
extern int as_sealed_renew(AsStatement *rows, AsStatement *update,
                           const AsMasterKey *previous);

/* Raises what an operator has to mend, in words that tell a client nothing. */
pg_noreturn extern void as_sealed_fail(AsSealOutcome outcome);

/* mac_key.c and key_life.c, as as_sealed_renew, for seal_keys.c */
extern int as_mac_key_seal(const AsMasterKey *previous);
extern int as_signing_key_seal(const AsMasterKey *previous);

/* key_ring.c: the signing keys that this backend has loaded */

/* A row of auth_private.signing_keys. */
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

/* Another one each time that the ring was loaded; of the last as_key_ring. */
extern uint64 as_key_ring_serial(void);

/*
 * The key that signs, with its private part where opened says so; NULL where
 * there is none yet.
 */
extern const AsSigningKey *as_key_ring_active(void);

/* verified.c: the tokens whose signatures were verified lately */

/*
 * The index of the key of this ring (as_key_ring_serial) under which exactly
 * this token was verified, or -1: verify it. Whether the key still verifies is
 * the caller's to say.
 */
extern int as_verified_recall(const char *token, size_t length, uint64 ring);

/* It was, a moment ago; after a recall of it that said -1. Never raises. */
extern void as_verified_remember(const char *token, size_t length, uint64 ring,
                                 int key);

/* key_life.c: the key that signs, made on first use (HS256), so never NULL */
extern const AsSigningKey *as_signing_key_active(void);

#endif /* AS_KEYS_H */
