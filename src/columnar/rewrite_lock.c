/*-------------------------------------------------------------------------
 *
 * rewrite_lock.c
 *		The locks of a rewrite, taken so that no queue forms behind them.
 *
 * As everywhere in maintenance (src/partition/lock.c), a lock is asked for
 * without waiting, again and again: a request in the queue would stop all who
 * come after it.  While the last lock is polled for nobody is stopped by us at
 * all, and so that may go on for longer than the lock budget.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/index.h"
#include "common/pg_prng.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

#include "columnar/rewrite_parts.h"
#include "partition/partition.h"

/* Pauses between two tries */
#define FIRST_PAUSE_MS 2
#define LAST_PAUSE_MS 50

static long
jittered(long ms)
{
	return Max(1, (long) (ms * (0.5 + pg_prng_double(&pg_global_prng_state))));
}

/*
 * Who has a lock that is in the way.
 */
static const char *
describe_holders(const DbpLock *lock)
{
	StringInfoData buf;
	LOCKTAG tag;
	VirtualTransactionId *holders;

	initStringInfo(&buf);
	SET_LOCKTAG_RELATION(tag, MyDatabaseId, lock->relid);
	holders = GetLockConflicts(&tag, lock->mode, NULL);
	for (; VirtualTransactionIdIsValid(*holders); holders++)
	{
		PGPROC *proc = dbp_vxid_process(*holders);

		if (proc != NULL)
			appendStringInfo(&buf, "%sprocess %d", buf.len > 0 ? ", " : "", proc->pid);
	}
	return buf.len > 0 ? buf.data : "a prepared transaction, or one that waits in the queue";
}

static DbpLock *
try_all(List *locks)
{
	for (int i = 0; i < list_length(locks); i++)
	{
		DbpLock *lock = list_nth(locks, i);

		if (ConditionalLockRelationOid(lock->relid, lock->mode))
			continue;
		while (--i >= 0)
		{
			DbpLock *held = list_nth(locks, i);

			UnlockRelationOid(held->relid, held->mode);
		}
		return lock;
	}
	return NULL;
}

/*
 * Poll for all of these until they are there, or patience is at its end.
 */
static bool
poll(DbpRewrite *rewrite, List *locks)
{
	const DbpRewriteRequest *request = rewrite->request;
	long pause = FIRST_PAUSE_MS;
	DbpLock *missing;
	instr_time start;

	INSTR_TIME_SET_CURRENT(start);
	while ((missing = try_all(locks)) != NULL)
	{
		if (dbp_ms_since(&start) >= request->patience_ms)
			break;
		dbp_pause_ms(jittered(pause));
		pause = Min(pause * 2, LAST_PAUSE_MS);
	}
	rewrite->result->ms_waited += dbp_ms_since(&start);
	if (missing == NULL)
		return true;
	rewrite->result->why_not =
		psprintf("table \"%s\" could not be locked within %d ms: it is in use by %s",
				 get_rel_name(request->relid) ? get_rel_name(request->relid) : "?",
				 request->patience_ms, describe_holders(missing));
	return false;
}

bool
dbp_rewrite_lock_first(DbpRewrite *rewrite)
{
	Oid relid = rewrite->request->relid;

	if (rewrite->request->exclusive)
	{
		instr_time start;

		INSTR_TIME_SET_CURRENT(start);
		LockRelationOid(relid, rewrite->lock);
		rewrite->result->ms_waited += dbp_ms_since(&start);
		return true;
	}
	return poll(rewrite, dbp_lock_add(NIL, relid, rewrite->lock));
}

/*
 * The table, its TOAST table, and the indexes of both: of those that are rebuilt
 * or dropped, others could have one in use without the table.
 */
bool
dbp_rewrite_lock_all(DbpRewrite *rewrite)
{
	List *locks = dbp_lock_add(NIL, RelationGetRelid(rewrite->old), AccessExclusiveLock);
	Oid toast = rewrite->old->rd_rel->reltoastrelid;
	ListCell *cell;

	if (OidIsValid(toast))
	{
		Relation rel = relation_open(toast, AccessShareLock);

		locks = dbp_lock_add(locks, toast, AccessExclusiveLock);
		foreach(cell, RelationGetIndexList(rel))
			locks = dbp_lock_add(locks, lfirst_oid(cell), AccessExclusiveLock);
		relation_close(rel, AccessShareLock);
	}
	foreach(cell, RelationGetIndexList(rewrite->old))
		locks = dbp_lock_add(locks, lfirst_oid(cell), AccessExclusiveLock);
	return poll(rewrite, locks);
}
