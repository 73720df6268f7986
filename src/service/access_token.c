/*
 * access_token.c: access tokens, what they say and whether they are live.
 *
 * The claims are put together from an account and a session; the signature
 * is signing_key.c's. A token is live while its signature, issuer, audience
 * and times are right and its session carries its jti. State is looked up by
 * session and jti, never by the token's text, so another encoding of the
 * same token is no way around a revocation.
 *
 * Nothing is signed that would not verify: a sign-in that answered with a token
 * that nobody takes would have its user renew for ever. Settings, addresses and
 * app data are checked when they are set; claims that may be others all the
 * same are read again, as a verifier reads them, before they are signed.
 */
#include "service/service.h"

#include "mb/pg_wchar.h"
#include "utils/json.h"

static void
write_methods(StringInfo json, const AsTexts *amr)
{
	StringInfoData array;

	initStringInfo(&array);
	for (int i = 0; i < amr->count; i++)
	{
		appendStringInfoChar(&array, i == 0 ? '[' : ',');
		escape_json(&array, amr->items[i]);
	}
	appendStringInfoString(&array, amr->count == 0 ? "[]" : "]");
	as_json_raw(json, "amr", array.data);
}

/* RFC 8693 section 4.1: who acts for the subject. */
static void
write_actor(StringInfo json, const char *actor)
{
	StringInfoData object;

	as_json_begin(&object);
	as_json_text(&object, "sub", actor);
	as_json_end(&object);
	as_json_raw(json, "act", object.data);
}

/* In the order in which jsonb has its keys: then it needs no sorting. */
static char *
claims_of(const AsAccount *account, const AsSession *session)
{
	StringInfoData json;

	as_json_begin(&json);
	as_json_text(&json, "aal", session->aal);
	if (session->actor != NULL)
		write_actor(&json, session->actor);
	write_methods(&json, &session->amr);
	as_json_raw(&json, "app", as_jsonb_print(account->app));
	as_json_text(&json, "aud", auth_session_audience);
	as_json_number(&json, "exp", as_unix_seconds(session->access_expires_at));
	as_json_number(
	    &json, "iat",
	    as_unix_seconds(Max(session->renewed_at, session->auth_time)));
	as_json_text(&json, "iss", auth_session_issuer);
	as_json_uuid(&json, "jti", &session->jti);
	as_json_uuid(&json, "sub", &account->id);
	as_json_text(&json, "role", auth_session_authenticated_role);
	as_json_text(
	    &json, "email",
	    as_account_counts(account->email, account->email_confirmed_at));
	as_json_text(
	    &json, "phone",
	    as_account_counts(account->phone, account->phone_confirmed_at));
	/* Where an operator acts for the user, the user has not shown up. */
	if (session->actor == NULL)
		as_json_number(&json, "auth_time", as_unix_seconds(session->auth_time));
	as_json_uuid(&json, "session_id", &session->id);
	as_json_end(&json);
	return json.data;
}

static AsClaimsVerdict
judge(const AsClaims *claims, TimestampTz now)
{
	AsClaimsExpectation expected = {
	    .issuer = auth_session_issuer,
	    .audience = auth_session_audience,
	    .now = as_unix_seconds(now),
	    .leeway = auth_session_leeway,
	};

	return as_claims_check(claims, &expected);
}

/* One that is repeated within the grace may have expired meanwhile. */
static bool
would_verify(const char *utf8, size_t length)
{
	AsClaims claims;
	AsClaimsVerdict verdict;

	if (!as_claims_read(utf8, length, &claims) || !claims.has_sub ||
	    !claims.has_session_id || !claims.has_jti)
		return false;
	verdict = judge(&claims, GetCurrentTimestamp());
	return verdict == AS_CLAIMS_OK || verdict == AS_CLAIMS_EXPIRED;
}

/*
 * Whether claims may be none that would verify: those of a hook, and those of
 * an account into which somebody wrote without asking us. What is left that can
 * be wrong is an address that is too long, and depth: which is at most that of
 * the brackets that there are. In another encoding than the tokens' neither
 * is what was counted when it was set; and settings are in that of the database
 * from which ALTER DATABASE or ALTER ROLE was called, or of a file.
 */
static bool
may_be_unverifiable(const AsAccount *account, const char *claims)
{
	int levels = 0;

	if (auth_session_claims_hook[0] != '\0' ||
	    GetDatabaseEncoding() != PG_UTF8 ||
	    (account->email != NULL &&
	     strlen(account->email) > AS_EMAIL_CLAIM_MAX) ||
	    !pg_verify_mbstr(PG_UTF8, claims, (int) strlen(claims), true))
		return true;
	while ((claims = strpbrk(claims, "{[")) != NULL)
	{
		levels++;
		claims++;
	}
	return levels > AS_JSON_DEPTH_MAX;
}

/* Raises where they would not, and tells the operator. */
static void
require_verifiable(const char *claims)
{
	size_t length = strlen(claims);
	char *utf8 = as_text_to_utf8(claims, &length);

	if (!would_verify(utf8, length))
	{
		ereport(LOG_SERVER_ONLY,
		        (errmsg("an access token with these claims would not verify"),
		         errdetail("They are too many, too large, nested deeper than "
		                   "32 levels, of a wrong type, or not UTF-8."),
		         errhint("Look at the result of auth_session.claims_hook, the "
		                 "app data of the account, and the settings of the "
		                 "database and its roles.")));
		as_fail(AS_BUSY, NULL);
	}
	pfree(utf8);
}

char *
as_access_token_make(const AsAccount *account, const AsSession *session)
{
	char *claims = claims_of(account, session);

	if (auth_session_claims_hook[0] != '\0')
		claims = as_jsonb_print(
		    as_claims_hook_apply(&account->id, as_jsonb_parse(claims)));
	if (may_be_unverifiable(account, claims))
		require_verifiable(claims);
	return as_signing_key_sign(claims, strlen(claims));
}

AsFailure
as_access_token_read(const char *token, size_t length, AsAccessToken *out)
{
	AsJwt jwt;

	return as_signing_key_verify(token, length, &jwt) &&
	               as_payload_read(&jwt, out)
	           ? AS_OK
	           : AS_INVALID_TOKEN;
}

AsFailure
as_access_token_check(const AsAccessToken *token)
{
	const AsClaims *claims = &token->claims;
	TimestampTz now = GetCurrentTimestamp();

	switch (judge(claims, now))
	{
		case AS_CLAIMS_OK:
			return as_session_check(&claims->sub, &claims->session_id,
			                        &claims->jti, now);
		case AS_CLAIMS_EXPIRED:
			return AS_TOKEN_EXPIRED;
		default:
			return AS_INVALID_TOKEN;
	}
}
