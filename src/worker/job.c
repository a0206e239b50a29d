/*-------------------------------------------------------------------------
 *
 * job.c
 *		A worker: one short-lived process that maintains one database.
 *
 * It takes its order from a slot in shared memory, works for one time slice at
 * most, and leaves its answer in the slot, where the launcher finds it however
 * the process ended.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "partition/maintain.h"
#include "partition/partition.h"
#include "shmem.h"

#define DBP_MIN_DELAY_MS 1000

/* The order, as it was when this process came */
static DbpSlot order;
static DbpSlot *my_slot = NULL;

/* The answer so far */
static DbpReport report;

static instr_time slice_start;
static volatile sig_atomic_t terminate_requested = false;

/*
 * The first SIGTERM cancels what is being done, so that the run is recorded as
 * canceled; if that is not soon enough for somebody, the next one insists.
 */
static void
handle_sigterm(SIGNAL_ARGS)
{
	int save_errno = errno;

	if (terminate_requested)
		die(postgres_signal_arg);
	else if (!proc_exit_inprogress)
	{
		terminate_requested = true;
		InterruptPending = true;
		QueryCancelPending = true;
		SetLatch(MyLatch);
	}
	errno = save_errno;
}

/* Cut between two characters: worker_status shows it to clients */
static void
set_error(const char *message)
{
	int len = pg_mbcliplen(message, strlen(message), sizeof(report.error) - 1);

	memcpy(report.error, message, len);
	report.error[len] = '\0';
}

static void
worker_leaves(int code, Datum arg)
{
	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	my_slot->state = DBP_SLOT_DONE;
	my_slot->pid = 0;
	my_slot->since = GetCurrentTimestamp();
	my_slot->result = report;
	if (dbp_shmem->launcher_latch != NULL)
		SetLatch(dbp_shmem->launcher_latch);
	LWLockRelease(dbp_shmem->lock);
}

/* False when the launcher has given this order up. */
static bool
worker_arrives(int index)
{
	uint32 generation;
	bool mine;

	memcpy(&generation, MyBgworkerEntry->bgw_extra, sizeof(generation));
	if (dbp_shmem == NULL || index < 0 || index >= dbp_shmem->nslots)
		return false;

	LWLockAcquire(dbp_shmem->lock, LW_EXCLUSIVE);
	my_slot = &dbp_shmem->slots[index];
	mine = my_slot->state == DBP_SLOT_STARTING && my_slot->generation == generation;
	if (mine)
	{
		my_slot->state = DBP_SLOT_RUNNING;
		my_slot->pid = MyProcPid;
		my_slot->since = GetCurrentTimestamp();
		order = *my_slot;
	}
	LWLockRelease(dbp_shmem->lock);
	if (!mine)
		return false;

	report.outcome = DBP_OUTCOME_DIED;
	strlcpy(report.error, "the worker ended early, see the server log", sizeof(report.error));
	before_shmem_exit(worker_leaves, (Datum) 0);
	return true;
}

/*
 * What postgresql.conf or ALTER DATABASE say for clients must not change what
 * maintenance does, nor make it wait for ever.
 */
static void
pin_settings(void)
{
	static const char *const settings[][2] = {
		{"application_name", "dbperf worker"},
		{"search_path", "pg_catalog, pg_temp"},
		{"DateStyle", "ISO, MDY"},
		{"IntervalStyle", "postgres"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		{"default_transaction_read_only", "off"},
		{"session_replication_role", "origin"},
		{"synchronous_commit", "local"}, /* locks must not be held for a standby that is away */
		{"role", "none"},
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"transaction_timeout", "0"}, /* since 17 */
	};

	for (int i = 0; i < (int) lengthof(settings); i++)
	{
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	}

	/* in a deadlock with DROP EXTENSION it is the worker that gives way, and in time */
	SetConfigOption("lock_timeout", psprintf("%d", Max(Min(DeadlockTimeout / 2, 1000), 1)),
					PGC_SUSET, PGC_S_OVERRIDE);
}

/* For the case that the error of the SIGTERM was caught on its way */
static void
check_for_termination(void)
{
	CHECK_FOR_INTERRUPTS();
	if (terminate_requested)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("canceling maintenance because the worker is to end")));
}

/* What is left of the time slice; 0: nothing */
static int
slice_left_ms(void)
{
	instr_time elapsed;
	double left;

	INSTR_TIME_SET_CURRENT(elapsed);
	INSTR_TIME_SUBTRACT(elapsed, slice_start);
	left = DBP_SLICE_MS - INSTR_TIME_GET_MILLISEC(elapsed);
	return left > 1.0 ? (int) left : 0;
}

/*
 * From the engine's clock, which dbperf.now_override may hold still, to a pause.
 */
static int64
pause_until(TimestampTz next_due)
{
	int64 longest = (int64) dbp_naptime * 1000;
	TimestampTz now = GetCurrentTimestamp();

	/* when the clock is held still, no bound comes any nearer */
	if (dbp_now_is_fixed() || next_due >= now + longest * 1000)
		return longest;
	/* rounded up, not to come a moment too early */
	return Max((next_due - now) / 1000 + 1, DBP_MIN_DELAY_MS);
}

/*
 * Begins a transaction in which SPI can commit and go on. That takes what a
 * CALL has: a portal, whose memory and whose snapshot outlive a commit.
 */
static Portal
begin_call(void)
{
	Portal portal;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	portal = CreateNewPortal();
	portal->visible = false;
	portal->status = PORTAL_ACTIVE;
	portal->activeSubid = GetCurrentSubTransactionId();
	ActivePortal = portal;
	PortalContext = portal->portalContext;
	EnsurePortalSnapshotExists();
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect_ext failed");
	return portal;
}

static void
end_call(Portal portal)
{
	SPI_finish();
	if (portal->portalSnapshot != NULL)
	{
		portal->portalSnapshot = NULL;
		PopActiveSnapshot();
	}
	portal->status = PORTAL_DONE;
	ActivePortal = NULL;
	PortalContext = NULL;
	PortalDrop(portal, false);
	CommitTransactionCommand();
	pgstat_report_stat(true);
}

/* The same after an error, before the transaction is rolled back */
static void
fail_call(void)
{
	if (ActivePortal != NULL)
	{
		ActivePortal->portalSnapshot = NULL;
		MarkPortalFailed(ActivePortal);
	}
	ActivePortal = NULL;
	PortalContext = NULL;
}

/* A transaction that does nothing more than one look or one change */
static void
begin_simple(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

static void
end_simple(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
}

static bool
has_extension(void)
{
	bool exists;

	begin_simple();
	exists = dbp_extension_exists();
	end_simple();
	return exists;
}

/*
 * Calls the engine once and adds its answer to the report.
 */
static void
run_request(DbpMaintainRequest *request)
{
	DbpMaintainResult result;
	Portal portal;

	memset(&result, 0, sizeof(result));
	check_for_termination();
	request->source = "worker";
	request->commit_each = true;
	request->slice_ms = Max(slice_left_ms(), 1);
	request->background = true;

	pgstat_report_activity(STATE_RUNNING, psprintf("partition maintenance (%s)", request->reason));
	portal = begin_call();
	dbp_maintain_run(request, &result);
	end_call(portal);
	pgstat_report_activity(STATE_IDLE, NULL);

	report.created += result.created;
	report.more = report.more || result.more;
	report.delay_ms = Min(report.delay_ms, pause_until(result.next_due));
}

static void
run_missing(const DbpMissing *missing)
{
	DbpMaintainRequest request;

	memset(&request, 0, sizeof(request));
	request.reason = "missing_partition";
	request.missing_schema = missing->schema;
	request.missing_table = missing->table;
	request.missing_key = missing->has_key ? missing->key : NULL;
	request.missing_datestyle = missing->datestyle;
	request.missing_timezone = missing->timezone;
	run_request(&request);
}

/*
 * The job itself: clients that wait for a partition first.
 */
static void
run_order(void)
{
	DbpMissing missing;

	report.delay_ms = (int64) dbp_naptime * 1000;
	if (!has_extension())
	{
		dbp_shmem_take_missing(MyDatabaseId, NULL);
		report.outcome = DBP_OUTCOME_NO_EXTENSION;
		return;
	}

	while (slice_left_ms() > 0 && dbp_shmem_take_missing(MyDatabaseId, &missing))
		run_missing(&missing);

	if (order.full_run && slice_left_ms() > 0)
	{
		DbpMaintainRequest request;

		memset(&request, 0, sizeof(request));
		request.reason = order.woken ? "wake" : "schedule";
		run_request(&request);
	}
	else if (order.full_run)
		report.more = true;

	report.outcome = DBP_OUTCOME_DONE;
}

/*
 * Runs a part of the job. When that throws: rolls back, puts the error into
 * the report, returns false.
 */
static bool
run_guarded(void (*part)(void), MemoryContext context)
{
	volatile bool ok = true;

	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		part();
	}
	PG_CATCH();
	{
		ErrorData *edata;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		fail_call();
		AbortOutOfAnyTransaction();
		LWLockReleaseAll();
		MemoryContextSwitchTo(context);

		report.outcome =
			edata->sqlerrcode == ERRCODE_QUERY_CANCELED ? DBP_OUTCOME_CANCELED : DBP_OUTCOME_FAILED;
		report.sqlerrcode = edata->sqlerrcode;
		set_error(edata->message);
		ok = false;
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return ok;
}

/*
 * After a failure: was it only that the extension has been dropped meanwhile?
 * If not, closes the row of job_runs that the engine could not close any more.
 */
static void
settle_run(void)
{
	Oid types[] = {TEXTOID, TEXTOID, INT4OID, TIMESTAMPTZOID};
	Datum values[4];

	if (!has_extension())
	{
		report.outcome = DBP_OUTCOME_NO_EXTENSION;
		report.error[0] = '\0';
		return;
	}

	values[0] = CStringGetTextDatum(report.outcome == DBP_OUTCOME_CANCELED ? "canceled" : "failed");
	values[1] = CStringGetTextDatum(report.error);
	values[2] = Int32GetDatum(MyProcPid);
	values[3] = TimestampTzGetDatum(MyStartTimestamp);

	begin_simple();
	if (SPI_execute_with_args("UPDATE dbperf.job_runs"
							  " SET status = $1, error = $2,"
							  " finished_at = pg_catalog.clock_timestamp()"
							  " WHERE status = 'running' AND pid = $3 AND backend_start = $4",
							  lengthof(types), types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not update dbperf.job_runs");
	end_simple();
}

/*
 * Entry point of a worker process.
 */
void
dbp_worker_main(Datum arg)
{
	MemoryContext context;

	/* until the connection stands, the plain handlers do */
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	dbp_is_worker_process = true;
	INSTR_TIME_SET_CURRENT(slice_start);

	if (!worker_arrives(DatumGetInt32(arg)))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(order.dboid, InvalidOid, 0);
	pqsignal(SIGTERM, handle_sigterm);
	pqsignal(SIGINT, StatementCancelHandler);
	pin_settings();
	/* waiting for CREATE DATABASE to let go of the database is no work */
	INSTR_TIME_SET_CURRENT(slice_start);

	context = AllocSetContextCreate(TopMemoryContext, "dbperf worker", ALLOCSET_DEFAULT_SIZES);
	if (!run_guarded(run_order, context))
	{
		DbpReport failure = report;

		/* when not even that can be done, the first error is the one to tell */
		if (!run_guarded(settle_run, context))
			report = failure;
	}
	proc_exit(0);
}
