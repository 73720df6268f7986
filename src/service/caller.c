/*
 * caller.c: a request of PostgREST's becomes its caller's, with the role.
 *
 * PostgREST gives a request the role that the token in its Authorization header
 * names, or else that of anonymous requests, and then calls
 * auth.check_request(). For whoever that finds otherwise the role is set once
 * more, before the main statement: grants, policies and defaults are the
 * caller's from there on, until the transaction ends.
 *
 * Whether the role may be had is asked of the server, by its own setting. A
 * superuser may have any, so what a token's role is worth would be up to the
 * token: there is no switch for one.
 */
#include "service/service.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#define ROLE_HINT                                                      \
	"Grant the role that the token names to the one that PostgREST "   \
	"connects as, and let db-pre-request be auth.check_request, or a " \
	"function without SECURITY DEFINER that calls it."
#define SUPERUSER_HINT "Let PostgREST connect as a role that is no superuser."

/* What was set of request.jwt.claims, and in which transaction. */
typedef struct Given
{
	LocalTransactionId lxid;
	char *claims;
} Given;

static Given given;

static void
remember(const char *claims)
{
	char *copy = MemoryContextStrdup(TopMemoryContext, claims);

	if (given.claims != NULL)
		pfree(given.claims);
	given.claims = copy;
	given.lxid = AS_MY_LXID;
}

bool
as_caller_set_claims(const char *claims)
{
	return given.claims != NULL && given.lxid == AS_MY_LXID &&
	       strcmp(given.claims, claims) == 0;
}

/* What the server says against a role is said of the token that names it. */
static void
set_role(const char *role)
{
	MemoryContext callers = CurrentMemoryContext;

	PG_TRY();
	{
		as_setting_put("role", role);
	}
	PG_CATCH();
	{
		int code = geterrcode();

		if (code != ERRCODE_INVALID_PARAMETER_VALUE &&
		    code != ERRCODE_INSUFFICIENT_PRIVILEGE)
			PG_RE_THROW();
		MemoryContextSwitchTo(callers);
		FlushErrorState();
		as_fail(AS_INVALID_TOKEN, ROLE_HINT);
	}
	PG_END_TRY();
}

/* The claims come from the context: it needn't be looked up again for them. */
void
as_caller_switch_role(const char *role, const char *claims)
{
	uint64 generation = as_context_generation;

	if (superuser_arg(GetSessionUserId()))
		as_fail(AS_INVALID_TOKEN, SUPERUSER_HINT);
	/* none would be the role that PostgREST connects as. */
	if (role[0] == '\0' || strcmp(role, "none") == 0)
		as_fail(AS_INVALID_TOKEN, ROLE_HINT);
	remember(claims);
	as_setting_put("request.jwt.claims", claims);
	set_role(role);
	as_context_confirm(generation);
}
