/*-------------------------------------------------------------------------
 *
 * unique.c
 *		Uniqueness of rows against those of batches.
 *
 * Unique indexes have no entries of rows in batches but for those that were
 * looked for.  So before rows get into such an index, their keys are looked for
 * in the batches: by the zones first, then in a filter of the batch's keys, then in
 * its columns.  Whatever row has the same key gets its entry; the index's own check,
 * which waits for others and raises the error, does all the rest.
 *
 * A row that is known to be gone for good is left out, and so is one that this
 * transaction deleted: if that is undone, then so is what we are about to insert.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"

#include "columnar.h"
#include "index.h"
#include "unique.h"

/* More keys than this are sorted, to look at those only that are near a batch's */
#define MANY_KEYS 8

/* Rows that are compared before it is asked whether any was equal */
#define ROWS_AT_ONCE 64

/* So few keys are looked for one by one in the columns of a batch */
#define FEW_KEYS 2

/* Keys of rows that are to be inserted; entry [i * ncolumns + c] is of key i, column c */
typedef struct NewKeys
{
	Relation rel;
	DbpUniqueTable *table;
	DbpUniqueIndex *unique;
	Relation index; /* NULL: not opened */
	bool opened_here;
	DbpEntryMaker maker;
	bool have_maker;

	int n;
	Datum *values;
	bool *isnull;
	int64 *places;
	uint64 *hashes;
	int64 low[INDEX_MAX_KEYS]; /* of all keys */
	int64 high[INDEX_MAX_KEYS];
	bool some_null[INDEX_MAX_KEYS];

	int *order; /* keys by their places in the narrow column, those that are null there first */
	int nnull;

	int *candidates; /* keys that the batch at hand may have */
	int ncandidates;
	int *rows; /* of the batch at hand, that have one of the keys */
	int nrows;
} NewKeys;

/* The key columns of the batch at hand */
typedef struct BatchKeys
{
	DbpBatch *batch;
	int nrows;
	Datum *values[INDEX_MAX_KEYS];
	bool *nulls[INDEX_MAX_KEYS];
} BatchKeys;

static void
begin_keys(NewKeys *keys, Relation rel, DbpUniqueTable *table, DbpUniqueIndex *unique, int n)
{
	memset(keys, 0, sizeof(NewKeys));
	keys->rel = rel;
	keys->table = table;
	keys->unique = unique;
	keys->values = palloc(sizeof(Datum) * n * unique->ncolumns);
	keys->isnull = palloc(sizeof(bool) * n * unique->ncolumns);
	keys->places = palloc(sizeof(int64) * n * unique->ncolumns);
	keys->hashes = palloc(sizeof(uint64) * n);
	keys->order = palloc(sizeof(int) * n);
	keys->candidates = palloc(sizeof(int) * n);
	for (int c = 0; c < unique->ncolumns; c++)
	{
		keys->low[c] = PG_INT64_MAX;
		keys->high[c] = PG_INT64_MIN;
	}
}

static void
end_keys(NewKeys *keys)
{
	if (keys->have_maker)
		dbp_entry_end(&keys->maker);
	if (keys->opened_here)
		index_close(keys->index, NoLock);
}

static DbpEntryMaker *
get_maker(NewKeys *keys)
{
	if (keys->index == NULL)
	{
		keys->index = index_open(keys->unique->oid, RowExclusiveLock);
		keys->opened_here = true;
	}
	if (!keys->have_maker)
		dbp_entry_begin(&keys->maker, keys->rel, keys->index, NULL);
	keys->have_maker = true;
	return &keys->maker;
}

static inline uint64
add_hash(uint64 hash, uint64 more)
{
	hash *= UINT64CONST(0x9E3779B97F4A7C15);
	return (hash << 29 | hash >> 35) ^ more;
}

static uint64
hash_key(DbpUniqueIndex *unique, const Datum *values, const bool *isnull)
{
	uint64 hash = 0;

	for (int c = 0; c < unique->ncolumns; c++)
		hash = add_hash(hash, isnull[c] ? 1 : dbp_key_hash(&unique->columns[c].key, values[c]));
	return hash;
}

/* Takes the key that is in the place of the next one, unless it cannot be equal to any */
static void
add_key(NewKeys *keys)
{
	DbpUniqueIndex *unique = keys->unique;
	int first = keys->n * unique->ncolumns;

	for (int c = 0; c < unique->ncolumns; c++)
	{
		if (keys->isnull[first + c] && !unique->nulls_not_distinct)
			return;
	}
	for (int c = 0; c < unique->ncolumns; c++)
	{
		int64 place = 0;

		if (keys->isnull[first + c])
			keys->some_null[c] = true;
		else
		{
			place = dbp_key_place(&unique->columns[c].key, keys->values[first + c]);
			keys->low[c] = Min(keys->low[c], place);
			keys->high[c] = Max(keys->high[c], place);
		}
		keys->places[first + c] = place;
	}
	keys->hashes[keys->n] = hash_key(unique, &keys->values[first], &keys->isnull[first]);
	keys->n++;
}

static void
add_slot(NewKeys *keys, TupleTableSlot *slot)
{
	DbpUniqueIndex *unique = keys->unique;
	int first = keys->n * unique->ncolumns;

	if (unique->partial && !dbp_entry_form(get_maker(keys), slot))
		return;
	for (int c = 0; c < unique->ncolumns; c++)
		keys->values[first + c] =
			slot_getattr(slot, unique->columns[c].key.attnum, &keys->isnull[first + c]);
	add_key(keys);
}

/* May the batch have any of the keys at all? */
static inline bool
zones_meet(const NewKeys *keys, int b)
{
	for (int c = 0; c < keys->unique->ncolumns; c++)
	{
		const DbpUniqueColumn *column = &keys->unique->columns[c];

		if ((keys->high[c] < column->low[b] || keys->low[c] > column->high[b]) &&
			!(keys->some_null[c] && column->some_null[b]))
			return false;
	}
	return true;
}

static bool
may_have_key(const NewKeys *keys, int i, int b)
{
	DbpUniqueIndex *unique = keys->unique;
	int first = i * unique->ncolumns;

	for (int c = 0; c < unique->ncolumns; c++)
	{
		const DbpUniqueColumn *column = &unique->columns[c];

		if (keys->isnull[first + c] ? !column->some_null[b]
									: (keys->places[first + c] < column->low[b] ||
									   keys->places[first + c] > column->high[b]))
			return false;
	}
	return unique->filters[b] == NULL || dbp_filter_has(unique->filters[b], keys->hashes[i]);
}

static bool
row_has_key(const NewKeys *keys, const BatchKeys *batch, int row, int i)
{
	int first = i * keys->unique->ncolumns;

	for (int c = 0; c < keys->unique->ncolumns; c++)
	{
		bool isnull = batch->nulls[c] != NULL && batch->nulls[c][row];

		if (isnull != keys->isnull[first + c])
			return false;
		if (!isnull &&
			!dbp_key_equal(&keys->unique->columns[c].key, batch->values[c][row],
						   keys->values[first + c]))
			return false;
	}
	return true;
}

static void
take_row(NewKeys *keys, int row)
{
	if (keys->rows == NULL)
		keys->rows = palloc(sizeof(int) * DBP_BATCH_ROWS);
	keys->rows[keys->nrows++] = row;
}

/* A column that is quickly compared, with as many different values in the batch as can be; -1: none */
static int
fast_column(const NewKeys *keys, int i, int b)
{
	int best = -1;
	uint64 widest = 0;

	for (int c = 0; c < keys->unique->ncolumns; c++)
	{
		const DbpUniqueColumn *column = &keys->unique->columns[c];
		uint64 width = (uint64) column->high[b] - (uint64) column->low[b];

		if (column->key.form != DBP_KEY_INT || keys->isnull[i * keys->unique->ncolumns + c])
			continue;
		if (best < 0 || width > widest)
		{
			best = c;
			widest = width;
		}
	}
	return best;
}

/* Is any of them the value, in those bytes that the type has?  Written so as to become a few vector instructions */
static bool
any_equal(const Datum *values, int n, Datum value, int unused)
{
	uint64 found = 0;

	for (int i = 0; i < n; i++)
		found |= (values[i] ^ value) << unused == 0;
	return found != 0;
}

static void
find_key(NewKeys *keys, const BatchKeys *batch, int i, int b)
{
	int c = fast_column(keys, i, b);
	Datum value = c < 0 ? (Datum) 0 : keys->values[i * keys->unique->ncolumns + c];
	int unused = c < 0 ? 0 : (int) (sizeof(Datum) - keys->unique->columns[c].key.length) * 8;

	for (int row = 0; row < batch->nrows; row += ROWS_AT_ONCE)
	{
		int end = Min(row + ROWS_AT_ONCE, batch->nrows);

		if (c >= 0 && !any_equal(&batch->values[c][row], end - row, value, unused))
			continue;
		for (int r = row; r < end; r++)
		{
			if (row_has_key(keys, batch, r, i))
				take_row(keys, r);
		}
	}
}

static uint64
hash_row(DbpUniqueIndex *unique, const BatchKeys *batch, int row)
{
	Datum values[INDEX_MAX_KEYS];
	bool isnull[INDEX_MAX_KEYS];

	for (int c = 0; c < unique->ncolumns; c++)
	{
		values[c] = batch->values[c][row];
		isnull[c] = batch->nulls[c] != NULL && batch->nulls[c][row];
	}
	return hash_key(unique, values, isnull);
}

/* Looks for all candidates in one pass, which also makes the batch's filter */
static void
find_all(NewKeys *keys, const BatchKeys *batch, int b)
{
	DbpUniqueIndex *unique = keys->unique;
	uint32 size = pg_nextpower2_32(2 * keys->ncandidates);
	int *table = palloc0(sizeof(int) * size); /* candidate + 1; 0: free */
	DbpKeyFilter *filter = NULL;

	if (unique->filters[b] == NULL && unique->hashable)
		filter = dbp_filter_create(keys->table, batch->nrows);
	for (int i = 0; i < keys->ncandidates; i++)
	{
		uint32 place = keys->hashes[keys->candidates[i]] & (size - 1);

		while (table[place] != 0)
			place = (place + 1) & (size - 1);
		table[place] = keys->candidates[i] + 1;
	}
	for (int row = 0; row < batch->nrows; row++)
	{
		uint64 hash = hash_row(unique, batch, row);
		uint32 place = hash & (size - 1);

		if (filter != NULL)
			dbp_filter_add(filter, hash);
		for (; table[place] != 0; place = (place + 1) & (size - 1))
		{
			int i = table[place] - 1;

			if (keys->hashes[i] == hash && row_has_key(keys, batch, row, i))
			{
				take_row(keys, row);
				break;
			}
		}
	}
	if (filter != NULL)
		unique->filters[b] = filter;
	pfree(table);
}

/* Leaves out rows that cannot stand in the way of anything */
static void
skip_gone(NewKeys *keys, DbpBatch *batch)
{
	int kept = 0;

	for (int i = 0; i < keys->nrows; i++)
	{
		DbpTombstone tombstone;

		if (!dbp_tombstone_find(keys->rel, dbp_batch_id(batch), keys->rows[i], &tombstone) ||
			tombstone.in_progress)
			keys->rows[kept++] = keys->rows[i];
	}
	keys->nrows = kept;
}

static void
search_batch(NewKeys *keys, int b)
{
	DbpUniqueIndex *unique = keys->unique;
	BatchKeys batch = {.batch = dbp_batch_fetch(keys->rel, &keys->table->batches[b])};

	if (batch.batch == NULL)
		ereport(ERROR, errcode(ERRCODE_DATA_CORRUPTED),
				errmsg("table \"%s\" has no batch at (%u,%u) any more",
					   RelationGetRelationName(keys->rel),
					   ItemPointerGetBlockNumberNoCheck(&keys->table->batches[b]),
					   ItemPointerGetOffsetNumberNoCheck(&keys->table->batches[b])));
	batch.nrows = dbp_batch_nrows(batch.batch);
	for (int c = 0; c < unique->ncolumns; c++)
		dbp_batch_column(batch.batch, RelationGetDescr(keys->rel), unique->columns[c].key.attnum,
						 &batch.values[c], &batch.nulls[c]);
	keys->nrows = 0;
	if (unique->filters[b] == NULL || keys->ncandidates > FEW_KEYS)
		find_all(keys, &batch, b);
	else
	{
		for (int i = 0; i < keys->ncandidates; i++)
			find_key(keys, &batch, keys->candidates[i], b);
	}
	skip_gone(keys, batch.batch);
	if (keys->nrows > 0)
		dbp_entry_make(get_maker(keys), batch.batch, keys->rows, keys->nrows, NULL, 0);
	dbp_batch_release(batch.batch);
}

static inline int64
place_in_order(const NewKeys *keys, int i)
{
	return keys->places[keys->order[i] * keys->unique->ncolumns + keys->unique->narrow];
}

static int
compare_keys(const void *a, const void *b, void *arg)
{
	const NewKeys *keys = arg;
	int i = *(const int *) a * keys->unique->ncolumns + keys->unique->narrow;
	int j = *(const int *) b * keys->unique->ncolumns + keys->unique->narrow;

	if (keys->isnull[i] != keys->isnull[j])
		return keys->isnull[i] ? -1 : 1;
	if (keys->places[i] != keys->places[j])
		return keys->places[i] < keys->places[j] ? -1 : 1;
	return 0;
}

static void
sort_keys(NewKeys *keys)
{
	for (int i = 0; i < keys->n; i++)
	{
		keys->order[i] = i;
		keys->nnull += keys->isnull[i * keys->unique->ncolumns + keys->unique->narrow];
	}
	if (keys->n > MANY_KEYS)
		qsort_arg(keys->order, keys->n, sizeof(int), compare_keys, keys);
}

/* The first key in order that is at that place or behind */
static int
first_at(const NewKeys *keys, int64 place)
{
	int from = keys->nnull;
	int to = keys->n;

	while (from < to)
	{
		int middle = (from + to) / 2;

		if (place_in_order(keys, middle) < place)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static void
try_key(NewKeys *keys, int i, int b)
{
	if (may_have_key(keys, i, b))
		keys->candidates[keys->ncandidates++] = i;
}

static void
find_candidates(NewKeys *keys, int b)
{
	const DbpUniqueColumn *column = &keys->unique->columns[keys->unique->narrow];

	keys->ncandidates = 0;
	if (keys->n <= MANY_KEYS)
	{
		for (int i = 0; i < keys->n; i++)
			try_key(keys, i, b);
		return;
	}
	for (int i = 0; i < keys->nnull; i++)
		try_key(keys, keys->order[i], b);
	for (int i = first_at(keys, column->low[b]);
		 i < keys->n && place_in_order(keys, i) <= column->high[b]; i++)
		try_key(keys, keys->order[i], b);
}

static void
search_batches(NewKeys *keys)
{
	if (keys->n == 0)
		return;
	sort_keys(keys);
	for (int b = 0; b < keys->table->nbatches; b++)
	{
		if (!zones_meet(keys, b))
			continue;
		CHECK_FOR_INTERRUPTS();
		find_candidates(keys, b);
		if (keys->ncandidates > 0)
			search_batch(keys, b);
	}
}

static void
prepare_index(Relation rel, DbpUniqueTable *table, DbpUniqueIndex *unique, TupleTableSlot **slots,
			  int nslots)
{
	NewKeys keys;

	begin_keys(&keys, rel, table, unique, nslots);
	for (int i = 0; i < nslots; i++)
		add_slot(&keys, slots[i]);
	search_batches(&keys);
	end_keys(&keys);
}

/*
 * The index's check looks at rows of batches with one of its pages locked, and so at tombstones.
 * It must not have to wait for a lock then, in a way that no deadlock check would see: we take
 * all that it needs now, until the end of the transaction.
 */
static void
lock_toast(Relation rel)
{
	Relation toast = table_open(rel->rd_rel->reltoastrelid, AccessShareLock);
	List *indexes = RelationGetIndexList(toast);
	ListCell *lc;

	foreach(lc, indexes)
		LockRelationOid(lfirst_oid(lc), AccessShareLock);
	list_free(indexes);
	table_close(toast, NoLock);
}

void
dbp_unique_prepare(Relation rel, TupleTableSlot **slots, int nslots)
{
	DbpUniqueTable *table;
	DbpBatch **batches;
	int nbatches;
	MemoryContext context;
	MemoryContext before;

	if (nslots == 0 || !rel->rd_rel->relhasindex)
		return;
	nbatches = dbp_batch_list(rel, &batches);
	if (nbatches == 0)
		return;
	lock_toast(rel);
	table = dbp_unique_table(rel, batches, nbatches);
	if (table == NULL)
		return;
	PG_TRY();
	{
		context =
			AllocSetContextCreate(CurrentMemoryContext, "dbperf new keys", ALLOCSET_DEFAULT_SIZES);
		before = MemoryContextSwitchTo(context);
		for (int i = 0; i < table->nindexes; i++)
			prepare_index(rel, table, &table->indexes[i], slots, nslots);
		MemoryContextSwitchTo(before);
		MemoryContextDelete(context);
	}
	PG_FINALLY();
	{
		dbp_unique_table_done(table);
	}
	PG_END_TRY();
}

static void
find_values(Relation rel, Relation index, DbpUniqueTable *table, const Datum *values,
			const bool *isnull)
{
	for (int i = 0; i < table->nindexes; i++)
	{
		DbpUniqueIndex *unique = &table->indexes[i];
		NewKeys keys;

		if (unique->oid != RelationGetRelid(index))
			continue;
		begin_keys(&keys, rel, table, unique, 1);
		keys.index = index;
		memcpy(keys.values, values, sizeof(Datum) * unique->ncolumns);
		memcpy(keys.isnull, isnull, sizeof(bool) * unique->ncolumns);
		add_key(&keys);
		search_batches(&keys);
		end_keys(&keys);
		return;
	}
	elog(ERROR, "unique index \"%s\" is not ready for inserts", RelationGetRelationName(index));
}

void
dbp_unique_find(Relation rel, Relation index, const Datum *values, const bool *isnull)
{
	DbpBatch **batches;
	int nbatches = dbp_batch_list(rel, &batches);
	DbpUniqueTable *table;
	MemoryContext context;
	MemoryContext before;

	if (nbatches == 0)
		return;
	table = dbp_unique_table(rel, batches, nbatches);
	if (table == NULL)
		return;
	PG_TRY();
	{
		context =
			AllocSetContextCreate(CurrentMemoryContext, "dbperf new keys", ALLOCSET_SMALL_SIZES);
		before = MemoryContextSwitchTo(context);
		find_values(rel, index, table, values, isnull);
		MemoryContextSwitchTo(before);
		MemoryContextDelete(context);
	}
	PG_FINALLY();
	{
		dbp_unique_table_done(table);
	}
	PG_END_TRY();
}
