/*-------------------------------------------------------------------------
 *
 * latest.h
 *		The last row of each key, and the active rows of one.
 *
 * latest.c has the functions of SQL: what they are asked, and the answer.
 * Keys are looked for in the cache (latest_cache.c); then in the table itself,
 * from its newest rows backwards (latest_scan.c); or, where only the executor
 * does it right, by one statement (latest_sql.c).  All three give what that
 * statement would give under the active snapshot.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_LATEST_H
#define DBP_LATEST_H

#include "postgres.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

/* A column of the table that rows are compared by */
typedef struct DbpLatestColumn
{
	AttrNumber attnum;
	Oid type; /* domains: what they are made of */
	Oid collation;
	TypeCacheEntry *order; /* of the type, with its comparison function */
} DbpLatestColumn;

/* One of the keys asked for */
typedef struct DbpLatestKey
{
	Datum value;
	bool answered;	/* row is the answer, be it NULL: there is none */
	HeapTuple row;	/* in the row type of the result */
	HeapTuple best; /* the latest row seen so far, in the table's row type */
	bool settled;	/* no more rows of the present partition need to be read for it, ... */
	int64 group;	/* ... but those of this group of equal times */
} DbpLatestKey;

typedef struct DbpLatest
{
	Relation rel;
	Oid rowtype;		/* of the result; InvalidOid: market data's */
	TupleDesc out;		/* the result */
	AttrNumber *source; /* for each of its columns: that of the table; 0: dropped, NULL */
	bool whole;			/* the result is the table's row as it stands */

	DbpLatestColumn by;
	DbpLatestKey *keys; /* ascending, none twice */
	int nkeys;

	/* The rest is known after dbp_latest_describe() */
	DbpLatestColumn time;
	AttrNumber deleted; /* deleted_at; 0: there is no such column */
	int nties;
	DbpLatestColumn *ties; /* the greatest of them is the last one of rows of equal time */
} DbpLatest;

static inline int
dbp_latest_compare(const DbpLatestColumn *column, Datum a, Datum b)
{
	/* what keys mostly are */
	if (column->type == INT4OID)
		return (DatumGetInt32(a) > DatumGetInt32(b)) - (DatumGetInt32(a) < DatumGetInt32(b));
	if (column->type == INT8OID || column->type == TIMESTAMPTZOID || column->type == TIMESTAMPOID)
		return (DatumGetInt64(a) > DatumGetInt64(b)) - (DatumGetInt64(a) < DatumGetInt64(b));
	return DatumGetInt32(
		FunctionCall2Coll(&column->order->cmp_proc_finfo, column->collation, a, b));
}

/* latest_scan.c */

/* May all rows be read directly, or from the cache, for this caller and in this transaction? */
extern bool dbp_latest_may_read(const DbpLatest *latest);

/* Are the partitions in the order of the time?  Of a partitioned table. */
extern bool dbp_latest_can_scan(const DbpLatest *latest);

/*
 * Finds the best row of all keys that are not answered.  False when it came
 * upon something that only a statement can read; what it found is worth nothing then.
 */
extern bool dbp_latest_scan(DbpLatest *latest);

/* latest_sql.c */

/* Answers all keys that are not answered, by one statement; rows go to the context. SPI must be connected. */
extern void dbp_latest_statement(DbpLatest *latest, MemoryContext context);

/* A statement of this session's, prepared once and kept; SPI must be connected */
extern SPIPlanPtr dbp_latest_prepare(const char *sql, int nargs, Oid *types);

/*
 * Has rows that are not deleted put into the store, newest first.  NULL
 * pointers: no bound, no limit.  Returns how many.  SPI must be connected.
 */
extern uint64 dbp_latest_active(const DbpLatest *latest, int32 instrument, const int64 *from,
								const int64 *to, const int32 *limit, Tuplestorestate *store);

/* latest_cache.c */

/*
 * What the present state of all that is committed is known by: see the head of
 * latest_cache.c.
 */
typedef struct DbpLatestState
{
	bool known;			/* false: the active snapshot may show another one */
	uint64 completions; /* transactions with an xid that have ended since the server's start */
} DbpLatestState;

extern void dbp_latest_init(void);
extern DbpLatestState dbp_latest_state(void);

/* Is there a cache, and may rows of this table be in it? */
extern bool dbp_latest_is_cacheable(const DbpLatest *latest);

/* Answers keys; returns how many */
extern int dbp_latest_lookup(DbpLatest *latest, DbpLatestState state);

/*
 * To be called before the table is read: will what is read be as of this
 * state, the set of its partitions included?
 */
extern bool dbp_latest_can_keep(const DbpLatest *latest, DbpLatestState state);

/* Keeps all answers; they were read as of that state */
extern void dbp_latest_keep(const DbpLatest *latest, DbpLatestState state);

#endif /* DBP_LATEST_H */
