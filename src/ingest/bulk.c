/*-------------------------------------------------------------------------
 *
 * bulk.c
 *		bulk_insert(): a call, batch by batch.
 *
 * All or nothing, unless on_error is 'reject': then the rows that fail are put
 * into dbperf.ingest_rejects.  Memory is that of the arguments and of one batch.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "ingest/bulk.h"
#include "ingest/bulk_call.h"
#include "metrics/metrics.h"

#define NOTICE_SECONDS 10 /* between two notices of a long call */

/* Before the lock is asked for, which a standby does not give */
static void
check_server(void)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot execute bulk_insert() during recovery"),
				 errhint("Insert on the primary server.")));
	if (IsInParallelMode())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("cannot execute bulk_insert() during a parallel operation"),
				 errhint("Call it in a statement of its own.")));
}

static void
check_transaction(Relation rel)
{
	if (XactReadOnly && !RelationUsesLocalBuffers(rel))
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot execute bulk_insert() in a read-only transaction"),
				 errhint("Begin the transaction with READ WRITE.")));
}

Relation
dbp_bulk_open(Oid relid)
{
	Relation rel;

	check_server();
	rel = try_table_open(relid, RowExclusiveLock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	check_transaction(rel);
	switch (rel->rd_rel->relkind)
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_VIEW:
		case RELKIND_FOREIGN_TABLE:
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("cannot insert into \"%s\"", RelationGetRelationName(rel)),
					 errdetail_relkind_not_supported(rel->rd_rel->relkind)));
	}
	if (IsSystemRelation(rel) && !allowSystemTableMods)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied: \"%s\" is a system catalog",
						RelationGetRelationName(rel))));
	return rel;
}

RangeTblEntry *
dbp_bulk_range_table_entry(const DbpSource *source, Bitmapset **inserted)
{
	RangeTblEntry *entry = makeNode(RangeTblEntry);

	entry->rtekind = RTE_RELATION;
	entry->relid = RelationGetRelid(source->rel);
	entry->relkind = source->rel->rd_rel->relkind;
	entry->rellockmode = RowExclusiveLock;
	*inserted = NULL;
	for (int i = 0; i < source->ncolumns; i++)
		*inserted =
			bms_add_member(*inserted, source->attnums[i] - FirstLowInvalidHeapAttributeNumber);
	return entry;
}

/* What an INSERT of these columns needs; extensions that check more are asked, too */
static void
check_privileges(const DbpSource *source)
{
	Oid schema = RelationGetNamespace(source->rel);
	Bitmapset *inserted;
	RangeTblEntry *entry = dbp_bulk_range_table_entry(source, &inserted);

	/* a regclass may have come as a number */
	if (!dbp_may_use_schema(schema))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_SCHEMA, get_namespace_name(schema));
	dbp_check_insert_privileges(entry, inserted);
}

/* Has an error say where it was */
static void
add_context(void *arg)
{
	DbpBulk *bulk = arg;
	const DbpSource *source = bulk->source;
	const char *table = RelationGetRelationName(bulk->rel);
	int64 row = bulk->row >= 0 ? bulk->row : source->row;

	if (row < 0 && bulk->batch_count > 1)
		errcontext("bulk_insert into \"%s\", rows " INT64_FORMAT " to " INT64_FORMAT, table,
				   bulk->batch_first + 1, bulk->batch_first + bulk->batch_count);
	else if (source->row >= 0 && source->column >= 0)
		errcontext("bulk_insert into \"%s\", row " INT64_FORMAT ", column \"%s\"", table,
				   source->row + 1,
				   NameStr(TupleDescAttr(RelationGetDescr(bulk->rel),
										 source->attnums[source->column] - 1)
							   ->attname));
	else
		errcontext("bulk_insert into \"%s\", row " INT64_FORMAT, table,
				   (row >= 0 ? row : bulk->batch_first) + 1);
}

static void
write_rejects(DbpBulk *bulk)
{
	MemoryContext old = MemoryContextSwitchTo(bulk->batch_context);
	ListCell *cell;

	foreach(cell, bulk->rejects)
		dbp_reject_write(lfirst(cell));
	MemoryContextSwitchTo(old);
	bulk->rejected += list_length(bulk->rejects);
}

static void
run_batch(DbpBulk *bulk)
{
	Oid relid = RelationGetRelid(bulk->rel);
	uint64 inserted = bulk->inserted;
	uint64 late = bulk->late;
	instr_time start;

	INSTR_TIME_SET_CURRENT(start);
	bulk->rejects = NIL;
	if (bulk->source->begin != NULL)
		bulk->source->begin(bulk->source, bulk->batch_first);
	/* an error ends the suspension with the (sub)transaction */
	dbp_count_suspend();
	dbp_attempt_batch(bulk);
	dbp_count_resume();
	write_rejects(bulk);
	bulk->batches++;
	dbp_count(relid, DBP_OP_BULK_INSERT, bulk->inserted - inserted,
			  (uint64) (dbp_ms_since(&start) * 1000));
	if (bulk->rejects != NIL)
		dbp_count_rejected(relid, list_length(bulk->rejects));
	if (bulk->late > late)
		dbp_count_late(relid, bulk->late - late);
	MemoryContextReset(bulk->batch_context);
}

static void
report_progress(const DbpBulk *bulk, TimestampTz *next)
{
	TimestampTz now = GetCurrentTimestamp();

	if (now < *next)
		return;
	if (*next != 0)
		ereport(NOTICE,
				(errmsg("bulk_insert into \"%s\": " INT64_FORMAT " of " INT64_FORMAT " rows",
						RelationGetRelationName(bulk->rel), bulk->batch_first,
						bulk->source->nrows)));
	*next = TimestampTzPlusMilliseconds(now, NOTICE_SECONDS * 1000);
}

static void
run_batches(DbpBulk *bulk)
{
	ErrorContextCallback context;
	TimestampTz next_notice = 0;

	context.callback = add_context;
	context.arg = bulk;
	context.previous = error_context_stack;
	error_context_stack = &context;
	while (bulk->batch_first < bulk->source->nrows)
	{
		CHECK_FOR_INTERRUPTS();
		report_progress(bulk, &next_notice);
		bulk->batch_count = Min(bulk->options.batch_size, bulk->source->nrows - bulk->batch_first);
		run_batch(bulk);
		bulk->batch_first += bulk->batch_count;
		bulk->row = -1;
	}
	error_context_stack = context.previous;
}

/*
 * Inserts all rows of the source. The counts of the call are in *bulk
 * afterwards. The caller has opened the relation and closes it.
 */
void
dbp_bulk_run(DbpBulk *bulk, DbpSource *source, const DbpBulkOptions *options)
{
	memset(bulk, 0, sizeof(DbpBulk));
	bulk->rel = source->rel;
	bulk->source = source;
	bulk->options = *options;
	bulk->row = -1;
	if (options->conflict_columns != NIL && options->on_conflict == DBP_CONFLICT_ERROR)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("conflict_columns are given, but conflicts are errors"),
				 errhint("Set on_conflict to nothing or update.")));
	check_privileges(source);
	bulk->call_context = CurrentMemoryContext;
	bulk->batch_context =
		AllocSetContextCreate(CurrentMemoryContext, "dbperf batch", ALLOCSET_DEFAULT_SIZES);
	bulk->attempt_context =
		AllocSetContextCreate(CurrentMemoryContext, "dbperf attempt", ALLOCSET_DEFAULT_SIZES);
	bulk->by_statement = dbp_statement_needed(bulk);
	/* a batch that goes directly, and is to abort, always knows the row that fails */
	bulk->in_subxact = bulk->by_statement || options->reject;
	bulk->router = dbp_router_make(bulk->rel);
	run_batches(bulk);
	if (bulk->direct != NULL)
		dbp_direct_end(bulk->direct);
}
