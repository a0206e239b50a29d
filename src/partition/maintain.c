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
#include "partition/run.h"

/* Numbers have no clock that says when the next partition is due */
#define NUMBER_CHECK_SECONDS 300

/* How often to see whether a restore has come to its end */
#define RESTORE_CHECK_SECONDS 5

/* How often a long run by hand says how far it is */
#define PROGRESS_EVERY 100

/* A plan that others keep changing under us is made anew this often */
#define MAX_PLANS 5

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
	bool detaching;	 /* a DETACH CONCURRENTLY is under way, or was interrupted */
	DbpRange *range; /* the one in work */
	DbpCost cost;
	Oid created;
} DbpWork;

static bool
is_listed(List *ranges, const DbpRange *range)
{
	ListCell *cell;

	foreach(cell, ranges)
		if (((DbpRange *) lfirst(cell))->lower == range->lower)
			return true;
	return false;
}

/*
 * The ranges that keys lie in, of those that are to have a partition.
 */
static List *
plan_for_keys(const DbpPolicy *policy, const DbpParts *parts, const int64 *keys, int nkeys)
{
	List *ranges = NIL;
	int64 current;
	bool has_current = dbp_current_key(policy, parts, &current);

	for (int i = 0; i < nkeys; i++)
	{
		DbpRange *range = palloc(sizeof(DbpRange));

		if (dbp_key_verdict(policy, parts, has_current ? &current : NULL, keys[i], range) ==
				DBP_KEY_WANTED &&
			!is_listed(ranges, range))
			ranges = lappend(ranges, range);
	}
	return ranges;
}

/*
 * The same for the key of an insert that failed, as its message had it.
 */
static List *
plan_for_failed_insert(const DbpRun *run, const DbpPolicy *policy, const DbpParts *parts)
{
	const DbpMaintainRequest *request = run->request;
	int level = NewGUCNestLevel();
	int64 key;

	(void) set_config_option("DateStyle", request->missing_datestyle, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("TimeZone", request->missing_timezone, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	key = dbp_key_parse(policy, request->missing_key);
	AtEOXact_GUC(false, level);
	return plan_for_keys(policy, parts, &key, 1);
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
	if (request->from_at != NULL || request->missing_key != NULL || request->wanted_keys != NULL)
		dbp_parts_read(work->policy->parent, work->policy->keytype, &parts);
	if (request->from_at != NULL)
		work->missing = plan_backfill(work->run, work->policy, &parts);
	else if (request->missing_key != NULL)
		work->missing = plan_for_failed_insert(work->run, work->policy, &parts);
	else if (request->wanted_keys != NULL)
		work->missing =
			plan_for_keys(work->policy, &parts, request->wanted_keys, request->nwanted_keys);
	else
		work->missing = dbp_parts_read_ahead(work->policy, &parts);
	work->detaching = parts.detaching;
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

static char *
describe_range(const DbpPolicy *policy, const DbpRange *range)
{
	return psprintf("from %s to %s", dbp_key_display(policy, range->lower),
					dbp_key_display(policy, range->upper));
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
	TimestampTz next_try =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									(int64) dbp_retry_seconds(policy->failures) * 1000);
	bool news = policy->last_error == NULL || strcmp(policy->last_error, error->message) != 0;

	if (run->error == NULL)
		run->error = psprintf("%s: %s", policy->table, error->message);
	dbp_run_report(run, policy->parent, NULL, "create", "failed", error->message);
	dbp_run_due_at(run, next_try);
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
 * Is somebody to hear of an error at once, and nothing else to be done?
 */
static bool
raises_errors(const DbpMaintainRequest *request)
{
	return request->from_at != NULL || request->wanted_keys != NULL;
}

/*
 * Handle the error of a step; does not return when the run has to end.
 */
static void
handle_error(DbpWork *work, ErrorData *error)
{
	DbpRun *run = work->run;

	if (dbp_ends_run(error) || raises_errors(run->request))
	{
		run->error = pstrdup(error->message);
		if (run->request->background)
			dbp_job_attempt_end(work->policy->parent);
		if (run->request->commit_each)
			dbp_run_finish(run, dbp_ends_run(error) ? "canceled" : "failed");
		ReThrowError(error);
	}
	run->result->failed++;
	record_failure(work, error);
	dbp_run_end_transaction(run);
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
		error = dbp_guarded(guard, work);
	if (error == NULL && !validated)
	{
		dbp_run_end_transaction(work->run);
		error = dbp_guarded(validate_guard, work);
		if (error != NULL)
			(void) dbp_guarded(unguard, work);
	}
	if (error == NULL)
		dbp_run_end_transaction(work->run);
	return error;
}

/*
 * Make the partition.  Whoever waits for it would rather wait longer for its
 * locks than have to come again.
 */
static ErrorData *
make_patiently(DbpWork *work)
{
	DbpRun *run = work->run;
	int patience = run->request->patience_ms;
	int budget = work->policy->lock_budget_ms;
	ErrorData *error;

	for (;;)
	{
		if (patience > 0)
		{
			int left = patience - (int) Min(dbp_ms_since(&run->started), patience);

			work->policy->lock_tries = 1;
			work->policy->lock_budget_ms = Max(Min(budget, left), 1);
		}
		error = dbp_guarded_in_time(run, work->policy, make, work, "making a partition");
		if (error == NULL || error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE || patience == 0)
			return error;
		if (dbp_ms_since(&run->started) >= patience)
		{
			if (error->table_name != NULL)
				error->message = psprintf("could not lock table \"%s\" within %d ms",
										  error->table_name, patience);
			return error;
		}
		dbp_run_add_cost(run, &work->cost);
		/* gives the snapshot back */
		dbp_run_end_transaction(run);
	}
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

		if (dbp_run_slice_is_over(run))
			return HAVE_TO_STOP;
		work->range = lfirst(cell);
		memset(&work->cost, 0, sizeof(DbpCost));
		run->steps++;
		error = prepare_default(work);
		if (error == NULL)
			error = make_patiently(work);
		dbp_run_add_cost(run, &work->cost);
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
		error = dbp_run_commit(run);
		if (error != NULL)
		{
			handle_error(work, error);
			return HAVE_TO_STOP;
		}
		if (++run->result->created % PROGRESS_EVERY == 0 && !run->request->background)
			ereport(NOTICE, (errmsg("%d partitions made", run->result->created)));
		dbp_run_report(run, work->policy->parent,
					   quote_qualified_identifier(work->policy->schema,
												  get_rel_name(work->created)),
					   "create", "done", describe_range(work->policy, work->range));
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
		dbp_run_due_at(run,
					   TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												   NUMBER_CHECK_SECONDS * 1000));
	else if (policy->tz != NULL &&
			 dbp_grid_cell(policy, dbp_key_from_time(policy, dbp_now()), &k) &&
			 dbp_grid_bound(policy, k + 1, &bound) && dbp_key_to_time(policy, bound, &at))
		dbp_run_due_at(run, at);
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
	if (dbp_job_attempt_begin(&run->job, work->policy->parent) > DBP_MAX_ATTEMPTS)
	{
		ErrorData error = {0};

		error.sqlerrcode = ERRCODE_INTERNAL_ERROR;
		error.message = "the worker ended each time while it made a partition";
		dbp_job_attempt_end(work->policy->parent);
		handle_error(work, &error);
		return false;
	}
	dbp_run_end_transaction(run);
	return true;
}

/*
 * Note a parent whose partitions are to be retired later in this run, and
 * finish at once what an earlier run has begun.  What failed waits for its time.
 */
static void
begin_retiring(DbpWork *work)
{
	DbpRun *run = work->run;
	DbpPolicy *policy = work->policy;

	if (!run->request->commit_each || raises_errors(run->request) ||
		run->request->missing_table != NULL ||
		!(policy->retires || work->detaching || run->request->only_retire))
		return;
	if (strcmp(run->request->reason, "schedule") == 0 &&
		policy->retire_next_try_at > GetCurrentTimestamp())
	{
		dbp_run_due_at(run, policy->retire_next_try_at);
		return;
	}
	run->retiring = lappend_oid(run->retiring, policy->parent);
	if (work->detaching)
		dbp_retire_run(run, list_make1_oid(policy->parent), true);
}

static void
maintain_parent(DbpRun *run, DbpPolicy *policy)
{
	DbpOutcome outcome = PLAN_IS_STALE;
	bool attempted = false;

	if (is_backing_off(run, policy))
	{
		dbp_run_due_at(run, policy->next_try_at);
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
		error = dbp_guarded(plan, &work);
		if (error != NULL)
		{
			handle_error(&work, error);
			return;
		}
		if (work.swept)
			dbp_run_end_transaction(run);
		if (i == 0)
			begin_retiring(&work);
		if (run->request->only_retire)
			return;
		if (!attempted && !begin_attempt(&work))
			return;
		attempted = attempted || work.missing != NIL;
		outcome = make_missing(&work);
	}
	if (attempted && run->request->background)
		dbp_job_attempt_end(policy->parent);
	run->checked[run->nchecked++] = ObjectIdGetDatum(policy->parent);
	if (outcome == MADE_ALL && !raises_errors(run->request))
	{
		note_next_due(run, policy);
		if (policy->last_error != NULL)
			dbp_job_parent_state(policy->parent, NULL, 0);
	}
}

static List *
policies_to_serve(const DbpMaintainRequest *request)
{
	if (request->missing_table != NULL)
	{
		Oid parent = dbp_policy_find(request->missing_schema, request->missing_table);

		return OidIsValid(parent) ? dbp_policy_load(parent, true) : NIL;
	}
	if (request->wanted_keys != NULL)
		return dbp_policy_load(request->parent, true);
	return dbp_policies_of_role(request->parent,
								OidIsValid(request->role) ? request->role : GetUserId());
}

/*
 * What was begun by hand, and cut short, is finished also for tables that are
 * not served.
 */
static void
finish_for_disabled(DbpRun *run)
{
	List *parents = dbp_retire_half_done();

	dbp_run_end_transaction(run);
	if (parents != NIL)
		dbp_retire_run(run, parents, true);
}

static const char *
final_status(const DbpMaintainResult *result)
{
	if (result->failed == 0)
		return "ok";
	return result->failed < result->parents ||
			result->created + result->detached + result->dropped + result->compressed > 0
		? "partial"
		: "failed";
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

/*
 * The parents (a list of oid) whose partitions are to be compressed in this
 * run.  What failed waits for its time.
 */
static List *
parents_to_compress(DbpRun *run, List *policies)
{
	const DbpMaintainRequest *request = run->request;
	List *parents = NIL;
	ListCell *cell;

	if (!request->commit_each || raises_errors(request) || request->missing_table != NULL ||
		request->only_retire || !(request->may_compress || request->background))
		return NIL;
	foreach(cell, policies)
	{
		const DbpPolicy *policy = lfirst(cell);

		if (strcmp(request->reason, "schedule") == 0 &&
			policy->compress_next_try_at > GetCurrentTimestamp())
			dbp_run_due_at(run, policy->compress_next_try_at);
		else
			parents = lappend_oid(parents, policy->parent);
	}
	return parents;
}

/*
 * Making partitions, and detaching and dropping them.
 */
static void
maintain_parents(DbpRun *run, List *policies)
{
	const DbpMaintainRequest *request = run->request;
	ListCell *cell;

	foreach(cell, policies)
	{
		if (dbp_run_slice_is_over(run))
			break;
		run->result->parents++;
		maintain_parent(run, lfirst(cell));
	}
	if (run->retiring != NIL && !dbp_run_slice_is_over(run))
		dbp_retire_run(run, run->retiring, false);
	if (request->background && request->missing_table == NULL)
		finish_for_disabled(run);
}

void
dbp_maintain_run(const DbpMaintainRequest *request, DbpMaintainResult *result)
{
	MemoryContext caller = CurrentMemoryContext;
	DbpRun run = {0};
	List *policies;
	List *compressing;

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
	run.job.job = request->only_compress ? "compression" : "maintenance";
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
		dbp_run_end_transaction(&run);
	}

	run.checked = palloc(sizeof(Datum) * Max(1, list_length(policies)));
	compressing = parents_to_compress(&run, policies);
	if (request->only_compress)
		result->parents = list_length(policies);
	else
		maintain_parents(&run, policies);
	/* last of all: it takes longer than anything else */
	if (compressing != NIL && !dbp_run_slice_is_over(&run))
	{
		if (request->may_compress)
			dbp_compress_run(&run, compressing);
		else
			dbp_compress_look(&run, compressing);
	}
	dbp_run_finish(&run, final_status(result));
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(run.context);
}
