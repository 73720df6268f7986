/*
 * redact_memory.c: what was found of a text, remembered by what it says.
 *
 * A backend runs the same statements over and over, and reading one costs ten
 * times as much as knowing it again. A text may hold a secret, and the process
 * outlives it, so the text is not kept: only a tag of it, under a key that no
 * two servers share (SipHash of 128 bits, whose tags nobody sees). By chance
 * two texts have the same tag once in 2^128 times, so a tag that is known is a
 * text that is known.
 *
 * There are as many places as there are, and the next text that belongs to a
 * place takes it over. Nothing is allocated, and nothing can fail: the log asks
 * at any moment of a process's life.
 */
#include "redact/redact.h"

#include <sodium.h>

#define PLACES 256

typedef struct Place
{
	bool is_taken;
	AsTextTag tag;
	AsTextKnown known;
} Place;

static unsigned char key[crypto_shorthash_siphashx24_KEYBYTES];
static Place places[PLACES];

void
as_text_memory_init(void)
{
	randombytes_buf(key, sizeof(key));
}

void
as_text_tag(const char *text, size_t length, const char *wrappers,
            AsTextTag *out)
{
	const unsigned char *with = key;
	unsigned char of_wrappers[crypto_shorthash_siphashx24_KEYBYTES];

	_Static_assert(sizeof(out->bytes) == crypto_shorthash_siphashx24_BYTES,
	               "a tag is a hash");
	_Static_assert(sizeof(of_wrappers) == sizeof(out->bytes),
	               "a hash is a key");
	if (wrappers != NULL && wrappers[0] != '\0')
	{
		crypto_shorthash_siphashx24(of_wrappers,
		                            (const unsigned char *) wrappers,
		                            strlen(wrappers), key);
		with = of_wrappers;
	}
	crypto_shorthash_siphashx24(out->bytes, (const unsigned char *) text,
	                            length, with);
}

static Place *
place_of(const AsTextTag *tag)
{
	return &places[tag->bytes[0] % PLACES];
}

bool
as_text_recall(const AsTextTag *tag, AsTextKnown *known)
{
	const Place *place = place_of(tag);

	if (!place->is_taken || memcmp(&place->tag, tag, sizeof(AsTextTag)) != 0)
		return false;
	*known = place->known;
	return true;
}

void
as_text_remember(const AsTextTag *tag, AsTextKnown known)
{
	Place *place = place_of(tag);

	/* Should a signal's line be logged meanwhile, there is nothing here. */
	place->is_taken = false;
	place->tag = *tag;
	place->known = known;
	place->is_taken = true;
}
