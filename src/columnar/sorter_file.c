/*-------------------------------------------------------------------------
 *
 * sorter_file.c
 *		Runs in a temporary file.
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

typedef struct BlockHeader
{
	uint32 size; /* of what follows */
	uint32 nrows;
} BlockHeader;

static void *
block_add(DbpSortBlock *block, Size size)
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

static void
add_nulls(const DbpSorter *sorter, DbpSortBlock *block, int c, int count, int npieces,
		  DbpSortPieceOf piece_of)
{
	Size at = block->size;
	bool any = false;
	DbpSortPiece piece;
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
add_entries(const DbpSorter *sorter, DbpSortBlock *block, int c, int count, int npieces,
			DbpSortPieceOf piece_of)
{
	int width = sorter->columns[c].width;
	char *at = block_add(block, (Size) width * count);
	DbpSortPiece piece;

	for (int p = 0; p < npieces; p++)
	{
		piece_of(sorter, p, c, &piece);
		memcpy(at, piece.values, (Size) width * piece.n);
		at += (Size) width * piece.n;
	}
}

static void
add_references(const DbpSorter *sorter, DbpSortBlock *block, int c, int count, int npieces,
			   DbpSortPieceOf piece_of)
{
	Size offsets = block->size;
	DbpSortPiece piece;

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
			value = dbp_sorter_value_of(&piece, i);
			size = dbp_sorter_value_bytes(&sorter->columns[c], value);
			*(uint32 *) (block->data + offsets) = block->size;
			memcpy(block_add(block, size), value, size);
		}
	}
}

void
dbp_sorter_write_block(DbpSorter *sorter, DbpSortBlock *block, int count, int npieces,
					   DbpSortPieceOf piece_of)
{
	BlockHeader header;
	uint64 *tags;
	DbpSortPiece piece;

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
	seek(sorter->file, &sorter->file_end);
	BufFileWrite(sorter->file, &header, sizeof(header));
	BufFileWrite(sorter->file, block->data, block->size);
	BufFileTell(sorter->file, &sorter->file_end.file, &sorter->file_end.offset);
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
		BufFileTell(sorter->file, &sorter->file_end.file, &sorter->file_end.offset);
		MemoryContextSwitchTo(old);
	}
	run->next = sorter->file_end;
	return run;
}

/* Rows of one segment: the next ones to be written */
static void
piece_in_memory(const DbpSorter *sorter, int number, int column, DbpSortPiece *piece)
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
	DbpSortBlock block = {0};
	uint32 rows = rows_of_block(sorter, sorter->run_bytes, sorter->nrows);

	dbp_sorter_order(sorter);
	run = add_run(sorter);
	run->rows_left = sorter->nrows;
	for (sorter->position = 0; sorter->position < sorter->nrows;)
	{
		uint32 place = dbp_sorter_place(sorter, sorter->position);
		uint32 count = dbp_sorter_count_rows(sorter, rows);

		count = Min(count, (1U << sorter->segment_shift) - place);
		sorter->piece_rows = count;
		dbp_sorter_write_block(sorter, &block, count, 1, piece_in_memory);
		sorter->position += count;
	}
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
			if (!dbp_sorter_null_in_run(run, key->column, i))
				run->numbers[k][i] =
					dbp_sorter_number(key->number,
									  fetch_att(dbp_sorter_value_in_run(sorter, run, key->column,
																		i),
												true, sorter->columns[key->column].len));
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
bool
dbp_sorter_read_block(DbpSorter *sorter, DbpSortRun *run)
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
	BufFileTell(sorter->file, &run->next.file, &run->next.offset);
	run->nrows = header.nrows;
	run->row = 0;
	run->rows_left -= header.nrows;
	find_parts(sorter, run);
	find_numbers(sorter, run);
	return true;
}
