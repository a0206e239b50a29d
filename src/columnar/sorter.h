/*-------------------------------------------------------------------------
 *
 * sorter.h
 *		Sorts rows of any number in bounded memory, for batches.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COLUMNAR_SORTER_H
#define DBP_COLUMNAR_SORTER_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "nodes/pg_list.h"

#include "columnar/columnar.h"

typedef struct DbpSorter DbpSorter;

/*
 * sort_by: attnums (a list of int), in the default btree order of their types,
 * nulls last; rows that are equal by it stay in the order in which they came.
 * NIL: all do.  Everything lives in a child of the current memory context, and
 * temporary files belong to the resource owner that is the current one when
 * rows are put.  A row has a tag, whatever the caller wants to know it by.
 */
extern DbpSorter *dbp_sorter_begin(TupleDesc tupdesc, List *sort_by, int work_mem_kb);

/*
 * Copies the row; values may be toasted.  False: it is larger than DBP_ROW_BYTES, and
 * was not taken.
 */
extern bool dbp_sorter_put(DbpSorter *sorter, const Datum *values, const bool *nulls, uint64 tag);

/*
 * True where nothing is to be sorted and the memory is full: all rows are to be
 * taken with dbp_sorter_next() before more are put.
 */
extern bool dbp_sorter_is_full(const DbpSorter *sorter);

/* After the last row */
extern void dbp_sorter_sort(DbpSorter *sorter);

/*
 * The next rows, as many as go into a batch.  They stay until the next call of
 * any function here.  False: no more.
 */
extern bool dbp_sorter_next(DbpSorter *sorter, DbpRows *rows, const uint64 **tags);

extern void dbp_sorter_end(DbpSorter *sorter);

#endif /* DBP_COLUMNAR_SORTER_H */
