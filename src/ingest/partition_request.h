/*-------------------------------------------------------------------------
 *
 * partition_request.h
 *		The worker's side of dbp_request_partitions().
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_PARTITION_REQUEST_H
#define DBP_PARTITION_REQUEST_H

#include "worker/remote.h"

/*
 * Serves DBP_REMOTE_MISSING in a worker: makes the partitions that the keys of
 * the request lie in, a transaction for each. Called in a transaction with SPI
 * connected, non-atomic.
 *
 * Raises object_not_in_prerequisite_state when the parent is not managed, or its
 * policy is disabled, or for a key that is to have no partition (after those for
 * the others have been made), insufficient_privilege unless the caller may
 * insert into it, lock_not_available with the table's name when the request's
 * patience is at an end, and what stands against making one.
 */
extern void dbp_request_serve(const DbpRemoteRequest *request);

#endif /* DBP_PARTITION_REQUEST_H */
