/*-------------------------------------------------------------------------
 *
 * transfer.h
 *		Moves all rows of a table into a new file, with what old snapshots see.
 *
 * Both tables have the same columns; each may be a heap or columnar, but not both heaps.  The
 * work has two parts.  dbp_transfer_copy() takes the rows that everybody sees, and
 * writes them such that everybody does.  Others may go on writing to the old
 * table meanwhile.  dbp_transfer_finish() does the rest with the old table
 * locked: rows that are new, or seen by some only, go as they are, with the
 * transactions that made and deleted them; and what happened to rows after they were
 * copied is made good.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COLUMNAR_TRANSFER_H
#define DBP_COLUMNAR_TRANSFER_H

#include "postgres.h"

#include "access/multixact.h"
#include "nodes/pg_list.h"
#include "utils/rel.h"

typedef struct DbpTransfer DbpTransfer;

typedef struct DbpTransferOptions
{
	List *sort_by; /* attnums */
	int pause_ms;
	/*
	 * Nobody else writes to the old table from the beginning on.  Else the caller has a registered
	 * snapshot, taken before, and keeps it, so that nothing that is copied can vanish.
	 */
	bool exclusive;
	bool report_cluster; /* in pg_stat_progress_cluster */
	/*
	 * What is older than that has ended, and every snapshot knows.  Row versions that were
	 * deleted by such transactions are left out.
	 */
	TransactionId horizon;
	/* New relfrozenxid and relminmxid: what is older is frozen; not above horizon */
	TransactionId freeze_limit;
	MultiXactId multi_cutoff;
} DbpTransferOptions;

/* What is still to do, as it was a moment ago */
typedef struct DbpTransferWork
{
	int64 pages;   /* to look at */
	int64 carried; /* row versions to be taken along as they are */
	int64 gone;	   /* rows that were deleted since they were copied */
} DbpTransferWork;

typedef struct DbpTransferCounts
{
	int64 rows;		/* written by dbp_transfer_copy() */
	int64 batches;	/* the same */
	int64 gone;		/* of those */
	int64 carried;	/* alive, as row tuples */
	int64 recently; /* row versions that only some may see: dead, or about to be */
	int64 dead;		/* left out */
} DbpTransferCounts;

extern DbpTransfer *dbp_transfer_begin(Relation old, Relation new,
									   const DbpTransferOptions *options);
extern void dbp_transfer_copy(DbpTransfer *transfer);
/* Looks at what dbp_transfer_finish() would, and so has it in memory */
extern void dbp_transfer_rehearse(DbpTransfer *transfer, DbpTransferWork *work);
/* The old table is locked against everybody */
extern void dbp_transfer_finish(DbpTransfer *transfer, DbpTransferCounts *counts);
extern void dbp_transfer_end(DbpTransfer *transfer);

#endif /* DBP_COLUMNAR_TRANSFER_H */
