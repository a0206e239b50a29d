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

#include <signal.h>

#include "access/relation.h"
#include "catalog/index.h"
#include "common/pg_prng.h"
#include "executor/spi.h"
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

/* An autovacuum is asked to make way after so long, as by anybody who waits in the queue */
#define AUTOVACUUM_MS 1000

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
describe_holders(const DbpLock *lock, bool cancel_autovacuum)
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

		if (proc == NULL)
			continue;
		appendStringInfo(&buf, "%sprocess %d", buf.len > 0 ? ", " : "", proc->pid);
		if (cancel_autovacuum && (proc->statusFlags & PROC_IS_AUTOVACUUM) &&
			!(proc->statusFlags & PROC_VACUUM_FOR_WRAPAROUND))
			(void) kill(proc->pid, SIGINT);
	}
	if (lock->mode == ExclusiveLock)
		return "a transaction that has added to dbperf.partition_events";
	return buf.len > 0 ? buf.data : "a prepared transaction, or one that waits in the queue";
}

static void
give_back(List *locks, int count)
{
	while (--count >= 0)
	{
		DbpLock *held = list_nth(locks, count);

		UnlockRelationOid(held->relid, held->mode);
	}
}

/*
 * The commit would wait for who holds the end of the audit trail, and everybody
 * for the commit.
 */
static bool
audit_is_held(void)
{
	bool held;

	if (!dbp_extension_exists())
		return false;
	SPI_connect();
	held = dbp_audit_is_held();
	SPI_finish();
	return held;
}

static DbpLock *
try_all(List *locks, bool strong)
{
	for (int i = 0; i < list_length(locks); i++)
	{
		DbpLock *lock = list_nth(locks, i);

		if (ConditionalLockRelationOid(lock->relid, lock->mode))
			continue;
		give_back(locks, i);
		return lock;
	}
	if (!strong || !audit_is_held())
		return NULL;
	give_back(locks, list_length(locks));
	return dbp_lock_end_of_audit();
}

/*
 * Poll for all of these until they are there, or patience is at its end.
 */
static bool
poll(DbpRewrite *rewrite, List *locks, bool strong)
{
	const DbpRewriteRequest *request = rewrite->request;
	long pause = FIRST_PAUSE_MS;
	bool asked = false;
	DbpLock *missing;
	instr_time start;

	INSTR_TIME_SET_CURRENT(start);
	while ((missing = try_all(locks, strong)) != NULL)
	{
		double waited = dbp_ms_since(&start);

		if (waited >= request->patience_ms)
			break;
		if (waited > AUTOVACUUM_MS && !asked)
		{
			(void) describe_holders(missing, true);
			asked = true;
		}
		dbp_pause_ms(jittered(pause));
		pause = Min(pause * 2, LAST_PAUSE_MS);
	}
	rewrite->result->ms_waited += dbp_ms_since(&start);
	if (missing == NULL)
		return true;
	rewrite->result->why_not =
		psprintf("table \"%s\" could not be locked within %d ms: it is in use by %s",
				 get_rel_name(request->relid) ? get_rel_name(request->relid) : "?",
				 request->patience_ms, describe_holders(missing, false));
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
	return poll(rewrite, dbp_lock_add(NIL, relid, rewrite->lock), false);
}

/*
 * Its TOAST table is vacuumed on its own, which would be in the way at the end.
 */
bool
dbp_rewrite_lock_toast(DbpRewrite *rewrite)
{
	Oid toast = rewrite->old->rd_rel->reltoastrelid;

	if (!OidIsValid(toast) || rewrite->request->exclusive)
		return true;
	return poll(rewrite, dbp_lock_add(NIL, toast, rewrite->lock), false);
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
	return poll(rewrite, locks, true);
}
