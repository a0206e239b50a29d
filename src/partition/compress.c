/*-------------------------------------------------------------------------
 *
 * compress.c
 *		Compresses what is due, and merges late rows, one partition after the
 *		other.
 *
 * What is due is told by dbperf.compress_steps(), which plan_maintenance()
 * shows.  A partition takes minutes, so this is the last thing that a run
 * does, and the worker leaves it to a process of its own
 * (src/worker/archiver.c).  On the whole server, no more than
 * dbperf.archive_workers partitions are compressed by policy at a time: each
 * needs a place, which is an advisory lock that belongs to no database.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "columnar/columnar.h"
#include "compat.h"
#include "guc.h"
#include "partition/compress.h"
#include "partition/run.h"
#include "worker/call.h"
#include "worker/remote.h"

/* What waits is looked at again after so long */
#define WAITING_CHECK_SECONDS 300

/* And for a place */
#define PLACE_CHECK_SECONDS 60

/* For the moment in which the new table takes the place of the old one. Nobody waits meanwhile. */
#define PATIENCE_MS 30000

/* For transactions of a moment that may not see the rows yet */
#define SETTLE_MS 6000
#define SETTLE_LOOK_MS 50

/* Slower than that, something is amiss: bytes for each millisecond */
#define SLOWEST_BYTES_PER_MS 100

/* Advisory locks of sessions have 1 or 2 as their last field */
#define PLACE_KEY 0x64627061
#define PLACE_FIELD 3

/* What the guarded functions work on */
typedef struct CompressWork
{
	DbpRun *run;
	List *parents; /* of oid */
	List *steps;   /* of DbpCompressStep */
	TimestampTz next_due;

	const DbpCompressStep *step;
	DbpPolicy *policy;
	char *obstacle;
	int64 bytes;
	bool stale; /* something has changed: nothing was done */
	DbpCost cost;
	DbpRewriteResult result;
} CompressWork;

bool dbp_is_compressing = false;

static void
load_steps(void *arg)
{
	CompressWork *work = arg;

	work->steps = dbp_compress_steps(work->parents);
}

static void
count_late_rows(void *arg)
{
	dbp_ask("SELECT dbperf.count_late_rows($1)", ((CompressWork *) arg)->parents);
}

static void
ask_next_due(void *arg)
{
	CompressWork *work = arg;
	bool isnull;
	Datum value;

	dbp_ask("SELECT dbperf.compress_next_due($1)", work->parents);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	work->next_due = isnull ? 0 : DatumGetTimestampTz(value);
}

/* Whether the partition can be compressed now, and how much it is */
static void
ask_obstacle(void *arg)
{
	CompressWork *work = arg;
	Oid types[1] = {OIDOID};
	Datum values[1] = {ObjectIdGetDatum(work->step->partition)};
	MemoryContext caller = CurrentMemoryContext;
	DbpIdentity saved;
	bool isnull;
	Datum value;

	dbp_become_extension(&saved);
	if (SPI_execute_with_args("SELECT dbperf.rewrite_obstacle($1), (dbperf.table_size($1)).bytes",
							  1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not tell whether table %u can be compressed", work->step->partition);
	dbp_restore_identity(&saved);
	MemoryContextSwitchTo(caller);
	work->obstacle = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
	work->bytes = isnull ? 0 : DatumGetInt64(value);
}

static DbpRewriteKind
kind_of(const DbpCompressStep *step)
{
	return strcmp(step->action, "compress") == 0 ? DBP_REWRITE_COMPRESS : DBP_REWRITE_RECOMPRESS;
}

/* Its name, or NULL */
static char *
access_method_of(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid method = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		method = ((Form_pg_class) GETSTRUCT(tuple))->relam;
		ReleaseSysCache(tuple);
	}
	return OidIsValid(method) ? get_am_name(method) : NULL;
}

/* Once it is locked: is the partition still what the step was planned for? */
static bool
is_as_planned(const CompressWork *work)
{
	Oid partition = work->step->partition;
	const char *method;

	AcceptInvalidationMessages();
	if (!dbp_policy_holds(work->policy) || get_rel_relkind(partition) != RELKIND_RELATION ||
		!get_rel_relispartition(partition) ||
		get_partition_parent(partition, true) != work->policy->parent)
		return false;
	method = access_method_of(partition);
	return method != NULL &&
		strcmp(method, kind_of(work->step) == DBP_REWRITE_COMPRESS ? "heap" : DBP_COLUMNAR_AM) == 0;
}

static void
rewrite(void *arg)
{
	CompressWork *work = arg;
	DbpPolicy *policy = work->policy;
	DbpRewriteRequest request = {0};
	DbpIdentity saved;

	/* as it is kept to the end, nobody else will do anything with the partition */
	dbp_lock_requests(policy, dbp_lock_add(NIL, work->step->partition, ShareUpdateExclusiveLock),
					  &work->cost);
	work->stale = !is_as_planned(work);
	if (work->stale)
		return;
	request.kind = kind_of(work->step);
	request.relid = work->step->partition;
	request.sort_by = policy->sort_by;
	request.lock_budget_ms = policy->lock_budget_ms;
	request.patience_ms = Max(PATIENCE_MS, policy->lock_tries * policy->lock_budget_ms);
	request.pause_ms = dbp_compress_pause;
	dbp_become_owner(&saved, policy->owner, policy->lock_budget_ms);
	dbp_watch_begin(request.relid, policy->lock_budget_ms);
	/* its snapshot is for this one table: no other partition has to wait for it to leave */
	dbp_older_ignore_caller();
	dbp_rewrite(&request, &work->result);
	dbp_older_regard_caller();
	dbp_restore_identity(&saved);
	if (!work->result.done)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("%s",
						work->result.why_not != NULL ? work->result.why_not
													 : "the table could not be locked in time")));
	dbp_compress_note(request.relid, request.kind, &work->result, work->run->request->source);
}

/* However slow the machine is, a function of the owner's in an index must not take for ever */
static int
limit_ms(const CompressWork *work)
{
	double ms = (double) dbp_step_timeout + 2.0 * PATIENCE_MS +
		(work->policy->lock_tries + 1) * work->policy->lock_budget_ms +
		(double) work->bytes / SLOWEST_BYTES_PER_MS * (1 + dbp_compress_pause);

	return (int) Min(ms, (double) (INT_MAX / 4));
}

/* Not as long as somebody else is at it; what goes wrong there is no failure of the step */
static void
analyze(void *arg)
{
	CompressWork *work = arg;
	char *name = dbp_qualified_name(work->step->partition);

	if (name != NULL)
		dbp_execute_as_owner(work->policy, psprintf("ANALYZE (SKIP_LOCKED) %s", name));
}

/*
 * In a subtransaction, and committed.  What was canceled since others waited
 * is no cancel of the run.
 */
static ErrorData *
rewrite_guarded(CompressWork *work)
{
	ErrorData *error =
		dbp_guarded_for(work->run, limit_ms(work), rewrite, work, "compressing a partition");
	bool made_way = dbp_watch_end();

	if (made_way && error != NULL && dbp_ends_run(error) && error->elevel < FATAL &&
		!dbp_call_is_to_end())
	{
		error->funcname = NULL;
		error->sqlerrcode = ERRCODE_LOCK_NOT_AVAILABLE;
		error->message = "others waited for the table, or for something that needs it";
	}
	/* it came when all was done: nothing is left to be canceled */
	if (made_way && error == NULL && !dbp_call_is_to_end())
		QueryCancelPending = false;
	if (error == NULL)
		error = dbp_run_commit(work->run);
	if (error != NULL || work->stale)
		return error;
	error = dbp_guarded_for(work->run, limit_ms(work), analyze, work, "analyzing a partition");
	if (error != NULL && dbp_ends_run(error))
		return error;
	return dbp_run_commit(work->run);
}

static void
hold_up(CompressWork *work, DbpHeldRank rank, const char *message, int seconds)
{
	DbpRun *run = work->run;

	run->compress_held =
		dbp_held_add(run, run->compress_held, work->step->parent, rank,
					 psprintf("%s of %s: %s", work->step->action, work->step->name, message),
					 seconds);
}

/*
 * Rows that have just been written settle as soon as those have ended who may
 * not see them.  There is no snapshot of our own meanwhile.
 */
static void
let_settle(void *arg)
{
	CompressWork *work = arg;
	instr_time start;

	INSTR_TIME_SET_CURRENT(start);
	while (dbp_is_mostly_unsettled(work->step->partition))
	{
		if (dbp_ms_since(&start) > SETTLE_MS)
		{
			ask_obstacle(work);
			return;
		}
		/* that of the catalogs is one of ours as well */
		InvalidateCatalogSnapshotConditionally();
		dbp_pause_ms(SETTLE_LOOK_MS);
	}
}

/*
 * Sees whether anything stands in the way of a step, and notes it: then it is
 * not done.
 */
static bool
is_held_up(CompressWork *work, ErrorData **error)
{
	DbpRun *run = work->run;
	const DbpCompressStep *step = work->step;

	work->obstacle = NULL;
	*error = dbp_guarded(ask_obstacle, work);
	if (*error == NULL && work->obstacle == NULL)
	{
		dbp_run_end_transaction(run);
		*error = dbp_guarded(let_settle, work);
	}
	if (*error != NULL || work->obstacle == NULL)
		return false;
	dbp_run_report(run, step->parent, step->name, step->action, "waiting", work->obstacle);
	hold_up(work, DBP_HELD_WAITS, work->obstacle, WAITING_CHECK_SECONDS);
	return true;
}

/*
 * In the worker's process, what ends it, or the server, is noted, and is not
 * tried again and again.
 */
static ErrorData *
attempt(CompressWork *work)
{
	DbpRun *run = work->run;
	Oid partition = work->step->partition;
	ErrorData *error;

	if (!run->request->background)
		return rewrite_guarded(work);
	if (dbp_job_compress_attempt_begin(&run->job, partition) > DBP_MAX_ATTEMPTS)
	{
		error = palloc0(sizeof(ErrorData));
		error->elevel = ERROR;
		error->sqlerrcode = ERRCODE_INTERNAL_ERROR;
		error->message = "its process ended each time";
		dbp_job_compress_attempt_end(partition);
		return error;
	}
	dbp_run_end_transaction(run);
	error = rewrite_guarded(work);
	dbp_job_compress_attempt_end(partition);
	return error;
}

static void
note_failure(CompressWork *work, const ErrorData *error)
{
	DbpRun *run = work->run;
	DbpPolicy *policy = work->policy;
	const DbpCompressStep *step = work->step;
	bool waits = error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
	bool news =
		policy->compress_error == NULL || strstr(policy->compress_error, error->message) == NULL;

	if (!waits)
	{
		run->result->failed++;
		if (run->error == NULL)
			run->error = psprintf("%s of %s: %s", step->action, step->name, error->message);
	}
	dbp_run_report(run, step->parent, step->name, step->action, waits ? "waiting" : "failed",
				   error->message);
	if (news && !waits && !dbp_audit_is_held())
	{
		DbpEvent event = {0};

		event.source = run->request->source;
		event.action = psprintf("%s_failed", step->action);
		event.policy = policy;
		event.partition = step->name;
		event.cost = &work->cost;
		event.message = error->message;
		dbp_event_write(&event);
	}
	if ((news && !waits) || !run->request->background)
		ereport(run->request->background ? LOG : WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("%s of partition %s failed: %s", step->action, step->name, error->message),
				 error->detail ? errdetail_internal("%s", error->detail) : 0,
				 error->hint ? errhint("%s", error->hint) : 0));
	hold_up(work, DBP_HELD_FAILED, error->message, dbp_retry_seconds(policy->compress_failures));
	dbp_run_end_transaction(run);
}

/*
 * Note how a step ended.
 */
static void
conclude(CompressWork *work, ErrorData *error)
{
	DbpRun *run = work->run;
	const DbpRewriteResult *result = &work->result;

	work->cost.ms_waited += result->ms_waited;
	work->cost.ms_held += result->ms_held;
	dbp_run_add_cost(run, &work->cost);
	if (error != NULL && dbp_ends_run(error))
	{
		run->error = pstrdup(error->message);
		dbp_run_finish(run, "canceled");
		ReThrowError(error);
	}
	if (error != NULL)
		note_failure(work, error);
	else if (!work->stale)
	{
		run->result->compressed++;
		dbp_run_report(run, work->step->parent, work->step->name, work->step->action, "done",
					   psprintf(INT64_FORMAT " rows, " INT64_FORMAT " bytes before, " INT64_FORMAT
											 " after",
								result->rows + result->late_rows, result->bytes_before,
								result->bytes_after));
	}
}

/* A step that is not done now, as the plan says */
static void
put_off(CompressWork *work)
{
	const DbpCompressStep *step = work->step;
	bool waits = strcmp(step->decision, "wait") == 0;

	dbp_run_report(work->run, step->parent, step->name, step->action, waits ? "waiting" : "blocked",
				   step->reason);
	/* that it has to wait for an hour, or for a day, is as it should be */
	if (waits)
		dbp_run_due_at(work->run,
					   TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												   WAITING_CHECK_SECONDS * 1000));
	else
		hold_up(work, DBP_HELD_BLOCKED, step->reason, WAITING_CHECK_SECONDS);
}

/*
 * One step of a run.  True when it took its time.
 */
static bool
run_step(CompressWork *work)
{
	DbpRun *run = work->run;
	const DbpCompressStep *step = work->step;
	List *policies = dbp_policy_load(step->parent, false);
	ErrorData *error;

	CHECK_FOR_INTERRUPTS();
	dbp_call_check_termination();
	/* the policy or the table has gone meanwhile, or its rows could not be counted */
	if (policies == NIL || step->name == NULL || strcmp(step->action, "count") == 0)
		return false;
	work->policy = linitial(policies);
	if (strcmp(step->decision, "go") != 0)
	{
		put_off(work);
		return false;
	}
	memset(&work->cost, 0, sizeof(DbpCost));
	memset(&work->result, 0, sizeof(DbpRewriteResult));
	if (is_held_up(work, &error))
		return false;
	dbp_run_end_transaction(run);
	if (error == NULL)
		error = attempt(work);
	run->steps++;
	conclude(work, error);
	return true;
}

/*
 * Note what holds up which parent, and that nothing does any more; and see when
 * there is something to do again.
 */
static void
settle(CompressWork *work)
{
	DbpRun *run = work->run;
	ListCell *cell;

	foreach(cell, work->parents)
	{
		Oid parent = lfirst_oid(cell);
		const DbpHeldUp *held = dbp_held_find(run->compress_held, parent);
		List *policies;

		if (held != NULL)
			dbp_job_compress_state(parent, held->message, held->next_try,
								   held->rank == DBP_HELD_FAILED);
		/* what the time slice left out is as it was */
		if (held != NULL || run->result->more)
			continue;
		policies = dbp_policy_load(parent, false);
		if (policies != NIL && ((DbpPolicy *) linitial(policies))->compress_error != NULL)
			dbp_job_compress_state(parent, NULL, 0, false);
	}
	if (dbp_guarded(ask_next_due, work) == NULL && work->next_due != 0)
		dbp_run_due_at(run, work->next_due);
	dbp_run_end_transaction(run);
}

/* Only the end of the run can be told of that */
static void
fail_to_load(DbpRun *run, ErrorData *error)
{
	run->error = pstrdup(error->message);
	dbp_run_finish(run, dbp_ends_run(error) ? "canceled" : "failed");
	ReThrowError(error);
}

/*
 * Do the steps that have not been tried yet.  After each that took its time,
 * the plan is made anew.
 */
static void
run_steps(CompressWork *work)
{
	DbpRun *run = work->run;
	List *tried = NIL; /* of oid: partitions, or for a plan parents */
	bool again = true;

	while (again)
	{
		ErrorData *error = dbp_guarded(load_steps, work);
		ListCell *cell;

		if (error != NULL)
			fail_to_load(run, error);
		dbp_run_end_transaction(run);
		again = false;
		foreach(cell, work->steps)
		{
			const DbpCompressStep *step = lfirst(cell);
			Oid what = OidIsValid(step->partition) ? step->partition : step->parent;

			if (list_member_oid(tried, what))
				continue;
			if (dbp_run_slice_is_over(run))
				return;
			tried = lappend_oid(tried, what);
			work->step = step;
			again = run_step(work);
			if (again)
				break;
		}
	}
}

static void
place_tag(LOCKTAG *tag, int place)
{
	SET_LOCKTAG_ADVISORY(*tag, InvalidOid, PLACE_KEY, place, PLACE_FIELD);
}

/* A place among those that may compress now, or -1 */
static int
take_place(void)
{
	LOCKTAG tag;

	for (int place = 0; place < dbp_archive_workers; place++)
	{
		place_tag(&tag, place);
		if (LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL)
			return place;
	}
	return -1;
}

static void
leave_place(int place)
{
	LOCKTAG tag;

	place_tag(&tag, place);
	(void) LockRelease(&tag, ExclusiveLock, true);
}

/* Others have all places: nothing is wrong, and it is their turn */
static void
wait_for_place(CompressWork *work)
{
	DbpRun *run = work->run;
	ListCell *cell;

	run->result->to_compress = true;
	dbp_run_due_at(run,
				   TimestampTzPlusMilliseconds(GetCurrentTimestamp(), PLACE_CHECK_SECONDS * 1000));
	foreach(cell, work->steps)
	{
		const DbpCompressStep *step = lfirst(cell);

		if (strcmp(step->decision, "go") == 0 && step->name != NULL)
			dbp_run_report(run, step->parent, step->name, step->action, "waiting",
						   "other partitions are being compressed (see dbperf.archive_workers)");
	}
}

static bool
any_goes(List *steps)
{
	ListCell *cell;

	foreach(cell, steps)
		if (strcmp(((DbpCompressStep *) lfirst(cell))->decision, "go") == 0)
			return true;
	return false;
}

/*
 * Compress what is due for some parents (a list of oid).
 */
void
dbp_compress_run(DbpRun *run, List *parents)
{
	CompressWork work = {.run = run, .parents = parents};
	ErrorData *error = dbp_guarded(count_late_rows, &work);
	volatile int place;

	if (error == NULL)
	{
		dbp_run_end_transaction(run);
		error = dbp_guarded(load_steps, &work);
	}
	if (error != NULL)
		fail_to_load(run, error);
	place = any_goes(work.steps) ? take_place() : -1;
	if (place < 0 && any_goes(work.steps))
	{
		wait_for_place(&work);
		dbp_run_end_transaction(run);
		return;
	}
	PG_TRY();
	{
		dbp_is_compressing = true;
		run_steps(&work);
		settle(&work);
	}
	PG_FINALLY();
	{
		dbp_is_compressing = false;
		if (place >= 0)
			leave_place(place);
	}
	PG_END_TRY();
}

/*
 * Only see whether there is anything to compress; what cannot be is noted.
 */
void
dbp_compress_look(DbpRun *run, List *parents)
{
	CompressWork work = {.run = run, .parents = parents};
	ErrorData *error = dbp_guarded(load_steps, &work);
	ListCell *cell;

	if (error != NULL)
		fail_to_load(run, error);
	run->result->to_compress = any_goes(work.steps);
	/* who does it notes also what cannot be done */
	if (run->result->to_compress)
		return;
	foreach(cell, work.steps)
	{
		work.step = lfirst(cell);
		if (work.step->name != NULL && strcmp(work.step->decision, "go") != 0)
			put_off(&work);
	}
	settle(&work);
}
