/*-------------------------------------------------------------------------
 *
 * index_scan.c
 *		Has scans of an index find rows of batches.
 *
 * The planner never uses an index of a columnar relation, but other parts of the
 * server do so on their own: ON CONFLICT looks for the row in the way, and a
 * subscriber for the row to change.  They go through table_index_fetch_begin(),
 * which has the relation's indexes get another amrescan (in this backend's relcache, where
 * each index has a copy of its access method's routines).  That one makes
 * entries of the rows in batches which match the keys, and goes on to the real one.
 *
 * Not in a parallel worker or on a standby, which cannot write; there, no scan needs it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/amapi.h"
#include "access/parallel.h"
#include "access/relscan.h"
#include "access/xlog.h"
#include "catalog/pg_am.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/relcache.h"

#include "columnar.h"
#include "index.h"

/* What amrescan was, by access method */
typedef struct RealRescan
{
	Oid am;
	amrescan_function rescan;
	struct RealRescan *next;
} RealRescan;

static RealRescan *real_rescans = NULL;

/* While it looks for entries itself */
static bool making_entries = false;

/* A key, and what is known of its column in zones */
typedef struct SearchKey
{
	ScanKey key;
	AttrNumber attnum; /* of the table; 0: an expression */
	bool by_zone;
	DbpKeyColumn column;
} SearchKey;

static RealRescan *
find_real(Oid am)
{
	for (RealRescan *real = real_rescans; real != NULL; real = real->next)
	{
		if (real->am == am)
			return real;
	}
	return NULL;
}

/* One key, which is not of several columns, and a value that is not null */
static bool
value_matches(ScanKey key, Datum value)
{
	ArrayType *array;
	Datum *elements;
	bool *nulls;
	int16 length;
	bool byval;
	char align;
	int n;
	bool found = false;

	if ((key->sk_flags & SK_SEARCHARRAY) == 0)
		return DatumGetBool(
			FunctionCall2Coll(&key->sk_func, key->sk_collation, value, key->sk_argument));
	array = DatumGetArrayTypeP(key->sk_argument);
	get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &byval, &align);
	deconstruct_array(array, ARR_ELEMTYPE(array), length, byval, align, &elements, &nulls, &n);
	for (int i = 0; i < n && !found; i++)
		found = !nulls[i] &&
			DatumGetBool(FunctionCall2Coll(&key->sk_func, key->sk_collation, value, elements[i]));
	return found;
}

static bool
key_matches(ScanKey key, const Datum *values, const bool *isnull)
{
	int i = key->sk_attno - 1;

	/* Of several columns: the index itself looks more closely */
	if (key->sk_flags & SK_ROW_HEADER)
		return true;
	if (key->sk_flags & SK_SEARCHNULL)
		return isnull[i];
	if (key->sk_flags & SK_SEARCHNOTNULL)
		return !isnull[i];
	if (isnull[i] || (key->sk_flags & SK_ISNULL))
		return false;
	return value_matches(key, values[i]);
}

/* Keys that are equality, of the column's own type, say which batches to look into */
static void
prepare_key(SearchKey *search, ScanKey key, Relation rel, Relation index)
{
	AttrNumber attnum;

	memset(search, 0, sizeof(SearchKey));
	search->key = key;
	if (key->sk_flags & SK_ROW_HEADER)
		return;
	attnum = index->rd_index->indkey.values[key->sk_attno - 1];
	if (attnum <= 0)
		return;
	search->attnum = attnum;
	if (key->sk_flags != 0 ||
		(OidIsValid(key->sk_subtype) && key->sk_subtype != index->rd_opcintype[key->sk_attno - 1]))
		return;
	dbp_key_column_init(&search->column, attnum,
						TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid,
						key->sk_collation, key->sk_func.fn_oid, CurrentMemoryContext);
	search->by_zone = search->column.form != DBP_KEY_OTHER;
}

static bool
may_match(SearchKey *searches, int nkeys, TupleDesc tupdesc, DbpBatch *batch)
{
	for (int i = 0; i < nkeys; i++)
	{
		SearchKey *search = &searches[i];
		DbpZone zone;
		int nulls;

		if (search->attnum == 0)
			continue;
		dbp_batch_zone(batch, tupdesc, search->attnum, &zone, &nulls);
		if (search->key->sk_flags & SK_SEARCHNULL)
		{
			if (nulls == 0)
				return false;
		}
		else if (nulls == dbp_batch_nrows(batch) ||
				 (search->by_zone &&
				  !dbp_key_in_zone(&search->column, &zone, search->key->sk_argument)))
			return false;
	}
	return true;
}

/* Rows for which the keys of plain columns hold */
static int
match_columns(SearchKey *searches, int nkeys, TupleDesc tupdesc, DbpBatch *batch, int *rows)
{
	int nrows = dbp_batch_nrows(batch);

	for (int row = 0; row < nrows; row++)
		rows[row] = row;
	for (int i = 0; i < nkeys && nrows > 0; i++)
	{
		SearchKey *search = &searches[i];
		ScanKeyData key;
		Datum *values;
		bool *nulls;
		int kept = 0;

		if (search->attnum == 0)
			continue;
		CHECK_FOR_INTERRUPTS();
		key = *search->key;
		key.sk_attno = 1;
		dbp_batch_column(batch, tupdesc, search->attnum, &values, &nulls);
		for (int j = 0; j < nrows; j++)
		{
			bool isnull = nulls != NULL && nulls[rows[j]];

			if (key_matches(&key, &values[rows[j]], &isnull))
				rows[kept++] = rows[j];
		}
		nrows = kept;
	}
	return nrows;
}

/* And of them, those for which keys of expressions do */
static int
match_expressions(DbpEntryMaker *maker, SearchKey *searches, int nkeys, DbpBatch *batch, int *rows,
				  int nrows)
{
	int kept = 0;

	for (int j = 0; j < nrows; j++)
	{
		bool matches;

		CHECK_FOR_INTERRUPTS();
		matches = dbp_entry_form_row(maker, batch, rows[j]);
		for (int i = 0; i < nkeys && matches; i++)
		{
			if (searches[i].attnum == 0)
				matches = key_matches(searches[i].key, maker->values, maker->isnull);
		}
		if (matches)
			rows[kept++] = rows[j];
	}
	return kept;
}

/*
 * A dirty snapshot has no use for rows that are gone for good.  Others may be older
 * than what made them go.
 */
static int
leave_out_gone(Relation rel, Snapshot snapshot, DbpBatch *batch, int *rows, int nrows)
{
	int kept = 0;

	if (snapshot == NULL || snapshot->snapshot_type != SNAPSHOT_DIRTY)
		return nrows;
	for (int j = 0; j < nrows; j++)
	{
		DbpTombstone tombstone;

		if (!dbp_tombstone_find(rel, dbp_batch_id(batch), rows[j], &tombstone) ||
			tombstone.in_progress)
			rows[kept++] = rows[j];
	}
	return kept;
}

static void
search_batch(DbpEntryMaker *maker, SearchKey *searches, int nkeys, IndexScanDesc scan,
			 DbpBatch *batch, int *rows)
{
	bool expressions = false;
	int nrows;

	for (int i = 0; i < nkeys; i++)
		expressions |= searches[i].attnum == 0;
	nrows = match_columns(searches, nkeys, RelationGetDescr(maker->rel), batch, rows);
	if (expressions && nrows > 0)
		nrows = match_expressions(maker, searches, nkeys, batch, rows, nrows);
	nrows = leave_out_gone(maker->rel, scan->xs_snapshot, batch, rows, nrows);
	if (nrows > 0)
		dbp_entry_make(maker, batch, rows, nrows, nkeys > 0 ? searches[0].key : NULL, nkeys);
}

/* The list itself holds until it is asked for again, perhaps by a function that an index calls */
static int
list_places(Relation rel, ItemPointerData **places)
{
	DbpBatch **batches;
	int nbatches = dbp_batch_list(rel, &batches);

	*places = palloc(sizeof(ItemPointerData) * Max(nbatches, 1));
	for (int b = 0; b < nbatches; b++)
		(*places)[b] = *dbp_batch_tid(batches[b]);
	return nbatches;
}

/* By whatever keys, in whatever index */
static void
search_batches(IndexScanDesc scan, ScanKey keys, int nkeys)
{
	Relation rel = scan->heapRelation;
	Relation index = scan->indexRelation;
	SearchKey *searches = palloc(sizeof(SearchKey) * Max(nkeys, 1));
	int *rows = palloc(sizeof(int) * DBP_BATCH_ROWS);
	ItemPointerData *places;
	int nbatches = list_places(rel, &places);
	DbpEntryMaker maker;

	for (int i = 0; i < nkeys; i++)
		prepare_key(&searches[i], &keys[i], rel, index);
	dbp_entry_begin(&maker, rel, index, NULL);
	for (int b = 0; b < nbatches; b++)
	{
		DbpBatch *batch = dbp_batch_fetch(rel, &places[b]);

		CHECK_FOR_INTERRUPTS();
		if (batch == NULL)
			continue;
		if (may_match(searches, nkeys, RelationGetDescr(rel), batch))
			search_batch(&maker, searches, nkeys, scan, batch, rows);
		dbp_batch_release(batch);
	}
	dbp_entry_end(&maker);
}

/* Has a unique index one value for each of its columns to look for, as ON CONFLICT has? */
static bool
is_whole_key(IndexScanDesc scan, ScanKey keys, int nkeys, Datum *values, bool *isnull)
{
	Relation index = scan->indexRelation;

	if (!index->rd_index->indisunique || !index->rd_index->indisready ||
		nkeys != IndexRelationGetNumberOfKeyAttributes(index) || scan->xs_snapshot == NULL ||
		scan->xs_snapshot->snapshot_type != SNAPSHOT_DIRTY)
		return false;
	for (int i = 0; i < nkeys; i++)
	{
		Oid type = index->rd_opcintype[i];

		if (keys[i].sk_attno != i + 1 || keys[i].sk_flags != 0 ||
			keys[i].sk_strategy != BTEqualStrategyNumber ||
			(OidIsValid(keys[i].sk_subtype) && keys[i].sk_subtype != type) ||
			keys[i].sk_collation != index->rd_indcollation[i])
			return false;
		values[i] = keys[i].sk_argument;
		isnull[i] = false;
	}
	return true;
}

static void
search(IndexScanDesc scan, ScanKey keys, int nkeys)
{
	Datum values[INDEX_MAX_KEYS];
	bool isnull[INDEX_MAX_KEYS];
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "dbperf index scan", ALLOCSET_SMALL_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);

	if (is_whole_key(scan, keys, nkeys, values, isnull))
		dbp_unique_find(scan->heapRelation, scan->indexRelation, values, isnull);
	else
		search_batches(scan, keys, nkeys);
	MemoryContextSwitchTo(before);
	MemoryContextDelete(context);
}

static void
make_entries(IndexScanDesc scan, ScanKey keys, int nkeys)
{
	making_entries = true;
	PG_TRY();
	{
		search(scan, keys, nkeys);
	}
	PG_FINALLY();
	{
		making_entries = false;
	}
	PG_END_TRY();
}

static bool
needs_entries(IndexScanDesc scan)
{
	DbpBatch **batches;

	return !making_entries && scan->heapRelation != NULL && dbp_is_columnar(scan->heapRelation) &&
		!IsParallelWorker() && !RecoveryInProgress() && scan->indexRelation->rd_index->indisready &&
		!dbp_index_is_full(scan->indexRelation) && dbp_batch_list(scan->heapRelation, &batches) > 0;
}

static void
rescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	/* Without keys, those of before are meant */
	if (needs_entries(scan))
		make_entries(scan, keys == NULL ? scan->keyData : keys,
					 keys == NULL ? scan->numberOfKeys : nkeys);
	find_real(scan->indexRelation->rd_rel->relam)->rescan(scan, keys, nkeys, orderbys, norderbys);
}

static void
wrap_rescan(Relation index)
{
	IndexAmRoutine *routine = index->rd_indam;
	RealRescan *real;

	if (routine->amrescan == rescan || routine->amgettuple == NULL)
		return;
	real = find_real(index->rd_rel->relam);
	if (real == NULL)
	{
		real = MemoryContextAlloc(TopMemoryContext, sizeof(RealRescan));
		real->am = index->rd_rel->relam;
		real->next = real_rescans;
		real_rescans = real;
	}
	real->rescan = routine->amrescan;
	routine->amrescan = rescan;
}

/*
 * The caller is about to scan one of the indexes, and does not say which.  A B-tree that
 * checks uniqueness comes here as well, to look at single rows, with a page locked: it does
 * not scan, and this is no time to read catalogs.
 */
void
dbp_index_scan_prepare(Relation rel)
{
	List *indexes;
	ListCell *lc;

	if (InterruptHoldoffCount > 0 || !rel->rd_rel->relhasindex || IsParallelWorker() ||
		RecoveryInProgress())
		return;
	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
	{
		Relation index = RelationIdGetRelation(lfirst_oid(lc));

		if (index == NULL)
			continue;
		if (index->rd_indam != NULL && !dbp_index_is_full(index))
			wrap_rescan(index);
		RelationClose(index);
	}
	list_free(indexes);
}
