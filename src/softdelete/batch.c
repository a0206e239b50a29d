/*-------------------------------------------------------------------------
 *
 * batch.c
 *		One batch of rows, found by their keys.
 *
 * The rows are locked in the order of their keys first, and then changed: an
 * UPDATE by itself locks rows in whatever order its plan finds them in, and
 * two of them that overlap could wait for each other.  A row that somebody
 * else has changed meanwhile is looked at again when its lock is had, so that
 * it is counted by the one call that changed it.
 *
 * All is done with statements, in which nothing depends on the search_path:
 * it is the caller's, for the triggers of the table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rls.h"

#include "partition/partition.h"
#include "softdelete/softdelete.h"

/* Columns of the keys that are looked for; no table has such names */
#define KEYS_ALIAS "\"dbperf keys\""

/*
 * Which rows are there to be changed at all.
 */
const char *
dbp_soft_condition(const DbpSoftJob *job, int cutoff_param)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s." DBP_DELETED_AT, job->name);
	if (job->action == DBP_SOFT_PURGE)
		appendStringInfo(&buf, " OPERATOR(pg_catalog.<) $%d", cutoff_param);
	else
		appendStringInfoString(&buf, job->action == DBP_SOFT_DELETE ? " IS NULL" : " IS NOT NULL");
	/* a comment may end it */
	if (job->predicate != NULL)
		appendStringInfo(&buf, " AND (%s\n)", job->predicate);
	return buf.data;
}

/*
 * The beginning of the statement that changes rows.
 */
char *
dbp_soft_changing(const DbpSoftJob *job, int by_param)
{
	if (job->action == DBP_SOFT_PURGE)
		return psprintf("DELETE FROM %s", job->table);
	if (job->action == DBP_SOFT_RESTORE)
		return psprintf("UPDATE %s SET " DBP_DELETED_AT " = NULL, " DBP_DELETED_BY " = NULL",
						job->table);
	return psprintf("UPDATE %s SET " DBP_DELETED_AT " = pg_catalog.now(), " DBP_DELETED_BY " = $%d",
					job->table, by_param);
}

/*
 * A join with the columns of the arrays.  "= ANY" would do for one column, but
 * a plan for whatever array comes may make a filter of it, which looks through
 * the array for every row of some other index.
 */
static void
append_keys(const DbpSoftJob *job, int nkeys, StringInfo from, StringInfo where)
{
	appendStringInfoString(from, "ROWS FROM (");
	for (int i = 0; i < nkeys; i++)
		appendStringInfo(from, "%spg_catalog.unnest($%d)", i > 0 ? ", " : "", i + 1);
	appendStringInfoString(from, ") AS " KEYS_ALIAS " (");
	for (int i = 0; i < nkeys; i++)
	{
		appendStringInfo(from, "%s\"dbperf key %d\"", i > 0 ? ", " : "", i);
		appendStringInfo(where, "%s%s.%s %s " KEYS_ALIAS ".\"dbperf key %d\"", i > 0 ? " AND " : "",
						 job->name, job->keys[i].column, job->keys[i].equals, i);
	}
	appendStringInfoString(from, ")");
}

/* "t.a, t.b" */
static char *
key_columns(const DbpSoftJob *job)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < job->nfound; i++)
		appendStringInfo(&buf, "%s%s.%s", i > 0 ? ", " : "", job->name, job->keys[i].column);
	return buf.data;
}

/*
 * Whether rows can be locked before they are changed: who may DELETE need not
 * be allowed to UPDATE, nor see the same rows for both.
 */
static bool
can_lock(const DbpSoftJob *job)
{
	if (job->action != DBP_SOFT_PURGE)
		return true;
	return pg_class_aclcheck(job->relid, GetUserId(), ACL_UPDATE) == ACLCHECK_OK &&
		check_enable_rls(job->relid, InvalidOid, true) != RLS_ENABLED;
}

/*
 * A statement whose parameters are arrays of keys, one for each column, and
 * then who deletes, or the time before which a row was deleted.
 */
static SPIPlanPtr
prepare(const DbpSoftJob *job, const char *sql, int nkeys)
{
	Oid *types = palloc(sizeof(Oid) * (nkeys + 1));
	SPIPlanPtr plan;

	for (int i = 0; i < nkeys; i++)
		types[i] = job->keys[i].array_type;
	types[nkeys] = job->action == DBP_SOFT_PURGE ? TIMESTAMPTZOID : TEXTOID;
	plan = SPI_prepare(sql, nkeys + 1, types);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	return plan;
}

static char *
lock_statement(const DbpSoftJob *job)
{
	char *columns = key_columns(job);
	StringInfoData from;
	StringInfoData where;

	initStringInfo(&from);
	initStringInfo(&where);
	append_keys(job, job->nkeys, &from, &where);
	return psprintf("SELECT %s FROM %s, %s WHERE %s AND %s ORDER BY %s%s FOR %s OF %s", columns,
					job->table, from.data, where.data, dbp_soft_condition(job, job->nkeys + 1),
					columns, job->order, job->action == DBP_SOFT_PURGE ? "UPDATE" : "NO KEY UPDATE",
					job->name);
}

/* By all that is known of the rows, so that no other partition is looked into */
static char *
change_statement(const DbpSoftJob *job)
{
	StringInfoData from;
	StringInfoData where;

	initStringInfo(&from);
	initStringInfo(&where);
	append_keys(job, job->nfound, &from, &where);
	return psprintf("%s %s %s WHERE %s AND %s RETURNING %s",
					dbp_soft_changing(job, job->nfound + 1),
					job->action == DBP_SOFT_PURGE ? "USING" : "FROM", from.data, where.data,
					dbp_soft_condition(job, job->nfound + 1), key_columns(job));
}

/*
 * Make the statements of a batch ready.
 */
void
dbp_soft_prepare(DbpSoftJob *job)
{
	Assert(job->nfound == job->nkeys || job->action != DBP_SOFT_PURGE);
	if (can_lock(job))
		job->lock = prepare(job, lock_statement(job), job->nkeys);
	job->change = prepare(job, change_statement(job), job->nfound);
}

void
dbp_soft_executed(int result, const char *what)
{
	if (result < 0)
		elog(ERROR, "%s: %s", what, SPI_result_code_string(result));
}

static int64
execute(const DbpSoftJob *job, SPIPlanPtr plan, int nkeys, Datum **values, int count)
{
	Datum *params = palloc(sizeof(Datum) * (nkeys + 1));

	for (int i = 0; i < nkeys; i++)
		params[i] =
			PointerGetDatum(construct_array(values[i], count, job->keys[i].type, job->keys[i].len,
											job->keys[i].byval, job->keys[i].align));
	params[nkeys] = job->action == DBP_SOFT_PURGE ? TimestampTzGetDatum(job->cutoff)
												  : CStringGetTextDatum(job->by);
	dbp_soft_executed(SPI_execute_plan(plan, params, NULL, false, 0), job->function);
	return (int64) SPI_processed;
}

/*
 * The keys that were returned of rows.  A column by itself need not be unique,
 * but comes in order, and each value is taken once.
 */
static Datum **
returned_keys(const DbpSoftJob *job, int *count)
{
	Datum **values = palloc(sizeof(Datum *) * job->nfound);
	int rows = (int) SPI_processed;

	*count = 0;
	for (int i = 0; i < job->nfound; i++)
		values[i] = palloc(sizeof(Datum) * Max(rows, 1));
	for (int row = 0; row < rows; row++)
	{
		for (int i = 0; i < job->nfound; i++)
		{
			bool isnull;

			values[i][*count] =
				SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, i + 1, &isnull);
		}
		if (job->nfound > 1 || *count == 0 ||
			!datumIsEqual(values[0][*count], values[0][*count - 1], job->keys[0].byval,
						  job->keys[0].len))
			(*count)++;
	}
	return values;
}

static int64
change(const DbpSoftJob *job, Datum **values, int count)
{
	volatile int64 rows = 0;
	Oid outer;

	if (job->action != DBP_SOFT_PURGE)
		return execute(job, job->change, job->nfound, values, count);
	outer = dbp_soft_purge_begin(job->relid);
	PG_TRY();
	{
		rows = execute(job, job->change, job->nfound, values, count);
	}
	PG_FINALLY();
	{
		dbp_soft_purge_end(outer);
	}
	PG_END_TRY();
	return rows;
}

/*
 * Say how far it is, every now and then.
 */
void
dbp_soft_progress(DbpSoftJob *job, int count)
{
	job->seen += count;
	CHECK_FOR_INTERRUPTS();
	if (dbp_ms_since(&job->noticed) < DBP_SOFT_PROGRESS_MS)
		return;
	INSTR_TIME_SET_CURRENT(job->noticed);
	if (job->total >= 0)
		ereport(NOTICE,
				(errmsg("%s: " INT64_FORMAT " of " INT64_FORMAT " rows", job->function, job->seen,
						job->total)));
	else
		ereport(NOTICE, (errmsg("%s: " INT64_FORMAT " rows", job->function, job->seen)));
}

/*
 * Change the rows with these keys that are there to be changed, and write
 * down which they were.  SPI must be connected.
 */
void
dbp_soft_batch(DbpSoftJob *job, Datum **values, int count)
{
	MemoryContext caller = MemoryContextSwitchTo(job->batch_context);
	SPITupleTable *locked = NULL;
	instr_time started;
	int given = count;
	int found = count;
	int64 rows = 0;

	INSTR_TIME_SET_CURRENT(started);
	if (job->lock != NULL)
	{
		found = (int) execute(job, job->lock, job->nkeys, values, count);
		locked = SPI_tuptable;
		values = returned_keys(job, &count);
	}
	if (found > 0)
	{
		SPITupleTable *changed;

		rows = change(job, values, count);
		changed = SPI_tuptable;
		/* nearly always the same rows, and those that were locked are in order */
		dbp_soft_log(job, rows, locked != NULL && rows == found ? locked : changed, &started);
		SPI_freetuptable(changed);
	}
	if (locked != NULL)
		SPI_freetuptable(locked);
	job->changed += rows;
	MemoryContextSwitchTo(caller);
	MemoryContextReset(job->batch_context);
	dbp_soft_progress(job, given);
}
