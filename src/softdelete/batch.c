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

/* "a = ANY ($1)", or a join with the columns of several arrays */
static void
append_keys(const DbpSoftJob *job, StringInfo from, StringInfo where)
{
	if (job->nkeys == 1)
	{
		appendStringInfo(where, "%s.%s %s ANY ($1)", job->name, job->keys[0].column,
						 job->keys[0].equals);
		return;
	}
	appendStringInfoString(from, "ROWS FROM (");
	for (int i = 0; i < job->nkeys; i++)
		appendStringInfo(from, "%spg_catalog.unnest($%d)", i > 0 ? ", " : "", i + 1);
	appendStringInfoString(from, ") AS " KEYS_ALIAS " (");
	for (int i = 0; i < job->nkeys; i++)
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
	for (int i = 0; i < job->nkeys; i++)
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

static SPIPlanPtr
prepare(const char *sql, int nargs, Oid *types)
{
	SPIPlanPtr plan = SPI_prepare(sql, nargs, types);

	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	return plan;
}

/*
 * Make the statements ready.  The keys of a batch are their first parameters,
 * one array for each column; then comes who deletes, or the time before which
 * a row was deleted.
 */
void
dbp_soft_prepare(DbpSoftJob *job)
{
	Oid *types = palloc(sizeof(Oid) * (job->nkeys + 1));
	int last = job->nkeys + 1;
	bool joins = job->nkeys > 1;
	const char *condition = dbp_soft_condition(job, last);
	char *columns = key_columns(job);
	StringInfoData from;
	StringInfoData where;

	initStringInfo(&from);
	initStringInfo(&where);
	append_keys(job, &from, &where);
	for (int i = 0; i < job->nkeys; i++)
		types[i] = job->keys[i].array_type;
	types[job->nkeys] = job->action == DBP_SOFT_PURGE ? TIMESTAMPTZOID : TEXTOID;
	if (can_lock(job))
		job->lock =
			prepare(psprintf("SELECT %s FROM %s%s%s WHERE %s AND %s ORDER BY %s%s FOR %s OF "
							 "%s",
							 columns, job->table, joins ? ", " : "", from.data, where.data,
							 condition, columns, job->order,
							 job->action == DBP_SOFT_PURGE ? "UPDATE" : "NO KEY UPDATE", job->name),
					last, types);
	job->change =
		prepare(psprintf("%s%s%s WHERE %s AND %s RETURNING %s", dbp_soft_changing(job, last),
						 !joins								 ? ""
							 : job->action == DBP_SOFT_PURGE ? " USING "
															 : " FROM ",
						 from.data, where.data, condition, columns),
				last, types);
}

void
dbp_soft_executed(int result, const char *what)
{
	if (result < 0)
		elog(ERROR, "%s: %s", what, SPI_result_code_string(result));
}

static int64
execute(const DbpSoftJob *job, SPIPlanPtr plan, Datum **values, int count)
{
	Datum *params = palloc(sizeof(Datum) * (job->nkeys + 1));

	for (int i = 0; i < job->nkeys; i++)
		params[i] =
			PointerGetDatum(construct_array(values[i], count, job->keys[i].type, job->keys[i].len,
											job->keys[i].byval, job->keys[i].align));
	params[job->nkeys] = job->action == DBP_SOFT_PURGE ? TimestampTzGetDatum(job->cutoff)
													   : CStringGetTextDatum(job->by);
	dbp_soft_executed(SPI_execute_plan(plan, params, NULL, false, 0), job->function);
	return (int64) SPI_processed;
}

/* The keys that a statement returned */
static Datum **
returned_keys(const DbpSoftJob *job)
{
	Datum **values = palloc(sizeof(Datum *) * job->nkeys);

	for (int i = 0; i < job->nkeys; i++)
	{
		values[i] = palloc(sizeof(Datum) * Max(SPI_processed, 1));
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			bool isnull;

			values[i][row] =
				SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, i + 1, &isnull);
		}
	}
	return values;
}

static int64
change(const DbpSoftJob *job, Datum **values, int count)
{
	volatile int64 rows = 0;

	if (job->action != DBP_SOFT_PURGE)
		return execute(job, job->change, values, count);
	dbp_soft_purge_begin(job->relid);
	PG_TRY();
	{
		rows = execute(job, job->change, values, count);
	}
	PG_FINALLY();
	{
		dbp_soft_purge_end();
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
	int found = count;
	int64 rows = 0;

	INSTR_TIME_SET_CURRENT(started);
	if (job->lock != NULL)
	{
		found = (int) execute(job, job->lock, values, count);
		locked = SPI_tuptable;
		values = returned_keys(job);
	}
	if (found > 0)
	{
		SPITupleTable *changed;

		rows = change(job, values, found);
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
	dbp_soft_progress(job, count);
}
