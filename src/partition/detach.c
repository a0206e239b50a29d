/*-------------------------------------------------------------------------
 *
 * detach.c
 *		The steps in which a partition leaves: detached, archived, dropped.
 *
 * ALTER TABLE ... DETACH PARTITION ... CONCURRENTLY commits in its midst.  It
 * cannot run in a function, it would carry the owner's identity across a
 * transaction's end, and waits for others without an end.  So its two phases
 * are two transactions of ours.  The first marks the partition in pg_inherits,
 * as the command does: from its commit on, new queries leave the partition out.
 * Then those are waited for that began before (older.c).  The second is
 * ALTER TABLE ... DETACH PARTITION ... FINALIZE, meant for a command that was
 * cut short here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "partition/detach.h"
#include "partition/retire.h"
#include "partition/statement.h"

/*
 * Call a function of the extension's own, with parent and partition, or with
 * the partition alone.
 */
static void
call_with(const char *sql, Oid first, Oid second)
{
	Oid types[2] = {OIDOID, OIDOID};
	Datum values[2];
	DbpIdentity saved;
	int nargs = OidIsValid(second) ? 2 : 1;

	values[0] = ObjectIdGetDatum(first);
	values[1] = ObjectIdGetDatum(second);
	dbp_become_extension(&saved);
	if (SPI_execute_with_args(sql, nargs, types, values, NULL, false, 0) < 0)
		elog(ERROR, "could not run \"%s\"", sql);
	dbp_restore_identity(&saved);
}

/* One column of a row that call_with() has brought */
static char *
answer(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

/*
 * Does the recycle bin hold this table, on its way out?
 */
static bool
is_leaving(Oid partition)
{
	call_with("SELECT FROM dbperf.recycle_bin WHERE partition = $1 AND state = 'detaching'",
			  partition, InvalidOid);
	return SPI_processed > 0;
}

/*
 * Find a partition among those of its parent.
 */
static bool
find_part(const DbpPolicy *policy, Oid partition, DbpParts *parts, DbpRange *range, bool *detaching)
{
	dbp_parts_read(policy->parent, policy->keytype, parts);
	for (int i = 0; i < parts->n; i++)
	{
		if (parts->part[i].relid != partition)
			continue;
		range->lower = parts->part[i].lower;
		range->upper = parts->part[i].upper;
		*detaching = parts->part[i].detaching;
		return true;
	}
	return false;
}

static void
write_event(const DbpLeaving *leaving, const char *action, const DbpRange *range,
			const char *message)
{
	DbpEvent event = {0};

	event.source = leaving->source;
	event.action = action;
	event.policy = leaving->policy;
	event.partition = leaving->place;
	event.range = range;
	event.cost = &leaving->cost;
	event.message = message;
	dbp_event_write(&event);
}

/* Foreign keys by which tables of the recycle bin point to a partition */
static List *
bin_foreign_key_tables(Oid partition)
{
	List *tables = NIL;
	MemoryContext caller = CurrentMemoryContext;

	call_with("SELECT referencing FROM dbperf.bin_foreign_keys($1)", partition, InvalidOid);
	MemoryContextSwitchTo(caller);
	for (uint64 row = 0; row < SPI_processed; row++)
		tables = lappend_oid(tables,
							 DatumGetObjectId(
								 DirectFunctionCall1(oidin, CStringGetDatum(answer(row, 1)))));
	return tables;
}

/*
 * All locks that detaching takes in the end: other ends of foreign keys,
 * parent, default partition, partition.  Concurrently, the parent's is one that
 * nobody else notices; but whoever has the parent in use is waited for, which
 * for dbp_lock_check_own() comes to the same as the strongest lock.
 */
List *
dbp_detach_locks(const DbpPolicy *policy, Oid partition, bool concurrently)
{
	List *requests = NIL;
	DbpParts parts;
	ListCell *cell;

	if (concurrently)
	{
		requests = dbp_lock_add_foreign_keys(requests, partition, ShareRowExclusiveLock,
											 ShareRowExclusiveLock);
		requests = dbp_lock_add(requests, policy->parent, AccessExclusiveLock);
	}
	else
	{
		List *bin = bin_foreign_key_tables(partition);

		requests = dbp_lock_add_foreign_keys(requests, policy->parent, ShareRowExclusiveLock,
											 AccessExclusiveLock);
		foreach(cell, bin)
			requests = dbp_lock_add_tree(requests, lfirst_oid(cell), AccessExclusiveLock);
		requests = dbp_lock_add(requests, policy->parent, AccessExclusiveLock);
		/* with such a foreign key, its triggers on every partition go */
		if (bin != NIL)
			requests = dbp_lock_add_tree(requests, policy->parent, AccessExclusiveLock);
		dbp_parts_read(policy->parent, policy->keytype, &parts);
		if (OidIsValid(parts.defpart))
			requests = dbp_lock_add_tree(requests, parts.defpart, AccessExclusiveLock);
	}
	return dbp_lock_add_tree(requests, partition, AccessExclusiveLock);
}

/*
 * Set the mark in pg_inherits.
 */
static void
set_mark(Oid parent, Oid partition)
{
	Relation inherits = table_open(InheritsRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(partition));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (!HeapTupleIsValid(tuple) || ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent != parent)
		elog(ERROR, "table %u is no partition of table %u", partition, parent);
	tuple = heap_copytuple(tuple);
	((Form_pg_inherits) GETSTRUCT(tuple))->inhdetachpending = true;
	CatalogTupleUpdate(inherits, &tuple->t_self, tuple);
	heap_freetuple(tuple);
	systable_endscan(scan);
	table_close(inherits, RowExclusiveLock);
	CacheInvalidateRelcacheByRelid(parent);
	CommandCounterIncrement();
}

/*
 * The transaction that has marked a partition as being detached, or
 * InvalidTransactionId when it bears no mark.
 */
TransactionId
dbp_detach_marked_by(Oid parent, Oid partition)
{
	Relation inherits = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;
	TransactionId marked = InvalidTransactionId;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(partition));
	scan = systable_beginscan(inherits, InheritsRelidSeqnoIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_inherits form = (Form_pg_inherits) GETSTRUCT(tuple);

		if (form->inhparent == parent && form->inhdetachpending)
			marked = HeapTupleHeaderGetXmin(tuple->t_data);
	}
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	return marked;
}

/*
 * Concurrently, the first phase: new queries leave the partition out from the
 * commit on.  Nobody who reads or writes notices these locks.
 */
void
dbp_detach_mark(DbpLeaving *leaving)
{
	const DbpPolicy *policy = leaving->policy;
	DbpParts parts;
	DbpRange range;
	DbpIdentity saved;
	instr_time locked;
	bool detaching;
	List *requests;

	requests = dbp_lock_add(NIL, policy->parent, ShareUpdateExclusiveLock);
	requests = dbp_lock_add_tree(requests, leaving->partition, ShareUpdateExclusiveLock);
	dbp_lock_requests(policy, requests, &leaving->cost);
	INSTR_TIME_SET_CURRENT(locked);
	leaving->stale = !dbp_policy_holds(policy) ||
		!find_part(policy, leaving->partition, &parts, &range, &detaching) || parts.detaching ||
		!dbp_can_detach_concurrently(policy->parent);
	if (leaving->stale)
		return;
	/* hidden from queries, it must have somewhere to go */
	dbp_archive_schema_check(policy, false);
	leaving->place = dbp_qualified_name(leaving->partition);
	call_with("SELECT dbperf.bin_put($1, $2)", policy->parent, leaving->partition);
	dbp_become_owner(&saved, policy->owner, policy->lock_budget_ms);
	dbp_bound_check_add(leaving->partition);
	set_mark(policy->parent, leaving->partition);
	dbp_restore_identity(&saved);
	leaving->cost.ms_held += dbp_ms_since(&locked);
	write_event(leaving, "detach_begin", &range, NULL);
}

/*
 * FINALIZE waits for every snapshot that is not younger than its own, holding
 * its locks.  Those that matter have been waited for already, and others, such
 * as that of a session which asked for this and waits for us, would be waited
 * for without an end.  So it gets a snapshot that says of itself to be the
 * oldest of all.  The field is but a shortcut: which transactions the snapshot
 * takes for running is told by its other fields.
 */
static void
finalize(const char *sql)
{
	RawStmt *raw = linitial_node(RawStmt, pg_parse_query(sql));
	PlannedStmt *statement = makeNode(PlannedStmt);

	statement->commandType = CMD_UTILITY;
	statement->utilityStmt = raw->stmt;
	statement->stmt_location = raw->stmt_location;
	statement->stmt_len = raw->stmt_len;
	PushCopiedSnapshot(GetTransactionSnapshot());
	GetActiveSnapshot()->xmin = FrozenTransactionId;
	ProcessUtility(statement, sql, false, PROCESS_UTILITY_QUERY, NULL, NULL, None_Receiver, NULL);
	PopActiveSnapshot();
	CommandCounterIncrement();
}

/*
 * Raise insufficient_privilege when detached partitions have nowhere to go;
 * otherwise see to it that the archive schema is there, if "make".
 */
void
dbp_archive_schema_check(const DbpPolicy *policy, bool make)
{
	MemoryContext caller = CurrentMemoryContext;
	List *statements = NIL;
	char *reason;
	bool as_owner;
	ListCell *cell;
	DbpIdentity saved;

	call_with("SELECT p.reason, p.as_owner, s.statement FROM dbperf.archive_schema_plan($1) p"
			  " LEFT JOIN LATERAL unnest(p.statements) s (statement) ON true",
			  policy->parent, InvalidOid);
	MemoryContextSwitchTo(caller);
	reason = answer(0, 1);
	as_owner = strcmp(answer(0, 2), "t") == 0;
	for (uint64 row = 0; row < SPI_processed; row++)
		if (answer(row, 3) != NULL)
			statements = lappend(statements, answer(row, 3));
	if (reason != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("partitions of table \"%s\" cannot be put into their archive schema: %s",
						policy->table, reason),
				 errhint("Make a schema that belongs to the owner of the table, and set "
						 "archive_schema with dbperf.alter_policy().")));
	if (!make)
		return;
	foreach(cell, statements)
	{
		if (as_owner)
		{
			dbp_execute_as_owner(policy, lfirst(cell));
			continue;
		}
		dbp_become_extension(&saved);
		dbp_execute(lfirst(cell));
		dbp_restore_identity(&saved);
	}
}

/*
 * Put a table that is a partition no more where only its owner gets at it.
 */
static void
archive(DbpLeaving *leaving)
{
	const DbpPolicy *policy = leaving->policy;
	List *statements = NIL;
	ListCell *cell;
	MemoryContext caller = CurrentMemoryContext;
	Oid types[2] = {OIDOID, NAMEOID};
	Datum values[2];
	DbpIdentity saved;
	NameData schema;

	dbp_archive_schema_check(policy, true);
	namestrcpy(&schema, policy->archive_schema);
	values[0] = ObjectIdGetDatum(leaving->partition);
	values[1] = NameGetDatum(&schema);
	dbp_become_extension(&saved);
	if (SPI_execute_with_args("SELECT s FROM dbperf.archive_statements($1, $2) s", 2, types, values,
							  NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not tell how to archive table %u", leaving->partition);
	MemoryContextSwitchTo(caller);
	for (uint64 row = 0; row < SPI_processed; row++)
		statements = lappend(statements, pstrdup(answer(row, 1)));
	dbp_restore_identity(&saved);

	dbp_become_owner(&saved, policy->owner, policy->lock_budget_ms);
	foreach(cell, statements)
		dbp_execute(lfirst(cell));
	dbp_restore_identity(&saved);
	call_with("SELECT dbperf.bin_detached($1)", leaving->partition, InvalidOid);
	leaving->place = dbp_qualified_name(leaving->partition);
}

/*
 * The locks of that phase, of which nobody who uses the parent notices any.
 */
List *
dbp_finalize_locks(const DbpPolicy *policy, Oid partition)
{
	List *requests =
		dbp_lock_add_foreign_keys(NIL, partition, ShareRowExclusiveLock, ShareRowExclusiveLock);

	requests = dbp_lock_add(requests, policy->parent, ShareUpdateExclusiveLock);
	return dbp_lock_add_tree(requests, partition, AccessExclusiveLock);
}

/*
 * Concurrently, the second phase.  Also ends what somebody else's DETACH
 * CONCURRENTLY has left behind, and then leaves the table where it is.
 */
void
dbp_detach_finalize(DbpLeaving *leaving)
{
	const DbpPolicy *policy = leaving->policy;
	Oid partition = leaving->partition;
	DbpParts parts;
	DbpRange range;
	instr_time locked;
	bool pending;
	bool known;
	bool ours;
	TransactionId marked;

	dbp_lock_requests(policy, dbp_finalize_locks(policy, partition), &leaving->cost);
	INSTR_TIME_SET_CURRENT(locked);
	marked = dbp_detach_marked_by(policy->parent, partition);
	pending = TransactionIdIsValid(marked);
	ours = is_leaving(partition) && (pending || !get_rel_relispartition(partition));
	leaving->place = dbp_qualified_name(partition);
	leaving->stale = !dbp_policy_holds(policy) || leaving->place == NULL || !(pending || ours) ||
		!TransactionIdEquals(marked, leaving->marked);
	if (leaving->stale)
		return;

	known = find_part(policy, partition, &parts, &range, &pending);
	if (pending)
	{
		List *take_back = dbp_lend(policy, partition);
		DbpIdentity saved;
		ListCell *cell;

		dbp_become_owner(&saved, policy->owner, policy->lock_budget_ms);
		finalize(psprintf("ALTER TABLE %s DETACH PARTITION %s FINALIZE",
						  dbp_qualified_name(policy->parent), leaving->place));
		dbp_restore_identity(&saved);
		dbp_disinherit(partition);
		foreach(cell, take_back)
			dbp_execute_as_owner(policy, lfirst(cell));
	}
	if (ours)
		archive(leaving);
	leaving->cost.ms_held += dbp_ms_since(&locked);
	write_event(leaving, "detach", known ? &range : NULL,
				ours ? NULL : "finalized what an ALTER TABLE had begun");
}

/*
 * Drop the foreign keys by which detached tables still point to this
 * partition, and remember them.
 */
static void
drop_bin_foreign_keys(const DbpLeaving *leaving)
{
	MemoryContext caller = CurrentMemoryContext;
	List *statements = NIL;
	ListCell *cell;

	call_with("UPDATE dbperf.recycle_bin b SET foreign_keys = b.foreign_keys || f.definitions"
			  " FROM (SELECT referencing, array_agg(definition) AS definitions"
			  "  FROM dbperf.bin_foreign_keys($1) GROUP BY referencing) f"
			  " WHERE b.partition = f.referencing",
			  leaving->partition, InvalidOid);
	call_with("SELECT statement FROM dbperf.bin_foreign_keys($1)", leaving->partition, InvalidOid);
	MemoryContextSwitchTo(caller);
	for (uint64 row = 0; row < SPI_processed; row++)
		statements = lappend(statements, pstrdup(answer(row, 1)));
	foreach(cell, statements)
		dbp_execute_as_owner(leaving->policy, lfirst(cell));
}

/*
 * Detach in one transaction, under locks that stop everybody who uses the
 * parent: where DETACH CONCURRENTLY is not to be had.
 */
void
dbp_detach_plainly(DbpLeaving *leaving)
{
	const DbpPolicy *policy = leaving->policy;
	DbpParts parts;
	DbpRange range;
	DbpIdentity saved;
	instr_time locked;
	bool detaching;

	dbp_lock_requests(policy, dbp_detach_locks(policy, leaving->partition, false), &leaving->cost);
	INSTR_TIME_SET_CURRENT(locked);
	leaving->stale = !dbp_policy_holds(policy) ||
		!find_part(policy, leaving->partition, &parts, &range, &detaching) || detaching;
	if (leaving->stale)
		return;
	leaving->place = dbp_qualified_name(leaving->partition);
	drop_bin_foreign_keys(leaving);
	call_with("SELECT dbperf.bin_put($1, $2)", policy->parent, leaving->partition);
	dbp_become_owner(&saved, policy->owner, policy->lock_budget_ms);
	dbp_bound_check_add(leaving->partition);
	dbp_execute(psprintf("ALTER TABLE %s DETACH PARTITION %s", dbp_qualified_name(policy->parent),
						 leaving->place));
	dbp_restore_identity(&saved);
	archive(leaving);
	leaving->cost.ms_held += dbp_ms_since(&locked);
	write_event(leaving, "detach", &range, NULL);
}

/*
 * How many rows of other tables point to a partition by foreign keys.  Counted
 * as the owner of the partitioned table, who needs to be allowed to read those
 * tables for DETACH as well.  *ms: how long that took.
 */
int64
dbp_referencing_rows(const DbpPolicy *policy, Oid partition, ArrayType *except, double *ms)
{
	MemoryContext caller = CurrentMemoryContext;
	List *queries = NIL;
	ListCell *cell;
	Oid types[1] = {OIDARRAYOID};
	Datum values[1] = {PointerGetDatum(except)};
	DbpIdentity saved;
	instr_time start;
	int64 count = 0;
	bool isnull;

	call_with("SELECT query FROM dbperf.referencing_queries($1)", partition, InvalidOid);
	MemoryContextSwitchTo(caller);
	for (uint64 row = 0; row < SPI_processed; row++)
		queries = lappend(queries, pstrdup(answer(row, 1)));
	dbp_become_owner(&saved, policy->owner, policy->lock_budget_ms);
	INSTR_TIME_SET_CURRENT(start);
	foreach(cell, queries)
	{
		if (SPI_execute_with_args(lfirst(cell), 1, types, values, NULL, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not run \"%s\"", (char *) lfirst(cell));
		count +=
			DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	*ms = queries == NIL ? 0 : dbp_ms_since(&start);
	dbp_restore_identity(&saved);
	return count;
}

/*
 * What dropping a table locks: the tables that its foreign keys point to lose
 * triggers.
 */
List *
dbp_drop_locks(Oid partition)
{
	List *requests =
		dbp_lock_add_foreign_keys(NIL, partition, AccessExclusiveLock, AccessExclusiveLock);

	return dbp_lock_add_tree(requests, partition, AccessExclusiveLock);
}

/*
 * Has a table that must have been archived the rows that the archive has?
 * Counted before any lock that others would notice.
 */
static void
check_archived_rows(const DbpLeaving *leaving)
{
	char *name = dbp_qualified_name(leaving->partition);
	char *archived;
	char *count;

	call_with("SELECT b.archive_rows FROM dbperf.recycle_bin b"
			  " JOIN dbperf.policy p ON p.parent = b.parent"
			  " WHERE b.partition = $1 AND p.require_archive AND b.archive_rows IS NOT NULL",
			  leaving->partition, InvalidOid);
	if (name == NULL || SPI_processed == 0)
		return;
	archived = answer(0, 1);
	dbp_execute_as_owner(leaving->policy, psprintf("SELECT count(*) FROM ONLY %s", name));
	count = answer(0, 1);
	if (strcmp(count, archived) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s has %s rows, its archive %s", name, count, archived),
				 errhint("Archive it again, and call dbperf.confirm_archive().")));
}

/*
 * Drop a table of the recycle bin, if that may be: it is looked at again under
 * the locks.
 */
void
dbp_drop_detached(DbpLeaving *leaving)
{
	const DbpPolicy *policy = leaving->policy;
	MemoryContext caller = CurrentMemoryContext;
	instr_time locked;
	char *decision;
	char *reason;
	char *lower;
	char *upper;
	DbpEvent event = {0};

	check_archived_rows(leaving);
	dbp_lock_requests(policy, dbp_drop_locks(leaving->partition), &leaving->cost);
	INSTR_TIME_SET_CURRENT(locked);
	leaving->place = dbp_qualified_name(leaving->partition);
	call_with("SELECT d.decision, d.reason, b.lower_bound, b.upper_bound"
			  " FROM dbperf.recycle_bin b JOIN dbperf.policy p ON p.parent = b.parent,"
			  " dbperf.drop_reason(b, p) d WHERE b.partition = $1 AND b.state = 'detached'",
			  leaving->partition, InvalidOid);
	leaving->stale = leaving->place == NULL || SPI_processed == 0;
	if (leaving->stale)
		return;
	MemoryContextSwitchTo(caller);
	decision = answer(0, 1);
	reason = answer(0, 2);
	lower = answer(0, 3);
	upper = answer(0, 4);
	if (strcmp(decision, "go") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s is not dropped: %s", leaving->place, reason)));
	dbp_execute_as_owner(policy, psprintf("DROP TABLE %s", leaving->place));
	leaving->cost.ms_held += dbp_ms_since(&locked);
	event.source = leaving->source;
	event.action = "drop";
	event.policy = policy;
	event.partition = leaving->place;
	event.lower_bound = lower;
	event.upper_bound = upper;
	event.cost = &leaving->cost;
	dbp_event_write(&event);
}
