/*
 * encoding.c: between the database's encoding and UTF-8.
 *
 * Tokens and their JSON are UTF-8 (RFC 7519 section 7.1), whatever the
 * database speaks. What a stranger sent may have characters that the
 * database hasn't: that is an answer here and no error.
 */
#include "base/base.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

char *
as_text_to_utf8(const char *text, size_t *length)
{
	char *utf8 = pg_server_to_any(text, (int) *length, PG_UTF8);

	if (utf8 == text)
		return pnstrdup(text, *length);
	*length = strlen(utf8);
	return utf8;
}

size_t
as_utf8_length(const char *text)
{
	size_t length = strlen(text);
	size_t room = length * MAX_CONVERSION_GROWTH + 1;
	int encoding = GetDatabaseEncoding();
	Oid conversion;
	char *utf8;

	/* Settings come from files and before there is a database, too. */
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII ||
	    room > MaxAllocSize || !IsTransactionState() ||
	    !OidIsValid(MyDatabaseId))
		return length;
	conversion = FindDefaultConversionProc(encoding, PG_UTF8);
	if (!OidIsValid(conversion))
		return length;
	utf8 = palloc(room);
	if (pg_do_encoding_conversion_buf(
	        conversion, encoding, PG_UTF8,
	        unconstify(unsigned char *, (const unsigned char *) text),
	        (int) length, (unsigned char *) utf8, (int) room,
	        true) == (int) length)
		length = strlen(utf8);
	pfree(utf8);
	return length;
}

char *
as_text_from_utf8(const char *utf8, size_t length)
{
	int encoding = GetDatabaseEncoding();
	Oid conversion;
	size_t room = length * MAX_CONVERSION_GROWTH + 1;
	char *text;
	int converted;

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pnstrdup(utf8, length);
	conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(conversion) || room > MaxAllocSize)
		return NULL;
	text = palloc(room);
	converted = pg_do_encoding_conversion_buf(
	    conversion, PG_UTF8, encoding,
	    unconstify(unsigned char *, (const unsigned char *) utf8), (int) length,
	    (unsigned char *) text, (int) room, true);
	if (converted == (int) length)
		return text;
	pfree(text);
	return NULL;
}
