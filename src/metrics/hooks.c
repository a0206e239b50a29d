/*-------------------------------------------------------------------------
 *
 * hooks.c
 *		Counts INSERT and COPY FROM as the server runs them.
 *
 * Counted are statements whose target is a partitioned table or a partition,
 * wherever they come from: clients, functions, triggers.  A statement counts
 * when it has ended, so one that failed does not.  All others pay for a
 * comparison or two.
 *
 * Not seen here: INSERT inside WITH (the executor counts rows of the outermost
 * statement only), MERGE (it does not tell its inserts from its updates),
 * logical replication.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "portability/instr_time.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "metrics/counters.h"

static ExecutorStart_hook_type prev_executor_start_hook = NULL;
static ExecutorEnd_hook_type prev_executor_end_hook = NULL;
static ProcessUtility_hook_type prev_process_utility_hook = NULL;

/*
 * An INSERT between its start and its end.  It lies in the memory of its query,
 * which takes it off the list, also when an error ends it.  QueryDesc has a
 * place for a time, but who comes first there keeps others from having more
 * than that measured (pg_stat_statements: buffers and WAL).
 */
typedef struct RunningInsert
{
	struct RunningInsert *next;
	QueryDesc *query;
	Oid relid;
	instr_time start;
	MemoryContextCallback callback;
} RunningInsert;

static RunningInsert *running = NULL;

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
forget_running(void *arg)
{
	RunningInsert **link = &running;

	while (*link != NULL && *link != arg)
		link = &(*link)->next;
	if (*link != NULL)
		*link = (*link)->next;
}

static void
note_start(QueryDesc *query, Oid relid)
{
	RunningInsert *insert = MemoryContextAlloc(query->estate->es_query_cxt, sizeof(RunningInsert));

	insert->query = query;
	insert->relid = relid;
	insert->next = running;
	running = insert;
	insert->callback.func = forget_running;
	insert->callback.arg = insert;
	MemoryContextRegisterResetCallback(query->estate->es_query_cxt, &insert->callback);
	INSTR_TIME_SET_CURRENT(insert->start);
}

static void
executor_start(QueryDesc *query, int flags)
{
	if (prev_executor_start_hook)
		prev_executor_start_hook(query, flags);
	else
		standard_ExecutorStart(query, flags);

	if (query->operation == CMD_INSERT && (flags & EXEC_FLAG_EXPLAIN_ONLY) == 0)
	{
		Oid relid = insert_target(query);

		if (OidIsValid(relid))
			note_start(query, relid);
	}
}

static uint64
microseconds_since(instr_time start)
{
	instr_time elapsed;

	INSTR_TIME_SET_CURRENT(elapsed);
	INSTR_TIME_SUBTRACT(elapsed, start);
	return INSTR_TIME_GET_MICROSEC(elapsed);
}

static void
count_insert(QueryDesc *query)
{
	RunningInsert *insert = running;

	while (insert != NULL && insert->query != query)
		insert = insert->next;
	/* one that was only begun has done nothing */
	if (insert == NULL || query->estate == NULL || !query->estate->es_finished)
		return;
	dbp_count(insert->relid, DBP_OP_INSERT, query->estate->es_processed,
			  microseconds_since(insert->start));
}

static void
executor_end(QueryDesc *query)
{
	if (query->operation == CMD_INSERT && running != NULL)
		count_insert(query);

	if (prev_executor_end_hook)
		prev_executor_end_hook(query);
	else
		standard_ExecutorEnd(query);
}

static void
run_utility(PlannedStmt *statement, const char *source, bool is_read_only,
			ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
			DestReceiver *dest, QueryCompletion *completion)
{
	if (prev_process_utility_hook)
		prev_process_utility_hook(statement, source, is_read_only, context, params, environment,
								  dest, completion);
	else
		standard_ProcessUtility(statement, source, is_read_only, context, params, environment, dest,
								completion);
}

static void
count_copy(CopyStmt *copy, uint64 rows, instr_time start)
{
	/* it holds its lock until the transaction ends: the name still means the same */
	Oid relid = RangeVarGetRelid(copy->relation, NoLock, true);

	if (!OidIsValid(relid) || dbp_count_is_suspended() ||
		(get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE && !get_rel_relispartition(relid)))
		return;
	dbp_count(relid, DBP_OP_COPY, rows, microseconds_since(start));
}

static void
process_utility(PlannedStmt *statement, const char *source, bool is_read_only,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *dest, QueryCompletion *completion)
{
	CopyStmt *copy = (CopyStmt *) statement->utilityStmt;
	QueryCompletion own;
	instr_time start;

	if (!IsA(copy, CopyStmt) || !copy->is_from || copy->relation == NULL)
	{
		run_utility(statement, source, is_read_only, context, params, environment, dest,
					completion);
		return;
	}

	if (completion == NULL)
	{
		InitializeQueryCompletion(&own);
		completion = &own;
	}
	INSTR_TIME_SET_CURRENT(start);
	run_utility(statement, source, is_read_only, context, params, environment, dest, completion);
	count_copy(copy, completion->nprocessed, start);
}

void
dbp_metrics_hooks_init(void)
{
	prev_executor_start_hook = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
	prev_executor_end_hook = ExecutorEnd_hook;
	ExecutorEnd_hook = executor_end;
	prev_process_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}

void
dbp_metrics_init(void)
{
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
	dbp_counters_init();
	dbp_pending_init();
	dbp_metrics_hooks_init();
}
