/*-------------------------------------------------------------------------
 *
 * sql.c
 *		The partition functions as SQL calls them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "partition/compress.h"
#include "partition/maintain.h"
#include "partition/partition.h"
#include "partition/retire.h"

/* A function keeps all its locks until its transaction ends */
#define MAX_PARTITIONS_AT_ONCE 500

/* A plan that others keep changing under us is made anew this often */
#define MAX_PLANS 5

/* How often a long call says how far it is */
#define PROGRESS_EVERY 100

PG_FUNCTION_INFO_V1(dbperf_create_partition);
PG_FUNCTION_INFO_V1(dbperf_create_partitions);
PG_FUNCTION_INFO_V1(dbperf_fill_gaps);
PG_FUNCTION_INFO_V1(dbperf_backfill);
PG_FUNCTION_INFO_V1(dbperf_run_maintenance);
PG_FUNCTION_INFO_V1(dbperf_make_missing);
PG_FUNCTION_INFO_V1(dbperf_maintain);

/* An argument of type text, or NULL */
static char *
text_arg(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/* An argument of type text that must be there */
static char *
key_arg(FunctionCallInfo fcinfo, int n)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("partition key must not be null")));
	return text_arg(fcinfo, n);
}

static DbpPolicy *
policy_arg(FunctionCallInfo fcinfo)
{
	DbpPolicy *policy;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("parent table must not be null")));
	policy = dbp_policy_get(PG_GETARG_OID(0));
	dbp_check_table_owner(policy->parent);
	return policy;
}

/*
 * The partition that holds a key, or InvalidOid.
 */
static Oid
partition_of_key(const DbpParts *parts, int64 key)
{
	for (int i = 0; i < parts->n; i++)
	{
		const DbpPart *part = &parts->part[i];

		if (part->lower > key || key >= part->upper)
			continue;
		if (part->detaching)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("partition \"%s\" is being detached and takes no rows",
							get_rel_name(part->relid)),
					 errhint("If that was interrupted, use ALTER TABLE ... DETACH PARTITION ... "
							 "FINALIZE.")));
		return part->relid;
	}
	return InvalidOid;
}

/*
 * create_partition(parent regclass, at text) returns regclass
 */
Datum
dbperf_create_partition(PG_FUNCTION_ARGS)
{
	DbpPolicy *policy;
	int64 key;
	Oid found = InvalidOid;

	SPI_connect();
	policy = policy_arg(fcinfo);
	key = dbp_key_parse_finite(policy, key_arg(fcinfo, 1));
	for (int tries = 0; tries < MAX_PLANS; tries++)
	{
		DbpParts parts;
		DbpCost cost;
		ListCell *cell;

		dbp_parts_read(policy->parent, policy->keytype, &parts);
		found = partition_of_key(&parts, key);
		if (OidIsValid(found))
			break;
		foreach(cell, dbp_missing_cells(policy, &parts, key, key))
		{
			DbpRange *range = lfirst(cell);

			if (range->lower <= key && key < range->upper)
				found = dbp_partition_create(policy, range, "manual", &cost);
		}
		if (OidIsValid(found))
			break;
		CHECK_FOR_INTERRUPTS();
		policy = policy_arg(fcinfo);
	}
	if (!OidIsValid(found))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("table \"%s\" kept changing while a partition was to be made",
						policy->table),
				 errhint("Try again.")));
	SPI_finish();
	PG_RETURN_OID(found);
}

/*
 * Make all ranges or none, and return the new tables as rows.
 */
static void
make_ranges(const DbpPolicy *policy, List *ranges, ReturnSetInfo *rows)
{
	int total = list_length(ranges);
	int done = 0;
	ListCell *cell;

	if (total > MAX_PARTITIONS_AT_ONCE)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%d partitions are too many for one transaction", total),
				 errdetail("At most %d are made at once, for the sake of the lock table.",
						   MAX_PARTITIONS_AT_ONCE),
				 errhint("Use CALL dbperf.backfill(), which commits after each.")));
	foreach(cell, ranges)
	{
		DbpCost cost;
		Datum child;
		bool isnull = false;

		CHECK_FOR_INTERRUPTS();
		child = ObjectIdGetDatum(dbp_partition_create(policy, lfirst(cell), "manual", &cost));
		if (DatumGetObjectId(child) != InvalidOid)
			tuplestore_putvalues(rows->setResult, rows->setDesc, &child, &isnull);
		if (++done % PROGRESS_EVERY == 0)
			ereport(NOTICE, (errmsg("%d of %d partitions made", done, total)));
	}
}

static List *
ranges_between(FunctionCallInfo fcinfo, const DbpPolicy *policy)
{
	int64 from = dbp_key_parse_finite(policy, key_arg(fcinfo, 1));
	int64 to = dbp_key_parse_finite(policy, key_arg(fcinfo, 2));
	DbpParts parts;

	if (from >= to)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the end of the range must lie after its start")));
	dbp_parts_read(policy->parent, policy->keytype, &parts);
	return dbp_missing_cells(policy, &parts, from, to);
}

/*
 * create_partitions(parent regclass, from_at text, to_at text) returns setof regclass
 */
Datum
dbperf_create_partitions(PG_FUNCTION_ARGS)
{
	DbpPolicy *policy;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	SPI_connect();
	policy = policy_arg(fcinfo);
	make_ranges(policy, ranges_between(fcinfo, policy), (ReturnSetInfo *) fcinfo->resultinfo);
	SPI_finish();
	return (Datum) 0;
}

/*
 * fill_gaps(parent regclass) returns setof regclass: what lies uncovered
 * between the first and the last partition.
 */
Datum
dbperf_fill_gaps(PG_FUNCTION_ARGS)
{
	DbpPolicy *policy;
	DbpParts parts;
	List *ranges = NIL;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	SPI_connect();
	policy = policy_arg(fcinfo);
	dbp_parts_read(policy->parent, policy->keytype, &parts);
	for (int i = 1; i < parts.n; i++)
	{
		ListCell *cell;

		if (parts.part[i - 1].upper >= parts.part[i].lower)
			continue;
		/* cells begin before the gap; what partitions cover of them is not missing */
		foreach(cell,
				dbp_missing_cells(policy, &parts, parts.part[i - 1].upper, parts.part[i].lower))
		{
			DbpRange *range = lfirst(cell);

			if (range->lower >= parts.part[i - 1].upper && range->upper <= parts.part[i].lower)
				ranges = lappend(ranges, range);
		}
	}
	make_ranges(policy, ranges, (ReturnSetInfo *) fcinfo->resultinfo);
	SPI_finish();
	return (Datum) 0;
}

static void
connect_non_atomic(FunctionCallInfo fcinfo, const char *procedure)
{
	if (!fcinfo->context || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("%s commits and cannot run inside a transaction block", procedure),
				 errhint("Call it on its own, or use the function that does the same in one "
						 "transaction.")));
	SPI_connect_ext(SPI_OPT_NONATOMIC);
}

/*
 * PROCEDURE backfill(parent regclass, from_at text, to_at text)
 */
Datum
dbperf_backfill(PG_FUNCTION_ARGS)
{
	DbpMaintainRequest request = {0};
	DbpMaintainResult result;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("parent table must not be null")));
	request.parent = PG_GETARG_OID(0);
	request.from_at = key_arg(fcinfo, 1);
	request.to_at = key_arg(fcinfo, 2);
	request.source = "manual";
	request.reason = "backfill";
	request.commit_each = true;
	connect_non_atomic(fcinfo, "dbperf.backfill()");
	dbp_maintain_run(&request, &result);
	SPI_finish();
	ereport(NOTICE, (errmsg("%d partitions made", result.created)));
	PG_RETURN_VOID();
}

static void
run_in_transaction(FunctionCallInfo fcinfo, bool retire)
{
	DbpMaintainRequest request = {0};
	DbpMaintainResult result;

	PreventCommandIfReadOnly("dbperf.run_maintenance()");
	InitMaterializedSRF(fcinfo, 0);
	request.parent = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	request.source = "manual";
	request.reason = "request";
	request.rows = (ReturnSetInfo *) fcinfo->resultinfo;
	SPI_connect();
	/* first what a worker does, as long as this transaction holds no locks */
	if (retire)
	{
		dbp_retire_remotely(request.parent, request.rows);
		dbp_compress_remotely(request.parent, request.rows);
	}
	dbp_maintain_run(&request, &result);
	SPI_finish();
	if (result.more)
		ereport(NOTICE,
				(errmsg("more partitions are due than one transaction should make"),
				 errhint(
					 "Run it again, or use CALL dbperf.maintain(), which commits after each.")));
}

/*
 * run_maintenance(parent regclass) returns setof (parent, partition, action,
 * status, detail)
 */
Datum
dbperf_run_maintenance(PG_FUNCTION_ARGS)
{
	run_in_transaction(fcinfo, true);
	return (Datum) 0;
}

/*
 * make_missing(parent regclass): the same without retiring
 */
Datum
dbperf_make_missing(PG_FUNCTION_ARGS)
{
	run_in_transaction(fcinfo, false);
	return (Datum) 0;
}

/*
 * PROCEDURE maintain(parent regclass, source text)
 */
Datum
dbperf_maintain(PG_FUNCTION_ARGS)
{
	DbpMaintainRequest request = {0};
	DbpMaintainResult result;

	request.parent = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	request.source = PG_ARGISNULL(1) ? "manual" : text_arg(fcinfo, 1);
	if (strcmp(request.source, "manual") != 0 && strcmp(request.source, "cron") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("source must be \"manual\" or \"cron\", not \"%s\"", request.source)));
	request.reason = strcmp(request.source, "cron") == 0 ? "schedule" : "request";
	request.commit_each = true;
	request.may_compress = true;
	connect_non_atomic(fcinfo, "dbperf.maintain()");
	dbp_maintain_run(&request, &result);
	SPI_finish();
	PG_RETURN_VOID();
}
