/*-------------------------------------------------------------------------
 *
 * statements.h
 *		Between the files of metrics/: statements as they are run.
 *
 * hooks.c sees statements begin, run and end; statements.c keeps what is known
 * of those that the executor runs until they have ended; databases.c counts
 * those that clients sent, for each database, and counters.c those that name a
 * partitioned table; slow_queries.c remembers the slow ones; queries_sql.c
 * shows all that.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DBP_METRICS_STATEMENTS_H
#define DBP_METRICS_STATEMENTS_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "executor/execdesc.h"
#include "portability/instr_time.h"

#include "metrics/windows.h"

/* Names in queries_sql.c are those of the SQL interface */
typedef enum DbpStatementKind
{
	DBP_KIND_SELECT,
	DBP_KIND_INSERT,
	DBP_KIND_UPDATE,
	DBP_KIND_DELETE,
	DBP_KIND_MERGE,
	DBP_KIND_COPY,
	DBP_KIND_UTILITY, /* all else that is not about transactions; never of a table */
	DBP_KIND_COUNT
} DbpStatementKind;

#define DBP_TABLE_KINDS DBP_KIND_UTILITY

/* Tables that a statement counts for; of more, it does for the first ones */
#define DBP_STATEMENT_TABLES 8

/* Longest text of a slow statement, with the NUL */
#define DBP_SLOW_TEXT_SIZE 1024

/* What is needed of a statement that a client sent when it turns out to be slow */
typedef struct DbpStatementText
{
	uint64 queryid;
	const char *source; /* lives as long as the statement; NULL: no text is to be kept */
	int location;		/* -1: nobody knows which part of the source it is */
	int length;
	Oid userid;
	TimestampTz started;
} DbpStatementText;

typedef struct DbpStatementTable
{
	Oid root;
	DbpStatementKind kind;
} DbpStatementTable;

/* A statement of the executor's, from before its start until its query is gone */
typedef struct DbpRunningStatement
{
	struct DbpRunningStatement *next;
	/* what points to it, among dbp_statements; NULL: it is not there */
	struct DbpRunningStatement **link;
	QueryDesc *query;
	DbpStatementKind kind;
	bool from_client; /* counts for the database */
	bool executed;	  /* counts even if the executor has not run it */
	bool running;	  /* the executor is at it */
	bool failed;
	Oid insert_target; /* of an INSERT that counts when its transaction commits */
	uint64 rows;
	instr_time time;  /* spent in the executor */
	instr_time since; /* when it came there, or left */
	MemoryContextCallback callback;
	DbpStatementText text; /* if it is from a client */
	int ntables;
	DbpStatementTable tables[DBP_STATEMENT_TABLES];
} DbpRunningStatement;

/* What is counted of a database */
typedef struct DbpDatabaseCounts
{
	Oid database; /* InvalidOid: free */
	TimestampTz since;
	uint64 since_clock;
	pg_atomic_uint64 slow;
	DbpWindows kinds[DBP_KIND_COUNT];
} DbpDatabaseCounts;

/* A copy, of some minutes */
typedef struct DbpDatabaseCopy
{
	Oid database;
	TimestampTz since;
	uint64 since_clock;
	DbpCounts kinds[DBP_KIND_COUNT];
} DbpDatabaseCopy;

typedef struct DbpTableCopy
{
	Oid relid;
	TimestampTz since;
	uint64 since_clock;
	DbpCounts all;
	DbpCounts kinds[DBP_TABLE_KINDS]; /* since the start only */
} DbpTableCopy;

typedef struct DbpSlowQuery
{
	uint64 number; /* 1 for the first; 0: none */
	uint64 ended;  /* dbp_windows_clock() */
	Oid database;
	DbpStatementKind kind;
	uint64 microseconds;
	uint64 rows;
	bool failed;
	uint64 queryid;
	Oid userid;
	TimestampTz started;
	int encoding;
	char text[DBP_SLOW_TEXT_SIZE]; /* normalised; empty: none was kept */
} DbpSlowQuery;

/* statements.c */
extern DbpRunningStatement *dbp_statements; /* that have been started and not settled */
extern DbpRunningStatement *dbp_statement_of_context(const QueryDesc *query);
extern DbpRunningStatement *dbp_statement_new(void);
extern void dbp_statement_free(DbpRunningStatement *statement);
extern void dbp_statement_keep(DbpRunningStatement *statement, QueryDesc *query);
extern void dbp_statement_settle(DbpRunningStatement *statement);
extern void dbp_statements_break_off(void);
extern uint64 dbp_statement_failures(void);
extern void dbp_statement_count(DbpStatementKind kind, const DbpStatementText *text,
								const DbpStatementTable *tables, int ntables, uint64 rows,
								instr_time time, instr_time now, bool from_client, bool failed);

/* NULL: it is not among them.  The query must still be there. */
static inline DbpRunningStatement *
dbp_statement_find(const QueryDesc *query)
{
	if (likely(dbp_statements == NULL || dbp_statements->query == query))
		return dbp_statements;
	return dbp_statement_of_context(query);
}

/* The executor takes a statement up ... */
static inline void
dbp_statement_enter(DbpRunningStatement *statement)
{
	statement->running = true;
	INSTR_TIME_SET_CURRENT(statement->since);
}

/* ... and puts it down */
static inline void
dbp_statement_leave(DbpRunningStatement *statement)
{
	instr_time now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_ACCUM_DIFF(statement->time, now, statement->since);
	statement->since = now;
	statement->running = false;
}

/* statement_tables.c */
extern DbpStatementKind dbp_statement_kind(const QueryDesc *query);
extern int dbp_statement_tables(const QueryDesc *query, DbpStatementKind kind,
								DbpStatementTable *tables);

/* databases.c */
extern DbpDatabaseCounts *dbp_my_database; /* NULL: not looked for, or there is no place */
extern void dbp_databases_init(void);
extern void dbp_database_find(void);
extern void dbp_database_not_counted(void);
extern bool dbp_databases_next(int *position, int minutes, DbpDatabaseCopy *copy);
extern void dbp_databases_state(int *used, uint64 *not_counted, TimestampTz *since);
extern void dbp_database_reset(void);

/* slow_queries.c */
extern void dbp_slow_queries_init(void);
extern void dbp_slow_query_add(DbpStatementKind kind, const DbpStatementText *text, uint64 rows,
							   uint64 microseconds, bool failed);
extern bool dbp_slow_queries_next(int *position, DbpSlowQuery *copy);
extern void dbp_slow_queries_reset(void);

#endif /* DBP_METRICS_STATEMENTS_H */
