/*-------------------------------------------------------------------------
 *
 * stats.c
 *		What SQL sees of the counters: rows for the views, and reset.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "dbperf.h"
#include "guc.h"
#include "metrics/counters.h"
#include "metrics/pools.h"
#include "metrics/statements.h"

PG_FUNCTION_INFO_V1(dbperf_counters_state);
PG_FUNCTION_INFO_V1(dbperf_operation_counters);
PG_FUNCTION_INFO_V1(dbperf_table_counters);
PG_FUNCTION_INFO_V1(dbperf_reset_counters);

/* In the order of DbpOperation */
static const char *const operation_names[] = {
	"insert", "copy", "bulk_insert", "soft_delete", "restore", "purge", "get_active", "get_latest",
};

StaticAssertDecl(lengthof(operation_names) == DBP_OP_COUNT, "every operation has a name");

static const double fractions[] = {0.50, 0.95, 0.99};

/* Three columns: percentiles in ms, or NULL where nothing was counted */
static void
fill_percentiles(const uint32 *histogram, Datum *values, bool *nulls)
{
	for (int i = 0; i < (int) lengthof(fractions); i++)
	{
		double microseconds = dbp_histogram_percentile(histogram, fractions[i]);

		nulls[i] = isnan(microseconds);
		values[i] = Float8GetDatum(microseconds / 1000);
	}
}

/*
 * counters_state(): one row about the shared memory, also where there is none.
 */
Datum
dbperf_counters_state(PG_FUNCTION_ARGS)
{
	enum
	{
		COL_PRELOADED,
		COL_MAX_TABLES,
		COL_TABLES,
		COL_EVICTIONS,
		COL_SINCE,
		NUM_COLS
	};
	Datum values[NUM_COLS] = {0};
	bool nulls[NUM_COLS] = {false};
	DbpCountersState state;
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	values[COL_PRELOADED] = BoolGetDatum(dbp_counters_present());
	if (dbp_counters_present())
	{
		dbp_counters_state(&state);
		values[COL_MAX_TABLES] = Int32GetDatum(dbp_max_tables);
		values[COL_TABLES] = Int32GetDatum(state.tables);
		values[COL_EVICTIONS] = Int64GetDatum(state.evictions);
		values[COL_SINCE] = TimestampTzGetDatum(state.since);
	}
	else
		memset(nulls + COL_MAX_TABLES, true, NUM_COLS - COL_MAX_TABLES);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

static void
put_operation(ReturnSetInfo *result, const DbpTableCounts *table, int number)
{
	enum
	{
		COL_RELID,
		COL_OPERATION,
		COL_CALLS,
		COL_ROWS,
		COL_TOTAL_MS,
		COL_PERCENTILES,
		COL_CACHE_HITS = COL_PERCENTILES + lengthof(fractions),
		COL_CACHE_MISSES,
		COL_SINCE,
		NUM_COLS
	};
	const DbpOperationCounts *operation = &table->operations[number];
	Datum values[NUM_COLS] = {0};
	bool nulls[NUM_COLS] = {false};

	values[COL_RELID] = ObjectIdGetDatum(table->relid);
	values[COL_OPERATION] = CStringGetTextDatum(operation_names[number]);
	values[COL_CALLS] = Int64GetDatum(operation->calls);
	values[COL_ROWS] = Int64GetDatum(operation->rows);
	values[COL_TOTAL_MS] = Float8GetDatum(operation->microseconds / 1000.0);
	fill_percentiles(operation->histogram, &values[COL_PERCENTILES], &nulls[COL_PERCENTILES]);
	values[COL_CACHE_HITS] = Int64GetDatum(table->cache_hits);
	values[COL_CACHE_MISSES] = Int64GetDatum(table->cache_misses);
	nulls[COL_CACHE_HITS] = nulls[COL_CACHE_MISSES] = number != DBP_OP_GET_LATEST;
	values[COL_SINCE] = TimestampTzGetDatum(table->since);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * operation_counters(): a row for each table of this database and operation
 * that there was.
 */
Datum
dbperf_operation_counters(PG_FUNCTION_ARGS)
{
	DbpTableCounts *table = palloc(sizeof(DbpTableCounts));
	int position = 0;

	InitMaterializedSRF(fcinfo, 0);
	while (dbp_counters_next(&position, table))
	{
		for (int i = 0; i < DBP_OP_COUNT; i++)
			if (table->operations[i].calls > 0)
				put_operation((ReturnSetInfo *) fcinfo->resultinfo, table, i);
	}
	return (Datum) 0;
}

static void
put_table(ReturnSetInfo *result, const DbpTableCounts *table)
{
	enum
	{
		COL_RELID,
		COL_ROWS,
		COL_BATCHES,
		COL_RATES,
		COL_PERCENTILES = COL_RATES + lengthof(table->rates),
		COL_LATE = COL_PERCENTILES + lengthof(fractions),
		COL_REJECTED,
		COL_SINCE,
		NUM_COLS
	};
	static const DbpOperation ingest[] = {DBP_OP_INSERT, DBP_OP_COPY, DBP_OP_BULK_INSERT};
	uint32 histogram[DBP_HISTOGRAM_SIZE] = {0};
	int64 rows = 0;
	int64 batches = 0;
	Datum values[NUM_COLS] = {0};
	bool nulls[NUM_COLS] = {false};

	for (int i = 0; i < (int) lengthof(ingest); i++)
	{
		const DbpOperationCounts *operation = &table->operations[ingest[i]];

		rows += operation->rows;
		batches += operation->calls;
		for (int j = 0; j < DBP_HISTOGRAM_SIZE; j++)
			histogram[j] += Min(operation->histogram[j], PG_UINT32_MAX - histogram[j]);
	}
	values[COL_RELID] = ObjectIdGetDatum(table->relid);
	values[COL_ROWS] = Int64GetDatum(rows);
	values[COL_BATCHES] = Int64GetDatum(batches);
	for (int i = 0; i < (int) lengthof(table->rates); i++)
		values[COL_RATES + i] = Float8GetDatum(table->rates[i]);
	fill_percentiles(histogram, &values[COL_PERCENTILES], &nulls[COL_PERCENTILES]);
	values[COL_LATE] = Int64GetDatum(table->late);
	values[COL_REJECTED] = Int64GetDatum(table->rejected);
	values[COL_SINCE] = TimestampTzGetDatum(table->since);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Not so of a table that has only been named by statements */
static bool
has_come_in(const DbpTableCounts *table)
{
	uint64 sum = table->rejected + table->late + table->cache_hits + table->cache_misses;

	for (int i = 0; i < DBP_OP_COUNT; i++)
		sum += table->operations[i].calls;
	return sum > 0;
}

/*
 * table_counters(): a row for each table of this database that has counters:
 * what came in, all ways together.
 */
Datum
dbperf_table_counters(PG_FUNCTION_ARGS)
{
	DbpTableCounts *table = palloc(sizeof(DbpTableCounts));
	int position = 0;

	InitMaterializedSRF(fcinfo, 0);
	while (dbp_counters_next(&position, table))
		if (has_come_in(table))
			put_table((ReturnSetInfo *) fcinfo->resultinfo, table);
	return (Datum) 0;
}

/*
 * reset_performance_stats(): forgets what was counted in this database, at
 * once, whatever becomes of the transaction.
 */
Datum
dbperf_reset_counters(PG_FUNCTION_ARGS)
{
	if (!dbp_counters_present())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("nothing is counted: %s was not loaded at server start", DBP_LIBRARY_NAME),
				 errhint("Add %s to shared_preload_libraries and restart the server; counters of "
						 "the statistics views are reset by pg_stat_reset().",
						 DBP_LIBRARY_NAME)));
	dbp_counters_reset();
	dbp_database_reset();
	dbp_slow_queries_reset();
	dbp_pools_reset();
	PG_RETURN_VOID();
}
