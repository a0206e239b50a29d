/*-------------------------------------------------------------------------
 *
 * index_entry.c
 *		Index entries of rows of batches.
 *
 * Such an entry says that an existing row has that key.  It holds as long as
 * the relation's file does, since rows of batches never change; whether the row is
 * still there is asked when it is fetched.  So entries may be made at any time, by
 * anybody, and are never removed.  But an index must not have one twice: who
 * makes entries for rows of a batch holds a lock on the batch for that index.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/nbtree.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "columnar.h"
#include "compat.h"
#include "index.h"

/*
 * Has the index entries for all rows of batches, from its beginning?  Those that
 * must: whether a row collides with another cannot be found out otherwise without
 * evaluating an expression, or an operator that is not equality, for every row.
 */
bool
dbp_index_is_full(Relation index)
{
	const FormData_pg_index *form = index->rd_index;

	if (form->indisexclusion)
		return true;
	if (!form->indisunique)
		return false;
	if (index->rd_rel->relam != BTREE_AM_OID)
		return true;
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		if (form->indkey.values[i] == 0)
			return true;
	}
	return false;
}

void
dbp_entry_begin(DbpEntryMaker *maker, Relation rel, Relation index, IndexInfo *info)
{
	maker->rel = rel;
	maker->index = index;
	maker->info = info == NULL ? BuildIndexInfo(index) : info;
	maker->estate = CreateExecutorState();
	maker->predicate = ExecPrepareQual(maker->info->ii_Predicate, maker->estate);
	maker->slot = NULL;
	maker->present = NULL;
}

void
dbp_entry_end(DbpEntryMaker *maker)
{
	if (maker->slot != NULL)
		ExecDropSingleTupleTableSlot(maker->slot);
	FreeExecutorState(maker->estate);

	/* These pointed into it */
	maker->info->ii_ExpressionsState = NIL;
	maker->info->ii_PredicateState = NULL;
}

/* The values are good until the next call */
bool
dbp_entry_form(DbpEntryMaker *maker, TupleTableSlot *slot)
{
	ExprContext *econtext = GetPerTupleExprContext(maker->estate);

	ResetExprContext(econtext);
	econtext->ecxt_scantuple = slot;
	if (maker->predicate != NULL && !ExecQual(maker->predicate, econtext))
		return false;
	FormIndexDatum(maker->info, slot, maker->estate, maker->values, maker->isnull);
	return true;
}

bool
dbp_entry_form_row(DbpEntryMaker *maker, DbpBatch *batch, int row)
{
	if (maker->slot == NULL)
	{
		MemoryContext before = MemoryContextSwitchTo(maker->estate->es_query_cxt);

		maker->slot = table_slot_create(maker->rel, NULL);
		MemoryContextSwitchTo(before);
	}
	dbp_slot_store_row(maker->slot, batch, row, RelationGetRelid(maker->rel));
	return dbp_entry_form(maker, maker->slot);
}

static void
insert_entry(DbpEntryMaker *maker, ItemPointer tid)
{
	(void) index_insert(maker->index, maker->values, maker->isnull, tid, maker->rel,
						UNIQUE_CHECK_NO, false, maker->info);
}

/* Keys that find the entries of the row which is in the maker */
static int
form_keys(const DbpEntryMaker *maker, ScanKey keys)
{
	Relation index = maker->index;
	int nkeys = IndexRelationGetNumberOfKeyAttributes(index);

	for (int i = 0; i < nkeys; i++)
	{
		Oid type = index->rd_opcintype[i];
		Oid equal = get_opfamily_member(index->rd_opfamily[i], type, type, BTEqualStrategyNumber);

		if (!OidIsValid(equal))
			elog(ERROR, "missing operator %d(%u,%u) in opfamily %u", BTEqualStrategyNumber, type,
				 type, index->rd_opfamily[i]);
		ScanKeyEntryInitialize(&keys[i], maker->isnull[i] ? SK_ISNULL | SK_SEARCHNULL : 0, i + 1,
							   maker->isnull[i] ? InvalidStrategy : BTEqualStrategyNumber,
							   InvalidOid, index->rd_indcollation[i], get_opcode(equal),
							   maker->isnull[i] ? (Datum) 0 : maker->values[i]);
	}
	return nkeys;
}

/* Notes which rows of the batch have entries among those that the keys find */
static void
find_present(DbpEntryMaker *maker, DbpBatch *batch, ScanKey keys, int nkeys)
{
	IndexScanDesc scan = dbp_index_beginscan_bitmap(maker->index, SnapshotAny, nkeys);
	ItemPointer tid;

	index_rescan(scan, keys, nkeys, NULL, 0);
	while ((tid = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		ItemPointerData place;
		int row;

		CHECK_FOR_INTERRUPTS();
		if (!dbp_tid_is_batch_row(tid))
			continue;
		row = dbp_tid_split(tid, &place);
		if (row < dbp_batch_nrows(batch) &&
			ItemPointerEquals(&place, unconstify(ItemPointerData *, dbp_batch_tid(batch))))
			maker->present[row / 8] |= 1 << row % 8;
	}
	index_endscan(scan);
}

static inline bool
is_present(const DbpEntryMaker *maker, int row)
{
	return (maker->present[row / 8] & 1 << row % 8) != 0;
}

/*
 * Looks which of the rows lack an entry, and makes them if told so.  Returns
 * whether there is any such row, leaving those out that the predicate does.
 * The keys find most entries at once; in a B-tree, what they did not find is looked for by its own key.
 */
static bool
visit_rows(DbpEntryMaker *maker, DbpBatch *batch, const int *rows, int nrows, ScanKey keys,
		   int nkeys, bool make)
{
	bool btree = maker->index->rd_rel->relam == BTREE_AM_OID;

	memset(maker->present, 0, (DBP_BATCH_ROWS + 7) / 8);
	if (keys != NULL)
		find_present(maker, batch, keys, nkeys);
	for (int i = 0; i < nrows; i++)
	{
		ScanKeyData own[INDEX_MAX_KEYS];
		ItemPointerData tid;

		if (is_present(maker, rows[i]) || !dbp_entry_form_row(maker, batch, rows[i]))
			continue;
		if (btree)
			find_present(maker, batch, own, form_keys(maker, own));
		if (is_present(maker, rows[i]))
			continue;
		if (!make)
			return true;
		dbp_tid_make(&tid, dbp_batch_tid(batch), rows[i]);
		insert_entry(maker, &tid);
		maker->present[rows[i] / 8] |= 1 << rows[i] % 8;
	}
	return false;
}

void
dbp_entry_make(DbpEntryMaker *maker, DbpBatch *batch, const int *rows, int nrows, ScanKey keys,
			   int nkeys)
{
	ItemPointer place = unconstify(ItemPointerData *, dbp_batch_tid(batch));

	if (maker->present == NULL)
		maker->present = MemoryContextAlloc(maker->estate->es_query_cxt, (DBP_BATCH_ROWS + 7) / 8);
	if (!visit_rows(maker, batch, rows, nrows, keys, nkeys, false))
		return;

	/* Nobody waits for anything but pages while having this lock */
	LockTuple(maker->index, place, ExclusiveLock);
	(void) visit_rows(maker, batch, rows, nrows, keys, nkeys, true);
	UnlockTuple(maker->index, place, ExclusiveLock);
}

/*
 * Entries of one row in all indexes, unchecked.  Rows of batches are known to no
 * index that finds blocks, rather than rows, or packs the numbers of rows.
 */
void
dbp_index_insert_row(Relation rel, TupleTableSlot *slot, const ItemPointerData *tid)
{
	List *indexes = RelationGetIndexList(rel);
	ItemPointerData copy = *tid;
	ListCell *lc;

	foreach(lc, indexes)
	{
		Relation index = index_open(lfirst_oid(lc), RowExclusiveLock);

		if (index->rd_index->indisready &&
			(!dbp_tid_is_batch_row(tid) || index->rd_indam->amgettuple != NULL))
		{
			DbpEntryMaker maker;

			dbp_entry_begin(&maker, rel, index, NULL);
			if (dbp_entry_form(&maker, slot))
				insert_entry(&maker, &copy);
			dbp_index_insert_cleanup(index, maker.info);
			dbp_entry_end(&maker);
		}
		index_close(index, NoLock);
	}
	list_free(indexes);
}

/*
 * Which of these entries may be removed?  Those of rows of batches never, so
 * heapam is not asked about them.  The caller takes an array that has become shorter.
 */
TransactionId
dbp_index_delete_tuples(Relation rel, TM_IndexDeleteOp *delstate)
{
	int kept = 0;

	for (int i = 0; i < delstate->ndeltids; i++)
	{
		if (!dbp_tid_is_batch_row(&delstate->deltids[i].tid))
			delstate->deltids[kept++] = delstate->deltids[i];
	}
	delstate->ndeltids = kept;
	if (kept == 0)
		return InvalidTransactionId;
	return GetHeapamTableAmRoutine()->index_delete_tuples(rel, delstate);
}
