/*-------------------------------------------------------------------------
 *
 * compress.h
 *		Compressing partitions by policy.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COMPRESS_H
#define DBP_COMPRESS_H

#include "postgres.h"

#include "columnar/rewrite.h"
#include "nodes/execnodes.h"
#include "nodes/pg_list.h"

/* A row of dbperf.compress_steps() */
typedef struct DbpCompressStep
{
	Oid parent;
	Oid partition; /* InvalidOid: there is no plan, and the reason is why */
	char *name;	   /* qualified and quoted, of the partition, or the parent; NULL: it has gone */
	char *action;
	char *decision;
	char *reason;
} DbpCompressStep;

extern List *dbp_compress_steps(List *parents);

/*
 * compress_note.c: what has to be written down when a table was compressed, recompressed or
 * decompressed, whoever asked for it: an event, and a row of
 * dbperf.compression.  To be called in the same transaction, after
 * dbp_rewrite(), by who acts as any role; needs no SPI.  source: "worker",
 * "cron" or "manual".
 */
extern void dbp_compress_note(Oid relid, DbpRewriteKind kind, const DbpRewriteResult *result,
							  const char *source);

/* sort_by of the policy that a partition is subject to: column names; NIL: it says nothing */
extern List *dbp_compress_sort_key(Oid relid);

/*
 * Has a background worker compress what is due, of one parent or of all that
 * the user owns, with a row for each step.  SPI must be connected.
 */
extern void dbp_compress_remotely(Oid parent, ReturnSetInfo *rows);

/*
 * late_rows.c: are many rows of a table such that an open transaction may not
 * see them yet, by a sample of its pages?  False for what cannot be told.
 */
extern bool dbp_is_mostly_unsettled(Oid relid);

/*
 * compress_watch.c: while a table is compressed, sees whether somebody has
 * waited for it longer than budget_ms, and then cancels what is being done.  To be
 * ended in any case; true: it was canceled for that.
 */
extern void dbp_watch_begin(Oid relid, int budget_ms);
extern bool dbp_watch_end(void);

/* This process compresses by policy now, or is about to */
extern bool dbp_is_compressing;

/* The same by hand; for a signal handler too */
extern bool dbp_watch_make_way(void);

#endif /* DBP_COMPRESS_H */
