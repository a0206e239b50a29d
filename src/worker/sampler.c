/*-------------------------------------------------------------------------
 *
 * sampler.c
 *		The sampler: a process that measures one database at each interval.
 *
 * What it does stands in SQL (90_samples.sql and after); here are its clock,
 * its transactions, and the boundaries that keep one part's failure from being
 * another's.  Notifications go out in a transaction of their own: a queue that
 * nobody reads must cost neither samples nor alerts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "call.h"
#include "compat.h"
#include "partition/partition.h"
#include "plan.h"
#include "sampler.h"

/* A lock that DROP EXTENSION or ALTER TABLE holds for a moment is nothing for the log */
#define QUIET_LOCK_FAILURES 3

/* Longest sleep, so that a clock that is set and settings that change are noticed */
#define MAX_SLEEP_MS DBP_MINUTE_MS

typedef struct SamplerPart
{
	const char *name; /* as the log says it */
	void (*run)(void);
	int failures; /* in a row */
	bool logged;
	char error[DBP_ERROR_LEN];
} SamplerPart;

static MemoryContext tick_context;

static char database[NAMEDATALEN]; /* its name, for the log */
static bool extension_is_gone = false;
static int interval_s;

/* What is to be notified: allocated in tick_context */
typedef struct Notification
{
	char *channel;
	char *payload;
} Notification;

static Notification *notifications;
static int nnotifications;

static void
execute(const char *query)
{
	if (SPI_execute(query, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "unexpected result of \"%s\"", query);
}

static void
look_for_extension(void)
{
	dbp_simple_begin();
	extension_is_gone = !dbp_extension_exists();
	dbp_simple_end();
}

static void
look_around(void)
{
	bool isnull;

	dbp_simple_begin();
	strlcpy(database, get_database_name(MyDatabaseId), sizeof(database));
	extension_is_gone = !dbp_extension_exists();
	if (!extension_is_gone)
	{
		execute("SELECT dbperf.sampling_seconds()");
		interval_s =
			DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	}
	dbp_simple_end();
}

static void
sample(void)
{
	dbp_simple_begin();
	execute("SELECT dbperf.take_sample('sampler')");
	dbp_simple_end();
}

static void
judge(void)
{
	dbp_simple_begin();
	execute("SELECT dbperf.judge_sample()");
	dbp_simple_end();
}

static void
collect_notifications(void)
{
	dbp_simple_begin();
	execute("SELECT channel, payload FROM dbperf.notifications_to_send()");
	nnotifications = 0;
	notifications = MemoryContextAlloc(tick_context, sizeof(Notification) * Max(SPI_processed, 1));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char *channel = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		char *payload = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2);

		notifications[nnotifications].channel = MemoryContextStrdup(tick_context, channel);
		notifications[nnotifications++].payload = MemoryContextStrdup(tick_context, payload);
	}
	dbp_simple_end();
}

static void
notify(void)
{
	int n = nnotifications;

	/* whatever becomes of them, they are sent once */
	nnotifications = 0;
	if (n == 0)
		return;
	dbp_simple_begin();
	for (int i = 0; i < n; i++)
		Async_Notify(notifications[i].channel, notifications[i].payload);
	dbp_simple_end();
}

static void
tidy(void)
{
	dbp_simple_begin();
	execute("SELECT dbperf.tidy_samples()");
	dbp_simple_end();
}

/* In this order; the first one says whether there is anything to do */
static SamplerPart parts[] = {
	{.name = "looking at the settings of sampling", .run = look_around},
	{.name = "sampling", .run = sample},
	{.name = "judging a sample", .run = judge},
	{.name = "collecting notifications", .run = collect_notifications},
	{.name = "notifying", .run = notify},
	{.name = "tidying up samples", .run = tidy},
};

/* Between two samples */
static SamplerPart callbacks = {
	.name = "calling functions for alerts",
	.run = dbp_callbacks_step,
};

static void
note_failure(SamplerPart *part, const ErrorData *error)
{
	bool quiet;

	part->failures++;
	quiet = error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE && part->failures < QUIET_LOCK_FAILURES;
	if (strncmp(part->error, error->message, sizeof(part->error) - 1) != 0)
		part->logged = false;
	strlcpy(part->error, error->message, sizeof(part->error));
	dbp_sampler_set_error(error->message);
	if (quiet || part->logged)
		return;
	part->logged = true;
	/* ereport() heeds a cancel, which nobody would catch here */
	HOLD_INTERRUPTS();
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("database \"%s\": %s failed: %s", database, part->name, error->message),
			 error->context != NULL ? errcontext("%s", error->context) : 0));
	RESUME_INTERRUPTS();
}

/* DROP EXTENSION in the middle of a sample makes errors that mean nothing */
static bool
is_about_extension(void)
{
	(void) dbp_call_guarded(look_for_extension, tick_context);
	return extension_is_gone;
}

static bool
run_part(SamplerPart *part)
{
	ErrorData *error = dbp_call_guarded(part->run, tick_context);

	if (error != NULL)
	{
		if (!dbp_call_is_to_end() && !is_about_extension())
			note_failure(part, error);
		return false;
	}
	if (part->logged)
	{
		HOLD_INTERRUPTS();
		ereport(LOG, (errmsg("database \"%s\": %s works again", database, part->name)));
		RESUME_INTERRUPTS();
	}
	part->failures = 0;
	part->logged = false;
	part->error[0] = '\0';
	return true;
}

static void
run_parts(void)
{
	bool all_well = callbacks.failures == 0;

	/* from here on, what changes is news again */
	(void) dbp_sampler_take_wake();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	pgstat_report_activity(STATE_RUNNING, "taking a sample");
	for (int i = 0; i < (int) lengthof(parts) && !dbp_call_is_to_end() && !extension_is_gone; i++)
	{
		bool ok = run_part(&parts[i]);

		all_well = all_well && ok;
		if (i == 0 && (!ok || interval_s == 0))
			break;
	}
	if (all_well)
		dbp_sampler_set_error(NULL);
	pgstat_report_activity(STATE_IDLE, NULL);
	MemoryContextReset(tick_context);
}

static int64
elapsed_ms(instr_time since)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, since);
	return (int64) INSTR_TIME_GET_MILLISEC(now);
}

static void
heed_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
}

/*
 * Until the next sample is due, or somebody wants one. In between, functions of
 * users that the last one called for are seen to. However long a sample takes,
 * the sampler rests for as long.
 */
static void
rest(instr_time since)
{
	int64 pause = Max((int64) interval_s * DBP_SECOND_MS, 2 * elapsed_ms(since));

	for (;;)
	{
		int64 left;

		(void) run_part(&callbacks);
		MemoryContextReset(tick_context);
		left = pause - elapsed_ms(since);
		if (dbp_call_is_to_end() || extension_is_gone || left <= 0 || ConfigReloadPending ||
			dbp_sampler_take_wake())
			return;
		if (dbp_callbacks_pending())
			left = Min(left, DBP_SECOND_MS);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(left, MAX_SLEEP_MS), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		/* a cancel finds nothing to cancel */
		(void) dbp_call_guarded(heed_interrupts, tick_context);
	}
}

static void
run(void)
{
	while (!dbp_call_is_to_end())
	{
		instr_time start;

		INSTR_TIME_SET_CURRENT(start);
		run_parts();
		if (dbp_call_is_to_end())
			break;
		if (extension_is_gone)
		{
			dbp_sampler_set_outcome(DBP_SAMPLER_NO_EXTENSION);
			return;
		}
		if (parts[0].failures == 0 && interval_s == 0)
		{
			dbp_sampler_set_outcome(DBP_SAMPLER_OFF);
			return;
		}
		/* not even the settings could be read */
		if (parts[0].failures > 0 && interval_s == 0)
			interval_s = 1;
		rest(start);
	}
	dbp_sampler_set_outcome(DBP_SAMPLER_WAITING);
}

/*
 * Entry point of the process.
 */
void
dbp_sampler_main(Datum arg)
{
	uint32 generation;
	Oid dboid;

	/* who is sent away while it comes leaves without a word in the log */
	dbp_call_init_early();
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	dbp_is_worker_process = true;

	memcpy(&generation, MyBgworkerEntry->bgw_extra, sizeof(generation));
	dboid = dbp_sampler_arrive(DatumGetInt32(arg), generation);
	if (!OidIsValid(dboid))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);
	dbp_call_init("dbperf sampler");
	/* the last samples before a crash are not worth a flush each */
	SetConfigOption("synchronous_commit", "off", PGC_SUSET, PGC_S_OVERRIDE);

	tick_context =
		AllocSetContextCreate(TopMemoryContext, "dbperf sampler", ALLOCSET_DEFAULT_SIZES);
	run();
	proc_exit(0);
}
