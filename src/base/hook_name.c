/*
 * hook_name.c: the functions of the application's that settings name.
 *
 * What a name must be is one question when it is set and when it is called, so
 * it is answered once. Without asking what this extension's role may see: a
 * hook is called as its owner, and only an operator could name it.
 */
#include "base/base.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type_d.h"
#include "utils/builtins.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

const AsHookShape as_claims_hook_shape = {
    .count = 2,
    .types = {UUIDOID, JSONBOID},
    .result = JSONBOID,
};

const AsHookShape as_password_hook_shape = {
    .count = 1,
    .types = {TEXTOID},
    .result = BOOLOID,
};

const AsHookShape as_signup_hook_shape = {
    .count = 3,
    .types = {TEXTOID, TEXTOID, JSONBOID},
    .result = JSONBOID,
    .takes_nulls = true,
};

/* Without a schema it would depend on a search_path. */
bool
as_hook_name_parse(const char *name, char **schema, char **function)
{
	List *parts = NIL;

	if (!SplitIdentifierString(pstrdup(name), '.', &parts) ||
	    list_length(parts) != 2)
		return false;
	*schema = linitial(parts);
	*function = lsecond(parts);
	return true;
}

const char *
as_hook_find(const char *name, const AsHookShape *shape, AsHook *hook)
{
	char *schema;
	char *function;
	Oid namespace;
	HeapTuple tuple;
	Form_pg_proc form;
	bool fits;
	bool is_skipped;

	if (!as_hook_name_parse(name, &schema, &function))
		return "The name must be schema.function.";
	namespace = get_namespace_oid(schema, true);
	if (isAnyTempNamespace(namespace))
		return "A temporary function is no hook.";
	tuple = SearchSysCache3(
	    PROCNAMEARGSNSP, CStringGetDatum(function),
	    PointerGetDatum(buildoidvector(shape->types, shape->count)),
	    ObjectIdGetDatum(namespace));
	if (!HeapTupleIsValid(tuple))
		return "There is no such function of these arguments.";
	form = (Form_pg_proc) GETSTRUCT(tuple);
	hook->function = form->oid;
	hook->owner = form->proowner;
	fits = form->prorettype == shape->result && !form->proretset &&
	       form->prokind == PROKIND_FUNCTION;
	/* With an argument of NULL the server would not run it, and say so to none. */
	is_skipped = shape->takes_nulls && form->proisstrict;
	ReleaseSysCache(tuple);
	if (is_skipped)
		return "The function is STRICT, and an argument can be NULL.";
	return fits ? NULL : "The function returns another type.";
}
