/*
 * finding.c: what an operator should know of, gathered.
 *
 * A check is a statement that answers a row for each thing it finds, or code
 * that adds one. No finding has a secret, or anything of a user, in it: who may
 * ask for findings need not be allowed to read more.
 */
#include "base/base.h"

static const AsColumn columns[] = {
    AS_COLUMN(AsFinding, TEXT, finding),
    AS_COLUMN(AsFinding, TEXT, risk),
    AS_COLUMN(AsFinding, TEXT, cure),
};
static const AsShape shape = AS_SHAPE(AsFinding, columns);

void
as_finding_add(AsFindings *findings, const char *finding, const char *risk,
               const char *cure)
{
	AsFinding *added = palloc(sizeof(AsFinding));

	added->finding = pstrdup(finding);
	added->risk = pstrdup(risk);
	added->cure = pstrdup(cure);
	findings->list = lappend(findings->list, added);
}

void
as_finding_select(AsFindings *findings, AsStatement *check, AsArgs args)
{
	AsFinding *rows;
	int count = as_store_list(check, &shape, &rows, args);

	for (int i = 0; i < count; i++)
		findings->list = lappend(findings->list, &rows[i]);
}
