/*
 * tool.h: the lowest floor. Bytes in, bytes out.
 *
 * Nothing here knows a table, a setting or a caller, or calls another floor. A
 * tool answers with a value that says what went wrong and leaves it to its
 * caller to say so; what a caller must hold is stated by assert(). It writes
 * where the caller says, and wipes the secrets that it held before it returns.
 *
 * Two are different. normalize.c needs the server: its answers are palloc'ed,
 * which raises where there is no memory, and what the server's normalisation
 * frees on its way isn't wiped. key_seal.c reads one file, the master key's.
 */
#ifndef AS_TOOL_H
#define AS_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Laid out as the server's pg_uuid_t. */
typedef struct AsUuid
{
	uint8_t bytes[16];
} AsUuid;

/*
 * The longest claims that a token has, in bytes of UTF-8: no setting takes
 * more than what the reader of tokens does.
 */
#define AS_ISSUER_MAX   255
#define AS_AUDIENCE_MAX 255
#define AS_ROLE_MAX     63

/* ---- wipe.c: the end of a secret ---- */

/* Zeroes bytes, NULL where there are none, whatever the compiler thinks. */
extern void as_wipe(void *bytes, size_t length);

/* ---- compare.c: whether two secrets are the same ---- */

/* In a time that depends on length alone. */
extern bool as_is_same(const void *a, const void *b, size_t length);

/* ---- base64.c: RFC 4648 section 5, without padding ---- */

/* Characters for n bytes; and the most bytes that n characters can hold. */
#define AS_BASE64URL_CHARS(n) (((n) / 3) * 4 + ((n) % 3 * 8 + 5) / 6)
#define AS_BASE64URL_BYTES(n) ((n) / 4 * 3 + 2)

/* Room that the encoder needs for n bytes: the characters and a NUL. */
#define AS_BASE64URL_ROOM(n) (AS_BASE64URL_CHARS(n) + 1)

/*
 * Writes the characters and a NUL into out, which has AS_BASE64URL_ROOM
 * bytes, in a time that doesn't depend on the bytes; answers the number of
 * characters.
 */
extern size_t as_base64url_encode(const void *bytes, size_t length, char *out);

/*
 * Strict: no padding, no white space, no other alphabet, unused bits zero.
 * False for anything else and where room bytes don't hold it; out may have
 * been written to then. Its time depends on the length alone.
 */
extern bool as_base64url_decode(const char *text, size_t length, void *out,
                                size_t room, size_t *out_length);

/* The same of the other alphabet, with padding (section 4). */
extern bool as_base64_decode(const char *text, size_t length, void *out,
                             size_t room, size_t *out_length);

/* ---- base32.c: RFC 4648 section 6, without padding ---- */

/* Characters for n bytes. */
#define AS_BASE32_CHARS(n) (((n) *8 + 4) / 5)

/*
 * Writes the AS_BASE32_CHARS(length) characters, in upper case, and a NUL, in a
 * time that doesn't depend on the bytes; answers the number of characters.
 */
extern size_t as_base32_encode(const void *bytes, size_t length, char *out);

/*
 * Reads exactly as many bytes, in either case. False for anything else, and
 * out may have been written to then.
 */
extern bool as_base32_decode(const char *text, size_t length, void *out,
                             size_t bytes);

/* ---- random_id.c: identifiers that nobody can guess ---- */

/* A random UUID (RFC 9562 section 5.4, version 4). */
extern AsUuid as_uuid_random(void);

/*
 * A time-ordered UUID (RFC 9562 section 5.7, version 7) of unix_ms, the
 * milliseconds since 1970: new rows land at the end of their index.
 */
extern AsUuid as_uuid_ordered(uint64_t unix_ms);

extern bool as_uuid_equal(const AsUuid *a, const AsUuid *b);

/* Whether a uuid is other than all zeros, which stands for unknown. */
extern bool as_uuid_is_known(const AsUuid *uuid);

/* Writes the 36 characters of the canonical form and a NUL. */
#define AS_UUID_CHARS 36
extern void as_uuid_print(const AsUuid *uuid, char out[AS_UUID_CHARS + 1]);

/*
 * Reads the canonical form only: 36 characters, hyphens in place, either
 * case. False for anything else.
 */
extern bool as_uuid_parse(const char *text, size_t length, AsUuid *out);

/* ---- hmac.c: HMAC (RFC 2104) under a key that is used again ---- */

/* OpenSSL's EVP_MAC_CTX. */
typedef struct evp_mac_ctx_st AsHmac;

/* Of a digest that OpenSSL has by that name; NULL where it can't. */
extern AsHmac *as_hmac_new(const char *digest, const void *key,
                           size_t key_length);

/*
 * The HMAC of data, in room bytes at least as many as the digest has; answers
 * how many it has written, 0 where OpenSSL can't. The key is that of as_hmac_new.
 */
extern size_t as_hmac(AsHmac *context, const void *key, size_t key_length,
                      const void *data, size_t length, uint8_t *out,
                      size_t room);

/* Zeroes what it holds of the key; NULL is nothing to free. */
extern void as_hmac_free(AsHmac *context);

/* ---- mac.c: digests, under a server key and plain ---- */

#define AS_MAC_KEY_BYTES 32
#define AS_DIGEST_BYTES  32

/* A key for one purpose, derived from the server's MAC key. */
typedef struct AsMacKey
{
	uint8_t bytes[AS_MAC_KEY_BYTES];
} AsMacKey;

/* SHA-256; of a random secret the only form in which one is stored. */
typedef struct AsDigest
{
	uint8_t bytes[AS_DIGEST_BYTES];
} AsDigest;

/* What a derived key is for; its number goes into the derivation. */
typedef enum AsMacPurpose
{
	AS_MAC_REFRESH_TAG = 1,       /* the tag of a refresh token */
	AS_MAC_REFRESH_SUCCESSOR = 2, /* the secret of the next refresh token */
	AS_MAC_CODE = 3,              /* the short one-time code */
	AS_MAC_LINK = 4,              /* the tag of a link token */
	AS_MAC_MFA = 5,               /* the tag of an mfa token */
	AS_MAC_API_KEY = 6,           /* the tag of an API key */
	AS_MAC_API_KEY_HANDLE = 7,    /* the tag of what stands for one */
	AS_MAC_NOBODY = 8             /* whom an unknown address stands for */
} AsMacPurpose;

/* Derives the key of a purpose from the server's MAC key (libsodium KDF). */
extern void as_mac_key_derive(const uint8_t master[AS_MAC_KEY_BYTES],
                              AsMacPurpose purpose, AsMacKey *out);

/*
 * HMAC-SHA-256 (RFC 2104) of data under key. The process keeps copies of the
 * keys that it used last, with what OpenSSL needs for them, until forget.
 */
extern void as_mac(const AsMacKey *key, const void *data, size_t length,
                   uint8_t out[AS_DIGEST_BYTES]);

/* Zeroes all that as_mac keeps: to be called when a key is no more. */
extern void as_mac_forget(void);

extern void as_digest(const void *data, size_t length, AsDigest *out);
extern bool as_digest_equal(const AsDigest *a, const AsDigest *b);

/* ---- tagged.c: texts that only this server can have made ---- */

/* Every prefix says what it is of, which kind and which version: "asr1_". */
#define AS_TAGGED_PREFIX_CHARS 5

/* Too few bytes could be guessed, a try each. */
#define AS_TAG_MIN_BYTES 16

/* Characters of a text whose body and tag have n bytes together. */
#define AS_TAGGED_CHARS(n) (AS_TAGGED_PREFIX_CHARS + AS_BASE64URL_CHARS(n))

/*
 * A kind of text: prefix + base64url of body | tag, the tag being the first
 * bytes of an HMAC-SHA-256 over the body.
 *
 * The law: a kind has a key of its own, derived for a purpose that nothing
 * else has. The tag covers no prefix, so under one key a body of one kind
 * would pass for another's.
 */
typedef struct AsTaggedKind
{
	const char *prefix; /* AS_TAGGED_PREFIX_CHARS of them */
	size_t body_bytes;  /* with the tag at most 128 */
	size_t tag_bytes;   /* AS_TAG_MIN_BYTES to AS_DIGEST_BYTES */
} AsTaggedKind;

/*
 * Writes the text and a NUL into out, which has AS_TAGGED_CHARS(body_bytes +
 * tag_bytes) + 1 bytes.
 */
extern void as_tagged_print(const AsTaggedKind *kind, const AsMacKey *key,
                            const void *body, char *out);

/*
 * Reads the text of a kind whose tag is right into body, body_bytes of it.
 * False, and a body of zeros, for everything else: another prefix or length,
 * padding, white space, another alphabet, unused bits, a wrong tag.
 */
extern bool as_tagged_parse(const AsTaggedKind *kind, const AsMacKey *key,
                            const char *text, size_t length, void *body);

/* ---- password_hash.c: stored hashes; ours are Argon2id (libsodium) ---- */

/* A password as it will be hashed: normalised, length in bytes. */
typedef struct AsPassword
{
	const char *bytes;
	size_t length;
} AsPassword;

/*
 * A hash as it is stored, NUL-terminated: a PHC string of ours, $argon2id$v=19$
 * m=..,t=..,p=1$salt$hash, or what another system made (foreign_hash.c). There
 * is room for the longest of those, Firebase's with all its parameters.
 */
#define AS_PASSWORD_HASH_CHARS 384
typedef struct AsPasswordHash
{
	char phc[AS_PASSWORD_HASH_CHARS];
} AsPasswordHash;

typedef struct AsHashCost
{
	uint32_t memory_kib;
	uint32_t iterations;
} AsHashCost;

/* False only when the memory for the computation can't be had. */
extern bool as_password_hash_make(const AsPassword *password, AsHashCost cost,
                                  AsPasswordHash *out);

typedef enum AsHashVerdict
{
	AS_HASH_WRONG,
	AS_HASH_RIGHT,
	AS_HASH_NO_MEMORY /* it could not be computed: nobody knows */
} AsHashVerdict;

/* Whether the password is the one of the hash, which must be acceptable. */
extern AsHashVerdict as_password_hash_verify(const AsPasswordHash *hash,
                                             const AsPassword *password);

/*
 * Whether a stored hash is a well-formed string of Argon2id, Argon2i or a
 * foreign scheme whose cost this server is ready to pay: of Argon2 memory of
 * at most 1 GiB, at most 64 passes. A poisoned row can so not eat the machine.
 */
extern bool as_password_hash_acceptable(const AsPasswordHash *hash);

/*
 * Whether the hash, which is the password's, is weaker than Argon2id of the
 * cost now asked for, and one of the password can take its place. It can't
 * where the stored one saw only the beginning of the password: what follows,
 * nobody has proved.
 */
extern bool as_password_hash_is_weaker(const AsPasswordHash *hash,
                                       const AsPassword *password,
                                       AsHashCost cost);

/*
 * A hash of another system as it is stored here; false where it is none that
 * is acceptable, or Argon2 of more than 4 GiB, memory times passes.
 */
extern bool as_password_hash_import(const char *text, size_t length,
                                    AsPasswordHash *out);

/* ---- foreign_hash.c: hashes of other systems (libxcrypt, OpenSSL) ---- */

typedef enum AsForeignScheme
{
	AS_FOREIGN_BCRYPT,
	AS_FOREIGN_SHA512CRYPT,
	AS_FOREIGN_PBKDF2,
	AS_FOREIGN_SCRYPT,
	AS_FOREIGN_FIREBASE /* scrypt, whose output encrypts a signer key */
} AsForeignScheme;

#define AS_FOREIGN_BYTES_MOST 128
typedef struct AsForeignBytes
{
	uint8_t bytes[AS_FOREIGN_BYTES_MOST];
	size_t length;
} AsForeignBytes;

/* A hash of another system, read. */
typedef struct AsForeignHash
{
	AsForeignScheme scheme;
	const char
	    *crypt;       /* bcrypt and sha512crypt: the string itself, else NULL */
	bool is_digested; /* bcrypt of the password's SHA-256, in hexadecimal */
	const char *digest_name; /* PBKDF2's, as OpenSSL has it */
	uint32_t n;              /* iterations, or scrypt's N */
	uint32_t r;
	uint32_t p;
	uint32_t digest_length; /* as the string says; 0: it doesn't */
	AsForeignBytes salt;
	AsForeignBytes separator;
	AsForeignBytes signer_key;
	AsForeignBytes digest;
} AsForeignHash;

/*
 * Reads a NUL-terminated string, to which out then points. False for what is
 * malformed, of no scheme that is known, or dearer than about two seconds and
 * 256 MiB: then nothing is ever computed of it.
 */
extern bool as_foreign_hash_read(const char *text, AsForeignHash *out);

/*
 * Whether the password is the one of the hash. Of bcrypt the first 72 bytes
 * are all that was ever hashed; sha512crypt is refused beyond 512.
 */
extern AsHashVerdict as_foreign_hash_verify(const AsForeignHash *hash,
                                            const AsPassword *password);

/* Whether the hash is one of the password's first bytes only. */
extern bool as_foreign_hash_is_cut(const AsForeignHash *hash,
                                   const AsPassword *password);

/* ---- refresh_token.c: the opaque token of a session ---- */

#define AS_REFRESH_SECRET_BYTES 32
/* A tagged text of two ids, a generation, the secret and a tag: 84 bytes. */
#define AS_REFRESH_TOKEN_CHARS AS_TAGGED_CHARS(84)

typedef struct AsRefreshToken
{
	AsUuid user_id;
	AsUuid session_id;
	uint32_t generation;
	uint8_t secret[AS_REFRESH_SECRET_BYTES];
} AsRefreshToken;

/* The first token of a session: generation 1 and a fresh random secret. */
extern void as_refresh_token_first(const AsUuid *user_id,
                                   const AsUuid *session_id,
                                   AsRefreshToken *out);

/*
 * The token that follows a presented one. Its secret is derived from the
 * presented secret, so the same token always has the same successor.
 */
extern void as_refresh_token_next(const AsRefreshToken *presented,
                                  const AsMacKey *successor_key,
                                  AsRefreshToken *out);

/* Writes the token and a NUL. */
extern void as_refresh_token_print(const AsRefreshToken *token,
                                   const AsMacKey *tag_key,
                                   char out[AS_REFRESH_TOKEN_CHARS + 1]);

/*
 * Reads a token whose tag is right. False, and zeros, for everything else:
 * nothing that this server did not make comes out of here.
 */
extern bool as_refresh_token_parse(const char *text, size_t length,
                                   const AsMacKey *tag_key,
                                   AsRefreshToken *out);

/* The digest by which the session knows its current token. */
extern void as_refresh_token_digest(const AsRefreshToken *token, AsDigest *out);

/* ---- api_key.c: API keys, and what stands for one in a transaction ---- */

#define AS_API_KEY_PREFIX       "ask1_"
#define AS_API_KEY_SECRET_BYTES 32
/* A tagged text of two ids, the secret and a tag; and of two ids and a tag. */
#define AS_API_KEY_CHARS        AS_TAGGED_CHARS(80)
#define AS_API_KEY_HANDLE_CHARS AS_TAGGED_CHARS(48)

typedef struct AsApiKey
{
	AsUuid user_id;
	AsUuid id;
	uint8_t secret[AS_API_KEY_SECRET_BYTES];
} AsApiKey;

/* One with a fresh random secret. */
extern void as_api_key_make(const AsUuid *user_id, const AsUuid *id,
                            AsApiKey *out);

/* Writes the key and a NUL. */
extern void as_api_key_print(const AsApiKey *key, const AsMacKey *tag_key,
                             char out[AS_API_KEY_CHARS + 1]);

/* Reads one whose tag is right; false, and zeros, for everything else. */
extern bool as_api_key_parse(const char *text, size_t length,
                             const AsMacKey *tag_key, AsApiKey *out);

/* The digest by which its row knows it. */
extern void as_api_key_digest(const AsApiKey *key, AsDigest *out);

/* Whether a text says that it is a key, by its prefix; and a handle. */
extern bool as_api_key_is_one(const char *text);
extern bool as_api_key_handle_is_one(const char *text);

/* What stands for a key whose secret was compared: writes it and a NUL. */
extern void as_api_key_handle_print(const AsUuid *user_id, const AsUuid *id,
                                    const AsMacKey *tag_key,
                                    char out[AS_API_KEY_HANDLE_CHARS + 1]);

/* Reads one whose tag is right; false, and zeros, for everything else. */
extern bool as_api_key_handle_parse(const char *text, size_t length,
                                    const AsMacKey *tag_key, AsUuid *user_id,
                                    AsUuid *id);

/* ---- one_time_code.c: the short code and the link token of a code row ---- */

#define AS_CODE_MAX_DIGITS 10
/* A tagged text of two ids and a whole MAC: 64 bytes. */
#define AS_LINK_TOKEN_CHARS AS_TAGGED_CHARS(64)

/*
 * The short code: digits (6 to 10) decimal digits and a NUL, derived from
 * the random id of the code row, leading zeros kept.
 */
extern void as_one_time_code_derive(const AsUuid *code_id,
                                    const AsMacKey *code_key, int digits,
                                    char out[AS_CODE_MAX_DIGITS + 1]);

/* Whether a typed code is the one of the row; constant time. */
extern bool as_one_time_code_matches(const AsUuid *code_id,
                                     const AsMacKey *code_key, int digits,
                                     const char *typed, size_t length);

/* The link token carries the user and the code row, under a MAC. */
extern void as_link_token_print(const AsUuid *user_id, const AsUuid *code_id,
                                const AsMacKey *link_key,
                                char out[AS_LINK_TOKEN_CHARS + 1]);
extern bool as_link_token_parse(const char *text, size_t length,
                                const AsMacKey *link_key, AsUuid *user_id,
                                AsUuid *code_id);

/* ---- totp.c: time-based one-time passwords (RFC 6238) ---- */

#define AS_TOTP_SECRET_BYTES 20 /* RFC 4226 section 4, R6 */
#define AS_TOTP_DIGITS       6
#define AS_TOTP_PERIOD       30 /* seconds of a step */
#define AS_TOTP_DRIFT        1  /* steps that a clock may be off, each way */

typedef struct AsTotpSecret
{
	uint8_t bytes[AS_TOTP_SECRET_BYTES];
} AsTotpSecret;

extern void as_totp_secret_random(AsTotpSecret *out);

/* The step of a time. */
extern int64_t as_totp_step_at(int64_t unix_seconds);

/* The code of a step, and a NUL; false only for want of memory. */
extern bool as_totp_derive(const AsTotpSecret *secret, int64_t step,
                           char out[AS_TOTP_DIGITS + 1]);

typedef enum AsTotpVerdict
{
	AS_TOTP_WRONG,
	AS_TOTP_RIGHT,
	AS_TOTP_NO_MEMORY /* it could not be computed: nobody knows */
} AsTotpVerdict;

/*
 * Whether typed, AS_TOTP_DIGITS characters, is the code of the step at a time
 * or of one within the drift: then *step is the newest of these.
 */
extern AsTotpVerdict as_totp_match(const AsTotpSecret *secret,
                                   int64_t unix_seconds,
                                   const char typed[AS_TOTP_DIGITS],
                                   int64_t *step);

/* ---- mfa_token.c: between the two factors of a sign-in ---- */

/* A tagged text of two ids, two numbers, a byte and a tag: 65 bytes. */
#define AS_MFA_TOKEN_CHARS AS_TAGGED_CHARS(65)

typedef struct AsMfaToken
{
	AsUuid user_id;
	AsUuid id;          /* random: it can be used once */
	int64_t epoch;      /* of the account, as the sign-in saw it */
	int64_t expires_at; /* microseconds, as the server counts time */
	uint8_t methods;    /* what the user has shown, as a set */
} AsMfaToken;

/* Writes the token and a NUL. */
extern void as_mfa_token_print(const AsMfaToken *token, const AsMacKey *key,
                               char out[AS_MFA_TOKEN_CHARS + 1]);

/* Reads one whose tag is right; false, and zeros, for everything else. */
extern bool as_mfa_token_parse(const char *text, size_t length,
                               const AsMacKey *key, AsMfaToken *out);

/* ---- qr_code.c: texts for a camera ---- */

/* Modules along an edge of the largest code (version 40). */
#define AS_QR_MOST 177

typedef struct AsQrCode
{
	int width;
	uint8_t modules[AS_QR_MOST * AS_QR_MOST]; /* row by row; 1 is dark */
} AsQrCode;

/*
 * False where the text, NUL-terminated, is too long (2,331 bytes are not), or
 * for want of memory.
 */
extern bool as_qr_code_make(const char *text, AsQrCode *out);

/* ---- normalize.c: the canonical form of what people type ---- */

/*
 * Texts are UTF-8, not NUL-terminated; answers are in the caller's memory
 * context, NUL-terminated.
 */

/* The longest password, email (RFC 5321 4.5.3.1.3) and phone (E.164). */
#define AS_PASSWORD_MAX_BYTES 1024
#define AS_EMAIL_MAX_BYTES    254
#define AS_PHONE_MAX_CHARS    16

/*
 * The password in NFC, and how many characters (code points) that is. False
 * for what isn't UTF-8. as_password_wipe ends it.
 */
extern bool as_password_normalize(const char *utf8, size_t length,
                                  AsPassword *out, size_t *characters);
extern void as_password_wipe(AsPassword *password);

/*
 * The key by which emails are compared: the domain as A-label, the local part
 * in lower case and NFC. NULL for what isn't a mailbox that needs no quoting,
 * or has a character that can't be seen. The answer for an answer is itself.
 */
extern char *as_email_normalize(const char *utf8, size_t length);

/* An E.164 number, + and 7 to 15 digits; NULL for anything else. */
extern char *as_phone_normalize(const char *text, size_t length);

/*
 * A text in lower case and NFC, as an email's local part; "" for what isn't
 * UTF-8. The caller wipes it where it is secret.
 */
extern char *as_fold_text(const char *utf8, size_t length);

/*
 * A text from outside that is only ever shown: cut to most bytes, without
 * control and invisible characters, "" where it isn't UTF-8.
 */
extern char *as_display_text(const char *utf8, size_t length, size_t most);

/*
 * Takes the white space and the hyphens and dashes out of a short code as
 * people type and paste it, in place.
 */
extern void as_code_tidy(char *utf8, size_t *length);

/* ---- site_url.c: the application's URL ---- */

#define AS_SITE_URL_MAX 1024

/*
 * Whether a text, NUL-terminated, is an http or https URL, in either case, of
 * a host, with a port and a path or not, and nothing else.
 */
extern bool as_site_url_is_sound(const char *url);

/* Room for an origin and a NUL: scheme, host of 253 characters, port. */
#define AS_ORIGIN_ROOM 272

/*
 * Writes the origin of such a URL as browsers write it (RFC 6454 section 6.1):
 * scheme and host in lower case, and the port but for the scheme's own. False
 * where the URL is not sound.
 */
extern bool as_url_origin(const char *url, char out[AS_ORIGIN_ROOM]);

/* ---- key_seal.c: secrets at rest ---- */

#define AS_MASTER_KEY_BYTES 32

typedef struct AsMasterKey
{
	uint8_t bytes[AS_MASTER_KEY_BYTES];
} AsMasterKey;

typedef enum AsMasterKeyOutcome
{
	AS_MASTER_KEY_OK,
	AS_MASTER_KEY_MISSING, /* no regular file that can be read */
	AS_MASTER_KEY_MODE,    /* another's file, or open to others */
	AS_MASTER_KEY_SIZE     /* not 32 bytes, or all zero */
} AsMasterKeyOutcome;

/* Reads a master key file. */
extern AsMasterKeyOutcome as_master_key_read(const char *path,
                                             AsMasterKey *out);

/* What is wrong with the file, in a sentence; NULL: nothing. */
extern const char *as_master_key_fault(AsMasterKeyOutcome outcome);

/* The name of a master key in what is sealed under it: a digest. */
#define AS_MASTER_KEY_ID_BYTES 16

extern void as_master_key_id(const AsMasterKey *master,
                             uint8_t id[AS_MASTER_KEY_ID_BYTES]);

typedef enum AsSealOutcome
{
	AS_SEAL_OPENED,
	AS_SEAL_NO_MASTER_KEY,    /* sealed, and there is no master key */
	AS_SEAL_OTHER_MASTER_KEY, /* sealed under another one */
	AS_SEAL_DAMAGED           /* not what as_key_seal made for this label */
} AsSealOutcome;

#define AS_SEAL_OVERHEAD 57

/*
 * Writes the stored form of a secret into out, which has length +
 * AS_SEAL_OVERHEAD bytes; answers how many were written. label names the row
 * and is needed to open it. Without a master key (NULL) the form is open.
 */
extern size_t as_key_seal(const AsMasterKey *master, const char *label,
                          const void *secret, size_t length, uint8_t *out);

/*
 * Opens a stored form into out of room bytes. What isn't sealed opens
 * without a master key.
 */
extern AsSealOutcome as_key_open(const AsMasterKey *master, const char *label,
                                 const uint8_t *stored, size_t stored_length,
                                 void *out, size_t room, size_t *length);

/* Whether a stored form is sealed. */
extern bool as_key_is_sealed(const uint8_t *stored, size_t length);

/* ---- word_list.c: words in settings and in what users say ---- */

/* Whether word is one of those in list, separated by commas or spaces. */
extern bool as_word_is_in(const char *list, const char *word);

/* Whether text has the form of a language tag (BCP 47), in 35 characters. */
extern bool as_is_language(const char *text);

#endif
