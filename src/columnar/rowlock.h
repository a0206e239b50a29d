/*-------------------------------------------------------------------------
 *
 * rowlock.h
 *		Locks of single rows of batches.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COLUMNAR_ROWLOCK_H
#define DBP_COLUMNAR_ROWLOCK_H

#include "postgres.h"

#include "nodes/lockoptions.h"
#include "storage/itemptr.h"
#include "storage/lockdefs.h"
#include "utils/rel.h"

/* What one call has taken */
typedef struct DbpRowLock
{
	LOCKMODE batch;
	LOCKMODE row; /* NoLock: the batch is locked as a whole */
} DbpRowLock;

/*
 * Locks a row, to the end of the transaction or until it is unlocked.  brief:
 * it will be unlocked at once.  false: it would have had to wait, and
 * LockWaitSkip says not to; LockWaitError raises lock_not_available then.
 */
extern bool dbp_row_lock(Relation rel, const ItemPointerData *tid, LockTupleMode mode,
						 LockWaitPolicy policy, bool brief, DbpRowLock *taken);
extern void dbp_row_unlock(Relation rel, const ItemPointerData *tid, const DbpRowLock *taken);

#endif /* DBP_COLUMNAR_ROWLOCK_H */
