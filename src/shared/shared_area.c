/*
 * shared_area.c: how the parts of this floor get their shared memory.
 *
 * Each part asks for one named area while the library is preloaded. The two
 * hooks of the server are chained here once, for all of them. After a crash
 * of the server the areas are made anew: what they held is gone.
 */
#include "shared/shared.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#define MAX_AREAS 8

static const AsSharedArea *areas[MAX_AREAS];
static int area_count = 0;

static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

static void
request_areas(void)
{
	int i;

	if (previous_request_hook != NULL)
		previous_request_hook();
	for (i = 0; i < area_count; i++)
	{
		RequestAddinShmemSpace(areas[i]->size);
		if (areas[i]->lock_tranche != NULL)
			RequestNamedLWLockTranche(areas[i]->lock_tranche, 1);
	}
}

static void
attach_areas(void)
{
	int i;

	if (previous_startup_hook != NULL)
		previous_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	for (i = 0; i < area_count; i++)
	{
		bool found;
		void *memory = ShmemInitStruct(areas[i]->name, areas[i]->size, &found);

		areas[i]->attach(memory, !found);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
as_shared_area_add(const AsSharedArea *area)
{
	Assert(process_shared_preload_libraries_in_progress);
	Assert(area_count < MAX_AREAS);

	if (area_count == 0)
	{
		previous_request_hook = shmem_request_hook;
		shmem_request_hook = request_areas;
		previous_startup_hook = shmem_startup_hook;
		shmem_startup_hook = attach_areas;
	}
	areas[area_count++] = area;
}
