/*-------------------------------------------------------------------------
 *
 * call.c
 *		What worker processes share: settings, signals, transactions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "call.h"
#include "compat.h"

static volatile sig_atomic_t terminate_requested = false;

/* Before it is, a cancel would be an error that nobody catches */
static volatile sig_atomic_t connected = false;

void
dbp_call_request_end(void)
{
	if (proc_exit_inprogress)
		return;
	terminate_requested = true;
	if (connected)
	{
		InterruptPending = true;
		QueryCancelPending = true;
	}
	SetLatch(MyLatch);
}

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
	else
		dbp_call_request_end();
	errno = save_errno;
}

/*
 * What postgresql.conf or ALTER DATABASE say for clients must not change what
 * maintenance does, nor make it wait for ever.
 */
static void
pin_settings(const char *application_name)
{
	static const char *const settings[][2] = {
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
		{"jit", "off"}, /* compiling our queries takes longer than they do */
		{"idle_in_transaction_session_timeout", "0"},
		{"transaction_timeout", "0"}, /* since 17 */
	};

	SetConfigOption("application_name", application_name, PGC_SUSET, PGC_S_OVERRIDE);
	for (int i = 0; i < (int) lengthof(settings); i++)
	{
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	}

	/* in a deadlock with DROP EXTENSION it is the worker that gives way, and in time */
	SetConfigOption("lock_timeout", psprintf("%d", Max(Min(DeadlockTimeout / 2, 1000), 1)),
					PGC_SUSET, PGC_S_OVERRIDE);
}

void
dbp_call_init_early(void)
{
	pqsignal(SIGTERM, handle_sigterm);
}

void
dbp_call_init(const char *application_name)
{
	connected = true;
	pqsignal(SIGTERM, handle_sigterm);
	pqsignal(SIGINT, StatementCancelHandler);
	pin_settings(application_name);
}

bool
dbp_call_is_to_end(void)
{
	return terminate_requested;
}

/* For the case that the error of the SIGTERM was caught on its way */
void
dbp_call_check_termination(void)
{
	CHECK_FOR_INTERRUPTS();
	if (terminate_requested)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("canceling maintenance because the worker is to end")));
}

/*
 * Begins a transaction in which SPI can commit and go on. That takes what a
 * CALL has: a portal, whose memory and whose snapshot outlive a commit.
 */
Portal
dbp_call_begin(void)
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

void
dbp_call_end(Portal portal)
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

void
dbp_simple_begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
dbp_simple_end(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
}

void
dbp_call_settle_run(const char *status, const char *error)
{
	Oid types[] = {TEXTOID, TEXTOID, INT4OID, TIMESTAMPTZOID};
	Datum values[4];

	dbp_simple_begin();
	values[0] = CStringGetTextDatum(status);
	values[1] = CStringGetTextDatum(error);
	values[2] = Int32GetDatum(MyProcPid);
	values[3] = TimestampTzGetDatum(MyStartTimestamp);
	if (SPI_execute_with_args("UPDATE dbperf.job_runs"
							  " SET status = $1, error = $2,"
							  " finished_at = pg_catalog.clock_timestamp()"
							  " WHERE status = 'running' AND pid = $3 AND backend_start = $4",
							  lengthof(types), types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not update dbperf.job_runs");
	dbp_simple_end();
}

ErrorData *
dbp_call_guarded(void (*function)(void), MemoryContext context)
{
	ErrorData *volatile error = NULL;

	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		function();
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		fail_call();
		AbortOutOfAnyTransaction();
		LWLockReleaseAll();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return error;
}
