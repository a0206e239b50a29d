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

#define DBP_MAX_WORKERS 16			 /* upper limit of dbperf.max_workers */
#define DBP_MAX_ARCHIVERS 16		 /* upper limit of dbperf.archive_workers */
#define DBP_LATEST_CACHE_MIN 64		 /* least dbperf.latest_cache_size but 0, kB */
#define DBP_MAX_TABLES 10000		 /* upper limit of dbperf.max_tables */
#define DBP_MAX_STATS_DATABASES 1000 /* upper limit of dbperf.max_databases */
#define DBP_MAX_POOLS 1000			 /* upper limit of dbperf.max_pools */
#define DBP_MAX_SLOW_QUERIES 100000	 /* upper limit of dbperf.max_slow_queries */

extern bool dbp_enabled;		   /* dbperf.enabled */
extern char *dbp_databases;		   /* dbperf.databases: identifiers, commas; '' = all */
extern int dbp_naptime;			   /* dbperf.naptime, seconds */
extern int dbp_latest_cache_size;  /* dbperf.latest_cache_size, kB; 0 = no cache */
extern int dbp_max_tables;		   /* dbperf.max_tables: tables with counters */
extern int dbp_max_workers;		   /* dbperf.max_workers */
extern int dbp_step_timeout;	   /* dbperf.step_timeout, ms */
extern int dbp_job_runs_retention; /* dbperf.job_runs_retention, minutes; 0 = for ever */
extern int dbp_archive_workers;	   /* dbperf.archive_workers; 0 = nothing is compressed by policy */
extern bool dbp_allow_drop_columnar; /* dbperf.allow_drop_columnar */
extern int dbp_compress_pause;		 /* dbperf.compress_pause, ms */
extern int dbp_partition_wait;		 /* dbperf.partition_wait, ms; 0 = not at all */
extern int
	dbp_ingest_rejects_retention; /* dbperf.ingest_rejects_retention, minutes; 0 = for ever */

extern bool dbp_track_queries;		 /* dbperf.track_queries */
extern int dbp_max_databases;		 /* dbperf.max_databases: databases with query statistics */
extern int dbp_max_pools;			 /* dbperf.max_pools: pools with acquire times */
extern int dbp_max_slow_queries;	 /* dbperf.max_slow_queries: places in the ring */
extern int dbp_slow_query_threshold; /* dbperf.slow_query_threshold, ms; -1 = none is slow */
extern int dbp_sample_interval;		 /* dbperf.sample_interval, seconds; 0 = no sampling */
extern int dbp_callback_timeout;	 /* dbperf.callback_timeout, ms */
extern char *dbp_pgbouncer_conninfo; /* dbperf.pgbouncer_conninfo; '' = none */

extern void dbp_guc_init(void);

/* Now, or what dbperf.now_override says is now */
extern TimestampTz dbp_now(void);
extern bool dbp_now_is_fixed(void);

/* Does dbperf.databases name this database? Also true when the setting is empty. */
extern bool dbp_database_listed(const char *datname);

#endif /* DBP_GUC_H */
