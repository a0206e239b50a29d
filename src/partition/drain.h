/*-------------------------------------------------------------------------
 *
 * drain.h
 *		Moving rows out of a default partition.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_DRAIN_H
#define DBP_DRAIN_H

#include "partition/partition.h"
#include "utils/snapshot.h"
#include "worker/remote.h"

/*
 * drain.c: serves drain_default() in a worker.  Makes a partition for each cell
 * of the grid that has rows in the default partition, and moves the rows into
 * it, a transaction for each.  Called in a transaction with SPI connected,
 * non-atomic.
 *
 * What goes wrong with one cell is reported as a row (status "waiting" when
 * it can be tried again as it is, else "failed") and does not stop the others.
 * Raises undefined_object when the parent is not managed,
 * insufficient_privilege, query_canceled, and feature_not_supported or
 * object_not_in_prerequisite_state for a default partition that cannot be
 * drained at all.
 */
extern void dbp_drain_serve(const DbpRemoteRequest *request);

/*
 * The range that a partition for a key would have, as far as nothing covers it.
 * False when none can be made.
 */
extern bool dbp_drain_range(const DbpPolicy *policy, const DbpParts *parts, int64 key,
							DbpRange *range);

/* Raises invalid_parameter_value when the policy's time zone is gone */
extern void dbp_check_time_zone(const DbpPolicy *policy);

/* move.c: rows of one range, from the default partition to a new table */
typedef struct DbpMove DbpMove;

/* Called after each batch */
typedef void (*DbpMoveBreak)(void *arg, int64 moved);

extern Oid dbp_move_index(Relation source, AttrNumber column, Oid keytype);
extern bool dbp_move_can_read(Relation source);
extern void dbp_move_check_source(Relation source);
extern bool dbp_move_next_key(Oid defpart, const DbpPolicy *policy, int64 from, int64 *key);
extern DbpMove *dbp_move_begin(const DbpPolicy *policy, const DbpRange *range, Oid defpart,
							   Oid target, int batch_size);
extern int64 dbp_move_pass(DbpMove *move, int64 limit, DbpMoveBreak after_batch, void *arg);
extern int64 dbp_move_skipped(const DbpMove *move);
extern void dbp_move_end(DbpMove *move);

/* fence.c: against snapshots that are older than a move */
extern void dbp_fence_init(void);
extern void dbp_fence_raise(Oid parent);

/* For who reads a table without a statement: raises t_r_serialization_failure */
extern void dbp_fence_check(Oid parent, Snapshot snapshot);

/* default_status.c: what a default partition holds */
typedef struct DbpHeld
{
	DbpRange range;		  /* DBP_KEY_MIN to DBP_KEY_MAX: of no partition */
	int64 rows;			  /* more than none */
	const char *obstacle; /* why they cannot be moved; NULL: they can */
} DbpHeld;

extern List *dbp_default_held(const DbpPolicy *policy, const DbpParts *parts);

#endif /* DBP_DRAIN_H */
