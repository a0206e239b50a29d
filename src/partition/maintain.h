/*-------------------------------------------------------------------------
 *
 * maintain.h
 *		One run of maintenance, by the worker, by pg_cron or by hand.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_MAINTAIN_H
#define DBP_MAINTAIN_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "funcapi.h"

/* Partition and detail may be NULL */
typedef void (*DbpReportStep)(Oid parent, const char *partition, const char *action,
							  const char *status, const char *detail);

typedef struct DbpMaintainRequest
{
	Oid parent;			  /* InvalidOid: every enabled policy */
	Oid role;			  /* whose rights are looked at; InvalidOid: the current user */
	const char *source;	  /* "worker", "cron", "manual" */
	const char *reason;	  /* "schedule", "wake", "missing_partition", "request",
								 * "backfill" */
	bool commit_each;	  /* a transaction for each partition */
	int slice_ms;		  /* stop after this long; 0: no limit */
	bool background;	  /* errors go to the log, not to a client */
	ReturnSetInfo *rows;  /* NULL, or where a row for each step goes */
	DbpReportStep report; /* NULL, or who is told of each step */
	bool only_retire;	  /* nothing is made, nor compressed */
	bool only_compress;	  /* nothing is made, nor retired */
	bool may_compress;	  /* last of all; else it is only seen whether there is anything to */

	/* for a backfill only: keys, as text */
	const char *from_at;
	const char *to_at;

	/* for a missing partition only: what the failed insert was looking for */
	const char *missing_schema;
	const char *missing_table;
	const char *missing_key;
	const char *missing_datestyle;
	const char *missing_timezone;

	/*
	 * For partitions that an insert of "parent" waits for: its keys, and how
	 * long to try to get the locks.  What stands against it is raised, as with a
	 * backfill, and nothing else is done.
	 */
	const int64 *wanted_keys;
	int nwanted_keys;
	int patience_ms;
} DbpMaintainRequest;

typedef struct DbpMaintainResult
{
	int parents; /* looked at */
	int created; /* partitions made */
	int detached;
	int dropped;
	int compressed;		  /* or recompressed */
	int failed;			  /* parents with an error */
	bool more;			  /* the slice ended before the work did */
	bool to_compress;	  /* something is due that was not allowed here */
	TimestampTz next_due; /* when there will be something to do */
} DbpMaintainResult;

/*
 * Runs maintenance and records it in dbperf.job_runs.
 *
 * The caller is in a transaction with SPI connected, non-atomic when
 * commit_each is set; then "running" is committed before anything is done.
 * What goes wrong with one parent is recorded and does not stop the others;
 * but a backfill raises it, as do keys that are waited for.  Raises query_canceled, and errors of the bookkeeping itself.
 */
extern void dbp_maintain_run(const DbpMaintainRequest *request, DbpMaintainResult *result);

#endif /* DBP_MAINTAIN_H */
