/*
 * compat.h: what differs between PostgreSQL 15 and 18, in one place; but for
 * the server's JSON parser, which jose/json_reader.c uses without a server.
 *
 * No function is defined here; a version that lacks a name gets it as an
 * alias, so that the rest of the source reads as if written for the newest.
 */
#ifndef AS_COMPAT_H
#define AS_COMPAT_H

#include "postgres.h"

#include "storage/proc.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000
#error "auth_session needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 18 spells it before the declaration, and dropped the one that follows it. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

/* The local transaction id moved into a virtual transaction id in 17. */
#if PG_VERSION_NUM >= 170000
#define AS_MY_LXID (MyProc->vxid.lxid)
#else
#define AS_MY_LXID (MyProc->lxid)
#endif

/* Extensions can name what they wait for since 17. */
#if PG_VERSION_NUM >= 170000
#define AS_WAIT_EVENT(name) WaitEventExtensionNew(name)
#else
#define AS_WAIT_EVENT(name) PG_WAIT_EXTENSION
#endif

/* All settings, count of them: an array of the server's, of the caller's since 16. */
#if PG_VERSION_NUM >= 160000
#define as_guc_variables(count)         get_guc_variables(&(count))
#define as_guc_variables_free(settings) pfree(settings)
#else
#define as_guc_variables(count) \
	((count) = GetNumConfigOptions(), get_guc_variables())
#define as_guc_variables_free(settings) ((void) (settings))
#endif

/* Which indexes an update asks for: all or none; only the summarizing from 16. */
#if PG_VERSION_NUM >= 160000
#define AsIndexesToUpdate            TU_UpdateIndexes
#define AS_ALL_INDEXES               TU_All
#define as_wants_indexes(indexes)    ((indexes) != TU_None)
#define as_only_summarizing(indexes) , (indexes) == TU_Summarizing
#else
#define AsIndexesToUpdate         bool
#define AS_ALL_INDEXES            true
#define as_wants_indexes(indexes) (indexes)
#define as_only_summarizing(indexes)
#endif

/* What fails can be taken back within a parallel operation since 17. */
#if PG_VERSION_NUM >= 170000
#define AS_CAN_TAKE_BACK true
#else
#define AS_CAN_TAKE_BACK (!IsInParallelMode())
#endif

#endif /* AS_COMPAT_H */
