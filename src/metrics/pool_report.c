/*-------------------------------------------------------------------------
 *
 * pool_report.c
 *		What clients report on their connection pools: taken in, and shown.
 *
 * The pools are the rows of dbperf.pools.  They are read as the owner of the
 * extension, so that a client needs the right to report, and no other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "dbperf.h"
#include "guc.h"
#include "metrics/pools.h"
#include "partition/statement.h"

PG_FUNCTION_INFO_V1(dbperf_track_connection_acquire);
PG_FUNCTION_INFO_V1(dbperf_report_pool_sample);
PG_FUNCTION_INFO_V1(dbperf_pool_counters_state);
PG_FUNCTION_INFO_V1(dbperf_pool_acquire_times);
PG_FUNCTION_INFO_V1(dbperf_pool_samples);

#define MAX_ACQUIRE_MS (24.0 * 60 * 60 * 1000)
#define MAX_ACQUIRES 10000

/* Far more than there can be, and so few that sums of them do not overflow */
#define MAX_FIGURE INT32_MAX

/* In the order of DbpPoolFigure */
static const char *const figure_names[] = {
	"size", "checked_out", "overflow", "waiting", "timeouts",
};

StaticAssertDecl(lengthof(figure_names) == DBP_POOL_FIGURES, "every figure has a name");

static const double fractions[] = {0.50, 0.95, 0.99};

/* report_pool_sample()'s argument */
typedef struct Report
{
	DbpPoolSample sample;
	int acquires;
	uint64 *microseconds;
} Report;

static DbpStatement pool_timeout = {
	.sql = "SELECT extract(epoch FROM p.acquire_timeout)::float8 FROM dbperf.pools p"
		   " WHERE p.name = $1",
	.expected = SPI_OK_SELECT,
	.nargs = 1,
	.types = {TEXTOID},
};

static DbpStatement pool_names = {
	.sql = "SELECT string_agg(quote_ident(p.name), ', ' ORDER BY p.name)"
		   " FROM (SELECT name FROM dbperf.pools ORDER BY priority, name LIMIT 20) p",
	.expected = SPI_OK_SELECT,
};

static void
check_preloaded(void)
{
	if (!dbp_pools_present())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("nothing is kept of connection pools: %s was not loaded at server start",
						DBP_LIBRARY_NAME),
				 errhint("Add %s to shared_preload_libraries and restart the server.",
						 DBP_LIBRARY_NAME)));
}

static void
raise_unknown_pool(const char *pool)
{
	char *names;

	dbp_statement_run(&pool_names, NULL, NULL);
	names = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("no pool is called %s", quote_identifier(pool)),
			 errhint("Pools are the rows of dbperf.pools: %s.", names != NULL ? names : "none")));
}

/* The acquire timeout of a pool in microseconds; an error if there is no such pool */
static uint64
get_timeout(const char *pool)
{
	Datum name = CStringGetTextDatum(pool);
	bool isnull;
	double seconds;

	SPI_connect();
	dbp_statement_run(&pool_timeout, &name, NULL);
	if (SPI_processed == 0)
		raise_unknown_pool(pool);
	seconds =
		DatumGetFloat8(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return (uint64) rint(seconds * USECS_PER_SEC);
}

static bool
is_acquire_time(double ms)
{
	/* NaN is not, either */
	return ms >= 0 && ms <= MAX_ACQUIRE_MS;
}

static uint64
acquire_microseconds(double ms)
{
	return (uint64) rint(ms * 1000);
}

/*
 * track_connection_acquire(ms double precision, pool text) returns void: how
 * long a client waited for a connection of a pool.
 */
Datum
dbperf_track_connection_acquire(PG_FUNCTION_ARGS)
{
	char *pool;
	uint64 microseconds;

	if (PG_ARGISNULL(0) || !is_acquire_time(PG_GETARG_FLOAT8(0)))
		ereport(ERROR,
				(errcode(PG_ARGISNULL(0) ? ERRCODE_NULL_VALUE_NOT_ALLOWED
										 : ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ms must be the time in milliseconds that it took to get a connection, "
						"from 0 to one day")));
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("pool must not be null"),
				 errhint("Without the argument, it is the pool \"default\".")));
	check_preloaded();
	pool = text_to_cstring(PG_GETARG_TEXT_PP(1));
	microseconds = acquire_microseconds(PG_GETARG_FLOAT8(0));
	dbp_pools_add_acquires(pool, &microseconds, 1, get_timeout(pool));
	PG_RETURN_VOID();
}

static void
raise_bad_key(const char *key, const char *expected)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" of a pool sample must be %s", key, expected)));
}

/* NaN: not a number of JSON */
static double
json_number(const JsonbValue *value)
{
	if (value->type != jbvNumeric)
		return NAN;
	return DatumGetFloat8(
		DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(value->val.numeric)));
}

static void
read_name(char *name, const char *key, const JsonbValue *value)
{
	if (value->type != jbvString || value->val.string.len == 0 ||
		value->val.string.len >= NAMEDATALEN)
		raise_bad_key(key, psprintf("a string of 1 to %d bytes", NAMEDATALEN - 1));
	memcpy(name, value->val.string.val, value->val.string.len);
	name[value->val.string.len] = '\0';
}

static void
read_figure(Report *report, DbpPoolFigure figure, const JsonbValue *value)
{
	double number = json_number(value);

	/* SQLAlchemy counts overflow from minus the size of the pool */
	int least = figure == DBP_POOL_OVERFLOW ? -MAX_FIGURE : 0;

	if (!(number >= least && number <= MAX_FIGURE && number == floor(number)))
		raise_bad_key(figure_names[figure],
					  psprintf("a whole number from %d to %d", least, MAX_FIGURE));
	report->sample.figures[figure] = Max((int64) number, 0);
}

static void
read_acquires(Report *report, const JsonbValue *value)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue element;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data) ||
		JsonContainerSize(value->val.binary.data) > MAX_ACQUIRES)
		raise_bad_key("acquire_ms", psprintf("an array of %d numbers at most", MAX_ACQUIRES));
	report->microseconds = palloc(sizeof(uint64) * JsonContainerSize(value->val.binary.data));
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
	{
		double ms;

		if (token != WJB_ELEM)
			continue;
		ms = json_number(&element);
		if (!is_acquire_time(ms))
			raise_bad_key("acquire_ms", "an array of times in milliseconds, from 0 to one day");
		report->microseconds[report->acquires++] = acquire_microseconds(ms);
	}
}

static void
read_member(Report *report, const JsonbValue *key, const JsonbValue *value)
{
	char *name = pnstrdup(key->val.string.val, key->val.string.len);

	if (strcmp(name, "pool") == 0)
	{
		read_name(report->sample.pool, name, value);
		return;
	}
	if (strcmp(name, "instance") == 0)
	{
		read_name(report->sample.instance, name, value);
		return;
	}
	if (strcmp(name, "acquire_ms") == 0)
	{
		read_acquires(report, value);
		return;
	}
	for (int i = 0; i < DBP_POOL_FIGURES; i++)
	{
		if (strcmp(name, figure_names[i]) == 0)
		{
			read_figure(report, i, value);
			return;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("a pool sample has no key \"%s\"", name),
			 errhint("Its keys are pool, instance, size, checked_out, overflow, waiting, timeouts "
					 "and acquire_ms.")));
}

static void
read_report(Report *report, Jsonb *json)
{
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbIteratorToken token;
	JsonbValue key;
	JsonbValue value;

	if (!JB_ROOT_IS_OBJECT(json))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a pool sample must be an object of JSON")));
	memset(report, 0, sizeof(Report));
	strlcpy(report->sample.pool, "default", NAMEDATALEN);
	for (int i = 0; i < DBP_POOL_FIGURES; i++)
		report->sample.figures[i] = -1;

	while ((token = JsonbIteratorNext(&iterator, &key, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&iterator, &value, true);
		read_member(report, &key, &value);
	}
	if (report->sample.instance[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a pool sample must say whose it is, as \"instance\""),
				 errhint("Host and process will do: each instance has its last sample kept, and "
						 "those of a pool are summed.")));
}

/*
 * report_pool_sample(sample jsonb) returns void: how a client finds its pool.
 * Keys that are not there: it does not say.
 */
Datum
dbperf_report_pool_sample(PG_FUNCTION_ARGS)
{
	Report report;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("sample must not be null")));
	check_preloaded();
	read_report(&report, PG_GETARG_JSONB_P(0));
	(void) get_timeout(report.sample.pool);
	/* times are those of connections that came: the others are "timeouts" */
	if (report.acquires > 0)
		dbp_pools_add_acquires(report.sample.pool, report.microseconds, report.acquires,
							   PG_UINT64_MAX);
	dbp_pools_put_sample(&report.sample);
	PG_RETURN_VOID();
}

/*
 * pool_counters_state(): one row about the shared memory, also where there is
 * none.
 */
Datum
dbperf_pool_counters_state(PG_FUNCTION_ARGS)
{
	enum
	{
		COL_PRELOADED,
		COL_MAX_POOLS,
		COL_POOLS,
		COL_EVICTIONS,
		NUM_COLS
	};
	Datum values[NUM_COLS] = {0};
	bool nulls[NUM_COLS] = {false};
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	values[COL_PRELOADED] = BoolGetDatum(dbp_pools_present());
	if (dbp_pools_present())
	{
		int used;
		uint64 evictions;

		dbp_pools_state(&used, &evictions);
		values[COL_MAX_POOLS] = Int32GetDatum(dbp_max_pools);
		values[COL_POOLS] = Int32GetDatum(used);
		values[COL_EVICTIONS] = Int64GetDatum(evictions);
	}
	else
		memset(nulls + COL_MAX_POOLS, true, NUM_COLS - COL_MAX_POOLS);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

static void
put_counts(ReturnSetInfo *result, const DbpPoolCounts *pool)
{
	enum
	{
		COL_POOL,
		COL_ACQUIRES,
		COL_TIMEOUTS,
		COL_PERCENTILES,
		COL_MAX_MS = COL_PERCENTILES + lengthof(fractions),
		NUM_COLS
	};
	const DbpCounts *counts = &pool->counts;
	Datum values[NUM_COLS] = {0};
	bool nulls[NUM_COLS] = {false};

	values[COL_POOL] = CStringGetTextDatum(pool->pool);
	values[COL_ACQUIRES] = Int64GetDatum(counts->calls);
	values[COL_TIMEOUTS] = Int64GetDatum(counts->errors + pool->timeouts);
	for (int i = 0; i < (int) lengthof(fractions); i++)
	{
		double microseconds = dbp_histogram_percentile(counts->histogram, fractions[i]);

		nulls[COL_PERCENTILES + i] = isnan(microseconds);
		values[COL_PERCENTILES + i] = Float8GetDatum(microseconds / 1000);
	}
	nulls[COL_MAX_MS] = counts->calls == 0;
	values[COL_MAX_MS] = Float8GetDatum(counts->max_microseconds / 1000.0);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * pool_acquire_times(): a row for each pool of this database whose clients
 * have reported.
 */
Datum
dbperf_pool_acquire_times(PG_FUNCTION_ARGS)
{
	DbpPoolCounts *pool = palloc(sizeof(DbpPoolCounts));
	int position = 0;

	InitMaterializedSRF(fcinfo, 0);
	while (dbp_pools_next(&position, pool))
		put_counts((ReturnSetInfo *) fcinfo->resultinfo, pool);
	return (Datum) 0;
}

static void
put_sample(ReturnSetInfo *result, const DbpPoolSample *sample, double age_seconds)
{
	enum
	{
		COL_POOL,
		COL_INSTANCE,
		COL_FIGURES,
		COL_AGE_SECONDS = COL_FIGURES + DBP_POOL_FIGURES,
		NUM_COLS
	};
	Datum values[NUM_COLS] = {0};
	bool nulls[NUM_COLS] = {false};

	values[COL_POOL] = CStringGetTextDatum(sample->pool);
	values[COL_INSTANCE] = CStringGetTextDatum(sample->instance);
	for (int i = 0; i < DBP_POOL_FIGURES; i++)
	{
		nulls[COL_FIGURES + i] = sample->figures[i] < 0;
		values[COL_FIGURES + i] = Int64GetDatum(sample->figures[i]);
	}
	values[COL_AGE_SECONDS] = Float8GetDatum(age_seconds);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * pool_samples(): the last sample of each client of this database's pools that
 * has reported in the last minutes.
 */
Datum
dbperf_pool_samples(PG_FUNCTION_ARGS)
{
	DbpPoolSample sample;
	double age_seconds;
	int position = 0;

	InitMaterializedSRF(fcinfo, 0);
	while (dbp_pools_next_sample(&position, &sample, &age_seconds))
		put_sample((ReturnSetInfo *) fcinfo->resultinfo, &sample, age_seconds);
	return (Datum) 0;
}
