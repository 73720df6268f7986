/*
 * enrollment.c: a TOTP secret as apps take it: in base32, as an otpauth URI
 * and as a QR code of that.
 *
 * The URI is as the Key URI Format has it:
 * otpauth://totp/ISSUER:ACCOUNT?secret=...&issuer=ISSUER..., where neither
 * issuer nor account may have a colon. Of an issuer that is a URL, what is
 * behind its scheme counts.
 */
#include "service/service.h"

/* Light modules around a QR code (ISO/IEC 18004). */
#define QUIET_ZONE 4

/* For twice an issuer, an address, and the rest, percent-encoded. */
#define URI_ROOM (6 * AS_ISSUER_MAX + 3 * AS_EMAIL_MAX_BYTES + 256)

/* RFC 3986 section 2.3: what stays as it is. */
static bool
is_unreserved(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c >= '0' && c <= '9') || strchr("-._~", c) != NULL;
}

static void
append_encoded(StringInfo uri, const char *text)
{
	size_t length = strlen(text);
	char *utf8 = as_text_to_utf8(text, &length);

	for (size_t i = 0; i < length; i++)
	{
		unsigned char c = (unsigned char) utf8[i];

		if (c == ':')
			appendStringInfoString(uri, "%20");
		else if (is_unreserved(c))
			appendStringInfoChar(uri, (char) c);
		else
			appendStringInfo(uri, "%%%02X", c);
	}
}

static const char *
issuer_name(void)
{
	const char *behind = strstr(auth_session_issuer, "://");

	return behind == NULL ? auth_session_issuer : behind + strlen("://");
}

/* The address that the account is known by. */
static const char *
account_name(const AsAccount *account)
{
	const char *name =
	    as_account_counts(account->email, account->email_confirmed_at);

	if (name == NULL)
		name = as_account_counts(account->phone, account->phone_confirmed_at);
	return name == NULL ? "" : name;
}

static char *
make_uri(const AsAccount *account, const char *secret)
{
	StringInfoData uri;

	/* At once: what grows leaves a copy behind. */
	initStringInfo(&uri);
	enlargeStringInfo(&uri, URI_ROOM);
	appendStringInfoString(&uri, "otpauth://totp/");
	append_encoded(&uri, issuer_name());
	appendStringInfoChar(&uri, ':');
	append_encoded(&uri, account_name(account));
	appendStringInfo(&uri, "?secret=%s&issuer=", secret);
	append_encoded(&uri, issuer_name());
	appendStringInfo(&uri, "&algorithm=SHA1&digits=%d&period=%d",
	                 AS_TOTP_DIGITS, AS_TOTP_PERIOD);
	return uri.data;
}

/* The dark modules of a row, each run of them a rectangle. */
static void
draw_row(StringInfo svg, const AsQrCode *code, int y)
{
	const uint8 *row = code->modules + (size_t) y * code->width;
	int x = 0;

	while (x < code->width)
	{
		int from = x;

		while (x < code->width && row[x] == 1)
			x++;
		if (x > from)
			appendStringInfo(svg, "M%d %dh%dv1h-%dz", from + QUIET_ZONE,
			                 y + QUIET_ZONE, x - from, x - from);
		else
			x++;
	}
}

static char *
draw(const AsQrCode *code)
{
	int edge = code->width + 2 * QUIET_ZONE;
	StringInfoData svg;

	initStringInfo(&svg);
	enlargeStringInfo(&svg, 256 + 16 * code->width * code->width);
	appendStringInfo(&svg,
	                 "<svg xmlns=\"http://www.w3.org/2000/svg\" "
	                 "viewBox=\"0 0 %d %d\" shape-rendering=\"crispEdges\">"
	                 "<path fill=\"#fff\" d=\"M0 0h%dv%dH0z\"/>"
	                 "<path fill=\"#000\" d=\"",
	                 edge, edge, edge, edge);
	for (int y = 0; y < code->width; y++)
		draw_row(&svg, code, y);
	appendStringInfoString(&svg, "\"/></svg>");
	return svg.data;
}

/* Raises AS_BUSY where there is no memory for it. */
static char *
draw_qr_code(const char *uri)
{
	AsQrCode *code = palloc(sizeof(AsQrCode));
	char *svg = NULL;

	if (as_qr_code_make(uri, code))
		svg = draw(code);
	as_wipe(code, sizeof(*code));
	pfree(code);
	if (svg == NULL)
		as_fail(AS_BUSY, NULL);
	return svg;
}

Datum
as_enrollment_answer(FunctionCallInfo fcinfo, const AsAccount *account,
                     AsTotpSecret *secret)
{
	char *base32 = palloc(AS_BASE32_CHARS(AS_TOTP_SECRET_BYTES) + 1);
	char *uri;

	(void) as_base32_encode(secret->bytes, sizeof(secret->bytes), base32);
	as_wipe(secret, sizeof(*secret));
	uri = make_uri(account, base32);
	return as_answer_enrollment(fcinfo, base32, uri, draw_qr_code(uri));
}
