/*
 * sealed.c: what is stored under the master key.
 *
 * The master key is read from its file when a secret is stored or opened,
 * which is when a backend loads its keys, or a user shows a second factor, and
 * is zeroed at once. A file that can't be used denies: nothing is ever stored
 * open because sealing failed. The log says what is wrong with the file; the
 * caller hears only that there is something to mend.
 */
#include "keys/keys.h"

#include "catalog/pg_type_d.h"
#include "miscadmin.h"

/* A secret in its stored form, and the label of its row. */
typedef struct SealedRow
{
	char *label;
	AsBytes stored;
} SealedRow;

static const AsColumn row_columns[] = {
    AS_COLUMN(SealedRow, TEXT, label),
    AS_COLUMN(SealedRow, BYTES, stored),
};
static const AsShape row_shape = AS_SHAPE(SealedRow, row_columns);

/* Reads the file that the setting names; the log has why it can't. */
static bool
read_master_key(AsMasterKey *out)
{
	const char *fault;

	if (auth_session_master_key_file[0] == '\0')
		return false;
	fault = as_master_key_fault(
	    as_master_key_read(auth_session_master_key_file, out));
	if (fault == NULL)
		return true;
	ereport(LOG_SERVER_ONLY, (errcode(ERRCODE_CONFIG_FILE_ERROR),
	                          errmsg("the master key file \"%s\" is refused",
	                                 auth_session_master_key_file),
	                          errdetail_internal("%s", fault)));
	return false;
}

static void
log_unopened(const char *label, AsSealOutcome outcome)
{
	if (outcome == AS_SEAL_OTHER_MASTER_KEY)
		ereport(LOG_SERVER_ONLY,
		        (errmsg("key \"%s\" is sealed under another master key", label),
		         errhint("Set auth_session.master_key_file to the file it "
		                 "was sealed under.")));
	else if (outcome == AS_SEAL_NO_MASTER_KEY)
		ereport(
		    LOG_SERVER_ONLY,
		    (errmsg("key \"%s\" is sealed and there is no master key", label),
		     errhint("Set auth_session.master_key_file.")));
	else if (outcome == AS_SEAL_DAMAGED)
		ereport(LOG_SERVER_ONLY, (errmsg("key \"%s\" is damaged", label)));
}

/* Room for the stored form of length bytes, for put. */
static bytea *
room_for(size_t length)
{
	return palloc(VARHDRSZ + length + AS_SEAL_OVERHEAD);
}

/* The stored form as a parameter, open where master is NULL. */
static AsArg
put(bytea *room, const AsMasterKey *master, const char *label,
    const void *secret, size_t length)
{
	SET_VARSIZE(room, VARHDRSZ + as_key_seal(master, label, secret, length,
	                                         (uint8 *) VARDATA(room)));
	return as_arg_datum(BYTEAOID, PointerGetDatum(room));
}

/*
 * The row's secret, which was open or sealed under previous, under the master
 * key of today, and zeroes what was read. False where it is that already.
 */
static bool
seal_again(SealedRow *row, const AsMasterKey *previous, AsArg *again)
{
	AsBytes *stored = &row->stored;
	uint8 *secret = palloc(stored->length);
	bytea *room = room_for(stored->length);
	size_t length;
	AsMasterKey master;
	AsSealOutcome outcome;
	bool is_done;

	if (!read_master_key(&master))
		as_sealed_fail(AS_SEAL_NO_MASTER_KEY);
	outcome = as_key_open(&master, row->label, stored->bytes, stored->length,
	                      secret, stored->length, &length);
	is_done = outcome == AS_SEAL_OPENED &&
	          as_key_is_sealed(stored->bytes, stored->length);
	if (outcome == AS_SEAL_OTHER_MASTER_KEY && previous != NULL)
		outcome = as_key_open(previous, row->label, stored->bytes,
		                      stored->length, secret, stored->length, &length);
	if (outcome == AS_SEAL_OPENED && !is_done)
		*again = put(room, &master, row->label, secret, length);
	as_wipe(&master, sizeof(master));
	as_wipe(secret, stored->length);
	as_wipe(stored->bytes, stored->length);
	if (outcome != AS_SEAL_OPENED)
		as_sealed_fail(outcome);
	return !is_done;
}

AsArg
as_sealed_arg(const char *label, void *secret, size_t length)
{
	bytea *room = room_for(length);
	bool is_open = auth_session_master_key_file[0] == '\0';
	AsMasterKey master;
	bool has_master = read_master_key(&master);
	AsArg stored = as_arg_bytes(NULL, 0);

	Assert(label != NULL && length > 0);
	if (is_open || has_master)
		stored = put(room, has_master ? &master : NULL, label, secret, length);
	as_wipe(&master, sizeof(master));
	as_wipe(secret, length);
	if (stored.is_null)
		as_sealed_fail(AS_SEAL_NO_MASTER_KEY);
	return stored;
}

AsSealOutcome
as_sealed_open(const char *label, AsBytes *stored, void *out, size_t room,
               size_t *length)
{
	AsMasterKey master;
	bool has_master = as_key_is_sealed(stored->bytes, stored->length) &&
	                  read_master_key(&master);
	AsSealOutcome outcome;

	Assert(label != NULL);
	outcome = as_key_open(has_master ? &master : NULL, label, stored->bytes,
	                      stored->length, out, room, length);
	if (has_master)
		as_wipe(&master, sizeof(master));
	if (stored->length > 0)
		as_wipe(stored->bytes, stored->length);
	log_unopened(label, outcome);
	return outcome;
}

int
as_sealed_renew(AsStatement *rows, AsStatement *update,
                const AsMasterKey *previous)
{
	SealedRow *row;
	int count = as_store_list(rows, &row_shape, &row, AS_NO_ARGS);
	int sealed = 0;

	for (int i = 0; i < count; i++)
	{
		AsArg again;

		CHECK_FOR_INTERRUPTS();
		if (seal_again(&row[i], previous, &again))
			sealed += (int) as_store_run(
			    update, AS_ARGS(as_arg_text(row[i].label), again));
	}
	return sealed;
}

void
as_sealed_fail(AsSealOutcome outcome)
{
	Assert(outcome != AS_SEAL_OPENED);
	ereport(ERROR,
	        (errcode(ERRCODE_CONFIG_FILE_ERROR),
	         errmsg("a key of the authentication service is not available"),
	         errdetail_log("%s", outcome == AS_SEAL_OTHER_MASTER_KEY
	                                 ? "It is sealed under another master key."
	                             : outcome == AS_SEAL_DAMAGED
	                                 ? "It is damaged."
	                                 : "The master key is missing or refused."),
	         errhint("The operator finds the reason in the server log.")));
	pg_unreachable();
}
