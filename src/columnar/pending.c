/*-------------------------------------------------------------------------
 *
 * pending.c
 *		Rows that come one by one into a new table, to become batches.
 *
 * ALTER TABLE ... SET ACCESS METHOD, CREATE TABLE AS and REFRESH MATERIALIZED
 * VIEW insert row after row into a file that nobody else can see, and say when
 * they are done.  Their rows are collected, sorted where the order is known, and
 * written as batches.
 *
 * COPY does so as well where it cannot insert many rows at a time, but never says
 * that it is done: its rows are not for us.  Should anything else be left, it is
 * written before the transaction ends.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/toasting.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "columnar/columnar.h"
#include "columnar/rewrite.h"
#include "columnar/sorter.h"

typedef struct Pending
{
	dlist_node node;
	Oid relid;
	DbpRelFile file;
	SubTransactionId subid;
	CommandId cid;
	int options;
	MemoryContext context;
	ResourceOwner owner; /* of temporary files */
	TupleDesc tupdesc;
	List *stored_key; /* that was asked for, to be kept */
	DbpSorter *sorter;
	Tuplestorestate *large; /* rows that are too large for a batch; NULL: none */
} Pending;

/* In the memory of the transactions that they belong to */
static dlist_head pendings = DLIST_STATIC_INIT(pendings);

static Pending *
find_pending(Relation rel)
{
	dlist_iter iter;

	dlist_foreach(iter, &pendings)
	{
		Pending *pending = dlist_container(Pending, node, iter.cur);

		if (pending->relid == RelationGetRelid(rel) &&
			dbp_same_relfile(pending->file, dbp_relation_file(rel)))
			return pending;
	}
	return NULL;
}

static void
drop_pending(Pending *pending)
{
	dlist_delete(&pending->node);
	dbp_sorter_end(pending->sorter);
	if (pending->large != NULL)
		tuplestore_end(pending->large);
	MemoryContextDelete(pending->context);
}

static void
write_batches(Relation rel, Pending *pending)
{
	DbpStoreWriter *store = dbp_store_begin(rel, InvalidOid, pending->cid, pending->options);
	DbpRows rows;
	ItemPointerData tid;

	while (dbp_sorter_next(pending->sorter, &rows, NULL))
	{
		CHECK_FOR_INTERRUPTS();
		/* by their own descriptor: of what has since been done to the table they know nothing */
		dbp_store_batch(store, &rows, &tid);
	}
	dbp_store_end(store);
}

static void
write_large(Relation rel, Pending *pending)
{
	TupleTableSlot *slot;
	BulkInsertState bistate;

	if (pending->large == NULL)
		return;
	slot = MakeSingleTupleTableSlot(pending->tupdesc, &TTSOpsMinimalTuple);
	bistate = GetBulkInsertState();
	while (tuplestore_gettupleslot(pending->large, true, false, slot))
	{
		bool should_free;
		HeapTuple tuple = ExecFetchSlotHeapTuple(slot, true, &should_free);

		CHECK_FOR_INTERRUPTS();
		tuple->t_tableOid = RelationGetRelid(rel);
		heap_insert(rel, tuple, pending->cid, pending->options, bistate);
		if (should_free)
			heap_freetuple(tuple);
	}
	FreeBulkInsertState(bistate);
	ExecDropSingleTupleTableSlot(slot);
}

/*
 * Write all, and forget it.
 */
static void
flush(Relation rel, Pending *pending)
{
	MemoryContext old = MemoryContextSwitchTo(pending->context);

	/* what writing does may scan the relation, or end up here for other reasons */
	dlist_delete(&pending->node);
	dbp_sorter_sort(pending->sorter);
	write_batches(rel, pending);
	write_large(rel, pending);
	dbp_sort_key_store(rel, pending->stored_key, pending->cid);
	MemoryContextSwitchTo(old);
	dlist_push_tail(&pendings, &pending->node);
	drop_pending(pending);
}

void
dbp_pending_flush(Relation rel)
{
	Pending *pending;

	if (dlist_is_empty(&pendings))
		return;
	pending = find_pending(rel);
	/* what is written in a subtransaction could be rolled back without the command that had the rows */
	if (pending != NULL && pending->subid == GetCurrentSubTransactionId())
		flush(rel, pending);
}

/*
 * Before a transaction or subtransaction ends well: write what it has left.
 * Tables that have gone, or got another file, take their rows along.
 */
static void
flush_all(SubTransactionId subid)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &pendings)
	{
		Pending *pending = dlist_container(Pending, node, iter.cur);
		Relation rel;

		if (subid != InvalidSubTransactionId && pending->subid != subid)
			continue;
		rel = try_table_open(pending->relid, NoLock);
		if (rel != NULL && dbp_same_relfile(pending->file, dbp_relation_file(rel)))
			flush(rel, pending);
		else
			drop_pending(pending);
		if (rel != NULL)
			table_close(rel, NoLock);
	}
}

/* Memory and files go with the transaction */
static void
forget_all(SubTransactionId subid)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &pendings)
	{
		Pending *pending = dlist_container(Pending, node, iter.cur);

		if (subid == InvalidSubTransactionId || pending->subid == subid)
			dlist_delete(&pending->node);
	}
}

static void
at_end(XactEvent event, void *arg)
{
	if (dlist_is_empty(&pendings))
		return;
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		flush_all(InvalidSubTransactionId);
	else if (event == XACT_EVENT_ABORT)
		forget_all(InvalidSubTransactionId);
}

static void
at_subend(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	if (dlist_is_empty(&pendings))
		return;
	if (event == SUBXACT_EVENT_PRE_COMMIT_SUB)
		flush_all(subid);
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_all(subid);
}

/*
 * The order of the rows, where it can be known: of the table that a new file is made for.
 */
static List *
find_sort_key(Relation rel, List **stored)
{
	Oid original = rel->rd_rel->relrewrite;
	Relation old;
	List *result = NIL;
	ListCell *cell;

	*stored = NIL;
	if (!OidIsValid(original))
		return NIL;
	old = table_open(original, NoLock);
	*stored = dbp_sort_key_stored(old);
	foreach(cell, dbp_table_sort_key(old))
		if (dbp_can_sort_by(RelationGetDescr(rel), lfirst_int(cell)))
			result = lappend_int(result, lfirst_int(cell));
	table_close(old, NoLock);
	return result;
}

/* ALTER TABLE makes one for its new file only where the old one had one: of a heap of integers, none */
void
dbp_pending_need_toast_table(Relation rel)
{
	if (OidIsValid(rel->rd_rel->reltoastrelid))
		return;
	NewHeapCreateToastTable(RelationGetRelid(rel), (Datum) 0, AccessExclusiveLock, InvalidOid);
	CommandCounterIncrement();
}

static Pending *
add_pending(Relation rel, CommandId cid, int options)
{
	static bool registered = false;
	MemoryContext context;
	MemoryContext old;
	Pending *pending;
	List *sort_by;

	if (!registered)
	{
		RegisterXactCallback(at_end, NULL);
		RegisterSubXactCallback(at_subend, NULL);
		registered = true;
	}
	dbp_pending_need_toast_table(rel);
	context =
		AllocSetContextCreate(CurTransactionContext, "dbperf pending rows", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	pending = palloc0(sizeof(Pending));
	pending->relid = RelationGetRelid(rel);
	pending->file = dbp_relation_file(rel);
	pending->subid = GetCurrentSubTransactionId();
	pending->cid = cid;
	pending->options = options;
	pending->context = context;
	pending->owner = CurTransactionResourceOwner;
	pending->tupdesc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	sort_by = find_sort_key(rel, &pending->stored_key);
	pending->sorter = dbp_sorter_begin(pending->tupdesc, sort_by, maintenance_work_mem);
	dlist_push_tail(&pendings, &pending->node);
	MemoryContextSwitchTo(old);
	return pending;
}

/*
 * Is this one of the commands that fill a file that nobody else can see, and
 * does nobody need the row's place?  COPY has a slot that is made for this very
 * table.
 */
static bool
can_be_pending(Relation rel, TupleTableSlot *slot, int options, struct BulkInsertStateData *bistate)
{
	if (bistate == NULL || (options & HEAP_INSERT_SKIP_FSM) == 0)
		return false;
	if (!OidIsValid(rel->rd_rel->relrewrite) && slot->tts_tupleDescriptor == RelationGetDescr(rel))
		return false;
	return dbp_relation_file_subid(rel) == GetCurrentSubTransactionId() &&
		!rel->rd_rel->relhasindex && rel->trigdesc == NULL &&
		OidIsValid(rel->rd_rel->reltoastrelid) && RelationGetDescr(rel)->natts > 0;
}

static void
put_large(Pending *pending, TupleTableSlot *slot)
{
	if (pending->large == NULL)
		pending->large = tuplestore_begin_heap(false, false, maintenance_work_mem);
	tuplestore_putvalues(pending->large, pending->tupdesc, slot->tts_values, slot->tts_isnull);
}

bool
dbp_pending_insert(Relation rel, TupleTableSlot *slot, CommandId cid, int options,
				   struct BulkInsertStateData *bistate)
{
	Pending *pending;
	MemoryContext old;
	ResourceOwner owner;

	if (!can_be_pending(rel, slot, options, bistate))
	{
		/* in the order in which they come */
		dbp_pending_flush(rel);
		return false;
	}
	pending = dlist_is_empty(&pendings) ? NULL : find_pending(rel);
	if (pending != NULL && (pending->cid != cid || pending->options != options))
	{
		flush(rel, pending);
		pending = NULL;
	}
	if (pending == NULL)
		pending = add_pending(rel, cid, options);
	slot_getallattrs(slot);
	old = MemoryContextSwitchTo(pending->context);
	owner = CurrentResourceOwner;
	CurrentResourceOwner = pending->owner;
	if (!dbp_sorter_put(pending->sorter, slot->tts_values, slot->tts_isnull, 0))
		put_large(pending, slot);
	CurrentResourceOwner = owner;
	if (dbp_sorter_is_full(pending->sorter))
		write_batches(rel, pending);
	MemoryContextSwitchTo(old);
	slot->tts_tableOid = RelationGetRelid(rel);
	ItemPointerSetInvalid(&slot->tts_tid);
	return true;
}
