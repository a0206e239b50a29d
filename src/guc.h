/*-------------------------------------------------------------------------
 *
 * guc.h
 *		The settings dbperf.*, and the clock they can fix.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_GUC_H
#define DBP_GUC_H

#include "datatype/timestamp.h"

#define DBP_MAX_WORKERS 16		/* upper limit of dbperf.max_workers */
#define DBP_LATEST_CACHE_MIN 64 /* least dbperf.latest_cache_size but 0, kB */
#define DBP_MAX_TABLES 10000	/* upper limit of dbperf.max_tables */

extern bool dbp_enabled;		   /* dbperf.enabled */
extern char *dbp_databases;		   /* dbperf.databases: identifiers, commas; '' = all */
extern int dbp_naptime;			   /* dbperf.naptime, seconds */
extern int dbp_latest_cache_size;  /* dbperf.latest_cache_size, kB; 0 = no cache */
extern int dbp_max_tables;		   /* dbperf.max_tables: tables with counters */
extern int dbp_max_workers;		   /* dbperf.max_workers */
extern int dbp_step_timeout;	   /* dbperf.step_timeout, ms */
extern int dbp_job_runs_retention; /* dbperf.job_runs_retention, minutes; 0 = for ever */
extern int dbp_partition_wait;	   /* dbperf.partition_wait, ms; 0 = not at all */
extern int
	dbp_ingest_rejects_retention; /* dbperf.ingest_rejects_retention, minutes; 0 = for ever */

extern void dbp_guc_init(void);

/* Now, or what dbperf.now_override says is now */
extern TimestampTz dbp_now(void);
extern bool dbp_now_is_fixed(void);

/* Does dbperf.databases name this database? Also true when the setting is empty. */
extern bool dbp_database_listed(const char *datname);

#endif /* DBP_GUC_H */
