/*
 * subtransaction.c: work that may fail, and leaves nothing then.
 *
 * An error only ends a transaction or a subtransaction: what it had opened,
 * locked and written goes with that, and with nothing less.
 */
#include "base/base.h"

#include "access/xact.h"
#include "utils/resowner.h"

ErrorData *
as_subtransaction_run(void (*work)(void *argument), void *argument)
{
	MemoryContext callers = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(callers);
	PG_TRY();
	{
		work(argument);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(callers);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(callers);
	CurrentResourceOwner = owner;
	return error;
}
