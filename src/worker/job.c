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

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "call.h"
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

static bool
has_extension(void)
{
	bool exists;

	dbp_simple_begin();
	exists = dbp_extension_exists();
	dbp_simple_end();
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
	dbp_call_check_termination();
	request->source = "worker";
	request->commit_each = true;
	request->slice_ms = Max(slice_left_ms(), 1);
	request->background = true;

	pgstat_report_activity(STATE_RUNNING, psprintf("partition maintenance (%s)", request->reason));
	portal = dbp_call_begin();
	dbp_maintain_run(request, &result);
	dbp_call_end(portal);
	pgstat_report_activity(STATE_IDLE, NULL);

	report.created += result.created;
	report.more = report.more || result.more;
	report.to_compress = report.to_compress || result.to_compress;
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
 * Runs a part of the job. When that throws: puts the error into the report,
 * returns false.
 */
static bool
run_guarded(void (*part)(void), MemoryContext context)
{
	ErrorData *error = dbp_call_guarded(part, context);

	if (error == NULL)
		return true;
	report.outcome =
		error->sqlerrcode == ERRCODE_QUERY_CANCELED ? DBP_OUTCOME_CANCELED : DBP_OUTCOME_FAILED;
	report.sqlerrcode = error->sqlerrcode;
	set_error(error->message);
	return false;
}

/*
 * After a failure: was it only that the extension has been dropped meanwhile?
 * If not, closes the row of job_runs that the engine could not close any more.
 */
static void
settle_run(void)
{
	if (!has_extension())
	{
		report.outcome = DBP_OUTCOME_NO_EXTENSION;
		report.error[0] = '\0';
		return;
	}

	dbp_call_settle_run(report.outcome == DBP_OUTCOME_CANCELED ? "canceled" : "failed",
						report.error);
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
	dbp_call_init("dbperf worker");
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
