/*-------------------------------------------------------------------------
 *
 * sorter_merge.c
 *		Runs in a temporary file, and their merge.
 *
 * A block of the file is: its size and number of rows, the tags, and then for
 * each column whether there are nulls, which rows they are, and the values, or
 * for those by reference the offsets at which they begin in the block.  All
 * parts begin at multiples of 8 bytes.
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

typedef struct BlockHeader
{
	uint32 size; /* of what follows */
	uint32 nrows;
} BlockHeader;

/* A block that is being made */
typedef struct SortBlock
{
	char *data;
	Size size;
	Size room;
} SortBlock;

static void *
block_add(SortBlock *block, Size size)
{
	Size at = block->size;

	size = MAXALIGN(size);
	if (at + size > block->room)
	{
		block->room = Max(block->room * 2, at + size);
		block->data =
			block->data == NULL ? palloc(block->room) : repalloc_huge(block->data, block->room);
	}
	memset(block->data + at, 0, size);
	block->size = at + size;
	return block->data + at;
}

static void
tell(BufFile *file, DbpSortPlace *place)
{
	BufFileTell(file, &place->file, &place->offset);
}

static void
seek(BufFile *file, const DbpSortPlace *place)
{
	if (BufFileSeek(file, place->file, place->offset, SEEK_SET) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not seek in temporary file: %m")));
}

static void
read_bytes(BufFile *file, void *data, Size size)
{
	if (BufFileRead(file, data, size) != size)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not read from temporary file: %m")));
}

/*
 * Rows that go into a block come in pieces, each from one place in the memory or
 * in a block of another run.
 */
typedef struct Piece
{
	int n;
	const uint64 *tags;
	const char *values; /* of a column: entries, or pointers, or offsets */
	const char *base;	/* to which those offsets are; NULL: they are pointers */
	const bool *nulls;	/* NULL: none is */
} Piece;

typedef void (*PieceOf)(const DbpSorter *sorter, int number, int column, Piece *piece);

static const char *
value_of(const Piece *piece, int i)
{
	if (piece->base != NULL)
		return piece->base + ((const uint32 *) piece->values)[i];
	return ((const char *const *) piece->values)[i];
}

static void
add_nulls(const DbpSorter *sorter, SortBlock *block, int c, int count, int npieces,
		  PieceOf piece_of)
{
	Size at = block->size;
	bool any = false;
	Piece piece;
	bool *nulls;

	block_add(block, sizeof(uint64));
	nulls = block_add(block, sizeof(bool) * count);
	for (int p = 0; p < npieces; p++)
	{
		piece_of(sorter, p, c, &piece);
		if (piece.nulls != NULL)
		{
			memcpy(nulls, piece.nulls, piece.n);
			any = true;
		}
		nulls += piece.n;
	}
	if (any)
		*(uint64 *) (block->data + at) = 1;
	else
		block->size = at + sizeof(uint64);
}

static void
add_entries(const DbpSorter *sorter, SortBlock *block, int c, int count, int npieces,
			PieceOf piece_of)
{
	int width = sorter->columns[c].width;
	char *at = block_add(block, (Size) width * count);
	Piece piece;

	for (int p = 0; p < npieces; p++)
	{
		piece_of(sorter, p, c, &piece);
		memcpy(at, piece.values, (Size) width * piece.n);
		at += (Size) width * piece.n;
	}
}

static void
add_references(const DbpSorter *sorter, SortBlock *block, int c, int count, int npieces,
			   PieceOf piece_of)
{
	Size offsets = block->size;
	Piece piece;

	block_add(block, sizeof(uint32) * count);
	for (int p = 0; p < npieces; p++)
	{
		piece_of(sorter, p, c, &piece);
		for (int i = 0; i < piece.n; i++, offsets += sizeof(uint32))
		{
			const char *value;
			Size size;

			if (piece.nulls != NULL && piece.nulls[i])
				continue;
			value = value_of(&piece, i);
			size = dbp_sorter_value_bytes(&sorter->columns[c], value);
			*(uint32 *) (block->data + offsets) = block->size;
			memcpy(block_add(block, size), value, size);
		}
	}
}

static void
write_block(DbpSorter *sorter, SortBlock *block, int count, int npieces, PieceOf piece_of)
{
	BlockHeader header;
	uint64 *tags;
	Piece piece;

	CHECK_FOR_INTERRUPTS();
	block->size = 0;
	tags = block_add(block, sizeof(uint64) * count);
	for (int p = 0; p < npieces; p++)
	{
		piece_of(sorter, p, -1, &piece);
		memcpy(tags, piece.tags, sizeof(uint64) * piece.n);
		tags += piece.n;
	}
	for (int c = 0; c < sorter->ncolumns; c++)
	{
		if (sorter->columns[c].dropped)
			continue;
		add_nulls(sorter, block, c, count, npieces, piece_of);
		if (sorter->columns[c].byval)
			add_entries(sorter, block, c, count, npieces, piece_of);
		else
			add_references(sorter, block, c, count, npieces, piece_of);
	}
	header.size = block->size;
	header.nrows = count;
	BufFileWrite(sorter->file, &header, sizeof(header));
	BufFileWrite(sorter->file, block->data, block->size);
}

static DbpSortRun *
add_run(DbpSorter *sorter)
{
	DbpSortRun *run;

	if (sorter->nruns == sorter->runs_room)
	{
		sorter->runs_room = Max(16, sorter->runs_room * 2);
		sorter->runs = sorter->runs == NULL
			? MemoryContextAlloc(sorter->context, sizeof(DbpSortRun) * sorter->runs_room)
			: repalloc(sorter->runs, sizeof(DbpSortRun) * sorter->runs_room);
	}
	run = &sorter->runs[sorter->nruns++];
	memset(run, 0, sizeof(DbpSortRun));
	if (sorter->file == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(sorter->context);

		sorter->file = BufFileCreateTemp(false);
		tell(sorter->file, &sorter->file_end);
		MemoryContextSwitchTo(old);
	}
	seek(sorter->file, &sorter->file_end);
	run->next = sorter->file_end;
	return run;
}

/* Rows of one segment: the next ones to be written */
static void
piece_in_memory(const DbpSorter *sorter, int number, int column, Piece *piece)
{
	const DbpSortSegment *segment = dbp_sorter_segment(sorter, sorter->position);
	uint32 place = dbp_sorter_place(sorter, sorter->position);

	piece->n = sorter->piece_rows;
	piece->tags = segment->tags + place;
	if (column < 0)
		return;
	piece->values = segment->values[column] + (Size) place * sorter->columns[column].width;
	piece->base = NULL;
	piece->nulls = segment->nulls[column] != NULL ? segment->nulls[column] + place : NULL;
}

/*
 * How many rows of some bytes on average go into a block.
 */
static uint32
rows_of_block(const DbpSorter *sorter, Size bytes, uint64 rows)
{
	Size each = Max(bytes / Max(rows, 1), sizeof(uint64)) + sizeof(uint64);

	return Min(Max(sorter->block_bytes / each, 1), (Size) sorter->max_rows);
}

/*
 * Write the run in memory to the file.
 */
void
dbp_sorter_spill(DbpSorter *sorter)
{
	DbpSortRun *run;
	SortBlock block = {0};
	uint32 rows = rows_of_block(sorter, sorter->run_bytes, sorter->nrows);

	dbp_sorter_order(sorter);
	run = add_run(sorter);
	run->rows_left = sorter->nrows;
	for (sorter->position = 0; sorter->position < sorter->nrows;)
	{
		uint32 place = dbp_sorter_place(sorter, sorter->position);
		uint32 count = Min(rows, sorter->nrows - sorter->position);

		count = Min(count, (1U << sorter->segment_shift) - place);
		sorter->piece_rows = count;
		write_block(sorter, &block, count, 1, piece_in_memory);
		sorter->position += count;
	}
	tell(sorter->file, &sorter->file_end);
	pfree(block.data);
	dbp_sorter_reset_run(sorter);
}

/* Find the parts of a block that has been read */
static void
find_parts(const DbpSorter *sorter, DbpSortRun *run)
{
	const char *at = run->data;

	run->tags = (const uint64 *) at;
	at += sizeof(uint64) * run->nrows;
	for (int c = 0; c < sorter->ncolumns; c++)
	{
		const DbpSortColumn *column = &sorter->columns[c];
		bool has_nulls;
		Size size;

		if (column->dropped)
			continue;
		has_nulls = *(const uint64 *) at != 0;
		at += sizeof(uint64);
		run->nulls[c] = has_nulls ? (const bool *) at : NULL;
		if (has_nulls)
			at += MAXALIGN(sizeof(bool) * run->nrows);
		run->values[c] = at;
		size = (Size) (column->byval ? column->width : (int) sizeof(uint32)) * run->nrows;
		at += MAXALIGN(size);
		if (!column->byval)
			for (int i = 0; i < run->nrows; i++)
				if (run->nulls[c] == NULL || !run->nulls[c][i])
				{
					Size end = ((const uint32 *) run->values[c])[i];

					end += MAXALIGN(dbp_sorter_value_bytes(column, run->data + end));
					at = run->data + end;
				}
	}
}

static bool
is_null(const DbpSortRun *run, int column, int row)
{
	return run->nulls[column] != NULL && run->nulls[column][row];
}

static const char *
value_in_run(const DbpSorter *sorter, const DbpSortRun *run, int column, int row)
{
	const DbpSortColumn *c = &sorter->columns[column];

	if (c->byval)
		return run->values[column] + (Size) row * c->width;
	return run->data + ((const uint32 *) run->values[column])[row];
}

/* For keys that are numbers, those of the block */
static void
find_numbers(const DbpSorter *sorter, DbpSortRun *run)
{
	for (int k = 0; k < sorter->nkeys; k++)
	{
		const DbpSortKey *key = &sorter->keys[k];

		if (key->number == DBP_SORT_GENERIC)
			continue;
		for (int i = 0; i < run->nrows; i++)
			if (!is_null(run, key->column, i))
				run->numbers[k][i] =
					dbp_sorter_number(key->number,
									  fetch_att(value_in_run(sorter, run, key->column, i), true,
												sorter->columns[key->column].len));
	}
}

static void
make_room(const DbpSorter *sorter, DbpSortRun *run, Size size, int nrows)
{
	MemoryContext old = MemoryContextSwitchTo(sorter->context);

	if (run->values == NULL)
	{
		run->values = palloc(sizeof(char *) * Max(sorter->ncolumns, 1));
		run->nulls = palloc(sizeof(bool *) * Max(sorter->ncolumns, 1));
		run->numbers = palloc0(sizeof(uint64 *) * sorter->nkeys);
	}
	if (size > run->size)
	{
		if (run->data != NULL)
			pfree(run->data);
		run->data = MemoryContextAllocHuge(sorter->context, size);
		run->size = size;
	}
	if (nrows > run->room)
	{
		for (int k = 0; k < sorter->nkeys; k++)
		{
			if (run->numbers[k] != NULL)
				pfree(run->numbers[k]);
			run->numbers[k] = palloc(sizeof(uint64) * nrows);
		}
		run->room = nrows;
	}
	MemoryContextSwitchTo(old);
}

static void
free_room(const DbpSorter *sorter, DbpSortRun *run)
{
	if (run->values == NULL)
		return;
	pfree(run->values);
	pfree(run->nulls);
	for (int k = 0; k < sorter->nkeys; k++)
		if (run->numbers[k] != NULL)
			pfree(run->numbers[k]);
	pfree(run->numbers);
	if (run->data != NULL)
		pfree(run->data);
	run->values = NULL;
	run->data = NULL;
}

/*
 * The next block of a run.  False: no more.
 */
static bool
read_block(DbpSorter *sorter, DbpSortRun *run)
{
	BlockHeader header;

	CHECK_FOR_INTERRUPTS();
	if (run->rows_left == 0)
	{
		free_room(sorter, run);
		return false;
	}
	seek(sorter->file, &run->next);
	read_bytes(sorter->file, &header, sizeof(header));
	make_room(sorter, run, header.size, header.nrows);
	read_bytes(sorter->file, run->data, header.size);
	tell(sorter->file, &run->next);
	run->nrows = header.nrows;
	run->row = 0;
	run->rows_left -= header.nrows;
	find_parts(sorter, run);
	find_numbers(sorter, run);
	return true;
}

static int
compare_rows(const DbpSorter *sorter, const DbpSortRun *a, const DbpSortRun *b)
{
	for (int k = 0; k < sorter->nkeys; k++)
	{
		DbpSortKey *key = &sorter->keys[k];
		bool a_null = is_null(a, key->column, a->row);
		bool b_null = is_null(b, key->column, b->row);
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
			const char *a_value = value_in_run(sorter, a, key->column, a->row);
			const char *b_value = value_in_run(sorter, b, key->column, b->row);

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
		if (read_block(sorter, &sorter->runs[i]))
			sorter->heap[sorter->nheap++] = i;
	for (int i = sorter->nheap / 2 - 1; i >= 0; i--)
		sift_down(sorter, i);
}

static Size
item_bytes(const DbpSorter *sorter, const DbpSortRun *run)
{
	Size bytes = sorter->fixed_bytes;

	for (int c = 0; c < sorter->ncolumns; c++)
		if (!sorter->columns[c].byval && !sorter->columns[c].dropped && !is_null(run, c, run->row))
			bytes +=
				dbp_sorter_value_bytes(&sorter->columns[c], value_in_run(sorter, run, c, run->row));
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
			if (!read_block(sorter, run))
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
piece_of_item(const DbpSorter *sorter, int number, int column, Piece *piece)
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
	SortBlock *block = arg;

	seek(sorter->file, &sorter->file_end);
	write_block(sorter, block, count, sorter->nitems, piece_of_item);
	tell(sorter->file, &sorter->file_end);
}

/*
 * Merge some runs, which are replaced by what becomes of them.
 */
static void
merge_to_file(DbpSorter *sorter, int first, int count)
{
	SortBlock block = {0};
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
copy_entries(const DbpSortColumn *column, const Piece *from, Datum *values)
{
	Piece piece = *from;

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
copy_references(DbpSorter *sorter, const DbpSortColumn *column, const Piece *piece, Datum *values)
{
	for (int i = 0; i < piece->n; i++)
	{
		const char *value;
		Size size;
		char *copy;

		values[i] = (Datum) 0;
		if (piece->nulls != NULL && piece->nulls[i])
			continue;
		value = value_of(piece, i);
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
		Piece piece;

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
