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

#endif /* AS_NOUNS_H */
