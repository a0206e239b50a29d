/*-------------------------------------------------------------------------
 *
 * compress_steps.c
 *		What is to be compressed, and having it compressed, as SQL calls for it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "partition/compress.h"
#include "partition/partition.h"
#include "partition/run.h"
#include "worker/remote.h"

static char *
text_column(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

static Oid
oid_column(uint64 row, int column)
{
	bool isnull;

	return DatumGetObjectId(
		SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull));
}

/*
 * The steps that are due for some parents (a list of oid): a list of
 * DbpCompressStep in the caller's memory context.  SPI must be connected.
 */
List *
dbp_compress_steps(List *parents)
{
	MemoryContext caller = CurrentMemoryContext;
	List *steps = NIL;

	dbp_ask("SELECT parent, partition, action, decision, reason"
			" FROM dbperf.compress_steps($1, true)",
			parents);
	MemoryContextSwitchTo(caller);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		DbpCompressStep *step = palloc0(sizeof(DbpCompressStep));

		step->parent = oid_column(row, 1);
		step->partition = oid_column(row, 2);
		step->action = text_column(row, 3);
		step->decision = text_column(row, 4);
		step->reason = text_column(row, 5);
		step->name =
			dbp_qualified_name(OidIsValid(step->partition) ? step->partition : step->parent);
		steps = lappend(steps, step);
	}
	SPI_freetuptable(SPI_tuptable);
	return steps;
}

/* A row for a step that is not done now */
static void
put_step(ReturnSetInfo *rows, const DbpCompressStep *step, const char *status, const char *detail)
{
	Datum values[5];
	bool nulls[5] = {false, step->name == NULL, false, false, detail == NULL};

	values[0] = ObjectIdGetDatum(step->parent);
	values[1] = step->name ? CStringGetTextDatum(step->name) : (Datum) 0;
	values[2] = CStringGetTextDatum(step->action);
	values[3] = CStringGetTextDatum(status);
	values[4] = detail ? CStringGetTextDatum(detail) : (Datum) 0;
	tuplestore_putvalues(rows->setResult, rows->setDesc, values, nulls);
}

void
dbp_compress_remotely(Oid parent, ReturnSetInfo *rows)
{
	List *parents = NIL;
	List *steps;
	DbpRemoteRequest request;
	bool due = false;
	ListCell *cell;

	foreach(cell, dbp_policies_of_role(parent, GetUserId()))
		parents = lappend_oid(parents, ((DbpPolicy *) lfirst(cell))->parent);
	if (parents == NIL)
		return;
	steps = dbp_compress_steps(parents);
	foreach(cell, steps)
	{
		const DbpCompressStep *step = lfirst(cell);

		if (strcmp(step->decision, "go") != 0)
			continue;
		/* the worker would wait for us in vain */
		if (OidIsValid(
				dbp_lock_own_conflict(dbp_lock_add(NIL, step->partition, AccessExclusiveLock))))
		{
			put_step(rows, step, "waiting", "your own transaction has it in use");
			return;
		}
		due = true;
	}
	foreach(cell, steps)
	{
		const DbpCompressStep *step = lfirst(cell);

		if (!due && strcmp(step->action, "count") != 0)
			put_step(rows, step, strcmp(step->decision, "wait") == 0 ? "waiting" : "blocked",
					 step->reason);
	}
	if (!due)
		return;
	dbp_remote_request_init(&request, DBP_REMOTE_RETIRE, parent);
	request.compress = true;
	(void) dbp_remote_call(&request, rows);
}
