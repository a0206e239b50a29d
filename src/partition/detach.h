/*-------------------------------------------------------------------------
 *
 * detach.h
 *		The steps in which a partition leaves: detached, archived, dropped.
 *
 * Each function works in the current subtransaction, with SPI connected, and
 * raises what keeps it from its work.  The caller commits.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_DETACH_H
#define DBP_DETACH_H

#include "utils/array.h"

#include "partition/partition.h"

typedef struct DbpLeaving
{
	const DbpPolicy *policy;
	Oid partition;
	const char *source;	  /* for the event */
	DbpCost cost;		  /* adds up over the phases */
	TransactionId marked; /* by which it was, when that was waited for */
	bool stale;			  /* something has changed: nothing was done */
	char *place;		  /* where the table is now, qualified and quoted */
} DbpLeaving;

/* The locks that one of them takes, for dbp_lock_check_own() */
extern List *dbp_detach_locks(const DbpPolicy *policy, Oid partition, bool concurrently);
extern List *dbp_finalize_locks(const DbpPolicy *policy, Oid partition);
extern List *dbp_drop_locks(Oid partition);

/* Concurrently: the first phase, the transaction that did it (or InvalidTransactionId), the second */
extern void dbp_detach_mark(DbpLeaving *leaving);
extern TransactionId dbp_detach_marked_by(Oid parent, Oid partition);
extern void dbp_detach_finalize(DbpLeaving *leaving);

/* What a detached table has of its parent becomes its own */
extern void dbp_disinherit(Oid relid);
extern List *dbp_lend(const DbpPolicy *policy, Oid partition);

/* All at once, under locks that stop reads and writes */
extern void dbp_detach_plainly(DbpLeaving *leaving);

extern void dbp_archive_schema_check(const DbpPolicy *policy, bool make);

/* Rows that would be orphans; those in a list of tables do not count */
extern int64 dbp_referencing_rows(const DbpPolicy *policy, Oid partition, ArrayType *except,
								  double *ms);

/* Drop a table of the recycle bin */
extern void dbp_drop_detached(DbpLeaving *leaving);

#endif /* DBP_DETACH_H */
