/*
 * random_id.c: UUIDs that nobody can guess.
 *
 * Random bits come from libsodium, which asks the kernel: nothing is shared
 * between a postmaster and the backends it forked.
 */
#include "tool/tool.h"

#include <sodium.h>
#include <string.h>

static void
set_version(AsUuid *uuid, uint8_t version)
{
	uuid->bytes[6] = (uint8_t) ((uuid->bytes[6] & 0x0f) | (version << 4));
	uuid->bytes[8] = (uint8_t) ((uuid->bytes[8] & 0x3f) | 0x80);
}

static void
set_time(AsUuid *uuid, uint64_t unix_ms)
{
	for (int i = 0; i < 6; i++)
		uuid->bytes[i] = (uint8_t) (unix_ms >> (40 - 8 * i));
	set_version(uuid, 7);
}

AsUuid
as_uuid_random(void)
{
	AsUuid uuid;

	randombytes_buf(uuid.bytes, sizeof(uuid.bytes));
	set_version(&uuid, 4);
	return uuid;
}

AsUuid
as_uuid_ordered(uint64_t unix_ms)
{
	AsUuid uuid;

	randombytes_buf(uuid.bytes, sizeof(uuid.bytes));
	set_time(&uuid, unix_ms);
	return uuid;
}

/* Before which of the 16 bytes the canonical form has a hyphen. */
static bool
hyphen_before(int byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

bool
as_uuid_equal(const AsUuid *a, const AsUuid *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool
as_uuid_is_known(const AsUuid *uuid)
{
	static const AsUuid unknown = {{0}};

	return !as_uuid_equal(uuid, &unknown);
}

void
as_uuid_print(const AsUuid *uuid, char out[AS_UUID_CHARS + 1])
{
	static const char digits[] = "0123456789abcdef";
	char *end = out;

	for (int i = 0; i < 16; i++)
	{
		if (hyphen_before(i))
			*end++ = '-';
		*end++ = digits[uuid->bytes[i] >> 4];
		*end++ = digits[uuid->bytes[i] & 0x0f];
	}
	*end = '\0';
}

/* One more than the value of each digit; 0 for no digit. */
static const uint8_t hex_digit[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
    ['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
    ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16, ['A'] = 11, ['B'] = 12,
    ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

bool
as_uuid_parse(const char *text, size_t length, AsUuid *out)
{
	if (length != AS_UUID_CHARS)
		return false;
	for (int i = 0; i < 16; i++)
	{
		unsigned high;
		unsigned low;

		if (hyphen_before(i) && *text++ != '-')
			return false;
		high = hex_digit[(uint8_t) *text++];
		low = hex_digit[(uint8_t) *text++];
		if (high == 0 || low == 0)
			return false;
		out->bytes[i] = (uint8_t) ((high - 1) << 4 | (low - 1));
	}
	return true;
}
