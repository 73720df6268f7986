/*
 * nouns.h: the noun floor. One file per table, its statements beside its
 * struct; and what is put together from several of them.
 *
 * A noun answers with values; it raises only what the store raises (AS_BUSY)
 * and what can't happen. Lock order: value locks of identifiers, account,
 * session, token cache, outbox.
 */
#ifndef AS_NOUNS_H
#define AS_NOUNS_H

#include "ground.h"
#include "jose.h"
#include "shared.h"

/* ---- mac_key.c: the server's MAC key (auth_private.mac_keys) ---- */

/*
 * The key of a purpose, derived from the newest MAC key. With create, makes
 * the MAC key on first use (a write: not in a read-only transaction or on a
 * standby); without it, false where there is none.
 */
extern bool as_mac_key(AsMacPurpose purpose, bool create, AsMacKey *out);

/* ---- sealed.c: what is stored under the master key ---- */

/*
 * The form in which a secret is stored in the row that label names, in the
 * caller's memory context: sealed where auth_session.master_key_file is set,
 * else open. Raises where the file can't be used.
 */
extern uint8 *as_sealed_make(const char *label, const void *secret,
                             size_t length, size_t *stored_length);

/*
 * Opens a stored form into out of room bytes. Never raises: where the master
 * key is missing or wrong the log has why, and the outcome says so.
 */
extern AsSealOutcome as_sealed_open(const char *label, const uint8 *stored,
                                    size_t stored_length, void *out,
                                    size_t room, size_t *length);

/*
 * A stored form under the master key of today, in the caller's memory: what
 * was open, or sealed under previous (NULL: none). NULL where it is sealed
 * under today's already. Raises where it can't be opened or no file is set.
 */
extern uint8 *as_sealed_again(const char *label, const uint8 *stored,
                              size_t stored_length, const AsMasterKey *previous,
                              size_t *again_length);

/* Raises what an operator has to mend, in words that tell a client nothing. */
pg_noreturn extern void as_sealed_fail(AsSealOutcome outcome);

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
 * committed state. AS_OK and the payload (UTF-8, a NUL behind it, caller's
 * memory context), or AS_INVALID_TOKEN. Looks at no claim. Raises nothing for
 * any input.
 */
extern AsFailure as_signing_key_verify(const char *token, size_t length,
                                       char **payload, size_t *payload_length);

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
	AS_KEY_UNACCEPTABLE, /* import: no key, or too weak; activate: it can't
						  * sign; retire: it is the active one */
} AsKeyChange;

/* Makes a key, state next, and answers its kid. */
extern void as_signing_key_create(AsAlgorithm algorithm,
                                  char kid[AS_KID_MAX + 1]);

/*
 * Takes a key over, state next. Its kid is the JWK's own, else its RFC 7638
 * thumbprint, else (HMAC) a random id.
 */
extern AsKeyChange as_signing_key_import(const char *jwk, size_t length,
                                         char kid[AS_KID_MAX + 1]);

/*
 * The key signs; the one that did verifies until its last token has expired
 * (access_token_ttl and leeway from now, and a minute).
 */
extern AsKeyChange as_signing_key_activate(const char *kid);

/* Refused at once in every backend; the private part is deleted. */
extern AsKeyChange as_signing_key_retire(const char *kid);

/* A fresh active key of the same algorithm; all others are retired. */
extern void as_signing_key_replace_all(void);

/*
 * A step of maintenance: retires what verifies no longer, and where
 * key_rotation_interval has passed activates the next key. Answers how many
 * keys it changed.
 */
extern int as_signing_key_rotate_if_due(void);

/*
 * Seals every secret under the master key of today; previous as in
 * as_sealed_again. Answers how many it sealed.
 */
extern int as_signing_key_seal_all(const AsMasterKey *previous);

/* auth.jwks(): the public keys that verify, the active one first. */
extern Jsonb *as_signing_key_public_set(void);

/*
 * The active key as a secret JWK, made on first use; NULL where it isn't an
 * HMAC key. The caller zeroes it.
 */
extern char *as_signing_key_secret_jwk(void);

/* ---- claims_hook.c: what an application adds to claims ---- */

/*
 * The claims of a user's access token, with what auth_session.claims_hook
 * adds: in the caller's memory, the same object where there is no hook. sub,
 * session_id, jti, iat, exp, iss and aud stay as they are, role becomes only
 * one of auth_session.claims_hook_roles. What goes wrong in the hook is
 * logged for the operator with its own SQLSTATE, and raised as AS_BUSY.
 */
extern Jsonb *as_claims_hook_apply(const AsUuid *user_id, Jsonb *claims);

#endif /* AS_NOUNS_H */
