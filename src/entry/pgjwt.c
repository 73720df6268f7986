/*
 * pgjwt.c: auth.jwt_sign and auth.jwt_verify.
 *
 * They take pgjwt's arguments and make its tokens, byte for byte, and speak
 * RS256, ES256 and EdDSA as well. They know no key of this extension. The
 * caller's third argument fixes the algorithm; a text that is a key is never
 * an HMAC secret, or whoever has the public key could sign with it.
 *
 * pgjwt's laxness is kept where it is asked for: any secret but an empty one,
 * any typ, exp and nbf optional. But an exp or nbf that is no number makes a
 * token that is not valid, and a key that can't be read is the caller's
 * mistake, not the token's: it raises.
 */
#include "entry/entry.h"

#include "access/detoast.h"
#include "funcapi.h"
#include "utils/builtins.h"

/* The longest token taken, and the longest payload that fits in one. */
#define TOKEN_MAX   1048576
#define PAYLOAD_MAX (TOKEN_MAX / 2)

/* When a payload says that it is good, seconds since 1970. */
typedef struct Validity
{
	bool has_exp;
	bool has_nbf;
	bool is_malformed;
	double exp;
	double nbf;
} Validity;

/*
 * The keys of the last calls. The first place is for an HMAC secret and only
 * for the time of a call; an error in between leaves it to the next one.
 */
#define KEPT_KEYS 5

typedef struct KeptKey
{
	AsDigest digest;
	AsKey *key;
} KeptKey;

static KeptKey kept[KEPT_KEYS];

AS_ENTRY(auth_jwt_sign);
AS_ENTRY(auth_jwt_verify);

/* A text argument; NULL where it is longer, looked at before it is read. */
static text *
bounded(FunctionCallInfo fcinfo, int argument, size_t most)
{
	if (toast_raw_datum_size(PG_GETARG_DATUM(argument)) - VARHDRSZ > most)
		return NULL;
	return PG_GETARG_TEXT_PP(argument);
}

static AsAlgorithm
algorithm_of(const text *name)
{
	AsAlgorithm algorithm =
	    as_algorithm_parse(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));

	if (algorithm == AS_ALGORITHM_NONE)
		as_fail(AS_INVALID_REQUEST,
		        "The algorithm is HS256, HS384, HS512, RS256, ES256 or EdDSA.");
	return algorithm;
}

/* Puts a key into a place, in place of what was there. */
static AsKey *
keep(KeptKey *place, AsKey *key)
{
	as_key_free(place->key);
	place->key = key;
	return key;
}

/*
 * The key of a PEM or a JWK, which takes OpenSSL a hundred times as long to
 * read as to use: the last few are kept, known by a digest of their text.
 */
static AsKey *
kept_key(AsAlgorithm algorithm, const char *utf8, size_t length)
{
	static int next = 1;
	AsDigest digest;
	KeptKey *place;

	as_digest(utf8, length, &digest);
	for (int i = 1; i < KEPT_KEYS; i++)
	{
		if (kept[i].key != NULL && as_key_algorithm(kept[i].key) == algorithm &&
		    as_digest_equal(&kept[i].digest, &digest))
			return kept[i].key;
	}
	place = &kept[next];
	next = next + 1 < KEPT_KEYS ? next + 1 : 1;
	place->digest = digest;
	return keep(place, as_key_text_is_pem(utf8, length)
	                       ? as_key_from_pem(utf8, length, algorithm)
	                       : as_key_from_jwk(utf8, length, algorithm, NULL));
}

/* What to do about a text that is no key, or not this algorithm's. */
static const char *
hint_for(AsAlgorithm algorithm, const char *utf8, size_t length)
{
	static const char *const hints[] = {
	    [AS_KEY_FAULT_NONE] = NULL,
	    [AS_KEY_FAULT_CERTIFICATE] =
	        "The secret is a certificate. Give its public key, which openssl "
	        "x509 -pubkey prints.",
	    [AS_KEY_FAULT_ENCRYPTED] =
	        "The secret is an encrypted PEM. Give it without a passphrase.",
	    [AS_KEY_FAULT_LINE_ENDS] =
	        "The secret is a PEM with \\n in place of line ends. Give it with "
	        "line ends.",
	    [AS_KEY_FAULT_SSH] = "The secret is a key of SSH. Give it as PEM.",
	    [AS_KEY_FAULT_PEM] = "The secret is a PEM without a key in it.",
	    [AS_KEY_FAULT_JWK] = "The secret is no JWK that can be read.",
	    [AS_KEY_FAULT_TEXT] =
	        "The secret is neither PEM nor JWK, as this algorithm needs it.",
	};

	/* A key in place of an HMAC secret is an old attack, and no secret. */
	if (as_algorithm_is_hmac(algorithm) && !as_key_text_is_jwk(utf8, length))
		return NULL;
	return hints[as_key_text_fault(utf8, length)];
}

/*
 * The key that a secret is, kept until the next call. NULL where it is another
 * algorithm's, with *hint where it is none at all.
 */
static AsKey *
key_of(AsAlgorithm algorithm, const text *secret, const char **hint)
{
	size_t length = VARSIZE_ANY_EXHDR(secret);
	char *utf8 = as_text_to_utf8(VARDATA_ANY(secret), &length);
	AsKey *key = NULL;

	if (as_key_text_is_pem(utf8, length) || as_key_text_is_jwk(utf8, length))
		key = kept_key(algorithm, utf8, length);
	else if (as_algorithm_is_hmac(algorithm) &&
	         !as_key_text_is_key(utf8, length))
		key = keep(&kept[0], as_key_from_secret(algorithm, utf8, length));
	*hint = key != NULL ? NULL : hint_for(algorithm, utf8, length);
	as_wipe(utf8, length);
	pfree(utf8);
	return key;
}

/* An HMAC secret is not kept: it is read as fast as it is found. */
static void
forget_secret(void)
{
	(void) keep(&kept[0], NULL);
}

/* A segment's bytes and a NUL; NULL where it is no base64url. */
static char *
decoded(const char *segment, size_t segment_length, size_t *length)
{
	size_t room = AS_BASE64URL_BYTES(segment_length);
	char *bytes = palloc(room + 1);

	if (as_base64url_decode(segment, segment_length, bytes, room, length))
	{
		bytes[*length] = '\0';
		return bytes;
	}
	pfree(bytes);
	return NULL;
}

static bool
visit_anything(const AsJsonMember *member, void *into)
{
	return true;
}

/* The bytes as json; NULL where they are no JSON object. */
static text *
json_of(const char *utf8, size_t length)
{
	char *json;

	if (utf8 == NULL || !as_json_read_object(utf8, length, TOKEN_MAX, false,
	                                         visit_anything, NULL))
		return NULL;
	json = as_text_from_utf8(utf8, length);
	return json == NULL ? NULL : cstring_to_text(json);
}

/* Raises where the key can't be read, whatever the token is. */
static bool
verify_signature(const AsJwt *jwt, AsAlgorithm algorithm, const text *secret)
{
	AsJwtHeader header;
	const char *hint;
	AsKey *key = key_of(algorithm, secret, &hint);
	bool ok;

	if (hint != NULL)
		as_fail(AS_INVALID_REQUEST, hint);
	ok = key != NULL && as_jwt_header_read(jwt, &header) &&
	     header.algorithm == algorithm && as_jwt_verify(key, jwt);
	forget_secret();
	return ok;
}

/* Of any size: an exp at the end of time is none. */
static bool
number_of(const AsJsonMember *member, double *out)
{
	if (member->type != AS_JSON_NUMBER)
		return false;
	*out = strtod(member->text, NULL);
	return true;
}

static bool
visit_validity(const AsJsonMember *member, void *into)
{
	Validity *validity = into;

	if (strcmp(member->name, "exp") == 0)
	{
		validity->has_exp = number_of(member, &validity->exp);
		validity->is_malformed |= !validity->has_exp;
	}
	else if (strcmp(member->name, "nbf") == 0)
	{
		validity->has_nbf = number_of(member, &validity->nbf);
		validity->is_malformed |= !validity->has_nbf;
	}
	return true;
}

/* RFC 7519 section 4.1.4 and 4.1.5, by the clock and not by the statement. */
static bool
is_valid_now(const char *payload, size_t length)
{
	Validity validity = {0};
	double now =
	    (double) GetCurrentTimestamp() / USECS_PER_SEC +
	    (double) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;

	if (!as_json_read_object(payload, length, TOKEN_MAX, true, visit_validity,
	                         &validity) ||
	    validity.is_malformed)
		return false;
	return (!validity.has_exp || now < validity.exp) &&
	       (!validity.has_nbf || now >= validity.nbf);
}

Datum
auth_jwt_sign(PG_FUNCTION_ARGS)
{
	text *payload;
	text *secret;
	AsAlgorithm algorithm;
	size_t length;
	char header[AS_JWT_OWN_HEADER_ROOM];
	size_t header_length;
	char *utf8;
	char *token;
	const char *hint;
	AsKey *key;

	as_call_enter(AS_CALL_READS);
	algorithm = algorithm_of(PG_GETARG_TEXT_PP(2));
	payload = bounded(fcinfo, 0, PAYLOAD_MAX);
	secret = bounded(fcinfo, 1, AS_KEY_TEXT_MAX);
	if (payload == NULL || secret == NULL)
		as_fail(AS_INVALID_REQUEST, "The payload or the secret is too long.");
	length = VARSIZE_ANY_EXHDR(payload);
	utf8 = as_text_to_utf8(VARDATA_ANY(payload), &length);
	if (!as_json_read_object(utf8, length, PAYLOAD_MAX * 2, false,
	                         visit_anything, NULL))
		as_fail(AS_INVALID_REQUEST, "The payload must be a JSON object.");
	header_length = as_jwt_header_write(algorithm, NULL, header);
	token = palloc(header_length + AS_BASE64URL_ROOM(length) +
	               AS_BASE64URL_ROOM(AS_SIGNATURE_MAX) + 2);

	key = key_of(algorithm, secret, &hint);
	length = key == NULL
	             ? 0
	             : as_jwt_sign(key, header, header_length, utf8, length, token);
	forget_secret();
	if (length == 0)
		as_fail(AS_INVALID_REQUEST,
		        hint != NULL
		            ? hint
		            : "The secret is no key that signs with this algorithm.");
	PG_RETURN_TEXT_P(cstring_to_text_with_len(token, (int) length));
}

/*
 * One row: header and payload where they are JSON objects, and whether the
 * token is valid now. Whatever the token is, that is an answer; what raises is
 * only what else the caller gave.
 */
Datum
auth_jwt_verify(PG_FUNCTION_ARGS)
{
	TupleDesc descriptor;
	Datum values[3] = {0};
	bool nulls[3] = {true, true, false};
	bool valid = false;
	AsAlgorithm algorithm;
	text *token;
	text *secret;

	as_call_enter(AS_CALL_READS);
	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "auth.jwt_verify must return a row");
	if (PG_ARGISNULL(2))
		as_fail(AS_INVALID_REQUEST, "The algorithm must be given.");
	algorithm = algorithm_of(PG_GETARG_TEXT_PP(2));
	token = PG_ARGISNULL(0) ? NULL : bounded(fcinfo, 0, TOKEN_MAX);
	secret = PG_ARGISNULL(1) ? NULL : bounded(fcinfo, 1, AS_KEY_TEXT_MAX);
	if (secret == NULL && !PG_ARGISNULL(1))
		as_fail(AS_INVALID_REQUEST, "The secret is too long.");
	if (token != NULL)
	{
		AsJwt jwt;

		if (as_jwt_split(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token),
		                 TOKEN_MAX, &jwt))
		{
			size_t header_length;
			size_t length;
			char *header =
			    decoded(jwt.header, jwt.header_length, &header_length);
			char *payload = decoded(jwt.payload, jwt.payload_length, &length);
			text *header_json = json_of(header, header_length);
			text *payload_json = json_of(payload, length);

			nulls[0] = header_json == NULL;
			nulls[1] = payload_json == NULL;
			values[0] = PointerGetDatum(header_json);
			values[1] = PointerGetDatum(payload_json);
			valid = !nulls[0] && !nulls[1] && secret != NULL &&
			        verify_signature(&jwt, algorithm, secret) &&
			        is_valid_now(payload, length);
		}
	}
	values[2] = BoolGetDatum(valid);
	PG_RETURN_DATUM(HeapTupleGetDatum(
	    heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}
