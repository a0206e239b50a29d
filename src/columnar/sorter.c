/*-------------------------------------------------------------------------
 *
 * sorter.c
 *		Sorts rows of any number in bounded memory, for batches.
 *
 * Whole tuples are never moved: rows are taken apart into columns as they come,
 * keys are sorted with numbers of rows (sorter_order.c), and columns are
 * gathered in that order.  What exceeds the memory goes through a temporary
 * file (sorter_merge.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

#include "columnar/sorter_run.h"

#define SEGMENT_ROWS_SHIFT 13
#define SEGMENT_MIN_SHIFT 4
#define SEGMENT_BYTES (1024 * 1024)
#define ARENA_BYTES (256 * 1024)

/* Blocks of the temporary file: a fraction of the memory, within limits */
#define BLOCK_FRACTION 64
#define BLOCK_MIN_BYTES (32 * 1024)
#define BLOCK_MAX_BYTES (1024 * 1024)

/* What sorting takes for each row: two arrays of keys and of numbers; and where values are ranked */
#define ORDER_BYTES 24
#define RANK_BYTES 40

static DbpSortNumber
number_of(Oid type)
{
	switch (getBaseType(type))
	{
		case BOOLOID:
		case CHAROID:
			return DBP_SORT_BYTE;
		case INT2OID:
			return DBP_SORT_INT2;
		case INT4OID:
		case DATEOID:
			return DBP_SORT_INT4;
		case INT8OID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case MONEYOID:
			return DBP_SORT_INT8;
		case OIDOID:
			return DBP_SORT_OID;
		case FLOAT4OID:
			return DBP_SORT_FLOAT4;
		case FLOAT8OID:
			return DBP_SORT_FLOAT8;
		default:
			return DBP_SORT_GENERIC;
	}
}

static void
init_key(DbpSorter *sorter, DbpSortKey *key, AttrNumber attnum)
{
	Form_pg_attribute attr = TupleDescAttr(sorter->tupdesc, attnum - 1);

	key->column = attnum - 1;
	key->number = number_of(attr->atttypid);
	if (key->number == DBP_SORT_GENERIC)
	{
		TypeCacheEntry *type = lookup_type_cache(attr->atttypid, TYPECACHE_LT_OPR);

		if (!OidIsValid(type->lt_opr))
			elog(ERROR, "type %u has no order", attr->atttypid);
		key->support.ssup_cxt = sorter->context;
		key->support.ssup_collation = attr->attcollation;
		key->support.ssup_nulls_first = false;
		PrepareSortSupportFromOrderingOp(type->lt_opr, &key->support);
		sorter->order_bytes = ORDER_BYTES + RANK_BYTES;
	}
}

static void
init_columns(DbpSorter *sorter)
{
	Size width = sizeof(uint64); /* the tag */

	sorter->columns = palloc0(sizeof(DbpSortColumn) * Max(sorter->ncolumns, 1));
	for (int i = 0; i < sorter->ncolumns; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(sorter->tupdesc, i);
		DbpSortColumn *column = &sorter->columns[i];

		column->len = attr->attlen;
		column->byval = attr->attbyval;
		column->dropped = attr->attisdropped;
		if (column->dropped)
			continue;
		column->width = column->byval ? column->len : (int) sizeof(char *);
		width += column->width + sizeof(bool);
		sorter->fixed_bytes += column->byval ? sizeof(Datum) : 0;
	}
	sorter->segment_shift = SEGMENT_ROWS_SHIFT;
	while (sorter->segment_shift > SEGMENT_MIN_SHIFT &&
		   (width << sorter->segment_shift) > SEGMENT_BYTES)
		sorter->segment_shift--;
	sorter->segment_bytes = width << sorter->segment_shift;
}

/*
 * Room for the batches that are handed out.
 */
static void
make_output(DbpSorter *sorter)
{
	MemoryContext old;

	if (sorter->out_values != NULL)
		return;
	old = MemoryContextSwitchTo(sorter->context);
	sorter->out_values = palloc0(sizeof(Datum *) * Max(sorter->ncolumns, 1));
	sorter->out_nulls = palloc0(sizeof(bool *) * Max(sorter->ncolumns, 1));
	sorter->out_nulls_room = palloc0(sizeof(bool *) * Max(sorter->ncolumns, 1));
	sorter->out_tags = palloc(sizeof(uint64) * sorter->max_rows);
	for (int c = 0; c < sorter->ncolumns; c++)
	{
		if (sorter->columns[c].dropped)
			continue;
		sorter->out_values[c] = palloc(sizeof(Datum) * sorter->max_rows);
		sorter->out_nulls_room[c] = palloc(sizeof(bool) * sorter->max_rows);
	}
	MemoryContextSwitchTo(old);
}

DbpSorter *
dbp_sorter_begin(TupleDesc tupdesc, List *sort_by, int work_mem_kb)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "dbperf sorter", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	DbpSorter *sorter = palloc0(sizeof(DbpSorter));
	ListCell *cell;

	sorter->context = context;
	sorter->tupdesc = CreateTupleDescCopyConstr(tupdesc);
	sorter->ncolumns = tupdesc->natts;
	sorter->limit = (Size) work_mem_kb * 1024;
	init_columns(sorter);
	sorter->max_rows = Min(DBP_BATCH_ROWS, DBP_BATCH_BYTES / Max(sorter->fixed_bytes, 1));
	sorter->order_bytes = ORDER_BYTES;
	sorter->keys = palloc0(sizeof(DbpSortKey) * Max(list_length(sort_by), 1));
	foreach(cell, sort_by)
		init_key(sorter, &sorter->keys[sorter->nkeys++], lfirst_int(cell));
	sorter->block_bytes =
		Min(Max(sorter->limit / BLOCK_FRACTION, BLOCK_MIN_BYTES), BLOCK_MAX_BYTES);
	sorter->run_context =
		AllocSetContextCreate(context, "dbperf sorter rows", ALLOCSET_DEFAULT_SIZES);
	sorter->out_context =
		AllocSetContextCreate(context, "dbperf sorter batch", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(old);
	return sorter;
}

/*
 * Forget the run in memory.
 */
void
dbp_sorter_reset_run(DbpSorter *sorter)
{
	MemoryContextReset(sorter->run_context);
	sorter->segments = NULL;
	sorter->segments_room = 0;
	sorter->nsegments = 0;
	sorter->nrows = 0;
	sorter->used = 0;
	sorter->run_bytes = 0;
	sorter->arena = NULL;
	sorter->arena_left = 0;
	sorter->position = 0;
	sorter->handed_out = false;
}

static void
add_segment(DbpSorter *sorter)
{
	MemoryContext old = MemoryContextSwitchTo(sorter->run_context);
	uint32 rows = 1U << sorter->segment_shift;
	DbpSortSegment *segment;

	if (sorter->nsegments == sorter->segments_room)
	{
		sorter->segments_room = Max(16, sorter->segments_room * 2);
		sorter->segments = sorter->segments == NULL
			? palloc(sizeof(DbpSortSegment) * sorter->segments_room)
			: repalloc_huge(sorter->segments,
							sizeof(DbpSortSegment) * (Size) sorter->segments_room);
	}
	segment = &sorter->segments[sorter->nsegments++];
	segment->values = palloc0(sizeof(char *) * Max(sorter->ncolumns, 1));
	segment->nulls = palloc0(sizeof(bool *) * Max(sorter->ncolumns, 1));
	segment->tags = palloc(sizeof(uint64) * rows);
	for (int i = 0; i < sorter->ncolumns; i++)
		if (!sorter->columns[i].dropped)
			segment->values[i] = palloc((Size) sorter->columns[i].width * rows);
	sorter->used += sorter->segment_bytes;
	MemoryContextSwitchTo(old);
}

/* Room for a value, aligned for any type */
static char *
arena_alloc(DbpSorter *sorter, Size size)
{
	char *result;

	size = MAXALIGN(size);
	if (size > ARENA_BYTES / 8)
	{
		sorter->used += size;
		return MemoryContextAllocHuge(sorter->run_context, size);
	}
	if (size > sorter->arena_left)
	{
		sorter->arena = MemoryContextAlloc(sorter->run_context, ARENA_BYTES);
		sorter->arena_left = ARENA_BYTES;
		sorter->used += ARENA_BYTES;
	}
	result = sorter->arena;
	sorter->arena += size;
	sorter->arena_left -= size;
	return result;
}

/*
 * What a value will take when nothing of it is elsewhere.
 */
static Size
flat_bytes(const DbpSortColumn *column, Datum value)
{
	char *pointer = DatumGetPointer(value);

	if (column->len == -1 && (VARATT_IS_EXTERNAL(pointer) || VARATT_IS_COMPRESSED(pointer)))
		return toast_raw_datum_size(value);
	return dbp_sorter_value_bytes(column, pointer);
}

static char *
copy_value(DbpSorter *sorter, const DbpSortColumn *column, Datum value)
{
	char *pointer = DatumGetPointer(value);
	Size size;
	char *copy;

	if (column->len == -1 && (VARATT_IS_EXTERNAL(pointer) || VARATT_IS_COMPRESSED(pointer)))
	{
		MemoryContext old = MemoryContextSwitchTo(sorter->run_context);

		copy = (char *) detoast_attr((struct varlena *) pointer);
		MemoryContextSwitchTo(old);
		sorter->used += VARSIZE_ANY(copy);
		return copy;
	}
	size = dbp_sorter_value_bytes(column, pointer);
	copy = arena_alloc(sorter, size);
	memcpy(copy, pointer, size);
	return copy;
}

static void
set_null(DbpSorter *sorter, DbpSortSegment *segment, int column, uint32 place)
{
	if (segment->nulls[column] == NULL)
	{
		segment->nulls[column] =
			MemoryContextAllocZero(sorter->run_context, (Size) 1 << sorter->segment_shift);
	}
	segment->nulls[column][place] = true;
	/* never looked at, but copied about */
	memset(segment->values[column] + (Size) place * sorter->columns[column].width, 0,
		   sorter->columns[column].width);
}

static void
store_row(DbpSorter *sorter, const Datum *values, const bool *nulls, uint64 tag)
{
	DbpSortSegment *segment = dbp_sorter_segment(sorter, sorter->nrows);
	uint32 place = dbp_sorter_place(sorter, sorter->nrows);

	segment->tags[place] = tag;
	for (int i = 0; i < sorter->ncolumns; i++)
	{
		const DbpSortColumn *column = &sorter->columns[i];
		char *entry;

		if (column->dropped)
			continue;
		if (nulls[i])
		{
			set_null(sorter, segment, i, place);
			continue;
		}
		if (segment->nulls[i] != NULL)
			segment->nulls[i][place] = false;
		entry = segment->values[i];
		switch (column->byval ? column->width : 0)
		{
			case 8:
				((Datum *) entry)[place] = values[i];
				break;
			case 4:
				((int32 *) entry)[place] = DatumGetInt32(values[i]);
				break;
			case 2:
				((int16 *) entry)[place] = DatumGetInt16(values[i]);
				break;
			case 1:
				entry[place] = DatumGetChar(values[i]);
				break;
			default:
				((char **) entry)[place] = copy_value(sorter, column, values[i]);
				break;
		}
	}
}

bool
dbp_sorter_put(DbpSorter *sorter, const Datum *values, const bool *nulls, uint64 tag)
{
	Size bytes = sorter->fixed_bytes;

	Assert(!sorter->sorted && !dbp_sorter_is_full(sorter));
	for (int i = 0; i < sorter->ncolumns; i++)
		if (!sorter->columns[i].byval && !sorter->columns[i].dropped && !nulls[i])
			bytes += flat_bytes(&sorter->columns[i], values[i]);
	if (bytes > DBP_ROW_BYTES)
		return false;
	if (sorter->handed_out)
		dbp_sorter_reset_run(sorter);
	if (sorter->nkeys > 0 && sorter->nrows > 0 &&
		(sorter->used + bytes + (Size) sorter->nrows * sorter->order_bytes > sorter->limit ||
		 sorter->nrows == PG_INT32_MAX))
		dbp_sorter_spill(sorter);
	if (sorter->nrows >> sorter->segment_shift >= (uint32) sorter->nsegments)
		add_segment(sorter);
	store_row(sorter, values, nulls, tag);
	sorter->nrows++;
	sorter->run_bytes += bytes;
	sorter->max_row_bytes = Max(sorter->max_row_bytes, bytes);
	return true;
}

/*
 * Whole batches are handed out, unless rows are so large that their bytes count.
 */
bool
dbp_sorter_is_full(const DbpSorter *sorter)
{
	if (sorter->nkeys > 0 || sorter->handed_out || sorter->nrows == 0)
		return false;
	if (sorter->nrows % sorter->max_rows == 0)
		return sorter->used + sorter->used / sorter->nrows * sorter->max_rows > sorter->limit;
	return sorter->used > Max(sorter->limit, DBP_BATCH_BYTES);
}

void
dbp_sorter_sort(DbpSorter *sorter)
{
	Assert(!sorter->sorted);
	if (sorter->handed_out)
		dbp_sorter_reset_run(sorter);
	if (sorter->nruns > 0)
	{
		if (sorter->nrows > 0)
			dbp_sorter_spill(sorter);
		dbp_sorter_merge_begin(sorter);
	}
	else if (sorter->nkeys > 0)
		dbp_sorter_order(sorter);
	sorter->sorted = true;
}

static Size
row_bytes(const DbpSorter *sorter, uint32 row)
{
	const DbpSortSegment *segment = dbp_sorter_segment(sorter, row);
	uint32 place = dbp_sorter_place(sorter, row);
	Size bytes = sorter->fixed_bytes;

	for (int i = 0; i < sorter->ncolumns; i++)
	{
		const DbpSortColumn *column = &sorter->columns[i];

		if (!column->byval && !column->dropped &&
			(segment->nulls[i] == NULL || !segment->nulls[i][place]))
			bytes += dbp_sorter_value_bytes(column, ((char **) segment->values[i])[place]);
	}
	return bytes;
}

int
dbp_sorter_count_rows(const DbpSorter *sorter, uint32 max_rows)
{
	int count = Min(max_rows, sorter->nrows - sorter->position);
	Size bytes = 0;

	if (sorter->max_row_bytes * count <= DBP_BATCH_BYTES)
		return count;
	for (int i = 0; i < count; i++)
	{
		bytes += row_bytes(sorter, sorter->position + i);
		if (bytes > DBP_BATCH_BYTES)
			return i;
	}
	return count;
}

/* The parts of segments that some rows lie in: "at" is their place in the batch */
#define FOR_EACH_PART(sorter, count, segment, place, n, at) \
	for (uint32 at = 0, place, n; at < (uint32) (count) && \
		 (place = dbp_sorter_place(sorter, (sorter)->position + at), \
		 n = Min((1U << (sorter)->segment_shift) - place, (uint32) (count) -at), \
		 segment = dbp_sorter_segment(sorter, (sorter)->position + at), true); \
		 at += n)

#define COPY(ctype, to_datum) \
	for (uint32 i = 0; i < n; i++) \
	out[at + i] = to_datum(((const ctype *) values)[i])

static void
copy_values(const DbpSorter *sorter, int c, int count, Datum *out)
{
	const DbpSortColumn *column = &sorter->columns[c];
	const DbpSortSegment *segment;

	FOR_EACH_PART(sorter, count, segment, place, n, at)
	{
		const char *values = segment->values[c] + (Size) place * column->width;

		switch (column->byval ? column->width : 0)
		{
			case 8:
				COPY(Datum, (Datum));
				break;
			case 4:
				COPY(int32, Int32GetDatum);
				break;
			case 2:
				COPY(int16, Int16GetDatum);
				break;
			case 1:
				COPY(char, CharGetDatum);
				break;
			default:
				COPY(char *, PointerGetDatum);
				break;
		}
	}
}

/* False: none of them is */
static bool
copy_nulls(const DbpSorter *sorter, int c, int count, bool *out)
{
	const DbpSortSegment *segment;
	bool any = false;

	FOR_EACH_PART(sorter, count, segment, place, n, at)
	{
		const bool *nulls = segment->nulls[c];

		if (nulls == NULL)
		{
			memset(out + at, false, n);
			continue;
		}
		memcpy(out + at, nulls + place, n);
		any = any || memchr(nulls + place, true, n) != NULL;
	}
	return any;
}

/*
 * The next batch of rows out of the memory.
 */
static int
next_in_memory(DbpSorter *sorter)
{
	int count = dbp_sorter_count_rows(sorter, sorter->max_rows);
	const DbpSortSegment *segment;

	for (int c = 0; c < sorter->ncolumns; c++)
	{
		if (sorter->columns[c].dropped)
			continue;
		copy_values(sorter, c, count, sorter->out_values[c]);
		sorter->out_nulls[c] = copy_nulls(sorter, c, count, sorter->out_nulls_room[c])
			? sorter->out_nulls_room[c]
			: NULL;
	}
	FOR_EACH_PART(sorter, count, segment, place, n, at)
	memcpy(sorter->out_tags + at, segment->tags + place, sizeof(uint64) * n);
	sorter->position += count;
	return count;
}

bool
dbp_sorter_next(DbpSorter *sorter, DbpRows *rows, const uint64 **tags)
{
	int count;

	make_output(sorter);
	if (sorter->merging)
		count = dbp_sorter_merge_next(sorter);
	else
	{
		count = sorter->handed_out ? 0 : next_in_memory(sorter);
		sorter->handed_out = sorter->position == sorter->nrows;
	}
	rows->tupdesc = sorter->tupdesc;
	rows->nrows = count;
	rows->values = sorter->out_values;
	rows->nulls = sorter->out_nulls;
	if (tags != NULL)
		*tags = sorter->out_tags;
	return count > 0;
}

void
dbp_sorter_end(DbpSorter *sorter)
{
	if (sorter->file != NULL)
		BufFileClose(sorter->file);
	MemoryContextDelete(sorter->context);
}
