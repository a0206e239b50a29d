/*-------------------------------------------------------------------------
 *
 * bulk.h
 *		What the parts of bulk_insert() share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_BULK_H
#define DBP_BULK_H

#include "postgres.h"

#include "executor/execPartition.h"
#include "nodes/execnodes.h"
#include "partition/partition.h"
#include "utils/rel.h"

#include "ingest/ingest.h"

#define DBP_BATCH_SIZE_DEFAULT 1000
#define DBP_BATCH_SIZE_MAX 100000

typedef enum DbpOnConflict
{
	DBP_CONFLICT_ERROR,
	DBP_CONFLICT_NOTHING,
	DBP_CONFLICT_UPDATE
} DbpOnConflict;

typedef struct DbpBulkOptions
{
	int batch_size;
	bool reject; /* on_error: leave out the rows that fail; else abort */
	DbpOnConflict on_conflict;
	List *conflict_columns; /* of char *; NIL: not given */
} DbpBulkOptions;

typedef struct DbpRouter DbpRouter;
typedef struct DbpDirect DbpDirect;

/* One call */
typedef struct DbpBulk
{
	Relation rel;
	DbpSource *source;
	DbpBulkOptions options;
	bool by_statement; /* as an INSERT statement; else directly */
	bool in_subxact;   /* each attempt runs in a subtransaction */
	DbpRouter *router; /* NULL: the table's partitions are not of the simple kind */
	DbpDirect *direct; /* kept from batch to batch, unless in_subxact */

	MemoryContext call_context;
	MemoryContext batch_context;   /* reset after each batch */
	MemoryContext attempt_context; /* reset after each attempt at rows of a batch */

	/* What is being worked on, for messages; all count from 0 */
	int64 batch_first;
	int batch_count;
	int64 row; /* -1: not one row alone */

	/* Of the attempt in progress, to be taken over when it succeeds */
	List *attempt_rejects; /* of DbpReject *, in batch_context */
	uint64 attempt_inserted;
	uint64 attempt_late;

	/* Of the batch */
	List *rejects;

	/* Of the call */
	uint64 inserted;
	uint64 rejected;
	uint64 batches;
	uint64 late;
} DbpBulk;

/* How a column that was not given gets its value */
typedef struct DbpDefault
{
	AttrNumber attnum;
	ExprState *state; /* NULL: the value is NULL */
	bool is_volatile; /* to be evaluated for each row */
} DbpDefault;

/* defaults.c: NULL state for columns without a default */
extern DbpDefault *dbp_defaults_prepare(Relation rel, EState *estate, bool *any_volatile);

/*
 * router.c: partitions of a parent with one plain key column, found by
 * comparing integers.
 */
extern DbpRouter *dbp_router_make(Relation rel);
extern AttrNumber dbp_router_attnum(const DbpRouter *router);
extern int dbp_router_column(const DbpRouter *router, const DbpSource *source);
extern void dbp_router_refresh(DbpRouter *router, Relation rel);

/*
 * The place of the partition for a key in the router's list, or -1. *late: it
 * ends before now.
 */
extern int dbp_router_find(DbpRouter *router, int64 key, bool *late);
extern int64 dbp_router_key(const DbpRouter *router, Datum value);
extern int dbp_router_count(const DbpRouter *router);
/*
 * Do all keys with that place go to one table for sure?  Not those of the default
 * partition: it may lose some of them to a new partition at any time.
 */
extern bool dbp_router_is_leaf(const DbpRouter *router, int place);

/*
 * Sees that there is a partition for every row of a batch whose key is given,
 * with the help of a background worker where one is missing. Rows that cannot
 * have one are an error, or become rejects: skip[row] is set.
 */
extern void dbp_router_prepare(DbpBulk *bulk, const DbpBatch *batch, bool *skip);

/* direct.c */
extern DbpDirect *dbp_direct_begin(DbpBulk *bulk);
extern void dbp_direct_run(DbpBulk *bulk, DbpDirect *direct, const DbpBatch *batch,
						   const bool *skip);
extern void dbp_direct_end(DbpDirect *direct);

/*
 * AfterTriggerEndQuery(). What it and trigger functions keep for the next call
 * has to live as long as the estate, not as long as the batch.
 */
extern void dbp_end_triggers(EState *estate);

/* fk_check.c: foreign keys, each value once a batch */
typedef struct DbpFkChecks DbpFkChecks;		  /* of a call */
typedef struct DbpForeignKeys DbpForeignKeys; /* of one table in it */

extern DbpFkChecks *dbp_fk_make(void);
extern DbpForeignKeys *dbp_fk_prepare(DbpFkChecks *checks, ResultRelInfo *result);
extern bool dbp_fk_is_to_itself(const DbpForeignKeys *keys);
extern void dbp_fk_begin(DbpFkChecks *checks, int nrows);
extern void dbp_fk_check(DbpForeignKeys *keys, EState *estate, ResultRelInfo *result,
						 TupleTableSlot *slot);

/* statement.c */
extern bool dbp_statement_needed(DbpBulk *bulk);
extern void dbp_statement_insert(DbpBulk *bulk, const DbpBatch *batch, const bool *skip);

/* attempt.c: inserts the batch in bulk->batch_first, batch_count */
extern void dbp_attempt_batch(DbpBulk *bulk);

/* The target as a statement that inserts these columns would have it */
extern RangeTblEntry *dbp_bulk_range_table_entry(const DbpSource *source, Bitmapset **inserted);

/* False: the row in the slot breaks a rule of the table, and has become a reject */
extern bool dbp_bulk_check_rules(DbpBulk *bulk, DbpRules *rules, TupleTableSlot *slot,
								 ExprContext *econtext);

/* Leaves out a row for a reason that is no error of PostgreSQL's */
extern void dbp_bulk_reject(DbpBulk *bulk, int64 row, int sqlerrcode, const char *reason,
							const char *detail, const char *column);

#endif /* DBP_BULK_H */
