/*
 * payload.c: what an access token says, read once.
 *
 * A client sends the same token with every request until it is renewed. Its
 * signature is verified each time; but the same characters of payload always
 * mean the same, so what was read of them is kept, for as many tokens as
 * there are places. A place is found by the end of the signature, which is
 * random and has been verified, and taken over by the next payload with the
 * same; all characters are compared.
 * Nothing here says that a token is genuine or live.
 */
#include "service/service.h"

#include "utils/memutils.h"

#define PLACES 64

/* Longer ones are read each time: PLACES of them would be too much memory. */
#define SEGMENT_MOST 4096

/* What a place is chosen by: the signature's last bytes. */
#define TAIL sizeof(uint64)

typedef struct Place
{
	uint64 serial; /* of what is kept; 0: nothing */
	MemoryContext memory;
	char *segment;
	size_t segment_length;
	AsClaims claims;
	char *json; /* UTF-8 */
	size_t json_length;
	Jsonb *jsonb; /* NULL: not asked for yet */
} Place;

static Place *places;
static uint64 last_serial;

static Place *
place_of(const AsJwt *jwt)
{
	uint64 tail;

	Assert(jwt->signature_length >= TAIL);
	memcpy(&tail, jwt->signature + jwt->signature_length - TAIL, TAIL);
	if (places == NULL)
		places =
		    MemoryContextAllocZero(TopMemoryContext, sizeof(Place) * PLACES);
	return &places[(tail * UINT64CONST(0x9E3779B97F4A7C15) >> 32) % PLACES];
}

static bool
is_kept(const Place *place, const AsJwt *jwt)
{
	return place->serial != 0 && place->segment_length == jwt->payload_length &&
	       memcmp(place->segment, jwt->payload, jwt->payload_length) == 0;
}

static void
keep(Place *place, const AsJwt *jwt, const AsAccessToken *token)
{
	MemoryContext callers;

	place->serial = 0;
	place->jsonb = NULL;
	if (place->memory == NULL)
		place->memory = AllocSetContextCreate(
		    TopMemoryContext, "auth_session payload", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(place->memory);
	callers = MemoryContextSwitchTo(place->memory);
	place->segment = pnstrdup(jwt->payload, jwt->payload_length);
	place->json = pnstrdup(token->payload, token->payload_length);
	MemoryContextSwitchTo(callers);
	place->segment_length = jwt->payload_length;
	place->json_length = token->payload_length;
	place->claims = token->claims;
	place->serial = ++last_serial;
}

/*
 * Lists the members of a payload, for whoever reads it now and for the jsonb,
 * if that is asked for, and answers how many; -1 where it isn't written
 * plainly.
 */
static int
list_members(const char *json, size_t length, AsJsonMember **members)
{
	char *copy = palloc(length + 1);
	int count;

	*members = palloc(sizeof(AsJsonMember) * AS_JSON_PLAIN_MEMBERS);
	count = as_json_plain_list(json, length, false, true, copy, *members);
	if (count >= 0)
		return count;
	pfree(*members);
	pfree(copy);
	*members = NULL;
	return -1;
}

static bool
read_claims(AsAccessToken *token)
{
	token->member_count =
	    list_members(token->payload, token->payload_length, &token->members);
	return token->members != NULL
	           ? as_claims_list(token->members, token->member_count,
	                            &token->claims)
	           : as_claims_read(token->payload, token->payload_length,
	                            &token->claims);
}

/* Decodes and reads a payload; false where it is no access token's. */
static bool
read_anew(const AsJwt *jwt, AsAccessToken *out)
{
	size_t room = AS_BASE64URL_BYTES(jwt->payload_length) + 1;

	out->payload = palloc(room);
	return as_jwt_payload(jwt, out->payload, room, &out->payload_length) &&
	       read_claims(out) && out->claims.has_sub &&
	       out->claims.has_session_id && out->claims.has_jti;
}

bool
as_payload_read(const AsJwt *jwt, AsAccessToken *out)
{
	Place *place = place_of(jwt);

	out->serial = 0;
	out->members = NULL;
	if (!is_kept(place, jwt))
	{
		if (!read_anew(jwt, out))
			return false;
		if (jwt->payload_length > SEGMENT_MOST)
			return true;
		keep(place, jwt, out);
	}
	else
	{
		out->claims = place->claims;
		out->payload = pnstrdup(place->json, place->json_length);
		out->payload_length = place->json_length;
	}
	out->place = (int) (place - places);
	out->serial = place->serial;
	return true;
}

Jsonb *
as_payload_jsonb(const AsAccessToken *token)
{
	Place *place = token->serial == 0 ? NULL : &places[token->place];
	AsJsonMember *members = token->members;
	int count = token->member_count;
	Jsonb *jsonb;
	char *text;

	if (place != NULL && place->serial != token->serial)
		place = NULL;
	if (place != NULL && place->jsonb != NULL)
	{
		jsonb = palloc(VARSIZE(place->jsonb));
		memcpy(jsonb, place->jsonb, VARSIZE(place->jsonb));
		return jsonb;
	}

	/* What is written plainly is the same in UTF-8 and in any database. */
	if (members == NULL)
		count = list_members(token->payload, token->payload_length, &members);
	jsonb = members == NULL ? NULL : as_plain_jsonb(members, count);
	if (jsonb == NULL)
	{
		text = as_text_from_utf8(token->payload, token->payload_length);
		if (text == NULL)
			return NULL;
		jsonb = as_jsonb_parse(text);
	}
	if (place != NULL)
	{
		place->jsonb = MemoryContextAlloc(place->memory, VARSIZE(jsonb));
		memcpy(place->jsonb, jsonb, VARSIZE(jsonb));
	}
	return jsonb;
}
