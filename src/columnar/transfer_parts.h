/*-------------------------------------------------------------------------
 *
 * transfer_parts.h
 *		What the files of a transfer share.
 *
 * A row is known by its tag, which is its TID in the old table as a number.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COLUMNAR_TRANSFER_PARTS_H
#define DBP_COLUMNAR_TRANSFER_PARTS_H

#include "postgres.h"

#include "access/htup_details.h"
#include "access/rewriteheap.h"
#include "access/transam.h"
#include "access/xlogdefs.h"
#include "storage/block.h"
#include "storage/buf.h"
#include "storage/bufmgr.h"
#include "storage/itemptr.h"

#include "columnar/columnar.h"
#include "columnar/transfer.h"

/* Numbers in ascending order */
typedef struct DbpTags
{
	uint64 *tags;
	uint64 n;
	uint64 room;
} DbpTags;

/* What a row version of the old table is to the transfer */
typedef enum DbpVerdict
{
	DBP_VERDICT_DEAD,  /* nobody sees it any more */
	DBP_VERDICT_ALL,   /* everybody sees it */
	DBP_VERDICT_OLD,   /* everybody saw it, but some do not any more */
	DBP_VERDICT_YOUNG, /* some do not see it yet */
	DBP_VERDICT_BOTH,  /* some do not see it yet, and some not any more */
} DbpVerdict;

/* A batch of the old table */
typedef struct DbpOldBatch
{
	ItemPointerData tid;
	TransactionId xmin; /* of a young one; else InvalidTransactionId */
	CommandId cmin;		/* of this transaction's own */
} DbpOldBatch;

/* A row that was copied and has been deleted since */
typedef struct DbpGone
{
	uint64 tag;
	TransactionId xmax;
	bool keys_updated; /* or deleted */
} DbpGone;

typedef struct DbpSink DbpSink;

struct DbpTransfer
{
	Relation old;
	Relation new;
	DbpTransferOptions options;
	MemoryContext context;
	MemoryContext row_context;
	bool from_batches;
	CommandId cid;
	Datum *values; /* room for a row */
	bool *nulls;

	XLogRecPtr started;
	BlockNumber nblocks;	   /* that have been copied */
	TransactionId newest_xmin; /* of copied rows that were not frozen */
	uint8 *settled;			   /* bitmap of pages: all-visible when they were copied */
	uint8 *look;			   /* bitmap of pages: with rows that were not copied */
	DbpTags rows;		/* of old row tuples that were not copied, although their xmin is old */
	DbpTags batch_rows; /* the same of rows in batches */
	DbpTags young_rows; /* and in young batches, where those were copied */
	int nbatches;
	int batches_room;
	DbpOldBatch *batches;

	DbpSink *sink;
	DbpTransferCounts counts;

	/* the second part */
	bool finishing;		  /* else it is a rehearsal */
	RewriteState rewrite; /* NULL: nothing has been carried yet */
	DbpTransferWork work;
	int64 ngone;
	int64 gone_room;
	DbpGone *gone;
};

static inline uint64
dbp_tag(const ItemPointerData *tid)
{
	return (uint64) ItemPointerGetBlockNumberNoCheck(tid) << 16 |
		ItemPointerGetOffsetNumberNoCheck(tid);
}

static inline void
dbp_tag_tid(uint64 tag, ItemPointer tid)
{
	ItemPointerSet(tid, (BlockNumber) (tag >> 16), (OffsetNumber) (tag & 0xffff));
}

/* transfer.c */
extern void dbp_tags_add(DbpTransfer *transfer, DbpTags *tags, uint64 tag);
extern bool dbp_tags_have(const DbpTags *tags, uint64 tag);
extern DbpVerdict dbp_transfer_judge(const DbpTransfer *transfer, HeapTuple tuple, Buffer buffer);
extern bool dbp_transfer_bit(const uint8 *bitmap, BlockNumber block);

/* transfer_batch.c: batches of the old table */
extern void dbp_transfer_batch(DbpTransfer *transfer, HeapTuple tuple, DbpVerdict verdict);
extern void dbp_transfer_young_batches(DbpTransfer *transfer);
extern void dbp_transfer_batches_again(DbpTransfer *transfer);

/* transfer_rest.c: the second part */
/*
 * InvalidTransactionId as xmin: long ago; as xmax: never.  The numbers of commands
 * are those of this transaction's own.
 */
extern void dbp_transfer_set_xids(HeapTupleHeader header, TransactionId xmin, CommandId cmin,
								  TransactionId xmax, CommandId cmax);
extern void dbp_transfer_carry(DbpTransfer *transfer, HeapTuple old);
extern void dbp_transfer_carry_row(DbpTransfer *transfer, const ItemPointerData *tid,
								   TransactionId xmin, CommandId cmin, TransactionId xmax,
								   CommandId cmax);
extern void dbp_transfer_gone(DbpTransfer *transfer, uint64 tag, TransactionId xmax,
							  bool keys_updated);

/* sink.c: what is written to the new table */
extern DbpSink *dbp_sink_begin(DbpTransfer *transfer);
/* The row as it is in transfer->values; false: too large for a batch */
extern bool dbp_sink_put(DbpSink *sink, uint64 tag);
extern void dbp_sink_finish(DbpSink *sink);
extern bool dbp_sink_has_batches(const DbpSink *sink);
/* A batch of its own, made by that transaction */
extern void dbp_sink_put_batch(DbpSink *sink, const DbpRows *rows, const uint64 *tags,
							   TransactionId xmin, CommandId cmin);
/* Everybody sees all that has been written so far: say so in the visibility map */
extern void dbp_sink_settle(DbpSink *sink);
/* Undo what was written of some rows, in the order of their tags */
extern void dbp_sink_take_back(DbpSink *sink, const DbpGone *gone, int64 ngone);
extern void dbp_sink_end(DbpSink *sink);

#endif /* DBP_COLUMNAR_TRANSFER_PARTS_H */
