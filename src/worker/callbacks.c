/*-------------------------------------------------------------------------
 *
 * callbacks.c
 *		Calls the functions that users have registered for alerts.
 *
 * In a process of its own, since a function can block, catch its cancel, or
 * end the process it runs in: none of that may keep the sampler from sampling.
 * A process serves functions of one owner and ends, so that nothing one user
 * leaves behind in a session (prepared statements, locks, settings) meets the
 * functions of another. It ends with its sampler, too, so that the two are gone
 * from a database together.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timeout.h"

#include "call.h"
#include "compat.h"
#include "dbperf.h"
#include "guc.h"
#include "plan.h"
#include "sampler.h"

#define MAX_CALLS 16
#define PAYLOAD_LEN 8000

/* On top of its own limit, before a process that does not get on is ended */
#define GRACE_MS (2 * DBP_SECOND_MS)

typedef struct Call
{
	Oid callback;
	int64 event_id;
	volatile bool begun;
	volatile bool done;
	double ms;
	char error[DBP_ERROR_LEN]; /* '': none */
	char payload[PAYLOAD_LEN];
} Call;

typedef struct Batch
{
	Oid dboid;
	Oid owner;
	int timeout_ms;
	int ncalls;
	Call calls[MAX_CALLS];
} Batch;

/* In the sampler: the batch that a process is at, or none */
static dsm_segment *segment = NULL;
static Batch *batch = NULL;
static BackgroundWorkerHandle *process = NULL;
static int ndone;			 /* calls that were, when last looked at */
static instr_time got_on_at; /* and since when it is as many */

/* ------------------------------------------------------------------------
 * In the process that calls
 * ------------------------------------------------------------------------ */

static Call *current;

static void
check_function(Oid callback, Oid owner)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(callback));
	Form_pg_proc form;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("the function does not exist any more")));
	form = (Form_pg_proc) GETSTRUCT(tuple);
	if (form->proowner != owner)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the function has another owner than when it was to be called")));
	if (form->prokind != PROKIND_FUNCTION || form->proretset || form->pronargs != 1 ||
		form->proargtypes.values[0] != JSONBOID)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s is not a function of one jsonb argument", NameStr(form->proname))));
	ReleaseSysCache(tuple);
}

/* By its number: by its name, another one could take its place at the last moment */
static void
call(void)
{
	FmgrInfo function;
	LOCAL_FCINFO(arguments, 1);

	dbp_simple_begin();
	check_function(current->callback, GetUserId());
	fmgr_info(current->callback, &function);
	InitFunctionCallInfoData(*arguments, &function, 1, InvalidOid, NULL, NULL);
	arguments->args[0].value = DirectFunctionCall1(jsonb_in, CStringGetDatum(current->payload));
	arguments->args[0].isnull = false;
	(void) FunctionCallInvoke(arguments);
	dbp_simple_end();
}

static void
make_call(int timeout_ms, MemoryContext context)
{
	instr_time start;
	instr_time elapsed;
	ErrorData *error;

	current->begun = true;
	INSTR_TIME_SET_CURRENT(start);
	enable_timeout_after(STATEMENT_TIMEOUT, timeout_ms);
	error = dbp_call_guarded(call, context);
	disable_timeout(STATEMENT_TIMEOUT, false);
	/* one that came too late for this call is not for the next */
	QueryCancelPending = false;
	INSTR_TIME_SET_CURRENT(elapsed);
	INSTR_TIME_SUBTRACT(elapsed, start);
	current->ms = INSTR_TIME_GET_MILLISEC(elapsed);
	if (error != NULL)
	{
		int len = pg_mbcliplen(error->message, strlen(error->message), DBP_ERROR_LEN - 1);

		memcpy(current->error, error->message, len);
		current->error[len] = '\0';
	}
	else
		current->error[0] = '\0';
	current->done = true;
}

/*
 * From before the first call to the end: also what a commit sets off is done
 * by the owner, who cannot become anybody else, and session_user, by which an
 * audit trail may go, says the same. False: that role is gone.
 */
static bool
become(Oid owner)
{
	char *name;

	StartTransactionCommand();
	name = GetUserNameFromId(owner, true);
	if (name != NULL)
	{
		SetConfigOption("role", "none", PGC_SUSET, PGC_S_OVERRIDE);
		SetConfigOption("session_authorization", name, PGC_SUSET, PGC_S_OVERRIDE);
	}
	CommitTransactionCommand();
	if (name == NULL)
		return false;
	SetUserIdAndSecContext(owner, SECURITY_LOCAL_USERID_CHANGE);
	return true;
}

/*
 * Entry point of the process.
 */
void
dbp_callbacks_main(Datum arg)
{
	dsm_segment *mine;
	Batch *order;
	MemoryContext context;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	dbp_is_worker_process = true;

	mine = dsm_attach(DatumGetUInt32(arg));
	if (mine == NULL)
		proc_exit(0);
	dsm_pin_mapping(mine);
	order = dsm_segment_address(mine);
	BackgroundWorkerInitializeConnectionByOid(order->dboid, InvalidOid, 0);
	pqsignal(SIGINT, StatementCancelHandler);
	SetConfigOption("application_name", "dbperf alert callbacks", PGC_SUSET, PGC_S_OVERRIDE);
	if (!become(order->owner))
		proc_exit(0);
	context =
		AllocSetContextCreate(TopMemoryContext, "dbperf alert callbacks", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < order->ncalls; i++)
	{
		current = &order->calls[i];
		pgstat_report_activity(STATE_RUNNING, "calling a function for an alert");
		make_call(order->timeout_ms, context);
		pgstat_report_activity(STATE_IDLE, NULL);
		MemoryContextReset(context);
	}
	proc_exit(0);
}

/* ------------------------------------------------------------------------
 * In the sampler
 * ------------------------------------------------------------------------ */

/* Calls of the first owner in the queue; false: there are none */
static bool
fill_batch(void)
{
	batch->ncalls = 0;
	for (uint64 i = 0; i < SPI_processed && batch->ncalls < MAX_CALLS; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		Call *next = &batch->calls[batch->ncalls];
		bool isnull;
		Oid owner = DatumGetObjectId(SPI_getbinval(tuple, desc, 2, &isnull));
		char *payload = SPI_getvalue(tuple, desc, 4);

		if (batch->ncalls > 0 && owner != batch->owner)
			continue;
		batch->owner = owner;
		next->callback = DatumGetObjectId(SPI_getbinval(tuple, desc, 1, &isnull));
		next->event_id = DatumGetInt64(SPI_getbinval(tuple, desc, 3, &isnull));
		next->begun = false;
		next->done = false;
		next->ms = 0;
		strlcpy(next->error, "the process that called the function ended before it did",
				sizeof(next->error));
		strlcpy(next->payload, payload != NULL ? payload : "null", sizeof(next->payload));
		batch->ncalls++;
	}
	return batch->ncalls > 0;
}

static void
give_up_batch(void)
{
	if (segment != NULL)
		dsm_detach(segment);
	if (process != NULL)
		pfree(process);
	segment = NULL;
	batch = NULL;
	process = NULL;
}

static void
end_process(int code, Datum arg)
{
	if (process != NULL)
		TerminateBackgroundWorker(process);
}

static bool
start_process(void)
{
	static bool prepared = false;
	BackgroundWorker worker;
	MemoryContext oldcontext;
	bool registered;

	if (!prepared)
		before_shmem_exit(end_process, (Datum) 0);
	prepared = true;
	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), DBP_LIBRARY_NAME);
	snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), "dbp_callbacks_main");
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "dbperf alert callbacks for database %u",
			 batch->dboid);
	snprintf(worker.bgw_type, sizeof(worker.bgw_type), "dbperf alert callbacks");
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	worker.bgw_notify_pid = MyProcPid;

	oldcontext = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &process);
	MemoryContextSwitchTo(oldcontext);
	ndone = 0;
	INSTR_TIME_SET_CURRENT(got_on_at);
	return registered;
}

static void
begin_batch(void)
{
	bool any;

	dbp_simple_begin();
	if (SPI_execute("SELECT callback, owner, event_id, payload FROM dbperf.callbacks_to_call()",
					false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the callbacks of alerts");
	any = SPI_processed > 0;
	if (any)
	{
		segment = dsm_create(sizeof(Batch), 0);
		dsm_pin_mapping(segment);
		batch = dsm_segment_address(segment);
		batch->dboid = MyDatabaseId;
		batch->timeout_ms = dbp_callback_timeout;
		any = fill_batch();
	}
	dbp_simple_end();
	if (!any)
		give_up_batch();
	else if (!start_process())
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker process is free"),
				 errdetail("The functions are called when there is one."),
				 errhint("Consider increasing max_worker_processes.")));
}

static void
end_batch(void)
{
	Oid types[] = {OIDOID, INT8OID, TEXTOID, FLOAT8OID};

	dbp_simple_begin();
	for (int i = 0; i < batch->ncalls; i++)
	{
		Call *result = &batch->calls[i];
		Datum values[] = {ObjectIdGetDatum(result->callback), Int64GetDatum(result->event_id),
						  CStringGetTextDatum(result->error), Float8GetDatum(result->ms)};
		char nulls[] = {' ', ' ', result->error[0] == '\0' ? 'n' : ' ', ' '};

		/*
		 * What the process did not come to is not to blame, and will be given
		 * out again; but a process that came to nothing has the first to blame.
		 */
		if (i > 0 && !result->begun)
			continue;
		if (SPI_execute_with_args("SELECT dbperf.callback_done($1, $2, $3, $4)", lengthof(types),
								  types, values, nulls, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not note what became of the callbacks of alerts");
	}
	dbp_simple_end();
	give_up_batch();
}

static bool
is_overdue(void)
{
	instr_time elapsed;
	int n = 0;

	while (n < batch->ncalls && batch->calls[n].done)
		n++;
	INSTR_TIME_SET_CURRENT(elapsed);
	if (n > ndone)
		got_on_at = elapsed;
	ndone = n;
	INSTR_TIME_SUBTRACT(elapsed, got_on_at);
	return INSTR_TIME_GET_MILLISEC(elapsed) > (double) batch->timeout_ms + GRACE_MS;
}

void
dbp_callbacks_step(void)
{
	pid_t pid;

	/* what was begun, and not given to a process */
	if (process == NULL)
		give_up_batch();
	if (batch == NULL)
		begin_batch();
	else if (GetBackgroundWorkerPid(process, &pid) == BGWH_STOPPED)
	{
		end_batch();
		begin_batch();
	}
	else if (is_overdue())
		TerminateBackgroundWorker(process);
}

bool
dbp_callbacks_pending(void)
{
	return process != NULL;
}
