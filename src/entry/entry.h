/*
 * entry.h: the top floor: what SQL calls. One file per flow, the order of its
 * checks readable from top to bottom; and the worker, whose work comes from
 * the queue.
 */
#ifndef AS_ENTRY_H
#define AS_ENTRY_H

#include "service/service.h"

/* Declares and registers the C function of an SQL function. */
#define AS_ENTRY(name)                        \
	PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
	PG_FUNCTION_INFO_V1(name)

/* ---- worker_task.c: the transactions of the recorder's worker ---- */

/* Connects to a database, as the bootstrap superuser, and makes ready. */
extern void as_worker_connect(Oid database);

/*
 * Commits what it can of the records, which as_recorder_take gave, settles
 * that and puts back the rest. Changes their order.
 */
extern void as_worker_record(AsTaken *taken, int count);

/* Sends the NOTIFY; on false it could not, and has put the wake back. */
extern bool as_worker_wake_bridge(void);

/* The same, by which PostgREST loads its configuration, with the keys, again. */
extern bool as_worker_tell_postgrest(void);

/*
 * Works revocations into the rows they name, a transaction a user; and a batch
 * of what everybody's have ended.
 */
extern AsFolded as_worker_fold(void);

/* Writes when API keys were last used; of a row that somebody holds not now. */
extern void as_worker_note_key_uses(void);

#endif /* AS_ENTRY_H */
