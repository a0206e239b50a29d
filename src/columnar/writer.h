/*-------------------------------------------------------------------------
 *
 * writer.h
 *		Writes rows as batches: sorts them, and has them encoded and stored.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COLUMNAR_WRITER_H
#define DBP_COLUMNAR_WRITER_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "columnar/columnar.h"

typedef struct DbpWriter DbpWriter;

/* Called for each batch that has been written: its tags are in the order of its rows */
typedef void (*DbpBatchWritten)(Oid id, const ItemPointerData *tid, int nrows, const uint64 *tags,
								void *arg);

typedef struct DbpWriterOptions
{
	List *sort_by;		  /* attnums */
	Oid other_toast;	  /* as for dbp_store_begin() */
	CommandId cid;		  /* of the inserting command */
	int options;		  /* HEAP_INSERT_* */
	int pause_ms;		  /* after each batch */
	DbpBatchWritten call; /* may be NULL */
	void *arg;
} DbpWriterOptions;

/* rel has nothing in it yet, and a TOAST table.  Memory and files as those of a sorter. */
extern DbpWriter *dbp_writer_begin(Relation rel, const DbpWriterOptions *options);

/* False: the row is too large for a batch, and has to be inserted as a row tuple after the batches */
extern bool dbp_writer_put(DbpWriter *writer, const Datum *values, const bool *nulls, uint64 tag);

/* Sorts and writes what was put */
extern void dbp_writer_finish(DbpWriter *writer);

/* Writes a batch of these very rows; after dbp_writer_finish() */
extern void dbp_writer_store(DbpWriter *writer, const DbpRows *rows, const uint64 *tags,
							 ItemPointer tid);

extern int64 dbp_writer_rows(const DbpWriter *writer);
extern int64 dbp_writer_batches(const DbpWriter *writer);
extern void dbp_writer_end(DbpWriter *writer);

#endif /* DBP_COLUMNAR_WRITER_H */
