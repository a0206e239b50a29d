/*-------------------------------------------------------------------------
 *
 * soft_delete.c
 *		Soft delete and restore of rows that are named by their ids.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"

#include "partition/partition.h"
#include "ingest/managed.h"
#include "softdelete/softdelete.h"

PG_FUNCTION_INFO_V1(dbperf_soft_delete);
PG_FUNCTION_INFO_V1(dbperf_restore);
PG_FUNCTION_INFO_V1(dbperf_soft_delete_market_data);
PG_FUNCTION_INFO_V1(dbperf_restore_market_data);

static char *
text_or_null(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* The managed table market_data, unless the caller names another */
static Oid
market_data(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? dbp_managed_table("market_data") : dbp_soft_table_arg(fcinfo, n);
}

/*
 * The arguments from "first" on are ids, by, reason, batch_size.  SPI is
 * connected.
 */
static int64
run(FunctionCallInfo fcinfo, DbpSoftAction action, const char *function, Oid relid, int first,
	const char *key)
{
	DbpSoftJob job;
	Datum *ids;
	int count;

	if (PG_ARGISNULL(first))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("ids must not be null"),
				 errhint("Give an array, which may be empty.")));
	if (PG_ARGISNULL(first + 3))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("batch size must not be null")));
	dbp_soft_job_init(&job, action, function, relid, PG_GETARG_INT32(first + 3));
	if (key != NULL)
		dbp_soft_key_by_name(&job, key);
	else
		dbp_soft_key_default(&job);
	job.by = text_or_null(fcinfo, first + 1);
	if (job.by == NULL)
		job.by = GetUserNameFromId(GetUserId(), false);
	job.reason = text_or_null(fcinfo, first + 2);

	ids = dbp_soft_ids(&job, PG_GETARG_ARRAYTYPE_P(first), &count);
	job.total = count;
	dbp_soft_prepare(&job);
	for (int at = 0; at < count; at += job.batch_size)
	{
		Datum *batch = &ids[at];

		dbp_soft_batch(&job, &batch, Min(job.batch_size, count - at));
	}
	return job.changed;
}

static int64
by_ids(FunctionCallInfo fcinfo, DbpSoftAction action, const char *function)
{
	int64 changed;

	PreventCommandIfReadOnly(function);
	SPI_connect();
	changed = run(fcinfo, action, function, dbp_soft_table_arg(fcinfo, 0), 1,
				  PG_ARGISNULL(5) ? NULL : NameStr(*PG_GETARG_NAME(5)));
	SPI_finish();
	return changed;
}

static int64
market_data_by_ids(FunctionCallInfo fcinfo, DbpSoftAction action, const char *function)
{
	int64 changed;

	PreventCommandIfReadOnly(function);
	SPI_connect();
	changed = run(fcinfo, action, function, market_data(fcinfo, 4), 0, NULL);
	SPI_finish();
	return changed;
}

/*
 * soft_delete(table regclass, ids anyarray, deleted_by text, reason text,
 * batch_size integer, key name) returns bigint
 */
Datum
dbperf_soft_delete(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(by_ids(fcinfo, DBP_SOFT_DELETE, "dbperf.soft_delete()"));
}

/*
 * restore(table regclass, ids anyarray, restored_by text, reason text,
 * batch_size integer, key name) returns bigint
 */
Datum
dbperf_restore(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(by_ids(fcinfo, DBP_SOFT_RESTORE, "dbperf.restore()"));
}

/*
 * soft_delete_market_data(ids bigint[], deleted_by text, reason text,
 * batch_size integer, target regclass) returns bigint
 */
Datum
dbperf_soft_delete_market_data(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(
		market_data_by_ids(fcinfo, DBP_SOFT_DELETE, "dbperf.soft_delete_market_data()"));
}

/*
 * restore_market_data(ids bigint[], restored_by text, reason text, batch_size
 * integer, target regclass) returns bigint
 */
Datum
dbperf_restore_market_data(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(market_data_by_ids(fcinfo, DBP_SOFT_RESTORE, "dbperf.restore_market_data()"));
}
