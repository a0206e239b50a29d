/*-------------------------------------------------------------------------
 *
 * statements.c
 *		Statements that the executor runs, until they have ended.
 *
 * Each learns from the memory of its query that the query is gone, perhaps
 * without having been ended: by an error in it, by an error elsewhere that
 * took an open cursor along, or with the process.  So everything that has begun
 * is counted, once, and what is counted stays, whatever becomes of the
 * transaction.  Places in memory are used again: there are as many as
 * statements were open at the same time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "utils/memutils.h"

#include "guc.h"
#include "metrics/counters.h"
#include "metrics/metrics.h"
#include "metrics/statements.h"

DbpRunningStatement *dbp_statements = NULL;

static DbpRunningStatement *free_places = NULL;

/* Statements sent by the client that have failed */
static uint64 failures = 0;

static void
forget_statement(DbpRunningStatement *statement)
{
	if (statement->link == NULL)
		return;
	*statement->link = statement->next;
	if (statement->next != NULL)
		statement->next->link = statement->link;
	statement->link = NULL;
}

uint64
dbp_statement_failures(void)
{
	return failures;
}

/*
 * Counts a statement that took some time until now.  Does not throw.
 */
void
dbp_statement_count(DbpStatementKind kind, const DbpStatementText *text,
					const DbpStatementTable *tables, int ntables, uint64 rows, instr_time time,
					instr_time now, bool from_client, bool failed)
{
	uint64 microseconds = INSTR_TIME_GET_MICROSEC(time);
	uint64 clock = dbp_now_is_fixed() ? (uint64) dbp_now() : INSTR_TIME_GET_MICROSEC(now);

	if (from_client)
	{
		if (dbp_my_database != NULL)
			dbp_windows_add_at(&dbp_my_database->kinds[kind], clock, rows, microseconds, failed);
		else
			dbp_database_not_counted();
		if (failed)
			failures++;
		if (unlikely(dbp_slow_query_threshold >= 0 &&
					 microseconds >= (uint64) dbp_slow_query_threshold * 1000))
			dbp_slow_query_add(kind, text, rows, microseconds, failed);
	}
	for (int i = 0; i < ntables; i++)
		dbp_counters_add_statement(tables[i].root, tables[i].kind, clock,
								   tables[i].kind == kind ? rows : 0, microseconds, failed);
}

/*
 * The end of a statement: counts it, unless it was never executed, and forgets
 * it.
 */
void
dbp_statement_settle(DbpRunningStatement *statement)
{
	forget_statement(statement);
	if (statement->running)
	{
		dbp_statement_leave(statement);
		statement->failed = true;
	}
	if (!statement->executed && !statement->failed)
		return;
	/* what it changed is undone; what was fetched before has been seen */
	if (statement->failed && statement->kind != DBP_KIND_SELECT)
		statement->rows = 0;
	if (INSTR_TIME_IS_ZERO(statement->since))
		INSTR_TIME_SET_CURRENT(statement->since);
	dbp_statement_count(statement->kind, &statement->text, statement->tables, statement->ntables,
						statement->rows, statement->time, statement->since, statement->from_client,
						statement->failed);
	statement->executed = statement->failed = false;
}

/*
 * Settles those that the executor is at, and does not come back to.
 */
void
dbp_statements_break_off(void)
{
	DbpRunningStatement *statement = dbp_statements;

	while (statement != NULL)
	{
		DbpRunningStatement *next = statement->next;

		if (statement->running)
			dbp_statement_settle(statement);
		statement = next;
	}
}

static void
query_is_gone(void *arg)
{
	DbpRunningStatement *statement = arg;

	if (statement->link != NULL)
		dbp_statement_settle(statement);
	dbp_statement_free(statement);
}

/* There may be thousands of open cursors: they are not gone through */
DbpRunningStatement *
dbp_statement_of_context(const QueryDesc *query)
{
	MemoryContextCallback *callback;

	if (query->estate == NULL)
		return NULL;
	for (callback = query->estate->es_query_cxt->reset_cbs; callback != NULL;
		 callback = callback->next)
	{
		DbpRunningStatement *statement = callback->arg;

		if (callback->func == query_is_gone)
			return statement->link != NULL ? statement : NULL;
	}
	return NULL;
}

static DbpRunningStatement *
new_place(void)
{
	DbpRunningStatement *place = MemoryContextAlloc(TopMemoryContext, sizeof(DbpRunningStatement));

	place->callback.func = query_is_gone;
	place->callback.arg = place;
	return place;
}

/*
 * A statement that nothing is known of.
 */
DbpRunningStatement *
dbp_statement_new(void)
{
	DbpRunningStatement *statement = free_places;

	if (likely(statement != NULL))
		free_places = statement->next;
	else
		statement = new_place();
	statement->link = NULL;
	statement->query = NULL;
	statement->from_client = false;
	statement->executed = false;
	statement->running = false;
	statement->failed = false;
	statement->insert_target = InvalidOid;
	statement->rows = 0;
	statement->ntables = 0;
	INSTR_TIME_SET_ZERO(statement->time);
	INSTR_TIME_SET_ZERO(statement->since);
	return statement;
}

/*
 * Gives one back that is not kept.
 */
void
dbp_statement_free(DbpRunningStatement *statement)
{
	statement->next = free_places;
	free_places = statement;
}

/*
 * Keeps a statement that the executor has started, until its query is gone.
 */
void
dbp_statement_keep(DbpRunningStatement *statement, QueryDesc *query)
{
	statement->query = query;
	statement->next = dbp_statements;
	statement->link = &dbp_statements;
	if (statement->next != NULL)
		statement->next->link = &statement->next;
	dbp_statements = statement;
	MemoryContextRegisterResetCallback(query->estate->es_query_cxt, &statement->callback);
}
