/*
 * tagged.c: texts that only this server can have made.
 *
 *     prefix + base64url of body | tag
 *
 * The tag is the first bytes of an HMAC-SHA-256 over the body: whoever reads a
 * text refuses a forged one before looking anything up. The body may be a
 * secret, so it is encoded, decoded and compared in a time that doesn't depend
 * on it, and wiped. One body has one text: no padding, no other alphabet, no
 * bits that nobody reads.
 */
#include "tool/tool.h"

#include <assert.h>
#include <string.h>

/* The most bytes of body and tag of any kind. */
#define BYTES_MAX 128

static size_t
bytes_of(const AsTaggedKind *kind)
{
	assert(strlen(kind->prefix) == AS_TAGGED_PREFIX_CHARS);
	assert(kind->tag_bytes >= AS_TAG_MIN_BYTES &&
	       kind->tag_bytes <= AS_DIGEST_BYTES);
	assert(kind->body_bytes <= BYTES_MAX - kind->tag_bytes);
	return kind->body_bytes + kind->tag_bytes;
}

void
as_tagged_print(const AsTaggedKind *kind, const AsMacKey *key, const void *body,
                char *out)
{
	uint8_t bytes[BYTES_MAX];
	uint8_t mac[AS_DIGEST_BYTES];
	size_t length = bytes_of(kind);

	memcpy(bytes, body, kind->body_bytes);
	as_mac(key, body, kind->body_bytes, mac);
	memcpy(bytes + kind->body_bytes, mac, kind->tag_bytes);

	memcpy(out, kind->prefix, AS_TAGGED_PREFIX_CHARS);
	(void) as_base64url_encode(bytes, length, out + AS_TAGGED_PREFIX_CHARS);
	as_wipe(mac, sizeof(mac));
	as_wipe(bytes, sizeof(bytes));
}

/* Decodes a text of the right kind and length, whoever made it. */
static bool
decode(const AsTaggedKind *kind, const char *text, size_t length,
       uint8_t bytes[BYTES_MAX])
{
	size_t wanted = bytes_of(kind);
	size_t decoded;

	if (length != AS_TAGGED_CHARS(wanted) ||
	    memcmp(text, kind->prefix, AS_TAGGED_PREFIX_CHARS) != 0)
		return false;
	return as_base64url_decode(text + AS_TAGGED_PREFIX_CHARS,
	                           length - AS_TAGGED_PREFIX_CHARS, bytes,
	                           BYTES_MAX, &decoded) &&
	       decoded == wanted;
}

bool
as_tagged_parse(const AsTaggedKind *kind, const AsMacKey *key, const char *text,
                size_t length, void *body)
{
	uint8_t bytes[BYTES_MAX];
	uint8_t mac[AS_DIGEST_BYTES];
	bool genuine = decode(kind, text, length, bytes);

	if (genuine)
	{
		as_mac(key, bytes, kind->body_bytes, mac);
		genuine = as_is_same(mac, bytes + kind->body_bytes, kind->tag_bytes);
		as_wipe(mac, sizeof(mac));
	}
	if (genuine)
		memcpy(body, bytes, kind->body_bytes);
	else
		memset(body, 0, kind->body_bytes);
	as_wipe(bytes, sizeof(bytes));
	return genuine;
}
