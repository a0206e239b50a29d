/*-------------------------------------------------------------------------
 *
 * lock.c
 *		Locks for maintenance, taken so that no queue forms behind them.
 *
 * A lock request that waits stops everybody who comes after it and conflicts
 * with it, however short its own use would be.  So nothing here waits in
 * the lock manager's queue: all locks that a step needs are asked for without
 * waiting, all are given back when one of them cannot be had, and it is tried
 * again a little later, until the policy's lock budget is spent; then, after
 * a pause, once more, a few times.
 *
 * The one exception is a lock that stops everybody who uses a table, such as
 * DETACH needs beside a default partition or foreign keys, and DROP on tables
 * that the dropped one points to: when it was not to be had in a first round,
 * it is queued for, no longer than half of the lock budget.  By polling alone,
 * a table that is never at rest could not be had.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "common/pg_prng.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/sinvaladt.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "partition/partition.h"
#include "partition/compress.h"
#include "partition/run.h"
#include "worker/archiver.h"

/* Pauses between the rounds of polling for one step, and within one */
#define FIRST_PAUSE_MS 50
#define MAX_PAUSE_MS 1000
#define POLL_MS 5

/*
 * Add a lock to a list of those that are to be had all at once.
 */
List *
dbp_lock_add(List *requests, Oid relid, LOCKMODE mode)
{
	DbpLock *request;
	ListCell *cell;

	foreach(cell, requests)
	{
		request = lfirst(cell);
		if (request->relid == relid)
		{
			request->mode = Max(request->mode, mode);
			return requests;
		}
	}
	request = palloc(sizeof(DbpLock));
	request->relid = relid;
	request->mode = mode;
	return lappend(requests, request);
}

/*
 * The same for a table with all that is below it.
 */
List *
dbp_lock_add_tree(List *requests, Oid relid, LOCKMODE mode)
{
	ListCell *cell;

	/* dropped meanwhile: whoever asked will find out under the other locks */
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return requests;
	foreach(cell, find_all_inheritors(relid, NoLock, NULL))
		requests = dbp_lock_add(requests, lfirst_oid(cell), mode);
	return requests;
}

/*
 * The tables at the other end of a table's foreign keys: those that it points
 * to, and those that point to it.  The table's own triggers name them, and
 * unlike pg_constraint can be looked up from both ends.
 */
List *
dbp_lock_add_foreign_keys(List *requests, Oid relid, LOCKMODE referenced, LOCKMODE referencing)
{
	Relation rel = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
		Oid other = form->tgconstrrelid;

		if (OidIsValid(other) && other != relid)
			requests =
				dbp_lock_add_tree(requests, other,
								  RI_FKey_trigger_type(form->tgfoid) == RI_TRIGGER_PK ? referencing
																					  : referenced);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return requests;
}

/*
 * All locks that ATTACH of a new partition needs, in the order in which they
 * are taken: other ends of foreign keys, parent, default partition.
 */
List *
dbp_lock_list_for_attach(Oid parent, Oid defpart)
{
	List *requests =
		dbp_lock_add_foreign_keys(NIL, parent, ShareRowExclusiveLock, ShareRowExclusiveLock);

	requests = dbp_lock_add(requests, parent, ShareUpdateExclusiveLock);
	if (OidIsValid(defpart))
		requests = dbp_lock_add_tree(requests, defpart, AccessExclusiveLock);
	return requests;
}

static void
give_back(List *requests, int count)
{
	while (--count >= 0)
	{
		DbpLock *held = list_nth(requests, count);

		UnlockRelationOid(held->relid, held->mode);
	}
}

/*
 * Get all locks at once, or none: then the one that stood in the way is
 * returned.
 */
static DbpLock *
try_requests(List *requests)
{
	for (int i = 0; i < list_length(requests); i++)
	{
		DbpLock *request = list_nth(requests, i);

		if (ConditionalLockRelationOid(request->relid, request->mode))
			continue;
		give_back(requests, i);
		return request;
	}
	return NULL;
}

/*
 * The end of the audit trail as a lock that could not be had.
 */
DbpLock *
dbp_lock_end_of_audit(void)
{
	DbpLock *request = palloc(sizeof(DbpLock));

	request->relid = get_relname_relid("audit_head", get_namespace_oid("dbperf", false));
	request->mode = ExclusiveLock;
	return request;
}

/*
 * Do nothing for a while, but react to interrupts.  Timers that go off
 * meanwhile set the latch, too.
 */
void
dbp_pause_ms(long ms)
{
	instr_time start;
	double left = ms;

	INSTR_TIME_SET_CURRENT(start);
	do
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Max((long) left, 1), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		left = ms - dbp_ms_since(&start);
	} while (left > 0);
}

/* Between half of ms and one and a half of it, so that maintainers spread */
static long
jittered(long ms)
{
	return Max(1, (long) (ms * (0.5 + pg_prng_double(&pg_global_prng_state))));
}

/*
 * Who holds the lock that could not be had, as "process 12, process 34".  An
 * autovacuum is asked to make way, as it is by anybody who waits in the queue,
 * and so is the compressing of a partition.
 */
static char *
describe_holders(const DbpLock *request, bool cancel_autovacuum)
{
	StringInfoData buf;
	LOCKTAG tag;
	VirtualTransactionId *holders;

	initStringInfo(&buf);
	SET_LOCKTAG_RELATION(tag, MyDatabaseId, request->relid);
	holders = GetLockConflicts(&tag, request->mode, NULL);
	for (; VirtualTransactionIdIsValid(*holders); holders++)
	{
		PGPROC *proc = dbp_vxid_process(*holders);

		if (proc == NULL)
			continue;
		appendStringInfo(&buf, "%sprocess %d", buf.len > 0 ? ", " : "", proc->pid);
		if (cancel_autovacuum && (proc->statusFlags & PROC_IS_AUTOVACUUM) &&
			!(proc->statusFlags & PROC_VACUUM_FOR_WRAPAROUND))
			(void) kill(proc->pid, SIGINT);
		if (cancel_autovacuum && !dbp_is_compressing)
			(void) dbp_archivers_interrupt(proc->pid);
	}
	return buf.len > 0 ? buf.data : pstrdup("a process that has gone since");
}

static void
wait_in_queue(void *arg)
{
	DbpLock *request = arg;

	LockRelationOid(request->relid, request->mode);
}

/*
 * Wait for one lock like everybody else, for a limited time.  Where a table is
 * never at rest, a lock that stops everybody cannot be had by polling.
 */
static bool
queue_for(DbpLock *request, int ms)
{
	int level = NewGUCNestLevel();
	ErrorData *error;

	(void) set_config_option("lock_timeout", psprintf("%d", Max(ms, 1)), PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	error = dbp_guarded(wait_in_queue, request);
	AtEOXact_GUC(false, level);
	if (error != NULL && error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(error);
	return error == NULL;
}

/*
 * One round: try to get all locks, again and again, until the policy's lock
 * budget is spent.  NULL, or the one that stood in the way.
 */
static DbpLock *
poll_round(const DbpPolicy *policy, List *requests, DbpLock *queued, DbpLockCheck check, void *arg)
{
	DbpLock *missing;
	instr_time start;
	bool holds_queued = false;

	INSTR_TIME_SET_CURRENT(start);
	if (queued != NULL)
	{
		holds_queued = queue_for(queued, policy->lock_budget_ms / 2);
		if (!holds_queued)
			return queued;
	}
	do
	{
		missing = try_requests(requests);
		/* the commit would wait for the end of the audit trail, holding all of these */
		if (missing == NULL && dbp_audit_is_held())
		{
			give_back(requests, list_length(requests));
			missing = dbp_lock_end_of_audit();
		}
		if (missing == NULL)
			break;
		dbp_pause_ms(jittered(POLL_MS));
		if (check != NULL && !holds_queued)
			check(arg);
	} while (dbp_ms_since(&start) < policy->lock_budget_ms);
	/* with all the others it was taken once more */
	if (holds_queued)
		UnlockRelationOid(queued->relid, queued->mode);
	return missing;
}

/*
 * The lock to queue for in the next round: the strongest one, if it was that
 * which could not be had.  But not where all that the parent is locked for is
 * something that its traffic does not notice.
 */
static DbpLock *
worth_queuing(const DbpPolicy *policy, List *requests, DbpLock *missing)
{
	ListCell *cell;

	if (!list_member_ptr(requests, missing) || missing->mode != AccessExclusiveLock)
		return NULL;
	foreach(cell, requests)
	{
		DbpLock *request = lfirst(cell);

		if (request->relid == policy->parent && request->mode != AccessExclusiveLock)
			return NULL;
	}
	return missing;
}

/*
 * Take all locks, in the order of the list.  Adds to *cost what that took;
 * raises lock_not_available when it could not be done within the policy's
 * budget and number of tries.
 */
void
dbp_lock_requests(const DbpPolicy *policy, List *requests, DbpCost *cost)
{
	dbp_lock_requests_unless(policy, requests, cost, NULL, NULL);
}

/*
 * The same, for who has something to look after meanwhile: between two tries,
 * while none of the locks is held, a function is called that may raise an error.
 */
void
dbp_lock_requests_unless(const DbpPolicy *policy, List *requests, DbpCost *cost, DbpLockCheck check,
						 void *arg)
{
	DbpLock *missing = NULL;
	DbpLock *queued = NULL;
	instr_time start;
	long pause = FIRST_PAUSE_MS;
	int tries;

	INSTR_TIME_SET_CURRENT(start);
	for (tries = 1; tries <= policy->lock_tries; tries++)
	{
		if (check != NULL)
			check(arg);
		missing = poll_round(policy, requests, queued, check, arg);
		if (missing == NULL)
			break;
		(void) describe_holders(missing, true);
		if (tries < policy->lock_tries)
			dbp_pause_ms(jittered(pause));
		pause = Min(pause * 2, MAX_PAUSE_MS);
		queued = worth_queuing(policy, requests, missing);
	}
	cost->tries += Min(tries, policy->lock_tries);
	cost->ms_waited += dbp_ms_since(&start);
	if (missing == NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("could not lock table \"%s\" within %d tries of %d ms each",
					get_rel_name(missing->relid), policy->lock_tries, policy->lock_budget_ms),
			 errdetail("A conflicting lock is held by %s.", describe_holders(missing, false)),
			 errhint(
				 "Nobody was kept waiting. A transaction that stays open, or other maintenance, "
				 "may stand in the way. The worker tries again later."),
			 err_generic_string(PG_DIAG_TABLE_NAME, get_rel_name(missing->relid))));
}

/*
 * Let go of them before the transaction ends.  Nothing must have been done
 * that needs them until then.
 */
void
dbp_lock_give_back(List *requests)
{
	give_back(requests, list_length(requests));
}

/*
 * A table of which this session itself holds a lock that conflicts with one
 * of these, or InvalidOid.
 */
Oid
dbp_lock_own_conflict(List *requests)
{
	ListCell *cell;

	foreach(cell, requests)
	{
		DbpLock *request = lfirst(cell);
		LOCKTAG tag;

		SET_LOCKTAG_RELATION(tag, MyDatabaseId, request->relid);
		for (LOCKMODE mode = AccessShareLock; mode <= AccessExclusiveLock; mode++)
			if (DoLockModesConflict(mode, request->mode) && dbp_lock_held(&tag, mode))
				return request->relid;
	}
	return InvalidOid;
}

/*
 * Raise object_in_use when this session itself holds a lock that another one
 * needs to serve it: that would be waited for in vain.
 */
void
dbp_lock_check_own(List *requests)
{
	Oid relid = dbp_lock_own_conflict(requests);

	if (OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("your own transaction has table \"%s\" in use", get_rel_name(relid)),
				 errdetail("A background worker does the work in transactions of its own, "
						   "and would wait for yours."),
				 errhint("Commit first, or make this call in a transaction of its own.")));
}

/*
 * Take every lock that ATTACH of a new partition will need.
 */
void
dbp_lock_for_attach(const DbpPolicy *policy, Oid defpart, DbpCost *cost)
{
	dbp_lock_requests(policy, dbp_lock_list_for_attach(policy->parent, defpart), cost);
}

/*
 * Take the lock of the parent alone, or of another table with all that is below
 * it, in the same way.
 */
void
dbp_lock_relation(const DbpPolicy *policy, Oid relid, LOCKMODE mode, DbpCost *cost)
{
	dbp_lock_requests(policy,
					  relid == policy->parent ? dbp_lock_add(NIL, relid, mode)
											  : dbp_lock_add_tree(NIL, relid, mode),
					  cost);
}

/* Milliseconds since a moment */
double
dbp_ms_since(const instr_time *start)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, *start);
	return INSTR_TIME_GET_MILLISEC(now);
}
