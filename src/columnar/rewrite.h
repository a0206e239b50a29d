/*-------------------------------------------------------------------------
 *
 * rewrite.h
 *		Compressing, decompressing and recompressing a table in place.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COLUMNAR_REWRITE_H
#define DBP_COLUMNAR_REWRITE_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

typedef enum DbpRewriteKind
{
	DBP_REWRITE_COMPRESS,
	DBP_REWRITE_DECOMPRESS,
	DBP_REWRITE_RECOMPRESS
} DbpRewriteKind;

typedef struct DbpRewriteRequest
{
	DbpRewriteKind kind;
	Oid relid;
	List *sort_by;		/* of column names (char *); NIL: as it was, or the default */
	int lock_budget_ms; /* nobody waits longer for this at a time */
	int patience_ms;	/* how long to try to get the lock for the swap, before giving up */
	int pause_ms;		/* I/O pause after each batch */
	bool
		exclusive; /* take ACCESS EXCLUSIVE at once, and wait for it (temporary tables, caller's transaction) */
} DbpRewriteRequest;

typedef struct DbpRewriteResult
{
	bool done; /* false: the lock was not to be had within patience_ms; nothing has changed */
	const char *why_not; /* then */
	int64 rows;			 /* in batches (decompress: in all) */
	int64 late_rows;	 /* kept as row tuples */
	int64 batches;
	int64 bytes_before; /* of table and indexes, TOAST included */
	int64 bytes_after;
	double ms_waited; /* for locks */
	double ms_held;	  /* ACCESS EXCLUSIVE, until just before commit */
} DbpRewriteResult;

/*
 * In a transaction, as the owner of the table.  Leaves the table as it was when it raises an error. The caller commits.
 */
extern void dbp_rewrite(const DbpRewriteRequest *request, DbpRewriteResult *result);

/* The key that a table is sorted by when nothing else is said: the first other index column, then the partition
 * column: attnums */
extern List *dbp_default_sort_key(Oid relid);

/* That, or for a columnar table the one that somebody has asked for */
extern List *dbp_table_sort_key(Relation rel);

/* The latter alone, NIL: none; and its being written to a new columnar table */
extern List *dbp_sort_key_stored(Relation rel);
extern void dbp_sort_key_store(Relation rel, List *attnums, CommandId cid);

extern bool dbp_can_sort_by(TupleDesc tupdesc, AttrNumber attnum);

/* Columns by their names (char *): attnums. Raises undefined_column and the like. */
extern List *dbp_sort_key_by_names(Relation rel, List *names);

#endif /* DBP_COLUMNAR_REWRITE_H */
