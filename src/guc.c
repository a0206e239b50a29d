/*-------------------------------------------------------------------------
 *
 * guc.c
 *		The settings dbperf.*, and the clock they can fix.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "libpq-fe.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "compat.h"
#include "guc.h"

#define DBP_DAY_SECONDS (24 * 60 * 60)
#define DBP_DAY_MINUTES (24 * 60)

bool dbp_enabled = true;
char *dbp_databases = NULL;
int dbp_naptime = DBP_DAY_SECONDS;
int dbp_latest_cache_size = 4096;
int dbp_max_tables = 200;
int dbp_max_workers = 2;
int dbp_step_timeout = 10000;
int dbp_job_runs_retention = 30 * DBP_DAY_MINUTES;
int dbp_ingest_rejects_retention = 30 * DBP_DAY_MINUTES;
int dbp_partition_wait = 5000;
int dbp_archive_workers = 1;
int dbp_compress_pause = 2;
bool dbp_allow_drop_columnar = false;

bool dbp_track_queries = true;
int dbp_max_databases = 8;
int dbp_max_pools = 32;
int dbp_max_slow_queries = 256;
int dbp_slow_query_threshold = 1000;
int dbp_sample_interval = 10;
int dbp_callback_timeout = 5000;
char *dbp_pgbouncer_conninfo = NULL;

/* Read by their names in SQL only */
static int clock_jump_limit;
static int alerts_retention;

/* The text of dbperf.now_override, and what it parsed to (DT_NOBEGIN: not set) */
static char *now_override = NULL;
static TimestampTz now_override_value = DT_NOBEGIN;

bool
dbp_now_is_fixed(void)
{
	return !TIMESTAMP_IS_NOBEGIN(now_override_value);
}

TimestampTz
dbp_now(void)
{
	return dbp_now_is_fixed() ? now_override_value : GetCurrentTimestamp();
}

/*
 * Reads an absolute date and time. Words that depend on the moment of reading
 * ('now', 'tomorrow') and the infinities are refused. Must not throw: a check
 * hook also runs in the postmaster.
 */
static bool
parse_absolute_time(const char *text, TimestampTz *result)
{
	char workbuf[MAXDATELEN + MAXDATEFIELDS];
	char *field[MAXDATEFIELDS];
	int ftype[MAXDATEFIELDS];
	int nf;
	int dtype;
	struct pg_tm tt;
	fsec_t fsec;
	int tz = 0;

	if (ParseDateTime(text, workbuf, sizeof(workbuf), field, ftype, MAXDATEFIELDS, &nf) != 0)
		return false;
	if (dbp_decode_datetime(field, ftype, nf, &dtype, &tt, &fsec, &tz) != 0)
		return false;
	if (dtype != DTK_DATE)
		return false;
	for (int i = 0; i < nf; i++)
	{
		/* 'today 12:00' decodes to a date as well, but to another one each day */
		if (ftype[i] == DTK_STRING &&
			(strcmp(field[i], "today") == 0 || strcmp(field[i], "tomorrow") == 0 ||
			 strcmp(field[i], "yesterday") == 0 || strcmp(field[i], "now") == 0))
			return false;
	}
	return tm2timestamp(&tt, fsec, &tz, result) == 0;
}

static bool
check_now_override(char **newval, void **extra, GucSource source)
{
	TimestampTz value = DT_NOBEGIN;
	TimestampTz *kept;

	if (*newval != NULL && **newval != '\0' && !parse_absolute_time(*newval, &value))
	{
		GUC_check_errdetail("A date and time is expected, for example "
							"\"2024-02-29 12:00:00+00\".");
		return false;
	}

	kept = (TimestampTz *) dbp_guc_malloc(sizeof(TimestampTz));
	if (kept == NULL)
		return false;
	*kept = value;
	*extra = kept;
	return true;
}

static void
assign_now_override(const char *newval, void *extra)
{
	now_override_value = extra != NULL ? *((TimestampTz *) extra) : DT_NOBEGIN;
}

static bool
check_databases(char **newval, void **extra, GucSource source)
{
	char *copy = pstrdup(*newval);
	List *names;
	bool ok = SplitIdentifierString(copy, ',', &names);

	if (!ok)
		GUC_check_errdetail("A list of database names separated by commas is expected; "
							"names with capitals or special characters go in double quotes.");
	list_free(names);
	pfree(copy);
	return ok;
}

/*
 * Settings are no place for secrets: members of pg_monitor read all of them,
 * and the log tells of each that changes.  What libpq says of a string that it
 * does not understand quotes from it, and is left out for the same reason.
 */
static bool
check_pgbouncer_conninfo(char **newval, void **extra, GucSource source)
{
	PQconninfoOption *options;
	bool secret = false;

	if (*newval == NULL || (*newval)[0] == '\0')
		return true;
	options = PQconninfoParse(*newval, NULL);
	if (options == NULL)
	{
		GUC_check_errmsg("dbperf.pgbouncer_conninfo is not a connection string");
		GUC_check_errhint("It is for libpq, for example \"host=/tmp port=6432 user=stats "
						  "dbname=pgbouncer\".");
		return false;
	}
	for (PQconninfoOption *o = options; o->keyword != NULL; o++)
		secret |=
			o->val != NULL && (o->dispchar[0] == '*' || strncmp(o->keyword, "scram_", 6) == 0);
	PQconninfoFree(options);
	if (secret)
	{
		GUC_check_errmsg("dbperf.pgbouncer_conninfo must not have a password in it");
		GUC_check_errhint("Put it into the password file of the operating system's user that "
						  "the server runs as, or name another one with passfile.");
	}
	return !secret;
}

static bool
check_latest_cache_size(int *newval, void **extra, GucSource source)
{
	if (*newval == 0 || *newval >= DBP_LATEST_CACHE_MIN)
		return true;
	GUC_check_errdetail("It is 0 or at least %d kB.", DBP_LATEST_CACHE_MIN);
	return false;
}

bool
dbp_database_listed(const char *datname)
{
	char *copy;
	List *names;
	ListCell *cell;
	bool found = false;

	if (dbp_databases == NULL || dbp_databases[0] == '\0')
		return true;

	copy = pstrdup(dbp_databases);
	if (SplitIdentifierString(copy, ',', &names))
	{
		/* an empty list with blanks in it is an empty list */
		found = (names == NIL);
		foreach(cell, names)
		{
			if (strcmp((const char *) lfirst(cell), datname) == 0)
				found = true;
		}
	}
	list_free(names);
	pfree(copy);
	return found;
}

/* What sizes shared memory is fixed at server start, see dbperf.max_workers below */
static void
init_monitoring_settings(void)
{
	GucContext at_start =
		process_shared_preload_libraries_in_progress ? PGC_POSTMASTER : PGC_SIGHUP;

	DefineCustomBoolVariable("dbperf.track_queries",
							 "Counts statements, their rows, errors and times.", NULL,
							 &dbp_track_queries, true, PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("dbperf.max_databases",
							"Number of databases whose statements are counted.",
							"Each takes 0.6 MB of shared memory.", &dbp_max_databases, 8, 1,
							DBP_MAX_STATS_DATABASES, at_start, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("dbperf.max_pools",
							"Number of connection pools whose clients can report on them.",
							"Each takes 0.1 MB of shared memory.", &dbp_max_pools, 32, 1,
							DBP_MAX_POOLS, at_start, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("dbperf.max_slow_queries",
							"Number of slow statements that are remembered.",
							"Each takes 1.4 kB of shared memory.", &dbp_max_slow_queries, 256, 1,
							DBP_MAX_SLOW_QUERIES, at_start, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("dbperf.slow_query_threshold",
							"Statements that take this long are remembered as slow.",
							"-1 remembers none.", &dbp_slow_query_threshold, 1000, -1, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);

	DefineCustomIntVariable("dbperf.sample_interval",
							"Time between two samples of the metrics of a database.",
							"0 takes none. start_monitoring() can set another for a database.",
							&dbp_sample_interval, 10, 0, 24 * 60 * 60, PGC_SIGHUP, GUC_UNIT_S, NULL,
							NULL, NULL);

	DefineCustomIntVariable("dbperf.callback_timeout",
							"Longest time that a function of add_alert_callback() may take.", NULL,
							&dbp_callback_timeout, 5000, 10, 600 * 1000, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomStringVariable("dbperf.pgbouncer_conninfo",
							   "How to connect to the console of PgBouncer.",
							   "A connection string of libpq, for example \"host=/tmp port=6432 "
							   "user=stats dbname=pgbouncer\", without a password. Empty: "
							   "there is none.",
							   &dbp_pgbouncer_conninfo, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   check_pgbouncer_conninfo, NULL, NULL);

	/* read by dbperf.prune_alerts() */
	DefineCustomIntVariable("dbperf.alerts_retention",
							"Age at which closed rows of dbperf.alerts are removed.",
							"0 keeps them for ever.", &alerts_retention, 90 * DBP_DAY_MINUTES, 0,
							INT_MAX / 60, PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
}

void
dbp_guc_init(void)
{
	DefineCustomBoolVariable("dbperf.enabled", "Lets the background worker do its work.",
							 "Off: the launcher idles; functions called by hand still work.",
							 &dbp_enabled, true, PGC_SIGHUP, 0, NULL, NULL, NULL);

	DefineCustomStringVariable("dbperf.databases",
							   "Databases that the background worker looks after.",
							   "A list separated by commas. Empty: every database that "
							   "accepts connections, templates left out.",
							   &dbp_databases, "", PGC_SIGHUP, GUC_LIST_INPUT, check_databases,
							   NULL, NULL);

	DefineCustomIntVariable("dbperf.naptime",
							"Longest time between two maintenance runs of a database.",
							"Runs also happen when a bound falls due, on dbperf.wake(), and "
							"when an insert found no partition.",
							&dbp_naptime, DBP_DAY_SECONDS, 1, 7 * DBP_DAY_SECONDS, PGC_SIGHUP,
							GUC_UNIT_S, NULL, NULL, NULL);

	/*
	 * It sizes shared memory, so it is fixed at server start. A session that
	 * loads the library by itself may not define such a setting any more, and
	 * has no use for it either.
	 */
	DefineCustomIntVariable("dbperf.max_workers",
							"Number of databases that are maintained at the same time.",
							"Each takes one of max_worker_processes while it runs.",
							&dbp_max_workers, 2, 1, DBP_MAX_WORKERS,
							process_shared_preload_libraries_in_progress ? PGC_POSTMASTER
																		 : PGC_SIGHUP,
							0, NULL, NULL, NULL);

	/* likewise */
	DefineCustomIntVariable("dbperf.latest_cache_size",
							"Shared memory for the last rows that get_latest() has found.",
							"0 has none kept.", &dbp_latest_cache_size, 4096, 0, 1024 * 1024,
							process_shared_preload_libraries_in_progress ? PGC_POSTMASTER
																		 : PGC_SIGHUP,
							GUC_UNIT_KB, check_latest_cache_size, NULL, NULL);

	/* likewise */
	DefineCustomIntVariable("dbperf.max_tables",
							"Number of tables whose statements, inserts and calls are counted.",
							"Each takes 140 kB of shared memory. With more, those that were not "
							"used for the longest time are forgotten.",
							&dbp_max_tables, 200, 1, DBP_MAX_TABLES,
							process_shared_preload_libraries_in_progress ? PGC_POSTMASTER
																		 : PGC_SIGHUP,
							0, NULL, NULL, NULL);

	DefineCustomIntVariable("dbperf.step_timeout",
							"Longest time that the worker takes for one partition.",
							"Waiting for locks comes on top. Ends functions of table owners, in "
							"CHECK constraints or indexes, that do not return.",
							&dbp_step_timeout, 10000, 100, 3600 * 1000, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomIntVariable("dbperf.job_runs_retention",
							"Age at which rows of dbperf.job_runs are removed.",
							"0 keeps them for ever.", &dbp_job_runs_retention, 30 * DBP_DAY_MINUTES,
							0, INT_MAX / 60, PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);

	DefineCustomIntVariable("dbperf.archive_workers",
							"Number of partitions that are compressed by policy at the same time.",
							"On the whole server; each takes one of max_worker_processes. 0 has "
							"none compressed by policy.",
							&dbp_archive_workers, 1, 0, DBP_MAX_ARCHIVERS, PGC_SIGHUP, 0, NULL,
							NULL, NULL);

	DefineCustomIntVariable("dbperf.compress_pause",
							"Pause after each batch of rows when a partition is compressed by "
							"policy.",
							"Leaves disks to others. A batch has up to 8,000 rows.",
							&dbp_compress_pause, 2, 0, 10000, PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL,
							NULL);

	DefineCustomBoolVariable("dbperf.allow_drop_columnar",
							 "Lets DROP EXTENSION … CASCADE drop tables that hold compressed data.",
							 "Otherwise dropping the access method dbperf_columnar is refused as "
							 "long as there are such tables.",
							 &dbp_allow_drop_columnar, false, PGC_SUSET, 0, NULL, NULL, NULL);

	DefineCustomIntVariable("dbperf.partition_wait",
							"Longest time that a bulk insert waits for a missing partition.",
							"A background worker makes it meanwhile. 0 has none made.",
							&dbp_partition_wait, 5000, 0, 600 * 1000, PGC_USERSET, GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomIntVariable("dbperf.ingest_rejects_retention",
							"Age at which rows of dbperf.ingest_rejects are removed.",
							"0 keeps them for ever.", &dbp_ingest_rejects_retention,
							30 * DBP_DAY_MINUTES, 0, INT_MAX / 60, PGC_SIGHUP, GUC_UNIT_MIN, NULL,
							NULL, NULL);

	/* read by dbperf.clock_reason() */
	DefineCustomIntVariable("dbperf.clock_jump_limit",
							"Longest time without a look that is no jump of the clock.",
							"After a longer one, nothing is detached or dropped by policy for a "
							"day, or until dbperf.confirm_clock().",
							&clock_jump_limit, 90 * DBP_DAY_MINUTES, 1, INT_MAX / 60, PGC_SIGHUP,
							GUC_UNIT_MIN, NULL, NULL, NULL);

	init_monitoring_settings();

	DefineCustomStringVariable("dbperf.now_override",
							   "A fixed date and time to take for the present, for tests.",
							   "Empty: the clock of the machine.", &now_override, "", PGC_SUSET,
							   GUC_NOT_IN_SAMPLE, check_now_override, assign_now_override, NULL);

	MarkGUCPrefixReserved("dbperf");
}
