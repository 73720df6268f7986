/*
 * response.c: headers of the response that PostgREST sends.
 *
 * It takes them from the setting response.headers, an array of objects with a
 * member each, once the main statement is done. The last who sets it wins all,
 * so what the application has put there stays, and ours goes behind it. It ends
 * with the transaction; where that fails, PostgREST sends none of it. What the
 * former client of a pool has set for the session is nobody's response.
 */
#include "service/service.h"

#define HEADERS "response.headers"

/* What is set again and again within one transaction must not grow for ever. */
#define HEADERS_MOST 65536

/* The headers that are there, up to their closing bracket. */
static StringInfoData
begin(void)
{
	const char *present = as_request_response_headers();
	size_t length = present == NULL ? 0 : strlen(present);
	StringInfoData list;

	while (length > 0 && isspace((unsigned char) present[length - 1]))
		length--;
	initStringInfo(&list);
	if (length == 0)
	{
		appendStringInfoChar(&list, '[');
		return list;
	}
	if (present[strspn(present, " \t\r\n")] != '[' ||
	    present[length - 1] != ']')
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("\"%s\" is not a JSON array of headers", HEADERS)));
	if (length > HEADERS_MOST)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
		                errmsg("\"%s\" is too long", HEADERS)));
	appendBinaryStringInfo(&list, present, length - 1);
	return list;
}

static bool
is_empty(const StringInfoData *list)
{
	int length = list->len;

	while (isspace((unsigned char) list->data[length - 1]))
		length--;
	return list->data[length - 1] == '[';
}

void
as_response_add_header(const char *name, const char *value)
{
	StringInfoData list = begin();
	StringInfoData header;

	as_json_begin(&header);
	as_json_text(&header, name, value);
	as_json_end(&header);
	if (!is_empty(&list))
		appendStringInfoChar(&list, ',');
	appendBinaryStringInfo(&list, header.data, header.len);
	appendStringInfoChar(&list, ']');
	as_setting_put(HEADERS, list.data);
	as_wipe(list.data, list.len);
	as_wipe(header.data, header.len);
	pfree(list.data);
	pfree(header.data);
}

void
as_response_keep_from_caches(void)
{
	static const char header[] = "{\"Cache-Control\":\"no-store\"}";
	const char *present;

	/* To set it, and take it back at the end, shows in a renewal. */
	if (!as_request_is_present())
		return;
	present = as_request_response_headers();
	if (present == NULL || strstr(present, header) == NULL)
		as_response_add_header("Cache-Control", "no-store");
}
