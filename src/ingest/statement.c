/*-------------------------------------------------------------------------
 *
 * statement.c
 *		Inserts a batch as one INSERT statement.
 *
 * For what the executor's parts alone do not do: row level security, ON
 * CONFLICT, views, rules, foreign tables, transition tables.  The statement
 * reads the batch as a table of that name, as a trigger reads its transition
 * table.
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

/* A row type of the columns that are given */
static TupleDesc
batch_desc(DbpSource *source)
{
	TupleDesc table = RelationGetDescr(source->rel);
	TupleDesc desc = CreateTemplateTupleDesc(source->ncolumns);

	for (int i = 0; i < source->ncolumns; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(table, source->attnums[i] - 1);

		TupleDescInitEntry(desc, i + 1, NameStr(attribute->attname), attribute->atttypid,
						   attribute->atttypmod, attribute->attndims);
		TupleDescInitEntryCollation(desc, i + 1, attribute->attcollation);
	}
	return desc;
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
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" has no primary key to tell which row is to be updated",
						RelationGetRelationName(bulk->rel)),
				 errhint("Name the columns of a unique constraint in conflict_columns.")));
	index = index_open(primary, AccessShareLock);
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
given_columns(DbpSource *source)
{
	List *names = NIL;

	for (int i = 0; i < source->ncolumns; i++)
		names = lappend(
			names,
			NameStr(TupleDescAttr(RelationGetDescr(source->rel), source->attnums[i] - 1)->attname));
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
insert_sql(DbpBulk *bulk)
{
	StringInfoData sql;
	List *given = given_columns(bulk->source);

	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s ", dbp_qualified_name(RelationGetRelid(bulk->rel)));
	if (given == NIL)
	{
		/* nothing is given for any row: they are all defaults, one by one */
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

/* What the rows of one batch are turned into with */
typedef struct Builder
{
	EState *estate;
	ResultRelInfo *result; /* of the target, for its generated columns */
	DbpDefault *defaults;
	DbpRules *rules;
	TupleTableSlot *slot; /* a row of the target, for the rules */
	bool *given;
} Builder;

static void
builder_begin(DbpBulk *bulk, Builder *builder)
{
	bool any_volatile;
	TupleDesc desc = RelationGetDescr(bulk->rel);

	builder->estate = CreateExecutorState();
	builder->result = makeNode(ResultRelInfo);
	InitResultRelInfo(builder->result, bulk->rel, 0, NULL, 0);
	builder->rules = dbp_rules_load(bulk->rel, builder->estate);
	builder->defaults = dbp_defaults_prepare(bulk->rel, builder->estate, &any_volatile);
	builder->slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	builder->given = palloc0(desc->natts * sizeof(bool));
	for (int i = 0; i < bulk->source->ncolumns; i++)
		builder->given[bulk->source->attnums[i] - 1] = true;
}

static void
builder_end(Builder *builder)
{
	ExecDropSingleTupleTableSlot(builder->slot);
	FreeExecutorState(builder->estate);
}

/*
 * The rules see the row as it will be, but for what only the statement will
 * know: columns with volatile defaults, such as a sequence's, are null.
 */
static bool
row_is_good(DbpBulk *bulk, Builder *builder, const Datum *values, const bool *isnull)
{
	TupleTableSlot *slot = builder->slot;
	ExprContext *econtext = GetPerTupleExprContext(builder->estate);
	TupleConstr *constr = slot->tts_tupleDescriptor->constr;
	bool good;

	if (builder->rules == NULL)
		return true;
	ExecClearTuple(slot);
	for (int i = 0; i < slot->tts_tupleDescriptor->natts; i++)
	{
		DbpDefault *column = &builder->defaults[i];

		slot->tts_isnull[i] = true;
		slot->tts_values[i] = (Datum) 0;
		if (!builder->given[i] && column->state != NULL && !column->is_volatile)
			slot->tts_values[i] = ExecEvalExpr(column->state, econtext, &slot->tts_isnull[i]);
	}
	for (int i = 0; i < bulk->source->ncolumns; i++)
	{
		slot->tts_values[bulk->source->attnums[i] - 1] = values[i];
		slot->tts_isnull[bulk->source->attnums[i] - 1] = isnull[i];
	}
	ExecStoreVirtualTuple(slot);
	if (constr != NULL && constr->has_generated_stored)
		ExecComputeStoredGenerated(builder->result, builder->estate, slot, CMD_INSERT);
	good = dbp_bulk_check_rules(bulk, builder->rules, slot, econtext);
	ExecClearTuple(slot);
	return good;
}

/* The rows of the batch that are not left out; returns how many they are */
static int64
put_rows(DbpBulk *bulk, const DbpBatch *batch, const bool *skip, TupleDesc desc,
		 Tuplestorestate *store)
{
	DbpSource *source = bulk->source;
	Datum *values = palloc(Max(source->ncolumns, 1) * sizeof(Datum));
	bool *isnull = palloc(Max(source->ncolumns, 1) * sizeof(bool));
	Builder builder;
	int64 count = 0;

	builder_begin(bulk, &builder);
	for (int row = 0; row < batch->count; row++)
	{
		if (skip[row])
			continue;
		CHECK_FOR_INTERRUPTS();
		bulk->row = batch->first + row;
		for (int i = 0; i < source->ncolumns; i++)
		{
			DbpDefault *column = &builder.defaults[source->attnums[i] - 1];

			values[i] = batch->values[i][row];
			isnull[i] = batch->isnull[i][row];
			if (batch->absent[i] == NULL || !batch->absent[i][row])
				continue;
			isnull[i] = true;
			if (column->state != NULL)
				values[i] =
					ExecEvalExpr(column->state, GetPerTupleExprContext(builder.estate), &isnull[i]);
		}
		if (!row_is_good(bulk, &builder, values, isnull))
			continue;
		tuplestore_putvalues(store, desc, values, isnull);
		count++;
	}
	bulk->row = -1;
	builder_end(&builder);
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
execute_statement(DbpBulk *bulk, int64 times)
{
	char *sql = insert_sql(bulk);
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

void
dbp_statement_insert(DbpBulk *bulk, const DbpBatch *batch, const bool *skip)
{
	MemoryContext old = MemoryContextSwitchTo(bulk->attempt_context);
	TupleDesc desc = batch_desc(bulk->source);
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	int64 count = put_rows(bulk, batch, skip, desc, store);

	if (count > 0)
	{
		SPI_connect();
		register_batch(desc, store, count);
		execute_statement(bulk, bulk->source->ncolumns > 0 ? 1 : count);
		SPI_finish();
	}
	tuplestore_end(store);
	MemoryContextSwitchTo(old);
}
