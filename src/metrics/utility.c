/*-------------------------------------------------------------------------
 *
 * utility.c
 *		Sees utility statements as the server runs them.
 *
 * Each that a client sent counts, COPY as copy and others as utility, but
 *
 *	- EXECUTE, DECLARE, CREATE TABLE AS, SELECT INTO and EXPLAIN ANALYZE count as
 *	  what they bring to execution: one statement, which counts when it ends, a
 *	  cursor when it is closed or its transaction ends.  Where they bring none
 *	  (EXPLAIN alone, WITH NO DATA, an error before that), they are a utility
 *	  statement like others.
 *	- FETCH, MOVE and CLOSE are part of the cursor's statement, unless they
 *	  fail by themselves.
 *	- BEGIN, COMMIT and the like do not count.
 *
 * COPY also counts for the partitioned table, COPY (query) for those that the
 * query names.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"

#include "guc.h"
#include "metrics/counters.h"
#include "metrics/hooks.h"

/* How to know the statement that a utility statement brings */
typedef enum Brings
{
	BRINGS_NOTHING,
	BRINGS_PORTAL,	  /* it has a portal of its own */
	BRINGS_INTO,	  /* its rows go to a new table */
	BRINGS_EXPLAINED, /* it is measured */
	BRINGS_COPY		  /* its rows go to COPY */
} Brings;

/* A utility statement being executed; lies on the stack */
typedef struct UtilityCall
{
	struct UtilityCall *outer;
	int depth;
	Portal portal; /* in which it is executed */
	bool from_client;
	bool is_part;  /* of a cursor's statement */
	bool executes; /* a prepared statement, whose text its portal has */
	Brings brings;
	const QueryDesc *brought; /* only to be compared: it may be gone */
	DbpStatementKind kind;
	DbpStatementTable table;
	int ntables;
	DbpStatementText text;
	uint64 failures;
	instr_time start;
} UtilityCall;

static ProcessUtility_hook_type prev_process_utility_hook = NULL;

static UtilityCall *current = NULL;
static bool exit_callback_registered = false;

static bool
is_execute(Node *query)
{
	return IsA(query, Query) && castNode(Query, query)->utilityStmt != NULL &&
		IsA(castNode(Query, query)->utilityStmt, ExecuteStmt);
}

static void
classify_into(UtilityCall *call, const CreateTableAsStmt *create)
{
	if (create->objtype != OBJECT_TABLE)
		return;
	call->executes = is_execute(create->query);
	call->brings = call->executes ? BRINGS_PORTAL : BRINGS_INTO;
}

static void
classify(UtilityCall *call, Node *node)
{
	call->kind = DBP_KIND_UTILITY;
	switch (nodeTag(node))
	{
		case T_CopyStmt:
			call->kind = DBP_KIND_COPY;
			call->brings = BRINGS_COPY;
			break;
		case T_ExecuteStmt:
			call->executes = true;
			call->brings = BRINGS_PORTAL;
			break;
		case T_DeclareCursorStmt:
			call->brings = BRINGS_PORTAL;
			break;
		case T_CreateTableAsStmt:
			classify_into(call, castNode(CreateTableAsStmt, node));
			break;
		case T_ExplainStmt:
			call->brings = BRINGS_EXPLAINED;
			break;
		case T_FetchStmt:
		case T_ClosePortalStmt:
			call->is_part = true;
			break;
		default:
			break;
	}
}

static bool
sets_something(const List *function_options)
{
	ListCell *cell;

	foreach(cell, function_options)
		if (strcmp(lfirst_node(DefElem, cell)->defname, "set") == 0)
			return true;
	return false;
}

/* What is set may be a secret that is no constant to the parser: SET a.key TO secret */
static bool
may_keep_text(Node *node)
{
	switch (nodeTag(node))
	{
		case T_VariableSetStmt:
		case T_AlterRoleSetStmt:
		case T_AlterDatabaseSetStmt:
		case T_AlterSystemStmt:
			return false;
		case T_CreateFunctionStmt:
			return !sets_something(castNode(CreateFunctionStmt, node)->options);
		case T_AlterFunctionStmt:
			return !sets_something(castNode(AlterFunctionStmt, node)->actions);
		default:
			return true;
	}
}

static bool
is_brought(const UtilityCall *call, const QueryDesc *query)
{
	if (call == NULL || call->brought != NULL || dbp_execution_depth != call->depth)
		return false;
	switch (call->brings)
	{
		case BRINGS_NOTHING:
			return false;
		case BRINGS_PORTAL:
			return ActivePortal != call->portal;
		case BRINGS_INTO:
			return query->dest != NULL && query->dest->mydest == DestIntoRel;
		case BRINGS_EXPLAINED:
			/* auto_explain measures SQL functions, too, that the planner calls */
			return ActivePortal == call->portal && query->instrument_options != 0 &&
				query->dest != NULL && query->dest->mydest != DestSQLFunction;
		case BRINGS_COPY:
			return query->dest != NULL && query->dest->mydest == DestCopyOut;
	}
	return false;
}

bool
dbp_utility_brings(const QueryDesc *query, bool *is_copy)
{
	if (!is_brought(current, query))
		return false;
	*is_copy = current->brings == BRINGS_COPY;
	return *is_copy || current->from_client;
}

void
dbp_utility_brought(QueryDesc *query)
{
	current->brought = query;
}

void
dbp_utility_text(DbpStatementText *text)
{
	if (current->executes)
		return;
	/* that of a prepared statement goes with it, even while it is being executed */
	if (current->brings == BRINGS_EXPLAINED)
		text->source = current->text.source;
	text->location = current->text.location;
	text->length = current->text.length;
}

static void
count_call(const UtilityCall *call, uint64 rows, bool failed)
{
	instr_time now;
	instr_time time;

	INSTR_TIME_SET_CURRENT(now);
	time = now;
	INSTR_TIME_SUBTRACT(time, call->start);
	dbp_statement_count(call->kind, &call->text, &call->table,
						call->brought != NULL ? 0 : call->ntables, rows, time, now,
						call->from_client, failed);
}

static bool
is_counted(const UtilityCall *call)
{
	return call->brings == BRINGS_COPY ? call->from_client || call->ntables > 0
									   : call->from_client && call->brought == NULL;
}

static void
call_has_failed(const UtilityCall *call)
{
	if (call->brings != BRINGS_COPY && call->brought != NULL)
	{
		DbpRunningStatement *statement = dbp_statements;

		while (statement != NULL && statement->query != call->brought)
			statement = statement->next;
		/* neither has it failed itself nor has it ended */
		if (statement != NULL && statement->from_client)
		{
			statement->failed = true;
			dbp_statement_settle(statement);
		}
	}
	else if (is_counted(call) && !(call->is_part && dbp_statement_failures() > call->failures))
		count_call(call, 0, true);
}

/* The process is told to end in the middle of a statement */
static void
exit_in_call(int code, Datum arg)
{
	dbp_statements_break_off();
	while (current != NULL)
	{
		UtilityCall *call = current;

		current = call->outer;
		call_has_failed(call);
	}
}

/* The table of COPY, if it is partitioned or a partition; InvalidOid otherwise */
static Oid
copied_table(const CopyStmt *copy)
{
	Oid relid;

	if (copy->relation == NULL || dbp_count_is_suspended())
		return InvalidOid;
	relid = RangeVarGetRelid(copy->relation, NoLock, true);
	if (!OidIsValid(relid) ||
		(get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE && !get_rel_relispartition(relid)))
		return InvalidOid;
	return relid;
}

static void
begin_call(UtilityCall *call, const PlannedStmt *statement, const char *source)
{
	Node *node = statement->utilityStmt;

	classify(call, node);
	call->outer = current;
	call->portal = ActivePortal;
	call->from_client =
		dbp_track_queries && dbp_execution_depth == 0 && dbp_is_from_client(statement);
	call->depth = dbp_execution_depth + 1;
	call->failures = dbp_statement_failures();
	INSTR_TIME_SET_CURRENT(call->start);
	if (!call->from_client)
		return;
	dbp_database_find();
	call->text.queryid = statement->queryId;
	call->text.source = may_keep_text(node) ? source : NULL;
	call->text.location = statement->stmt_location;
	call->text.length = statement->stmt_len;
	call->text.userid = GetUserId();
	call->text.started = GetCurrentStatementStartTimestamp();
	if (!exit_callback_registered)
	{
		before_shmem_exit(exit_in_call, (Datum) 0);
		exit_callback_registered = true;
	}
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
count_ingested(const CopyStmt *copy, uint64 rows, instr_time start)
{
	/* it holds its lock until the transaction ends: the name still means the same */
	Oid relid = copied_table(copy);
	instr_time time;

	if (!OidIsValid(relid))
		return;
	INSTR_TIME_SET_CURRENT(time);
	INSTR_TIME_SUBTRACT(time, start);
	dbp_count(relid, DBP_OP_COPY, rows, INSTR_TIME_GET_MICROSEC(time));
}

static void
note_table(UtilityCall *call, const CopyStmt *copy)
{
	Oid relid = copied_table(copy);

	if (!OidIsValid(relid))
		return;
	call->table.root = dbp_root_of(relid);
	call->table.kind = DBP_KIND_COPY;
	call->ntables = 1;
}

/* The statement may be gone when it has been executed */
static void
run_call(UtilityCall *call, PlannedStmt *statement, const char *source, bool is_read_only,
		 ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
		 DestReceiver *dest, QueryCompletion *completion)
{
	int depth = dbp_execution_depth;

	current = call;
	dbp_execution_depth = call->depth;
	PG_TRY();
	{
		if (dbp_track_queries && IsA(statement->utilityStmt, CopyStmt))
			note_table(call, castNode(CopyStmt, statement->utilityStmt));
		run_utility(statement, source, is_read_only, context, params, environment, dest,
					completion);
		dbp_execution_depth = depth;
		current = call->outer;
	}
	PG_CATCH();
	{
		dbp_execution_depth = depth;
		current = call->outer;
		call_has_failed(call);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (!call->is_part && is_counted(call))
		count_call(call, completion->nprocessed, false);
}

static void
process_utility(PlannedStmt *statement, const char *source, bool is_read_only,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *dest, QueryCompletion *completion)
{
	Node *node = statement->utilityStmt;
	CopyStmt *copy = IsA(node, CopyStmt) ? castNode(CopyStmt, node) : NULL;
	QueryCompletion own;
	UtilityCall call = {0};

	if (IsA(node, TransactionStmt) || IsParallelWorker() || (!dbp_track_queries && copy == NULL))
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
	begin_call(&call, statement, source);
	run_call(&call, statement, source, is_read_only, context, params, environment, dest,
			 completion);
	if (copy != NULL && copy->is_from)
		count_ingested(copy, completion->nprocessed, call.start);
}

void
dbp_utility_hook_init(void)
{
	prev_process_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
