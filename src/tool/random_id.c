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

static int
hex_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	return -1;
}

bool
as_uuid_parse(const char *text, size_t length, AsUuid *out)
{
	if (length != AS_UUID_CHARS)
		return false;
	for (int i = 0; i < 16; i++)
	{
		int high;
		int low;

		if (hyphen_before(i) && *text++ != '-')
			return false;
		high = hex_value(*text++);
		low = hex_value(*text++);
		if (high < 0 || low < 0)
			return false;
		out->bytes[i] = (uint8_t) (high << 4 | low);
	}
	return true;
}
