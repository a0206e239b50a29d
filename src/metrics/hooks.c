/*-------------------------------------------------------------------------
 *
 * hooks.c
 *		Sees statements as the server runs them.
 *
 * Counted are, for each database, the statements that clients sent, by what
 * they do, and, for each partitioned table, all that name it, whoever runs
 * them.  What a client sent is told from what that runs in turn by four signs:
 * nothing else is being executed (depth), a portal is active (not so when
 * parameters are read, a deferred trigger runs at the end of the transaction or
 * a login trigger before the first one), SPI is not in use (the same, where
 * they open portals of their own), and it is a process that serves a client.
 *
 * Some utility statements only bring another statement to execution; it counts
 * instead of them (utility.c).  Workers of parallel plans count nothing.
 *
 * INSERT into a partitioned table, or a partition, is also counted for the
 * rates of what came in, which go by what has been committed (pending.c).
 * These do not see INSERT inside WITH (the executor counts rows of the
 * outermost statement only), MERGE (it does not tell its inserts from its
 * updates) and logical replication.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "tcop/pquery.h"
#include "utils/rel.h"

#include "compat.h"
#include "guc.h"
#include "metrics/counters.h"
#include "metrics/hooks.h"
#include "metrics/pools.h"

static ExecutorStart_hook_type prev_executor_start_hook = NULL;
static ExecutorRun_hook_type prev_executor_run_hook = NULL;
static ExecutorFinish_hook_type prev_executor_finish_hook = NULL;
static ExecutorEnd_hook_type prev_executor_end_hook = NULL;

int dbp_execution_depth = 0;

/*
 * Of the statements that rules make of one, it counts as the one that sets the
 * command tag, or else the first.
 */
static bool
is_first_of_portal(const PlannedStmt *plan)
{
	ListCell *cell;

	if (plan->canSetTag)
		return true;
	foreach(cell, ActivePortal->stmts)
		if (lfirst_node(PlannedStmt, cell)->canSetTag)
			return false;
	return ActivePortal->stmts != NIL && linitial(ActivePortal->stmts) == plan;
}

/* It looks for something by a name that nothing has, but before that, says whether SPI is in use */
static bool
is_in_spi(void)
{
	return SPI_unregister_relation("") != SPI_ERROR_UNCONNECTED;
}

bool
dbp_is_from_client(const PlannedStmt *plan)
{
	return MyBackendType == B_BACKEND && ActivePortal != NULL && is_first_of_portal(plan) &&
		!is_in_spi();
}

/* What is known before the executor starts */
static DbpRunningStatement *
new_statement(QueryDesc *query)
{
	const PlannedStmt *plan = query->plannedstmt;
	DbpRunningStatement *statement = dbp_statement_new();
	bool is_copy = false;
	bool is_brought = dbp_execution_depth > 0 && dbp_utility_brings(query, &is_copy);

	statement->kind = is_copy ? DBP_KIND_COPY : dbp_statement_kind(query);
	statement->from_client =
		!is_copy && (is_brought || dbp_execution_depth == 0) && dbp_is_from_client(plan);
	statement->executed = is_brought && statement->from_client;
	if (!dbp_count_is_suspended())
		statement->ntables = dbp_statement_tables(query, statement->kind, statement->tables);
	if (is_copy || statement->executed)
		dbp_utility_brought(query);
	if (!statement->from_client)
		return statement;

	dbp_database_find();
	statement->text.queryid = plan->queryId;
	statement->text.source = query->sourceText;
	statement->text.location = plan->stmt_location;
	statement->text.length = plan->stmt_len;
	if (is_brought)
		dbp_utility_text(&statement->text);
	statement->text.userid = GetUserId();
	statement->text.started = GetCurrentStatementStartTimestamp();
	return statement;
}

static void
run_start(QueryDesc *query, int flags)
{
	if (prev_executor_start_hook)
		prev_executor_start_hook(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

static void
run_start_watched(QueryDesc *query, int flags, DbpRunningStatement *statement)
{
	/* functions may be called to see which partitions are needed */
	int depth = dbp_execution_depth++;

	PG_TRY();
	{
		run_start(query, flags);
		dbp_execution_depth = depth;
	}
	PG_CATCH();
	{
		dbp_execution_depth = depth;
		statement->failed = true;
		dbp_statement_settle(statement);
		dbp_statement_free(statement);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* The target of an INSERT that is to be counted, or InvalidOid; once it has been started */
static Oid
insert_target(QueryDesc *query)
{
	Relation rel;

	if (query->planstate == NULL || !IsA(query->planstate, ModifyTableState))
		return InvalidOid;
	rel = castNode(ModifyTableState, query->planstate)->resultRelInfo[0].ri_RelationDesc;
	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE && !rel->rd_rel->relispartition)
		return InvalidOid;
	return dbp_count_is_suspended() ? InvalidOid : RelationGetRelid(rel);
}

static void
executor_start(QueryDesc *query, int flags)
{
	DbpRunningStatement *statement;

	if (IsParallelWorker() || (flags & EXEC_FLAG_EXPLAIN_ONLY) != 0)
	{
		run_start(query, flags);
		return;
	}
	if (dbp_track_queries)
	{
		statement = new_statement(query);
		run_start_watched(query, flags, statement);
	}
	else
	{
		run_start(query, flags);
		if (query->operation != CMD_INSERT)
			return;
		statement = dbp_statement_new();
		statement->kind = DBP_KIND_INSERT;
	}

	if (query->operation == CMD_INSERT)
		statement->insert_target = insert_target(query);
	if (statement->from_client || statement->ntables > 0 || OidIsValid(statement->insert_target))
		dbp_statement_keep(statement, query);
	else
		dbp_statement_free(statement);
}

static void
run_query(DBP_EXECUTOR_RUN_PARAMETERS)
{
	if (prev_executor_run_hook)
		prev_executor_run_hook(DBP_EXECUTOR_RUN_ARGUMENTS);
	else
		standard_ExecutorRun(DBP_EXECUTOR_RUN_ARGUMENTS);
}

static void
finish_query(QueryDesc *query)
{
	if (prev_executor_finish_hook)
		prev_executor_finish_hook(query);
	else
		standard_ExecutorFinish(query);
}

/* What the executor throws ends the statement */
#define WATCHED(statement, call) \
	do \
	{ \
		int depth_ = dbp_execution_depth++; \
		if ((statement) != NULL) \
			dbp_statement_enter(statement); \
		PG_TRY(); \
		{ \
			call; \
			dbp_execution_depth = depth_; \
		} \
		PG_CATCH(); \
		{ \
			dbp_execution_depth = depth_; \
			if ((statement) != NULL) \
				dbp_statement_settle(statement); \
			PG_RE_THROW(); \
		} \
		PG_END_TRY(); \
		if ((statement) != NULL) \
			dbp_statement_leave(statement); \
	} while (0)

static void
executor_run(DBP_EXECUTOR_RUN_PARAMETERS)
{
	DbpRunningStatement *statement = dbp_statement_find(query);

	if (IsParallelWorker() || (statement == NULL && !dbp_track_queries))
	{
		run_query(DBP_EXECUTOR_RUN_ARGUMENTS);
		return;
	}
	WATCHED(statement, run_query(DBP_EXECUTOR_RUN_ARGUMENTS));
	if (statement != NULL)
	{
		statement->executed = true;
		statement->rows += query->estate->es_processed;
	}
}

/* After a SELECT, there is nothing left to do */
static void
executor_finish(QueryDesc *query)
{
	DbpRunningStatement *statement;

	if ((query->operation == CMD_SELECT && !query->plannedstmt->hasModifyingCTE) ||
		IsParallelWorker())
	{
		finish_query(query);
		return;
	}
	statement = dbp_statement_find(query);
	WATCHED(statement, finish_query(query));
}

static void
executor_end(QueryDesc *query)
{
	DbpRunningStatement *statement = dbp_statement_find(query);

	if (statement != NULL)
	{
		/* one that was only begun has done nothing */
		if (OidIsValid(statement->insert_target) && query->estate != NULL &&
			query->estate->es_finished)
			dbp_count(statement->insert_target, DBP_OP_INSERT, statement->rows,
					  INSTR_TIME_GET_MICROSEC(statement->time));
		dbp_statement_settle(statement);
	}
	if (prev_executor_end_hook)
		prev_executor_end_hook(query);
	else
		standard_ExecutorEnd(query);
}

void
dbp_metrics_hooks_init(void)
{
	prev_executor_start_hook = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
	prev_executor_run_hook = ExecutorRun_hook;
	ExecutorRun_hook = executor_run;
	prev_executor_finish_hook = ExecutorFinish_hook;
	ExecutorFinish_hook = executor_finish;
	prev_executor_end_hook = ExecutorEnd_hook;
	ExecutorEnd_hook = executor_end;
	dbp_utility_hook_init();
}

void
dbp_metrics_init(void)
{
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	dbp_counters_init();
	dbp_databases_init();
	dbp_slow_queries_init();
	dbp_pending_init();
	dbp_metrics_hooks_init();
	dbp_connections_init();
	dbp_pools_init();
}
