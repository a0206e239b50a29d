/*-------------------------------------------------------------------------
 *
 * range.c
 *		Soft delete, restore and purge of all rows that meet a condition.
 *
 * A cursor yields the primary keys of the rows that are there when the call
 * begins; they are changed batch by batch, where the condition is asked once
 * more of each row.  A table without a primary key is done in one statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "ingest/ingest.h"
#include "partition/partition.h"
#include "softdelete/softdelete.h"

PG_FUNCTION_INFO_V1(dbperf_soft_delete_range);
PG_FUNCTION_INFO_V1(dbperf_restore_range);
PG_FUNCTION_INFO_V1(dbperf_purge_deleted);

/* by, or the time before which rows were deleted; and the two bounds */
#define PARAM_BY 1
#define PARAM_CUTOFF 1
#define PARAM_FROM 2
#define PARAM_TO 3
#define MAX_PARAMS 3

/* Which rows, as a condition with parameters */
typedef struct Selection
{
	StringInfoData where;
	Oid types[MAX_PARAMS];
	Datum values[MAX_PARAMS];
	char nulls[MAX_PARAMS];
} Selection;

static char *
text_or_null(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/*
 * The one column that a table is partitioned by ranges of.
 */
static AttrNumber
range_column(const DbpSoftJob *job)
{
	HeapTuple tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(job->relid));
	AttrNumber attnum = InvalidAttrNumber;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_partitioned_table form = (Form_pg_partitioned_table) GETSTRUCT(tuple);

		if (form->partstrat == PARTITION_STRATEGY_RANGE && form->partnatts == 1)
			attnum = form->partattrs.values[0];
		ReleaseSysCache(tuple);
	}
	if (attnum == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table %s is not partitioned by ranges of one column", job->table),
				 errhint("Leave both ends of the range NULL, and give a predicate.")));
	return attnum;
}

static void
add_bound(const DbpSoftJob *job, Selection *selection, AttrNumber attnum, const char *bound,
		  int param, StrategyNumber strategy)
{
	Oid type = getBaseType(get_atttype(job->relid, attnum));
	TypeCacheEntry *cache = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY);
	Oid operator= get_opfamily_member(cache->btree_opf, cache->btree_opintype,
									  cache->btree_opintype, strategy);
	Oid input;
	Oid ioparam;

	if (bound == NULL)
		return;
	if (!OidIsValid(operator))
		elog(ERROR, "type %u has no operator of strategy %d", type, strategy);
	getTypeInputInfo(type, &input, &ioparam);
	selection->types[param - 1] = type;
	selection->values[param - 1] =
		OidInputFunctionCall(input, unconstify(char *, bound), ioparam, -1);
	selection->nulls[param - 1] = ' ';
	appendStringInfo(&selection->where, " AND %s.%s %s $%d", job->name,
					 quote_identifier(get_attname(job->relid, attnum, false)),
					 dbp_soft_operator(operator), param);
}

/* A range that ends before it begins is a mistake */
static void
check_order(const Selection *selection)
{
	TypeCacheEntry *cache =
		lookup_type_cache(selection->types[PARAM_FROM - 1], TYPECACHE_CMP_PROC_FINFO);

	if (DatumGetInt32(FunctionCall2Coll(&cache->cmp_proc_finfo, DEFAULT_COLLATION_OID,
										selection->values[PARAM_FROM - 1],
										selection->values[PARAM_TO - 1])) >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the end of the range must lie after its start")));
}

static void
add_range(const DbpSoftJob *job, Selection *selection)
{
	AttrNumber attnum;

	if (job->from == NULL && job->to == NULL)
		return;
	attnum = range_column(job);
	add_bound(job, selection, attnum, job->from, PARAM_FROM, BTGreaterEqualStrategyNumber);
	add_bound(job, selection, attnum, job->to, PARAM_TO, BTLessStrategyNumber);
	if (job->from != NULL && job->to != NULL)
		check_order(selection);
}

static void
select_rows(const DbpSoftJob *job, Selection *selection)
{
	bool purges = job->action == DBP_SOFT_PURGE;

	for (int i = 0; i < MAX_PARAMS; i++)
	{
		selection->types[i] = TEXTOID;
		selection->values[i] = (Datum) 0;
		selection->nulls[i] = 'n';
	}
	selection->types[PARAM_BY - 1] = purges ? TIMESTAMPTZOID : TEXTOID;
	selection->values[PARAM_BY - 1] =
		purges ? TimestampTzGetDatum(job->cutoff) : CStringGetTextDatum(job->by);
	selection->nulls[PARAM_BY - 1] = ' ';
	initStringInfo(&selection->where);
	appendStringInfoString(&selection->where, dbp_soft_condition(job, PARAM_CUTOFF));
	add_range(job, selection);
}

static SPIPlanPtr
prepare(const char *sql, Selection *selection)
{
	SPIPlanPtr plan = SPI_prepare_cursor(sql, MAX_PARAMS, selection->types, CURSOR_OPT_CUSTOM_PLAN);

	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	return plan;
}

/*
 * All at once, where there is nothing to make batches by.
 */
static void
run_at_once(DbpSoftJob *job, Selection *selection)
{
	SPIPlanPtr plan =
		prepare(psprintf("%s WHERE %s", dbp_soft_changing(job, PARAM_BY), selection->where.data),
				selection);
	bool purge = job->action == DBP_SOFT_PURGE;
	Oid outer = InvalidOid;
	instr_time started;

	INSTR_TIME_SET_CURRENT(started);
	if (purge)
		outer = dbp_soft_purge_begin(job->relid);
	PG_TRY();
	{
		dbp_soft_executed(SPI_execute_plan(plan, selection->values, selection->nulls, false, 0),
						  job->function);
	}
	PG_FINALLY();
	{
		if (purge)
			dbp_soft_purge_end(outer);
	}
	PG_END_TRY();
	job->changed = (int64) SPI_processed;
	dbp_soft_log(job, job->changed, NULL, &started);
}

static char *
cursor_statement(const DbpSoftJob *job, const Selection *selection)
{
	StringInfoData columns;

	initStringInfo(&columns);
	for (int i = 0; i < job->nkeys; i++)
		appendStringInfo(&columns, "%s%s.%s", i > 0 ? ", " : "", job->name, job->keys[i].column);
	return psprintf("SELECT %s FROM %s WHERE %s ORDER BY %s", columns.data, job->table,
					selection->where.data, columns.data);
}

/* The rows that the cursor has yielded, column by column */
static void
run_fetched(DbpSoftJob *job)
{
	SPITupleTable *fetched = SPI_tuptable;
	int count = (int) SPI_processed;
	Datum **values = palloc(sizeof(Datum *) * job->nkeys);

	for (int i = 0; i < job->nkeys; i++)
	{
		values[i] = palloc(sizeof(Datum) * Max(count, 1));
		for (int row = 0; row < count; row++)
		{
			bool isnull;

			values[i][row] = SPI_getbinval(fetched->vals[row], fetched->tupdesc, i + 1, &isnull);
		}
	}
	dbp_soft_batch(job, values, count);
	for (int i = 0; i < job->nkeys; i++)
		pfree(values[i]);
	pfree(values);
	SPI_freetuptable(fetched);
}

static void
run_in_batches(DbpSoftJob *job, Selection *selection)
{
	SPIPlanPtr plan = prepare(cursor_statement(job, selection), selection);
	Portal cursor;

	dbp_soft_prepare(job);
	cursor = SPI_cursor_open(NULL, plan, selection->values, selection->nulls, false);
	for (;;)
	{
		SPI_cursor_fetch(cursor, true, job->batch_size);
		if (SPI_processed == 0)
			break;
		run_fetched(job);
	}
	SPI_freetuptable(SPI_tuptable);
	SPI_cursor_close(cursor);
}

static int64
run(DbpSoftJob *job)
{
	Selection selection;

	select_rows(job, &selection);
	if (dbp_soft_key_primary(job))
		run_in_batches(job, &selection);
	else
		run_at_once(job, &selection);
	return job->changed;
}

/* What a predicate may hold is what a CHECK constraint may */
static void
check_predicate(const DbpSoftJob *job)
{
	Relation rel = table_open(job->relid, NoLock);

	(void) dbp_condition_parse(rel, job->predicate);
	table_close(rel, NoLock);
}

static int64
by_range(FunctionCallInfo fcinfo, DbpSoftAction action, const char *function)
{
	DbpSoftJob job;
	Oid relid;
	int64 changed;

	PreventCommandIfReadOnly(function);
	if (PG_ARGISNULL(6))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("batch size must not be null")));
	SPI_connect();
	relid = dbp_soft_table_arg(fcinfo, 0);
	dbp_soft_job_init(&job, action, function, relid, PG_GETARG_INT32(6));
	job.from = text_or_null(fcinfo, 1);
	job.to = text_or_null(fcinfo, 2);
	job.predicate = text_or_null(fcinfo, 3);
	job.by = text_or_null(fcinfo, 4);
	if (job.by == NULL)
		job.by = GetUserNameFromId(GetUserId(), false);
	job.reason = text_or_null(fcinfo, 5);
	if (job.from == NULL && job.to == NULL && job.predicate == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a range without ends and without a predicate is the whole table %s",
						job.table),
				 errhint("Give predicate => 'true' if that is what you mean.")));
	if (job.predicate != NULL)
		check_predicate(&job);
	changed = run(&job);
	SPI_finish();
	return changed;
}

/*
 * soft_delete_range(table regclass, from_at text, to_at text, predicate text,
 * deleted_by text, reason text, batch_size integer) returns bigint
 */
Datum
dbperf_soft_delete_range(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(by_range(fcinfo, DBP_SOFT_DELETE, "dbperf.soft_delete_range()"));
}

/*
 * restore_range(table regclass, from_at text, to_at text, predicate text,
 * restored_by text, reason text, batch_size integer) returns bigint
 */
Datum
dbperf_restore_range(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(by_range(fcinfo, DBP_SOFT_RESTORE, "dbperf.restore_range()"));
}

/*
 * The time that lies an interval before this transaction began.
 */
static TimestampTz
time_before(const Interval *age)
{
	Interval *zero = palloc0(sizeof(Interval));

	if (DatumGetBool(
			DirectFunctionCall2(interval_lt, IntervalPGetDatum(age), IntervalPGetDatum(zero))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the age of rows to be purged must not be negative, not \"%s\"",
						DatumGetCString(
							DirectFunctionCall1(interval_out, IntervalPGetDatum(age))))));
	return DatumGetTimestampTz(
		DirectFunctionCall2(timestamptz_mi_interval,
							TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()),
							IntervalPGetDatum(age)));
}

/*
 * purge_deleted(table regclass, older_than interval, batch_size integer)
 * returns bigint
 */
Datum
dbperf_purge_deleted(PG_FUNCTION_ARGS)
{
	DbpSoftJob job;
	Oid relid;
	int64 changed;

	PreventCommandIfReadOnly("dbperf.purge_deleted()");
	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null",
						PG_ARGISNULL(1) ? "the age of rows to be purged" : "batch size"),
				 errhint("Give an age such as interval '90 days'.")));
	SPI_connect();
	relid = dbp_soft_table_arg(fcinfo, 0);
	dbp_soft_job_init(&job, DBP_SOFT_PURGE, "dbperf.purge_deleted()", relid, PG_GETARG_INT32(2));
	job.by = GetUserNameFromId(GetUserId(), false);
	job.cutoff = time_before(PG_GETARG_INTERVAL_P(1));
	changed = run(&job);
	SPI_finish();
	return changed;
}
