/*-------------------------------------------------------------------------
 *
 * compress_sql.c
 *		Compressing as SQL calls it.
 *
 * A function keeps its locks until its caller commits, and everybody would wait
 * for that.  So a background worker does it, in transactions of its own, while
 * the caller waits; unless the table is one that nobody else can use anyway: a
 * temporary one, or one that the caller's transaction has locked or made.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "columnar/compress_job.h"
#include "partition/partition.h"

PG_FUNCTION_INFO_V1(dbperf_compress_partition);
PG_FUNCTION_INFO_V1(dbperf_decompress_partition);
PG_FUNCTION_INFO_V1(dbperf_recompress_partition);

static Oid
table_argument(FunctionCallInfo fcinfo)
{
	Oid relid = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("partition must not be null")));
	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	dbp_check_table_owner(relid);
	return relid;
}

/*
 * Names of columns: attnums.
 */
static List *
sort_argument(FunctionCallInfo fcinfo, Oid relid)
{
	List *names = NIL;
	List *result;
	Datum *values;
	bool *nulls;
	int n;
	Relation rel;

	if (PG_NARGS() < 2 || PG_ARGISNULL(1))
		return NIL;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls,
					  &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("sort_by must not have nulls")));
		names = lappend(names, TextDatumGetCString(values[i]));
	}
	if (names == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sort_by must name at least one column"),
				 errhint("NULL stands for the default.")));
	rel = relation_open(relid, AccessShareLock);
	result = dbp_sort_key_by_names(rel, names);
	relation_close(rel, AccessShareLock);
	return result;
}

/*
 * Can a worker not do it, as this transaction has the table?
 */
static bool
is_ours(Oid relid)
{
	return get_rel_persistence(relid) == RELPERSISTENCE_TEMP ||
		OidIsValid(dbp_lock_own_conflict(dbp_lock_add(NIL, relid, AccessExclusiveLock)));
}

static Datum
ratio(const DbpRewriteResult *result, bool *isnull)
{
	*isnull = result->bytes_after == 0;
	if (*isnull)
		return (Datum) 0;
	return DirectFunctionCall3(numeric_in,
							   CStringGetDatum(psprintf("%.2f",
														(double) result->bytes_before /
															(double) result->bytes_after)),
							   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

static Datum
make_row(FunctionCallInfo fcinfo, const DbpRewriteResult *result)
{
	TupleDesc desc;
	Datum values[7];
	bool nulls[7] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int64GetDatum(result->rows);
	values[1] = Int64GetDatum(result->late_rows);
	values[2] = Int64GetDatum(result->batches);
	values[3] = Int64GetDatum(result->bytes_before);
	values[4] = Int64GetDatum(result->bytes_after);
	values[5] = ratio(result, &nulls[5]);
	values[6] = Float8GetDatum(result->ms_held);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

static Datum
call(FunctionCallInfo fcinfo, DbpRewriteKind kind, const char *name)
{
	Oid relid = table_argument(fcinfo);
	bool ours = is_ours(relid);
	List *sort_by;
	DbpRewriteResult result;

	PreventCommandIfReadOnly(name);
	sort_by = sort_argument(fcinfo, relid);
	if (ours)
	{
		SPI_connect();
		dbp_compress_table(kind, relid, sort_by, false, &result);
		SPI_finish();
	}
	else
	{
		/* the worker's commit would wait for it, and so for ours */
		dbp_lock_check_own(list_make1(dbp_lock_end_of_audit()));
		dbp_compress_ask(kind, relid, sort_by, &result);
		AcceptInvalidationMessages();
	}
	return make_row(fcinfo, &result);
}

/*
 * compress_partition(partition regclass, sort_by text[]) returns (rows, late_rows, batches,
 * bytes_before, bytes_after, ratio, ms_held)
 */
Datum
dbperf_compress_partition(PG_FUNCTION_ARGS)
{
	return call(fcinfo, DBP_REWRITE_COMPRESS, "dbperf.compress_partition()");
}

/*
 * decompress_partition(partition regclass) returns the same
 */
Datum
dbperf_decompress_partition(PG_FUNCTION_ARGS)
{
	return call(fcinfo, DBP_REWRITE_DECOMPRESS, "dbperf.decompress_partition()");
}

/*
 * recompress_partition(partition regclass, sort_by text[]) returns the same
 */
Datum
dbperf_recompress_partition(PG_FUNCTION_ARGS)
{
	return call(fcinfo, DBP_REWRITE_RECOMPRESS, "dbperf.recompress_partition()");
}
