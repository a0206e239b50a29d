/*-------------------------------------------------------------------------
 *
 * modify.h
 *		Deleting, updating and locking rows of batches: callbacks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_COLUMNAR_MODIFY_H
#define DBP_COLUMNAR_MODIFY_H

#include "postgres.h"

#include "access/tableam.h"

#include "compat.h"

extern void dbp_tuple_insert(Relation rel, TupleTableSlot *slot, CommandId cid, int options,
							 struct BulkInsertStateData *bistate);
extern void dbp_tuple_insert_speculative(Relation rel, TupleTableSlot *slot, CommandId cid,
										 int options, struct BulkInsertStateData *bistate,
										 uint32 token);
extern void dbp_multi_insert(Relation rel, TupleTableSlot **slots, int nslots, CommandId cid,
							 int options, struct BulkInsertStateData *bistate);
extern TM_Result dbp_tuple_delete(Relation rel, ItemPointer tid, CommandId cid, Snapshot snapshot,
								  Snapshot crosscheck, bool wait, TM_FailureData *tmfd,
								  bool changing_part);
extern TM_Result dbp_tuple_update(Relation rel, ItemPointer tid, TupleTableSlot *slot,
								  CommandId cid, Snapshot snapshot, Snapshot crosscheck, bool wait,
								  TM_FailureData *tmfd, LockTupleMode *lockmode,
								  DbpUpdateIndexes *update_indexes);
extern TM_Result dbp_tuple_lock(Relation rel, ItemPointer tid, Snapshot snapshot,
								TupleTableSlot *slot, CommandId cid, LockTupleMode mode,
								LockWaitPolicy wait_policy, uint8 flags, TM_FailureData *tmfd);

#endif /* DBP_COLUMNAR_MODIFY_H */
