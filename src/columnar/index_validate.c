/*-------------------------------------------------------------------------
 *
 * index_validate.c
 *		Last step of CREATE INDEX CONCURRENTLY and REINDEX CONCURRENTLY: rows
 *		that the index lacks.
 *
 * The index was built with an older snapshot, and has been kept up to date by
 * writers since.  What it may lack are row tuples that were inserted in between.
 * Rows of batches have not come since then: a full index has them all, but for
 * those that were deleted before, which this snapshot does not see either.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relscan.h"
#include "access/tableam.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/tuplesort.h"

#include "columnar.h"
#include "compat.h"
#include "index.h"

typedef struct Validation
{
	DbpRowScan rows;
	DbpEntryMaker maker;
	ValidateIndexState *state;
	bool find_in_batches; /* rows of batches with the same key are to be in the index */
	BlockNumber block;	  /* at hand */
	bool indexed[MaxHeapTuplesPerPage];
	bool have_next;
	ItemPointerData next; /* of the index's TIDs, in order */
} Validation;

static void
next_indexed(Validation *self)
{
	Datum value;
	bool isnull;

	self->have_next = dbp_tuplesort_getdatum(self->state->tuplesort, &value, &isnull);
	if (!self->have_next)
		return;
	itemptr_decode(&self->next, DatumGetInt64(value));
#ifndef USE_FLOAT8_BYVAL
	pfree(DatumGetPointer(value));
#endif
}

/* Which tuples of the block does the index have? */
static void
enter_block(Validation *self, BlockNumber block)
{
	self->block = block;
	memset(self->indexed, 0, sizeof(self->indexed));
	while (self->have_next && ItemPointerGetBlockNumberNoCheck(&self->next) <= block)
	{
		OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(&self->next);

		CHECK_FOR_INTERRUPTS();
		if (ItemPointerGetBlockNumberNoCheck(&self->next) == block && offset >= 1 &&
			offset <= MaxHeapTuplesPerPage)
			self->indexed[offset - 1] = true;
		next_indexed(self);
	}
	pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, block);
}

static void
insert_missing(Validation *self, ItemPointer root)
{
	DbpEntryMaker *maker = &self->maker;

	if (!dbp_entry_form(maker, self->rows.slot))
		return;
	if (self->find_in_batches)
		dbp_unique_find(maker->rel, maker->index, maker->values, maker->isnull);

	/* The root of the chain stands for all of it, so that its being dead is no reason not to check */
	(void) index_insert(maker->index, maker->values, maker->isnull, root, maker->rel,
						maker->info->ii_Unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false,
						maker->info);
	self->state->tups_inserted += 1;
}

void
dbp_index_validate_scan(Relation table, Relation index, IndexInfo *info, Snapshot snapshot,
						ValidateIndexState *state)
{
	Validation self = {.rows = {.rel = table, .snapshot = snapshot}, .state = state};

	dbp_pending_flush(table);
	self.find_in_batches = info->ii_Unique && !dbp_index_is_full(index);
	self.block = InvalidBlockNumber;
	dbp_entry_begin(&self.maker, table, index, info);

	/* Not synchronized with other scans: in the order of TIDs */
	dbp_row_scan_begin(&self.rows, NULL, SO_ALLOW_STRAT);
	pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL, dbp_row_scan_blocks(&self.rows));
	next_indexed(&self);
	while (dbp_row_scan_next(&self.rows))
	{
		ItemPointerData root;

		if (self.rows.batch)
			continue;
		state->htups += 1;
		if (ItemPointerGetBlockNumber(&self.rows.tuple->t_self) != self.block)
			enter_block(&self, ItemPointerGetBlockNumber(&self.rows.tuple->t_self));
		dbp_row_scan_root(&self.rows, &root);
		if (!self.indexed[ItemPointerGetOffsetNumber(&root) - 1])
			insert_missing(&self, &root);
	}
	dbp_row_scan_end(&self.rows);
	dbp_index_insert_cleanup(index, info);
	dbp_entry_end(&self.maker);
}
