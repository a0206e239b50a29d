/*-------------------------------------------------------------------------
 *
 * remote.c
 *		What a session cannot do itself, done for it by a background worker.
 *
 * Session and worker share one segment of memory: the request, and a queue for
 * what the worker has to say, which are messages as a client would get them.
 * Each looks after the other. A session that gives up, for whatever reason,
 * has the postmaster end its worker; a worker whose session has vanished ends
 * by itself; and a queue that is closed without an answer is an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "libpq/pqformat.h"
#include "libpq/pqmq.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "storage/shm_toc.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "call.h"
#include "columnar/compress_job.h"
#include "compat.h"
#include "dbperf.h"
#include "guc.h"
#include "partition/partition.h"
#include "remote.h"
#include "sampler.h"
#include "shmem.h"

#define DBP_REMOTE_MAGIC 0x44425052
#define DBP_REMOTE_QUEUE_BYTES (64 * 1024) /* longer messages come in pieces */

enum
{
	KEY_ORDER,
	KEY_QUEUE
};

/* Messages beside the server's own 'E' and 'N' */
#define MESSAGE_ROW 'D'
#define MESSAGE_DONE 'C'

#define SLOT_WAIT_MS 1000 /* for a free process; those of the launcher leave after 2 s */
#define SLOT_CHECK_MS 50
#define LEAVE_WAIT_MS 2000 /* for a worker that has been told to end */
#define WATCH_MS 1000	   /* between two looks of the worker after its caller */
#define PATIENCE 5		   /* looks, until what caught the cancel is ended with the process */

typedef struct DbpRemoteOrder
{
	DbpRemoteRequest request;
	Oid dboid;
	volatile bool given_up; /* by the caller */
} DbpRemoteOrder;

/* The caller's side */
typedef struct DbpRemoteCall
{
	dsm_segment *segment;
	DbpRemoteOrder *order;
	shm_mq *queue;
	shm_mq_handle *messages;
	BackgroundWorkerHandle *worker;
	ReturnSetInfo *rows;
	bool quiet;	 /* notices are dropped */
	int wait_ms; /* for its answer; 0: no limit */
	instr_time started;
	MemoryContext context; /* for the results */
	bool any_row;
	char *first_partition;
	bool done;
	bool late;
	ErrorData *error; /* of the worker */
} DbpRemoteCall;

/* The worker's side; NULL in other processes */
static DbpRemoteOrder *my_order = NULL;

/*
 * The clock that the caller goes by, readable under any settings.
 */
static void
write_fixed_now(char *result, Size size)
{
	char text[MAXDATELEN + 1];
	struct pg_tm tm;
	fsec_t fsec;

	result[0] = '\0';
	if (!dbp_now_is_fixed())
		return;
	if (timestamp2tm(dbp_now(), NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	tm.tm_isdst = 0; /* or else no zone is written */
	EncodeDateTime(&tm, fsec, true, 0, "UTC", USE_ISO_DATES, text);
	if (strlcpy(result, text, size) >= size)
		elog(ERROR, "dbperf.now_override is too long: %s", text);
}

void
dbp_remote_request_init(DbpRemoteRequest *request, DbpRemoteKind kind, Oid relid)
{
	memset(request, 0, sizeof(DbpRemoteRequest));
	request->kind = kind;
	request->relid = relid;
	request->userid = GetUserId();
	request->caller_pid = MyProcPid;
	strlcpy(request->actor, GetUserNameFromId(GetSessionUserId(), false), NAMEDATALEN);
	write_fixed_now(request->now, sizeof(request->now));
}

/*
 * What must not be done here must not be done by having it done either.
 */
static void
check_caller(void)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot change partitions during recovery"),
				 errhint("Use the primary server.")));
	if (XactReadOnly)
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot change partitions in a read-only transaction"),
				 errhint("Begin the transaction with READ WRITE.")));
	if (IsInParallelMode())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("cannot change partitions during a parallel operation"),
				 errhint("Call the function in a statement of its own.")));
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot change partitions within security-restricted operation"),
				 errhint("Functions in indexes, constraints and the like must not do so.")));
	if (dbp_is_worker_process || !IsUnderPostmaster)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot have a background worker change partitions in this process"),
				 errhint("Call the function from a client of a running server.")));
}

static void
make_segment(DbpRemoteCall *call, const DbpRemoteRequest *request)
{
	shm_toc_estimator estimate;
	shm_toc *toc;
	Size size;

	shm_toc_initialize_estimator(&estimate);
	shm_toc_estimate_chunk(&estimate, sizeof(DbpRemoteOrder));
	shm_toc_estimate_chunk(&estimate, DBP_REMOTE_QUEUE_BYTES);
	shm_toc_estimate_keys(&estimate, 2);
	size = shm_toc_estimate(&estimate);

	/* let go of by the resource owner, or when this process ends */
	call->segment = dsm_create(size, 0);
	toc = shm_toc_create(DBP_REMOTE_MAGIC, dsm_segment_address(call->segment), size);

	call->order = shm_toc_allocate(toc, sizeof(DbpRemoteOrder));
	call->order->request = *request;
	call->order->dboid = MyDatabaseId;
	call->order->given_up = false;
	shm_toc_insert(toc, KEY_ORDER, call->order);

	call->queue =
		shm_mq_create(shm_toc_allocate(toc, DBP_REMOTE_QUEUE_BYTES), DBP_REMOTE_QUEUE_BYTES);
	shm_mq_set_receiver(call->queue, MyProc);
	shm_toc_insert(toc, KEY_QUEUE, call->queue);
	call->messages = shm_mq_attach(call->queue, call->segment, NULL);
}

static void
sleep_ms(int ms, uint32 wait_event)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, wait_event);
	ResetLatch(MyLatch);
}

/*
 * Registers the worker. False when no process has been free for slot_wait_ms.
 */
static bool
start_worker(DbpRemoteCall *call, int slot_wait_ms)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), DBP_LIBRARY_NAME);
	snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), "dbp_remote_main");
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "dbperf session worker for PID %d",
			 MyProcPid);
	snprintf(worker.bgw_type, sizeof(worker.bgw_type), "dbperf session worker");
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(call->segment));
	worker.bgw_notify_pid = MyProcPid;

	for (int waited = 0; !RegisterDynamicBackgroundWorker(&worker, &call->worker);
		 waited += SLOT_CHECK_MS)
	{
		CHECK_FOR_INTERRUPTS();
		/* who does not wait would have nothing of it */
		if (waited == 0 && slot_wait_ms > 0)
			(void) dbp_samplers_give_way();
		if (waited >= slot_wait_ms)
			return false;
		sleep_ms(SLOT_CHECK_MS, WAIT_EVENT_BGWORKER_STARTUP);
	}
	shm_mq_set_handle(call->messages, call->worker);
	return true;
}

/*
 * Gives a worker that has nothing more to do, or has been told to end, the
 * time for it. Not interruptible: what comes meanwhile has to wait as long.
 */
static void
let_worker_leave(const DbpRemoteCall *call)
{
	instr_time start;
	pid_t pid;

	INSTR_TIME_SET_CURRENT(start);
	while (GetBackgroundWorkerPid(call->worker, &pid) != BGWH_STOPPED &&
		   dbp_ms_since(&start) < LEAVE_WAIT_MS)
		sleep_ms(100, WAIT_EVENT_BGWORKER_SHUTDOWN);
}

/*
 * After an error here, and when this process has to end.
 */
static void
give_up(int code, Datum arg)
{
	DbpRemoteCall *call = (DbpRemoteCall *) DatumGetPointer(arg);

	call->order->given_up = true;
	TerminateBackgroundWorker(call->worker);
	/* it may be waiting for room in the queue */
	shm_mq_detach(call->messages);
	if (!proc_exit_inprogress)
		let_worker_leave(call);
}

static char *
read_text(StringInfo message)
{
	int len = pq_getmsgint(message, 4);

	if (len < 0)
		return NULL;
	return pnstrdup(pq_getmsgbytes(message, len), len);
}

static void
take_row(DbpRemoteCall *call, StringInfo message)
{
	Datum values[DBP_REMOTE_COLUMNS];
	bool nulls[DBP_REMOTE_COLUMNS];

	values[0] = ObjectIdGetDatum((Oid) pq_getmsgint(message, 4));
	nulls[0] = !OidIsValid(DatumGetObjectId(values[0]));
	for (int i = 1; i < DBP_REMOTE_COLUMNS; i++)
	{
		char *text = read_text(message);

		if (i == 1 && !call->any_row && text != NULL)
			call->first_partition = MemoryContextStrdup(call->context, text);
		nulls[i] = text == NULL;
		values[i] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
	}
	call->any_row = true;
	if (call->rows != NULL)
		tuplestore_putvalues(call->rows->setResult, call->rows->setDesc, values, nulls);
}

/*
 * An error is kept until the worker has left; a notice is passed on.
 */
static void
take_error_or_notice(DbpRemoteCall *call, char type, StringInfo message)
{
	ErrorData data;
	MemoryContext old;

	old = MemoryContextSwitchTo(type == 'E' ? call->context : CurrentMemoryContext);
	pq_parse_errornotice(message, &data);
	/* a place in a statement that nobody here has seen */
	data.cursorpos = 0;
	if (type == 'E')
	{
		if (data.sqlerrcode == ERRCODE_ADMIN_SHUTDOWN)
		{
			/* not of this session, as clients would think */
			data.sqlerrcode = ERRCODE_QUERY_CANCELED;
		}
		data.elevel = ERROR;
		data.context = data.context != NULL ? psprintf("%s\nbackground worker", data.context)
											: pstrdup("background worker");
		call->error = palloc(sizeof(ErrorData));
		*call->error = data;
	}
	MemoryContextSwitchTo(old);
	if (type == 'N' && data.elevel < ERROR && !call->quiet)
		ThrowErrorData(&data);
}

static void
take_message(DbpRemoteCall *call, Size len, char *data)
{
	StringInfoData message;
	char type;

	message.data = data;
	message.len = len;
	message.maxlen = len;
	message.cursor = 0;
	type = pq_getmsgbyte(&message);
	if (type == MESSAGE_ROW)
		take_row(call, &message);
	else if (type == MESSAGE_DONE)
		call->done = true;
	else if (type == 'E' || type == 'N')
		take_error_or_notice(call, type, &message);
}

/*
 * The next message. False when there will be none, or none in time.
 */
static bool
next_message(DbpRemoteCall *call, Size *len, void **data)
{
	bool limited = call->wait_ms > 0;

	for (;;)
	{
		shm_mq_result result;
		double left;

		CHECK_FOR_INTERRUPTS();
		/* the queue knows the process, and so whether it came and went */
		result = shm_mq_receive(call->messages, len, data, limited);
		if (result != SHM_MQ_WOULD_BLOCK)
			return result == SHM_MQ_SUCCESS;
		left = call->wait_ms - dbp_ms_since(&call->started);
		if (left <= 0)
		{
			call->late = true;
			return false;
		}
		sleep_ms(Max(1, (int) left), PG_WAIT_EXTENSION);
	}
}

/*
 * Takes what the worker sends, until it has nothing more to say.
 */
static void
take_messages(DbpRemoteCall *call)
{
	MemoryContext old = CurrentMemoryContext;
	MemoryContext each =
		AllocSetContextCreate(old, "dbperf message of a worker", ALLOCSET_SMALL_SIZES);
	Size len;
	void *data;

	while (!call->done && call->error == NULL)
	{
		if (!next_message(call, &len, &data))
			break;
		MemoryContextSwitchTo(each);
		take_message(call, len, data);
		MemoryContextSwitchTo(old);
		MemoryContextReset(each);
	}
	MemoryContextDelete(each);
}

/*
 * From the request to the last message.
 */
static DbpRemoteOutcome
call_worker(DbpRemoteCall *call, const DbpRemoteRequest *request, int slot_wait_ms)
{
	bool came;

	call->context = CurrentMemoryContext;
	INSTR_TIME_SET_CURRENT(call->started);
	make_segment(call, request);
	if (!start_worker(call, slot_wait_ms))
	{
		dsm_detach(call->segment);
		return DBP_REMOTE_NO_PROCESS;
	}

	PG_ENSURE_ERROR_CLEANUP(give_up, PointerGetDatum(call));
	{
		take_messages(call);
	}
	PG_END_ENSURE_ERROR_CLEANUP(give_up, PointerGetDatum(call));

	/* so that its process is free again, and nobody finds it in the database */
	if (call->late)
		give_up(0, PointerGetDatum(call));
	else
		let_worker_leave(call);
	came = shm_mq_get_sender(call->queue) != NULL;
	dsm_detach(call->segment);
	pfree(call->worker);

	if (call->error != NULL)
		return DBP_REMOTE_FAILED;
	if (call->done)
		return DBP_REMOTE_SERVED;
	if (call->late)
		return DBP_REMOTE_TOO_LATE;
	return came ? DBP_REMOTE_LOST : DBP_REMOTE_NEVER_CAME;
}

static void
raise_lost_worker(bool came)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 came ? errmsg("the background worker ended early, see the server log")
				  : errmsg("the background worker could not be started, see the server log"),
			 errhint("What it had committed until then stays; try again for the rest.")));
}

char *
dbp_remote_call(const DbpRemoteRequest *request, ReturnSetInfo *rows)
{
	DbpRemoteCall call = {0};
	DbpRemoteOutcome outcome;

	check_caller();
	call.rows = rows;
	dbp_older_ignore_caller();
	/* the launcher's workers come and go: it takes a moment to say that no process is free */
	outcome = call_worker(&call, request, SLOT_WAIT_MS);
	dbp_older_regard_caller();

	if (outcome == DBP_REMOTE_FAILED)
		ThrowErrorData(call.error);
	if (outcome == DBP_REMOTE_NO_PROCESS)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no background worker process is free"),
				 errhint("Try again later, or increase max_worker_processes. "
						 "CALL dbperf.maintain() detaches and drops what is due without one.")));
	if (outcome != DBP_REMOTE_SERVED)
		raise_lost_worker(outcome == DBP_REMOTE_LOST);
	return call.first_partition;
}

DbpRemoteOutcome
dbp_remote_try(const DbpRemoteRequest *request, int wait_ms, ErrorData **error)
{
	DbpRemoteCall call = {0};
	DbpRemoteOutcome outcome;

	check_caller();
	call.quiet = true;
	call.wait_ms = Max(wait_ms, 1);
	outcome = call_worker(&call, request, 0);
	*error = call.error;
	return outcome;
}

static void
send_text(StringInfo message, const char *text)
{
	pq_sendint32(message, text != NULL ? (int32) strlen(text) : -1);
	if (text != NULL)
		pq_sendbytes(message, text, strlen(text));
}

void
dbp_remote_row(Oid parent, const char *partition, const char *action, const char *status,
			   const char *detail)
{
	StringInfoData message;

	if (my_order == NULL)
		return;
	pq_beginmessage(&message, MESSAGE_ROW);
	pq_sendint32(&message, parent);
	send_text(&message, partition);
	send_text(&message, action);
	send_text(&message, status);
	send_text(&message, detail);
	pq_endmessage(&message);
}

void
dbp_remote_notice(const char *text)
{
	ereport(NOTICE, (errmsg_internal("%s", text)));
}

static void
send_field(StringInfo message, char code, const char *text)
{
	if (text == NULL)
		return;
	pq_sendbyte(message, code);
	pq_sendstring(message, text);
}

/*
 * The error that ended the request, as the server would send it to a client;
 * but it would also log it, which is up to the caller's session.
 */
static void
send_error(const ErrorData *error)
{
	StringInfoData message;

	pq_beginmessage(&message, 'E');
	send_field(&message, PG_DIAG_SEVERITY, "ERROR");
	send_field(&message, PG_DIAG_SEVERITY_NONLOCALIZED, "ERROR");
	send_field(&message, PG_DIAG_SQLSTATE, unpack_sql_state(error->sqlerrcode));
	send_field(&message, PG_DIAG_MESSAGE_PRIMARY,
			   error->message != NULL ? error->message : "missing error text");
	send_field(&message, PG_DIAG_MESSAGE_DETAIL, error->detail);
	send_field(&message, PG_DIAG_MESSAGE_HINT, error->hint);
	send_field(&message, PG_DIAG_CONTEXT, error->context);
	send_field(&message, PG_DIAG_SCHEMA_NAME, error->schema_name);
	send_field(&message, PG_DIAG_TABLE_NAME, error->table_name);
	send_field(&message, PG_DIAG_COLUMN_NAME, error->column_name);
	send_field(&message, PG_DIAG_DATATYPE_NAME, error->datatype_name);
	send_field(&message, PG_DIAG_CONSTRAINT_NAME, error->constraint_name);
	send_field(&message, PG_DIAG_INTERNAL_QUERY, error->internalquery);
	if (error->internalpos > 0)
		send_field(&message, PG_DIAG_INTERNAL_POSITION, psprintf("%d", error->internalpos));
	send_field(&message, PG_DIAG_SOURCE_FILE, error->filename);
	if (error->lineno > 0)
		send_field(&message, PG_DIAG_SOURCE_LINE, psprintf("%d", error->lineno));
	send_field(&message, PG_DIAG_SOURCE_FUNCTION, error->funcname);
	pq_sendbyte(&message, '\0');
	pq_endmessage(&message);
}

/* For watch(), which must not look into shared memory */
static volatile pid_t caller_pid = 0;

/*
 * In the worker, every second, inside a signal handler: ends the work of
 * which nobody will hear any more. Code of a table's owner can catch a cancel,
 * but not what comes when it has had its time.
 */
static void
watch(void)
{
	static int patience = PATIENCE;

	/* the end of the process takes the shared memory away */
	if (my_order == NULL || proc_exit_inprogress)
		return;

	if (dbp_call_is_to_end())
	{
		if (patience-- > 0)
			return;
		ProcDiePending = true;
		InterruptPending = true;
		SetLatch(MyLatch);
	}
	else if (kill(caller_pid, 0) != 0 && errno == ESRCH)
		dbp_call_request_end();
}

/*
 * Finds the order, and has everything that is for the client sent to the
 * caller. False when the caller is gone already.
 */
static bool
worker_arrives(dsm_handle handle)
{
	dsm_segment *segment = dsm_attach(handle);
	shm_toc *toc;
	shm_mq *queue;

	if (segment == NULL)
		return false;
	dsm_pin_mapping(segment);
	toc = shm_toc_attach(DBP_REMOTE_MAGIC, dsm_segment_address(segment));
	if (toc == NULL)
		return false;
	my_order = shm_toc_lookup(toc, KEY_ORDER, false);
	queue = shm_toc_lookup(toc, KEY_QUEUE, false);
	shm_mq_set_sender(queue, MyProc);
	pq_redirect_to_shm_mq(segment, shm_mq_attach(queue, segment, NULL));
	return true;
}

/*
 * Settings that only matter to a worker with a caller.
 */
static void
pin_settings(void)
{
	/* texts go to a session of the same database as they are */
	SetConfigOption("client_encoding", GetDatabaseEncodingName(), PGC_SUSET, PGC_S_OVERRIDE);
	/* the caller's session decides what is shown, and logs what is to be logged */
	SetConfigOption("client_min_messages", "notice", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("log_min_messages", "error", PGC_SUSET, PGC_S_OVERRIDE);
	/* also when it is empty, whatever the database has */
	SetConfigOption("dbperf.now_override", my_order->request.now, PGC_SUSET, PGC_S_OVERRIDE);
}

static void
serve(void)
{
	Portal portal;

	dbp_call_check_termination();
	portal = dbp_call_begin();
	if (dbp_compress_is_for(my_order->request.kind))
		dbp_compress_serve(&my_order->request);
	else
		dbp_retire_serve(&my_order->request);
	dbp_call_end(portal);
}

void
dbp_remote_main(Datum arg)
{
	MemoryContext context;
	ErrorData *error;
	TimeoutId watch_timeout;

	/* a caller that gives up at once is nothing for the log */
	dbp_call_init_early();
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	dbp_is_worker_process = true;

	context =
		AllocSetContextCreate(TopMemoryContext, "dbperf session worker", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	if (!worker_arrives(DatumGetUInt32(arg)))
		proc_exit(0);
	/* the caller is connected as well */
	BackgroundWorkerInitializeConnectionByOid(my_order->dboid, InvalidOid,
											  BGWORKER_BYPASS_ALLOWCONN);
	dbp_call_init("dbperf session worker");
	pin_settings();
	dbp_event_actor = my_order->request.actor;
	caller_pid = my_order->request.caller_pid;
	dbp_caller_pid = caller_pid;
	watch_timeout = RegisterTimeout(USER_TIMEOUT, watch);
	enable_timeout_every(watch_timeout,
						 TimestampTzPlusMilliseconds(GetCurrentTimestamp(), WATCH_MS), WATCH_MS);

	pgstat_report_activity(STATE_RUNNING,
						   psprintf("changing partitions for PID %d",
									(int) my_order->request.caller_pid));
	error = dbp_call_guarded(serve, context);
	disable_timeout(watch_timeout, false);
	pgstat_report_activity(STATE_IDLE, NULL);
	if (error != NULL)
		send_error(error);
	else
		pq_putemptymessage(MESSAGE_DONE);
	proc_exit(0);
}
