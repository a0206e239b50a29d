/*-------------------------------------------------------------------------
 *
 * writer.c
 *		Writes rows as batches: sorts them, and has them encoded and stored.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "columnar/progress.h"
#include "columnar/sorter.h"
#include "columnar/writer.h"
#include "partition/partition.h"

struct DbpWriter
{
	DbpWriterOptions options;
	DbpSorter *sorter;
	DbpStoreWriter *store;
	MemoryContext batch_context; /* for what storing one batch leaves behind */
	int64 rows;
	int64 batches;
};

DbpWriter *
dbp_writer_begin(Relation rel, const DbpWriterOptions *options)
{
	DbpWriter *writer = palloc0(sizeof(DbpWriter));

	writer->options = *options;
	writer->sorter =
		dbp_sorter_begin(RelationGetDescr(rel), options->sort_by, maintenance_work_mem);
	writer->store = dbp_store_begin(rel, options->other_toast, options->cid,
									options->options | HEAP_INSERT_SKIP_FSM);
	writer->batch_context =
		AllocSetContextCreate(CurrentMemoryContext, "dbperf batch writer", ALLOCSET_DEFAULT_SIZES);
	return writer;
}

void
dbp_writer_store(DbpWriter *writer, const DbpRows *rows, const uint64 *tags, ItemPointer tid)
{
	MemoryContext old = MemoryContextSwitchTo(writer->batch_context);

	CHECK_FOR_INTERRUPTS();
	dbp_store_batch(writer->store, rows, tid);
	if (writer->options.call != NULL)
		writer->options.call(dbp_store_last_id(writer->store), tid, rows->nrows, tags,
							 writer->options.arg);
	MemoryContextSwitchTo(old);
	MemoryContextReset(writer->batch_context);
	writer->rows += rows->nrows;
	writer->batches++;
	dbp_progress_written(rows->nrows, 1, dbp_store_bytes(writer->store));
	if (writer->options.pause_ms > 0)
		dbp_pause_ms(writer->options.pause_ms);
}

static void
write_sorted(DbpWriter *writer)
{
	DbpRows rows;
	const uint64 *tags;
	ItemPointerData tid;

	while (dbp_sorter_next(writer->sorter, &rows, &tags))
		dbp_writer_store(writer, &rows, tags, &tid);
}

bool
dbp_writer_put(DbpWriter *writer, const Datum *values, const bool *nulls, uint64 tag)
{
	if (!dbp_sorter_put(writer->sorter, values, nulls, tag))
		return false;
	if (dbp_sorter_is_full(writer->sorter))
		write_sorted(writer);
	return true;
}

void
dbp_writer_finish(DbpWriter *writer)
{
	dbp_progress_phase(DBP_PHASE_SORTING);
	dbp_sorter_sort(writer->sorter);
	dbp_progress_phase(DBP_PHASE_WRITING);
	write_sorted(writer);
	/* its memory is wanted for what comes now */
	dbp_sorter_end(writer->sorter);
	writer->sorter = NULL;
}

int64
dbp_writer_rows(const DbpWriter *writer)
{
	return writer->rows;
}

int64
dbp_writer_batches(const DbpWriter *writer)
{
	return writer->batches;
}

void
dbp_writer_end(DbpWriter *writer)
{
	if (writer->sorter != NULL)
		dbp_sorter_end(writer->sorter);
	dbp_store_end(writer->store);
	MemoryContextDelete(writer->batch_context);
	pfree(writer);
}
