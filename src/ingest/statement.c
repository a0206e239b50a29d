/*-------------------------------------------------------------------------
 *
 * statement.c
 *		Inserts a batch as one INSERT statement.
 *
 * For what the executor's parts alone do not do: row level security, ON
 * CONFLICT, views, rules, foreign tables, transition tables.  The statement
 * reads the batch as a table of that name, as a trigger reads its transition
 * table.  It names just the columns that are given: rows of JSON that lack
 * others than the row before are a statement of their own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/genam.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/rls.h"
#include "utils/tuplestore.h"

#include "ingest/bulk.h"

#define BATCH_NAME "dbperf_batch"

/* A partition that rows have to be sent to through a foreign data wrapper? */
static bool
has_foreign_partition(Relation rel)
{
	List *children;
	ListCell *cell;

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return false;
	children = find_all_inheritors(RelationGetRelid(rel), NoLock, NULL);
	foreach(cell, children)
		if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_FOREIGN_TABLE)
			return true;
	return false;
}

static bool
has_insert_rule(Relation rel)
{
	for (int i = 0; rel->rd_rules != NULL && i < rel->rd_rules->numLocks; i++)
		if (rel->rd_rules->rules[i]->event == CMD_INSERT)
			return true;
	return false;
}

/*
 * Must this call go by statements?  Raises insufficient_privilege as a
 * statement would, where row security is off and would apply.
 */
bool
dbp_statement_needed(DbpBulk *bulk)
{
	Relation rel = bulk->rel;
	TriggerDesc *triggers = rel->trigdesc;

	return bulk->options.on_conflict != DBP_CONFLICT_ERROR ||
		(rel->rd_rel->relkind != RELKIND_RELATION &&
		 rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE) ||
		check_enable_rls(RelationGetRelid(rel), InvalidOid, false) == RLS_ENABLED ||
		has_insert_rule(rel) || (triggers != NULL && triggers->trig_insert_new_table) ||
		has_foreign_partition(rel);
}

/* Rows of a batch that give the same columns */
typedef struct Run
{
	int first;
	int end;
	int ncolumns;
	int *columns; /* of the source */
} Run;

static bool
is_given(const DbpBatch *batch, int column, int row)
{
	return batch->absent[column] == NULL || !batch->absent[column][row];
}

/* The run that begins with a row */
static void
find_run(const DbpSource *source, const DbpBatch *batch, int first, Run *run)
{
	run->first = first;
	run->ncolumns = 0;
	for (int i = 0; i < source->ncolumns; i++)
		if (is_given(batch, i, first))
			run->columns[run->ncolumns++] = i;
	for (run->end = first + 1; run->end < batch->count; run->end++)
		for (int i = 0; i < source->ncolumns; i++)
			if (is_given(batch, i, first) != is_given(batch, i, run->end))
				return;
}

static Form_pg_attribute
column_of(const DbpSource *source, const Run *run, int i)
{
	return TupleDescAttr(RelationGetDescr(source->rel), source->attnums[run->columns[i]] - 1);
}

/* A row type of the columns that are given */
static TupleDesc
run_desc(const DbpSource *source, const Run *run)
{
	TupleDesc desc = CreateTemplateTupleDesc(run->ncolumns);

	for (int i = 0; i < run->ncolumns; i++)
	{
		Form_pg_attribute attribute = column_of(source, run, i);

		TupleDescInitEntry(desc, i + 1, NameStr(attribute->attname), attribute->atttypid,
						   attribute->atttypmod, attribute->attndims);
		TupleDescInitEntryCollation(desc, i + 1, attribute->attcollation);
	}
	return desc;
}

static void
raise_no_key(Relation rel)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("table \"%s\" has no primary key to tell which row is to be updated, or one "
					"that is deferrable",
					RelationGetRelationName(rel)),
			 errhint("Name the columns of a unique constraint in conflict_columns.")));
}

/* The columns that say which row is meant: those given, else the primary key's */
static List *
conflict_columns(DbpBulk *bulk)
{
	Oid primary;
	Relation index;
	List *columns = NIL;

	if (bulk->options.conflict_columns != NIL)
		return bulk->options.conflict_columns;
	(void) RelationGetIndexList(bulk->rel);
	primary = bulk->rel->rd_pkindex;
	if (!OidIsValid(primary))
		raise_no_key(bulk->rel);
	index = index_open(primary, AccessShareLock);
	if (!index->rd_index->indimmediate)
		raise_no_key(bulk->rel);
	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
		columns = lappend(columns,
						  get_attname(RelationGetRelid(bulk->rel),
									  index->rd_index->indkey.values[i], false));
	index_close(index, AccessShareLock);
	return columns;
}

static bool
is_among(const char *name, List *names)
{
	ListCell *cell;

	foreach(cell, names)
		if (strcmp(lfirst(cell), name) == 0)
			return true;
	return false;
}

static void
append_names(StringInfo sql, List *names)
{
	ListCell *cell;

	foreach(cell, names)
		appendStringInfo(sql, "%s%s", cell == list_head(names) ? "" : ", ",
						 quote_identifier(lfirst(cell)));
}

static List *
given_columns(const DbpSource *source, const Run *run)
{
	List *names = NIL;

	for (int i = 0; i < run->ncolumns; i++)
		names = lappend(names, NameStr(column_of(source, run, i)->attname));
	return names;
}

static void
append_conflict(StringInfo sql, DbpBulk *bulk, List *given)
{
	List *columns = bulk->options.conflict_columns;
	bool any = false;
	ListCell *cell;

	if (bulk->options.on_conflict == DBP_CONFLICT_ERROR)
		return;
	if (bulk->options.on_conflict == DBP_CONFLICT_UPDATE)
		columns = conflict_columns(bulk);
	appendStringInfoString(sql, " ON CONFLICT");
	if (columns != NIL)
	{
		appendStringInfoString(sql, " (");
		append_names(sql, columns);
		appendStringInfoChar(sql, ')');
	}
	if (bulk->options.on_conflict == DBP_CONFLICT_UPDATE)
		foreach(cell, given)
		{
			const char *name = lfirst(cell);

			if (is_among(name, columns))
				continue;
			appendStringInfo(sql, "%s%s = EXCLUDED.%s", any ? ", " : " DO UPDATE SET ",
							 quote_identifier(name), quote_identifier(name));
			any = true;
		}
	if (!any)
		appendStringInfoString(sql, " DO NOTHING");
}

static char *
insert_sql(DbpBulk *bulk, const Run *run)
{
	StringInfoData sql;
	List *given = given_columns(bulk->source, run);

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s ", dbp_qualified_name(RelationGetRelid(bulk->rel)));
	if (given == NIL)
	{
		/* they are all defaults, one by one */
		appendStringInfoString(&sql, "DEFAULT VALUES");
		append_conflict(&sql, bulk, given);
		return sql.data;
	}
	appendStringInfoChar(&sql, '(');
	append_names(&sql, given);
	appendStringInfoString(&sql, ") SELECT ");
	append_names(&sql, given);
	appendStringInfoString(&sql, " FROM " BATCH_NAME);
	append_conflict(&sql, bulk, given);
	return sql.data;
}

/* What the rules of the table need to see a row; rules NULL: there are none */
typedef struct Judge
{
	DbpRules *rules;
	EState *estate;
	ResultRelInfo *result; /* of the target, for its generated columns */
	DbpDefault *defaults;
	TupleTableSlot *slot; /* a row of the target */
} Judge;

static void
judge_begin(DbpBulk *bulk, Judge *judge)
{
	bool any_volatile;

	judge->estate = CreateExecutorState();
	judge->rules = dbp_rules_load(bulk->rel, judge->estate);
	if (judge->rules == NULL)
		return;
	judge->result = makeNode(ResultRelInfo);
	InitResultRelInfo(judge->result, bulk->rel, 0, NULL, 0);
	judge->defaults = dbp_defaults_prepare(bulk->rel, judge->estate, &any_volatile);
	judge->slot = MakeSingleTupleTableSlot(RelationGetDescr(bulk->rel), &TTSOpsVirtual);
}

static void
judge_end(Judge *judge)
{
	if (judge->rules != NULL)
		ExecDropSingleTupleTableSlot(judge->slot);
	FreeExecutorState(judge->estate);
}

/*
 * The rules see the row as it will be, but for what only the statement will
 * know: columns with volatile defaults, such as a sequence's, are null.
 */
static bool
row_is_good(DbpBulk *bulk, Judge *judge, const DbpBatch *batch, const Run *run, int row)
{
	TupleTableSlot *slot = judge->slot;
	ExprContext *econtext = GetPerTupleExprContext(judge->estate);
	TupleConstr *constr;
	bool good;

	if (judge->rules == NULL)
		return true;
	ResetExprContext(econtext);
	ExecClearTuple(slot);
	for (int i = 0; i < slot->tts_tupleDescriptor->natts; i++)
	{
		DbpDefault *column = &judge->defaults[i];

		slot->tts_isnull[i] = true;
		slot->tts_values[i] = (Datum) 0;
		if (column->state != NULL && !column->is_volatile)
			slot->tts_values[i] = ExecEvalExpr(column->state, econtext, &slot->tts_isnull[i]);
	}
	for (int i = 0; i < run->ncolumns; i++)
	{
		int column = run->columns[i];

		slot->tts_values[bulk->source->attnums[column] - 1] = batch->values[column][row];
		slot->tts_isnull[bulk->source->attnums[column] - 1] = batch->isnull[column][row];
	}
	ExecStoreVirtualTuple(slot);
	constr = slot->tts_tupleDescriptor->constr;
	if (constr != NULL && constr->has_generated_stored)
		ExecComputeStoredGenerated(judge->result, judge->estate, slot, CMD_INSERT);
	good = dbp_bulk_check_rules(bulk, judge->rules, slot, econtext);
	ExecClearTuple(slot);
	return good;
}

/* The rows of the run that are not left out; returns how many they are */
static int64
put_rows(DbpBulk *bulk, const DbpBatch *batch, const bool *skip, const Run *run, TupleDesc desc,
		 Tuplestorestate *store)
{
	Datum *values = palloc(Max(run->ncolumns, 1) * sizeof(Datum));
	bool *isnull = palloc(Max(run->ncolumns, 1) * sizeof(bool));
	Judge judge = {0};
	int64 count = 0;

	judge_begin(bulk, &judge);
	for (int row = run->first; row < run->end; row++)
	{
		if (skip[row])
			continue;
		CHECK_FOR_INTERRUPTS();
		bulk->row = batch->first + row;
		if (!row_is_good(bulk, &judge, batch, run, row))
			continue;
		for (int i = 0; i < run->ncolumns; i++)
		{
			values[i] = batch->values[run->columns[i]][row];
			isnull[i] = batch->isnull[run->columns[i]][row];
		}
		tuplestore_putvalues(store, desc, values, isnull);
		count++;
	}
	bulk->row = -1;
	judge_end(&judge);
	return count;
}

static void
register_batch(TupleDesc desc, Tuplestorestate *store, int64 count)
{
	EphemeralNamedRelation batch = palloc0(sizeof(EphemeralNamedRelationData));

	batch->md.name = BATCH_NAME;
	batch->md.tupdesc = desc;
	batch->md.enrtype = ENR_NAMED_TUPLESTORE;
	batch->md.enrtuples = count;
	batch->reldata = store;
	if (SPI_register_relation(batch) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the batch");
}

static void
execute_statement(DbpBulk *bulk, const Run *run, int64 times)
{
	char *sql = insert_sql(bulk, run);
	SPIPlanPtr plan = SPI_prepare(sql, 0, NULL);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare returned %s for \"%s\"", SPI_result_code_string(SPI_result), sql);
	for (int64 i = 0; i < times; i++)
	{
		int result = SPI_execute_plan(plan, NULL, NULL, false, 0);

		if (result < 0)
			elog(ERROR, "SPI_execute_plan returned %s", SPI_result_code_string(result));
		bulk->attempt_inserted += SPI_processed;
	}
}

static void
insert_run(DbpBulk *bulk, const DbpBatch *batch, const bool *skip, const Run *run)
{
	TupleDesc desc = run_desc(bulk->source, run);
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	int64 count = put_rows(bulk, batch, skip, run, desc, store);

	if (count > 0)
	{
		SPI_connect();
		register_batch(desc, store, count);
		execute_statement(bulk, run, run->ncolumns > 0 ? 1 : count);
		SPI_finish();
	}
	tuplestore_end(store);
}

void
dbp_statement_insert(DbpBulk *bulk, const DbpBatch *batch, const bool *skip)
{
	MemoryContext old = MemoryContextSwitchTo(bulk->attempt_context);
	Run run;

	run.columns = palloc(Max(bulk->source->ncolumns, 1) * sizeof(int));
	for (int row = 0; row < batch->count; row = run.end)
	{
		find_run(bulk->source, batch, row, &run);
		insert_run(bulk, batch, skip, &run);
	}
	MemoryContextSwitchTo(old);
}
