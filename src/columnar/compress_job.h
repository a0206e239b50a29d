/*-------------------------------------------------------------------------
 *
 * compress_job.h
 *		Compressing one table as somebody asked for, in a worker or here.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COLUMNAR_COMPRESS_JOB_H
#define DBP_COLUMNAR_COMPRESS_JOB_H

#include "postgres.h"

#include "columnar/rewrite.h"
#include "worker/remote.h"

/*
 * Rewrites the table as its owner, notes that, and has it analyzed.  sort_by: attnums, NIL: the policy's
 * order, or the one that it has.  commit: in transactions of its own, SPI being connected and
 * allowed to commit; else in the caller's, with the strongest lock until its end.
 * Raises an error when it was not done.
 */
extern void dbp_compress_table(DbpRewriteKind kind, Oid relid, List *sort_by, bool commit,
							   DbpRewriteResult *result);

/* What a background worker does for a session that waits for it */
extern bool dbp_compress_is_for(DbpRemoteKind kind);
extern void dbp_compress_serve(const DbpRemoteRequest *request);

/* In that session */
extern void dbp_compress_ask(DbpRewriteKind kind, Oid relid, List *sort_by,
							 DbpRewriteResult *result);

#endif /* DBP_COLUMNAR_COMPRESS_JOB_H */
