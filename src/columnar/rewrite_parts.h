/*-------------------------------------------------------------------------
 *
 * rewrite_parts.h
 *		What the files of a rewrite share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COLUMNAR_REWRITE_PARTS_H
#define DBP_COLUMNAR_REWRITE_PARTS_H

#include "postgres.h"

#include "storage/lockdefs.h"
#include "utils/rel.h"

#include "columnar/rewrite.h"
#include "columnar/transfer.h"

typedef struct DbpRewrite
{
	const DbpRewriteRequest *request;
	DbpRewriteResult *result;
	LOCKMODE lock; /* the first one */
	Relation old;
	Relation new;
	DbpTransfer *transfer;
} DbpRewrite;

/*
 * rewrite_lock.c: the lock under which rows are copied, also on the TOAST table; and the one that stops
 * everybody, on all that will be swapped.  False: it was not to be had in time, and
 * result->why_not says who has it.
 */
extern bool dbp_rewrite_lock_first(DbpRewrite *rewrite);
extern bool dbp_rewrite_lock_toast(DbpRewrite *rewrite);
extern bool dbp_rewrite_lock_all(DbpRewrite *rewrite);

/* rewrite_check.c: the table, if that may be done to it; raises an error otherwise */
extern Relation dbp_rewrite_open(const DbpRewriteRequest *request, LOCKMODE lock);

#endif /* DBP_COLUMNAR_REWRITE_PARTS_H */
