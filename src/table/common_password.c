/*
 * common_password.c: words that are refused as passwords, in
 * auth_private.common_passwords, folded as as_fold_text does. What is looked
 * for is somebody's password: the parameter is zeroed.
 */
#include "table/table.h"

static AsStatement select_one =
    AS_READS("SELECT FROM auth_private.common_passwords WHERE word = $1");

static AsStatement insert =
    AS_WRITES("INSERT INTO auth_private.common_passwords (word) VALUES ($1)"
              " ON CONFLICT DO NOTHING");

bool
as_common_password_is(const char *folded)
{
	AsArg word = as_arg_text(folded);
	bool is_there = as_store_run(&select_one, AS_ARGS(word)) > 0;

	as_wipe(DatumGetPointer(word.value),
	        VARSIZE_ANY(DatumGetPointer(word.value)));
	pfree(DatumGetPointer(word.value));
	return is_there;
}

void
as_common_password_add(const char *folded)
{
	(void) as_store_run(&insert, AS_ARGS(as_arg_text(folded)));
}
