/*-------------------------------------------------------------------------
 *
 * sorter_merge.c
 *		The merge of runs in a temporary file.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tupmacs.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "columnar/sorter_run.h"

/* Values of a batch are allocated so many bytes at a time */
#define OUT_BYTES (256 * 1024)

static int
compare_rows(const DbpSorter *sorter, const DbpSortRun *a, const DbpSortRun *b)
{
	for (int k = 0; k < sorter->nkeys; k++)
	{
		DbpSortKey *key = &sorter->keys[k];
		bool a_null = dbp_sorter_null_in_run(a, key->column, a->row);
		bool b_null = dbp_sorter_null_in_run(b, key->column, b->row);
		int result = 0;

		if (a_null || b_null)
			result = (int) a_null - (int) b_null;
		else if (key->number != DBP_SORT_GENERIC)
		{
			uint64 a_number = a->numbers[k][a->row];
			uint64 b_number = b->numbers[k][b->row];

			result = a_number < b_number ? -1 : a_number > b_number;
		}
		else
		{
			const DbpSortColumn *column = &sorter->columns[key->column];
			const char *a_value = dbp_sorter_value_in_run(sorter, a, key->column, a->row);
			const char *b_value = dbp_sorter_value_in_run(sorter, b, key->column, b->row);

			result = ApplySortComparator(fetch_att(a_value, column->byval, column->len), false,
										 fetch_att(b_value, column->byval, column->len), false,
										 &key->support);
		}
		if (result != 0)
			return result;
	}
	/* runs are in the order in which their rows came */
	return a < b ? -1 : a > b;
}

static bool
heap_less(const DbpSorter *sorter, int i, int j)
{
	return compare_rows(sorter, &sorter->runs[sorter->heap[i]], &sorter->runs[sorter->heap[j]]) < 0;
}

static void
sift_down(DbpSorter *sorter, int i)
{
	for (;;)
	{
		int least = i;
		int swap;

		for (int child = 2 * i + 1; child <= 2 * i + 2; child++)
			if (child < sorter->nheap && heap_less(sorter, child, least))
				least = child;
		if (least == i)
			return;
		swap = sorter->heap[i];
		sorter->heap[i] = sorter->heap[least];
		sorter->heap[least] = swap;
		i = least;
	}
}

/* Which runs are merged: from "first" on, so many */
static void
make_heap(DbpSorter *sorter, int first, int count)
{
	sorter->nheap = 0;
	for (int i = first; i < first + count; i++)
		if (dbp_sorter_read_block(sorter, &sorter->runs[i]))
			sorter->heap[sorter->nheap++] = i;
	for (int i = sorter->nheap / 2 - 1; i >= 0; i--)
		sift_down(sorter, i);
}

static Size
item_bytes(const DbpSorter *sorter, const DbpSortRun *run)
{
	Size bytes = sorter->fixed_bytes;

	for (int c = 0; c < sorter->ncolumns; c++)
		if (!sorter->columns[c].byval && !sorter->columns[c].dropped &&
			!dbp_sorter_null_in_run(run, c, run->row))
			bytes += dbp_sorter_value_bytes(&sorter->columns[c],
											dbp_sorter_value_in_run(sorter, run, c, run->row));
	return bytes;
}

/* What is done with the items before the blocks that they lie in go */
typedef void (*Drain)(DbpSorter *sorter, int count, void *arg);

/*
 * Take up to max_rows rows, in order, of at most so many bytes.
 */
static int
take(DbpSorter *sorter, int max_rows, Size max_bytes, Drain drain, void *arg)
{
	bool measure = sorter->max_row_bytes * max_rows > max_bytes;
	Size bytes = 0;
	int count = 0;
	int drained = 0;

	sorter->nitems = 0;
	while (sorter->nheap > 0 && count < max_rows)
	{
		DbpSortRun *run = &sorter->runs[sorter->heap[0]];
		DbpSortItem *item = &sorter->items[sorter->nitems];

		if (measure)
		{
			bytes += item_bytes(sorter, run);
			if (count > 0 && bytes > max_bytes)
				break;
		}
		/* rows of a run often follow one another */
		if (sorter->nitems > 0 && item[-1].run == run)
			item[-1].n++;
		else
		{
			item->run = run;
			item->row = run->row;
			item->n = 1;
			sorter->nitems++;
		}
		run->row++;
		count++;
		if (run->row == run->nrows)
		{
			drain(sorter, count - drained, arg);
			drained = count;
			sorter->nitems = 0;
			if (!dbp_sorter_read_block(sorter, run))
				sorter->heap[0] = sorter->heap[--sorter->nheap];
		}
		sift_down(sorter, 0);
	}
	if (count > drained)
		drain(sorter, count - drained, arg);
	sorter->nitems = 0;
	return count;
}

static void
piece_of_item(const DbpSorter *sorter, int number, int column, DbpSortPiece *piece)
{
	const DbpSortItem *item = &sorter->items[number];
	const DbpSortRun *run = item->run;
	const DbpSortColumn *c = &sorter->columns[column];

	piece->n = item->n;
	piece->tags = run->tags + item->row;
	if (column < 0)
		return;
	piece->values =
		run->values[column] + (Size) item->row * (c->byval ? c->width : (int) sizeof(uint32));
	piece->base = run->data;
	piece->nulls = run->nulls[column] != NULL ? run->nulls[column] + item->row : NULL;
}

static void
drain_to_file(DbpSorter *sorter, int count, void *arg)
{
	DbpSortBlock *block = arg;

	dbp_sorter_write_block(sorter, block, count, sorter->nitems, piece_of_item);
}

/*
 * Merge some runs, which are replaced by what becomes of them.
 */
static void
merge_to_file(DbpSorter *sorter, int first, int count)
{
	DbpSortBlock block = {0};
	DbpSortRun merged = {0};

	for (int i = first; i < first + count; i++)
		merged.rows_left += sorter->runs[i].rows_left;
	merged.next = sorter->file_end;
	make_heap(sorter, first, count);
	while (take(sorter, sorter->max_rows, sorter->block_bytes, drain_to_file, &block) > 0)
		;
	if (block.data != NULL)
		pfree(block.data);
	sorter->runs[first] = merged;
	memmove(&sorter->runs[first + 1], &sorter->runs[first + count],
			sizeof(DbpSortRun) * (sorter->nruns - first - count));
	sorter->nruns -= count - 1;
}

/*
 * Merge until what is left can be merged in memory, and begin with that.
 */
void
dbp_sorter_merge_begin(DbpSorter *sorter)
{
	int fan = Max((int) (sorter->limit / (2 * sorter->block_bytes)), 4);

	sorter->items = MemoryContextAlloc(sorter->context, sizeof(DbpSortItem) * DBP_BATCH_ROWS);
	sorter->heap = MemoryContextAlloc(sorter->context, sizeof(int) * sorter->nruns);
	while (sorter->nruns > fan)
	{
		/* neighbours only, so that equal rows stay in order */
		for (int first = 0; first < sorter->nruns - 1; first++)
			merge_to_file(sorter, first, Min(fan, sorter->nruns - first));
	}
	make_heap(sorter, 0, sorter->nruns);
	sorter->merging = true;
}

/* Room for a value of the batch */
static char *
out_alloc(DbpSorter *sorter, Size size)
{
	char *result;

	size = MAXALIGN(size);
	if (size > OUT_BYTES / 8)
		return MemoryContextAllocHuge(sorter->out_context, size);
	if (size > sorter->out_arena_left)
	{
		sorter->out_arena = MemoryContextAlloc(sorter->out_context, OUT_BYTES);
		sorter->out_arena_left = OUT_BYTES;
	}
	result = sorter->out_arena;
	sorter->out_arena += size;
	sorter->out_arena_left -= size;
	return result;
}

#define COPY(ctype, to_datum) \
	for (int i = 0; i < piece.n; i++) \
	values[i] = to_datum(((const ctype *) piece.values)[i])

/*
 * By value: the nulls' values are nothing, but they are there.
 */
static void
copy_entries(const DbpSortColumn *column, const DbpSortPiece *from, Datum *values)
{
	DbpSortPiece piece = *from;

	switch (column->width)
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
		default:
			COPY(char, CharGetDatum);
			break;
	}
}

static void
copy_references(DbpSorter *sorter, const DbpSortColumn *column, const DbpSortPiece *piece,
				Datum *values)
{
	for (int i = 0; i < piece->n; i++)
	{
		const char *value;
		Size size;
		char *copy;

		values[i] = (Datum) 0;
		if (piece->nulls != NULL && piece->nulls[i])
			continue;
		value = dbp_sorter_value_of(piece, i);
		size = dbp_sorter_value_bytes(column, value);
		copy = out_alloc(sorter, size);
		memcpy(copy, value, size);
		values[i] = PointerGetDatum(copy);
	}
}

static void
drain_column(DbpSorter *sorter, int c, int at)
{
	const DbpSortColumn *column = &sorter->columns[c];

	for (int p = 0; p < sorter->nitems; p++)
	{
		DbpSortPiece piece;

		piece_of_item(sorter, p, c, &piece);
		if (piece.nulls == NULL)
			memset(sorter->out_nulls_room[c] + at, false, piece.n);
		else
		{
			memcpy(sorter->out_nulls_room[c] + at, piece.nulls, piece.n);
			sorter->out_nulls[c] = sorter->out_nulls_room[c];
		}
		if (column->byval)
			copy_entries(column, &piece, sorter->out_values[c] + at);
		else
			copy_references(sorter, column, &piece, sorter->out_values[c] + at);
		at += piece.n;
	}
}

static void
drain_to_batch(DbpSorter *sorter, int count, void *arg)
{
	int *drained = arg;
	int at = *drained;

	for (int c = 0; c < sorter->ncolumns; c++)
		if (!sorter->columns[c].dropped)
			drain_column(sorter, c, *drained);
	for (int p = 0; p < sorter->nitems; p++)
	{
		const DbpSortItem *item = &sorter->items[p];

		memcpy(sorter->out_tags + at, item->run->tags + item->row, sizeof(uint64) * item->n);
		at += item->n;
	}
	*drained += count;
}

/*
 * The next batch of the merge; 0 rows: there is none.
 */
int
dbp_sorter_merge_next(DbpSorter *sorter)
{
	int drained = 0;

	MemoryContextReset(sorter->out_context);
	sorter->out_arena_left = 0;
	memset(sorter->out_nulls, 0, sizeof(bool *) * sorter->ncolumns);
	return take(sorter, sorter->max_rows, DBP_BATCH_BYTES, drain_to_batch, &drained);
}
