/*-------------------------------------------------------------------------
 *
 * run.c
 *		What the steps of one run of maintenance have in common: a subtransaction
 *		for each, limited time, commits, and reports.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "partition/run.h"

/* What failed is tried again after this long, doubled each time */
#define RETRY_FIRST_SECONDS 30
#define RETRY_LAST_SECONDS 3600

/* In one transaction no more, for the sake of the lock table */
#define MAX_STEPS_AT_ONCE 500

ErrorData *
dbp_guarded(DbpGuarded function, void *arg)
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

/* A function of the owner can catch a cancel; nobody catches this */
static void
give_up(void)
{
	ProcDiePending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

ErrorData *
dbp_guarded_in_time(const DbpRun *run, const DbpPolicy *policy, DbpGuarded function, void *arg,
					const char *what)
{
	return dbp_guarded_for(run,
						   dbp_step_timeout + (policy->lock_tries + 1) * policy->lock_budget_ms,
						   function, arg, what);
}

ErrorData *
dbp_guarded_for(const DbpRun *run, int limit_ms, DbpGuarded function, void *arg, const char *what)
{
	static TimeoutId hard_limit = MAX_TIMEOUTS;
	instr_time start;
	ErrorData *error;

	if (!run->request->background)
		return dbp_guarded(function, arg);
	if (hard_limit == MAX_TIMEOUTS)
		hard_limit = RegisterTimeout(USER_TIMEOUT, give_up);
	INSTR_TIME_SET_CURRENT(start);
	enable_timeout_after(STATEMENT_TIMEOUT, limit_ms);
	/* as much again for whoever catches the cancel */
	enable_timeout_after(hard_limit, limit_ms > INT_MAX / 2 ? INT_MAX : 2 * limit_ms);
	error = dbp_guarded(function, arg);
	disable_timeout(hard_limit, false);
	disable_timeout(STATEMENT_TIMEOUT, false);
	if (error != NULL && error->elevel == ERROR && dbp_ends_run(error) &&
		dbp_ms_since(&start) >= limit_ms)
	{
		error->funcname = NULL; /* no cancel from outside */
		error->message = psprintf("%s took longer than %d ms", what, limit_ms);
	}
	return error;
}

void
dbp_run_end_transaction(const DbpRun *run)
{
	if (run->request->commit_each)
	{
		SPI_commit();
		MemoryContextSwitchTo(run->context);
	}
}

ErrorData *
dbp_run_commit(const DbpRun *run)
{
	ErrorData *volatile error = NULL;

	PG_TRY();
	{
		dbp_run_end_transaction(run);
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

bool
dbp_run_slice_is_over(DbpRun *run)
{
	if ((run->request->slice_ms > 0 && dbp_ms_since(&run->started) > run->request->slice_ms) ||
		(!run->request->commit_each && run->steps >= MAX_STEPS_AT_ONCE))
		run->result->more = true;
	return run->result->more;
}

void
dbp_run_add_cost(DbpRun *run, const DbpCost *cost)
{
	run->total.ms_waited += cost->ms_waited;
	run->total.ms_held += cost->ms_held;
	run->total.tries += cost->tries;
}

void
dbp_run_due_at(DbpRun *run, TimestampTz at)
{
	run->result->next_due = Min(run->result->next_due, at);
}

void
dbp_run_report(const DbpRun *run, Oid parent, const char *partition, const char *action,
			   const char *status, const char *detail)
{
	ReturnSetInfo *rows = run->request->rows;
	Datum values[5];
	bool nulls[5] = {false, partition == NULL, false, false, detail == NULL};

	if (run->request->report != NULL)
		run->request->report(parent, partition, action, status, detail);
	if (rows == NULL)
		return;
	values[0] = ObjectIdGetDatum(parent);
	values[1] = partition ? CStringGetTextDatum(partition) : (Datum) 0;
	values[2] = CStringGetTextDatum(action);
	values[3] = CStringGetTextDatum(status);
	values[4] = detail ? CStringGetTextDatum(detail) : (Datum) 0;
	tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
}

bool
dbp_ends_run(const ErrorData *error)
{
	return error->elevel >= FATAL ||
		(error->sqlerrcode == ERRCODE_QUERY_CANCELED && error->funcname != NULL &&
		 strcmp(error->funcname, "ProcessInterrupts") == 0);
}

int
dbp_retry_seconds(int failures)
{
	return Min(RETRY_FIRST_SECONDS << Min(failures, 7), RETRY_LAST_SECONDS);
}

void
dbp_run_finish(DbpRun *run, const char *status)
{
	dbp_job_parents_checked(run->checked, run->nchecked);
	dbp_job_end(&run->job, status, run->result, &run->total, run->error);
	dbp_run_end_transaction(run);
}
