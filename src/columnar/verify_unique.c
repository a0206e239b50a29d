/*-------------------------------------------------------------------------
 *
 * verify_unique.c
 *		Are the keys of unique indexes unique, in batches and rows together?
 *
 * The indexes cannot tell, for they lack most rows of batches.  So the keys of
 * all rows are sorted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "storage/bufmgr.h"
#include "utils/lsyscache.h"
#include "utils/sortsupport.h"
#include "utils/tuplesort.h"

#include "columnar/batch.h"
#include "columnar/index.h"
#include "columnar/inspect.h"

typedef struct KeySort
{
	DbpVerify *verify;
	Relation index;
	DbpEntryMaker maker;
	int nkeys;
	bool nulls_collide;
	TupleTableSlot *row;	 /* of the table */
	TupleDesc desc;			 /* the key's columns, and the row's TID */
	TupleTableSlot *keys[2]; /* two such, as they come out */
	Tuplesortstate *sort;
	SortSupportData *compare;
} KeySort;

/* *expression counts those that the index has */
static Oid
key_type(const KeySort *keys, int i, int *expression)
{
	AttrNumber attnum = keys->index->rd_index->indkey.values[i];

	if (attnum != 0)
		return TupleDescAttr(RelationGetDescr(keys->verify->rel), attnum - 1)->atttypid;
	return exprType(list_nth(RelationGetIndexExpressions(keys->index), (*expression)++));
}

static void
begin_sort(KeySort *keys)
{
	int n = keys->nkeys;
	TupleDesc desc = CreateTemplateTupleDesc(n + 1);
	AttrNumber *columns = palloc(sizeof(AttrNumber) * (n + 1));
	Oid *operators = palloc(sizeof(Oid) * (n + 1));
	Oid *collations = palloc(sizeof(Oid) * (n + 1));
	bool *nulls_first = palloc0(sizeof(bool) * (n + 1));
	int expression = 0;

	keys->compare = palloc0(sizeof(SortSupportData) * n);
	for (int i = 0; i < n; i++)
	{
		Oid class_type = keys->index->rd_opcintype[i];

		TupleDescInitEntry(desc, i + 1, NULL, key_type(keys, i, &expression), -1, 0);
		columns[i] = i + 1;
		collations[i] = keys->index->rd_indcollation[i];
		operators[i] = get_opfamily_member(keys->index->rd_opfamily[i], class_type, class_type,
										   BTLessStrategyNumber);
		keys->compare[i].ssup_cxt = CurrentMemoryContext;
		keys->compare[i].ssup_collation = collations[i];
		keys->compare[i].ssup_attno = i + 1;
		PrepareSortSupportFromOrderingOp(operators[i], &keys->compare[i]);
	}
	TupleDescInitEntry(desc, n + 1, NULL, TIDOID, -1, 0);
	columns[n] = n + 1;
	operators[n] = TIDLessOperator;
	collations[n] = InvalidOid;
	keys->desc = desc;
	keys->sort = tuplesort_begin_heap(desc, n + 1, columns, operators, collations, nulls_first,
									  maintenance_work_mem, NULL, TUPLESORT_NONE);
}

/* What the maker has is the key of that row */
static void
put_key(KeySort *keys, TupleTableSlot *slot, const ItemPointerData *tid)
{
	for (int i = 0; i < keys->nkeys; i++)
		if (keys->maker.isnull[i] && !keys->nulls_collide)
			return;
	ExecClearTuple(slot);
	memcpy(slot->tts_values, keys->maker.values, sizeof(Datum) * keys->nkeys);
	memcpy(slot->tts_isnull, keys->maker.isnull, sizeof(bool) * keys->nkeys);
	slot->tts_values[keys->nkeys] = PointerGetDatum(tid);
	slot->tts_isnull[keys->nkeys] = false;
	ExecStoreVirtualTuple(slot);
	tuplesort_puttupleslot(keys->sort, slot);
}

static void
put_batches(KeySort *keys, TupleTableSlot *slot)
{
	DbpVerify *verify = keys->verify;

	for (int i = 0; i < verify->nbatches; i++)
	{
		DbpVerifyBatch *known = &verify->batches[i];
		DbpBatch *batch;

		if (!known->sound)
			continue;
		batch = dbp_batch_open(verify->rel, known->tuple);
		for (int row = 0; row < known->nrows; row++)
		{
			ItemPointerData tid;

			CHECK_FOR_INTERRUPTS();
			if (known->tombstones != NULL && (known->tombstones[row / 8] & 1 << row % 8) != 0)
				continue;
			dbp_tid_make(&tid, &known->tid, row);
			if (dbp_entry_form_row(&keys->maker, batch, row))
				put_key(keys, slot, &tid);
		}
		dbp_batch_release(batch);
	}
}

static void
put_rows(KeySort *keys, TupleTableSlot *slot)
{
	DbpVerify *verify = keys->verify;
	BlockNumber nblocks = RelationGetNumberOfBlocks(verify->rel);
	DbpVerifyPage *page = palloc(sizeof(DbpVerifyPage));

	for (BlockNumber block = 0; block < nblocks; block++)
	{
		dbp_verify_page(verify, verify->rel, block, false, page);
		for (int i = 0; i < page->n; i++)
		{
			HeapTuple tuple = &page->tuples[i].tuple;

			if (!page->tuples[i].visible || dbp_tuple_is_batch(tuple) ||
				!dbp_verify_row(verify, tuple, false))
				continue;
			ExecForceStoreHeapTuple(tuple, keys->row, false);
			if (dbp_entry_form(&keys->maker, keys->row))
				put_key(keys, slot, &tuple->t_self);
			ExecClearTuple(keys->row);
		}
	}
	pfree(page);
}

static bool
same_key(const KeySort *keys, TupleTableSlot *a, TupleTableSlot *b)
{
	for (int i = 0; i < keys->nkeys; i++)
		if (ApplySortComparator(a->tts_values[i], a->tts_isnull[i], b->tts_values[i],
								b->tts_isnull[i], &keys->compare[i]) != 0)
			return false;
	return true;
}

/* By its TID, which may be that of a row in a batch */
static void
report_duplicate(const KeySort *keys, const ItemPointerData *tid, const ItemPointerData *other)
{
	DbpVerify *verify = keys->verify;
	char *problem = psprintf("its key in index \"%s\" is that of the row at (%u,%u), too",
							 RelationGetRelationName(keys->index), ItemPointerGetBlockNumber(other),
							 ItemPointerGetOffsetNumber(other));
	ItemPointerData place;
	int row;

	if (!dbp_tid_is_batch_row(tid))
	{
		dbp_verify_report(verify, NULL, tid, 0, -1, problem);
		return;
	}
	row = dbp_tid_split(tid, &place);
	for (int i = 0; i < verify->nbatches; i++)
		if (ItemPointerEquals(&verify->batches[i].tid, &place))
			dbp_verify_report(verify, &verify->batches[i], &place, 0, row, problem);
}

static void
compare_neighbours(KeySort *keys)
{
	TupleTableSlot *last = keys->keys[0];
	TupleTableSlot *next = keys->keys[1];

	tuplesort_performsort(keys->sort);
	while (tuplesort_gettupleslot(keys->sort, true, true, next, NULL))
	{
		TupleTableSlot *previous = last;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(next);
		if (!TTS_EMPTY(previous) && same_key(keys, previous, next))
			report_duplicate(keys, (ItemPointer) DatumGetPointer(next->tts_values[keys->nkeys]),
							 (ItemPointer) DatumGetPointer(previous->tts_values[keys->nkeys]));
		last = next;
		next = previous;
	}
}

static void
verify_index(void *arg)
{
	KeySort *keys = arg;
	TupleTableSlot *slot;

	begin_sort(keys);
	slot = MakeSingleTupleTableSlot(keys->desc, &TTSOpsVirtual);
	keys->keys[0] = MakeSingleTupleTableSlot(keys->desc, &TTSOpsMinimalTuple);
	keys->keys[1] = MakeSingleTupleTableSlot(keys->desc, &TTSOpsMinimalTuple);
	keys->row = MakeSingleTupleTableSlot(RelationGetDescr(keys->verify->rel), &TTSOpsHeapTuple);
	dbp_entry_begin(&keys->maker, keys->verify->rel, keys->index, NULL);
	put_batches(keys, slot);
	put_rows(keys, slot);
	compare_neighbours(keys);
	dbp_entry_end(&keys->maker);
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(keys->keys[0]);
	ExecDropSingleTupleTableSlot(keys->keys[1]);
	ExecDropSingleTupleTableSlot(keys->row);
	tuplesort_end(keys->sort);
}

void
dbp_verify_unique(DbpVerify *verify)
{
	ListCell *cell;

	foreach(cell, RelationGetIndexList(verify->rel))
	{
		Relation index = index_open(lfirst_oid(cell), AccessShareLock);
		KeySort keys = {.verify = verify, .index = index};
		const char *problem = NULL;

		keys.nkeys = index->rd_index->indnkeyatts;
		keys.nulls_collide = index->rd_index->indnullsnotdistinct;
		if (index->rd_index->indisunique && index->rd_index->indisvalid &&
			index->rd_rel->relam == BTREE_AM_OID)
			problem = dbp_problem_of(verify_index, &keys);
		if (problem != NULL)
			dbp_verify_report(
				verify, NULL, NULL, 0, -1,
				psprintf("whether the keys of index \"%s\" are unique is not known: %s",
						 RelationGetRelationName(index), problem));
		index_close(index, AccessShareLock);
	}
}
