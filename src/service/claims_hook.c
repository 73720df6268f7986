/*
 * claims_hook.c: what an application adds to the claims of its tokens.
 *
 * The hook gets the claims and gives back a suggestion: who the user is and
 * how that was shown, which session and token it is, until when and for whom
 * stays decided here,
 * a role is taken only from the list that the operator set, and of the claims
 * that verifiers judge a token by only what ours accepts at this moment. A
 * claim of the application's own is never dropped: it may be one that
 * restricts. access_token.c refuses what can't be read with it.
 */
#include "service/service.h"

/* What the hook wants; NULL where it has nothing to add. */
static Jsonb *
call_hook(const AsUuid *user_id, Jsonb *claims)
{
	AsHookCall call = {
	    .setting = "auth_session.claims_hook",
	    .function = auth_session_claims_hook,
	    .shape = &as_claims_hook_shape,
	    .values = {PointerGetDatum(user_id), PointerGetDatum(claims)},
	};
	bool is_null;
	Datum result = as_hook_call(&call, &is_null);
	Jsonb *wanted;

	if (is_null)
		return NULL;
	wanted = DatumGetJsonbP(result);
	if (JB_ROOT_IS_OBJECT(wanted))
		return wanted;
	ereport(LOG_SERVER_ONLY, (errcode(ERRCODE_DATATYPE_MISMATCH),
	                          errmsg("the claims hook must return an object")));
	as_fail(AS_BUSY, NULL);
}

static bool
has_name(const JsonbValue *name, const char *text)
{
	return name->val.string.len == (int) strlen(text) &&
	       memcmp(name->val.string.val, text, name->val.string.len) == 0;
}

static bool
is_protected(const JsonbValue *name)
{
	static const char *const protected[] = {
	    "sub", "session_id", "jti", "iat", "exp", "iss",
	    "aud", "auth_time",  "aal", "amr", "act"};

	for (int i = 0; i < (int) lengthof(protected); i++)
	{
		if (has_name(name, protected[i]))
			return true;
	}
	return false;
}

/*
 * Whether our own verifier would take a member, alone and now: an nbf of a
 * later time makes a token that is good for nobody.
 */
static bool
is_acceptable(const JsonbValue *name, JsonbValue *value)
{
	JsonbParseState *state = NULL;
	JsonbValue key = *name;
	AsClaims claims = {0};
	char *json;
	char *utf8;
	size_t length;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	pushJsonbValue(&state, WJB_KEY, &key);
	pushJsonbValue(&state, WJB_VALUE, value);
	json = as_jsonb_print(
	    JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
	length = strlen(json);
	utf8 = as_text_to_utf8(json, &length);
	return as_claims_read(utf8, length, &claims) &&
	       (!claims.has_nbf ||
	        claims.nbf <=
	            as_unix_seconds(GetCurrentTimestamp()) + auth_session_leeway);
}

/* Claims of RFC 7519 and ours that are judged; the log has what is not taken. */
static bool
may_set_judged(const JsonbValue *name, JsonbValue *value)
{
	static const char *const judged[] = {"nbf", "email", "role"};

	for (int i = 0; i < (int) lengthof(judged); i++)
	{
		if (!has_name(name, judged[i]) || is_acceptable(name, value))
			continue;
		ereport(LOG_SERVER_ONLY,
		        (errmsg("what the claims hook returns as \"%s\" is left out: a "
		                "token with it would not verify",
		                judged[i])));
		return false;
	}
	return true;
}

/* The role that the claims have, or one of the list; the log has any other. */
static bool
may_set_role(Jsonb *claims, const JsonbValue *role)
{
	JsonbValue current;
	char *wanted;

	if (role->type != jbvString)
		return false;
	if (getKeyJsonValueFromContainer(&claims->root, "role", 4, &current) !=
	        NULL &&
	    current.type == jbvString &&
	    current.val.string.len == role->val.string.len &&
	    memcmp(current.val.string.val, role->val.string.val,
	           role->val.string.len) == 0)
		return true;

	wanted = pnstrdup(role->val.string.val, role->val.string.len);
	if (as_setting_lists(auth_session_claims_hook_roles, wanted))
		return true;
	ereport(LOG_SERVER_ONLY,
	        (errmsg("the claims hook may not set the role \"%s\"", wanted),
	         errhint("Add it to auth_session.claims_hook_roles.")));
	return false;
}

/* The claims, and over them what is wanted and allowed. */
static Jsonb *
merge(Jsonb *claims, Jsonb *wanted)
{
	JsonbParseState *state = NULL;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue name;
	JsonbValue value;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	iterator = JsonbIteratorInit(&claims->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY || token == WJB_VALUE)
			pushJsonbValue(&state, token, &value);
	}

	/* Of two members of one name the later one stays. */
	iterator = JsonbIteratorInit(&wanted->root);
	while ((token = JsonbIteratorNext(&iterator, &name, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (is_protected(&name) || !may_set_judged(&name, &value) ||
		    (has_name(&name, "role") && !may_set_role(claims, &value)))
			continue;
		pushJsonbValue(&state, WJB_KEY, &name);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

Jsonb *
as_claims_hook_apply(const AsUuid *user_id, Jsonb *claims)
{
	Jsonb *wanted;

	if (auth_session_claims_hook[0] == '\0')
		return claims;
	wanted = call_hook(user_id, claims);
	return wanted == NULL ? claims : merge(claims, wanted);
}
