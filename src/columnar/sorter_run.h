/*-------------------------------------------------------------------------
 *
 * sorter_run.h
 *		What the files of the sorter share.
 *
 * Rows are kept column by column, in segments of some thousand rows.  What is
 * in memory is a run.  When it has grown to the limit it is sorted and written to a
 * temporary file in blocks, each of them column by column as well; in the end the
 * runs are merged.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COLUMNAR_SORTER_RUN_H
#define DBP_COLUMNAR_SORTER_RUN_H

#include "postgres.h"

#include "access/tupmacs.h"
#include "storage/buffile.h"
#include "utils/sortsupport.h"

#include "columnar/sorter.h"

typedef struct DbpSortColumn
{
	int16 len; /* attlen */
	bool byval;
	bool dropped;
	int width; /* bytes of an entry: of the value, or of the pointer to it */
} DbpSortColumn;

/* Types whose order is that of a number of 64 bits */
typedef enum DbpSortNumber
{
	DBP_SORT_GENERIC, /* no: the type's own comparison */
	DBP_SORT_BYTE,
	DBP_SORT_INT2,
	DBP_SORT_INT4,
	DBP_SORT_INT8,
	DBP_SORT_OID,
	DBP_SORT_FLOAT4,
	DBP_SORT_FLOAT8
} DbpSortNumber;

typedef struct DbpSortKey
{
	int column;
	DbpSortNumber number;
	SortSupportData support; /* DBP_SORT_GENERIC */
} DbpSortKey;

typedef struct DbpSortSegment
{
	char **values; /* by column; NULL: dropped */
	bool **nulls;  /* NULL: none so far */
	uint64 *tags;
} DbpSortSegment;

/* A place in a temporary file */
typedef struct DbpSortPlace
{
	int file;
	off_t offset;
} DbpSortPlace;

typedef struct DbpSortRun
{
	DbpSortPlace next;
	uint64 rows_left; /* in blocks not yet read */
	/* the present block */
	int nrows;
	int row;
	char *data;
	Size size;
	const uint64 *tags;
	const char **values; /* by column; by-reference: offsets (uint32) into data */
	const bool **nulls;
	uint64 **numbers; /* by key */
	int room;		  /* of those, in rows */
} DbpSortRun;

/* Rows on their way out of the merge, one after the other in a block */
typedef struct DbpSortItem
{
	DbpSortRun *run;
	int row;
	int n;
} DbpSortItem;

/* A block that is being made */
typedef struct DbpSortBlock
{
	char *data;
	Size size;
	Size room;
} DbpSortBlock;

/*
 * Rows that go into a block come in pieces, each from one place in the memory or
 * in a block of another run.
 */
typedef struct DbpSortPiece
{
	int n;
	const uint64 *tags;
	const char *values; /* of a column: entries, or pointers, or offsets */
	const char *base;	/* to which those offsets are; NULL: they are pointers */
	const bool *nulls;	/* NULL: none is */
} DbpSortPiece;

typedef void (*DbpSortPieceOf)(const DbpSorter *sorter, int number, int column,
							   DbpSortPiece *piece);

struct DbpSorter
{
	TupleDesc tupdesc;
	int ncolumns;
	DbpSortColumn *columns;
	int nkeys;
	DbpSortKey *keys;
	MemoryContext context;
	Size limit;
	Size fixed_bytes;	/* of a row, without what is referred to */
	Size max_row_bytes; /* of the rows that came */
	int max_rows;		/* of a batch */

	/* the run in memory */
	MemoryContext run_context;
	int segment_shift; /* a segment has 1 << segment_shift rows */
	Size segment_bytes;
	int nsegments;
	int segments_room;
	DbpSortSegment *segments;
	uint32 nrows;
	Size used;
	Size order_bytes; /* for each row, to sort it */
	Size run_bytes;	  /* of the values, as DBP_BATCH_BYTES counts them */
	char *arena;
	Size arena_left;
	bool handed_out;

	/* those in the file */
	BufFile *file;
	DbpSortPlace file_end;
	Size block_bytes;
	int nruns;
	int runs_room;
	DbpSortRun *runs;

	/* on the way out */
	bool sorted;
	bool merging;
	uint32 position;
	int nheap;
	int *heap; /* of indexes into runs */
	int nitems;
	DbpSortItem *items;
	int piece_rows;
	MemoryContext out_context; /* by-reference values of the batch */
	char *out_arena;
	Size out_arena_left;
	Datum **out_values;
	bool **out_nulls;
	bool **out_nulls_room;
	uint64 *out_tags;
};

static inline DbpSortSegment *
dbp_sorter_segment(const DbpSorter *sorter, uint32 row)
{
	return &sorter->segments[row >> sorter->segment_shift];
}

static inline uint32
dbp_sorter_place(const DbpSorter *sorter, uint32 row)
{
	return row & ((1U << sorter->segment_shift) - 1);
}

static inline Size
dbp_sorter_value_bytes(const DbpSortColumn *column, const char *value)
{
	if (column->len > 0)
		return column->len;
	if (column->len == -1)
		return VARSIZE_ANY(value);
	return strlen(value) + 1;
}

static inline const char *
dbp_sorter_value_of(const DbpSortPiece *piece, int i)
{
	if (piece->base != NULL)
		return piece->base + ((const uint32 *) piece->values)[i];
	return ((const char *const *) piece->values)[i];
}

static inline bool
dbp_sorter_null_in_run(const DbpSortRun *run, int column, int row)
{
	return run->nulls[column] != NULL && run->nulls[column][row];
}

static inline const char *
dbp_sorter_value_in_run(const DbpSorter *sorter, const DbpSortRun *run, int column, int row)
{
	const DbpSortColumn *c = &sorter->columns[column];

	if (c->byval)
		return run->values[column] + (Size) row * c->width;
	return run->data + ((const uint32 *) run->values[column])[row];
}

/* sorter_order.c */
extern uint64 dbp_sorter_number(DbpSortNumber number, Datum value);
extern void dbp_sorter_order(DbpSorter *sorter);

/* sorter_file.c: the run in memory goes to the file; blocks, one after the other at the end of it */
extern void dbp_sorter_spill(DbpSorter *sorter);
extern void dbp_sorter_write_block(DbpSorter *sorter, DbpSortBlock *block, int count, int npieces,
								   DbpSortPieceOf piece_of);
/* The next block of a run; false: no more */
extern bool dbp_sorter_read_block(DbpSorter *sorter, DbpSortRun *run);

/* sorter_merge.c */
extern void dbp_sorter_merge_begin(DbpSorter *sorter);
extern int dbp_sorter_merge_next(DbpSorter *sorter);

/* sorter.c: how many rows in memory from the present position on, of at most so many, make a batch */
extern int dbp_sorter_count_rows(const DbpSorter *sorter, uint32 max_rows);
extern void dbp_sorter_reset_run(DbpSorter *sorter);

#endif /* DBP_COLUMNAR_SORTER_RUN_H */
