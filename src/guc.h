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

#define DBP_MAX_WORKERS 16 /* upper limit of dbperf.max_workers */

extern bool dbp_enabled;		   /* dbperf.enabled */
extern char *dbp_databases;		   /* dbperf.databases: identifiers, commas; '' = all */
extern int dbp_naptime;			   /* dbperf.naptime, seconds */
extern int dbp_max_workers;		   /* dbperf.max_workers */
extern int dbp_step_timeout;	   /* dbperf.step_timeout, ms */
extern int dbp_job_runs_retention; /* dbperf.job_runs_retention, minutes; 0 = for ever */

extern void dbp_guc_init(void);

/* Now, or what dbperf.now_override says is now */
extern TimestampTz dbp_now(void);
extern bool dbp_now_is_fixed(void);

/* Does dbperf.databases name this database? Also true when the setting is empty. */
extern bool dbp_database_listed(const char *datname);

#endif /* DBP_GUC_H */
