/*
 * api_key_request.c: a request of PostgREST's becomes that of its API key.
 *
 * A machine has no Authorization of the Bearer scheme: it shows its key, and
 * auth.check_request() makes it the context, with the role that the key was
 * made with. What is shown and is not a key that lives is refused, never
 * skipped.
 */
#include "service/service.h"

/* The context's claims in the database's encoding, and the role in them. */
static void
become(const AsPresentedKey *key)
{
	AsAccessToken says;
	char *claims;
	char *role;

	if (!as_api_key_claims(&key->user_id, &key->id, &key->row, &says))
		as_fail(AS_BUSY, NULL);
	claims = as_text_from_utf8(says.payload, says.payload_length);
	role = as_text_from_utf8(says.claims.role, strlen(says.claims.role));
	if (claims == NULL || role == NULL)
		as_fail(AS_INVALID_TOKEN, NULL);
	as_context_token_set(key->handle);
	as_caller_switch_role(role, claims);
}

bool
as_api_key_take(void)
{
	const char *text = as_request()->api_key;
	AsPresentedKey key;
	AsFailure failure;

	if (text == NULL)
		return false;
	failure = as_api_key_present(text, &key);
	if (failure != AS_OK)
		as_fail(failure, NULL);
	become(&key);
	return true;
}
