/*-------------------------------------------------------------------------
 *
 * maintain.c
 *		One run of maintenance: what is missing is made, parent by parent.
 *
 * Every step runs in a subtransaction of its own, so that what fails there
 * can be recorded and the next parent be served.  With commit_each, a commit
 * follows each step, and no lock outlives it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "guc.h"
#include "partition/job.h"
#include "partition/maintain.h"
#include "partition/partition.h"

/* A parent that failed is tried again after this long, doubled each time */
#define RETRY_FIRST_SECONDS 30
#define RETRY_LAST_SECONDS 3600

/* Numbers have no clock that says when the next partition is due */
#define NUMBER_CHECK_SECONDS 300

/* How often to see whether a restore has come to its end */
#define RESTORE_CHECK_SECONDS 5

/* What ends the worker, or the server, so often is not tried again at once */
#define MAX_ATTEMPTS 3

/* In one transaction no more, for the sake of the lock table */
#define MAX_STEPS_AT_ONCE 500

/* How often a long run by hand says how far it is */
#define PROGRESS_EVERY 100

/* A plan that others keep changing under us is made anew this often */
#define MAX_PLANS 5

typedef struct DbpRun
{
	const DbpMaintainRequest *request;
	DbpMaintainResult *result;
	DbpJob job;
	instr_time started;
	DbpCost total;
	char *error; /* the first one */
	int steps;
	Datum *checked; /* oids of parents */
	int nchecked;
	MemoryContext context; /* outlives the transactions */
} DbpRun;

typedef void (*DbpGuarded)(void *arg);

/*
 * Call a function in a subtransaction.  Returns NULL, or a copy of the error
 * that undid it.
 */
static ErrorData *
guarded(DbpGuarded function, void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		function(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return error;
}

static void
end_transaction(const DbpRun *run)
{
	if (run->request->commit_each)
	{
		SPI_commit();
		MemoryContextSwitchTo(run->context);
	}
}

/*
 * Commit what a step did.  Returns NULL, or a copy of the error that kept it
 * from that; in either case a new transaction has begun.
 */
static ErrorData *
commit_step(const DbpRun *run)
{
	ErrorData *volatile error = NULL;

	PG_TRY();
	{
		end_transaction(run);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(run->context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	return error;
}

/*
 * What the guarded functions work on.
 */
typedef struct DbpWork
{
	DbpRun *run;
	DbpPolicy *policy;
	List *missing;	 /* of DbpRange, to be made */
	Oid defpart;	 /* default partition that must be guarded, or InvalidOid */
	bool swept;		 /* a guard was dropped: the default partition is locked */
	DbpRange *range; /* the one in work */
	DbpCost cost;
	Oid created;
} DbpWork;

/*
 * The ranges to make for an insert that found no partition: the one that its
 * key lies in, provided that the key is sane.
 */
static List *
plan_for_key(const DbpRun *run, const DbpPolicy *policy, const DbpParts *parts)
{
	const DbpMaintainRequest *request = run->request;
	int level = NewGUCNestLevel();
	int64 key;
	int64 current;
	ListCell *cell;

	(void) set_config_option("DateStyle", request->missing_datestyle, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("TimeZone", request->missing_timezone, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	key = dbp_key_parse(policy, request->missing_key);
	AtEOXact_GUC(false, level);

	if (!dbp_current_key(policy, parts, &current) || !dbp_key_is_sane(policy, key, current))
		return NIL;
	foreach(cell, dbp_missing_cells(policy, parts, key, key))
	{
		DbpRange *range = lfirst(cell);

		if (range->lower <= key && key < range->upper)
			return list_make1(range);
	}
	return NIL;
}

static List *
plan_backfill(const DbpRun *run, const DbpPolicy *policy, const DbpParts *parts)
{
	int64 from = dbp_key_parse_finite(policy, run->request->from_at);
	int64 to = dbp_key_parse_finite(policy, run->request->to_at);

	if (from >= to)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the end of the range must lie after its start")));
	return dbp_missing_cells(policy, parts, from, to);
}

static void
plan(void *arg)
{
	DbpWork *work = arg;
	const DbpMaintainRequest *request = work->run->request;
	DbpParts parts;

	/* here a cancel is recorded as one */
	CHECK_FOR_INTERRUPTS();
	if (work->policy->tz == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" is not recognized", work->policy->time_zone)));
	if (request->from_at != NULL || request->missing_key != NULL)
		dbp_parts_read(work->policy->parent, work->policy->keytype, &parts);
	if (request->from_at != NULL)
		work->missing = plan_backfill(work->run, work->policy, &parts);
	else if (request->missing_key != NULL)
		work->missing = plan_for_key(work->run, work->policy, &parts);
	else
		work->missing = dbp_parts_read_ahead(work->policy, &parts);
	if (OidIsValid(parts.defpart))
		work->swept = dbp_default_sweep(parts.defpart, work->policy, work->missing);
	if (request->commit_each && dbp_default_is_large(parts.defpart))
		work->defpart = parts.defpart;
}

static void
make(void *arg)
{
	DbpWork *work = arg;

	work->created =
		dbp_partition_create(work->policy, work->range, work->run->request->source, &work->cost);
}

static void
guard(void *arg)
{
	DbpWork *work = arg;

	dbp_default_guard(work->defpart, work->policy, work->range, &work->cost);
}

static void
validate_guard(void *arg)
{
	DbpWork *work = arg;

	dbp_default_validate(work->defpart, work->policy, work->range, &work->cost);
}

static void
unguard(void *arg)
{
	DbpWork *work = arg;

	dbp_default_unguard(work->defpart, work->policy, work->range, &work->cost);
}

static void
report_row(const DbpRun *run, const DbpPolicy *policy, const char *partition, const char *status,
		   const char *detail)
{
	ReturnSetInfo *rows = run->request->rows;
	Datum values[5];
	bool nulls[5] = {false, partition == NULL, false, false, detail == NULL};

	if (rows == NULL)
		return;
	values[0] = ObjectIdGetDatum(policy->parent);
	values[1] = partition ? CStringGetTextDatum(partition) : (Datum) 0;
	values[2] = CStringGetTextDatum("create");
	values[3] = CStringGetTextDatum(status);
	values[4] = detail ? CStringGetTextDatum(detail) : (Datum) 0;
	tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
}

static char *
describe_range(const DbpPolicy *policy, const DbpRange *range)
{
	return psprintf("from %s to %s", dbp_key_display(policy, range->lower),
					dbp_key_display(policy, range->upper));
}

static void
next_try_within(DbpRun *run, TimestampTz at)
{
	run->result->next_due = Min(run->result->next_due, at);
}

/*
 * Record what went wrong with a parent.  Told once: not again each time the
 * same thing fails again.
 */
static void
record_failure(DbpWork *work, const ErrorData *error)
{
	DbpRun *run = work->run;
	DbpPolicy *policy = work->policy;
	int seconds = RETRY_FIRST_SECONDS << Min(policy->failures, 7);
	TimestampTz next_try =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									(int64) Min(seconds, RETRY_LAST_SECONDS) * 1000);
	bool news = policy->last_error == NULL || strcmp(policy->last_error, error->message) != 0;

	if (run->error == NULL)
		run->error = psprintf("%s: %s", policy->table, error->message);
	report_row(run, policy, NULL, "failed", error->message);
	next_try_within(run, next_try);
	dbp_job_parent_state(policy->parent, error->message, next_try);
	/* an event would have the end of this transaction wait, with all that is still to be done */
	if (news && !dbp_audit_is_held())
	{
		DbpEvent event = {0};

		event.source = run->request->source;
		event.action = "create_failed";
		event.policy = policy;
		event.range = work->range;
		event.message = error->message;
		dbp_event_write(&event);
	}
	if (news || !run->request->background)
		ereport(run->request->background ? LOG : WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("maintenance of table \"%s.%s\" failed: %s", policy->schema, policy->table,
						error->message),
				 error->detail ? errdetail_internal("%s", error->detail) : 0,
				 error->hint ? errhint("%s", error->hint) : 0));
}

/*
 * Errors that end the run, not only the step.  A function of the owner can
 * raise any SQLSTATE; a real cancel comes from the server's own check.
 */
static bool
ends_run(const ErrorData *error)
{
	return error->elevel >= FATAL ||
		(error->sqlerrcode == ERRCODE_QUERY_CANCELED && error->funcname != NULL &&
		 strcmp(error->funcname, "ProcessInterrupts") == 0);
}

static void
finish(DbpRun *run, const char *status)
{
	dbp_job_parents_checked(run->checked, run->nchecked);
	dbp_job_end(&run->job, status, run->result, &run->total, run->error);
	end_transaction(run);
}

/*
 * Handle the error of a step; does not return when the run has to end.
 */
static void
handle_error(DbpWork *work, ErrorData *error)
{
	DbpRun *run = work->run;

	if (ends_run(error) || run->request->from_at != NULL)
	{
		run->error = pstrdup(error->message);
		if (run->request->background)
			dbp_job_attempt_end(work->policy->parent);
		if (run->request->commit_each)
			finish(run, ends_run(error) ? "canceled" : "failed");
		ReThrowError(error);
	}
	run->result->failed++;
	record_failure(work, error);
	end_transaction(run);
}

static bool
slice_is_over(DbpRun *run)
{
	if ((run->request->slice_ms > 0 && dbp_ms_since(&run->started) > run->request->slice_ms) ||
		(!run->request->commit_each && run->steps >= MAX_STEPS_AT_ONCE))
		run->result->more = true;
	return run->result->more;
}

static void
add_cost(DbpRun *run, const DbpCost *cost)
{
	run->total.ms_waited += cost->ms_waited;
	run->total.ms_held += cost->ms_held;
	run->total.tries += cost->tries;
}

/*
 * Make sure, in transactions of their own, that the default partition holds
 * nothing of the range.  Returns the error that stood against it.
 */
static ErrorData *
prepare_default(DbpWork *work)
{
	ErrorData *error = NULL;
	bool validated;

	if (!OidIsValid(work->defpart))
		return NULL;
	if (!dbp_default_is_guarded(work->defpart, work->range, &validated))
		error = guarded(guard, work);
	if (error == NULL && !validated)
	{
		end_transaction(work->run);
		error = guarded(validate_guard, work);
		if (error != NULL)
			(void) guarded(unguard, work);
	}
	if (error == NULL)
		end_transaction(work->run);
	return error;
}

/* A function of the owner can catch a cancel; nobody catches this */
static void
give_up(void)
{
	ProcDiePending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

/*
 * Make the partition in work; in the worker in limited time: a function of the
 * owner that never returns must not keep the others from being served.
 */
static ErrorData *
make_in_time(DbpWork *work)
{
	static TimeoutId hard_limit = MAX_TIMEOUTS;
	int limit_ms = dbp_step_timeout + 5 * work->policy->lock_budget_ms;
	instr_time start;
	ErrorData *error;

	if (!work->run->request->background)
		return guarded(make, work);
	if (hard_limit == MAX_TIMEOUTS)
		hard_limit = RegisterTimeout(USER_TIMEOUT, give_up);
	INSTR_TIME_SET_CURRENT(start);
	enable_timeout_after(STATEMENT_TIMEOUT, limit_ms);
	/* as much again for whoever catches the cancel */
	enable_timeout_after(hard_limit, 2 * limit_ms);
	error = guarded(make, work);
	disable_timeout(hard_limit, false);
	disable_timeout(STATEMENT_TIMEOUT, false);
	if (error != NULL && error->elevel == ERROR && ends_run(error) &&
		dbp_ms_since(&start) >= limit_ms)
	{
		error->funcname = NULL; /* no cancel from outside */
		error->message = psprintf("making a partition took longer than %d ms", limit_ms);
	}
	return error;
}

typedef enum
{
	MADE_ALL,
	PLAN_IS_STALE,
	HAVE_TO_STOP
} DbpOutcome;

static DbpOutcome
make_missing(DbpWork *work)
{
	DbpRun *run = work->run;
	ListCell *cell;
	bool all = true;

	foreach(cell, work->missing)
	{
		ErrorData *error;

		if (slice_is_over(run))
			return HAVE_TO_STOP;
		work->range = lfirst(cell);
		memset(&work->cost, 0, sizeof(DbpCost));
		run->steps++;
		error = prepare_default(work);
		if (error == NULL)
			error = make_in_time(work);
		add_cost(run, &work->cost);
		if (error != NULL)
		{
			/* rows in the default partition stand against one range, not against the next */
			bool next_may_do = error->sqlerrcode == ERRCODE_CHECK_VIOLATION;

			if (all || !next_may_do)
				handle_error(work, error);
			if (!next_may_do)
				return HAVE_TO_STOP;
			all = false;
			continue;
		}
		if (!OidIsValid(work->created))
			return PLAN_IS_STALE;
		error = commit_step(run);
		if (error != NULL)
		{
			handle_error(work, error);
			return HAVE_TO_STOP;
		}
		if (++run->result->created % PROGRESS_EVERY == 0 && !run->request->background)
			ereport(NOTICE, (errmsg("%d partitions made", run->result->created)));
		report_row(run, work->policy,
				   quote_qualified_identifier(work->policy->schema, get_rel_name(work->created)),
				   "done", describe_range(work->policy, work->range));
	}
	return all ? MADE_ALL : HAVE_TO_STOP;
}

/*
 * When a parent that is in order needs the next look: at the next bound.
 */
static void
note_next_due(DbpRun *run, const DbpPolicy *policy)
{
	int64 k;
	int64 bound;
	TimestampTz at;

	if (!policy->by_time)
		next_try_within(run,
						TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													NUMBER_CHECK_SECONDS * 1000));
	else if (policy->tz != NULL &&
			 dbp_grid_cell(policy, dbp_key_from_time(policy, dbp_now()), &k) &&
			 dbp_grid_bound(policy, k + 1, &bound) && dbp_key_to_time(policy, bound, &at))
		next_try_within(run, at);
}

static bool
is_backing_off(const DbpRun *run, const DbpPolicy *policy)
{
	return strcmp(run->request->reason, "schedule") == 0 &&
		policy->next_try_at > GetCurrentTimestamp();
}

/*
 * In the worker, note that a parent is about to be served, so that what ends
 * the process is known for it, and leaves the others a chance.  False when
 * that has happened too often already.
 */
static bool
begin_attempt(DbpWork *work)
{
	DbpRun *run = work->run;

	if (!run->request->background || work->missing == NIL)
		return true;
	if (dbp_job_attempt_begin(&run->job, work->policy->parent) > MAX_ATTEMPTS)
	{
		ErrorData error = {0};

		error.sqlerrcode = ERRCODE_INTERNAL_ERROR;
		error.message = "the worker ended each time while it made a partition";
		dbp_job_attempt_end(work->policy->parent);
		handle_error(work, &error);
		return false;
	}
	end_transaction(run);
	return true;
}

static void
maintain_parent(DbpRun *run, DbpPolicy *policy)
{
	DbpOutcome outcome = PLAN_IS_STALE;
	bool attempted = false;

	if (is_backing_off(run, policy))
	{
		next_try_within(run, policy->next_try_at);
		return;
	}
	for (int i = 0; outcome == PLAN_IS_STALE && i < MAX_PLANS; i++)
	{
		DbpWork work = {0};
		ErrorData *error;

		/* the first plan is for what was loaded; a stale one may be so for a policy that changed */
		if (i > 0)
		{
			List *again = dbp_policy_load(policy->parent, !OidIsValid(run->request->parent));

			if (again == NIL)
				return;
			policy = linitial(again);
		}
		work.run = run;
		work.policy = policy;
		error = guarded(plan, &work);
		if (error != NULL)
		{
			handle_error(&work, error);
			return;
		}
		if (work.swept)
			end_transaction(run);
		if (!attempted && !begin_attempt(&work))
			return;
		attempted = attempted || work.missing != NIL;
		outcome = make_missing(&work);
	}
	if (attempted && run->request->background)
		dbp_job_attempt_end(policy->parent);
	run->checked[run->nchecked++] = ObjectIdGetDatum(policy->parent);
	if (outcome == MADE_ALL && run->request->from_at == NULL)
	{
		note_next_due(run, policy);
		if (policy->last_error != NULL)
			dbp_job_parent_state(policy->parent, NULL, 0);
	}
}

/*
 * The policies to serve.  By hand without a name: those whose parent the user
 * owns.
 */
static List *
policies_to_serve(const DbpMaintainRequest *request)
{
	List *all;
	List *own = NIL;
	ListCell *cell;

	if (request->missing_table != NULL)
	{
		Oid parent = dbp_policy_find(request->missing_schema, request->missing_table);

		return OidIsValid(parent) ? dbp_policy_load(parent, true) : NIL;
	}
	if (OidIsValid(request->parent))
	{
		(void) dbp_policy_get(request->parent);
		dbp_check_table_owner(request->parent);
	}
	all = dbp_policy_load(request->parent, !OidIsValid(request->parent));
	foreach(cell, all)
	{
		DbpPolicy *policy = lfirst(cell);

		if (dbp_owns_relation(policy->parent, GetUserId()))
			own = lappend(own, policy);
	}
	return own;
}

static const char *
final_status(const DbpMaintainResult *result)
{
	if (result->failed == 0)
		return "ok";
	return result->failed < result->parents || result->created > 0 ? "partial" : "failed";
}

/*
 * The worker leaves a database alone that has no policy, or is being restored:
 * rows of its own would be in the way of those that a dump brings.
 */
static bool
nothing_to_do_yet(List *policies, DbpMaintainResult *result)
{
	if (policies == NIL)
		return true;
	if (!dbp_job_restore_in_progress())
		return false;
	result->next_due =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), RESTORE_CHECK_SECONDS * 1000);
	return true;
}

void
dbp_maintain_run(const DbpMaintainRequest *request, DbpMaintainResult *result)
{
	MemoryContext caller = CurrentMemoryContext;
	DbpRun run = {0};
	List *policies;
	ListCell *cell;

	memset(result, 0, sizeof(DbpMaintainResult));
	result->next_due =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) dbp_naptime * 1000);
	run.request = request;
	run.result = result;
	INSTR_TIME_SET_CURRENT(run.started);
	/* SPI's context lives as long as this call, across its transactions */
	run.context = AllocSetContextCreate(caller, "dbperf maintenance", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(run.context);

	policies = policies_to_serve(request);
	if (request->background && nothing_to_do_yet(policies, result))
	{
		MemoryContextSwitchTo(caller);
		MemoryContextDelete(run.context);
		return;
	}
	run.job.source = request->source;
	run.job.reason = request->reason;
	run.job.started_at = GetCurrentTimestamp();
	if (OidIsValid(request->parent))
		run.job.parent =
			quote_qualified_identifier(get_namespace_name(get_rel_namespace(request->parent)),
									   get_rel_name(request->parent));
	else if (request->missing_table != NULL)
		run.job.parent =
			quote_qualified_identifier(request->missing_schema, request->missing_table);
	if (request->commit_each)
	{
		dbp_job_mark_crashed();
		dbp_job_begin(&run.job);
		end_transaction(&run);
	}

	run.checked = palloc(sizeof(Datum) * Max(1, list_length(policies)));
	foreach(cell, policies)
	{
		if (slice_is_over(&run))
			break;
		result->parents++;
		maintain_parent(&run, lfirst(cell));
	}
	finish(&run, final_status(result));
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(run.context);
}
