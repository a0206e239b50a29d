/*-------------------------------------------------------------------------
 *
 * index_insert.h
 *		Index entries for many rows of a table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_INDEX_INSERT_H
#define DBP_INDEX_INSERT_H

#include "postgres.h"

#include "nodes/execnodes.h"

typedef struct DbpIndexInsert DbpIndexInsert;

/* The indexes of "result" are open. Lives as long as CurrentMemoryContext. */
extern DbpIndexInsert *dbp_index_insert_begin(ResultRelInfo *result, EState *estate);

/*
 * Makes the entries of rows that are in the table. recheck[i] gets the indexes
 * whose uniqueness is to be checked later. Row i is number first + rows[i] for
 * messages, which *current is set to while its entry is made.
 */
extern void dbp_index_insert_rows(DbpIndexInsert *insert, TupleTableSlot **slots, int nrows,
								  List **recheck, const int *rows, int64 first, int64 *current);

#endif /* DBP_INDEX_INSERT_H */
