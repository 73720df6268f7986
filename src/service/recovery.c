/*
 * recovery.c: the recovery codes that a user keeps on paper.
 *
 * Ten of them, made together, shown once: what stays is their digests.
 */
#include "service/service.h"

#include "catalog/pg_type_d.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include <sodium.h>

#define CODES 10

/* Characters between hyphens, and what is printed of a code with its NUL. */
#define GROUP         4
#define PLAIN_CHARS   AS_BASE32_CHARS(AS_RECOVERY_CODE_BYTES)
#define PRINTED_CHARS (PLAIN_CHARS + PLAIN_CHARS / GROUP - 1)

static void
print_code(const uint8 *bytes, char out[PRINTED_CHARS + 1])
{
	char plain[PLAIN_CHARS + 1];
	int written = 0;

	(void) as_base32_encode(bytes, AS_RECOVERY_CODE_BYTES, plain);
	for (int i = 0; i < PLAIN_CHARS; i++)
	{
		if (i > 0 && i % GROUP == 0)
			out[written++] = '-';
		out[written++] = plain[i];
	}
	out[written] = '\0';
	as_wipe(plain, sizeof(plain));
}

static Datum
make_code(const AsUuid *user_id)
{
	uint8 bytes[AS_RECOVERY_CODE_BYTES];
	char printed[PRINTED_CHARS + 1];
	AsDigest digest;
	Datum code;

	randombytes_buf(bytes, sizeof(bytes));
	as_digest(bytes, sizeof(bytes), &digest);
	print_code(bytes, printed);
	as_wipe(bytes, sizeof(bytes));
	code = CStringGetTextDatum(printed);
	as_wipe(printed, sizeof(printed));
	as_recovery_code_add(user_id, &digest);
	return code;
}

Datum
as_recovery_renew(const AsUuid *user_id)
{
	Datum codes[CODES];
	ArrayType *array;

	as_recovery_code_delete_all(user_id);
	for (int i = 0; i < CODES; i++)
		codes[i] = make_code(user_id);
	array = construct_array(codes, CODES, TEXTOID, -1, false, TYPALIGN_INT);
	for (int i = 0; i < CODES; i++)
		as_wipe(VARDATA_ANY(DatumGetPointer(codes[i])), PRINTED_CHARS);
	return PointerGetDatum(array);
}
