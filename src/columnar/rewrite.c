/*-------------------------------------------------------------------------
 *
 * rewrite.c
 *		Compressing, decompressing and recompressing a table in place.
 *
 * As CLUSTER does, a new file is written and takes the place of the old one, so
 * the table keeps its OID, privileges, constraints, and its place below a parent.
 * Unlike CLUSTER, others may read and write nearly all the time: the rows
 * are copied under a lock that only stops maintenance and changes of the
 * table's definition.  The lock that stops everybody is not waited for in the queue,
 * and is only asked for when it has been seen that what is left will
 * be done within the lock budget.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/toasting.h"
#include "commands/cluster.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "storage/procarray.h"
#include "storage/smgr.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "columnar/columnar.h"
#include "columnar/progress.h"
#include "columnar/rewrite.h"
#include "columnar/rewrite_parts.h"
#include "columnar/transfer.h"
#include "partition/partition.h"

/* Looks at what is left to do before the lock is asked for: the first may have to read it */
#define REHEARSALS 3

/* What taking one row version along takes at most, and a row that was deleted meanwhile */
#define CARRY_MS 0.005
#define GONE_MS 0.05

static int64
total_bytes(Oid relid)
{
	return DatumGetInt64(DirectFunctionCall1(pg_total_relation_size, ObjectIdGetDatum(relid)));
}

/*
 * A new table without rows, that will give its file away.
 */
static Oid
make_new_table(DbpRewrite *rewrite)
{
	Form_pg_class form = rewrite->old->rd_rel;
	bool to_heap = rewrite->request->kind == DBP_REWRITE_DECOMPRESS;
	Oid am = to_heap ? HEAP_TABLE_AM_OID : get_table_am_oid(DBP_COLUMNAR_AM, false);
	Oid relid;

	relid = make_new_heap(RelationGetRelid(rewrite->old), form->reltablespace, am,
						  form->relpersistence, rewrite->lock);
	/* it has none if the old one had none, but batches need it */
	if (!to_heap && !OidIsValid(form->reltoastrelid))
		NewHeapCreateToastTable(relid, (Datum) 0, AccessExclusiveLock, InvalidOid);
	return relid;
}

/*
 * In which order the rows are to be written.
 */
static List *
sort_key(const DbpRewrite *rewrite)
{
	const DbpRewriteRequest *request = rewrite->request;

	if (request->kind == DBP_REWRITE_DECOMPRESS)
		return NIL;
	if (request->sort_by != NIL)
		return dbp_sort_key_by_names(rewrite->old, request->sort_by);
	return dbp_table_sort_key(rewrite->old);
}

static void
choose_limits(const DbpRewrite *rewrite, DbpTransferOptions *options)
{
	Form_pg_class form = rewrite->old->rd_rel;

	options->horizon = GetOldestNonRemovableTransactionId(rewrite->old);
	options->freeze_limit = options->horizon;
	options->multi_cutoff = GetOldestMultiXactId();
	/* neither may go backwards */
	if (TransactionIdIsNormal(form->relfrozenxid) &&
		TransactionIdPrecedes(options->freeze_limit, form->relfrozenxid))
		options->freeze_limit = form->relfrozenxid;
	if (MultiXactIdIsValid(form->relminmxid) &&
		MultiXactIdPrecedes(options->multi_cutoff, form->relminmxid))
		options->multi_cutoff = form->relminmxid;
}

/*
 * Can what is left be done within the lock budget?
 */
static bool
rest_is_small(DbpRewrite *rewrite)
{
	int budget = rewrite->request->lock_budget_ms;
	DbpTransferWork work = {0};

	for (int i = 0; i < REHEARSALS; i++)
	{
		instr_time start;
		double ms;

		INSTR_TIME_SET_CURRENT(start);
		dbp_transfer_rehearse(rewrite->transfer, &work);
		ms = dbp_ms_since(&start) + work.carried * CARRY_MS + work.gone * GONE_MS;
		/* taking row versions along ends with the file being synced: let that be little, too */
		if (work.carried > 0 && RelationNeedsWAL(rewrite->new))
			smgrimmedsync(RelationGetSmgr(rewrite->new), MAIN_FORKNUM);
		if (ms <= budget)
			return true;
	}
	rewrite->result->why_not =
		psprintf(INT64_FORMAT " rows that are new, or have been changed meanwhile, in " INT64_FORMAT
							  " pages, cannot be moved within the lock budget of %d ms",
				 work.carried + work.gone, work.pages, budget);
	return false;
}

/*
 * Put the numbers of the new table where the planner finds them.
 */
static void
write_statistics(Oid relid, BlockNumber pages, double tuples)
{
	Relation classes = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	form = (Form_pg_class) GETSTRUCT(tuple);
	form->relpages = pages;
	form->reltuples = tuples;
	CatalogTupleUpdate(classes, &tuple->t_self, tuple);
	heap_freetuple(tuple);
	table_close(classes, RowExclusiveLock);
	CommandCounterIncrement();
}

/*
 * Under the lock that stops everybody: move the rest, and swap the files.
 */
static void
finish(DbpRewrite *rewrite, const DbpTransferOptions *options)
{
	DbpRewriteResult *result = rewrite->result;
	Oid relid = RelationGetRelid(rewrite->old);
	Oid newid = RelationGetRelid(rewrite->new);
	char persistence = rewrite->old->rd_rel->relpersistence;
	DbpTransferCounts counts;
	BlockNumber pages;

	dbp_progress_phase(DBP_PHASE_SWAPPING);
	/* rows move: locks of serializable transactions on them would mean nothing */
	TransferPredicateLocksToHeapRelation(rewrite->old);
	dbp_transfer_finish(rewrite->transfer, &counts);
	dbp_transfer_end(rewrite->transfer);
	rewrite->transfer = NULL;
	if (rewrite->request->kind != DBP_REWRITE_DECOMPRESS)
		dbp_sort_key_store(rewrite->new,
						   rewrite->request->sort_by != NIL ? options->sort_by
															: dbp_sort_key_stored(rewrite->old),
						   GetCurrentCommandId(true));
	pages = RelationGetNumberOfBlocks(rewrite->new);
	table_close(rewrite->new, NoLock);
	table_close(rewrite->old, NoLock);
	rewrite->old = rewrite->new = NULL;
	write_statistics(newid, pages, counts.rows - counts.gone + counts.carried);

	/* the rows are the same, so what is unique, or excluded, is not proven again */
	finish_heap_swap(relid, newid, false, false, false, true, options->freeze_limit,
					 options->multi_cutoff, persistence);
	dbp_progress_phase(DBP_PHASE_SWAPPING);

	result->done = true;
	result->batches = counts.batches;
	result->rows = counts.rows - counts.gone;
	result->late_rows = counts.carried;
	if (rewrite->request->kind == DBP_REWRITE_DECOMPRESS)
	{
		result->rows += counts.carried;
		result->late_rows = 0;
	}
	result->bytes_after = total_bytes(relid);
}

/*
 * Copy what everybody sees, and then get the lock for the rest.
 */
static bool
copy(DbpRewrite *rewrite, const DbpTransferOptions *options)
{
	rewrite->transfer = dbp_transfer_begin(rewrite->old, rewrite->new, options);
	dbp_transfer_copy(rewrite->transfer);
	if (rewrite->request->exclusive)
		return true;
	/* so that the commit will have less to wait for */
	if (RelationNeedsWAL(rewrite->new))
		XLogFlush(XactLastRecEnd);
	dbp_progress_phase(DBP_PHASE_LOCKING);
	return rest_is_small(rewrite) && dbp_rewrite_lock_all(rewrite);
}

static void
rewrite_locked(DbpRewrite *rewrite)
{
	DbpTransferOptions options = {0};
	Snapshot snapshot;
	instr_time held;
	Oid newid;

	dbp_pending_flush(rewrite->old);
	rewrite->result->bytes_before = total_bytes(RelationGetRelid(rewrite->old));
	dbp_progress_total(rewrite->old->rd_rel->reltuples);
	INSTR_TIME_SET_CURRENT(held);

	/* until the end: nothing that is copied may be pruned, or its deletion would go unnoticed */
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	options.sort_by = sort_key(rewrite);
	options.pause_ms = rewrite->request->pause_ms;
	options.exclusive = rewrite->request->exclusive;
	choose_limits(rewrite, &options);
	newid = make_new_table(rewrite);
	rewrite->new = table_open(newid, AccessExclusiveLock);
	if (copy(rewrite, &options))
	{
		if (!rewrite->request->exclusive)
			INSTR_TIME_SET_CURRENT(held);
		finish(rewrite, &options);
		rewrite->result->ms_held = dbp_ms_since(&held);
	}
	UnregisterSnapshot(snapshot);
}

/*
 * Nothing has been done, and nothing is to be left of it.
 */
static void
undo(DbpRewrite *rewrite)
{
	ObjectAddress object;

	if (rewrite->transfer != NULL)
		dbp_transfer_end(rewrite->transfer);
	if (rewrite->new != NULL)
	{
		ObjectAddressSet(object, RelationRelationId, RelationGetRelid(rewrite->new));
		table_close(rewrite->new, NoLock);
		performDeletion(&object, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	}
	if (rewrite->old != NULL)
		table_close(rewrite->old, NoLock);
}

void
dbp_rewrite(const DbpRewriteRequest *request, DbpRewriteResult *result)
{
	DbpRewrite rewrite = {0};
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "dbperf rewrite", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller;

	memset(result, 0, sizeof(DbpRewriteResult));
	rewrite.request = request;
	rewrite.result = result;
	rewrite.lock = request->exclusive ? AccessExclusiveLock : ShareUpdateExclusiveLock;
	dbp_progress_begin(request->kind, request->relid, -1);
	caller = MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (dbp_rewrite_lock_first(&rewrite))
		{
			rewrite.old = dbp_rewrite_open(request, rewrite.lock);
			if (dbp_rewrite_lock_toast(&rewrite))
				rewrite_locked(&rewrite);
		}
		if (!result->done)
			undo(&rewrite);
	}
	PG_FINALLY();
	{
		dbp_progress_end();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	if (result->why_not != NULL)
		result->why_not = pstrdup(result->why_not);
	MemoryContextDelete(context);
}
