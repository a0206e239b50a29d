/*-------------------------------------------------------------------------
 *
 * retire.c
 *		Detaches and drops what is due, one partition a transaction.
 *
 * What is due, and what stands in the way, is told by dbperf.retire_steps(),
 * which plan_maintenance() shows.  Here the steps are done, or what they wait
 * for is noted, so that health can tell.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "columnar/compress_job.h"
#include "compat.h"
#include "guc.h"
#include "ingest/partition_request.h"
#include "partition/detach.h"
#include "partition/drain.h"
#include "partition/retire.h"
#include "partition/run.h"
#include "partition/statement.h"
#include "worker/remote.h"

/* A partition that others may still see is looked at again after so long, doubled each time */
#define PENDING_FIRST_SECONDS 5
#define PENDING_LAST_SECONDS 60

/* And what waits for anything else */
#define WAITING_CHECK_SECONDS 300

/* Looks at transactions that are waited for: as close as this to begin with, and later */
#define FIRST_LOOK_MS 2
#define LAST_LOOK_MS 100

/* A caller is told what is waited for after so long, and again each time as much */
#define NOTICE_EVERY_MS 5000

/* Deadlocks and the like are tried again at once, so often */
#define MAX_RETRIES 3

/* A plan that is stale, or has made other steps possible, is made anew, so often */
#define MAX_PLANS 100

/* What the guarded functions work on */
typedef struct DbpStepWork
{
	DbpRun *run;
	const DbpStep *step;
	DbpPolicy *policy;
	DbpLeaving leaving;
	bool by_hand; /* a session waits for it, to the end */
	List *older;  /* transactions that may still see the partition */
	char *waits_for;
} DbpStepWork;

Datum
dbp_oid_array(List *oids)
{
	Datum *values = palloc(sizeof(Datum) * Max(1, list_length(oids)));
	ListCell *cell;

	foreach(cell, oids)
		values[foreach_current_index(cell)] = ObjectIdGetDatum(lfirst_oid(cell));
	return PointerGetDatum(
		construct_array(values, list_length(oids), OIDOID, sizeof(Oid), true, TYPALIGN_INT));
}

/*
 * Run a statement with an array of oid as the extension's owner.
 */
void
dbp_ask(const char *sql, List *oids)
{
	Oid types[1] = {OIDARRAYOID};
	Datum values[1] = {dbp_oid_array(oids)};
	DbpIdentity saved;

	dbp_become_extension(&saved);
	if (SPI_execute_with_args(sql, 1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run \"%s\"", sql);
	dbp_restore_identity(&saved);
}

static Oid
oid_column(uint64 row, int column)
{
	bool isnull;

	return DatumGetObjectId(
		SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull));
}

static char *
text_column(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

/*
 * The steps that are due for some parents: a list of DbpStep in the caller's
 * memory context.  SPI must be connected.
 */
List *
dbp_retire_steps(List *parents)
{
	MemoryContext caller = CurrentMemoryContext;
	List *steps = NIL;

	dbp_ask("SELECT parent, partition, action, concurrent, decision, reason"
			" FROM dbperf.retire_steps($1)",
			parents);
	MemoryContextSwitchTo(caller);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		DbpStep *step = palloc0(sizeof(DbpStep));

		step->parent = oid_column(row, 1);
		step->partition = oid_column(row, 2);
		step->action = text_column(row, 3);
		step->concurrent = strcmp(text_column(row, 4), "t") == 0;
		step->decision = text_column(row, 5);
		step->reason = text_column(row, 6);
		step->name = dbp_qualified_name(step->partition);
		steps = lappend(steps, step);
	}
	SPI_freetuptable(SPI_tuptable);
	return steps;
}

static bool
is_action(const DbpStep *step, const char *action)
{
	return strcmp(step->action, action) == 0;
}

static void
mark(void *arg)
{
	dbp_detach_mark(&((DbpStepWork *) arg)->leaving);
}

static void
finalize(void *arg)
{
	dbp_detach_finalize(&((DbpStepWork *) arg)->leaving);
}

static void
detach_plainly(void *arg)
{
	dbp_detach_plainly(&((DbpStepWork *) arg)->leaving);
}

static void
drop(void *arg)
{
	dbp_drop_detached(&((DbpStepWork *) arg)->leaving);
}

/*
 * Rows that point to the partition keep it: count them, before any lock is
 * asked for.  DETACH looks for them as well, under its locks; so how long that
 * takes must be known beforehand.
 */
static void
count_orphans(void *arg)
{
	DbpStepWork *work = arg;
	double ms;
	int64 orphans = dbp_referencing_rows(work->policy, work->step->partition,
										 DatumGetArrayTypeP(dbp_oid_array(NIL)), &ms);

	if (orphans > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				 errmsg(INT64_FORMAT " rows of other tables point to partition %s", orphans,
						work->step->name),
				 errhint("Retire or delete those rows first.")));
	if (ms > work->policy->lock_budget_ms)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("looking for rows that point to partition %s took %.0f ms, longer than the "
						"lock budget of %d ms",
						work->step->name, ms, work->policy->lock_budget_ms),
				 errdetail("PostgreSQL looks for them again while it keeps the table locked."),
				 errhint("Create an index on the referencing columns, or set a longer lock_budget "
						 "with dbperf.alter_policy().")));
}

/*
 * Do one thing in a subtransaction, and commit it.  What failed for the sake
 * of somebody else's transaction is tried again.
 */
static ErrorData *
do_phase(DbpStepWork *work, DbpGuarded function, const char *what)
{
	ErrorData *error;

	for (int i = 0;; i++)
	{
		error = dbp_guarded_in_time(work->run, work->policy, function, work, what);
		if (error == NULL)
			error = dbp_run_commit(work->run);
		if (error == NULL || i >= MAX_RETRIES ||
			(error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED &&
			 error->sqlerrcode != ERRCODE_T_R_SERIALIZATION_FAILURE))
			return error;
		dbp_run_end_transaction(work->run);
	}
}

/*
 * Wait until they have ended; in a scheduled run only as long as one try for
 * locks may take.  There is no snapshot meanwhile, so that maintenance never
 * waits for maintenance here.
 */
static void
await_older(void *arg)
{
	DbpStepWork *work = arg;
	const DbpStep *step = work->step;
	instr_time start;
	double told = 0;
	long ms = FIRST_LOOK_MS;

	INSTR_TIME_SET_CURRENT(start);
	while ((work->older = dbp_older_remaining(work->older)) != NIL)
	{
		double waited = dbp_ms_since(&start);

		if (!work->by_hand && waited > work->policy->lock_budget_ms)
		{
			dbp_older_save(step->partition, work->older);
			work->waits_for = dbp_older_describe(work->older);
			return;
		}
		if (waited - told > NOTICE_EVERY_MS)
		{
			if (dbp_older_waits_itself(work->older))
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_IN_USE),
						 errmsg("detaching partition %s would wait for a session that waits for "
								"maintenance itself: %s",
								step->name, dbp_older_describe(work->older)),
						 errhint("The next maintenance ends what has been begun.")));
			dbp_remote_notice(psprintf("detaching partition %s waits for the end of transactions "
									   "that may still see it: %s",
									   step->name, dbp_older_describe(work->older)));
			told = waited;
		}
		dbp_pause_ms(ms);
		ms = Min(ms * 2, LAST_LOOK_MS);
	}
	work->leaving.cost.ms_waited += dbp_ms_since(&start);
}

/*
 * Wait until nobody sees the partition any more, or note whom it still waits
 * for.  A cancel is returned, so that the run is recorded as canceled.
 */
static ErrorData *
wait_for_older(DbpStepWork *work)
{
	const DbpStep *step = work->step;
	TransactionId marked = dbp_detach_marked_by(step->parent, step->partition);

	work->leaving.marked = marked;
	work->older = TransactionIdIsValid(marked)
		? dbp_older_awaited(step->parent, step->partition, marked)
		: NIL;
	dbp_run_end_transaction(work->run);
	return dbp_guarded(await_older, work);
}

/*
 * Detach, or finish what was begun.  Returns the error; or sets *waits_for.
 */
static ErrorData *
do_detach(DbpStepWork *work, char **waits_for)
{
	bool begun = is_action(work->step, "finalize");
	ErrorData *error = NULL;

	if (!begun && !work->step->concurrent)
	{
		error = do_phase(work, count_orphans, "counting rows that point to a partition");
		return error ? error : do_phase(work, detach_plainly, "detaching a partition");
	}
	if (!begun)
		error = do_phase(work, mark, "detaching a partition");
	if (error != NULL || work->leaving.stale)
		return error;
	error = wait_for_older(work);
	*waits_for = work->waits_for;
	if (error != NULL || work->waits_for != NULL)
		return error;
	return do_phase(work, finalize, "detaching a partition");
}

/*
 * Note that a step was not done, why, and after how long to look again.
 */
static void
hold_up(DbpStepWork *work, DbpHeldRank rank, const char *message, int seconds)
{
	DbpRun *run = work->run;

	run->held_up = dbp_held_add(run, run->held_up, work->step->parent, rank, message, seconds);
}

/* As the plan calls what was found out only when it was tried */
static const char *
failed_as(const ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		return "waiting";
	if (error->sqlerrcode == ERRCODE_FOREIGN_KEY_VIOLATION ||
		error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE)
		return "blocked";
	return "failed";
}

static void
note_failure(DbpStepWork *work, const ErrorData *error)
{
	DbpRun *run = work->run;
	DbpPolicy *policy = work->policy;
	const DbpStep *step = work->step;
	char *message = psprintf("%s of %s: %s", step->action, step->name, error->message);
	bool news = policy->retire_error == NULL || strstr(policy->retire_error, message) == NULL;

	run->result->failed++;
	if (run->error == NULL)
		run->error = message;
	dbp_run_report(run, step->parent, step->name, step->action, failed_as(error), error->message);
	if (news && !dbp_audit_is_held())
	{
		DbpEvent event = {0};

		event.source = run->request->source;
		event.action = psprintf("%s_failed", step->action);
		event.policy = policy;
		event.partition = step->name;
		event.cost = &work->leaving.cost;
		event.message = error->message;
		dbp_event_write(&event);
	}
	if (news || !run->request->background)
		ereport(run->request->background ? LOG : WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("%s of partition %s failed: %s", step->action, step->name, error->message),
				 error->detail ? errdetail_internal("%s", error->detail) : 0,
				 error->hint ? errhint("%s", error->hint) : 0));
	hold_up(work, DBP_HELD_FAILED, message, dbp_retry_seconds(policy->retire_failures));
	dbp_run_end_transaction(run);
}

typedef enum
{
	STEP_DONE,
	STEP_WAITS, /* or has failed */
	STEP_IS_STALE
} DbpStepOutcome;

/*
 * Note how a step ended.
 */
static DbpStepOutcome
conclude(DbpStepWork *work, ErrorData *error, const char *waits_for)
{
	DbpRun *run = work->run;
	const DbpStep *step = work->step;

	dbp_run_add_cost(run, &work->leaving.cost);
	if (error != NULL)
	{
		if (dbp_ends_run(error))
		{
			run->error = pstrdup(error->message);
			dbp_run_finish(run, "canceled");
			ReThrowError(error);
		}
		note_failure(work, error);
		return STEP_WAITS;
	}
	if (waits_for != NULL)
	{
		char *reason =
			psprintf("waits for the end of transactions that may still see it: %s", waits_for);

		dbp_run_report(run, step->parent, step->name, step->action, "waiting", reason);
		hold_up(work, DBP_HELD_PENDING, psprintf("%s of %s %s", step->action, step->name, reason),
				Min(PENDING_FIRST_SECONDS << Min(work->policy->retire_failures, 5),
					PENDING_LAST_SECONDS));
		dbp_run_end_transaction(run);
		return STEP_WAITS;
	}
	if (work->leaving.stale)
		return STEP_IS_STALE;
	if (is_action(step, "drop"))
		run->result->dropped++;
	else
		run->result->detached++;
	dbp_run_report(run, step->parent, step->name, step->action, "done",
				   is_action(step, "drop") ? NULL : psprintf("now %s", work->leaving.place));
	return STEP_DONE;
}

/* Has somebody else been there while the step was under way? */
static bool
has_moved(const DbpStep *step)
{
	char *name;

	AcceptInvalidationMessages();
	name = dbp_qualified_name(step->partition);
	return name == NULL || strcmp(step->name, name) != 0;
}

static ErrorData *
do_step(DbpStepWork *work, char **waits_for)
{
	ErrorData *error;

	work->leaving.policy = work->policy;
	work->leaving.partition = work->step->partition;
	work->leaving.source = work->run->request->source;
	if (is_action(work->step, "drop"))
		error = do_phase(work, drop, "dropping a partition");
	else
		error = do_detach(work, waits_for);
	if (error != NULL && error->sqlerrcode == ERRCODE_UNDEFINED_TABLE && has_moved(work->step))
	{
		work->leaving.stale = true;
		error = NULL;
	}
	return error;
}

/*
 * Do the step; in the worker, so that what ends the process, or the server, is
 * known for it, and is not tried again and again.
 */
static ErrorData *
attempt(DbpStepWork *work, char **waits_for)
{
	DbpRun *run = work->run;
	Oid parent = work->step->parent;
	ErrorData *error;

	if (!run->request->background)
		return do_step(work, waits_for);
	if (dbp_job_attempt_begin(&run->job, parent) > DBP_MAX_ATTEMPTS)
	{
		error = palloc0(sizeof(ErrorData));
		error->elevel = ERROR;
		error->sqlerrcode = ERRCODE_INTERNAL_ERROR;
		error->message = "the worker ended each time while it retired a partition";
		dbp_job_attempt_end(parent);
		return error;
	}
	dbp_run_end_transaction(run);
	error = do_step(work, waits_for);
	dbp_job_attempt_end(parent);
	return error;
}

/*
 * One step of a run.
 */
static DbpStepOutcome
run_step(DbpRun *run, DbpStep *step)
{
	DbpStepWork work = {0};
	List *policies = dbp_policy_load(step->parent, false);
	char *waits_for = NULL;
	ErrorData *error;

	CHECK_FOR_INTERRUPTS();
	/* the policy or the table has gone meanwhile */
	if (policies == NIL || (step->name == NULL && OidIsValid(step->partition)))
		return STEP_WAITS;
	work.run = run;
	work.step = step;
	work.policy = linitial(policies);
	if (is_action(step, "plan"))
	{
		ErrorData error = {0};

		step->name = dbp_qualified_name(step->parent);
		error.sqlerrcode = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
		error.message = step->reason;
		note_failure(&work, &error);
		return STEP_WAITS;
	}
	if (strcmp(step->decision, "go") != 0)
	{
		bool waits = strcmp(step->decision, "wait") == 0;

		dbp_run_report(run, step->parent, step->name, step->action, waits ? "waiting" : "blocked",
					   step->reason);
		/* that it is not its turn, or quiet hours, is as it should be */
		if (waits && is_action(step, "detach"))
			dbp_run_due_at(run,
						   TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   WAITING_CHECK_SECONDS * 1000));
		else
			hold_up(&work, waits ? DBP_HELD_WAITS : DBP_HELD_BLOCKED,
					psprintf("%s of %s: %s", step->action, step->name, step->reason),
					WAITING_CHECK_SECONDS);
		return STEP_WAITS;
	}
	run->steps++;
	error = attempt(&work, &waits_for);
	return conclude(&work, error, waits_for);
}

static void
load_steps(void *arg)
{
	List **lists = arg; /* parents in, steps out */

	dbp_ask("SELECT dbperf.begin_retiring($1)", lists[0]);
	lists[1] = dbp_retire_steps(lists[0]);
}

static void
ask_next_due(void *arg)
{
	List **lists = arg;
	TimestampTz *due = (TimestampTz *) lists[1];
	bool isnull;
	Datum value;

	dbp_ask("SELECT dbperf.retire_next_due($1)", lists[0]);
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	*due = isnull ? 0 : DatumGetTimestampTz(value);
}

/*
 * Note what holds up which parent, and that nothing does any more; and see when
 * there is something to do again.
 */
static void
settle(DbpRun *run, List *parents)
{
	List *lists[2];
	TimestampTz due = 0;
	ListCell *cell;

	foreach(cell, parents)
	{
		Oid parent = lfirst_oid(cell);
		const DbpHeldUp *held = dbp_held_find(run->held_up, parent);
		List *policies;

		if (held != NULL)
			dbp_job_retire_state(parent, held->message, held->next_try,
								 held->rank == DBP_HELD_FAILED || held->rank == DBP_HELD_PENDING);
		/* what the time slice left out is as it was */
		if (held != NULL || run->result->more)
			continue;
		policies = dbp_policy_load(parent, false);
		if (policies != NIL && ((DbpPolicy *) linitial(policies))->retire_error != NULL)
			dbp_job_retire_state(parent, NULL, 0, false);
	}
	lists[0] = parents;
	lists[1] = (List *) &due;
	if (dbp_guarded(ask_next_due, lists) == NULL && due != 0)
		dbp_run_due_at(run, due);
	/* without a time in the recycle bin, what was detached can be dropped now */
	if (run->result->detached > 0)
		dbp_run_due_at(run, GetCurrentTimestamp());
	dbp_run_end_transaction(run);
}

/* Partitions, or for a plan parents, that a run has tried its hand at */
typedef struct DbpTried
{
	List *detached; /* of oid */
	List *dropped;
} DbpTried;

/*
 * Do the steps of one plan that have not been tried yet, and drop nothing that
 * this very run has detached.  True when the plan is stale now.
 */
static bool
run_plan(DbpRun *run, List *steps, bool only_finalize, DbpTried *tried)
{
	ListCell *cell;

	foreach(cell, steps)
	{
		DbpStep *step = lfirst(cell);
		List **before = is_action(step, "drop") ? &tried->dropped : &tried->detached;
		Oid what = is_action(step, "plan") ? step->parent : step->partition;
		DbpStepOutcome outcome;

		if ((only_finalize && !is_action(step, "finalize")) ||
			list_member_oid(tried->detached, what) || list_member_oid(*before, what))
			continue;
		if (dbp_run_slice_is_over(run))
			return false;
		outcome = run_step(run, step);
		if (outcome == STEP_IS_STALE)
			return true;
		*before = lappend_oid(*before, what);
		/* one at a time: the others say then that they wait for it, or can go */
		if ((outcome == STEP_WAITS && step->concurrent) || is_action(step, "finalize"))
			return true;
	}
	return false;
}

/*
 * Do what is due for some parents (a list of oid), those that point to others
 * by foreign keys first; or only finish what an earlier run began.
 */
void
dbp_retire_run(DbpRun *run, List *parents, bool only_finalize)
{
	DbpTried tried = {run->finalized, NIL};
	bool again = true;

	for (int i = 0; again && i < MAX_PLANS; i++)
	{
		List *lists[2] = {parents, NIL};
		ErrorData *error = dbp_guarded(load_steps, lists);

		if (error != NULL)
		{
			run->error = pstrdup(error->message);
			dbp_run_finish(run, dbp_ends_run(error) ? "canceled" : "failed");
			ReThrowError(error);
		}
		dbp_run_end_transaction(run);
		again = run_plan(run, lists[1], only_finalize, &tried);
	}
	if (only_finalize)
		run->finalized = tried.detached;
	else
		settle(run, parents);
}

/*
 * Parents of disabled policies, a partition of which is detached by half: a
 * list of oid.
 */
List *
dbp_retire_half_done(void)
{
	static DbpStatement select = {
		.sql = "SELECT DISTINCT b.parent::oid FROM dbperf.recycle_bin b"
			   " JOIN dbperf.policy p ON p.parent = b.parent"
			   " WHERE b.state = 'detaching' AND NOT p.enabled",
		.expected = SPI_OK_SELECT,
	};
	MemoryContext caller = CurrentMemoryContext;
	List *parents = NIL;

	dbp_statement_run(&select, NULL, NULL);
	MemoryContextSwitchTo(caller);
	for (uint64 row = 0; row < SPI_processed; row++)
		parents = lappend_oid(parents, oid_column(row, 1));
	SPI_freetuptable(SPI_tuptable);
	return parents;
}

/*
 * The managed parent of a partition.
 */
DbpPolicy *
dbp_policy_of_partition(Oid partition)
{
	Oid parent = InvalidOid;

	if (get_rel_relispartition(partition))
		parent = get_partition_parent(partition, true);
	if (!OidIsValid(parent))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is not a partition",
						get_rel_name(partition) ? get_rel_name(partition) : "?"),
				 errhint("dbperf.recycle_bin lists the partitions that have been detached.")));
	return dbp_policy_get(parent);
}

/* PostgreSQL detaches one partition of a table at a time */
static void
check_no_other_pending(const DbpStep *step)
{
	DbpPolicy *policy = dbp_policy_get(step->parent);
	DbpParts parts;

	dbp_parts_read(policy->parent, policy->keytype, &parts);
	for (int i = 0; i < parts.n; i++)
		if (parts.part[i].detaching && parts.part[i].relid != step->partition)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("another partition of table \"%s\" is being detached: %s",
							policy->table, dbp_qualified_name(parts.part[i].relid)),
					 errhint("Try again when maintenance has ended that, or CALL "
							 "dbperf.maintain() to have it ended.")));
}

/*
 * One partition, as its owner asked for, to the end.
 */
static void
serve_one(const DbpRemoteRequest *request)
{
	DbpMaintainRequest asked = {0};
	DbpMaintainResult result = {0};
	DbpRun run = {0};
	DbpStep step = {0};
	DbpStepWork work = {0};
	char *waits_for = NULL;
	ErrorData *error;

	asked.source = "manual";
	asked.reason = "request";
	asked.commit_each = true;
	run.request = &asked;
	run.result = &result;
	run.context = CurrentMemoryContext;
	INSTR_TIME_SET_CURRENT(run.started);
	work.run = &run;
	work.step = &step;
	work.by_hand = true;
	step.partition = request->relid;
	if (request->kind == DBP_REMOTE_DETACH)
	{
		work.policy = dbp_policy_of_partition(request->relid);
		step.concurrent = dbp_can_detach_concurrently(work.policy->parent);
		step.action =
			TransactionIdIsValid(dbp_detach_marked_by(work.policy->parent, request->relid))
			? "finalize"
			: "detach";
	}
	else
	{
		work.policy = dbp_policy_of_detached(request->relid);
		step.action = "drop";
	}
	step.parent = work.policy->parent;
	step.name = dbp_qualified_name(request->relid);
	if (step.name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", request->relid)));
	if (!dbp_owns_relation(step.parent, request->userid) ||
		!dbp_owns_relation(step.partition, request->userid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s", step.name)));
	if (request->kind == DBP_REMOTE_DETACH)
		dbp_check_can_leave(work.policy, request->relid);
	error = do_step(&work, &waits_for);
	if (error != NULL)
		ReThrowError(error);
	if (work.leaving.stale && request->kind == DBP_REMOTE_DETACH)
		check_no_other_pending(&step);
	if (work.leaving.stale)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("table %s was changed by somebody else at this moment", step.name),
				 errhint("Try again.")));
	dbp_remote_row(step.parent, work.leaving.place, step.action, "done", NULL);
}

/*
 * What a background worker does for a session that waits for it.
 */
void
dbp_retire_serve(const DbpRemoteRequest *request)
{
	DbpMaintainRequest asked = {0};
	DbpMaintainResult result;

	if (request->kind == DBP_REMOTE_DETACH || request->kind == DBP_REMOTE_DROP)
	{
		serve_one(request);
		return;
	}
	if (request->kind == DBP_REMOTE_DRAIN)
	{
		dbp_drain_serve(request);
		return;
	}
	if (dbp_compress_is_for(request->kind))
	{
		dbp_compress_serve(request);
		return;
	}
	if (request->kind == DBP_REMOTE_MISSING)
	{
		dbp_request_serve(request);
		return;
	}
	asked.parent = request->relid;
	asked.role = request->userid;
	asked.source = "manual";
	asked.reason = "request";
	asked.commit_each = true;
	asked.only_retire = !request->compress;
	asked.only_compress = request->compress;
	asked.may_compress = request->compress;
	asked.report = dbp_remote_row;
	dbp_maintain_run(&asked, &result);
}
