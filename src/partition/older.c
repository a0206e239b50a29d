/*-------------------------------------------------------------------------
 *
 * older.c
 *		Transactions that may still see a partition which is being detached.
 *
 * They are those that hold a lock on the parent, and those whose snapshot is
 * older than the transaction that marked the partition: a REPEATABLE READ
 * transaction of these would miss rows when it came to the parent later.  They
 * are waited for by looking at them now and then, with no lock held and no
 * snapshot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/sinvaladt.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "compat.h"
#include "partition/statement.h"

/* Processes that a message names */
#define MAX_NAMED 3

/*
 * A session that has a background worker detach a partition waits for it, with
 * a snapshot; and if its worker waited for it, or for another such session,
 * neither would ever end.  So they hold this lock meanwhile, which conflicts
 * with none, to be told from others.  At READ COMMITTED, that snapshot will not
 * be used again; at other levels it will.
 */
static void
set_caller_tag(LOCKTAG *tag, bool keeps_snapshot)
{
	/* the last number keeps it apart from advisory locks of SQL */
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, keeps_snapshot, 0, 0xdb9);
}

pid_t dbp_caller_pid = 0;

void
dbp_older_ignore_caller(void)
{
	LOCKTAG tag;

	set_caller_tag(&tag, IsolationUsesXactSnapshot());
	(void) LockAcquire(&tag, ShareLock, false, false);
}

void
dbp_older_regard_caller(void)
{
	LOCKTAG tag;

	set_caller_tag(&tag, IsolationUsesXactSnapshot());
	(void) LockRelease(&tag, ShareLock, false);
}

static List *
add_vxid(List *older, VirtualTransactionId vxid)
{
	VirtualTransactionId *copy;
	ListCell *cell;

	foreach(cell, older)
	{
		VirtualTransactionId *known = lfirst(cell);

		/* one may have both a lock and a snapshot */
		if (VirtualTransactionIdEquals(*known, vxid))
			return older;
	}
	copy = palloc(sizeof(VirtualTransactionId));
	*copy = vxid;
	return lappend(older, copy);
}

static bool
is_among(const VirtualTransactionId *vxids, VirtualTransactionId vxid)
{
	for (; VirtualTransactionIdIsValid(*vxids); vxids++)
		if (VirtualTransactionIdEquals(*vxids, vxid))
			return true;
	return false;
}

/* Sessions that wait for a background worker, in one of the two ways */
static VirtualTransactionId *
waiting_callers(bool keeps_snapshot)
{
	LOCKTAG tag;

	set_caller_tag(&tag, keeps_snapshot);
	return GetLockConflicts(&tag, ExclusiveLock, NULL);
}

/*
 * Transactions of others that have a snapshot which takes a transaction for
 * running, or with InvalidTransactionId one of whatever age: a list of
 * VirtualTransactionId.
 */
List *
dbp_older_snapshots(TransactionId limit)
{
	List *older = NIL;
	VirtualTransactionId *callers = waiting_callers(false);
	int count;
	VirtualTransactionId *vxids =
		GetCurrentVirtualXIDs(limit, true, false,
							  PROC_IS_AUTOVACUUM | PROC_IN_VACUUM | PROC_IN_SAFE_IC, &count);

	for (int i = 0; i < count; i++)
	{
		PGPROC *proc = dbp_vxid_process(vxids[i]);

		/* who asked for this has asked for what comes of it */
		if (dbp_caller_pid != 0 && proc != NULL && proc->pid == dbp_caller_pid)
			continue;
		if (!is_among(callers, vxids[i]))
			older = add_vxid(older, vxids[i]);
	}
	return older;
}

/*
 * The transactions of others that have a table in use.
 */
static List *
users_of(Oid relid, List *older)
{
	LOCKTAG tag;
	VirtualTransactionId *vxids;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	for (vxids = GetLockConflicts(&tag, AccessExclusiveLock, NULL);
		 VirtualTransactionIdIsValid(*vxids); vxids++)
		older = add_vxid(older, *vxids);
	return older;
}

/*
 * Is one of them a session that waits for a background worker?  That one may
 * be waiting for us.
 */
bool
dbp_older_waits_itself(List *older)
{
	VirtualTransactionId *callers[2] = {waiting_callers(false), waiting_callers(true)};
	ListCell *cell;

	foreach(cell, older)
	{
		VirtualTransactionId *vxid = lfirst(cell);

		if (is_among(callers[0], *vxid) || is_among(callers[1], *vxid))
			return true;
	}
	return false;
}

/*
 * A list of those is kept in the recycle bin from one run to the next: whoever
 * comes to the parent later does not see the partition, and need not be waited
 * for.  It is void when the server has been restarted.
 */
static DbpStatement save = {
	.sql = "UPDATE dbperf.recycle_bin SET waits_for = $2,"
		   " waits_since_start = pg_postmaster_start_time()"
		   " WHERE partition = $1 AND state = 'detaching'",
	.expected = SPI_OK_UPDATE,
	.nargs = 2,
	.types = {OIDOID, TEXTARRAYOID},
};

static DbpStatement load = {
	.sql = "SELECT waits_for FROM dbperf.recycle_bin WHERE partition = $1"
		   " AND state = 'detaching' AND waits_since_start = pg_postmaster_start_time()"
		   " AND waits_for IS NOT NULL",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.types = {OIDOID},
};

void
dbp_older_save(Oid partition, List *older)
{
	Datum *texts = palloc(sizeof(Datum) * Max(1, list_length(older)));
	Datum values[2];
	ListCell *cell;

	foreach(cell, older)
	{
		VirtualTransactionId *vxid = lfirst(cell);

		texts[foreach_current_index(cell)] = CStringGetTextDatum(
			psprintf("%d/%u", dbp_vxid_backend(*vxid), vxid->localTransactionId));
	}
	values[0] = ObjectIdGetDatum(partition);
	values[1] = PointerGetDatum(
		construct_array(texts, list_length(older), TEXTOID, -1, false, TYPALIGN_INT));
	dbp_statement_run(&save, values, NULL);
}

/*
 * False when there is none.
 */
static bool
load_list(Oid partition, List **older)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum values[1] = {ObjectIdGetDatum(partition)};
	Datum *texts;
	int count;
	bool isnull;

	*older = NIL;
	dbp_statement_run(&load, values, NULL);
	if (SPI_processed == 0)
		return false;
	MemoryContextSwitchTo(caller);
	deconstruct_array(DatumGetArrayTypeP(
						  SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)),
					  TEXTOID, -1, false, TYPALIGN_INT, &texts, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		VirtualTransactionId *vxid = palloc(sizeof(VirtualTransactionId));
		int backend;
		unsigned int number;

		if (sscanf(TextDatumGetCString(texts[i]), "%d/%u", &backend, &number) != 2)
			return false;
		dbp_vxid_backend(*vxid) = backend;
		vxid->localTransactionId = number;
		*older = lappend(*older, vxid);
	}
	return true;
}

/*
 * Those that may still see a partition which the transaction "marked" has
 * marked: who had the parent in use when somebody looked first, or has it now;
 * and, each time anew, whose snapshot is older than the mark, since a snapshot
 * can be handed on to a transaction that begins later.  SPI must be connected.
 */
List *
dbp_older_awaited(Oid parent, Oid partition, TransactionId marked)
{
	List *older = dbp_older_snapshots(marked);
	List *users;
	ListCell *cell;

	if (!load_list(partition, &users))
		return dbp_older_remaining(users_of(parent, older));
	foreach(cell, users)
		older = add_vxid(older, *(VirtualTransactionId *) lfirst(cell));
	return dbp_older_remaining(older);
}

/*
 * The process that a transaction runs in, or NULL: it has ended, or is prepared,
 * and then its number may be that of somebody who has nothing to do with it.
 */
PGPROC *
dbp_vxid_process(VirtualTransactionId vxid)
{
	PGPROC *proc = dbp_backend_proc(vxid);

	if (proc == NULL || proc->pid == 0 || dbp_proc_lxid(proc) != vxid.localTransactionId)
		return NULL;
	return proc;
}

/*
 * Those that have not ended yet.
 */
List *
dbp_older_remaining(List *older)
{
	List *remaining = NIL;
	ListCell *cell;

	foreach(cell, older)
	{
		VirtualTransactionId *vxid = lfirst(cell);

		if (!VirtualXactLock(*vxid, false))
			remaining = lappend(remaining, vxid);
	}
	return remaining;
}

/*
 * The first few of them, for people: "process 12, process 34".
 */
char *
dbp_older_describe(List *older)
{
	StringInfoData buf;
	ListCell *cell;

	initStringInfo(&buf);
	foreach(cell, older)
	{
		PGPROC *proc = dbp_vxid_process(*(VirtualTransactionId *) lfirst(cell));

		if (foreach_current_index(cell) == MAX_NAMED)
		{
			appendStringInfo(&buf, " and %d more", list_length(older) - MAX_NAMED);
			break;
		}
		if (buf.len > 0)
			appendStringInfoString(&buf, ", ");
		if (proc == NULL)
			appendStringInfoString(&buf, "a prepared transaction");
		else
			appendStringInfo(&buf, "process %d", proc->pid);
	}
	return buf.data;
}
