/*-------------------------------------------------------------------------
 *
 * compress_watch.c
 *		Has compressing by policy make way for who waits for the table.
 *
 * Reading and writing do not have to wait while a table is compressed, but
 * ALTER TABLE, VACUUM and the like do, and behind an ALTER TABLE everybody
 * waits.  As an autovacuum does, what is done by policy gives way then; it is
 * tried again later.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "partition/compress.h"

/* Looks at who waits */
#define LOOK_MS 50

static TimeoutId look_timeout = MAX_TIMEOUTS;

/* For the signal handler, which must not look anything up */
static volatile Oid watched_rel = InvalidOid;
static volatile Oid watched_toast = InvalidOid;
static volatile int64 budget_us = 0;
static volatile bool made_way = false;

/*
 * Has anybody waited for the table for too long?  A look without a lock, which
 * may err for a moment; then we make way for nothing.
 */
static bool
somebody_waits(void)
{
	TimestampTz now = GetCurrentTimestamp();

	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		PGPROC *proc = &ProcGlobal->allProcs[i];
		LOCK *volatile lock = proc->waitLock;
		TimestampTz since;
		LOCKTAG tag;

		if (lock == NULL || proc == MyProc)
			continue;
		tag = lock->tag;
		since = (TimestampTz) pg_atomic_read_u64(&proc->waitStart);
		if (tag.locktag_type == LOCKTAG_RELATION && tag.locktag_field1 == MyDatabaseId &&
			(tag.locktag_field2 == watched_rel || tag.locktag_field2 == watched_toast) &&
			since != 0 && now - since > budget_us)
			return true;
	}
	return false;
}

/* Cancels what is being done, if it is something that can be done later */
bool
dbp_watch_make_way(void)
{
	if (!OidIsValid(watched_rel) || proc_exit_inprogress)
		return false;
	made_way = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
	return true;
}

/* In a signal handler */
static void
look(void)
{
	if (OidIsValid(watched_rel) && !made_way && somebody_waits())
		(void) dbp_watch_make_way();
}

static Oid
toast_of(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid toast = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		toast = ((Form_pg_class) GETSTRUCT(tuple))->reltoastrelid;
		ReleaseSysCache(tuple);
	}
	/* nobody waits for the relation with OID 0 */
	return toast;
}

void
dbp_watch_begin(Oid relid, int budget_ms)
{
	if (look_timeout == MAX_TIMEOUTS)
		look_timeout = RegisterTimeout(USER_TIMEOUT, look);
	budget_us = (int64) budget_ms * 1000;
	made_way = false;
	watched_toast = toast_of(relid);
	watched_rel = relid;
	enable_timeout_every(look_timeout, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LOOK_MS),
						 LOOK_MS);
}

bool
dbp_watch_end(void)
{
	if (!OidIsValid(watched_rel))
		return false;
	disable_timeout(look_timeout, false);
	watched_rel = InvalidOid;
	return made_way;
}
