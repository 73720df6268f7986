/*
 * common_password.c: words that are refused as passwords, in
 * auth_private.common_passwords, folded as as_fold_text does.
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
	return as_store_run(&select_one, AS_ARGS(as_arg_text(folded))) > 0;
}

void
as_common_password_add(const char *folded)
{
	(void) as_store_run(&insert, AS_ARGS(as_arg_text(folded)));
}
