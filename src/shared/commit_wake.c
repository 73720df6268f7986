/*
 * commit_wake.c: what a commit wakes the worker for.
 *
 * A transaction that wrote a notification, a revocation or a key says so at
 * once; the worker hears of it when others can see what was written, and never
 * of what was rolled back.
 */
#include "shared/shared.h"

#include "access/xact.h"
#include "utils/resowner.h"

/* Until the end of the transaction: AsWork bits. */
static int wanted = 0;
static bool is_committed = false;

static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT)
		is_committed = true;
	else if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		wanted = 0;
}

/*
 * Not before this: at XACT_EVENT_COMMIT the transaction is visible, but its
 * invalidations (watch.c) are still to be sent. Who is told then, and looks at
 * once, could take what it has for what there is, and is told no more.
 */
static void
on_release(ResourceReleasePhase phase, bool isCommit, bool isTopLevel,
           void *arg)
{
	int works = wanted;

	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !isTopLevel || !is_committed)
		return;
	is_committed = false;
	wanted = 0;
	for (int work = 1; work <= AS_WORK_ALL; work <<= 1)
		if ((works & work) != 0)
			as_dispatch_wake(work);
}

void
as_wake_on_commit(AsWork work)
{
	static bool registered = false;

	if (work != AS_WORK_FOLD && !auth_session_notify)
		return;
	if (!registered)
	{
		RegisterXactCallback(on_transaction_end, NULL);
		RegisterResourceReleaseCallback(on_release, NULL);
		registered = true;
	}
	wanted |= work;
}
