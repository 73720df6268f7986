/*
 * jose.h: keys and tokens as the JOSE standards have them (RFC 7515 to 7519,
 * 7638, 8037). Bytes in, bytes out; calls tool only.
 *
 * Needs no server: json_reader.c has the server's JSON parser, which is also a
 * library, and with it palloc. So nothing here raises unless memory runs out.
 * All else is in the caller's memory, or in OpenSSL's.
 *
 * A key has exactly one algorithm (RFC 8725 section 3.1), fixed when the key
 * is made; what a token's header says is compared with it and decides
 * nothing. Sizes are bounded before anything is decoded or computed; only what
 * a text is (pem.c) may be asked of any length, in time linear to it.
 */
#ifndef AS_JOSE_H
#define AS_JOSE_H

#include "tool/tool.h"

/* The algorithms of RFC 7518 section 3.1 and RFC 8037 that are spoken here. */
typedef enum AsAlgorithm
{
	AS_ALGORITHM_NONE = 0, /* no algorithm; never a token's */
	AS_HS256,
	AS_HS384,
	AS_HS512,
	AS_RS256,
	AS_ES256,
	AS_EDDSA
} AsAlgorithm;

/*
 * "HS256" and so on, exactly, and "Ed25519" (RFC 9864) for EdDSA;
 * AS_ALGORITHM_NONE for any other text.
 */
extern AsAlgorithm as_algorithm_parse(const char *name, size_t length);
extern const char *as_algorithm_name(AsAlgorithm algorithm);
extern bool as_algorithm_is_hmac(AsAlgorithm algorithm);

/* ---- key.c: a key ready to sign or verify ---- */

/* The longest signature: RSA with AS_RSA_MAX_BITS. */
#define AS_RSA_MIN_BITS      2048
#define AS_RSA_GENERATE_BITS 3072
#define AS_RSA_MAX_BITS      8192
#define AS_SIGNATURE_MAX     (AS_RSA_MAX_BITS / 8)

/* The longest HMAC secret, and private key in its stored form, in bytes. */
#define AS_SECRET_MAX  8192
#define AS_PRIVATE_MAX 8192

/*
 * A key with its contexts, kept in OpenSSL's memory: whoever made it frees
 * it. Not for use by two threads.
 */
typedef struct AsKey AsKey;

/*
 * An HMAC key of any length from 1 to AS_SECRET_MAX bytes; NULL otherwise.
 * Keys that are stored must also be as_secret_is_strong.
 */
extern AsKey *as_key_from_secret(AsAlgorithm algorithm, const void *secret,
                                 size_t length);

/*
 * Whether a secret is at least as long as the algorithm's hash (RFC 7518
 * section 3.2) and not one byte repeated.
 */
extern bool as_secret_is_strong(AsAlgorithm algorithm, const void *secret,
                                size_t length);

/*
 * A fresh key: as many random bytes as the hash has, RSA of
 * AS_RSA_GENERATE_BITS, P-256, Ed25519. NULL when OpenSSL can't.
 */
extern AsKey *as_key_generate(AsAlgorithm algorithm);

/*
 * The private part in its stored form: the secret itself, or PKCS #8 DER.
 * Writes at most room bytes and answers how many; 0 where the key has no
 * private part or room doesn't hold it. The caller zeroes out.
 */
extern size_t as_key_private(const AsKey *key, void *out, size_t room);

/* The key whose stored form that is; NULL for anything else. */
extern AsKey *as_key_from_private(AsAlgorithm algorithm, const void *stored,
                                  size_t length);

/* NULL is fine. */
extern void as_key_free(AsKey *key);

extern AsAlgorithm as_key_algorithm(const AsKey *key);

/* Whether the key can sign. */
extern bool as_key_is_private(const AsKey *key);

/* The length of the key's signatures in bytes. */
extern size_t as_key_signature_length(const AsKey *key);

/*
 * Signs data into out (AS_SIGNATURE_MAX bytes) and answers the length of
 * the signature, as_key_signature_length; 0 where the key can't.
 */
extern size_t as_key_sign(AsKey *key, const void *data, size_t length,
                          uint8_t *out);

/*
 * Whether signature is the key's for data. An HMAC is compared in constant
 * time; an ES256 signature must have exactly 64 octets (RFC 7518 section
 * 3.4) before anything looks at it.
 */
extern bool as_key_verify(AsKey *key, const void *data, size_t length,
                          const uint8_t *signature, size_t signature_length);

/* ---- jwk.c: keys as JSON (RFC 7517, 7638) ---- */

/* The longest text of a key, and the longest public JWK written. */
#define AS_KEY_TEXT_MAX   16384
#define AS_PUBLIC_JWK_MAX 2048

/* SHA-256 in base64url. */
#define AS_THUMBPRINT_CHARS 43
#define AS_KID_MAX          128

/*
 * The key of a JWK. algorithm is the one wanted, or AS_ALGORITHM_NONE to
 * take the key's own "alg" (an EC, OKP or RSA key may lack it). NULL where
 * the text is no JWK of a known kind, has members of another kind, a wrong
 * length, a point off the curve, a private part that isn't its public
 * part's, RSA of fewer than AS_RSA_MIN_BITS, or a use other than signing. kid
 * (AS_KID_MAX + 1) gets the JWK's "kid", "" where there is none; may be
 * NULL.
 */
extern AsKey *as_key_from_jwk(const char *text, size_t length,
                              AsAlgorithm algorithm, char *kid);

/*
 * Writes the public JWK (kty and its members, kid, alg, use) and a NUL;
 * answers the length, 0 for an HMAC key, which has no public part.
 */
extern size_t as_key_public_jwk(const AsKey *key, const char *kid,
                                char out[AS_PUBLIC_JWK_MAX]);

/* RFC 7638 over the public part; false for an HMAC key. */
extern bool as_key_thumbprint(const AsKey *key,
                              char out[AS_THUMBPRINT_CHARS + 1]);

/* ---- pem.c: keys in PEM, and what a text is ---- */

/* The key of a PEM text, private (PKCS #1, #8, SEC 1, unencrypted) or public. */
extern AsKey *as_key_from_pem(const char *text, size_t length,
                              AsAlgorithm algorithm);

/*
 * Whether a text, white space or a byte order mark before it or not, is
 * meant as a PEM or as a JWK. It is then never an HMAC secret.
 */
extern bool as_key_text_is_pem(const char *text, size_t length);
extern bool as_key_text_is_jwk(const char *text, size_t length);

/* Either, or an SSH public key. */
extern bool as_key_text_is_key(const char *text, size_t length);

/* Why a text is no key of RS256, ES256 or EdDSA, whichever. */
typedef enum AsKeyFault
{
	AS_KEY_FAULT_NONE,        /* it is one */
	AS_KEY_FAULT_CERTIFICATE, /* the key is within it */
	AS_KEY_FAULT_ENCRYPTED,   /* under a passphrase */
	AS_KEY_FAULT_LINE_ENDS,   /* a backslash and an n in their place */
	AS_KEY_FAULT_SSH,
	AS_KEY_FAULT_PEM, /* a PEM of something else, or damaged */
	AS_KEY_FAULT_JWK, /* the same of a JWK */
	AS_KEY_FAULT_TEXT /* neither */
} AsKeyFault;

/*
 * What whoever gave the text must be told. Reads it again: for the path on
 * which it was refused.
 */
extern AsKeyFault as_key_text_fault(const char *text, size_t length);

/* ---- jwt.c: the compact form (RFC 7515 section 7.1, RFC 7519) ---- */

/* The longest access token, in bytes, and the longest header segment. */
#define AS_JWT_MAX        16384
#define AS_JWT_HEADER_MAX 4096

/* Where the three parts of a compact token are, in the token. */
typedef struct AsJwt
{
	const char *header; /* the token's start */
	size_t header_length;
	const char *payload;
	size_t payload_length;
	const char *signature;
	size_t signature_length;
} AsJwt;

/*
 * Finds three parts of which none is empty, in at most max bytes. Looks at
 * nothing but the dots.
 */
extern bool as_jwt_split(const char *token, size_t length, size_t max,
                         AsJwt *out);

typedef struct AsJwtHeader
{
	AsAlgorithm algorithm; /* AS_ALGORITHM_NONE: one that isn't spoken here */
	char kid[AS_KID_MAX + 1]; /* "" where there is none */
	bool is_jwt;              /* by its "typ", or without one */
} AsJwtHeader;

/*
 * Reads the protected header. False where it isn't base64url of one JSON
 * object with distinct names, has no "alg" that is a string, or any of "crit",
 * "b64", "zip", "cty". Keys in the header (jwk, jku, x5u, x5c) are not looked
 * at. Whose tokens have a kind must ask is_jwt (RFC 8725 section 3.11).
 */
extern bool as_jwt_header_read(const AsJwt *jwt, AsJwtHeader *out);

/*
 * Writes the header segment of the tokens of a key: base64url of alg, typ
 * and, where it isn't NULL, kid (no character of it may need escaping).
 * Answers its length.
 */
#define AS_JWT_OWN_HEADER_ROOM AS_BASE64URL_ROOM(AS_KID_MAX + 64)
extern size_t as_jwt_header_write(AsAlgorithm algorithm, const char *kid,
                                  char out[AS_JWT_OWN_HEADER_ROOM]);

/* Room that as_jwt_sign needs. */
extern size_t as_jwt_room(const AsKey *key, size_t header_length,
                          size_t payload_length);

/*
 * Writes header.payload.signature and a NUL; header is a segment, payload
 * bytes. Answers the token's length, 0 where the key can't sign.
 */
extern size_t as_jwt_sign(AsKey *key, const char *header, size_t header_length,
                          const void *payload, size_t payload_length,
                          char *out);

/* Whether the signature is the key's. Reads neither header nor payload. */
extern bool as_jwt_verify(AsKey *key, const AsJwt *jwt);

/*
 * Decodes the payload and puts a NUL behind it; room is at least
 * AS_BASE64URL_BYTES(payload_length) + 1.
 */
extern bool as_jwt_payload(const AsJwt *jwt, char *out, size_t room,
                           size_t *length);

/* ---- claims.c: what a token says ---- */

/* AS_ISSUER_MAX, AS_AUDIENCE_MAX and AS_ROLE_MAX are tool.h's. */
#define AS_AUDIENCES_MAX   8
#define AS_AAL_MAX         8
#define AS_EMAIL_CLAIM_MAX AS_EMAIL_MAX_BYTES

/*
 * The claims that are looked at. Text is UTF-8 and "" where absent; an id
 * that is no UUID is absent. Times are seconds since 1970, rounded down.
 */
typedef struct AsClaims
{
	bool has_sub;
	bool has_session_id;
	bool has_jti;
	bool has_exp;
	bool has_nbf;
	bool has_iat;
	bool has_auth_time;
	bool has_act; /* somebody else acts for the user (RFC 8693 section 4.1) */
	AsUuid sub;
	AsUuid session_id;
	AsUuid jti;
	int64_t exp;
	int64_t nbf;
	int64_t iat;
	int64_t auth_time; /* OpenID Connect Core section 2 */
	char aal[AS_AAL_MAX + 1];
	char role[AS_ROLE_MAX + 1];
	char email[AS_EMAIL_CLAIM_MAX + 1];
	char iss[AS_ISSUER_MAX + 1];
	int aud_count;
	char aud[AS_AUDIENCES_MAX][AS_AUDIENCE_MAX + 1];
} AsClaims;

/*
 * Reads a payload: one JSON object in UTF-8 with distinct names (RFC 7519
 * section 4). False where it is not, where one of the claims above is of a
 * wrong type or too long, or where a time is not a number from 0 to the end of
 * the year 9999.
 */
extern bool as_claims_read(const char *payload, size_t length, AsClaims *out);

struct AsJsonMember; /* below */

/* The same of a payload that as_json_plain_list has listed. */
extern bool as_claims_list(const struct AsJsonMember *members, int count,
                           AsClaims *out);

typedef struct AsClaimsExpectation
{
	const char *issuer;   /* exactly; NULL or "": not checked */
	const char *audience; /* one of aud, exactly; NULL or "": not checked */
	int64_t now;          /* seconds since 1970, rounded down */
	int64_t leeway;       /* seconds */
} AsClaimsExpectation;

typedef enum AsClaimsVerdict
{
	AS_CLAIMS_OK,
	AS_CLAIMS_MALFORMED, /* no exp; another issuer or audience */
	AS_CLAIMS_EXPIRED,   /* now is at or after exp + leeway */
	AS_CLAIMS_NOT_YET    /* now is before nbf - leeway */
} AsClaimsVerdict;

/* RFC 7519 section 4.1.1 and 4.1.3 to 4.1.5. The clock is the caller's. */
extern AsClaimsVerdict as_claims_check(const AsClaims *claims,
                                       const AsClaimsExpectation *expected);

/* ---- json_reader.c: members of a JSON object, by the server's parser ---- */

typedef enum AsJsonType
{
	AS_JSON_STRING,
	AS_JSON_NUMBER,
	AS_JSON_TRUE,
	AS_JSON_FALSE,
	AS_JSON_NULL,
	AS_JSON_ARRAY,
	AS_JSON_OBJECT
} AsJsonType;

/*
 * One member of the outermost object. For a string, text is the unescaped
 * value (UTF-8, NUL-terminated, no embedded NUL); for a number its literal;
 * for an array or object its source text. The memory is the reader's and
 * ends with the call.
 */
typedef struct AsJsonMember
{
	const char *name; /* NULL in an array */
	size_t name_length;
	AsJsonType type;
	const char *text;
	size_t length;
} AsJsonMember;

/* Called per member, in order; returning false stops and fails the read. */
typedef bool (*AsJsonVisit)(const AsJsonMember *member, void *into);

/* The most containers in one another. */
#define AS_JSON_DEPTH_MAX 32

/*
 * Reads an object of at most max_length bytes and AS_JSON_DEPTH_MAX levels; a
 * name that occurs twice in the outermost object fails when unique_names. False
 * when the text is anything but one well-formed JSON object, or a visit said no.
 * Never raises.
 */
extern bool as_json_read_object(const char *text, size_t length,
                                size_t max_length, bool unique_names,
                                AsJsonVisit visit, void *into);

/*
 * As as_json_read_object, of a text from which what can be read is wanted: a
 * byte that is no UTF-8, a \u0000 and half a surrogate pair are read as "?",
 * and names may occur twice.
 */
extern bool as_json_read_mended(const char *text, size_t length,
                                size_t max_length, AsJsonVisit visit,
                                void *into);

/* Calls visit per element (name NULL) of an array; otherwise as above. */
extern bool as_json_read_array(const char *text, size_t length,
                               size_t max_length, AsJsonVisit visit,
                               void *into);

/* ---- json_plain.c and json_reader.c among themselves: two readers ---- */

/* An object or array of more members is left to the server's parser. */
#define AS_JSON_PLAIN_MEMBERS 64

/*
 * Lists the members of a text, with texts that stay as long as copy does, and
 * answers how many; -1 where it isn't plain. copy has room for length + 1
 * bytes, and is the caller's to zero.
 */
extern int as_json_plain_list(const char *text, size_t length, bool is_array,
                              bool unique_names, char *copy,
                              AsJsonMember members[AS_JSON_PLAIN_MEMBERS]);

typedef enum AsJsonPlain
{
	AS_JSON_NOT_PLAIN, /* nothing was shown: as_json_parse has to look */
	AS_JSON_PLAIN,
	AS_JSON_REFUSED /* a visit said no */
} AsJsonPlain;

/*
 * Reads a text if it is plain; as_json_parse would take it, too, and show the
 * same. copy has room for length + 1 bytes, and is the caller's to zero.
 */
extern AsJsonPlain as_json_plain_read(const char *text, size_t length,
                                      bool is_array, bool unique_names,
                                      char *copy, AsJsonVisit visit,
                                      void *into);

/* Reads any text, by the server's parser alone; false as above. */
extern bool as_json_parse(const char *text, size_t length, bool is_array,
                          bool unique_names, bool mend, AsJsonVisit visit,
                          void *into);

/* ---- key.c, jwk.c and pem.c among themselves: the OpenSSL key inside ---- */

struct evp_pkey_st; /* OpenSSL's EVP_PKEY */

/*
 * A key around an OpenSSL key, which it takes, also where it refuses it:
 * NULL unless the type, the curve and the size are the algorithm's. Clears
 * the error queue then.
 */
extern AsKey *as_key_adopt(AsAlgorithm algorithm, struct evp_pkey_st *pkey,
                           bool is_private);

/* The OpenSSL key inside; NULL for HMAC. */
extern const struct evp_pkey_st *as_key_pkey(const AsKey *key);

/*
 * The key, which it takes; freed, and NULL, where it is private and doesn't
 * sign what its public part verifies.
 */
extern AsKey *as_key_proved(AsKey *key);

#endif /* AS_JOSE_H */
