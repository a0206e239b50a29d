/*-------------------------------------------------------------------------
 *
 * job.h
 *		Bookkeeping of maintenance.
 *
 * All of these need SPI connected, and act as the extension's owner.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_JOB_H
#define DBP_JOB_H

#include "partition/maintain.h"
#include "partition/partition.h"

extern void dbp_job_mark_crashed(void);
extern bool dbp_job_restore_in_progress(void);
extern int64 dbp_job_begin(const char *source, const char *reason, const char *parent);
extern void dbp_job_end(int64 run_id, const char *status, const DbpMaintainResult *result,
						const DbpCost *cost, const char *error);
extern void dbp_job_parents_checked(Datum *parents, int count);
extern void dbp_job_parent_state(Oid parent, const char *error, TimestampTz next_try_at);

#endif							/* DBP_JOB_H */
