/*-------------------------------------------------------------------------
 *
 * lock.c
 *		Locks for maintenance, taken so that no queue forms behind them.
 *
 * A lock request that waits stops everybody who comes after it and conflicts
 * with it, however short its own use would be.  So nothing here ever waits in
 * the lock manager's queue: all locks that a step needs are asked for without
 * waiting, all are given back when one of them cannot be had, and it is tried
 * again a little later, until the policy's lock budget is spent; then, after
 * a pause, once more, a few times.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
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
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "partition/partition.h"

/* Rounds of polling for one step, and the pauses between them */
#define MAX_TRIES 4
#define FIRST_PAUSE_MS 50
#define MAX_PAUSE_MS 1000
#define POLL_MS 5

typedef struct LockRequest
{
	Oid relid;
	LOCKMODE mode;
} LockRequest;

static List *
add_request(List *requests, Oid relid, LOCKMODE mode)
{
	LockRequest *request;
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
	request = palloc(sizeof(LockRequest));
	request->relid = relid;
	request->mode = mode;
	return lappend(requests, request);
}

/* A table with all that is below it, as ATTACH locks them */
static List *
add_tree(List *requests, Oid relid, LOCKMODE mode)
{
	ListCell *cell;

	foreach(cell, find_all_inheritors(relid, NoLock, NULL))
		requests = add_request(requests, lfirst_oid(cell), mode);
	return requests;
}

/*
 * Tables at the other end of the parent's foreign keys, in either direction:
 * ATTACH puts triggers on them.  The parent's own triggers name them, and
 * unlike pg_constraint can be looked up from both ends.
 */
static List *
add_foreign_key_tables(List *requests, Oid parent)
{
	Relation rel = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(parent));
	scan = systable_beginscan(rel, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

		if (OidIsValid(form->tgconstrrelid) && form->tgconstrrelid != parent)
			requests = add_tree(requests, form->tgconstrrelid, ShareRowExclusiveLock);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return requests;
}

/*
 * All locks that ATTACH of a new partition needs, in the order in which they
 * are taken: other ends of foreign keys, parent, default partition.
 */
static List *
requests_for_attach(Oid parent, Oid defpart)
{
	List *requests = add_foreign_key_tables(NIL, parent);

	requests = add_request(requests, parent, ShareUpdateExclusiveLock);
	if (OidIsValid(defpart))
		requests = add_tree(requests, defpart, AccessExclusiveLock);
	return requests;
}

static void
give_back(List *requests, int count)
{
	while (--count >= 0)
	{
		LockRequest *held = list_nth(requests, count);

		UnlockRelationOid(held->relid, held->mode);
	}
}

/*
 * Get all locks at once, or none: then the one that stood in the way is
 * returned.
 */
static LockRequest *
try_requests(List *requests)
{
	for (int i = 0; i < list_length(requests); i++)
	{
		LockRequest *request = list_nth(requests, i);

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
static LockRequest *
end_of_audit(void)
{
	LockRequest *request = palloc(sizeof(LockRequest));

	request->relid = get_relname_relid("audit_head", get_namespace_oid("dbperf", false));
	request->mode = ExclusiveLock;
	return request;
}

static void
pause_ms(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
					 PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* Between half of ms and one and a half of it, so that maintainers spread */
static long
jittered(long ms)
{
	return Max(1, (long) (ms * (0.5 + pg_prng_double(&pg_global_prng_state))));
}

/*
 * Who holds the lock that could not be had, as "process 12, process 34".
 */
static char *
describe_holders(const LockRequest *request)
{
	StringInfoData buf;
	LOCKTAG tag;
	VirtualTransactionId *holders;

	initStringInfo(&buf);
	SET_LOCKTAG_RELATION(tag, MyDatabaseId, request->relid);
	holders = GetLockConflicts(&tag, request->mode, NULL);
	for (; VirtualTransactionIdIsValid(*holders); holders++)
	{
		PGPROC *proc = dbp_vxid_proc(*holders);

		if (proc != NULL)
			appendStringInfo(&buf, "%sprocess %d", buf.len > 0 ? ", " : "", proc->pid);
	}
	return buf.len > 0 ? buf.data : pstrdup("a process that has gone since");
}

/*
 * Take all locks.  Adds to *cost what that took; raises lock_not_available
 * when it could not be done within the policy's budget.
 */
static void
take_all(const DbpPolicy *policy, List *requests, DbpCost *cost)
{
	LockRequest *missing = NULL;
	instr_time start;
	long pause = FIRST_PAUSE_MS;

	INSTR_TIME_SET_CURRENT(start);
	for (cost->tries = 1; cost->tries <= MAX_TRIES; cost->tries++)
	{
		instr_time round;

		INSTR_TIME_SET_CURRENT(round);
		do
		{
			missing = try_requests(requests);
			/* the commit would wait for the end of the audit trail, holding all of these */
			if (missing == NULL && dbp_audit_is_held())
			{
				give_back(requests, list_length(requests));
				missing = end_of_audit();
			}
			if (missing == NULL)
			{
				cost->ms_waited += dbp_ms_since(&start);
				return;
			}
			pause_ms(jittered(POLL_MS));
		} while (dbp_ms_since(&round) < policy->lock_budget_ms);
		if (cost->tries < MAX_TRIES)
			pause_ms(jittered(pause));
		pause = Min(pause * 2, MAX_PAUSE_MS);
	}
	cost->tries = MAX_TRIES;
	cost->ms_waited += dbp_ms_since(&start);
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("could not lock table \"%s\" within %d tries of %d ms each",
					get_rel_name(missing->relid), MAX_TRIES, policy->lock_budget_ms),
			 errdetail("A conflicting lock is held by %s.", describe_holders(missing)),
			 errhint("It is tried again later; nobody was kept waiting. A transaction that stays "
					 "open, or other maintenance, may stand in the way.")));
}

/*
 * Take every lock that ATTACH of a new partition will need.
 */
void
dbp_lock_for_attach(const DbpPolicy *policy, Oid defpart, DbpCost *cost)
{
	take_all(policy, requests_for_attach(policy->parent, defpart), cost);
}

/*
 * Take the lock of the parent alone, or of another table with all that is below
 * it, in the same way.
 */
void
dbp_lock_relation(const DbpPolicy *policy, Oid relid, LOCKMODE mode, DbpCost *cost)
{
	take_all(policy,
			 relid == policy->parent ? add_request(NIL, relid, mode) : add_tree(NIL, relid, mode),
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
