/*
 * same_origin.c: whether a request is from a page of the application's.
 *
 * A cookie goes with every request to its host, whoever made the browser send
 * it: SameSite=Strict keeps other sites from it, but not a sibling domain. So
 * what changes something by a cookie, or sets one, must say where it is from,
 * by a header that no page can forge: Sec-Fetch-Site (Fetch Metadata), or
 * Origin (RFC 6454 section 7), of which older browsers have only the second. A
 * form posted from elsewhere, an origin "null" and a request without either
 * are from elsewhere.
 */
#include "service/service.h"

static bool
is_origin_of(const char *url, const char *origin)
{
	char own[AS_ORIGIN_ROOM];

	return as_url_origin(url, own) && strcmp(own, origin) == 0;
}

static bool
is_allowed(const char *origin)
{
	const char *list = auth_session_allowed_origins;
	bool is_found = false;

	while (!is_found && *(list += strspn(list, ", ")) != '\0')
	{
		size_t n = strcspn(list, ", ");
		char *item = pnstrdup(list, n);

		is_found = is_origin_of(item, origin);
		pfree(item);
		list += n;
	}
	return is_found;
}

bool
as_request_is_from_own_page(void)
{
	const AsRequest *request = as_request();

	return request->is_same_origin ||
	       (request->origin[0] != '\0' &&
	        (is_origin_of(auth_session_site_url, request->origin) ||
	         is_allowed(request->origin)));
}
