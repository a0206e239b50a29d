/*-------------------------------------------------------------------------
 *
 * inspect.h
 *		What functions that look into columnar tables share (info.c, verify*.c).
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COLUMNAR_INSPECT_H
#define DBP_COLUMNAR_INSPECT_H

#include "postgres.h"

#include "access/htup_details.h"
#include "nodes/execnodes.h"
#include "storage/buf.h"
#include "utils/hsearch.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#include "columnar/columnar.h"

/*
 * info.c: opens a columnar table that the user may look into: its owner, who may
 * read it, members of pg_monitor.  NULL: there is no such relation any more.
 */
extern Relation dbp_inspect_open(Oid relid);

/*
 * Does work in a subtransaction.  Returns the message of the error that it ended
 * with, or NULL; errors that tell nothing of the data are raised.
 */
extern char *dbp_problem_of(void (*work)(void *arg), void *arg);

/* A batch as its batch tuple says, and what has been found of it */
typedef struct DbpVerifyBatch
{
	ItemPointerData tid;
	HeapTuple tuple;
	bool opened; /* head and directory are sound, and so is what follows */
	bool sound;	 /* so are all columns */
	Oid id;
	int nrows;
	uint32 stream_length;
	uint64 piece_bytes; /* of all pieces */
	uint8 *tombstones;	/* NULL: none */
} DbpVerifyBatch;

/* Whose a value of the TOAST table is */
typedef struct DbpVerifyId
{
	Oid id;	   /* key of the hash table */
	int batch; /* number, or -1: nobody's (and it has been reported), or -2: a row's */
} DbpVerifyId;

typedef struct DbpVerify
{
	Relation rel;
	Snapshot snapshot;
	ReturnSetInfo *result;
	MemoryContext context;		   /* for what is kept to the end */
	BufferAccessStrategy strategy; /* for what is read once */
	int nbatches;
	int max_batches;
	DbpVerifyBatch *batches;
	HTAB *ids;
} DbpVerify;

/* verify.c: batch, tid: NULL if it is about none; attnum: 0; row: -1 */
extern void dbp_verify_report(DbpVerify *verify, const DbpVerifyBatch *batch,
							  const ItemPointerData *tid, AttrNumber attnum, int row,
							  const char *problem);
/* Sees that the id is known, as the batch's number or -2 */
extern void dbp_verify_know(DbpVerify *verify, Oid id, int batch);

/*
 * verify_page.c: copies of a page's tuples that may be looked at without fear:
 * they are where they are said to be, and their xids are such as can be looked up.
 */
typedef struct DbpVerifyTuple
{
	HeapTupleData tuple;
	bool visible; /* to the snapshot */
} DbpVerifyTuple;

typedef struct DbpVerifyPage
{
	Relation rel;
	BlockNumber block;
	int n;
	DbpVerifyTuple tuples[MaxHeapTuplesPerPage];
	PGAlignedBlock copy;
} DbpVerifyPage;

/* report: whether problems are reported, too */
extern void dbp_verify_page(DbpVerify *verify, Relation rel, BlockNumber block, bool report,
							DbpVerifyPage *page);
/*
 * Is a row tuple one that may be taken apart?  Where report is set, says so if
 * not, and reads toasted values.
 */
extern bool dbp_verify_row(DbpVerify *verify, HeapTuple tuple, bool report);

/* verify_toast.c: the TOAST table's heap */
extern void dbp_verify_toast(DbpVerify *verify);

/* verify_unique.c */
extern void dbp_verify_unique(DbpVerify *verify);

#endif /* DBP_COLUMNAR_INSPECT_H */
