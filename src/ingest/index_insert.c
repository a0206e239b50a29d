/*-------------------------------------------------------------------------
 *
 * index_insert.c
 *		Index entries for many rows of a table.
 *
 * One index after the other gets all its entries, in about the order that the
 * index has them in: neighbours go to the same page, which is still in the
 * processor's cache then.  An index whose check needs more than the index itself (an exclusion
 * constraint, a deferrable one) makes all of the table's go the executor's way,
 * row by row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/genam.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "compat.h"
#include "ingest/index_insert.h"

/* Columns of an index that its entries are sorted by; more would rarely matter */
#define MAX_SORT_COLUMNS 2

typedef struct OpenIndex
{
	Relation rel;
	IndexInfo *info;
	ExprState *predicate; /* NULL: all rows are in it */
	int nsort;			  /* 0: entries are not sorted */
	Oid type[MAX_SORT_COLUMNS];
	bool only_sorted; /* it has no other columns */
} OpenIndex;

typedef struct Entry
{
	uint64 order[MAX_SORT_COLUMNS];
	Datum value[MAX_SORT_COLUMNS];
	bool isnull[MAX_SORT_COLUMNS];
	int slot;
} Entry;

static inline int
compare_entries(const Entry *a, const Entry *b)
{
	for (int i = 0; i < MAX_SORT_COLUMNS; i++)
		if (a->order[i] != b->order[i])
			return a->order[i] < b->order[i] ? -1 : 1;
	return a->slot < b->slot ? -1 : 1;
}

#define ST_SORT sort_entries
#define ST_ELEMENT_TYPE Entry
#define ST_COMPARE(a, b) compare_entries(a, b)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

struct DbpIndexInsert
{
	ResultRelInfo *result;
	EState *estate;
	bool row_by_row;
	int nindexes;
	OpenIndex *indexes;
};

static bool
is_simple(const ResultRelInfo *result, int i)
{
	const IndexInfo *info = result->ri_IndexRelationInfo[i];
	const FormData_pg_index *form = result->ri_IndexRelationDescs[i]->rd_index;

	return info->ii_ExclusionOps == NULL && (form->indimmediate || !form->indisunique);
}

/* Entries are sorted by plain columns of fixed length that come first. */
static void
prepare_sort(OpenIndex *index)
{
	TupleDesc desc = RelationGetDescr(index->rel);

	if (index->rel->rd_rel->relam != BTREE_AM_OID)
		return;
	while (index->nsort < Min(index->info->ii_NumIndexAttrs, MAX_SORT_COLUMNS) &&
		   index->info->ii_IndexAttrNumbers[index->nsort] > 0 &&
		   TupleDescAttr(desc, index->nsort)->attbyval)
	{
		index->type[index->nsort] = getBaseType(TupleDescAttr(desc, index->nsort)->atttypid);
		index->nsort++;
	}
	index->only_sorted = index->nsort == index->info->ii_NumIndexAttrs;
}

DbpIndexInsert *
dbp_index_insert_begin(ResultRelInfo *result, EState *estate)
{
	DbpIndexInsert *insert = palloc0(sizeof(DbpIndexInsert));

	insert->result = result;
	insert->estate = estate;
	insert->indexes = palloc0(Max(result->ri_NumIndices, 1) * sizeof(OpenIndex));
	for (int i = 0; i < result->ri_NumIndices; i++)
	{
		OpenIndex *index = &insert->indexes[insert->nindexes];

		if (result->ri_IndexRelationDescs[i] == NULL ||
			!result->ri_IndexRelationInfo[i]->ii_ReadyForInserts)
			continue;
		if (!is_simple(result, i))
			insert->row_by_row = true;
		index->rel = result->ri_IndexRelationDescs[i];
		index->info = result->ri_IndexRelationInfo[i];
		if (index->info->ii_Predicate != NIL)
			index->predicate = ExecPrepareQual(index->info->ii_Predicate, estate);
		prepare_sort(index);
		insert->nindexes++;
	}
	return insert;
}

/*
 * A number that is in the order of the values. For other types only equal
 * values are together, which is enough: any order makes the same index.
 */
static uint64
order_of(Oid type, Datum value)
{
	const uint64 sign = UINT64CONST(1) << 63;

	switch (type)
	{
		case INT2OID:
			return (uint64) (int64) DatumGetInt16(value) ^ sign;
		case INT4OID:
		case DATEOID:
			return (uint64) (int64) DatumGetInt32(value) ^ sign;
		case INT8OID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case TIMEOID:
			return (uint64) DatumGetInt64(value) ^ sign;
		case FLOAT8OID:
		{
			uint64 bits = (uint64) DatumGetInt64(value);

			/* as the type has it: of equal values, the one of the earlier row comes first */
			if (isnan(DatumGetFloat8(value)))
				return PG_UINT64_MAX - 1;
			if (DatumGetFloat8(value) == 0)
				return sign;
			return (bits & sign) != 0 ? ~bits : bits ^ sign;
		}
		default:
			return (uint64) value;
	}
}

/* The entries of an index, in the order in which they are made */
static void
make_entries(OpenIndex *index, TupleTableSlot **slots, int nrows, Entry *entries)
{
	bool sorted = true;

	for (int i = 0; i < nrows; i++)
	{
		Entry *entry = &entries[i];

		entry->slot = i;
		memset(entry->order, 0, sizeof(entry->order));
		for (int j = 0; j < index->nsort; j++)
		{
			entry->value[j] =
				slot_getattr(slots[i], index->info->ii_IndexAttrNumbers[j], &entry->isnull[j]);
			entry->order[j] =
				entry->isnull[j] ? PG_UINT64_MAX : order_of(index->type[j], entry->value[j]);
		}
		if (i > 0 && sorted && compare_entries(entry - 1, entry) > 0)
			sorted = false;
	}
	if (!sorted)
		sort_entries(entries, nrows);
}

static void
insert_entry(DbpIndexInsert *insert, OpenIndex *index, TupleTableSlot *slot, Entry *entry,
			 ExprContext *econtext)
{
	Datum values[INDEX_MAX_KEYS];
	bool isnull[INDEX_MAX_KEYS];
	bool given = index->only_sorted;

	econtext->ecxt_scantuple = slot;
	if (index->predicate != NULL && !ExecQual(index->predicate, econtext))
		return;
	if (!given)
		FormIndexDatum(index->info, slot, insert->estate, values, isnull);
	index_insert(index->rel, given ? entry->value : values, given ? entry->isnull : isnull,
				 &slot->tts_tid, insert->result->ri_RelationDesc,
				 index->rel->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false,
				 index->info);
}

static void
insert_index(DbpIndexInsert *insert, OpenIndex *index, TupleTableSlot **slots, int nrows,
			 const int *rows, int64 first, int64 *current, Entry *entries)
{
	ExprContext *econtext = GetPerTupleExprContext(insert->estate);
	MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(insert->estate));

	make_entries(index, slots, nrows, entries);
	for (int i = 0; i < nrows; i++)
	{
		int slot = entries[i].slot;

		CHECK_FOR_INTERRUPTS();
		*current = first + rows[slot];
		insert_entry(insert, index, slots[slot], &entries[i], econtext);
		ResetExprContext(econtext);
	}
	MemoryContextSwitchTo(old);
}

void
dbp_index_insert_rows(DbpIndexInsert *insert, TupleTableSlot **slots, int nrows, List **recheck,
					  const int *rows, int64 first, int64 *current)
{
	Entry *entries;

	if (insert->nindexes == 0)
		return;
	if (insert->row_by_row)
	{
		for (int i = 0; i < nrows; i++)
		{
			CHECK_FOR_INTERRUPTS();
			*current = first + rows[i];
			recheck[i] = dbp_insert_index_tuples(insert->result, slots[i], insert->estate);
		}
		return;
	}
	entries = palloc(nrows * sizeof(Entry));
	for (int i = 0; i < insert->nindexes; i++)
		insert_index(insert, &insert->indexes[i], slots, nrows, rows, first, current, entries);
	pfree(entries);
}
