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

/* A run, as dbperf.job_runs shows it */
typedef struct DbpJob
{
	int64 run_id;	 /* 0: no row yet */
	const char *job; /* "maintenance", "compression" */
	const char *source;
	const char *reason;
	const char *parent; /* NULL: all */
	TimestampTz started_at;
} DbpJob;

extern void dbp_job_mark_crashed(void);
extern bool dbp_job_restore_in_progress(void);
extern void dbp_job_begin(DbpJob *job);
extern void dbp_job_end(DbpJob *job, const char *status, const DbpMaintainResult *result,
						const DbpCost *cost, const char *error);
extern void dbp_job_parents_checked(Datum *parents, int count);
extern int dbp_job_attempt_begin(const DbpJob *job, Oid parent);
extern void dbp_job_attempt_end(Oid parent);
extern void dbp_job_parent_state(Oid parent, const char *error, TimestampTz next_try_at);
extern void dbp_job_retire_state(Oid parent, const char *message, TimestampTz next_try_at,
								 bool failed);
extern void dbp_job_compress_state(Oid parent, const char *message, TimestampTz next_try_at,
								   bool failed);
extern int dbp_job_compress_attempt_begin(const DbpJob *job, Oid partition);
extern void dbp_job_compress_attempt_end(Oid partition);

#endif /* DBP_JOB_H */
