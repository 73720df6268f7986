/*
 * claims.c: what a token says, and whether it says so now.
 *
 * Everything a token is judged by is read in one pass, with types and
 * bounds, into a struct of fixed size; a name that occurs twice refuses the
 * whole (RFC 7519 section 4). The clock is the caller's argument: nothing
 * here could freeze it.
 */
#include "jose/jose.h"

#include <stdlib.h>
#include <string.h>

/* The last second of the year 9999, the last that timestamps can print. */
#define LATEST INT64_C(253402300799)

/* More digits than any clock has. */
#define TIME_MAX_CHARS 64

/* As many as LATEST has. */
#define WHOLE_MAX_DIGITS 12

/* A string; whether it is a UUID is no matter of form. */
static bool
take_id(const AsJsonMember *member, AsUuid *out, bool *has)
{
	if (member->type != AS_JSON_STRING)
		return false;
	*has = as_uuid_parse(member->text, member->length, out);
	return true;
}

/* Most are: digits, and in range. */
static bool
take_whole_seconds(const AsJsonMember *member, int64_t *out)
{
	int64_t value = 0;

	if (member->length > WHOLE_MAX_DIGITS)
		return false;
	for (size_t i = 0; i < member->length; i++)
	{
		if (member->text[i] < '0' || member->text[i] > '9')
			return false;
		value = value * 10 + (member->text[i] - '0');
	}
	*out = value;
	return value <= LATEST;
}

/*
 * A NumericDate (RFC 7519 section 2): any JSON number in range, so that nothing
 * later overflows. Of a fraction, or what a serializer wrote with an exponent,
 * the whole seconds count, as they do of the clock.
 */
static bool
take_time(const AsJsonMember *member, int64_t *out, bool *has)
{
	double value;
	char *end;

	if (member->type != AS_JSON_NUMBER || member->length > TIME_MAX_CHARS ||
	    member->text[0] == '-')
		return false;
	*has = true;
	if (take_whole_seconds(member, out))
		return true;
	value = strtod(member->text, &end);
	if (*end != '\0' || !(value < (double) (LATEST + 1)))
		return false;
	*out = (int64_t) value;
	return true;
}

static bool
take_text(const AsJsonMember *member, char *out, size_t max)
{
	if (member->type != AS_JSON_STRING || member->length > max)
		return false;
	memcpy(out, member->text, member->length + 1);
	return true;
}

/* RFC 7519 section 4.1.3: one string, or an array of them. */
static bool
visit_audience(const AsJsonMember *member, void *into)
{
	AsClaims *claims = into;

	if (claims->aud_count == AS_AUDIENCES_MAX ||
	    !take_text(member, claims->aud[claims->aud_count], AS_AUDIENCE_MAX))
		return false;
	claims->aud_count++;
	return true;
}

static inline bool
is(const char *name, const char *expected)
{
	return name[0] == expected[0] && strcmp(name, expected) == 0;
}

static bool
visit_claim(const AsJsonMember *member, void *into)
{
	AsClaims *claims = into;
	const char *name = member->name;

	if (is(name, "sub"))
		return take_id(member, &claims->sub, &claims->has_sub);
	if (is(name, "session_id"))
		return take_id(member, &claims->session_id, &claims->has_session_id);
	if (is(name, "jti"))
		return take_id(member, &claims->jti, &claims->has_jti);
	if (is(name, "exp"))
		return take_time(member, &claims->exp, &claims->has_exp);
	if (is(name, "nbf"))
		return take_time(member, &claims->nbf, &claims->has_nbf);
	if (is(name, "iat"))
		return take_time(member, &claims->iat, &claims->has_iat);
	if (is(name, "auth_time"))
		return take_time(member, &claims->auth_time, &claims->has_auth_time);
	if (is(name, "aal"))
		return take_text(member, claims->aal, AS_AAL_MAX);
	if (is(name, "act"))
	{
		claims->has_act = true;
		return true;
	}
	if (is(name, "iss"))
		return take_text(member, claims->iss, AS_ISSUER_MAX);

	/* These two may be null: an account without an email has none. */
	if (is(name, "role"))
		return member->type == AS_JSON_NULL ||
		       take_text(member, claims->role, AS_ROLE_MAX);
	if (is(name, "email"))
		return member->type == AS_JSON_NULL ||
		       take_text(member, claims->email, AS_EMAIL_CLAIM_MAX);

	if (is(name, "aud"))
	{
		if (member->type == AS_JSON_ARRAY)
			return as_json_read_array(member->text, member->length, AS_JWT_MAX,
			                          visit_audience, claims);
		return visit_audience(member, claims);
	}
	return true;
}

static void
clear(AsClaims *out)
{
	out->has_sub = false;
	out->has_session_id = false;
	out->has_jti = false;
	out->has_exp = false;
	out->has_nbf = false;
	out->has_iat = false;
	out->has_auth_time = false;
	out->has_act = false;
	out->aal[0] = '\0';
	out->role[0] = '\0';
	out->email[0] = '\0';
	out->iss[0] = '\0';
	out->aud_count = 0;
}

bool
as_claims_read(const char *payload, size_t length, AsClaims *out)
{
	clear(out);
	return as_json_read_object(payload, length, AS_JWT_MAX, true, visit_claim,
	                           out);
}

bool
as_claims_list(const AsJsonMember *members, int count, AsClaims *out)
{
	clear(out);
	for (int i = 0; i < count; i++)
		if (!visit_claim(&members[i], out))
			return false;
	return true;
}

AsClaimsVerdict
as_claims_check(const AsClaims *claims, const AsClaimsExpectation *expected)
{
	if (!claims->has_exp)
		return AS_CLAIMS_MALFORMED;
	if (expected->issuer != NULL && expected->issuer[0] != '\0' &&
	    strcmp(claims->iss, expected->issuer) != 0)
		return AS_CLAIMS_MALFORMED;
	if (expected->audience != NULL && expected->audience[0] != '\0')
	{
		int i = 0;

		while (i < claims->aud_count &&
		       strcmp(claims->aud[i], expected->audience) != 0)
			i++;
		if (i == claims->aud_count)
			return AS_CLAIMS_MALFORMED;
	}

	/* Both sides are far from the ends of an int64: no sum overflows. */
	if (expected->now >= claims->exp + expected->leeway)
		return AS_CLAIMS_EXPIRED;
	if (claims->has_nbf && expected->now < claims->nbf - expected->leeway)
		return AS_CLAIMS_NOT_YET;
	return AS_CLAIMS_OK;
}
