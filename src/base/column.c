/*
 * column.c: a column of a row becomes a member of a struct.
 *
 * What it needs is allocated in the current memory context: a row that was
 * found in a page, or in a statement's result, is soon gone.
 */
#include "base/base.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

static int
index_of(const char *const *names, const char *name)
{
	for (int i = 0; names[i] != NULL; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	elog(ERROR, "unknown name \"%s\" in a table of auth_private", name);
}

static void
read_texts(Datum value, AsTexts *out)
{
	Datum *items;

	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false,
	                  TYPALIGN_INT, &items, NULL, &out->count);
	out->items = palloc(sizeof(char *) * Max(out->count, 1));
	for (int i = 0; i < out->count; i++)
		out->items[i] = TextDatumGetCString(items[i]);
}

static void
read_bytes(Datum value, AsBytes *out)
{
	bytea *copy = DatumGetByteaPCopy(value);

	out->bytes = (uint8 *) VARDATA_ANY(copy);
	out->length = VARSIZE_ANY_EXHDR(copy);
}

static void
read_value(const AsColumn *column, Datum value, char *member)
{
	struct varlena *packed;

	switch (column->type)
	{
		case AS_COLUMN_UUID:
			memcpy(member, DatumGetUUIDP(value)->data, sizeof(AsUuid));
			break;
		case AS_COLUMN_TEXT:
			*(char **) member = TextDatumGetCString(value);
			break;
		case AS_COLUMN_CHARS:
			packed = PG_DETOAST_DATUM_PACKED(value);
			if (VARSIZE_ANY_EXHDR(packed) < column->size)
				memcpy(member, VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed));
			break;
		case AS_COLUMN_TEXTS:
			read_texts(value, (AsTexts *) member);
			break;
		case AS_COLUMN_NAME:
			*(int *) member =
			    index_of(column->names, TextDatumGetCString(value));
			break;
		case AS_COLUMN_INT:
			*(int32 *) member = DatumGetInt32(value);
			break;
		case AS_COLUMN_INT8:
			*(int64 *) member = DatumGetInt64(value);
			break;
		case AS_COLUMN_BOOL:
			*(bool *) member = DatumGetBool(value);
			break;
		case AS_COLUMN_TIME:
			*(TimestampTz *) member = DatumGetTimestampTz(value);
			break;
		case AS_COLUMN_JSONB:
			*(Jsonb **) member = DatumGetJsonbPCopy(value);
			break;
		case AS_COLUMN_PLACE:
			*(ItemPointerData *) member =
			    *(ItemPointerData *) DatumGetPointer(value);
			break;
		case AS_COLUMN_BYTES:
			read_bytes(value, (AsBytes *) member);
			break;
		case AS_COLUMN_FIXED:
			packed = PG_DETOAST_DATUM_PACKED(value);
			if (VARSIZE_ANY_EXHDR(packed) == column->size)
				memcpy(member, VARDATA_ANY(packed), column->size);
			break;
	}
}

void
as_column_read(const AsColumn *column, Datum value, bool is_null, char *member)
{
	if (!is_null)
		read_value(column, value, member);
	else if (column->type == AS_COLUMN_TIME)
		*(TimestampTz *) member = AS_NO_TIME;
}
