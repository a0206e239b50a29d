/*-------------------------------------------------------------------------
 *
 * archiver.c
 *		The archiver: a process that compresses partitions of one database.
 *
 * It works until nothing is due any more, or its turn is over, and leaves its
 * answer in shared memory, where the launcher finds it however the process ended.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "archiver.h"
#include "call.h"
#include "compat.h"
#include "guc.h"
#include "partition/compress.h"
#include "partition/maintain.h"
#include "partition/partition.h"
#include "shmem.h"

static DbpReport report;
static bool woken;

/* Maintenance needs what is being compressed */
static void
handle_interruption(SIGNAL_ARGS)
{
	int save_errno = errno;

	(void) dbp_watch_make_way();
	errno = save_errno;
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

static void
run(void)
{
	DbpMaintainRequest request = {0};
	DbpMaintainResult result;
	Portal portal;

	memset(&result, 0, sizeof(result));
	if (!has_extension())
	{
		report.outcome = DBP_OUTCOME_NO_EXTENSION;
		return;
	}
	dbp_call_check_termination();
	request.source = "worker";
	request.reason = woken ? "wake" : "schedule";
	request.commit_each = true;
	request.background = true;
	request.only_compress = true;
	request.may_compress = true;
	request.slice_ms = DBP_ARCHIVE_TURN_MS;

	pgstat_report_activity(STATE_RUNNING, "compressing partitions");
	portal = dbp_call_begin();
	dbp_maintain_run(&request, &result);
	dbp_call_end(portal);
	pgstat_report_activity(STATE_IDLE, NULL);

	report.outcome = DBP_OUTCOME_DONE;
	report.more = result.more;
	report.to_compress = result.to_compress;
	report.delay_ms = Max((result.next_due - GetCurrentTimestamp()) / 1000 + 1, 0);
}

static void
note_error(const ErrorData *error)
{
	int len = pg_mbcliplen(error->message, strlen(error->message), sizeof(report.error) - 1);

	report.outcome =
		error->sqlerrcode == ERRCODE_QUERY_CANCELED ? DBP_OUTCOME_CANCELED : DBP_OUTCOME_FAILED;
	report.sqlerrcode = error->sqlerrcode;
	memcpy(report.error, error->message, len);
	report.error[len] = '\0';
}

/* After a failure: was it only that the extension has been dropped meanwhile? */
static void
settle_run(void)
{
	if (has_extension())
		dbp_call_settle_run(report.outcome == DBP_OUTCOME_CANCELED ? "canceled" : "failed",
							report.error);
	else
		report.outcome = DBP_OUTCOME_NO_EXTENSION;
}

/*
 * Entry point of the process.
 */
void
dbp_archiver_main(Datum arg)
{
	MemoryContext context;
	ErrorData *error;
	uint32 generation;
	Oid dboid = InvalidOid;

	/* who is sent away while it comes leaves without a word in the log */
	dbp_call_init_early();
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGUSR2, handle_interruption);
	BackgroundWorkerUnblockSignals();
	dbp_is_worker_process = true;

	memcpy(&generation, MyBgworkerEntry->bgw_extra, sizeof(generation));
	if (!dbp_archiver_arrive(DatumGetInt32(arg), generation, &dboid, &woken))
		proc_exit(0);
	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);
	dbp_call_init("dbperf archiver");

	context = AllocSetContextCreate(TopMemoryContext, "dbperf archiver", ALLOCSET_DEFAULT_SIZES);
	error = dbp_call_guarded(run, context);
	if (error != NULL)
	{
		note_error(error);
		(void) dbp_call_guarded(settle_run, context);
	}
	dbp_archiver_report(&report);
	proc_exit(0);
}
