/*-------------------------------------------------------------------------
 *
 * bulk_call.h
 *		Between the SQL functions and the bulk insert.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_BULK_CALL_H
#define DBP_BULK_CALL_H

#include "ingest/bulk.h"

/*
 * Opens the target for inserting. Raises wrong_object_type, read_only_sql_transaction
 * and the like; to be closed with NoLock.
 */
extern Relation dbp_bulk_open(Oid relid);

extern void dbp_bulk_run(DbpBulk *bulk, DbpSource *source, const DbpBulkOptions *options);

#endif /* DBP_BULK_CALL_H */
