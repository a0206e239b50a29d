/*-------------------------------------------------------------------------
 *
 * queries_sql.c
 *		What SQL sees of statements: counts, and the slow ones.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "common/string.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "guc.h"
#include "metrics/counters.h"
#include "metrics/statements.h"

PG_FUNCTION_INFO_V1(dbperf_query_counters);
PG_FUNCTION_INFO_V1(dbperf_table_query_counters);
PG_FUNCTION_INFO_V1(dbperf_query_state);
PG_FUNCTION_INFO_V1(dbperf_slow_query_entries);
PG_FUNCTION_INFO_V1(dbperf_slow_query_count);

/* In the order of DbpStatementKind */
static const char *const kind_names[] = {
	"select", "insert", "update", "delete", "merge", "copy", "utility",
};

StaticAssertDecl(lengthof(kind_names) == DBP_KIND_COUNT, "every kind of statement has a name");

static const double fractions[] = {0.50, 0.90, 0.95, 0.99, 0.999};

static int
window_argument(FunctionCallInfo fcinfo)
{
	int minutes = PG_ARGISNULL(0) ? -1 : PG_GETARG_INT32(0);

	if (minutes != 0 && minutes != 1 && minutes != 5 && minutes != 15)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("statements are not counted over such a window"),
				 errhint("window_minutes is 1, 5 or 15, or 0 for all since the start.")));
	return minutes;
}

static Datum
milliseconds(double microseconds)
{
	return Float8GetDatum(microseconds / 1000);
}

/* Columns of both functions: an OID, kind, and what was counted */
static void
put_counts(ReturnSetInfo *result, Oid oid, const char *kind, const DbpCounts *counts,
		   double seconds, TimestampTz since)
{
	enum
	{
		COL_OID,
		COL_KIND,
		COL_CALLS,
		COL_ROWS,
		COL_ERRORS,
		COL_CALLS_PER_SECOND,
		COL_MEAN_MS,
		COL_PERCENTILES,
		COL_MAX_MS = COL_PERCENTILES + lengthof(fractions),
		COL_SINCE,
		NUM_COLS
	};
	Datum values[NUM_COLS] = {0};
	bool nulls[NUM_COLS] = {false};

	values[COL_OID] = ObjectIdGetDatum(oid);
	values[COL_KIND] = CStringGetTextDatum(kind);
	values[COL_CALLS] = Int64GetDatum(counts->calls);
	values[COL_ROWS] = Int64GetDatum(counts->rows);
	values[COL_ERRORS] = Int64GetDatum(counts->errors);
	values[COL_CALLS_PER_SECOND] = Float8GetDatum(seconds > 0 ? counts->calls / seconds : 0);
	values[COL_MEAN_MS] = milliseconds((double) counts->microseconds / Max(counts->calls, 1));
	values[COL_MAX_MS] = milliseconds(counts->max_microseconds);
	for (int i = 0; i < (int) lengthof(fractions); i++)
	{
		double percentile = dbp_histogram_percentile(counts->histogram, fractions[i]);

		/* what stands for a bucket may be more than the most that is in it */
		values[COL_PERCENTILES + i] = milliseconds(Min(percentile, counts->max_microseconds));
		nulls[COL_PERCENTILES + i] = isnan(percentile);
	}
	nulls[COL_MEAN_MS] = nulls[COL_MAX_MS] = counts->calls == 0;
	values[COL_SINCE] = TimestampTzGetDatum(since);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * query_counters(window_minutes): for each database that has counts, a row for
 * each kind of statement that there was, and one for all.
 */
Datum
dbperf_query_counters(PG_FUNCTION_ARGS)
{
	int minutes = window_argument(fcinfo);
	DbpDatabaseCopy *copy = palloc(sizeof(DbpDatabaseCopy));
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int position = 0;

	InitMaterializedSRF(fcinfo, 0);
	while (dbp_databases_next(&position, minutes, copy))
	{
		double seconds = dbp_windows_seconds(minutes, copy->since_clock);
		DbpCounts all = {0};

		for (int i = 0; i < DBP_KIND_COUNT; i++)
		{
			dbp_counts_merge(&all, &copy->kinds[i]);
			if (copy->kinds[i].calls > 0)
				put_counts(result, copy->database, kind_names[i], &copy->kinds[i], seconds,
						   copy->since);
		}
		put_counts(result, copy->database, "all", &all, seconds, copy->since);
	}
	return (Datum) 0;
}

/*
 * table_query_counters(window_minutes): the same for each partitioned table of
 * this database that statements have named; by kind, since the start only.
 */
Datum
dbperf_table_query_counters(PG_FUNCTION_ARGS)
{
	int minutes = window_argument(fcinfo);
	DbpTableCopy *copy = palloc(sizeof(DbpTableCopy));
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int position = 0;

	InitMaterializedSRF(fcinfo, 0);
	while (dbp_counters_next_statements(&position, minutes, copy))
	{
		double seconds = dbp_windows_seconds(minutes, copy->since_clock);

		for (int i = 0; i < DBP_TABLE_KINDS; i++)
			if (copy->kinds[i].calls > 0)
				put_counts(result, copy->relid, kind_names[i], &copy->kinds[i], seconds,
						   copy->since);
		if (minutes != 0 || copy->all.calls > 0)
			put_counts(result, copy->relid, "all", &copy->all, seconds, copy->since);
	}
	return (Datum) 0;
}

/*
 * query_state(): one row about the shared memory, also where there is none.
 */
Datum
dbperf_query_state(PG_FUNCTION_ARGS)
{
	enum
	{
		COL_PRELOADED,
		COL_MAX_DATABASES,
		COL_DATABASES,
		COL_UNCOUNTED_STATEMENTS,
		COL_MAX_TABLES,
		COL_TABLES,
		COL_EVICTIONS,
		COL_SINCE,
		NUM_COLS
	};
	Datum values[NUM_COLS] = {0};
	bool nulls[NUM_COLS] = {false};
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	values[COL_PRELOADED] = BoolGetDatum(dbp_counters_present());
	if (dbp_counters_present())
	{
		DbpCountersState tables;
		int databases;
		uint64 not_counted;
		TimestampTz since;

		dbp_counters_state(&tables);
		dbp_databases_state(&databases, &not_counted, &since);
		values[COL_MAX_DATABASES] = Int32GetDatum(dbp_max_databases);
		values[COL_DATABASES] = Int32GetDatum(databases);
		values[COL_UNCOUNTED_STATEMENTS] = Int64GetDatum(not_counted);
		values[COL_MAX_TABLES] = Int32GetDatum(dbp_max_tables);
		values[COL_TABLES] = Int32GetDatum(tables.tables);
		values[COL_EVICTIONS] = Int64GetDatum(tables.evictions);
		values[COL_SINCE] = TimestampTzGetDatum(since);
	}
	else
		memset(nulls + COL_MAX_DATABASES, true, NUM_COLS - COL_MAX_DATABASES);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * A text in the encoding of this database; NULL: there is none, or it has
 * characters that there are not in here.
 */
static const char *
text_for_here(const DbpSlowQuery *query)
{
	int encoding = GetDatabaseEncoding();
	int length = strlen(query->text);
	int size = (length + 1) * MAX_CONVERSION_GROWTH;
	Oid conversion;
	char *result;

	if (length == 0)
		return NULL;
	if (query->encoding == encoding || encoding == PG_SQL_ASCII || pg_is_ascii(query->text))
		return query->text;
	if (query->encoding == PG_SQL_ASCII)
		return pg_verify_mbstr(encoding, query->text, length, true) ? query->text : NULL;
	conversion = FindDefaultConversionProc(query->encoding, encoding);
	if (!OidIsValid(conversion))
		return NULL;
	result = palloc(size);
	if (pg_do_encoding_conversion_buf(conversion, query->encoding, encoding,
									  (unsigned char *) query->text, length,
									  (unsigned char *) result, size, true) < length)
		return NULL;
	return result;
}

static void
put_slow_query(ReturnSetInfo *result, const DbpSlowQuery *query, bool may_see_text)
{
	enum
	{
		COL_SLOW_ID,
		COL_DATABASE,
		COL_USERID,
		COL_QUERYID,
		COL_KIND,
		COL_STARTED,
		COL_DURATION_MS,
		COL_ROWS,
		COL_ERROR,
		COL_QUERY,
		NUM_COLS
	};
	Datum values[NUM_COLS] = {0};
	bool nulls[NUM_COLS] = {false};
	const char *text;

	values[COL_SLOW_ID] = Int64GetDatum(query->number);
	values[COL_DATABASE] = ObjectIdGetDatum(query->database);
	values[COL_USERID] = ObjectIdGetDatum(query->userid);
	values[COL_QUERYID] = Int64GetDatum(query->queryid);
	nulls[COL_QUERYID] = query->queryid == 0;
	values[COL_KIND] = CStringGetTextDatum(kind_names[query->kind]);
	values[COL_STARTED] = TimestampTzGetDatum(query->started);
	values[COL_DURATION_MS] = milliseconds(query->microseconds);
	values[COL_ROWS] = Int64GetDatum(query->rows);
	values[COL_ERROR] = BoolGetDatum(query->failed);
	text = may_see_text ? text_for_here(query) : NULL;
	nulls[COL_QUERY] = text == NULL;
	if (text != NULL)
		values[COL_QUERY] = CStringGetTextDatum(text);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * slow_query_entries(): the slow statements that are remembered, of all
 * databases, their text for members of pg_read_all_stats.
 */
Datum
dbperf_slow_query_entries(PG_FUNCTION_ARGS)
{
	bool may_see_text = has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
	DbpSlowQuery query;
	int position = 0;

	InitMaterializedSRF(fcinfo, 0);
	while (dbp_slow_queries_next(&position, &query))
		put_slow_query((ReturnSetInfo *) fcinfo->resultinfo, &query, may_see_text);
	return (Datum) 0;
}

static uint64
window_microseconds(FunctionCallInfo fcinfo)
{
	Interval *window = PG_ARGISNULL(0) ? NULL : PG_GETARG_INTERVAL_P(0);
	double microseconds = -1;

	if (window != NULL)
		microseconds = (double) window->time +
			(window->day + (double) window->month * DAYS_PER_MONTH) * USECS_PER_DAY;
	if (!(microseconds >= 0 && microseconds < 1e18))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the window of slow_query_count() must be a length of time"),
				 errhint("For example: interval '1 minute'.")));
	return (uint64) microseconds;
}

/*
 * slow_query_count("window"): the slow statements of this database that ended
 * in the window and are still remembered, and all that there were.
 */
Datum
dbperf_slow_query_count(PG_FUNCTION_ARGS)
{
	uint64 window = window_microseconds(fcinfo);
	uint64 now = dbp_windows_clock();
	int64 recent = 0;
	int position = 0;
	DbpSlowQuery query;
	TupleDesc desc;
	Datum values[2];
	bool nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	dbp_database_find();
	while (dbp_slow_queries_next(&position, &query))
		if (query.database == MyDatabaseId && query.ended <= now && now - query.ended <= window)
			recent++;
	values[0] = Int64GetDatum(recent);
	values[1] =
		Int64GetDatum(dbp_my_database == NULL ? 0 : pg_atomic_read_u64(&dbp_my_database->slow));
	nulls[0] = nulls[1] = !dbp_counters_present();
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
