/*-------------------------------------------------------------------------
 *
 * direct.c
 *		Inserts a batch through the executor's own parts, as COPY does.
 *
 * All rows of the batch are given their values and their partitions first.
 * Then each partition gets its rows at once, and its indexes after that, one
 * by one; then come foreign keys and other AFTER triggers, row by row, so that
 * an error can name its row.  Each batch is a statement of its own for
 * triggers.
 *
 * A table with BEFORE ROW triggers, or with defaults that may look at the
 * table, gets its rows one at a time instead, since those may want to see the
 * rows before.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/attmap.h"
#include "access/tableam.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "ingest/bulk.h"
#include "ingest/index_insert.h"

/*
 * Rows of a batch that are held before they are written; more would leave the
 * processor's cache before their turn comes
 */
#define CHUNK_ROWS 4000

/* Slots that are kept from chunk to chunk, as far as no more are needed at once */
#define MAX_SLOTS (2 * CHUNK_ROWS)

/* A table that rows go to: the target itself, or one of its partitions */
typedef struct Leaf
{
	ResultRelInfo *result;
	TupleConversionMap *map; /* from the target's row type; NULL: the same */
	DbpForeignKeys *keys;	 /* NULL: AFTER ROW triggers run for every row */
	DbpIndexInsert *indexes;
	bool one_by_one;
	bool before_triggers;
	bool check_partition; /* a trigger might have changed the key */
	TupleDesc desc;		  /* a copy: slots by the thousand would each pin the table's own */
	int nslots;			  /* made */
	int nrows;			  /* in use */
	TupleTableSlot **slots;
	int *rows; /* of the batch */
	List **recheck;
} Leaf;

struct DbpDirect
{
	EState *estate;
	ResultRelInfo *root;
	ModifyTableState *mtstate;
	PartitionTupleRouting *routing; /* NULL: not partitioned */
	DbpDefault *defaults;			/* [column of the target] */
	bool *given;					/* [column of the target] */
	Datum *row_values;				/* what does not change from row to row of a batch */
	bool *row_isnull;
	DbpRules *rules;
	DbpFkChecks *fk_checks;
	TupleTableSlot *slot; /* a row as the target has it */
	bool one_by_one;
	Leaf **by_place; /* of the router */
	List *leaves;	 /* of Leaf * */
	int held;		 /* rows in the leaves */
	int nslots;		 /* of all leaves */
	CommandId cid;
};

static void
init_range_table(DbpBulk *bulk, DbpDirect *direct)
{
	Bitmapset *inserted;
	RangeTblEntry *entry = dbp_bulk_range_table_entry(bulk->source, &inserted);

	/* messages show no other columns to those who may not read the table */
	dbp_init_range_table(direct->estate, entry, inserted);
}

static void
init_mtstate(DbpDirect *direct)
{
	ModifyTableState *mtstate = makeNode(ModifyTableState);

	mtstate->ps.state = direct->estate;
	mtstate->operation = CMD_INSERT;
	mtstate->mt_nrels = 1;
	mtstate->resultRelInfo = direct->root;
	mtstate->rootResultRelInfo = direct->root;
	direct->mtstate = mtstate;
}

DbpDirect *
dbp_direct_begin(DbpBulk *bulk)
{
	Relation rel = bulk->rel;
	EState *estate = CreateExecutorState();
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	DbpDirect *direct = palloc0(sizeof(DbpDirect));
	int natts = RelationGetDescr(rel)->natts;

	direct->estate = estate;
	init_range_table(bulk, direct);
	direct->root = makeNode(ResultRelInfo);
	ExecInitResultRelation(estate, direct->root, 1);
	ExecOpenIndices(direct->root, false);
	init_mtstate(direct);
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		direct->routing = ExecSetupPartitionTupleRouting(estate, rel);
	direct->defaults = dbp_defaults_prepare(rel, estate, &direct->one_by_one);
	direct->given = palloc0(natts * sizeof(bool));
	for (int i = 0; i < bulk->source->ncolumns; i++)
		direct->given[bulk->source->attnums[i] - 1] = true;
	direct->row_values = palloc0(natts * sizeof(Datum));
	direct->row_isnull = palloc(natts * sizeof(bool));
	direct->rules = dbp_rules_load(rel, estate);
	direct->fk_checks = dbp_fk_make();
	direct->slot = ExecInitExtraTupleSlot(estate, RelationGetDescr(rel), &TTSOpsVirtual);
	if (bulk->router != NULL)
		direct->by_place = palloc0(Max(dbp_router_count(bulk->router), 1) * sizeof(Leaf *));
	MemoryContextSwitchTo(old);
	return direct;
}

void
dbp_direct_end(DbpDirect *direct)
{
	ListCell *cell;

	foreach(cell, direct->leaves)
	{
		Leaf *leaf = lfirst(cell);

		for (int i = 0; i < leaf->nslots; i++)
			ExecDropSingleTupleTableSlot(leaf->slots[i]);
	}
	if (direct->routing != NULL)
		ExecCleanupTupleRouting(direct->mtstate, direct->routing);
	ExecResetTupleTable(direct->estate->es_tupleTable, false);
	ExecCloseResultRelations(direct->estate);
	ExecCloseRangeTableRelations(direct->estate);
	FreeExecutorState(direct->estate);
}

static Leaf *
make_leaf(DbpDirect *direct, ResultRelInfo *result)
{
	TriggerDesc *triggers = result->ri_TrigDesc;
	MemoryContext old = MemoryContextSwitchTo(direct->estate->es_query_cxt);
	Leaf *leaf = palloc0(sizeof(Leaf));

	if (result->ri_FdwRoutine != NULL)
		elog(ERROR, "a foreign table cannot be inserted into directly");
	leaf->result = result;
	leaf->desc = CreateTupleDescCopyConstr(RelationGetDescr(result->ri_RelationDesc));
	leaf->map = dbp_root_to_child_map(result, direct->estate);
	leaf->one_by_one = direct->one_by_one;
	leaf->before_triggers = triggers != NULL && triggers->trig_insert_before_row;
	leaf->check_partition = direct->routing == NULL || leaf->before_triggers;
	if (!leaf->one_by_one)
		leaf->keys = dbp_fk_prepare(direct->fk_checks, result);
	leaf->indexes = dbp_index_insert_begin(result, direct->estate);
	direct->leaves = lappend(direct->leaves, leaf);
	MemoryContextSwitchTo(old);
	return leaf;
}

static Leaf *
leaf_of(DbpDirect *direct, ResultRelInfo *result)
{
	ListCell *cell;

	foreach(cell, direct->leaves)
	{
		Leaf *leaf = lfirst(cell);

		if (leaf->result == result)
			return leaf;
	}
	return make_leaf(direct, result);
}

/* Clearer than that there is no partition for it, if it could not be in any */
static void
refuse_null_key(Relation rel, AttrNumber attnum)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

	if (attribute->attnotnull)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("null value in column \"%s\" of relation \"%s\" violates not-null "
						"constraint",
						NameStr(attribute->attname), RelationGetRelationName(rel)),
				 errtablecol(rel, attnum)));
}

/* Where the row in direct->slot goes */
static Leaf *
find_leaf(DbpBulk *bulk, DbpDirect *direct)
{
	ResultRelInfo *result;
	int place = -1;

	if (direct->routing == NULL)
		return leaf_of(direct, direct->root);
	if (bulk->router != NULL)
	{
		AttrNumber attnum = dbp_router_attnum(bulk->router);
		bool isnull;
		Datum value = slot_getattr(direct->slot, attnum, &isnull);
		bool late;

		if (isnull)
			refuse_null_key(bulk->rel, attnum);
		else
			place = dbp_router_find(bulk->router, dbp_router_key(bulk->router, value), &late);
		if (place >= 0 && direct->by_place[place] != NULL)
			return direct->by_place[place];
	}
	result = ExecFindPartition(direct->mtstate, direct->root, direct->routing, direct->slot,
							   direct->estate);
	if (place >= 0 && dbp_router_is_leaf(bulk->router, place))
		return direct->by_place[place] = leaf_of(direct, result);
	return leaf_of(direct, result);
}

/*
 * Defaults that are the same for all rows of a batch.
 */
static void
begin_rows(DbpBulk *bulk, DbpDirect *direct)
{
	TupleDesc desc = RelationGetDescr(bulk->rel);
	ExprContext *econtext = GetPerTupleExprContext(direct->estate);

	for (int i = 0; i < desc->natts; i++)
	{
		DbpDefault *column = &direct->defaults[i];

		direct->row_isnull[i] = true;
		direct->row_values[i] = (Datum) 0;
		if (!direct->given[i] && column->state != NULL && !column->is_volatile)
			direct->row_values[i] = ExecEvalExpr(column->state, econtext, &direct->row_isnull[i]);
	}
}

/* One row of the batch, as the target has it, in direct->slot */
static void
build_row(DbpBulk *bulk, DbpDirect *direct, const DbpBatch *batch, int row)
{
	DbpSource *source = bulk->source;
	TupleTableSlot *slot = direct->slot;
	ExprContext *econtext = GetPerTupleExprContext(direct->estate);
	int natts = slot->tts_tupleDescriptor->natts;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, direct->row_values, natts * sizeof(Datum));
	memcpy(slot->tts_isnull, direct->row_isnull, natts * sizeof(bool));
	for (int i = 0; i < source->ncolumns; i++)
	{
		int attribute = source->attnums[i] - 1;

		slot->tts_values[attribute] = batch->values[i][row];
		slot->tts_isnull[attribute] = batch->isnull[i][row];
		if (batch->absent[i] != NULL && batch->absent[i][row])
		{
			slot->tts_isnull[attribute] = true;
			if (direct->defaults[attribute].state != NULL)
				slot->tts_values[attribute] = ExecEvalExpr(direct->defaults[attribute].state,
														   econtext, &slot->tts_isnull[attribute]);
		}
	}
	for (int i = 0; i < natts; i++)
		if (direct->defaults[i].is_volatile && !direct->given[i])
			slot->tts_values[i] =
				ExecEvalExpr(direct->defaults[i].state, econtext, &slot->tts_isnull[i]);
	ExecStoreVirtualTuple(slot);
}

/* False: the row breaks a rule, and has become a reject */
static bool
check_rules(DbpBulk *bulk, DbpDirect *direct)
{
	ExprContext *econtext = GetPerTupleExprContext(direct->estate);
	TupleConstr *constr = RelationGetDescr(bulk->rel)->constr;

	if (direct->rules != NULL && constr != NULL && constr->has_generated_stored)
		ExecComputeStoredGenerated(direct->root, direct->estate, direct->slot, CMD_INSERT);
	return direct->rules == NULL ||
		dbp_bulk_check_rules(bulk, direct->rules, direct->slot, econtext);
}

static void
make_room(DbpDirect *direct, Leaf *leaf, int nrows)
{
	MemoryContext old = MemoryContextSwitchTo(direct->estate->es_query_cxt);
	int size = Min(Max(leaf->nslots * 2, 64), nrows);

	if (leaf->slots == NULL)
	{
		leaf->slots = palloc(size * sizeof(TupleTableSlot *));
		leaf->rows = palloc(size * sizeof(int));
		leaf->recheck = palloc(size * sizeof(List *));
	}
	else
	{
		leaf->slots = repalloc_huge(leaf->slots, size * sizeof(TupleTableSlot *));
		leaf->rows = repalloc_huge(leaf->rows, size * sizeof(int));
		leaf->recheck = repalloc_huge(leaf->recheck, size * sizeof(List *));
	}
	direct->nslots += size - leaf->nslots;
	while (leaf->nslots < size)
		leaf->slots[leaf->nslots++] =
			MakeSingleTupleTableSlot(leaf->desc,
									 table_slot_callbacks(leaf->result->ri_RelationDesc));
	MemoryContextSwitchTo(old);
}

/* Gives the row in direct->slot to the leaf. Values stay where they are, in the batch. */
static void
add_row(DbpDirect *direct, Leaf *leaf, int row, int nrows)
{
	TupleTableSlot *from = direct->slot;
	TupleTableSlot *to;

	if (leaf->nrows == leaf->nslots)
		make_room(direct, leaf, nrows);
	to = leaf->slots[leaf->nrows];
	if (leaf->map != NULL)
		(void) execute_attr_map_slot(leaf->map->attrMap, from, to);
	else
	{
		int natts = from->tts_tupleDescriptor->natts;

		ExecClearTuple(to);
		memcpy(to->tts_values, from->tts_values, natts * sizeof(Datum));
		memcpy(to->tts_isnull, from->tts_isnull, natts * sizeof(bool));
		ExecStoreVirtualTuple(to);
	}
	to->tts_tableOid = RelationGetRelid(leaf->result->ri_RelationDesc);
	leaf->rows[leaf->nrows] = row;
	leaf->recheck[leaf->nrows++] = NIL;
	direct->held++;
}

/* What comes before a row is written */
static void
check_row(DbpDirect *direct, Leaf *leaf, TupleTableSlot *slot)
{
	ResultRelInfo *result = leaf->result;
	TupleConstr *constr = RelationGetDescr(result->ri_RelationDesc)->constr;

	if (constr != NULL && constr->has_generated_stored)
		ExecComputeStoredGenerated(result, direct->estate, slot, CMD_INSERT);
	if (constr != NULL)
		ExecConstraints(result, slot, direct->estate);
	if (result->ri_RelationDesc->rd_rel->relispartition && leaf->check_partition)
		ExecPartitionCheck(result, slot, direct->estate, true);
}

static void
insert_one(DbpDirect *direct, Leaf *leaf, int at)
{
	ResultRelInfo *result = leaf->result;
	TupleTableSlot *slot = leaf->slots[at];

	check_row(direct, leaf, slot);
	table_tuple_insert(result->ri_RelationDesc, slot, direct->cid, 0, NULL);
	if (result->ri_NumIndices > 0)
		leaf->recheck[at] = dbp_insert_index_tuples(result, slot, direct->estate);
}

/*
 * A row that is not to wait for others. BEFORE ROW triggers may leave it out.
 */
static void
insert_now(DbpDirect *direct, Leaf *leaf)
{
	int at = leaf->nrows - 1;
	bool wanted = true;

	if (leaf->before_triggers)
	{
		MemoryContext old = MemoryContextSwitchTo(direct->estate->es_query_cxt);

		wanted = ExecBRInsertTriggers(direct->estate, leaf->result, leaf->slots[at]);
		MemoryContextSwitchTo(old);
	}
	if (wanted)
		insert_one(direct, leaf, at);
	else
		leaf->nrows--;
}

static void
insert_rows(DbpBulk *bulk, DbpDirect *direct, const DbpBatch *batch, Leaf *leaf)
{
	for (int i = 0; i < leaf->nrows; i++)
	{
		bulk->row = batch->first + leaf->rows[i];
		check_row(direct, leaf, leaf->slots[i]);
		ResetPerTupleExprContext(direct->estate);
	}
	bulk->row = -1;
	table_multi_insert(leaf->result->ri_RelationDesc, leaf->slots, leaf->nrows, direct->cid, 0,
					   NULL);
	dbp_index_insert_rows(leaf->indexes, leaf->slots, leaf->nrows, leaf->recheck, leaf->rows,
						  batch->first, &bulk->row);
	bulk->row = -1;
}

void
dbp_end_triggers(EState *estate)
{
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);

	AfterTriggerEndQuery(estate);
	MemoryContextSwitchTo(old);
}

/*
 * Foreign keys and other AFTER ROW triggers. Those of one row run before those
 * of the next are queued: then the row is known when one fails.
 */
static void
run_after_triggers(DbpBulk *bulk, DbpDirect *direct, const DbpBatch *batch, Leaf *leaf)
{
	TriggerDesc *triggers = leaf->result->ri_TrigDesc;

	if (triggers == NULL || !triggers->trig_insert_after_row)
		return;
	for (int i = 0; i < leaf->nrows; i++)
	{
		bulk->row = batch->first + leaf->rows[i];
		if (leaf->keys != NULL)
		{
			dbp_fk_check(leaf->keys, direct->estate, leaf->result, leaf->slots[i]);
			continue;
		}
		CHECK_FOR_INTERRUPTS();
		AfterTriggerBeginQuery();
		ExecARInsertTriggers(direct->estate, leaf->result, leaf->slots[i], leaf->recheck[i], NULL);
		dbp_end_triggers(direct->estate);
	}
	bulk->row = -1;
}

static void
insert_leaves(DbpBulk *bulk, DbpDirect *direct, const DbpBatch *batch)
{
	ListCell *cell;

	foreach(cell, direct->leaves)
	{
		Leaf *leaf = lfirst(cell);

		if (leaf->nrows > 0 && !leaf->one_by_one)
			insert_rows(bulk, direct, batch, leaf);
	}
	dbp_fk_begin(direct->fk_checks, batch->count);
	/* nothing of the user's may run between two foreign keys that share a check */
	foreach(cell, direct->leaves)
	{
		Leaf *leaf = lfirst(cell);

		bulk->attempt_inserted += leaf->nrows;
		if (leaf->nrows > 0 && leaf->keys != NULL)
			run_after_triggers(bulk, direct, batch, leaf);
	}
	foreach(cell, direct->leaves)
	{
		Leaf *leaf = lfirst(cell);

		if (leaf->nrows > 0 && leaf->keys == NULL)
			run_after_triggers(bulk, direct, batch, leaf);
	}
}

static void
drop_slots(DbpDirect *direct, Leaf *leaf)
{
	for (int i = 0; i < leaf->nslots; i++)
		ExecDropSingleTupleTableSlot(leaf->slots[i]);
	direct->nslots -= leaf->nslots;
	leaf->nslots = 0;
}

/* Values of the batch are gone after this; slots are used again. */
static void
clear_leaves(DbpDirect *direct)
{
	bool too_many = direct->nslots > MAX_SLOTS;
	ListCell *cell;

	foreach(cell, direct->leaves)
	{
		Leaf *leaf = lfirst(cell);

		for (int i = 0; i < leaf->nrows; i++)
			ExecClearTuple(leaf->slots[i]);
		/* rows in the order of time come by each partition once */
		if (too_many && leaf->nrows == 0)
			drop_slots(direct, leaf);
		leaf->nrows = 0;
	}
	direct->held = 0;
	ExecClearTuple(direct->slot);
}

/*
 * May a part of the batch be written and forgotten?  Triggers have to see all
 * rows of the statement; a foreign key does not, unless it refers to them.
 */
static bool
can_flush(const DbpDirect *direct)
{
	ListCell *cell;

	foreach(cell, direct->leaves)
	{
		Leaf *leaf = lfirst(cell);
		TriggerDesc *triggers = leaf->result->ri_TrigDesc;

		if (leaf->one_by_one)
			return false;
		if (leaf->nrows > 0 && triggers != NULL && triggers->trig_insert_after_row &&
			(leaf->keys == NULL || dbp_fk_is_to_itself(leaf->keys)))
			return false;
	}
	return true;
}

/*
 * From now on rows are written one by one, in all partitions: a trigger of this
 * one may want to see those before.
 */
static void
begin_one_by_one(DbpBulk *bulk, DbpDirect *direct, const DbpBatch *batch)
{
	int64 row = bulk->row;
	ListCell *cell;

	direct->one_by_one = true;
	foreach(cell, direct->leaves)
	{
		Leaf *leaf = lfirst(cell);

		if (leaf->nrows > 0)
			insert_rows(bulk, direct, batch, leaf);
		leaf->one_by_one = true;
		leaf->keys = NULL;
	}
	bulk->row = row;
}

static void
place_rows(DbpBulk *bulk, DbpDirect *direct, const DbpBatch *batch, const bool *skip)
{
	for (int i = 0; i < batch->count; i++)
	{
		Leaf *leaf;

		if (skip[i])
			continue;
		CHECK_FOR_INTERRUPTS();
		bulk->row = batch->first + i;
		ResetPerTupleExprContext(direct->estate);
		build_row(bulk, direct, batch, i);
		if (!check_rules(bulk, direct))
			continue;
		leaf = find_leaf(bulk, direct);
		if (leaf->before_triggers && !direct->one_by_one)
			begin_one_by_one(bulk, direct, batch);
		add_row(direct, leaf, i, batch->count);
		if (leaf->one_by_one)
		{
			ExecMaterializeSlot(leaf->slots[leaf->nrows - 1]);
			insert_now(direct, leaf);
		}
		if (direct->held >= CHUNK_ROWS && can_flush(direct))
		{
			insert_leaves(bulk, direct, batch);
			clear_leaves(direct);
		}
	}
	bulk->row = -1;
}

/*
 * Inserts the rows of a batch that are not to be skipped. When it throws, and
 * there is no subtransaction that ends with it, the transaction must end.
 */
void
dbp_direct_run(DbpBulk *bulk, DbpDirect *direct, const DbpBatch *batch, const bool *skip)
{
	MemoryContext old = MemoryContextSwitchTo(direct->estate->es_query_cxt);

	direct->cid = GetCurrentCommandId(true);
	PushActiveSnapshot(GetTransactionSnapshot());
	AfterTriggerBeginQuery();
	ExecBSInsertTriggers(direct->estate, direct->root);
	MemoryContextSwitchTo(bulk->attempt_context);
	begin_rows(bulk, direct);
	place_rows(bulk, direct, batch, skip);
	insert_leaves(bulk, direct, batch);
	ExecASInsertTriggers(direct->estate, direct->root, NULL);
	dbp_end_triggers(direct->estate);
	clear_leaves(direct);
	ResetPerTupleExprContext(direct->estate);
	PopActiveSnapshot();
	CommandCounterIncrement();
	MemoryContextSwitchTo(old);
}
