/*-------------------------------------------------------------------------
 *
 * pgbouncer.c
 *		What the console of PgBouncer shows of its pools.
 *
 * Each call makes a connection of its own, asks one question in the simple
 * protocol (the console knows no other) and leaves.  PgBouncer may hang, so
 * that connecting and answering have DBP_PGBOUNCER_WAIT_MS each, and nothing
 * here waits but on the latch; only a host's name is looked up by the system
 * in its own time.  Columns are found by their names: releases differ in
 * them, and what one does not have is NULL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "libpq-fe.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/wait_event.h"

#include "dbperf.h"
#include "guc.h"

#define DBP_PGBOUNCER_WAIT_MS 2000
#define MAX_COLUMNS 16

/* More pools than these are none: nobody is to fill the server's memory with them */
#define MAX_ROWS 10000

PG_FUNCTION_INFO_V1(dbperf_pgbouncer_pools);
PG_FUNCTION_INFO_V1(dbperf_pgbouncer_stats);

typedef enum ShownType
{
	SHOWN_TEXT,
	SHOWN_COUNT,
	SHOWN_SECONDS /* and what the column of that name with "_us" adds */
} ShownType;

typedef struct ShownColumn
{
	const char *name;
	ShownType type;
} ShownColumn;

/* In the order of the SQL functions' columns; the first is in every release */
static const ShownColumn pools_columns[] = {
	{"database", SHOWN_TEXT},	 {"user", SHOWN_TEXT},		 {"cl_active", SHOWN_COUNT},
	{"cl_waiting", SHOWN_COUNT}, {"sv_active", SHOWN_COUNT}, {"sv_idle", SHOWN_COUNT},
	{"sv_used", SHOWN_COUNT},	 {"sv_tested", SHOWN_COUNT}, {"sv_login", SHOWN_COUNT},
	{"maxwait", SHOWN_SECONDS},	 {"pool_mode", SHOWN_TEXT},
};

static const ShownColumn stats_columns[] = {
	{"database", SHOWN_TEXT},			{"total_xact_count", SHOWN_COUNT},
	{"total_query_count", SHOWN_COUNT}, {"total_received", SHOWN_COUNT},
	{"total_sent", SHOWN_COUNT},		{"total_xact_time", SHOWN_COUNT},
	{"total_query_time", SHOWN_COUNT},	{"total_wait_time", SHOWN_COUNT},
	{"avg_xact_count", SHOWN_COUNT},	{"avg_query_count", SHOWN_COUNT},
	{"avg_recv", SHOWN_COUNT},			{"avg_sent", SHOWN_COUNT},
	{"avg_xact_time", SHOWN_COUNT},		{"avg_query_time", SHOWN_COUNT},
	{"avg_wait_time", SHOWN_COUNT},
};

StaticAssertDecl(lengthof(pools_columns) <= MAX_COLUMNS && lengthof(stats_columns) <= MAX_COLUMNS,
				 "all columns have a place");

/* A copy of what comes from outside, in which nothing is invalid in this database */
static char *
clean_text(const char *text)
{
	char *copy = pchomp(text);

	if (!pg_verify_mbstr(GetDatabaseEncoding(), copy, strlen(copy), true))
	{
		for (char *c = copy; *c != '\0'; c++)
			if (IS_HIGHBIT_SET(*c))
				*c = '?';
	}
	return copy;
}

static void
report_failure(const char *doing, int code, const char *detail)
{
	ereport(ERROR,
			(errcode(code), errmsg("could not %s PgBouncer", doing),
			 errdetail_internal("%s", clean_text(detail)),
			 errhint("dbperf.pgbouncer_conninfo is to name its console: host, port, "
					 "dbname=pgbouncer, and one of its stats_users or admin_users.")));
}

/*
 * Waits until the socket is ready.  Errors: whatever interrupts, and
 * connection_exception's "code" when the time since "start" is up.
 */
static void
wait_for_socket(PGconn *conn, int event, instr_time start, const char *doing, int code)
{
	for (;;)
	{
		instr_time passed;
		long left;
		int ready = 0;

		CHECK_FOR_INTERRUPTS();
		INSTR_TIME_SET_CURRENT(passed);
		INSTR_TIME_SUBTRACT(passed, start);
		left = DBP_PGBOUNCER_WAIT_MS - (long) INSTR_TIME_GET_MILLISEC(passed);
		if (left > 0)
			ready =
				WaitLatchOrSocket(MyLatch, event | WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
								  PQsocket(conn), left, PG_WAIT_EXTENSION);
		else
			report_failure(doing, code, "It did not answer within two seconds.");
		if (ready & WL_LATCH_SET)
			ResetLatch(MyLatch);
		if (ready & event)
			return;
	}
}

static void
ignore_notice(void *arg, const PGresult *result)
{
}

/* The setting as arrays for libpq, with defaults that it overrides */
static void
parse_conninfo(const char ***keywords, const char ***values)
{
	PQconninfoOption *options;
	int count = 0;

	if (dbp_pgbouncer_conninfo == NULL || dbp_pgbouncer_conninfo[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("no PgBouncer is configured: dbperf.pgbouncer_conninfo is empty"),
				 errhint("Set it to a connection string for the console of PgBouncer, for example "
						 "\"host=/tmp port=6432 user=stats dbname=pgbouncer\", and reload.")));

	/* that it is one was seen when it was set */
	options = PQconninfoParse(dbp_pgbouncer_conninfo, NULL);
	if (options == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	for (PQconninfoOption *o = options; o->keyword != NULL; o++)
		count++;
	*keywords = palloc0(sizeof(char *) * (count + 3));
	*values = palloc0(sizeof(char *) * (count + 3));
	(*keywords)[0] = "dbname";
	(*values)[0] = "pgbouncer";
	(*keywords)[1] = "fallback_application_name";
	(*values)[1] = DBP_LIBRARY_NAME;
	count = 2;
	for (PQconninfoOption *o = options; o->keyword != NULL; o++)
	{
		if (o->val == NULL || o->val[0] == '\0')
			continue;
		(*keywords)[count] = pstrdup(o->keyword);
		(*values)[count++] = pstrdup(o->val);
	}
	PQconninfoFree(options);
}

static void
finish_connecting(PGconn *conn, instr_time start)
{
	static const char *const doing = "connect to";
	const int code = ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION;
	PostgresPollingStatusType status = PGRES_POLLING_WRITING;

	if (conn == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	if (PQstatus(conn) == CONNECTION_BAD)
		report_failure(doing, code, PQerrorMessage(conn));
	PQsetNoticeReceiver(conn, ignore_notice, NULL);
	while (status != PGRES_POLLING_OK)
	{
		wait_for_socket(conn,
						status == PGRES_POLLING_READING ? WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE,
						start, doing, code);
		status = PQconnectPoll(conn);
		if (status == PGRES_POLLING_FAILED)
			report_failure(doing, code, PQerrorMessage(conn));
	}
}

static void
ask(PGconn *conn, const char *query)
{
	if (!PQsendQuery(conn, query))
		report_failure("ask", ERRCODE_CONNECTION_FAILURE, PQerrorMessage(conn));
	(void) PQsetSingleRowMode(conn);
}

/* A row, or the end of the first answer: nobody waits for others, if there are any */
static PGresult *
next_part(PGconn *conn, instr_time start)
{
	static const char *const doing = "ask";

	while (PQisBusy(conn))
	{
		wait_for_socket(conn, WL_SOCKET_READABLE, start, doing, ERRCODE_CONNECTION_FAILURE);
		if (!PQconsumeInput(conn))
			report_failure(doing, ERRCODE_CONNECTION_FAILURE, PQerrorMessage(conn));
	}
	return PQgetResult(conn);
}

/* The row's value of a column of that name; NULL where there is none */
static const char *
value_of(const PGresult *answer, const char *name)
{
	for (int i = 0; i < PQnfields(answer); i++)
		if (strcmp(PQfname(answer, i), name) == 0)
			return PQgetisnull(answer, 0, i) ? NULL : PQgetvalue(answer, 0, i);
	return NULL;
}

/* A number that is not one is as good as none */
static bool
count_of(const PGresult *answer, const char *name, int64 *count)
{
	const char *value = value_of(answer, name);
	char *end;

	if (value == NULL || value[0] == '\0')
		return false;
	errno = 0;
	*count = strtoi64(value, &end, 10);
	return errno == 0 && *end == '\0';
}

static void
put_row(ReturnSetInfo *result, const PGresult *answer, const ShownColumn *columns, int ncolumns)
{
	Datum values[MAX_COLUMNS] = {0};
	bool nulls[MAX_COLUMNS] = {false};

	for (int i = 0; i < ncolumns; i++)
	{
		const char *name = columns[i].name;
		const char *text;
		int64 count = 0;
		int64 microseconds = 0;

		switch (columns[i].type)
		{
			case SHOWN_TEXT:
				text = value_of(answer, name);
				nulls[i] = text == NULL;
				if (text != NULL)
					values[i] = CStringGetTextDatum(clean_text(text));
				break;
			case SHOWN_COUNT:
				nulls[i] = !count_of(answer, name, &count);
				values[i] = Int64GetDatum(count);
				break;
			case SHOWN_SECONDS:
				nulls[i] = !count_of(answer, name, &count);
				if (!count_of(answer, psprintf("%s_us", name), &microseconds))
					microseconds = 0;
				values[i] = Float8GetDatum(count + microseconds / 1e6);
				break;
		}
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
show(FunctionCallInfo fcinfo, const char *query, const ShownColumn *columns, int ncolumns)
{
	static const char *const doing = "read the answer of";
	const char **keywords;
	const char **values;
	PGconn *volatile conn = NULL;
	PGresult *volatile answer = NULL;

	InitMaterializedSRF(fcinfo, 0);
	parse_conninfo(&keywords, &values);
	if (!AcquireExternalFD())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not connect to PgBouncer: too many open files"),
				 errhint("Raise max_files_per_process, or the system's limit.")));
	PG_TRY();
	{
		instr_time start;

		INSTR_TIME_SET_CURRENT(start);
		conn = PQconnectStartParams(keywords, values, false);
		finish_connecting(conn, start);
		INSTR_TIME_SET_CURRENT(start);
		ask(conn, query);
		for (int rows = 0;; rows++)
		{
			ExecStatusType status;

			PQclear(answer);
			answer = NULL;
			answer = next_part(conn, start);
			status = PQresultStatus(answer);
			if (status != PGRES_SINGLE_TUPLE && status != PGRES_TUPLES_OK)
				report_failure(doing, ERRCODE_CONNECTION_EXCEPTION,
							   *PQerrorMessage(conn) != '\0' ? PQerrorMessage(conn)
															 : "It is not a list of rows.");
			if (PQfnumber(answer, columns[0].name) < 0)
				report_failure(doing, ERRCODE_CONNECTION_EXCEPTION,
							   psprintf("%s has no column \"%s\".", query, columns[0].name));
			if (status == PGRES_TUPLES_OK)
				break;
			if (rows == MAX_ROWS)
				report_failure(doing, ERRCODE_CONNECTION_EXCEPTION,
							   psprintf("%s has more than %d rows.", query, MAX_ROWS));
			put_row((ReturnSetInfo *) fcinfo->resultinfo, answer, columns, ncolumns);
		}
	}
	PG_FINALLY();
	{
		PQclear(answer);
		PQfinish(conn);
		ReleaseExternalFD();
	}
	PG_END_TRY();
}

/*
 * pgbouncer_pools(): a row for each pool of the PgBouncer of
 * dbperf.pgbouncer_conninfo.  Errors: object_not_in_prerequisite_state when
 * that is empty; connection_exception and its kin; insufficient_resources.
 */
Datum
dbperf_pgbouncer_pools(PG_FUNCTION_ARGS)
{
	show(fcinfo, "SHOW POOLS", pools_columns, lengthof(pools_columns));
	return (Datum) 0;
}

/*
 * pgbouncer_stats(): a row for each of its databases.  Errors as above.
 */
Datum
dbperf_pgbouncer_stats(PG_FUNCTION_ARGS)
{
	show(fcinfo, "SHOW STATS", stats_columns, lengthof(stats_columns));
	return (Datum) 0;
}
